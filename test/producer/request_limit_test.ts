import assert from "node:assert/strict";
import { RequestLimit } from "../../src/producer/sender/request_limit.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { EmbeddedCluster } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { sentBatches, valuesIn, watch } from "./wire.ts";

/** How large the requests were that the broker served, in bytes of batches. */
function servedBytes(cluster: EmbeddedCluster): number[] {
  return cluster.requestsOf(Produce).map(({ body }) =>
    body.topicData.flatMap(({ partitionData }) => partitionData).reduce((sum, { records }) => sum + records!.length, 0)
  );
}

function texts(count: number, bytes: number): string[] {
  return Array.from({ length: count }, (_, index) => `${index}:`.padEnd(bytes, "x"));
}

test("request limit: when a broker hangs up on a large request, its batches go in smaller ones", async () => {
  const staged = stage({ topics: { orders: 20 }, maxRequestBytes: 20_000 });
  const warnings: string[] = [];
  const producer = staged.producer({ logger: { warn: (event) => warnings.push(event) }, deliveryTimeoutMs: 10_000 });
  const sendAll = () =>
    staged.run(
      Promise.all(Array.from({ length: 20 }, (_, partition) => {
        return producer.send({ topic: "orders", partition, value: "x".repeat(3_000) });
      })),
    );
  await sendAll();
  assert.equal(staged.runtime.now() < 2_000, true, `it took ${staged.runtime.now()} ms`);
  // In the first round most batches went alone, each after a backoff of its own; the limit is found in the next two.
  for (let round = 0; round < 2; round++) await sendAll();
  assert.ok(warnings.includes("request_cut"));
  const { dials } = staged.cluster.network;
  staged.cluster.clearRequests();
  await sendAll();
  assert.equal(staged.cluster.network.dials, dials, "the connection was cut again");
  const served = servedBytes(staged.cluster);
  assert.ok(Math.max(...served) > 4_000 && served.length < 20, `requests of ${served} bytes`);
  for (let partition = 0; partition < 20; partition++) {
    assert.equal((await valuesIn(staged.cluster, "orders", partition)).length, 4);
  }
  await staged.run(producer.close());
});

test("request limit: what a request has beside its batches counts, so many small ones get through too", async () => {
  const staged = stage({ topics: { orders: 200 }, maxRequestBytes: 5_000 });
  const producer = staged.producer({ deliveryTimeoutMs: 10_000, retryBackoffMs: 5, retryBackoffMaxMs: 5 });
  const record = (partition: number) => ({ topic: "orders", partition, value: "x" });
  await staged.run(Promise.all(Array.from({ length: 200 }, (_, partition) => producer.send(record(partition)))));
  for (let partition = 0; partition < 200; partition++) {
    assert.equal((await valuesIn(staged.cluster, "orders", partition)).length, 1);
  }
  await staged.run(producer.close());
});

for (
  const [kind, options] of Object.entries(
    {
      "an idempotent producer": {},
      "a producer without sequences": { idempotent: false },
      "a producer with one request in flight": { maxInFlight: 1 },
      "a producer with lz4": { compression: "lz4" },
    } as const,
  )
) {
  test(`request limit: a batch that is too large for the broker arrives in parts, in order, from ${kind}`, async () => {
    const staged = stage({ topics: { orders: 1 }, maxRequestBytes: 20_000 });
    const suspicions: unknown[] = [];
    const producer = staged.producer({
      ...options,
      deliveryTimeoutMs: 20_000,
      hooks: { onDataLossSuspected: (event) => suspicions.push(event) },
    });
    // Hardly compressible, so that the codec makes no difference.
    const values = texts(100, 8).map((id) => `${id}${Array.from({ length: 900 }, randomLetter).join("")}`);
    const told: string[] = [];
    for (const value of values) {
      producer.send({ topic: "orders", value }, { onDelivery: (error) => told.push(error?.code ?? value) })
        .catch(() => {});
    }
    await staged.run(producer.flush());
    assert.deepEqual(told.map((value) => value.slice(0, 8)), values.map((value) => value.slice(0, 8)));
    const stored = await valuesIn(staged.cluster, "orders", 0);
    assert.equal(stored.join() === values.join(), true, `${stored.length} records are stored`);
    assert.deepEqual(suspicions, []);
    const metrics = producer.metrics();
    assert.equal(metrics["buffer-available-bytes"], metrics["buffer-total-bytes"]);
    await staged.run(producer.close());
  });
}

