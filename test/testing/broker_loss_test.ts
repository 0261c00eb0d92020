import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf, sequencedBatch } from "./batches.ts";
import { answer, ends, outcome, replicated, send, valued, values } from "./replicas.ts";
import type { Wire } from "./wire.ts";

const PID = 9n;

test("killed broker: leads on paper until its session ends, then its partitions move", async () => {
  const { cluster, connect, runtime } = replicated({ sessionTimeoutMs: 9000 });
  const wire = await connect();
  const other = await connect(2);
  await wire.produce(sequencedBatch(PID, 0, 0));
  cluster.killBroker(1);
  await runtime.settle();
  assert.equal(wire.closed, true);
  const leader = async (): Promise<unknown> => {
    const { brokers, topics } = (await other.ask(Metadata, 12, { topics: [{ name: "orders" }] }))!;
    const { isrNodes, leaderId } = topics[0]!.partitions[0]!;
    return [brokers.map(({ nodeId }) => nodeId), leaderId, isrNodes];
  };
  await runtime.advance(8999);
  assert.deepEqual(await leader(), [[1, 2, 3], 1, [1, 2, 3]]);
  assert.equal((await other.produce(sequencedBatch(PID, 0, 1)))?.errorCode, 6);
  await runtime.advance(1);
  assert.deepEqual(await leader(), [[2, 3], 2, [2, 3]]);
  assert.deepEqual(outcome(await other.produce(sequencedBatch(PID, 0, 0))), [0, 0n]);
  assert.deepEqual(outcome(await other.produce(sequencedBatch(PID, 0, 2))), [45, -1n]);
  assert.deepEqual(outcome(await other.produce(sequencedBatch(PID, 0, 1))), [0, 1n]);
});

test("killed broker: its tail stays on its disk, and is cut off when it comes back", async () => {
  const { cluster, connect, runtime } = replicated({ replicationLagMs: 10 });
  const wire = await connect();
  await wire.produce(valued("a"));
  await wire.produce(valued("b"), { acks: 1 });
  cluster.killBroker(1);
  await (await connect(2)).produce(valued("c"));
  assert.deepEqual([values(cluster, 1), cluster.partition("orders", 0).isr], [["a", "b"], [2, 3]]);
  cluster.startBroker(1);
  await runtime.advance(100);
  assert.deepEqual([values(cluster, 1), cluster.partition("orders", 0).isr], [["a", "c"], [2, 3, 1]]);
});

test("killed broker: the only one in sync takes its partitions up again with all that it had", async () => {
  const { cluster, connect } = replicated({
    replicationLagMs: Infinity,
    replicaLagTimeMaxMs: 100,
    sessionTimeoutMs: 50,
  });
  const wire = await connect();
  send(wire, valued("a"), 1000);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  cluster.killBroker(1);
  cluster.startBroker(1);
  assert.deepEqual([cluster.partition("orders", 0).leaderId, values(cluster, 1)], [1, ["a"]]);
  assert.ok(cluster.partition("orders", 0).leaderEpoch > 0);
});

test("killed broker: what it had begun is not finished", async () => {
  const { cluster, connect, runtime } = replicated();
  const wire = await connect();
  cluster.control(Produce, { delayMs: 100 });
  send(wire, batchOf());
  await runtime.advance(10);
  cluster.killBroker(1);
  cluster.startBroker(1);
  await runtime.advance(1000);
  assert.deepEqual(ends(cluster), [0n, 0n, 0n]);
});

test("isolated broker: still believes that it leads, and what it takes with acks 1 is lost", async () => {
  const { cluster, connect, runtime } = replicated();
  const [stale, other] = [await connect(1), await connect(2)];
  await stale.produce(valued("a"));
  cluster.isolateBroker(1);
  assert.deepEqual([cluster.partition("orders", 0).leaderId, cluster.partition("orders", 0).isr], [2, [2, 3]]);
  const leaders = async (wire: Wire): Promise<unknown> => {
    const { brokers, topics } = (await wire.ask(Metadata, 12, { topics: [{ name: "orders" }] }))!;
    return [brokers.length, topics[0]!.partitions[0]!.leaderId, topics[0]!.partitions[0]!.leaderEpoch];
  };
  assert.deepEqual([await leaders(stale), await leaders(other)], [[3, 1, 0], [2, 2, 1]]);
  assert.deepEqual(outcome(await stale.produce(valued("x"), { acks: 1 })), [0, 1n]);
  send(stale, valued("y"), 2000);
  assert.deepEqual(outcome(await answer(stale)), [7, 2n]);
  send(stale, valued("z"), 60_000);
  await runtime.advance(5);
  assert.deepEqual(outcome(await other.produce(valued("b"))), [0, 1n]);
  cluster.healBroker(1);
  await runtime.settle();
  const refused = await answer(stale);
  assert.deepEqual([outcome(refused), refused!.currentLeader.leaderId], [[6, 3n], 2]);
  for (const id of [1, 2, 3]) assert.deepEqual(values(cluster, id), ["a", "b"]);
  assert.deepEqual(cluster.partition("orders", 0).isr, [2, 3, 1]);
});

