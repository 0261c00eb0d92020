import assert from "node:assert/strict";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const LATENCY_MS = 50;
const ROUND_TRIP_MS = 2 * LATENCY_MS;

/** Api and version of every request so far. */
function story(cluster: EmbeddedCluster): string[] {
  return cluster.requests.map(({ api, version }) => `${api.name} ${version}`);
}

test("cold start: three requests in one write, then the records: three round trips with TCP's, on one connection", async () => {
  const { cluster, producer, run, runtime } = stage({ network: { latencyMs: LATENCY_MS } });
  const p = producer();
  assert.equal((await run(p.send({ topic: "orders", partition: 0, value: "v" }))).offset, 0n);
  assert.equal(runtime.now(), 3 * ROUND_TRIP_MS);
  assert.deepEqual(story(cluster), ["ApiVersions 4", "Metadata 10", "InitProducerId 4", "Produce 13"]);
  const [first, second, third] = cluster.requests;
  assert.deepEqual([second!.atMs, third!.atMs], [first!.atMs, first!.atMs]);
  assert.deepEqual(cluster.requestsOf(Metadata)[0]!.body.topics!.map(({ name }) => name), ["orders"]);
  assert.equal(cluster.network.dials, 1);
  assert.equal(p.isIdempotent(), true);
  await run(p.close());
});

test("cold start: connect() takes two round trips, and the topic of the first send one more", async () => {
  const { cluster, producer, run, runtime } = stage({ network: { latencyMs: LATENCY_MS } });
  const p = producer();
  await run(p.connect());
  assert.equal(runtime.now(), 2 * ROUND_TRIP_MS);
  assert.equal(p.isIdempotent(), true);
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(runtime.now(), 4 * ROUND_TRIP_MS);
  assert.deepEqual(story(cluster), ["ApiVersions 4", "Metadata 10", "InitProducerId 4", "Metadata 13", "Produce 13"]);
  await run(p.close());
});

test("cold start: without idempotence no producer id is asked for", async () => {
  const { cluster, producer, run, runtime } = stage({ network: { latencyMs: LATENCY_MS } });
  const p = producer({ acks: 1 });
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(runtime.now(), 3 * ROUND_TRIP_MS);
  assert.deepEqual(story(cluster), ["ApiVersions 4", "Metadata 10", "Produce 13"]);
  await run(p.close());
});

test("cold start: a server that nobody could reach for a while is asked as one of which nothing is known", async () => {
  const { cluster, producer, run, runtime } = stage();
  const { host, port } = cluster.broker(1).endpoint("memory");
  cluster.network.blackHole(`${host}:${port}`);
  const p = producer({ connectTimeoutMs: 1_000 });
  const sent = p.send({ topic: "orders", partition: 0, value: "v" });
  await runtime.advance(20_000);
  assert.ok(cluster.network.dials > 2, `${cluster.network.dials} dials have failed`);
  cluster.network.heal(`${host}:${port}`);
  await run(sent);
  assert.deepEqual(story(cluster), ["ApiVersions 4", "Metadata 10", "InitProducerId 4", "Produce 13"]);
  await run(p.close());
});

test("cold start: a leader elsewhere is dialled once metadata names it, with the producer id there already", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, network: { latencyMs: LATENCY_MS } });
  const leader = cluster.partition("orders", 0).leaderId;
  const other = cluster.broker(leader === 1 ? 2 : 1).endpoint("memory");
  const p = producer({ brokers: `${other.host}:${other.port}` });
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(runtime.now(), 5 * ROUND_TRIP_MS, "TCP, pipelined, TCP, ApiVersions, Produce");
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  assert.equal(cluster.network.dials, 2);
  await run(p.close());
});