let letters = 1;
function randomLetter(): string {
  letters = (letters * 48_271) % 2_147_483_647;
  return String.fromCharCode(97 + (letters % 26));
}

test("request limit: batches that haven't been sent yet are divided before they are numbered", async () => {
  const staged = stage({ topics: { orders: 1 }, maxRequestBytes: 20_000 });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000 });
  await staged.run(Promise.all(texts(50, 1_000).map((value) => producer.send({ topic: "orders", value }))));
  staged.cluster.clearRequests();
  const dials = staged.cluster.network.dials;
  await staged.run(Promise.all(texts(50, 1_000).map((value) => producer.send({ topic: "orders", value }))));
  assert.equal(staged.cluster.network.dials, dials, "the connection was cut again");
  const batches = sentBatches(staged.cluster);
  assert.deepEqual(new Set(batches.map(({ epoch }) => epoch)), new Set([0]));
  assert.ok(batches.length > 1);
  await staged.run(producer.close());
});

test("request limit: a single record that is too large fails at its deadline with the size and the options", async () => {
  const staged = stage({ topics: { orders: 2 }, maxRequestBytes: 20_000 });
  const producer = staged.producer({ deliveryTimeoutMs: 3_000, requestTimeoutMs: 500 });
  const large = watch(staged, producer.send({ topic: "orders", partition: 0, value: "x".repeat(30_000) }));
  await staged.runtime.advance(3_500);
  assert.deepEqual([large.error?.code, large.error?.persisted], ["DELIVERY_TIMEOUT", "possibly"]);
  assert.equal(large.atMs, 3_000);
  const { message } = large.error!;
  for (const wanted of [/30,?[12]\d\d bytes/, /"batchSize"/, /"maxRequestSize"/, /"socket\.request\.max\.bytes"/]) {
    assert.match(message, wanted);
  }
  const after = await staged.run(producer.send({ topic: "orders", partition: 0, value: "after" }));
  assert.equal(after.offset, 0n);
  await staged.run(producer.close());
});

test("request limit: what is sent while a record that is too large is tried again and again isn't lost with it", async () => {
  const staged = stage({ topics: { orders: 10 }, maxRequestBytes: 20_000, network: { latencyMs: 20 } });
  const retried = new Map<number, number>();
  const producer = staged.producer({
    deliveryTimeoutMs: 30_000,
    lingerMs: 0,
    hooks: { onRetry: ({ partition }) => retried.set(partition, (retried.get(partition) ?? 0) + 1) },
  });
  const small = (partition: number) => producer.send({ topic: "orders", partition, value: "x".repeat(2_000) });
  await staged.run(Promise.all(Array.from({ length: 10 }, (_, partition) => small(partition))));
  const large = watch(staged, producer.send({ topic: "orders", partition: 0, value: "x".repeat(30_000) }));
  const sent: Promise<unknown>[] = [];
  // Until the broker has hung up so often that it must be the size.
  for (let turn = 0; large.state === "pending"; turn++) {
    sent.push(small(1 + turn % 9));
    await staged.runtime.advance(5);
  }
  assert.equal(large.error?.code, "RECORD_TOO_LARGE");
  await staged.run(Promise.all(sent));
  const tries = retried.get(0)!;
  const most = Math.max(...[...retried].filter(([partition]) => partition > 0).map(([, times]) => times));
  // A first end may have any reason; from the second on, the large one is alone on its connection.
  assert.ok(tries >= 4 && most <= 2, `the large one was tried again ${tries} times, a small one ${most}`);
  await staged.run(producer.close());
});

