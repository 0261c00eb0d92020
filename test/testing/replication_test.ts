import assert from "node:assert/strict";
import { Fetch, ListOffsets } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf, sequencedBatch } from "./batches.ts";
import { answer, ends, outcome, replicated, send, TOPIC, valued, values } from "./replicas.ts";

const PID = 9n;

test("replication: without a lag all replicas have the batch when it is answered", async () => {
  const { cluster, connect, runtime } = replicated();
  assert.deepEqual(outcome(await (await connect()).produce(batchOf())), [0, 0n]);
  assert.deepEqual(ends(cluster), [1n, 1n, 1n]);
  for (const id of [1, 2, 3]) assert.equal(cluster.partition("orders", 0).replica(id)!.highWatermark, 1n);
  assert.equal(runtime.pendingTimers, 0);
});

test("replication: acks all waits for the high watermark, acks 1 for the leader alone", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 50 });
  const wire = await connect();
  send(wire, batchOf());
  await runtime.advance(49);
  assert.equal(wire.take().length, 0);
  assert.deepEqual(ends(cluster), [1n, 0n, 0n]);
  await runtime.advance(1);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  send(wire, batchOf(), 1000, 1);
  await runtime.settle();
  assert.deepEqual(outcome(await answer(wire)), [0, 1n]);
  assert.equal(cluster.partition("orders", 0).highWatermark, 1n);
});

test("replication: a batch that followers don't get in time is 7 with its offset, and stays in the log", async () => {
  const { cluster, connect } = replicated({ replicationLagMs: Infinity });
  const wire = await connect();
  const batch = sequencedBatch(PID, 0, 0);
  send(wire, batch, 700);
  assert.deepEqual(outcome(await answer(wire)), [7, 0n]);
  assert.equal(cluster.endOffset("orders", 0), 1n);
  // The duplicate has nothing to append, but it waits as well.
  send(wire, batch, 700);
  const again = await answer(wire);
  assert.deepEqual(outcome(again), [7, 0n]);
  assert.notEqual(again!.logAppendTimeMs, -1n);
  send(wire, batch, 700, 1);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  send(wire, batch, 0);
  assert.deepEqual(outcome(await answer(wire)), [7, 0n]);
  cluster.configure({ replicationLagMs: 0 });
  send(wire, batch, 700);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  assert.equal(cluster.endOffset("orders", 0), 1n);
});

test("replication: a leader that moves while a batch waits answers 6 with the offset and the new leader", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: Infinity });
  const wire = await connect();
  await wire.produce(valued("a"), { acks: 1 });
  send(wire, valued("b"), 5000);
  await runtime.advance(10);
  assert.equal(cluster.moveLeader("orders", 0, 2), true);
  const refused = await answer(wire);
  assert.equal(runtime.now(), 10);
  assert.deepEqual(outcome(refused), [6, 1n]);
  assert.deepEqual(refused!.currentLeader, { leaderId: 2, leaderEpoch: 1 });
  const elsewhere = await wire.produce(valued("c"));
  assert.deepEqual(outcome(elsewhere), [6, -1n]);
});

test("replication: a topic that is deleted while a batch waits answers 3", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: Infinity });
  const wire = await connect();
  send(wire, batchOf(), 5000);
  await runtime.advance(10);
  cluster.deleteTopic("orders");
  await runtime.settle();
  assert.equal((await answer(wire))?.errorCode, 3);
  assert.deepEqual(cluster.failures, []);
});

test("replication: consumers read up to the high watermark and are told it as the end", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 50 });
  const wire = await connect();
  await wire.produce(batchOf());
  await wire.produce(batchOf(), { acks: 1 });
  const latest = async (): Promise<bigint> => {
    const topics = [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp: -1n }] }];
    return (await wire.ask(ListOffsets, 5, { replicaId: -1, topics }))!.topics[0]!.partitions[0]!.offset;
  };
  const read = async (fetchOffset: bigint): Promise<[number, bigint, number]> => {
    const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1_000_000 }];
    const answer = await wire.ask(Fetch, 11, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 0,
      topics: [{ topic: "orders", partitions }],
    });
    const { errorCode, highWatermark, records } = answer!.responses[0]!.partitions[0]!;
    return [errorCode, highWatermark, records!.length];
  };
  const size = batchOf().length;
  assert.equal(cluster.endOffset("orders", 0), 2n);
  assert.deepEqual([await latest(), await read(0n), await read(2n)], [1n, [0, 1n, size], [0, 1n, 0]]);
  assert.equal((await read(3n))[0], 1);
  await runtime.advance(50);
  assert.deepEqual([await latest(), await read(0n)], [2n, [0, 2n, 2 * size]]);
});

