/** Compares what a reader found in a topic with what was produced, and reads Kafka's own log files. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** kafkajs keeps headers in an object: the order of names is lost, and names that every object has are garbled. */
const garbledByKafkajs = new Set(["__proto__", "constructor"]);

const codecNames = ["none", "gzip", "snappy", "lz4", "zstd"];

/** The records that kafkajs can produce: it throws on a header with a null value. */
export function forKafkajs(records) {
  return records.filter(({ headers }) =>
    headers.every(([name, value]) => value !== null && !garbledByKafkajs.has(name))
  );
}

/**
 * Differences between the records and what was read, as lines; none when all is equal.
 *
 * Every record must be there once, with key, value, headers, timestamp and, where it was named, the partition; the
 * offsets of each partition must run from 0 without a gap. `looseHeaders` forgives what kafkajs does to headers.
 */
export function compareRecords(records, found, { looseHeaders = false } = {}) {
  if (found.length === 0) {
    return [`read nothing, wanted ${records.length} records`];
  }
  const lines = [];
  const byTimestamp = new Map(records.map((record, index) => [record.timestamp, { record, index, times: 0 }]));
  for (const got of found) {
    const want = byTimestamp.get(got.timestamp);
    if (want === undefined) {
      lines.push(`partition ${got.partition} offset ${got.offset}: timestamp ${got.timestamp}, which nobody sent`);
      continue;
    }
    want.times++;
    const where = `record ${want.index} (partition ${got.partition} offset ${got.offset})`;
    const headers = looseHeaders ? groupedHeaders : JSON.stringify;
    compare(lines, `${where} key`, got.key, want.record.key);
    compare(lines, `${where} value`, got.value, want.record.value);
    compare(lines, `${where} headers`, headers(got.headers), headers(want.record.headers));
    if (want.record.partition !== null) {
      compare(lines, `${where} partition`, got.partition, want.record.partition);
    }
  }
  for (const { index, times } of byTimestamp.values()) {
    if (times !== 1) lines.push(`record ${index} was read ${times} times`);
  }
  if (found.length !== records.length) {
    lines.unshift(`read ${found.length} records, wanted ${records.length}`);
  }
  for (const [partition, inPartition] of byPartition(found)) {
    const gap = inPartition.findIndex(({ offset }, at) => offset !== at);
    if (gap >= 0) {
      lines.push(`partition ${partition}: offset ${inPartition[gap].offset}, wanted ${gap}`);
    }
  }
  return lines;
}

/** Differences between the order of the sends and the order within each partition, as lines. */
export function compareOrder(records, found) {
  const index = new Map(records.map(({ timestamp }, at) => [timestamp, at]));
  const lines = [];
  for (const [partition, inPartition] of byPartition(found)) {
    let before = -1;
    for (const { offset, timestamp } of inPartition) {
      const at = index.get(timestamp) ?? -1;
      if (at < before) {
        lines.push(`partition ${partition} offset ${offset}: record ${at} after record ${before}`);
      }
      before = at;
    }
  }
  return lines;
}

/** Differences between what `send` resolved to and what lies in the log, as lines. */
export function compareMetadata(records, found, results, acks) {
  if (results === undefined) return ["the producer reported nothing"];
  const lines = [];
  const where = new Map(found.map((each) => [each.timestamp, each]));
  records.forEach(({ timestamp }, index) => {
    const [partition, offset, resolved, delivery] = results[index] ?? [];
    const got = where.get(timestamp);
    compare(lines, `record ${index} partition`, partition, got?.partition);
    compare(lines, `record ${index} offset`, offset, acks === 0 ? -1 : got?.offset);
    compare(lines, `record ${index} timestamp`, resolved, timestamp);
    compare(lines, `record ${index} delivery`, delivery, acks === 0 ? "unacknowledged" : "acked");
  });
  return lines;
}

/** Differences between the partitions of keyed records and those that the Java producer chose, as lines. */
export function comparePartitions(records, found, javaPartitions) {
  const lines = [];
  const where = new Map(found.map((each) => [each.timestamp, each.partition]));
  records.forEach(({ key, partition, timestamp }, index) => {
    if (key === null || partition !== null) return;
    compare(lines, `record ${index} with key ${key}: partition`, where.get(timestamp), javaPartitions[index]);
  });
  return lines;
}

/** Differences between the codec of the batches in a broker's log files and the wanted one, as lines. */
export function compareCodec(dataDir, topic, partitions, codec) {
  const seen = new Map();
  for (let partition = 0; partition < partitions; partition++) {
    const path = join(dataDir, `${topic}-${partition}`, "00000000000000000000.log");
    if (!existsSync(path)) {
      return [`there is no ${topic}-${partition} in the broker's log folder`];
    }
    const log = readFileSync(path);
    for (
      let at = 0;
      at + 61 <= log.length && log.readInt32BE(at + 8) > 0;
      at += 12 + log.readInt32BE(at + 8)
    ) {
      if (log[at + 16] !== 2) {
        return [`${topic}-${partition}: magic ${log[at + 16]}, wanted 2`];
      }
      const name = codecNames[log.readInt16BE(at + 21) & 7];
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  // A batch that compression makes larger may be left as it is.
  const strange = [...seen.keys()].filter((name) => name !== codec && name !== "none");
  if (seen.has(codec) && strange.length === 0) return [];
  return [`batches in the log by codec: ${JSON.stringify(Object.fromEntries(seen))}, wanted ${codec}`];
}

function byPartition(found) {
  const partitions = new Map();
  for (const each of found) {
    if (!partitions.has(each.partition)) partitions.set(each.partition, []);
    partitions.get(each.partition).push(each);
  }
  for (const each of partitions.values()) {
    each.sort((a, b) => a.offset - b.offset);
  }
  return partitions;
}

function groupedHeaders(pairs) {
  const groups = new Map();
  for (const [name, value] of pairs) {
    if (garbledByKafkajs.has(name)) continue;
    groups.set(name, [...groups.get(name) ?? [], value]);
  }
  return JSON.stringify([...groups].sort(([a], [b]) => a < b ? -1 : 1));
}

function compare(lines, what, got, want) {
  if (got !== want) {
    lines.push(`${what}: got ${short(got)}, wanted ${short(want)}`);
  }
}

function short(value) {
  const text = typeof value === "string" ? `"${value}"` : String(value);
  return text.length > 120 ? `${text.slice(0, 120)}… (${text.length} characters)` : text;
}
