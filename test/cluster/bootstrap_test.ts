import assert from "node:assert/strict";
import { KafkaError } from "../../src/errors.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { impostor, stage } from "../stage.ts";

const KINDS = ["silent", "http", "garbage", "closes", "tls alert", "negative length", "huge length"] as const;

test("bootstrap: refusing, hung and foreign servers are passed by until one is a broker", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { cluster, producer, run, runtime } = stage({}, seed);
    const brokers = ["refuses.test:1"];
    const visits = KINDS.map((kind, i) => {
      const address = `impostor-${i}.test:${i + 1}`;
      brokers.push(address);
      return impostor(cluster, address, kind);
    });
    cluster.network.blackHole("hole.test:9");
    const p = producer({ brokers: [...brokers, "hole.test:9", cluster.bootstrap] });
    await run(p.connect());
    assert.ok(runtime.now() <= 4_000, `it took ${runtime.now()} ms`);
    assert.equal((await run(p.send({ topic: "orders", value: "v" }))).offset, 0n);
    assert.ok(visits.every(({ visitors }) => visitors <= 4));
    await run(p.close());
    await runtime.advance(60_000);
    assert.equal(cluster.network.openConnections, 0);
    assert.equal(runtime.pendingTimers, 0);
  }
});

test("bootstrap: when all refuse, connect() rejects at once and names every address with the reason", async () => {
  const { producer, runtime, failure, run } = stage();
  const brokers = ["a.test:1", "b.test:2", "[::1]:3"];
  const p = producer({ brokers });
  const error = await failure(p.connect());
  assert.equal(runtime.now(), 0);
  assert.equal(error.name, "ConnectionError");
  for (const name of brokers) assert.ok(error.message.includes(name), error.message);
  assert.equal(error.message.match(/refused/g)!.length, 3, error.message);
  assert.equal(runtime.pendingTimers, 0);
  await run(p.close());
});

test("bootstrap: every kind of foreign server is told by what it does", async () => {
  const wanted: Record<typeof KINDS[number], RegExp> = {
    silent: /server\.test:1.*connectTimeoutMs/,
    http: /server\.test:1.*HTTP/,
    garbage: /server\.test:1.*correlation id/,
    closes: /server\.test:1.*closed the connection/,
    "tls alert": /server\.test:1.*TLS/,
    "negative length": /server\.test:1.*-1 bytes/,
    "huge length": /server\.test:1.*2147483647 bytes/,
  };
  for (const kind of KINDS) {
    const { cluster, producer, runtime, failure, run } = stage();
    const visits = impostor(cluster, "server.test:1", kind);
    const p = producer({ brokers: "server.test:1" });
    const error = await failure(p.connect());
    assert.match(error.message, wanted[kind], kind);
    assert.equal(runtime.now(), kind === "silent" ? 10_000 : 0, kind);
    assert.equal(visits.visitors, kind === "closes" ? 4 : 1, kind);
    if (kind !== "silent" && kind !== "closes") {
      assert.ok(error.cause instanceof KafkaError && error.cause.name === "ProtocolError", kind);
    }
    await runtime.settle();
    assert.equal(cluster.network.openConnections, 0, kind);
    await run(p.close());
    assert.equal(runtime.pendingTimers, 0, kind);
  }
});

test("bootstrap: a server that shakes hands and then keeps silent delays by a second, not by its timeout", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2 });
  cluster.control(Metadata, { silence: true }, { brokerId: 1 });
  for (let i = 0; i < 4; i++) {
    const p = producer();
    const startMs = runtime.now();
    await run(p.connect());
    assert.ok(runtime.now() - startMs <= 1_000, `${runtime.now() - startMs} ms`);
    await run(p.close());
  }
});

test("bootstrap: send() waits for a cluster that comes up later, and up to maxBlockMs for one that doesn't", async () => {
  const { cluster, producer, run, runtime, failure } = stage();
  cluster.stopBroker(1);
  const p = producer({ maxBlockMs: 5_000 });
  const lost = p.send({ topic: "orders", value: "v" });
  const error = await failure(lost);
  assert.equal(runtime.now(), 5_000);
  assert.equal(error.name, "TimeoutError");
  assert.match(error.message, /5000 ms \(maxBlockMs\).*broker-1\.test:9092.*refused/);
  assert.equal(error.persisted, "no");
  const soon = p.send({ topic: "orders", value: "v" });
  await runtime.advance(3_000);
  cluster.startBroker(1);
  assert.equal((await run(soon)).offset, 0n);
  assert.ok(runtime.now() < 5_000 + 3_000 + 1_500);
  await run(p.close());
});