test("replication: a consumer that waits is woken by the high watermark, not by the append", async () => {
  const { connect, runtime } = replicated({ replicationLagMs: 50 });
  const [reader, wire] = [await connect(), await connect()];
  const partitions = [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }];
  reader.send(Fetch, 11, { replicaId: -1, maxWaitMs: 5000, minBytes: 1, topics: [{ topic: "orders", partitions }] });
  await wire.produce(batchOf(), { acks: 1 });
  await runtime.advance(49);
  assert.equal(reader.take().length, 0);
  await runtime.advance(1);
  assert.equal(reader.take().length, 1);
});

test("replication: a follower that can't keep up leaves the ISR, and what waited is acknowledged", async () => {
  const { cluster, connect, runtime } = replicated({
    replicationLagMs: (follower) => follower === 3 ? Infinity : 5,
    replicaLagTimeMaxMs: 10_000,
  });
  const wire = await connect();
  send(wire, batchOf(), 60_000);
  await runtime.advance(9_999);
  assert.deepEqual([cluster.partition("orders", 0).isr, wire.take().length], [[1, 2, 3], 0]);
  await runtime.advance(1);
  assert.deepEqual(cluster.partition("orders", 0).isr, [1, 2]);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  cluster.configure({ replicationLagMs: 5 });
  await runtime.advance(5);
  assert.deepEqual(cluster.partition("orders", 0).isr, [1, 2, 3]);
  assert.deepEqual(ends(cluster), [1n, 1n, 1n]);
});

test("replication: too few in sync are 19 for a retry of what is in the log, and the watermark stands", async () => {
  const { cluster, connect, runtime } = replicated({
    topics: { orders: { ...TOPIC, config: { "min.insync.replicas": 2 } } },
    replicaLagTimeMaxMs: 1000,
    replicationLagMs: Infinity,
  });
  const wire = await connect();
  const batch = sequencedBatch(PID, 0, 0);
  send(wire, batch, 5000);
  await runtime.advance(1000);
  assert.deepEqual(cluster.partition("orders", 0).isr, [1]);
  assert.deepEqual(outcome(await answer(wire)), [7, 0n]);
  assert.equal(cluster.partition("orders", 0).highWatermark, 0n);
  assert.deepEqual(outcome(await wire.produce(batch)), [19, -1n]);
  assert.deepEqual(outcome(await wire.produce(batch, { acks: 1 })), [0, 0n]);
});

test("replication: more replicas are not asked for than the partition has", async () => {
  const { connect } = replicated({
    topics: { orders: { config: { "min.insync.replicas": 2 }, replicationFactor: 1 } },
  });
  assert.deepEqual(outcome(await (await connect()).produce(batchOf())), [0, 0n]);
});

test("election: only who is in sync is elected cleanly", async () => {
  const { cluster, connect } = replicated();
  cluster.setIsr("orders", 0, [1, 2]);
  await (await connect()).produce(batchOf());
  assert.deepEqual(ends(cluster), [1n, 1n, 0n]);
  assert.equal(cluster.moveLeader("orders", 0, 3), false);
  assert.equal(cluster.partition("orders", 0).leaderId, 1);
  cluster.stopBroker(2);
  assert.equal(cluster.moveLeader("orders", 0, 2), false);
  cluster.createTopic("narrow", { replicationFactor: 1 });
  const other = cluster.partition("narrow", 0).leaderId === 1 ? 3 : 1;
  assert.throws(() => cluster.moveLeader("narrow", 0, other), { name: "ConfigError" });
});

test("election: a clean one loses what was not replicated, and the old leader cuts it off", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 10 });
  const wire = await connect();
  await wire.produce(valued("a"));
  await wire.produce(valued("b"), { acks: 1 });
  cluster.moveLeader("orders", 0, 2);
  await (await connect(2)).produce(valued("c"));
  await runtime.advance(100);
  for (const id of [1, 2, 3]) assert.deepEqual(values(cluster, id), ["a", "c"]);
  assert.deepEqual(cluster.partition("orders", 0).log.epochs, [{ epoch: 0, startOffset: 0n }, {
    epoch: 1,
    startOffset: 1n,
  }]);
  assert.equal(cluster.partition("orders", 0).highWatermark, 2n);
});

