/** Offsets of partitions and of groups, and the records before them, as an admin client sees and changes them. */

import assert from "node:assert/strict";
import { GroupReader } from "../../src/reader/mod.ts";
import { ConsumerGroupDescribe, DeleteRecords, ListOffsets, Metadata, OffsetFetch } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { type AdminStage, adminStage } from "./stage.ts";

const orders = (partition: number) => ({ topic: "orders", partition }) as const;

/** Five records in each of three partitions, a second apart. */
async function fill(s: AdminStage): Promise<void> {
  const producer = s.producer();
  await s.run(
    producer.sendBatch(
      Array.from({ length: 15 }, (_, i) => ({ ...orders(i % 3), value: String(i), timestamp: 1_000 * (1 + i) })),
    ).all(),
  );
  await s.run(producer.close());
}

test("admin offsets: earliest, latest, at a time, of the latest timestamp, each from its leader", async (t) => {
  const s = adminStage(t, { brokers: 3 });
  await fill(s);
  s.cluster.deleteRecords("orders", 0, 2n);
  const found = await s.each(s.admin.listOffsets([
    { ...orders(0), at: "earliest" },
    { ...orders(1) },
    { ...orders(2), at: { timestamp: 4_000 } },
  ]));
  assert.deepEqual(found, [
    { ...orders(0), offset: 2n, timestamp: -1, leaderEpoch: 0 },
    { ...orders(1), offset: 5n, timestamp: -1, leaderEpoch: 0 },
    { ...orders(2), offset: 1n, timestamp: 6_000, leaderEpoch: 0 },
  ]);
  assert.deepEqual(
    await s.each(s.admin.listOffsets([
      { ...orders(1), at: "maxTimestamp" },
      { ...orders(2), at: { timestamp: 99_000 } },
      { ...orders(7) },
      { topic: "nowhere", partition: 0 },
    ])),
    [
      { ...orders(1), offset: 4n, timestamp: 14_000, leaderEpoch: 0 },
      { ...orders(2), offset: -1n, timestamp: -1, leaderEpoch: -1 },
      "UNKNOWN_TOPIC_OR_PARTITION",
      "UNKNOWN_TOPIC_OR_PARTITION",
    ],
  );
});

test("admin offsets: a leader that has moved is looked up again", async (t) => {
  const s = adminStage(t, { brokers: 2, topics: { orders: { partitions: 2, replicationFactor: 2 } } });
  await s.run(s.admin.listTopics());
  const yesterday = s.cluster.view;
  s.cluster.moveLeader("orders", 0, s.cluster.partition("orders", 0).leaderId === 1 ? 2 : 1);
  s.cluster.control(Metadata, { view: yesterday }, { times: 1 });
  assert.deepEqual(await s.each(s.admin.listOffsets([orders(0), orders(1)])), [
    { ...orders(0), offset: 0n, timestamp: -1, leaderEpoch: 1 },
    { ...orders(1), offset: 0n, timestamp: -1, leaderEpoch: 0 },
  ]);
});

test("admin offsets: a broker before 3.0 finds no latest timestamp, and is asked for the others", async (t) => {
  const s = adminStage(t, { release: "2.7" });
  const [max, latest] = await s.settled(s.admin.listOffsets([{ ...orders(0), at: "maxTimestamp" }, orders(1)]));
  assert.ok(max?.status === "rejected" && max.reason.code === "UNSUPPORTED_VERSION");
  assert.ok(latest?.status === "fulfilled" && latest.value.offset === 0n);
});

test("admin offsets: read_committed ends at the first open transaction", async (t) => {
  const s = adminStage(t);
  let level = -1;
  s.cluster.control(ListOffsets, (request) => void (level = request.isolationLevel));
  await s.each(s.admin.listOffsets([orders(0)], { isolation: "read_committed" }));
  assert.equal(level, 1);
  await s.each(s.admin.listOffsets([orders(0)]));
  assert.equal(level, 0);
});

