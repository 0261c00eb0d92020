import assert from "node:assert/strict";
import { ConfigError, type KafkaError } from "../../src/errors.ts";
import {
  FindCoordinator,
  Heartbeat,
  JoinGroup,
  LeaveGroup,
  OffsetCommit,
  OffsetFetch,
  SyncGroup,
} from "../../src/protocol/messages/mod.ts";
import { readSubscription } from "../../src/protocol/consumer_protocol.ts";
import type { RequestOf } from "../../src/protocol/schema.ts";
import { type AssignorName, GroupReader, type GroupReaderOptions } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { drain, groupStage, indexesOf, textOf } from "./group_stage.ts";

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
/** What a member says of itself when it asks to join. */
const claimOf = ({ memberId, protocols }: RequestOf<typeof JoinGroup>) => {
  const { generationId, owned } = readSubscription(protocols[0]!.metadata);
  return { memberId, generationId, owned };
};
const STRANGER = { memberId: "", generationId: -1, owned: [] };
const inOrder = (texts: readonly string[]): string[] => [...texts].sort((a, b) => Number(a) - Number(b));

test("group reader: one member reads all partitions from the beginning, and the next one where it has committed", async () => {
  const { cluster, fill, member, run } = groupStage();
  await fill(20);
  const first = member();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const record of first) {
      seen.push(textOf(record));
      if (seen.length === 20) break;
    }
  })();
  await run(reading);
  assert.deepEqual(inOrder(seen), numbers(20));
  assert.deepEqual(indexesOf(first.assignment), [0, 1, 2, 3]);
  await run(first.commit());
  assert.deepEqual([0, 1, 2, 3].map((index) => cluster.groups.committed("g", "orders", index)), [5n, 5n, 5n, 5n]);
  await run(first.close());
  assert.equal(cluster.groups.get("g")!.state, "Empty");
  await fill(4, 20);
  const second = member();
  const { value } = await run(second[Symbol.asyncIterator]().next());
  assert.equal(Number(textOf(value!)) >= 20, true);
  await run(second.close());
});

for (const name of ["cooperative-sticky", "range", "roundrobin", "RoundRobinAssigner"] as const) {
  test(`group reader: two and three members divide the partitions by ${name}, and lose no record when one leaves`, async () => {
    const { fill, member, run, until } = groupStage(6);
    const assignors: AssignorName[] = [name];
    const lists: string[][] = [[], [], []];
    const members = lists.map(() => member({ assignors }));
    await fill(60);
    drain(members[0]!, lists[0]!);
    await until(() => lists[0]!.length === 60);
    await run(members[0]!.commit());
    drain(members[1]!, lists[1]!);
    await until(() => members.map(({ assignment }) => assignment.length).join() === "3,3,0");
    drain(members[2]!, lists[2]!);
    await until(() => members.every(({ assignment }) => assignment.length === 2));
    assert.deepEqual(indexesOf(members.flatMap(({ assignment }) => assignment)), [0, 1, 2, 3, 4, 5]);
    await fill(60, 60);
    await until(() => lists.flat().length === 120);
    assert.deepEqual(inOrder(lists.flat()), numbers(120));
    assert.ok(lists.every((list) => list.length >= 20));
    for (const each of members) await run(each.commit());
    await run(members[0]!.close());
    await until(() => members[1]!.assignment.length + members[2]!.assignment.length === 6);
    await fill(60, 120);
    await until(() => lists.flat().length === 180);
    assert.deepEqual(inOrder(lists.flat()), numbers(180));
    for (const each of members) await run(each.close());
  });
}

