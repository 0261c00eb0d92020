import assert from "node:assert/strict";
import { formatProgress } from "../../src/cli/progress.ts";
import { formatBytes, formatCount, formatSummary, formatTable, summarize } from "../../src/cli/summary.ts";
import { Tally } from "../../src/cli/tally.ts";
import { DeliveryTimeoutError } from "../../src/errors.ts";
import { test } from "../harness.ts";

const run = {
  topic: "flights",
  runtime: "node 20.0.0",
  compression: "gzip",
  elapsedMs: 2000,
  interrupted: false,
  traffic: { batches: 2, requests: 1, retries: 0, compressionRatio: 0.25 },
};

function tallyOf(partitions: readonly number[]): Tally {
  const tally = new Tally();
  const next = new Map<number, bigint>();
  for (const partition of partitions) {
    const offset = next.get(partition) ?? 100n;
    next.set(partition, offset + 1n);
    tally.taken++;
    tally.deliver({ topic: "flights", partition, offset }, 10, 5);
  }
  return tally;
}

test("cli summary: counts, rates, latency and the offsets of every partition", () => {
  const summary = summarize(tallyOf([2, 0, 2, 2]), run);
  assert.deepEqual(summary, {
    topic: "flights",
    runtime: "node 20.0.0",
    records: 4,
    failed: 0,
    possiblyPersisted: 0,
    bytes: 40,
    seconds: 2,
    recordsPerSecond: 2,
    bytesPerSecond: 20,
    batches: 2,
    requests: 1,
    retries: 0,
    compression: "gzip",
    compressionRatio: 0.25,
    latencyMs: { p50: 5, p99: 5, max: 5 },
    partitions: [
      { topic: "flights", partition: 0, records: 1, firstOffset: "100", lastOffset: "100" },
      { topic: "flights", partition: 2, records: 3, firstOffset: "100", lastOffset: "102" },
    ],
    errors: [],
    interrupted: false,
  });
  assert.equal(
    formatSummary(summary),
    "Delivered 4 records (40 B) to flights in 2.00 s: 2 records/s, 20 B/s\n" +
      "  2 batches of 2 records on average, 1 request, gzip to 25.0 % of the size\n" +
      "  latency p50 5.00 ms, p99 5.00 ms, max 5.00 ms\n" +
      "  partition  records  offsets\n" +
      "          0        1  100 to 100\n" +
      "          2        3  100 to 102\n",
  );
});

test("cli summary: records of a batch on average are as many as there were, with a decimal where they are few", () => {
  const lineOf = (records: number, batches: number) =>
    formatSummary(
      summarize(tallyOf(new Array<number>(records).fill(0)), { ...run, traffic: { ...run.traffic, batches } }),
    )
      .split("\n")[1];
  assert.match(lineOf(3, 2)!, /^ {2}2 batches of 1\.5 records on average, /);
  assert.match(lineOf(1, 1)!, /^ {2}1 batch of 1 record on average, /);
  assert.match(lineOf(101, 100)!, /^ {2}100 batches of 1 record on average, /);
  assert.match(lineOf(125, 10)!, /^ {2}10 batches of 13 records on average, /);
});

test("cli summary: failures are counted by kind, with those that may be in the log", () => {
  const tally = tallyOf([0]);
  for (const persisted of ["no", "possibly", "possibly"] as const) {
    tally.taken++;
    tally.fail(new DeliveryTimeoutError("Too late", { persisted }));
  }
  tally.taken++;
  tally.fail("odd");
  assert.equal(tally.pending, 0);
  const summary = summarize(tally, { ...run, interrupted: true });
  assert.equal(summary.failed, 4);
  assert.equal(summary.possiblyPersisted, 2);
  assert.deepEqual(summary.errors, [
    { code: "DELIVERY_TIMEOUT", message: "Too late", records: 3 },
    { code: "ERROR", message: "odd", records: 1 },
  ]);
  assert.match(formatSummary(summary), /^Interrupted: delivered 1 record \(10 B\)/);
  assert.match(formatSummary(summary), /not delivered 4, 2 of them possibly in the log/);
});

test("cli summary: offsets that no broker told are unknown, offsets past 2^53 are exact", () => {
  const tally = new Tally();
  tally.deliver({ topic: "t", partition: 0, offset: -1n }, 1, 1);
  tally.deliver({ topic: "t", partition: 1, offset: 9_007_199_254_740_993n }, 1, 1);
  const summary = summarize(tally, {
    ...run,
    traffic: { batches: null, requests: null, retries: null, compressionRatio: null },
  });
  assert.equal(summary.partitions[0]!.firstOffset, null);
  assert.equal(summary.partitions[1]!.lastOffset, "9007199254740993");
  assert.match(formatSummary(summary), /0 {8}1 {2}unknown/);
});

test("cli summary: nothing delivered divides by nothing", () => {
  const summary = summarize(new Tally(), { ...run, elapsedMs: 0 });
  assert.equal(summary.recordsPerSecond, 0);
  assert.deepEqual(summary.latencyMs, { p50: 0, p99: 0, max: 0 });
  assert.match(formatSummary(summary), /^Delivered 0 records \(0 B\)/);
});

test("cli summary: numbers, bytes and tables are easy to read", () => {
  assert.deepEqual([0, 999, 1000, 1234567].map(formatCount), ["0", "999", "1,000", "1,234,567"]);
  assert.deepEqual([0, 999, 1000, 9_863_892, 12e9].map(formatBytes), ["0 B", "999 B", "1.0 kB", "9.9 MB", "12.0 GB"]);
  assert.deepEqual(formatTable([["a", "b"], ["100", "x"]]), ["  a  b", "100  x"]);
});

test("cli progress: one line of at most 80 columns, with a bar when the size is known", () => {
  const state = {
    delivered: 150_000,
    pending: 50_000,
    failed: 0,
    bytes: 6_000_000,
    readBytes: 9_000_000,
    totalBytes: 9_000_000,
    elapsedMs: 1500,
  };
  assert.equal(
    formatProgress(state),
    "████████████░░░░  75 % 150,000 records · 6.0 MB · 100,000/s · 50,000 pending",
  );
  assert.equal(formatProgress(state).length <= 80, true);
  assert.match(formatProgress({ ...state, totalBytes: undefined, delivered: 1 }), /^1 record · /);
  assert.equal(
    formatProgress({ ...state, totalBytes: undefined, failed: 3 }),
    "150,000 records · 6.0 MB · 100,000/s · 50,000 pending · 3 failed",
  );
});
