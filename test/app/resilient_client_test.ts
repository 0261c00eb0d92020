import assert from "node:assert/strict";
import { KafkaError, RecordTooLargeError, TimeoutError, validateConfig } from "../../mod.ts";
import { closeTimeoutMs, createResilientClient, pipelining } from "../../src/app/mod.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { RecordingProducer, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => "ok", (error: KafkaError) => error.code);

test("resilient: what can pass is sent again with pauses, as it was at the call, and what can not is not", async () => {
  const runtime = new VirtualRuntime();
  const producer = new RecordingProducer({ runtime });
  const client = createResilientClient(producer, { retry: { retries: 2, backoffMs: 100 } }, runtime);
  producer.failNext(new TimeoutError("No."), 2);
  const value = new TextEncoder().encode("first");
  const sent = client.send({ topic: "t", value });
  value.fill(0);
  await runtime.runUntil(sent);
  assert.equal(new TextDecoder().decode(producer.records()[0]!.value as Uint8Array), "first");
  assert.ok(runtime.now() >= 240, "100 and 200 ms, 20 % less at most");
  assert.equal(client.stats().retries, 2);
  producer.failNext(new TimeoutError("No."), 3);
  assert.equal(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }))), "TIMEOUT");
  producer.failNext(new RecordTooLargeError("No."));
  assert.equal(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }))), "RECORD_TOO_LARGE");
  producer.failNext(new TimeoutError("No.", { persisted: "possibly" }));
  assert.equal(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }))), "TIMEOUT");
  assert.equal(producer.failed.length, 2 + 3 + 1 + 1);
  assert.equal(producer.records().length, 1);
});

test("resilient: an open circuit fails at once and uses up no retries, callbacks hear of it once", async () => {
  const runtime = new VirtualRuntime();
  const producer = new RecordingProducer({ runtime, respond: () => new TimeoutError("No.") });
  const client = createResilientClient(
    producer,
    { breaker: { failureThreshold: 3, recoveryTimeoutMs: 60_000 } },
    runtime,
  );
  assert.equal(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }))), "CIRCUIT_OPEN");
  assert.equal(producer.failed.length, 3);
  const startMs = runtime.now();
  const heard: unknown[] = [];
  const sent = client.send({ topic: "t", value: "v" }, { onDelivery: (error) => heard.push(error?.code) });
  assert.equal(await runtime.runUntil(codeOf(sent)), "CIRCUIT_OPEN");
  assert.deepEqual([heard, runtime.now(), producer.failed.length], [["CIRCUIT_OPEN"], startMs, 3]);
  assert.deepEqual(client.stats().circuits, { "": "open" });
  assert.equal((await runtime.runUntil(client.health())).status, "degraded");
  const bare = createResilientClient(producer, { retry: false, breaker: false }, runtime);
  for (let i = 0; i < 10; i++) {
    assert.equal(await runtime.runUntil(codeOf(bare.send({ topic: "t", value: "v" }))), "TIMEOUT");
  }
  const controller = new AbortController();
  controller.abort();
  const options = { signal: controller.signal };
  assert.notEqual(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }, options))), "ok");
  const passedOn: unknown[] = [];
  const spy = Object.assign(Object.create(producer) as typeof producer, {
    send: (_: unknown, given: unknown) => Promise.resolve(passedOn.push(given)),
  });
  const direct = createResilientClient(spy, { retry: false, breaker: false }, runtime);
  await runtime.runUntil(direct.send({ topic: "t", value: "v" }));
  await runtime.runUntil(direct.send({ topic: "t", value: "v" }, { signal: new AbortController().signal }));
  assert.deepEqual(passedOn.map((given) => given === undefined ? [] : Object.keys(given as object)), [[], ["signal"]]);
});