test("group reader: cooperative members go on reading what stays with them, and each is told only of what moves", async () => {
  const { fill, member, run, until } = groupStage(4);
  const told: string[] = [];
  const tell = (who: string) => ({
    onAssigned: (places: { partition: number }[]) => void told.push(`${who} + ${indexesOf(places)}`),
    onRevoked: (places: { partition: number }[]) => void told.push(`${who} - ${indexesOf(places)}`),
    onLost: (places: { partition: number }[]) => void told.push(`${who} ! ${indexesOf(places)}`),
  });
  const [one, two] = [member(tell("one")), member(tell("two"))];
  const seen: string[] = [];
  drain(one, seen);
  await until(() => one.assignment.length === 4);
  await run(two.join());
  await until(() => two.assignment.length === 2 && one.assignment.length === 2);
  const kept = indexesOf(one.assignment);
  const moved = indexesOf(two.assignment);
  assert.deepEqual(told, ["one + 0,1,2,3", `one - ${moved}`, `two + ${moved}`]);
  await fill(4);
  await until(() => seen.length === 2);
  assert.deepEqual(seen.map(Number).sort(), kept);
  await run(two.close());
  await run(one.close());
  assert.equal(told.filter((line) => line.includes("!")).length, 0);
});

test("group reader: eager members give everything up before they join again", async () => {
  const { member, run, until } = groupStage(4);
  const told: string[] = [];
  const one = member({
    assignors: ["range"],
    onAssigned: (places) => void told.push(`+ ${indexesOf(places)}`),
    onRevoked: (places) => void told.push(`- ${indexesOf(places)}`),
  });
  await run(one.join());
  const two = member({ assignors: ["range"] });
  await run(two.join());
  await until(() => one.assignment.length === 2 && told.length === 3);
  assert.deepEqual(told.slice(0, 2), ["+ 0,1,2,3", "- 0,1,2,3"]);
  assert.equal(told.length, 3);
  await run(two.close());
  await run(one.close());
});

test("group reader: a partition is given up only when the caller comes back for more, and onRevoked is waited for", async () => {
  const { cluster, fill, member, run, runtime, until } = groupStage(2);
  await fill(2);
  const events: string[] = [];
  const one = member({
    assignors: ["range"],
    onRevoked: async () => {
      events.push("revoking");
      await one.commit();
      events.push("committed");
    },
  });
  const records = one[Symbol.asyncIterator]();
  await run(records.next());
  const two = member({ assignors: ["range"] });
  const joining = two.join();
  for (let i = 0; i < 20; i++) await runtime.advance(1_000);
  assert.equal(events.length, 0);
  assert.equal(cluster.groups.get("g")!.state, "PreparingRebalance");
  events.push("back for more");
  const next = records.next();
  await run(joining);
  await until(() => one.assignment.length === 1);
  assert.deepEqual(events, ["back for more", "revoking", "committed"]);
  assert.equal([0, 1].filter((index) => cluster.groups.committed("g", "orders", index) === 1n).length, 1);
  await run(two.close());
  await run(one.close());
  await run(next);
});

test("group reader: a member that dies is replaced after its session, and its records are read by the others", async () => {
  const { cluster, fill, member, run, until } = groupStage(4);
  const [one, two] = [member({ sessionTimeoutMs: 10_000 }), member({ sessionTimeoutMs: 10_000 })];
  const seen: string[] = [];
  drain(one, seen);
  await run(two.join());
  await until(() => one.assignment.length === 2 && two.assignment.length === 2);
  const { memberId } = two.groupMetadata();
  // Nothing of it arrives any more.
  const silence = cluster.control(
    Heartbeat,
    (request) => request.memberId === memberId ? { drop: "before" } : undefined,
  );
  await fill(8);
  await until(() => one.assignment.length === 4);
  await until(() => seen.length === 8);
  assert.deepEqual(inOrder(seen), numbers(8));
  silence();
  await until(() => two.assignment.length === 2);
  await run(two.close());
  await run(one.close());
});

