import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf, NOW, sequencedBatch } from "./batches.ts";
import { produceBody, stage } from "./wire.ts";

const PID = 9n;

test("embedded broker: a duplicate is answered with the first offset and the batch's latest timestamp", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  await wire.produce(batchOf());
  const batch = batchOf({ producerId: PID, epoch: 0, sequence: 0, records: [{ timestampDelta: 7 }, {}] });
  const first = await wire.produce(batch);
  assert.deepEqual([first?.errorCode, first?.baseOffset, first?.logAppendTimeMs], [0, 1n, -1n]);
  const second = await wire.produce(batch);
  assert.deepEqual([second?.errorCode, second?.baseOffset, second?.logAppendTimeMs], [0, 1n, NOW + 7n]);
  assert.equal(cluster.endOffset("orders", 0), 3n);
});

test("embedded broker: three identical batches in flight give one copy", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  for (let i = 0; i < 3; i++) wire.send(Produce, 11, produceBody([["orders", 0, sequencedBatch(PID, 0, 0, 4)]]));
  await runtime.settle();
  assert.equal(wire.take().length, 3);
  assert.equal(cluster.endOffset("orders", 0), 4n);
});

test("embedded broker: a gap in one partition leaves the other partition alone", async () => {
  const { connect } = stage();
  const wire = await connect();
  await wire.produce(sequencedBatch(PID, 0, 0));
  const answer = await wire.ask(
    Produce,
    11,
    produceBody([["orders", 0, sequencedBatch(PID, 0, 5)], ["orders", 1, sequencedBatch(PID, 0, 5)]]),
  );
  const partitions = answer!.responses.flatMap((topic) => topic.partitionResponses);
  assert.deepEqual(new Map(partitions.map(({ index, errorCode }) => [index, errorCode])), new Map([[0, 45], [1, 0]]));
});

test("embedded broker: a duplicate outlives the leader that took it", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  cluster.moveLeader("orders", 0, 1);
  await (await connect(1)).produce(sequencedBatch(PID, 0, 0));
  cluster.moveLeader("orders", 0, 2);
  const answer = await (await connect(2)).produce(sequencedBatch(PID, 0, 0));
  assert.deepEqual([answer?.errorCode, answer?.baseOffset], [0, 0n]);
});

test("embedded broker: a LogAppendTime topic has the broker's time in the answer and in the log", async () => {
  const { cluster, connect, runtime } = stage({
    topics: { orders: { config: { "message.timestamp.type": "LogAppendTime" } } },
  });
  const wire = await connect();
  await runtime.advance(1234);
  const answer = await wire.produce(batchOf({ records: [{ timestampDelta: -99 }, {}] }));
  assert.equal(answer?.logAppendTimeMs, NOW + 1234n);
  const records = await cluster.records("orders", 0);
  assert.deepEqual(records.map(({ timestamp }) => timestamp), [NOW + 1234n, NOW + 1234n]);
});

test("embedded broker: unknown topics, partitions and ids have their own errors", async () => {
  const { connect } = stage();
  const wire = await connect();
  assert.equal((await wire.produce(batchOf(), { topic: "missing" }))?.errorCode, 3);
  assert.equal((await wire.produce(batchOf(), { topic: "bad topic" }))?.errorCode, 3);
  assert.equal((await wire.produce(batchOf(), { partition: 3 }))?.errorCode, 3);
  assert.equal((await wire.produce(batchOf(), { partition: -1 }))?.errorCode, 3);
  assert.equal((await wire.produce(batchOf(), { topic: "0".repeat(32), version: 13 }))?.errorCode, 100);
  assert.equal((await wire.produce(batchOf(), { topic: "12".repeat(16), version: 13 }))?.errorCode, 100);
});

test("embedded broker: a recreated topic has another id, and its name is good again", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const oldId = cluster.topic("orders")!.id;
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 0), { topic: oldId, version: 13 }))?.errorCode, 0);
  cluster.deleteTopic("orders");
  assert.equal((await wire.produce(batchOf()))?.errorCode, 3);
  cluster.createTopic("orders", { partitions: 3 });
  assert.equal((await wire.produce(batchOf(), { topic: oldId, version: 13 }))?.errorCode, 100);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 17)))?.errorCode, 0);
});

