import assert from "node:assert/strict";
import { ApiVersions, Metadata } from "../../src/protocol/messages/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** What each greeting since the last call has said, as `version clusterId nodeId`, with the cluster's id as "ours". */
function greetings({ cluster }: Stage): string[] {
  const told = cluster.requestsOf(ApiVersions).map(({ version, body, brokerId }) => {
    const { clusterId, nodeId } = body;
    return `broker ${brokerId}: ${version} ${clusterId === cluster.clusterId ? "ours" : clusterId} ${nodeId}`;
  });
  cluster.clearRequests();
  return told.sort();
}

/** A record for each partition of `orders`. */
function records(value: string): { topic: string; partition: number; value: string }[] {
  return [0, 1, 2].map((partition) => ({ topic: "orders", partition, value }));
}

/** Another cluster on the same network, with topics of the same names. */
function neighbour({ runtime }: Stage): EmbeddedCluster {
  return new EmbeddedCluster({ release: "4.4", topics: { orders: 3 }, runtime });
}

/** The broker is at a new address; at the old one is a broker of another cluster. */
function replace(s: Stage, id: number, other: EmbeddedCluster): string {
  const broker = s.cluster.broker(id);
  const { host, port } = broker.endpoint("memory");
  s.cluster.stopBroker(id);
  broker.setEndpoint("memory", { host: `moved-${id}.test`, port });
  s.cluster.startBroker(id);
  s.cluster.network.listen(`${host}:${port}`, (socket) => other.broker(1).accept(socket, "memory"));
  return `${host}:${port}`;
}

test("cluster check: brokers are told who they are taken for, bootstrap servers are not", async () => {
  const s = stage({ release: "4.4", brokers: 3 });
  const p = s.producer({ brokers: s.cluster.bootstrap.split(",")[0]! });
  await s.run(p.sendBatch(records("v")).all());
  assert.deepEqual(greetings(s), ["broker 1: 4 null -1", "broker 2: 5 ours 2", "broker 3: 5 ours 3"]);
  s.cluster.broker(1).disconnectAll();
  await s.runtime.advance(2_000);
  await s.run(p.sendBatch(records("v")).all());
  assert.deepEqual(greetings(s), ["broker 1: 5 ours 1"], "by now it is a broker like the others");
  await s.run(p.close());
});

test("cluster check: switched off, or with brokers that don't know it, nobody is told anything", async () => {
  for (const [release, clusterCheck] of [["4.4", false], ["4.1", true], ["2.7", true]] as const) {
    const s = stage({ release, brokers: 3 });
    const p = s.producer({ clusterCheck });
    await s.run(p.sendBatch(records("v")).all());
    for (const { id } of s.cluster.brokers) s.cluster.broker(id).disconnectAll();
    await s.runtime.advance(2_000);
    await s.run(p.sendBatch(records("v")).all());
    assert.deepEqual(s.cluster.requestsOf(ApiVersions).filter(({ version }) => version > 4), [], release);
    await s.run(p.close());
  }
});

test("cluster check: an address that belongs to another cluster by now is left, and no record is lost or goes there", async () => {
  for (const clusterCheck of [true, false]) {
    const s = stage({ release: "4.4", brokers: 3, network: { latencyMs: 5 } });
    const other = neighbour(s);
    const logged: unknown[] = [];
    const p = s.producer({ clusterCheck, logger: { warn: (event, fields) => logged.push([event, fields]) } });
    await s.run(p.sendBatch(records("0")).all());
    const old = replace(s, 2, other);
    await s.runtime.settle();
    const sends = [];
    for (let i = 1; i <= 50; i++) {
      sends.push(...records(String(i)).map((record) => p.send(record)));
      await s.runtime.advance(20);
    }
    await s.run(Promise.all(sends));
    const strays = await Promise.all([0, 1, 2].map((partition) => other.records("orders", partition)));
    if (!clusterCheck) {
      // A control: this is what happens to those who don't ask.
      assert.ok(strays.flat().length > 0, "the other cluster takes what it is sent");
    } else {
      assert.deepEqual(strays.flat(), []);
      for (const { partition } of records("")) {
        const values = (await s.cluster.records("orders", partition)).map(({ value }) =>
          new TextDecoder().decode(value!)
        );
        assert.deepEqual(values, Array.from({ length: 51 }, (_, i) => String(i)), "once each, in order");
      }
      assert.deepEqual(logged.find((line) => (line as unknown[])[0] === "rebootstrap"), [
        "rebootstrap",
        { reason: `${old} is not node 2 of this cluster` },
      ]);
    }
    await s.run(p.close());
    await s.runtime.advance(30_000);
    assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0]);
  }
});