test("group reader: whoever was dropped is told that its partitions are lost, and can commit nothing", async () => {
  const { cluster, failure, fill, member, run, until } = groupStage(2);
  await fill(2);
  const told: string[] = [];
  const one = member({
    onLost: (places) => void told.push(`lost ${indexesOf(places)}`),
    onRevoked: () => void told.push("revoked"),
  });
  await run(one.join());
  const { generationId, memberId } = one.groupMetadata();
  const offset = { topic: "orders", partition: 0, offset: 1n };
  const stop = cluster.control(Heartbeat, { error: 25 }, { times: 1 });
  const refuse = cluster.control(JoinGroup, { error: 14 });
  await until(() => told.length === 1);
  await until(() => cluster.requestsOf(JoinGroup).length > 2);
  assert.deepEqual(claimOf(cluster.requestsOf(JoinGroup).at(-1)!.body), STRANGER);
  stop();
  assert.deepEqual(told, ["lost 0,1"]);
  assert.deepEqual(one.groupMetadata(), { groupId: "g", generationId, memberId }, "the old one, which is refused");
  cluster.groups.get("g")!.leave(memberId!, null);
  const error = await failure(one.commit([offset]));
  assert.equal(error.code, "COMMIT_FAILED");
  assert.match(error.message, /the group has gone on without this member/);
  assert.equal(cluster.groups.committed("g", "orders", 0), undefined);
  refuse();
  await until(() => one.assignment.length === 2);
  assert.notEqual(one.groupMetadata().memberId, memberId);
  await run(one.commit([offset]));
  await run(one.close());
});

for (const code of [14, 15, 16, 22, 25, 27] as const) {
  for (const api of [JoinGroup, SyncGroup, Heartbeat, OffsetFetch] as const) {
    test(`group reader: ${code} to ${api.name} is lived through`, async () => {
      const { cluster, fill, member, run, until } = groupStage(2);
      await fill(4);
      if (api === OffsetFetch && [22, 25, 27].includes(code)) return;
      cluster.control(api, { error: code }, { times: 2 });
      const one = member({ sessionTimeoutMs: 30_000 });
      const seen: string[] = [];
      drain(one, seen);
      await until(() => new Set(seen).size === 4);
      await until(() => cluster.groups.get("g")!.state === "Stable" && one.assignment.length === 2);
      if (api === Heartbeat) await until(() => cluster.requestsOf(Heartbeat).length > 4);
      await until(() => cluster.groups.get("g")!.state === "Stable" && one.assignment.length === 2);
      await run(one.commit());
      assert.equal(cluster.groups.committed("g", "orders", 1), 2n);
      assert.deepEqual(cluster.failures, []);
      await run(one.close());
    });
  }
}

for (const code of [23, 24, 26, 30, 81, 82] as const) {
  test(`group reader: ${code} to JoinGroup ends the iteration with its name`, async () => {
    const { cluster, failure, member, run } = groupStage(1);
    cluster.control(JoinGroup, { error: code }, { times: 1 });
    const one = member();
    const error = await failure(one[Symbol.asyncIterator]().next());
    assert.equal(error.errorCode, code);
    if (code === 82) {
      assert.equal((await failure(one.join())).errorCode, 82, "whoever was fenced doesn't fence the other one");
    } else assert.deepEqual(indexesOf(await run(one.join())), [0]);
    await run(one.close());
  });
}

test("group reader: the group's coordinator moves, and the members go on in their generation", async () => {
  const { cluster, fill, member, run, runtime, until } = groupStage(4, { brokers: 3 });
  const [one, two] = [member(), member()];
  const seen: string[] = [];
  drain(one, seen);
  drain(two, seen);
  await until(() => one.assignment.length === 2 && two.assignment.length === 2);
  const now = cluster.coordinators.find("group", "g")!.id;
  const next = 1 + now % 3;
  cluster.moveCoordinator("group", "g", next);
  await fill(8);
  await runtime.advance(30_000);
  await until(() => seen.length === 8 && one.assignment.length === 2 && two.assignment.length === 2);
  await run(one.commit());
  await run(two.commit());
  assert.deepEqual([0, 1, 2, 3].map((index) => cluster.groups.committed("g", "orders", index)), [2n, 2n, 2n, 2n]);
  await run(one.close());
  await run(two.close());
});

