/** Commits of which a part can't be made. */
import assert from "node:assert/strict";
import { Metadata, OffsetCommit } from "../../src/protocol/messages/mod.ts";
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
