import assert from "node:assert/strict";
import {
  DeleteGroups,
  DescribeGroups,
  Heartbeat,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  OffsetCommit,
  OffsetDelete,
  OffsetFetch,
  OffsetForLeaderEpoch,
  SyncGroup,
} from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf } from "./batches.ts";
import { stage, type Wire } from "./wire.ts";

const GROUP = "readers";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Join {
  readonly version?: number;
  readonly instanceId?: string | null;
  readonly protocols?: readonly (readonly [string, string])[];
  readonly protocolType?: string;
  readonly sessionTimeoutMs?: number;
  readonly rebalanceTimeoutMs?: number;
}

function sendJoin(wire: Wire, memberId: string, options: Join = {}): number {
  const { version = 9, instanceId = null, protocols = [["range", "m"]] } = options;
  wire.send(JoinGroup, version, {
    groupId: GROUP,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
    rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? 20_000,
    memberId,
    groupInstanceId: instanceId,
    protocolType: options.protocolType ?? "consumer",
    protocols: protocols.map(([name, metadata]) => ({ name, metadata: encoder.encode(metadata) })),
  });
  return version;
}

const join = async (wire: Wire, memberId: string, options: Join = {}) =>
  (await wire.answer(JoinGroup, sendJoin(wire, memberId, options)))!;

/** Joins with an id that the group has given out first. */
async function joinAnew(wire: Wire, options: Join = {}): Promise<string> {
  const { errorCode, memberId } = await join(wire, "", options);
  assert.equal(errorCode, 79);
  return memberId;
}

const sync = async (wire: Wire, memberId: string, generationId: number, assignments: Record<string, string> = {}) =>
  (await wire.ask(SyncGroup, 5, {
    groupId: GROUP,
    generationId,
    memberId,
    protocolType: "consumer",
    protocolName: "range",
    assignments: Object.entries(assignments).map(([id, text]) => ({ memberId: id, assignment: encoder.encode(text) })),
  }))!;

const beat = async (wire: Wire, memberId: string, generationId: number, groupInstanceId: string | null = null) =>
  (await wire.ask(Heartbeat, 4, { groupId: GROUP, generationId, memberId, groupInstanceId }))!.errorCode;

const commit = async (wire: Wire, offset: bigint, memberId = "", generation = -1) => {
  const partitions = [{ partitionIndex: 0, committedOffset: offset, committedMetadata: "note" }];
  const answer = await wire.ask(OffsetCommit, 8, {
    ...{ groupId: GROUP, memberId, generationIdOrMemberEpoch: generation },
    topics: [{ name: "orders", partitions }],
  });
  return answer!.topics[0]!.partitions[0]!.errorCode;
};

/** A group with one member that leads it. */
async function settled() {
  const set = stage();
  const wire = await set.connect();
  const leader = await joinAnew(wire);
  const { generationId } = await join(wire, leader);
  assert.equal((await sync(wire, leader, generationId, { [leader]: "all" })).errorCode, 0);
  return { ...set, wire, leader, generationId };
}

test("group: two members join, the leader assigns, and each gets its own", async () => {
  const { connect, leader, runtime, wire } = await settled();
  const other = await connect();
  const follower = await joinAnew(other);
  sendJoin(other, follower);
  await runtime.settle();
  assert.equal(await beat(wire, leader, 1), 27);
  const first = await join(wire, leader);
  const second = (await other.answer(JoinGroup, 9))!;
  assert.deepEqual([first.generationId, first.leader, first.protocolName], [2, leader, "range"]);
  assert.deepEqual(first.members.map(({ memberId }) => memberId), [leader, follower]);
  assert.deepEqual([second.generationId, second.leader, second.members], [2, leader, []]);
  other.send(SyncGroup, 5, {
    ...{ groupId: GROUP, generationId: 2, memberId: follower, protocolType: "consumer", protocolName: "range" },
    assignments: [],
  });
  await runtime.settle();
  assert.deepEqual(other.take(), []);
  const { assignment } = await sync(wire, leader, 2, { [leader]: "one", [follower]: "two" });
  assert.equal(decoder.decode(assignment), "one");
  assert.equal(decoder.decode((await other.answer(SyncGroup, 5))!.assignment), "two");
  assert.deepEqual([await beat(wire, leader, 2), await beat(other, follower, 2)], [0, 0]);
});

