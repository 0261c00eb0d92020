/** What is in hand, on its way, or being committed when the group divides anew, or drops a member. */
import assert from "node:assert/strict";
import { OffsetCommit } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { groupStage, indexesOf, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

for (const assignor of ["range", "cooperative-sticky"] as const) {
  test(`rebalance: a commit without offsets that comes too late for a partition is refused, by ${assignor}`, async () => {
    const { cluster, failure, fill, member, run, until } = groupStage(2);
    await fill(4);
    const one = member({ assignors: [assignor], heartbeatIntervalMs: 100 });
    const reading = one[Symbol.asyncIterator]();
    for (let i = 0; i < 4; i++) await run(reading.next());
    const more = reading.next();
    // The coordinator sees it when the partitions have been divided anew.
    cluster.control(OffsetCommit, { delayMs: 3_000 }, { times: 1 });
    const committing = failure(one.commit());
    const two = member({ assignors: [assignor] });
    const joining = two.join();
    const error = await committing;
    assert.equal(error.code, "COMMIT_FAILED");
    assert.match(error.message, /nothing is committed/);
    assert.deepEqual([0, 1].map((index) => cluster.groups.committed("g", "orders", index)), [undefined, undefined]);
    await run(joining);
    await until(() => one.assignment.length === 1);
    await run(two.close());
    await run(one.close());
    await run(more);
  });
}

test("rebalance: a commit of what a member had in hand when it was dropped is refused, with and without offsets", async () => {
  const { cluster, failure, fill, member, run, until } = groupStage(1);
  await fill(2);
  const lost: number[] = [];
  const one = member({ onLost: (places) => void lost.push(...indexesOf(places)) });
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  const { memberId } = one.groupMetadata();
  const two = member({ heartbeatIntervalMs: 100 });
  cluster.groups.get("g")!.leave(memberId!, null);
  // The other one has come further meanwhile.
  await run(two.join());
  await until(() => two.assignment.length === 1);
  await run(two.commit([{ ...ZERO, offset: 2n }]));
  await until(() => lost.length === 1);
  // Long enough to have entered the group again.
  await until(() => cluster.groups.get("g")!.members.length === 2 || one.groupMetadata().memberId === memberId);
  for (const offsets of [undefined, [{ ...ZERO, offset: 1n }]]) {
    const error = await failure(one.commit(offsets));
    assert.equal(error.code, "COMMIT_FAILED");
  }
  assert.equal(cluster.groups.committed("g", "orders", 0), 2n);
  // The next record is one of the new generation, and what was handed out before is no longer in hand.
  await run(two.close());
  const next = reading.next();
  await until(() => one.assignment.length === 1);
  await run(one.commit());
  assert.equal(cluster.groups.committed("g", "orders", 0), 2n);
  await run(one.close());
  await run(next);
});

test("rebalance: whoever was dropped with a record in hand is known by its old generation until it comes back for more", async () => {
  const { cluster, failure, fill, member, run, runtime, transactional, until } = groupStage(1);
  await fill(2);
  let lost = 0;
  const one = member({ onLost: () => void lost++ });
  const reading = one[Symbol.asyncIterator]();
  const { value } = await run(reading.next());
  const before = one.groupMetadata();
  cluster.groups.get("g")!.leave(before.memberId!, null);
  await until(() => lost === 1);
  await runtime.advance(30_000);
  assert.deepEqual(one.groupMetadata(), before);
  const producer = transactional("t");
  const error = await failure(producer.transaction(async (tx) => {
    void tx.send({ topic: "out", value: textOf(value!) });
    await tx.sendOffsets({ ...ZERO, offset: 1n }, one.groupMetadata());
  }));
  assert.equal(error.errorCode, 25);
  assert.equal(cluster.groups.committed("g", "orders", 0), undefined);
  // It is handed out once more, and told of as lost before.
  assert.equal(textOf((await run(reading.next())).value!), "0");
  assert.notEqual(one.groupMetadata().memberId, before.memberId);
  await run(one.commit());
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  await run(producer.close());
  await run(one.close());
});

test("rebalance: of commits that overtake each other the last one that was called stands", async () => {
  for (const code of [14, 16, 27] as const) {
    const { cluster, fill, member, run } = groupStage(1);
    await fill(4);
    const one = member();
    const reading = one[Symbol.asyncIterator]();
    await run(reading.next());
    // The first is asked again after a pause, in which the second one gets through.
    cluster.control(OffsetCommit, { error: code }, { times: 1 });
    const first = one.commit();
    await run(reading.next());
    await run(reading.next());
    const second = one.commit();
    await run(Promise.all([first, second]));
    assert.equal(cluster.groups.committed("g", "orders", 0), 3n, String(code));
    await run(one.close());
  }
});

test("rebalance: of commits for a group by its name the last one that was called stands, and a failed one holds up nobody", async () => {
  const { cluster, failure, reader, run } = groupStage(1);
  const it = reader({ maxBlockMs: 5_000 });
  cluster.control(OffsetCommit, { error: 14 }, { times: 1 });
  await run(Promise.all([1n, 2n, 3n].map((offset) => it.commit("g", [{ ...ZERO, offset }]))));
  assert.equal(cluster.groups.committed("g", "orders", 0), 3n);
  const stop = cluster.control(OffsetCommit, { error: 14 });
  const late = failure(it.commit("g", [{ ...ZERO, offset: 4n }]));
  const next = it.commit("g", [{ ...ZERO, offset: 5n }]);
  next.catch(() => {});
  assert.equal((await late).name, "TimeoutError");
  stop();
  await run(it.commit("g", [{ ...ZERO, offset: 6n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 6n);
  await run(it.close());
});
