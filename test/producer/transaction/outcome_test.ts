/** What becomes of commits and aborts whose answers are lost, late, or say that nothing is to be had. */
import assert from "node:assert/strict";
import { ProducerFencedError, TransactionStateError, TransactionTimedOutError } from "../../../mod.ts";
import { EndTxn, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import type { RequestOf } from "../../../src/protocol/schema.ts";
import { test } from "../../harness.ts";
import { ID, stage } from "./stage.ts";

/** Of the first batch of a Produce request. */
function epochOf({ topicData }: RequestOf<typeof Produce>): number {
  const records = topicData[0]!.partitionData[0]!.records as Uint8Array | readonly Uint8Array[];
  const bytes = records instanceof Uint8Array ? records : records[0]!;
  return new DataView(bytes.buffer, bytes.byteOffset).getInt16(51);
}

const record = { topic: "out", partition: 0, value: "a" };

for (const release of ["3.9", "4.1"] as const) {
  const version = release === "3.9" ? 1 : 2;

  test(`transaction outcome: on Kafka ${release} CONCURRENT_TRANSACTIONS for ever ends at the deadline, asked ever less often`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer({ maxBlockMs: 20_000 });
    const tx = await run(client.begin());
    await run(tx.send(record));
    const times: number[] = [];
    const stop = cluster.control(EndTxn, (_, { atMs }) => {
      times.push(atMs);
      return { error: 51 };
    });
    const error = await failure(tx.commit());
    assert.equal(error.code, "COMMIT_UNKNOWN");
    assert.match(error.message, /within 20000 ms: of \d+ attempts .* the last answer was CONCURRENT_TRANSACTIONS/);
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    const near = (sinceMs: number) => pauses[times.findIndex((time) => time - times[0]! >= sinceMs)]!;
    assert.deepEqual([0, 1_200, 3_000, 7_000].map((sinceMs) => Math.round(near(sinceMs) / 10) * 10), [
      20,
      200,
      500,
      1_000,
    ]);
    stop();
    await run(tx.commit());
    await run(client.close());
  });

  for (const code of [14, 15, 16, 51]) {
    test(`transaction outcome: on Kafka ${release} EndTxn answered ${code} is asked again, and the transaction is committed once`, async () => {
      const { cluster, producer, run, committed } = stage(release, { brokers: 3 });
      const client = producer();
      cluster.control(EndTxn, { error: code }, { times: 2 });
      await run(client.transaction((tx) => void tx.send(record)));
      await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["a", "b"]);
      await run(client.close());
    });

    test(`transaction outcome: on Kafka ${release} InitProducerId answered ${code} is asked again in place`, async () => {
      const { cluster, producer, run, committed } = stage(release);
      const client = producer();
      cluster.control(InitProducerId, { error: code }, { times: 3 });
      await run(client.transaction((tx) => void tx.send(record)));
      assert.deepEqual((await committed())[0], ["a"]);
      await run(client.close());
    });
  }

  test(`transaction outcome: on Kafka ${release} a coordinator that moves while EndTxn is under way is found again`, async () => {
    const { cluster, producer, run, committed } = stage(release, { brokers: 3 });
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    const former = cluster.coordinator("transaction", ID)!.id;
    cluster.moveCoordinator("transaction", ID, former % 3 + 1);
    await run(tx.commit());
    assert.deepEqual((await committed())[0], ["a"]);
    const asked = cluster.requestsOf(EndTxn).map(({ brokerId }) => brokerId);
    assert.deepEqual(asked, [former, former % 3 + 1]);
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} UNKNOWN_SERVER_ERROR is no commit, and isn't told as one that failed either`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { error: -1 }, { times: 1 });
    const error = await failure(tx.commit());
    assert.deepEqual([error.fatal, error.code, error.persisted], [true, "COMMIT_UNKNOWN", "possibly"]);
    assert.equal(client.state, "fatal");
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} TRANSACTION_ABORTABLE to a commit asks for an abort, to an abort it is the end`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { error: 120 }, { times: 2 });
    assert.equal((await failure(tx.commit())).requiresAbort, true);
    assert.equal(tx.state, "abortable");
    assert.equal((await failure(tx.abort())).fatal, true);
    assert.equal(client.state, "fatal");
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} an abort that nobody answers is made sure of by the next begin`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    const tx = await run(client.begin());
    await run(tx.send(record));
    const stop = cluster.control(EndTxn, { silence: true });
    assert.equal((await failure(tx.abort())).code, "ABORT_UNKNOWN");
    assert.ok(await failure(tx.commit()) instanceof TransactionStateError);
    stop();
    await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} a transaction left behind by a failed abort can't write into the next one`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    const former = await run(client.begin());
    await run(former.send(record));
    const stop = cluster.control(EndTxn, { silence: true });
    await failure(former.abort());
    stop();
    const next = await run(client.begin());
    assert.ok(await failure(former.send({ ...record, value: "stray" })) instanceof TransactionStateError);
    assert.ok(await failure(former.commit()) instanceof TransactionStateError);
    assert.equal(next.state, "in transaction");
    await run(next.send({ ...record, value: "b" }));
    await run(next.commit());
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} what was fenced behind an unanswered commit is told as unknown, never as aborted`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const former = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    const tx = await run(former.begin());
    await run(tx.send(record));
    const stop = cluster.control(EndTxn, { silence: true, apply: true });
    assert.equal((await failure(tx.commit())).code, "COMMIT_UNKNOWN");
    stop();
    const later = producer();
    await run(later.transaction((next) => void next.send({ ...record, value: "b" })));
    const error = await failure(tx.commit());
    assert.ok(error instanceof ProducerFencedError);
    assert.deepEqual([error.code, error.persisted, error.fatal], ["COMMIT_UNKNOWN", "possibly", true]);
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(former.close());
    await run(later.close());
  });

  test(`transaction outcome: on Kafka ${release} an answer that comes late is nobody's, and the next transaction is untouched`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer({ requestTimeoutMs: 500, deliveryTimeoutMs: 5_000 });
    cluster.control(EndTxn, { answerDelayMs: 3_000 }, { times: 1 });
    await run(client.transaction((tx) => void tx.send(record)));
    await run(
      client.transaction(async (tx) => {
        await tx.send({ ...record, value: "b" });
        throw new Error("no");
      }).catch(() => {}),
    );
    await run(client.transaction((tx) => void tx.send({ ...record, value: "c" })));
    assert.deepEqual((await committed())[0], ["a", "c"]);
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} after an attempt without an answer the next transaction has another epoch`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    await run(client.transaction((tx) => void tx.send(record)));
    const before = cluster.transactions.describe(ID)!.producerEpoch;
    cluster.control(Produce, { drop: "after" }, { times: 1 });
    await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
    await run(client.transaction((tx) => void tx.send({ ...record, value: "c" })));
    const asked = cluster.requestsOf(InitProducerId).map(({ body }) => body.producerEpoch);
    // Version 2 raises it with each transaction anyway.
    assert.deepEqual(asked, version === 1 ? [-1, before] : [-1]);
    assert.ok(cluster.transactions.describe(ID)!.producerEpoch > before);
    assert.deepEqual((await committed())[0], ["a", "b", "c"]);
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} a bump whose answers were lost doesn't take the id back from a successor`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const former = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    await run(former.init());
    const stop = cluster.control(InitProducerId, { drop: "before" });
    cluster.control(EndTxn, { drop: "after" }, { times: 1 });
    await run(former.transaction((tx) => void tx.send(record)));
    if (version === 1) assert.match((await failure(former.begin())).code, /INIT_UNKNOWN/);
    stop();
    const later = producer();
    await run(later.init());
    const zombie = await failure(former.transaction((tx) => tx.send({ ...record, value: "zombie" })));
    if (version === 1) assert.ok(zombie instanceof ProducerFencedError, String(zombie));
    await run(later.transaction((tx) => void tx.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(former.close());
    await run(later.close());
  });

  test(`transaction outcome: on Kafka ${release} a commit that is answered isn't kept waiting by the bump behind it`, async () => {
    const { cluster, producer, run, runtime } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(InitProducerId, { error: 51 }, { times: 50 });
    cluster.control(EndTxn, { drop: "after" }, { times: 1 });
    const startMs = runtime.now();
    await run(tx.commit());
    assert.ok(runtime.now() - startMs < 1_000);
    await run(client.transaction((next) => void next.send(record)));
    await run(client.close());
  });

  test(`transaction outcome: on Kafka ${release} epochs near their end lead to another producer id`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    await run(client.init());
    await run(client.close());
    cluster.transactions.setEpoch(ID, 32_763);
    const later = producer();
    const ids = new Set<bigint>();
    for (let i = 0; i < 8; i++) {
      // An unanswered write makes version 1 raise its epoch, too.
      cluster.control(Produce, { drop: "after" }, { times: 1 });
      if (i % 2 === 1) cluster.control(EndTxn, { drop: "after" }, { times: 1 });
      await run(later.transaction((tx) => void tx.send({ ...record, value: String(i) })));
      ids.add(cluster.transactions.describe(ID)!.producerId);
    }
    assert.equal(ids.size, 2);
    assert.deepEqual((await committed())[0], ["0", "1", "2", "3", "4", "5", "6", "7"]);
    await run(later.close());
  });
}

