import assert from "node:assert/strict";
import { ApiVersions, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

const LOAD_BALANCER = "load-balancer.test:1";

/** A name that leads to whichever broker runs, as DNS would have it. */
function listenAtLoadBalancer({ cluster }: Stage): void {
  cluster.network.listen(LOAD_BALANCER, (socket) => {
    const broker = cluster.brokers.find(({ isRunning }) => isRunning) ?? cluster.broker(1);
    return broker.accept(socket, "memory");
  });
}

/** Every broker at once goes to another address; nothing answers at the old ones, or not even that they are dead. */
function moveAll({ cluster }: Stage, holes: boolean): void {
  for (const broker of cluster.brokers) {
    const { host, port } = broker.endpoint("memory");
    cluster.stopBroker(broker.id);
    if (holes) cluster.network.blackHole(`${host}:${port}`);
    broker.setEndpoint("memory", { host: `moved-${broker.id}.test`, port });
    cluster.startBroker(broker.id);
  }
}

test("rebootstrap: when every known broker has gone at once, the bootstrap servers tell where they are now", async () => {
  for (const holes of [false, true]) {
    const s = stage({ brokers: 3 });
    listenAtLoadBalancer(s);
    const p = s.producer({ brokers: LOAD_BALANCER });
    const records = [0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }));
    await s.run(p.sendBatch(records).all());
    moveAll(s, holes);
    const startMs = s.runtime.now();
    const sent = await s.run(p.sendBatch(records).all());
    assert.deepEqual(sent.map(({ offset }) => offset), [1n, 1n, 1n]);
    const tookMs = s.runtime.now() - startMs;
    assert.ok(tookMs <= (holes ? 4_500 : 1_000), `${tookMs} ms`);
    const known = p.metrics().brokers.filter(({ nodeId }) => nodeId >= 0);
    assert.deepEqual(known.map(({ host }) => host), [1, 2, 3].map((id) => `moved-${id}.test`));
    await s.run(p.close());
    await s.runtime.advance(30_000);
    assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0]);
  }
});

test("rebootstrap: brokers that have failed come after the bootstrap servers", async () => {
  const s = stage({ brokers: 3, topics: { orders: 1 } });
  listenAtLoadBalancer(s);
  const p = s.producer({ brokers: LOAD_BALANCER });
  const leader = s.cluster.partition("orders", 0).leaderId;
  await s.run(p.send({ topic: "orders", value: "v" }));
  for (const broker of s.cluster.brokers) s.cluster.stopBroker(broker.id);
  const failed = p.send({ topic: "orders", value: "w" });
  await s.runtime.advance(4_000);
  // From now on the old addresses don't even refuse.
  moveAll(s, true);
  const startMs = s.runtime.now();
  await s.run(failed);
  // The leader's address is dialled by who has records for it; all others wait for their turn.
  assert.ok(s.runtime.now() - startMs <= 3_500, `${s.runtime.now() - startMs} ms`);
  assert.equal((await s.cluster.records("orders", 0)).length, 2);
  assert.ok(leader > 0);
  await s.run(p.close());
});

test("rebootstrap: a broker that has left the cluster is forgotten when nothing is left to do with it", async () => {
  const s = stage({ brokers: 3 });
  const p = s.producer({ connectionMaxIdleMs: 60_000 });
  const records = [0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }));
  await s.run(p.sendBatch(records).all());
  const known = (): number[] => p.metrics().brokers.map(({ nodeId }) => nodeId);
  assert.deepEqual(known(), [1, 2, 3]);
  s.cluster.stopBroker(3);
  await s.runtime.advance(1_000);
  await s.run(p.refreshMetadata());
  assert.deepEqual(known(), [1, 2]);
  s.cluster.startBroker(3);
  await s.run(p.refreshMetadata());
  assert.deepEqual(known(), [1, 2, 3]);
  await s.run(p.close());
});

test("rebootstrap: a broker that asks for it makes the client forget all brokers and start anew", async () => {
  const s = stage({ brokers: 3 });
  const logged: unknown[] = [];
  const p = s.producer({ logger: { warn: (event, fields) => logged.push([event, fields]) } });
  const records = [0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }));
  await s.run(p.sendBatch(records).all());
  await s.runtime.advance(1_000);
  s.cluster.clearRequests();
  const dials = s.cluster.network.dials;
  s.cluster.control(Metadata, { respond: { errorCode: 129, brokers: [], topics: [] } }, { times: 1 });
  await s.run(p.refreshMetadata());
  assert.equal(s.cluster.requestsOf(Metadata).length, 2);
  assert.equal(s.cluster.network.dials - dials, 1, "a bootstrap server");
  assert.deepEqual(s.cluster.network.openConnections, 1, "all others were closed");
  const sent = await s.run(p.sendBatch(records).all());
  assert.deepEqual(sent.map(({ offset }) => offset), [1n, 1n, 1n]);
  assert.deepEqual(logged, [["rebootstrap", { reason: "a broker asks for it" }]]);
  await s.run(p.close());
});

