/**
 * Answers to the requests of a client in which everything is right, and what they are made of.
 *
 * @module
 */

import {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
  ApiVersions,
  ConsumerGroupDescribe,
  CreatePartitions,
  CreateTopics,
  DeleteGroups,
  DeleteRecords,
  DeleteTopics,
  DescribeCluster,
  DescribeConfigs,
  DescribeGroups,
  EndTxn,
  Fetch,
  FindCoordinator,
  GetTelemetrySubscriptions,
  Heartbeat,
  IncrementalAlterConfigs,
  InitProducerId,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetDelete,
  OffsetFetch,
  OffsetForLeaderEpoch,
  Produce,
  PushTelemetry,
  SaslAuthenticate,
  SaslHandshake,
  SyncGroup,
  TxnOffsetCommit,
} from "../../src/protocol/messages/mod.ts";
import { writeBatchHeader } from "../../src/protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../src/protocol/record_batch_layout.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";

/** The APIs whose answers the client reads. */
export const APIS: readonly AnyApi[] = [
  ApiVersions,
  Metadata,
  InitProducerId,
  Produce,
  SaslHandshake,
  SaslAuthenticate,
  FindCoordinator,
  Fetch,
  ListOffsets,
  OffsetForLeaderEpoch,
  OffsetCommit,
  OffsetFetch,
  JoinGroup,
  SyncGroup,
  Heartbeat,
  LeaveGroup,
  AddPartitionsToTxn,
  AddOffsetsToTxn,
  TxnOffsetCommit,
  EndTxn,
  CreateTopics,
  CreatePartitions,
  DeleteTopics,
  DeleteRecords,
  DescribeConfigs,
  IncrementalAlterConfigs,
  DescribeCluster,
  ListGroups,
  ConsumerGroupDescribe,
  DescribeGroups,
  DeleteGroups,
  OffsetDelete,
  GetTelemetrySubscriptions,
  PushTelemetry,
];

/** The version of an API in which the client asks where the broker speaks all of them. */
export function versionOf(api: AnyApi): number {
  return api.clientVersions[1];
}

/** Elements of a list of brokers. */
export function brokers(count: number): unknown[] {
  return Array.from({ length: count }, (_, index) => ({ nodeId: index, host: "h", port: 1, rack: null }));
}

/** Elements of a list of partitions. */
export function partitions(...indexes: number[]): unknown[] {
  return indexes.map((partitionIndex) => ({
    ...{ errorCode: 0, partitionIndex, leaderId: 1, leaderEpoch: 0 },
    ...{ replicaNodes: [1], isrNodes: [1], offlineReplicas: [] },
  }));
}

/** Elements of a list of record errors. */
export function recordErrors(...indexes: number[]): unknown[] {
  return indexes.map((batchIndex) => ({ batchIndex, batchIndexErrorMessage: null }));
}

/** A batch, as far as anybody looks at it before it is sent. */
function batchOf(recordCount: number): Uint8Array {
  const bytes = new Uint8Array(BATCH_OVERHEAD);
  writeBatchHeader(bytes, 0, recordCount, 0, 0);
  return bytes;
}

/** A body as it may be changed. */
export type Body = { [name: string]: unknown };

/** Elements of a list of members. */
export function members(count: number): unknown[] {
  return Array.from({ length: count }, (_, index) => ({ memberId: `m${index}`, metadata: new Uint8Array(0) }));
}

/** Elements of a list of config entries, of either answer that has one. */
export function configs(count: number): unknown[] {
  return Array.from({ length: count }, () => ({
    ...{ name: "retention.ms", value: "1", readOnly: false, configSource: 1, isSensitive: false, documentation: null },
    synonyms: [{ name: "log.retention.ms", value: "1", source: 5 }],
  }));
}

/** Elements of a list of all groups. */
export function groups(count: number): unknown[] {
  const group = { groupId: "g", protocolType: "", groupState: "", groupType: "" };
  return Array.from({ length: count }, () => group);
}

/** Elements of a list of members, as a group is described. */
export function describedMembers(count: number): unknown[] {
  const bytes = new Uint8Array(0);
  return Array.from({ length: count }, (_, index) => ({
    ...{ memberId: `m${index}`, clientId: "c", clientHost: "h" },
    ...{ memberMetadata: bytes, memberAssignment: bytes },
  }));
}

/** Members of a group with the protocol of KIP-848. */
export function consumerMembers(count: number): unknown[] {
  const topicPartitions = [{ topicId: "a".repeat(32), topicName: "orders", partitions: [0] }];
  return Array.from({ length: count }, (_, index) => ({
    ...{ memberId: `m${index}`, memberEpoch: 1, clientId: "c", clientHost: "h", subscribedTopicNames: ["orders"] },
    ...{ assignment: { topicPartitions }, targetAssignment: { topicPartitions } },
  }));
}

