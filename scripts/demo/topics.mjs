/** Creates topics and reads them back, with the project's own protocol code and sockets. Needs `dist`. */

import { parseAddresses } from "../../dist/src/cluster/address.js";
import { Cluster } from "../../dist/src/cluster/cluster.js";
import { CreateTopics } from "../../dist/src/protocol/messages/create_topics.js";
import { selectRuntime, selectSockets } from "../../dist/src/runtime/mod.js";
import { readTopic } from "../../dist/src/testing/mod.js";
import { ContentDigest } from "./digest.mjs";

const topicAlreadyExists = 36;
const timeoutMs = 30_000;

/** Creates a topic under each of the names, or under the name with a number where the broker has it already. */
export async function createTopics(brokers, names, partitions) {
  const cluster = new Cluster(selectRuntime(), {
    bootstrap: parseAddresses(brokers),
    clientId: "sluice-demo",
    connectTimeoutMs: 10_000,
    connectionMaxIdleMs: 540_000,
    maxResponseSize: 104_857_600,
    requestTimeoutMs: timeoutMs,
    retryBackoffMs: 100,
    retryBackoffMaxMs: 1_000,
    reconnectBackoffMs: 50,
    reconnectBackoffMaxMs: 1_000,
    metadataMaxAgeMs: 300_000,
    metadataMaxIdleMs: 300_000,
    allowAutoTopicCreation: false,
  }, { onMetadata() {}, wantsMetadata: () => false, usesTopic: () => false });
  try {
    const connection = await cluster.anyConnection();
    const created = [];
    for (const name of names) created.push(await createOne(connection, name, partitions));
    return created;
  } finally {
    cluster.close();
  }
}

async function createOne(connection, wanted, partitions) {
  for (let attempt = 1; attempt <= 100; attempt++) {
    const name = attempt === 1 ? wanted : `${wanted}-${attempt}`;
    const { topics } = await connection.request(CreateTopics, connection.version(CreateTopics), {
      topics: [{ name, numPartitions: partitions, replicationFactor: -1, assignments: [], configs: [] }],
      timeoutMs,
      validateOnly: false,
    }, timeoutMs + 5_000);
    const { errorCode, errorMessage } = topics[0];
    if (errorCode === 0) return name;
    if (errorCode !== topicAlreadyExists) {
      throw new Error(`Creating topic "${name}" failed with error ${errorCode}: ${errorMessage ?? "no reason given"}`);
    }
  }
  throw new Error(`Topics "${wanted}" to "${wanted}-100" exist already, wanted a free name`);
}

/** Reads a topic from its beginning to its end. */
export async function digestTopic(brokers, topic) {
  const digest = new ContentDigest();
  for await (const { partition, key, value } of readTopic({ brokers, topic, sockets: selectSockets() })) {
    digest.add(partition, key, value);
  }
  return digest.finish();
}
