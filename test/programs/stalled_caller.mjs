/**
 * Sends without ever waiting while its broker stands still; run by `memory.mjs` on each runtime.
 *
 *     <runtime> stalled_caller.mjs <brokers> <bufferMemory> <refusals>
 */

import process from "node:process";
import { Producer } from "../../dist/esm/mod.js";
import { readTopic } from "../../dist/src/testing/mod.js";
import { selectSockets } from "../../dist/src/runtime/mod.js";

const [brokers, bufferMemory, refusals] = process.argv.slice(2);
const topic = "stalled";
const value = new Uint8Array(1_024).fill(120);
const turn = () => new Promise((resolve) => setImmediate(resolve));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const rss = () => process.memoryUsage().rss;
/** What the heap and its buffers hold once the garbage is out; undefined where nobody tells. */
const held = () => {
  if (globalThis.Bun === undefined) return undefined;
  globalThis.Bun.gc(true);
  return process.memoryUsage().heapUsed;
};

const producer = new Producer({ brokers, bufferMemory: Number(bufferMemory) });
let sent = 0;
let acknowledged = 0;
let refused = 0;
const other = {};
const onSuccess = () => acknowledged++;
const onError = ({ code, persisted }) => {
  const outcome = `${code} ${persisted}`;
  if (outcome === "BUFFER_FULL no") refused++;
  else other[outcome] = (other[outcome] ?? 0) + 1;
};
const send = () => {
  sent++;
  producer.send({ topic, value }).then(onSuccess, onError);
};

// What running at all takes is no part of it: code is compiled, the heap has its first size.
for (let round = 0; round < 20; round++) {
  for (let i = 0; i < 100; i++) send();
  await producer.flush();
}
console.log("ready");
await sleep(500);
const heldBefore = held();
const before = rss();
let most = before;
while (refused < Number(refusals)) {
  for (let i = 0; i < 1_000; i++) send();
  await turn();
  most = Math.max(most, rss());
}
const heldAfter = held();
console.log("flooded");
const returned = performance.now();
await producer.flush();
const settledMs = performance.now() - returned;
await turn();
const metrics = producer.metrics();
await producer.close();
let stored = 0;
for await (const _ of readTopic({ brokers, topic, sockets: selectSockets() })) stored++;
console.log(JSON.stringify({
  grownBytes: most - before,
  heldBytes: heldBefore === undefined ? undefined : heldAfter - heldBefore,
  sent,
  acknowledged,
  refused,
  other,
  stored,
  settledMs,
  available: metrics["buffer-available-bytes"],
  total: metrics["buffer-total-bytes"],
}));
