import assert from "node:assert/strict";
import { ConfigError, type ProducerOptions, TransactionalProducer } from "../../mod.ts";
import { clientTelemetry } from "../../src/telemetry/mod.ts";
import {
  type ClientMetricsOptions,
  type EmbeddedClusterOptions,
  GetTelemetrySubscriptions,
  PushTelemetry,
  type TelemetryPush,
} from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";
import { type ReadMetric, readMetricsData } from "./otlp.ts";

const PREFIX = "org.apache.kafka.producer.";
const INTERVAL_MS = 60_000;

/** A cluster that wants metrics, and a producer that pushes them. */
function play(clientMetrics: ClientMetricsOptions = {}, more: EmbeddedClusterOptions = {}) {
  const s = stage({ clientMetrics: { pushIntervalMs: INTERVAL_MS, ...clientMetrics }, ...more });
  const telemetry = clientTelemetry();
  const producer = (options: Partial<ProducerOptions> = {}) => s.producer({ telemetry, ...options });
  const requests = () =>
    s.cluster.requests.filter(({ api }) => api.key === GetTelemetrySubscriptions.key || api.key === PushTelemetry.key)
      .map(({ api }) => api.key === PushTelemetry.key ? "push" : "get");
  return { ...s, producer, requests, pushes: s.cluster.clientMetrics!.pushes };
}

function metricsOf(push: TelemetryPush | undefined): Map<string, ReadMetric> {
  return new Map(readMetricsData(push!.metrics).metrics.map((metric) => [metric.name.slice(PREFIX.length), metric]));
}

function valueOf(push: TelemetryPush | undefined, name: string): number | undefined {
  return metricsOf(push).get(name)?.points[0]?.value;
}

