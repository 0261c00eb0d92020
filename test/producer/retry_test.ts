import assert from "node:assert/strict";
import { Backoff } from "../../src/cluster/backoff.ts";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { seededRandom } from "../../src/testing/doubles/random.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, valuesIn, warmUp } from "./wire.ts";

const CORRUPT_MESSAGE = 2;
const NOT_LEADER = 6;
const REQUEST_TIMED_OUT = 7;

test("retry: n retries are n + 1 requests", async () => {
  for (const retries of [0, 1, 3]) {
    const s = stage();
    const producer = s.producer({ retries });
    await warmUp(s, producer);
    s.cluster.control(Produce, { error: NOT_LEADER });
    const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(error.code, "NOT_LEADER_OR_FOLLOWER");
    assert.equal(error.partition, 0);
    assert.equal(sentBatches(s.cluster).length, retries + 1);
    assert.equal(producer.metrics().retries, retries);
    await assertLeavesNothing(s, producer);
  }
});

test("retry: with n retries, n failures are survived", async () => {
  const s = stage();
  const producer = s.producer({ retries: 3 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: REQUEST_TIMED_OUT }, { times: 3 });
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }))).offset, 1n);
  assert.equal(sentBatches(s.cluster).length, 4);
  await assertLeavesNothing(s, producer);
});

test("retry: what can't succeed is not tried again", async () => {
  const permanent = {
    10: "MESSAGE_TOO_LARGE",
    17: "INVALID_TOPIC_EXCEPTION",
    29: "TOPIC_AUTHORIZATION_FAILED",
    44: "POLICY_VIOLATION",
    [-1]: "UNKNOWN_SERVER_ERROR",
  };
  for (const [errorCode, name] of Object.entries(permanent)) {
    const s = stage();
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, { error: Number(errorCode) }, { times: 1 });
    const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "v" }));
    assert.deepEqual([error.errorCode, error.retriable], [Number(errorCode), false], name);
    assert.equal(sentBatches(s.cluster).length, 1, name);
    assert.equal(error.persisted, errorCode === "-1" ? "possibly" : "no", name);
    assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "next" }))).offset, 1n);
    await assertLeavesNothing(s, producer);
  }
});

test("retry: every retriable code is tried again until it works", async () => {
  for (const error of [2, 3, 5, 6, 7, 9, 13, 14, 19, 20, 56, 72, 74, 75, 89, 100]) {
    const s = stage({ brokers: 2 });
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, { error }, { times: 2 });
    const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(metadata.offset, 1n, `code ${error}`);
    assert.equal(sentBatches(s.cluster).length, 3, `code ${error}`);
    await s.run(producer.close());
  }
});

test("retry: a corrupt batch is sent again three times", async () => {
  const s = stage();
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: CORRUPT_MESSAGE });
  const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(error.code, "CORRUPT_MESSAGE");
  assert.equal(sentBatches(s.cluster).length, 4);
  await assertLeavesNothing(s, producer);
});

test("retry: waits double up to the cap, give or take a fifth", async () => {
  const s = stage();
  const producer = s.producer({ retryBackoffMs: 100, retryBackoffMaxMs: 1_000, retries: 8 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: REQUEST_TIMED_OUT });
  await s.failure(producer.send({ topic: "orders", partition: 0, value: "v" }));
  const times = sentBatches(s.cluster).map(({ atMs }) => atMs);
  const waits = times.slice(1).map((atMs, i) => atMs - times[i]!);
  assert.equal(waits.length, 8);
  for (const [k, wait] of waits.entries()) {
    const center = Math.min(1_000, 100 * 2 ** k);
    assert.ok(wait >= center * 0.8 - 1e-6 && wait <= Math.min(1_000, center * 1.2) + 1e-6, `wait ${k}: ${wait}`);
  }
  assert.ok(new Set(waits).size > 4, "jitter");
  await assertLeavesNothing(s, producer);
});