test("admin records: those before an offset are deleted, and what is out of range is told", async (t) => {
  const s = adminStage(t, { brokers: 2 });
  await fill(s);
  assert.deepEqual(
    await s.each(s.admin.deleteRecords([
      { ...orders(0), before: 3n },
      { ...orders(1), before: "latest" },
      { ...orders(2), before: 99n },
    ])),
    [{ ...orders(0), lowWatermark: 3n }, { ...orders(1), lowWatermark: 5n }, "OFFSET_OUT_OF_RANGE"],
  );
  assert.deepEqual(s.cluster.partition("orders", 0).log.startOffset, 3n);
  s.cluster.control(DeleteRecords, { error: 6 }, { times: 1 });
  assert.deepEqual(await s.each(s.admin.deleteRecords([{ ...orders(2), before: 1n }])), [
    { ...orders(2), lowWatermark: 1n },
  ]);
});

test("admin groups: offsets are committed, listed, reset and deleted", async (t) => {
  const s = adminStage(t, { brokers: 3 });
  await fill(s);
  assert.deepEqual(
    await s.each(s.admin.alterConsumerGroupOffsets("g", [
      { ...orders(0), offset: 3n, metadata: "by hand" },
      { ...orders(1), offset: 4n },
      { ...orders(9), offset: 4n },
    ])),
    [{ ...orders(0), offset: 3n }, { ...orders(1), offset: 4n }, "UNKNOWN_TOPIC_OR_PARTITION"],
  );
  const last = { ...orders(0), offset: 2n ** 63n - 1n };
  assert.deepEqual(await s.each(s.admin.alterConsumerGroupOffsets("last", [last])), [last]);
  for (const offset of [-1n, 2n ** 63n]) {
    await assert.rejects(s.admin.alterConsumerGroupOffsets("g", [{ ...orders(0), offset }]).all(), {
      option: "offset",
    });
  }
  assert.deepEqual(await s.run(s.admin.listConsumerGroupOffsets("g")), [
    { ...orders(0), offset: 3n, leaderEpoch: -1, metadata: "by hand" },
    { ...orders(1), offset: 4n, leaderEpoch: -1, metadata: "" },
  ]);
  // What is listed of one group can be committed for another one.
  await s.each(s.admin.alterConsumerGroupOffsets("epochs", [{ ...orders(0), offset: 3n, leaderEpoch: 7 }]));
  const listed = await s.run(s.admin.listConsumerGroupOffsets("epochs"));
  await s.each(s.admin.alterConsumerGroupOffsets("copy", listed));
  assert.deepEqual(await s.run(s.admin.listConsumerGroupOffsets("copy")), [
    { ...orders(0), offset: 3n, leaderEpoch: 7, metadata: "" },
  ]);
  for (const leaderEpoch of [-2, 0.5, 2 ** 31]) {
    await assert.rejects(s.admin.alterConsumerGroupOffsets("g", [{ ...orders(0), offset: 0n, leaderEpoch }]).all(), {
      option: "leaderEpoch",
    });
  }
  const some = await s.run(s.admin.listConsumerGroupOffsets("g", { partitions: [orders(1), orders(2)] }));
  assert.deepEqual(some.map(({ offset, partition }) => [partition, offset]), [[1, 4n]]);
  assert.deepEqual(await s.each(s.admin.resetConsumerGroupOffsets("g", { to: "earliest" })), [
    { ...orders(0), offset: 0n },
    { ...orders(1), offset: 0n },
  ]);
  const partitions = [orders(0), orders(2)];
  // In partition 0 no record is that late: the group goes on behind its last one.
  assert.deepEqual(await s.each(s.admin.resetConsumerGroupOffsets("g", { to: { timestamp: 14_500 }, partitions })), [
    { ...orders(0), offset: 5n },
    { ...orders(2), offset: 4n },
  ]);
  assert.deepEqual(await s.each(s.admin.deleteConsumerGroupOffsets("g", [orders(0), orders(8)])), [
    orders(0),
    "UNKNOWN_TOPIC_OR_PARTITION",
  ]);
  assert.deepEqual((await s.run(s.admin.listConsumerGroupOffsets("g"))).map(({ partition }) => partition), [1, 2]);
  assert.deepEqual(await s.run(s.admin.listConsumerGroupOffsets("unheard of")), []);
});