test("group reader: a static member that is back in time goes on with its partitions, and the other notices nothing", async () => {
  const { cluster, member, run, until } = groupStage(4);
  const told: string[] = [];
  const one = member({ groupInstanceId: "a" });
  const two = member({ groupInstanceId: "b", onRevoked: () => void told.push("revoked") });
  await run(one.join());
  await run(two.join());
  await until(() => one.assignment.length === 2 && two.assignment.length === 2);
  const generation = cluster.groups.get("g")!.generationId;
  const before = indexesOf(one.assignment);
  await run(one.close());
  assert.equal(cluster.requestsOf(LeaveGroup).length, 0);
  const again = member({ groupInstanceId: "a" });
  assert.deepEqual(indexesOf(await run(again.join())), before);
  assert.equal(cluster.groups.get("g")!.generationId, generation);
  assert.deepEqual(told, []);
  await run(again.close());
  await run(two.close());
});

// From version 9 on a leader that is back is told to divide nothing anew; below, that its predecessor leads (KIP-814).
for (const newest of [9, 8]) {
  test(`group reader: a static member that leads and is back in time goes on with its partitions, with JoinGroup ${newest}`, async () => {
    const { cluster, member, run, until, fill } = groupStage(4, { apiVersions: { JoinGroup: [0, newest] } });
    const told: string[] = [];
    const one = member({ groupInstanceId: "a" });
    await run(one.join());
    const two = member({ groupInstanceId: "b", onRevoked: () => void told.push("revoked") });
    await run(two.join());
    await until(() => one.assignment.length === 2 && two.assignment.length === 2);
    const { generationId } = cluster.groups.get("g")!;
    // The first of a group leads it, and divides.
    assert.equal(cluster.requestsOf(SyncGroup).filter(({ body }) => body.assignments.length > 0).length >= 2, true);
    const synced = cluster.requestsOf(SyncGroup).length;
    const before = indexesOf(one.assignment);
    await run(one.close());
    const again = member({ groupInstanceId: "a", onMissingOffset: "beginning" });
    assert.deepEqual(indexesOf(await run(again.join())), before);
    assert.equal(cluster.groups.get("g")!.generationId, generationId);
    assert.deepEqual(told, []);
    assert.equal(cluster.requestsOf(JoinGroup).at(-1)!.version, newest);
    const after = cluster.requestsOf(SyncGroup).slice(synced);
    assert.deepEqual(after.map(({ body }) => body.assignments), [[]]);
    await fill(8);
    const read: number[] = [];
    const reading = async (): Promise<void> => {
      for await (const { partition } of again) if (read.push(partition) === 4) break;
    };
    await run(reading());
    assert.deepEqual([...new Set(read)].sort(), before);
    await run(again.close());
    await run(two.close());
  });
}

test("group reader: two static members of one name fence each other once, and the first one ends", async () => {
  const { failure, member, run } = groupStage(2);
  const one = member({ groupInstanceId: "a" });
  await run(one.join());
  const iteration = one[Symbol.asyncIterator]().next();
  iteration.catch(() => {});
  const two = member({ groupInstanceId: "a" });
  await run(two.join());
  assert.equal((await failure(iteration)).errorCode, 82);
  assert.equal((await failure(one.commit([{ topic: "orders", partition: 0, offset: 1n }]))).code, "COMMIT_FAILED");
  await run(one.close());
  assert.equal(two.assignment.length, 2);
  await run(two.close());
});

test("group reader: a caller that is stuck for rebalanceTimeoutMs leaves its partitions to the others, and comes back", async () => {
  const { cluster, fill, member, run, until } = groupStage(2);
  await fill(2);
  const told: string[] = [];
  const one = member({ rebalanceTimeoutMs: 20_000, onLost: () => void told.push("lost") });
  const records = one[Symbol.asyncIterator]();
  await run(records.next());
  await until(() => told.length === 1);
  const two = member();
  assert.equal((await run(two.join())).length, 2);
  assert.deepEqual(one.assignment, []);
  cluster.clearRequests();
  const next = records.next();
  await until(() => one.assignment.length === 1);
  const claims = cluster.requestsOf(JoinGroup).map(({ body }) => claimOf(body));
  assert.deepEqual(claims.find(({ memberId }) => memberId !== two.groupMetadata().memberId), STRANGER);
  await run(two.close());
  await run(one.close());
  await next;
});

