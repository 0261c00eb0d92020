/**
 * The process under test: producers that send without waiting, as a plan (JSON file) says. What each record was told
 * goes to a result file; that the process then ends by itself is part of the test.
 */
import { subscribe } from "node:diagnostics_channel";
import { readFileSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Producer } from "../../../mod.ts";
import { selectRuntime } from "../../../src/runtime/select.ts";
import { seededRandom } from "./random.mjs";
import { valueOf } from "./records.mjs";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const startedMs = performance.now();
const now = () => performance.now() - startedMs;

/** Sockets of the process: what the producers say that they dialled must be in there. */
let sockets = 0;
subscribe("net.client.socket", () => void sockets++);
/** What each producer dialled, and when. */
const dials = [];

/** The runtime as it is, but for a note of each dial: no dial tells by itself whose it is. */
function runtimeOf(producer) {
  const system = selectRuntime();
  return {
    ...system,
    sockets: {
      ...system.sockets,
      connect(options, events) {
        dials.push({ atMs: Math.round(now()), producer });
        return system.sockets.connect(options, events);
      },
    },
  };
}
const unhandled = [];
process.on("unhandledRejection", (/** @type {any} */ error) => unhandled.push(String(error?.stack ?? error)));
process.on("uncaughtException", (error) => unhandled.push(String(error?.stack ?? error)));
const stall = monitorEventLoopDelay({ resolution: 10 });
stall.enable();

let settledOrder = 0;

async function play({ name, seed, startMs, durationMs, maxBurst, choice, ending, options }) {
  await sleep(startMs);
  const { between, pick, chance } = seededRandom(seed);
  const events = [];
  const log = (event, fields) => events.push(`${now().toFixed(0)} ${event} ${JSON.stringify(fields, bigintAsText)}`);
  const logger = { info: log, warn: log, error: log };
  const producer = new Producer(
    { brokers: plan.brokers, clientId: name, ...plan.security, ...options, logger },
    runtimeOf(name),
  );
  const records = [];
  const problems = [];
  const flushes = [];
  const beginMs = now();
  const endMs = beginMs + durationMs;
  const partitionFor = {
    any: () => between(0, plan.partitions - 1),
    // One after the other, so that at any time some partition gets its first batches.
    sweep: () => Math.min(plan.partitions - 1, Math.floor(plan.partitions * (now() - beginMs) / durationMs)),
  };
  while (now() < endMs) {
    for (let burst = between(1, maxBurst); burst > 0; burst--) send();
    if (chance(0.01)) flushes.push(producer.flush());
    await sleep(chance(0.03) ? between(100, 600) : between(2, 20));
  }
  const pendingOf = () => records.filter(({ calls }) => calls === 0).length;
  if (ending === "flush") {
    await producer.flush();
    if (pendingOf() > 0) problems.push(`${pendingOf()} records without an outcome after flush`);
  }
  const closingMs = now();
  await producer.close().catch((error) => problems.push(`close rejected: ${error}`));
  const closedMs = now();
  if (pendingOf() > 0) problems.push(`${pendingOf()} records without an outcome after close`);
  const flushed = await Promise.race([Promise.all(flushes).then(() => true), sleep(100, false)]);
  if (!flushed) problems.push("a flush is pending after close");
  const metrics = producer.metrics();
  if (metrics["buffer-available-bytes"] !== metrics["buffer-total-bytes"] || metrics.records_pending !== 0) {
    problems.push(`left in the buffer after close: ${JSON.stringify(metrics)}`);
  }
  return { name, records, problems, events, metrics, closingMs, closedMs };

  function send() {
    const number = records.length;
    const topic = pick(plan.topics);
    const key = `key-${between(1, 40)}`;
    const partition = partitionFor[choice]?.() ?? null;
    const size = chance(0.02) ? between(1_000, 2_000) : between(0, 300);
    const timestamp = Math.round(performance.timeOrigin + performance.now());
    const record = { number, topic, key, partition, size, timestamp, sentMs: now(), calls: 0, promises: 0 };
    records.push(record);
    const value = valueOf({ topic, producer: name, number, size });
    const headers = { n: String(number) };
    producer.send({ topic, key, value, timestamp, headers, ...partition === null ? {} : { partition } }, {
      onDelivery(error, metadata) {
        record.calls++;
        record.settledMs = now();
        record.order = settledOrder++;
        if (error) record.error = describe(error);
        else record.ok = metadata.toJSON();
      },
    }).then((metadata) => {
      record.promises++;
      if (record.ok?.offset !== String(metadata.offset)) problems.push(`promise and callback differ for ${number}`);
    }, (error) => {
      record.promises++;
      if (record.error?.message !== error.message) problems.push(`promise and callback differ for ${number}`);
    });
  }
}

function describe(error) {
  const causes = [];
  for (let cause = error.cause; cause; cause = cause.cause) causes.push(cause.code ?? String(cause));
  return { code: error.code, persisted: error.persisted, message: error.message, causes };
}

/** @param {any} value */
function bigintAsText(_, value) {
  return typeof value === "bigint"
    ? String(value)
    : value instanceof Error
    ? `${/** @type {any} */ (value).code}: ${value.message}`
    : value;
}

const producers = await Promise.all(plan.producers.map(play));
// A socket goes when its peer has ended its side too, or two seconds later: proxy and brokers may be slow to do so.
const active = () => process.getActiveResourcesInfo().filter((name) => !/^(PipeWrap|TTYWrap|FSReqPromise)$/.test(name));
for (let waits = 0; waits < 25; waits++) {
  await sleep(100);
  if (active().length === 0) break;
}
const resources = active();
stall.disable();
const { user, system } = process.cpuUsage();
const cpuMs = Math.round((user + system) / 1000);
const stallMs = Math.round(stall.max / 1e6);
const result = { producers, dials, sockets, unhandled, resources, cpuMs, stallMs, ranMs: now() };
writeFileSync(plan.out, JSON.stringify(result));
console.log("done");