test("request limit: a broker that answers smaller requests is not asked for a record that is too large until the deadline", async () => {
  const staged = stage({ topics: { orders: 10 }, maxRequestBytes: 20_000, network: { latencyMs: 5 } });
  const producer = staged.producer({ deliveryTimeoutMs: 30_000, lingerMs: 0 });
  await staged.run(Promise.all(Array.from({ length: 10 }, (_, partition) => {
    return producer.send({ topic: "orders", partition, value: "first" });
  })));
  const large = watch(staged, producer.send({ topic: "orders", partition: 0, value: "x".repeat(30_000) }));
  await staged.runtime.advance(3_000);
  assert.equal(large.state, "pending");
  const sentMs = staged.runtime.now();
  const small = Array.from({ length: 9 }, (_, index) => {
    return watch(staged, producer.send({ topic: "orders", partition: index + 1, value: "x".repeat(2_000) }));
  });
  await staged.runtime.advance(5_000);
  assert.deepEqual(small.map(({ state, atMs }) => state === "resolved" && atMs! - sentMs < 500), Array(9).fill(true));
  assert.deepEqual([large.error?.code, large.error?.persisted, large.error?.retriable], [
    "RECORD_TOO_LARGE",
    "possibly",
    false,
  ]);
  assert.match(large.error!.message, /30,?[12]\d\d bytes.*smaller ones/);
  const after = await staged.run(producer.send({ topic: "orders", partition: 0, value: "after" }));
  assert.equal(after.offset, 1n);
  await staged.run(producer.close());
});

test("request limit: what was learnt is forgotten after a minute, and larger requests are tried again", async () => {
  const staged = stage({ topics: { orders: 1 } });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000 });
  await staged.run(producer.send({ topic: "orders", value: "first" }));
  const values = texts(40, 1_000);
  const sendAll = () => staged.run(Promise.all(values.map((value) => producer.send({ topic: "orders", value }))));
  staged.cluster.control(Produce, { drop: "before" }, { times: 3 });
  await sendAll();
  staged.cluster.clearRequests();
  await sendAll();
  assert.ok(Math.max(...servedBytes(staged.cluster)) < 25_000);
  await staged.runtime.advance(61_000);
  staged.cluster.clearRequests();
  await sendAll();
  assert.ok(Math.max(...servedBytes(staged.cluster)) > 40_000);
  await staged.run(producer.close());
});

test("request limit: one end of a connection, or ends at small requests, change nothing", async () => {
  const staged = stage({ topics: { orders: 1 } });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000 });
  await staged.run(producer.send({ topic: "orders", value: "first" }));
  staged.cluster.control(Produce, { drop: "before" }, { times: 1 });
  await staged.run(Promise.all(texts(40, 1_000).map((value) => producer.send({ topic: "orders", value }))));
  staged.cluster.control(Produce, { drop: "before" }, { times: 5 });
  await staged.run(Promise.all(texts(5, 100).map((value) => producer.send({ topic: "orders", value }))));
  assert.deepEqual(sentBatches(staged.cluster).map(({ count }) => count), [1, 40, 40, 5, 5, 5, 5, 5, 5]);
  await staged.run(producer.close());
});

test("request limit: an answer to a request of that size refutes what the ends of connections suggested", async () => {
  const staged = stage({ topics: { orders: 2 } });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000 });
  await staged.run(
    Promise.all([0, 1].map((partition) => producer.send({ topic: "orders", partition, value: "first" }))),
  );
  staged.cluster.control(Produce, { drop: "before" }, { times: 2 });
  // One record: it can't be divided, and goes through at the third attempt.
  await staged.run(producer.send({ topic: "orders", partition: 0, value: "x".repeat(30_000) }));
  staged.cluster.clearRequests();
  const sends = [0, 1].map((partition) => producer.send({ topic: "orders", partition, value: "x".repeat(25_000) }));
  await staged.run(Promise.all(sends));
  assert.deepEqual(servedBytes(staged.cluster).map((bytes) => bytes > 50_000), [true]);
  await staged.run(producer.close());
});

