import assert from "node:assert/strict";
import {
  ApiVersions,
  CreateTopics,
  Fetch,
  InitProducerId,
  Metadata,
  Produce,
} from "../../src/protocol/messages/mod.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../src/protocol/api.ts";
import { test } from "../harness.ts";
import { batchOf, concat } from "./batches.ts";
import { produceBody, stage, type Wire } from "./wire.ts";

const NAMED = { clientSoftwareName: "test", clientSoftwareVersion: "1" };

async function ranges(wire: Wire, version = 3): Promise<Map<number, [number, number]>> {
  const answer = await wire.ask(ApiVersions, version, version < 3 ? {} : NAMED);
  return new Map(answer!.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, [minVersion, maxVersion]]));
}

test("embedded broker: advertises the ranges of its release", async () => {
  const wire = await stage().connect();
  for (const version of [0, 1, 2, 3, 4]) {
    const all = await ranges(wire, version);
    assert.deepEqual(all.get(Produce.key), [0, 13]);
    assert.deepEqual(all.get(Fetch.key), [4, 18]);
  }
  const old = await ranges(await stage({ release: "3.9" }).connect());
  assert.deepEqual(old.get(Produce.key), [0, 11]);
  assert.deepEqual(old.get(Metadata.key), [0, 12]);
});

test("embedded broker: tells finalized features from version 3 on", async () => {
  const wire = await stage({ finalizedFeatures: { "transaction.version": 2 } }).connect();
  const answer = await wire.ask(ApiVersions, 3, NAMED);
  assert.deepEqual(answer!.finalizedFeatures, [
    { name: "transaction.version", maxVersionLevel: 2, minVersionLevel: 2 },
  ]);
  assert.deepEqual(answer!.supportedFeatures.map(({ name }) => name), ["metadata.version"]);
});

test("embedded broker: versions can be pinned for all brokers and for one", async () => {
  const { cluster, connect } = stage({ brokers: 2, apiVersions: { Produce: [3, 9], InitProducerId: null } });
  cluster.broker(2).pin(Produce, [3, 5]);
  const one = await ranges(await connect(1));
  const two = await ranges(await connect(2));
  assert.deepEqual([one.get(Produce.key), two.get(Produce.key)], [[3, 9], [3, 5]]);
  assert.equal(one.has(InitProducerId.key), false);
  const wire = await connect(2);
  assert.equal(await wire.produce(batchOf(), { version: 9 }), undefined);
  assert.equal(wire.closed, true);
});

test("embedded broker: a bad client software name is 42, and the connection stays usable", async () => {
  const wire = await stage().connect();
  for (const name of ["@sluice/kafka", "sluice_kafka", "a b", "", "-a", "a."]) {
    const refused = await wire.ask(ApiVersions, 4, { clientSoftwareName: name, clientSoftwareVersion: "1" });
    assert.deepEqual([refused!.errorCode, refused!.apiKeys], [42, []]);
  }
  assert.equal((await wire.ask(ApiVersions, 0, {}))!.errorCode, 0);
});

test("embedded broker: an ApiVersions too new is 35 in version 0, whatever the number", async () => {
  const wire = await stage().connect();
  for (const version of [5, 6, 127]) {
    const request = encodeRequestFrame(ApiVersions, 4, 1, "c", NAMED)[0]!.slice();
    new DataView(request.buffer).setInt16(6, version);
    const [frame] = await wire.exchange(request);
    const { body } = decodeResponseFrame(ApiVersions, 0, frame!.subarray(4));
    assert.equal(body.errorCode, 35);
    assert.deepEqual(body.apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }]);
  }
});

const CLOSING: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ["an unknown API", header(999, 0)],
  ["Produce 2 though it is advertised", header(0, 2)],
  ["a version above the range", header(3, 99)],
  ["a body that ends too early", header(3, 9)],
  ["a frame of length 0", Uint8Array.of(0, 0, 0, 0)],
  ["a frame of length 3", Uint8Array.of(0, 0, 0, 3, 1, 2, 3)],
  ["a frame of length -1", Uint8Array.of(255, 255, 255, 255)],
  ["a frame over the limit", Uint8Array.of(0x06, 0x40, 0, 1)],
  ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: broker\r\n\r\n")],
];

for (const [name, bytes] of CLOSING) {
  test(`embedded broker: ${name} ends the connection without an answer`, async () => {
    const wire = await stage().connect();
    assert.deepEqual(await wire.exchange(bytes), []);
    assert.equal(wire.closed, true);
  });
}

test("embedded broker: requests before a bad frame are answered", async () => {
  const wire = await stage().connect();
  const frames = await wire.exchange(concat([...encodeRequestFrame(ApiVersions, 0, 5, null, {}), new Uint8Array(4)]));
  assert.equal(frames.length, 1);
  assert.equal(wire.closed, true);
});

test("embedded broker: 200 requests in one write are answered in order", async () => {
  const wire = await stage().connect();
  const requests = Array.from(
    { length: 200 },
    (_, i) => concat(encodeRequestFrame(Metadata, 9, 7 - i * 3, "c", { topics: [{ name: "orders" }] })),
  );
  const frames = await wire.exchange(concat(requests));
  const ids = frames.map((frame) => new DataView(frame.buffer, frame.byteOffset).getInt32(4));
  assert.deepEqual(ids, requests.map((_, i) => 7 - i * 3));
});

