// The heart in the browser: the kernel sends an emotion and scores a few times per second, this file draws every frame.
// `Heart` is the oscillator of facelab.feedback.heart in JavaScript; a test compares the two step by step.

const TURN = 2 * Math.PI, FINEST_STEP_S = 1 / 240, LONGEST_STEP_S = 1, HOLD_S = 0.03, BREATHE_S = 0.3;
const VIEW = 46, MIDDLE = 2.5, SIZE = 240;

export class Heart {
  constructor(settings, emotion) {
    this.settings = settings;
    this.emotion = this.wanted = emotion;
    const s = this.style(emotion);
    this.frequency = s.frequency_hz;
    this.amplitude = s.amplitude;
    this.hue = s.hue_deg;
    this.phase = 0;
    this.breath = 1;
    this.sinceChange = settings.dwell_s;
  }

  style(emotion) {
    const { styles, fallback } = this.settings;
    return Object.hasOwn(styles, emotion ?? "") ? styles[emotion] : styles[fallback];
  }

  step(dt) {
    dt = Math.min(Math.max(dt, 0), LONGEST_STEP_S);
    const parts = Math.max(1, Math.ceil(dt / FINEST_STEP_S - 1e-9));
    for (let k = 0; k < parts; k++) this.advance(dt / parts);
  }

  advance(dt) {
    const s = this.settings;
    this.sinceChange += dt;
    if (this.wanted !== this.emotion && this.sinceChange >= s.dwell_s) {
      const a = this.style(this.wanted), b = this.style(this.emotion);
      const same = a.frequency_hz === b.frequency_hz && a.hue_deg === b.hue_deg && a.amplitude === b.amplitude;
      this.emotion = this.wanted;
      this.sinceChange = same ? s.dwell_s : 0;
    }
    const target = this.style(this.emotion), eased = 1 - Math.exp(-dt / s.ease_s);
    this.frequency += eased * (target.frequency_hz - this.frequency);
    const way = ((target.hue_deg - this.hue + 180) % 360 + 360) % 360 - 180, most = s.hue_rate_deg_s * dt;
    this.hue = ((this.hue + Math.max(-most, Math.min(most, way))) % 360 + 360) % 360;
    if (Math.abs(way) > most) {
      this.breath *= Math.exp(-dt / HOLD_S);
    } else {
      this.breath += (1 - Math.exp(-dt / BREATHE_S)) * (1 - this.breath);
      this.amplitude += eased * (target.amplitude - this.amplitude);
    }
    this.phase = (this.phase + this.frequency * this.breath * dt) % 1;
  }

  get scale() {
    return 1 + this.amplitude * Math.sin(TURN * this.phase);
  }
}

function outline() {
  const path = new Path2D();
  for (let k = 0; k < 128; k++) {
    const t = TURN * k / 128, x = 16 * Math.sin(t) ** 3;
    const y = 13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t);
    if (k) path.lineTo(x, -y - MIDDLE); else path.moveTo(x, -y - MIDDLE);
  }
  path.closePath();
  return path;
}

function element(kind, parent, properties = {}) {
  const made = Object.assign(document.createElement(kind), properties);
  parent.appendChild(made);
  return made;
}

