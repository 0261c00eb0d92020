import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { Producer } from "../../src/producer/producer.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, firstBatch, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

const NOT_LEADER = 6;
const REQUEST_TIMED_OUT = 7;

test("ordering: sends that nobody awaits leave in the order of the calls, with contiguous sequences", async () => {
  const s = stage();
  const producer = s.producer({ lingerMs: 0 });
  const values = Array.from({ length: 200 }, (_, i) => `value ${i}`);
  const results = await s.run(
    Promise.all(values.map((value) => producer.send({ topic: "orders", partition: 1, value }))),
  );
  assert.deepEqual(results.map(({ offset }) => offset), values.map((_, i) => BigInt(i)));
  assert.deepEqual(await valuesIn(s.cluster, "orders", 1), values);
  let next = 0;
  for (const { sequence, count } of sentBatches(s.cluster)) {
    assert.equal(sequence, next);
    next += count;
  }
  assert.equal(next, 200);
  assert.ok(s.cluster.requestsOf(Produce).length <= 5);
  await assertLeavesNothing(s, producer);
});

test("ordering: sends in many turns share batches while a request is in flight", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 0 });
  await warmUp(s, producer);
  const sent = await sendApart(s, producer, Array.from({ length: 200 }, (_, i) => `value ${i}`));
  await s.run(producer.flush());
  assert.deepEqual(sent.map(({ value }) => value?.offset), sent.map((_, i) => BigInt(i + 1)));
  assert.ok(s.cluster.requestsOf(Produce).length <= 7, "five in flight, the rest together");
  await s.run(producer.close());
});

test(
  "ordering: a burst of 200,000 records to 12 partitions arrives complete and in order",
  { timeoutMs: 60_000 },
  async () => {
    const s = stage({ brokers: 3, topics: { orders: 12 }, record: false });
    const producer = s.producer();
    const rest = "x".repeat(90);
    let errors = 0;
    const offsets = Array.from({ length: 12 }, () => 0);
    let disordered = 0;
    for (let i = 0; i < 200_000; i++) {
      const partition = i % 12;
      producer.send({ topic: "orders", partition, value: `${String(i).padStart(10, "0")}${rest}` }, {
        onDelivery: (error, metadata) => {
          if (error !== null) errors++;
          else if (Number(metadata!.offset) !== offsets[partition]!++) disordered++;
        },
      });
    }
    await s.run(producer.flush());
    assert.deepEqual([errors, disordered], [0, 0]);
    for (let partition = 0; partition < 12; partition++) {
      const values = await valuesIn(s.cluster, "orders", partition);
      assert.equal(values.length, partition < 8 ? 16_667 : 16_666);
      assert.ok(
        values.every((value, at) => Number(value.slice(0, 10)) === at * 12 + partition && value.length === 100),
      );
    }
    const { requests_sent: requests, records_sent: records } = producer.metrics();
    assert.equal(records, 200_000);
    assert.ok(requests < 500, `${requests} requests`);
    await assertLeavesNothing(s, producer);
  },
);

test("ordering: a batch that is refused once is not overtaken, and nothing gets a new sequence", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, (request) => firstBatch(request).baseSequence === 1 ? { error: NOT_LEADER } : undefined, {
    times: 1,
  });
  const sent = await sendApart(s, producer, ["one", "two", "three"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2", "acked 3"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three"]);
  const batches = sentBatches(s.cluster);
  assert.deepEqual(batches.slice(0, 3).map(({ sequence }) => sequence), [1, 2, 3]);
  assert.deepEqual(batches.slice(3).map(({ sequence }) => sequence), [1, 2, 3], "the three again, in order");
  assert.ok(batches.every(({ epoch }) => epoch === 0));
  for (const { sequence, bytes } of batches.slice(3)) {
    assertBytes(bytes, batches.find((first) => first.sequence === sequence)!.bytes);
  }
  await assertLeavesNothing(s, producer);
});

test("ordering: a retry goes before batches that were never sent", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ maxInFlight: 1 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: REQUEST_TIMED_OUT }, { times: 2 });
  await sendApart(s, producer, ["one"]);
  await sendApart(s, producer, ["two", "three"]);
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three"]);
  await s.run(producer.close());
});

test("ordering: without idempotence and with one request in flight, retries keep the order", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ maxInFlight: 1, idempotent: false });
  await warmUp(s, producer, [0, 1]);
  let refusals = 0;
  s.cluster.control(Produce, () => ++refusals % 3 !== 0 ? { error: NOT_LEADER } : undefined);
  for (let i = 0; i < 20; i++) {
    await sendApart(s, producer, [`value ${i}`], i % 2);
    await s.runtime.advance(7);
  }
  await s.run(producer.flush());
  for (const partition of [0, 1]) {
    const wanted = Array.from({ length: 10 }, (_, i) => `value ${2 * i + partition}`);
    assert.deepEqual(await valuesIn(s.cluster, "orders", partition), ["warm", ...wanted]);
  }
  await assertLeavesNothing(s, producer);
});

test("ordering: without idempotence a partition is muted while its batch is in flight and maxInFlight is 1", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer({ maxInFlight: 1, idempotent: false, requestTimeoutMs: 3_000 });
  await warmUp(s, producer);
  // The old leader keeps its batch; the new one must not get the next before that is over.
  s.cluster.control(Produce, { silence: true }, { times: 1 });
  const sent = await sendApart(s, producer, ["one"]);
  await s.runtime.advance(50);
  s.cluster.moveLeader("orders", 0, s.cluster.partition("orders", 0).leaderId === 1 ? 2 : 1);
  await s.run(producer.refreshMetadata());
  sent.push(...await sendApart(s, producer, ["two"]));
  await s.runtime.advance(500);
  assert.equal(sentBatches(s.cluster).length, 1);
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two"]);
  await s.run(producer.close());
});

