import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** What a SIGSTOP does to a broker: its connections stay up, and nothing comes of them. Returns the call that ends it. */
function freeze({ cluster }: Stage, brokerId: number): () => void {
  const { host, port } = cluster.broker(brokerId).endpoint("memory");
  cluster.network.blackHole(`${host}:${port}`);
  return () => cluster.network.heal(`${host}:${port}`);
}

function text(value: Uint8Array | null): string {
  return new TextDecoder().decode(value!);
}

/** Metadata as a cluster tells it that has fenced a broker: not on the list. */
function fence({ cluster }: Stage, brokerId: number): void {
  cluster.control(Metadata, ({ topics }) => ({
    respond: {
      brokers: cluster.brokers.filter(({ id }) => id !== brokerId).map((broker) => {
        return { nodeId: broker.id, ...broker.endpoint("memory"), rack: null };
      }),
      topics: topics!.map(({ name }) => ({
        errorCode: 0,
        name,
        topicId: cluster.topic(name!)!.id,
        partitions: cluster.topic(name!)!.partitions.map(({ index, leaderId, leaderEpoch }) => ({
          errorCode: 0,
          partitionIndex: index,
          leaderId: leaderId === brokerId ? -1 : leaderId,
          leaderEpoch,
          replicaNodes: [],
          isrNodes: [],
          offlineReplicas: [],
        })),
      })),
    },
  }));
}

test("silence: when a frozen leader has been replaced, delivery goes on after seconds, once and in order", async () => {
  for (const applied of [false, true]) {
    for (const seed of [1, 2, 3]) {
      const s = stage({ brokers: 3, topics: { orders: 1 }, network: { latencyMs: 5 } }, seed);
      const p = s.producer({ batchSize: 1 });
      const leader = s.cluster.partition("orders", 0).leaderId;
      const sends = [p.send({ topic: "orders", value: "0" })];
      await s.run(sends[0]!);
      await s.runtime.advance(100);
      // Frozen before it has read the first batches, or after, with the answers still on their way.
      if (applied) s.cluster.control(Produce, { silence: true, apply: true }, { brokerId: leader, times: 1 });
      else freeze(s, leader);
      const frozenMs = s.runtime.now();
      for (let i = 1; i < 20; i++) {
        sends.push(p.send({ topic: "orders", value: String(i) }));
        await s.runtime.advance(5);
      }
      freeze(s, leader);
      await s.runtime.advance(9_000 - (s.runtime.now() - frozenMs));
      assert.equal(s.cluster.requestsOf(Produce).filter(({ brokerId }) => brokerId !== leader).length, 0);
      s.cluster.moveLeader("orders", 0, leader % 3 + 1);
      const sent = await s.run(Promise.all(sends));
      const tookMs = s.runtime.now() - frozenMs;
      assert.ok(tookMs <= 12_500, `${tookMs} ms`);
      const values = (await s.cluster.records("orders", 0)).map(({ value }) => Number(text(value)));
      assert.deepEqual(values, Array.from({ length: 20 }, (_, i) => i));
      assert.deepEqual(sent.map(({ offset }) => Number(offset)), values);
      await s.run(p.close());
    }
  }
});

test("silence: nothing goes to the new leader before what is in flight to the old one has failed", async () => {
  for (const idempotent of [true, false]) await assertGated(idempotent);
});

async function assertGated(idempotent: boolean): Promise<void> {
  const s = stage({ brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 2 } } });
  const p = s.producer({ idempotent });
  const [leader, other] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  await s.run(p.send({ topic: "orders", value: "0" }));
  freeze(s, leader);
  const sends = [p.send({ topic: "orders", value: "1" })];
  await s.runtime.advance(1_000);
  s.cluster.moveLeader("orders", 0, other);
  await s.run(p.refreshMetadata());
  sends.push(p.send({ topic: "orders", value: "2" }));
  await s.runtime.advance(3_900 - 1_000);
  assert.equal(s.cluster.requestsOf(Produce).filter(({ brokerId }) => brokerId === other).length, 0);
  assert.equal(p.metrics()["requests-in-flight"], 1);
  await s.run(Promise.all(sends));
  assert.ok(s.runtime.now() <= 6_500, `${s.runtime.now()} ms`);
  assert.deepEqual((await s.cluster.records("orders", 0)).map(({ value }) => text(value)), ["0", "1", "2"]);
  await s.run(p.close());
}