test("group: generations, members and protocols that don't fit have their own codes", async () => {
  const { leader, wire } = await settled();
  assert.equal(await beat(wire, leader, 0), 22);
  assert.equal(await beat(wire, leader, 2), 22);
  assert.equal(await beat(wire, "stranger", 1), 25);
  assert.equal(await beat(wire, leader, 1, "instance"), 25);
  assert.equal((await sync(wire, leader, 7)).errorCode, 22);
  assert.equal((await join(wire, "stranger")).errorCode, 25);
  assert.equal((await join(wire, "", { protocols: [["other", ""]] })).errorCode, 23);
  assert.equal((await join(wire, "", { protocolType: "connect" })).errorCode, 23);
  assert.equal((await join(wire, "", { protocols: [] })).errorCode, 23);
  assert.equal((await join(wire, "", { sessionTimeoutMs: 5999 })).errorCode, 26);
});

test("group: a member whose heartbeats stay away is out, and the others rebalance", async () => {
  const { cluster, connect, leader, runtime, wire } = await settled();
  const other = await connect();
  const follower = await joinAnew(other);
  sendJoin(other, follower);
  await runtime.settle();
  await join(wire, leader);
  await other.answer(JoinGroup, 9);
  await sync(wire, leader, 2, {});
  for (let i = 0; i < 4; i++) {
    await runtime.advance(3000);
    await beat(wire, leader, 2);
  }
  assert.equal(cluster.groups.get(GROUP)!.state, "PreparingRebalance");
  assert.equal(await beat(other, follower, 2), 25);
  assert.equal((await join(wire, leader)).generationId, 3);
  await runtime.advance(60_000);
  assert.deepEqual([cluster.groups.get(GROUP)!.state, cluster.groups.get(GROUP)!.hasNobody], ["Empty", true]);
});

test("group: who doesn't come to a rebalance in time is left out", async () => {
  const { connect, leader, runtime, wire } = await settled();
  const other = await connect();
  const follower = await joinAnew(other, { sessionTimeoutMs: 300_000 });
  sendJoin(other, follower, { sessionTimeoutMs: 300_000 });
  for (let i = 0; i < 6; i++) {
    assert.equal(await beat(wire, leader, 1), 27);
    await runtime.advance(3000);
  }
  await runtime.advance(2000);
  const answer = (await other.answer(JoinGroup, 9))!;
  assert.deepEqual([answer.generationId, answer.leader, answer.members.length], [2, follower, 1]);
  assert.equal(await beat(wire, leader, 2), 25);
});

test("group: a member that leaves makes the others rebalance at once", async () => {
  const { cluster, leader, wire } = await settled();
  const members = [{ memberId: leader }, { memberId: "stranger" }];
  const answer = (await wire.ask(LeaveGroup, 4, { groupId: GROUP, members }))!;
  assert.deepEqual(answer.members.map(({ errorCode }) => errorCode), [0, 25]);
  assert.equal(cluster.groups.get(GROUP)!.state, "Empty");
  assert.equal(await beat(wire, leader, 1), 25);
});

test("group: a static member that is back goes on with its assignment, and its former self is fenced", async () => {
  const { connect, cluster } = stage();
  const wire = await connect();
  const first = await join(wire, "", { instanceId: "a" });
  assert.equal(first.errorCode, 0);
  await sync(wire, first.memberId, 1, { [first.memberId]: "all" });
  const again = await join(wire, "", { instanceId: "a" });
  assert.deepEqual([again.errorCode, again.generationId, again.skipAssignment], [0, 1, true]);
  assert.notEqual(again.memberId, first.memberId);
  assert.equal(await beat(wire, first.memberId, 1, "a"), 82);
  assert.equal(await beat(wire, again.memberId, 1, "a"), 0);
  assert.equal(decoder.decode((await sync(wire, again.memberId, 1)).assignment), "all");
  const old = await join(wire, "", { instanceId: "a", version: 8 });
  assert.deepEqual([old.generationId, old.leader === old.memberId, old.members], [1, false, []]);
  assert.equal(cluster.groups.get(GROUP)!.members.length, 1);
  const members = [{ memberId: "", groupInstanceId: "a" }];
  assert.equal((await wire.ask(LeaveGroup, 3, { groupId: GROUP, members }))!.members[0]!.errorCode, 0);
});

