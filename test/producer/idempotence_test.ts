import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { HeldIdentity } from "../../src/producer/idempotence/identity.ts";
import { PartitionSequence } from "../../src/producer/idempotence/partition_sequence.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, firstBatch, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

const UNKNOWN_SERVER_ERROR = -1;
const NOT_LEADER = 6;
const COORDINATOR_LOAD_IN_PROGRESS = 14;
const CLUSTER_AUTHORIZATION_FAILED = 31;
const OUT_OF_ORDER = 45;
const DUPLICATE_SEQUENCE = 46;
const POLICY_VIOLATION = 44;

/** What a logger was told. */
function log(): { events: [string, Readonly<Record<string, unknown>>][]; warn(event: string, fields: object): void } {
  const events: [string, Readonly<Record<string, unknown>>][] = [];
  return { events, warn: (event, fields) => void events.push([event, fields as Readonly<Record<string, unknown>>]) };
}

test("idempotence: one batch is in flight until the leader has accepted one, then five", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer, [1]);
  s.cluster.control(Produce, { answerDelayMs: 100 }, { times: 2 });
  await sendApart(s, producer, ["first"]);
  await s.runtime.advance(60);
  const sent = await sendApart(s, producer, ["a", "b", "c"]);
  await s.runtime.advance(10);
  // The broker reads one request at a time; what is in flight shows at the producer.
  assert.equal(producer.metrics()["requests-in-flight"], 1, "only the first, though there are five slots");
  await s.runtime.advance(60);
  sent.push(...await sendApart(s, producer, ["d", "e", "f", "g", "h", "i"]));
  await s.runtime.advance(10);
  assert.equal(producer.metrics()["requests-in-flight"], 5);
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["first", ..."abcdefghi"]);
  await s.run(producer.close());
});

test("idempotence: a batch that is sent again has nothing new beside it until it is accepted", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  // The broker may have lost what it knew of the producer, and take the next batch for the first.
  s.cluster.control(Produce, { error: 19 }, { times: 1 });
  const sent = await sendApart(s, producer, ["again"]);
  await s.runtime.advance(40);
  s.cluster.control(Produce, { answerDelayMs: 400 }, { times: 1 });
  sent.push(...await sendApart(s, producer, ["new"]));
  await s.runtime.advance(300);
  assert.equal(sentBatches(s.cluster).length, 2);
  assert.equal(producer.metrics()["requests-in-flight"], 1);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2"]);
  await assertLeavesNothing(s, producer);
});

test("idempotence: what waits behind a refused batch goes with it to the leader that the refusal names", async () => {
  for (const idempotent of [true, false]) {
    const s = stage({
      brokers: 2,
      topics: { orders: { partitions: 1, replicationFactor: 2 } },
      network: { latencyMs: 10 },
    });
    const producer = s.producer({ maxInFlight: 1, idempotent });
    await warmUp(s, producer);
    const { leaderId: from } = s.cluster.partition("orders", 0);
    s.cluster.control(Produce, { delayMs: 200 }, { brokerId: from, times: 1 });
    const sent = await sendApart(s, producer, ["refused", "behind"]);
    await s.runtime.advance(100);
    s.cluster.moveLeader("orders", 0, 3 - from);
    await s.run(producer.flush());
    assert.deepEqual(states(sent), ["acked 1", "acked 2"]);
    assert.deepEqual(sentBatches(s.cluster).map(({ brokerId }) => brokerId), [from, 3 - from, 3 - from]);
    await assertLeavesNothing(s, producer);
  }
});

test("idempotence: after a move the new leader gets nothing before the old one has answered, then one batch", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer();
  await warmUp(s, producer);
  const [from, to] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  s.cluster.control(Produce, { delayMs: 300 }, { brokerId: from, times: 1 });
  await sendApart(s, producer, ["one", "two"]);
  await s.runtime.advance(15);
  s.cluster.moveLeader("orders", 0, to);
  await s.run(producer.refreshMetadata());
  await sendApart(s, producer, ["three", "four"]);
  await s.runtime.advance(200);
  assert.deepEqual(sentBatches(s.cluster).filter(({ brokerId }) => brokerId === to), []);
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three", "four"]);
  const moved = sentBatches(s.cluster).filter(({ brokerId }) => brokerId === to);
  assert.ok(moved.length >= 2);
  assert.ok(moved[1]!.atMs >= moved[0]!.atMs + 20, "the second waits for the answer to the first");
  assert.ok(moved.every(({ epoch }) => epoch === 0));
  await assertLeavesNothing(s, producer);
});

