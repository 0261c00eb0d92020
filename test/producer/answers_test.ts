/** What becomes of a batch after each answer that a broker can give: every code, idempotent and not. */

import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { errorCodes } from "../../src/protocol/error_codes.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

/** Sent again, and delivered by the second attempt. */
const RETRIED = [
  ...[2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 87, 88, 89, 100, 103],
  ...[106, 122, 123, 133],
];
/** Nothing that an idempotent producer sends would be accepted after it. */
const FATAL = [31, 35, 49, 90];
/** The broker misses something: only an idempotent producer can do anything about it. */
const OUT_OF_ORDER = [45, 59];
const DUPLICATE = 46;
/** Answers after which the attempt may be in the log. 20 says so, the others don't know. */
const POSSIBLY = [-1, 7, 13, 20, 56];
/** An answer that no table has. */
const UNHEARD_OF = [999, -7];
const CLASSES: Readonly<Record<number, string>> = {
  10: "RecordTooLargeError",
  18: "RecordTooLargeError",
  29: "AuthorizationError",
  30: "AuthorizationError",
  31: "AuthorizationError",
  35: "UnsupportedVersionError",
  53: "AuthorizationError",
  58: "AuthenticationError",
  90: "ProducerFencedError",
};

type Fate = "delivered" | "retried" | "retried in a new epoch" | "duplicate" | "failed" | "fatal";

function fateOf(code: number, idempotent: boolean): Fate {
  if (code === 0) return "delivered";
  if (code === DUPLICATE) return "duplicate";
  if (RETRIED.includes(code)) return "retried";
  if (idempotent && OUT_OF_ORDER.includes(code)) return "retried in a new epoch";
  if (idempotent && FATAL.includes(code)) return "fatal";
  return "failed";
}

const codes = [...errorCodes().keys(), ...UNHEARD_OF];

