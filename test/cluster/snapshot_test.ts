import assert from "node:assert/strict";
import type { ClusterSnapshot } from "../../src/cluster/snapshot.ts";
import { InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { impostor, type Stage, stage } from "../stage.ts";

const LATENCY_MS = 50;
const ROUND_TRIP_MS = 2 * LATENCY_MS;

/** What a producer that has sent to all partitions of `orders` leaves behind, sent around as JSON. */
async function taken({ producer, run }: Stage): Promise<ClusterSnapshot> {
  const p = producer();
  await run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "first" }))).all());
  const snapshot = JSON.parse(JSON.stringify(p.snapshot()));
  await run(p.close());
  return snapshot;
}

test("snapshot: the next producer dials the leader at once, and asks nobody for metadata", async () => {
  const s = stage({ brokers: 3, network: { latencyMs: LATENCY_MS } });
  const snapshot = await taken(s);
  const { cluster, producer, run, runtime } = s;
  for (
    const [options, wanted] of [[{}, ["ApiVersions", "InitProducerId", "Produce"]], [
      { acks: 1 },
      ["ApiVersions", "Produce"],
    ]] as const
  ) {
    cluster.clearRequests();
    const [dials, startMs] = [cluster.network.dials, runtime.now()];
    const p = producer({ snapshot, ...options });
    await run(p.send({ topic: "orders", partition: 1, value: "second" }));
    assert.equal(runtime.now() - startMs, 3 * ROUND_TRIP_MS);
    assert.deepEqual(cluster.requests.map(({ api }) => api.name), wanted);
    assert.equal(cluster.network.dials - dials, 1);
    assert.equal(cluster.requests[0]!.brokerId, cluster.partition("orders", 1).leaderId);
    await run(p.close());
  }
});

test("snapshot: is plain data that survives JSON, and is as good when it is handed on without a refresh", async () => {
  const s = stage({ brokers: 2 });
  const snapshot = await taken(s);
  assert.deepEqual(snapshot.topics.map(({ name, partitions }) => [name, partitions.length]), [["orders", 3]]);
  assert.deepEqual(snapshot.brokers.map(({ nodeId }) => nodeId), [1, 2]);
  assert.deepEqual(snapshot.brokers.map(({ versions }) => versions[String(Produce.key)]), [[0, 13], [0, 13]]);
  assert.deepEqual(snapshot.bootstrap, ["broker-1.test:9092", "broker-2.test:9092"]);
  await s.runtime.advance(1_000);
  const next = s.producer({ snapshot });
  assert.deepEqual(next.snapshot().topics, snapshot.topics);
  assert.equal(next.snapshot().takenAtMs, snapshot.takenAtMs, "it doesn't get younger by being handed on");
  await s.run(next.close());
  const unborn = s.producer();
  assert.deepEqual([unborn.snapshot().brokers, unborn.snapshot().topics], [[], []]);
  const heir = s.producer({ snapshot: unborn.snapshot() });
  assert.equal((await s.run(heir.send({ topic: "orders", partition: 0, value: "v" }))).offset, 1n);
  await s.run(Promise.all([unborn.close(), heir.close()]));
});

test("snapshot: when leaders have moved since, it costs a retry", async () => {
  const s = stage({ brokers: 3 });
  const snapshot = await taken(s);
  for (let partition = 0; partition < 3; partition++) {
    s.cluster.moveLeader("orders", partition, s.cluster.partition("orders", partition).leaderId % 3 + 1);
  }
  const p = s.producer({ snapshot });
  const records = [0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "second" }));
  const sent = await s.run(p.sendBatch(records).all());
  assert.deepEqual(sent.map(({ offset }) => offset), [1n, 1n, 1n]);
  assert.ok(s.runtime.now() < 1_000);
  assert.equal((await s.cluster.records("orders")).length, 6);
  await s.run(p.close());
});

test("snapshot: when brokers are gone, or others listen in their place, the bootstrap servers are asked", async () => {
  const kinds = ["refuses", "hole", "closes", "http", "silent"] as const;
  for (const kind of kinds) {
    const s = stage({ brokers: 2 });
    const taken1 = await taken(s);
    const moved: ClusterSnapshot = {
      ...taken1,
      brokers: taken1.brokers.map((broker, i) => ({ ...broker, host: `gone-${i}.test`, port: 1 + i })),
    };
    for (const { host, port } of moved.brokers) {
      if (kind === "hole") s.cluster.network.blackHole(`${host}:${port}`);
      else if (kind !== "refuses") impostor(s.cluster, `${host}:${port}`, kind);
    }
    const startMs = s.runtime.now();
    const p = s.producer({ snapshot: moved });
    const sent = await s.run(
      p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all(),
    );
    assert.deepEqual(sent.map(({ offset }) => offset), [1n, 1n, 1n], kind);
    assert.ok(s.runtime.now() - startMs <= 3_000, `${kind}: ${s.runtime.now() - startMs} ms`);
    await s.run(p.close());
    await s.runtime.advance(30_000);
    assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0], kind);
  }
});

