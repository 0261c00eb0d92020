/**
 * The work sets: what each client is asked to do. Letters are those of docs/benchmarks.md.
 *
 * `kind` is what the drivers know how to do; the rest are its numbers. Nothing here knows a client. Where somebody
 * waits for each record or batch, and in the open loop, gathering by time (linger) is off in every client; elsewhere it
 * is what the client does unless told otherwise.
 */

/** Keys and values are strings, and each record has headers of its own: what tracing makes of any application. */
const annotated = { keys: 1_000, text: true, headers: true };

/**
 * What a work set may say; `workNamed` fills in the rest.
 *
 * @typedef {Record<string, any> & { title: string, kind: string, brokers?: string[] }} Work
 * @type {Record<string, Work>}
 */
export const works = {
  A: {
    title: "single sends, each awaited, acks 0",
    kind: "awaited",
    linger: 0,
    count: 20_000,
    bytes: 100,
    acks: 0,
    partitions: 1,
  },
  B: {
    title: "batches of 100, each awaited, acks 0",
    kind: "batches",
    count: 200_000,
    batch: 100,
    outstanding: 1,
    linger: 0,
    bytes: 100,
    acks: 0,
    partitions: 1,
  },
  Ah: {
    title: "A with text and two headers",
    kind: "awaited",
    linger: 0,
    count: 20_000,
    bytes: 100,
    acks: 0,
    partitions: 1,
    ...annotated,
  },
  Bh: {
    title: "B with text and two headers",
    kind: "batches",
    count: 200_000,
    batch: 100,
    outstanding: 1,
    linger: 0,
    bytes: 100,
    acks: 0,
    partitions: 1,
    ...annotated,
  },
  C: {
    title: "batches of 100 × 1 KiB, each awaited, acks all",
    kind: "batches",
    count: 10_000,
    batch: 100,
    outstanding: 1,
    linger: 0,
    bytes: 1024,
  },
  Cl: {
    title: "C with 200,000 records",
    kind: "batches",
    count: 200_000,
    batch: 100,
    outstanding: 1,
    linger: 0,
    bytes: 1024,
  },
  D: { title: "500,000 un-awaited sends × 256 B", kind: "burst", count: 500_000, bytes: 256 },
  D1: { title: "D into one partition", kind: "burst", count: 500_000, bytes: 256, partitions: 1 },
  Dw: { title: "D with at most 10,000 outstanding", kind: "burst", count: 500_000, bytes: 256, window: 10_000 },
  Dp: { title: "D without promises", kind: "produce", count: 500_000, bytes: 256, sluiceOnly: true },
  Do: {
    title: "D, looked at: an interceptor, the hooks of batches and requests, and their channels",
    kind: "burst",
    count: 500_000,
    bytes: 256,
    observed: true,
    sluiceOnly: true,
  },
  Db: {
    title: "D in batches of 1,000 made by the caller",
    kind: "batches",
    count: 500_000,
    batch: 1_000,
    outstanding: 10,
    bytes: 256,
  },
  ...perCodec(),
  F: {
    title: "1,000 callers, each awaits one 100 B record",
    kind: "callers",
    count: 300_000,
    callers: 1_000,
    bytes: 100,
  },
  F10: { title: "10 callers, each awaits one 100 B record", kind: "callers", count: 100_000, callers: 10, bytes: 100 },
  G1000: openLoop(1_000),
  G10000: openLoop(10_000),
  G50000: openLoop(50_000),
  H: {
    title: "broker stopped for 20 s, a caller that never waits, 1 KiB",
    kind: "stall",
    perSecond: 20_000,
    bytes: 1024,
    maxRuns: 3,
  },
  Hp: {
    title: "H without promises",
    kind: "stall",
    perSecond: 20_000,
    bytes: 1024,
    produce: true,
    sluiceOnly: true,
    maxRuns: 3,
  },
  I1: partitioned(1),
  I100: partitioned(100),
  I1000: partitioned(1_000),
  // Brokers take a few thousand records a second then.
  I5000: { ...partitioned(5_000), count: 50_000 },
  I12x12: {
    ...partitioned(12),
    title: "12 partitions, all written to",
    written: 12,
    sluiceOnly: true,
    brokers: ["null"],
  },
  I5000x12: { ...partitioned(5_000), title: "5,000 partitions known, 12 written to", written: 12, sluiceOnly: true },
  T100: transactions(100),
  Ti100: withoutTransactions(100),
  T1000: transactions(1_000),
  Ti1000: withoutTransactions(1_000),
  J: { title: "process start to first ack", kind: "start", linger: 0, bytes: 100, partitions: 1 },
  K: { title: "minimal program, bundled, minified, gzipped", kind: "size" },
  // Five at a time, so that hardly anybody sleeps: after that all code is slower, and a broker that has to decrypt lets
  // its clients sleep longer, which isn't what TLS costs them.
  L: {
    title: "batches of 100 × 1 KiB, five at a time, in clear and over TLS by turns, warm",
    kind: "turns",
    count: 200_000,
    turn: 4_000,
    warm: 0.5,
    batch: 100,
    outstanding: 5,
    linger: 0,
    bytes: 1024,
    partitions: 1,
    brokers: ["null"],
  },
};

/** Fills in what a work set leaves to the defaults. */
export function workNamed(name) {
  const work = works[name];
  if (work === undefined) {
    throw new Error(`There is no work set "${name}", wanted one of ${Object.keys(works).join(", ")}`);
  }
  return { name, partitions: 12, acks: "all", codec: "none", ...work };
}

function perCodec() {
  return Object.fromEntries(["none", "lz4", "snappy", "zstd", "gzip"].map((codec) => [
    `E-${codec}`,
    {
      title: `1 KiB JSON, keyed, idempotent, acks all, at most 10,000 outstanding, ${codec}`,
      kind: "burst",
      codec,
      count: codec === "gzip" ? 60_000 : 120_000,
      bytes: 1024,
      json: true,
      keys: 10_000,
      idempotent: true,
      window: 10_000,
    },
  ]));
}

function transactions(size) {
  return {
    title: `transactions of ${size.toLocaleString("en")} × 256 B, one after the other`,
    kind: "batches",
    transactional: true,
    // Each of them waits for the broker twice or more: 500 are enough.
    count: Math.min(200_000, 500 * size),
    batch: size,
    outstanding: 1,
    linger: 0,
    bytes: 256,
  };
}

function withoutTransactions(size) {
  return {
    ...transactions(size),
    title: `T${size} without transactions: batches of ${size.toLocaleString("en")}, each awaited, idempotent`,
    transactional: false,
    idempotent: true,
  };
}

function openLoop(perSecond) {
  const title = `open loop, ${perSecond.toLocaleString("en")} records a second, 256 B`;
  return { title, kind: "open-loop", linger: 0, perSecond, seconds: 10, bytes: 256 };
}

function partitioned(partitions) {
  return {
    title: `keyed, ${partitions.toLocaleString("en")} partition${partitions === 1 ? "" : "s"}`,
    kind: "burst",
    count: 200_000,
    bytes: 100,
    keys: 50_000,
    window: 20_000,
    partitions,
  };
}
