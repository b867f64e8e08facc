// Raw YUYV camera frames in, model tensors out: what a web or phone app does before inference, without a library.
//
//   node preprocess.mjs PROBES OUT [--mistake range|uv|flip]
//
// Every PROBES/<picture>_<width>x<height>.yuyv becomes OUT/<picture>_yuyv.bin (float32, 1 x 96 x 96 x 3) with its shape
// in OUT/<picture>_yuyv.json, as `facelab fingerprint import` reads them. train.preprocess.json beside this file says
// what training did; without --mistake this program does the same.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const SIDE = 96;
const MISTAKES = ["range", "uv", "flip"];

// Y0 U Y1 V for two pixels, BT.601, limited range: Y 16...235, chroma 16...240 around 128.
function toRgb(frame, width, height, mistake) {
  const rgb = new Float64Array(width * height * 3);
  const clamp = (v) => Math.min(255, Math.max(0, Math.round(v)));
  for (let i = 0; i < width * height; i++) {
    const pair = (i >> 1) * 4;
    let y = frame[i * 2];
    let u = frame[pair + (mistake === "uv" ? 3 : 1)] - 128;
    let v = frame[pair + (mistake === "uv" ? 1 : 3)] - 128;
    if (mistake !== "range") {
      y = (y - 16) * (255 / 219);
      u *= 255 / 224;
      v *= 255 / 224;
    }
    rgb[i * 3] = clamp(y + 1.402 * v);
    rgb[i * 3 + 1] = clamp(y - 0.344136 * u - 0.714136 * v);
    rgb[i * 3 + 2] = clamp(y + 1.772 * u);
  }
  return rgb;
}

// Bilinear with half-pixel centres; beyond the border counts the border pixel.
function resize(rgb, width, height, mistake) {
  const out = new Float32Array(SIDE * SIDE * 3);
  const place = (i, n) => {
    const x = ((i + 0.5) * n) / SIDE - 0.5;
    const x0 = Math.floor(x);
    const inside = (v) => Math.min(n - 1, Math.max(0, v));
    return [inside(x0), inside(x0 + 1), x - x0];
  };
  for (let y = 0; y < SIDE; y++) {
    const [y0, y1, fy] = place(y, height);
    for (let x = 0; x < SIDE; x++) {
      const [x0, x1, fx] = place(mistake === "flip" ? SIDE - 1 - x : x, width);
      for (let c = 0; c < 3; c++) {
        const at = (px, py) => rgb[(py * width + px) * 3 + c];
        const top = at(x0, y0) * (1 - fx) + at(x1, y0) * fx;
        const bottom = at(x0, y1) * (1 - fx) + at(x1, y1) * fx;
        out[(y * SIDE + x) * 3 + c] = (top * (1 - fy) + bottom * fy) / 255;
      }
    }
  }
  return out;
}

function main([probes, out, option, mistake]) {
  if (!probes || !out || (option && (option !== "--mistake" || !MISTAKES.includes(mistake)))) {
    console.error(`usage: preprocess.mjs PROBES OUT [--mistake ${MISTAKES.join("|")}]`);
    return 2;
  }
  mkdirSync(out, { recursive: true });
  for (const file of readdirSync(probes)) {
    const match = /^(.+)_(\d+)x(\d+)\.yuyv$/.exec(file);
    if (!match) continue;
    const [width, height] = [Number(match[2]), Number(match[3])];
    const frame = readFileSync(join(probes, file));
    if (frame.length !== width * height * 2) {
      console.error(`${file}: expected ${width * height * 2} bytes, got ${frame.length}`);
      return 2;
    }
    const tensor = resize(toRgb(frame, width, height, mistake), width, height, mistake);
    writeFileSync(join(out, `${match[1]}_yuyv.bin`), Buffer.from(tensor.buffer));
    writeFileSync(join(out, `${match[1]}_yuyv.json`), JSON.stringify({ shape: [1, SIDE, SIDE, 3], dtype: "float32" }));
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
