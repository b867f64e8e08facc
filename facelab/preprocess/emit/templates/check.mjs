// Check NAME.mjs against the golden tensors: node NAME.check.mjs [testdata]
// ORIGIN
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Preprocessor } from "./NAME.mjs";

const folder = process.argv[2] ?? "testdata";
const pre = new Preprocessor();
let failed = 0;
for (const line of readFileSync(join(folder, "cases.txt"), "utf8").trim().split("\n")) {
  const [name, ...fields] = line.split(" ");
  const n = fields.map(Number);
  const input = {
    width: n[0], height: n[1], orientation: n[2], box: n.slice(3, 7), landmarks: n.slice(7, 17),
  };
  const { data } = pre.run(new Uint8Array(readFileSync(join(folder, `${name}.frame`))), input);
  const raw = readFileSync(join(folder, `${name}.tensor`));
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
  const wanted = new data.constructor(bytes);
  let low = Infinity, high = -Infinity, worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    low = Math.min(low, wanted[i]);
    high = Math.max(high, wanted[i]);
    worst = Math.max(worst, Math.abs(wanted[i] - data[i]));
  }
  const float = data instanceof Float32Array || data instanceof Float64Array;
  const good = wanted.length === data.length && worst <= (float ? 1e-6 * Math.max(high - low, 1e-12) : 0);
  if (!good) failed += 1;
  console.log(`${name}: ${good ? "same" : "DIFFERS"}, at most ${worst} off`);
}
process.exit(failed === 0 ? 0 : 1);
