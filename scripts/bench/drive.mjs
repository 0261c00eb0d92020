/**
 * One client doing one work set, in a process of its own: drive.mjs '<plan as JSON>'.
 *
 * Runs on Node, Deno and Bun. Prints `@@result {…}`: what it sent, how long it took, what it cost. The clock starts
 * after one record has been acknowledged, so connecting isn't measured; compiling the hot code is.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers";
import { Latencies } from "./latencies.mjs";
import { spread } from "./statistics.mjs";

const plan = JSON.parse(process.argv[2]);
const { work } = plan;

const values = readValues();
const keys = work.keys === undefined ? undefined : Array.from(
  { length: work.keys },
  (_, i) => bytesOrText(Buffer.from(`k${String((i * 7_919) % work.keys).padStart(9, "0")}`)),
);

const traceparents = Array.from(
  { length: 1_000 },
  (_, i) => `00-${String(i).padStart(32, "4b")}-${String(i).padStart(16, "a")}-01`,
);

let sent = 0;
let settled = 0;
let failed = 0;
let firstError;
/** The caller that waits for room in its window. */
let waiter;

const kinds = { awaited, batches, burst, produce, callers, "open-loop": openLoop, stall, turns };

const { open } = await import(plan.adapter);
const client = await open(plan);
await client.send(keys?.[0] ?? null, values[0], 0);
const secure = work.kind === "turns" ? await openOverTls() : undefined;

await warmUp(plan.warm ?? 0);
const sentBefore = sent;

const profile = plan.profile === undefined ? undefined : await startProfile(plan.profile);
const cpuBefore = process.cpuUsage();
const startedMs = performance.now();
const more = await kinds[work.kind]();
const elapsedMs = more?.elapsedMs ?? performance.now() - startedMs;
const cpu = process.cpuUsage(cpuBefore);
const profiled = await profile?.();

await client.close?.();
await secure?.close?.();
const result = {
  sent: sent - sentBefore,
  settled,
  failed,
  firstError: firstError === undefined ? undefined : String(firstError),
  acknowledged: settled - failed + (secure === undefined ? 1 : 2), // of each client one before the clock
  elapsedMs,
  cpuMs: (cpu.user + cpu.system) / 1000,
  userMs: cpu.user / 1000,
  maxRssMiB: maxRssMiB(),
  version: client.version,
  profile: profiled,
  ...more,
};
await new Promise((done) => process.stdout.write(`@@result ${JSON.stringify(result)}\n`, done));
process.exit(0);

/** Only when asked for: what the same costs once all of it is compiled, or, after a part of a round, most of it. */
async function warmUp(rounds) {
  const { count } = plan;
  for (let left = rounds; left > 0; left--) {
    if (left < 1) plan.count = Math.ceil(count * left / 1_000) * 1_000;
    await kinds[work.kind]();
  }
  plan.count = count;
}

/**
 * Samples what the main thread does ("cpu") or what it allocates, kept or not ("heap"). Node only; what is returned ends
 * that, and resolves to what was seen.
 */
