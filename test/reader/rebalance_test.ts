/** What is in hand, on its way, or being committed when the group divides anew, or drops a member. */
import assert from "node:assert/strict";
import { Fetch, FindCoordinator, Heartbeat, OffsetCommit } from "../../src/protocol/messages/mod.ts";
import { GroupReader, type TopicPartition } from "../../src/reader/mod.ts";
import type { Runtime, Timer } from "../../src/runtime/runtime.ts";
import { test } from "../harness.ts";
import { dice } from "../stage.ts";
import { drain, groupStage, indexesOf, textOf } from "./group_stage.ts";

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

test("rebalance: a join() beside something lost in hand waits for nobody who may be waiting for it, and joins when the caller is back", async () => {
  const { cluster, failure, fill, member, run, until } = groupStage(1);
  await fill(2);
  let lost = 0;
  const one = member({ onLost: () => void lost++ });
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  cluster.groups.get("g")!.leave(one.groupMetadata().memberId!, null);
  await until(() => lost === 1);
  const error = await failure(one.join());
  assert.equal(error.code, "NOT_IN_GROUP");
  const next = reading.next();
  assert.equal((await run(one.join())).length, 1);
  assert.equal(textOf((await run(next)).value!), "0");
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

test("rebalance: of a commit that is refused nothing is committed, by an earlier one that is asked again neither", async () => {
  const { cluster, failure, fill, member, reader, run, until } = groupStage(2);
  await fill(8);
  const one = member({ heartbeatIntervalMs: 100, retryBackoffMs: 10_000, retryBackoffMaxMs: 10_000 });
  await run(one.join());
  await until(() => one.assignment.length === 2);
  // All three are asked again when one of the partitions has gone to somebody else.
  cluster.control(OffsetCommit, { error: 27 }, { times: 3 });
  const early = [0, 1].map((partition) => one.commit([{ topic: "orders", partition, offset: 1n }]));
  const ended = Promise.allSettled([
    ...early,
    one.commit([0, 1].map((partition) => ({ ...ZERO, partition, offset: 2n }))),
  ]);
  const two = member();
  await run(two.join());
  await until(() => one.assignment.length === 1 && two.assignment.length === 1);
  const [first, second, both] = await run(ended);
  assert.equal((both as PromiseRejectedResult).reason.code, "COMMIT_FAILED");
  assert.deepEqual([first, second].map((each) => each!.status).sort(), ["fulfilled", "rejected"]);
  const [{ partition: kept }] = one.assignment as [TopicPartition];
  assert.equal(cluster.groups.committed("g", "orders", kept), 1n);
  assert.equal(cluster.groups.committed("g", "orders", 1 - kept), undefined);
  // Neither does one in the name of a generation that is over.
  const it = reader();
  const [place] = one.assignment as [TopicPartition];
  cluster.control(OffsetCommit, { error: 14 }, { times: 1 });
  const valid = it.commit(one.groupMetadata(), [{ ...place, offset: 1n }]);
  valid.catch(() => {});
  const stale = await failure(it.commit({ ...one.groupMetadata(), generationId: 99 }, [{ ...place, offset: 2n }]));
  assert.equal(stale.errorCode, 22);
  await run(valid);
  assert.equal(cluster.groups.committed("g", "orders", kept), 1n);
  await run(it.close());
  await run(two.close());
  await run(one.close());
});

test("rebalance: a smaller offset that is committed on purpose stands, also behind a larger one that is asked again", async () => {
  for (const code of [14, 27]) {
    const { cluster, member, run } = groupStage(1);
    const one = member();
    await run(one.join());
    cluster.control(OffsetCommit, { error: code }, { times: 1 });
    await run(Promise.all([10n, 3n].map((offset) => one.commit([{ ...ZERO, offset }]))));
    assert.equal(cluster.groups.committed("g", "orders", 0), 3n, String(code));
    await run(one.commit([{ ...ZERO, offset: 10n }]));
    await run(one.commit([{ ...ZERO, offset: 2n }]));
    assert.equal(cluster.groups.committed("g", "orders", 0), 2n, String(code));
    await run(one.close());
  }
});

test("rebalance: a commit whose time was up before there was a coordinator is not sent later", async () => {
  const { cluster, failure, reader, run, runtime } = groupStage(1);
  const it = reader({ maxBlockMs: 5_000 });
  cluster.control(FindCoordinator, { answerDelayMs: 8_000 }, { times: 1 });
  const error = await failure(it.commit("g", [{ ...ZERO, offset: 4n }]));
  assert.equal(error.name, "TimeoutError");
  await runtime.advance(20_000);
  assert.equal(cluster.groups.committed("g", "orders", 0), undefined);
  await run(it.commit("g", [{ ...ZERO, offset: 5n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 5n);
  await run(it.close());
});

for (const assignor of ["range", "cooperative-sticky"] as const) {
  test(`rebalance: with fetches on their way and records buffered nothing is handed out once onRevoked was called, and none is lost, by ${assignor}`, async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { cluster, fill, member, run, runtime, until } = groupStage(4, {}, seed);
      for (let from = 0; from < 160; from += 8) await fill(8, from);
      const roll = dice(() => runtime.random());
      cluster.control(Fetch, () => ({ answerDelayMs: roll(100) }));
      cluster.control(OffsetCommit, { delayMs: 100 });
      const handedOut = new Map<string, number>();
      const start = async (
        name: string,
      ): Promise<{ readonly close: () => Promise<void>; readonly it: GroupReader }> => {
        const mine = new Set<number>();
        const positions = new Map<number, bigint>();
        const told = async (places: readonly TopicPartition[]): Promise<void> => {
          for (const { partition } of places) {
            assert.ok(mine.delete(partition), `${name} was never told of ${partition}`);
            positions.delete(partition);
          }
          await it.commit();
        };
        const it: GroupReader = member({
          assignors: [assignor],
          ...{ maxPartitionBytes: 1, heartbeatIntervalMs: 100 },
          onAssigned: (places) => {
            for (const { partition } of places) {
              mine.add(partition);
              positions.set(partition, cluster.groups.committed("g", "orders", partition) ?? 0n);
            }
          },
          onRevoked: told,
          onLost: () => assert.fail("Nothing is lost here"),
        });
        const errors: unknown[] = [];
        const reading = (async () => {
          for await (const record of it) {
            const { offset, partition } = record;
            assert.ok(mine.has(partition), `${name} was handed out ${partition} after it was revoked`);
            assert.equal(offset, positions.get(partition), `${name} stands elsewhere in ${partition}`);
            positions.set(partition, offset + 1n);
            const text = textOf(record);
            handedOut.set(text, (handedOut.get(text) ?? 0) + 1);
            await new Promise<void>((resolve) => runtime.setTimer(resolve, roll(60)));
          }
        })().catch((error) => errors.push(error));
        await run(it.join());
        const close = async (): Promise<void> => {
          await run(it.close());
          await run(reading);
          assert.deepEqual(errors, [], `seed ${seed}`);
        };
        return { close, it };
      };
      const one = await start("one");
      for (let round = 0; round < 3; round++) {
        await runtime.advance(roll(700));
        const two = await start("two");
        await runtime.advance(roll(700));
        await two.close();
      }
      await until(() => handedOut.size === 160);
      await one.close();
      assert.equal([...handedOut.values()].every((times) => times === 1), true, `seed ${seed}`);
      assert.equal([0, 1, 2, 3].every((index) => cluster.groups.committed("g", "orders", index) === 40n), true);
    }
  });
}

/** The runtime of a process that is stopped and goes on later: the timers that fell due first, then the network. */
function stoppable(runtime: Runtime): { readonly runtime: Runtime; stop(): void; goOn(): void } {
  let isStopped = false;
  const timers: (() => void)[] = [];
  const network: (() => void)[] = [];
  const gate = <A extends unknown[]>(queue: (() => void)[], callback: (...args: A) => void) => (...args: A): void => {
    if (isStopped) queue.push(() => callback(...args));
    else callback(...args);
  };
  const setTimer = (callback: () => void, delayMs: number): Timer => {
    let isCancelled = false;
    const timer = runtime.setTimer(gate(timers, () => isCancelled || callback()), delayMs);
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  };
  return {
    runtime: {
      name: runtime.name,
      sockets: {
        ...runtime.sockets,
        connect: (options, events) =>
          runtime.sockets.connect(options, {
            // The bytes are borrowed.
            onData: (chunk) => gate(network, (kept: Uint8Array) => events.onData(kept))(chunk.slice()),
            onClose: gate(network, (error?: Error) => events.onClose(error)),
          }),
      },
      now: () => runtime.now(),
      wallNow: () => runtime.wallNow(),
      setTimer,
      defer: (callback) => runtime.defer(gate(network, callback)),
      random: () => runtime.random(),
    },
    stop: () => isStopped = true,
    goOn: () => {
      isStopped = false;
      for (const queue of [timers, network]) for (const call of queue.splice(0)) call();
    },
  };
}

for (const has of ["something", "nothing"] as const) {
  test(`rebalance: a member with ${has} buffered that stood still for longer than its session is told of what is lost before it reads on elsewhere`, async () => {
    const { cluster, fill, member, run, runtime, until } = groupStage(2);
    const process = stoppable(runtime);
    const events: string[] = [];
    const one = new GroupReader({
      ...{ brokers: cluster.bootstrap, groupId: "g", topics: ["orders"], sessionTimeoutMs: 6_000 },
      ...{ heartbeatIntervalMs: 1_000, maxPartitionBytes: 1 },
      onAssigned: (places) => void events.push(`+${indexesOf(places)}`),
      onRevoked: (places) => void events.push(`-${indexesOf(places)}`),
      onLost: (places) => void events.push(`!${indexesOf(places)}`),
    }, process.runtime);
    for (let from = 0; from < 8; from += 2) await fill(2, from);
    const refused: unknown[] = [];
    let release = (): void => {};
    const reading = (async () => {
      for await (const record of one) {
        events.push(textOf(record));
        if (has === "something" && events.length === 3) await new Promise<void>((resolve) => release = resolve);
        await one.commit().catch((error) => refused.push(error.code));
      }
    })();
    const begun = has === "something" ? 3 : 9;
    await until(() => events.length === begun);
    await runtime.advance(500);
    const { memberId } = one.groupMetadata();
    process.stop();
    await runtime.advance(20_000);
    assert.equal(cluster.groups.get("g")!.hasNobody, true, "its session is over");
    const two = member();
    await run(two.join());
    const seen: string[] = [];
    drain(two, seen);
    await fill(4, 100);
    await until(() => seen.length === (has === "something" ? 11 : 4));
    await run(two.commit());
    process.goOn();
    release();
    await until(() => two.assignment.length === 1 && one.assignment.length === 1);
    assert.notEqual(one.groupMetadata().memberId, memberId);
    await fill(4, 200);
    const isLate = (text: string): boolean => /^20\d/.test(text);
    await until(() => [...seen, ...events].filter(isLate).length === 4);
    const later = events.slice(begun);
    // What it hands out between going on and finding out was in its buffer.
    const told = later.findIndex((text) => text === "!0,1");
    assert.ok(told >= 0 && later.slice(0, told).every((text) => Number(text) < 8), later.join());
    assert.match(later[told + 1]!, /^\+[01]$/);
    assert.ok(later.slice(told + 2).every(isLate), later.join());
    assert.ok(refused.every((code) => code === "COMMIT_FAILED"));
    assert.equal(refused.length > 0, has === "something");
    await run(one.close());
    await run(reading);
    await run(two.close());
  });
}

test("rebalance: the wall clock jumping changes nothing of a member", async () => {
  const { cluster, fill, run, runtime, until } = groupStage(1);
  let jumpMs = 0;
  const told: string[] = [];
  const jumping = {
    ...{ name: runtime.name, sockets: runtime.sockets },
    now: () => runtime.now(),
    wallNow: () => runtime.wallNow() + jumpMs,
    setTimer: (callback: () => void, delayMs: number) => runtime.setTimer(callback, delayMs),
    defer: (callback: () => void) => runtime.defer(callback),
    random: () => runtime.random(),
  };
  const one = new GroupReader({
    ...{ brokers: cluster.bootstrap, groupId: "g", topics: ["orders"] },
    onRevoked: () => void told.push("revoked"),
    onTrouble: (trouble) => void told.push(String(trouble?.code)),
  }, jumping);
  const seen: string[] = [];
  const jumps = [-1e12, 1e12, -1e11, 3e7, 0];
  drain(one, seen, async (text) => {
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 7_000));
    // With a record in hand.
    jumpMs = jumps[Number(text)]!;
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 7_000));
  });
  await run(one.join());
  const before = one.groupMetadata();
  for (const [round, ms] of jumps.entries()) {
    await fill(1, round);
    await until(() => seen.length === round + 1);
    await run(one.commit());
    cluster.clearRequests();
    await runtime.advance(30_000);
    const beats = cluster.requestsOf(Heartbeat).length;
    assert.ok(beats >= 9 && beats <= 10, `${beats} heartbeats in 30 s, ${ms} ms off`);
  }
  assert.deepEqual([told, one.groupMetadata()], [[], before]);
  await run(one.close());
});
