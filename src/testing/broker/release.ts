/**
 * What the brokers of a release speak, and how they treat what they don't.
 *
 * The numbers were read from brokers of the release: Kafka 1.0.2, 2.0.1, 2.3.1, 2.7.2, 3.9.1, 4.1.1 and 4.4.0 were
 * started and asked, Redpanda's are in its sources (23.1), and Azure Event Hubs' are those that its users have reported.
 *
 * @module
 */

import type { AnyApi } from "./apis.ts";

/** The release whose version ranges, features, defaults and ways of hanging up a cluster shows. */
export type Release = "1.0" | "2.0" | "2.3" | "2.7" | "3.9" | "4.1" | "4.4" | "redpanda" | "event-hubs";

/** A feature that a broker supports. */
export interface Feature {
  /** Its name. */
  readonly name: string;
  /** First level. */
  readonly minVersion: number;
  /** Last level. */
  readonly maxVersion: number;
}

/** What is particular to a release. */
export interface ReleaseProfile {
  /** The ranges that ApiVersions tells, by the API's name; other APIs are not there. */
  readonly versions: Readonly<Record<string, readonly [number, number]>>;
  /** What ApiVersions says is supported. */
  readonly supportedFeatures: readonly Feature[];
  /** What is finalized on a fresh cluster. */
  readonly finalizedFeatures: Readonly<Record<string, number>>;
  /** How often features have been finalized; −1 where there is no such thing. */
  readonly featuresEpoch: bigint;
  /** A refused ApiVersions request is told the range to use (KIP-511, Kafka 2.4). */
  readonly namesApiVersions: boolean;
  /** ApiVersions requests from this version on are answered by a reset. */
  readonly resetsApiVersionsFrom: number;
  /** How far in the future a timestamp may lie is bounded (Kafka 4.0). */
  readonly boundsFutureTimestamps: boolean;
  /** Leaders ask the coordinator whether a batch belongs to an open transaction (KIP-890, Kafka 3.6). */
  readonly verifiesTransactions: boolean;
  /** A transaction that a leader knows to be open must be of the batch's epoch (Kafka 4.0). */
  readonly verifiesEpochs: boolean;
  /** Groups are coordinated by what KIP-848 has brought (Kafka 4.0): empty ones stay until they are deleted themselves. */
  readonly hasNewGroupCoordinator: boolean;
}

const OLD: Omit<ReleaseProfile, "versions"> = {
  supportedFeatures: [],
  finalizedFeatures: {},
  featuresEpoch: -1n,
  namesApiVersions: false,
  resetsApiVersionsFrom: Infinity,
  boundsFutureTimestamps: false,
  verifiesTransactions: false,
  verifiesEpochs: false,
  hasNewGroupCoordinator: false,
};