test("isolated broker: can't change the ISR, however long its followers stay away", async () => {
  const { cluster, connect, runtime } = replicated({ sessionTimeoutMs: 60_000, replicaLagTimeMaxMs: 10_000 });
  const wire = await connect();
  cluster.isolateBroker(1);
  send(wire, valued("a"), 50_000);
  await runtime.advance(49_999);
  assert.deepEqual([cluster.partition("orders", 0).isr, wire.take().length], [[1, 2, 3], 0]);
  assert.deepEqual(outcome(await answer(wire)), [7, 0n]);
});

test("stopped broker: is in no ISR, and comes back when it has copied what it missed", async () => {
  const { cluster, connect } = replicated();
  cluster.stopBroker(1);
  assert.deepEqual([cluster.partition("orders", 0).leaderId, cluster.partition("orders", 0).isr], [2, [2, 3]]);
  await (await connect(2)).produce(valued("a"));
  assert.deepEqual(values(cluster, 1), []);
  cluster.startBroker(1);
  assert.deepEqual([values(cluster, 1), cluster.partition("orders", 0).isr], [["a"], [2, 3, 1]]);
});

test("isolated broker: back before its session ends it goes on leading", async () => {
  const { cluster, connect, runtime } = replicated({ sessionTimeoutMs: 9000 });
  const wire = await connect();
  cluster.isolateBroker(1);
  send(wire, valued("a"), 30_000);
  await runtime.advance(8000);
  assert.equal(wire.take().length, 0);
  cluster.healBroker(1);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  await runtime.advance(60_000);
  assert.deepEqual([cluster.partition("orders", 0).leaderEpoch, cluster.partition("orders", 0).isr], [0, [1, 2, 3]]);
});

test("isolated broker: a follower leaves the ISR when its session ends, and comes back with all of it", async () => {
  const { cluster, connect, runtime } = replicated({ sessionTimeoutMs: 9000 });
  const wire = await connect();
  cluster.isolateBroker(3);
  send(wire, valued("a"), 30_000);
  await runtime.advance(8999);
  assert.equal(wire.take().length, 0);
  await runtime.advance(1);
  assert.deepEqual(outcome(await answer(wire)), [0, 0n]);
  assert.deepEqual(values(cluster, 3), []);
  cluster.healBroker(3);
  assert.deepEqual([values(cluster, 3), cluster.partition("orders", 0).isr], [["a"], [1, 2, 3]]);
});

test("isolated broker: knows nothing of new topics, and goes on serving a deleted one", async () => {
  const { cluster, connect } = replicated();
  const wire = await connect(1);
  cluster.isolateBroker(1);
  cluster.createTopic("new");
  cluster.deleteTopic("orders");
  assert.equal((await wire.produce(batchOf(), { topic: "new" }))?.errorCode, 3);
  assert.equal((await wire.produce(batchOf(), { acks: 1 }))?.errorCode, 0);
  const answer = await wire.ask(Metadata, 9, { topics: [{ name: "auto" }], allowAutoTopicCreation: true });
  assert.equal(answer!.topics[0]!.errorCode, 3);
  assert.equal(cluster.topic("auto"), undefined);
  cluster.healBroker(1);
  assert.equal((await wire.produce(batchOf(), { acks: 1 }))?.errorCode, 3);
});

test("metadata lag: a broker answers with what it knows, and leads only when it knows", async () => {
  const { cluster, connect, runtime } = replicated({ metadataLagMs: (broker) => broker === 2 ? 200 : 0 });
  const [first, second] = [await connect(1), await connect(2)];
  cluster.moveLeader("orders", 0, 2);
  const refused = await second.produce(batchOf());
  assert.deepEqual([refused!.errorCode, refused!.currentLeader.leaderId], [6, 1]);
  assert.equal((await first.produce(batchOf()))!.currentLeader.leaderId, 2);
  await runtime.advance(200);
  assert.deepEqual(outcome(await second.produce(batchOf())), [0, 0n]);
  assert.deepEqual(ends(cluster), [1n, 1n, 1n]);
});

test("metadata lag: an old leader takes records that nobody will see until it has the news", async () => {
  const { cluster, connect, runtime } = replicated({ metadataLagMs: (broker) => broker === 1 ? 200 : 0 });
  const [first, second] = [await connect(1), await connect(2)];
  cluster.moveLeader("orders", 0, 2);
  assert.deepEqual(outcome(await first.produce(valued("x"), { acks: 1 })), [0, 0n]);
  send(first, valued("y"), 5000);
  assert.deepEqual(outcome(await second.produce(valued("a"), { acks: 1 })), [0, 0n]);
  assert.deepEqual(outcome(await answer(first)), [6, 1n]);
  await runtime.advance(200);
  for (const id of [1, 2, 3]) assert.deepEqual(values(cluster, id), ["a"]);
});

test("metadata lag: news that is overtaken is no news", async () => {
  const lags = [100, 10];
  const { cluster, connect, runtime } = replicated({ metadataLagMs: (broker) => broker === 3 ? lags.shift() ?? 0 : 0 });
  const third = await connect(3);
  cluster.moveLeader("orders", 0, 2);
  cluster.moveLeader("orders", 0, 1);
  const leader = async (): Promise<number> => (await third.produce(batchOf()))!.currentLeader.leaderEpoch;
  await runtime.advance(10);
  assert.equal(await leader(), 2);
  await runtime.advance(100);
  assert.equal(await leader(), 2);
});
