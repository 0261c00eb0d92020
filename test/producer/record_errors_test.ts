import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { EmbeddedCluster } from "../../src/testing/mod.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { sentBatches, valuesIn, watch } from "./wire.ts";

const COMPACTED = { topics: { compacted: { partitions: 1, config: { "cleanup.policy": "compact" } } } };

/** A record of the compacted topic; one whose value starts with "bad" has no key, which the broker refuses. */
function record(value: string): { topic: string; value: string; key?: string } {
  return value.startsWith("bad") ? { topic: "compacted", value } : { topic: "compacted", key: "k", value };
}

/** Answers with record errors of these indexes, without having appended anything. */
function refuseRecords(cluster: EmbeddedCluster, indexes: readonly number[], times = 1): void {
  const recordErrors = indexes.map((batchIndex) => ({ batchIndex, batchIndexErrorMessage: `no ${batchIndex}` }));
  cluster.control(Produce, {
    error: 87,
    transform: (body) => ({
      ...body,
      responses: body.responses!.map((topic) => ({
        ...topic,
        partitionResponses: topic.partitionResponses.map((partition) => ({ ...partition, recordErrors })),
      })),
    }),
  }, { times });
}

/** A producer whose id and leader are known, so that several batches may be in flight. */
async function warm(
  staged: Stage,
  options: Parameters<Stage["producer"]>[0] = {},
): Promise<ReturnType<Stage["producer"]>> {
  const producer = staged.producer(options);
  await staged.run(producer.send(record("first")));
  return producer;
}

test("record errors: the records that the broker names get its reason, the others of the batch are delivered", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  const values = ["a", "bad b", "c", "bad d", "e"];
  const results = await staged.run(Promise.allSettled(values.map((value) => producer.send(record(value)))));
  assert.deepEqual(results.map((result) => result.status === "fulfilled" ? result.value.offset : result.reason.code), [
    1n,
    "INVALID_RECORD",
    2n,
    "INVALID_RECORD",
    3n,
  ]);
  const [, refused] = results;
  assert.ok(refused?.status === "rejected");
  assert.deepEqual([refused.reason.persisted, refused.reason.retriable], ["no", false]);
  assert.match(refused.reason.message, /without key/);
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "a", "c", "e"]);
  await staged.run(producer.close());
});

test("record errors: the rest of the batch goes out again at once, as one batch under the same first sequence", async () => {
  const staged = stage(COMPACTED);
  const bumps: number[] = [];
  const producer = await warm(staged, { hooks: { onEpochBump: ({ producerEpoch }) => bumps.push(producerEpoch) } });
  const startMs = staged.runtime.now();
  await staged.run(Promise.allSettled(["bad", "a", "b", "bad", "c"].map((value) => producer.send(record(value)))));
  assert.equal(staged.runtime.now() - startMs < 20, true, "it waited for a backoff");
  const after = await staged.run(producer.send(record("after")));
  const batches = sentBatches(staged.cluster);
  assert.deepEqual(batches.map(({ sequence, count, epoch }) => [sequence, count, epoch]), [
    [0, 1, 0],
    [1, 5, 0],
    [1, 3, 0],
    [4, 1, 0],
  ]);
  assert.deepEqual([after.offset, bumps], [4n, []]);
  await staged.run(producer.close());
});

test("record errors: batches that are in flight behind the refused one are numbered anew and arrive in order", async () => {
  const staged = stage({ ...COMPACTED, network: { latencyMs: 10 } });
  const suspicions: unknown[] = [];
  const producer = await warm(staged, {
    lingerMs: 0,
    hooks: { onDataLossSuspected: (event) => suspicions.push(event) },
  });
  const sends: Promise<unknown>[] = [];
  for (const burst of [["1", "bad 2", "3"], ["4", "5"], ["bad 6", "7"], ["8"]]) {
    for (const value of burst) sends.push(producer.send(record(value)));
    await staged.runtime.advance(1);
  }
  assert.equal(producer.metrics()["requests-in-flight"], 4);
  const results = await staged.run(Promise.allSettled(sends));
  assert.deepEqual(
    results.map((result) => result.status === "fulfilled" ? (result.value as { offset: bigint }).offset : "refused"),
    [1n, "refused", 2n, 3n, 4n, "refused", 5n, 6n],
  );
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "1", "3", "4", "5", "7", "8"]);
  assert.deepEqual(suspicions, []);
  await staged.run(producer.close());
});

test("record errors: a batch that was numbered anew is sent again like any other when its answer is lost", async () => {
  for (const drop of ["before", "after"] as const) {
    const staged = stage({ ...COMPACTED, network: { latencyMs: 10 } });
    let bumps = 0;
    const producer = await warm(staged, {
      lingerMs: 0,
      hooks: {
        onEpochBump: () => {
          bumps += 1;
          staged.cluster.control(Produce, { drop }, { times: 1 });
        },
      },
    });
    const sends: Promise<{ offset: bigint }>[] = [];
    for (const burst of [["1", "bad"], ["2"]]) {
      for (const value of burst) sends.push(producer.send(record(value)));
      await staged.runtime.advance(1);
    }
    const results = await staged.run(Promise.allSettled(sends));
    assert.deepEqual(
      results.map((result) => result.status === "fulfilled" ? result.value.offset : result.reason.code),
      [
        1n,
        "INVALID_RECORD",
        2n,
      ],
    );
    assert.equal(bumps, 1);
    assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "1", "2"]);
    await staged.run(producer.close());
  }
});