for (const idempotent of [true, false]) {
  const kind = idempotent ? "idempotent" : "plain";

  test(
    `answers: every code has the fate that it should have (${kind})`,
    { timeoutMs: 120_000 },
    async () => {
      for (const code of codes) {
        const s = stage({ network: { latencyMs: 2 } });
        const producer = s.producer({ idempotent, maxInFlight: 1 });
        await warmUp(s, producer);
        const where = `code ${code}`;
        // A 59 without the start of the log is plainly sent again, that of a broker that tells is not.
        const respond = {
          responses: [{
            name: "orders",
            topicId: s.cluster.topic("orders")!.id,
            partitionResponses: [{ index: 0, errorCode: code, baseOffset: -1n, logStartOffset: 0n }],
          }],
        };
        if (code !== 0) s.cluster.control(Produce, { respond }, { times: 1 });
        const [sent, next] = await sendApart(s, producer, ["a", "b"]);
        await s.run(producer.flush(), 10_000);
        const fate = fateOf(code, idempotent);
        const batches = sentBatches(s.cluster);
        const epochs = batches.map(({ epoch, sequence }) => idempotent ? `${epoch}:${sequence}` : `${epoch}`);
        const values = await valuesIn(s.cluster, "orders", 0);
        const told = [sent!.error?.code, sent!.error?.persisted];
        switch (fate) {
          case "delivered":
            assert.deepEqual(states([sent!, next!]), ["acked 1", "acked 2"], where);
            assert.deepEqual(epochs, idempotent ? ["0:1", "0:2"] : ["-1", "-1"], where);
            break;
          case "retried":
            assert.deepEqual(states([sent!, next!]), ["acked 1", "acked 2"], where);
            assert.deepEqual(epochs, idempotent ? ["0:1", "0:1", "0:2"] : ["-1", "-1", "-1"], where);
            assertBytes(batches[1]!.bytes, batches[0]!.bytes, where);
            assert.deepEqual(values, ["warm", "a", "b"], where);
            break;
          case "retried in a new epoch":
            assert.deepEqual(states([sent!, next!]), ["acked 1", "acked 2"], where);
            assert.deepEqual(epochs, ["0:1", "1:0", "1:1"], where);
            assert.deepEqual(values, ["warm", "a", "b"], where);
            break;
          case "duplicate":
            assert.equal(states([sent!])[0], "duplicate -1", where);
            // The answer was a lie here: what comes next is the first to find out.
            assert.deepEqual(epochs, idempotent ? ["0:1", "0:2", "1:0"] : ["-1", "-1"], where);
            break;
          case "failed": {
            const { name, errorCode, retriable, partition } = sent!.error as unknown as Error & Record<string, unknown>;
            assert.equal(name, CLASSES[code] ?? "BrokerError", where);
            assert.deepEqual([errorCode, retriable, partition], [code, false, 0], where);
            const wanted = errorCodes().get(code)?.name ?? "UNKNOWN_SERVER_ERROR";
            assert.deepEqual(
              told,
              [wanted, POSSIBLY.includes(code) || UNHEARD_OF.includes(code) ? "possibly" : "no"],
              where,
            );
            assert.equal(states([next!])[0], "acked 1", where);
            assert.deepEqual(epochs, idempotent ? ["0:1", "1:0"] : ["-1", "-1"], where);
            assert.deepEqual(values, ["warm", "b"], where);
            break;
          }
          case "fatal": {
            const name = errorCodes().get(code)!.name;
            assert.deepEqual(told, [name, "no"], where);
            assert.deepEqual([next!.error?.code, next!.error?.persisted], [name, "no"], where);
            const later = await s.failure(producer.send({ topic: "orders", value: "later" }));
            assert.deepEqual([later.code, later.fatal], [name, true], where);
            assert.equal(batches.length, 1, where);
            assert.deepEqual(values, ["warm"], where);
          }
        }
        await assertLeavesNothing(s, producer);
      }
    },
  );

  test(
    `answers: a code that doesn't end is an error of its own or the deadline's, with the truth about the log (${kind})`,
    {
      timeoutMs: 120_000,
    },
    async () => {
      for (const code of codes.filter((each) => RETRIED.includes(each))) {
        const s = stage({ network: { latencyMs: 2 } });
        const producer = s.producer({ idempotent, deliveryTimeoutMs: 3_000 });
        await warmUp(s, producer);
        const stop = s.cluster.control(Produce, { error: code });
        const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "a" }));
        const attempts = sentBatches(s.cluster).length;
        const { name } = errorCodes().get(code)!;
        const bounded = code === 2 ? 4 : code === 87 ? 2 : undefined;
        assert.equal(error.code, bounded === undefined ? "DELIVERY_TIMEOUT" : name, name);
        assert.equal(error.persisted, POSSIBLY.includes(code) ? "possibly" : "no", name);
        if (bounded === undefined) assert.ok(attempts >= 4, `${name}: ${attempts} attempts in 3 s`);
        else assert.equal(attempts, bounded, name);
        stop();
        await s.run(producer.send({ topic: "orders", partition: 0, value: "b" }));
        assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "b"], name);
        await assertLeavesNothing(s, producer);
      }
    },
  );
}

test("answers: an error with an offset was appended, and no later answer takes that back", async () => {
  for (
    const [first, then, wanted] of [
      [{ error: 6, apply: true }, 29, "possibly"],
      [{ error: 6 }, 29, "no"],
      [{ error: 7, apply: true }, 19, "possibly"],
      [{ error: 20, apply: true }, 29, "possibly"],
      [{ error: 19 }, 29, "no"],
      [{ drop: "after" as const }, 29, "possibly"],
      [{ drop: "before" as const }, 44, "possibly"],
      [{ error: 56 }, 10, "possibly"],
    ] as const
  ) {
    const s = stage({ network: { latencyMs: 2 } });
    const producer = s.producer({ deliveryTimeoutMs: 2_000 });
    await warmUp(s, producer);
    s.cluster.control(Produce, { error: then });
    s.cluster.control(Produce, first, { times: 1 });
    const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "a" }));
    assert.equal(error.persisted, wanted, `${JSON.stringify(first)}, then ${then}: ${error.message}`);
    await assertLeavesNothing(s, producer);
  }
});

