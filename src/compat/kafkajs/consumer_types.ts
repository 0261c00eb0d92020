/**
 * What KafkaJS's consumer and admin client take and give, for programs that name these types. They come from a KafkaJS
 * that is passed to the client, and so do its own, more exact types when it is.
 *
 * @module
 */

import type { InstrumentationEvent, RemoveInstrumentationEventListener } from "./events.ts";
import type { Logger } from "./logger.ts";
import type { IHeaders, Offsets, PartitionMetadata, PartitionOffset, RetryOptions, TopicOffsets } from "./types.ts";

/** Bytes that Node's `Buffer` holds. */
export interface Bytes extends Uint8Array {
  /** The bytes as text. */
  toString(encoding?: string, start?: number, end?: number): string;
}

/** A record that was read. */
export type KafkaMessage = {
  /** The key. */
  key: Bytes | null;
  /** The payload. */
  value: Bytes | null;
  /** Ms since the epoch. */
  timestamp: string;
  /** The batch's attributes. */
  attributes: number;
  /** The offset. */
  offset: string;
  /** Application data. */
  headers?: IHeaders;
  /** Bytes, of records in the oldest format. */
  size?: number;
};

/** Records of one partition that were read together. */
export type Batch = {
  /** The topic. */
  topic: string;
  /** The partition. */
  partition: number;
  /** The partition's end. */
  highWatermark: string;
  /** The records. */
  messages: KafkaMessage[];
  /** Whether there are none. */
  isEmpty(): boolean;
  /** The first offset. */
  firstOffset(): string | null;
  /** The last offset. */
  lastOffset(): string;
  /** How far the last record is from the partition's end. */
  offsetLag(): string;
  /** How far the first record is from the partition's end. */
  offsetLagLow(): string;
};

/** What `eachMessage` gets. */
export interface EachMessagePayload {
  /** The topic. */
  topic: string;
  /** The partition. */
  partition: number;
  /** The record. */
  message: KafkaMessage;
  /** Tells the group that this member is alive. */
  heartbeat(): Promise<void>;
  /** Pauses the partition; the returned function resumes it. */
  pause(): () => void;
}
/** What `eachMessage` gets. */
export type ConsumerEachMessagePayload = EachMessagePayload;

/** What `eachBatch` gets. */
export interface EachBatchPayload {
  /** The records. */
  batch: Batch;
  /** Marks an offset as done. */
  resolveOffset(offset: string): void;
  /** Tells the group that this member is alive. */
  heartbeat(): Promise<void>;
  /** Pauses the partition; the returned function resumes it. */
  pause(): () => void;
  /** Commits offsets when it is time to. */
  commitOffsetsIfNecessary(offsets?: Offsets): Promise<void>;
  /** What is done and not committed. */
  uncommittedOffsets(): OffsetsByTopicPartition;
  /** Whether the consumer runs. */
  isRunning(): boolean;
  /** Whether the batch is out of date. */
  isStale(): boolean;
}
/** What `eachBatch` gets. */
export type ConsumerEachBatchPayload = EachBatchPayload;

/** Offsets of topics. */
export interface OffsetsByTopicPartition {
  /** The topics. */
  topics: TopicOffsets[];
}

/** Takes a batch. */
export type EachBatchHandler = (payload: EachBatchPayload) => Promise<void>;
/** Takes a record. */
export type EachMessageHandler = (payload: EachMessagePayload) => Promise<void>;

/** The configuration of a consumer. */
export interface ConsumerConfig {
  /** The group. */
  groupId: string;
  /** How partitions are shared out. */
  // deno-lint-ignore no-explicit-any
  partitionAssigners?: any[];
  /** In ms. */
  metadataMaxAge?: number;
  /** In ms. */
  sessionTimeout?: number;
  /** In ms. */
  rebalanceTimeout?: number;
  /** In ms. */
  heartbeatInterval?: number;
  /** Bytes of each partition in an answer. */
  maxBytesPerPartition?: number;
  /** Bytes that are waited for. */
  minBytes?: number;
  /** Bytes of an answer. */
  maxBytes?: number;
  /** How long they are waited for, in ms. */
  maxWaitTimeInMs?: number;
  /** How what fails is tried again. */
  retry?: RetryOptions & { restartOnFailure?: (err: Error) => Promise<boolean> };
  /** Let the broker create a missing topic. */
  allowAutoTopicCreation?: boolean;
  /** Unanswered requests on a connection. */
  maxInFlightRequests?: number;
  /** Read what isn't committed, too. */
  readUncommitted?: boolean;
  /** Where the consumer is. */
  rackId?: string;
}

