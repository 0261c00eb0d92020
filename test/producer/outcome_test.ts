/** Outcomes that are known late, never, or by way of others: implicit answers, waitForOutcome, gapless, onDataLoss. */

import assert from "node:assert/strict";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { dice, type Stage, stage } from "../stage.ts";
import { seededRandom } from "../../src/testing/doubles/random.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, firstBatch, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

const UNKNOWN_TOPIC = 3;
const NOT_LEADER = 6;
const REQUEST_TIMED_OUT = 7;
const OUT_OF_ORDER = 45;
const POLICY_VIOLATION = 44;
const KAFKA_STORAGE_ERROR = 56;

/** Gives `orders` another incarnation. */
function createAnew({ cluster }: Stage): void {
  cluster.deleteTopic("orders");
  cluster.createTopic("orders", { partitions: 3 });
}

/** Answers a batch with a sequence as if its partition had not been asked for; it is appended all the same. */
function leaveOut(s: Stage, sequence: number): void {
  s.cluster.control(
    Produce,
    (request) =>
      firstBatch(request).baseSequence === sequence ? { respond: { responses: [] }, apply: true } : undefined,
    { times: 1 },
  );
}

test("outcome: a batch without an answer is delivered when the one behind it is, and isn't sent again", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  leaveOut(s, 1);
  leaveOut(s, 2);
  const told: string[] = [];
  const sent = ["one", "two", "three"].map((value) =>
    producer.send({ topic: "orders", partition: 0, value, timestamp: 7 }, {
      onDelivery: (error, metadata) => void told.push(`${value} ${error?.code ?? metadata!.offset}`),
    })
  );
  void sent;
  await s.runtime.settle();
  const apart = await sendApart(s, producer, ["four", "five"]);
  await s.run(producer.flush());
  assert.deepEqual(states(apart), ["acked 4", "acked 5"]);
  assert.deepEqual(told, ["one 1", "two 2", "three 3"], "in order");
  assert.deepEqual(sentBatches(s.cluster).map(({ sequence }) => sequence), [1, 4, 5]);
  assert.equal(producer.metrics().records_sent, 6);
  await assertLeavesNothing(s, producer);
});

test("outcome: the offset of a batch that is delivered by another's answer is told only if it is certain", async () => {
  for (
    const [stranger, appended, wanted] of [
      [false, false, "acked 2"],
      // Somebody else may have written before or after it.
      [true, false, "acked -1"],
      // Its leader told where it is, though not that it is safe.
      [true, true, "acked 2"],
    ] as const
  ) {
    const s = stage({ network: { latencyMs: 10 } });
    const producer = s.producer();
    const other = s.producer({ idempotent: false });
    await warmUp(s, other);
    await warmUp(s, producer);
    s.cluster.control(
      Produce,
      (request) => {
        if (firstBatch(request).baseSequence !== 1) return undefined;
        return appended ? { error: REQUEST_TIMED_OUT, apply: true } : { respond: { responses: [] }, apply: true };
      },
      { times: 1 },
    );
    const sent = await sendApart(s, producer, ["one"]);
    if (stranger) {
      await s.runtime.advance(1);
      void other.send({ topic: "orders", partition: 0, value: "stranger" });
      await s.runtime.advance(1);
    }
    sent.push(...await sendApart(s, producer, ["two"]));
    await s.run(producer.flush());
    assert.deepEqual(states(sent), [wanted, `acked ${stranger ? 4 : 3}`]);
    assert.equal(sentBatches(s.cluster).filter(({ sequence }) => sequence === 1).length, 1);
    await s.run(other.close());
    await assertLeavesNothing(s, producer);
  }
});