test("idempotence: a partition has five batches unanswered at most, and others have theirs", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 1 });
  await sendApart(s, producer, ["1", "2", "3", "4", "5", "6", "7"]);
  await s.runtime.advance(200);
  assert.equal(producer.metrics()["requests-in-flight"], 5);
  await s.run(producer.flush());
  assert.deepEqual(sentBatches(s.cluster).map(({ count }) => count), [1, 1, 1, 1, 1, 2]);
  await s.run(producer.close());
});

test("idempotence: batches behind one that is sent again and again don't push it out of the broker's memory", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const logger = log();
  const producer = s.producer({ logger });
  await warmUp(s, producer);
  // It is in the log from the first attempt on; the producer is told so only at the fourth.
  let refusals = 0;
  s.cluster.control(
    Produce,
    (request) => firstBatch(request).baseSequence === 1 && refusals++ < 3 ? { error: 7, apply: true } : undefined,
  );
  const sent = await sendApart(s, producer, ["stubborn"]);
  for (let i = 0; i < 60; i++) {
    sent.push(...await sendApart(s, producer, [`value ${i}`]));
    await s.runtime.advance(15);
  }
  await s.run(producer.flush());
  assert.deepEqual(states(sent).filter((state) => !/^(acked|duplicate) /.test(state)), []);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), [
    "warm",
    "stubborn",
    ...sent.slice(1).map((_, i) => `value ${i}`),
  ]);
  assert.ok(sentBatches(s.cluster).every(({ epoch }) => epoch === 0), "no epoch was spent");
  assert.deepEqual(logger.events, []);
  await assertLeavesNothing(s, producer);
});

test("idempotence: an out-of-order answer with nothing before it raises the epoch once and starts at 0", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const logger = log();
  const producer = s.producer({ logger });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(
    Produce,
    (request) => firstBatch(request).baseSequence === 1 ? { error: OUT_OF_ORDER } : undefined,
    {
      times: 1,
    },
  );
  const sent = await sendApart(s, producer, ["one", "two", "three"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2", "acked 3"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three"]);
  const again = sentBatches(s.cluster).filter(({ epoch }) => epoch > 0);
  assert.deepEqual(again.map(({ epoch, sequence }) => [epoch, sequence]), [[1, 0], [1, 1], [1, 2]]);
  const [[event, { error, ...where }]] = logger.events as [(typeof logger.events)[0]];
  assert.deepEqual([event, where], [
    "data_loss_suspected",
    { topic: "orders", partition: 0, baseSequence: 1, records: 1 },
  ]);
  assert.equal((error as { code: string }).code, "OUT_OF_ORDER_SEQUENCE_NUMBER");
  assert.equal(logger.events.length, 1);
  // The other partition moves to the new epoch when it has something to send.
  await s.run(producer.send({ topic: "orders", partition: 1, value: "other" }));
  const other = sentBatches(s.cluster).at(-1)!;
  assert.deepEqual([other.partition, other.epoch, other.sequence], [1, 1, 0]);
  await assertLeavesNothing(s, producer);
});

test("idempotence: a partition finishes its old epoch before it takes the new one", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 2, replicationFactor: 1 } },
    network: { latencyMs: 10 },
  });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  const slow = s.cluster.partition("orders", 1).leaderId;
  s.cluster.control(Produce, { answerDelayMs: 400, error: 7, apply: true }, { brokerId: slow, times: 1 });
  s.cluster.control(Produce, { error: OUT_OF_ORDER }, {
    brokerId: s.cluster.partition("orders", 0).leaderId,
    times: 1,
  });
  await sendApart(s, producer, ["old"], 1);
  await sendApart(s, producer, ["gap"], 0);
  await s.runtime.advance(250);
  await sendApart(s, producer, ["new"], 1);
  await s.run(producer.flush());
  const mine = sentBatches(s.cluster).filter(({ partition }) => partition === 1);
  assert.deepEqual(mine.map(({ epoch, sequence }) => [epoch, sequence]), [[0, 1], [0, 1], [1, 0]]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 1), ["warm", "old", "new"]);
  await s.run(producer.close());
});

