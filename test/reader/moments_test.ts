/** Members of a group to whom two things happen at once, and listeners that fail or ask back. */
import assert from "node:assert/strict";
import { TimeoutError } from "../../src/errors.ts";
import {
  Heartbeat,
  JoinGroup,
  LeaveGroup,
  OffsetCommit,
  OffsetFetch,
  SyncGroup,
} from "../../src/protocol/messages/mod.ts";
import type { TopicPartition } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { drain, groupStage, indexesOf, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

/** A promise, and what settles it. */
function gate(): { readonly opened: Promise<void>; open(): void; fail(error: unknown): void } {
  let open = (): void => {};
  let fail: (error: unknown) => void = () => {};
  const opened = new Promise<void>((resolve, reject) => [open, fail] = [resolve, reject]);
  return { opened, open: () => open(), fail: (error) => fail(error) };
}

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

  test(`moments: a commit that ${who} has not waited for, refused while it joins anew, has the group meet only once`, async () => {
    const { cluster, failure, fill, member, run, runtime, until } = groupStage(1);
    await fill(1);
    const told: string[] = [];
    const one = member({ groupInstanceId: name, heartbeatIntervalMs: 100, ...listeners(told) });
    const reading = one[Symbol.asyncIterator]();
    await run(reading.next());
    const group = cluster.groups.get("g")!;
    group.leave(one.groupMetadata().memberId!, name ?? null);
    await until(() => told.includes("!0"));
    // Its refusal comes before the answer to the join.
    cluster.control(OffsetCommit, { answerDelayMs: 1_000 });
    cluster.control(JoinGroup, { answerDelayMs: 3_000 });
    const { generationId } = group;
    const late = failure(one.commit());
    const next = reading.next();
    assert.equal((await late).code, "COMMIT_FAILED");
    assert.deepEqual(one.assignment, []);
    await run(next);
    await runtime.advance(10_000);
    assert.deepEqual([told, group.generationId], [["+0", "!0", "+0"], generationId + 1]);
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

test("moments: closing gives up by onRevoked what is still this member's, also when the group is about to meet again", async () => {
  const { cluster, member, run, runtime, until } = groupStage(2);
  const told: string[] = [];
  const { open, opened } = gate();
  const one = member({ heartbeatIntervalMs: 100, ...listeners(told), onAssigned: () => opened });
  one.join().catch(() => {});
  await until(() => cluster.groups.get("g")?.state === "Stable");
  const two = member();
  const joining = two.join();
  await until(() => cluster.groups.get("g")!.state === "PreparingRebalance");
  // Long enough to be told so by a heartbeat.
  await runtime.advance(1_000);
  const closing = one.close();
  open();
  await run(closing);
  assert.deepEqual(told, ["-0,1"]);
  await run(joining);
  await run(two.close());
});

test("moments: an iteration that begins as soon as a listener's error was told joins again", async () => {
  const { fill, member, run } = groupStage(1);
  await fill(1);
  const errors: string[] = [];
  const one = member({
    onAssigned: () => {
      if (errors.length === 0) throw new RangeError("Not this one.");
    },
    onLost: () => {},
  });
  const read = async (): Promise<string | undefined> => {
    while (errors.length < 10) {
      try {
        for await (const record of one) return textOf(record);
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
    return undefined;
  };
  assert.deepEqual([await run(read()), errors], ["0", ["Not this one."]]);
  await run(one.close());
});

test("moments: an error of ours that onAssigned rejects with ends the iteration as any other, and nothing stays unread", async () => {
  const { failure, fill, member, run } = groupStage(1);
  await fill(1);
  let fails = true;
  const late = new TimeoutError("Looking it up took too long.");
  const one = member({ onAssigned: () => fails ? Promise.reject(late) : undefined });
  assert.equal((await failure(one[Symbol.asyncIterator]().next())).message, late.message);
  fails = false;
  assert.equal(textOf((await run(one[Symbol.asyncIterator]().next())).value!), "0");
  await run(one.close());
});

test("moments: an error of ours that onRevoked rejects with ends the iteration as any other", async () => {
  const { failure, fill, member, run, until } = groupStage(2);
  await fill(2);
  const late = new TimeoutError("Committing took too long.");
  let fails = true;
  const one = member({ heartbeatIntervalMs: 100, onRevoked: () => fails ? Promise.reject(late) : undefined });
  const reading = one[Symbol.asyncIterator]();
  for (let i = 0; i < 2; i++) await run(reading.next());
  const two = member();
  const joining = two.join();
  assert.equal((await failure(reading.next())).message, late.message);
  fails = false;
  await run(joining);
  await run(one.join());
  await until(() => one.assignment.length === 1 && two.assignment.length === 1);
  await run(two.close());
  await run(one.close());
});

test("moments: closing tells what onRevoked rejects with that had begun before", async () => {
  const { fill, failure, member, run, runtime, until } = groupStage(1);
  await fill(1);
  const { fail, opened } = gate();
  let isGivingUp = false;
  const one = member({
    assignors: ["range"],
    onRevoked: () => {
      isGivingUp = true;
      return opened;
    },
  });
  await run(one.join());
  const two = member({ assignors: ["range"] });
  const joining = two.join();
  await until(() => isGivingUp);
  const closing = one.close();
  closing.catch(() => {});
  await runtime.advance(100);
  fail(new TimeoutError("Committing took too long."));
  assert.equal((await failure(closing)).message, "Committing took too long.");
  await run(joining);
  await run(two.close());
});

test("moments: join() by a listener doesn't wait for that listener", async () => {
  const { member, run } = groupStage(2);
  const seen: number[][] = [];
  const join = async (): Promise<void> => void seen.push(indexesOf(await one.join()));
  const one = member({ onAssigned: join, onRevoked: join });
  assert.deepEqual(indexesOf(await run(one.join())), [0, 1]);
  await run(one.close().catch(() => {}));
  assert.deepEqual(seen[0], [0, 1]);
});

test("moments: a caller that goes back to the same record again and again is there, for however long", async () => {
  const { fill, member, run, runtime } = groupStage(1);
  await fill(2);
  const told: string[] = [];
  const one = member({ maxWaitMs: 10, rebalanceTimeoutMs: 20_000, ...listeners(told) });
  let attempts = 0;
  const read = async (): Promise<void> => {
    for await (const { offset } of one) {
      await new Promise<void>((resolve) => runtime.setTimer(resolve, 7_100));
      if (++attempts === 8) return;
      one.seek(ZERO, offset);
    }
  };
  await run(read());
  assert.deepEqual(told, ["+0"]);
  await run(one.close());
});

test("moments: a connection to the coordinator that is dead and says nothing costs no membership while there is time for another one", async () => {
  const { cluster, member, run, runtime } = groupStage(1);
  const told: string[] = [];
  const one = member({ sessionTimeoutMs: 30_000, requestTimeoutMs: 10_000, ...listeners(told) });
  await run(one.join());
  const before = one.groupMetadata();
  cluster.control(Heartbeat, { silence: true }, { times: 1 });
  await runtime.advance(60_000);
  assert.deepEqual([told, one.groupMetadata()], [["+0"], before]);
  await run(one.close());
});

test("moments: offsets that a transaction has still open keep nobody out of the group, and no other partition unread", async () => {
  const { cluster, fill, member, run, runtime, transactional, until } = groupStage(2);
  await fill(2);
  const producer = transactional("t");
  const { open, opened } = gate();
  let isOpen = false;
  const transaction = producer.transaction(async (tx) => {
    await tx.sendOffsets({ ...ZERO, offset: 1n }, "g");
    isOpen = true;
    await opened;
  });
  await until(() => isOpen);
  const [one, two] = [member(), member()];
  const seen: string[] = [];
  drain(one, seen);
  await until(() => cluster.requestsOf(OffsetFetch).length > 2);
  drain(two, seen);
  await runtime.advance(20_000);
  const group = cluster.groups.get("g")!;
  assert.deepEqual([group.state, group.members.length, seen], ["Stable", 2, ["1"]]);
  open();
  await run(transaction);
  await fill(2, 2);
  await until(() => seen.length === 3);
  assert.deepEqual(seen.sort(), ["1", "2", "3"]);
  for (const each of [one, two, producer]) await run(each.close());
});

test("moments: of partitions that one can't begin with none is told as lost that nobody was told of", async () => {
  const { failure, member, reader, run } = groupStage(2);
  const it = reader();
  await run(it.commit("g", [{ ...ZERO, offset: 0n }]));
  const told: string[] = [];
  const one = member({ onMissingOffset: "fail", ...listeners(told) });
  assert.equal((await failure(one.join())).code, "NO_COMMITTED_OFFSET");
  assert.deepEqual(told, []);
  for (const each of [one, it]) await run(each.close());
});

for (
  const [how, error] of [["by its generation", 22], ["by its id", 25], ["for it was stuck", undefined]] as const
) {
  test(`moments: a static member that was dropped ${how} takes the name from nobody who has it meanwhile`, async () => {
    const { failure, fill, cluster, member, run, runtime, until } = groupStage(1);
    await fill(2);
    const told: string[] = [];
    const one = member({ groupInstanceId: "a", rebalanceTimeoutMs: 20_000, ...listeners(told) });
    const reading = one[Symbol.asyncIterator]();
    await run(reading.next());
    if (error !== undefined) cluster.control(Heartbeat, { error }, { times: 1 });
    await until(() => told.length === 2);
    const two = member({ groupInstanceId: "a" });
    await run(two.join());
    const { memberId } = two.groupMetadata();
    assert.equal((await failure(reading.next())).errorCode, 82);
    await runtime.advance(10_000);
    assert.deepEqual([two.groupMetadata().memberId, indexesOf(two.assignment)], [memberId, [0]]);
    for (const each of [one, two]) await run(each.close());
  });
}

for (const how of ["whose session is over", "that was stuck"]) {
  test(`moments: a static member ${how} reads on under its name when its caller is back`, async () => {
    const { cluster, fill, member, run, until } = groupStage(1);
    await fill(2);
    const told: string[] = [];
    const one = member({ groupInstanceId: "a", rebalanceTimeoutMs: 20_000, ...listeners(told) });
    const reading = one[Symbol.asyncIterator]();
    assert.equal(textOf((await run(reading.next())).value!), "0");
    const group = cluster.groups.get("g")!;
    if (how === "whose session is over") group.leave(one.groupMetadata().memberId!, "a");
    await until(() => told.length === 2);
    assert.equal(textOf((await run(reading.next())).value!), "0");
    assert.equal(textOf((await run(reading.next())).value!), "1");
    assert.deepEqual(told, ["+0", "!0", "+0"]);
    assert.deepEqual(group.members.map(({ groupInstanceId }) => groupInstanceId), ["a"]);
    await run(one.close());
  });
}

test("moments: a commit by onRevoked that is refused keeps close() no longer, also when the next generation was asked for", async () => {
  const { cluster, fill, member, run, runtime, until } = groupStage(2);
  await fill(2);
  let tookMs = 0;
  const one = member({
    heartbeatIntervalMs: 100,
    onRevoked: async () => {
      const beganMs = runtime.now();
      await one.commit([{ ...ZERO, offset: 1n }]).finally(() => tookMs = runtime.now() - beganMs);
    },
  });
  await run(one.join());
  const { memberId } = one.groupMetadata();
  // The coordinator is a generation ahead by then.
  cluster.control(JoinGroup, (request) => request.memberId === memberId ? { answerDelayMs: 20_000 } : undefined);
  const two = member();
  two.join().catch(() => {});
  await until(() => cluster.groups.get("g")!.state === "CompletingRebalance");
  await run(one.close().catch(() => {}));
  assert.ok(tookMs < 1_000, `It took ${tookMs} ms`);
  await run(two.close());
});

test("moments: a member that is dropped while onAssigned commits joins anew", async () => {
  const { cluster, fill, member, run } = groupStage(1);
  await fill(1);
  const told: string[] = [];
  let isFirst = true;
  const one = member({
    ...listeners(told),
    onAssigned: async () => {
      if (isFirst) cluster.groups.get("g")!.leave(one.groupMetadata().memberId!, null);
      isFirst = false;
      await one.commit([{ ...ZERO, offset: 0n }]);
      told.push("+0");
    },
  });
  assert.equal(textOf((await run(one[Symbol.asyncIterator]().next())).value!), "0");
  assert.deepEqual(told, ["!0", "+0"]);
  await run(one.close());
});

test("moments: a commit by onRevoked doesn't keep the error that ends the membership for long", async () => {
  const { cluster, failure, fill, member, run, runtime, until } = groupStage(2);
  await fill(2);
  let tookMs = 0;
  const one = member({
    heartbeatIntervalMs: 100,
    onRevoked: async () => {
      const beganMs = runtime.now();
      await one.commit([{ ...ZERO, offset: 1n }]).finally(() => tookMs = runtime.now() - beganMs);
    },
  });
  await run(one.join());
  const reading = one[Symbol.asyncIterator]();
  for (let i = 0; i < 2; i++) await run(reading.next());
  const { memberId } = one.groupMetadata();
  cluster.control(SyncGroup, (request) => request.memberId === memberId ? { error: 30 } : undefined, { times: 1 });
  const two = member();
  two.join().catch(() => {});
  assert.equal((await failure(reading.next())).errorCode, 30);
  await until(() => tookMs > 0 || one.assignment.length === 0);
  assert.ok(tookMs < 1_000, `It took ${tookMs} ms`);
  for (const each of [one, two]) await run(each.close());
});

test("moments: a caller that begins again whatever is thrown is told once of what onRevoked throws while the reader is closed", async () => {
  const { cluster, failure, fill, member, run, runtime, until } = groupStage(1);
  await fill(1);
  // It comes back while the member leaves.
  cluster.control(LeaveGroup, { answerDelayMs: 2_000 });
  const one = member({ onRevoked: () => Promise.reject(new RangeError("Not this one.")) });
  const seen: string[] = [];
  const errors: string[] = [];
  const read = async (): Promise<void> => {
    while (errors.length < 1_000) {
      try {
        for await (const record of one) {
          seen.push(textOf(record));
          await new Promise<void>((resolve) => runtime.setTimer(resolve, 500));
        }
        return;
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
  };
  const reading = read();
  await until(() => seen.length === 1);
  assert.equal((await failure(one.close())).message, "Not this one.");
  await run(reading);
  assert.deepEqual(errors, ["Not this one."]);
});

test("moments: closing tells what onRevoked rejects with, however long that takes", async () => {
  const { failure, member, run, runtime } = groupStage(1);
  let thrownMs = 0;
  const one = member({
    onRevoked: async () => {
      await new Promise<void>((resolve) => runtime.setTimer(resolve, 40_000));
      thrownMs = runtime.now();
      throw new RangeError("Not this one.");
    },
  });
  await run(one.join());
  const closing = failure(one.close()).then(({ message }) => [message, runtime.now()]);
  assert.deepEqual(await closing, ["Not this one.", thrownMs]);
});