/** How a consumer runs. */
export type ConsumerRunConfig = {
  /** Commit by itself. */
  autoCommit?: boolean;
  /** How often, in ms. */
  autoCommitInterval?: number | null;
  /** After how many records. */
  autoCommitThreshold?: number | null;
  /** Whether a batch that was taken is done. */
  eachBatchAutoResolve?: boolean;
  /** How many partitions at a time. */
  partitionsConsumedConcurrently?: number;
  /** Takes batches. */
  eachBatch?: EachBatchHandler;
  /** Takes records. */
  eachMessage?: EachMessageHandler;
};

/** What to read. */
export type ConsumerSubscribeTopic = {
  /** The topic. */
  topic: string | RegExp;
  /** From the start, where nothing was committed. */
  fromBeginning?: boolean;
};
/** What to read. */
export type ConsumerSubscribeTopics = {
  /** The topics. */
  topics: (string | RegExp)[];
  /** From the start, where nothing was committed. */
  fromBeginning?: boolean;
};

/** Partitions of a topic. */
export type TopicPartitions = {
  /** The topic. */
  topic: string;
  /** The partitions. */
  partitions: number[];
};
/** A partition. */
export type TopicPartition = {
  /** The topic. */
  topic: string;
  /** The partition. */
  partition: number;
};
/** An offset of a partition. */
export type TopicPartitionOffset = TopicPartition & {
  /** The offset. */
  offset: string;
};
/** An offset of a partition, with a word to it. */
export type TopicPartitionOffsetAndMetadata = TopicPartitionOffset & {
  /** What is kept with the offset. */
  metadata?: string | null;
};
/** An offset to go to. */
export type SeekEntry = PartitionOffset;
/** A committed offset. */
export type FetchOffsetsPartition = PartitionOffset & {
  /** What is kept with the offset. */
  metadata: string | null;
};

/** A member of a group. */
export type MemberDescription = {
  /** From where. */
  clientHost: string;
  /** Who. */
  clientId: string;
  /** The member. */
  memberId: string;
  /** What it was assigned. */
  memberAssignment: Bytes;
  /** What it wants. */
  memberMetadata: Bytes;
};

/** Where a group stands. */
export type ConsumerGroupState =
  | "Unknown"
  | "PreparingRebalance"
  | "CompletingRebalance"
  | "Stable"
  | "Dead"
  | "Empty";

/** A group. */
export type GroupDescription = {
  /** The group. */
  groupId: string;
  /** Its members. */
  members: MemberDescription[];
  /** How partitions are shared out. */
  protocol: string;
  /** The kind of group. */
  protocolType: string;
  /** Where it stands. */
  state: ConsumerGroupState;
};
/** Groups. */
export type GroupDescriptions = {
  /** The groups. */
  groups: GroupDescription[];
};
/** A group in a list. */
export type GroupOverview = {
  /** The group. */
  groupId: string;
  /** The kind of group. */
  protocolType: string;
};

/** The names of a consumer's events. */
export type ConsumerEvents = {
  /** The member has told that it is alive. */
  HEARTBEAT: "consumer.heartbeat";
  /** Offsets were committed. */
  COMMIT_OFFSETS: "consumer.commit_offsets";
  /** The member has joined. */
  GROUP_JOIN: "consumer.group_join";
  /** Records are asked for. */
  FETCH_START: "consumer.fetch_start";
  /** Records have come. */
  FETCH: "consumer.fetch";
  /** A batch begins. */
  START_BATCH_PROCESS: "consumer.start_batch_process";
  /** A batch has ended. */
  END_BATCH_PROCESS: "consumer.end_batch_process";
  /** Connected. */
  CONNECT: "consumer.connect";
  /** Disconnected. */
  DISCONNECT: "consumer.disconnect";
  /** Stopped. */
  STOP: "consumer.stop";
  /** Something has failed for good. */
  CRASH: "consumer.crash";
  /** The group shares out anew. */
  REBALANCING: "consumer.rebalancing";
  /** Partitions of topics that nobody asked for. */
  RECEIVED_UNSUBSCRIBED_TOPICS: "consumer.received_unsubscribed_topics";
  /** A request was answered. */
  REQUEST: "consumer.network.request";
  /** A request was not answered in time. */
  REQUEST_TIMEOUT: "consumer.network.request_timeout";
  /** How much waits. */
  REQUEST_QUEUE_SIZE: "consumer.network.request_queue_size";
};