test("idempotence: a refused batch leaves no gap, what follows starts anew in the next epoch", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const logger = log();
  const producer = s.producer({ logger });
  await warmUp(s, producer);
  for (const error of [POLICY_VIOLATION, UNKNOWN_SERVER_ERROR]) {
    s.cluster.control(Produce, { error }, { times: 1 });
    const sent = await sendApart(s, producer, ["refused", "second", "third"]);
    await s.run(producer.flush());
    assert.match(states(sent).join(), /^(POLICY_VIOLATION|UNKNOWN_SERVER_ERROR),acked \d,acked \d$/);
  }
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "second", "third", "second", "third"]);
  const batches = sentBatches(s.cluster);
  for (const epoch of [1, 2]) assert.equal(batches.find((batch) => batch.epoch === epoch)!.sequence, 0);
  const told = logger.events.map(([event]) => event);
  assert.deepEqual(told, ["batch_failed", "batch_failed"], "there is no suspicion of a loss to warn of");
  await assertLeavesNothing(s, producer);
});

test("idempotence: a batch that expired in flight is settled by the next one's answer, without a new epoch", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 300, requestTimeoutMs: 30_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 1 });
  const sent = await sendApart(s, producer, ["late"]);
  await s.runtime.advance(250);
  sent.push(...await sendApart(s, producer, ["behind"]));
  await s.runtime.advance(100);
  assert.deepEqual(states(sent), ["DELIVERY_TIMEOUT", "pending"]);
  const new_ = await sendApart(s, producer, ["after"]);
  await s.runtime.advance(250);
  await s.run(producer.flush());
  assert.deepEqual(states([...sent, ...new_]), ["DELIVERY_TIMEOUT", "acked 2", "acked 3"]);
  assert.ok(sentBatches(s.cluster).every(({ epoch }) => epoch === 0));
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "late", "behind", "after"]);
  await assertLeavesNothing(s, producer);
});

test("idempotence: a batch that expired in flight and never got an answer holds the rest until a new epoch", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const logger = log();
  const producer = s.producer({ deliveryTimeoutMs: 400, requestTimeoutMs: 600, logger });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true }, { times: 1 });
  const sent = await sendApart(s, producer, ["lost"]);
  await s.runtime.advance(450);
  sent.push(...await sendApart(s, producer, ["after"]));
  await s.runtime.advance(100);
  assert.equal(sentBatches(s.cluster).length, 1, "nothing new while the first may still be answered");
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["DELIVERY_TIMEOUT", "acked 1"]);
  const { epoch, sequence } = sentBatches(s.cluster).at(-1)!;
  assert.deepEqual([epoch, sequence], [1, 0]);
  assert.equal(sent[0]!.error!.persisted, "possibly");
  await assertLeavesNothing(s, producer);
});

test("idempotence: after the last epoch a new producer id is asked for", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  s.cluster.control(InitProducerId, { respond: { errorCode: 0, producerId: 7n, producerEpoch: 32_767 } }, { times: 1 });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { error: OUT_OF_ORDER }, { times: 1 });
  const sent = await sendApart(s, producer, ["one", "two"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2"]);
  assert.deepEqual(
    sentBatches(s.cluster).filter(({ producerId }) => producerId !== 7n).map((
      { epoch, sequence },
    ) => [epoch, sequence]),
    [[0, 0], [0, 1]],
  );
  assert.ok(producer.isIdempotent());
  await s.run(producer.send({ topic: "orders", partition: 1, value: "other" }));
  assert.deepEqual(await valuesIn(s.cluster, "orders", 1), ["warm", "other"]);
  await assertLeavesNothing(s, producer);
});

test("idempotence: after the last epoch a partition that holds nothing but new batches goes on as well", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  s.cluster.control(InitProducerId, { respond: { errorCode: 0, producerId: 7n, producerEpoch: 32_767 } }, { times: 1 });
  const producer = s.producer({ maxInFlight: 1 });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { error: POLICY_VIOLATION }, { times: 1 });
  const sent = await sendApart(s, producer, ["refused", "next"]);
  await s.runtime.advance(2_000);
  assert.deepEqual(states(sent), ["POLICY_VIOLATION", "acked 1"]);
  assert.equal(s.cluster.requestsOf(InitProducerId).length, 1);
  await assertLeavesNothing(s, producer);
});