test("record errors: outcomes are told in the order of the sends, and a flush waits for all of them", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  const told: string[] = [];
  for (const value of ["1", "bad 2", "bad 3", "4", "bad 5"]) {
    producer.send(record(value), {
      onDelivery: (error) => told.push(`${value} ${error === null ? "ok" : error.code}`),
    }).catch(() => {});
  }
  await staged.run(producer.flush());
  assert.deepEqual(told, [
    "1 ok",
    "bad 2 INVALID_RECORD",
    "bad 3 INVALID_RECORD",
    "4 ok",
    "bad 5 INVALID_RECORD",
  ]);
  await staged.run(producer.close());
});

test("record errors: records that are refused by and by are each told their own reason, in order", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  // First the fourth, then the second of those that are left, then the third of those.
  for (const index of [2, 1, 3]) refuseRecords(staged.cluster, [index]);
  const told: string[] = [];
  for (const value of ["a", "b", "c", "d", "e"]) {
    producer.send(record(value), { onDelivery: (error) => told.push(`${value}:${error?.message.match(/no \d/)?.[0]}`) })
      .catch(() => {});
  }
  await staged.run(producer.flush());
  assert.deepEqual(told, ["a:undefined", "b:no 1", "c:undefined", "d:no 3", "e:no 2"]);
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "a", "c"]);
  await staged.run(producer.close());
});

test("record errors: memory and counters follow what was refused and what was delivered", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged, { compression: "lz4" });
  const values = ["1".repeat(5_000), `bad${"2".repeat(5_000)}`, "3".repeat(5_000)];
  const sends = Promise.allSettled(values.map((value) => producer.send(record(value))));
  staged.cluster.control(Produce, { delayMs: 100 }, { times: 2 });
  await staged.runtime.advance(150);
  const held = producer.metrics();
  assert.equal(held.records_pending, 3);
  const takenBytes = held["buffer-total-bytes"] - held["buffer-available-bytes"];
  assert.ok(takenBytes > 10_000 && takenBytes < 10_500, `${takenBytes} bytes are taken`);
  await staged.run(sends);
  const metrics = producer.metrics();
  assert.deepEqual(
    [metrics.records_sent, metrics.errors, metrics.retries, metrics.records_pending, metrics.batches_pending],
    [3, 1, 1, 0, 0],
  );
  assert.equal(metrics["buffer-available-bytes"], metrics["buffer-total-bytes"]);
  await staged.run(producer.close());
});

test("record errors: when every record of a batch is refused, nothing is sent again", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  const results = await staged.run(Promise.allSettled(["bad 1", "bad 2"].map((value) => producer.send(record(value)))));
  assert.deepEqual(results.map((result) => result.status), ["rejected", "rejected"]);
  assert.equal(sentBatches(staged.cluster).length, 2);
  const after = await staged.run(producer.send(record("after")));
  assert.equal(after.offset, 1n);
  await staged.run(producer.close());
});

test("record errors: an answer that names no record of the batch is not believed, and the batch goes again", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  refuseRecords(staged.cluster, [-1, 7, 2_147_483_647]);
  const results = await staged.run(Promise.allSettled(["a", "b"].map((value) => producer.send(record(value)))));
  assert.deepEqual(results.map((result) => result.status), ["fulfilled", "fulfilled"]);
  await staged.run(producer.close());
});

test("record errors: a record that an earlier attempt may have written is not sent again under another sequence", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  staged.cluster.control(Produce, { error: 7, apply: true }, { times: 1 });
  const sends = Promise.allSettled(["a", "b", "c"].map((value) => producer.send(record(value))));
  await staged.runtime.advance(20);
  refuseRecords(staged.cluster, [1]);
  const results = await staged.run(sends);
  assert.deepEqual(results.map((result) => result.status === "rejected" && result.reason.persisted), [
    "possibly",
    "possibly",
    "possibly",
  ]);
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "a", "b", "c"]);
  await staged.run(producer.close());
});

test("record errors: a batch before the refused one that may be in the log is answered for first", async () => {
  const staged = stage({ ...COMPACTED, network: { latencyMs: 10 } });
  const producer = await warm(staged, { lingerMs: 0 });
  staged.cluster.control(Produce, { error: 7, apply: true }, { times: 1 });
  const sends: Promise<{ offset: bigint }>[] = [];
  for (const burst of [["1"], ["2", "bad 3", "4"], ["5"]]) {
    for (const value of burst) sends.push(producer.send(record(value)));
    await staged.runtime.advance(1);
  }
  const results = await staged.run(Promise.allSettled(sends));
  assert.deepEqual(results.map((result) => result.status === "fulfilled" ? result.value.offset : "refused"), [
    1n,
    2n,
    "refused",
    3n,
    4n,
  ]);
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "1", "2", "4", "5"]);
  await staged.run(producer.close());
});

