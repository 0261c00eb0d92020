import assert from "node:assert/strict";
import { ConnectionError, type KafkaError, RecordTooLargeError, TimeoutError } from "../../mod.ts";
import { CircuitBreaker, CircuitBreakers, type CircuitEvent } from "../../src/app/mod.ts";
import { RecordingProducer, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const down = (): Promise<never> => Promise.reject(new ConnectionError("Nobody answers."));
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => "ok", (error: KafkaError) => error.code);

test("breaker: so many failures in a row open it, and then nothing is called until the time has come", async () => {
  const runtime = new VirtualRuntime();
  const events: CircuitEvent[] = [];
  const breaker = new CircuitBreaker({
    failureThreshold: 3,
    recoveryTimeoutMs: 1_000,
    onStateChange: (event) => events.push(event),
  }, runtime);
  assert.equal(await codeOf(breaker.run(down)), "NETWORK_EXCEPTION");
  assert.equal(await codeOf(breaker.run(down)), "NETWORK_EXCEPTION");
  await breaker.run(() => Promise.resolve());
  assert.equal(breaker.failures, 0, "a success begins anew");
  for (let i = 0; i < 3; i++) await codeOf(breaker.run(down));
  assert.equal(breaker.state, "open");
  await runtime.advance(400);
  let calls = 0;
  const error = await breaker.run(() => ++calls).catch((error) => error);
  assert.deepEqual([error.code, error.retriable, error.persisted, error.cause.code], [
    ...["CIRCUIT_OPEN", true, "no", "NETWORK_EXCEPTION"],
  ]);
  assert.match(error.message, /open after 3 failures: nothing was sent\. Try again in 600 ms\./);
  assert.deepEqual([calls, breaker.retryAfterMs], [0, 600]);
  assert.deepEqual(events.map(({ from, to }) => `${from} ${to}`), ["closed open"]);
  assert.equal((events[0]!.error as KafkaError).code, "NETWORK_EXCEPTION");
});

test("breaker: half-open it lets one call through; a success closes it, a failure opens it for another time", async () => {
  const runtime = new VirtualRuntime();
  const breaker = new CircuitBreaker({ failureThreshold: 1, recoveryTimeoutMs: 1_000 }, runtime);
  await codeOf(breaker.run(down));
  await runtime.advance(1_000);
  assert.equal(breaker.state, "half-open");
  let fail: (error: Error) => void = () => {};
  const probe = codeOf(breaker.run(() => new Promise((_, reject) => fail = reject)));
  assert.equal(await codeOf(breaker.run(() => Promise.resolve())), "CIRCUIT_OPEN", "one only");
  fail(new TimeoutError("Still nobody."));
  assert.equal(await probe, "TIMEOUT");
  assert.deepEqual([breaker.state, breaker.retryAfterMs], ["open", 1_000]);
  await runtime.advance(1_000);
  assert.equal(await codeOf(breaker.run(() => Promise.resolve())), "ok");
  assert.equal(breaker.state, "closed");
});

test("breaker: what the caller did wrong is no failure, and tells nothing when the circuit is half-open", async () => {
  const runtime = new VirtualRuntime();
  const breaker = new CircuitBreaker({ failureThreshold: 1, recoveryTimeoutMs: 1_000 }, runtime);
  const mistake = (): Promise<never> => Promise.reject(new RecordTooLargeError("Too large."));
  for (
    const call of [mistake, (): never => {
      throw new RangeError("no");
    }]
  ) await codeOf(breaker.run(call));
  assert.equal(breaker.state, "closed");
  await codeOf(breaker.run(down));
  await runtime.advance(1_000);
  await codeOf(breaker.run(mistake));
  assert.equal(breaker.state, "half-open");
  assert.equal(await codeOf(breaker.run(() => 1)), "ok");
  assert.equal(breaker.state, "closed");
});

test("breaker: calls from before it opened neither close nor reopen it, and a call that never ends blocks nobody for good", async () => {
  const runtime = new VirtualRuntime();
  const breaker = new CircuitBreaker({ failureThreshold: 1, recoveryTimeoutMs: 1_000 }, runtime);
  const settle: [() => void, (error: Error) => void][] = [];
  const hang = (): Promise<void> => new Promise((resolve, reject) => settle.push([resolve, reject]));
  const early = [breaker.run(hang), breaker.run(hang)].map(codeOf);
  await codeOf(breaker.run(down));
  settle[0]![0]();
  await early[0];
  assert.equal(breaker.state, "open");
  await runtime.advance(1_000);
  void codeOf(breaker.run(hang)); // never ends
  settle[1]![1](new ConnectionError("Late."));
  await early[1];
  assert.equal(breaker.state, "half-open");
  assert.equal(await codeOf(breaker.run(() => 1)), "CIRCUIT_OPEN");
  await runtime.advance(1_000);
  assert.equal(await codeOf(breaker.run(() => 1)), "ok");
  assert.equal(breaker.state, "closed");
});

