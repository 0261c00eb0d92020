import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

test("metrics: a producer that has done nothing has a success rate of 1 and all of its memory", () => {
  const { producer } = stage();
  assert.deepEqual(producer({ bufferMemory: 1_000_000 }).metrics(), {
    records_sent: 0,
    bytes_sent: 0,
    batches_sent: 0,
    requests_sent: 0,
    errors: 0,
    retries: 0,
    success_rate: 1,
    records_pending: 0,
    batches_pending: 0,
    "record-send-rate": 0,
    "record-error-rate": 0,
    "compression-rate-avg": 1,
    "batch-size-avg": 0,
    "records-per-request-avg": 0,
    "request-latency-avg": 0,
    "request-latency-p50": 0,
    "request-latency-p95": 0,
    "request-latency-p99": 0,
    "record-latency-p50": 0,
    "record-latency-p95": 0,
    "record-latency-p99": 0,
    "record-queue-time-avg": 0,
    "produce-throttle-time-avg": 0,
    "bufferpool-wait-time": 0,
    "buffer-available-bytes": 1_000_000,
    "buffer-total-bytes": 1_000_000,
    "requests-in-flight": 0,
    brokers: [],
  });
});

test("metrics: records, batches, requests, bytes, retries, errors and latency are counted as they happened", async () => {
  const { cluster, producer, run, runtime } = stage();
  cluster.network.configure({ latencyMs: 5 });
  const p = producer({ lingerMs: 1 });
  await run(p.partitionsFor("orders"));
  await run(p.connect());
  const send = (count: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, (_, i) => p.send({ topic: "orders", partition: i % 3, value: "v" })));
  await run(send(30));
  const first = p.metrics();
  const stored = [0, 1, 2].flatMap((i) => cluster.partition("orders", i).log.batches.map(({ bytes }) => bytes.length));
  assert.equal(first.records_sent, 30);
  assert.equal(first.requests_sent, 1);
  assert.equal(first.batches_sent, 3);
  assert.equal(first.bytes_sent, stored.reduce((sum, size) => sum + size));
  assert.equal(first["batch-size-avg"], first.bytes_sent / 3);
  assert.equal(first["records-per-request-avg"], 30);
  assert.equal(first["request-latency-avg"], 10);
  assert.equal(first["compression-rate-avg"], 1);

  cluster.control(Produce, { error: 6 }, { times: 1 });
  await run(send(3));
  cluster.control(Produce, { error: 44 }, { times: 1 });
  const failed = Promise.allSettled([p.send({ topic: "orders", partition: 0, value: "v" })]);
  await runtime.advance(2);
  const middle = p.metrics();
  assert.deepEqual([middle["requests-in-flight"], middle.records_pending], [1, 1]);
  assert.ok(middle["buffer-available-bytes"] < middle["buffer-total-bytes"]);
  await run(failed);
  const last = p.metrics();
  assert.deepEqual(
    [last.records_sent, last.errors, last.retries, last.requests_sent, last.success_rate],
    [33, 1, 3, cluster.requestsOf(Produce).length, 33 / 34],
  );
  assert.deepEqual([last["requests-in-flight"], last.records_pending], [0, 0]);
  assert.equal(last["buffer-available-bytes"], last["buffer-total-bytes"]);
  await run(p.close());
});

test("metrics: waiting for metadata or memory is pending, with no record in any request", async () => {
  const { producer, run, runtime } = stage();
  const p = producer({ bufferMemory: 500, maxBlockMs: 100 });
  const all = Promise.allSettled(
    Array.from({ length: 9 }, () => p.send({ topic: "missing", value: "v".repeat(100) })),
  );
  await runtime.advance(50);
  assert.equal(p.metrics().records_pending, 9);
  assert.equal(p.metrics().requests_sent, 0);
  await run(all);
  assert.deepEqual([p.metrics().records_pending, p.metrics().errors, p.metrics().success_rate], [0, 9, 0]);
  await run(p.close());
});

test("metrics: acks 0 counts what was handed to the socket", async () => {
  const { producer, run } = stage();
  const p = producer({ acks: 0 });
  await run(Promise.all(Array.from({ length: 10 }, () => p.send({ topic: "orders", value: "v" }))));
  assert.equal(p.metrics().records_sent, 10);
  assert.equal(p.metrics()["requests-in-flight"], 0);
  await run(p.close());
});

test("metrics: a snapshot is plain, goes through JSON and doesn't change later", async () => {
  const { producer, run } = stage();
  const p = producer();
  const before = p.metrics();
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(before.records_sent, 0);
  assert.deepEqual(JSON.parse(JSON.stringify(p.metrics())), p.metrics());
  await run(p.close());
});

