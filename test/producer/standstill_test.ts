/** The process stands still, and its timers are the first to hear of it: what has come meanwhile counts all the same. */

import assert from "node:assert/strict";
import { type KafkaError, TransactionalProducer } from "../../mod.ts";
import { Producer } from "../../src/producer/named_producer.ts";
import { EndTxn } from "../../src/protocol/messages/end_txn.ts";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";
import { standstill } from "../standstill.ts";
import { sentBatches, watch } from "./wire.ts";

const LONG_MS = 300_000;

test("standstill: what is in flight, waits to be sent, or waits for metadata is delivered after five minutes in a debugger", async () => {
  for (const acks of ["all", 0] as const) {
    const s = stage({ network: { latencyMs: 5 } });
    const held = standstill(s.runtime);
    const producer = new Producer({ brokers: s.cluster.bootstrap, batchSize: 100, acks }, held.runtime);
    await s.run(producer.send({ topic: "orders", partition: 0, value: "first" }));
    const values = Array.from({ length: 12 }, (_, index) => `${index}`.padStart(90, "0"));
    const sends = values.map((value) => watch(s, producer.send({ topic: "orders", partition: 0, value })));
    sends.push(watch(s, producer.send({ topic: "orders", partition: 1, value: "x" })));
    await s.runtime.advance(1);
    assert.ok(acks === 0 || sends.every(({ state }) => state === "pending"));
    held.standStill(LONG_MS);
    await s.run(producer.flush());
    await s.runtime.advance(10);
    assert.deepEqual(sends.filter(({ error }) => error !== undefined).map(({ error }) => error!.message), []);
    assert.equal(new Set(sentBatches(s.cluster).map(({ connectionId }) => connectionId)).size, 1, "connections");
    await s.run(producer.close());
  }
});

test("standstill: a topic that is looked up meanwhile is found, and a record that waits for memory gets it", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const held = standstill(s.runtime);
  const producer = new Producer({ brokers: s.cluster.bootstrap, bufferMemory: 1_000 }, held.runtime);
  const sends = Array.from(
    { length: 5 },
    () => watch(s, producer.send({ topic: "orders", partition: 0, value: "v".repeat(400) })),
  );
  await s.runtime.runUntil(() => s.cluster.requestsOf(Metadata).length > 0);
  held.standStill(LONG_MS);
  await s.runtime.runUntil(() => s.cluster.requestsOf(Produce).length > 0);
  held.standStill(LONG_MS);
  await s.run(producer.flush());
  assert.deepEqual(sends.map(({ error }) => error), Array(5).fill(undefined));
  await s.run(producer.close());
});

test("standstill: calls with a time limit of their own get the answer that has come", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const held = standstill(s.runtime);
  const producer = new Producer({ brokers: s.cluster.bootstrap }, held.runtime);
  await s.run(producer.connect());
  void producer.send({ topic: "orders", value: "v" });
  const flushed = producer.flush({ timeoutMs: 1_000 });
  await s.runtime.advance(1);
  held.standStill(LONG_MS);
  await s.run(flushed);
  await s.run(producer.close());
});

test("standstill: a transaction goes on, at whatever it stood still", async () => {
  for (let pauseAtMs = 1; pauseAtMs < 60; pauseAtMs += 4) {
    const s = stage({ network: { latencyMs: 5 } });
    const held = standstill(s.runtime);
    const options = { brokers: s.cluster.bootstrap, transactionalId: "t", transactionTimeoutMs: 900_000 };
    const producer = new TransactionalProducer(options, held.runtime);
    const done = watch(
      s,
      producer.transaction(async (tx) => {
        await tx.send({ topic: "orders", value: "v" });
      }) as Promise<never>,
    );
    await s.runtime.advance(pauseAtMs);
    held.standStill(LONG_MS);
    await s.runtime.runUntil(() => done.state !== "pending");
    assert.equal(done.error, undefined, `at ${pauseAtMs} ms: ${done.error?.message}`);
    await s.run(producer.close());
  }
});