for (const code of [120, 59, 30]) {
  test(`transaction outcome: a commit answered ${code} behind one that had no answer is never told as one to abort`, async () => {
    for (const release of ["3.9", "4.1"] as const) {
      const { cluster, producer, run, failure, committed } = stage(release);
      const client = producer();
      const tx = await run(client.begin());
      await run(tx.send(record));
      cluster.control(EndTxn, { error: code }, { times: 1 });
      cluster.control(EndTxn, { drop: "after" }, { times: 1 });
      if (release === "3.9") {
        const error = await failure(tx.commit());
        assert.deepEqual([error.code, error.requiresAbort, error.persisted], ["COMMIT_UNKNOWN", false, "possibly"]);
      }
      // Version 2 asks what is true.
      await run(tx.commit());
      await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["a", "b"], release);
      await run(client.close());
    }
  });
}

for (
  const [what, changed] of [
    ["no producer id", () => ({ producerId: -1n, producerEpoch: -1 })],
    ["the epoch before", (epoch) => ({ producerEpoch: epoch - 1 })],
    ["an epoch of long ago", () => ({ producerEpoch: 0 })],
  ] as [string, (epoch: number) => { readonly producerId?: bigint; readonly producerEpoch: number }][]
) {
  test(`transaction outcome: a coordinator that hands out ${what} with a commit is asked for another one`, async () => {
    const { cluster, producer, run, committed } = stage("4.1");
    const client = producer();
    for (const value of ["0", "1", "2", "3"]) {
      if (value === "1") {
        cluster.control(EndTxn, {
          transform: (body) => ({ ...body, ...changed(body.producerEpoch ?? -1) }),
        }, { times: 1 });
      }
      await run(client.transaction((tx) => void tx.send({ ...record, value })));
    }
    assert.equal(cluster.requestsOf(InitProducerId).length, 2);
    assert.deepEqual((await committed())[0], ["0", "1", "2", "3"]);
    await run(client.close());
  });
}

