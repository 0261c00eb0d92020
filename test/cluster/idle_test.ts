import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { watch } from "../producer/wire.ts";
import { stage } from "../stage.ts";

test("idle: a connection is closed connectionMaxIdleMs after the last answer, not after a request's timeout", async () => {
  const { cluster, producer, run, runtime } = stage({ network: { latencyMs: 5 } });
  const p = producer({ connectionMaxIdleMs: 1_000 });
  for (const delayMs of [0, 1_500, 7_000, 20_000]) {
    cluster.control(Produce, { delayMs }, { times: 1 });
    await run(p.send({ topic: "orders", partition: 0, value: "v" }));
    await runtime.advance(990);
    assert.equal(cluster.network.openConnections, 1);
    await runtime.advance(20);
    assert.equal(cluster.network.openConnections, 0);
  }
  await run(p.close());
});

test("idle: a broker that closes idle connections is nobody's fault: no error, no backoff, no request, no dial", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 } });
  const p = s.producer({
    ...{ reconnectBackoffMs: 20_000, reconnectBackoffMaxMs: 20_000, metadataMaxAgeMs: 2_000_000_000 },
    ...{ retries: 0, idempotent: false },
  });
  for (let i = 0; i < 5; i++) {
    assert.equal((await s.run(p.send({ topic: "orders", value: "v" }))).offset, BigInt(i));
    const startMs = s.runtime.now();
    await s.runtime.advance(4_000);
    for (const broker of s.cluster.brokers) broker.disconnectAll();
    await s.runtime.settle();
    s.cluster.clearRequests();
    const dials = s.cluster.network.dials;
    const leader = p.metrics().brokers.find(({ nodeId }) => nodeId === s.cluster.partition("orders", 0).leaderId)!;
    assert.deepEqual([leader.state, leader.lastError], ["disconnected", null]);
    await s.runtime.advance(100_000);
    assert.deepEqual([s.cluster.requests.length, s.cluster.network.dials - dials], [0, 0]);
    assert.equal(s.runtime.now() - startMs, 104_000);
  }
  s.cluster.clearRequests();
  await s.run(p.send({ topic: "orders", value: "v" }));
  assert.deepEqual(s.cluster.requests.map(({ api }) => api.name), ["ApiVersions", "Produce"]);
  await s.run(p.close());
});

test("idle: when a leader was lost meanwhile without a trace, the next send finds the new one after a second", async () => {
  for (const idempotent of [true, false]) {
    const s = stage({ brokers: 3, topics: { orders: 1 } });
    const p = s.producer({ idempotent });
    const leader = s.cluster.partition("orders", 0).leaderId;
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(10_000);
    const { host, port } = s.cluster.broker(leader).endpoint("memory");
    s.cluster.stopBroker(leader);
    s.cluster.network.blackHole(`${host}:${port}`);
    await s.runtime.advance(10_000);
    const startMs = s.runtime.now();
    assert.equal((await s.run(p.send({ topic: "orders", value: "v" }))).offset, 1n);
    assert.ok(s.runtime.now() - startMs <= 1_500, `${s.runtime.now() - startMs} ms, not connectTimeoutMs`);
    await s.run(p.close());
  }
});

test("idle: when a leader was lost meanwhile and refuses, the next send finds the new one at once", async () => {
  const s = stage({ brokers: 3, topics: { orders: 1 } });
  const p = s.producer();
  const leader = s.cluster.partition("orders", 0).leaderId;
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(10_000);
  s.cluster.stopBroker(leader);
  await s.runtime.advance(10_000);
  const startMs = s.runtime.now();
  assert.equal((await s.run(p.send({ topic: "orders", value: "v" }))).offset, 1n);
  assert.ok(s.runtime.now() - startMs <= 200, `${s.runtime.now() - startMs} ms`);
  await s.run(p.close());
});

test("idle: a slow dial makes others asked who leads, but not over and over", async () => {
  const s = stage({ brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 1 } } });
  const p = s.producer({ deliveryTimeoutMs: 300_000 });
  const leader = s.cluster.partition("orders", 0).leaderId;
  await s.run(p.send({ topic: "orders", value: "v" }));
  const { host, port } = s.cluster.broker(leader).endpoint("memory");
  await s.runtime.advance(5_000);
  s.cluster.network.blackHole(`${host}:${port}`);
  s.cluster.broker(leader).disconnectAll();
  s.cluster.network.reset(`${host}:${port}`);
  s.cluster.clearRequests();
  const waiting = p.send({ topic: "orders", value: "w" });
  await s.runtime.advance(60_000);
  const asked = s.cluster.requestsOf(Metadata).length;
  assert.ok(asked >= 5 && asked <= 15, `${asked} Metadata requests in a minute`);
  s.cluster.network.heal(`${host}:${port}`);
  assert.equal((await s.run(waiting)).offset, 1n);
  await s.run(p.close());
});

test("idle: a slow dial on the way to metadata asks for no more of it than one that is quick", async () => {
  for (const slowMs of [0, 700]) {
    const s = stage();
    const p = s.producer({ metadataMaxAgeMs: 2_000_000_000 });
    await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
    s.cluster.broker(1).disconnectAll();
    await s.runtime.settle();
    s.cluster.clearRequests();
    const { host, port } = s.cluster.broker(1).endpoint("memory");
    s.cluster.network.slow(`${host}:${port}`, slowMs);
    await s.run(p.refreshMetadata());
    await s.runtime.advance(60_000);
    assert.equal(s.cluster.requestsOf(Metadata).length, 1, `${slowMs} ms`);
    await s.run(p.close());
  }
});

test("idle: a connection isn't idle while a broker reads what was sent with acks 0", async () => {
  let latencyMs = 5;
  const s = stage({ network: { latencyMs: () => latencyMs }, topics: { orders: 1 } });
  const closedMs: number[] = [];
  const p = s.producer({
    acks: 0,
    connectionMaxIdleMs: 1_000,
    requestTimeoutMs: 6_000,
    hooks: { onDisconnect: () => void closedMs.push(s.runtime.now()) },
  });
  await s.run(p.refreshMetadata("orders"));
  latencyMs = 3_000;
  const fromMs = s.runtime.now();
  const sent = watch(s, p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(10_000);
  assert.equal(sent.state, "resolved");
  // What leaves the queue of a socket that is closed is anybody's guess.
  assert.ok(closedMs.length === 1 && closedMs[0]! - fromMs >= 3_000, `closed after ${closedMs[0]! - fromMs} ms`);
  await s.run(p.close());
});