test("request limit: a batch that is in the log is not divided for two ends of connections that had other reasons", async () => {
  const staged = stage({ topics: { orders: 1 } });
  const events: string[] = [];
  const logger = { warn: (event: string) => events.push(event), info: (event: string) => events.push(event) };
  const producer = staged.producer({ deliveryTimeoutMs: 20_000, logger });
  await staged.run(producer.send({ topic: "orders", value: "first" }));
  staged.cluster.control(Produce, { drop: "after" }, { times: 2 });
  const results = await staged.run(
    Promise.all(texts(40, 1_000).map((value) => producer.send({ topic: "orders", value }))),
  );
  assert.deepEqual(results.map(({ offset }) => offset), results.map((_, index) => BigInt(1 + index)));
  assert.deepEqual([...new Set(results.map(({ delivery }) => delivery))], ["duplicate"]);
  assert.ok(events.includes("request_cut") && !events.includes("batch_split"), events.join());
  await staged.run(producer.close());
});

test("request limit: halves of a batch that is in the log after all are told as possibly there, and never written twice", async () => {
  const staged = stage({ topics: { orders: 1 } });
  const suspicions: unknown[] = [];
  const producer = staged.producer({
    deliveryTimeoutMs: 20_000,
    hooks: { onDataLossSuspected: (event) => suspicions.push(event) },
  });
  await staged.run(producer.send({ topic: "orders", value: "first" }));
  staged.cluster.control(Produce, { drop: "after" }, { times: 3 });
  const values = texts(40, 1_000);
  const results = await staged.run(
    Promise.allSettled(values.map((value) => producer.send({ topic: "orders", value }))),
  );
  assert.deepEqual(
    new Set(results.map((result) => result.status === "rejected" && result.reason.persisted)),
    new Set(["possibly"]),
  );
  const stored = await valuesIn(staged.cluster, "orders", 0);
  assert.equal(stored.join() === ["first", ...values].join(), true, `${stored.length} records are stored`);
  assert.deepEqual(suspicions, []);
  assert.equal((await staged.run(producer.send({ topic: "orders", value: "after" }))).offset, 41n);
  await staged.run(producer.close());
});

test("request limit: a batch that was read behind the one that is too large is told as a duplicate, with its own times", async () => {
  const staged = stage({ topics: { orders: 2 }, network: { latencyMs: 5 } });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000, retryBackoffMs: 5, retryBackoffMaxMs: 5 });
  await staged.run(Promise.all([0, 1].map((partition) => producer.send({ topic: "orders", partition, value: "1st" }))));
  let round = 0;
  staged.cluster.control(Produce, ({ topicData: [topic] }) => {
    if (topic!.partitionData[0]!.index === 1) return round === 2 ? { drop: "after" } : undefined;
    round += 1;
    return round === 1 ? { drop: "before" } : round === 2 ? { bytes: new Uint8Array(0) } : undefined;
  });
  const large = producer.send({ topic: "orders", partition: 0, value: "x".repeat(5_000) });
  await staged.runtime.runUntil(() => round === 2, 1_000);
  const times = [1_000, 2_000, 3_000];
  const behind = times.map((timestamp) => producer.send({ topic: "orders", partition: 1, value: "small", timestamp }));
  const results = await staged.run(Promise.all(behind));
  assert.deepEqual(
    results.map(({ delivery, offset, timestamp }) => [delivery, offset, timestamp]),
    times.map((timestamp, index) => ["duplicate", BigInt(index + 1), timestamp]),
  );
  assert.equal((await staged.run(large)).offset, 1n);
  assert.equal((await valuesIn(staged.cluster, "orders", 1)).length, 4);
  await staged.run(producer.close());
});

test("request limit: with gapless, the second part of a batch that may be in the log fails with the first, and isn't sent", async () => {
  const topics = { orders: { partitions: 1, config: { "cleanup.policy": "compact" } } };
  const staged = stage({ topics, maxRequestBytes: 5_000 });
  const producer = staged.producer({ gapless: true, deliveryTimeoutMs: 20_000 });
  // A compacted topic takes nothing without a key; nor has its broker heard of this producer, so that it would take the
  // second part whatever its sequence.
  const refused = watch(staged, producer.send({ topic: "orders", value: "x".repeat(3_800) }));
  const behind = watch(staged, producer.send({ topic: "orders", key: "k", value: "y".repeat(1_300) }));
  await staged.run(producer.flush());
  assert.deepEqual([refused, behind].map(({ error }) => `${error?.code} ${error?.persisted}`), [
    "INVALID_RECORD possibly",
    "EARLIER_RECORD_FAILED possibly",
  ]);
  assert.deepEqual(await valuesIn(staged.cluster, "orders", 0), []);
  await staged.run(producer.send({ topic: "orders", key: "k", value: "next" }));
  assert.deepEqual(await valuesIn(staged.cluster, "orders", 0), ["next"]);
  await staged.run(producer.close());
});

