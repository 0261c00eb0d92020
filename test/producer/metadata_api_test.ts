import assert from "node:assert/strict";
import { BatchDelivery, Producer, RecordMetadata } from "../../mod.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { stage, turn } from "../stage.ts";
import { test } from "../harness.ts";

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes!);

test("producer: makes no connection before the first send, and connects by itself then", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer();
  await runtime.advance(60_000);
  assert.equal(cluster.network.dials, 0);
  assert.equal(p.isIdempotent(), false);
  const metadata = await run(p.send({ topic: "orders", partition: 1, key: "k", value: "v" }));
  assert.ok(metadata instanceof RecordMetadata);
  assert.deepEqual([metadata.topic, metadata.partition, metadata.offset, metadata.delivery], [
    "orders",
    1,
    0n,
    "acked",
  ]);
  assert.equal(p.isIdempotent(), true);
  await run(p.close());
});

test("producer: connect() brings metadata and the producer id, and the first send asks for neither again", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  assert.equal(p.isIdempotent(), false);
  assert.equal(await run(p.connect()), undefined);
  assert.equal(p.isIdempotent(), true);
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  await run(p.connect());
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  assert.equal(cluster.network.dials, 1);
  await run(p.close());
});

test("producer: isIdempotent() is false for ever without idempotence, and no id is asked for", async () => {
  const { cluster, producer, run } = stage();
  for (const options of [{ idempotent: false }, { acks: 1 }, { acks: 0 }, { retries: 0 }] as const) {
    const p = producer(options);
    await run(p.connect());
    await run(p.send({ topic: "orders", value: "v" }));
    assert.equal(p.isIdempotent(), false);
    await run(p.close());
  }
  assert.equal(cluster.requestsOf(InitProducerId).length, 0);
});

test("producer: a refused producer id rejects connect() and what waits, and no record is sent without it", async () => {
  const { cluster, producer, run, failure } = stage();
  cluster.control(InitProducerId, { error: 31 });
  const p = producer();
  const waiting = p.send({ topic: "orders", value: "v" });
  const settled = Promise.allSettled([waiting]);
  const error = await failure(p.connect());
  assert.deepEqual([error.code, error.errorCode, error.retriable], ["CLUSTER_AUTHORIZATION_FAILED", 31, false]);
  await run(settled);
  assert.equal((await failure(waiting)).code, "CLUSTER_AUTHORIZATION_FAILED");
  assert.equal(p.isIdempotent(), false);
  assert.equal(cluster.requestsOf(Produce).length, 0);
  await run(p.close());
});

test("producer: the producer id is asked of one broker after the other while coordinators load", async () => {
  const { cluster, producer, run } = stage({ brokers: 3 });
  const asked: number[] = [];
  cluster.control(InitProducerId, (_, { brokerId }) => {
    asked.push(brokerId);
    return asked.length < 4 ? { error: 14 } : undefined;
  });
  const p = producer();
  const waiting = p.send({ topic: "orders", value: "v" });
  await run(p.connect());
  assert.equal(asked.length, 4);
  assert.equal(new Set(asked.slice(0, 3)).size, 3, asked.join());
  assert.equal((await run(waiting)).delivery, "acked");
  const [batch] = cluster.requestsOf(Produce).map(({ body }) => body.topicData[0]!.partitionData[0]!.records!);
  assert.equal(new DataView(batch!.buffer, batch!.byteOffset).getBigInt64(43), 1000n);
  await run(p.close());
});

test("producer: a broker that talks rubbish doesn't keep the producer id from coming from another", async () => {
  const { cluster, producer, run } = stage({ brokers: 3 });
  const rubbish = Uint8Array.of(0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4);
  cluster.control(InitProducerId, { error: 14 }, { times: 1 });
  const { port, host } = cluster.broker(1).endpoint("memory");
  const p = producer({ brokers: `${host}:${port}` });
  cluster.control(ApiVersions, { bytes: rubbish }, { brokerId: 2 });
  cluster.control(ApiVersions, { bytes: rubbish }, { brokerId: 3 });
  await run(p.connect());
  assert.equal(p.isIdempotent(), true);
  await run(p.close());
});

