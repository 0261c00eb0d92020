import assert from "node:assert/strict";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { KafkaError } from "../../src/errors.ts";
import { attemptsInATurn, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, states, valuesIn, warmUp, watch } from "./wire.ts";

test("close: delivers what lingers, what is in flight, what is retried and what waits for memory or metadata", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 60_000, bufferMemory: 2_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: 7 }, { times: 1 });
  const sent = [
    ...await sendApart(s, producer, ["a".repeat(850), "b".repeat(700)]),
    ...await sendApart(s, producer, ["c".repeat(500)]),
  ];
  const other = stage({ network: { latencyMs: 10 } });
  const cold = other.producer();
  const waiting = watch(other, cold.send({ topic: "orders", value: "never connected so far" }));
  await other.run(cold.close());
  assert.equal(waiting.state, "resolved");
  await assertLeavesNothing(other, cold);

  await s.run(producer.close());
  assert.deepEqual(states(sent), ["acked 1", "acked 2", "acked 3"]);
  await assertLeavesNothing(s, producer);
});

test("close: refuses everything in the same turn, and calls share one outcome", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "before" }));
  const closed = producer.close();
  const codes: string[] = [];
  const after = watch(
    s,
    producer.send({ topic: "orders", value: "after" }, { onError: ({ code }) => codes.push(code) }),
  );
  assert.deepEqual(codes, ["PRODUCER_CLOSED"]);
  let told: string | undefined;
  assert.equal(producer.produce({ topic: "orders", value: "after" }, (error) => told = error!.code), true);
  assert.equal(told, "PRODUCER_CLOSED");
  assert.equal(producer.close(), closed);
  assert.equal(producer.close({ timeoutMs: 1 }), closed);
  assert.equal(producer[Symbol.asyncDispose](), closed);
  for (const call of [() => producer.connect(), () => producer.partitionsFor("orders"), () => producer.ready()]) {
    assert.equal((await s.failure(call())).code, "PRODUCER_CLOSED");
  }
  await s.run(closed);
  assert.deepEqual(states([sent, after]), ["acked 1", "PRODUCER_CLOSED"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", "before"]);
  await s.run(producer.close());
  await s.run(producer.flush());
  await assertLeavesNothing(s, producer);
});

test("close: without a producer's having done anything leaves nothing either", async () => {
  const s = stage();
  const producer = s.producer();
  await s.run(producer.close());
  assert.equal(s.cluster.network.dials, 0);
  await assertLeavesNothing(s, producer);
});

test("close: within its time limit, fails the rest at once and rejects", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ bufferMemory: 1_000, maxInFlight: 1 });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { silence: true });
  const order: string[] = [];
  const sent = ["a", "b", "c"].map((value, i) =>
    watch(
      s,
      producer.send({ topic: "orders", partition: 0, value: value.repeat(350) }, {
        onError: ({ code, persisted }) => {
          order.push(`${value} ${code} ${persisted}`);
          // Whatever a callback does now must not keep the rest from being told.
          producer.send({ topic: "orders", partition: 0, value: `again ${i}` }).catch(() => {});
          void producer.flush();
        },
      }),
    )
  );
  await s.runtime.advance(50);
  const atMs = s.runtime.now();
  const closed = watch(s, producer.close({ timeoutMs: 50 }));
  await s.runtime.advance(49);
  assert.deepEqual(states(sent), ["pending", "pending", "pending"]);
  await s.runtime.advance(1);
  assert.deepEqual([closed.error?.code, closed.atMs], ["TIMEOUT", atMs + 50]);
  // c never got memory, so it was no part of any batch.
  assert.deepEqual(order.sort(), [
    "a PRODUCER_CLOSED possibly",
    "b PRODUCER_CLOSED possibly",
    "c PRODUCER_CLOSED no",
  ]);
  await s.runtime.settle();
  await s.runtime.advance(100);
  assert.equal(s.runtime.pendingTimers, 0);
  assert.equal(s.cluster.network.openConnections, 0);
  assert.equal(producer.metrics()["buffer-available-bytes"], 1_000);
});

test("close: says of each record whether it may be in the log", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ lingerMs: 0, maxInFlight: 1 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true, apply: true });
  const sent = [...await sendApart(s, producer, ["written"]), ...await sendApart(s, producer, ["queued"])];
  await s.failure(producer.close({ timeoutMs: 100 }));
  await s.runtime.settle();
  assert.deepEqual(sent.map(({ error }) => error!.persisted), ["possibly", "no"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "written"]);
});