test("rebootstrap: what is in flight meanwhile is sent again, once and in order", async () => {
  const s = stage({ brokers: 3, topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = s.producer({ batchSize: 1 });
  await s.run(p.send({ topic: "orders", value: "-1" }));
  const sends: Promise<unknown>[] = [];
  for (let i = 0; i < 200; i++) {
    sends.push(p.send({ topic: "orders", value: String(i) }));
    if (i === 60 || i === 120) {
      s.cluster.control(Metadata, {
        respond: { errorCode: 129, brokers: [], topics: [] },
      }, { times: 1 });
      void p.refreshMetadata().catch(() => {});
    }
    await s.runtime.advance(1);
  }
  await s.run(Promise.all(sends));
  assert.deepEqual(s.cluster.failures, []);
  const values = (await s.cluster.records("orders", 0)).map(({ value }) => Number(new TextDecoder().decode(value!)));
  assert.deepEqual(values, Array.from({ length: 201 }, (_, i) => i - 1));
  await s.run(p.close());
});

test("rebootstrap: a cluster that asks for it again and again is asked no faster for that", async () => {
  const s = stage({ brokers: 2 });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  s.cluster.control(Metadata, { respond: { errorCode: 129, brokers: [], topics: [] } });
  s.cluster.clearRequests();
  const dials = s.cluster.network.dials;
  const waiting = p.send({ topic: "orders", partition: 0, value: "w" });
  void p.refreshMetadata().catch(() => {});
  await s.runtime.advance(30_000);
  const asked = s.cluster.requestsOf(Metadata).length;
  assert.ok(asked <= 4 * 30, `${asked} in 30 s`);
  assert.ok(s.cluster.network.dials - dials <= 15 * 30, `${s.cluster.network.dials - dials} dials in 30 s`);
  s.cluster.controls.clear();
  await s.run(waiting);
  await s.run(p.refreshMetadata());
  assert.equal((await s.run(p.send({ topic: "orders", partition: 0, value: "x" }))).offset, 2n);
  await s.run(p.close());
});

test("rebootstrap: five minutes without metadata close every connection, and the start is made anew", async () => {
  const s = stage({ brokers: 2 });
  const logged: string[] = [];
  const p = s.producer({ logger: { warn: (event, { reason }) => logged.push(`${event}: ${reason}`) } });
  const send = (partition: number): Promise<unknown> => s.run(p.send({ topic: "orders", partition, value: "v" }));
  await send(0);
  await send(1);
  const healthy = s.cluster.control(Metadata, { respond: { brokers: [], topics: [] } });
  void p.refreshMetadata().catch(() => {});
  await s.runtime.advance(290_000);
  const before = s.cluster.requestsOf(ApiVersions).length;
  await send(0);
  assert.deepEqual(logged, []);
  await s.runtime.advance(12_000);
  assert.deepEqual(logged, ["rebootstrap: there has been no metadata for 5 minutes"]);
  assert.ok(s.cluster.requestsOf(ApiVersions).length > before, "dialled again");
  healthy();
  await s.runtime.advance(2_000);
  await send(0);
  await send(1);
  await s.runtime.advance(600_000);
  // Twice three minutes are not five.
  for (let i = 0; i < 2; i++) {
    const ill = s.cluster.control(Metadata, { respond: { brokers: [], topics: [] } });
    void p.refreshMetadata().catch(() => {});
    await s.runtime.advance(180_000);
    ill();
    await s.runtime.advance(5_000);
  }
  assert.equal(logged.length, 1);
  await s.run(p.close());
});

test("rebootstrap: a client that nobody keeps waiting for metadata doesn't do it, however long it is idle", async () => {
  const s = stage();
  const logged: string[] = [];
  const p = s.producer({ metadataMaxAgeMs: 2_000_000_000, logger: { warn: (event) => logged.push(event) } });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  await s.runtime.advance(10_000_000);
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.deepEqual(logged, []);
  assert.equal(s.cluster.requestsOf(Produce).length, 2);
  await s.run(p.close());
});

test("rebootstrap: what is on its way to a broker then may be in the log, and isn't taken for unsent", async () => {
  const topics = { orders: { partitions: 1, replicationFactor: 1 } };
  const s = stage({ brokers: 2, network: { latencyMs: 50 }, topics });
  const p = s.producer({ idempotent: false, retries: 0 });
  await s.run(p.send({ topic: "orders", value: "before" }));
  await s.run(p.refreshMetadata());
  await s.runtime.advance(5_000);
  s.cluster.control(Metadata, { respond: { errorCode: 129, brokers: [], topics: [] } }, { times: 1 });
  const refreshed = p.refreshMetadata().catch(() => {});
  await s.runtime.advance(60);
  const { persisted } = await s.failure(p.send({ topic: "orders", value: "behind" }));
  assert.equal(persisted, "possibly");
  await s.run(refreshed);
  await s.runtime.advance(5_000);
  assert.equal((await s.cluster.records("orders")).length, 2, "it came to the log once");
  await s.run(p.close());
});
