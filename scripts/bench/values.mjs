/** Files of values, the same for every client in every language: random, but the same each time. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "../lib/tools.mjs";

const words = (
  "order customer warehouse shipment invoice pending delivered cancelled express standard berlin lisbon oslo " +
  "vienna prague porto gdansk silver copper amber cobalt crimson small medium large gift fragile insured refund"
).split(" ");

/** The path of a file with values of a work set, each `work.bytes` long. */
export function valuesFile(work) {
  const path = join(cacheDir, "bench", `values-${work.json ? "json-" : ""}${work.bytes}.bin`);
  if (existsSync(path)) return path;
  mkdirSync(join(cacheDir, "bench"), { recursive: true });
  const random = generator(work.bytes);
  const count = work.json ? 20_000 : 4_096;
  const bytes = Buffer.alloc(count * work.bytes);
  for (let i = 0; i < count; i++) {
    const text = work.json ? json(i, random, work.bytes) : letters(random, work.bytes);
    bytes.write(text, i * work.bytes, "latin1");
  }
  writeFileSync(`${path}.${process.pid}`, bytes);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

/** An order with lines until the size is reached; it shrinks about as much as orders do. */
function json(id, random, size) {
  const pick = () => words[Math.floor(random() * words.length)];
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");
  const order = { id, uuid: hex(32), placedAt: 1_700_000_000_000 + Math.floor(random() * 1e9), lines: [] };
  for (;;) {
    const line = { sku: `${pick()}-${hex(6)}`, city: pick(), state: pick(), amount: Math.floor(random() * 1e5) / 100 };
    order.lines.push(line);
    if (JSON.stringify(order).length + 12 < size) continue;
    order.lines.pop();
    const text = JSON.stringify({ ...order, note: "" });
    return JSON.stringify({ ...order, note: letters(random, size - text.length) });
  }
}

function letters(random, length) {
  let text = "";
  while (text.length < length) text += String.fromCharCode(97 + Math.floor(random() * 26));
  return text;
}

/** Small and good enough: mulberry32. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
