/** What a run was told against what is in the logs: the invariants V1 to V6. */
import { partitionOf, valueOf } from "./records.mjs";

/** How late the process itself may be, besides the stalls that it measured. */
const graceMs = 500;

/**
 * @returns `{ violations: [{ rule, text, where? }], counts }`; `where` is the partition for a look into the trace
 */
export function judge({ plan, result, log, exitedAfterMs, openConnections, trace, rules }) {
  const violations = [];
  const counts = { sent: 0, ok: 0, duplicate: 0, no: 0, possibly: 0, yes: 0, surplus: 0, noOffset: 0, worstMs: 0 };
  const blame = (rule, text, where) => violations.push({ rule, text, where });
  const copies = copiesIn(log, plan, result, blame);
  for (const producer of result.producers) {
    const { options } = plan.producers.find(({ name }) => name === producer.name);
    const idempotent = options.acks !== 1 && options.idempotent !== false;
    for (const problem of producer.problems) blame("V1", `${producer.name}: ${problem}`);
    for (const record of producer.records) {
      judgeRecord({ producer, record, options, idempotent, copies, counts, blame, rules, stallMs: result.stallMs });
    }
    judgeOrder({ producer, plan, log, idempotent: idempotent || options.maxInFlight === 1, blame, rules });
  }
  judgeRemains({ result, exitedAfterMs, openConnections, trace, blame, rules, counts });
  return { violations, counts };
}

/** Where each record is in the logs, by producer and number; complains about whatever nobody sent. */
function copiesIn(log, plan, result, blame) {
  const copies = new Map();
  const sent = new Map(result.producers.map(({ name, records }) => [name, records]));
  for (const [topic, partition, offset, timestamp, key, value, headers] of log) {
    const where = `${topic}-${partition}@${offset}`;
    const [, producer, number] = String(value).split("/");
    const record = sent.get(producer)?.[Number(number)];
    if (record === undefined) {
      blame("V5", `${where}: nobody sent "${String(value).slice(0, 60)}"`, { topic, partition });
      continue;
    }
    const wanted = {
      topic: record.topic,
      partition: record.partition ?? partitionOf(record.key, plan.partitions),
      timestamp: record.timestamp,
      key: record.key,
      value: valueOf({ ...record, producer }),
      headers: `n=${record.number}`,
    };
    const found = { topic, partition, timestamp, key, value, headers: headers.join() };
    for (const [name, value] of Object.entries(wanted)) {
      if (found[name] === value) continue;
      blame("V5", `${where}: ${name} is ${JSON.stringify(found[name])}, sent was ${JSON.stringify(value)}`, found);
    }
    const id = `${producer}/${number}`;
    if (!copies.has(id)) copies.set(id, []);
    copies.get(id).push({ partition, offset, timestamp });
  }
  return copies;
}

function judgeRecord({ producer, record, options, idempotent, copies, counts, blame, rules, stallMs }) {
  const { ok, error } = record;
  const found = copies.get(`${producer.name}/${record.number}`) ?? [];
  const tookMs = Math.round(record.settledMs - record.sentMs);
  const said = ok ? `${ok.delivery} at ${ok.partition}@${ok.offset}` : `${error?.code} ${error?.persisted}`;
  const places = found.map(({ partition, offset }) => `${partition}@${offset}`).join(", ") || "nowhere";
  const about = `${producer.name}/${record.number} sent at ${Math.round(record.sentMs)} ms, told "${said}" after ` +
    `${tookMs} ms (${error?.message ?? "no error"}), is at ${places}`;
  const where = { topic: record.topic, partition: ok?.partition ?? found[0]?.partition ?? record.partition };
  counts.sent++;
  if (record.calls !== 1 || record.promises !== 1) {
    blame("V1", `told ${record.calls} times by callback, ${record.promises} times by promise: ${about}`, where);
    return;
  }
  counts.worstMs = Math.max(counts.worstMs, tookMs);
  if (tookMs > options.deliveryTimeoutMs + graceMs + stallMs) {
    blame("V1", `too late (stalled up to ${stallMs} ms itself): ${about}`, where);
  }
  if (found.length > 1) counts.surplus += found.length - 1;
  if (ok) {
    counts.ok++;
    if (ok.delivery === "duplicate") counts.duplicate++;
    if (!rules.includes("V2")) return;
    if (idempotent ? found.length !== 1 : found.length === 0) blame("V2", `acknowledged, copies: ${about}`, where);
    const place = found.find(({ partition, offset }) => partition === ok.partition && String(offset) === ok.offset);
    if (ok.offset === "-1") counts.noOffset++;
    else if (place === undefined) blame("V2", `not where it was told: ${about}`, where);
    if (ok.timestamp !== record.timestamp) blame("V2", `told timestamp ${ok.timestamp}: ${about}`, where);
  } else {
    counts[error.persisted]++;
    if (error.persisted === "no" && found.length > 0) blame("V3", about, where);
    if (error.persisted === "possibly" && idempotent && found.length > 1) blame("V3", about, where);
    if (error.persisted === "yes" && found.length !== 1) blame("V3", about, where);
    if (rules.includes("all delivered")) blame("L", `every fault was healed in time, still: ${about}`, where);
  }
}

