import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

test("health: tells of each broker where it is, what goes to and comes from it, and how old the connection is", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, network: { latencyMs: 5 } });
  const p = producer({ brokers: "broker-1.test:9092" });
  assert.deepEqual(p.metrics().brokers, []);
  await run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
  await runtime.advance(1_000);
  const brokers = p.metrics().brokers;
  assert.deepEqual(brokers.map(({ nodeId, host, port }) => [nodeId, host, port]), [
    [1, "broker-1.test", 9092],
    [2, "broker-2.test", 9092],
  ]);
  for (const broker of brokers) {
    const got = cluster.requests.filter(({ brokerId }) => brokerId === broker.nodeId);
    assert.equal(broker.requests, got.length);
    assert.equal(broker.bytesSent, got.reduce((sum, { frame }) => sum + 4 + frame.length, 0));
    assert.ok(broker.bytesReceived > 100);
    assert.deepEqual([broker.state, broker.inFlight, broker.throttledMs, broker.lastError], ["connected", 0, 0, null]);
    assert.ok(broker.connectedMs >= 1_000 && broker.connectedMs <= 1_100);
  }
  assert.deepEqual(JSON.parse(JSON.stringify(brokers)), brokers);
  await run(p.close());
});

test("health: counts go on over connections, and an error is told until a connection is there again", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = producer({ reconnectBackoffMs: 1_000, reconnectBackoffMaxMs: 1_000 });
  const health = (): ReturnType<typeof p.metrics>["brokers"][number] => p.metrics().brokers[0]!;
  await run(p.send({ topic: "orders", value: "v" }));
  const before = health();
  cluster.control(Produce, { close: true }, { times: 1 });
  const waiting = p.send({ topic: "orders", value: "w" });
  await runtime.advance(1);
  assert.equal(health().inFlight, 1);
  await runtime.advance(20);
  assert.deepEqual([health().state, health().connectedMs, health().inFlight], ["backoff", 0, 0]);
  assert.match(health().lastError!, /broker-1\.test:9092/);
  cluster.stopBroker(1);
  await runtime.advance(3_000);
  assert.match(health().lastError!, /refused/);
  cluster.startBroker(1);
  await run(waiting);
  assert.deepEqual([health().state, health().lastError], ["connected", null]);
  assert.ok(health().requests > before.requests + 2);
  assert.ok(health().bytesSent > before.bytesSent && health().bytesReceived > before.bytesReceived);
  await run(p.close());
});

test("health: shows an attempt to connect, and a broker that throttles for as long as it does", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { orders: 1 }, network: { latencyMs: 50 } });
  const p = producer();
  const sent = p.send({ topic: "orders", value: "v" });
  await runtime.advance(20);
  assert.deepEqual(p.metrics().brokers.map(({ nodeId, state }) => [nodeId, state]), [[-1, "connecting"]]);
  await run(sent);
  const nodes = [{ nodeId: 1, ...cluster.broker(1).endpoint("memory"), rack: null }];
  cluster.control(Metadata, { respond: { throttleTimeMs: 3_000, brokers: nodes, topics: [] } }, { times: 1 });
  await run(p.refreshMetadata());
  assert.deepEqual(p.metrics().brokers.map(({ state, throttledMs }) => [state, throttledMs]), [["throttled", 3_000]]);
  await runtime.advance(2_000);
  assert.equal(p.metrics().brokers[0]!.throttledMs, 1_000);
  await runtime.advance(1_100);
  assert.deepEqual(p.metrics().brokers.map(({ state, throttledMs }) => [state, throttledMs]), [["connected", 0]]);
  await run(p.close());
  await runtime.advance(100);
  assert.equal(p.metrics().brokers[0]!.state, "disconnected");
});