/** The requests that the answers fit. */
export const REQUESTS: Readonly<Record<string, Body>> = {
  ApiVersions: {},
  Metadata: { topics: [{ name: "orders" }] },
  InitProducerId: { transactionalId: null, transactionTimeoutMs: 1 },
  SaslHandshake: { mechanism: "PLAIN" },
  SaslAuthenticate: { authBytes: new Uint8Array(1) },
  FindCoordinator: { keyType: 0, coordinatorKeys: ["g"] },
  Fetch: { maxWaitMs: 1, minBytes: 1, topics: [{ topicId: "a".repeat(32), partitions: [{ partition: 0 }] }] },
  ListOffsets: { replicaId: -1, topics: [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp: -1n }] }] },
  OffsetForLeaderEpoch: { topics: [{ topic: "orders", partitions: [{ partition: 0, leaderEpoch: 1 }] }] },
  OffsetCommit: {
    groupId: "g",
    topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 1n }] }],
  },
  OffsetFetch: { groups: [{ groupId: "g", topics: [{ name: "orders", partitionIndexes: [0] }] }] },
  JoinGroup: {},
  SyncGroup: {},
  Heartbeat: {},
  LeaveGroup: {},
  AddPartitionsToTxn: { v3AndBelowTopics: [{ name: "orders", partitions: [0] }] },
  AddOffsetsToTxn: {},
  TxnOffsetCommit: { topics: [{ topicId: "a".repeat(32), partitions: [{ partitionIndex: 0, committedOffset: 1n }] }] },
  EndTxn: {},
  CreateTopics: { topics: [{ name: "orders", assignments: [], configs: [] }] },
  CreatePartitions: { topics: [{ name: "orders", count: 2, assignments: null }] },
  DeleteTopics: { topics: [{ name: "orders" }] },
  DeleteRecords: { topics: [{ name: "orders", partitions: [{ partitionIndex: 0, offset: 1n }] }] },
  DescribeConfigs: { resources: [{ resourceType: 2, resourceName: "orders", configurationKeys: null }] },
  IncrementalAlterConfigs: { resources: [{ resourceType: 2, resourceName: "orders", configs: [] }] },
  DescribeCluster: {},
  ListGroups: { statesFilter: [], typesFilter: [] },
  ConsumerGroupDescribe: { groupIds: ["g"] },
  DescribeGroups: { groups: ["g"] },
  DeleteGroups: { groupsNames: ["g"] },
  OffsetDelete: { groupId: "g", topics: [{ name: "orders", partitions: [{ partitionIndex: 0 }] }] },
  GetTelemetrySubscriptions: {},
  PushTelemetry: {},
  Produce: {
    ...{ acks: -1, timeoutMs: 1 },
    topicData: [{ name: "orders", topicId: "a".repeat(32), partitionData: [{ index: 0, records: batchOf(3) }] }],
  },
};

