/**
 * Metadata: what topics there are, and who leads their partitions.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import { ZERO_UUID } from "../../protocol/compile.ts";
import type { Metadata } from "../../protocol/messages/metadata.ts";
import {
  INVALID_TOPIC_EXCEPTION,
  LEADER_NOT_AVAILABLE,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import type { Call } from "./call.ts";
import { isTopicName, type Topic } from "../control/topic.ts";

type MetadataTopic = ResponseInputOf<typeof Metadata>["topics"][number];

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
    const byId = topicId !== ZERO_UUID;
    const key = byId ? topicId : name!;
    if (topics.has(key)) continue; // asked twice, told once
    const topic = byId ? view.topicById(topicId) : view.topic(name!);
    if (topic !== undefined) {
      topics.set(key, describe(call, topic));
    } else if (byId) {
      const noName = version >= FIRST_VERSION_WITH_NULL_NAMES ? null : "";
      topics.set(key, { errorCode: UNKNOWN_TOPIC_ID, name: noName, topicId, partitions: [] });
    } else {
      const errorCode = isTopicName(name!) ? UNKNOWN_TOPIC_OR_PARTITION : INVALID_TOPIC_EXCEPTION;
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
