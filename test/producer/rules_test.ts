import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { BatchView } from "../../src/testing/storage/batch_view.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { sentBatches, valuesIn, watch } from "./wire.ts";

test("rules: bytes that a closed connection still holds are not written over by another batch", async () => {
  const s = stage({ topics: { orders: 2 }, network: { latencyMs: 1 } });
  const producer = s.producer({ idempotent: false, lingerMs: 0 });
  for (const partition of [0, 1]) await s.run(producer.send({ topic: "orders", partition, value: "warm" }));
  // A request for metadata is under way that will end all connections in an orderly way.
  s.cluster.control(Metadata, {
    answerDelayMs: 20,
    respond: { errorCode: 129, brokers: [], topics: [] },
  }, { times: 1 });
  producer.send({ topic: "elsewhere", value: "v" }).catch(() => {});
  await s.runtime.advance(10);
  // This takes its time, and is sent again by a new connection, which doesn't.
  s.cluster.network.slow("broker-1.test:9092", 1_000);
  const first = watch(s, producer.send({ topic: "orders", partition: 0, value: "a".repeat(3_000) }));
  await s.runtime.advance(5);
  s.cluster.network.slow("broker-1.test:9092", 0);
  await s.runtime.advance(500);
  assert.equal(first.state, "resolved");
  for (let index = 0; index < 3; index++) {
    await s.run(producer.send({ topic: "orders", partition: 1, value: "b".repeat(3_000) }));
  }
  await s.runtime.advance(2_000);
  const kinds = (values: readonly string[]): string[] => values.map((value) => value.length > 4 ? value[0]! : value);
  assert.deepEqual(
    kinds(await valuesIn(s.cluster, "orders", 0)),
    ["warm", "a", "a"],
    "the late copy is the same record",
  );
  assert.deepEqual(kinds(await valuesIn(s.cluster, "orders", 1)), ["warm", "b", "b", "b"]);
  await s.run(producer.close({ timeoutMs: 0 }).catch(() => {}));
});

test("rules: batches of which no broker knows anything are given up together, and none is written a second time", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 2 } });
  const producer = s.producer({ lingerMs: 0 });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  s.cluster.control(Produce, { drop: "after", answerDelayMs: 10 }, { times: 1 });
  const sends = [];
  for (const value of ["1", "2"]) {
    sends.push(watch(s, producer.send({ topic: "orders", value })));
    await s.runtime.advance(1);
  }
  await s.runtime.advance(20);
  // From now on the broker knows nothing of the first epoch.
  s.cluster.control(Produce, ({ topicData }) => {
    const { producerEpoch } = new BatchView(topicData[0]!.partitionData[0]!.records!);
    return producerEpoch === 0 ? { error: 45 } : undefined;
  });
  await s.run(producer.flush());
  assert.deepEqual(
    sends.map(({ error }) => [error?.code, error?.persisted]),
    Array(2).fill(["OUTCOME_UNKNOWN", "possibly"]),
  );
  assert.equal((await s.run(producer.send({ topic: "orders", value: "after" }))).partition, 0);
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.deepEqual([
    values.filter((value) => value === "1").length,
    values.filter((value) => value === "2").length <= 1,
  ], [
    1,
    true,
  ]);
  await s.run(producer.close());
});

test("rules: the last record behind a burst leaves when its linger is over, though nothing else happens", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 20 } });
  const producer = s.producer({ lingerMs: 200, batchSize: 500, maxInFlight: 1 });
  const warm = watch(s, producer.send({ topic: "orders", value: "x".repeat(600) }));
  await s.runtime.advance(500);
  assert.equal(warm.state, "resolved");
  // One is in flight and one waits for its answer, when the last record begins a batch behind them.
  const burst = Array.from({ length: 2 }, () => watch(s, producer.send({ topic: "orders", value: "x".repeat(600) })));
  await s.runtime.advance(5);
  const last = watch(s, producer.send({ topic: "orders", value: "last" }));
  const sentMs = s.runtime.now();
  await s.runtime.advance(1_000);
  assert.deepEqual([...burst, last].map(({ state }) => state), Array(3).fill("resolved"));
  assert.equal(last.atMs, sentMs + 240);
  await s.run(producer.close());
});

