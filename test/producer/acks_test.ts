import assert from "node:assert/strict";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { stage, takeAtOnce } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

test("acks: with 0 nothing is waited for, and no slot is held", async () => {
  const s = stage({ network: { latencyMs: 100 } });
  const producer = s.producer({ acks: 0, maxInFlight: 1 });
  await warmUp(s, producer);
  const atMs = s.runtime.now();
  const sent = await sendApart(s, producer, Array.from({ length: 10 }, (_, i) => `value ${i}`));
  await s.runtime.settle();
  assert.ok(sent.every(({ state }) => state === "resolved"));
  assert.equal(s.runtime.now(), atMs, "no time has passed");
  assert.deepEqual(new Set(states(sent)), new Set(["unacknowledged -1"]));
  assert.equal(producer.metrics()["requests-in-flight"], 0);
  await s.runtime.advance(200);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", ...sent.map((_, i) => `value ${i}`)]);
  assert.ok(s.cluster.requestsOf(Produce).every(({ body }) => body.acks === 0));
  assert.ok(sentBatches(s.cluster).every(({ producerId }) => producerId === -1n));
  await assertLeavesNothing(s, producer);
});

test("acks: with 0 no record of a batch has an offset, the first or the last", async () => {
  const s = stage();
  const producer = s.producer({ acks: 0, lingerMs: 10 });
  await warmUp(s, producer);
  const sent = ["a", "b", "c"].map((value) => producer.send({ topic: "orders", partition: 0, value }));
  const offsets = (await s.run(Promise.all(sent))).map(({ offset }) => offset);
  assert.equal(sentBatches(s.cluster).length, 1);
  assert.deepEqual(offsets, [-1n, -1n, -1n]);
  await assertLeavesNothing(s, producer);
});

test("acks: with 0 a callback that sends again leaves turns to all others", async () => {
  const s = stage();
  takeAtOnce(s);
  const producer = s.producer({ acks: 0 });
  await warmUp(s, producer);
  let sent = 0;
  const again = (): void => {
    if (sent++ < 50) producer.produce({ topic: "orders", partition: 0, value: `value ${sent}` }, again);
  };
  const atTurns: number[] = [];
  const turn = (): void => {
    atTurns.push(sent);
    if (sent < 50) s.runtime.defer(turn);
  };
  again();
  turn();
  await s.runtime.settle();
  assert.equal(sent, 51);
  assert.ok(atTurns.every((at, i) => i === 0 || at - atTurns[i - 1]! <= 1), `sent by turns: ${atTurns}`);
  await assertLeavesNothing(s, producer);
});

test("acks: with 0 the next request on the connection is matched with its own answer", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ acks: 0 });
  await warmUp(s, producer);
  const dials = s.cluster.network.dials;
  for (let i = 0; i < 5; i++) {
    await sendApart(s, producer, ["v"]);
    await s.run(producer.refreshMetadata());
  }
  const connections = new Set(s.cluster.requests.map(({ connectionId }) => connectionId));
  assert.equal(connections.size, 1);
  assert.equal(s.cluster.network.dials, dials);
  assert.equal(s.cluster.requestsOf(Metadata).length, 5);
  await assertLeavesNothing(s, producer);
});

test("acks: with 0 a write that fails rejects, and later sends find a new connection", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ acks: 0 });
  await warmUp(s, producer);
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "lost" }));
  await Promise.resolve();
  s.cluster.network.reset();
  await s.runtime.advance(1_000);
  assert.notEqual(sent.state, "pending");
  const later = await sendApart(s, producer, ["later"]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(later), ["unacknowledged -1"]);
  assert.equal((await valuesIn(s.cluster, "orders", 0)).at(-1), "later");
  await assertLeavesNothing(s, producer);
});

test("acks: with 0 a closed connection leads to a look at who leads", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer({ acks: 0 });
  await warmUp(s, producer);
  const [from, to] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  s.cluster.moveLeader("orders", 0, to);
  for (let i = 0; i < 10; i++) {
    await sendApart(s, producer, [`value ${i}`]);
    await s.runtime.advance(100);
  }
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.ok(values.length > 5, `only ${values.length} of 10 arrived`);
  assert.equal(values.at(-1), "value 9");
  assert.ok(sentBatches(s.cluster).filter(({ brokerId }) => brokerId === from).length < 5);
  await assertLeavesNothing(s, producer);
});

test("acks: with 1 the answer counts, and there is no producer id", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const events: string[] = [];
  const producer = s.producer({ acks: 1, logger: { warn: (event) => void events.push(event) } });
  await warmUp(s, producer);
  assert.equal(producer.isIdempotent(), false);
  assert.deepEqual(events, ["idempotence_off"]);
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
  assert.deepEqual([metadata.offset, metadata.delivery], [1n, "acked"]);
  assert.equal(s.cluster.requestsOf(Produce)[0]!.body.acks, 1);
  assert.deepEqual(s.cluster.requestsOf(InitProducerId), []);
  await assertLeavesNothing(s, producer);
});

test("acks: without idempotence a lost answer may mean two copies, and the promise still resolves once", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ acks: 1 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { drop: "after" }, { times: 1 });
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(metadata.offset, 2n);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "v", "v"]);
  await assertLeavesNothing(s, producer);
});
