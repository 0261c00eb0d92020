/** KafkaJS's transactions. */
import assert from "node:assert/strict";
import { CompressionTypes, KafkaJSError, KafkaJSNonRetriableError } from "../../../src/compat/kafkajs/mod.ts";
import { AddOffsetsToTxn, EndTxn, InitProducerId, Produce, TxnOffsetCommit } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { type KafkaJSStage, stage } from "./stage.ts";

const ended = "Cannot continue to use transaction once ended";
const record = { topic: "orders", messages: [{ value: "a", partition: 0 }] };

/** What of the topic was committed and what aborted, by the batches of its first partition. */
function fates({ cluster }: KafkaJSStage): string[] {
  return cluster.requestsOf(EndTxn).map(({ body }) => body.committed ? "commit" : "abort");
}

for (const release of ["3.9", "4.1"] as const) {
  for (const kind of ["commit", "abort"] as const) {
    test(`compat kafkajs transaction: on Kafka ${release} a ${kind} ends it, and another one can begin`, async () => {
      const play = stage({ release });
      const { kafka, run, failure, cluster } = play;
      const producer = kafka().producer({ transactionalId: "t-1" });
      await run(producer.connect());
      const transaction = await run(producer.transaction());
      assert.equal(transaction.isActive(), true);
      const second = await failure(producer.transaction());
      assert.ok(second instanceof KafkaJSNonRetriableError);
      assert.match(second.message, /^There is already an ongoing transaction for this producer\./);
      const [entry] = await run(transaction.send(record));
      assert.deepEqual([entry!.topicName, entry!.baseOffset], ["orders", "0"]);
      await run(transaction.sendBatch({ topicMessages: [record] }));
      await run(transaction[kind]());
      assert.equal(transaction.isActive(), false);
      for (const call of ["send", "sendBatch", "sendOffsets", "commit", "abort"] as const) {
        const error = await failure((transaction[call] as () => Promise<void>)());
        assert.ok(error instanceof KafkaJSNonRetriableError);
        assert.equal(error.message, ended);
      }
      const next = await run(producer.transaction());
      await run(next.abort());
      await run(producer.disconnect());
      assert.deepEqual(fates(play), [kind]);
      assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    });
  }
}

test("compat kafkajs transaction: offsets are committed with it", async () => {
  const { kafka, run, cluster, failure } = stage();
  const producer = kafka().producer({ transactionalId: "t-1" });
  await run(producer.connect());
  const transaction = await run(producer.transaction());
  const topics = [{ topic: "orders", partitions: [{ partition: 0, offset: "5" }, { partition: 1, offset: "10" }] }];
  for (
    const [wrong, message] of [
      [{}, /^Missing consumerGroupId$/],
      [{ consumerGroupId: "g" }, /^Missing offset topics$/],
      [
        { consumerGroupId: "g", topics: [{ topic: "orders", partitions: [{ partition: 0, offset: "x" }] }] },
        /"offset"/,
      ],
    ] as const
  ) {
    const error = await failure(transaction.sendOffsets(wrong as never));
    assert.ok(error instanceof KafkaJSNonRetriableError, `${error}`);
    assert.match(error.message, message);
  }
  await run(transaction.sendOffsets({ consumerGroupId: "g", topics }));
  await run(transaction.commit());
  await run(producer.disconnect());
  assert.equal(cluster.requestsOf(TxnOffsetCommit).length, 1);
  assert.ok(cluster.requestsOf(AddOffsetsToTxn).length <= 1);
});