test("silence: a broker that is off the list is given up, too, and what was in flight is possibly persisted", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 1 },
  });
  const p = s.producer({ retries: 0, idempotent: false });
  const leader = s.cluster.partition("orders", 0).leaderId;
  await s.run(p.send({ topic: "orders", value: "0" }));
  s.cluster.control(Produce, { silence: true, apply: true }, { times: 1 });
  const lost = p.send({ topic: "orders", value: "1" });
  fence(s, leader);
  const error = await s.failure(lost);
  assert.deepEqual([error.code, error.persisted, error.retriable], ["REQUEST_TIMED_OUT", "possibly", true]);
  assert.match(error.message, /has not answered for 5\d\d\d ms, and broker-\d\.test:9092 says that it leads no more/);
  assert.ok(s.runtime.now() < 6_500, `${s.runtime.now()} ms`);
  await s.run(p.close());
});

test("silence: a leader that still leads is waited for until requestTimeoutMs, and the others are not pestered", async () => {
  const s = stage({ brokers: 3, topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "0" }));
  await s.runtime.advance(1_000);
  s.cluster.control(Produce, { delayMs: 28_000 }, { times: 1 });
  s.cluster.clearRequests();
  const sent = p.send({ topic: "orders", value: "1" });
  await s.runtime.advance(2_000);
  // It has lost an election and won the next one.
  const leader = s.cluster.partition("orders", 0).leaderId;
  s.cluster.moveLeader("orders", 0, leader % 3 + 1);
  s.cluster.moveLeader("orders", 0, leader);
  const slow = await s.run(sent);
  assert.deepEqual([slow.offset, slow.delivery], [1n, "acked"]);
  assert.equal(s.cluster.requestsOf(Produce).length, 1, "sent once");
  const asked = s.cluster.requestsOf(Metadata).length;
  assert.ok(asked >= 5 && asked <= 13, `${asked} Metadata requests in 28 s`);
  s.cluster.clearRequests();
  await s.runtime.advance(60_000);
  assert.equal(s.cluster.requestsOf(Metadata).length, 0, "it is over when the answer is there");
  await s.run(p.close());
});

test("silence: the only broker there is gets no second connection, and one Metadata request at most at a time", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", partition: 0, value: "0" }));
  await s.runtime.advance(1_000);
  s.cluster.control(Produce, { delayMs: 25_000 }, { times: 1 });
  s.cluster.clearRequests();
  assert.equal((await s.run(p.send({ topic: "orders", partition: 0, value: "1" }))).delivery, "acked");
  await s.runtime.advance(1_000);
  assert.equal(s.cluster.requestsOf(Metadata).length, 1);
  assert.equal(s.cluster.network.dials, 1);
  await s.run(p.close());
});

test("silence: a broker that throttles is not taken for a frozen one", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "0" }));
  await s.runtime.advance(1_000);
  let first = true;
  s.cluster.control(Produce, ({ topicData }) => {
    const [{ name, topicId, partitionData }] = topicData as [typeof topicData[number]];
    if (!first) return { delayMs: 19_000 };
    first = false;
    return {
      apply: true,
      respond: {
        throttleTimeMs: 20_000,
        responses: [{
          name,
          topicId,
          partitionResponses: [{ index: partitionData[0]!.index, errorCode: 0, baseOffset: 1n }],
        }],
      },
    };
  }, { times: 2 });
  s.cluster.clearRequests();
  const sends = [p.send({ topic: "orders", value: "1" })];
  // The second is on its way when the answer to the first asks for peace.
  await s.runtime.advance(2);
  sends.push(p.send({ topic: "orders", value: "2" }));
  await s.runtime.advance(19_000);
  assert.equal(s.cluster.requestsOf(Metadata).length, 0);
  await s.run(Promise.all(sends));
  await s.run(p.close());
});

test("silence: seconds are a third of requestTimeoutMs when that is short", async () => {
  const s = stage({ brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 2 } } });
  const p = s.producer({ requestTimeoutMs: 3_000 });
  const leader = s.cluster.partition("orders", 0).leaderId;
  await s.run(p.send({ topic: "orders", value: "0" }));
  freeze(s, leader);
  const sent = p.send({ topic: "orders", value: "1" });
  await s.runtime.advance(500);
  s.cluster.moveLeader("orders", 0, leader === 1 ? 2 : 1);
  await s.run(sent);
  assert.ok(s.runtime.now() >= 1_000 && s.runtime.now() <= 1_700, `${s.runtime.now()} ms`);
  await s.run(p.close());
});