test("group reader: partitions that are added to a topic are divided as well", async () => {
  const { cluster, member, run, until } = groupStage(2);
  const one = member({ metadataMaxAgeMs: 10_000 });
  await run(one.join());
  cluster.addPartitions("orders", 3);
  await until(() => one.assignment.length === 3);
  assert.deepEqual(indexesOf(one.assignment), [0, 1, 2]);
  await run(one.close());
});

test("group reader: a topic that isn't there yet is told, and read when it is", async () => {
  const { cluster, member, run, runtime, until } = groupStage(2);
  const told: (string | null)[] = [];
  const onTrouble = (trouble: KafkaError | null): void => void told.push(trouble && trouble.message);
  const one = member({ topics: ["orders", "later"], metadataMaxAgeMs: 10_000, onTrouble });
  await run(one.join());
  assert.equal(one.assignment.length, 2);
  await runtime.advance(10);
  assert.deepEqual(told.map((text) => text?.slice(0, 38)), ['Topic "later" of group "g" isn\'t there']);
  cluster.createTopic("later", { partitions: 1 });
  await until(() => one.assignment.length === 3 && told.length === 2);
  assert.equal(told[1], null);
  await run(one.close());
});

test("group reader: onAssigned may seek before anything is handed out", async () => {
  const { fill, member, run } = groupStage(1);
  await fill(10);
  const one = member({ onAssigned: () => one.seek({ topic: "orders", partition: 0 }, 7n) });
  assert.equal(textOf((await run(one[Symbol.asyncIterator]().next())).value!), "7");
  await run(one.close());
});

test("group reader: what a listener throws ends the iteration, and a new one joins again", async () => {
  const { cluster, failure, fill, member, run } = groupStage(1);
  await fill(1);
  let fails = true;
  const one = member({
    onAssigned: () => {
      if (fails) throw new RangeError("Not this one.");
    },
  });
  const error = await failure(one[Symbol.asyncIterator]().next());
  assert.equal(error.message, "Not this one.");
  fails = false;
  cluster.clearRequests();
  assert.equal(textOf((await run(one[Symbol.asyncIterator]().next())).value!), "0");
  assert.deepEqual(claimOf(cluster.requestsOf(JoinGroup)[0]!.body), STRANGER);
  await run(one.close());
});

test("group reader: a heartbeat that is answered with an error that passes is no reason to leave", async () => {
  const { cluster, fill, member, run, runtime } = groupStage(1);
  const it = member({ heartbeatIntervalMs: 500 });
  await run(it.join());
  const before = it.groupMetadata();
  // COORDINATOR_LOAD_IN_PROGRESS, REQUEST_TIMED_OUT, CORRUPT_MESSAGE.
  const codes = [14, 7, 2];
  cluster.control(Heartbeat, () => ({ error: codes.pop()! }), { times: 3 });
  await runtime.advance(5_000);
  assert.deepEqual([codes.length, it.groupMetadata(), it.assignment.length], [0, before, 1]);
  await fill(1);
  const { value } = await run(it[Symbol.asyncIterator]().next());
  assert.equal(new TextDecoder().decode(value!.value!), "0");
  await run(it.close());
});

test("group reader: without a committed offset onMissingOffset decides", async () => {
  const { failure, fill, member, run, runtime } = groupStage(1);
  await fill(3);
  const failing = member({ onMissingOffset: "fail" });
  assert.equal((await failure(failing[Symbol.asyncIterator]().next())).code, "NO_COMMITTED_OFFSET");
  await run(failing.close());
  const late = member({ onMissingOffset: "end" });
  await run(late.join());
  const next = late[Symbol.asyncIterator]().next();
  await runtime.advance(2_000);
  await fill(1, 3);
  assert.equal(textOf((await run(next)).value!), "3");
  await run(late.close());
});