test("outcome: a batch that was refused for certain is not taken for delivered because of the one behind it", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  // A broker that lies: it refuses one batch and accepts the next.
  s.cluster.control(Produce, (request) => {
    const { baseSequence } = firstBatch(request);
    if (baseSequence === 1) return { error: NOT_LEADER };
    if (baseSequence === 3) return { error: OUT_OF_ORDER, answerDelayMs: 1_000 };
    const partitionResponses = [{ index: 0, errorCode: 0, baseOffset: 9n }];
    return { respond: { responses: [{ name: "orders", topicId: s.cluster.topic("orders")!.id, partitionResponses }] } };
  }, { times: 3 });
  const sent = await sendApart(s, producer, ["one", "two", "three"]);
  await s.runtime.advance(900);
  assert.deepEqual(states(sent), ["pending", "pending", "pending"], "told in order");
  assert.equal(producer.metrics().requests_sent, 4, "a retry goes alone, whatever was accepted meanwhile");
  await s.run(producer.flush());
  assert.deepEqual(states(sent).slice(0, 2), ["acked 1", "acked 9"]);
  assert.equal(sentBatches(s.cluster).filter(({ sequence }) => sequence === 1).length, 2, "it was sent again");
  await s.run(producer.close());
});

test("outcome: the late success of a batch that has expired changes what was told no more, and frees what comes after", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 300, requestTimeoutMs: 30_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 1 });
  let calls = 0;
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "late" }, { onDelivery: () => calls++ }));
  await s.runtime.advance(400);
  const after = await sendApart(s, producer, ["after"]);
  assert.equal(sentBatches(s.cluster).length, 1, "nothing new while the first is in doubt");
  await s.run(producer.flush());
  assert.deepEqual([sent.error?.code, sent.error?.persisted, calls], ["DELIVERY_TIMEOUT", "possibly", 1]);
  assert.deepEqual(states(after), ["acked 2"]);
  assert.ok(sentBatches(s.cluster).every(({ epoch }) => epoch === 0));
  await assertLeavesNothing(s, producer);
});

test("outcome: with waitForOutcome a record in flight outlives its deadline and gets the truth", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 300, requestTimeoutMs: 1_000, waitForOutcome: true });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true, apply: true }, { times: 2 });
  const sent = await sendApart(s, producer, ["in flight", "behind"]);
  await s.runtime.advance(200);
  sent.push(...await sendApart(s, producer, ["never left", "nor this"], 0));
  await s.runtime.advance(1_500);
  assert.equal(sent[0]!.state, "pending", "long past its deadline");
  await s.run(producer.flush(), 20_000);
  assert.match(states(sent).join(), /^duplicate 1,(duplicate|acked) 2,/);
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.deepEqual(values.slice(0, 3), ["warm", "in flight", "behind"]);
  assert.equal(new Set(values).size, values.length);
  await assertLeavesNothing(s, producer);
});

test("outcome: with waitForOutcome a record that is certainly not in the log fails at its deadline or when that is known", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 300, requestTimeoutMs: 2_000, waitForOutcome: true });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { error: UNKNOWN_TOPIC });
  const atMs = s.runtime.now();
  const [refused] = await sendApart(s, producer, ["refused"], 0);
  await s.runtime.advance(1_000);
  assert.deepEqual([refused!.error?.code, refused!.error?.persisted], ["DELIVERY_TIMEOUT", "no"]);
  assert.ok(refused!.atMs! <= atMs + 320);
  s.cluster.control(Produce, { answerDelayMs: 1_000, error: NOT_LEADER }, { times: 1 });
  const lateMs = s.runtime.now();
  const [late] = await sendApart(s, producer, ["late"], 1);
  await s.runtime.advance(900);
  assert.equal(late!.state, "pending");
  await s.runtime.advance(500);
  assert.deepEqual([late!.error?.code, late!.error?.persisted], ["DELIVERY_TIMEOUT", "no"]);
  assert.ok(late!.atMs! <= lateMs + 1_030, "as soon as the broker has said so");
  await assertLeavesNothing(s, producer);
});

test("outcome: with waitForOutcome, nobody waits for a partition that is gone for good", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const options = { deliveryTimeoutMs: 500, requestTimeoutMs: 200, maxInFlight: 1, waitForOutcome: true };
  const producer = s.producer(options);
  await warmUp(s, producer, [2]);
  s.cluster.control(Produce, () => {
    s.cluster.deleteTopic("orders");
    s.cluster.createTopic("orders", { partitions: 1 });
    return { silence: true };
  }, { times: 1 });
  const atMs = s.runtime.now();
  const sent = await sendApart(s, producer, ["in doubt", "never sent"], 2);
  await s.runtime.advance(2_000);
  assert.deepEqual(
    sent.map(({ error }) => [error?.code, error?.persisted]),
    [["DELIVERY_TIMEOUT", "possibly"], ["DELIVERY_TIMEOUT", "no"]],
  );
  assert.ok(sent[1]!.atMs! - atMs < 1_000, `told after ${sent[1]!.atMs! - atMs} ms`);
  await assertLeavesNothing(s, producer);
});

