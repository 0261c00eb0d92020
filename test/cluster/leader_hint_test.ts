import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { EmbeddedCluster, EmbeddedClusterOptions } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

test("metadata: a hint at a leader that no list of brokers had named yet is followed at once (KIP-951)", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 3, topics: { orders: 1 } });
  const p = producer({ retryBackoffMs: 10_000, retryBackoffMaxMs: 10_000 });
  const leader = cluster.partition("orders", 0).leaderId;
  const other = leader % 3 + 1;
  // The metadata knows nothing of the other one, before and after.
  cluster.control(Metadata, ({ topics }) => ({
    respond: {
      brokers: [{ nodeId: leader, ...cluster.broker(leader).endpoint("memory"), rack: null }],
      topics: topics!.map(({ name }) => ({
        errorCode: 0,
        name,
        topicId: cluster.topic("orders")!.id,
        partitions: [{
          ...{ errorCode: 0, partitionIndex: 0, leaderId: leader, leaderEpoch: 0 },
          ...{ replicaNodes: [], isrNodes: [], offlineReplicas: [] },
        }],
      })),
    },
  }));
  await run(p.send({ topic: "orders", value: "v" }));
  cluster.moveLeader("orders", 0, other);
  const startMs = runtime.now();
  assert.equal((await run(p.send({ topic: "orders", value: "v" }))).offset, 1n);
  assert.equal(runtime.now(), startMs);
  await runtime.advance(1_000);
  assert.equal((await run(p.send({ topic: "orders", value: "v" }))).offset, 2n);
  assert.deepEqual(cluster.requestsOf(Produce).map(({ brokerId }) => brokerId), [leader, leader, other, other]);
  await run(p.close());
});

test("metadata: a hint of an older epoch, of no leader or of an unknown node moves nothing", async () => {
  const { cluster, producer, run } = stage({ brokers: 3, topics: { orders: 1 } });
  const p = producer();
  const leader = cluster.partition("orders", 0).leaderId;
  await run(p.send({ topic: "orders", value: "v" }));
  for (
    const currentLeader of [
      { leaderId: leader % 3 + 1, leaderEpoch: cluster.partition("orders", 0).leaderEpoch },
      { leaderId: leader % 3 + 1, leaderEpoch: -1 },
      { leaderId: -1, leaderEpoch: 99 },
      { leaderId: 77, leaderEpoch: 99 },
    ]
  ) {
    cluster.control(Produce, ({ topicData: [topic] }) => ({
      respond: {
        responses: [{
          ...{ name: topic!.name, topicId: topic!.topicId },
          partitionResponses: [{ index: 0, errorCode: 6, baseOffset: -1n, currentLeader }],
        }],
      },
    }), { times: 1 });
    await run(p.send({ topic: "orders", value: "v" }));
  }
  assert.deepEqual(cluster.failures, []);
  assert.ok(cluster.requestsOf(Produce).every(({ brokerId }) => brokerId === leader));
  assert.equal((await run(p.partitionsFor("orders")))[0]!.leader, leader);
  await run(p.close());
});

test("metadata: of errors about a topic only 17 and 29 end the wait of a send; others pass", async () => {
  for (
    const [errorCode, name] of [[3, ""], [5, ""], [-1, ""], [56, ""], [72, ""], [17, "INVALID_TOPIC_EXCEPTION"], [
      29,
      "TOPIC_AUTHORIZATION_FAILED",
    ]] as const
  ) {
    const { cluster, producer, run, runtime, failure } = stage();
    const p = producer();
    const passing = cluster.control(Metadata, { error: errorCode, apply: true });
    const sent = p.send({ topic: "orders", value: "v" });
    if (name !== "") {
      assert.equal((await failure(sent)).code, name);
      assert.ok(runtime.now() < 1_000);
    } else {
      let settled = false;
      void sent.then(() => settled = true, () => settled = true);
      await runtime.advance(5_000);
      assert.equal(settled, false, `${errorCode}`);
      passing();
      assert.equal((await run(sent)).delivery, "acked");
    }
    await run(p.close());
  }
});

test("metadata: one broker that says a topic is unknown doesn't cost the records that wait for it", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 3, topics: { orders: 1 } });
  const p = producer();
  await run(p.send({ topic: "orders", value: "0" }));
  cluster.control(Produce, { error: 6 }, { times: 2 });
  cluster.control(Metadata, { error: 3, apply: true }, { times: 3 });
  const sends = [1, 2, 3].map((i) => p.send({ topic: "orders", value: String(i) }));
  assert.deepEqual((await run(Promise.all(sends))).map(({ offset }) => offset), [1n, 2n, 3n]);
  assert.ok(runtime.now() < 5_000);
  await run(p.close());
});

/** Brokers that are told a topic by its name can't tell one from its next incarnation. */
const BY_NAME: EmbeddedClusterOptions = { brokers: 3, topics: { orders: 1 }, apiVersions: { Produce: [3, 12] } };

/** Answers the next Produce request with a hint. */
function hintOnce(
  cluster: EmbeddedCluster,
  currentLeader: { readonly leaderId: number; readonly leaderEpoch: number },
  answerDelayMs = 0,
): void {
  cluster.control(Produce, ({ topicData: [topic] }) => ({
    answerDelayMs,
    respond: {
      responses: [{
        ...{ name: topic!.name, topicId: topic!.topicId },
        partitionResponses: [{ index: 0, errorCode: 6, baseOffset: -1n, currentLeader }],
      }],
    },
  }), { times: 1 });
}

test("metadata: a hint that comes after its topic was created anew says nothing of the new one", async () => {
  const { cluster, producer, run, runtime } = stage(BY_NAME);
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  const oldLeader = cluster.partition("orders", 0).leaderId;
  const currentLeader = { leaderId: (oldLeader + 1) % 3 + 1, leaderEpoch: 7 };
  hintOnce(cluster, currentLeader, 1_000);
  const sent = p.send({ topic: "orders", value: "v" });
  await runtime.advance(100);
  cluster.deleteTopic("orders");
  cluster.createTopic("orders", { partitions: 1 });
  await run(p.refreshMetadata());
  await runtime.advance(950);
  assert.equal((await run(sent)).offset, 0n);
  assert.equal(cluster.requestsOf(Produce).at(-1)!.brokerId, cluster.partition("orders", 0).leaderId);
  await run(p.close());
});

test("metadata: a hint is given up when the broker that it names says that it doesn't lead", async () => {
  const { cluster, producer, run, runtime } = stage(BY_NAME);
  const p = producer();
  await run(p.send({ topic: "orders", value: "0" }));
  const { leaderId } = cluster.partition("orders", 0);
  // A broker that hasn't heard that the topic was created anew, whose epochs begin at 0.
  const currentLeader = { leaderId: leaderId % 3 + 1, leaderEpoch: 7 };
  hintOnce(cluster, currentLeader);
  cluster.clearRequests();
  const beganMs = runtime.now();
  assert.equal((await run(p.send({ topic: "orders", value: "1" }))).offset, 1n);
  assert.ok(runtime.now() - beganMs < 2_000);
  const asked = cluster.requestsOf(Produce).map(({ brokerId }) => brokerId);
  assert.deepEqual([asked[0], asked[1], asked.at(-1)], [leaderId, currentLeader.leaderId, leaderId]);
  await run(p.close());
});