test("breaker: what counts as a failure can be chosen, and a rule that throws counts", async () => {
  const runtime = new VirtualRuntime();
  const breaker = new CircuitBreaker(
    { failureThreshold: 1, isFailure: (error) => error instanceof RangeError },
    runtime,
  );
  await codeOf(breaker.run(down));
  assert.equal(breaker.state, "closed");
  await codeOf(breaker.run(() => Promise.reject(new RangeError("mine"))));
  assert.equal(breaker.state, "open");
  const broken = new CircuitBreaker({
    failureThreshold: 1,
    isFailure: () => {
      throw new RangeError("no rule");
    },
  }, runtime);
  await codeOf(broken.run(() => Promise.reject(new SyntaxError("x"))));
  assert.equal(broken.state, "open");
});

test("breakers: each topic has a circuit of its own, healthy ones are forgotten, and callbacks hear of a refusal", async () => {
  const runtime = new VirtualRuntime();
  const recording = new RecordingProducer({
    runtime,
    respond: ({ topic }) => topic === "bad" ? new TimeoutError("No.") : undefined,
  });
  const breakers = new CircuitBreakers(recording, { scope: "topic", failureThreshold: 2 }, runtime);
  for (let i = 0; i < 2; i++) assert.equal(await codeOf(breakers.send({ topic: "bad", value: "v" })), "TIMEOUT");
  assert.equal(await codeOf(breakers.send({ topic: "good", value: "v" })), "ok");
  assert.deepEqual([breakers.stateOf("bad"), breakers.stateOf("good")], ["open", "closed"]);
  assert.deepEqual(breakers.troubled(), { bad: "open" });
  const heard: unknown[] = [];
  void breakers.send({ topic: "bad", value: "v" }, {
    onDelivery: (error, metadata) => heard.push(error?.code, metadata),
  });
  await runtime.settle();
  assert.deepEqual(heard, ["CIRCUIT_OPEN", null]);
  assert.equal(recording.failed.length, 2, "nothing reached the producer");
  const byTenant = new CircuitBreakers(recording, { scope: ({ key }) => String(key), failureThreshold: 1 }, runtime);
  await codeOf(byTenant.send({ topic: "bad", key: "a", value: "v" }));
  assert.deepEqual(byTenant.troubled(), { a: "open" });
  const unreadable = await codeOf(new CircuitBreakers(recording, { scope: "topic" }, runtime).send(null as never));
  assert.notEqual(unreadable, "ok");
});

test("breakers: while no broker can be reached the circuit opens, and it closes when they are back", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer({ deliveryTimeoutMs: 1_000, requestTimeoutMs: 500, maxBlockMs: 1_000 });
  const breakers = new CircuitBreakers(producer, { failureThreshold: 2, recoveryTimeoutMs: 5_000 }, s.runtime);
  await s.run(breakers.send({ topic: "orders", value: "a" }));
  s.cluster.killBroker(1);
  for (let i = 0; i < 2; i++) await s.failure(breakers.send({ topic: "orders", value: "b" }));
  assert.equal((await s.failure(breakers.send({ topic: "orders", value: "c" }))).code, "CIRCUIT_OPEN");
  s.cluster.startBroker(1);
  await s.runtime.advance(5_000);
  await s.run(breakers.send({ topic: "orders", value: "d" }));
  assert.equal(breakers.stateOf(), "closed");
  await s.run(producer.close());
});

test("breaker: options that are unknown or wrong are refused by name", () => {
  for (
    const [options, option] of [
      [{ failureThreshold: 0 }, "failureThreshold"],
      [{ recoveryTimeoutMs: "30s" }, "recoveryTimeoutMs"],
      [{ isFailure: true }, "isFailure"],
      [{ threshold: 5 }, "threshold"],
    ] as const
  ) {
    assert.throws(() => new CircuitBreaker(options as never), { name: "ConfigError", option });
    assert.throws(() => new CircuitBreakers(new RecordingProducer(), options as never), {
      name: "ConfigError",
      option,
    });
  }
  assert.throws(() => new CircuitBreakers(new RecordingProducer(), { scope: "broker" as never }), { option: "scope" });
});
