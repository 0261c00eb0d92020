import assert from "node:assert/strict";
import { resolveCodec } from "../../src/codec/registry.ts";
import type { RequestInputOf, ResponseOf } from "../../src/protocol/api.ts";
import { Fetch, FindCoordinator, ListOffsets, Metadata } from "../../src/protocol/messages/mod.ts";
import { selectSockets } from "../../src/runtime/select.ts";
import { BatchView } from "../../src/testing/storage/batch_view.ts";
import { EmbeddedCluster, readTopic, type StoredRecord } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { batchOf, concat, NOW, section } from "./batches.ts";
import { stage, type Wire } from "./wire.ts";

type Asked = { partition?: number; fetchOffset?: bigint; partitionMaxBytes?: number; currentLeaderEpoch?: number };

function fetchBody(
  topic: string,
  asked: Asked,
  rest: Partial<RequestInputOf<typeof Fetch>> = {},
): RequestInputOf<typeof Fetch> {
  const naming = /^[0-9a-f]{32}$/.test(topic) ? { topicId: topic } : { topic };
  const partitions = [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000, ...asked }];
  return { maxWaitMs: 0, minBytes: 1, maxBytes: 1_000_000, ...rest, topics: [{ ...naming, partitions }] };
}

async function fetchOne(
  wire: Wire,
  asked: Asked = {},
  version = 11,
  topic = "orders",
): Promise<ResponseOf<typeof Fetch>["responses"][number]["partitions"][number]> {
  const answer = await wire.ask(Fetch, version, fetchBody(topic, asked, version < 15 ? { replicaId: -1 } : {}));
  return answer!.responses[0]!.partitions[0]!;
}

test("embedded broker: fetch gives the batches back in every version, placed in the log", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const batch = batchOf({ records: [{ key: "a" }, { key: "b" }] });
  await wire.produce(batch);
  await wire.produce(batch);
  const expected = concat([batch, batch]);
  const view = new DataView(expected.buffer);
  view.setInt32(12, 0);
  view.setBigInt64(batch.length, 2n);
  view.setInt32(batch.length + 12, 0);
  for (let version = 4; version <= 18; version++) {
    const answer = await fetchOne(wire, {}, version, version >= 13 ? cluster.topic("orders")!.id : "orders");
    assert.deepEqual([answer.errorCode, answer.highWatermark, answer.records], [0, 4n, expected]);
  }
});

test("embedded broker: fetch starts with the batch that holds the offset and keeps to the limit", async () => {
  const { connect } = stage();
  const wire = await connect();
  const batch = batchOf({ records: [{ key: "a" }, { key: "b" }] });
  for (let i = 0; i < 4; i++) await wire.produce(batch);
  const size = async (asked: Asked): Promise<number> => (await fetchOne(wire, asked)).records!.length / batch.length;
  assert.equal(await size({ fetchOffset: 3n }), 3);
  assert.equal(await size({ fetchOffset: 3n, partitionMaxBytes: 2 * batch.length }), 2);
  assert.equal(await size({ fetchOffset: 3n, partitionMaxBytes: 2 * batch.length - 1 }), 2 - 1 / batch.length);
  assert.equal(await size({ fetchOffset: 3n, partitionMaxBytes: 1 }), 1);
  assert.equal(await size({ fetchOffset: 8n }), 0);
});

test("embedded broker: fetch says what is wrong with offset, partition, id, leader and epoch", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect(1);
  cluster.moveLeader("orders", 1, 2);
  cluster.moveLeader("orders", 0, 1);
  const code = async (asked: Asked, version = 12, topic = "orders"): Promise<number> =>
    (await fetchOne(wire, asked, version, topic)).errorCode;
  assert.equal(await code({ fetchOffset: 1n }), 1);
  assert.equal(await code({ fetchOffset: -1n }), 1);
  assert.equal(await code({ partition: 9 }), 3);
  assert.equal(await code({}, 12, "missing"), 3);
  assert.equal(await code({}, 13, "ab".repeat(16)), 100);
  assert.equal(await code({ currentLeaderEpoch: 0 }), 74);
  assert.equal(await code({ currentLeaderEpoch: 2 }), 75);
  assert.equal(await code({ currentLeaderEpoch: 1 }), 0);
  const moved = await fetchOne(wire, { partition: 1 });
  assert.equal(moved.errorCode, 6);
  const hinted = await wire.ask(Fetch, 16, fetchBody(cluster.topic("orders")!.id, { partition: 1 }));
  assert.equal(hinted!.responses[0]!.partitions[0]!.currentLeader.leaderId, 2);
  assert.equal(hinted!.nodeEndpoints[0]?.host, "broker-2.test");
});

