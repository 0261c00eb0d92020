/**
 * KafkaJS's admin client and consumer against the embedded broker: what its users do with them in tests.
 *
 * It runs in this process, for the cluster does too; the broker is reached through a port.
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "../../scripts/lib/tools.mjs";

/** The releases that KafkaJS speaks with. */
const releases = ["3.9", "4.1"];

/** Runs it for each release; what fails is told by the call's name. */
export async function runKafkaJSAdmin({ tally }) {
  const { EmbeddedCluster } = await import(join(root, "dist/esm/testing.js"));
  const kafkajs = createRequire(import.meta.url)("kafkajs");
  await Promise.all(releases.map(async (release) => {
    const cluster = new EmbeddedCluster({ release, topics: { orders: 2 } });
    const listening = await cluster.listen();
    const problems = await attempts(kafkajs, cluster, listening.brokers.split(","));
    await cluster.close();
    tally.check(`embedded broker ${release}: KafkaJS's admin client and consumer`, [
      ...problems,
      ...cluster.failures.map(String),
    ]);
  }));
}

async function attempts({ ConfigResourceTypes, Kafka, logLevel, Partitioners }, cluster, brokers) {
  const kafka = new Kafka({
    ...{ brokers, logLevel: logLevel.NOTHING, retry: { retries: 2, initialRetryTime: 50 } },
    // Its second is too little for a machine that is busy.
    connectionTimeout: 20_000,
  });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  const consumer = kafka.consumer({ groupId: "readers", maxWaitTimeInMs: 50 });
  const problems = [];
  const attempt = async (name, run, wanted) => {
    try {
      const found = await run();
      if (wanted !== undefined) assert.deepEqual(found, wanted);
    } catch (error) {
      problems.push(`${name}: ${error.name} ${error.message}`);
    }
  };
  const topicConfig = { type: ConfigResourceTypes.TOPIC, name: "new" };
  const offsetsOf = async (options) => {
    const [{ partitions }] = await admin.fetchOffsets({ groupId: "readers", topics: ["orders"], ...options });
    return partitions.map(({ offset }) => offset);
  };
  try {
    await Promise.all([admin, producer, consumer].map((client) => client.connect()));
    const spec = { topic: "new", numPartitions: 3, configEntries: [{ name: "retention.ms", value: "1000" }] };
    await attempt("createTopics", () => admin.createTopics({ waitForLeaders: true, topics: [spec] }), true);
    await attempt("createTopics again", () => admin.createTopics({ topics: [spec] }), false);
    await attempt("listTopics", async () => (await admin.listTopics()).sort(), ["new", "orders"]);
    await attempt("createPartitions", () => admin.createPartitions({ topicPartitions: [{ topic: "new", count: 5 }] }));
    await attempt("fetchTopicMetadata", async () => {
      const { topics: [{ partitions }] } = await admin.fetchTopicMetadata({ topics: ["new"] });
      return partitions.length;
    }, 5);
    await attempt("describeConfigs", async () => {
      const { resources: [{ configEntries }] } = await admin.describeConfigs({
        ...{ includeSynonyms: false, resources: [{ ...topicConfig, configNames: ["retention.ms"] }] },
      });
      return configEntries.map(({ configValue }) => configValue);
    }, ["1000"]);
    await attempt("describeCluster", async () => (await admin.describeCluster()).brokers.length, 1);
    const messages = ["a", "b", "c"].map((value, partition) => ({ value, partition: partition % 2 }));
    await attempt("send", async () => (await producer.send({ topic: "orders", messages })).length, 2);
    await attempt("fetchTopicOffsets", async () => {
      const offsets = await admin.fetchTopicOffsets("orders");
      return offsets.sort((a, b) => a.partition - b.partition).map(({ high }) => high);
    }, ["2", "1"]);
    await attempt(
      "fetchTopicOffsetsByTimestamp",
      () => admin.fetchTopicOffsetsByTimestamp("orders", Date.now() - 60_000),
    );
    await attempt("consumer.run", () => readAll(consumer, 3), ["a", "b", "c"]);
    await attempt("consumer.describeGroup", async () => (await consumer.describeGroup()).state, "Stable");
    await attempt("listGroups", async () => (await admin.listGroups()).groups.map(({ groupId }) => groupId), [
      "readers",
    ]);
    await attempt("describeGroups", async () => {
      const { groups: [{ members, state }] } = await admin.describeGroups(["readers"]);
      return [state, members.length];
    }, ["Stable", 1]);
    await consumer.disconnect();
    await attempt("fetchOffsets", () => offsetsOf(), ["2", "1"]);
    const partitions = [{ partition: 0, offset: "1" }];
    // Each joins a group of its own, and KafkaJS leaves it only after a fetch that waits for five seconds.
    const groups = { setOffsets: "set", resetOffsets: "reset" };
    await Promise.all([
      attempt("setOffsets", () => admin.setOffsets({ groupId: groups.setOffsets, topic: "orders", partitions })),
      attempt(
        "resetOffsets",
        () => admin.resetOffsets({ groupId: groups.resetOffsets, topic: "orders", earliest: true }),
      ),
      attempt("fetchOffsets resolved", () => offsetsOf({ resolveOffsets: true }), ["2", "1"]),
    ]);
    await attempt("setOffsets was done", async () => (await offsetsOf({ groupId: groups.setOffsets }))[0], "1");
    await attempt("deleteTopicRecords", () => admin.deleteTopicRecords({ topic: "orders", partitions }));
    await attempt("deleteTopicRecords was done", async () => (await cluster.records("orders", 0)).length, 1);
    await attempt("deleteGroups", () => admin.deleteGroups(["readers"]), [{ groupId: "readers", errorCode: 0 }]);
    await attempt("deleteTopics", () => admin.deleteTopics({ topics: ["new"] }));
    await attempt("listTopics at the end", () => admin.listTopics(), ["orders"]);
    const acl = { resourceType: 2, resourceName: "a", resourcePatternType: 3, principal: "User:a", host: "*" };
    const refused = await admin.createAcls({ acl: [{ ...acl, operation: 2, permissionType: 3 }] }).catch((error) =>
      error
    );
    await attempt("what isn't served is refused in words", () => [refused.name, /not support/.test(refused.message)], [
      "KafkaJSServerDoesNotSupportApiKey",
      true,
    ]);
  } finally {
    await Promise.all([admin, producer, consumer].map((client) => client.disconnect()));
  }
  return problems;
}

/** The values of so many records, sorted. */
async function readAll(consumer, count) {
  await consumer.subscribe({ topics: ["orders"], fromBeginning: true });
  const values = [];
  let timer;
  await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${values.length} of ${count} records came within 60 s`)), 60_000);
    const eachMessage = ({ message }) => {
      if (values.push(message.value.toString()) === count) resolve(undefined);
      return Promise.resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  }).finally(() => clearTimeout(timer));
  return values.sort();
}