/** Reads records as a member of a group. */
export type Consumer = {
  /** Connects. */
  connect(): Promise<void>;
  /** Leaves the group and closes all connections. */
  disconnect(): Promise<void>;
  /** Says what to read. */
  subscribe(subscription: ConsumerSubscribeTopics | ConsumerSubscribeTopic): Promise<void>;
  /** Stops reading. */
  stop(): Promise<void>;
  /** Starts reading. */
  run(config?: ConsumerRunConfig): Promise<void>;
  /** Commits offsets. */
  commitOffsets(topicPartitions: TopicPartitionOffsetAndMetadata[]): Promise<void>;
  /** Goes to an offset. */
  seek(topicPartitionOffset: TopicPartitionOffset): void;
  /** The group. */
  describeGroup(): Promise<GroupDescription>;
  /** Pauses partitions. */
  pause(topics: { topic: string; partitions?: number[] }[]): void;
  /** What is paused. */
  paused(): TopicPartitions[];
  /** Resumes partitions. */
  resume(topics: { topic: string; partitions?: number[] }[]): void;
  /** Listens. */
  on(
    eventName: ConsumerEvents[keyof ConsumerEvents],
    // deno-lint-ignore no-explicit-any
    listener: (event: InstrumentationEvent<any>) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** The consumer's logger. */
  logger(): Logger;
  /** The names of the events. */
  readonly events: ConsumerEvents;
};

/** The configuration of an admin client. */
export interface AdminConfig {
  /** How what fails is tried again. */
  retry?: RetryOptions;
}

/** The names of an admin client's events. */
export type AdminEvents = {
  /** Connected. */
  CONNECT: "admin.connect";
  /** Disconnected. */
  DISCONNECT: "admin.disconnect";
  /** A request was answered. */
  REQUEST: "admin.network.request";
  /** A request was not answered in time. */
  REQUEST_TIMEOUT: "admin.network.request_timeout";
  /** How much waits. */
  REQUEST_QUEUE_SIZE: "admin.network.request_queue_size";
};

/** A setting. */
export interface IResourceConfigEntry {
  /** Its name. */
  name: string;
  /** Its value. */
  value: string;
}

/** Where a partition's replicas are to be. */
export interface ReplicaAssignment {
  /** The partition. */
  partition: number;
  /** Node ids. */
  replicas: number[];
}

/** A topic to create. */
export interface ITopicConfig {
  /** The topic. */
  topic: string;
  /** How many partitions. */
  numPartitions?: number;
  /** How many replicas. */
  replicationFactor?: number;
  /** Where the replicas are to be. */
  replicaAssignment?: ReplicaAssignment[];
  /** Its settings. */
  configEntries?: IResourceConfigEntry[];
}

/** Partitions to add. */
export interface ITopicPartitionConfig {
  /** The topic. */
  topic: string;
  /** How many there are to be. */
  count: number;
  /** Where the replicas are to be. */
  assignments?: number[][];
}

/** A topic. */
export interface ITopicMetadata {
  /** The topic. */
  name: string;
  /** Its partitions. */
  partitions: PartitionMetadata[];
}

/** What became of a group that was to be deleted. */
export type DeleteGroupsResult = {
  /** The group. */
  groupId: string;
  /** Why it wasn't. */
  errorCode?: number;
  /** Why it wasn't. */
  error?: Error;
};

/** Settings to read. */
export interface ResourceConfigQuery {
  /** The kind of thing. */
  type: number;
  /** Which. */
  name: string;
  /** Which settings. */
  configNames?: string[];
}

/** Settings to write. */
export interface IResourceConfig {
  /** The kind of thing. */
  type: number;
  /** Which. */
  name: string;
  /** The settings. */
  configEntries: IResourceConfigEntry[];
}

/** Looks after topics and groups. */
export type Admin = {
  /** Connects. */
  connect(): Promise<void>;
  /** Closes all connections. */
  disconnect(): Promise<void>;
  /** The names of all topics. */
  listTopics(): Promise<string[]>;
  /** Creates topics; false if one was there. */
  createTopics(
    options: { validateOnly?: boolean; waitForLeaders?: boolean; timeout?: number; topics: ITopicConfig[] },
  ): Promise<boolean>;
  /** Deletes topics. */
  deleteTopics(options: { topics: string[]; timeout?: number }): Promise<void>;
  /** Adds partitions. */
  createPartitions(
    options: { validateOnly?: boolean; timeout?: number; topicPartitions: ITopicPartitionConfig[] },
  ): Promise<boolean>;
  /** Topics and partitions. */
  fetchTopicMetadata(options?: { topics: string[] }): Promise<{ topics: ITopicMetadata[] }>;
  /** Committed offsets of a group. */
  fetchOffsets(
    options: { groupId: string; topics?: string[]; resolveOffsets?: boolean },
  ): Promise<{ topic: string; partitions: FetchOffsetsPartition[] }[]>;
  /** Where partitions begin and end. */
  fetchTopicOffsets(topic: string): Promise<(SeekEntry & { high: string; low: string })[]>;
  /** Offsets by time. */
  fetchTopicOffsetsByTimestamp(topic: string, timestamp?: number): Promise<SeekEntry[]>;
  /** The brokers. */
  describeCluster(): Promise<
    { brokers: { nodeId: number; host: string; port: number }[]; controller: number | null; clusterId: string }
  >;
  /** Sets committed offsets. */
  setOffsets(options: { groupId: string; topic: string; partitions: SeekEntry[] }): Promise<void>;
  /** Sets committed offsets to the start or the end. */
  resetOffsets(options: { groupId: string; topic: string; earliest: boolean }): Promise<void>;
  /** Reads settings. */
  // deno-lint-ignore no-explicit-any
  describeConfigs(configs: { resources: any[]; includeSynonyms: boolean }): Promise<any>;
  /** Writes settings. */
  // deno-lint-ignore no-explicit-any
  alterConfigs(configs: { validateOnly: boolean; resources: any[] }): Promise<any>;
  /** All groups. */
  listGroups(): Promise<{ groups: GroupOverview[] }>;
  /** Deletes groups. */
  deleteGroups(groupIds: string[]): Promise<DeleteGroupsResult[]>;
  /** Groups with their members. */
  describeGroups(groupIds: string[]): Promise<GroupDescriptions>;
  /** Deletes records before offsets. */
  deleteTopicRecords(options: { topic: string; partitions: SeekEntry[] }): Promise<void>;
  /** The admin client's logger. */
  logger(): Logger;
  /** Listens. */
  on(
    eventName: AdminEvents[keyof AdminEvents],
    // deno-lint-ignore no-explicit-any
    listener: (event: InstrumentationEvent<any>) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** The names of the events. */
  readonly events: AdminEvents;
};

/** Kinds of things that have settings. */
export const ConfigResourceTypes = { UNKNOWN: 0, TOPIC: 2, BROKER: 4, BROKER_LOGGER: 8 } as const;
/** A kind of thing that has settings. */
export type ConfigResourceTypes = typeof ConfigResourceTypes[keyof typeof ConfigResourceTypes];

/** Where settings come from. */
export const ConfigSource = {
  UNKNOWN: 0,
  TOPIC_CONFIG: 1,
  DYNAMIC_BROKER_CONFIG: 2,
  DYNAMIC_DEFAULT_BROKER_CONFIG: 3,
  STATIC_BROKER_CONFIG: 4,
  DEFAULT_CONFIG: 5,
  DYNAMIC_BROKER_LOGGER_CONFIG: 6,
} as const;
/** Where a setting comes from. */
export type ConfigSource = typeof ConfigSource[keyof typeof ConfigSource];

/** Kinds of things that rights are for. */
export const AclResourceTypes = {
  UNKNOWN: 0,
  ANY: 1,
  TOPIC: 2,
  GROUP: 3,
  CLUSTER: 4,
  TRANSACTIONAL_ID: 5,
  DELEGATION_TOKEN: 6,
} as const;
/** A kind of thing that rights are for. */
export type AclResourceTypes = typeof AclResourceTypes[keyof typeof AclResourceTypes];

/** What rights are for. */
export const AclOperationTypes = {
  UNKNOWN: 0,
  ANY: 1,
  ALL: 2,
  READ: 3,
  WRITE: 4,
  CREATE: 5,
  DELETE: 6,
  ALTER: 7,
  DESCRIBE: 8,
  CLUSTER_ACTION: 9,
  DESCRIBE_CONFIGS: 10,
  ALTER_CONFIGS: 11,
  IDEMPOTENT_WRITE: 12,
} as const;
/** What a right is for. */
export type AclOperationTypes = typeof AclOperationTypes[keyof typeof AclOperationTypes];

/** Whether it is allowed. */
export const AclPermissionTypes = { UNKNOWN: 0, ANY: 1, DENY: 2, ALLOW: 3 } as const;
/** Whether it is allowed. */
export type AclPermissionTypes = typeof AclPermissionTypes[keyof typeof AclPermissionTypes];

/** How names are compared. */
export const ResourcePatternTypes = { UNKNOWN: 0, ANY: 1, MATCH: 2, LITERAL: 3, PREFIXED: 4 } as const;
/** How a name is compared. */
export type ResourcePatternTypes = typeof ResourcePatternTypes[keyof typeof ResourcePatternTypes];
