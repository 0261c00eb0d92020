/** Parts that stand around a transaction: whose failure its commit tells, and whose it doesn't. */
import assert from "node:assert/strict";
import { TransactionalProducer } from "../../mod.ts";
import { CircuitBreakers, createEventPublisher, DeadLetters, sendReply } from "../../src/app/mod.ts";
import type { Sends } from "../../src/app/sends.ts";
import { requestHeaders } from "../../src/headers/mod.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { EmbeddedCluster, VirtualRuntime } from "../../src/testing/mod.ts";
import { test, type TestContext } from "../harness.ts";
import { unhandledIn } from "../producer/unhandled.ts";
import { turn } from "../stage.ts";

const POLICY_VIOLATION = 44;
const record = { topic: "out", key: "k", value: "v" };
const failed = { topic: "in", partition: 0, offset: 1n, key: null, value: new Uint8Array(1) };
const asked = { headers: requestHeaders({ correlationId: new Uint8Array(16), replyTopic: "out", replyPartition: 0 }) };
const event = { order: { id: "o-1" } };

/** Sends by a part around something, which fails. */
const PARTS: Readonly<Record<string, (producer: Sends) => Promise<unknown>>> = {
  "dead letters": (producer) => new DeadLetters(producer).send(record),
  "a dead letter of a record that was read": (producer) =>
    new DeadLetters(producer, { topic: "out" }).report(failed, new Error("no")),
  "circuits": (producer) => new CircuitBreakers(producer).send(record),
  "circuits around dead letters": (producer) => new CircuitBreakers(new DeadLetters(producer)).send(record),
  "dead letters around circuits": (producer) => new DeadLetters(new CircuitBreakers(producer)).send(record),
  "events": (producer) =>
    createEventPublisher<typeof event>(producer, { topic: "out" }).publish("order", { id: "o-1" }),
  "events that are kept": (producer) =>
    createEventPublisher<typeof event>(producer, { topic: "out" }).publishSafe("order", { id: "o-1" }),
  "a reply": (producer) => sendReply(producer, asked, { value: "v" }),
};

/** A transaction whose records the broker refuses. */
async function refused(t: TestContext) {
  const unhandled = unhandledIn(t);
  const runtime = new VirtualRuntime({ seed: 1 });
  const cluster = new EmbeddedCluster({ topics: { out: 1, in: 1 }, runtime });
  runtime.sockets = cluster.sockets;
  cluster.control(Produce, { error: POLICY_VIOLATION });
  const producer = new TransactionalProducer({ brokers: cluster.bootstrap, transactionalId: "orders-1" }, runtime);
  const run = <T>(promise: Promise<T>): Promise<T> => runtime.runUntil(promise, 600_000);
  const tx = await run(producer.begin());
  const settle = async (): Promise<void> => {
    await runtime.advance(5_000);
    for (let i = 0; i < 5; i++) await turn();
  };
  return { unhandled, producer, run, tx, settle };
}

for (const [part, send] of Object.entries(PARTS)) {
  test(`app: a failure that a transaction's commit tells isn't reported as unhandled by ${part}`, async (t) => {
    const { unhandled, producer, run, tx, settle } = await refused(t);
    const ignored = send(tx);
    const watched = send(tx).then((value) => (value as { ok?: boolean }).ok, (error) => error.code);
    await settle();
    assert.deepEqual(unhandled, []);
    assert.ok(["POLICY_VIOLATION", "TRANSACTION_ABORTED", "TRANSACTION_STATE", false].includes(await run(watched)));
    // Looked at later it says why, all the same.
    const told = await run(ignored.then((value) => (value as { ok?: boolean }).ok, ({ code }) => code));
    assert.ok(["POLICY_VIOLATION", false].includes(told), String(told));
    await assert.rejects(run(tx.commit()), { code: "POLICY_VIOLATION", requiresAbort: true });
    await run(tx.abort());
    await run(producer.close());
  });
}

test("app: what a part around a transaction refuses by itself isn't left alone, for the commit knows nothing of it", async (t) => {
  const { unhandled, producer, run, tx, settle } = await refused(t);
  let left = 0;
  const refusals: Promise<unknown>[] = [];
  const watch = (sent: Promise<unknown>, into: Promise<unknown>[] = refusals): void => {
    into.push(sent.then(() => undefined, ({ code }) => code));
    // Whoever leaves it alone handles its rejection.
    sent.catch = (...handlers) => {
      left += 1;
      return Promise.prototype.catch.apply(sent, handlers);
    };
  };
  const parts: Sends[] = [new DeadLetters(tx), new CircuitBreakers(tx), new DeadLetters(new CircuitBreakers(tx))];
  for (const part of parts) watch(part.send(record, { own: 1 } as never));
  watch(createEventPublisher<typeof event>(tx, { topic: "out" }).publish("order", {} as never));
  watch(sendReply(tx, undefined as never, { value: "v" }));
  await settle();
  assert.deepEqual(await Promise.all(refusals), ["CONFIG", "CONFIG", "CONFIG", "SERIALIZATION", "CONFIG"]);
  assert.equal(left, 0);
  await run(tx.commit());
  // What its commit tells is.
  const next = await run(producer.begin());
  watch(new DeadLetters(next).send(record), []);
  await settle();
  assert.ok(left > 0, "it was not left alone");
  assert.deepEqual(unhandled, []);
  await run(next.abort());
  await run(producer.close());
});

test("app: an open circuit in a transaction is no failure that its commit tells", async (t) => {
  const { producer, run, tx, settle } = await refused(t);
  const circuits = new CircuitBreakers(tx, { failureThreshold: 1, isFailure: () => true });
  const orders = new DeadLetters(circuits);
  await assert.rejects(run(circuits.send(record)), { code: "POLICY_VIOLATION" });
  await run(tx.abort());
  const sent = orders.send(record);
  const told = sent.then(() => undefined, ({ code }) => code);
  sent.catch = () => assert.fail("it was left alone");
  await settle();
  assert.equal(await told, "CIRCUIT_OPEN");
  await run(producer.close());
});