test("ordering: a batch that is answered before an earlier one is told after it", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ idempotent: false });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: REQUEST_TIMED_OUT, apply: true }, { times: 1 });
  const told: string[] = [];
  for (const value of ["one", "two", "three"]) {
    void producer.send({ topic: "orders", partition: 0, value }, { onSuccess: () => told.push(value) }).then(() =>
      told.push(`promise ${value}`)
    );
    await s.runtime.settle();
  }
  await s.runtime.advance(30);
  assert.deepEqual(told, [], "two and three are in the log, one is being sent again");
  await s.run(producer.flush());
  assert.deepEqual(told, ["one", "two", "three", "promise one", "promise two", "promise three"]);
  await s.run(producer.close());
});

test("ordering: records sent from a callback come after those that were sent before it ran", async () => {
  const s = stage();
  const producer = s.producer();
  let left = 20;
  const again = (): void => {
    if (left-- > 0) void producer.send({ topic: "orders", partition: 0, value: `more ${left}` }, { onDelivery: again });
  };
  for (let i = 0; i < 3; i++) {
    void producer.send({ topic: "orders", partition: 0, value: `first ${i}` }, { onDelivery: again });
  }
  await s.runtime.advance(1_000);
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.deepEqual(values.slice(0, 3), ["first 0", "first 1", "first 2"]);
  assert.deepEqual(values.slice(3), Array.from({ length: 20 }, (_, i) => `more ${19 - i}`));
  await assertLeavesNothing(s, producer);
});

test("ordering: a serializer or partitioner that sends a record of its own spoils neither", async () => {
  const s = stage();
  const nested = new Set<string>();
  const sendOnce = (by: string): void => {
    if (nested.has(by)) return;
    nested.add(by);
    void producer.send({ topic: "orders", key: `the key of the ${by}`, value: `sent by the ${by}` });
  };
  const producer: Producer<string, string> = s.producer<string, string>({
    partitioner: ({ value }) => {
      if (value === "outer") sendOnce("partitioner");
      return 0;
    },
    valueSerializer: (value) => {
      if (value === "outer") sendOnce("serializer");
      return value;
    },
  });
  await s.run(producer.send({ topic: "orders", key: "k", value: "first" }));
  await s.run(producer.send({ topic: "orders", key: "k", value: "outer" }));
  await s.run(producer.send({ topic: "orders", key: "k", value: "outer" }));
  await s.run(producer.flush());
  const utf8 = new TextDecoder();
  const records = (await s.cluster.records("orders", 0)).map(({ key, value }) =>
    `${utf8.decode(key!)}=${utf8.decode(value!)}`
  );
  assert.deepEqual(records.sort(), [
    "k=first",
    "k=outer",
    "k=outer",
    "the key of the partitioner=sent by the partitioner",
    "the key of the serializer=sent by the serializer",
  ]);
  await s.run(producer.close());
});

test("ordering: an explicit partition that appears later keeps the order of the calls", async () => {
  const s = stage({ network: { latencyMs: 20 } });
  const producer = s.producer();
  await warmUp(s, producer);
  void producer.refreshMetadata();
  await s.runtime.advance(5);
  // The refresh that is under way will know the partition; the look that this send asks for comes after it.
  s.cluster.addPartitions("orders", 4);
  const first = watch(s, producer.send({ topic: "orders", partition: 3, value: "first" }));
  await s.runtime.advance(37);
  const second = watch(s, producer.send({ topic: "orders", partition: 3, value: "second" }));
  await s.run(producer.flush());
  assert.deepEqual([first.value?.offset, second.value?.offset], [0n, 1n]);
  await s.run(producer.close());
});

test("ordering: a new leader gets nothing while the old one has batches that it hasn't answered", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer({ idempotent: false });
  await warmUp(s, producer);
  const [from, to] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  s.cluster.control(Produce, { answerDelayMs: 500 }, { brokerId: from, times: 1 });
  const sent = await sendApart(s, producer, ["one"]);
  await s.runtime.advance(15);
  s.cluster.moveLeader("orders", 0, to);
  await s.run(producer.refreshMetadata());
  sent.push(...await sendApart(s, producer, ["two"]));
  await s.runtime.advance(300);
  assert.equal(sentBatches(s.cluster).length, 1);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2"]);
  await assertLeavesNothing(s, producer);
});

test("ordering: what is late at the same moment, in retry and in line, is told in the order of the sends", async () => {
  const s = stage();
  const producer = s.producer({ bufferMemory: 1_000, maxBlockMs: 2_000, deliveryTimeoutMs: 2_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: 19 });
  const told: string[] = [];
  const send = (value: string): void => {
    producer.send({ topic: "orders", partition: 0, value }, { onDelivery: () => told.push(value[0]!) });
  };
  // Two fill the buffer, the others wait for memory; some fall due between one timer and the next.
  for (const letter of ["a", "b", "c", "d"]) send(letter.repeat(400));
  await s.runtime.advance(0.4);
  send("e".repeat(400));
  await s.runtime.advance(5_000);
  assert.deepEqual(told, ["a", "b", "c", "d", "e"]);
  await assertLeavesNothing(s, producer);
});