test("standstill: close() with a limit lets a commit end whose answer has come", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const held = standstill(s.runtime);
  const options = { brokers: s.cluster.bootstrap, transactionalId: "t", transactionTimeoutMs: 900_000 };
  const producer = new TransactionalProducer(options, held.runtime);
  const tx = await s.run(producer.begin());
  await s.run(tx.send({ topic: "orders", value: "v" }));
  const committed = watch(s, tx.commit() as Promise<never>);
  const closed = watch(s, producer.close({ timeoutMs: 1_000 }) as Promise<never>);
  await s.runtime.advance(1);
  held.standStill(LONG_MS);
  await s.runtime.runUntil(() => committed.state !== "pending" && closed.state !== "pending");
  assert.deepEqual([committed.error, closed.error], [undefined, undefined]);
});

test("standstill: a connection on which the producer id is asked for stays, at whatever it stood still", async () => {
  for (let pauseAtMs = 1; pauseAtMs < 40; pauseAtMs += 2) {
    const s = stage({ brokers: 1, network: { latencyMs: 5 } });
    s.cluster.control(InitProducerId, { answerDelayMs: 20 });
    const held = standstill(s.runtime);
    const producer = new Producer({ brokers: s.cluster.bootstrap }, held.runtime);
    const sent = watch(s, producer.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(pauseAtMs);
    held.standStill(LONG_MS);
    await s.runtime.runUntil(() => sent.state !== "pending");
    assert.equal(sent.error, undefined);
    const used = new Set(s.cluster.requests.map(({ connectionId }) => connectionId));
    assert.equal(used.size, 1, `connections, at ${pauseAtMs} ms`);
    await s.run(producer.close());
  }
});

test("standstill: a commit that pauses before it asks again does ask again", async () => {
  for (const error of [51, 14]) {
    const s = stage({ network: { latencyMs: 5 } });
    const held = standstill(s.runtime);
    const options = { brokers: s.cluster.bootstrap, transactionalId: "t", transactionTimeoutMs: 900_000 };
    const producer = new TransactionalProducer(options, held.runtime);
    const tx = await s.run(producer.begin());
    await s.run(tx.send({ topic: "orders", value: "v" }));
    const before = s.cluster.requestsOf(EndTxn).length;
    s.cluster.control(EndTxn, { error }, { times: 1 });
    const done = watch(s, tx.commit() as Promise<never>);
    await s.runtime.runUntil(() => s.cluster.requestsOf(EndTxn).length > before);
    await s.runtime.advance(6);
    held.standStill(LONG_MS);
    await s.runtime.runUntil(() => done.state !== "pending");
    assert.equal(done.error, undefined, `${error}: ${done.error?.message}`);
    await s.run(producer.close());
  }
});

test("standstill: whoever doesn't answer after it either has five seconds, and no longer", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const held = standstill(s.runtime);
  const producer = new Producer({ brokers: s.cluster.bootstrap }, held.runtime);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "first" }));
  s.cluster.control(Produce, { silence: true });
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "v" }));
  await s.runtime.advance(1);
  held.standStill(LONG_MS);
  await s.runtime.advance(4_999);
  assert.equal(sent.state, "pending");
  await s.runtime.advance(2);
  assert.equal((sent.error as KafkaError).code, "DELIVERY_TIMEOUT");
  await s.run(producer.close({ timeoutMs: 0 }).catch(() => {}));
});

test("standstill: a process that is late all its life gives up as well", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const held = standstill(s.runtime);
  const options = { brokers: s.cluster.bootstrap, deliveryTimeoutMs: 3_000, requestTimeoutMs: 2_000 };
  const producer = new Producer(options, held.runtime);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "first" }));
  s.cluster.control(Produce, { silence: true });
  const sends = [];
  for (let turn = 0; turn < 40; turn++) {
    sends.push(watch(s, producer.send({ topic: "orders", partition: turn % 3, value: "v" })));
    await s.runtime.advance(1);
    held.standStill(1_000);
    await s.runtime.advance(1);
  }
  assert.deepEqual(sends.slice(0, 25).map(({ error }) => error?.code), Array(25).fill("DELIVERY_TIMEOUT"));
  await s.run(producer.close({ timeoutMs: 0 }).catch(() => {}));
});
