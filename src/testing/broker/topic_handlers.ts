/**
 * CreateTopics, CreatePartitions and DeleteTopics: what the controller does for clients.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import { ZERO_UUID } from "../../protocol/compile.ts";
import type { CreatePartitions, CreateTopics, DeleteTopics } from "../../protocol/messages/mod.ts";
import {
  INVALID_CONFIG,
  INVALID_PARTITIONS,
  INVALID_REPLICA_ASSIGNMENT,
  INVALID_REPLICATION_FACTOR,
  INVALID_REQUEST,
  INVALID_TOPIC_EXCEPTION,
  REQUEST_TIMED_OUT,
  TOPIC_ALREADY_EXISTS,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { KafkaError } from "../../errors.ts";
import { isTopicName, type Topic, type TopicSpec } from "../control/topic.ts";
import { topicRules } from "../storage/topic_config.ts";
import { checkTopicConfig } from "../storage/topic_config_table.ts";
import type { Call } from "./call.ts";
import { describeTopicConfigs } from "./config_handlers.ts";
import type { BrokerHost } from "./host.ts";

type CreatableTopic = RequestOf<typeof CreateTopics>["topics"][number];
type CreatedTopic = ResponseInputOf<typeof CreateTopics>["topics"][number];
type AskedPartitions = RequestOf<typeof CreatePartitions>["topics"][number];

/** Why something isn't done. */
interface Refusal {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

const DELETE_WITH_IDS = 6;
const BROKERS_DEFAULT = -1;
const UNREACHED: Refusal = { errorCode: REQUEST_TIMED_OUT, errorMessage: "The controller can't be reached." };
const TWICE: Refusal = { errorCode: INVALID_REQUEST, errorMessage: "Duplicate topic name." };

/** Serves CreateTopics. */
export function serveCreateTopics(call: Call<typeof CreateTopics>): ResponseInputOf<typeof CreateTopics> {
  const { broker, cluster, request } = call;
  const names = request.topics.map(({ name }) => name);
  const unique = request.topics.filter(({ name }, i) => names.indexOf(name) === i);
  return {
    topics: unique.map((asked): CreatedTopic => {
      const isTwice = names.indexOf(asked.name) !== names.lastIndexOf(asked.name);
      const refused = isTwice ? TWICE : broker.isIsolated ? UNREACHED : refuseCreation(cluster, asked);
      if (refused !== undefined) return { name: asked.name, topicId: ZERO_UUID, ...refused };
      return create(cluster, asked, request.validateOnly);
    }),
  };
}

function refuseCreation(cluster: BrokerHost, asked: CreatableTopic): Refusal | undefined {
  const { assignments, name } = asked;
  if (!isTopicName(name)) {
    return { errorCode: INVALID_TOPIC_EXCEPTION, errorMessage: `Topic name '${name}' is invalid.` };
  }
  if (cluster.topic(name) !== undefined) {
    return { errorCode: TOPIC_ALREADY_EXISTS, errorMessage: `Topic '${name}' already exists.` };
  }
  const refusal = assignments.length > 0 ? refusePlaces(cluster, asked) : refuseNumbers(cluster, asked);
  if (refusal !== undefined) return refusal;
  try {
    for (const [name, value] of Object.entries(configOf(asked))) checkTopicConfig(cluster.release, name, value);
    topicRules(configOf(asked), cluster.release);
  } catch (error) {
    return { errorCode: INVALID_CONFIG, errorMessage: error instanceof KafkaError ? error.message : String(error) };
  }
  return undefined;
}

function refuseNumbers(
  { brokers }: BrokerHost,
  { numPartitions, replicationFactor: replicas }: CreatableTopic,
): Refusal | undefined {
  if (numPartitions < BROKERS_DEFAULT || numPartitions === 0) {
    const errorMessage = "Number of partitions was set to an invalid non-positive value.";
    return { errorCode: INVALID_PARTITIONS, errorMessage };
  }
  if (replicas === BROKERS_DEFAULT || (replicas >= 1 && replicas <= brokers.length)) return undefined;
  const errorMessage = `Unable to replicate the partition ${replicas} time(s): there are ${brokers.length} broker(s).`;
  return { errorCode: INVALID_REPLICATION_FACTOR, errorMessage };
}

function refusePlaces(
  cluster: BrokerHost,
  { assignments, numPartitions, replicationFactor }: CreatableTopic,
): Refusal | undefined {
  if (numPartitions !== BROKERS_DEFAULT || replicationFactor !== BROKERS_DEFAULT) {
    const errorMessage = "A manual partition assignment was specified, but the numbers were not set to -1.";
    return { errorCode: INVALID_REQUEST, errorMessage };
  }
  const places = inOrder(assignments);
  if (places.every(({ partitionIndex }, i) => partitionIndex === i)) {
    return refuseAssignment(cluster, places.map(({ brokerIds }) => brokerIds));
  }
  const errorMessage = "partitions should be a consecutive 0-based integer sequence";
  return { errorCode: INVALID_REPLICA_ASSIGNMENT, errorMessage };
}

function inOrder(assignments: CreatableTopic["assignments"]): CreatableTopic["assignments"] {
  return [...assignments].sort((a, b) => a.partitionIndex - b.partitionIndex);
}

/** Why partitions can't be placed like that; the first one says how many replicas each is to have. */
function refuseAssignment(
  { brokers }: BrokerHost,
  assignments: readonly (readonly number[])[],
  replicas: number | undefined = assignments[0]?.length,
): Refusal | undefined {
  const refuse = (errorMessage: string): Refusal => ({ errorCode: INVALID_REPLICA_ASSIGNMENT, errorMessage });
  for (const ids of assignments) {
    if (ids.length === 0) return refuse("The manual partition assignment includes an empty replica list.");
    if (new Set(ids).size < ids.length) {
      return refuse("The manual partition assignment includes the same broker more than once.");
    }
    const stranger = ids.find((id) => !brokers.some((broker) => broker.id === id));
    if (stranger !== undefined) {
      return refuse(`The manual partition assignment includes broker ${stranger}, but no such broker is registered.`);
    }
    if (ids.length !== replicas) {
      return refuse(
        `The manual partition assignment includes a partition with ${ids.length} replica(s), but this is not ` +
          `consistent with previous partitions, which have ${replicas} replica(s).`,
      );
    }
  }
  return undefined;
}

function create(cluster: BrokerHost, asked: CreatableTopic, validateOnly: boolean): CreatedTopic {
  const config = configOf(asked);
  const topic = validateOnly ? undefined : cluster.createTopic(asked.name, { ...spaceOf(asked), config });
  return {
    name: asked.name,
    errorCode: 0,
    errorMessage: null,
    topicId: topic?.id ?? ZERO_UUID,
    ...sizeOf(asked, topic),
    configs: describeTopicConfigs(cluster, config, false).map((
      { configSource, isSensitive, name, readOnly, value },
    ) => (
      { name, value, readOnly, configSource, isSensitive }
    )),
  };
}

/** What was made, or would be. */
function sizeOf(
  asked: CreatableTopic,
  topic: Topic | undefined,
): { readonly numPartitions: number; readonly replicationFactor: number } {
  if (topic !== undefined) {
    return { numPartitions: topic.partitions.length, replicationFactor: topic.partitions[0]!.replicas.length };
  }
  const { assignments = [], partitions = assignments.length || 1, replicationFactor = 1 } = spaceOf(asked);
  return { numPartitions: partitions, replicationFactor: assignments[0]?.length ?? replicationFactor };
}

/** How many partitions on how many brokers, or on which; what isn't said is left out. */
function spaceOf({ assignments, numPartitions, replicationFactor }: CreatableTopic): TopicSpec {
  return {
    ...(assignments.length > 0 ? { assignments: inOrder(assignments).map(({ brokerIds }) => brokerIds) } : {}),
    ...(numPartitions === BROKERS_DEFAULT ? {} : { partitions: numPartitions }),
    ...(replicationFactor === BROKERS_DEFAULT ? {} : { replicationFactor }),
  };
}

function configOf({ configs }: CreatableTopic): Record<string, string> {
  return Object.fromEntries(configs.flatMap(({ name, value }) => value === null ? [] : [[name, value]]));
}

/** Serves CreatePartitions. */
export function serveCreatePartitions(call: Call<typeof CreatePartitions>): ResponseInputOf<typeof CreatePartitions> {
  const { broker, cluster, request } = call;
  const names = request.topics.map(({ name }) => name);
  const unique = request.topics.filter(({ name }, i) => names.indexOf(name) === i);
  return {
    throttleTimeMs: 0,
    results: unique.map((asked) => {
      const isTwice = names.indexOf(asked.name) !== names.lastIndexOf(asked.name);
      const topic = cluster.topic(asked.name);
      const refused = isTwice ? TWICE : broker.isIsolated ? UNREACHED : refusePartitions(cluster, topic, asked);
      if (refused !== undefined) return { name: asked.name, ...refused };
      const assignments = asked.assignments?.map(({ brokerIds }) => brokerIds);
      if (!request.validateOnly) cluster.addPartitions(asked.name, asked.count, assignments);
      return { name: asked.name, errorCode: 0, errorMessage: null };
    }),
  };
}

function refusePartitions(
  cluster: BrokerHost,
  topic: Topic | undefined,
  { assignments, count, name }: AskedPartitions,
): Refusal | undefined {
  if (topic === undefined) return { errorCode: UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null };
  const has = topic.partitions.length;
  if (count === has) {
    return { errorCode: INVALID_PARTITIONS, errorMessage: `Topic already has ${has} partition(s).` };
  }
  if (count < has) {
    const errorMessage = `The topic ${name} currently has ${has} partition(s); ${count} would not be an increase.`;
    return { errorCode: INVALID_PARTITIONS, errorMessage };
  }
  if (assignments === null) return undefined;
  if (assignments.length !== count - has) {
    const errorMessage = `Attempted to add ${count - has} additional partition(s), but only ${assignments.length} ` +
      "assignment(s) were specified.";
    return { errorCode: INVALID_REPLICA_ASSIGNMENT, errorMessage };
  }
  return refuseAssignment(cluster, assignments.map(({ brokerIds }) => brokerIds), topic.partitions[0]!.replicas.length);
}

/** Serves DeleteTopics: by name, or from version 6 on by id. */
export function serveDeleteTopics(call: Call<typeof DeleteTopics>): ResponseInputOf<typeof DeleteTopics> {
  const { broker, cluster, request, version } = call;
  const asked = version < DELETE_WITH_IDS
    ? request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }))
    : request.topics;
  const topics = asked.map(({ name, topicId }) => {
    const topic = name === null ? call.view.topicById(topicId) : cluster.topic(name);
    return { name, topicId, topic };
  });
  return {
    throttleTimeMs: 0,
    responses: topics.map(({ name, topic, topicId }) => {
      const body = { name, topicId, errorMessage: null };
      if (name !== null && topicId !== ZERO_UUID) {
        return {
          ...body,
          errorCode: INVALID_REQUEST,
          errorMessage: "You may not specify both topic name and topic id.",
        };
      }
      const isTwice = topics.filter((other) => other.topic === topic).length > 1;
      if (topic === undefined) {
        return { ...body, errorCode: name === null ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION };
      }
      if (isTwice) return { ...body, ...TWICE };
      if (broker.isIsolated) return { ...body, ...UNREACHED };
      cluster.deleteTopic(topic.name);
      return { name: topic.name, topicId: topic.id, errorCode: 0, errorMessage: null };
    }),
  };
}