test("embedded broker: fetch waits for records, and is answered when they come", async () => {
  const { connect, runtime } = stage();
  const [reader, writer] = [await connect(), await connect()];
  reader.send(Fetch, 11, fetchBody("orders", {}, { replicaId: -1, maxWaitMs: 5000 }));
  await runtime.advance(3000);
  assert.equal(reader.take().length, 0);
  await writer.produce(batchOf());
  assert.equal(runtime.now(), 3000);
  const answer = await reader.answer(Fetch, 11);
  assert.equal(answer!.responses[0]!.partitions[0]!.highWatermark, 1n);
  assert.equal(runtime.pendingTimers, 0);
});

test("embedded broker: a fetch whose connection went leaves no timer", async () => {
  const { connect, runtime } = stage();
  const wire = await connect();
  wire.send(Fetch, 11, fetchBody("orders", {}, { replicaId: -1, maxWaitMs: 5000 }));
  await runtime.settle();
  assert.equal(runtime.pendingTimers, 1);
  wire.socket.destroy();
  await runtime.settle();
  assert.equal(runtime.pendingTimers, 0);
});

test("embedded broker: fetch keeps no sessions", async () => {
  const { connect } = stage();
  const wire = await connect();
  const answer = await wire.ask(Fetch, 11, fetchBody("orders", {}, { replicaId: -1, sessionId: 7, sessionEpoch: 3 }));
  assert.equal(answer!.errorCode, 70);
});

test("embedded broker: list offsets finds both ends and timestamps, also in compressed batches", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  await wire.produce(batchOf({ records: [{ timestampDelta: 10 }, { timestampDelta: 20 }] }));
  const records = [{ timestampDelta: 30 }, { timestampDelta: 5 }, { timestampDelta: 40 }];
  const payload = await resolveCodec("snappy").compress(section(records));
  await wire.produce(batchOf({ records, payload, attributes: 2 }));
  const ask = async (timestamp: bigint, version = 8, partition = 0): Promise<unknown[]> => {
    const answer = await wire.ask(ListOffsets, version, {
      replicaId: -1,
      topics: [{ name: "orders", partitions: [{ partitionIndex: partition, timestamp }] }],
    });
    const [found] = answer!.topics[0]!.partitions;
    return [found!.errorCode, found!.offset, found!.timestamp];
  };
  for (let version = 1; version <= 10; version++) assert.deepEqual(await ask(-1n, version), [0, 5n, -1n]);
  // As KafkaJS asks: the first versions have no leader epoch to tell.
  for (let version = 1; version <= 10; version++) assert.deepEqual(await ask(NOW + 11n, version), [0, 1n, NOW + 20n]);
  assert.deepEqual(await ask(-2n), [0, 0n, -1n]);
  assert.deepEqual(await ask(-3n), [0, 4n, NOW + 40n]);
  assert.deepEqual(await ask(0n), [0, 0n, NOW + 10n]);
  assert.deepEqual(await ask(NOW + 11n), [0, 1n, NOW + 20n]);
  assert.deepEqual(await ask(NOW + 21n), [0, 2n, NOW + 30n]);
  assert.deepEqual(await ask(NOW + 31n), [0, 4n, NOW + 40n]);
  assert.deepEqual(await ask(NOW + 41n), [0, -1n, -1n]);
  assert.deepEqual((await ask(-1n, 8, 9))[0], 3);
  cluster.partition("orders", 0).log.deleteBefore(3n);
  assert.deepEqual(await ask(-2n), [0, 3n, -1n]);
});

test("embedded broker: the coordinator of a group is found by both ways of asking, and moves", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect();
  const find = async (key: string) => (await wire.ask(FindCoordinator, 3, { key }))!;
  const first = (await find("g")).nodeId;
  assert.equal(first, cluster.coordinator("group", "g")!.id);
  cluster.moveCoordinator("group", "g", 3 - first);
  assert.deepEqual([(await find("g")).errorCode, (await find("g")).nodeId], [0, 3 - first]);
  const answer = await wire.ask(FindCoordinator, 4, { coordinatorKeys: ["g", "h"] });
  assert.deepEqual(answer!.coordinators.map(({ key, errorCode }) => [key, errorCode]), [["g", 0], ["h", 0]]);
  const unknown = await wire.ask(FindCoordinator, 4, { keyType: 9, coordinatorKeys: ["g"] });
  assert.equal(unknown!.coordinators[0]!.errorCode, 42);
});

async function collect(records: AsyncIterable<StoredRecord>): Promise<string[]> {
  const values: string[] = [];
  for await (const { partition, offset, value } of records) {
    values.push(`${partition}/${offset} ${new TextDecoder().decode(value!)}`);
  }
  return values;
}