test("outcome: with waitForOutcome, what waits behind a record in doubt is not sent after its own deadline", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const options = { deliveryTimeoutMs: 500, requestTimeoutMs: 200, maxInFlight: 1, waitForOutcome: true };
  const producer = s.producer(options);
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true, apply: true }, { times: 1 });
  const sent = await sendApart(s, producer, ["in doubt"]);
  await s.runtime.advance(150);
  s.cluster.stopBroker(1);
  sent.push(...await sendApart(s, producer, ["never sent"]));
  await s.runtime.advance(2_000);
  assert.deepEqual(states(sent), ["pending", "pending"], "in the order of the sends");
  s.cluster.startBroker(1);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["duplicate 1", "DELIVERY_TIMEOUT"]);
  assert.equal(sent[1]!.error!.persisted, "no");
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "in doubt"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: with waitForOutcome a close without a limit still ends, and a silent broker costs no CPU", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ deliveryTimeoutMs: 1_000, requestTimeoutMs: 500, waitForOutcome: true });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true });
  const sent = await sendApart(s, producer, ["a", "b"]);
  await s.runtime.advance(60_000);
  assert.deepEqual(states(sent), ["pending", "pending"]);
  assert.ok(sentBatches(s.cluster).length < 120, `${sentBatches(s.cluster).length} requests in a minute`);
  const error = await s.failure(producer.close(), 5_000);
  assert.equal(error.code, "TIMEOUT");
  assert.deepEqual(
    sent.map(({ error }) => [error?.code, error?.persisted]),
    [["PRODUCER_CLOSED", "possibly"], ["PRODUCER_CLOSED", "possibly"]],
  );
  assert.equal(s.runtime.pendingTimers, 0);
});

