import assert from "node:assert/strict";
import { TransactionalProducer } from "../../mod.ts";
import { GroupReader, type ReadBatch } from "../../src/reader/mod.ts";
import { seededRandom } from "../../src/testing/doubles/random.ts";
import type { Release } from "../../src/testing/broker/release.ts";
import { dice } from "../stage.ts";
import { test } from "../harness.ts";
import { type GroupStage, groupStage, textOf } from "./group_stage.ts";

const RECORDS = 240;
const PARTITIONS = 4;

/** One instance of the pipeline: reads, transforms, and writes in transactions, until it is killed. */
function instance({ cluster, process }: GroupStage, name: string): { readonly errors: unknown[]; kill(): void } {
  const { kill, runtime } = process();
  const brokers = cluster.bootstrap;
  const reader = new GroupReader(
    {
      brokers,
      groupId: "etl",
      topics: ["orders"],
      sessionTimeoutMs: 6_000,
      heartbeatIntervalMs: 1_000,
      maxPartitionBytes: 200,
    },
    runtime,
  );
  const producer = new TransactionalProducer({ brokers, transactionalId: name, transactionTimeoutMs: 20_000 }, runtime);
  const errors: unknown[] = [];
  const work = async ({ nextOffset, partition, records, topic }: ReadBatch): Promise<void> => {
    await producer.transaction(async (tx) => {
      for (const record of records) {
        void tx.send({ topic: "out", partition: partition % 2, key: String(partition), value: textOf(record) });
      }
      await tx.sendOffsets({ topic, partition, offset: nextOffset }, reader.groupMetadata());
    });
  };
  (async () => {
    for await (const batch of reader.batches()) {
      try {
        await work(batch);
      } catch (error) {
        errors.push(error);
        // What was aborted is read again from where the group has committed.
        const place = { topic: batch.topic, partition: batch.partition };
        const [committed] = await reader.committed([place]);
        if (reader.assignment.some(({ partition }) => partition === place.partition)) {
          reader.seek(place, committed?.offset ?? "beginning");
        }
      }
    }
  })().catch((error) => errors.push(error));
  return { errors, kill };
}

async function readBack(set: GroupStage): Promise<{ readonly texts: Map<number, string[]>; readonly gaps: number }> {
  const { cluster, reader, run } = set;
  const texts = new Map<number, string[]>();
  let gaps = 0;
  for (const partition of [0, 1]) {
    const it = reader({ controlRecords: true });
    const place = { topic: "out", partition };
    it.assign([{ ...place, start: "beginning" }]);
    const end = cluster.endOffset("out", partition);
    for (const record of await run(take(it, end))) {
      if (record.control !== undefined) continue;
      const key = Number(new TextDecoder().decode(record.key!));
      texts.set(key, [...texts.get(key) ?? [], textOf(record)]);
    }
    assert.equal(it.position(place), end);
    await run(it.close());
  }
  // And once more with everything: aborted records and control records fill every offset.
  for (const partition of [0, 1]) {
    const it = reader({ controlRecords: true, isolation: "read_uncommitted" });
    it.assign([{ topic: "out", partition, start: "beginning" }]);
    let expected = 0n;
    for (const { offset } of await run(take(it, cluster.endOffset("out", partition)))) {
      if (offset !== expected) gaps += 1;
      expected = offset + 1n;
    }
    await run(it.close());
  }
  return { texts, gaps };
}

async function take(reader: ReturnType<GroupStage["reader"]>, end: bigint): Promise<ReadBatch["records"][number][]> {
  const records: ReadBatch["records"][number][] = [];
  if (end === 0n) return records;
  for await (const batch of reader.batches()) {
    records.push(...batch.records);
    if (batch.nextOffset >= end) break;
  }
  return records;
}

for (const release of ["3.9", "4.1"] as Release[]) {
  for (const seed of [1, 2, 3]) {
    test(`exactly once: two members that are killed and started again write every record once, seed ${seed} on ${release}`, async () => {
      const set = groupStage(PARTITIONS, { release, brokers: 3 }, seed);
      const { cluster, fill, runtime, until } = set;
      const roll = dice(seededRandom(seed));
      const names = ["etl-0", "etl-1"];
      const running = names.map((name) => instance(set, name));
      const committed = (): bigint =>
        [0, 1, 2, 3].reduce((sum, index) => sum + (cluster.groups.committed("etl", "orders", index) ?? 0n), 0n);
      for (let round = 0; round < 8; round++) {
        await fill(RECORDS / 8, round * (RECORDS / 8));
        await runtime.advance(roll(3_000));
        const victim = roll(2);
        running[victim]!.kill();
        await runtime.advance(roll(12_000));
        running[victim] = instance(set, names[victim]!);
        if (roll(3) === 0) cluster.moveCoordinator("group", "etl", 1 + roll(3));
      }
      await until(() => committed() === BigInt(RECORDS));
      await runtime.advance(60_000);
      const { gaps, texts } = await readBack(set);
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const wanted = Array.from({ length: RECORDS / PARTITIONS }, (_, i) => String(i * PARTITIONS + partition));
        assert.deepEqual(texts.get(partition), wanted, `partition ${partition}`);
      }
      assert.equal(gaps, 0);
      for (const { kill } of running) kill();
    });
  }
}

test("exactly once: a member that the group has gone on without commits nothing, whatever it has in hand", async () => {
  const set = groupStage(1);
  const { cluster, failure, fill, member, run, transactional, until } = set;
  await fill(1);
  const [one, producer] = [member(), transactional("t")];
  const records = one[Symbol.asyncIterator]();
  const { value } = await run(records.next());
  const group = one.groupMetadata();
  cluster.groups.get("g")!.leave(group.memberId!, null);
  await until(() => one.assignment.length === 0 || one.groupMetadata().memberId !== group.memberId);
  const error = await failure(producer.transaction(async (tx) => {
    void tx.send({ topic: "out", value: textOf(value!) });
    await tx.sendOffsets({ topic: "orders", partition: 0, offset: 1n }, group);
  }));
  assert.equal(error.errorCode, 25);
  assert.equal(cluster.groups.committed("g", "orders", 0), undefined);
  await run(producer.close());
  await run(one.close());
});