test("read back: all records of all partitions on three brokers, whatever their codec", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 3, network: { chunking: "random" } });
  const expected: string[] = [];
  for (const partition of [0, 1, 2]) {
    const wire = await connect(cluster.partition("orders", partition).leaderId);
    let offset = 0;
    for (const name of ["none", "gzip", "snappy", "lz4"] as const) {
      const codec = resolveCodec(name, { codecs: "portable" });
      await codec.load?.();
      const records = [{ value: `${name} one` }, { value: `${name} two` }];
      const payload = await codec.compress(section(records));
      const produced = await wire.produce(batchOf({ records, payload, attributes: codec.id }), { partition });
      assert.equal(produced?.errorCode, 0);
      for (const { value } of records) expected.push(`${partition}/${offset++} ${value}`);
    }
  }
  const { bootstrap: brokers, sockets } = cluster;
  const read = await runtime.runUntil(collect(readTopic({ brokers, sockets, topic: "orders", maxBytes: 1 })));
  assert.deepEqual(read.sort(), expected.sort());
  await runtime.settle();
  assert.equal(cluster.network.openConnections, 3); // the test's own
});

test("read back: the first server that answers is enough, and none is an error", async () => {
  const { cluster, runtime } = stage();
  const { bootstrap, sockets } = cluster;
  const read = (brokers: string, topic = "orders"): Promise<string[]> =>
    runtime.runUntil(collect(readTopic({ brokers, sockets, topic })));
  assert.deepEqual(await read(`nobody.test:1, ${bootstrap}`), []);
  await assert.rejects(read("nobody.test:1,nobody.test:2"), { name: "ConnectionError", message: /nobody.test:2/ });
  await assert.rejects(read("nobody.test"), { name: "ConnectionError", message: /wanted host:port/ });
  await assert.rejects(read(bootstrap, "missing"), { errorCode: 3 });
});

test("read back: a broker's error is the reader's", async () => {
  const { cluster, connect, runtime } = stage();
  await (await connect()).produce(batchOf());
  cluster.control(Fetch, { error: 56 });
  const { bootstrap: brokers, sockets } = cluster;
  await assert.rejects(runtime.runUntil(collect(readTopic({ brokers, sockets, topic: "orders" }))), { errorCode: 56 });
});

test("read back: what a broker at work stops answering is a connection error", async () => {
  const { cluster, connect, runtime } = stage();
  await (await connect()).produce(batchOf());
  cluster.control(Fetch, { drop: "before" });
  const { bootstrap: brokers, sockets } = cluster;
  const read = collect(readTopic({ brokers, sockets, topic: "orders" }));
  await assert.rejects(runtime.runUntil(read), { name: "ConnectionError" });
});

test("embedded cluster: real sockets reach what listens on TCP", { needs: "listen" }, async (t) => {
  const cluster = new EmbeddedCluster({ brokers: 2, topics: { orders: 4 } });
  const listening = await cluster.listen();
  t.after(() => cluster.close());
  const sockets = selectSockets();
  assert.match(listening.address, /^127\.0\.0\.1:\d+$/);
  assert.equal(listening.brokers.split(",").length, 2);
  const { leader } = cluster.partition("orders", 3);
  const value = "x".repeat(300_000);
  const view = new BatchView(batchOf({ records: [{ value }] }));
  for (let i = 0; i < 5; i++) leader.append(view, { leaderEpoch: 0, maxTimestampMs: NOW });
  cluster.controller.appended(leader);
  const read = await collect(readTopic({ brokers: listening.brokers, sockets, topic: "orders" }));
  assert.deepEqual(read, [0, 1, 2, 3, 4].map((offset) => `3/${offset} ${value}`));
  await listening.close();
  await assert.rejects(collect(readTopic({ brokers: listening.brokers, sockets, topic: "orders" })), {
    name: "ConnectionError",
  });
});

test("embedded cluster: each listener tells its own addresses", { needs: "listen" }, async (t) => {
  const { cluster, connect } = stage({ brokers: 2 });
  const listening = await cluster.listen();
  t.after(() => cluster.close());
  const answer = await (await connect()).ask(Metadata, 9, { topics: [] });
  assert.deepEqual(answer!.brokers.map(({ host }) => host), ["broker-1.test", "broker-2.test"]);
  assert.equal(cluster.broker(2).endpoint("tcp").port, Number(listening.brokers.split(":").at(-1)));
});

test(
  "embedded cluster: listening on a port that is taken fails and leaves nothing open",
  { needs: "listen" },
  async (t) => {
    const first = new EmbeddedCluster();
    const { address } = await first.listen();
    t.after(() => first.close());
    const second = new EmbeddedCluster({ brokers: 2 });
    await assert.rejects(second.listen({ port: Number(address.split(":")[1]) }), { name: "ConnectionError" });
  },
);