async function startProfile(kind) {
  const { Session } = await import("node:inspector/promises");
  const session = new Session();
  session.connect();
  if (kind === "heap") {
    await session.post("HeapProfiler.startSampling", {
      samplingInterval: 4_096,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    return async () => (await session.post("HeapProfiler.stopSampling")).profile;
  }
  await session.post("Profiler.enable");
  await session.post("Profiler.setSamplingInterval", { interval: 200 });
  await session.post("Profiler.start");
  return async () => (await session.post("Profiler.stop")).profile;
}

function onDelivered() {
  settled++;
  wakeWaiter();
}

function onFailed(error) {
  settled++;
  failed++;
  firstError ??= error;
  wakeWaiter();
}

function wakeWaiter() {
  if (waiter === undefined) return;
  const wake = waiter;
  waiter = undefined;
  wake();
}

function nextTurn() {
  return new Promise((resolve) => setImmediate(resolve));
}

function changed() {
  return new Promise((resolve) => waiter = resolve);
}

async function allSettled() {
  while (settled < sent) await changed();
}

/** One after the other. */
async function awaited() {
  for (let i = 0; i < plan.count; i++) {
    sent++;
    await client.send(keyOf(i), valueOf(i), undefined, headersOf(i)).then(onDelivered, onFailed);
  }
}

/**
 * The same in clear and over TLS, a turn of each and the other way about, so that what else the machine does is in both.
 * Told are the medians of all turns, as if each had been like that.
 */
async function turns() {
  const seen = [client, secure].map((through) => ({ through, elapsedMs: [], cpuMs: [] }));
  const rounds = Math.ceil(plan.count / work.turn);
  for (let round = 0; round < rounds; round++) {
    for (const { through, elapsedMs, cpuMs } of round % 2 === 0 ? seen : seen.toReversed()) {
      const cpuBefore = process.cpuUsage();
      const startedMs = performance.now();
      await batches(through, work.turn);
      elapsedMs.push(performance.now() - startedMs);
      const { user, system } = process.cpuUsage(cpuBefore);
      cpuMs.push((user + system) / 1000);
    }
  }
  const [inClear, overTls] = seen.map(({ elapsedMs, cpuMs }) => ({
    elapsedMs: spread(elapsedMs).median * rounds,
    cpuMs: spread(cpuMs).median * rounds,
  }));
  return { ...inClear, overTls, sent: rounds * work.turn };
}

async function openOverTls() {
  const { address, ca } = plan.tls;
  const opened = await open({ ...plan, brokers: address, ca });
  await opened.send(null, values[0], 0);
  return opened;
}

/** Batches made by the caller, as many at a time as the work set says. */
async function batches(through = client, count = plan.count) {
  const { batch, outstanding } = work;
  let next = 0;
  const run = async () => {
    while (next < count) {
      const from = next;
      next += batch;
      const records = [];
      for (let i = from; i < next; i++) records.push(through.record(keyOf(i), valueOf(i), headersOf(i)));
      sent += batch;
      try {
        await through.sendBatch(records);
        settled += batch;
      } catch (error) {
        settled += batch;
        failed += batch;
        firstError ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: outstanding }, run));
}

/** Sends without waiting, but for a turn of the event loop after each 1,000, and for room in the window if it has one. */
async function burst() {
  const { window = Infinity, written } = work;
  for (let i = 0; i < plan.count; i++) {
    if (i % 1_000 === 0) await nextTurn();
    while (sent - settled >= window) await changed();
    sent++;
    client.send(keyOf(i), valueOf(i), written === undefined ? undefined : i % written).then(onDelivered, onFailed);
  }
  await allSettled();
}

/** Sends without promises; the client says when it is full, and when everything is out. */
async function produce() {
  const report = work.reports ? onDelivery : undefined;
  for (let i = 0; i < plan.count; i++) {
    if (i % 1_000 === 0) await nextTurn();
    while (!client.produce(keyOf(i), valueOf(i), report)) await client.ready();
    sent++;
  }
  await client.flush();
  if (report === undefined) settled = sent;
  else await allSettled();
}

/** Callers that each await one record at a time. */
async function callers() {
  const each = Math.ceil(plan.count / work.callers);
  await Promise.all(Array.from({ length: work.callers }, async (_, caller) => {
    for (let i = 0; i < each; i++) {
      sent++;
      try {
        await client.send(keyOf(i), valueOf(caller + i));
        settled++;
      } catch (error) {
        onFailed(error);
      }
    }
  }));
}

/**
 * A fixed number of records a second, whatever the client does. Each ms has its share; a tick that comes late sends
 * what is due. `call` is from the call of send to the outcome, `due` from the ms that the record was due in.
 */
async function openLoop() {
  const total = plan.count;
  const call = new Latencies(total);
  const due = new Latencies(total);
  const perMs = work.perSecond / 1000;
  const beginMs = performance.now();
  while (sent < total) {
    const target = Math.min(total, Math.floor((performance.now() - beginMs) * perMs) + 1);
    while (sent < target) {
      const dueMs = beginMs + Math.floor(sent / perMs);
      const calledMs = performance.now();
      const done = () => {
        const nowMs = performance.now();
        call.add(nowMs - calledMs);
        due.add(nowMs - dueMs);
        onDelivered();
      };
      client.send(keyOf(sent), valueOf(sent)).then(done, onFailed);
      sent++;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.race([allSettled(), new Promise((resolve) => setTimeout(resolve, 30_000))]);
  return { latencyMs: call.summary(), latencyFromDueMs: due.summary() };
}

/**
 * The broker is stopped by whoever reads the marks on standard output. The caller makes a fresh value for each record,
 * as callers do, and never looks at the outcome before it makes the next. A record that a full client doesn't take
 * counts as refused, not as failed. Recovered is when all that was handed over before the broker came back has its
 * outcome.
 */
async function stall() {
  const beginMs = performance.now();
  const marks =
    /** @type {[number, string | undefined][]} */ ([[2_000, "@@stop"], [22_000, "@@continue"], [24_000, undefined]]);
  let made = 0;
  let refused = 0;
  let marked = 0;
  let continuedMs;
  let sentBefore = Infinity;
  let recoverMs;
  const onRejected = (error) => {
    if (error?.name === "BufferFullError" || /queue full/i.test(error?.message)) {
      refused++;
      sent--;
      if (continuedMs === undefined || sentBefore > sent) sentBefore--;
      wakeWaiter();
    } else onFailed(error);
  };
  const look = () => {
    if (recoverMs === undefined && settled >= sentBefore) recoverMs = performance.now() - continuedMs;
  };
  for (;;) {
    const atMs = performance.now() - beginMs;
    if (atMs >= marks[marked][0]) {
      const [, mark] = marks[marked++];
      if (mark === undefined) break;
      process.stdout.write(`${mark}\n`);
      if (mark === "@@continue") [continuedMs, sentBefore] = [performance.now(), sent];
    }
    const target = Math.floor(atMs * work.perSecond / 1000);
    for (let n = 0; made < target && n < 1_000; n++, made++) {
      const value = copyOf(values[made % values.length]);
      if (!work.produce) {
        sent++;
        client.send(null, value).then(onDelivered, onRejected);
      } else if (client.produce(null, value, onDelivery)) sent++;
      else refused++;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    look();
  }
  for (const deadlineMs = performance.now() + 60_000; settled < sent && performance.now() < deadlineMs;) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    look();
  }
  return { refused, unsettled: sent - settled, recoverMs };
}

/** A value of its own, as a caller has who makes one for each record. */
function copyOf(value) {
  return plan.text ? `${sent}`.padEnd(16) + value.slice(16) : Buffer.from(value);
}

function onDelivery(error) {
  if (error === null || error === undefined) onDelivered();
  else onFailed(error);
}

function keyOf(i) {
  return keys === undefined ? null : keys[i % keys.length];
}

function valueOf(i) {
  return values[i % values.length];
}

/** An object of its own for each record, as callers have. */
function headersOf(i) {
  return work.headers
    ? { "traceparent": traceparents[i % traceparents.length], "content-type": "text/plain" }
    : undefined;
}

/** Views of one file, which every client in every language reads. */
function readValues() {
  const bytes = readFileSync(plan.values);
  return Array.from(
    { length: bytes.length / work.bytes },
    (_, i) => bytesOrText(bytes.subarray(i * work.bytes, (i + 1) * work.bytes)),
  );
}

/** Bytes for everybody but a client that takes nothing but strings. */
function bytesOrText(bytes) {
  return plan.text || work.text ? bytes.latin1Slice() : bytes;
}

function maxRssMiB() {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
  } catch {
    return process.resourceUsage().maxRSS / 1024; // no Linux
  }
}
