import assert from "node:assert/strict";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, firstBatch, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

/** Accepts the next batch of partition 0 without a log, and asks to be left alone. */
function throttle(s: Stage, throttleTimeMs: number): void {
  s.cluster.control(Produce, {
    respond: {
      responses: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 0n }],
      }],
      throttleTimeMs,
    },
    apply: true,
  }, { times: 1 });
}

test("throttle: a broker that asks for quiet gets nothing meanwhile, and then everything in order", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  throttle(s, 5_000);
  const sent = await sendApart(s, producer, ["first"]);
  await s.runtime.advance(30);
  const fromMs = s.runtime.now();
  for (let i = 0; i < 20; i++) {
    sent.push(...await sendApart(s, producer, [`value ${i}`], 0));
    await s.runtime.advance(100);
  }
  assert.equal(sentBatches(s.cluster).length, 1);
  await s.run(producer.flush());
  const times = sentBatches(s.cluster).slice(1).map(({ atMs }) => atMs);
  assert.ok(times[0]! >= fromMs + 4_980 && times[0]! <= fromMs + 5_030, `${times[0]! - fromMs}`);
  assert.equal(times.length, 1, "what was sent meanwhile shares a batch");
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), [
    "warm",
    "first",
    ...sent.slice(1).map((_, i) => `value ${i}`),
  ]);
  await assertLeavesNothing(s, producer);
});

test("throttle: the quiet isn't counted as a request's time", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ requestTimeoutMs: 1_000 });
  await warmUp(s, producer);
  throttle(s, 5_000);
  // The second is on the wire when the first is answered; the broker leaves it unread until the quiet is over.
  await sendApart(s, producer, ["first"]);
  s.cluster.control(Produce, (request) => firstBatch(request).baseSequence === 2 ? { delayMs: 5_000 } : undefined);
  const sent = await sendApart(s, producer, ["second"]);
  const { dials } = s.cluster.network;
  await s.runtime.advance(5_500);
  assert.deepEqual(states(sent), ["acked 2"]);
  assert.equal(s.cluster.network.dials, dials, "the connection was not given up");
  assert.equal(sentBatches(s.cluster).length, 2, "nothing was sent twice");
  await assertLeavesNothing(s, producer);
});

test("throttle: records whose deadline passes in the quiet fail on time, and were not written", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 1_000 });
  await warmUp(s, producer);
  throttle(s, 5_000);
  await sendApart(s, producer, ["first"]);
  await s.runtime.advance(30);
  const atMs = s.runtime.now();
  const sent = await sendApart(s, producer, ["late"]);
  await s.runtime.advance(2_000);
  assert.deepEqual([sent[0]!.error?.code, sent[0]!.error?.persisted, sent[0]!.atMs], [
    "DELIVERY_TIMEOUT",
    "no",
    atMs + 1_000,
  ]);
  await s.runtime.advance(5_000);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "first"]);
  await assertLeavesNothing(s, producer);
});

test("throttle: closing in the quiet leaves no timer", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  throttle(s, 60_000);
  await sendApart(s, producer, ["first"]);
  await s.runtime.advance(30);
  await sendApart(s, producer, ["waits"]);
  await s.failure(producer.close({ timeoutMs: 100 }));
  await s.runtime.advance(50);
  assert.equal(s.runtime.pendingTimers, 0);
  assert.equal(s.cluster.network.openConnections, 0);
});

test("throttle: the quiet outlasts the idle time of a connection", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ connectionMaxIdleMs: 3_000 });
  await warmUp(s, producer, [0, 1]);
  throttle(s, 20_000);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "first" }));
  const fromMs = s.runtime.now();
  s.cluster.clearRequests();
  await s.runtime.advance(5_000);
  const sent = producer.send({ topic: "orders", partition: 1, value: "second" });
  const refreshed = producer.refreshMetadata();
  await s.run(Promise.all([sent, refreshed]));
  const times = s.cluster.requests.map(({ atMs }) => atMs - fromMs);
  assert.ok(times.length > 0 && times.every((atMs) => atMs >= 19_980), times.join());
  await assertLeavesNothing(s, producer);
});

test("throttle: requests for metadata don't pile up behind it", async () => {
  const topics = { orders: { partitions: 2, replicationFactor: 1 } };
  const s = stage({ brokers: 2, autoCreateTopics: false, network: { latencyMs: 5 }, topics });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  throttle(s, 40_000);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
  s.cluster.clearRequests();
  const sent = watch(s, producer.send({ topic: "nowhere", value: "v" }));
  await s.runtime.advance(50_000);
  const times = s.cluster.requestsOf(Metadata).map(({ atMs }) => atMs);
  const most = Math.max(
    ...times.map((fromMs) => times.filter((atMs) => atMs >= fromMs && atMs < fromMs + 1_000).length),
  );
  assert.ok(times.length >= 30 && most < 5, `${times.length} requests, ${most} of them in one second`);
  await s.failure(producer.close({ timeoutMs: 1 }));
  assert.equal(sent.state, "rejected");
});
