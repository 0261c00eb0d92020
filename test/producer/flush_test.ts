import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

const POLICY_VIOLATION = 44;

test("flush: cuts linger short and covers exactly the earlier sends", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 60_000 });
  await warmUp(s, producer, [0, 1, 2]);
  const sent = [0, 1, 2].map((partition) => watch(s, producer.send({ topic: "orders", partition, value: "before" })));
  const flushed = watch(s, producer.flush());
  const atMs = s.runtime.now();
  const later = [];
  for (let i = 0; i < 100; i++) {
    later.push(watch(s, producer.send({ topic: "orders", partition: i % 3, value: "later" })));
    await s.runtime.advance(1);
  }
  assert.equal(flushed.atMs, atMs + 20, "one round trip");
  assert.deepEqual(states(sent), ["acked 1", "acked 1", "acked 1"]);
  assert.ok(later.every(({ state }) => state === "pending"), "they linger");
  await s.run(producer.flush());
  await assertLeavesNothing(s, producer);
});

test("flush: ends although records fail, after their callbacks have run", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 60_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: POLICY_VIOLATION }, { times: 1 });
  const seen: string[] = [];
  for (const value of ["a", "b", "c"]) {
    producer.send({ topic: "orders", partition: 0, value }, { onError: ({ code }) => seen.push(code) });
  }
  await s.run(producer.flush().then(() => seen.push("flushed")));
  assert.deepEqual(seen, ["POLICY_VIOLATION", "POLICY_VIOLATION", "POLICY_VIOLATION", "flushed"]);
  await assertLeavesNothing(s, producer);
});

test("flush: waits for retries, for sends that have no memory yet and for those whose topic is unknown", async () => {
  const s = stage({ topics: { orders: 3 }, autoCreateTopics: false, network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 60_000, bufferMemory: 2_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: 7 }, { times: 2 });
  const sent = [
    ...await sendApart(s, producer, ["a".repeat(850), "b".repeat(700)]),
    watch(s, producer.send({ topic: "late", value: "c".repeat(1_000) })),
  ];
  sent.push(...await sendApart(s, producer, ["d".repeat(500)]));
  const flushed = watch(s, producer.flush());
  await s.runtime.advance(3_000);
  assert.equal(flushed.state, "pending");
  assert.deepEqual(states(sent), ["acked 1", "acked 2", "pending", "acked 3"]);
  s.cluster.createTopic("late");
  await s.runtime.advance(2_000);
  assert.equal(flushed.state, "resolved");
  assert.deepEqual(states(sent)[2], "acked 0");
  await assertLeavesNothing(s, producer);
});

test("flush: with nothing to do resolves at once, several at a time each on their own", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 60_000 });
  await s.run(producer.flush(), 0);
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { answerDelayMs: 100 }, { times: 1 });
  await sendApart(s, producer, ["a"], 0);
  const first = watch(s, producer.flush());
  await sendApart(s, producer, ["b"], 1);
  const second = watch(s, producer.flush());
  const third = watch(s, producer.flush());
  await s.runtime.advance(500);
  assert.deepEqual([first, second, third].map(({ state }) => state), ["resolved", "resolved", "resolved"]);
  assert.ok(first.atMs! <= second.atMs!);
  await assertLeavesNothing(s, producer);
});

test("flush: a partition without a leader delays the flush but not what others send", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 2, replicationFactor: 1 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer({ deliveryTimeoutMs: 5_000 });
  await warmUp(s, producer, [0, 1]);
  const { leaderId } = s.cluster.partition("orders", 0);
  s.cluster.stopBroker(leaderId);
  const stuck = await sendApart(s, producer, ["stuck"], 0);
  const flushed = watch(s, producer.flush());
  for (let i = 0; i < 10; i++) {
    const [sent] = await sendApart(s, producer, [`${i}`], 1);
    await s.runtime.advance(200);
    assert.equal(sent!.state, "resolved");
  }
  assert.equal(flushed.state, "pending");
  await s.runtime.advance(5_000);
  assert.equal(flushed.state, "resolved");
  assert.deepEqual(states(stuck), ["DELIVERY_TIMEOUT"]);
  await assertLeavesNothing(s, producer);
});

