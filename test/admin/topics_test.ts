/** Topics, as an admin client sees and changes them. */

import assert from "node:assert/strict";
import { KafkaError } from "../../src/errors.ts";
import { CreateTopics, DeleteTopics, Metadata } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { adminStage } from "./stage.ts";

const NOT_CONTROLLER = 41;
const QUOTA_EXCEEDED = 89;

test("admin topics: created, listed, described and deleted", async (t) => {
  const s = adminStage(t, { brokers: 3, topics: {} });
  const made = await s.run(
    s.admin.createTopics([
      { topic: "orders", partitions: 3, replicationFactor: 2, configs: { "retention.ms": 86_400_000 } },
      { topic: "plain" },
      { topic: "placed", assignments: [[3, 1], [2, 3]] },
    ]).all(),
  );
  assert.deepEqual(made.map(({ partitions, replicationFactor, topic }) => [topic, partitions, replicationFactor]), [
    ["orders", 3, 2],
    ["plain", 1, 3],
    ["placed", 2, 2],
  ]);
  assert.equal(made[0]!.topicId, s.cluster.topic("orders")!.id);
  assert.equal(made[0]!.configs.find(({ name }) => name === "retention.ms")?.value, "86400000");
  assert.deepEqual(await s.run(s.admin.listTopics()), [
    { topic: "orders", topicId: s.cluster.topic("orders")!.id, isInternal: false, partitions: 3 },
    { topic: "placed", topicId: s.cluster.topic("placed")!.id, isInternal: false, partitions: 2 },
    { topic: "plain", topicId: s.cluster.topic("plain")!.id, isInternal: false, partitions: 1 },
  ]);
  const [placed] = await s.run(s.admin.describeTopics(["placed"]).all());
  assert.deepEqual(placed!.partitions, [
    { partition: 0, leader: 3, leaderEpoch: 0, replicas: [3, 1], isr: [3, 1], offlineReplicas: [] },
    { partition: 1, leader: 2, leaderEpoch: 0, replicas: [2, 3], isr: [2, 3], offlineReplicas: [] },
  ]);
  assert.deepEqual(await s.each(s.admin.deleteTopics(["plain", "placed"])), [{ topic: "plain" }, { topic: "placed" }]);
  assert.deepEqual((await s.run(s.admin.listTopics())).map(({ topic }) => topic), ["orders"]);
});

test("admin topics: one that is refused does not fail the others, and each says why", async (t) => {
  const s = adminStage(t, { topics: { taken: 1 } });
  const created = await s.settled(s.admin.createTopics([
    { topic: "taken" },
    { topic: "no name" },
    { topic: "fine", partitions: 2 },
    { topic: "far", replicationFactor: 3 },
    { topic: "strange", assignments: [[9]] },
  ]));
  assert.deepEqual(created.map((it) => it.status === "fulfilled" ? it.value.topic : it.reason.code), [
    "TOPIC_ALREADY_EXISTS",
    "INVALID_TOPIC_EXCEPTION",
    "fine",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
  ]);
  const error = await s.errorOf(s.admin.createTopics([{ topic: "taken" }]));
  assert.ok(error instanceof KafkaError);
  assert.deepEqual([error.topic, error.errorCode, error.retriable], ["taken", 36, false]);
  assert.match(error.message, /^Topic "taken": the broker answered TOPIC_ALREADY_EXISTS \(36\): Topic 'taken' /);
  assert.deepEqual(await s.each(s.admin.deleteTopics(["nowhere", "fine"])), [
    "UNKNOWN_TOPIC_OR_PARTITION",
    { topic: "fine" },
  ]);
  const described = await s.settled(s.admin.describeTopics(["nowhere", "taken", "taken"]));
  assert.deepEqual(described.map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"]);
  const failure = await s.failure(s.admin.describeTopics(["taken", "nowhere"]).all());
  assert.equal(failure.code, "UNKNOWN_TOPIC_OR_PARTITION");
});

test("admin topics: more partitions are added, never fewer", async (t) => {
  const s = adminStage(t, { brokers: 2, topics: { orders: { partitions: 2, replicationFactor: 1 }, lines: 1 } });
  const results = await s.each(s.admin.createPartitions([
    { topic: "orders", partitions: 4, assignments: [[2], [1]] },
    { topic: "lines", partitions: 1 },
    { topic: "nowhere", partitions: 1 },
  ]));
  assert.deepEqual(results, [
    { topic: "orders", partitions: 4 },
    "INVALID_PARTITIONS",
    "UNKNOWN_TOPIC_OR_PARTITION",
  ]);
  assert.deepEqual(s.cluster.topic("orders")!.partitions.map(({ leaderId }) => leaderId).slice(2), [2, 1]);
  assert.deepEqual(await s.each(s.admin.createPartitions([{ topic: "lines", partitions: 3 }])), [
    { topic: "lines", partitions: 3 },
  ]);
});

test("admin topics: with validateOnly nothing is done, but said whether it could be", async (t) => {
  const s = adminStage(t, { topics: { orders: 1 } });
  const results = await s.settled(
    s.admin.createTopics([{ topic: "orders" }, { topic: "new", partitions: 7 }], { validateOnly: true }),
  );
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "fulfilled"]);
  assert.ok(results[1]!.status === "fulfilled" && results[1]!.value.partitions === 7);
  assert.equal(results[1]!.value.topicId, undefined);
  await s.each(s.admin.createPartitions([{ topic: "orders", partitions: 2 }], { validateOnly: true }));
  assert.equal(s.cluster.topic("new"), undefined);
  assert.equal(s.cluster.topic("orders")!.partitions.length, 1);
});