test("producer: connect() ends at maxBlockMs with a reason, and at an abort with the signal's", async () => {
  const { cluster, producer, run, failure, runtime } = stage();
  cluster.network.blackHole("broker-1.test:9092");
  const p = producer({ maxBlockMs: 3_000 });
  const late = await failure(p.connect());
  assert.equal(late.name, "TimeoutError");
  assert.match(late.message, /broker-1\.test:9092.*3000 ms \(maxBlockMs\)/);
  assert.equal(runtime.now(), 3_000);
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const given = p.connect({ signal: controller.signal });
  controller.abort(reason);
  assert.equal(await failure(given), reason as never);
  assert.equal(await failure(p.connect({ signal: AbortSignal.abort(reason) })), reason as never);
  cluster.network.heal("broker-1.test:9092");
  await runtime.advance(10_000);
  await run(p.connect());
  await run(p.close());
});

test("producer: sendBatch() tells a result for each record, in order, and all() the metadata or the first error", async () => {
  const { cluster, producer, run, failure } = stage();
  const p = producer<unknown, unknown>();
  const records = [
    { topic: "orders", partition: 2, value: "a" },
    { topic: "orders", partition: 0, value: undefined },
    { topic: "orders", partition: 2, value: "b" },
    { topic: "orders", partition: 9, value: "c" },
    { topic: "orders", partition: 2, value: "d" },
  ];
  const delivery = p.sendBatch(records);
  assert.ok(delivery instanceof BatchDelivery);
  const results = await run(Promise.resolve(delivery));
  assert.deepEqual(results.map(({ status }) => status), [
    "fulfilled",
    "rejected",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  const offsets = results.flatMap((result) => result.status === "fulfilled" ? [result.value.offset] : []);
  assert.deepEqual(offsets, [0n, 1n, 2n]);
  assert.deepEqual((await cluster.records("orders", 2)).map(({ value }) => text(value)), ["a", "b", "d"]);
  assert.equal((await failure(delivery.all())).code, "SERIALIZATION");
  const good = p.sendBatch(new Set([records[0]!, records[2]!]));
  assert.deepEqual((await run(good.all())).map(({ offset }) => offset), [3n, 4n]);
  assert.equal(good.promises.length, 2);
  assert.deepEqual(await run(Promise.resolve(p.sendBatch([]))), []);
  await run(p.close());
});

test("producer: the promises of sendBatch() settle however early or late they are asked for", async () => {
  const { producer, run } = stage();
  const p = producer();
  const records = [
    { topic: "orders", partition: 2, value: "a" },
    { topic: "orders", partition: -1, value: "refused within the call" },
  ];
  const early = p.sendBatch(records);
  const promises = early.promises;
  assert.equal(early.promises, promises);
  const [first, second] = await run(Promise.allSettled(promises));
  assert.ok(first?.status === "fulfilled" && first.value.offset === 0n);
  assert.ok(second?.status === "rejected" && second.reason.code === "INVALID_PARTITION");
  const late = p.sendBatch(records);
  const results = await run(Promise.resolve(late));
  assert.deepEqual(await run(Promise.allSettled(late.promises)), results);
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  await run(p.close());
  const refused = await run(Promise.allSettled(p.sendBatch(records).promises));
  assert.deepEqual(refused.map((result) => result.status === "rejected" && result.reason.code), [
    "PRODUCER_CLOSED",
    "PRODUCER_CLOSED",
  ]);
});

test("producer: partitionsFor() tells leaders and epochs, from memory when they are known", async () => {
  const { cluster, producer, run } = stage({ brokers: 3 });
  cluster.moveLeader("orders", 1, 1);
  const p = producer();
  const partitions = await run(p.partitionsFor("orders"));
  assert.deepEqual(
    partitions,
    [0, 1, 2].map((partition) => ({
      topic: "orders",
      partition,
      leader: cluster.partition("orders", partition).leaderId,
      leaderEpoch: partition === 1 ? 1 : 0,
    })),
  );
  cluster.clearRequests();
  assert.deepEqual(await run(p.partitionsFor("orders")), partitions);
  assert.equal(cluster.requestsOf(Metadata).length, 0);
  await run(p.close());
});

test("producer: partitionsFor() waits up to maxBlockMs for an unknown topic and fails with the broker's code", async () => {
  const { cluster, producer, run, failure, runtime } = stage();
  const p = producer({ maxBlockMs: 2_000 });
  const startMs = runtime.now();
  const error = await failure(p.partitionsFor("missing"));
  assert.equal(error.name, "TimeoutError");
  assert.match(error.message, /"missing".*2000 ms \(maxBlockMs\)/);
  assert.equal(runtime.now() - startMs, 2_000);
  const soon = p.partitionsFor("missing");
  await runtime.advance(500);
  cluster.createTopic("missing", { partitions: 5 });
  assert.equal((await run(soon)).length, 5);
  cluster.control(Metadata, { error: 29, apply: true });
  const startedMs = runtime.now();
  assert.equal((await failure(p.partitionsFor("secret"))).code, "TOPIC_AUTHORIZATION_FAILED");
  assert.ok(runtime.now() - startedMs < 1_500, "a refusal for good is not waited out");
  await run(p.close());
});

test("producer: refreshMetadata() asks again, finds what has changed, and rejects when nobody answers", async () => {
  const { cluster, producer, run, failure, runtime } = stage();
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  cluster.addPartitions("orders", 5);
  assert.equal((await run(p.partitionsFor("orders"))).length, 3);
  await run(p.refreshMetadata());
  assert.equal((await run(p.partitionsFor("orders"))).length, 5);
  cluster.clearRequests();
  cluster.createTopic("later", { partitions: 2 });
  await run(p.refreshMetadata("later"));
  const names = cluster.requestsOf(Metadata).at(-1)!.body.topics!.map(({ name }) => name);
  assert.deepEqual(names.sort(), ["later", "orders"]);
  assert.equal((await run(p.partitionsFor("later"))).length, 2);
  cluster.stopBroker(1);
  await runtime.advance(10);
  assert.match((await failure(p.refreshMetadata())).message, /broker-1\.test:9092/);
  cluster.startBroker(1);
  await run(p.refreshMetadata());
  await run(p.close());
});

test("producer: after close() every call is refused", async () => {
  const { producer, run, failure } = stage();
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  await run(p.close());
  for (const call of [() => p.connect(), () => p.partitionsFor("orders"), () => p.refreshMetadata(), () => p.ready()]) {
    assert.equal((await failure(call())).name, "ProducerClosedError");
  }
  assert.equal((await failure(p.send({ topic: "orders", value: "v" }))).code, "PRODUCER_CLOSED");
  const told: unknown[] = [];
  assert.equal(p.produce({ topic: "orders", value: "v" }, (error) => void told.push(error?.code)), true);
  assert.deepEqual(told, ["PRODUCER_CLOSED"]);
});

test("producer: one instance serves many concurrent callers, each in its own order", async () => {
  const cluster = new EmbeddedCluster({ brokers: 3, topics: { orders: 6 } });
  const p = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets, lingerMs: 1 });
  const caller = async (name: number): Promise<void> => {
    for (let i = 0; i < 40; i++) {
      const value = `${name}/${i}`;
      const record = { topic: "orders", key: `caller-${name}`, value };
      if (i % 4 === 0) await p.send(record);
      else if (i % 4 === 1) void p.send(record);
      else if (i % 4 === 2) await p.sendBatch([record]);
      else while (!p.produce(record)) await p.ready();
      if (i % 7 === 0) await turn();
      if (i % 13 === 0) await p.flush();
      if (i % 17 === 0) await p.partitionsFor("orders");
    }
  };
  try {
    await Promise.all(Array.from({ length: 25 }, (_, name) => caller(name)));
    await p.flush();
    const seen = new Map<string, number>();
    for (const { value } of await cluster.records("orders")) {
      const [name, i] = text(value).split("/");
      assert.equal(Number(i), (seen.get(name!) ?? -1) + 1, `caller ${name}`);
      seen.set(name!, Number(i));
    }
    assert.equal(seen.size, 25);
    for (const last of seen.values()) assert.equal(last, 39);
    assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    assert.equal(cluster.network.dials, 3);
  } finally {
    await p.close();
    await cluster.close();
  }
});

test("producer: send() throws nothing synchronously, whatever it is given", async () => {
  const { producer, run } = stage();
  const p = producer<unknown, unknown>({ maxBlockMs: 100 });
  const outcomes: Promise<unknown>[] = [];
  const evil = {
    get topic(): string {
      throw new Error("getter");
    },
  };
  for (const record of [undefined, null, 5, {}, [], evil, { topic: {}, value: 1 }, { topic: "orders", headers: 5 }]) {
    outcomes.push(p.send(record as never));
    if (record !== evil) outcomes.push(p.send(record as never, { signal: new AbortController().signal }));
  }
  outcomes.push(p.send({} as never, null as never));
  const results = await run(Promise.allSettled(outcomes));
  assert.ok(results.every(({ status }) => status === "rejected"));
  await run(p.close());
});
