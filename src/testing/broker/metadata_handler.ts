/**
 * Metadata and CreateTopics: what topics there are, and who leads their partitions.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { CreateTopics } from "../../protocol/messages/create_topics.ts";
import type { Metadata } from "../../protocol/messages/metadata.ts";
import {
  INVALID_CONFIG,
  INVALID_PARTITIONS,
  INVALID_REPLICATION_FACTOR,
  INVALID_REQUEST,
  LEADER_NOT_AVAILABLE,
  REQUEST_TIMED_OUT,
  TOPIC_ALREADY_EXISTS,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { KafkaError } from "../../errors.ts";
import type { Call } from "./call.ts";
import { isTopicName, type Topic } from "../control/topic.ts";
import { topicRules } from "../storage/topic_config.ts";

type MetadataTopic = ResponseInputOf<typeof Metadata>["topics"][number];
type CreatableTopic = RequestOf<typeof CreateTopics>["topics"][number];
type CreatedTopic = ResponseInputOf<typeof CreateTopics>["topics"][number];

const INVALID_TOPIC = 17;

const ZERO_ID = "0".repeat(32);
const FIRST_VERSION_WITH_NULL_NAMES = 12;
const FIRST_VERSION_WITH_EMPTY_LIST = 1;

/** Serves Metadata. */
export function serveMetadata(call: Call<typeof Metadata>): ResponseInputOf<typeof Metadata> {
  const { cluster, listener, request, version, view } = call;
  const known = cluster.brokers.filter((broker) => view.brokerIds.includes(broker.id));
  const wantsAll = request.topics === null ||
    (version < FIRST_VERSION_WITH_EMPTY_LIST && request.topics.length === 0);
  return {
    brokers: known.map((broker) => ({ nodeId: broker.id, ...broker.endpoint(listener), rack: broker.rack })),
    clusterId: cluster.clusterId,
    controllerId: known[0]?.id ?? -1,
    topics: wantsAll ? [...view.topics].map((topic) => describe(call, topic)) : askedTopics(call),
  };
}

function askedTopics(call: Call<typeof Metadata>): MetadataTopic[] {
  const { broker, cluster, request, version, view } = call;
  const topics = new Map<string, MetadataTopic>();
  for (const { name, topicId } of request.topics!) {
    const byId = topicId !== ZERO_ID;
    const key = byId ? topicId : name!;
    if (topics.has(key)) continue; // asked twice, told once
    const topic = byId ? view.topicById(topicId) : view.topic(name!);
    if (topic !== undefined) {
      topics.set(key, describe(call, topic));
    } else if (byId) {
      const noName = version >= FIRST_VERSION_WITH_NULL_NAMES ? null : "";
      topics.set(key, { errorCode: UNKNOWN_TOPIC_ID, name: noName, topicId, partitions: [] });
    } else {
      const errorCode = isTopicName(name!) ? UNKNOWN_TOPIC_OR_PARTITION : INVALID_TOPIC;
      topics.set(key, { errorCode, name, topicId, partitions: [] });
      // As in Kafka the topic comes into being behind the answer that doesn't know it yet.
      const isCreated = errorCode === UNKNOWN_TOPIC_OR_PARTITION && request.allowAutoTopicCreation;
      if (isCreated && !broker.isIsolated) cluster.autoCreate(name!);
    }
  }
  return [...topics.values()];
}

function describe({ view }: Call<typeof Metadata>, topic: Topic): MetadataTopic {
  const [first, ...rest] = view.partitionsOf(topic);
  // Kafka doesn't sort partitions by their number, so nobody may count on it.
  const partitions = first === undefined ? [] : [...rest, first];
  return {
    errorCode: 0,
    name: topic.name,
    topicId: topic.id,
    partitions: partitions.map((partition) => {
      const { isr, leaderEpoch, leaderId, replicas } = view.stateOf(partition)!;
      return {
        errorCode: leaderId < 0 ? LEADER_NOT_AVAILABLE : 0,
        partitionIndex: partition.index,
        leaderId,
        leaderEpoch,
        replicaNodes: replicas,
        isrNodes: isr,
        offlineReplicas: replicas.filter((id) => !view.brokerIds.includes(id)),
      };
    }),
  };
}

/** Serves CreateTopics. */
export function serveCreateTopics(
  { broker, cluster, request }: Call<typeof CreateTopics>,
): ResponseInputOf<typeof CreateTopics> {
  const names = request.topics.map(({ name }) => name);
  const unique = request.topics.filter(({ name }, i) => names.indexOf(name) === i);
  return {
    topics: unique.map((asked): CreatedTopic => {
      const isTwice = names.indexOf(asked.name) !== names.lastIndexOf(asked.name);
      const refused = isTwice ? { errorCode: INVALID_REQUEST, errorMessage: "Duplicate topic name." } : refuse(asked);
      if (refused !== undefined) return { name: asked.name, topicId: ZERO_ID, ...refused };
      if (cluster.topic(asked.name) !== undefined) {
        return {
          name: asked.name,
          topicId: ZERO_ID,
          errorCode: TOPIC_ALREADY_EXISTS,
          errorMessage: `Topic '${asked.name}' already exists.`,
        };
      }
      return create(asked);
    }),
  };

  function refuse(asked: CreatableTopic): { errorCode: number; errorMessage: string } | undefined {
    if (broker.isIsolated) return { errorCode: REQUEST_TIMED_OUT, errorMessage: "The controller can't be reached." };
    if (!isTopicName(asked.name)) {
      return { errorCode: INVALID_TOPIC, errorMessage: `Topic name '${asked.name}' is invalid.` };
    }
    if (asked.assignments.length === 0 && (asked.numPartitions < -1 || asked.numPartitions === 0)) {
      return { errorCode: INVALID_PARTITIONS, errorMessage: "Number of partitions was set to an invalid value." };
    }
    const replicas = asked.replicationFactor;
    if (asked.assignments.length === 0 && replicas !== -1 && (replicas < 1 || replicas > cluster.brokers.length)) {
      return {
        errorCode: INVALID_REPLICATION_FACTOR,
        errorMessage: `Unable to replicate the partition ${replicas} time(s): ` +
          `there are ${cluster.brokers.length} broker(s).`,
      };
    }
    try {
      topicRules(configOf(asked), cluster.release);
    } catch (error) {
      return { errorCode: INVALID_CONFIG, errorMessage: error instanceof KafkaError ? error.message : String(error) };
    }
    return undefined;
  }

  function create(asked: CreatableTopic): CreatedTopic {
    const partitions = asked.assignments.length || (asked.numPartitions === -1 ? 1 : asked.numPartitions);
    const replicationFactor = asked.assignments[0]?.brokerIds.length ??
      (asked.replicationFactor === -1 ? undefined : asked.replicationFactor);
    const config = configOf(asked);
    const topic = request.validateOnly ? undefined : cluster.createTopic(asked.name, {
      partitions,
      config,
      ...(replicationFactor === undefined ? {} : { replicationFactor }),
    });
    return {
      name: asked.name,
      errorCode: 0,
      errorMessage: null,
      topicId: topic?.id ?? ZERO_ID,
      numPartitions: partitions,
      replicationFactor: topic?.partitions[0]?.replicas.length ?? replicationFactor ?? 1,
      configs: Object.entries(config).map(([name, value]) => (
        { name, value: String(value), readOnly: false, configSource: 1, isSensitive: false }
      )),
    };
  }
}

function configOf({ configs }: CreatableTopic): Record<string, string> {
  return Object.fromEntries(configs.flatMap(({ name, value }) => value === null ? [] : [[name, value]]));
}
