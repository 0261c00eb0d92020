/**
 * What of the protocol a test names: the APIs, to control and to look at requests.
 *
 * @module
 */

import * as messages from "../../protocol/messages/mod.ts";

/** Any API, as far as a test needs to know. */
export interface AnyApi {
  /** The number that stands in a request header. */
  readonly key: number;
  /** Kafka's name for it. */
  readonly name: string;
  /** First version that can be read and written. */
  readonly minVersion: number;
  /** Last version that can be read and written. */
  readonly maxVersion: number;
  /** Reads a request body. */
  decodeRequest(reader: never, version: number): unknown;
  /** Writes a response body. */
  encodeResponse(writer: never, version: number, body: never): void;
}

/** The decoded request of an API; every field is there, those that the version lacks with their default. */
export type RequestOf<A extends AnyApi> = ReturnType<A["decodeRequest"]>;

/** A response of an API as it may be given to be sent; fields with a default may be left out. */
export type ResponseInputOf<A extends AnyApi> = Parameters<A["encodeResponse"]>[2];

/** Asks which APIs and versions a broker speaks. */
export const ApiVersions: (typeof import("../../protocol/messages/mod.ts"))["ApiVersions"] = messages.ApiVersions;
/** Gives topics more partitions. */
export const CreatePartitions: (typeof import("../../protocol/messages/mod.ts"))["CreatePartitions"] =
  messages.CreatePartitions;
/** Creates topics. */
export const CreateTopics: (typeof import("../../protocol/messages/mod.ts"))["CreateTopics"] = messages.CreateTopics;
/** Deletes topics. */
export const DeleteTopics: (typeof import("../../protocol/messages/mod.ts"))["DeleteTopics"] = messages.DeleteTopics;
/** Reads record batches. */
export const Fetch: (typeof import("../../protocol/messages/mod.ts"))["Fetch"] = messages.Fetch;
/** Asks who coordinates a group or a transaction. */
export const FindCoordinator: (typeof import("../../protocol/messages/mod.ts"))["FindCoordinator"] =
  messages.FindCoordinator;
/** Asks for a producer id. */
export const InitProducerId: (typeof import("../../protocol/messages/mod.ts"))["InitProducerId"] =
  messages.InitProducerId;
/** Asks for offsets by timestamp. */
export const ListOffsets: (typeof import("../../protocol/messages/mod.ts"))["ListOffsets"] = messages.ListOffsets;
/** Asks for brokers, topics and leaders. */
export const Metadata: (typeof import("../../protocol/messages/mod.ts"))["Metadata"] = messages.Metadata;
/** Appends record batches. */
export const Produce: (typeof import("../../protocol/messages/mod.ts"))["Produce"] = messages.Produce;
/** Tells that a transaction commits offsets of a group. */
export const AddOffsetsToTxn: (typeof import("../../protocol/messages/mod.ts"))["AddOffsetsToTxn"] =
  messages.AddOffsetsToTxn;
/** Tells which partitions a transaction writes to. */
export const AddPartitionsToTxn: (typeof import("../../protocol/messages/mod.ts"))["AddPartitionsToTxn"] =
  messages.AddPartitionsToTxn;
/** Commits or aborts a transaction. */
export const EndTxn: (typeof import("../../protocol/messages/mod.ts"))["EndTxn"] = messages.EndTxn;
/** Commits offsets of a group as part of a transaction. */
export const TxnOffsetCommit: (typeof import("../../protocol/messages/mod.ts"))["TxnOffsetCommit"] =
  messages.TxnOffsetCommit;
/** Deletes groups without members. */
export const DeleteGroups: (typeof import("../../protocol/messages/mod.ts"))["DeleteGroups"] = messages.DeleteGroups;
/** Tells the state and the members of groups with the protocol of KIP-848. */
export const ConsumerGroupDescribe: (typeof import("../../protocol/messages/mod.ts"))["ConsumerGroupDescribe"] =
  messages.ConsumerGroupDescribe;