test("telemetry: the subscription is asked once, pushes come in each interval, and the last one says so", async () => {
  const s = play({}, { network: { latencyMs: 10 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(30);
  assert.deepEqual(s.requests(), ["get"]);
  await s.runtime.advance(1.5 * INTERVAL_MS + 100);
  const early = s.pushes.length;
  assert.ok(early === 1 || early === 2, `${early} pushes`);
  await s.runtime.advance(3 * INTERVAL_MS + 200);
  assert.equal(s.pushes.length, early + 3);
  await s.run(p.close());
  assert.deepEqual(s.pushes.map(({ terminating }) => terminating), [...Array(early + 3).fill(false), true]);
  assert.equal(new Set(s.pushes.map(({ clientInstanceId }) => clientInstanceId)).size, 1);
  assert.equal(s.requests().filter((api) => api === "get").length, 1);
});

test("telemetry: the metrics are those of KIP-714 with their names, kinds, times and the ids of nodes", async () => {
  const s = play({}, { brokers: 2, network: { latencyMs: 10 } });
  const startMs = s.runtime.wallNow();
  const p = s.producer({ lingerMs: 7 });
  await s.run(Promise.all([0, 1, 2].map((partition) => p.send({ topic: "orders", partition, value: "v" }))));
  await s.run(p.close());
  const [push] = s.pushes;
  const { scope, resource } = readMetricsData(push!.metrics);
  assert.deepEqual([scope, resource], ["@sluice/kafka", {}]);
  const metrics = metricsOf(push);
  assert.deepEqual([...metrics.keys()], [
    "connection.creation.rate",
    "connection.creation.total",
    "produce.throttle.time.avg",
    "produce.throttle.time.max",
    "record.queue.time.avg",
    "record.queue.time.max",
    "request.latency.avg",
    "request.latency.max",
    "node.request.latency.avg",
    "node.request.latency.max",
  ]);
  const total = metrics.get("connection.creation.total")!;
  assert.deepEqual([total.kind, total.temporality, total.isMonotonic, total.points[0]!.value], ["sum", 1, true, 2]);
  assert.equal(total.points[0]!.startMs, startMs);
  assert.equal(total.points[0]!.endMs, startMs + s.runtime.now() - 20);
  assert.ok(metrics.get("record.queue.time.max")!.points[0]!.value >= 7);
  assert.equal(metrics.get("request.latency.avg")!.points[0]!.value, 20);
  assert.equal(metrics.get("request.latency.avg")!.kind, "gauge");
  const nodes = metrics.get("node.request.latency.max")!.points;
  assert.deepEqual(nodes.map(({ attributes, value }) => [attributes["node_id"], value]).sort(), [["1", 20], ["2", 20]]);
});

test("telemetry: sums count from push to push, or from the start, as the subscription says", async () => {
  for (const deltaTemporality of [true, false]) {
    const s = play({ deltaTemporality, metrics: [`${PREFIX}connection.creation.total`] });
    const p = s.producer();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(1.5 * INTERVAL_MS);
    assert.deepEqual([...metricsOf(s.pushes[0]).keys()], ["connection.creation.total"]);
    assert.equal(valueOf(s.pushes[0], "connection.creation.total"), 1);
    s.cluster.brokers[0]!.disconnectAll();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.run(p.close());
    const [first, last] = [s.pushes[0]!, s.pushes.at(-1)!].map((push) =>
      metricsOf(push).get("connection.creation.total")!
    );
    assert.equal(last!.temporality, deltaTemporality ? 1 : 2);
    assert.equal(last!.points[0]!.value, deltaTemporality ? 1 : 2);
    assert.equal(last!.points[0]!.startMs, deltaTemporality ? first!.points[0]!.endMs : first!.points[0]!.startMs);
  }
});

test("telemetry: nothing is asked where a broker offers one of both APIs, or none of them", async () => {
  for (const apiVersions of [{ PushTelemetry: null }, { GetTelemetrySubscriptions: null }] as const) {
    const s = play({}, { apiVersions });
    const p = s.producer();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(10 * INTERVAL_MS);
    await s.run(p.close());
    assert.deepEqual([s.requests(), s.pushes], [[], []]);
  }
  const s = stage();
  const p = s.producer({ telemetry: clientTelemetry() });
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(INTERVAL_MS);
  await s.run(p.close());
  assert.deepEqual(s.cluster.failures, []);
});

test("telemetry: an empty subscription is asked again after an interval, and nothing is pushed until it wants something", async () => {
  const s = play({ metrics: [] });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(2.5 * INTERVAL_MS);
  assert.deepEqual(s.requests(), ["get", "get", "get"]);
  s.cluster.clientMetrics!.subscribe({ pushIntervalMs: INTERVAL_MS });
  await s.runtime.advance(3 * INTERVAL_MS);
  assert.ok(s.pushes.length > 0);
  await s.run(p.close());
});

test("telemetry: a subscription that has changed is asked for at once, under the same client instance id", async () => {
  const s = play();
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(1.5 * INTERVAL_MS);
  s.cluster.clientMetrics!.subscribe({ pushIntervalMs: INTERVAL_MS, metrics: [`${PREFIX}request.latency`] });
  await s.runtime.advance(1.2 * INTERVAL_MS);
  assert.deepEqual(s.requests().slice(-2), ["push", "get"]);
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.run(p.close());
  assert.deepEqual([...metricsOf(s.pushes.at(-1)).keys()], ["request.latency.avg", "request.latency.max"]);
  assert.equal(new Set(s.pushes.map(({ clientInstanceId }) => clientInstanceId)).size, 1);
});

test("telemetry: a broker that calls every subscription outdated is asked once an interval, not in a loop", async () => {
  const s = play();
  s.cluster.control(PushTelemetry, { error: 117 });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(20 * INTERVAL_MS);
  assert.ok(s.requests().length <= 60, `${s.requests().length} requests`);
  await s.run(p.close());
});

test("telemetry: what is too large or too often waits for the next interval and loses nothing", async () => {
  for (const error of [118, 89]) {
    const s = play();
    s.cluster.control(PushTelemetry, { error }, { times: 1 });
    const p = s.producer();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(1.5 * INTERVAL_MS);
    const before = s.requests().length;
    assert.equal(s.pushes.length + 1, s.requests().filter((api) => api === "push").length);
    await s.runtime.advance(1.1 * INTERVAL_MS);
    assert.equal(s.requests().length, before + 1);
    await s.run(p.close());
    const counts = s.pushes.map((push) => valueOf(push, "connection.creation.total"));
    assert.equal(counts.reduce<number>((sum, count) => sum + count!, 0), 1);
  }
});

test("telemetry: errors that no other request changes switch it off, and records go on", async () => {
  for (const [api, error] of [[GetTelemetrySubscriptions, 42], [PushTelemetry, 87], [PushTelemetry, 31]] as const) {
    const s = play();
    s.cluster.control(api, { error });
    const events: string[] = [];
    const p = s.producer({ logger: { info: (event) => void events.push(event) } });
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(1.5 * INTERVAL_MS);
    const before = s.requests().length;
    await s.runtime.advance(5 * INTERVAL_MS);
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.run(p.close());
    assert.equal(s.requests().length, before);
    assert.equal(events.filter((event) => event === "telemetry_off").length, 1);
    assert.equal((await s.cluster.records("orders")).length, 2);
  }
});

test("telemetry: the codec is the one of the producer if the broker accepts it, and none otherwise", async () => {
  for (const [compressionTypes, wanted] of [[[4, 1], 1], [[0, 1], 0], [[4, 3], 0], [[], 0], [[9, 1], 1]] as const) {
    const s = play({ compressionTypes });
    const p = s.producer({ compression: "gzip" });
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.run(p.close());
    assert.equal(s.pushes[0]!.compressionType, wanted, `${compressionTypes}`);
    assert.ok(metricsOf(s.pushes[0]).size > 5);
  }
});

test("telemetry: a codec that is offered and refused is not used again", async () => {
  const s = play();
  s.cluster.control(PushTelemetry, ({ compressionType }) => compressionType === 0 ? undefined : { error: 76 });
  const p = s.producer({ compression: "gzip" });
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(4 * INTERVAL_MS);
  await s.run(p.close());
  assert.deepEqual([...new Set(s.pushes.map(({ compressionType }) => compressionType))], [0]);
});

test("telemetry: no more bytes are pushed than the broker takes, single brokers are left out first", async () => {
  const s = play({ maxBytes: 300, compressionTypes: [] });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", value: "v" }));
  await s.run(p.close());
  const names = [...metricsOf(s.pushes[0]).keys()];
  assert.ok(s.pushes[0]!.metrics.length <= 300);
  assert.deepEqual(
    names,
    ["connection.creation.rate", "connection.creation.total", "produce.throttle.time.avg"].slice(0, names.length),
  );
  assert.ok(names.length > 1);
});

test("telemetry: a last push that nobody answers holds close() up for one second, or for its own limit", async () => {
  for (const [timeoutMs, wanted] of [[undefined, 1_000], [300, 300], [0, 0]] as const) {
    const s = play();
    s.cluster.control(PushTelemetry, { silence: true });
    const p = s.producer();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(100);
    const startMs = s.runtime.now();
    await s.run(p.close(timeoutMs === undefined ? {} : { timeoutMs }));
    assert.equal(s.runtime.now() - startMs, wanted);
  }
});

test("telemetry: it makes no connection, waits for the next one, and stays with its broker as long as it can", async () => {
  const s = play({}, { brokers: 3 });
  let connected = 0;
  const p = s.producer({
    connectionMaxIdleMs: 1_000,
    metadataMaxAgeMs: 3_600_000,
    hooks: { onConnect: () => void connected++ },
  });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  await s.runtime.advance(3 * INTERVAL_MS);
  assert.deepEqual(s.requests(), ["get"]);
  await s.run(Promise.all([0, 1, 2].map((partition) => p.send({ topic: "orders", partition, value: "v" }))));
  await s.run(p.close());
  assert.deepEqual(s.pushes.map(({ terminating }) => terminating), [false, true]);
  const counts = s.pushes.map((push) => valueOf(push, "connection.creation.total")!);
  assert.equal(counts[0]! + counts[1]!, connected);

  const t = play({}, { brokers: 3 });
  const q = t.producer();
  await t.run(Promise.all([0, 1, 2].map((partition) => q.send({ topic: "orders", partition, value: "v" }))));
  await t.runtime.advance(6 * INTERVAL_MS);
  assert.ok(t.pushes.length >= 5);
  assert.equal(new Set(t.pushes.map(({ nodeId }) => nodeId)).size, 1);
  t.cluster.stopBroker(t.pushes[0]!.nodeId);
  await t.runtime.advance(3 * INTERVAL_MS);
  await t.run(q.close());
  assert.notEqual(t.pushes.at(-1)!.nodeId, t.pushes[0]!.nodeId);
  assert.equal(new Set(t.pushes.map(({ clientInstanceId }) => clientInstanceId)).size, 1);
});

test("telemetry: intervals that no broker can mean are bounded", async () => {
  for (const pushIntervalMs of [0, -5, 1, 2_147_483_647]) {
    const s = play();
    s.cluster.control(GetTelemetrySubscriptions, {
      respond: {
        ...{ throttleTimeMs: 0, errorCode: 0, clientInstanceId: "ab".repeat(16), subscriptionId: 1 },
        ...{ acceptedCompressionTypes: [], pushIntervalMs, telemetryMaxBytes: 1_000_000, deltaTemporality: true },
        requestedMetrics: [""],
      },
    });
    s.cluster.control(PushTelemetry, { respond: { throttleTimeMs: 0, errorCode: 0 } });
    const p = s.producer();
    await s.run(p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(10_000);
    const count = s.requests().length;
    assert.ok(count <= 150, `${count} requests in 10 s at ${pushIntervalMs} ms`);
    await s.run(p.close());
  }
});

test("telemetry: a transactional producer names its id, and what hooks the user has are called as before", async () => {
  const s = play();
  const connected: string[] = [];
  const p = new TransactionalProducer({
    brokers: s.cluster.bootstrap,
    transactionalId: "t-1",
    telemetry: clientTelemetry(),
    hooks: { onConnect: ({ broker }) => void connected.push(broker) },
  }, s.runtime);
  await s.run(p.transaction((tx) => void tx.send({ topic: "orders", value: "v" })));
  await s.run(p.close());
  assert.deepEqual(readMetricsData(s.pushes[0]!.metrics).resource, { transactional_id: "t-1" });
  assert.ok(connected.length > 0);
});

test("telemetry: what is no telemetry is refused when the producer is made, and so are options that there are not", () => {
  const s = stage();
  for (const telemetry of [true, {}, null, "on", { begin: 1 }]) {
    assert.throws(
      () => s.producer({ telemetry: telemetry as never }),
      (error) =>
        error instanceof ConfigError && error.option === "telemetry" && /clientTelemetry\(\)/.test(error.message),
    );
  }
  assert.throws(() => clientTelemetry({ intervalMs: 1 } as never), /intervalMs/);
});
