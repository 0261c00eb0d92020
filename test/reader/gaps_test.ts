/** What a reader holds when something goes wrong with a part of it, and logs that were compacted: no record is lost. */
import assert from "node:assert/strict";
import { Fetch } from "../../src/protocol/messages/mod.ts";
import type { ResponseInputOf } from "../../src/protocol/schema.ts";
import { controlBatch } from "../../src/testing/storage/control_batch.ts";
import { dice } from "../stage.ts";
import { test } from "../harness.ts";
import { batchOf, type TestRecord } from "../testing/batches.ts";
import { groupStage, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };
const ONE = { topic: "orders", partition: 1 };
/** So that each answer brings one batch. */
const ONE_BATCH = { maxBytes: 1, maxPartitionBytes: 1 };

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));

/** Damages the records of partition 0 in the answer of a number. */
function damageOnly(answer: number): (body: ResponseInputOf<typeof Fetch>) => ResponseInputOf<typeof Fetch> {
  let answers = 0;
  return (body) => ({
    ...body,
    responses: body.responses.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((partition) => {
        const [bytes] = partition.records as Uint8Array[];
        if (partition.partitionIndex !== 0 || bytes === undefined || ++answers !== answer) return partition;
        const changed = bytes.slice();
        changed[70]! ^= 0xff;
        return { ...partition, records: [changed] };
      }),
    })),
  });
}

test("reader: what is on its way while a damaged batch is found isn't put in that one's place", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2);
  for (let i = 0; i < 4; i++) await fill(4, 4 * i);
  const it = reader(ONE_BATCH);
  cluster.control(Fetch, { transform: damageOnly(2) });
  it.assign([ZERO, ONE]);
  // Two batches of each are buffered, and the second one of partition 0 is damaged.
  await runtime.advance(2_000);
  cluster.control(Fetch, { answerDelayMs: 700 }, { times: 1 });
  const seen: string[] = [];
  const read = async (): Promise<void> => {
    for await (const { value } of it) {
      seen.push(textOf({ value }));
      if (seen.length === 16) break;
      await new Promise<void>((resolve) => runtime.setTimer(resolve, 200));
    }
  };
  await run(read());
  for (const parity of [0, 1]) {
    assert.deepEqual(
      seen.filter((text) => Number(text) % 2 === parity),
      numbers(0, 16).filter((_, i) => i % 2 === parity),
    );
  }
  await run(it.close());
});

test("reader: what is on its way while the buffer of a paused partition is dropped doesn't take the place of that", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2, { brokers: 2 });
  for (let i = 0; i < 4; i++) await fill(4, 4 * i);
  const it = reader({ ...ONE_BATCH, maxBufferedBytes: 100 });
  // The first batch of partition 0 is buffered, and the next one on its way, when one of partition 1 fills the buffer.
  const leader = cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId;
  let asked = 0;
  cluster.control(Fetch, (_, { brokerId }) => {
    if (brokerId !== leader) return { delayMs: 50 };
    return ++asked === 2 ? { answerDelayMs: 500 } : undefined;
  });
  it.assign([{ ...ZERO, start: "beginning" }, { ...ONE, start: "beginning" }]);
  await runtime.advance(200);
  assert.equal(asked, 2);
  it.pause([ZERO, ONE]);
  it.resume([]);
  await runtime.advance(2_000);
  it.resume([ZERO, ONE]);
  const seen: string[] = [];
  const read = async (): Promise<void> => {
    for await (const { value } of it) {
      seen.push(textOf({ value }));
      if (seen.length === 16) break;
    }
  };
  await run(read());
  assert.deepEqual(seen.sort((a, b) => Number(a) - Number(b)), numbers(0, 16));
  await run(it.close());
});

/** A batch as a compacted log has it. */
interface LogBatch {
  readonly first: bigint;
  readonly last: bigint;
  readonly bytes: Uint8Array;
}

/** An entry of the index that a broker keeps of aborted transactions. */
interface Aborted {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
}

/** A log that a broker could have after compaction, and what is committed in it. */
interface CompactedLog {
  readonly batches: LogBatch[];
  readonly aborted: Aborted[];
  readonly committed: string[];
  readonly all: string[];
  readonly lastStableOffset: bigint;
}

