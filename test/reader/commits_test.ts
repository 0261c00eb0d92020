/** Commits of which a part can't be made. */
import assert from "node:assert/strict";
import { Metadata, OffsetCommit } from "../../src/protocol/messages/mod.ts";
import type { ReaderOptions } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { groupStage } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };
const OUT = { topic: "out", partition: 0 };

test("commits: when one topic of several was deleted the others are committed, and the call says at once which isn't there", async () => {
  const { cluster, failure, fill, member, reader, run, runtime } = groupStage(1);
  await fill(3);
  const one = member({ topics: ["out", "orders"] });
  await run(one.join());
  await run(one[Symbol.asyncIterator]().next());
  cluster.deleteTopic("out");
  const fromMs = runtime.now();
  const error = await failure(one.commit());
  assert.deepEqual([error.code, error.topic, error.partition], ["UNKNOWN_TOPIC_OR_PARTITION", "out", 0]);
  assert.match(error.message, /"out" partition 0 isn't there.*all others of the call are/);
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  assert.ok(runtime.now() - fromMs < 5_000, `It took ${runtime.now() - fromMs} ms`);
  const it = reader();
  const beyond = await failure(it.commit("h", [{ ...ZERO, partition: 7, offset: 1n }, { ...ZERO, offset: 2n }]));
  assert.deepEqual([beyond.topic, beyond.partition], ["orders", 7]);
  assert.equal(cluster.groups.committed("h", "orders", 0), 2n);
  for (const each of [one, it]) await run(each.close());
});

test("commits: a topic that the coordinator doesn't know yet is waited for, as long as the metadata knows it", async () => {
  const { cluster, reader, run } = groupStage(1);
  const it = reader();
  cluster.control(OffsetCommit, { error: 3 }, { times: 5 });
  await run(it.commit("g", [{ ...ZERO, offset: 1n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  // And the other way round.
  cluster.control(OffsetCommit, { error: 3 }, { times: 2 });
  cluster.control(Metadata, {
    transform: (body) => ({ ...body, topics: body.topics.map((each) => ({ ...each, errorCode: 3, partitions: [] })) }),
  }, { times: 2 });
  await run(it.commit("g", [{ ...ZERO, offset: 2n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 2n);
  await run(it.close());
});

test("commits: what is said of a deleted topic hides nothing of what is said of the group", async () => {
  const { cluster, failure, member, reader, run, runtime } = groupStage(1);
  const one = member();
  await run(one.join());
  cluster.deleteTopic("out");
  const it = reader();
  const stale = { ...one.groupMetadata(), generationId: 99 };
  const fromMs = runtime.now();
  const error = await failure(it.commit(stale, [{ ...OUT, offset: 1n }, { ...ZERO, offset: 2n }]));
  assert.deepEqual([error.code, error.topic], ["ILLEGAL_GENERATION", "orders"]);
  assert.ok(runtime.now() - fromMs < 1_000, `It took ${runtime.now() - fromMs} ms`);
  for (const each of [one, it]) await run(each.close());
});

test("commits: an earlier commit that is asked again sets back nothing of a later one that got through for the most part", async () => {
  const { cluster, failure, reader, run, runtime } = groupStage(1);
  const it = reader({ retryBackoffMs: 1_000, retryBackoffMaxMs: 1_000 });
  await run(it.commit("g", [{ ...ZERO, offset: 1n }]));
  cluster.deleteTopic("out");
  // It is asked again for longer than the later one is.
  cluster.control(OffsetCommit, ({ topics }) => {
    return topics[0]!.partitions[0]!.committedOffset === 5n ? { error: 14 } : undefined;
  }, { times: 10 });
  const early = it.commit("g", [{ ...ZERO, offset: 5n }]);
  await runtime.advance(100);
  const late = it.commit("g", [{ ...OUT, offset: 1n }, { ...ZERO, offset: 9n }]);
  late.catch(() => {});
  await run(early);
  assert.equal((await failure(late)).topic, "out");
  assert.equal(cluster.groups.committed("g", "orders", 0), 9n);
  await run(it.close());
});

const REPLICATED = { brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 2 } } };

/** A topic of which records 10 to 19 were written by a leader alone, that has read them all, and that is gone. */
async function lostTail(how: Partial<ReaderOptions> = {}) {
  const staged = groupStage(1, REPLICATED);
  const { cluster, fill } = staged;
  await fill(10);
  const leader = cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId;
  // A first election, after which records of two epochs lie in the log.
  cluster.electLeader("orders", 0, 3 - leader);
  cluster.setIsr("orders", 0, [3 - leader]);
  await fill(10, 10);
  const lose = async (): Promise<void> => {
    cluster.electLeader("orders", 0, leader, { unclean: true });
    await fill(20, 100);
  };
  const readers = { onMissingOffset: "fail", ...how } as const;
  return { ...staged, lose, readers };
}

test("commits: whoever goes on where a group has committed finds out that what was read before is lost, also behind it", async () => {
  const { cluster, failure, lose, member, readers, run } = await lostTail();
  const one = member({ onMissingOffset: "beginning" });
  const batches = one.batches();
  for (let count = 0; count < 20;) count += (await run(batches.next())).value!.records.length;
  await run(one.commit());
  assert.deepEqual(await run(one.committed()), [{ ...ZERO, offset: 20n, leaderEpoch: 1 }]);
  // An offset that is passed is committed with what is known of the record before it.
  await run(one.commit([{ ...ZERO, offset: 10n }]));
  assert.deepEqual(await run(one.committed()), [{ ...ZERO, offset: 10n, leaderEpoch: 0 }]);
  await run(one.commit([{ ...ZERO, offset: 11n }]));
  assert.deepEqual(await run(one.committed()), [{ ...ZERO, offset: 11n, leaderEpoch: 1 }]);
  // What it hasn't read it knows nothing of.
  await run(one.commit([{ ...ZERO, offset: 21n }]));
  assert.deepEqual(await run(one.committed()), [{ ...ZERO, offset: 21n }]);
  await run(one.commit([{ ...ZERO, offset: 20n, leaderEpoch: 1 }]));
  await run(one.close());
  await lose();
  const next = member(readers);
  const error = await failure(next[Symbol.asyncIterator]().next());
  assert.equal(error.code, "LOG_TRUNCATED");
  assert.match(error.message, /cut off at offset 10, the position is 20/);
  assert.equal(cluster.groups.committed("g", "orders", 0), 20n);
  await run(next.close());
});

test("commits: a reader that is assigned what committed() returns goes on at the end of what is left", async () => {
  const { lose, reader, readers, run } = await lostTail({ onMissingOffset: "beginning" });
  const one = reader(readers);
  one.assign([{ ...ZERO, start: "beginning" }]);
  const batches = one.batches();
  for (let count = 0; count < 20;) count += (await run(batches.next())).value!.records.length;
  await run(one.commit("h"));
  await run(one.close());
  await lose();
  const next = reader(readers);
  const places = await run(next.committed("h", [ZERO]));
  next.assign(places.map(({ offset, ...place }) => ({ ...place, start: offset })));
  const { value } = await run(next[Symbol.asyncIterator]().next());
  assert.equal(value!.offset, 10n);
  // And one that is sent there later.
  next.assign(places.map(({ offset, ...place }) => ({ ...place, start: offset })));
  const again = await run(next[Symbol.asyncIterator]().next());
  assert.equal(again.value!.offset, 10n);
  // It goes by what it reads now.
  await run(next.commit("h"));
  assert.deepEqual(await run(next.committed("h", [ZERO])), [{ ...ZERO, offset: 11n, leaderEpoch: 2 }]);
  await run(next.close());
});

test("commits: offsets of a transaction keep the epoch of the leader, and epochs that are none are refused", async () => {
  const { failure, fill, reader, run, transactional } = groupStage(1);
  await fill(1);
  const producer = transactional("t");
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  const { topic, partition, nextOffset: offset, leaderEpoch } = (await run(it.batches().next())).value!;
  assert.equal(leaderEpoch, 0);
  const tx = await run(producer.begin());
  await run(tx.sendOffsets({ topic, partition, offset, leaderEpoch: 7 }, "g"));
  await run(tx.commit());
  assert.deepEqual(await run(it.committed("g", [ZERO])), [{ ...ZERO, offset: 1n, leaderEpoch: 7 }]);
  const second = await run(producer.begin());
  await run(second.sendOffsets({ ...ZERO, offset: 2n }, "g"));
  await run(second.commit());
  assert.deepEqual(await run(it.committed("g", [ZERO])), [{ ...ZERO, offset: 2n }]);
  for (const epoch of [1.5, -2, "1", null, 2 ** 31] as never[]) {
    const third = await run(producer.begin());
    const refused = await failure(third.sendOffsets({ ...ZERO, offset: 2n, leaderEpoch: epoch }, "g"));
    assert.match(refused.message, /Give "leaderEpoch" as a whole number/);
    await run(third.abort());
    assert.match(
      (await failure(it.commit("g", [{ ...ZERO, offset: 2n, leaderEpoch: epoch }]))).message,
      /"leaderEpoch"/,
    );
    assert.throws(() => it.assign([{ ...ZERO, start: 2n, leaderEpoch: epoch }]), /"leaderEpoch"/);
  }
  for (const each of [producer, it]) await run(each.close());
});