/** Tells the state and the members of groups. */
export const DescribeGroups: (typeof import("../../protocol/messages/mod.ts"))["DescribeGroups"] =
  messages.DescribeGroups;
/** Tells what partitions know of producers. */
export const DescribeProducers: (typeof import("../../protocol/messages/mod.ts"))["DescribeProducers"] =
  messages.DescribeProducers;
/** Tells the state of transactions. */
export const DescribeTransactions: (typeof import("../../protocol/messages/mod.ts"))["DescribeTransactions"] =
  messages.DescribeTransactions;
/** Tells that a member of a group lives. */
export const Heartbeat: (typeof import("../../protocol/messages/mod.ts"))["Heartbeat"] = messages.Heartbeat;
/** Enters a group, or a new generation of it. */
export const JoinGroup: (typeof import("../../protocol/messages/mod.ts"))["JoinGroup"] = messages.JoinGroup;
/** Takes members out of a group. */
export const LeaveGroup: (typeof import("../../protocol/messages/mod.ts"))["LeaveGroup"] = messages.LeaveGroup;
/** Lists the groups that a broker coordinates. */
export const ListGroups: (typeof import("../../protocol/messages/mod.ts"))["ListGroups"] = messages.ListGroups;
/** Lists the transactions that a broker coordinates. */
export const ListTransactions: (typeof import("../../protocol/messages/mod.ts"))["ListTransactions"] =
  messages.ListTransactions;
/** Commits offsets of a group. */
export const OffsetCommit: (typeof import("../../protocol/messages/mod.ts"))["OffsetCommit"] = messages.OffsetCommit;
/** Asks for the committed offsets of groups. */
export const OffsetFetch: (typeof import("../../protocol/messages/mod.ts"))["OffsetFetch"] = messages.OffsetFetch;
/** Asks where the log of a leader's epoch ends. */
export const OffsetForLeaderEpoch: (typeof import("../../protocol/messages/mod.ts"))["OffsetForLeaderEpoch"] =
  messages.OffsetForLeaderEpoch;
/** Takes a step of an authentication. */
export const SaslAuthenticate: (typeof import("../../protocol/messages/mod.ts"))["SaslAuthenticate"] =
  messages.SaslAuthenticate;
/** Begins to authenticate, with a mechanism. */
export const SaslHandshake: (typeof import("../../protocol/messages/mod.ts"))["SaslHandshake"] = messages.SaslHandshake;
/** Gives the members of a group their assignments. */
export const SyncGroup: (typeof import("../../protocol/messages/mod.ts"))["SyncGroup"] = messages.SyncGroup;
/** Asks which metrics the broker wants to be pushed. */
export const GetTelemetrySubscriptions: (typeof import("../../protocol/messages/mod.ts"))["GetTelemetrySubscriptions"] =
  messages.GetTelemetrySubscriptions;
/** Pushes metrics. */
export const PushTelemetry: (typeof import("../../protocol/messages/mod.ts"))["PushTelemetry"] = messages.PushTelemetry;
/** Deletes the records before offsets. */
export const DeleteRecords: (typeof import("../../protocol/messages/mod.ts"))["DeleteRecords"] = messages.DeleteRecords;
/** Asks for the brokers of the cluster, its id and its controller. */
export const DescribeCluster: (typeof import("../../protocol/messages/mod.ts"))["DescribeCluster"] =
  messages.DescribeCluster;
/** Asks for the configs of topics. */
export const DescribeConfigs: (typeof import("../../protocol/messages/mod.ts"))["DescribeConfigs"] =
  messages.DescribeConfigs;
/** Changes configs of topics. */
export const IncrementalAlterConfigs: (typeof import("../../protocol/messages/mod.ts"))["IncrementalAlterConfigs"] =
  messages.IncrementalAlterConfigs;
/** Deletes committed offsets of a group. */
export const OffsetDelete: (typeof import("../../protocol/messages/mod.ts"))["OffsetDelete"] = messages.OffsetDelete;