const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/** Three producers with transactions that overlap, records without one, and a cleaner that has taken out some of it. */
function compactedLog(roll: (limit: number) => number): CompactedLog {
  const log = { batches: [], aborted: [], committed: [], all: [] } as Omit<CompactedLog, "lastStableOffset">;
  const open = new Map<bigint, { readonly firstOffset: bigint; readonly texts: string[] }>();
  const left = new Set<string>();
  let end = 0n;
  const add = (bytes: Uint8Array, count: number): void => {
    new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(0, end);
    log.batches.push({ first: end, last: end + BigInt(count) - 1n, bytes });
    end += BigInt(count);
  };
  for (let step = 0; step < 30; step++) {
    const producerId = BigInt(1 + roll(3));
    const transaction = open.get(producerId);
    if (transaction !== undefined && roll(3) === 0) {
      const isCommit = roll(2) === 0;
      if (!isCommit) log.aborted.push({ producerId, firstOffset: transaction.firstOffset, lastOffset: end });
      for (const text of transaction.texts) if (!isCommit) left.add(text);
      open.delete(producerId);
      const marker = controlBatch({ producerId, producerEpoch: 0, isCommit, coordinatorEpoch: 0, timestampMs: 0 });
      // The cleaner leaves the header of a marker that it has taken out, if it was the producer's last batch.
      const isEmpty = isCommit && roll(4) === 0;
      const attributes = TRANSACTIONAL | CONTROL;
      add(isEmpty ? batchOf({ records: [], attributes, producerId, epoch: 0, lastOffsetDelta: 0 }) : marker.bytes, 1);
      continue;
    }
    const count = 1 + roll(4);
    const records: TestRecord[] = [];
    for (let offsetDelta = 0; offsetDelta < count; offsetDelta++) {
      if (roll(3) !== 0) records.push({ value: String(end + BigInt(offsetDelta)), offsetDelta });
    }
    const isTransactional = roll(4) !== 0;
    const stamp = isTransactional ? { attributes: TRANSACTIONAL, producerId, epoch: 0, sequence: 0 } : {};
    const texts = records.map(({ value }) => value!);
    log.all.push(...texts);
    if (isTransactional && transaction !== undefined) transaction.texts.push(...texts);
    else if (isTransactional) open.set(producerId, { firstOffset: end, texts });
    // Records without a transaction may stand between those of one.
    add(batchOf({ records, ...stamp, lastOffsetDelta: count - 1 }), count);
  }
  const lastStableOffset = [...open.values()].reduce((least, { firstOffset }) => (
    firstOffset < least ? firstOffset : least
  ), end);
  log.committed.push(...log.all.filter((text) => !left.has(text) && BigInt(text) < lastStableOffset));
  return { ...log, lastStableOffset };
}

test("reader: of overlapping transactions in a compacted log exactly what is committed is handed out, wherever answers are cut", async () => {
  let hidden = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { cluster, reader, run, runtime } = groupStage(1, {}, seed);
    const roll = dice(() => runtime.random());
    const { aborted, all, batches, committed, lastStableOffset } = compactedLog(roll);
    hidden += all.length - committed.length;
    cluster.control(Fetch, ({ isolationLevel, topics }) => {
      const { fetchOffset } = topics[0]!.partitions[0]!;
      const stable = isolationLevel === 1 ? lastStableOffset : 1n << 40n;
      const from = batches.findIndex(({ first, last }) => last >= fetchOffset && first < stable);
      const some = from < 0 ? [] : batches.slice(from, from + 1 + roll(6)).filter(({ first }) => first < stable);
      const before = some.at(-1)?.last ?? -1n;
      return {
        ...(some.length === 0 ? { delayMs: 100 } : {}),
        respond: {
          responses: [{
            ...{ topic: "orders", topicId: topics[0]!.topicId },
            partitions: [{
              ...{ partitionIndex: 0, errorCode: 0 },
              highWatermark: batches.at(-1)!.last + 1n,
              lastStableOffset,
              abortedTransactions: isolationLevel === 0 ? null : aborted
                .filter(({ firstOffset, lastOffset }) => lastOffset >= fetchOffset && firstOffset <= before)
                .map(({ firstOffset, producerId }) => ({ firstOffset, producerId })),
              records: some.map(({ bytes }) => bytes),
            }],
          }],
        },
      };
    });
    for (const isolation of ["read_committed", "read_uncommitted"] as const) {
      const wanted = isolation === "read_committed" ? committed : all;
      const end = isolation === "read_committed" ? lastStableOffset : batches.at(-1)!.last + 1n;
      for (const start of [0n, BigInt(roll(20)), BigInt(roll(40))]) {
        const it = reader({ isolation });
        it.assign([{ ...ZERO, start }]);
        const seen: string[] = [];
        const read = async (): Promise<void> => {
          // An iteration that is broken off is begun anew in the middle of what was fetched.
          for (let isOver = false; !isOver;) {
            isOver = true;
            for await (const { value } of it) {
              seen.push(textOf({ value }));
              isOver = roll(3) !== 0;
              if (!isOver) break;
            }
          }
        };
        const reading = read();
        await runtime.advance(2_000);
        if (start <= end) assert.equal(it.position(ZERO), end, `seed ${seed}, from ${start}`);
        await run(it.close());
        await run(reading);
        assert.deepEqual(seen, wanted.filter((text) => BigInt(text) >= start), `seed ${seed}, from ${start}`);
      }
    }
  }
  assert.ok(hidden > 100, String(hidden));
});
