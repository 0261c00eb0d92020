/**
 * How long a call of `produce` or `send` takes by itself: a record's way into its batch, before anything is drained.
 *
 *     node scripts/bench/calls.mjs [--source /path/of/another/mod.ts] [--rounds 300]
 *
 * In ns per record, the least and the median of the rounds, of each source by turns. A thousand calls in a row leave no
 * room for a socket or a timer, so that the least is steady where other figures follow what else the machine does.
 */
import { Buffer } from "node:buffer";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { flagsOf } from "../lib/flags.mjs";
import { root } from "../lib/tools.mjs";
import { startBroker } from "./brokers.mjs";
import { bundleSluice } from "./bundle.mjs";
import { workNamed } from "./works.mjs";

const calls = 1_000;
/** The engine compiles in the first ones. */
const roundsBefore = 100;

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    source: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "300" },
  },
});

const values = Array.from({ length: calls }, (_, i) => Buffer.alloc(256, i));
const keys = Array.from({ length: calls }, (_, i) => flat(`k${String(i).padStart(9, "0")}`));
const texts = Array.from({ length: calls }, (_, i) => flat(String(i).padStart(100, "abcdefghij")));
const traceparents = keys.map((key) => flat(`00-${key.padStart(32, "4b")}-${key.padStart(16, "a")}-01`));

/** Records as a caller makes them: a new object for each. */
const kinds = {
  "produce, 256 bytes": ({ producer, topic }, i) => producer.produce({ topic, value: values[i] }),
  "send, 256 bytes": ({ producer, topic }, i) => void producer.send({ topic, value: values[i] }),
  "produce, text and key": ({ producer, topic }, i) => producer.produce({ topic, key: keys[i], value: texts[i] }),
  "the same, two headers": ({ producer, topic }, i) => {
    const headers = { "traceparent": traceparents[i], "content-type": "text/plain" };
    producer.produce({ topic, key: keys[i], value: texts[i], headers });
  },
};

process.once("SIGINT", () => process.exit(130));
const broker = await startBroker("null");
try {
  const topic = await broker.makeTopic(workNamed("D"), "calls");
  const sources = [join(root, "mod.ts"), ...flags.source];
  const subjects = [];
  for (const source of sources) {
    const { Producer } = await import(pathToFileURL(await bundleSluice(source)).href);
    const producer = new Producer({ brokers: broker.address });
    await producer.send({ topic, value: values[0] });
    subjects.push({ source, producer, topic, ns: Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []])) });
  }
  for (let round = 0; round < roundsBefore + Number(flags.rounds); round++) {
    for (const [kind, call] of Object.entries(kinds)) {
      for (const subject of subjects) await measure(subject, kind, call, round >= roundsBefore);
    }
  }
  for (const { source, producer, ns } of subjects) {
    console.log(source);
    for (const [kind, all] of Object.entries(ns)) {
      const sorted = all.sort((a, b) => a - b);
      const median = sorted[sorted.length >> 1];
      console.log(`  ${kind.padEnd(24)}${sorted[0].toFixed(0).padStart(6)} ns, median ${median.toFixed(0)}`);
    }
    await producer.close();
  }
} finally {
  await broker.stop();
}
process.exit();

async function measure(subject, kind, call, isKept) {
  const startedMs = performance.now();
  for (let i = 0; i < calls; i++) call(subject, i);
  const ns = (performance.now() - startedMs) * 1e6 / calls;
  if (isKept) subject.ns[kind].push(ns);
  await subject.producer.flush();
}

/** Text in one piece: what was put together of others is made one when it is first read, which is not to be measured. */
function flat(text) {
  return Buffer.from(text, "latin1").toString("latin1");
}