test("group reader: closing ends it in every state, and leaves nothing behind", async () => {
  const apis = [JoinGroup, SyncGroup, Heartbeat, OffsetFetch] as const;
  for (const api of apis) {
    const { cluster, member, run, runtime } = groupStage(1);
    cluster.control(api, { drop: "before" });
    const one = member();
    const next = one[Symbol.asyncIterator]().next();
    await runtime.advance(10_000);
    await run(one.close());
    assert.deepEqual(await run(next), { done: true, value: undefined }, api.name);
    await runtime.advance(600_000);
    assert.equal(cluster.groups.get("g")?.members.length ?? 0, 0, api.name);
  }
  const { member, run } = groupStage(1);
  const never = member();
  await run(never.close());
  await run(never.close());
  await run(assert.rejects(never.join(), /closed/));
});

test("group reader: it may be closed in the middle of the iteration, and by its own listener", async () => {
  const { cluster, fill, member, run, until } = groupStage(1);
  await fill(3);
  const one = member();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const record of one) {
      seen.push(textOf(record));
      await one.close();
    }
  })();
  await run(reading);
  assert.deepEqual(seen, ["0"]);
  const two = member({ onAssigned: () => two.close() });
  assert.deepEqual(await run(two[Symbol.asyncIterator]().next()), { done: true, value: undefined });
  await until(() => cluster.groups.get("g")!.hasNobody);
});

test("group reader: a listener may close what is being closed already, and all others wait until the listener has ended", async () => {
  const { cluster, fill, member, run, runtime } = groupStage(1);
  await fill(1);
  const events: string[] = [];
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => release = resolve);
  const one = member({
    onRevoked: async () => {
      await one.close();
      events.push("closed inside");
      await gate;
      await one.commit();
      events.push("committed");
    },
  });
  await run(one[Symbol.asyncIterator]().next());
  const first = one.close().then(() => void events.push("closed"));
  await runtime.advance(1_000);
  const second = one.close().then(() => void events.push("closed again"));
  await runtime.advance(1_000);
  assert.deepEqual(events, ["closed inside"]);
  release();
  await run(Promise.all([first, second]));
  assert.deepEqual(events.slice(0, 2), ["closed inside", "committed"]);
  assert.equal(events.length, 4);
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
});