test("close: ends by itself when a broker never answers, at the delivery deadline", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 2_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true });
  const sent = await sendApart(s, producer, ["a"]);
  const atMs = s.runtime.now();
  const closed = watch(s, producer.close());
  await s.runtime.advance(5_000);
  assert.deepEqual([closed.state, closed.atMs], ["resolved", atMs + 2_000]);
  assert.deepEqual(states(sent), ["DELIVERY_TIMEOUT"]);
  await assertLeavesNothing(s, producer);
});

test("close: ends calls that wait for a connection, metadata, a producer id or memory", async () => {
  for (const trouble of ["unreachable", "no metadata", "no id"]) {
    const s = stage({ network: { latencyMs: 10 } });
    if (trouble === "unreachable") s.cluster.network.blackHole("broker-1.test:9092");
    if (trouble === "no metadata") s.cluster.control(Metadata, { silence: true });
    if (trouble === "no id") s.cluster.control(InitProducerId, { silence: true });
    const producer = s.producer();
    const calls = [
      watch(s, producer.connect()),
      watch(s, producer.partitionsFor("orders")),
      watch(s, producer.refreshMetadata("orders")),
      watch(s, producer.send({ topic: "orders", value: "v" })),
    ];
    await s.runtime.advance(100);
    const closed = watch(s, producer.close({ timeoutMs: 50 }));
    await s.runtime.advance(50);
    assert.equal(closed.error?.code, "TIMEOUT", trouble);
    await s.runtime.advance(100);
    assert.deepEqual(calls.map(({ state }) => state).filter((state) => state === "pending"), [], trouble);
    assert.equal(calls[3]!.error?.code, "PRODUCER_CLOSED", trouble);
    assert.equal(s.runtime.pendingTimers, 0, trouble);
    s.cluster.network.heal("broker-1.test:9092");
    await s.runtime.advance(100);
    assert.equal(s.cluster.network.openConnections, 0, trouble);
  }
});

test("close: waits for a topic that partitionsFor asks for end with it", async () => {
  const s = stage({ topics: { orders: 1 }, autoCreateTopics: false });
  const producer = s.producer();
  await warmUp(s, producer);
  const asked = watch(s, producer.partitionsFor("nowhere"));
  await s.runtime.advance(500);
  assert.equal(asked.state, "pending");
  await s.run(producer.close());
  await s.runtime.settle();
  assert.equal(asked.error?.code, "PRODUCER_CLOSED");
  await assertLeavesNothing(s, producer);
});

test("close: from a callback waits for what is left, and doesn't lock up", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { answerDelayMs: 300 }, { times: 1 });
  let closed: Promise<void> | undefined;
  const slow = await sendApart(s, producer, ["slow"], 1);
  producer.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: () => closed = producer.close() });
  await s.runtime.advance(1_000);
  await s.run(closed!);
  assert.deepEqual(states(slow), ["acked 1"]);
  await assertLeavesNothing(s, producer);
});

test("close: in the middle of reconnecting leaves neither sockets nor timers", async () => {
  for (let wait = 0; wait < 300; wait += 23) {
    const s = stage({ brokers: 3, topics: { orders: 3 }, network: { latencyMs: 7 } }, wait + 1);
    const producer = s.producer();
    await warmUp(s, producer, [0, 1, 2]);
    s.cluster.stopBroker(1);
    s.cluster.network.blackHole("broker-2.test:9092");
    for (let i = 0; i < 6; i++) producer.send({ topic: "orders", partition: i % 3, value: "v" }).catch(() => {});
    await s.runtime.advance(wait);
    await s.failure(producer.close({ timeoutMs: 11 }));
    await s.runtime.advance(50);
    assert.equal(s.runtime.pendingTimers, 0, `after ${wait} ms`);
    s.cluster.network.heal("broker-2.test:9092");
    await s.runtime.advance(50);
    assert.equal(s.cluster.network.openConnections, 0, `after ${wait} ms`);
  }
});

test("close: connect with a signal that is aborted already rejects with its reason only", async () => {
  const s = stage();
  s.cluster.stopBroker(1);
  const producer = s.producer();
  const error = await s.failure(producer.connect({ signal: AbortSignal.abort(new Error("not now")) }));
  assert.equal(error.message, "not now");
  // The attempt fails later; nobody is left to be told, and nothing may complain about that.
  await s.runtime.advance(1_000);
  await assertLeavesNothing(s, producer);
});

/** What `await using producer = …` does, without the syntax: not every runtime here has it. */
async function scope<T>(producer: AsyncDisposable, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } finally {
    await producer[Symbol.asyncDispose]();
  }
}