/** An answer in which everything is right. */
export function rightAnswer(api: AnyApi): Body {
  const answers: Record<string, () => Body> = {
    ApiVersions: () => ({
      errorCode: 0,
      apiKeys: [{ apiKey: 3, minVersion: 5, maxVersion: 5 }],
      supportedFeatures: [{ name: "f", minVersion: 5, maxVersion: 5 }],
      finalizedFeatures: [{ name: "f", maxVersionLevel: 5, minVersionLevel: 5 }],
    }),
    Metadata: () => ({
      brokers: brokers(1),
      clusterId: "c",
      controllerId: 0,
      topics: [{ errorCode: 0, name: "orders", topicId: "a".repeat(32), partitions: partitions(0) }],
    }),
    SaslHandshake: () => ({ errorCode: 0, mechanisms: ["PLAIN"] }),
    SaslAuthenticate: () => ({ errorCode: 0, errorMessage: null, authBytes: new Uint8Array(1), sessionLifetimeMs: 1n }),
    FindCoordinator: () => ({ coordinators: [{ key: "g", nodeId: 1, host: "h", port: 1, errorCode: 0 }] }),
    Fetch: () => ({
      responses: [{
        topicId: "a".repeat(32),
        partitions: [{
          ...{ partitionIndex: 0, errorCode: 0, highWatermark: 1n, records: new Uint8Array(0) },
          abortedTransactions: [{ producerId: 1n, firstOffset: 1n }],
        }],
      }],
      nodeEndpoints: brokers(1),
    }),
    ListOffsets: () => ({ topics: [{ name: "orders", partitions: [{ partitionIndex: 0, errorCode: 0 }] }] }),
    OffsetForLeaderEpoch: () => ({
      ...{ throttleTimeMs: 0 },
      topics: [{ topic: "orders", partitions: [{ partition: 0, errorCode: 0 }] }],
    }),
    OffsetCommit: () => ({ topics: [{ topicId: "a".repeat(32), partitions: [{ partitionIndex: 0, errorCode: 0 }] }] }),
    OffsetFetch: () => ({
      groups: [{
        groupId: "g",
        topics: [{
          topicId: "a".repeat(32),
          partitions: [{ partitionIndex: 0, committedOffset: 1n, metadata: null, errorCode: 0 }],
        }],
      }],
    }),
    JoinGroup: () => ({
      ...{ errorCode: 0, generationId: 1, protocolName: "range", leader: "m0", memberId: "m0" },
      members: members(1),
    }),
    SyncGroup: () => ({ errorCode: 0, assignment: new Uint8Array(0) }),
    Heartbeat: () => ({ errorCode: 0 }),
    LeaveGroup: () => ({ errorCode: 0, members: [{ memberId: "m", groupInstanceId: null, errorCode: 0 }] }),
    AddPartitionsToTxn: () => ({
      resultsByTopicV3AndBelow: [{
        name: "orders",
        resultsByPartition: [{ partitionIndex: 0, partitionErrorCode: 0 }],
      }],
    }),
    AddOffsetsToTxn: () => ({ errorCode: 0 }),
    TxnOffsetCommit: () => ({
      topics: [{ topicId: "a".repeat(32), partitions: [{ partitionIndex: 0, errorCode: 0 }] }],
    }),
    EndTxn: () => ({ errorCode: 0, producerId: 1n, producerEpoch: 1 }),
    CreateTopics: () => ({
      topics: [{
        ...{ name: "orders", topicId: "a".repeat(32), errorCode: 0, errorMessage: null, numPartitions: 1 },
        ...{ replicationFactor: 1, configs: configs(1) },
      }],
    }),
    CreatePartitions: () => ({ throttleTimeMs: 0, results: [{ name: "orders", errorCode: 0, errorMessage: null }] }),
    DeleteTopics: () => ({
      throttleTimeMs: 0,
      responses: [{ name: "orders", topicId: "a".repeat(32), errorCode: 0, errorMessage: null }],
    }),
    DeleteRecords: () => ({
      throttleTimeMs: 0,
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, lowWatermark: 1n, errorCode: 0 }] }],
    }),
    DescribeConfigs: () => ({
      throttleTimeMs: 0,
      results: [{ errorCode: 0, errorMessage: null, resourceType: 2, resourceName: "orders", configs: configs(1) }],
    }),
    IncrementalAlterConfigs: () => ({
      throttleTimeMs: 0,
      responses: [{ errorCode: 0, errorMessage: null, resourceType: 2, resourceName: "orders" }],
    }),
    DescribeCluster: () => ({
      ...{ throttleTimeMs: 0, errorCode: 0, errorMessage: null, clusterId: "c", controllerId: 0 },
      brokers: [{ brokerId: 0, host: "h", port: 1, rack: null }],
    }),
    ListGroups: () => ({ errorCode: 0, groups: groups(1) }),
    DescribeGroups: () => ({
      groups: [{
        ...{ errorCode: 0, errorMessage: null, groupId: "g", groupState: "Stable", protocolType: "consumer" },
        ...{ protocolData: "range", members: describedMembers(1) },
      }],
    }),
    ConsumerGroupDescribe: () => ({
      throttleTimeMs: 0,
      groups: [{
        ...{ errorCode: 0, errorMessage: null, groupId: "g", groupState: "Stable", groupEpoch: 1, assignmentEpoch: 1 },
        ...{ assignorName: "uniform", members: consumerMembers(1) },
      }],
    }),
    DeleteGroups: () => ({ throttleTimeMs: 0, results: [{ groupId: "g", errorCode: 0, errorMessage: null }] }),
    OffsetDelete: () => ({
      ...{ errorCode: 0, throttleTimeMs: 0 },
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, errorCode: 0 }] }],
    }),
    GetTelemetrySubscriptions: () => ({
      ...{ throttleTimeMs: 0, errorCode: 0, clientInstanceId: "a".repeat(32), subscriptionId: 1 },
      ...{ acceptedCompressionTypes: [4], pushIntervalMs: 1_000, telemetryMaxBytes: 1_000 },
      ...{ deltaTemporality: true, requestedMetrics: [""] },
    }),
    PushTelemetry: () => ({ throttleTimeMs: 0, errorCode: 0 }),
    InitProducerId: () => ({ errorCode: 0, producerId: 1n, producerEpoch: 1 }),
    Produce: () => ({
      responses: [{
        topicId: "a".repeat(32),
        partitionResponses: [{
          ...{ index: 0, errorCode: 0, baseOffset: 1n, logAppendTimeMs: -1n, logStartOffset: 0n },
          ...{ recordErrors: recordErrors(0), currentLeader: { leaderId: 1, leaderEpoch: 1 } },
        }],
      }],
      nodeEndpoints: brokers(1),
    }),
  };
  return answers[api.name]!();
}