test("group: offsets are committed by members of the generation, or by anybody while there are none", async () => {
  const { cluster, connect, leader, runtime, wire } = await settled();
  assert.equal(await commit(wire, 5n, leader, 1), 0);
  assert.equal(await commit(wire, 6n, leader, 0), 22);
  assert.equal(await commit(wire, 6n, "stranger", 1), 25);
  assert.equal(await commit(wire, 6n), 25);
  assert.equal(cluster.groups.committed(GROUP, "orders", 0), 5n);
  const answer = await wire.ask(OffsetFetch, 7, {
    groupId: GROUP,
    topics: [{ name: "orders", partitionIndexes: [0, 1] }],
    requireStable: true,
  });
  assert.deepEqual(
    answer!.topics[0]!.partitions.map((
      { committedOffset, errorCode, metadata },
    ) => [errorCode, committedOffset, metadata]),
    [[0, 5n, "note"], [0, -1n, ""]],
  );
  const other = await connect();
  sendJoin(other, await joinAnew(other));
  await runtime.settle();
  assert.equal(await commit(wire, 7n, leader, 1), 0);
  await join(wire, leader);
  assert.equal(await commit(wire, 8n, leader, 2), 27);
  await runtime.advance(600_000);
  assert.equal(await commit(wire, 9n), 0);
  const all = await wire.ask(OffsetFetch, 8, {
    groups: [{ groupId: GROUP, topics: null }, { groupId: "x", topics: null }],
  });
  assert.deepEqual(
    all!.groups.map((
      { groupId, topics },
    ) => [groupId, topics.flatMap((it) => it.partitions.map((p) => p.committedOffset))]),
    [[GROUP, [9n]], ["x", []]],
  );
});

test("group: groups are listed, described and deleted", async () => {
  const { leader, wire } = await settled();
  const listed = await wire.ask(ListGroups, 4, { statesFilter: ["stable"] });
  assert.deepEqual(listed!.groups.map((it) => [it.groupId, it.protocolType, it.groupState]), [[
    GROUP,
    "consumer",
    "Stable",
  ]]);
  assert.deepEqual((await wire.ask(ListGroups, 4, { statesFilter: ["Empty"] }))!.groups, []);
  const described = (await wire.ask(DescribeGroups, 5, { groups: [GROUP, "x"] }))!.groups;
  assert.deepEqual(described.map(({ errorCode, groupState, protocolData }) => [errorCode, groupState, protocolData]), [
    [0, "Stable", "range"],
    [0, "Dead", ""],
  ]);
  assert.deepEqual(described[0]!.members.map((it) => [it.memberId, it.clientId, decoder.decode(it.memberAssignment)]), [
    [leader, "test", "all"],
  ]);
  const remove = async () =>
    (await wire.ask(DeleteGroups, 2, { groupsNames: [GROUP, "x"] }))!.results.map(({ errorCode }) => errorCode);
  assert.deepEqual(await remove(), [68, 69]);
  await wire.ask(LeaveGroup, 4, { groupId: GROUP, members: [{ memberId: leader }] });
  assert.deepEqual(await remove(), [0, 69]);
  assert.deepEqual(await remove(), [69, 69]);
});

test("group: a move of the coordinator ends what waits, and its members go on at the new one", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 2 });
  const home = cluster.coordinator("group", GROUP)!.id;
  const wire = await connect(home);
  const leader = await joinAnew(wire);
  const { generationId } = await join(wire, leader);
  await sync(wire, leader, generationId, { [leader]: "all" });
  cluster.moveCoordinator("group", GROUP, 3 - home, { unavailableMs: 100, loadingMs: 100 });
  const other = await connect(3 - home);
  assert.deepEqual([await beat(wire, leader, 1), await beat(other, leader, 1)], [16, 16]);
  assert.equal(cluster.coordinator("group", GROUP), undefined);
  await runtime.advance(100);
  assert.deepEqual([await beat(wire, leader, 1), await beat(other, leader, 1)], [16, 14]);
  await runtime.advance(100);
  assert.deepEqual([await beat(wire, leader, 1), await beat(other, leader, 1)], [16, 0]);
});