test("election: an unclean one loses what was acknowledged, and consumers see the end go back", async () => {
  const { cluster, connect } = replicated();
  cluster.setIsr("orders", 0, [1, 2]);
  const wire = await connect();
  assert.equal((await wire.produce(valued("a")))?.errorCode, 0);
  assert.equal(cluster.electLeader("orders", 0, 3, { unclean: true }), true);
  assert.deepEqual(cluster.partition("orders", 0).isr, [3, 1, 2]);
  assert.deepEqual(ends(cluster), [0n, 0n, 0n]);
  assert.equal(cluster.partition("orders", 0).highWatermark, 0n);
  await (await connect(3)).produce(valued("b"));
  for (const id of [1, 2, 3]) assert.deepEqual(values(cluster, id), ["b"]);
});

test("election: a truncated producer state recognizes what is left and nothing else", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 10 });
  const wire = await connect();
  for (let i = 0; i < 3; i++) await wire.produce(sequencedBatch(PID, 0, i));
  for (let i = 3; i < 6; i++) await wire.produce(sequencedBatch(PID, 0, i), { acks: 1 });
  cluster.moveLeader("orders", 0, 2);
  await runtime.advance(100);
  const second = await connect(2);
  assert.deepEqual(outcome(await second.produce(sequencedBatch(PID, 0, 2))), [0, 2n]);
  assert.deepEqual(outcome(await second.produce(sequencedBatch(PID, 0, 4))), [45, -1n]);
  // The old leader has forgotten the tail too: it leads again, and takes 3 once more.
  cluster.moveLeader("orders", 0, 1);
  await runtime.advance(100);
  assert.deepEqual(outcome(await wire.produce(sequencedBatch(PID, 0, 5))), [45, -1n]);
  assert.deepEqual(outcome(await wire.produce(sequencedBatch(PID, 0, 0))), [0, 0n]);
  assert.deepEqual(outcome(await wire.produce(sequencedBatch(PID, 0, 3))), [0, 3n]);
});

test("election: with unclean elections allowed a partition is led by whoever is there", async () => {
  const { cluster, connect } = replicated({
    topics: { orders: { ...TOPIC, config: { "unclean.leader.election.enable": true } } },
  });
  cluster.setIsr("orders", 0, [1]);
  await (await connect()).produce(valued("a"));
  cluster.killBroker(1);
  const { isr, leaderId } = cluster.partition("orders", 0);
  assert.deepEqual([leaderId, isr], [2, [2]]);
});

test("election: a partition without anybody in sync has no leader until one of them is back", async () => {
  const { cluster, connect } = replicated();
  cluster.setIsr("orders", 0, [1]);
  await (await connect()).produce(valued("a"));
  cluster.stopBroker(1);
  assert.equal(cluster.partition("orders", 0).leaderId, -1);
  assert.equal(cluster.electLeader("orders", 0, 1), false);
  cluster.setIsr("orders", 0, [1]);
  cluster.startBroker(1);
  assert.equal(cluster.partition("orders", 0).leaderId, 1);
  assert.deepEqual(values(cluster, 1), ["a"]);
});

test("election: a new leader tells no end before it knows what is safe of what it has taken over", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 10 });
  const wire = await connect();
  await wire.produce(valued("a"));
  await wire.produce(valued("b"));
  cluster.moveLeader("orders", 0, 2);
  const { leader } = cluster.partition("orders", 0);
  assert.deepEqual([leader.highWatermark, leader.log.endOffset], [1n, 2n]);
  const second = await connect(2);
  const latest = async (version: number): Promise<unknown> => {
    const topics = [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp: -1n }] }];
    const { errorCode, offset } = (await second.ask(ListOffsets, version, { replicaId: -1, topics }))!.topics[0]!
      .partitions[0]!;
    return [errorCode, offset];
  };
  assert.deepEqual([await latest(4), await latest(5)], [[5, -1n], [78, -1n]]);
  await runtime.advance(10);
  assert.deepEqual(await latest(5), [0, 2n]);
});