for (const first of [32_764, 32_765, 32_766]) {
  test(`transaction outcome: time-outs and lost answers from epoch ${first} on lead to another producer id, and to no epoch of the coordinator's own`, async () => {
    const { cluster, producer, run, runtime, committed } = stage("4.1");
    const former = producer();
    await run(former.init());
    await run(former.close());
    cluster.transactions.setEpoch(ID, first - 1);
    const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
    const wanted: string[] = [];
    for (let i = 0; i < 6; i++) {
      const tx = await run(client.begin());
      await run(tx.send({ ...record, value: String(i) }));
      if (i % 2 === 0) {
        await runtime.advance(20_000);
        await run(tx.abort());
      } else {
        if (i % 3 === 0) cluster.control(EndTxn, { error: 48 }, { times: 1 });
        cluster.control(EndTxn, { drop: "after" }, { times: 1 });
        await run(tx.commit());
        wanted.push(String(i));
      }
    }
    assert.equal(cluster.transactions.describe(ID)!.producerEpoch < 10, true);
    assert.ok(cluster.requestsOf(Produce).every(({ body }) => epochOf(body) < 32_767));
    assert.deepEqual((await committed())[0], wanted);
    await run(client.close());
  });
}

for (const commitAfterAbort of [48, 90] as const) {
  test(`transaction outcome: a commit refused with ${commitAfterAbort} after the broker's time-out is told as timed out`, async () => {
    const { runtime, producer, run, failure, committed } = stage("4.1", { transactions: { commitAfterAbort } });
    const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
    const tx = await run(client.begin());
    await run(tx.send(record));
    await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 20_000)));
    const error = await failure(tx.commit());
    assert.ok(error instanceof TransactionTimedOutError);
    assert.deepEqual([error.fatal, error.requiresAbort, error.persisted], [false, true, "no"]);
    await run(tx.abort());
    await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  test(`transaction outcome: a commit refused with ${commitAfterAbort} that an earlier attempt has made is a success`, async () => {
    const { cluster, producer, run, committed } = stage("4.1", { transactions: { commitAfterAbort } });
    const client = producer();
    // The first attempt is carried out and not answered, the second is refused wrongly: the broker must be asked.
    cluster.control(EndTxn, { error: commitAfterAbort }, { times: 1 });
    cluster.control(EndTxn, { drop: "after" }, { times: 1 });
    await run(client.transaction((tx) => void tx.send(record)));
    assert.deepEqual(
      cluster.requestsOf(EndTxn).map(({ body }) => body.committed),
      [true, true, false, true],
    );
    await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(client.close());
  });

  test(`transaction outcome: a commit refused with ${commitAfterAbort} because of a successor is fenced`, async () => {
    const { producer, run, failure, committed } = stage("4.1", { transactions: { commitAfterAbort } });
    const former = producer();
    const tx = await run(former.begin());
    await run(tx.send(record));
    const later = producer();
    await run(later.init());
    const error = await failure(tx.commit());
    assert.ok(error instanceof ProducerFencedError);
    assert.deepEqual([error.code, error.persisted], ["PRODUCER_FENCED", "no"]);
    assert.deepEqual((await committed())[0], []);
    await run(former.close());
    await run(later.close());
  });
}

