/**
 * Topics: listed, described, created, given more partitions, deleted.
 *
 * @module
 */

import { readList, readOptions } from "../call_options.ts";
import { ConfigError, type KafkaError, UnsupportedVersionError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { CreatePartitions } from "../protocol/messages/create_partitions.ts";
import { CreateTopics } from "../protocol/messages/create_topics.ts";
import { DeleteTopics } from "../protocol/messages/delete_topics.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import { show } from "../show.ts";
import { checkConfigs, checkCount, checkFlag, checkName, readDistinct, readFields } from "./arguments.ts";
import { ATTEMPTS_AT_NEW_TOPICS, type Call, CALL_OPTIONS, type CallOptions } from "./call.ts";
import { type ConfigEntry, configEntry } from "./config_entry.ts";
import type { Dispatcher, TopicMetadata } from "./dispatcher.ts";
import type { AdminResult } from "./results.ts";

/** A topic as a list names it. */
export interface TopicListing {
  /** Its name. */
  readonly topic: string;
  /** Its id, 32 hexadecimal digits; undefined from brokers before Kafka 2.8. */
  readonly topicId: string | undefined;
  /** It is one of Kafka's own, such as `__consumer_offsets`. */
  readonly isInternal: boolean;
  /** How many partitions it has. */
  readonly partitions: number;
}

/** A topic in full. */
export interface TopicDescription extends Omit<TopicListing, "partitions"> {
  /** Its partitions, by number. */
  readonly partitions: readonly PartitionDescription[];
}

/** A partition and who holds it. */
export interface PartitionDescription {
  /** Its number. */
  readonly partition: number;
  /** The node id of its leader, −1 while it has none. */
  readonly leader: number;
  /** Counts its elections; −1 from brokers before Kafka 2.4. */
  readonly leaderEpoch: number;
  /** The node ids of the brokers that hold it, the preferred leader first. */
  readonly replicas: readonly number[];
  /** Those of them that are in sync. */
  readonly isr: readonly number[];
  /** Those of them that are down. */
  readonly offlineReplicas: readonly number[];
}

/** A topic to be created. */
export interface NewTopic {
  /** Its name: letters, digits, `.`, `_` and `-`, at most 249. */
  readonly topic: string;
  /** How many partitions. @default `num.partitions` of the broker */
  readonly partitions?: number | undefined;
  /** On how many brokers each of them is. @default `default.replication.factor` of the broker */
  readonly replicationFactor?: number | undefined;
  /** The brokers of each partition, the preferred leader first, in place of both numbers. @default as the broker likes */
  readonly assignments?: Iterable<readonly number[]> | undefined;
  /** Configs by Kafka's names, such as `{ "retention.ms": 86_400_000 }`. @default none */
  readonly configs?: Readonly<Record<string, string | number | bigint | boolean>> | undefined;
}

/** A topic that was created, or, with `validateOnly`, would be. */
export interface CreatedTopic {
  /** Its name. */
  readonly topic: string;
  /** Its id; undefined with `validateOnly`, and from brokers before Kafka 2.8. */
  readonly topicId: string | undefined;
  /** How many partitions it has; −1 when it isn't told (brokers before Kafka 2.4, a principal without DESCRIBE_CONFIGS). */
  readonly partitions: number;
  /** On how many brokers each is; −1 likewise. */
  readonly replicationFactor: number;
  /** Its configs, those by default included; empty when they aren't told. */
  readonly configs: readonly ConfigEntry[];
}

/** A topic that is to have more partitions. */
export interface NewPartitions {
  /** Its name. */
  readonly topic: string;
  /** How many it is to have in all. */
  readonly partitions: number;
  /** The brokers of each new partition, the preferred leader first. @default as the broker likes */
  readonly assignments?: Iterable<readonly number[]> | undefined;
}

/** Options of calls that can be tried without doing anything. */
export interface ChangeOptions extends CallOptions {
  /** Only say whether it could be done. @default false */
  readonly validateOnly?: boolean | undefined;
}

/** Options of a list of topics. */
export interface ListTopicsOptions extends CallOptions {
  /** Kafka's own topics too. @default false */
  readonly includeInternal?: boolean | undefined;
}

const BROKERS_DEFAULT = -1;
/** From this version on CreateTopics takes the broker's defaults (KIP-464). */
const CREATE_WITH_DEFAULTS = 4;
/** From this version on DeleteTopics has a list of structs. */
const DELETE_WITH_STRUCTS = 6;
const MAX_REPLICAS = 32_767;
const NO_ID = "0".repeat(32);
const CHANGE_OPTIONS = ["validateOnly", ...CALL_OPTIONS] as const;

/** The options of a call that changes something. */
export function readChangeOptions(
  call: string,
  options: unknown,
): { readonly validateOnly: boolean; readonly timeoutMs?: unknown; readonly signal?: unknown } {
  const read = readOptions(call, options, CHANGE_OPTIONS);
  return { ...read, validateOnly: checkFlag("validateOnly", read.validateOnly, false) };
}

/** Lists the topics that the principal may describe. */
export async function listTopics(
  dispatcher: Dispatcher,
  call: Call,
  includeInternal: boolean,
): Promise<TopicListing[]> {
  const { topics } = await call.one(() => dispatcher.metadata(call, null));
  return topics.filter(({ errorCode, isInternal, name }) =>
    name !== null && errorCode === 0 && (includeInternal || !isInternal)
  )
    .map((topic) => ({ ...listingOf(topic), partitions: topic.partitions.length }))
    .sort((a, b) => a.topic < b.topic ? -1 : 1);
}

/** Describes topics. */
export function describeTopics(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<TopicDescription>[]> {
  const names = readList("topics", given, "names of topics", (name) => checkName("topic", name));
  return call.each([...names.entries()], async (left) => {
    const { topics } = await dispatcher.metadata(call, [...new Set(left.map(([, name]) => name))]);
    const byName = new Map(topics.map((topic) => [topic.name, topic]));
    return answered(left, ([, name]) => {
      const topic = byName.get(name);
      if (topic === undefined) return undefined;
      return topic.errorCode === 0 ? descriptionOf(topic) : brokerError(topic.errorCode, { topic: name });
    });
  }, { unknownTopicAttempts: ATTEMPTS_AT_NEW_TOPICS });
}

/** Creates topics. */
export function createTopics(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
  validateOnly: boolean,
): Promise<AdminResult<CreatedTopic>[]> {
  const wanted = readDistinct("topics", given, "topics", readNewTopic, ({ name }) => name);
  return call.each(wanted, async (left) => {
    const answer = await dispatcher.ask(call, "controller", CreateTopics, (version) => {
      if (version < CREATE_WITH_DEFAULTS) left.forEach(refuseDefaults);
      return { topics: left, timeoutMs: call.brokerTimeoutMs, validateOnly };
    });
    const byName = new Map(answer.topics.map((topic) => [topic.name, topic]));
    return answered(left, ({ name }) => {
      const topic = byName.get(name);
      if (topic === undefined) return undefined;
      if (topic.errorCode !== 0) return brokerError(topic.errorCode, { topic: name, detail: topic.errorMessage });
      return createdOf(topic, validateOnly);
    });
  }, { isChange: !validateOnly });
}

/** Gives topics more partitions. */
export function createPartitions(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
  validateOnly: boolean,
): Promise<AdminResult<{ readonly topic: string; readonly partitions: number }>[]> {
  const wanted = readDistinct("topics", given, "topics", readNewPartitions, ({ name }) => name);
  return call.each(wanted, async (left) => {
    const body = { topics: left, timeoutMs: call.brokerTimeoutMs, validateOnly };
    const { results } = await dispatcher.ask(call, "controller", CreatePartitions, body);
    const byName = new Map(results.map((result) => [result.name, result]));
    return answered(left, ({ count, name }) => {
      const result = byName.get(name);
      if (result === undefined) return undefined;
      if (result.errorCode !== 0) return brokerError(result.errorCode, { topic: name, detail: result.errorMessage });
      return { topic: name, partitions: count };
    });
  }, { isChange: !validateOnly });
}

/** Deletes topics. */
export function deleteTopics(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<{ readonly topic: string }>[]> {
  const read = (name: unknown): { readonly topic: string } => ({ topic: checkName("topic", name) });
  const names = readDistinct("topics", given, "topics", read, ({ topic }) => topic);
  return call.each(names, async (left) => {
    const { responses } = await dispatcher.ask(call, "controller", DeleteTopics, (version) => {
      const topics = left.map(({ topic }) => topic);
      const timeoutMs = call.brokerTimeoutMs;
      return version < DELETE_WITH_STRUCTS
        ? { topicNames: topics, timeoutMs }
        : { topics: topics.map((name) => ({ name, topicId: NO_ID })), timeoutMs };
    });
    const byName = new Map(responses.map((response) => [response.name, response]));
    return answered(left, ({ topic }) => {
      const response = byName.get(topic);
      if (response === undefined) return undefined;
      if (response.errorCode === 0) return { topic };
      return brokerError(response.errorCode, { topic, detail: response.errorMessage });
    });
  }, { isChange: true });
}

/** What was answered for each thing; one that the answer leaves out is left out. */
export function answered<I, T>(
  items: readonly I[],
  answerOf: (item: I) => T | KafkaError | undefined,
): Map<I, T | KafkaError> {
  const answers = new Map<I, T | KafkaError>();
  for (const item of items) {
    const answer = answerOf(item);
    if (answer !== undefined) answers.set(item, answer);
  }
  return answers;
}

type CreatableTopic = ReturnType<typeof readNewTopic>;

function readNewTopic(item: unknown) {
  const known = ["topic", "partitions", "replicationFactor", "assignments", "configs"] as const;
  const { assignments, configs, partitions, replicationFactor, topic } = readFields("a new topic", item, known);
  const assigned = readAssignments(assignments);
  if (assigned.length > 0 && (partitions !== undefined || replicationFactor !== undefined)) {
    const message = 'Leave out "partitions" and "replicationFactor" beside "assignments", which say both.';
    throw new ConfigError("assignments", message);
  }
  return {
    name: checkName("topic", topic),
    numPartitions: partitions === undefined ? BROKERS_DEFAULT : checkCount("partitions", partitions, 1),
    replicationFactor: replicationFactor === undefined
      ? BROKERS_DEFAULT
      : checkCount("replicationFactor", replicationFactor, 1, MAX_REPLICAS),
    assignments: assigned.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
    configs: checkConfigs("configs", configs),
  };
}

function readNewPartitions(item: unknown) {
  const known = ["topic", "partitions", "assignments"] as const;
  const { assignments, partitions, topic } = readFields("new partitions", item, known);
  return {
    name: checkName("topic", topic),
    count: checkCount("partitions", partitions, 1),
    assignments: assignments === undefined ? null : readAssignments(assignments).map((brokerIds) => ({ brokerIds })),
  };
}

function readAssignments(value: unknown): number[][] {
  if (value === undefined) return [];
  return readList("assignments", value, "lists of broker ids", (partition) => {
    const ids = readList("assignments", partition, "broker ids", (id) => checkCount("assignments", id, 0));
    if (ids.length === 0) throw new ConfigError("assignments", "Name at least one broker for each partition.");
    return ids;
  });
}

/** An old broker takes −1 for a number that is wrong. */
function refuseDefaults({ assignments, name, numPartitions, replicationFactor }: CreatableTopic): void {
  if (assignments.length > 0 || (numPartitions !== BROKERS_DEFAULT && replicationFactor !== BROKERS_DEFAULT)) return;
  throw new UnsupportedVersionError(
    `Give "partitions" and "replicationFactor" for topic ${
      show(name)
    }: the broker is older than Kafka 2.4, and fills in ` +
      "no defaults.",
    { topic: name },
  );
}

function createdOf(topic: ResponseOf<typeof CreateTopics>["topics"][number], validateOnly: boolean): CreatedTopic {
  const { configs, name, numPartitions, replicationFactor, topicId } = topic;
  return {
    topic: name,
    // Kafka tells an id that no topic will have.
    topicId: validateOnly ? undefined : idOf(topicId),
    partitions: numPartitions,
    replicationFactor,
    configs: (configs ?? []).map((entry) => configEntry(entry)),
  };
}

function listingOf({ isInternal, name, topicId }: TopicMetadata): Omit<TopicListing, "partitions"> {
  return { topic: name!, topicId: idOf(topicId), isInternal };
}

function descriptionOf(topic: TopicMetadata): TopicDescription {
  const partitions = topic.partitions.map((each): PartitionDescription => ({
    partition: each.partitionIndex,
    leader: each.leaderId,
    leaderEpoch: each.leaderEpoch,
    replicas: each.replicaNodes,
    isr: each.isrNodes,
    offlineReplicas: each.offlineReplicas,
  }));
  return { ...listingOf(topic), partitions: partitions.sort((a, b) => a.partition - b.partition) };
}

function idOf(topicId: string): string | undefined {
  return topicId === NO_ID ? undefined : topicId;
}