test("snapshot: when brokers speak other versions by now, that costs a connection", async () => {
  const s = stage();
  const snapshot = await taken(s);
  for (const range of [[0, 3], [0, 1]] as const) {
    s.cluster.broker(1).pin(InitProducerId, range);
    const p = s.producer({ snapshot });
    const before = s.cluster.network.dials;
    assert.equal((await s.run(p.send({ topic: "orders", partition: 0, value: "v" }))).delivery, "acked");
    assert.equal(s.cluster.network.dials - before, 2);
    await s.run(p.close());
  }
  const old: ClusterSnapshot = {
    ...snapshot,
    brokers: snapshot.brokers.map((broker) => ({ ...broker, versions: {} })),
  };
  s.cluster.broker(1).pin(InitProducerId, [0, 5]);
  const p = s.producer({ snapshot: old });
  assert.equal((await s.run(p.send({ topic: "orders", partition: 0, value: "v" }))).delivery, "acked");
  assert.equal(s.cluster.requestsOf(InitProducerId).at(-1)!.version, 4, "guessed");
  await s.run(p.close());
});

test("snapshot: when a topic was created anew, or its epochs lie, the first answer of a broker puts it right", async () => {
  for (const apiVersions of [{}, { Metadata: [0, 9] }, { Metadata: [0, 4] }] as Record<string, [number, number]>[]) {
    const s = stage({ brokers: 2, topics: { orders: 3 }, apiVersions });
    const snapshot = await taken(s);
    s.cluster.deleteTopic("orders");
    s.cluster.createTopic("orders", { partitions: 3 });
    const lies: ClusterSnapshot = {
      ...snapshot,
      topics: snapshot.topics.map((topic) => ({
        ...topic,
        // The leader of each is the other one, in an epoch that will never come.
        partitions: topic.partitions.map((_, index) => {
          return [s.cluster.partition("orders", index).leaderId === 1 ? 2 : 1, 1_000_000] as const;
        }),
      })),
    };
    const p = s.producer({ snapshot: lies });
    const sent = await s.run(
      p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all(),
    );
    assert.deepEqual(sent.map(({ offset }) => offset), [0n, 0n, 0n]);
    assert.deepEqual(
      (await s.run(p.partitionsFor("orders"))).map(({ leader }) => leader),
      [0, 1, 2].map((index) => {
        return s.cluster.partition("orders", index).leaderId;
      }),
    );
    await s.run(p.close());
  }
});

test("snapshot: of another cluster, or older than metadata may be, it isn't used", async () => {
  const s = stage({ brokers: 2 });
  const snapshot = await taken(s);
  const stranger: ClusterSnapshot = { ...snapshot, bootstrap: ["other.test:9092"] };
  const asksMetadata = async (given: ClusterSnapshot, options = {}): Promise<boolean> => {
    s.cluster.clearRequests();
    const p = s.producer({ snapshot: given, ...options });
    await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
    const asked = s.cluster.requestsOf(Metadata).length > 0;
    await s.run(p.close());
    return asked;
  };
  assert.equal(await asksMetadata(snapshot), false);
  assert.equal(await asksMetadata(stranger), true);
  await s.runtime.advance(10_000);
  assert.equal(await asksMetadata(snapshot, { metadataMaxAgeMs: 5_000 }), true);
  assert.equal(await asksMetadata(snapshot, { metadataMaxAgeMs: 50_000 }), false);
  assert.equal(
    await asksMetadata({ ...snapshot, takenAtMs: snapshot.takenAtMs + 1e9 }),
    false,
    "a clock that is ahead",
  );
});

test("snapshot: what it says is refreshed at the age that it has, not at that of the producer", async () => {
  const s = stage();
  const snapshot = await taken(s);
  await s.runtime.advance(7_000);
  s.cluster.addPartitions("orders", 5);
  s.cluster.clearRequests();
  const p = s.producer({ snapshot, metadataMaxAgeMs: 10_000 });
  assert.equal((await s.run(p.partitionsFor("orders"))).length, 3);
  await s.runtime.advance(2_900);
  assert.equal(s.cluster.requestsOf(Metadata).length, 0);
  await s.runtime.advance(200);
  assert.equal(s.cluster.requestsOf(Metadata).length, 1);
  assert.equal((await s.run(p.partitionsFor("orders"))).length, 5);
  await s.run(p.close());
});