test("retry: a thousand draws of the backoff stay within its bounds and are not all the same", () => {
  const random = seededRandom(3);
  const backoff = new Backoff(100, 1_000, random);
  let last = 0;
  for (let attempt = 1; attempt <= 8; attempt++) {
    const center = Math.min(1_000, 100 * 2 ** (attempt - 1));
    const draws = Array.from({ length: 1_000 }, () => backoff.delayMs(attempt));
    assert.ok(draws.every((delay) => delay >= center * 0.8 && delay <= Math.min(1_000, center * 1.2)));
    const mean = draws.reduce((sum, delay) => sum + delay, 0) / draws.length;
    assert.ok(mean >= last - 20, "the centre does not fall");
    last = mean;
    assert.ok(new Set(draws).size > 400);
  }
  assert.equal(new Backoff(100, 1_000, random).delayMs(0), 0);
  assert.equal(new Backoff(0, 1_000, random).delayMs(5), 0);
  assert.ok(new Backoff(100, 1_000, random).delayMs(100_000) <= 1_000);
});

test("retry: metadata is asked for before the next attempt, but not where the leader isn't in question", async () => {
  for (const [error, lookUps] of [[NOT_LEADER, 1], [REQUEST_TIMED_OUT, 0], [19, 0]] as const) {
    const s = stage();
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, { error }, { times: 1 });
    await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(s.cluster.requestsOf(Metadata).length, lookUps, `code ${error}`);
    await s.run(producer.close());
  }
});

test("retry: while every broker is gone nothing spins, and all arrives when they are back", async () => {
  const s = stage({
    brokers: 3,
    topics: { orders: { partitions: 3, replicationFactor: 3 } },
    network: { latencyMs: 2 },
  });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1, 2]);
  for (const { id } of s.cluster.brokers) s.cluster.stopBroker(id);
  const sent = Array.from(
    { length: 30 },
    (_, i) => producer.send({ topic: "orders", partition: i % 3, value: `${i}` }),
  );
  await s.runtime.advance(5_000);
  const before = s.cluster.network.dials;
  await s.runtime.advance(10_000);
  const perSecond = (s.cluster.network.dials - before) / 10;
  assert.ok(perSecond < 20, `${perSecond} connection attempts a second`);
  for (const { id } of s.cluster.brokers) s.cluster.startBroker(id);
  await s.run(Promise.all(sent), 5_000);
  assert.equal((await valuesIn(s.cluster, "orders")).length, 33);
  await assertLeavesNothing(s, producer);
});

test("retry: an attempt of which no byte has left doesn't count", async () => {
  const s = stage({ network: { latencyMs: 2 } });
  const producer = s.producer({ retries: 1 });
  await warmUp(s, producer);
  const { leaderId } = s.cluster.partition("orders", 0);
  for (let i = 0; i < 4; i++) {
    s.cluster.stopBroker(leaderId);
    await s.runtime.advance(100);
    s.cluster.startBroker(leaderId);
    await s.runtime.advance(100);
  }
  s.cluster.stopBroker(leaderId);
  const sent = producer.send({ topic: "orders", partition: 0, value: "v" });
  await s.runtime.advance(3_000);
  s.cluster.startBroker(leaderId);
  assert.equal((await s.run(sent)).offset, 1n);
  await assertLeavesNothing(s, producer);
});

test("retry: a request of which nothing had left when its connection ended is sent again without retries", async () => {
  const s = stage({ network: { latencyMs: 2 } });
  const producer = s.producer({ idempotent: false, retries: 0 });
  await warmUp(s, producer);
  const address = `broker-${s.cluster.partition("orders", 0).leaderId}.test:9092`;
  s.cluster.network.blackHole(address);
  const sent = await sendApart(s, producer, ["one", "two"]);
  await s.runtime.advance(400);
  assert.equal(producer.metrics()["requests-in-flight"], 2);
  s.cluster.network.reset(address);
  s.cluster.network.heal(address);
  await s.run(producer.flush());
  assert.ok(sent.every(({ state }) => state === "resolved"));
  assert.deepEqual((await valuesIn(s.cluster, "orders", 0)).sort(), ["one", "two", "warm"]);
  await assertLeavesNothing(s, producer);
});