test("embedded broker: acks other than -1, 0 and 1 are 21", async () => {
  const { connect } = stage();
  const wire = await connect();
  for (const acks of [2, -2, 7]) assert.equal((await wire.produce(batchOf(), { acks }))?.errorCode, 21);
});

test("embedded broker: acks 0 is never answered, and an error ends the connection", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]], 0));
  const asked = wire.send(Metadata, 12, { topics: [] });
  await runtime.settle();
  const frames = wire.take();
  assert.equal(frames.length, 1);
  assert.equal(new DataView(frames[0]!.buffer, frames[0]!.byteOffset).getInt32(4), asked);
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()], ["missing", 0, batchOf()]], 0));
  wire.send(Metadata, 12, { topics: [] });
  await runtime.settle();
  assert.equal(wire.closed, true);
  assert.equal(wire.take().length, 0);
  assert.equal(cluster.endOffset("orders", 0), 2n);
});

test("embedded broker: null records are never answered, and nothing behind them is", async () => {
  const { connect, runtime } = stage();
  const wire = await connect();
  wire.send(Produce, 11, produceBody([["orders", 0, null]]));
  wire.send(Metadata, 12, { topics: [] });
  await runtime.advance(3_600_000);
  assert.deepEqual([wire.take().length, wire.closed], [0, false]);
});

test("embedded broker: of a partition that comes twice only the last batch is appended", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const answer = await wire.ask(
    Produce,
    11,
    produceBody([["orders", 0, batchOf({ records: [{ value: "1" }] })], [
      "orders",
      0,
      batchOf({ records: [{ value: "2" }] }),
    ]]),
  );
  assert.equal(answer!.responses.flatMap((topic) => topic.partitionResponses).length, 1);
  const stored = await cluster.records("orders", 0);
  assert.deepEqual(stored.map(({ value }) => new TextDecoder().decode(value!)), ["2"]);
});

test("embedded broker: who isn't the leader says so, and from version 10 on who is", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  cluster.moveLeader("orders", 0, 2);
  const { leaderEpoch } = cluster.partition("orders", 0);
  const wire = await connect(1);
  const old = await wire.produce(batchOf(), { version: 9 });
  assert.deepEqual([old?.errorCode, old?.baseOffset, old?.currentLeader.leaderId], [6, -1n, -1]);
  const answer = await wire.ask(Produce, 10, produceBody([["orders", 0, batchOf()], ["orders", 7, batchOf()]]));
  const partitions = answer!.responses[0]!.partitionResponses;
  const refused = partitions.find(({ index }) => index === 0)!;
  assert.deepEqual(refused.currentLeader, { leaderId: 2, leaderEpoch });
  assert.deepEqual(answer!.nodeEndpoints, [{ nodeId: 2, host: "broker-2.test", port: 9092, rack: null }]);
});

test("embedded broker: too few replicas in sync are 19 for acks all, before duplicates are looked for", async () => {
  const { cluster, connect } = stage({
    brokers: 3,
    topics: { orders: { config: { "min.insync.replicas": 2 } } },
  });
  const wire = await connect(1);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 0)))?.errorCode, 0);
  cluster.setIsr("orders", 0, [1]);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 0)))?.errorCode, 19);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 0), { acks: 1 }))?.errorCode, 0);
});

test("embedded broker: partitions are answered in another order than asked", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const answer = await wire.ask(
    Produce,
    11,
    produceBody([["orders", 0, batchOf()], ["orders", 1, batchOf()], ["orders", 2, batchOf()]]),
  );
  assert.deepEqual(answer!.responses.flatMap((it) => it.partitionResponses.map(({ index }) => index)), [2, 1, 0]);
  cluster.createTopic("events");
  const both = await wire.ask(Produce, 11, produceBody([["orders", 0, batchOf()], ["events", 0, batchOf()]]));
  assert.deepEqual(both!.responses.map(({ name }) => name), ["events", "orders"]);
});