test("idempotence: an epoch is raised up to 32,767, then the id is given up", () => {
  const held = new HeldIdentity();
  held.give({ producerId: 5n, producerEpoch: 32_766 });
  held.give({ producerId: 6n, producerEpoch: 0 });
  held.bump();
  assert.deepEqual(held.current, { producerId: 5n, producerEpoch: 32_767 }, "the first answer counts");
  held.bump();
  assert.equal(held.current, undefined);
});

test("idempotence: sequences count records and wrap from 2^31 - 1 to 0", () => {
  const sequence = new PartitionSequence();
  const identity = { producerId: 5n, producerEpoch: 3 };
  sequence.adopt(identity);
  assert.deepEqual(sequence.stamp(10), { producerId: 5n, producerEpoch: 3, baseSequence: 0 });
  assert.equal(sequence.stamp(2 ** 31 - 13).baseSequence, 10);
  assert.equal(sequence.stamp(5).baseSequence, 2 ** 31 - 3);
  assert.equal(sequence.stamp(1).baseSequence, 2);
  sequence.stamp(2 ** 31 - 3);
  assert.equal(sequence.stamp(1).baseSequence, 0, "2^31 - 1 was the last of the one before");
  sequence.adopt({ ...identity, producerEpoch: 4 });
  assert.deepEqual(sequence.stamp(1), { producerId: 5n, producerEpoch: 4, baseSequence: 0 });
});

test("idempotence: a lost answer is made up for by the same bytes, which the broker recognizes", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { drop: "after" }, { times: 1 });
  const wall = s.runtime.wallNow();
  const records = [1_000, 900, 2_000, undefined].map((timestamp, i) => (
    { topic: "orders", partition: 0, key: "k", value: `value ${i}`, timestamp }
  ));
  const results = await s.run(producer.sendBatch(records).all());
  const [first, second, ...more] = sentBatches(s.cluster);
  assert.deepEqual(more, []);
  assertBytes(second!.bytes, first!.bytes);
  assert.notEqual(second!.connectionId, first!.connectionId);
  assert.deepEqual(
    results.map(({ offset, delivery }) => [offset, delivery]),
    [1n, 2n, 3n, 4n].map((offset) => [offset, "duplicate"]),
  );
  // The broker answers with the latest timestamp of the batch, which is that of one record at most.
  assert.deepEqual(results.map(({ timestamp }) => timestamp), [1_000, 900, 2_000, wall]);
  const stored = await s.cluster.records("orders", 0);
  assert.deepEqual(stored.slice(1).map(({ timestamp }) => Number(timestamp)), [1_000, 900, 2_000, wall]);
  assert.equal(stored.length, 5);
  await assertLeavesNothing(s, producer);
});

test("idempotence: DUPLICATE_SEQUENCE_NUMBER is a success without an offset", async () => {
  const s = stage();
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: DUPLICATE_SEQUENCE, apply: true }, { times: 1 });
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "twice", timestamp: 5 }));
  assert.deepEqual([metadata.offset, metadata.delivery, metadata.timestamp], [-1n, "duplicate", 5]);
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "next" }))).offset, 2n);
  await assertLeavesNothing(s, producer);
});

test("idempotence: a producer id is asked of one broker after the other while the coordinator is loading", async () => {
  const s = stage({ brokers: 3 });
  s.cluster.control(InitProducerId, { error: COORDINATOR_LOAD_IN_PROGRESS }, { times: 2 });
  const producer = s.producer();
  assert.equal(producer.isIdempotent(), false);
  const sent = await sendApart(s, producer, ["waits"]);
  assert.deepEqual(states(sent), ["pending"]);
  assert.equal(producer.isIdempotent(), false);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 0"]);
  assert.equal(producer.isIdempotent(), true);
  const asked = s.cluster.requestsOf(InitProducerId);
  assert.equal(new Set(asked.map(({ brokerId }) => brokerId)).size, 3);
  assert.ok(asked[1]!.atMs >= asked[0]!.atMs + 80 && asked[2]!.atMs >= asked[1]!.atMs + 160, "with backoff");
  assert.ok(sentBatches(s.cluster)[0]!.producerId >= 0n);
  await assertLeavesNothing(s, producer);
});