test("bootstrap: a connection serves on for the broker that it turns out to lead to", async () => {
  const { cluster, producer, run } = stage({ brokers: 3, topics: { orders: 6 } });
  for (const brokers of [cluster.bootstrap, "broker-2.test:9092"]) {
    const before = cluster.network.dials;
    const p = producer({ brokers });
    await run(p.connect());
    await run(p.sendBatch([0, 1, 2, 3, 4, 5].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
    assert.equal(cluster.network.dials - before, 3, "one connection for each broker and no other");
    await run(p.close());
  }
});

test("bootstrap: brokers that metadata names at other addresses are dialled there", async () => {
  const { cluster, producer, run } = stage({ brokers: 2 });
  cluster.network.listen("load-balancer.test:1", (socket) => cluster.broker(1).accept(socket, "memory"));
  const p = producer({ brokers: "load-balancer.test:1" });
  const sent = await run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
  assert.equal(sent.length, 3);
  assert.equal(cluster.network.dials, 3);
  const asked = new Set(cluster.requestsOf(Produce).map(({ brokerId }) => brokerId));
  assert.deepEqual([...asked].sort(), [1, 2]);
  await run(p.close());
});

test("bootstrap: closing in the middle of it ends every attempt and leaves neither socket nor timer", async () => {
  for (const afterMs of [0, 1, 1_500, 9_000]) {
    const { cluster, producer, run, runtime } = stage();
    impostor(cluster, "silent.test:1", "silent");
    cluster.network.blackHole("hole.test:1");
    const p = producer({ brokers: ["silent.test:1", "hole.test:1"] });
    const outcome = Promise.allSettled([p.connect(), p.send({ topic: "orders", value: "v" }), p.partitionsFor("x")]);
    await runtime.advance(afterMs);
    const closed = p.close({ timeoutMs: 10 });
    await run(closed.catch(() => {}));
    await runtime.settle();
    assert.equal(cluster.network.openConnections, 0, `${afterMs} ms`);
    const results = await run(outcome);
    assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected", "rejected"]);
    await runtime.settle();
    assert.equal(runtime.pendingTimers, 0, `${afterMs} ms`);
  }
});

test("bootstrap: a new broker is asked who it is before anything else", async () => {
  const { cluster, producer, run } = stage({ brokers: 3 });
  const p = producer();
  await run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
  const first = new Map<number, string>();
  for (const { connectionId, api } of cluster.requests) {
    if (!first.has(connectionId)) first.set(connectionId, api.name);
  }
  assert.deepEqual([...first.values()], ["ApiVersions", "ApiVersions", "ApiVersions"]);
  const [request] = cluster.requestsOf(ApiVersions);
  assert.deepEqual([request!.version, request!.clientId, request!.body.clientSoftwareName], [
    4,
    "sluice",
    "sluice-kafka",
  ]);
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  await run(p.close());
});

test("bootstrap: the client id of the options goes with every request", async () => {
  const { cluster, producer, run } = stage();
  const p = producer({ clientId: "orders-übersicht" });
  await run(p.send({ topic: "orders", value: "v" }));
  assert.deepEqual([...new Set(cluster.requests.map(({ clientId }) => clientId))], ["orders-übersicht"]);
  await run(p.close());
});

test("bootstrap: refused credentials end the refresh at once, with the server's own error", async () => {
  const { cluster, producer, run, failure, runtime } = stage({ brokers: 3 });
  cluster.control(ApiVersions, { error: 58 });
  const p = producer();
  const error = await failure(p.connect());
  assert.deepEqual([error.name, error.code, error.retriable], [
    "AuthenticationError",
    "SASL_AUTHENTICATION_FAILED",
    false,
  ]);
  assert.equal(cluster.network.dials, 1);
  assert.equal(runtime.now(), 0);
  await run(p.close());
});