/** The releases. */
export const RELEASES: Readonly<Record<Release, ReleaseProfile>> = {
  "1.0": {
    ...OLD,
    versions: {
      Produce: [0, 5],
      Fetch: [0, 6],
      ListOffsets: [0, 2],
      Metadata: [0, 5],
      FindCoordinator: [0, 1],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 1],
      CreateTopics: [0, 2],
      InitProducerId: [0, 0],
      SaslAuthenticate: [0, 0],
      AddPartitionsToTxn: [0, 0],
      AddOffsetsToTxn: [0, 0],
      EndTxn: [0, 0],
      OffsetCommit: [0, 3],
      OffsetFetch: [0, 3],
      JoinGroup: [0, 2],
      Heartbeat: [0, 1],
      LeaveGroup: [0, 1],
      SyncGroup: [0, 1],
      DescribeGroups: [0, 1],
      ListGroups: [0, 1],
      OffsetForLeaderEpoch: [0, 0],
      TxnOffsetCommit: [0, 0],
    },
  },
  "2.0": {
    ...OLD,
    versions: {
      Produce: [0, 6],
      Fetch: [0, 8],
      ListOffsets: [0, 3],
      Metadata: [0, 6],
      FindCoordinator: [0, 2],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 2],
      CreateTopics: [0, 3],
      InitProducerId: [0, 1],
      SaslAuthenticate: [0, 0],
      AddPartitionsToTxn: [0, 1],
      AddOffsetsToTxn: [0, 1],
      EndTxn: [0, 1],
      OffsetCommit: [0, 4],
      OffsetFetch: [0, 4],
      JoinGroup: [0, 3],
      Heartbeat: [0, 2],
      LeaveGroup: [0, 2],
      SyncGroup: [0, 2],
      DescribeGroups: [0, 2],
      ListGroups: [0, 2],
      DeleteGroups: [0, 1],
      OffsetForLeaderEpoch: [0, 1],
      TxnOffsetCommit: [0, 1],
    },
  },
  "2.3": {
    ...OLD,
    versions: {
      Produce: [0, 7],
      Fetch: [0, 11],
      ListOffsets: [0, 5],
      Metadata: [0, 8],
      FindCoordinator: [0, 2],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 2],
      CreateTopics: [0, 3],
      InitProducerId: [0, 1],
      SaslAuthenticate: [0, 1],
      AddPartitionsToTxn: [0, 1],
      AddOffsetsToTxn: [0, 1],
      EndTxn: [0, 1],
      OffsetCommit: [0, 7],
      OffsetFetch: [0, 5],
      JoinGroup: [0, 5],
      Heartbeat: [0, 3],
      LeaveGroup: [0, 2],
      SyncGroup: [0, 3],
      DescribeGroups: [0, 3],
      ListGroups: [0, 2],
      DeleteGroups: [0, 1],
      OffsetForLeaderEpoch: [0, 3],
      TxnOffsetCommit: [0, 2],
    },
  },
  "2.7": {
    ...OLD,
    namesApiVersions: true,
    featuresEpoch: 0n,
    versions: {
      Produce: [0, 8],
      Fetch: [0, 12],
      ListOffsets: [0, 5],
      Metadata: [0, 9],
      FindCoordinator: [0, 3],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 3],
      CreateTopics: [0, 6],
      InitProducerId: [0, 4],
      SaslAuthenticate: [0, 2],
      AddPartitionsToTxn: [0, 2],
      AddOffsetsToTxn: [0, 2],
      EndTxn: [0, 2],
      OffsetCommit: [0, 8],
      OffsetFetch: [0, 7],
      JoinGroup: [0, 7],
      Heartbeat: [0, 4],
      LeaveGroup: [0, 4],
      SyncGroup: [0, 5],
      DescribeGroups: [0, 5],
      ListGroups: [0, 4],
      DeleteGroups: [0, 2],
      OffsetForLeaderEpoch: [0, 3],
      TxnOffsetCommit: [0, 3],
    },
  },
  "3.9": {
    ...OLD,
    verifiesTransactions: true,
    namesApiVersions: true,
    featuresEpoch: 1n,
    versions: {
      Produce: [0, 11],
      Fetch: [0, 17],
      ListOffsets: [0, 9],
      Metadata: [0, 12],
      FindCoordinator: [0, 6],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 4],
      CreateTopics: [0, 7],
      DeleteTopics: [0, 6],
      CreatePartitions: [0, 3],
      DeleteRecords: [0, 2],
      DescribeConfigs: [0, 4],
      IncrementalAlterConfigs: [0, 1],
      DescribeCluster: [0, 1],
      OffsetDelete: [0, 0],
      InitProducerId: [0, 5],
      SaslAuthenticate: [0, 2],
      AddPartitionsToTxn: [0, 5],
      AddOffsetsToTxn: [0, 4],
      EndTxn: [0, 4],
      OffsetCommit: [0, 9],
      OffsetFetch: [0, 9],
      JoinGroup: [0, 9],
      Heartbeat: [0, 4],
      LeaveGroup: [0, 5],
      SyncGroup: [0, 5],
      DescribeGroups: [0, 5],
      ListGroups: [0, 5],
      DeleteGroups: [0, 2],
      OffsetForLeaderEpoch: [0, 4],
      DescribeProducers: [0, 0],
      DescribeTransactions: [0, 0],
      ListTransactions: [0, 1],
      TxnOffsetCommit: [0, 4],
    },
    supportedFeatures: [
      { name: "kraft.version", minVersion: 0, maxVersion: 1 },
      { name: "metadata.version", minVersion: 1, maxVersion: 21 },
    ],
    finalizedFeatures: { "metadata.version": 21 },
  },
  "4.1": {
    ...OLD,
    verifiesTransactions: true,
    verifiesEpochs: true,
    hasNewGroupCoordinator: true,
    namesApiVersions: true,
    featuresEpoch: 1n,
    boundsFutureTimestamps: true,
    versions: {
      Produce: [0, 13],
      Fetch: [4, 18],
      ListOffsets: [1, 10],
      Metadata: [0, 13],
      FindCoordinator: [0, 6],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 4],
      CreateTopics: [2, 7],
      DeleteTopics: [1, 6],
      CreatePartitions: [0, 3],
      DeleteRecords: [0, 2],
      DescribeConfigs: [1, 4],
      IncrementalAlterConfigs: [0, 1],
      DescribeCluster: [0, 2],
      OffsetDelete: [0, 0],
      InitProducerId: [0, 5],
      SaslAuthenticate: [0, 2],
      AddPartitionsToTxn: [0, 5],
      AddOffsetsToTxn: [0, 4],
      EndTxn: [0, 5],
      OffsetCommit: [2, 9],
      OffsetFetch: [1, 9],
      JoinGroup: [0, 9],
      Heartbeat: [0, 4],
      LeaveGroup: [0, 5],
      SyncGroup: [0, 5],
      ConsumerGroupDescribe: [0, 1],
      DescribeGroups: [0, 6],
      ListGroups: [0, 5],
      DeleteGroups: [0, 2],
      OffsetForLeaderEpoch: [2, 4],
      DescribeProducers: [0, 0],
      DescribeTransactions: [0, 0],
      ListTransactions: [0, 2],
      TxnOffsetCommit: [0, 5],
    },
    supportedFeatures: [
      { name: "group.version", minVersion: 0, maxVersion: 1 },
      { name: "transaction.version", minVersion: 0, maxVersion: 2 },
      { name: "eligible.leader.replicas.version", minVersion: 0, maxVersion: 1 },
      { name: "kraft.version", minVersion: 0, maxVersion: 1 },
      { name: "metadata.version", minVersion: 7, maxVersion: 27 },
    ],
    finalizedFeatures: {
      "group.version": 1,
      "transaction.version": 2,
      "eligible.leader.replicas.version": 1,
      "metadata.version": 27,
    },
  },
  "4.4": {
    ...OLD,
    namesApiVersions: true,
    featuresEpoch: 1n,
    boundsFutureTimestamps: true,
    verifiesTransactions: true,
    verifiesEpochs: true,
    hasNewGroupCoordinator: true,
    versions: {
      Produce: [0, 13],
      Fetch: [4, 18],
      ListOffsets: [1, 11],
      Metadata: [0, 13],
      FindCoordinator: [0, 6],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 5],
      CreateTopics: [2, 7],
      DeleteTopics: [1, 6],
      CreatePartitions: [0, 3],
      DeleteRecords: [0, 2],
      DescribeConfigs: [1, 4],
      IncrementalAlterConfigs: [0, 1],
      DescribeCluster: [0, 2],
      OffsetDelete: [0, 0],
      InitProducerId: [0, 5],
      SaslAuthenticate: [0, 2],
      AddPartitionsToTxn: [0, 5],
      AddOffsetsToTxn: [0, 4],
      EndTxn: [0, 5],
      TxnOffsetCommit: [0, 6],
      OffsetCommit: [2, 10],
      OffsetFetch: [1, 10],
      JoinGroup: [0, 9],
      Heartbeat: [0, 4],
      LeaveGroup: [0, 5],
      SyncGroup: [0, 5],
      ConsumerGroupDescribe: [0, 1],
      DescribeGroups: [0, 6],
      ListGroups: [0, 5],
      DeleteGroups: [0, 3],
      OffsetForLeaderEpoch: [2, 4],
      DescribeProducers: [0, 0],
      DescribeTransactions: [0, 0],
      ListTransactions: [0, 2],
    },
    supportedFeatures: [
      { name: "group.version", minVersion: 0, maxVersion: 1 },
      { name: "kraft.version", minVersion: 0, maxVersion: 1 },
      { name: "metadata.version", minVersion: 7, maxVersion: 33 },
      { name: "share.version", minVersion: 0, maxVersion: 2 },
      { name: "streams.version", minVersion: 0, maxVersion: 1 },
      { name: "transaction.version", minVersion: 0, maxVersion: 2 },
      { name: "eligible.leader.replicas.version", minVersion: 0, maxVersion: 1 },
    ],
    finalizedFeatures: {
      "group.version": 1,
      "streams.version": 1,
      "transaction.version": 2,
      "eligible.leader.replicas.version": 1,
      "share.version": 2,
      "metadata.version": 33,
    },
  },
  "redpanda": {
    ...OLD,
    namesApiVersions: true,
    versions: {
      Produce: [0, 7],
      Fetch: [4, 11],
      ListOffsets: [0, 3],
      Metadata: [0, 7],
      FindCoordinator: [0, 2],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 3],
      CreateTopics: [0, 5],
      InitProducerId: [0, 1],
      SaslAuthenticate: [0, 2],
    },
  },
  "event-hubs": {
    ...OLD,
    namesApiVersions: true,
    resetsApiVersionsFrom: 4,
    versions: {
      Produce: [0, 13],
      Fetch: [0, 11],
      ListOffsets: [0, 5],
      Metadata: [0, 9],
      FindCoordinator: [0, 3],
      SaslHandshake: [0, 1],
      ApiVersions: [0, 3],
      CreateTopics: [0, 5],
      InitProducerId: [0, 4],
      SaslAuthenticate: [0, 2],
    },
  },
};

/** The range of an API in a release; undefined if the API isn't there. */
export function releasedRange(release: Release, api: AnyApi): readonly [number, number] | undefined {
  return RELEASES[release].versions[api.name];
}