test("cold start: a broker that doesn't speak the guessed versions is asked one after the other, and that is remembered", async () => {
  const table: Record<string, [number, number] | null>[] = [
    { Metadata: [0, 9] },
    { Metadata: [0, 4], InitProducerId: [0, 1] },
    { Metadata: [11, 13] },
    { InitProducerId: [0, 3] },
    { InitProducerId: [5, 5] },
  ];
  for (const apiVersions of table) {
    const { cluster, producer, run, runtime } = stage({ apiVersions, network: { latencyMs: LATENCY_MS } });
    const p = producer();
    assert.equal((await run(p.send({ topic: "orders", partition: 0, value: "v" }))).offset, 0n);
    const name = JSON.stringify(apiVersions);
    assert.equal(cluster.network.dials, 2, name);
    assert.equal(runtime.now(), (2 + 5) * ROUND_TRIP_MS, name);
    cluster.clearRequests();
    cluster.broker(1).disconnectAll();
    await runtime.advance(1_000);
    await run(p.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(cluster.network.dials, 3, name);
    assert.equal((await cluster.records("orders", 0)).length, 2);
    await run(p.close());
    await runtime.advance(10_000);
    assert.deepEqual([cluster.network.openConnections, runtime.pendingTimers], [0, 0], name);
  }
});

test("cold start: what one server was taken aback by is not tried on the next", async () => {
  const { cluster, producer, run } = stage({ brokers: 2, apiVersions: { Metadata: [0, 9] } });
  cluster.control(Metadata, { respond: { brokers: [], topics: [] } }, { times: 1 });
  const p = producer();
  await run(p.connect());
  assert.equal(cluster.network.dials, 3, "the first server twice, the second once");
  await run(p.close());
});

test("cold start: a cluster without producer ids says so in words, not by a closed connection", async () => {
  const { cluster, producer, failure, run } = stage({ apiVersions: { InitProducerId: null } });
  const p = producer();
  const error = await failure(p.send({ topic: "orders", value: "v" }));
  assert.deepEqual([error.name, error.persisted], ["UnsupportedVersionError", "no"]);
  assert.match(error.message, /InitProducerId/);
  const plain = producer({ idempotent: false });
  assert.equal((await run(plain.send({ topic: "orders", value: "v" }))).delivery, "acked");
  assert.equal(cluster.requestsOf(Produce).length, 1);
  await run(Promise.all([p.close(), plain.close()]));
});

test("cold start: answers come in order although ApiVersions is refused in front of them", async () => {
  const tooNew = stage({ apiVersions: { ApiVersions: [0, 3] } });
  const nameless = stage();
  nameless.cluster.control(ApiVersions, (_, { version }) => version > 0 ? { error: 42 } : undefined);
  for (const { cluster, producer, run } of [tooNew, nameless]) {
    const p = producer();
    assert.equal((await run(p.send({ topic: "orders", partition: 0, value: "v" }))).offset, 0n);
    // A version that it doesn't know at all is not recorded.
    const refused = cluster === nameless.cluster;
    const pipelined = ["Metadata 10", "InitProducerId 4", refused ? "ApiVersions 0" : "ApiVersions 3", "Produce 13"];
    assert.deepEqual(story(cluster), refused ? ["ApiVersions 4", ...pipelined] : pipelined);
    assert.equal(cluster.network.dials, 1);
    await run(p.close());
  }
});

test("cold start: a server that hangs up on, garbles or ignores a guessed request costs time, never the start", async () => {
  for (const api of [Metadata, InitProducerId]) {
    for (const action of [{ close: true }, { bytes: Uint8Array.of(0, 0, 0, 5, 0, 0, 0, 2, 9) }, { silence: true }]) {
      const { cluster, producer, run, runtime } = stage();
      const guessed = api === Metadata ? 10 : 4;
      cluster.control(api, (_, { version }) => version === guessed ? action : undefined);
      const p = producer({ requestTimeoutMs: 3_000 });
      const name = `${api.name} ${JSON.stringify(action)}`;
      assert.equal((await run(p.send({ topic: "orders", partition: 0, value: "v" }))).offset, 0n, name);
      assert.ok(runtime.now() <= 3_500, `${name}: ${runtime.now()} ms`);
      assert.equal((await cluster.records("orders", 0)).length, 1);
      await run(p.close());
      await runtime.advance(10_000);
      assert.deepEqual([cluster.network.openConnections, runtime.pendingTimers], [0, 0], name);
    }
  }
});

test("cold start: of two servers that were asked for a producer id, the first to answer counts, and for good", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, topics: { orders: 1 } });
  cluster.network.configure({ latencyMs: 1 });
  // Whichever is asked first keeps its answers back for longer than the next one is left in peace.
  let slow: number | undefined;
  cluster.control(ApiVersions, (_, { brokerId }) => {
    slow ??= brokerId;
    return brokerId === slow ? { delayMs: 1_500 } : undefined;
  });
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  await runtime.advance(5_000);
  assert.equal(cluster.requestsOf(InitProducerId).length, 2);
  for (let i = 0; i < 3; i++) await run(p.send({ topic: "orders", value: "v" }));
  const ids = cluster.requestsOf(Produce).map(({ body }) => {
    const batch = body.topicData[0]!.partitionData[0]!.records!;
    return new DataView(batch.buffer, batch.byteOffset).getBigInt64(43);
  });
  assert.equal(new Set(ids).size, 1);
  assert.equal((await cluster.records("orders", 0)).length, 4);
  await run(p.close());
});