test("idempotence: a silent broker doesn't keep the others from giving a producer id", async () => {
  const s = stage({ brokers: 3 });
  s.cluster.control(InitProducerId, { silence: true }, { times: 1 });
  const producer = s.producer({ requestTimeoutMs: 500 });
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "v" }));
  await s.runtime.advance(1_500);
  assert.deepEqual(states([sent]), ["acked 0"]);
  await s.run(producer.close());
});

test("idempotence: a refused producer id rejects connect and what waits, and the next send asks again", async () => {
  const s = stage();
  s.cluster.control(InitProducerId, { error: CLUSTER_AUTHORIZATION_FAILED }, { times: 2 });
  const producer = s.producer();
  const error = await s.failure(producer.connect());
  assert.equal(error.code, "CLUSTER_AUTHORIZATION_FAILED");
  assert.equal(producer.isIdempotent(), false);
  const refused = await sendApart(s, producer, ["refused"]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(refused), ["CLUSTER_AUTHORIZATION_FAILED"]);
  assert.deepEqual(sentBatches(s.cluster), []);
  const later = await sendApart(s, producer, ["later"]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(later), ["acked 0"]);
  assert.equal(producer.isIdempotent(), true);
  await assertLeavesNothing(s, producer);
});

test("idempotence: sequences outlive the metadata of their topic", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ metadataMaxIdleMs: 1_000, metadataMaxAgeMs: 500 });
  await warmUp(s, producer);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "before" }));
  await s.runtime.advance(5_000);
  const forgotten = s.cluster.requestsOf(Metadata).at(-1)!;
  assert.deepEqual(forgotten.body.topics, [], "the topic isn't asked for any more");
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "after" }));
  assert.deepEqual([metadata.offset, metadata.delivery], [2n, "acked"]);
  assert.equal(sentBatches(s.cluster).at(-1)!.sequence, 2);
  // The topic is gone for a while, and comes back as it was.
  const gone = s.cluster.control(Metadata, { error: 3, apply: true });
  void producer.refreshMetadata();
  await s.runtime.advance(300);
  const waits = await sendApart(s, producer, ["again"]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(waits), ["pending"]);
  gone();
  await s.runtime.advance(3_000);
  assert.deepEqual(states(waits), ["acked 3"]);
  assert.equal(sentBatches(s.cluster).at(-1)!.sequence, 3);
  await assertLeavesNothing(s, producer);
});

test("idempotence: a failed retry is put back in the order of the sequences, and goes alone", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: NOT_LEADER }, { times: 4 });
  await sendApart(s, producer, ["one", "two", "three"]);
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three"]);
  assert.deepEqual(sentBatches(s.cluster).map(({ sequence }) => sequence), [1, 2, 3, 1, 1, 2, 3]);
  await s.run(producer.close());
});

test("idempotence: a retry waits until what was sent behind it has been answered", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, (request) => {
    const { baseSequence } = firstBatch(request);
    if (baseSequence === 1) return { error: NOT_LEADER };
    return baseSequence === 3 ? { answerDelayMs: 1_000 } : undefined;
  }, { times: 2 });
  const before = producer.metrics().requests_sent;
  const sent = await sendApart(s, producer, ["one", "two", "three"]);
  await s.runtime.advance(900);
  assert.equal(producer.metrics().requests_sent - before, 3, "the backoff is over, the third isn't answered yet");
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "acked 2", "acked 3"]);
  await assertLeavesNothing(s, producer);
});

test("idempotence: nothing new leaves while any of the batches that expired in flight may be answered", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 300, requestTimeoutMs: 5_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 2 });
  const sent = await sendApart(s, producer, ["one", "two"]);
  await s.runtime.advance(600);
  assert.deepEqual(states(sent), ["DELIVERY_TIMEOUT", "DELIVERY_TIMEOUT"]);
  const later = await sendApart(s, producer, ["three"]);
  await s.runtime.advance(100);
  assert.equal(producer.metrics()["requests-in-flight"], 1, "the first is answered, the second may be missing");
  await s.runtime.advance(1_000);
  await s.run(producer.flush());
  assert.match(states(later)[0]!, /acked|DELIVERY_TIMEOUT/);
  await assertLeavesNothing(s, producer);
});