test("compat kafkajs transaction: it is compressed as its first send says, whatever the one before was", async () => {
  const play = stage({ topics: { orders: 1 } });
  const { kafka, run, cluster, values } = play;
  const producer = kafka({ sluice: { codecs: "portable" } }).producer({ transactionalId: "t-1" });
  await run(producer.connect());
  const { None, GZIP, LZ4 } = CompressionTypes;
  for (const compression of [None, GZIP, GZIP, LZ4]) {
    const transaction = await run(producer.transaction());
    const messages = [{ value: "a".repeat(500) }];
    const sends = [1, 2].map(() => transaction.send({ topic: "orders", compression, messages }));
    await run(Promise.all(sends));
    // Another codec in the same transaction is that of the first.
    await run(transaction.send({ topic: "orders", compression: CompressionTypes.Snappy, messages }));
    await run(transaction.commit());
  }
  const codecs = cluster.requestsOf(Produce).flatMap(({ body }) =>
    body.topicData.flatMap(({ partitionData }) => partitionData.map(({ records }) => records![22]! & 7))
  );
  assert.deepEqual([...new Set(codecs.slice(0, 2))], [0]);
  assert.deepEqual([...new Set(codecs)], [0, 1, 3]);
  assert.deepEqual(fates(play), ["commit", "commit", "commit", "commit"]);
  // One for each codec: a change of codec takes the transactional id over, in order.
  assert.equal(cluster.requestsOf(InitProducerId).length, 3);
  assert.equal((await values("orders"))[0]!.length, 12);
  await run(producer.disconnect());
});

test("compat kafkajs transaction: after a message has failed it cannot be committed, only aborted", async () => {
  const play = stage();
  const { kafka, run, failure, cluster } = play;
  const producer = kafka().producer({ transactionalId: "t-1" });
  await run(producer.connect());
  const transaction = await run(producer.transaction());
  await run(transaction.send(record));
  const free = cluster.control(Produce, { error: 87 });
  const failed = await failure(transaction.send(record));
  assert.deepEqual([failed.name, failed.type], ["KafkaJSProtocolError", "INVALID_RECORD"]);
  free();
  const error = await failure(transaction.commit());
  assert.ok(error instanceof KafkaJSError, `${error}`);
  assert.equal(transaction.isActive(), true);
  await run(transaction.abort());
  const next = await run(producer.transaction());
  await run(next.send(record));
  await run(next.commit());
  await run(producer.disconnect());
  assert.deepEqual(fates(play), ["abort", "commit"]);
});

test("compat kafkajs transaction: a newer producer with the same id takes over, and the older one is told", async () => {
  const { kafka, run, failure } = stage();
  const [older, newer] = [1, 2].map(() => kafka().producer({ transactionalId: "t-1", idempotent: true }));
  await run(older!.connect());
  const abandoned = await run(older!.transaction());
  await run(abandoned.send(record));
  await run(newer!.connect());
  const transaction = await run(newer!.transaction());
  await run(transaction.send(record));
  await run(transaction.commit());
  const error = await failure(abandoned.commit());
  assert.ok(error instanceof KafkaJSError, `${error}`);
  assert.equal(error.retriable, false);
  await run(Promise.all([older!.disconnect(), newer!.disconnect()]));
});

test("compat kafkajs transaction: it needs an id and a connection, and a disconnect aborts what is open", async () => {
  const play = stage();
  const { kafka, run, failure } = play;
  const plain = kafka().producer();
  await run(plain.connect());
  const without = await failure(plain.transaction());
  assert.ok(without instanceof KafkaJSNonRetriableError);
  assert.equal(without.message, "Must provide transactional id for transactional producer");
  await run(plain.disconnect());
  const producer = kafka().producer({ transactionalId: "t-1" });
  assert.equal((await failure(producer.transaction())).message, "The producer is disconnected");
  await run(producer.connect());
  const transaction = await run(producer.transaction());
  await run(transaction.send(record));
  // Beside it, outside of it.
  await run(producer.send(record));
  const error = await failure(transaction.send({ ...record, acks: 1 }));
  assert.match(error.message, /EoS guarantees/);
  await run(producer.disconnect());
  assert.deepEqual(fates(play), ["abort"]);
  await run(producer.connect());
  const next = await run(producer.transaction());
  await run(next.send(record));
  await run(next.commit());
  await run(producer.disconnect());
});