test("flush: from a callback covers what was sent before it, and ends", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  const order: string[] = [];
  let inner: Promise<void> | undefined;
  producer.send({ topic: "orders", partition: 0, value: "a" }, {
    onDelivery: () => {
      producer.send({ topic: "orders", partition: 0, value: "b" }, { onDelivery: () => order.push("b") });
      inner = producer.flush().then(() => void order.push("inner"));
    },
  });
  await s.run(producer.flush());
  await s.run(inner!);
  assert.deepEqual(order, ["b", "inner"]);
  await assertLeavesNothing(s, producer);
});

test("flush: gives up after its own time limit or by its signal, and the records go on", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 1 });
  const sent = await sendApart(s, producer, ["a"]);
  const atMs = s.runtime.now();
  const limited = watch(s, producer.flush({ timeoutMs: 50 }));
  const controller = new AbortController();
  const signalled = watch(s, producer.flush({ signal: controller.signal }));
  const aborted = watch(s, producer.flush({ signal: AbortSignal.abort(new Error("no")) }));
  await s.runtime.advance(60);
  assert.deepEqual([limited.error?.code, limited.atMs], ["TIMEOUT", atMs + 50]);
  assert.equal(aborted.error?.message, "no");
  controller.abort(new Error("enough"));
  await s.runtime.settle();
  assert.equal(signalled.error?.message, "enough");
  await s.runtime.advance(1_000);
  assert.deepEqual(states(sent), ["acked 1"]);
  await assertLeavesNothing(s, producer);
});

test("flush: concurrent callers of one producer each get what they sent", async () => {
  const s = stage({ network: { latencyMs: 3 } });
  const producer = s.producer();
  const callers = Array.from({ length: 20 }, async (_, caller) => {
    for (let i = 0; i < 10; i++) {
      const value = `${caller} ${i}`;
      const { partition, offset } = await producer.send({ topic: "orders", key: `${caller}`, value });
      if (i % 4 === 0) await producer.flush();
      const log = await s.cluster.records("orders", partition);
      assert.equal(new TextDecoder().decode(log[Number(offset)]!.value!), value);
    }
  });
  await s.run(Promise.all(callers));
  assert.equal((await valuesIn(s.cluster, "orders")).length, 200);
  assert.ok(sentBatches(s.cluster).length < 200);
  await assertLeavesNothing(s, producer);
});

test("flush: ends at the delivery deadline when nobody answers, with every callback called by then", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 3_000, requestTimeoutMs: 1_000 });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { silence: true });
  const told: string[] = [];
  for (const partition of [0, 1, 0]) {
    producer.send({ topic: "orders", partition, value: "v" }, { onError: ({ code }) => void told.push(code) });
    await s.runtime.advance(100);
  }
  const fromMs = s.runtime.now() - 300;
  const flushed = watch(s, producer.flush().then(() => told.length));
  await s.runtime.advance(10_000);
  assert.deepEqual([flushed.state, flushed.value], ["resolved", 3]);
  assert.ok(flushed.atMs! <= fromMs + 200 + 3_000, `${flushed.atMs! - fromMs} ms`);
  assert.deepEqual(told, new Array(3).fill("DELIVERY_TIMEOUT"));
  await assertLeavesNothing(s, producer);
});

test("flush: also resolves when the producer dies or is closed under it", async () => {
  for (const end of ["fatal", "close"]) {
    const s = stage({ network: { latencyMs: 10 } });
    const producer = s.producer({ lingerMs: 60_000 });
    await warmUp(s, producer);
    s.cluster.control(Produce, end === "fatal" ? { error: 31 } : { silence: true });
    const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "v" }));
    const flushed = watch(s, producer.flush());
    await s.runtime.advance(100);
    if (end === "close") await s.failure(producer.close({ timeoutMs: 10 }));
    await s.runtime.settle();
    assert.deepEqual([sent.state, flushed.state], ["rejected", "resolved"], end);
  }
});
