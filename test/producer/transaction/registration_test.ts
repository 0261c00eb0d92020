/** Partitions and offsets that become part of a transaction, or don't. */
import assert from "node:assert/strict";
import { ProducerFencedError, TransactionAbortedError } from "../../../mod.ts";
import { ApiVersions, EndTxn, FindCoordinator, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { AddOffsetsToTxn } from "../../../src/protocol/messages/add_offsets_to_txn.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import { test } from "../../harness.ts";
import { ID, stage } from "./stage.ts";

const record = { topic: "out", partition: 0, value: "a" };
/** Of a record batch. */
const ATTRIBUTES_AT = 21;
const BASE_SEQUENCE_AT = 53;
const CONTROL_BIT = 0x20;
const offset = { topic: "in", partition: 0, offset: 7n };

/** Answers of AddPartitionsToTxn in which partitions have codes of their own. */
function results(codes: Readonly<Record<number, number>>, name = "out") {
  return {
    resultsByTopicV3AndBelow: [{
      name,
      resultsByPartition: Object.entries(codes).map(([index, partitionErrorCode]) => (
        { partitionIndex: Number(index), partitionErrorCode }
      )),
    }],
  };
}

for (const release of ["3.9", "4.1"] as const) {
  const version = release === "3.9" ? 1 : 2;

  test(`transaction parts: on Kafka ${release} concurrent sends to 50 partitions are all in the transaction`, async () => {
    const { cluster, producer, run, committed } = stage(release, { topics: { out: 50 } });
    const client = producer();
    for (let round = 0; round < 3; round++) {
      await run(client.transaction(async (tx) => {
        await Promise.all(Array.from({ length: 50 }, (_, partition) => (
          tx.send({ topic: "out", partition, value: `${round}` })
        )));
      }));
    }
    assert.deepEqual(await committed("out", 50), Array.from({ length: 50 }, () => ["0", "1", "2"]));
    assert.ok(cluster.requestsOf(AddPartitionsToTxn).length <= (version === 1 ? 6 : 0));
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} offsets that nobody awaits are committed with the rest, concurrent ones too`, async () => {
    const { cluster, producer, run } = stage(release, { topics: { out: 3, in: 20 } });
    const client = producer();
    await run(client.transaction((tx) => {
      for (let partition = 0; partition < 20; partition++) {
        void tx.sendOffsets({ topic: "in", partition, offset: BigInt(partition + 1) }, partition % 2 === 0 ? "g" : "h");
      }
    }));
    for (let partition = 0; partition < 20; partition++) {
      const group = partition % 2 === 0 ? "g" : "h";
      assert.equal(cluster.groups.committed(group, "in", partition), BigInt(partition + 1));
    }
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} offsets that fail and that nobody awaits block the commit`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer();
    cluster.control(TxnOffsetCommit, { error: 22 }, { times: 1 });
    const error = await failure(client.transaction((tx) => {
      void tx.send(record);
      void tx.sendOffsets(offset, { groupId: "g", memberId: "m", generationId: 3 });
    }));
    assert.match(error.message, /ILLEGAL_GENERATION/);
    assert.deepEqual([error.requiresAbort, error.fatal], [true, false]);
    assert.equal(cluster.groups.committed("g", "in", 0), undefined);
    assert.ok(cluster.requestsOf(EndTxn).every(({ body }) => !body.committed));
    await run(client.transaction((tx) => tx.sendOffsets(offset, "g")));
    assert.equal(cluster.groups.committed("g", "in", 0), 7n);
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} offsets of an aborted transaction are not committed`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    await assert.rejects(run(client.transaction(async (tx) => {
      await tx.sendOffsets(offset, "g");
      throw new Error("no");
    })));
    assert.equal(cluster.groups.committed("g", "in", 0), undefined);
    await run(client.transaction((tx) => tx.sendOffsets([], "g")));
    assert.equal(cluster.requestsOf(EndTxn).length, 1);
    await run(client.close());
  });

  for (
    const [code, fate] of [
      ...[22, 25, 30, 69, 82, 113, 120].map((code) => [code, "abortable"] as const),
      ...[29, 43, 48, 49, 53, -1].map((code) => [code, "fatal"] as const),
      // Of a transaction that has timed out version 2 says 47 too.
      [47, version === 1 ? "fenced" : "abortable"] as const,
      [90, "fenced"] as const,
      ...[3, 7, 14, 15, 16, 51].map((code) => [code, "again"] as const),
    ]
  ) {
    test(`transaction parts: on Kafka ${release} TxnOffsetCommit answered ${code} is ${fate}`, async () => {
      const { cluster, producer, run, failure } = stage(release);
      const client = producer();
      const tx = await run(client.begin());
      cluster.control(TxnOffsetCommit, { error: code }, { times: 1 });
      if (fate === "again") {
        await run(tx.sendOffsets(offset, "g"));
        await run(tx.commit());
        assert.equal(cluster.groups.committed("g", "in", 0), 7n);
      } else {
        const error = await failure(tx.sendOffsets(offset, "g"));
        assert.equal(error.requiresAbort, fate === "abortable");
        assert.equal(error.fatal, fate !== "abortable");
        assert.equal(error instanceof ProducerFencedError, fate === "fenced");
        assert.equal(error.errorCode, code);
        assert.equal(client.state, fate === "abortable" ? "abortable" : "fatal");
        if (fate === "abortable") await run(tx.abort());
      }
      await run(client.close());
    });
  }

  test(`transaction parts: on Kafka ${release} when all records of a transaction fail, it can't be committed, and the abort is told to the broker`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer();
    cluster.control(Produce, { error: 87 }, { times: 2 });
    const tx = await run(client.begin());
    await failure(tx.send(record));
    assert.equal((await failure(tx.commit())).requiresAbort, true);
    await run(tx.abort());
    assert.deepEqual(cluster.requestsOf(EndTxn).map(({ body }) => body.committed), [false]);
    await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  for (const code of [47, 48, 120]) {
    test(`transaction parts: on Kafka ${release} a record refused with ${code} can only be aborted, and no other one waits`, async () => {
      const { cluster, producer, run, failure, committed } = stage(release);
      const client = producer({ maxInFlight: 1 });
      await run(client.transaction((tx) => void tx.send(record)));
      cluster.control(Produce, { error: code, delayMs: 50 }, { times: 1 });
      const tx = await run(client.begin());
      const first = tx.send(record);
      const error = await failure(first);
      assert.equal(error.fatal, false);
      assert.equal(tx.state, "abortable");
      assert.equal((await failure(tx.commit())).requiresAbort, true);
      await run(tx.abort());
      await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["a", "b"]);
      await run(client.close());
    });
  }

  test(`transaction parts: on Kafka ${release} when one record fails, those not sent yet fail at once, not at their deadline`, async () => {
    const { cluster, producer, run, runtime, failure } = stage(release);
    const client = producer({ lingerMs: 20_000 });
    const tx = await run(client.begin());
    const waiting = tx.send(record);
    cluster.control(TxnOffsetCommit, { error: 22 }, { times: 1 });
    const startMs = runtime.now();
    await failure(tx.sendOffsets(offset, "g"));
    const error = await failure(waiting);
    assert.ok(error instanceof TransactionAbortedError, String(error));
    assert.equal(error.persisted, "no");
    assert.ok(runtime.now() - startMs < 5_000);
    await failure(tx.commit());
    assert.ok(runtime.now() - startMs < 5_000);
    await run(tx.abort());
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} a commit waits for the parts of a batch that was split`, async () => {
    const { cluster, producer, run, committed } = stage(release, {
      topics: { out: { partitions: 3, config: { "max.message.bytes": "1000" } } },
    });
    const client = producer({ lingerMs: 50 });
    const values = Array.from({ length: 20 }, (_, i) => String(i).padStart(300, "0"));
    await run(client.transaction((tx) => {
      for (const value of values) void tx.send({ ...record, value });
    }));
    assert.ok(cluster.requestsOf(Produce).length > 5);
    assert.deepEqual((await committed())[0], values);
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} after a batch was given up, one of the same size is written and no duplicate`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer({ requestTimeoutMs: 500, deliveryTimeoutMs: 2_000 });
    await run(client.transaction((tx) => void tx.send(record)));
    const stop = cluster.control(Produce, { silence: true, apply: true });
    const tx = await run(client.begin());
    await failure(tx.send({ ...record, value: "b" }));
    stop();
    await run(tx.abort());
    await run(client.transaction((next) => void next.send({ ...record, value: "c" })));
    assert.deepEqual((await committed())[0], ["a", "c"]);
    await run(client.close());
  });

  test(`transaction parts: on Kafka ${release} sequences begin at 0 with each epoch, and go on within it`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    for (let i = 0; i < 3; i++) {
      await run(client.transaction(async (tx) => {
        await tx.send(record);
        await tx.send(record);
      }));
    }
    const batches = cluster.partition("out", 0).log.batches.map(({ bytes }) =>
      new DataView(bytes.buffer, bytes.byteOffset)
    )
      .filter((view) => (view.getInt16(ATTRIBUTES_AT) & CONTROL_BIT) === 0);
    assert.deepEqual(
      batches.map((view) => view.getInt32(BASE_SEQUENCE_AT)),
      version === 1 ? [0, 1, 2, 3, 4, 5] : [0, 1, 0, 1, 0, 1],
    );
    await run(client.close());
  });
}

