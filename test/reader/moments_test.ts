/** Members of a group to whom two things happen at once, and listeners that fail or ask back. */
import assert from "node:assert/strict";
import { Heartbeat, JoinGroup, SyncGroup } from "../../src/protocol/messages/mod.ts";
import type { TopicPartition } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { groupStage, indexesOf, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

/** Listeners that write down what they are told. */
function listeners(told: string[]) {
  const tell = (how: string) => (places: readonly TopicPartition[]): void => void told.push(how + indexesOf(places));
  return { onAssigned: tell("+"), onRevoked: tell("-"), onLost: tell("!") };
}

for (const name of [undefined, "a"]) {
  const who = name === undefined ? "a member" : "a static member";
  test(`moments: a commit that is refused while ${who} joins anew costs it nothing of what it is given then`, async () => {
    const { cluster, failure, fill, member, run, runtime, until } = groupStage(1);
    await fill(1);
    const told: string[] = [];
    const one = member({ groupInstanceId: name, ...listeners(told) });
    await run(one.join());
    const group = cluster.groups.get("g")!;
    const before = one.groupMetadata().memberId!;
    // The coordinator knows the new member by its id before that does.
    cluster.control(JoinGroup, { answerDelayMs: 3_000 });
    group.leave(before, name ?? null);
    await until(() => group.members.length === 1);
    const { memberId } = group.members[0]!;
    assert.notEqual(memberId, before);
    const error = await failure(one.commit([{ ...ZERO, offset: 1n }]));
    assert.equal(error.code, "COMMIT_FAILED");
    assert.equal(one.groupMetadata().memberId, before, "it hasn't joined yet");
    await until(() => one.assignment.length === 1);
    await runtime.advance(10_000);
    assert.equal(one.groupMetadata().memberId, memberId);
    assert.deepEqual(told, ["+0", "!0", "+0"]);
    assert.equal(group.members.length, 1);
    await run(one.close());
  });
}

test("moments: a commit between a sync that has come to nothing and the next join costs nobody the partitions", async () => {
  const { cluster, fill, member, run, until } = groupStage(2);
  await fill(4);
  const told: string[] = [];
  const pauses = { retryBackoffMs: 4_000, retryBackoffMaxMs: 4_000 };
  const one = member({ heartbeatIntervalMs: 100, ...pauses, ...listeners(told) });
  await run(one.join());
  const { memberId } = one.groupMetadata();
  let refused = 0;
  cluster.control(SyncGroup, (request) => {
    if (request.memberId !== memberId) return undefined;
    refused += 1;
    return { error: 27 };
  }, { times: 1 });
  const two = member();
  const joining = two.join();
  await until(() => refused === 1);
  // The group is a generation ahead of what this member knows.
  await run(one.commit([{ ...ZERO, offset: 1n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  await run(joining);
  await until(() => one.assignment.length === 1 && two.assignment.length === 1);
  assert.deepEqual(told, ["+0,1", "-1"]);
  await run(two.close());
  await run(one.close());
});

test("moments: what was lost before a commit was called isn't committed in the name of the next generation", async () => {
  const { cluster, failure, fill, member, run, until } = groupStage(1);
  await fill(2);
  const one = member({ heartbeatIntervalMs: 100, retryBackoffMs: 5_000, retryBackoffMaxMs: 5_000 });
  await run(one.join());
  // What is nobody's goes to static members first.
  const two = member({ groupInstanceId: "a", heartbeatIntervalMs: 100 });
  await run(two.join());
  const { memberId } = one.groupMetadata();
  cluster.control(JoinGroup, (request) => request.memberId === memberId ? { answerDelayMs: 2_000 } : undefined);
  cluster.control(Heartbeat, (request) => request.memberId === memberId ? { error: 22 } : undefined, { times: 1 });
  const group = cluster.groups.get("g")!;
  await until(() => one.assignment.length === 0 && group.state === "CompletingRebalance");
  const late = one.commit([{ ...ZERO, offset: 1n }]);
  late.catch(() => {});
  await until(() => two.assignment.length === 1);
  await run(two.commit([{ ...ZERO, offset: 2n }]));
  assert.equal((await failure(late)).code, "COMMIT_FAILED");
  assert.equal(cluster.groups.committed("g", "orders", 0), 2n);
  await run(two.close());
  await run(one.close());
});

test("moments: whoever was dropped by its generation with a record in hand keeps nobody waiting", async () => {
  const { cluster, failure, fill, member, run, runtime, until } = groupStage(1);
  await fill(2);
  const told: string[] = [];
  const one = member(listeners(told));
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  const two = member();
  await run(two.join());
  assert.deepEqual(two.assignment, []);
  const { memberId } = one.groupMetadata();
  cluster.control(Heartbeat, (request) => request.memberId === memberId ? { error: 22 } : undefined, { times: 1 });
  await until(() => told.length === 2);
  // Sooner than its session would have ended.
  await runtime.advance(15_000);
  assert.deepEqual([told, indexesOf(two.assignment)], [["+0", "!0"], [0]]);
  assert.equal((await failure(one.commit())).code, "COMMIT_FAILED");
  const next = reading.next();
  await until(() => cluster.groups.get("g")!.members.length === 2);
  await run(two.close());
  assert.equal(textOf((await run(next)).value!), "0");
  await run(one.close());
});