test("request limit: a flush and signals follow the parts of a divided batch", async () => {
  const staged = stage({ topics: { orders: 1 }, maxRequestBytes: 20_000 });
  const producer = staged.producer({ deliveryTimeoutMs: 20_000, lingerMs: 1_000 });
  const controller = new AbortController();
  const sends = texts(60, 1_000).map((value, index) =>
    watch(staged, producer.send({ topic: "orders", value }, index === 59 ? { signal: controller.signal } : {}))
  );
  const flushed = watch(staged, producer.flush());
  await staged.runtime.advance(50);
  controller.abort();
  await staged.runtime.advance(5_000);
  assert.equal(flushed.state, "resolved");
  assert.deepEqual(sends.map(({ state }) => state), [...Array(59).fill("resolved"), "rejected"]);
  assert.equal(sends[59]!.error?.code, "ABORTED");
  await staged.run(producer.close());
});

test("request limit: one end is no news, a second one is, a further one only if it is at a smaller request", () => {
  const limit = new RequestLimit();
  const seen = [1_024, 1_025, 5_000, 5_000, 900, 4_000].map((bytes, index) => {
    return [limit.onCut(bytes, index), limit.cuts, limit.cutBytes(index)];
  });
  assert.deepEqual(seen, [
    [false, 0, Infinity],
    [false, 1, Infinity],
    [true, 2, 1_025],
    [false, 3, 1_025],
    [false, 3, 1_025],
    [false, 4, 1_025],
  ]);
  assert.equal(limit.bytes(10), 512.5);
});

test("request limit: what was answered below the limit raises the size of requests, and at the limit refutes it", () => {
  const limit = new RequestLimit();
  limit.onAnswer(9_000);
  for (const _ of [1, 2]) limit.onCut(10_000, 0);
  assert.deepEqual([limit.isProven, limit.bytes(0)], [false, 5_000]);
  limit.onAnswer(8_000);
  limit.onAnswer(7_000);
  assert.deepEqual([limit.isProven, limit.bytes(0)], [true, 8_000]);
  limit.onCut(8_000, 0);
  assert.deepEqual([limit.isProven, limit.bytes(0)], [false, 4_000]);
  limit.onAnswer(8_000);
  assert.deepEqual([limit.cuts, limit.isProven, limit.cutBytes(0), limit.bytes(0)], [0, false, Infinity, Infinity]);
});

test("request limit: what proves true again is heeded twice as long each time, up to an hour", () => {
  const limit = new RequestLimit();
  let nowMs = 0;
  // A single end is forgotten too, and makes nothing longer.
  limit.onCut(2_000, nowMs);
  limit.onCut(2_000, nowMs += 60_000);
  assert.deepEqual([limit.cuts, limit.cutBytes(nowMs)], [1, Infinity]);
  for (const heededMs of [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000]) {
    nowMs += 4_000_000;
    limit.onAnswer(1_500);
    for (const _ of [1, 2]) limit.onCut(2_000, nowMs);
    limit.onAnswer(1_500);
    assert.equal(limit.cutBytes(nowMs + heededMs - 1), 2_000, `${heededMs}`);
    assert.deepEqual([limit.cutBytes(nowMs + heededMs), limit.cuts], [Infinity, 0], `${heededMs}`);
    assert.equal(limit.bytes(nowMs + heededMs), Infinity);
  }
  // Nothing is left of it: neither the size nor what was answered.
  for (const _ of [1, 2]) limit.onCut(6_000, nowMs + 4_000_000);
  assert.deepEqual([limit.bytes(nowMs + 4_000_000), limit.isProven], [3_000, false]);
});