test("transaction parts: a partition that can't be registered ends the transaction at once and keeps what was registered", async () => {
  const { cluster, producer, run, runtime, failure, committed } = stage("3.9");
  const client = producer();
  const tx = await run(client.begin());
  await run(tx.send(record));
  cluster.control(AddPartitionsToTxn, { respond: results({ 1: 29, 2: 55 }) }, { times: 1 });
  const startMs = runtime.now();
  const sent = [tx.send({ ...record, partition: 1 }), tx.send({ ...record, partition: 2 })];
  for (const one of sent) assert.ok(await failure(one) instanceof TransactionAbortedError);
  assert.ok(runtime.now() - startMs < 1_000);
  const error = await failure(tx.commit());
  assert.match(error.message, /out-1: .*TOPIC_AUTHORIZATION_FAILED/);
  assert.equal(cluster.requestsOf(AddPartitionsToTxn).length, 2);
  // Partition 0 is in it, so the broker must hear of the end.
  await run(tx.abort());
  assert.deepEqual(cluster.requestsOf(EndTxn).map(({ body }) => body.committed), [false]);
  await run(client.transaction((next) => void next.send({ ...record, partition: 2, value: "b" })));
  assert.deepEqual(await committed(), [[], [], ["b"]]);
  await run(client.close());
});

