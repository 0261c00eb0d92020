/** What a producer does with a stamping that isn't its own: the seam that transactions go through. */

import assert from "node:assert/strict";
import { KafkaError } from "../../src/errors.ts";
import type { Identity } from "../../src/producer/idempotence/identity.ts";
import { type Stamping, type StampingParts, unstamped } from "../../src/producer/idempotence/stamping.ts";
import { NO_NAMES } from "../../src/producer/options/security.ts";
import { Producer } from "../../src/producer/producer.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, states, warmUp, watch } from "./wire.ts";

const POLICY_VIOLATION = 44;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;

/** A stamping whose parts a test sets, and what it was told. */
class Stub implements Stamping {
  readonly stamps = true;
  identity: Identity | undefined = { producerId: 77n, producerEpoch: 4 };
  readonly lastError = undefined;
  transactionalId: string | null = null;
  attributes = 0;
  produceCap: number | undefined;
  registered: Promise<void> | undefined;
  gapError: KafkaError | undefined;
  readonly asked: string[] = [];
  readonly failed: [code: string, persisted: string, records: number][] = [];
  readonly unanswered: string[] = [];
  isClosed = false;

  ensure = unstamped.ensure;
  pipelined = unstamped.pipelined;

  admit(topic: string, partition: number): Promise<void> | undefined {
    this.asked.push(`${topic} ${partition}`);
    return this.registered;
  }

  onGap(): KafkaError | undefined {
    return this.gapError;
  }

  onFailed({ code, persisted }: KafkaError, records: number): void {
    this.failed.push([code, persisted, records]);
  }

  onUnanswered({ code }: KafkaError): void {
    this.unanswered.push(code);
  }

  close(): void {
    this.isClosed = true;
  }
}

interface Play {
  readonly s: Stage;
  readonly stub: Stub;
  readonly parts: StampingParts;
  readonly producer: Producer;
}

function play(options: { readonly lingerMs?: number } = {}): Play {
  const s = stage({ network: { latencyMs: 10 } });
  const stub = new Stub();
  let parts: StampingParts | undefined;
  const own = { brokers: s.cluster.bootstrap, ...options };
  const producer = new Producer(own, s.runtime, NO_NAMES, (given) => {
    parts = given;
    return stub;
  });
  return { s, stub, parts: parts!, producer };
}

test("stamping: batches carry its identity, its attributes and go in the version that it allows", async () => {
  const { s, stub, producer } = play();
  stub.produceCap = 11;
  stub.attributes = 16;
  stub.transactionalId = "t-1";
  // What a broker says to that is another matter.
  await sendApart(s, producer, ["a"]);
  await s.runtime.advance(500);
  const [batch] = sentBatches(s.cluster);
  assert.deepEqual([batch!.producerId, batch!.epoch, batch!.sequence], [77n, 4, 0]);
  assert.equal(new DataView(batch!.bytes.buffer, batch!.bytes.byteOffset).getInt16(21), 16, "attributes");
  assert.deepEqual(s.cluster.requestsOf(Produce).map(({ version, body }) => [version, body.transactionalId]), [[
    11,
    "t-1",
  ]]);
  await assertLeavesNothing(s, producer);
  assert.equal(stub.isClosed, true);
});

test("stamping: a partition that is not admitted waits for it, and holds up no other one", async () => {
  const { s, stub, producer } = play();
  await warmUp(s, producer, [1]);
  let admit = (): void => {};
  stub.registered = new Promise((resolve) => admit = resolve);
  const [first] = await sendApart(s, producer, ["waits"], 0);
  await s.runtime.advance(1_000);
  assert.equal(sentBatches(s.cluster).length, 0);
  stub.registered = undefined;
  const [other] = await sendApart(s, producer, ["goes"], 1);
  await s.runtime.advance(1_000);
  assert.deepEqual(states([first!, other!]), ["pending", "acked 1"]);
  admit();
  await s.runtime.advance(1_000);
  assert.deepEqual(states([first!]), ["acked 0"]);
  assert.ok(stub.asked.includes("orders 0") && stub.asked.includes("orders 1"));
  await assertLeavesNothing(s, producer);
});

test("stamping: it hears of each failed record once, before the record's own callback, and of lost answers", async () => {
  const { s, stub, producer } = play();
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: POLICY_VIOLATION }, { times: 1 });
  let before = -1;
  const refused = producer.send({ topic: "orders", partition: 0, value: "no" }, {
    onError: () => before = stub.failed.length,
  });
  const watched = watch(s, refused);
  await s.runtime.advance(500);
  assert.deepEqual(states([watched]), ["POLICY_VIOLATION"]);
  assert.equal(before, 1);
  const bad = watch(s, producer.send({ topic: "orders", value: 5 as never }));
  await s.runtime.advance(1);
  assert.equal(bad.state, "rejected");
  assert.deepEqual(stub.failed.map(([, persisted, records]) => [persisted, records]), [["no", 1], ["no", 1]]);
  s.cluster.control(Produce, { drop: "after" }, { times: 1 });
  stub.identity = { producerId: 77n, producerEpoch: 5 };
  const [again] = await sendApart(s, producer, ["again"]);
  await s.runtime.advance(2_000);
  assert.deepEqual(states([again!]), ["duplicate 1"]);
  assert.equal(stub.unanswered.length, 1);
  await assertLeavesNothing(s, producer);
});

test("stamping: where a gap brings no new identity, what is stamped fails with its error, and nothing is stamped again", async () => {
  const { s, stub, producer } = play();
  await warmUp(s, producer);
  stub.gapError = new KafkaError("The stamping stays as it is.", { code: "NO_NEW_EPOCH" });
  s.cluster.control(Produce, { error: OUT_OF_ORDER_SEQUENCE_NUMBER }, { times: 2 });
  const sent = await sendApart(s, producer, ["first", "second"]);
  await s.runtime.advance(5_000);
  assert.deepEqual(states(sent), ["NO_NEW_EPOCH", "NO_NEW_EPOCH"]);
  assert.deepEqual([...new Set(sentBatches(s.cluster).map(({ epoch }) => epoch))], [4]);
  assert.equal(stub.failed.reduce((sum, [, , records]) => sum + records, 0), 2);
  // With another identity the partition begins anew by itself.
  stub.gapError = undefined;
  stub.identity = { producerId: 77n, producerEpoch: 5 };
  const [next] = await sendApart(s, producer, ["next"]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states([next!]), ["acked 1"]);
  assert.deepEqual(sentBatches(s.cluster).slice(-1).map(({ epoch, sequence }) => [epoch, sequence]), [[5, 0]]);
  await assertLeavesNothing(s, producer);
});

test("stamping: failUndrained fails what was never sent, and what was sent goes on", async () => {
  const { s, stub, parts, producer } = play();
  await warmUp(s, producer);
  const [sent] = await sendApart(s, producer, ["sent"]);
  stub.registered = new Promise(() => {});
  const [kept] = await sendApart(s, producer, ["kept back"]);
  const unknown = watch(s, producer.send({ topic: "no metadata yet", value: "x" }));
  await s.runtime.advance(1);
  parts.failUndrained(new KafkaError("It was taken back.", { code: "TAKEN_BACK" }));
  await s.runtime.advance(500);
  assert.deepEqual(states([sent!, kept!, unknown]), ["acked 1", "TAKEN_BACK", "TAKEN_BACK"]);
  await assertLeavesNothing(s, producer);
});