test("embedded broker: where an epoch of a leader ends is told by who leads", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  cluster.moveLeader("orders", 0, 1);
  await (await connect(1)).produce(batchOf());
  cluster.moveLeader("orders", 0, 2);
  const wire = await connect(2);
  await wire.produce(batchOf());
  await wire.produce(batchOf());
  const { leaderEpoch } = cluster.partition("orders", 0);
  const ask = async (epoch: number, currentLeaderEpoch = -1, to = wire) => {
    const partitions = [{ partition: 0, currentLeaderEpoch, leaderEpoch: epoch }];
    const answer = await to.ask(OffsetForLeaderEpoch, 4, { topics: [{ topic: "orders", partitions }] });
    const { endOffset, errorCode, leaderEpoch } = answer!.topics[0]!.partitions[0]!;
    return [errorCode, leaderEpoch, endOffset];
  };
  assert.deepEqual(await ask(leaderEpoch - 1), [0, leaderEpoch - 1, 1n]);
  assert.deepEqual(await ask(leaderEpoch), [0, leaderEpoch, 3n]);
  assert.deepEqual(await ask(leaderEpoch + 1), [0, -1, -1n]);
  assert.equal((await ask(leaderEpoch, leaderEpoch - 1))[0], 74);
  assert.equal((await ask(leaderEpoch, leaderEpoch + 1))[0], 75);
  assert.equal((await ask(leaderEpoch, -1, await connect(1)))[0], 6);
});

test("group: who wants none of the protocols that it joined with is refused, alone in the group as well", async () => {
  const { leader, wire } = await settled();
  assert.equal((await join(wire, leader, { protocols: [["other", "m"]] })).errorCode, 23);
  assert.equal((await join(wire, leader, { protocols: [["other", "m"], ["range", "m"]] })).errorCode, 0);
});

test("group: the first generation doesn't wait for those who were told to come again, a later one does", async () => {
  const { cluster, connect, runtime } = stage();
  const [wire, other] = [await connect(), await connect()];
  const [first, second] = [await joinAnew(wire), await joinAnew(other)];
  assert.equal((await join(wire, first)).generationId, 1);
  sendJoin(wire, first, { protocols: [["range", "more"]] });
  await runtime.settle();
  assert.equal(cluster.groups.get(GROUP)!.state, "PreparingRebalance");
  sendJoin(other, second);
  assert.equal((await wire.answer(JoinGroup, 9))!.generationId, 2);
});

test("group: who asks a second time to join, or for its assignment, is answered that time only", async () => {
  const { connect, leader, runtime, wire } = await settled();
  const [other, late] = [await connect(), await connect()];
  const follower = await joinAnew(other);
  sendJoin(other, follower);
  sendJoin(late, follower);
  await runtime.settle();
  await join(wire, leader);
  await late.answer(JoinGroup, 9);
  const mine = { groupId: GROUP, generationId: 2, memberId: follower, protocolType: "consumer", protocolName: "range" };
  const again = await connect();
  for (const each of [late, again]) each.send(SyncGroup, 5, { ...mine, assignments: [] });
  await runtime.settle();
  await sync(wire, leader, 2, { [follower]: "its own" });
  assert.equal(decoder.decode((await again.answer(SyncGroup, 5))!.assignment), "its own");
  await runtime.advance(600_000);
  assert.deepEqual([other.take(), late.take()], [[], []]);
});

test("group: who was told to come again is no member yet, and comes as no static one", async () => {
  const { connect } = stage();
  const wire = await connect();
  const member = await joinAnew(wire);
  const refused = await join(wire, member, { instanceId: "a" });
  assert.deepEqual([refused.errorCode, refused.memberId], [-1, ""]);
  const forget = { groupId: GROUP, topics: [{ name: "orders", partitions: [{ partitionIndex: 0 }] }] };
  assert.equal((await wire.ask(OffsetDelete, 0, forget))!.errorCode, 0);
  assert.equal((await wire.ask(DeleteGroups, 2, { groupsNames: [GROUP] }))!.results[0]!.errorCode, 0);
  assert.equal((await join(wire, member)).errorCode, 25);
});