function build(model, el) {
  const root = element("div", el, { className: "facelab-heart" });
  root.style.cssText = "display:flex;gap:16px;align-items:flex-start;font-family:sans-serif;font-size:13px";
  const ratio = window.devicePixelRatio || 1;
  const canvas = element("canvas", root, { width: SIZE * ratio, height: SIZE * ratio });
  canvas.style.cssText = `width:${SIZE}px;height:${SIZE}px`;
  canvas.setAttribute("role", "img");
  const side = element("div", root);
  side.style.minWidth = "260px";
  const line = element("label", side, { textContent: "Source " });
  const choice = element("select", line);
  for (const name of model.get("sources")) element("option", choice, { value: name, textContent: name });
  choice.value = model.get("source");
  choice.onchange = () => { model.set("source", choice.value); model.save_changes(); };
  const rows = {};
  const table = element("div", side);
  table.style.cssText = "display:grid;grid-template-columns:80px 1fr 40px;gap:4px 8px;margin:10px 0;align-items:center";
  for (const label of model.get("labels")) {
    element("span", table, { textContent: label });
    const slider = element("input", table, { type: "range", min: 0, max: 100, step: 1 });
    slider.setAttribute("aria-label", label);
    const number = element("span", table);
    slider.oninput = () => {
      const values = {};
      for (const [name, row] of Object.entries(rows)) values[name] = Number(row.slider.value);
      model.set("sliders", values);
      model.save_changes();
    };
    rows[label] = { slider, number };
  }
  return { canvas, ratio, choice, rows, status: element("div", side), problem: element("div", side) };
}

function render({ model, el }) {
  const view = build(model, el), { canvas, ratio, rows } = view;
  const pen = canvas.getContext("2d"), path = outline();
  const heart = new Heart(model.get("settings"), model.get("emotion") || null);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const seen = { frames: 0, steps: [], waits: [], unseen: null };
  let last = null, alive = true, reported = performance.now();

  function shown() {
    const scores = model.get("scores"), fed = model.get("source") === "slider";
    for (const [label, row] of Object.entries(rows)) {
      const value = scores[label] ?? 0;
      row.number.textContent = `${Math.round(100 * value)} %`;
      row.slider.disabled = !fed;
      if (!fed) row.slider.value = Math.round(100 * value);
      row.slider.style.accentColor = "#0072B2";
    }
    view.choice.value = model.get("source");
    const emotion = model.get("emotion");
    view.status.textContent = emotion ? `shows ${emotion}` : "nobody is seen";
    view.problem.textContent = model.get("problem");
    canvas.setAttribute("aria-label", emotion ? `A heart that shows ${emotion}` : "A heart at rest");
  }

  function received() {
    heart.wanted = model.get("emotion") || null;
    const sent = model.get("sent_at_ms");
    if (sent > 0) seen.unseen = sent;
    shown();
  }

  function draw(now) {
    if (!alive) return;
    const dt = last === null ? 0 : (now - last) / 1000;
    last = now;
    heart.step(dt);
    const scale = (still.matches ? 1 : heart.scale) * SIZE * ratio / VIEW, s = heart.settings;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(scale, 0, 0, scale, canvas.width / 2, canvas.height / 2);
    pen.fillStyle = `hsl(${heart.hue} ${100 * s.saturation}% ${100 * s.lightness}%)`;
    pen.fill(path);
    seen.frames += 1;
    if (dt) seen.steps.push(1000 * dt);
    if (seen.unseen !== null) {
      seen.waits.push(Date.now() - seen.unseen);
      seen.unseen = null;
    }
    if (now - reported >= 2000) report(now);
    requestAnimationFrame(draw);
  }

  function report(now) {
    const middle = (values, share) => values.length
      ? [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] : null;
    const stats = {
      fps: 1000 * seen.frames / (now - reported),
      step_p95_ms: middle(seen.steps, 0.95),
      wait_p50_ms: middle(seen.waits, 0.5),
      wait_p95_ms: middle(seen.waits, 0.95),
      still: still.matches,
      scale: still.matches ? 1 : heart.scale,
      hue: heart.hue,
    };
    canvas.dataset.stats = JSON.stringify(stats);
    model.set("stats", stats);
    model.save_changes();
    Object.assign(seen, { frames: 0, steps: [], waits: [] });
    reported = now;
  }

  const events = ["change:emotion", "change:scores", "change:source", "change:problem", "change:sent_at_ms"];
  for (const name of events) model.on(name, received);
  shown();
  requestAnimationFrame(draw);
  return () => {
    alive = false;
    for (const name of events) model.off(name, received);
  };
}

export default { render };