test("cluster check: two brokers that have swapped their addresses are found", async () => {
  const s = stage({ release: "4.4", brokers: 3 });
  const p = s.producer({ brokers: s.cluster.bootstrap.split(",")[0]! });
  await s.run(p.sendBatch(records("0")).all());
  const [second, third] = [2, 3].map((id) => s.cluster.broker(id).endpoint("memory"));
  for (const id of [2, 3]) s.cluster.stopBroker(id);
  s.cluster.broker(2).setEndpoint("memory", third!);
  s.cluster.broker(3).setEndpoint("memory", second!);
  for (const id of [2, 3]) s.cluster.startBroker(id);
  await s.run(p.sendBatch(records("1")).all());
  for (const { partition } of records("")) assert.equal((await s.cluster.records("orders", partition)).length, 2);
  await s.run(p.close());
});

test("cluster check: a server that is never who it should be is dialled at a pace, and heals", async () => {
  const s = stage({ release: "4.4", brokers: 3, topics: { orders: 1 } });
  const leader = s.cluster.partition("orders", 0).leaderId;
  const server = s.cluster.bootstrap.split(",")[leader % 3]!;
  const p = s.producer({ brokers: server, retryBackoffMs: 0, reconnectBackoffMs: 0 });
  // As a proxy would that hands on, as it is, what was meant for names of its own.
  const heal = s.cluster.control(
    ApiVersions,
    ({ nodeId }) => nodeId < 0 ? undefined : { respond: { errorCode: 129, apiKeys: [] } },
  );
  const sent = p.send({ topic: "orders", value: "0" });
  await s.runtime.advance(30_000);
  const told = s.cluster.requestsOf(ApiVersions).filter(({ body }) => body.nodeId >= 0);
  assert.ok(told.length >= 20 && told.length <= 130, `${told.length} times`);
  assert.ok(s.cluster.requestsOf(Metadata).length <= 130, `${s.cluster.requestsOf(Metadata).length} times metadata`);
  heal();
  assert.equal((await s.run(sent)).offset, 0n);
  await s.run(p.close());
});

test("cluster check: who is told that a broker is somebody else learns what to do", async () => {
  const s = stage({ release: "4.4", brokers: 1, topics: { orders: 1 } });
  const errors: string[] = [];
  const p = s.producer({
    snapshot: await (async () => {
      const before = s.producer();
      await s.run(before.send({ topic: "orders", value: "0" }));
      await s.run(before.close());
      return before.snapshot();
    })(),
    hooks: { onConnectFailed: ({ error }) => void errors.push(error.message) },
  });
  s.cluster.control(ApiVersions, { respond: { errorCode: 129, apiKeys: [] } }, { times: 1 });
  s.cluster.clearRequests();
  await s.run(p.send({ topic: "orders", value: "1" }));
  const id = s.cluster.clusterId;
  assert.equal(greetings(s)[0], "broker 1: 5 null -1", "then the bootstrap servers are asked");
  assert.deepEqual(errors, [
    `Connecting to "${s.cluster.bootstrap}" led elsewhere: the broker there is not node 1 of cluster "${id}" and wants ` +
    `the bootstrap servers asked anew. Set "clusterCheck" to false if a proxy with ids of its own stands in between.`,
  ]);
  await s.run(p.close());
});

test("cluster check: a snapshot knows the cluster, so the first connection is checked; one without it still serves", async () => {
  const s = stage({ release: "4.4", brokers: 3 });
  const before = s.producer();
  await s.run(before.sendBatch(records("0")).all());
  const snapshot = before.snapshot();
  assert.equal(snapshot.clusterId, s.cluster.clusterId);
  await s.run(before.close());
  const { clusterId: _, ...older } = snapshot;
  for (const [given, told] of [[snapshot, "5 ours"], [older, "5 null"]] as const) {
    s.cluster.clearRequests();
    const p = s.producer({ snapshot: JSON.parse(JSON.stringify(given)) });
    await s.run(p.sendBatch(records("1")).all());
    assert.ok(greetings(s).every((line) => line.includes(told)), told);
    await s.run(p.close());
  }
});