test("transaction parts: OPERATION_NOT_ATTEMPTED alone can be aborted, and with a passing cause it is tried again", async () => {
  const { cluster, producer, run, failure, committed } = stage("3.9");
  const client = producer();
  cluster.control(AddPartitionsToTxn, { error: 55 }, { times: 1 });
  const tx = await run(client.begin());
  await failure(tx.send(record));
  assert.match((await failure(tx.commit())).message, /OPERATION_NOT_ATTEMPTED/);
  await run(tx.abort());
  assert.equal(cluster.requestsOf(EndTxn).length, 0);
  cluster.control(AddPartitionsToTxn, { respond: results({ 0: 55, 1: 3 }) }, { times: 1 });
  await run(client.transaction((next) => {
    void next.send(record);
    void next.send({ ...record, partition: 1 });
  }));
  assert.deepEqual(await committed(), [["a"], ["a"], []]);
  await run(client.close());
});

for (
  const [code, fate] of [
    ...[29, 55, 59, 120].map((code) => [code, "abortable"] as const),
    ...[48, 49, 53, -1].map((code) => [code, "fatal"] as const),
    ...[47, 90].map((code) => [code, "fenced"] as const),
    ...[3, 14, 15, 16, 51].map((code) => [code, "again"] as const),
  ]
) {
  test(`transaction parts: AddPartitionsToTxn and AddOffsetsToTxn answered ${code} are ${fate}`, async () => {
    for (const api of [AddPartitionsToTxn, AddOffsetsToTxn]) {
      if (api === AddOffsetsToTxn && [3, 29, 55].includes(code)) continue;
      const { cluster, producer, run, failure, committed } = stage("3.9");
      const client = producer();
      const tx = await run(client.begin());
      cluster.control<typeof api>(api, { error: code }, { times: 2 });
      const work: Promise<unknown> = api === AddPartitionsToTxn ? tx.send(record) : tx.sendOffsets(offset, "g");
      if (fate === "again") {
        await run(work);
        await run(tx.commit());
        if (api === AddPartitionsToTxn) assert.deepEqual((await committed())[0], ["a"]);
        else assert.equal(cluster.groups.committed("g", "in", 0), 7n);
      } else {
        await failure(work);
        const error = await failure(tx.commit());
        assert.equal(error.requiresAbort, fate === "abortable");
        assert.equal(error.fatal, fate !== "abortable");
        assert.equal(error instanceof ProducerFencedError, fate === "fenced");
        assert.equal(error.errorCode, code);
        cluster.controls.clear();
        if (fate === "abortable") {
          await run(tx.abort());
          await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
          assert.deepEqual((await committed())[0], ["b"]);
        }
      }
      await run(client.close());
    }
  });
}