test("outcome: with gapless, what was handed over behind a refused record fails with it, and nothing is out of order", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ gapless: true });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(
    Produce,
    (request) => firstBatch(request).baseSequence === 2 ? { error: POLICY_VIOLATION } : undefined,
    { times: 1 },
  );
  const sent = await sendApart(s, producer, ["1", "2", "3", "4", "5", "6", "7", "8"]);
  const [other] = await sendApart(s, producer, ["elsewhere"], 1);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "POLICY_VIOLATION", ...Array(6).fill("EARLIER_RECORD_FAILED")]);
  assert.deepEqual(new Set(sent.slice(1).map(({ error }) => error!.persisted)), new Set(["no"]));
  assert.equal(sent[7]!.error!.retriable, true);
  assert.match(sent[7]!.error!.message, /gapless.*POLICY_VIOLATION/);
  assert.deepEqual(states([other!]), ["acked 1"], "another partition is another matter");
  // What is handed over from now on is a new beginning.
  const again = await sendApart(s, producer, ["2", "3"]);
  await s.run(producer.flush());
  assert.deepEqual(states(again), ["acked 2", "acked 3"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "1", "2", "3"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: with gapless, what was in flight behind a refused record isn't sent anew, and is told what is known of it", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ gapless: true });
  await warmUp(s, producer);
  s.cluster.control(Produce, (request) => {
    const { baseSequence } = firstBatch(request);
    if (baseSequence === 1) return { error: POLICY_VIOLATION };
    return baseSequence === 2 ? { error: NOT_LEADER } : { respond: { responses: [] } };
  }, { times: 3 });
  const sent = await sendApart(s, producer, ["refused", "no leader", "no answer"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["POLICY_VIOLATION", "EARLIER_RECORD_FAILED", "EARLIER_RECORD_FAILED"]);
  assert.deepEqual(sent.map(({ error }) => error!.persisted), ["no", "no", "possibly"]);
  assert.deepEqual(
    sentBatches(s.cluster).map(({ sequence }) => sequence),
    [1, 2, 3, 3],
    "only what may be in the log is asked for again",
  );
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "next" }))).offset, 1n);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "next"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: without gapless, what was handed over behind a refused record goes on", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(
    Produce,
    (request) => firstBatch(request).baseSequence === 2 ? { error: POLICY_VIOLATION } : undefined,
    { times: 1 },
  );
  const sent = await sendApart(s, producer, ["1", "2", "3", "4"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "POLICY_VIOLATION", "acked 2", "acked 3"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: with gapless, what waits for memory fails with what is in the buffer; what is sent after it is not", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ gapless: true, bufferMemory: 1_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: POLICY_VIOLATION }, { times: 1 });
  const after: ReturnType<typeof watch>[] = [];
  const sent = ["a", "b", "c"].map((letter) =>
    watch(
      s,
      producer.send({ topic: "orders", partition: 0, value: letter.repeat(600) }, {
        onError: ({ code }) => {
          if (code !== "POLICY_VIOLATION") return;
          after.push(watch(s, producer.send({ topic: "orders", partition: 0, value: "after" })));
        },
      }),
    )
  );
  await s.run(producer.flush());
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["POLICY_VIOLATION", "EARLIER_RECORD_FAILED", "EARLIER_RECORD_FAILED"]);
  assert.deepEqual(after.map(({ state }) => state), ["resolved"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "after"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: with gapless, a record that waits in vain for metadata fails those that wait behind it", async () => {
  for (const gapless of [true, false]) {
    const s = stage({ topics: { orders: 1, others: 1 }, network: { latencyMs: 10 } });
    const producer = s.producer({ gapless, maxBlockMs: 1_000 });
    await warmUp(s, producer);
    const send = (value: string) => watch(s, producer.send({ topic: "late", partition: 0, value }));
    const first = send("first");
    await s.runtime.advance(500);
    const second = send("second");
    const elsewhere = watch(s, producer.send({ topic: "others", partition: 0, value: "elsewhere" }));
    await s.runtime.advance(510);
    assert.equal(first.state, "rejected");
    const third = send("third");
    s.cluster.createTopic("late", { partitions: 1 });
    await s.run(producer.flush());
    await s.runtime.advance(1_000);
    const outcomes = states([first, second, third, elsewhere]);
    const behind = gapless ? ["EARLIER_RECORD_FAILED", "acked 0"] : ["acked 0", "acked 1"];
    assert.deepEqual(outcomes, ["UNKNOWN_TOPIC_OR_PARTITION", ...behind, "acked 0"]);
    await assertLeavesNothing(s, producer);
  }
});

test("outcome: with gapless, under random refusals, the log of a partition is made of prefixes", async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const s = stage({ brokers: 2, network: { latencyMs: 4 } }, seed);
    const roll = dice(seededRandom(seed));
    const producer = s.producer({ gapless: true, deliveryTimeoutMs: 3_000 });
    await warmUp(s, producer);
    s.cluster.control(Produce, () => {
      const action = roll(10);
      return action === 0 ? { error: POLICY_VIOLATION } : action === 1 ? { error: NOT_LEADER } : undefined;
    });
    // Each round hands over numbers and starts again at the first that failed.
    const total = 120;
    let next = 0;
    while (next < total) {
      const from = next;
      const failed: number[] = [];
      const round = [];
      const until = Math.min(total, from + 1 + roll(30));
      for (let i = from; i < until && failed.length === 0; i++) {
        const onError = (): void => void failed.push(i);
        round.push(producer.send({ topic: "orders", partition: 0, value: `${i}` }, { onError }).catch(() => {}));
        if (roll(3) === 0) await s.runtime.advance(roll(9));
      }
      await s.run(Promise.all(round));
      next = Math.min(from + round.length, ...failed);
    }
    const values = (await valuesIn(s.cluster, "orders", 0)).slice(1);
    assert.deepEqual(values, Array.from({ length: total }, (_, i) => `${i}`), `seed ${seed}`);
    await assertLeavesNothing(s, producer);
  }
});

