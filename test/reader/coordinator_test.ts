/** Coordinators that move at the worst moment, that nobody knows yet, or that are never there. */
import assert from "node:assert/strict";
import {
  FindCoordinator,
  Heartbeat,
  JoinGroup,
  Metadata,
  OffsetCommit,
  OffsetFetch,
  SyncGroup,
} from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { drain, groupStage } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };
const APIS = [FindCoordinator, JoinGroup, SyncGroup, Heartbeat, OffsetFetch, OffsetCommit] as unknown as (
  typeof Heartbeat
)[];

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));

for (const api of APIS) {
  test(`coordinator: it moves each time before ${api.name} is served, and members lose nothing and read nothing twice`, async () => {
    const { cluster, fill, member, run, runtime, until } = groupStage(4, { brokers: 3 });
    let moves = 0;
    const move = (): void => {
      moves++;
      cluster.moveCoordinator("group", "g", 1 + cluster.coordinators.find("group", "g")!.id % 3);
    };
    cluster.control(api, () => {
      if (moves < 6) move();
      return undefined;
    });
    const told: string[] = [];
    const onLost = (): void => void told.push("lost");
    const [one, two] = [member({ onLost }), member({ onLost })];
    const seen: string[] = [];
    drain(one, seen);
    drain(two, seen);
    await until(() => one.assignment.length === 2 && two.assignment.length === 2);
    await fill(8);
    await until(() => seen.length === 8);
    await run(Promise.all([one.commit(), two.commit()]));
    await runtime.advance(30_000);
    assert.ok(moves >= 6, `It has moved ${moves} times`);
    await fill(8, 8);
    await until(() => seen.length === 16);
    await run(one.commit());
    await run(two.commit());
    assert.deepEqual([...seen].sort((a, b) => Number(a) - Number(b)), numbers(0, 16));
    assert.deepEqual([0, 1, 2, 3].map((index) => cluster.groups.committed("g", "orders", index)), [4n, 4n, 4n, 4n]);
    assert.deepEqual(told, []);
    assert.deepEqual(cluster.failures, []);
    await run(one.close());
    await run(two.close());
  });
}

for (const api of APIS) {
  for (const code of [14, 15, 16]) {
    test(`coordinator: ${code} to ${api.name} for ever is asked ever more slowly, and calls end`, async () => {
      const { cluster, failure, fill, member, run, runtime } = groupStage(1);
      await fill(2);
      const troubles: (string | null)[] = [];
      const one = member({ maxBlockMs: 5_000, onTrouble: (trouble) => void troubles.push(trouble && trouble.code) });
      const isJoined = api.name === "OffsetCommit" || api.name === "Heartbeat";
      if (isJoined) {
        await run(one.join());
        cluster.control(api, { error: code });
        // What it knows is of no use any more.
        cluster.moveCoordinator("group", "g", 1);
      } else cluster.control(api, { error: code });
      const next = one[Symbol.asyncIterator]().next();
      if (isJoined) await run(next);
      cluster.clearRequests();
      await runtime.advance(120_000);
      const asked = cluster.requestsOf(api).length;
      // About ten within maxBlockMs, after which a call begins anew.
      assert.ok(asked < 240, `${asked} requests in two minutes`);
      if (api.name === "OffsetCommit") {
        const error = await failure(one.commit());
        assert.equal(error.name, "TimeoutError");
        assert.match(error.message, new RegExp(`\\(${code}\\)`));
      }
      if (api.name !== "OffsetCommit") assert.ok(troubles.length > 0 && !troubles.includes(null), troubles.join());
      if (api.name === "FindCoordinator") {
        assert.equal((await failure(one.committed([ZERO]))).name, "TimeoutError");
      }
      await run(one.close());
      assert.equal((await run(next)).done, !isJoined);
      await runtime.advance(60_000);
      assert.equal(cluster.groups.get("g")?.members.length ?? 0, 0);
    });
  }
}

test("coordinator: one at a broker that the metadata doesn't know yet is asked at the address that FindCoordinator tells", async () => {
  const { cluster, fill, member, run } = groupStage(1, { brokers: 3 });
  await fill(2);
  cluster.moveCoordinator("group", "g", 3);
  cluster.control(Metadata, {
    transform: (body) => ({ ...body, brokers: body.brokers.filter(({ nodeId }) => nodeId !== 3) }),
  });
  const leaderId = cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId;
  if (leaderId === 3) cluster.moveLeader("orders", 0, 1);
  const one = member();
  const seen: string[] = [];
  await run(one.join());
  drain(one, seen);
  await run(one.commit([{ ...ZERO, offset: 1n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  assert.ok(cluster.requestsOf(JoinGroup).every(({ brokerId }) => brokerId === 3));
  await run(one.close());
});

test("coordinator: heartbeats that come to nothing for longer than the session are told, once, and that they are heard again", async () => {
  for (const action of [{ error: 16 }, { drop: "before" }] as const) {
    const { cluster, member, run, runtime } = groupStage(1);
    const told: (string | null)[] = [];
    const one = member({ onTrouble: (trouble) => void told.push(trouble && trouble.message) });
    await run(one.join());
    let stop = cluster.control(Heartbeat, action);
    await runtime.advance(30_000);
    stop();
    await runtime.advance(10_000);
    assert.deepEqual(told, [], "shorter than the session");
    stop = cluster.control(Heartbeat, action);
    await runtime.advance(60_000);
    assert.equal(told.length, 1);
    assert.match(told[0]!, /heartbeat/i);
    stop();
    await runtime.advance(60_000);
    assert.equal(told.length, 2);
    assert.equal(told[1], null);
    assert.equal(one.assignment.length, 1);
    await run(one.close());
  }
});

test("coordinator: one that isn't heard is in trouble until it is heard, also when the member has to join anew meanwhile", async () => {
  const { cluster, fill, member, run, runtime } = groupStage(1);
  await fill(2);
  const told: unknown[] = [];
  const one = member({ rebalanceTimeoutMs: 60_000, onTrouble: (trouble) => void told.push(trouble) });
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  const stops = [Heartbeat, JoinGroup, SyncGroup].map((api) => cluster.control(api, { error: 16 }));
  // With a record in hand for too long: it leaves.
  await runtime.advance(200_000);
  const next = reading.next();
  await runtime.advance(200_000);
  assert.equal(told.length, 1);
  for (const stop of stops) stop();
  await run(next);
  assert.deepEqual(told.slice(1), [null]);
  await run(one.close());
});

test("coordinator: a member that takes its time to give up partitions is in no trouble, for its coordinator hears it", async () => {
  const { fill, member, run, runtime } = groupStage(1);
  await fill(2);
  const told: unknown[] = [];
  const one = member({ assignors: ["range"], onTrouble: (trouble) => void told.push(trouble) });
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  const two = member({ assignors: ["range"] });
  const joining = two.join();
  // More than a session with a record in hand.
  await runtime.advance(100_000);
  assert.deepEqual(told, []);
  const next = reading.next();
  await run(joining);
  await run(one.close());
  await run(next);
  await run(two.close());
});