test("transaction parts: an abort while registration is answered 51 asks no more, and if nothing was added no EndTxn follows", async () => {
  const { cluster, producer, run, runtime, failure, committed } = stage("3.9");
  const client = producer();
  const tx = await run(client.begin());
  const stop = cluster.control(AddPartitionsToTxn, { error: 51 });
  const sent = tx.send(record);
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 500)));
  const asked = cluster.requestsOf(AddPartitionsToTxn).length;
  assert.ok(asked > 5);
  await run(tx.abort());
  assert.ok(await failure(sent) instanceof TransactionAbortedError);
  assert.ok(cluster.requestsOf(AddPartitionsToTxn).length <= asked + 1);
  assert.equal(cluster.requestsOf(EndTxn).length, 0);
  stop();
  await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["b"]);
  await run(client.close());
});

test("transaction parts: an abort while a registration is under way waits for it, and tells the broker of the end", async () => {
  const { cluster, producer, run, runtime, failure, committed } = stage("3.9");
  const client = producer();
  const tx = await run(client.begin());
  cluster.control(AddPartitionsToTxn, { answerDelayMs: 400 }, { times: 1 });
  const sent = tx.send(record);
  sent.catch(() => {});
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 100)));
  await run(tx.abort());
  assert.ok(await failure(sent) instanceof TransactionAbortedError);
  assert.equal(cluster.transactions.describe(ID)!.state, "CompleteAbort");
  await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["b"]);
  await run(client.close());
});

test("transaction parts: a registration that was lost may have been one, so the abort is told to the broker", async () => {
  const { cluster, producer, run, failure } = stage("3.9");
  const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
  const tx = await run(client.begin());
  const stop = cluster.control(AddPartitionsToTxn, { silence: true, apply: true });
  await failure(tx.send(record));
  stop();
  assert.equal((await failure(tx.commit())).requiresAbort, true);
  await run(tx.abort());
  assert.equal(cluster.transactions.describe(ID)!.state, "CompleteAbort");
  await run(client.begin());
  assert.equal(cluster.requestsOf(InitProducerId).length, 2);
  await run(client.close());
});

test("transaction parts: offsets name topics by id where all ids are known, and by name when the broker doesn't know one", async () => {
  const { cluster, producer, run } = stage("4.1", { apiVersions: { TxnOffsetCommit: [0, 6] } });
  const client = producer();
  await run(client.partitionsFor("in"));
  await run(client.transaction((tx) => tx.sendOffsets(offset, "g")));
  assert.equal(cluster.requestsOf(TxnOffsetCommit).at(-1)!.version, 6);
  cluster.control(TxnOffsetCommit, { error: 100 }, { times: 1 });
  await run(client.transaction((tx) => tx.sendOffsets({ ...offset, offset: 8n }, "g")));
  assert.deepEqual(cluster.requestsOf(TxnOffsetCommit).slice(1).map(({ version }) => version), [6, 5]);
  assert.equal(cluster.groups.committed("g", "in", 0), 8n);
  await run(client.close());
});

test("transaction parts: a broker that knows no members takes offsets for a group id, and is not given those of a member", async () => {
  const { cluster, producer, run, failure } = stage("3.9", { apiVersions: { TxnOffsetCommit: [0, 2] } });
  const client = producer();
  await run(client.transaction((tx) => tx.sendOffsets(offset, "g")));
  assert.equal(cluster.groups.committed("g", "in", 0), 7n);
  for (
    const member of [
      { groupId: "h", memberId: "m", generationId: 3 },
      { groupId: "h", memberId: "m", generationId: -1 },
      { groupId: "h", memberId: "", generationId: -1, groupInstanceId: "i" },
    ]
  ) {
    const other = producer({ transactionalId: "other" });
    const tx = await run(other.begin());
    const error = await failure(tx.sendOffsets(offset, member));
    assert.match(
      error.message,
      /^Abort the transaction: Give sendOffsets\(\) the id of the group alone: .* version 2, /,
    );
    assert.deepEqual([error.code, error.requiresAbort, error.fatal], ["UNSUPPORTED_VERSION", true, false]);
    await run(tx.abort());
    await run(other.transaction((next) => next.sendOffsets(offset, "of-others")));
    await run(other.close());
  }
  assert.equal(cluster.groups.committed("h", "in", 0), undefined);
  await run(client.close());
});