test("admin groups: listed from every broker, described with who reads what, deleted when nobody is in them", async (t) => {
  const s = adminStage(t, { brokers: 3 });
  const ids = ["a", "b", "c", "d"];
  for (const id of ids) await s.each(s.admin.alterConsumerGroupOffsets(id, [{ ...orders(0), offset: 0n }]));
  const reader = new GroupReader({ brokers: s.cluster.bootstrap, groupId: "c", topics: ["orders"] }, s.runtime);
  const reading = (async () => {
    for await (const _ of reader) break;
  })();
  while (s.cluster.groups.get("c")?.state !== "Stable") await s.runtime.advance(50);
  const listed = await s.run(s.admin.listGroups());
  assert.deepEqual(listed.map(({ groupId, protocolType, state, type }) => [groupId, state, protocolType, type]), [
    ["a", "Empty", "", "classic"],
    ["b", "Empty", "", "classic"],
    ["c", "Stable", "consumer", "classic"],
    ["d", "Empty", "", "classic"],
  ]);
  assert.ok(listed.every(({ coordinator, groupId }) => s.cluster.coordinator("group", groupId)!.id === coordinator));
  assert.deepEqual((await s.run(s.admin.listGroups({ states: ["Stable"] }))).map(({ groupId }) => groupId), ["c"]);
  const [described, nobody] = await s.settled(s.admin.describeGroups(["c", "nobody"]));
  assert.ok(described?.status === "fulfilled");
  assert.deepEqual(described.value.members.map(({ assignment, clientHost }) => [assignment, clientHost]), [
    [[orders(0), orders(1), orders(2)], "/127.0.0.1"],
  ]);
  assert.ok(nobody?.status === "rejected" && nobody.reason.code === "GROUP_ID_NOT_FOUND");
  const altered = await s.errorOf(s.admin.alterConsumerGroupOffsets("c", [{ ...orders(0), offset: 1n }]));
  assert.match(altered.message, /UNKNOWN_MEMBER_ID \(25\): stop the members of group "c" first, /);
  assert.deepEqual(await s.each(s.admin.deleteConsumerGroupOffsets("c", [orders(0)])), ["GROUP_SUBSCRIBED_TO_TOPIC"]);
  assert.deepEqual(await s.each(s.admin.deleteGroups(["a", "c", "d"])), [
    { groupId: "a" },
    "NON_EMPTY_GROUP",
    { groupId: "d" },
  ]);
  assert.deepEqual((await s.run(s.admin.listGroups())).map(({ groupId }) => groupId), ["b", "c"]);
  await s.run(reader.close());
  await s.run(reading);
});

