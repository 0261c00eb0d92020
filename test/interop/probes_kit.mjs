/** The topics of the probes, and what all of them need. */
import { gzipSync } from "node:zlib";

/** The topics of the probes, two partitions each, with their configs. */
export const topics = {
  plain: {},
  window: {},
  sequences: {},
  epochs: {},
  batches: {},
  "fresh-restarts": {},
  "old-restarts": {},
  records: {},
  produce: {},
  reading: {},
  appended: { "message.timestamp.type": "LogAppendTime" },
  compacted: { "cleanup.policy": "compact" },
  small: { "max.message.bytes": 1000 },
  segments: { "segment.bytes": 1_048_576, "max.message.bytes": 1_900_000 },
  transactions: {},
  "fenced-transactions": {},
  "read-transactions": {},
  walks: {},
  demanding: { "min.insync.replicas": 2 },
};

/** The same numbers for both brokers. */
export function randomOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Shorthands on top of our own modules; without any state, as both brokers are asked at the same time. */
export function probesKit(modules) {
  const { messages, batches } = modules;
  const { Fetch, ListOffsets, Produce } = messages;
  const { batchOf } = batches;
  const now = () => BigInt(Date.now());
  const dated = (batch = {}) => batchOf({ baseTimestamp: now(), ...batch });

  const bodyOf = (data, { acks = -1, timeoutMs = 1000 } = {}) => ({
    acks,
    timeoutMs,
    topicData: data.map(([topic, index, records]) => ({
      ...(/^[0-9a-f]{32}$/.test(topic) ? { topicId: topic } : { name: topic }),
      partitionData: [{ index, records }],
    })),
  });

  /** What counts of a partition's answer. */
  const described = (part, maxTimestamp) => ({
    error: part.errorCode,
    base: part.baseOffset,
    appendTime: part.logAppendTimeMs === -1n
      ? "none"
      : part.logAppendTimeMs === maxTimestamp
      ? "the batch's"
      : Math.abs(Number(part.logAppendTimeMs - now())) < 60_000
      ? "now"
      : "other",
    start: part.logStartOffset,
    records: part.recordErrors.map(({ batchIndex }) => batchIndex),
    said: part.errorMessage !== null,
  });

  /** Produces to one partition; tells what came back. */
  async function produce(
    wire,
    topic,
    records,
    /** @type {Record<string, any>} */ { version = 11, partition = 0, maxTimestamp, ...options } = {},
  ) {
    const answer = await wire.ask(Produce, version, bodyOf([[topic, partition, records]], options), options);
    if (typeof answer === "string") return answer;
    return described(answer.responses[0].partitionResponses[0], maxTimestamp);
  }

  const code = (seen) => typeof seen === "string" ? seen : seen.error;

  /** A probe that sends one batch after the other to a topic and notes the errors, and where the log ends. */
  const each = (topic, cases, options = {}) => async ({ wires }) => {
    const seen = {};
    for (const [name, records] of Object.entries(cases())) {
      const wire = await wires.open();
      const found = await produce(wire, topic, records, options);
      seen[name] = typeof found === "string" ? found : [found.error, found.records, found.said];
      wire.close();
    }
    const wire = await wires.open();
    return { ...seen, end: await endOf(wire, topic) };
  };

  async function endOf(wire, topic, partition = 0, timestamp = -1n) {
    const answer = await wire.ask(ListOffsets, 5, {
      replicaId: -1,
      topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }],
    });
    const { errorCode, offset } = answer.topics[0].partitions[0];
    return [errorCode, offset];
  }

  const gzipped = (payload, batch = {}) => dated({ attributes: 1, payload: gzipSync(payload), ...batch });

  function fetchBody(topic, asked, rest = {}) {
    const naming = /^[0-9a-f]{32}$/.test(topic) ? { topicId: topic } : { topic };
    const partitions = [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000, ...asked }];
    return {
      replicaId: -1,
      maxWaitMs: 50,
      minBytes: 1,
      maxBytes: 1_000_000,
      ...rest,
      topics: [{ ...naming, partitions }],
    };
  }

  async function fetchOne(wire, topic, fetchOffset, asked = {}) {
    const answer = await wire.ask(Fetch, 11, fetchBody(topic, { fetchOffset, ...asked }));
    return typeof answer === "string" ? { errorCode: answer } : answer.responses[0].partitions[0];
  }

  return {
    ...messages,
    ...batches,
    bodyOf,
    code,
    dated,
    described,
    each,
    endOf,
    fetchBody,
    fetchOne,
    gzipped,
    now,
    produce,
  };
}
