import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { stage } from "../cluster/stage.ts";
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
    "compression-rate-avg": 1,
    "batch-size-avg": 0,
    "records-per-request-avg": 0,
    "request-latency-avg": 0,
    "buffer-available-bytes": 1_000_000,
    "buffer-total-bytes": 1_000_000,
    "requests-in-flight": 0,
    records_pending: 0,
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
  cluster.control(Produce, { error: 87 }, { times: 1 });
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