test("resilient: stats tell servers, connections and records, and health tells up, degraded and down", async () => {
  const s = stage({ brokers: 3, topics: { orders: 3 }, sessionTimeoutMs: 60_000 });
  const producer = s.producer({ retries: 0, deliveryTimeoutMs: 5_000, requestTimeoutMs: 1_000 });
  const client = createResilientClient(producer, { retry: false }, s.runtime);
  await s.run(Promise.all([0, 1, 2].map((partition) => client.send({ topic: "orders", partition, value: "v" }))));
  const stats = client.stats();
  assert.deepEqual([stats.totalServers, stats.healthyServers, stats.activeConnections, stats.availableConnections], [
    ...[3, 3, 3, 3],
  ]);
  assert.deepEqual([stats.recordsSent, stats.errors, stats.successRate, stats.requestsInFlight], [3, 0, 1, 0]);
  assert.match(stats.servers[0]!.address, /^broker-\d\.test:9092$/);
  assert.deepEqual(await s.run(client.health()), { status: "up", latencyMs: 0 });
  s.cluster.killBroker(2);
  await s.runtime.advance(10);
  const { status: sick, reason: why } = await s.run(client.health());
  assert.equal(sick, "degraded");
  assert.match(why!, /^broker-2\.test:9092: /);
  assert.equal(client.stats().healthyServers, 2);
  for (const id of [1, 3]) s.cluster.killBroker(id);
  const { status, reason, error, latencyMs } = await s.run(client.health({ timeoutMs: 500 }));
  assert.equal(status, "down");
  assert.ok(latencyMs <= 500 && error instanceof KafkaError && reason === error.message);
  await s.run(client.close({ timeoutMs: 100 }).catch(() => {}));
});

test("resilient: a health check has an end when brokers keep silent, and never rejects", async () => {
  const s = stage();
  const producer = s.producer();
  const client = createResilientClient(producer, {}, s.runtime);
  await s.run(client.send({ topic: "orders", value: "v" }));
  s.cluster.control(Produce, { drop: "before" }, { times: 1 });
  await s.run(client[Symbol.asyncDispose]());
  assert.equal((await s.run(client.health())).status, "down");
  const silent = Object.assign(new RecordingProducer({ runtime: s.runtime }), {
    refreshMetadata: () => new Promise<void>(() => {}),
  });
  const startMs = s.runtime.now();
  const health = await s.run(createResilientClient(silent, {}, s.runtime).health());
  assert.deepEqual([health.status, s.runtime.now() - startMs, health.error!.code], ["down", 2_000, "TIMEOUT"]);
});

test("resilient: options that are unknown or wrong are refused by name", () => {
  const producer = new RecordingProducer();
  for (
    const [options, option] of [
      [{ retry: { retries: -1 } }, "retries"],
      [{ retry: { maxRetries: 3 } }, "maxRetries"],
      [{ breaker: { threshold: 3 } }, "threshold"],
      [{ servers: "a:9092" }, "servers"],
    ] as const
  ) {
    assert.throws(() => createResilientClient(producer, options as never), { name: "ConfigError", option });
  }
  assert.throws(() => createResilientClient({ send: () => {} } as never), { option: "producer" });
});

test("pipelining: presets are options of a producer, for idempotent ones too, each with a time to close in", async () => {
  for (const name of ["standard", "highThroughput", "lowLatency"] as const) {
    validateConfig({ brokers: "a:9092", idempotent: true, ...pipelining[name]() });
    assert.ok(closeTimeoutMs[name] >= 3_000);
    assert.notEqual(pipelining[name](), pipelining[name]());
  }
  const told = (
    name: keyof typeof pipelining,
  ): unknown[] => [pipelining[name]().lingerMs, pipelining[name]().requestTimeoutMs];
  assert.deepEqual([told("standard"), told("highThroughput"), told("lowLatency")], [[1, 30_000], [5, 60_000], [
    0,
    10_000,
  ]]);
  const s = stage({ topics: { topic: 1 } });
  const producer = s.producer(pipelining.highThroughput());
  const sends = Array.from({ length: 1_000 }, (_, i) => producer.send({ topic: "topic", value: `msg-${i}` }));
  await s.run(Promise.all(sends));
  const { requests_sent, success_rate } = producer.metrics();
  assert.ok(requests_sent <= 5 && success_rate === 1);
  await s.run(producer.close({ timeoutMs: closeTimeoutMs.highThroughput }));
});

test("resilient: a setting of the retries that is undefined is that of the client", async () => {
  const runtime = new VirtualRuntime();
  const producer = new RecordingProducer({ runtime, respond: () => new TimeoutError("No.") });
  const retry = { retries: undefined, backoffMs: undefined, backoffMaxMs: undefined } as never;
  const client = createResilientClient(producer, { retry, breaker: false }, runtime);
  assert.equal(await runtime.runUntil(codeOf(client.send({ topic: "t", value: "v" }))), "TIMEOUT");
  assert.deepEqual([producer.failed.length, client.stats().retries], [4, 3]);
});