test("transaction parts: an abort of records that never left leaves the epoch as it is", async () => {
  const { cluster, producer, run } = stage("3.9");
  const client = producer({ lingerMs: 60_000 });
  await run(client.partitionsFor("out"));
  const tx = await run(client.begin());
  void tx.send(record);
  await run(tx.flush());
  const sent = tx.send(record).catch((error) => error.name);
  await run(tx.abort());
  assert.equal(await sent, "TransactionAbortedError");
  await run(client.transaction((next) => void next.send(record)));
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  await run(client.close());
});

test("transaction parts: version 2 where Produce ends at 11, or EndTxn at 4, is left for the ways of version 1", async () => {
  for (const api of [["Produce", 0, 11], ["EndTxn", 0, 4]] as const) {
    const pinned = { [api[0]]: [api[1], api[2]] as const };
    const { cluster, producer, run, committed } = stage("4.1", { apiVersions: pinned });
    const client = producer();
    await run(client.transaction(async (tx) => {
      await tx.send(record);
      await tx.sendOffsets(offset, "g");
    }));
    await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["a", "b"]);
    assert.ok(cluster.requestsOf(AddPartitionsToTxn).length > 0);
    assert.ok(cluster.requestsOf(EndTxn).every((request) => request.version <= 4));
    assert.ok(cluster.requestsOf(Produce).every((request) => request.version <= 11));
    assert.equal(cluster.groups.committed("g", "in", 0), 7n);
    await run(client.close());
  }
});

test("transaction parts: transaction.version may be raised and lowered in the life of a producer", async () => {
  const { cluster, producer, run, runtime, committed } = stage("4.1", {
    finalizedFeatures: { "transaction.version": 0 },
  });
  const client = producer();
  const versions: number[] = [];
  const wanted: string[] = [];
  for (const [i, level] of [0, 2, 2, 0, 0, 2, 2, 0, 2].entries()) {
    cluster.finalizeFeature("transaction.version", level);
    // Brokers tell of their features when somebody connects, and when they are asked; nobody is told without.
    const isRestarted = i % 2 === 0;
    if (isRestarted) { for (const broker of cluster.brokers) broker.disconnectAll(); }
    await run(new Promise<void>((resolve) => runtime.setTimer(resolve, isRestarted ? 50 : 1_500)));
    wanted.push(String(wanted.length));
    await run(client.transaction((tx) => void tx.send({ ...record, value: wanted.at(-1)! })));
    versions.push(cluster.requestsOf(Produce).at(-1)!.version >= 12 ? 2 : 1);
  }
  assert.deepEqual((await committed())[0], wanted);
  assert.deepEqual(versions, [1, 2, 2, 1, 1, 2, 2, 1, 2]);
  await run(client.close());
});