test("outcome: acknowledged records that a broker misses are told of, and fatal if that is wished", async () => {
  for (const onDataLoss of ["continue", "fatal"] as const) {
    const s = stage({ network: { latencyMs: 10 } });
    const events: unknown[] = [];
    const hooks = {
      onDataLossSuspected: ({ topic, partition, baseSequence, records, error }: Record<string, unknown>): void => {
        events.push([topic, partition, baseSequence, records, (error as { errorCode: number }).errorCode]);
      },
    };
    const producer = s.producer({ onDataLoss, hooks: hooks as never });
    await warmUp(s, producer, [0, 1]);
    s.cluster.control(Produce, { error: OUT_OF_ORDER }, { times: 1 });
    const sent = await sendApart(s, producer, ["1", "2"]);
    await s.run(producer.flush());
    assert.deepEqual(events, [["orders", 0, 1, 1, OUT_OF_ORDER]]);
    if (onDataLoss === "continue") {
      assert.deepEqual(states(sent), ["acked 1", "acked 2"]);
    } else {
      assert.deepEqual(states(sent).slice(0, 1), ["DATA_LOSS_SUSPECTED"]);
      assert.equal(sent[0]!.error!.persisted, "no");
      const later = await s.failure(producer.send({ topic: "orders", partition: 1, value: "later" }));
      assert.deepEqual([later.code, later.errorCode, later.fatal], ["DATA_LOSS_SUSPECTED", OUT_OF_ORDER, true]);
      assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", "warm"]);
    }
    await assertLeavesNothing(s, producer);
  }
});

test("outcome: unknownTopicRetries ends the attempts after so many answers, of a leader or of the metadata", async () => {
  const s = stage({ network: { latencyMs: 5 }, autoCreateTopics: false });
  const producer = s.producer({ unknownTopicRetries: 3 });
  await warmUp(s, producer);
  const stop = s.cluster.control(Produce, { error: UNKNOWN_TOPIC });
  const refused = await s.failure(producer.send({ topic: "orders", partition: 0, value: "v" }));
  assert.deepEqual([refused.code, refused.persisted, refused.retriable], ["UNKNOWN_TOPIC_OR_PARTITION", "no", true]);
  assert.equal(sentBatches(s.cluster).length, 4);
  stop();
  s.cluster.control(Produce, { error: UNKNOWN_TOPIC }, { times: 3 });
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }))).offset, 1n);
  s.cluster.clearRequests();
  const atMs = s.runtime.now();
  const missing = watch(s, producer.send({ topic: "nowhere", value: "v" }));
  await s.runtime.advance(10_000);
  assert.deepEqual([missing.error?.code, missing.error?.persisted], ["UNKNOWN_TOPIC_OR_PARTITION", "no"]);
  assert.ok(missing.atMs! - atMs < 3_000, `after ${missing.atMs! - atMs} ms`);
  assert.equal(s.cluster.requestsOf(Metadata).length, 4);
  s.cluster.createTopic("nowhere", { partitions: 1 });
  assert.equal((await s.run(producer.send({ topic: "nowhere", value: "v" }))).offset, 0n);
  await assertLeavesNothing(s, producer);
});

test("outcome: what may stand in a topic that was created anew isn't sent again under a new epoch", async () => {
  for (const release of ["3.9", "4.1"] as const) {
    const s = stage({ release, network: { latencyMs: 10 } });
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, (request) => {
      const { baseSequence } = firstBatch(request);
      if (baseSequence === 1) {
        // It is refused, and the topic has another incarnation before the next one is read.
        createAnew(s);
        return { error: NOT_LEADER };
      }
      return baseSequence === 2 ? { drop: "after" } : undefined;
    }, { times: 2 });
    const sent = await sendApart(s, producer, ["one", "two", "three"]);
    await s.run(producer.flush());
    const values = (await valuesIn(s.cluster, "orders", 0)).sort();
    if (release === "3.9") {
      // The second stands in the new topic; the third may, for all that is known.
      assert.deepEqual(states(sent), ["acked 1", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]);
      assert.deepEqual(sent.slice(1).map(({ error }) => error!.persisted), ["possibly", "possibly"]);
      assert.deepEqual(values, ["one", "two"], "once each in the new topic");
    } else {
      // The id tells the broker which topic is meant, and nothing is in doubt.
      assert.deepEqual(states(sent), ["acked 0", "acked 1", "acked 2"]);
      assert.deepEqual(values, ["one", "three", "two"]);
    }
    await assertLeavesNothing(s, producer);
  }
});