test("group: one that lost its last member while another was told to come again waits for that one", async () => {
  const { cluster, connect, leader, wire } = await settled();
  const other = await connect();
  await joinAnew(other);
  sendJoin(wire, leader, { protocols: [["range", "more"]] });
  const members = [{ memberId: leader }];
  assert.equal((await other.ask(LeaveGroup, 4, { groupId: GROUP, members }))!.members[0]!.errorCode, 0);
  assert.equal(cluster.groups.get(GROUP)!.state, "PreparingRebalance");
  assert.equal((await other.ask(DeleteGroups, 2, { groupsNames: [GROUP] }))!.results[0]!.errorCode, 68);
});

for (const [release, state] of [["3.9", "Stable"], ["4.1", "PreparingRebalance"]] as const) {
  test(`group: what follows when one leaves that wasn't a member yet, and how it is described, Kafka ${release}`, async () => {
    const { cluster, connect } = stage({ release });
    const wire = await connect();
    const { memberId: leader } = await join(wire, "", { instanceId: "a" });
    await sync(wire, leader, 1, { [leader]: "all" });
    const pending = await joinAnew(wire);
    await wire.ask(LeaveGroup, 4, { groupId: GROUP, members: [{ memberId: pending }] });
    assert.equal(cluster.groups.get(GROUP)!.state, state);
    const [group] = (await wire.ask(DescribeGroups, 5, { groups: [GROUP] }))!.groups;
    // The new coordinator tells it even while it may change.
    assert.equal(decoder.decode(group!.members[0]!.memberAssignment), "all");
    const twice = [{ memberId: leader, groupInstanceId: "a" }, { memberId: leader, groupInstanceId: "a" }];
    const left = await wire.ask(LeaveGroup, 4, { groupId: GROUP, members: twice });
    assert.deepEqual(left!.members.map(({ errorCode }) => errorCode), [0, 25]);
  });
}

test("group: from version 5 on who asks for an assignment says of which protocol", async () => {
  const { leader, wire } = await settled();
  const mine = { groupId: GROUP, generationId: 1, memberId: leader, assignments: [] };
  const named = { protocolType: "consumer", protocolName: "range" };
  assert.equal((await wire.ask(SyncGroup, 5, { ...mine, ...named, protocolName: null }))!.errorCode, 23);
  assert.equal((await wire.ask(SyncGroup, 5, { ...mine, ...named, protocolType: null }))!.errorCode, 23);
  assert.equal((await wire.ask(SyncGroup, 4, mine))!.errorCode, 0);
});

test("group: offsets stay while a member reads the topic, or may, for nobody understands what it says", async () => {
  const { connect, leader, wire } = await settled();
  const other = await connect();
  const forget = async () => {
    const topics = [{ name: "orders", partitions: [{ partitionIndex: 0 }] }];
    const answer = await other.ask(OffsetDelete, 0, { groupId: GROUP, topics });
    return answer!.topics[0]!.partitions[0]!.errorCode;
  };
  assert.equal(await forget(), 86);
  sendJoin(wire, leader);
  await joinAnew(other);
  assert.equal(await forget(), 86);
});

for (const [release, isNew] of [["3.9", false], ["4.1", true]] as const) {
  test(`group: commits that a group knows nothing of, Kafka ${release}`, async () => {
    const { cluster, connect } = stage({ release });
    const wire = await connect();
    const ask = async (version: number, generation: number, name = "orders", committedMetadata = "note") => {
      const answer = await wire.ask(OffsetCommit, version, {
        ...{ groupId: GROUP, memberId: "m", generationIdOrMemberEpoch: generation },
        topics: [{ name, partitions: [{ partitionIndex: 0, committedOffset: 1n, committedMetadata }] }],
      });
      return answer!.topics[0]!.partitions[0]!.errorCode;
    };
    assert.deepEqual([await ask(8, 1), await ask(9, 1)], [22, isNew ? 69 : 22]);
    assert.equal(await ask(9, 1, "orders", "x".repeat(4097)), isNew ? 69 : 22);
    assert.equal(await ask(9, -1, "nowhere"), 3);
    assert.equal(cluster.groups.get(GROUP), undefined);
    assert.equal(await ask(9, -1), 0);
    cluster.deleteTopic("orders");
    assert.equal(cluster.groups.get(GROUP) !== undefined, isNew);
  });
}