test("record errors: with gapless the whole batch fails and nothing that was handed over behind it arrives", async () => {
  const staged = stage({ ...COMPACTED, network: { latencyMs: 10 } });
  const producer = await warm(staged, { lingerMs: 0, gapless: true });
  const sends: Promise<{ offset: bigint }>[] = [];
  for (const burst of [["1", "bad 2", "3"], ["4"]]) {
    for (const value of burst) sends.push(producer.send(record(value)));
    await staged.runtime.advance(1);
  }
  const results = await staged.run(Promise.allSettled(sends));
  assert.deepEqual(
    results.map((result) => result.status === "rejected" && [result.reason.code, result.reason.retriable]),
    [["INVALID_RECORD", true], ["INVALID_RECORD", false], ["INVALID_RECORD", true], ["EARLIER_RECORD_FAILED", true]],
  );
  const after = await staged.run(producer.send(record("after")));
  assert.equal(after.offset, 1n);
  await staged.run(producer.close());
});

test("record errors: signals of the refused and of those that go out again are heard", async () => {
  const staged = stage(COMPACTED);
  const producer = await warm(staged);
  // The answer to what goes out again takes its time.
  staged.cluster.control(Produce, { delayMs: 1_000 });
  const controllers = ["1", "bad 2", "3"].map(() => new AbortController());
  const sends = ["1", "bad 2", "3"].map((value, index) => {
    return watch(staged, producer.send(record(value), { signal: controllers[index]!.signal }));
  });
  await staged.runtime.advance(1_500);
  assert.deepEqual(sends.map(({ state }) => state), ["pending", "pending", "pending"]);
  controllers[1]!.abort();
  controllers[2]!.abort();
  await staged.runtime.advance(1);
  assert.deepEqual(sends.map(({ error }) => error && [error.code, error.persisted]), [
    undefined,
    ["ABORTED", "no"],
    ["ABORTED", "possibly"],
  ]);
  await staged.run(producer.flush());
  assert.equal(sends[0]!.state, "resolved");
  assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "1", "3"]);
  await staged.run(producer.close());
});

test("record errors: what goes out again is split when it is too large, and keeps its order", async () => {
  const staged = stage({
    topics: {
      compacted: { partitions: 1, config: { "cleanup.policy": "compact", "max.message.bytes": 3_000 } },
    },
  });
  const producer = await warm(staged);
  refuseRecords(staged.cluster, [0, 3, 4, 7]);
  const told: string[] = [];
  for (let index = 0; index < 8; index++) {
    producer.send(record(`${index}${"x".repeat(900)}`), {
      onDelivery: (error) => told.push(`${index}${error === null ? "" : " refused"}`),
    }).catch(() => {});
  }
  await staged.run(producer.flush());
  assert.deepEqual(told, ["0 refused", "1", "2", "3 refused", "4 refused", "5", "6", "7 refused"]);
  const values = await valuesIn(staged.cluster, "compacted", 0);
  assert.deepEqual(values.map((value) => value[0]), ["f", "1", "2", "5", "6"]);
  await staged.run(producer.close());
});

for (
  const [kind, options] of Object.entries(
    {
      "without sequences": { idempotent: false },
      "without sequences and with one request in flight": { idempotent: false, maxInFlight: 1 },
      "with acks 1": { acks: 1, idempotent: false, maxInFlight: 1 },
      "with lz4": { compression: "lz4" },
    } as const,
  )
) {
  test(`record errors: the rest of a batch is delivered ${kind}`, async () => {
    const staged = stage(COMPACTED);
    const producer = await warm(staged, options);
    await staged.run(Promise.allSettled(["1", "bad 2", "3"].map((value) => producer.send(record(value)))));
    await staged.run(producer.send(record("4")));
    assert.deepEqual(await valuesIn(staged.cluster, "compacted", 0), ["first", "1", "3", "4"]);
    await staged.run(producer.close());
  });
}

test("record errors: timestamps that are out of range are refused one by one", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { orders: 1 } });
  const client = producer();
  const nowMs = runtime.wallNow();
  const results = await run(
    Promise.allSettled([nowMs, nowMs + 7_200_000, nowMs + 1].map((timestamp, index) => {
      return client.send({ topic: "orders", value: String(index), timestamp });
    })),
  );
  assert.deepEqual(
    results.map((result) => result.status === "fulfilled" ? result.value.timestamp : result.reason.code),
    [
      nowMs,
      "INVALID_TIMESTAMP",
      nowMs + 1,
    ],
  );
  assert.deepEqual(await valuesIn(cluster, "orders", 0), ["0", "2"]);
  await run(client.close());
});
