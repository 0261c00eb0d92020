/**
 * The programs of the ETL test: one that writes records in transactions, members of groups that copy them on, and one
 * that accounts for every offset. Each may be killed at any time, and goes on from what was committed when it is started
 * again.
 */
import process from "node:process";
import { isFatal, type KafkaError, type ProducerOptions, type Transaction, TransactionalProducer } from "../../mod.ts";
import { GroupReader, type ReadBatch, Reader } from "../../src/reader/mod.ts";

/** What a program is to do. */
interface Step {
  readonly what: "generate" | "copy" | "account";
  readonly brokers: string;
  /** The transactional id, and the static member of the group. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly partitions: number;
  /** How many records, with how many keys. */
  readonly records: number;
  readonly keys: number;
  /** How to be let in. */
  readonly security: Pick<ProducerOptions, "tls" | "sasl">;
}

/** One transaction in so many is aborted. */
const ABORTS = 8;
const LEAST_OF_TRANSACTION = 100;
const MOST_OF_TRANSACTION = 400;

const below = (limit: number): number => Math.floor(Math.random() * limit);
const producerOf = ({ brokers, id, security }: Step): TransactionalProducer =>
  new TransactionalProducer({
    ...{ brokers, ...security, transactionalId: id, clientId: id },
    ...{ transactionTimeoutMs: 30_000, deliveryTimeoutMs: 30_000 },
  });

/** Does what the plan says, and prints a line at the end. */
export async function runStep(step: Step): Promise<void> {
  const programs = { generate, copy, account };
  await programs[step.what](step);
}

/** Writes the numbers from 0 on, each under its key. How far it has come is an offset of its own, in the transaction. */
async function generate(step: Step): Promise<void> {
  const { brokers, id, keys, records, security, to } = step;
  const progress = { topic: to, partition: 0 };
  const reader = new Reader({ brokers, ...security });
  for (;;) {
    const producer = producerOf(step);
    try {
      // What a former run has left open is aborted by then, and what it has committed is to be seen.
      await producer.init();
      const [committed] = await reader.committed(id, [progress]);
      let next = Number(committed?.offset ?? 0n);
      while (next < records) {
        const end = Math.min(records, next + LEAST_OF_TRANSACTION + below(MOST_OF_TRANSACTION - LEAST_OF_TRANSACTION));
        const tx = await producer.begin();
        for (let i = next; i < end; i++) void tx.send({ topic: to, key: `k${i % keys}`, value: `${i}` });
        void tx.sendOffsets({ ...progress, offset: BigInt(end) }, id);
        if (await endOf(tx)) next = end;
      }
      await producer.close();
      await reader.close();
      console.log("generated");
      return;
    } catch (error) {
      console.log(String(error));
      await producer.close({ timeoutMs: 1_000 }).catch(() => {});
    }
  }
}

/** Copies what it reads, batch by batch, each with its offset in a transaction; never ends by itself. */
async function copy(step: Step): Promise<void> {
  const { brokers, from, id, security } = step;
  const group = `${from}-copiers`;
  let producer = producerOf(step);
  for (;;) {
    const reader = new GroupReader({
      ...{ brokers, ...security, groupId: group, topics: [from], maxWaitMs: 100 },
      ...{ sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000, groupInstanceId: id, maxPartitionBytes: 16_384 },
    });
    try {
      // What a former run has left open would hold back its readers for as long as its transaction may take.
      await producer.init();
      for await (const batch of reader.batches()) {
        if (batch.records.length > 0 && !await copyBatch(producer, reader, batch, step)) await rewind(reader, batch);
        if (producer.state === "fatal") throw new Error("The producer can't go on.");
      }
    } catch (error) {
      console.log(String(error));
      await producer.close({ timeoutMs: 1_000 }).catch(() => {});
      producer = producerOf(step);
    }
    await reader.close().catch(() => {});
  }
}

async function copyBatch(
  producer: TransactionalProducer,
  reader: GroupReader,
  { nextOffset, partition, records }: ReadBatch,
  { from, to }: Step,
): Promise<boolean> {
  const member = reader.groupMetadata();
  const tx = await producer.begin();
  for (const { key, value } of records) void tx.send({ topic: to, key, value });
  void tx.sendOffsets({ topic: from, partition, offset: nextOffset }, member);
  return await endOf(tx);
}

/**
 * What was not committed is handed out once more, to whoever has the partition by now. Others may have had it meanwhile, so
 * what counts is where the group stands, not where the batch began.
 */
async function rewind(reader: GroupReader, { partition, topic }: ReadBatch): Promise<void> {
  const [committed] = await reader.committed([{ topic, partition }]);
  const isMine = reader.assignment.some((it) => it.topic === topic && it.partition === partition);
  if (isMine) reader.seek({ topic, partition }, committed?.offset ?? "beginning");
}

/** Commits, or now and then aborts; resolves to whether it is committed. Rejects when nobody can know, or go on. */
async function endOf(tx: Transaction): Promise<boolean> {
  if (below(ABORTS) === 0) {
    await tx.flush();
    await tx.abort();
    return false;
  }
  for (;;) {
    try {
      await tx.commit();
      return true;
    } catch (error) {
      const { code, requiresAbort } = error as KafkaError;
      if (isFatal(error)) throw error;
      if (code === "COMMIT_UNKNOWN") continue;
      if (!requiresAbort) throw error;
      console.log(String(error));
      await tx.abort();
      return false;
    }
  }
}

/** Every offset of a topic is a record or the end of a transaction; prints those that are neither, and the ends. */
async function account({ brokers, from, partitions, security }: Step): Promise<void> {
  const all = new Reader({ brokers, ...security, isolation: "read_uncommitted", controlRecords: true });
  const committed = new Reader({ brokers, ...security });
  const places = Array.from({ length: partitions }, (_, partition) => (
    { topic: from, partition, start: "beginning" as const }
  ));
  const ends = await all.offsetsOf(places, "end");
  const stable = await committed.offsetsOf(places, "end");
  const left = new Map(ends.filter(({ offset }) => offset > 0n).map(({ partition, offset }) => [partition, offset]));
  const next = new Map<number, bigint>();
  const problems: string[] = [];
  let controls = 0;
  for (const { partition, offset } of stable) {
    const end = ends.find((it) => it.partition === partition)!.offset;
    if (offset !== end) problems.push(`${from}-${partition} is open at ${offset} of ${end}`);
  }
  all.assign(places.filter(({ partition }) => left.has(partition)));
  for await (const { nextOffset, partition, records } of all.batches()) {
    for (const { control, offset } of records) {
      if (offset !== (next.get(partition) ?? 0n)) {
        problems.push(`${from}-${partition}: ${offset} comes after ${(next.get(partition) ?? 0n) - 1n}`);
      }
      next.set(partition, offset + 1n);
      if (control !== undefined) controls += 1;
    }
    if (nextOffset >= (left.get(partition) ?? 0n)) left.delete(partition);
    if (left.size === 0) break;
  }
  for (const { partition, offset } of ends) {
    if ((next.get(partition) ?? 0n) !== offset) problems.push(`${from}-${partition} ends at ${offset}`);
  }
  await all.close();
  await committed.close();
  const total = ends.reduce((sum, { offset }) => sum + Number(offset), 0);
  console.log(JSON.stringify({ problems, offsets: total, controls }));
  process.exitCode = 0;
}
