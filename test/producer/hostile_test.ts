/** Faults that were found by looking for them: re-entrant callbacks, brokers that fall silent, topics made anew. */

import assert from "node:assert/strict";
import { InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { states, valuesIn, warmUp, watch } from "./wire.ts";

test("hostile: a dead letter sent from the callback of a record whose codec failed goes out with its neighbours", async () => {
  const s = stage({ topics: { orders: 1, dlq: 1 } });
  const lz4 = {
    name: "lz4" as const,
    id: 3 as const,
    compress(): Uint8Array {
      throw new RangeError("boom");
    },
    decompress: (bytes: Uint8Array) => bytes,
  };
  const producer = s.producer({ codecs: { lz4 }, compression: { topics: { orders: "lz4" } } });
  await s.run(producer.send({ topic: "dlq", value: "warm" }));
  await s.run(producer.partitionsFor("orders"));
  const first = watch(s, producer.send({ topic: "dlq", value: "first" }));
  const dead: (typeof first)[] = [];
  void producer.send({ topic: "orders", value: "x" }, {
    onError: () => dead.push(watch(s, producer.send({ topic: "dlq", value: "dead letter" }))),
  });
  await s.runtime.advance(1_000);
  assert.deepEqual(states([first, ...dead]), ["acked 1", "acked 2"]);
  assert.deepEqual(await valuesIn(s.cluster, "dlq"), ["warm", "first", "dead letter"]);
  await s.run(producer.close());
});

test("hostile: a callback that sends again to a topic that is refused doesn't stop the clock", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer();
  let sends = 0;
  const again = (): void => {
    if (++sends < 10_000) void producer.send({ topic: "bad topic", value: "x" }, { onError: again });
  };
  again();
  await s.runtime.advance(10_000);
  assert.ok(sends > 2 && sends < 100, `${sends} sends in ten seconds`);
  await s.run(producer.close());
  assert.ok(sends < 200, `${sends} sends`);
});

test("hostile: with acks 0 a broker that stops reading frees its slots after the request timeout", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 } });
  const producer = s.producer({ acks: 0, requestTimeoutMs: 2_000, deliveryTimeoutMs: 20_000 });
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  const leader = s.cluster.partition("orders", 0).leaderId;
  s.cluster.network.blackHole(`broker-${leader}.test:9092`);
  const lost = [];
  for (let index = 0; index < 8; index++) {
    lost.push(watch(s, producer.send({ topic: "orders", value: "x".repeat(400_000) })));
    await s.runtime.settle();
  }
  s.cluster.moveLeader("orders", 0, 3 - leader);
  await s.runtime.advance(10_000);
  const after = watch(s, producer.send({ topic: "orders", value: "after the move" }));
  await s.runtime.advance(10_000);
  assert.equal(after.state, "resolved");
  assert.ok(!states(lost).includes("pending"), "a send is still pending");
  assert.equal(producer.metrics()["requests-in-flight"], 0);
  await s.run(producer.close());
});

for (const release of ["3.9", "4.1"] as const) {
  test(`hostile: a topic made anew under its old name keeps the order while its first batch is refused (Kafka ${release})`, async () => {
    const s = stage({ release, topics: { orders: 1 } });
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.deleteTopic("orders");
    s.cluster.createTopic("orders", { partitions: 1 });
    await s.run(producer.refreshMetadata());
    s.cluster.control(Produce, { error: 6 }, { times: 1 });
    s.cluster.network.configure({ latencyMs: 5 });
    for (const value of ["a", "b", "c"]) {
      void producer.send({ topic: "orders", partition: 0, value });
      await s.runtime.advance(1);
    }
    await s.runtime.advance(5_000);
    assert.deepEqual(await valuesIn(s.cluster, "orders"), ["a", "b", "c"]);
    await s.run(producer.close());
  });
}

test("hostile: a partition that has just been added is not refused because the cluster is down for a moment", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer({ maxBlockMs: 10_000 });
  await warmUp(s, producer, [0]);
  s.cluster.addPartitions("orders", 2);
  s.cluster.stopBroker(1);
  const sent = watch(s, producer.send({ topic: "orders", partition: 1, value: "x" }));
  await s.runtime.advance(3_000);
  assert.equal(sent.state, "pending");
  s.cluster.startBroker(1);
  await s.runtime.advance(3_000);
  assert.equal(sent.state, "resolved");
  await s.run(producer.close());
});

test("hostile: a producer id of -1 is an error like others, asked for again with backoff", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 1 } });
  s.cluster.control(InitProducerId, {
    respond: { throttleTimeMs: 0, errorCode: 0, producerId: -1n, producerEpoch: 0 },
  });
  const producer = s.producer({ deliveryTimeoutMs: 3_000 });
  const sent = watch(s, producer.send({ topic: "orders", value: "x" }));
  await s.runtime.advance(2_000);
  const asked = s.cluster.requestsOf(InitProducerId).length;
  assert.ok(asked > 1 && asked < 20, `asked ${asked} times in two seconds`);
  await s.runtime.advance(2_000);
  assert.deepEqual([sent.state, sent.error?.persisted], ["rejected", "no"]);
  await s.run(producer.close());
});

test("hostile: one broker that is silent when asked for a producer id doesn't keep the others waiting for long", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const s = stage({ brokers: 3, topics: { orders: 1 } }, seed);
    s.cluster.control(InitProducerId, { silence: true }, { brokerId: 1 });
    const producer = s.producer();
    const sent = watch(s, producer.send({ topic: "orders", value: "x" }));
    await s.runtime.advance(6_000);
    assert.equal(sent.state, "resolved", `seed ${seed}`);
    await s.run(producer.close());
  }
});

test("hostile: a broker that lags behind and names fewer partitions doesn't move keys", async () => {
  const s = stage({ topics: { orders: 6 } });
  const producer = s.producer();
  assert.equal((await s.run(producer.partitionsFor("orders"))).length, 6);
  s.cluster.control(Metadata, () => {
    const topic = s.cluster.topic("orders")!;
    return {
      respond: {
        brokers: [{ nodeId: 1, host: "broker-1.test", port: 9092 }],
        topics: [{
          errorCode: 0,
          name: "orders",
          topicId: topic.id,
          partitions: [{
            errorCode: 0,
            partitionIndex: 0,
            leaderId: 1,
            leaderEpoch: 0,
            replicaNodes: [1],
            isrNodes: [1],
          }],
        }],
      },
    };
  }, { times: 1 });
  await s.run(producer.refreshMetadata());
  assert.equal((await s.run(producer.partitionsFor("orders"))).length, 6);
  await s.run(producer.close());
});