test("metrics: rates are of the last 30 seconds, totals of the whole life", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ retries: 0 });
  await run(p.partitionsFor("orders"));
  const perSecond = async (good: number, bad: number): Promise<void> => {
    const sends = Array.from({ length: good }, () => p.send({ topic: "orders", partition: 0, value: "v" }));
    await run(Promise.all(sends));
    if (bad > 0) {
      cluster.control(Produce, { error: 44 }, { times: 1 });
      const failed = Array.from({ length: bad }, () => p.send({ topic: "orders", partition: 1, value: "v" }));
      await run(Promise.allSettled(failed));
    }
    await runtime.advance(1_000);
  };
  await perSecond(10, 5);
  const young = p.metrics();
  assert.ok(young["record-send-rate"] <= 10 && young["record-send-rate"] > 9, "no second is shorter than one");
  assert.ok(young["record-error-rate"] <= 5 && young["record-error-rate"] > 4);
  for (let second = 0; second < 60; second++) await perSecond(20, 0);
  const steady = p.metrics();
  assert.ok(Math.abs(steady["record-send-rate"] - 20) < 1, String(steady["record-send-rate"]));
  assert.equal(steady["record-error-rate"], 0);
  assert.deepEqual([steady.records_sent, steady.errors], [10 + 60 * 20, 5]);
  assert.equal(steady["records-per-request-avg"], 20);
  await runtime.advance(31_000);
  const idle = p.metrics();
  assert.deepEqual(
    [idle["record-send-rate"], idle["batch-size-avg"], idle["request-latency-avg"], idle["compression-rate-avg"]],
    [0, 0, 0, 1],
  );
  assert.deepEqual([idle["request-latency-p99"], idle["record-latency-p50"]], [0, 0]);
  assert.equal(idle.records_sent, steady.records_sent);
  await run(p.close());
});

test("metrics: quantiles of latency are within 3 % of what happened, and forget", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer();
  await run(p.send({ topic: "orders", partition: 0, value: "warm" }));
  await runtime.advance(60_000);
  let sent = 0;
  cluster.control(Produce, () => ({ answerDelayMs: ++sent <= 80 ? 10 : sent <= 98 ? 100 : 1_000 }));
  for (let i = 0; i < 100; i++) await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const metrics = p.metrics();
  const isNear = (value: number, wanted: number): boolean => Math.abs(value / wanted - 1) < 0.03;
  for (const kind of ["request", "record"] as const) {
    assert.ok(isNear(metrics[`${kind}-latency-p50`], 10), `${metrics[`${kind}-latency-p50`]}`);
    assert.ok(isNear(metrics[`${kind}-latency-p95`], 100), `${metrics[`${kind}-latency-p95`]}`);
    assert.ok(isNear(metrics[`${kind}-latency-p99`], 1_000), `${metrics[`${kind}-latency-p99`]}`);
  }
  sent = 0;
  await runtime.advance(30_000);
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.ok(isNear(p.metrics()["request-latency-p99"], 10), "slow ones are long ago");
  await run(p.close());
});

test("metrics: time in the queue, time waiting for memory and time that a broker asks for", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ lingerMs: 40, bufferMemory: 1_000 });
  await run(p.partitionsFor("orders"));
  await run(p.connect());
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(p.metrics()["record-queue-time-avg"], 40);
  assert.equal(p.metrics()["produce-throttle-time-avg"], 0);
  assert.equal(p.metrics()["bufferpool-wait-time"], 0);
  cluster.control(Produce, { answerDelayMs: 250 }, { times: 1 });
  const sends = [800, 800].map((bytes) => p.send({ topic: "orders", partition: 0, value: "v".repeat(bytes) }));
  await runtime.advance(100);
  assert.equal(p.metrics()["bufferpool-wait-time"], 0, "it still waits");
  await run(Promise.all(sends));
  assert.equal(p.metrics()["bufferpool-wait-time"], 250);
  cluster.control(Produce, {
    respond: {
      responses: [{
        name: "orders",
        topicId: cluster.topic("orders")!.id,
        partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 3n }],
      }],
      throttleTimeMs: 80,
    },
  }, { times: 1 });
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(p.metrics()["produce-throttle-time-avg"], 80 / p.metrics().requests_sent);
  await run(p.close());
});

test("metrics: what is pending is told in records and in batches", async () => {
  const { producer, run } = stage();
  const p = producer({ lingerMs: 1_000 });
  await run(p.partitionsFor("orders"));
  const sends = Array.from({ length: 9 }, (_, i) => p.send({ topic: "orders", partition: i % 3, value: "v" }));
  assert.deepEqual([p.metrics().records_pending, p.metrics().batches_pending], [9, 3]);
  await run(Promise.all(sends));
  assert.deepEqual([p.metrics().records_pending, p.metrics().batches_pending], [0, 0]);
  await run(p.close());
});