test("transaction parts: features are asked for once a second at most, and long after whoever hangs up on the question", async () => {
  const { cluster, producer, run, runtime } = stage("4.1", { finalizedFeatures: { "transaction.version": 0 } });
  const client = producer();
  const after = (ms: number): Promise<void> => run(new Promise<void>((resolve) => runtime.setTimer(resolve, ms)));
  const next = (): Promise<void> => run(client.transaction((tx) => void tx.send(record)));
  const asked = (): number => cluster.requestsOf(ApiVersions).length;
  await next();
  const before = asked();
  for (let i = 0; i < 5; i++) await next();
  assert.equal(asked(), before);
  await after(1_500);
  await next();
  assert.equal(asked(), before + 1);
  // Once may be chance: the next connection is asked as well.
  for (const level of [2, 0]) {
    cluster.control(ApiVersions, { drop: "before" }, { times: 1 });
    await after(1_500);
    await next();
    cluster.finalizeFeature("transaction.version", level);
    await after(1_500);
    await next();
    assert.equal(cluster.requestsOf(Produce).at(-1)!.version >= 12, level === 2);
  }
  cluster.control(ApiVersions, { drop: "before" }, { times: 1 });
  await after(1_500);
  await next();
  // Now it hangs up on the very connection that came after.
  cluster.control(ApiVersions, { drop: "before" }, { times: 1 });
  await after(1_500);
  await next();
  await after(1_500);
  const late = asked();
  await next();
  assert.equal(asked(), late);
  // The connection that lives on would never tell of a feature that is finalized later: it has to be asked.
  cluster.finalizeFeature("transaction.version", 2);
  for (let minute = 1; minute < 10; minute++) {
    await after(60_000);
    await next();
  }
  assert.equal(asked(), late);
  await after(60_000);
  await next();
  assert.equal(asked(), late + 1);
  await next();
  assert.equal(asked(), late + 1, "once a second again");
  assert.ok(cluster.requestsOf(Produce).at(-1)!.version >= 12);
  await run(client.close());
});

test("transaction parts: a refusal names the group, the id or the option that it is about", async () => {
  const { cluster, producer, run, failure } = stage("3.9");
  const client = producer();
  const tx = await run(client.begin());
  const stop = cluster.control(AddOffsetsToTxn, { error: 30 });
  assert.match(
    (await failure(tx.sendOffsets(offset, "g-1"))).message,
    /^Abort the transaction: AddOffsetsToTxn of group "g-1": /,
  );
  stop();
  await run(tx.abort());
  const second = await run(client.begin());
  cluster.control(TxnOffsetCommit, { error: 22 }, { times: 1 });
  const stale = await failure(second.sendOffsets(offset, "g-1"));
  assert.match(stale.message, /TxnOffsetCommit of group "g-1" for in-0: /);
  await run(second.abort());
  cluster.control(FindCoordinator, { error: 53 }, { times: 1 });
  const denied = await failure(producer({ transactionalId: "denied" }).init());
  assert.match(denied.message, /FindCoordinator of transactional id "denied": /);
  assert.deepEqual([denied.name, denied.fatal], ["AuthorizationError", true]);
  cluster.control(InitProducerId, { error: 50 }, { times: 1 });
  const tooLong = await failure(producer({ transactionalId: "long", transactionTimeoutMs: 900_001 }).init());
  assert.match(
    tooLong.message,
    /^Close this producer, .*: InitProducerId of transactionTimeoutMs 900001: .*transaction\.max\.timeout\.ms/,
  );
  await run(client.close());
});

test("transaction parts: partitions that an answer leaves out are not taken for registered, nor offsets for written", async () => {
  for (const release of ["3.9", "4.1"] as const) {
    const { cluster, producer, run, runtime, committed } = stage(release, { topics: { out: 3, in: 2 } });
    const client = producer();
    cluster.control(AddPartitionsToTxn, { transform: () => results({}) }, { times: 2 });
    cluster.control(TxnOffsetCommit, { respond: { topics: [] } }, { times: 2 });
    const startMs = runtime.now();
    await run(client.transaction((tx) => {
      void tx.send(record);
      void tx.sendOffsets([offset, { ...offset, partition: 1 }], "g");
    }));
    assert.ok(runtime.now() - startMs > 100, "It was asked again without a pause");
    assert.deepEqual([0, 1].map((partition) => cluster.groups.committed("g", "in", partition)), [7n, 7n]);
    assert.deepEqual((await committed())[0], ["a"]);
    assert.equal(cluster.requestsOf(AddPartitionsToTxn).length, release === "3.9" ? 3 : 0);
    await run(client.close());
  }
});

test("transaction parts: an abort doesn't wait for offsets whose coordinator can't be found", async () => {
  for (const release of ["3.9", "4.1"] as const) {
    const { cluster, producer, run, runtime, failure } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(FindCoordinator, { error: 15 });
    const sent = tx.sendOffsets(offset, "g");
    await runtime.advance(500);
    const startMs = runtime.now();
    await run(tx.abort());
    assert.ok(runtime.now() - startMs < 5_000, `It took ${runtime.now() - startMs} ms on ${release}`);
    await failure(sent);
    await run(client.close());
  }
});
