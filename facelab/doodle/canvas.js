// A sheet to draw on. Strokes go to the kernel when the pen is lifted; its answer comes back as two traits.
function render({ model, el }) {
  const side = 280;
  const box = document.createElement("div");
  box.className = "facelab-doodle";
  box.style.cssText = "display:inline-block;font:14px system-ui,sans-serif";
  const sheet = document.createElement("canvas");
  sheet.width = sheet.height = side;
  sheet.setAttribute("role", "img");
  sheet.setAttribute("aria-label", "sheet to draw on");
  sheet.style.cssText = "background:#fff;border:1px solid #888;touch-action:none;cursor:crosshair;display:block";
  const answer = document.createElement("div");
  answer.className = "facelab-doodle-answer";
  answer.setAttribute("aria-live", "polite");
  answer.style.cssText = "min-height:1.5em;margin:4px 0";
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "Clear";
  box.append(sheet, answer, clear);
  el.append(box);

  const pen = sheet.getContext("2d");
  pen.lineWidth = 7;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#000";
  let strokes = [];
  let current = null;

  const at = (event) => {
    const r = sheet.getBoundingClientRect();
    return [((event.clientX - r.left) * side) / r.width, ((event.clientY - r.top) * side) / r.height];
  };
  const down = (event) => {
    sheet.setPointerCapture?.(event.pointerId);
    current = [at(event)];
    pen.beginPath();
    pen.moveTo(...current[0]);
    event.preventDefault();
  };
  const move = (event) => {
    if (!current) return;
    const points = event.getCoalescedEvents?.() ?? [];
    for (const e of points.length ? points : [event]) {
      current.push(at(e));
      pen.lineTo(...current[current.length - 1]);
    }
    pen.stroke();
  };
  const up = () => {
    if (!current) return;
    strokes.push(current);
    current = null;
    model.send({ type: "drawing", strokes });
  };
  const wipe = () => {
    strokes = [];
    current = null;
    pen.clearRect(0, 0, side, side);
    model.send({ type: "clear" });
  };
  const show = () => {
    answer.textContent = model.get("answer");
  };
  sheet.addEventListener("pointerdown", down);
  sheet.addEventListener("pointermove", move);
  sheet.addEventListener("pointerup", up);
  sheet.addEventListener("pointercancel", up);
  clear.addEventListener("click", wipe);
  model.on("change:answer", show);
  show();
  return () => model.off("change:answer", show);
}
export default { render };