function judgeOrder({ producer, plan, log, idempotent, blame, rules }) {
  const partitionFor = ({ partition, key }) => partition ?? partitionOf(key, plan.partitions);
  if (rules.includes("V4") && idempotent) {
    const last = new Map();
    for (const [topic, partition, offset, , , value] of log) {
      const [, name, number] = String(value).split("/");
      if (name !== producer.name) continue;
      const id = `${topic}-${partition}`;
      const before = last.get(id);
      if (before !== undefined && before.number >= Number(number)) {
        const text = `${id}@${offset} holds ${name}/${number}, behind ${name}/${before.number}@${before.offset}`;
        blame("V4", text, { topic, partition });
      }
      last.set(id, { number: Number(number), offset });
    }
  }
  if (!rules.includes("V4")) return;
  const last = new Map();
  for (const record of producer.records) {
    // What was refused before it got into a batch is told at once.
    if (record.error?.code === "BUFFER_FULL") continue;
    const partition = partitionFor(record);
    const id = `${record.topic}-${partition}`;
    const before = last.get(id);
    if (before !== undefined && before.order > record.order) {
      const text = `${id}: ${producer.name}/${record.number} was told before ${producer.name}/${before.number}`;
      blame("V4", text, { topic: record.topic, partition });
    }
    last.set(id, record);
  }
}

function judgeRemains({ result, exitedAfterMs, openConnections, trace, blame, rules, counts }) {
  for (const error of result.unhandled) blame("V6", `unhandled: ${error}`);
  if (result.resources.length > 0) blame("V6", `left after close: ${result.resources.join(", ")}`);
  if (exitedAfterMs > 2_000) blame("V6", `the process ended ${exitedAfterMs} ms after its last line`);
  if (openConnections > 0) blame("V6", `${openConnections} connections are open after the process has ended`);
  counts.dials = result.dials.length;
  // Each producer has dialled, and behind each dial there is a socket: else the rule below proves nothing.
  if (result.dials.length > result.sockets) blame("V6", `${result.sockets} sockets for ${result.dials.length} dials`);
  const dialsOf = ({ name }) => result.dials.filter(({ producer }) => producer === name).map(({ atMs }) => atMs);
  counts.dialsPerS = Math.max(...result.producers.map((producer) => mostInASecond(dialsOf(producer))));
  for (const producer of result.producers) {
    if (dialsOf(producer).length === 0) blame("V6", `nobody counted a dial of ${producer.name}`);
  }
  counts.metadataPerS = Math.max(0, ...[...trace.metadata.values()].map(mostInASecond));
  counts.cpu = `${Math.round(100 * result.cpuMs / result.ranMs)}%`;
  counts.stallMs = result.stallMs;
  if (rules.includes("few dials") && counts.dialsPerS > 20) {
    blame("V6", `${counts.dialsPerS} connection attempts of a producer in a second`);
  }
  if (rules.includes("few dials") && counts.metadataPerS > 5) {
    blame("V6", `${counts.metadataPerS} metadata requests in a second`);
  }
  for (const text of trace.rewritten) blame("I3", text);
}

function mostInASecond(times) {
  let most = 0;
  for (let first = 0, last = 0; last < times.length; last++) {
    while (times[last] - times[first] > 1_000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
