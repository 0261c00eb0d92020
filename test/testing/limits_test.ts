import assert from "node:assert/strict";
import { encodeRequestFrame } from "../../src/protocol/api.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf, concat, sequencedBatch } from "./batches.ts";
import { produceBody, stage, type Wire } from "./wire.ts";

const PID = 9n;

/** Produces some bytes; returns the throttle that is told. */
async function throttle(wire: Wire, valueBytes: number, version = 11): Promise<number> {
  const batch = batchOf({ records: [{ value: "x".repeat(valueBytes) }] });
  return (await wire.ask(Produce, version, produceBody([["orders", 0, batch]])))!.throttleTimeMs;
}

test("quota: a request over it is answered at once, and the next one of its connection waits", async () => {
  const { cluster, connect, runtime } = stage();
  const stop = cluster.quota({ bytesPerSecond: 1000 });
  const [wire, other] = [await connect(), await connect()];
  assert.equal(await throttle(wire, 5_000), 0);
  const startMs = runtime.now();
  const told = await throttle(wire, 9_700);
  assert.ok(told > 4_900 && told < 5_200, `${told}`);
  assert.equal(runtime.now(), startMs);
  await wire.ask(Metadata, 9, { topics: [] });
  assert.equal(runtime.now() - startMs, told);
  const beforeMs = runtime.now();
  await other.ask(Metadata, 9, { topics: [] });
  assert.equal(runtime.now(), beforeMs);
  stop();
  assert.equal(await throttle(wire, 90_000), 0);
});

test("quota: is each client's own, in every version", async () => {
  const { cluster, connect, runtime } = stage();
  cluster.quota({ bytesPerSecond: 1000, clientId: "somebody else" });
  assert.equal(await throttle(await connect(), 50_000), 0);
  cluster.quota({ bytesPerSecond: 1000 });
  const wire = await connect();
  assert.ok(await throttle(wire, 20_000, 3) > 9_000);
  const startMs = runtime.now();
  await wire.ask(Metadata, 9, { topics: [] });
  assert.ok(runtime.now() - startMs > 9_000);
});

test("quota: ending one twice leaves those of others, and its options may be used again", async () => {
  const { cluster, connect } = stage();
  cluster.quota({ bytesPerSecond: 1000 });
  const options = { bytesPerSecond: 1_000_000, clientId: "somebody else" };
  const stop = cluster.quota(options);
  stop();
  stop();
  assert.ok(await throttle(await connect(), 20_000) > 0);
  const first = cluster.quota(options);
  cluster.quota(options);
  first();
  first();
  assert.equal(cluster.quotas.length, 2);
});

test("quota: is forgotten eleven seconds later", async () => {
  const { cluster, connect, runtime } = stage();
  cluster.quota({ bytesPerSecond: 1000 });
  const wire = await connect();
  assert.ok(await throttle(wire, 11_000) > 0);
  await runtime.advance(11_000);
  assert.equal(await throttle(wire, 5_000), 0);
});

test("idle connections: are closed when nothing has come for so long, used or not", async () => {
  const { connect, runtime } = stage({ connectionsMaxIdleMs: 4000 });
  const [used, unused] = [await connect(), await connect()];
  await runtime.advance(3000);
  await used.ask(Metadata, 9, { topics: [] });
  await runtime.advance(999);
  assert.equal(unused.closed, false);
  await runtime.advance(1);
  assert.deepEqual([used.closed, unused.closed], [false, true]);
  await runtime.advance(3000);
  assert.deepEqual([used.closed, used.error], [true, undefined]);
  assert.equal(runtime.pendingTimers, 0);
});

test("strict requests: bytes behind the last field end the connection, unless Kafka's way is wanted", async () => {
  const request = concat([...encodeRequestFrame(Metadata, 9, 1, "c", { topics: [] }), Uint8Array.of(1, 2, 3)]);
  new DataView(request.buffer).setInt32(0, request.length - 4);
  const strict = await stage().connect();
  assert.deepEqual([(await strict.exchange(request)).length, strict.closed], [0, true]);
  const lenient = await stage({ strictRequests: false }).connect();
  assert.deepEqual([(await lenient.exchange(request)).length, lenient.closed], [1, false]);
});