test("embedded broker: a request waits for the one before it", async () => {
  const { connect, runtime } = stage();
  const wire = await connect();
  const topics = [{ topic: "orders", partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1 }] }];
  wire.send(Fetch, 11, { maxWaitMs: 2500, minBytes: 1, replicaId: -1, topics });
  wire.send(Metadata, 9, { topics: [] });
  await runtime.advance(2499);
  assert.equal(wire.take().length, 0);
  await runtime.advance(1);
  assert.equal(wire.take().length, 2);
  assert.equal(runtime.pendingTimers, 0);
});

test("embedded broker: an idempotent producer gets a new id in epoch 0 at every call", async () => {
  const wire = await stage().connect();
  const ask = async (version: number, extra: Record<string, unknown> = {}): Promise<unknown[]> => {
    const answer = await wire.ask(InitProducerId, version, {
      transactionalId: null,
      transactionTimeoutMs: -1,
      ...extra,
    });
    return [answer!.errorCode, answer!.producerId, answer!.producerEpoch];
  };
  assert.deepEqual(await ask(0), [0, 1000n, 0]);
  assert.deepEqual(await ask(5), [0, 1001n, 0]);
  assert.deepEqual(await ask(4, { producerId: 1001n, producerEpoch: 3 }), [0, 1002n, 0]);
  assert.deepEqual(await ask(4, { producerId: 1001n }), [42, -1n, -1]);
  assert.deepEqual(await ask(4, { producerEpoch: 1 }), [42, -1n, -1]);
  assert.deepEqual(await ask(4, { transactionalId: "" }), [42, -1n, -1]);
});

test("embedded broker: metadata tells brokers, leaders, epochs and ids, partitions not in order", async () => {
  const { cluster, connect } = stage({ brokers: 3, racks: ["a", "b"] });
  cluster.moveLeader("orders", 2, 1);
  const wire = await connect();
  for (let version = 0; version <= 13; version++) {
    const answer = await wire.ask(Metadata, version, { topics: [{ name: "orders" }] });
    assert.deepEqual(answer!.brokers.map(({ nodeId }) => nodeId), [1, 2, 3]);
    const [topic] = answer!.topics;
    assert.deepEqual(topic!.partitions.map(({ partitionIndex }) => partitionIndex), [1, 2, 0]);
    assert.deepEqual(topic!.partitions.map(({ leaderId }) => leaderId), [2, 1, 1]);
    if (version >= 7) assert.deepEqual(topic!.partitions.map(({ leaderEpoch }) => leaderEpoch), [0, 1, 0]);
    if (version >= 10) assert.equal(topic!.topicId, cluster.topic("orders")!.id);
    if (version >= 1) assert.deepEqual(answer!.brokers.map(({ rack }) => rack), ["a", "b", null]);
  }
});

test("embedded broker: an empty list asks for no topic, null for all, and version 0 has no null", async () => {
  const wire = await stage({ topics: { a: 1, b: 1 } }).connect();
  const names = async (version: number, topics: { name: string }[] | null): Promise<(string | null)[]> =>
    (await wire.ask(Metadata, version, { topics }))!.topics.map(({ name }) => name);
  assert.deepEqual(await names(12, []), []);
  assert.deepEqual(await names(12, null), ["a", "b"]);
  assert.deepEqual(await names(0, []), ["a", "b"]);
  assert.deepEqual(await names(9, [{ name: "b" }, { name: "b" }]), ["b"]);
});

test("embedded broker: metadata by id knows the id or answers 100", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const { id } = cluster.topic("orders")!;
  const answer = await wire.ask(Metadata, 12, {
    topics: [{ topicId: id, name: null }, { topicId: "ab".repeat(16), name: null }],
  });
  assert.deepEqual(answer!.topics.map(({ errorCode, name }) => [errorCode, name]), [[0, "orders"], [100, null]]);
});

test("embedded broker: metadata creates a topic behind its back, if client and cluster want that", async () => {
  const { cluster, connect } = stage({ defaultPartitions: 4 });
  const wire = await connect();
  const ask = async (name: string, allowAutoTopicCreation: boolean): Promise<number> =>
    (await wire.ask(Metadata, 9, { topics: [{ name }], allowAutoTopicCreation }))!.topics[0]!.errorCode;
  assert.equal(await ask("new", false), 3);
  assert.equal(await ask("new", true), 3);
  assert.equal(await ask("new", true), 0);
  assert.equal(cluster.topic("new")?.partitions.length, 4);
  assert.equal(await ask("bad topic", true), 17);
  assert.equal(await ask("..", true), 17);
  const strict = await stage({ autoCreateTopics: false }).connect();
  await strict.ask(Metadata, 9, { topics: [{ name: "new" }], allowAutoTopicCreation: true });
  const again = await strict.ask(Metadata, 9, { topics: [{ name: "new" }], allowAutoTopicCreation: true });
  assert.equal(again!.topics[0]!.errorCode, 3);
  for (let version = 1; version <= 13; version++) {
    const unknown = await strict.ask(Metadata, version, { topics: [{ name: "new" }], allowAutoTopicCreation: true });
    assert.equal(unknown!.topics[0]!.errorCode, 3);
  }
});