test("admin groups: one with the protocol of KIP-848 is described as well", async (t) => {
  const s = adminStage(t);
  await s.each(s.admin.alterConsumerGroupOffsets("classic", [{ ...orders(0), offset: 1n }]));
  const newer = (partitions: number[]) => ({
    ...{ groupId: "newer", groupState: "Stable", groupEpoch: 3, assignmentEpoch: 3, assignorName: "uniform" },
    ...{ errorCode: 0, errorMessage: null },
    members: [{
      ...{ memberId: "m", instanceId: "i", memberEpoch: 3, clientId: "c", clientHost: "/10.0.0.7" },
      ...{ subscribedTopicNames: ["orders"], targetAssignment: { topicPartitions: [] } },
      assignment: { topicPartitions: [{ topicId: "a".repeat(32), topicName: "orders", partitions }] },
    }],
  });
  let partitions = [0, 2];
  s.cluster.control(ConsumerGroupDescribe, {
    transform: (body) => ({
      ...body,
      groups: body.groups.map((group) => group.groupId === "newer" ? newer(partitions) : group),
    }),
  });
  const [described, classic, nobody] = await s.settled(s.admin.describeGroups(["newer", "classic", "nobody"]));
  assert.deepEqual(described, {
    status: "fulfilled",
    value: {
      ...{ groupId: "newer", type: "consumer", state: "Stable", protocolType: "consumer", protocol: "uniform" },
      coordinator: s.cluster.coordinator("group", "newer")!.id,
      members: [{
        ...{ memberId: "m", clientId: "c", clientHost: "/10.0.0.7", groupInstanceId: "i" },
        assignment: [orders(0), orders(2)],
      }],
    },
  });
  assert.ok(classic?.status === "fulfilled" && classic.value.type === "classic");
  assert.ok(nobody?.status === "rejected" && nobody.reason.code === "GROUP_ID_NOT_FOUND");
  partitions = [-1];
  const [wrong] = await s.settled(s.admin.describeGroups(["newer"]));
  assert.ok(wrong?.status === "rejected");
  assert.match(wrong.reason.message, /^Reading partition "-1" of an assignment: wanted 0 or more\.$/);
});

test("admin groups: brokers without the protocol of KIP-848 aren't asked about it", async (t) => {
  const s = adminStage(t, { release: "3.9" });
  const [nobody] = await s.settled(s.admin.describeGroups(["nobody"]));
  assert.ok(nobody?.status === "fulfilled" && nobody.value.state === "Dead" && nobody.value.type === "classic");
});

test("admin groups: a coordinator that has moved is found again", async (t) => {
  const s = adminStage(t, { brokers: 3 });
  await s.each(s.admin.alterConsumerGroupOffsets("g", [{ ...orders(0), offset: 0n }]));
  const other = s.cluster.coordinator("group", "g")!.id === 1 ? 2 : 1;
  s.cluster.control(OffsetFetch, () => {
    s.cluster.moveCoordinator("group", "g", other);
  }, { times: 1 });
  assert.deepEqual((await s.run(s.admin.listConsumerGroupOffsets("g"))).length, 1);
});

test("admin groups: a list that would lack the groups of one broker is no list", async (t) => {
  const s = adminStage(t, { brokers: 2 });
  const admin = s.newAdmin({ defaultApiTimeoutMs: 3_000, requestTimeoutMs: 500 });
  await s.run(admin.listGroups());
  s.cluster.stopBroker(2);
  s.cluster.control(Metadata, {
    transform: (body) => ({ ...body, brokers: [...body.brokers, { nodeId: 2, host: "gone", port: 1, rack: null }] }),
  });
  const failure = await s.failure(admin.listGroups(), 10_000);
  assert.equal(failure.name, "TimeoutError");
});

test("admin offsets: a group whose last offset was deleted is gone before Kafka 4, and stays from then on", async (t) => {
  for (const [release, left] of [["3.9", []], ["4.1", ["g"]]] as const) {
    const s = adminStage(t, { release, topics: { orders: 2 } });
    const places = [0, 1].map((partition) => ({ topic: "orders", partition }));
    await s.run(s.admin.alterConsumerGroupOffsets("g", places.map((place) => ({ ...place, offset: 0n }))).all());
    const groups = async (): Promise<string[]> => (await s.run(s.admin.listGroups())).map(({ groupId }) => groupId);
    await s.run(s.admin.deleteConsumerGroupOffsets("g", places.slice(0, 1)).all());
    assert.deepEqual(await groups(), ["g"]);
    await s.run(s.admin.deleteConsumerGroupOffsets("g", places.slice(1)).all());
    assert.deepEqual(await groups(), left, release);
  }
});