test("producer expiration: a producer that was quiet for so long is unknown, and a retry is a second copy", async () => {
  const { cluster, connect, runtime } = stage({ producerIdExpirationMs: 60_000 });
  const wire = await connect();
  await wire.produce(sequencedBatch(PID, 3, 0));
  await runtime.advance(59_999);
  assert.equal((await wire.produce(sequencedBatch(PID, 3, 0)))?.baseOffset, 0n);
  await runtime.advance(1);
  assert.equal((await wire.produce(sequencedBatch(PID, 3, 0)))?.baseOffset, 1n);
  await runtime.advance(59_999);
  assert.equal((await wire.produce(sequencedBatch(PID, 3, 9)))?.errorCode, 45);
  cluster.expireProducers();
  assert.deepEqual((await wire.produce(sequencedBatch(PID, 1, 9)))?.baseOffset, 2n);
});

test("producer expiration: by hand it reaches every replica, and one producer if wanted", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect(1);
  await wire.produce(sequencedBatch(PID, 0, 0));
  await wire.produce(sequencedBatch(PID + 1n, 0, 0));
  cluster.expireProducers(PID);
  cluster.moveLeader("orders", 0, 2);
  const other = await connect(2);
  assert.equal((await other.produce(sequencedBatch(PID, 0, 7)))?.errorCode, 0);
  assert.equal((await other.produce(sequencedBatch(PID + 1n, 0, 7)))?.errorCode, 45);
});

test("deleted records: the producers that wrote them are still known, also after an election", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect(1);
  for (let i = 0; i < 3; i++) await wire.produce(sequencedBatch(PID, 0, i));
  cluster.deleteRecords("orders", 0, 3n);
  for (const id of [1, 2]) assert.equal(cluster.partition("orders", 0).replica(id)!.log.startOffset, 3n);
  assert.deepEqual((await cluster.records("orders", 0)).length, 0);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 5)))?.errorCode, 45);
  const dup = await wire.produce(sequencedBatch(PID, 0, 2));
  assert.deepEqual([dup?.errorCode, dup?.baseOffset, dup?.logStartOffset], [0, 2n, 3n]);
  // A truncation that leaves nothing in the log must not make it forget either.
  cluster.setIsr("orders", 0, [1]);
  await wire.produce(sequencedBatch(PID, 0, 3), { acks: 1 });
  cluster.electLeader("orders", 0, 2, { unclean: true });
  cluster.setIsr("orders", 0, [1, 2]);
  cluster.moveLeader("orders", 0, 1);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 5)))?.errorCode, 45);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 3)))?.baseOffset, 3n);
  assert.equal(cluster.partition("orders", 0).replica(2)!.log.startOffset, 3n);
});

test("deleted topic: its producers are forgotten with it, on every broker", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect(1);
  await wire.produce(sequencedBatch(PID, 4, 0));
  const { id } = cluster.topic("orders")!;
  cluster.deleteTopic("orders");
  assert.equal((await wire.produce(batchOf(), { topic: id, version: 13 }))?.errorCode, 100);
  cluster.createTopic("orders");
  cluster.moveLeader("orders", 0, 1);
  assert.notEqual(cluster.topic("orders")!.id, id);
  assert.equal((await wire.produce(sequencedBatch(PID, 0, 17)))?.errorCode, 0);
  cluster.moveLeader("orders", 0, 2);
  assert.equal((await (await connect(2)).produce(sequencedBatch(PID, 0, 17)))?.baseOffset, 0n);
});

test("partition growth: brokers that have the news serve the new partitions, others don't", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 2, metadataLagMs: (broker) => broker === 2 ? 50 : 0 });
  const second = await connect(2);
  cluster.addPartitions("orders", 5);
  const partition = [3, 4].find((index) => cluster.partition("orders", index).leaderId === 2)!;
  assert.equal((await second.produce(batchOf(), { partition }))?.errorCode, 3);
  const count = async (wire: Wire): Promise<number> =>
    (await wire.ask(Metadata, 9, { topics: [{ name: "orders" }] }))!.topics[0]!.partitions.length;
  assert.deepEqual([await count(await connect(1)), await count(second)], [5, 3]);
  await runtime.advance(50);
  assert.equal(await count(second), 5);
  assert.equal((await second.produce(batchOf(), { partition }))?.errorCode, 0);
});