test("embedded broker: creates topics, and says why not", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect();
  const ask = async (topic: Record<string, unknown>, version = 7): Promise<[number, number]> => {
    const base = { name: "made", numPartitions: 2, replicationFactor: 1, assignments: [], configs: [] };
    const answer = await wire.ask(CreateTopics, version, { topics: [{ ...base, ...topic }], timeoutMs: 1000 });
    return [answer!.topics[0]!.errorCode, answer!.topics[0]!.numPartitions];
  };
  assert.deepEqual(await ask({ configs: [{ name: "max.message.bytes", value: "77" }] }), [0, 2]);
  assert.equal(cluster.topic("made")?.rules.maxMessageBytes, 77);
  assert.deepEqual((await ask({}))[0], 36);
  assert.deepEqual((await ask({ name: "x y" }))[0], 17);
  assert.deepEqual((await ask({ name: "b", numPartitions: 0 }))[0], 37);
  assert.deepEqual((await ask({ name: "b", replicationFactor: 3 }))[0], 38);
  assert.deepEqual((await ask({ name: "b", configs: [{ name: "segment.bytes", value: "x" }] }))[0], 40);
  assert.deepEqual((await ask({ name: "b", numPartitions: -1, replicationFactor: -1 }, 4))[0], 0);
  assert.equal(cluster.topic("b")?.partitions.length, 1);
  const twice = { name: "c", numPartitions: 1, replicationFactor: 1 };
  const answer = await wire.ask(CreateTopics, 7, { topics: [twice, twice], timeoutMs: 1000 });
  assert.deepEqual(answer!.topics.map(({ errorCode, name }) => [errorCode, name]), [[42, "c"]]);
});

test("embedded cluster: a stopped broker refuses, its leaders move, and it comes back", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 2 });
  const wire = await connect(1);
  const other = await connect(2);
  cluster.stopBroker(1);
  await runtime.settle();
  assert.equal(wire.closed, true);
  assert.ok(wire.error);
  await assert.rejects(connect(1), { name: "ConnectionError", message: /broker-1.test:9092/ });
  const answer = await other.ask(Metadata, 12, { topics: [{ name: "orders" }] });
  assert.deepEqual(answer!.brokers.map(({ nodeId }) => nodeId), [2]);
  assert.ok(answer!.topics[0]!.partitions.every(({ leaderId }) => leaderId === 2));
  assert.equal((await other.produce(batchOf()))?.errorCode, 0);
  cluster.startBroker(1);
  const again = await connect(1);
  assert.equal((await again.produce(batchOf()))?.errorCode, 6);
});

test("embedded cluster: a partition without a running replica has no leader", async () => {
  const { cluster, connect } = stage({ brokers: 2, topics: { orders: { replicationFactor: 1 } } });
  cluster.stopBroker(1);
  const wire = await connect(2);
  const answer = await wire.ask(Metadata, 12, { topics: [{ name: "orders" }] });
  const [partition] = answer!.topics[0]!.partitions;
  assert.deepEqual([partition!.errorCode, partition!.leaderId, partition!.offlineReplicas], [5, -1, [1]]);
  cluster.startBroker(1);
  assert.equal(cluster.partition("orders", 0).leaderId, 1);
});

test("embedded cluster: partitions can be added while clients are there", async () => {
  const { cluster, connect } = stage();
  cluster.addPartitions("orders", 5);
  const wire = await connect();
  assert.equal((await wire.produce(batchOf(), { partition: 4 }))?.errorCode, 0);
});

test("embedded cluster: requests are kept as they were sent, oldest dropped first", async () => {
  const { cluster, connect } = stage({ record: 4 });
  const wire = await connect();
  const batch = batchOf();
  for (let i = 0; i < 4; i++) {
    await wire.produce(batch);
    await wire.ask(Metadata, 9, { topics: [] });
  }
  assert.ok(cluster.requests.length <= 4);
  const [first] = cluster.requestsOf(Produce);
  assert.deepEqual(first!.body.topicData[0]!.partitionData[0]!.records, batch);
  assert.deepEqual([first!.brokerId, first!.version, first!.clientId], [1, 11, "test"]);
  cluster.clearRequests();
  assert.equal(cluster.requests.length, 0);
});

test("embedded broker: a produce answer is right in every version", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  for (let version = 3; version <= 13; version++) {
    const topic = version >= 13 ? cluster.topic("orders")!.id : "orders";
    const answer = await wire.ask(Produce, version, produceBody([[topic, 0, batchOf()]]));
    const [partition] = answer!.responses[0]!.partitionResponses;
    assert.deepEqual([partition!.errorCode, partition!.baseOffset], [0, BigInt(version - 3)]);
  }
});

function header(apiKey: number, version: number): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 10);
  view.setInt16(4, apiKey);
  view.setInt16(6, version);
  view.setInt16(12, -1);
  return bytes;
}