test("outcome: a batch of a topic that was created anew isn't taken for delivered because of those in the new one", async () => {
  const s = stage({ release: "3.9", network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, (request) => {
    if (firstBatch(request).baseSequence !== 1) return undefined;
    createAnew(s);
    return { error: KAFKA_STORAGE_ERROR };
  }, { times: 1 });
  // The new log begins with the second, at the offset of "warm"; with the third its end is beyond that again.
  const sent = await sendApart(s, producer, ["one", "two", "three"]);
  await s.run(producer.flush());
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.deepEqual(values.slice(0, 2), ["two", "three"]);
  assert.deepEqual(states(sent).slice(1), ["acked 0", "acked 1"]);
  assert.equal(sent[0]!.value === undefined, !values.includes("one"));
  await assertLeavesNothing(s, producer);
});

test("outcome: a broker that knows only the last batch since its restart is asked for that one before anything is sent anew", async () => {
  for (const release of ["3.9", "4.1"] as const) {
    for (const lost of [false, true]) {
      const s = stage({ release, network: { latencyMs: 10 } });
      const producer = s.producer({ requestTimeoutMs: 5_000 });
      await warmUp(s, producer);
      // All three are appended, or none, and the broker is gone before anybody hears of it.
      const sent = await sendApart(s, producer, ["one", "two", "three"]);
      await s.runtime.advance(lost ? 5 : 15);
      assert.equal(s.cluster.endOffset("orders", 0), lost ? 1n : 4n);
      s.cluster.killBroker(1);
      s.cluster.startBroker(1);
      const [behind] = await sendApart(s, producer, ["behind"]);
      await s.run(producer.flush());
      assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "one", "two", "three", "behind"]);
      const offsets = [...sent, behind!].map(({ value }) => value!.offset);
      assert.deepEqual(offsets, [1n, 2n, 3n, 4n], `${release}, ${lost}`);
      await assertLeavesNothing(s, producer);
    }
  }
});

test("outcome: before a later batch is asked for in the stead of one, it is known that the topic is still the same", async () => {
  const s = stage({ release: "3.9", network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  // Neither answer makes the producer look who leads.
  s.cluster.control(Produce, (request) => {
    const { baseSequence } = firstBatch(request);
    if (baseSequence === 1) {
      createAnew(s);
      return { error: REQUEST_TIMED_OUT };
    }
    return baseSequence === 2 ? { error: REQUEST_TIMED_OUT, apply: true } : undefined;
  }, { times: 2 });
  const sent = await sendApart(s, producer, ["one", "two"]);
  await s.run(producer.flush());
  // The second stands in the new topic, whose broker took it without the first.
  assert.deepEqual(states(sent), ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["two"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: a batch that may still be on its way isn't sent under another stamp", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const options = { requestTimeoutMs: 200, deliveryTimeoutMs: 240, retryBackoffMs: 50, retryBackoffMaxMs: 50 };
  const producer = s.producer(options);
  await warmUp(s, producer);
  // The first is late. By the time the second has been refused for want of it, the broker reads what the old
  // connection had brought: both.
  s.cluster.control(Produce, { delayMs: 320 }, { times: 1 });
  const sent = await sendApart(s, producer, ["first"]);
  await s.runtime.advance(190);
  sent.push(...await sendApart(s, producer, ["second"]));
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["DELIVERY_TIMEOUT", "acked 2"]);
  assert.equal(sent[0]!.error!.persisted, "possibly");
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "first", "second"]);
  await assertLeavesNothing(s, producer);
});

test("outcome: what was in flight when the epoch was raised and is in doubt afterwards isn't stamped anew either", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, (request) => {
    const { baseSequence } = firstBatch(request);
    return baseSequence === 1 ? { error: OUT_OF_ORDER } : baseSequence === 2 ? { drop: "after" } : undefined;
  }, { times: 2 });
  const sent = await sendApart(s, producer, ["refused", "no answer"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1", "OUTCOME_UNKNOWN"]);
  assert.equal(sent[1]!.error!.persisted, "possibly");
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "refused"]);
  await assertLeavesNothing(s, producer);
});