test("close: leaving a scope delivers what was taken and closes, also when the scope is left by an error", async () => {
  for (const fails of [false, true]) {
    const s = stage({ network: { latencyMs: 10 } });
    const producer = s.producer({ lingerMs: 60_000 });
    const sent: unknown[] = [];
    const left = scope(producer, async () => {
      for (const value of ["a", "b"]) {
        producer.send({ topic: "orders", partition: 0, value }, { onDelivery: (error) => void sent.push(error) });
      }
      await Promise.resolve();
      if (fails) throw new Error("the scope's own");
      return "left";
    });
    const outcome = await s.run(left.catch((error) => error.message));
    assert.equal(outcome, fails ? "the scope's own" : "left");
    assert.deepEqual(sent, [null, null]);
    assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["a", "b"]);
    assert.equal((await s.failure(producer.send({ topic: "orders", value: "late" }))).code, "PRODUCER_CLOSED");
    await assertLeavesNothing(s, producer);
  }
});

test("close: within its time limit, with a full buffer and a topic that nobody knows, settles all who wait", async () => {
  const s = stage();
  const producer = s.producer({ bufferMemory: 1_000 });
  await s.run(producer.connect());
  s.cluster.control(Metadata, { silence: true });
  // Two have memory and wait for metadata; each that is failed makes room for one of the others.
  const sent = Array.from({ length: 6 }, (_, i) => {
    return watch(s, producer.send({ topic: "orders", partition: 0, value: String(i).repeat(400) }));
  });
  await s.runtime.advance(10);
  await s.failure(producer.close({ timeoutMs: 50 }));
  assert.deepEqual(sent.map(({ state }) => state), sent.map(() => "rejected"));
  assert.equal(producer.metrics()["buffer-available-bytes"], 1_000);
});

test("close: with acks 0 it ends when the bytes have left, so that a process may end then", async () => {
  const s = stage({ network: { latencyMs: 100 } });
  const producer = s.producer({ acks: 0 });
  await warmUp(s, producer);
  const sentMs = s.runtime.now();
  await s.run(producer.send({ topic: "orders", partition: 0, value: "the last one" }));
  await s.run(producer.close());
  assert.ok(s.runtime.now() - sentMs >= 100, `closed after ${s.runtime.now() - sentMs} ms`);
  assert.equal((await valuesIn(s.cluster, "orders", 0)).at(-1), "the last one");
});

test("close: with acks 0 and a broker that reads nothing it ends all the same", async () => {
  for (const [options, limitMs, fails] of [[{ timeoutMs: 500 }, 500, true], [undefined, 30_000, false]] as const) {
    const s = stage({ network: { latencyMs: 10 } });
    const producer = s.producer({ acks: 0 });
    await warmUp(s, producer);
    s.cluster.network.blackHole(s.cluster.bootstrap);
    await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
    const atMs = s.runtime.now();
    const outcome = await s.run(producer.close(options).then(() => undefined, (error: KafkaError) => error));
    assert.equal(outcome?.code, fails ? "TIMEOUT" : undefined);
    assert.equal(s.runtime.now() - atMs, limitMs);
    assert.equal(s.runtime.pendingTimers, 0);
  }
});

test("close: whoever calls a closed producer whatever it is told keeps nobody waiting, and is told all the same", async () => {
  for (const interceptors of [[], [{ onAcknowledgement: () => {} }]]) {
    const s = stage();
    const producer = s.producer({ interceptors });
    await warmUp(s, producer);
    await s.run(producer.close());
    const record = { topic: "orders", value: "v" };
    const told: unknown[] = [];
    const onError = (error: KafkaError): void => void told.push(error.code);
    const calls = [
      () => producer.send(record),
      () => producer.send(record, { signal: new AbortController().signal }),
      () => producer.send(record, { onError }),
      () => producer.sendBatch([record]).all(),
      () => producer.sendBatch([record], { onError }).all(),
      () => producer.connect(),
      () => producer.ready(),
      () => producer.partitionsFor("orders"),
      () => producer.refreshMetadata(),
    ];
    for (const call of calls) assert.equal(await attemptsInATurn(call), 0, String(call));
    for (const call of calls) assert.equal((await s.failure(call())).code, "PRODUCER_CLOSED");
    // Callbacks are called within the call.
    told.length = 0;
    producer.send(record, { onError });
    assert.deepEqual(told, ["PRODUCER_CLOSED"]);
  }
});