test("answers: an unknown producer is sent again as it was when the broker doesn't say where its log starts", async () => {
  const s = stage({ network: { latencyMs: 2 } });
  const events: string[] = [];
  const producer = s.producer({ hooks: { onDataLossSuspected: () => void events.push("loss") } });
  await warmUp(s, producer);
  const answer = (logStartOffset: bigint) => ({
    respond: {
      responses: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        partitionResponses: [{ index: 0, errorCode: 59, baseOffset: -1n, logStartOffset }],
      }],
    },
  });
  s.cluster.control(Produce, answer(-1n), { times: 2 });
  await s.run(producer.send({ topic: "orders", partition: 0, value: "a" }));
  assert.deepEqual(sentBatches(s.cluster).map(({ epoch, sequence }) => [epoch, sequence]), [[0, 1], [0, 1], [0, 1]]);
  // All that was acknowledged has been deleted since: a broker of old forgets the producer with it, and nothing is lost.
  s.cluster.clearRequests();
  s.cluster.control(Produce, answer(2n), { times: 1 });
  await s.run(producer.send({ topic: "orders", partition: 0, value: "b" }));
  assert.deepEqual(sentBatches(s.cluster).map(({ epoch, sequence }) => [epoch, sequence]), [[0, 2], [1, 0]]);
  await s.runtime.settle();
  assert.deepEqual(events, []);
  // The last one acknowledged should still be there.
  s.cluster.control(Produce, answer(2n), { times: 1 });
  await s.run(producer.send({ topic: "orders", partition: 0, value: "c" }));
  await s.runtime.settle();
  assert.deepEqual(events, ["loss"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "a", "b", "c"]);
  await assertLeavesNothing(s, producer);
});

test("answers: a record that is listed as invalid fails without an attempt of its own, a batch that may have been damaged goes again", async () => {
  const s = stage({
    network: { latencyMs: 2 },
    topics: { compact: { partitions: 1, config: { "cleanup.policy": "compact" } } },
  });
  const producer = s.producer({ lingerMs: 5 });
  const sent = ["a", null].map((key) => watch(s, producer.send({ topic: "compact", key, value: "v" })));
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 0", "INVALID_RECORD"]);
  assert.deepEqual(sentBatches(s.cluster).map(({ count }) => count), [2, 1]);
  s.cluster.control(Produce, { error: 87 }, { times: 1 });
  assert.equal((await s.run(producer.send({ topic: "compact", key: "k", value: "v" }))).offset, 1n);
  assert.equal(sentBatches(s.cluster).length, 4);
  await assertLeavesNothing(s, producer);
});

test("answers: on a topic that the broker stamps, a repeated answer keeps the broker's time", async () => {
  const config = { "message.timestamp.type": "LogAppendTime" };
  const s = stage({ topics: { stamped: { partitions: 1, config } }, network: { latencyMs: 5 } });
  const producer = s.producer({ lingerMs: 1 });
  await s.run(producer.send({ topic: "stamped", value: "first" }));
  // The broker's clock shows what one of the records bears by chance: that is no echo of the producer's own time.
  s.cluster.control(Produce, { drop: "after" }, { times: 1 });
  const atMs = s.runtime.wallNow() + 6;
  const results = await s.run(
    Promise.all([1_000, atMs].map((timestamp) => producer.send({ topic: "stamped", value: "v", timestamp }))),
  );
  const stored = (await s.cluster.records("stamped")).slice(1).map(({ timestamp }) => Number(timestamp));
  assert.deepEqual(stored, [atMs, atMs]);
  assert.deepEqual(results.map(({ timestamp }) => timestamp), stored);
  await assertLeavesNothing(s, producer);
});