test("admin topics: an internal topic is listed when it is wanted", async (t) => {
  const s = adminStage(t, { topics: { orders: 1 } });
  s.cluster.control(Metadata, {
    transform: (body) => ({ ...body, topics: body.topics.map((topic) => ({ ...topic, isInternal: true })) }),
  });
  assert.deepEqual(await s.run(s.admin.listTopics()), []);
  assert.deepEqual((await s.run(s.admin.listTopics({ includeInternal: true }))).map((it) => it.isInternal), [true]);
});

test("admin topics: a controller that has changed is looked up again, and only what it left is asked again", async (t) => {
  const s = adminStage(t, { brokers: 3, topics: {} });
  s.cluster.control(CreateTopics, {
    transform: (body) => ({
      ...body,
      topics: body.topics.map((it, i) => i === 0 ? { ...it, errorCode: NOT_CONTROLLER } : it),
    }),
  }, { times: 1 });
  const before = s.cluster.requests.length;
  // The first of them was created by the broker that denies it: as if its answer had been lost.
  const results = await s.settled(s.admin.createTopics([{ topic: "first" }, { topic: "second" }]));
  assert.deepEqual(results.map((it) => it.status === "fulfilled" ? it.value.topic : it.reason.code), [
    "TOPIC_ALREADY_EXISTS",
    "second",
  ]);
  const asked = s.cluster.requests.slice(before).filter(({ api }) =>
    api.name === "CreateTopics" || api.name === "Metadata"
  );
  const creations = asked.filter(({ api }) => api.name === "CreateTopics").map(({ body }) =>
    (body as { topics: { name: string }[] }).topics.map(({ name }) => name)
  );
  assert.deepEqual(creations, [["first", "second"], ["first"]]);
  assert.equal(asked.at(-2)!.api.name, "Metadata");
});

test("admin topics: a quota of the controller is waited for", async (t) => {
  const s = adminStage(t, { topics: {} });
  s.cluster.control(CreateTopics, {
    respond: {
      throttleTimeMs: 2_000,
      topics: [{ name: "orders", topicId: "0".repeat(32), errorCode: QUOTA_EXCEEDED, errorMessage: null }],
    },
  }, { times: 1 });
  const startMs = s.runtime.now();
  assert.deepEqual((await s.run(s.admin.createTopics([{ topic: "orders" }]).all())).map(({ topic }) => topic), [
    "orders",
  ]);
  assert.ok(s.runtime.now() - startMs >= 2_000);
});

test("admin topics: a topic that was created by a request whose answer was lost is told with that doubt", async (t) => {
  const s = adminStage(t, { topics: {} });
  s.cluster.control(CreateTopics, { drop: "after" }, { times: 1 });
  const error = await s.errorOf(s.admin.createTopics([{ topic: "orders" }]));
  assert.equal(error.code, "TOPIC_ALREADY_EXISTS");
  assert.match(error.message, /already exists\. An earlier request of this call went unanswered, and may /);
  s.cluster.control(CreateTopics, { drop: "before" }, { times: 1 });
  assert.deepEqual((await s.run(s.admin.createTopics([{ topic: "lines" }]).all())).map(({ topic }) => topic), [
    "lines",
  ]);
});

test("admin topics: a topic that the answer leaves out is asked for again, one that was not asked for is passed over", async (t) => {
  const s = adminStage(t, { topics: { orders: 1 } });
  s.cluster.control(DeleteTopics, {
    respond: { throttleTimeMs: 0, responses: [{ name: "others", topicId: "0".repeat(32), errorCode: 0 }] },
  }, { times: 2 });
  assert.deepEqual(await s.each(s.admin.deleteTopics(["orders"])), [{ topic: "orders" }]);
  assert.equal(s.cluster.topic("orders"), undefined);
});

test("admin topics: an API that the broker lacks is told as such, whatever is asked of it next", async (t) => {
  const s = adminStage(t, { release: "2.3", topics: { orders: 1 } });
  const error = await s.errorOf(s.admin.deleteTopics(["orders"]));
  assert.equal(error.code, "UNSUPPORTED_VERSION");
  assert.match(error.message, /doesn't offer DeleteTopics at all\.$/);
  assert.equal((await s.run(s.admin.listTopics()))[0]!.topic, "orders");
  assert.ok(s.cluster.requests.some(({ api }) => api.name === "ApiVersions"));
});

test("admin topics: a broker before 2.4 wants both numbers, and is not asked without", async (t) => {
  const s = adminStage(t, { release: "2.3", topics: {} });
  const error = await s.errorOf(s.admin.createTopics([{ topic: "orders", partitions: 2 }]));
  assert.match(error.message, /^Give "partitions" and "replicationFactor" for topic "orders": /);
  const [made] = await s.run(
    s.admin.createTopics([{ topic: "orders", partitions: 2, replicationFactor: 1 }]).all(),
  );
  assert.deepEqual([made!.topicId, made!.partitions], [undefined, -1]);
  assert.equal(s.cluster.topic("orders")!.partitions.length, 2);
});