test("rules: a broker that names a leader that is known already is not asked again without a pause", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 1 } });
  const producer = s.producer({ retryBackoffMs: 100, retryBackoffMaxMs: 100 });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  s.cluster.control(Produce, {
    error: 6,
    transform: (body) => ({
      ...body,
      responses: body.responses.map((topic) => ({
        ...topic,
        partitionResponses: topic.partitionResponses.map((partition) => ({
          ...partition,
          currentLeader: { leaderId: 1, leaderEpoch: 0 },
        })),
      })),
    }),
  });
  s.cluster.clearRequests();
  producer.send({ topic: "orders", value: "v" }).catch(() => {});
  await s.runtime.advance(1_000);
  const attempts = sentBatches(s.cluster).length;
  assert.ok(attempts >= 3 && attempts <= 14, `${attempts} attempts in a second`);
  await s.run(producer.close({ timeoutMs: 0 }).catch(() => {}));
});

test("rules: with waitForOutcome a batch that is divided beyond its deadline settles", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 5 } });
  const producer = s.producer({ waitForOutcome: true, deliveryTimeoutMs: 1_000, requestTimeoutMs: 5_000 });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  s.cluster.control(Produce, { error: 19 });
  s.cluster.control(Produce, { answerDelayMs: 1_500, error: 10 }, { times: 1 });
  const sends = ["1", "2"].map((value) => watch(s, producer.send({ topic: "orders", value })));
  await s.runtime.advance(1_400);
  assert.deepEqual(sends.map(({ state }) => state), ["pending", "pending"]);
  await s.runtime.advance(2_000);
  assert.deepEqual(
    sends.map(({ error }) => [error?.code, error?.persisted]),
    Array(2).fill(["DELIVERY_TIMEOUT", "no"]),
  );
  await s.run(producer.close());
});

test("rules: with acks 0 a connection that has caught up with what was written is left open", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 50 } });
  const producer = s.producer({
    acks: 0,
    idempotent: false,
    requestTimeoutMs: 500,
    deliveryTimeoutMs: 2_000,
    lingerMs: 0,
  });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  // More than the network takes at once.
  await s.run(
    Promise.all(Array.from({ length: 30 }, () => producer.send({ topic: "orders", value: "x".repeat(100_000) }))),
  );
  const { dials } = s.cluster.network;
  await s.runtime.advance(2_000);
  await s.run(producer.send({ topic: "orders", value: "after" }));
  await s.runtime.advance(200);
  assert.equal(s.cluster.network.dials, dials);
  assert.equal((await valuesIn(s.cluster, "orders", 0)).length, 32);
  await s.run(producer.close());
});

test("rules: counters are right after requests that were lost and records that were taken back", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 0, retries: 0, idempotent: false });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  const answeredMs = producer.metrics()["request-latency-avg"];
  assert.equal(answeredMs, 20);
  // Lost after half a second: that is no answer, and doesn't count as one.
  s.cluster.control(Produce, { delayMs: 500, drop: "before" }, { times: 1 });
  await s.failure(producer.send({ topic: "orders", value: "lost" }));
  let metrics = producer.metrics();
  assert.deepEqual([metrics["request-latency-avg"], metrics["requests-in-flight"], metrics.errors], [20, 0, 1]);
  const controller = new AbortController();
  s.cluster.control(Produce, { delayMs: 100 }, { times: 1 });
  const kept = watch(s, producer.send({ topic: "orders", value: "kept" }));
  const left = watch(s, producer.send({ topic: "orders", value: "left" }, { signal: controller.signal }));
  await s.runtime.advance(200);
  const waiting = producer.send({ topic: "orders", value: "waits" }, { signal: controller.signal });
  waiting.catch(() => {});
  controller.abort();
  metrics = producer.metrics();
  assert.equal(left.state, kept.state);
  await s.run(producer.flush());
  metrics = producer.metrics();
  assert.deepEqual([metrics.records_pending, metrics.batches_pending, metrics["requests-in-flight"]], [0, 0, 0]);
  assert.equal(metrics.records_sent + metrics.errors, 5);
  await s.run(producer.close());
});