test("snapshot: a number at its bound is taken, one beyond is not", async () => {
  const s = stage();
  const good = await taken(s);
  const broker = (changes: object): object => ({ ...good, brokers: [{ ...good.brokers[0], ...changes }] });
  const partition = (numbers: number[]): object => ({
    ...good,
    topics: [{ ...good.topics[0], partitions: [numbers] }],
  });
  const table: [least: number, most: number, make: (value: number) => object][] = [
    [0, Number.MAX_SAFE_INTEGER, (takenAtMs) => ({ ...good, takenAtMs })],
    [0, 2_147_483_647, (nodeId) => broker({ nodeId })],
    [1, 65_535, (port) => broker({ port })],
    [0, 32_767, (min) => broker({ versions: { 3: [min, 32_767] } })],
    [5, 32_767, (max) => broker({ versions: { 3: [5, max] } })],
    [-1, 2_147_483_647, (leaderId) => partition([leaderId, 0])],
    [-1, 2_147_483_647, (leaderEpoch) => partition([0, leaderEpoch])],
  ];
  for (const [least, most, make] of table) {
    for (const value of [least - 1, least, most, most + 1]) {
      const snapshot = make(value) as ClusterSnapshot;
      const isTaken = value >= least && value <= most;
      if (isTaken) await s.run(s.producer({ snapshot }).close());
      else assert.throws(() => s.producer({ snapshot }), { name: "ConfigError" }, JSON.stringify(snapshot));
    }
  }
});

test("snapshot: garbage is a ConfigError that names the place", async () => {
  const s = stage();
  const good = await taken(s);
  const [broker] = good.brokers;
  const [topic] = good.topics;
  const brokers = (changes: object): object => ({ ...good, brokers: [{ ...broker, ...changes }] });
  const topics = (changes: object): object => ({ ...good, topics: [{ ...topic, ...changes }] });
  const table: [unknown, RegExp][] = [
    [null, /null is not/],
    ["{}", /"\{\}" is not/],
    [[], /an object is not/],
    [{}, /"format" nothing, wanted 1/],
    [{ ...good, format: 2 }, /"format" 2, wanted 1/],
    [{ ...good, takenAtMs: "now" }, /"takenAtMs" "now"/],
    [{ ...good, takenAtMs: -1 }, /"takenAtMs" -1/],
    [{ ...good, bootstrap: "a:1" }, /"bootstrap" "a:1", wanted a list/],
    [{ ...good, bootstrap: [1] }, /"bootstrap\[0\]" 1, wanted text/],
    [{ ...good, brokers: undefined }, /"brokers" nothing/],
    [{ ...good, brokers: [null] }, /"brokers\[0\]" null/],
    [brokers({ nodeId: -1 }), /"brokers\[0\]\.nodeId" -1/],
    [brokers({ nodeId: 1.5 }), /nodeId" 1\.5/],
    [brokers({ host: "" }), /host" ""/],
    [brokers({ port: 0 }), /port" 0/],
    [brokers({ port: 65_536 }), /port" 65536/],
    [brokers({ port: NaN }), /port" null, wanted a whole number/],
    [brokers({ versions: [] }), /versions" an object/],
    [brokers({ versions: { 3: [5, 1] } }), /versions\.3" 1, wanted a whole number from 5/],
    [brokers({ versions: { 3: [1] } }), /versions\.3" nothing/],
    [topics({ name: 7 }), /topics\[0\]\.name" 7/],
    [topics({ topicId: "x" }), /topicId" "x", wanted 32 hexadecimal digits/],
    [topics({ partitions: {} }), /partitions" an object, wanted a list/],
    [topics({ partitions: [[1]] }), /partitions\[0\]" nothing/],
    [topics({ partitions: [["1", 0]] }), /partitions\[0\]" "1"/],
    [topics({ partitions: [[1, 0, 0]] }), /partitions\[0\]" an object, wanted a list/],
  ];
  for (const [snapshot, message] of table) {
    assert.throws(() => s.producer({ snapshot: snapshot as ClusterSnapshot }), {
      name: "ConfigError",
      option: "snapshot",
      message,
    }, JSON.stringify(snapshot));
  }
});