test("transaction outcome: a transaction that has timed out under version 2 is aborted without an error", async () => {
  const { runtime, producer, run, failure, committed } = stage("4.1");
  const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
  const tx = await run(client.begin());
  await run(tx.send(record));
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 20_000)));
  assert.equal((await failure(tx.send(record))).fatal, false);
  assert.equal(tx.signal.aborted, true);
  await run(tx.abort());
  await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["b"]);
  await run(client.close());
});

test("transaction outcome: after a commit that is known to be made, a lost identity is asked for anew", async () => {
  const { cluster, producer, run, committed } = stage("4.1");
  const client = producer({ maxBlockMs: 3_000, requestTimeoutMs: 1_000 });
  const answers = [{ drop: "after" }, { error: 48 }, undefined] as const;
  let asked = 0;
  cluster.control(EndTxn, () => asked < answers.length ? answers[asked++] : { silence: true }, { times: 6 });
  await run(client.transaction((tx) => void tx.send(record)));
  cluster.controls.clear();
  await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["a", "b"]);
  await run(client.close());
});

test("transaction outcome: a transaction that has timed out under version 2 before its offsets is aborted, and its producer goes on", async () => {
  const { cluster, runtime, producer, run, failure, committed } = stage("4.1");
  const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
  for (const value of ["a", "b"]) {
    const tx = await run(client.begin());
    await run(tx.send({ ...record, value }));
    // With the group in it, and without.
    if (value === "b") await run(tx.sendOffsets({ topic: "in", partition: 0, offset: 7n }, "g"));
    await runtime.advance(20_000);
    const error = await failure(tx.sendOffsets({ topic: "in", partition: 0, offset: 8n }, "g"));
    assert.deepEqual([error.code, error.fatal, error.requiresAbort], ["INVALID_PRODUCER_EPOCH", false, true]);
    assert.equal((await failure(tx.commit())).requiresAbort, true);
    await run(tx.abort());
  }
  await run(client.transaction(async (tx) => {
    void tx.send({ ...record, value: "c" });
    await tx.sendOffsets({ topic: "in", partition: 0, offset: 9n }, "g");
  }));
  assert.deepEqual((await committed())[0], ["c"]);
  assert.equal(cluster.groups.committed("g", "in", 0), 9n);
  await run(client.close());
});

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction outcome: on Kafka ${release} offsets of a producer that was replaced end it, at its abort at the latest`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const former = producer();
    const tx = await run(former.begin());
    await run(tx.send(record));
    const later = producer();
    await run(later.init());
    const error = await failure(tx.sendOffsets({ topic: "in", partition: 0, offset: 8n }, "g"));
    const end = await failure(tx.abort());
    assert.ok(end instanceof ProducerFencedError, String(end));
    assert.equal(error.fatal, release === "3.9");
    assert.equal(former.state, "fatal");
    assert.equal(cluster.groups.committed("g", "in", 0), undefined);
    await run(former.close());
    await run(later.close());
  });
}

test("transaction outcome: a late answer about a producer id of before doesn't end the producer", async () => {
  const { cluster, runtime, producer, run, failure, committed } = stage("4.1");
  const former = producer();
  await run(former.init());
  await run(former.close());
  cluster.transactions.setEpoch(ID, 32_765);
  const client = producer({ lingerMs: 500, deliveryTimeoutMs: 1_000, requestTimeoutMs: 1_000 });
  const tx = await run(client.begin());
  // It is given up before it gets to the coordinator, which has handed out another producer id by then.
  cluster.control(Produce, { delayMs: 800 }, { times: 1 });
  await failure(tx.send(record));
  await run(tx.abort());
  await run(client.init());
  const next = await run(client.begin());
  await runtime.advance(1_000);
  await run(next.send({ ...record, value: "b" }));
  await run(next.commit());
  assert.deepEqual((await committed())[0], ["b"]);
  await run(client.close());
});

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction outcome: on Kafka ${release} a replaced producer whose batch is given up, and told late, is ended by its abort`, async () => {
    const { cluster, runtime, producer, run, failure, committed } = stage(release);
    const former = producer({ deliveryTimeoutMs: 1_000, requestTimeoutMs: 5_000 });
    const tx = await run(former.begin());
    cluster.control(Produce, { error: 90, answerDelayMs: 1_500 }, { times: 1 });
    await failure(tx.send(record));
    const later = producer();
    await run(later.transaction((next) => void next.send({ ...record, value: "b" })));
    await runtime.advance(3_000);
    assert.equal(former.state, "abortable");
    assert.ok(await failure(tx.abort()) instanceof ProducerFencedError);
    assert.equal(former.state, "fatal");
    assert.deepEqual((await committed())[0], ["b"]);
    await run(former.close());
    await run(later.close());
  });

  test(`transaction outcome: on Kafka ${release} a replaced producer that only sends offsets, again and again, is ended by the second time`, async () => {
    for (const hasHistory of [false, true]) {
      const { cluster, producer, run, failure } = stage(release);
      const former = producer();
      if (hasHistory) await run(former.transaction((tx) => void tx.send(record)));
      else await run(former.init());
      const epoch = cluster.transactions.describe(ID)!.producerEpoch;
      const later = producer();
      await run(later.init());
      const again = () => former.transaction((tx) => tx.sendOffsets({ topic: "in", partition: 0, offset: 8n }, "g"));
      const first = await failure(again());
      assert.equal(first.fatal, release === "3.9");
      const end = await failure(again());
      assert.ok(end instanceof ProducerFencedError, String(end));
      assert.match(end.message, new RegExp(`"${ID}".* epoch ${epoch}\\)`));
      assert.equal(cluster.groups.committed("g", "in", 0), undefined);
      await run(former.close());
      await run(later.close());
    }
  });
}