test("group reader: a commit that is refused for the generation says so, and the member joins again", async () => {
  const { cluster, failure, fill, member, run, until } = groupStage(1);
  await fill(1);
  const one = member();
  await run(one.join());
  const { generationId } = one.groupMetadata();
  cluster.control(OffsetCommit, { error: 22 }, { times: 1 });
  const error = await failure(one.commit([{ topic: "orders", partition: 0, offset: 1n }]));
  assert.deepEqual([error.code, error.errorCode], ["COMMIT_FAILED", 22]);
  await until(() => one.groupMetadata().generationId! > generationId! && one.assignment.length === 1);
  cluster.control(OffsetCommit, { error: 27 }, { times: 2 });
  await run(one.commit([{ topic: "orders", partition: 0, offset: 1n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  await run(one.close());
});

test("group reader: a commit while the group divides anew waits for the next generation, and costs nobody the partitions", async () => {
  const { cluster, fill, member, run, until } = groupStage(2);
  await fill(4);
  const lost: number[] = [];
  const one = member({ heartbeatIntervalMs: 100, onLost: (places) => void lost.push(...indexesOf(places)) });
  const reading = one[Symbol.asyncIterator]();
  const { value: record } = await run(reading.next());
  const { partition, offset } = record!;
  const { generationId } = one.groupMetadata();
  const group = cluster.groups.get("g")!;
  const release = cluster.control(SyncGroup, { delayMs: 500 });
  const two = member();
  const joining = two.join();
  await until(() => group.state === "CompletingRebalance");
  assert.equal(one.groupMetadata().generationId, generationId, "it doesn't know of the next generation yet");
  await run(one.commit([{ topic: "orders", partition, offset: offset + 1n }]));
  release();
  assert.equal(cluster.groups.committed("g", "orders", partition), offset + 1n);
  void reading.return();
  await run(joining);
  await until(() => two.assignment.length === 1);
  assert.deepEqual([lost, one.assignment.length], [[], 1]);
  await run(one.close());
  await run(two.close());
});

test("group reader: a commit that comes late, in the next generation, is made there, or refused for what has moved", async () => {
  const { cluster, fill, member, run, until } = groupStage(2);
  await fill(4);
  const lost: number[] = [];
  const one = member({ heartbeatIntervalMs: 100, onLost: (places) => void lost.push(...indexesOf(places)) });
  await run(one.join());
  cluster.control(OffsetCommit, { delayMs: 2_000 }, { times: 1 });
  const all = one.commit([0, 1].map((partition) => ({ topic: "orders", partition, offset: 1n })));
  const refused = all.catch((error: KafkaError) => error.code);
  const two = member();
  await run(two.join());
  await until(() => two.assignment.length === 1);
  assert.equal(await run(refused), "COMMIT_FAILED");
  const [kept] = one.assignment;
  const { generationId } = one.groupMetadata();
  cluster.control(OffsetCommit, { delayMs: 2_000 }, { times: 1 });
  const late = one.commit([{ ...kept!, offset: 2n }]);
  await run(two.close());
  await until(() => one.assignment.length === 2);
  await run(late);
  assert.equal(one.groupMetadata().generationId! > generationId!, true);
  assert.equal(cluster.groups.committed("g", "orders", kept!.partition), 2n);
  assert.deepEqual(lost, []);
  await run(one.close());
});

test("group reader: a commit without offsets commits where it stood when it was called", async () => {
  const { cluster, fill, member, run } = groupStage(1);
  await fill(4);
  const one = member();
  const reading = one[Symbol.asyncIterator]();
  await run(reading.next());
  cluster.control(OffsetCommit, { error: 27 }, { times: 1 });
  const committing = one.commit();
  await run(reading.next());
  await run(committing);
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  await run(one.close());
});

for (
  const [name, options] of Object.entries<unknown>({
    "nothing": undefined,
    "no group": { brokers: "b:1", topics: ["t"] },
    "an empty group": { brokers: "b:1", topics: ["t"], groupId: "" },
    "no topics": { brokers: "b:1", groupId: "g" },
    "topics in one text": { brokers: "b:1", groupId: "g", topics: "t" },
    "an assignor that isn't known": { brokers: "b:1", groupId: "g", topics: ["t"], assignors: ["sticky"] },
    "heartbeats slower than the session": {
      ...{ brokers: "b:1", groupId: "g", topics: ["t"] },
      ...{ heartbeatIntervalMs: 10, sessionTimeoutMs: 10 },
    },
    "a listener that is no function": { brokers: "b:1", groupId: "g", topics: ["t"], onRevoked: true },
    "an option of nobody": { brokers: "b:1", groupId: "g", topics: ["t"], group: "g" },
  })
) {
  test(`group reader: ${name} is a ConfigError`, () => {
    assert.throws(() => new GroupReader(options as GroupReaderOptions), ConfigError);
  });
}

test("group reader: options are read where a class has them, and the iterator's return() ends a next() that waits", async () => {
  const { cluster, run, runtime } = groupStage(1);
  class Settings {
    readonly groupId = "g";
    readonly topics = ["orders"];
    get brokers(): string {
      return cluster.bootstrap;
    }
  }
  const one = new GroupReader(new Settings(), runtime);
  assert.equal(cluster.groups.get("g"), undefined);
  const iterator = one[Symbol.asyncIterator]();
  const waiting = iterator.next();
  await run(one.join());
  await run(iterator.return());
  assert.deepEqual(await run(waiting), { done: true, value: undefined });
  await run(one.close());
});

test("group reader: what a coordinator refuses says what to set", async () => {
  const { cluster, failure, fill, member, reader, run } = groupStage(1);
  await fill(1);
  const short = member({ sessionTimeoutMs: 100, heartbeatIntervalMs: 10 });
  assert.match(
    (await failure(short.join())).message,
    /INVALID_SESSION_TIMEOUT \(26\): set "sessionTimeoutMs" to .* 6000/,
  );
  const one = member({ assignors: ["range"] });
  await run(one.join());
  const other = member({ assignors: ["cooperative-sticky"] });
  assert.match((await failure(other.join())).message, /INCONSISTENT_GROUP_PROTOCOL \(23\): .* "assignors"/);
  const alone = reader();
  const offsets = [{ topic: "orders", partition: 0, offset: 1n }];
  assert.match((await failure(alone.commit("g", offsets))).message, /UNKNOWN_MEMBER_ID \(25\): .* groupMetadata\(\)/);
  cluster.control(JoinGroup, { error: 81 }, { times: 1 });
  assert.match((await failure(member({ groupId: "full" }).join())).message, /group\.max\.size/);
  for (const each of [short, other, one, alone]) await run(each.close());
});

test("group reader: a member that hasn't joined has nothing to hand to a transaction", () => {
  const { member } = groupStage(1);
  assert.throws(() => member().groupMetadata(), { code: "NOT_IN_GROUP" });
});

test("group reader: a member that is refused each time it joins asks ever more slowly", async () => {
  for (const code of [22, 25]) {
    const { cluster, member, run, runtime } = groupStage();
    const stop = cluster.control(JoinGroup, { error: code });
    const one = member();
    const joined = one.join();
    await runtime.advance(10_000);
    const asked = cluster.requestsOf(JoinGroup).length;
    assert.ok(asked <= 30, `It has asked ${asked} times in ten seconds`);
    stop();
    assert.deepEqual(indexesOf(await run(joined)), [0, 1, 2, 3]);
    await run(one.close());
  }
});

test("group reader: onTrouble is told why the group can't be joined, once, and that it is", async () => {
  const { cluster, member, run, runtime } = groupStage();
  const told: (string | null)[] = [];
  cluster.control(FindCoordinator, { error: 15 }, { times: 20 });
  const one = member({ onTrouble: (trouble) => void told.push(trouble === null ? null : trouble.message) });
  assert.deepEqual(indexesOf(await run(one.join())), [0, 1, 2, 3]);
  await runtime.advance(10);
  assert.equal(told.length, 2);
  assert.match(told[0]!, /FindCoordinator of group "g": .*COORDINATOR_NOT_AVAILABLE/);
  assert.equal(told[1], null);
  await run(one.close());
  // Nor can the committed offsets be had, for longer than maxBlockMs.
  told.length = 0;
  cluster.control(OffsetFetch, { error: 14 }, { times: 20 });
  const other = member({ maxBlockMs: 1_000, onTrouble: (trouble) => void told.push(trouble?.name ?? null) });
  await run(other.join());
  await runtime.advance(10);
  assert.deepEqual(told, ["TimeoutError", null]);
  await run(other.close());
});

for (
  const [who, names, victim] of [
    ["the leader", ["a"], "a"],
    ["another one than the leader", ["z", "a"], "a"],
  ] as const
) {
  test(`group reader: partitions that a static member was about to give up when it was killed go to the next one, ${who}`, async () => {
    const { cluster, member, process, run, runtime, until } = groupStage(4);
    const { kill, runtime: mortal } = process();
    let isGivingUp = false;
    const common = { brokers: cluster.bootstrap, groupId: "g", topics: ["orders"] };
    const onRevoked = (): Promise<void> => {
      isGivingUp = true;
      return new Promise(() => {});
    };
    const members: GroupReader[] = [];
    for (const name of names) {
      const one = name === victim
        ? new GroupReader({ ...common, groupInstanceId: name, onRevoked }, mortal)
        : member({ groupInstanceId: name });
      members.push(one);
      await run(one.join());
    }
    await until(() => members.every(({ assignment }) => assignment.length === 4 / members.length));
    const late = member({ groupInstanceId: "later" });
    await run(late.join());
    await until(() => isGivingUp);
    kill();
    const again = member({ groupInstanceId: victim });
    const all = [...members.slice(0, -1), again, late];
    await run(again.join());
    const startMs = runtime.now();
    await until(() => indexesOf(all.flatMap(({ assignment }) => assignment)).join() === "0,1,2,3");
    assert.ok(runtime.now() - startMs < 10_000, `It took ${runtime.now() - startMs} ms`);
    for (const one of all) await run(one.close());
  });
}
