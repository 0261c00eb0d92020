/** What a broker's answer may hold, field by field, and what happens beyond it. */

import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import { decodeAnswerFrame, encodeResponseFrame } from "../../src/protocol/api.ts";
import { BOUNDS, MAX_BROKERS, MAX_GROUPS, MAX_MEMBERS } from "../../src/protocol/bounds.ts";
import { type Field, fieldsOf } from "../../src/protocol/compile.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { Reader } from "../../src/protocol/reader.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { concatenated } from "./golden.ts";
import {
  APIS,
  type Body,
  brokers,
  configs,
  consumerMembers,
  describedMembers,
  groups,
  members,
  partitions,
  recordErrors,
  REQUESTS,
  rightAnswer,
  versionOf,
} from "./right_answers.ts";

/**
 * A field with a bound: the values at its ends, and values beyond, for which the answer is refused: a ProtocolError
 * ends the connection, and somebody else is asked.
 */
interface Bounded {
  readonly ends: readonly unknown[];
  readonly beyond: readonly unknown[];
}

/** A field that may hold whatever its type can: what becomes of it. */
type Free = string;

const INT16 = 32_767;
const INT32 = 2_147_483_647;
const INT64 = 9_223_372_036_854_775_807n;
const ERROR_CODE: Free = "a code that isn't in the table is UNKNOWN_SERVER_ERROR";
const UNUSED: Free = "nobody reads it";
const ASKED: Free = "one that wasn't asked for is passed over";
const TOLD: Free = "told to the caller as it is";
const NUMBERED: Free = "a number that isn't in the table is UNKNOWN";
const SHOWN: Free = "only shown, in an error's message";
const throttle: Bounded = { ends: [0, INT32], beyond: [-1, -INT32] };
const nodeId: Bounded = { ends: [0, INT32], beyond: [-1, -INT32] };
const nodeIdOrNone: Bounded = { ends: [-1, 0, INT32], beyond: [-2, -INT32] };
const epoch: Bounded = { ends: [-1, 0, INT32], beyond: [-2] };
const host: Bounded = {
  ends: ["h", "::1", "h".repeat(255)],
  beyond: ["", "h".repeat(256), "a b", "a\nb", "a/b", "a@b"],
};
const port: Bounded = { ends: [1, 65_535], beyond: [0, -1, 65_536, INT32] };
const index: Bounded = { ends: [0, INT32], beyond: [-1] };
const offset: Bounded = { ends: [-1n, 0n, INT64 - BigInt(INT32)], beyond: [-2n, -INT64, INT64] };
const time: Bounded = { ends: [-1n, 0n, BigInt(Number.MAX_SAFE_INTEGER)], beyond: [-2n, 2n ** 53n, INT64] };

const coordinator: Body = { key: "x", nodeId: 1, host: "h", port: 1, errorCode: 0 };
const fetched: Body = { partitionIndex: 0, errorCode: 0, highWatermark: 1n, records: new Uint8Array(0) };
const fetchedTopic: Body = { topicId: "a".repeat(32), partitions: [] };
const listed: Body = { partitionIndex: 0, errorCode: 0 };
const listedTopic: Body = { name: "orders", partitions: [] };
const epochEnd: Body = { partition: 0, errorCode: 0 };
const epochTopic: Body = { topic: "orders", partitions: [] };
const committed: Body = { partitionIndex: 0, errorCode: 0 };
const committedTopic: Body = { topicId: "a".repeat(32), partitions: [] };
const offsets: Body = { partitionIndex: 0, committedOffset: 1n, metadata: null, errorCode: 0 };
const offsetsTopic: Body = { topicId: "a".repeat(32), partitions: [] };
const offsetsGroup: Body = { groupId: "g", topics: [] };
const added: Body = { partitionIndex: 0, partitionErrorCode: 0 };
const addedTopic: Body = { name: "orders", resultsByPartition: [] };
const createdTopic: Body = { name: "orders", topicId: "a".repeat(32), errorCode: 0 };
const synonym: Body = { name: "log.retention.ms", value: "1", source: 5 };
const consumerGroup: Body = {
  ...{ errorCode: 0, groupId: "g", groupState: "Dead", groupEpoch: 0, assignmentEpoch: 0, assignorName: "" },
  members: [],
};
const describedGroup: Body = {
  ...{ errorCode: 0, groupId: "g", groupState: "Dead", protocolType: "", protocolData: "", members: [] },
};

/** Fields that only old versions have: what can't be right in them is found by the reader. */
const OLD = (...names: string[]): Record<string, Free> =>
  Object.fromEntries(names.map((name) => [name, "old brokers only: looked at by whoever asked"]));

/** Fields of versions that brokers speak among themselves. */
const LATER = (...names: string[]): Record<string, Free> =>
  Object.fromEntries(names.map((name) => [name, "brokers only: the client asks in older versions"]));

/** The fields of a config entry. */
const CONFIG = (list: string): Record<string, Free> => ({
  [`${list}.name`]: TOLD,
  [`${list}.value`]: "told, but for one that is sensitive",
  [`${list}.readOnly`]: "true or false",
  [`${list}.configSource`]: NUMBERED,
  [`${list}.isSensitive`]: "true or false",
});

/** A list of what was asked for, so many with the strays. */
const list = (most: number, element: Body): Bounded => ({
  ends: [[], repeated(most, element)],
  beyond: [repeated(most + 1, element)],
});

/** Every field of every answer that the client reads. */
const TABLE: Readonly<Record<string, Readonly<Record<string, Bounded | Free>>>> = {
  ApiVersions: {
    "errorCode": ERROR_CODE,
    "apiKeys": "as many as there are keys, for each may come once",
    "apiKeys.apiKey": { ends: [0, INT16], beyond: [-1] },
    // Not above the last version.
    "apiKeys.minVersion": { ends: [0, 5], beyond: [-1, 6, INT16] },
    "apiKeys.maxVersion": { ends: [5, INT16], beyond: [-1, 4] },
    "throttleTimeMs": throttle,
    "supportedFeatures": UNUSED,
    "supportedFeatures.name": UNUSED,
    "supportedFeatures.minVersion": { ends: [0, 5], beyond: [-1, 6] },
    "supportedFeatures.maxVersion": { ends: [5, INT16], beyond: [-1, 4] },
    "finalizedFeaturesEpoch": { ends: [-1n, INT64], beyond: [-2n] },
    "finalizedFeatures": UNUSED,
    "finalizedFeatures.name": UNUSED,
    "finalizedFeatures.maxVersionLevel": { ends: [5, INT16], beyond: [-1, 4] },
    "finalizedFeatures.minVersionLevel": { ends: [0, 5], beyond: [-1, 6] },
    "zkMigrationReady": UNUSED,
  },
  Metadata: {
    "throttleTimeMs": throttle,
    "brokers": {
      ends: [brokers(MAX_BROKERS)],
      beyond: [brokers(MAX_BROKERS + 1), [...brokers(1), ...brokers(1)]],
    },
    "brokers.nodeId": nodeId,
    "brokers.host": host,
    "brokers.port": port,
    "brokers.rack": UNUSED,
    "clusterId": "a wrong one is told to brokers, which refuse it, and the next metadata corrects it",
    "controllerId": nodeIdOrNone,
    // Those that were not asked for are passed over, up to a thousand.
    "topics": { ends: [[], topics(1), topics(1_001)], beyond: [topics(1_002), [...topics(1), ...topics(1)]] },
    "topics.errorCode": ERROR_CODE,
    "topics.name": "one that was not asked for is passed over",
    "topics.topicId":
      "a wrong one is the id of another topic: Produce is answered with 100, and the next metadata corrects it",
    "topics.isInternal": UNUSED,
    "topics.partitions": { ends: [[], partitions(0), partitions(2, 0, 1)], beyond: [partitions(1), partitions(0, 0)] },
    "topics.partitions.errorCode": UNUSED,
    // So many entries, so many indexes: of one partition it is 0.
    "topics.partitions.partitionIndex": { ends: [0], beyond: [1, -1, 999_999, INT32] },
    "topics.partitions.leaderId": nodeIdOrNone,
    "topics.partitions.leaderEpoch": epoch,
    "topics.partitions.replicaNodes": UNUSED,
    "topics.partitions.isrNodes": UNUSED,
    "topics.partitions.offlineReplicas": UNUSED,
    "topics.topicAuthorizedOperations": UNUSED,
    "clusterAuthorizedOperations": UNUSED,
    "errorCode": ERROR_CODE,
  },
  InitProducerId: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    // -1 with an error only.
    "producerId": { ends: [0n, INT64], beyond: [-1n, -2n] },
    "producerEpoch": { ends: [0, INT16], beyond: [-1, -2, -INT16] },
  },
  SaslHandshake: {
    "errorCode": ERROR_CODE,
    "mechanisms": SHOWN,
  },
  SaslAuthenticate: {
    "errorCode": ERROR_CODE,
    "errorMessage": SHOWN,
    "authBytes": "the mechanism's business",
    "sessionLifetimeMs": { ends: [0n, BigInt(Number.MAX_SAFE_INTEGER)], beyond: [-1n, 2n ** 53n, INT64] },
  },
  Produce: {
    // What wasn't sent is passed over, up to a thousand, and so is what is told a second time.
    "responses": { ends: [[], responses(1_001)], beyond: [responses(1_002)] },
    "responses.name": "a topic that wasn't sent is passed over",
    "responses.topicId": "a topic that wasn't sent is passed over",
    "responses.partitionResponses": { ends: [[], results(1_001)], beyond: [results(1_002)] },
    "responses.partitionResponses.index": { ends: [0, INT32], beyond: [-1] },
    "responses.partitionResponses.errorCode": ERROR_CODE,
    "responses.partitionResponses.baseOffset": offset,
    "responses.partitionResponses.logAppendTimeMs": time,
    "responses.partitionResponses.logStartOffset": offset,
    // The batch has three records.
    "responses.partitionResponses.recordErrors": {
      ends: [[], recordErrors(0, 2), recordErrors(2, 1, 0)],
      beyond: [recordErrors(0, 0), recordErrors(0, 1, 2, 3)],
    },
    "responses.partitionResponses.recordErrors.batchIndex": { ends: [0, 2], beyond: [-1, 3, INT32] },
    "responses.partitionResponses.recordErrors.batchIndexErrorMessage": SHOWN,
    "responses.partitionResponses.errorMessage": SHOWN,
    "responses.partitionResponses.currentLeader": "heeded with 6 and 74 only, and given up when that broker denies it",
    "responses.partitionResponses.currentLeader.leaderId": nodeIdOrNone,
    "responses.partitionResponses.currentLeader.leaderEpoch": epoch,
    "throttleTimeMs": throttle,
    "nodeEndpoints": {
      ends: [[], brokers(MAX_BROKERS)],
      beyond: [brokers(MAX_BROKERS + 1), [...brokers(1), ...brokers(1)]],
    },
    "nodeEndpoints.nodeId": nodeId,
    "nodeEndpoints.host": host,
    "nodeEndpoints.port": port,
    "nodeEndpoints.rack": UNUSED,
  },
  FindCoordinator: {
    "throttleTimeMs": throttle,
    ...OLD("errorCode", "errorMessage", "nodeId", "host", "port"),
    "coordinators": {
      ends: [[], repeated(1_001, coordinator)],
      beyond: [repeated(1_002, coordinator)],
    },
    "coordinators.key": "one that wasn't asked for is passed over",
    "coordinators.nodeId": nodeIdOrNone,
    // With an error there is none; without one the search is a failure that is retried.
    "coordinators.host": "an empty one is no coordinator",
    "coordinators.port": "0 and less, and what is no port, is no coordinator",
    "coordinators.errorCode": ERROR_CODE,
    "coordinators.errorMessage": SHOWN,
  },
  Fetch: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    "sessionId": UNUSED,
    "responses": { ends: [[], repeated(1_002, fetchedTopic)], beyond: [repeated(1_003, fetchedTopic)] },
    "responses.topic": "a topic that wasn't asked for is passed over",
    "responses.topicId": "a topic that wasn't asked for is passed over",
    "responses.partitions": { ends: [[], repeated(1_002, fetched)], beyond: [repeated(1_003, fetched)] },
    "responses.partitions.partitionIndex": { ends: [0, INT32], beyond: [-1] },
    "responses.partitions.errorCode": ERROR_CODE,
    "responses.partitions.highWatermark": offset,
    "responses.partitions.lastStableOffset": UNUSED,
    "responses.partitions.logStartOffset": UNUSED,
    "responses.partitions.divergingEpoch": UNUSED,
    "responses.partitions.divergingEpoch.epoch": UNUSED,
    "responses.partitions.divergingEpoch.endOffset": UNUSED,
    "responses.partitions.currentLeader": UNUSED,
    "responses.partitions.currentLeader.leaderId": UNUSED,
    "responses.partitions.currentLeader.leaderEpoch": UNUSED,
    "responses.partitions.snapshotId": UNUSED,
    "responses.partitions.snapshotId.endOffset": UNUSED,
    "responses.partitions.snapshotId.epoch": UNUSED,
    "responses.partitions.abortedTransactions": "as many as there are bytes for",
    "responses.partitions.abortedTransactions.producerId": { ends: [0n, INT64], beyond: [-2n] },
    "responses.partitions.abortedTransactions.firstOffset": offset,
    "responses.partitions.preferredReadReplica": UNUSED,
    "responses.partitions.records": "batches are checked one by one, and those that can't be right are fetched again",
    "nodeEndpoints": UNUSED,
    "nodeEndpoints.nodeId": UNUSED,
    "nodeEndpoints.host": UNUSED,
    "nodeEndpoints.port": UNUSED,
    "nodeEndpoints.rack": UNUSED,
  },
  ListOffsets: {
    "throttleTimeMs": throttle,
    "topics": { ends: [[], repeated(1_002, listedTopic)], beyond: [repeated(1_003, listedTopic)] },
    "topics.name": "a topic that wasn't asked for is passed over",
    "topics.partitions": { ends: [[], repeated(1_002, listed)], beyond: [repeated(1_003, listed)] },
    "topics.partitions.partitionIndex": { ends: [0, INT32], beyond: [-1] },
    "topics.partitions.errorCode": ERROR_CODE,
    "topics.partitions.timestamp": UNUSED,
    "topics.partitions.offset": offset,
    "topics.partitions.leaderEpoch": UNUSED,
  },
  OffsetForLeaderEpoch: {
    "throttleTimeMs": throttle,
    "topics": { ends: [[], repeated(1_002, epochTopic)], beyond: [repeated(1_003, epochTopic)] },
    "topics.topic": "a topic that wasn't asked for is passed over",
    "topics.partitions": { ends: [[], repeated(1_002, epochEnd)], beyond: [repeated(1_003, epochEnd)] },
    "topics.partitions.errorCode": ERROR_CODE,
    "topics.partitions.partition": { ends: [0, INT32], beyond: [-1] },
    "topics.partitions.leaderEpoch": epoch,
    "topics.partitions.endOffset": offset,
  },
  OffsetCommit: {
    "throttleTimeMs": throttle,
    "topics": { ends: [[], repeated(1_002, committedTopic)], beyond: [repeated(1_003, committedTopic)] },
    "topics.name": "a topic that wasn't asked for is passed over",
    "topics.topicId": "nobody asks by it",
    "topics.partitions": { ends: [[], repeated(1_002, committed)], beyond: [repeated(1_003, committed)] },
    "topics.partitions.partitionIndex": { ends: [0, INT32], beyond: [-1] },
    "topics.partitions.errorCode": ERROR_CODE,
  },
  OffsetFetch: {
    "throttleTimeMs": throttle,
    ...OLD("topics", "topics.name", "topics.partitions", "topics.partitions.partitionIndex"),
    ...OLD("topics.partitions.committedOffset", "topics.partitions.committedLeaderEpoch"),
    ...OLD("topics.partitions.metadata", "topics.partitions.errorCode", "errorCode"),
    "groups": { ends: [[], repeated(1_003, offsetsGroup)], beyond: [repeated(1_004, offsetsGroup)] },
    "groups.groupId": "a group that wasn't asked for is passed over",
    "groups.topics": { ends: [[], repeated(1_003, offsetsTopic)], beyond: [repeated(1_004, offsetsTopic)] },
    "groups.topics.name": "a topic that wasn't asked for is passed over",
    "groups.topics.topicId": "nobody asks by it",
    "groups.topics.partitions": { ends: [[], repeated(1_003, offsets)], beyond: [repeated(1_004, offsets)] },
    "groups.topics.partitions.partitionIndex": { ends: [0, INT32], beyond: [-1] },
    "groups.topics.partitions.committedOffset": offset,
    "groups.topics.partitions.committedLeaderEpoch": UNUSED,
    "groups.topics.partitions.metadata": UNUSED,
    "groups.topics.partitions.errorCode": ERROR_CODE,
    "groups.errorCode": ERROR_CODE,
  },
  JoinGroup: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    // -1 with an error only.
    "generationId": { ends: [0, INT32], beyond: [-1, -2] },
    "protocolType": UNUSED,
    "protocolName": "one that wasn't offered ends the membership of a leader",
    "leader": "compared with the member's own id",
    "skipAssignment": "true or false",
    "memberId": "sent as it is in the next requests",
    "members": { ends: [[], members(MAX_MEMBERS)], beyond: [members(MAX_MEMBERS + 1), [...members(1), ...members(1)]] },
    "members.memberId": "sent as it is with an assignment",
    "members.groupInstanceId": "members are put in order by it",
    "members.metadata": "a subscription that can't be read ends the membership of a leader",
  },
  SyncGroup: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    "protocolType": UNUSED,
    "protocolName": UNUSED,
    "assignment": "one that can't be read ends the membership",
  },
  Heartbeat: { "throttleTimeMs": throttle, "errorCode": ERROR_CODE },
  LeaveGroup: {
    "throttleTimeMs": throttle,
    "errorCode": UNUSED,
    "members": UNUSED,
    "members.memberId": UNUSED,
    "members.groupInstanceId": UNUSED,
    "members.errorCode": UNUSED,
  },
  AddPartitionsToTxn: {
    "throttleTimeMs": throttle,
    ...LATER("errorCode", "resultsByTransaction", "resultsByTransaction.transactionalId"),
    ...LATER("resultsByTransaction.topicResults", "resultsByTransaction.topicResults.name"),
    ...LATER("resultsByTransaction.topicResults.resultsByPartition"),
    ...LATER("resultsByTransaction.topicResults.resultsByPartition.partitionIndex"),
    ...LATER("resultsByTransaction.topicResults.resultsByPartition.partitionErrorCode"),
    "resultsByTopicV3AndBelow": list(1_002, addedTopic),
    "resultsByTopicV3AndBelow.name": ASKED,
    "resultsByTopicV3AndBelow.resultsByPartition": list(1_002, added),
    "resultsByTopicV3AndBelow.resultsByPartition.partitionIndex": index,
    "resultsByTopicV3AndBelow.resultsByPartition.partitionErrorCode": ERROR_CODE,
  },
  AddOffsetsToTxn: { "throttleTimeMs": throttle, "errorCode": ERROR_CODE },
  TxnOffsetCommit: {
    "throttleTimeMs": throttle,
    "topics": list(1_002, committedTopic),
    "topics.name": ASKED,
    "topics.topicId": ASKED,
    "topics.partitions": list(1_002, committed),
    "topics.partitions.partitionIndex": index,
    "topics.partitions.errorCode": ERROR_CODE,
  },
  EndTxn: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    // -1 with an error, and from coordinators that give no new epoch.
    "producerId": { ends: [-1n, 0n, INT64], beyond: [-2n] },
    "producerEpoch": { ends: [-1, 0, INT16], beyond: [-2] },
  },
  CreateTopics: {
    "throttleTimeMs": throttle,
    "topics": list(1_001, createdTopic),
    "topics.name": ASKED,
    "topics.topicId": TOLD,
    "topics.errorCode": ERROR_CODE,
    "topics.errorMessage": SHOWN,
    "topics.topicConfigErrorCode": UNUSED,
    "topics.numPartitions": { ends: [-1, 1_000_000], beyond: [-2, 1_000_001, INT32] },
    "topics.replicationFactor": { ends: [-1, INT16], beyond: [-2] },
    "topics.configs": { ends: [[], configs(10_000)], beyond: [configs(10_001)] },
    ...CONFIG("topics.configs"),
  },
  CreatePartitions: {
    "throttleTimeMs": throttle,
    "results": list(1_001, { name: "orders", errorCode: 0 }),
    "results.name": ASKED,
    "results.errorCode": ERROR_CODE,
    "results.errorMessage": SHOWN,
  },
  DeleteTopics: {
    "throttleTimeMs": throttle,
    "responses": list(1_001, { name: "orders", topicId: "a".repeat(32), errorCode: 0 }),
    "responses.name": ASKED,
    "responses.topicId": UNUSED,
    "responses.errorCode": ERROR_CODE,
    "responses.errorMessage": SHOWN,
  },
  DeleteRecords: {
    "throttleTimeMs": throttle,
    "topics": list(1_002, { name: "orders", partitions: [] }),
    "topics.name": ASKED,
    "topics.partitions": list(1_002, { partitionIndex: 0, lowWatermark: 1n, errorCode: 0 }),
    "topics.partitions.partitionIndex": index,
    "topics.partitions.lowWatermark": offset,
    "topics.partitions.errorCode": ERROR_CODE,
  },
  DescribeConfigs: {
    "throttleTimeMs": throttle,
    "results": list(1_001, { errorCode: 0, errorMessage: null, resourceType: 2, resourceName: "o", configs: [] }),
    "results.errorCode": ERROR_CODE,
    "results.errorMessage": SHOWN,
    "results.resourceType": ASKED,
    "results.resourceName": ASKED,
    "results.configs": { ends: [[], configs(10_000)], beyond: [configs(10_001)] },
    ...CONFIG("results.configs"),
    "results.configs.synonyms": {
      ends: [[], repeated(10_000, synonym)],
      beyond: [repeated(10_001, synonym)],
    },
    "results.configs.synonyms.name": TOLD,
    "results.configs.synonyms.value": "told, but for those of an entry that is sensitive",
    "results.configs.synonyms.source": NUMBERED,
    "results.configs.configType": NUMBERED,
    "results.configs.documentation": TOLD,
  },
  IncrementalAlterConfigs: {
    "throttleTimeMs": throttle,
    "responses": list(1_001, { errorCode: 0, errorMessage: null, resourceType: 2, resourceName: "orders" }),
    "responses.errorCode": ERROR_CODE,
    "responses.errorMessage": SHOWN,
    "responses.resourceType": ASKED,
    "responses.resourceName": ASKED,
  },
  DescribeCluster: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    "errorMessage": SHOWN,
    "endpointType": UNUSED,
    "clusterId": TOLD,
    "controllerId": nodeIdOrNone,
    "brokers": {
      ends: [described(MAX_BROKERS)],
      beyond: [described(MAX_BROKERS + 1), [...described(1), ...described(1)]],
    },
    "brokers.brokerId": nodeId,
    "brokers.host": host,
    "brokers.port": port,
    "brokers.rack": TOLD,
    "brokers.isFenced": "true or false",
    "clusterAuthorizedOperations": UNUSED,
  },
  ListGroups: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    "groups": { ends: [[], groups(MAX_GROUPS)], beyond: [groups(MAX_GROUPS + 1)] },
    "groups.groupId": TOLD,
    "groups.protocolType": TOLD,
    "groups.groupState": TOLD,
    "groups.groupType": TOLD,
  },
  DescribeGroups: {
    "throttleTimeMs": throttle,
    "groups": list(1_001, describedGroup),
    "groups.errorCode": ERROR_CODE,
    "groups.errorMessage": SHOWN,
    "groups.groupId": ASKED,
    "groups.groupState": TOLD,
    "groups.protocolType": TOLD,
    "groups.protocolData": TOLD,
    "groups.members": { ends: [[], describedMembers(MAX_MEMBERS)], beyond: [describedMembers(MAX_MEMBERS + 1)] },
    "groups.members.memberId": TOLD,
    "groups.members.groupInstanceId": TOLD,
    "groups.members.clientId": TOLD,
    "groups.members.clientHost": TOLD,
    "groups.members.memberMetadata": UNUSED,
    "groups.members.memberAssignment": "one that can't be read is the group's error",
    "groups.authorizedOperations": UNUSED,
  },
  ConsumerGroupDescribe: {
    "throttleTimeMs": throttle,
    "groups": list(1_001, consumerGroup),
    "groups.errorCode": ERROR_CODE,
    "groups.errorMessage": SHOWN,
    "groups.groupId": ASKED,
    "groups.groupState": TOLD,
    "groups.groupEpoch": UNUSED,
    "groups.assignmentEpoch": UNUSED,
    "groups.assignorName": TOLD,
    "groups.members": { ends: [[], consumerMembers(MAX_MEMBERS)], beyond: [consumerMembers(MAX_MEMBERS + 1)] },
    "groups.members.memberId": TOLD,
    "groups.members.instanceId": TOLD,
    "groups.members.rackId": UNUSED,
    "groups.members.memberEpoch": UNUSED,
    "groups.members.clientId": TOLD,
    "groups.members.clientHost": TOLD,
    "groups.members.subscribedTopicNames": UNUSED,
    "groups.members.subscribedTopicRegex": UNUSED,
    "groups.members.assignment": "a struct",
    "groups.members.assignment.topicPartitions": "as many as a cluster has partitions",
    "groups.members.assignment.topicPartitions.topicId": UNUSED,
    "groups.members.assignment.topicPartitions.topicName": TOLD,
    "groups.members.assignment.topicPartitions.partitions": "one below 0 is the group's error",
    "groups.members.targetAssignment": UNUSED,
    "groups.members.targetAssignment.topicPartitions": UNUSED,
    "groups.members.targetAssignment.topicPartitions.topicId": UNUSED,
    "groups.members.targetAssignment.topicPartitions.topicName": UNUSED,
    "groups.members.targetAssignment.topicPartitions.partitions": UNUSED,
    "groups.members.memberType": UNUSED,
    "groups.authorizedOperations": UNUSED,
  },
  DeleteGroups: {
    "throttleTimeMs": throttle,
    "results": list(1_001, { groupId: "g", errorCode: 0 }),
    "results.groupId": ASKED,
    "results.errorCode": ERROR_CODE,
    "results.errorMessage": SHOWN,
  },
  OffsetDelete: {
    "errorCode": ERROR_CODE,
    "throttleTimeMs": throttle,
    "topics": list(1_002, { name: "orders", partitions: [] }),
    "topics.name": ASKED,
    "topics.partitions": list(1_002, committed),
    "topics.partitions.partitionIndex": index,
    "topics.partitions.errorCode": ERROR_CODE,
  },
  GetTelemetrySubscriptions: {
    "throttleTimeMs": throttle,
    "errorCode": ERROR_CODE,
    "clientInstanceId": "sent as it is in the next requests",
    "subscriptionId": "sent as it is in the next requests",
    "acceptedCompressionTypes": { ends: [[], repeated(10_000, 4)], beyond: [repeated(10_001, 4)] },
    "pushIntervalMs": "heeded between 100 ms and an hour, 5 minutes where it is 0 or less",
    "telemetryMaxBytes": "metrics are left out until they fit",
    "deltaTemporality": "true or false",
    "requestedMetrics": { ends: [[], repeated(10_000, "")], beyond: [repeated(10_001, "")] },
  },
  PushTelemetry: { "throttleTimeMs": throttle, "errorCode": ERROR_CODE },
};

function described(count: number): unknown[] {
  return Array.from({ length: count }, (_, index) => ({ brokerId: index, host: "h", port: 1, rack: null }));
}

function repeated(count: number, element: unknown): unknown[] {
  return Array.from({ length: count }, () => element);
}

function topics(count: number): unknown[] {
  return Array.from(
    { length: count },
    (_, index) => ({ errorCode: 0, name: `topic ${index}`, topicId: "a".repeat(32), partitions: [] }),
  );
}

function results(count: number): unknown[] {
  return Array.from({ length: count }, (_, index) => ({ index, errorCode: 0, baseOffset: 0n }));
}

function responses(count: number): unknown[] {
  return Array.from({ length: count }, () => ({ topicId: "b".repeat(32), partitionResponses: [] }));
}

function set(body: Body, path: readonly string[], value: unknown): void {
  const [name = "", ...rest] = path;
  if (rest.length === 0) body[name] = value;
  else set((Array.isArray(body[name]) ? body[name][0] : body[name]) as Body, rest, value);
}

function read(api: AnyApi, body: Body): unknown {
  const version = versionOf(api);
  const frame = concatenated(encodeResponseFrame(api, version, 1, body as never)).subarray(4);
  return decodeAnswerFrame(api, version, REQUESTS[api.name] as never, frame);
}

function paths(fields: readonly Field[], before = ""): [path: string, field: Field][] {
  return fields.flatMap((field): [string, Field][] => {
    const path = before + field.name;
    return [[path, field], ...paths(field.fields, `${path}.`)];
  });
}

for (const api of APIS) {
  test(`answers: every field of ${api.name} that the client reads stands in the table`, () => {
    const declared = paths(fieldsOf(api.declaration.response));
    assert.deepEqual(Object.keys(TABLE[api.name]!).sort(), declared.map(([path]) => path).sort());
    for (const [path, field] of declared) {
      const row = TABLE[api.name]![path]!;
      if (typeof row !== "string") continue;
      // A bound that no test reaches is none: lists of keys and of partitions take too many elements.
      assert.ok(field.bound === undefined || [BOUNDS.apis, BOUNDS.partitions].includes(field.bound), path);
    }
  });

  test(`answers: of ${api.name} the ends of each bound are taken, and what is beyond is refused by its name`, () => {
    read(api, rightAnswer(api));
    for (const [path, row] of Object.entries(TABLE[api.name]!)) {
      if (typeof row === "string") continue;
      for (const value of row.ends) {
        const body = rightAnswer(api);
        set(body, path.split("."), value);
        assert.doesNotThrow(() => read(api, body), `${path} ${show(value)}`);
      }
      for (const value of row.beyond) {
        const body = rightAnswer(api);
        set(body, path.split("."), value);
        assert.throws(() => read(api, body), (error: Error) => {
          const where = `${path} ${show(value)}: ${error.message}`;
          assert.ok(error instanceof ProtocolError, where);
          assert.match(error.message, new RegExp(`^Decoding ${api.name} v${versionOf(api)} response, field `), where);
          // The last part of the path, or its fellow: a first version may be what is wrong with a last one.
          const struct = path.split(".").slice(0, -1).join(".");
          assert.ok(error.message.includes(`field ${struct}`), where);
          assert.match(error.message, /: Reading (".*"|a length of \d+)( a second time)?: wanted /s, where);
          return true;
        });
      }
    }
  });
}

function show(value: unknown): string {
  return Array.isArray(value) ? `${value.length} elements` : String(value).slice(0, 20);
}

test("answers: a list beyond its bound is refused before its first element is read", () => {
  const body = { ...rightAnswer(Metadata), brokers: brokers(200_000) };
  const frame = concatenated(encodeResponseFrame(Metadata, 8, 1, body as never)).subarray(4);
  const reader = new Reader(frame, 4);
  const error = caught(() => Metadata.decodeAnswer(reader, 8));
  assert.match(error.message, /field brokers: Reading a length of 200000: wanted 0 to 10000, no cluster has a tenth/);
  assert.equal(reader.offset, 4 + 4 + 4, "correlation id, throttle time and the list's length");
  const many = { ...rightAnswer(Produce) } as { responses: { partitionResponses: Body[] }[] };
  many.responses[0]!.partitionResponses[0]!.recordErrors = Array.from({ length: 300_000 }, () => recordErrors(0)[0]);
  assert.match(
    caught(() => read(Produce, many as never)).message,
    /recordErrors: Reading a length of 300000: wanted 0 to 3/,
  );
});

test("answers: ranges, keys, topics and endpoints that contradict each other are refused", () => {
  const twice = (api: AnyApi, list: string): Error => {
    const body = rightAnswer(api);
    const [one] = body[list] as unknown[];
    return caught(() => read(api, { ...body, [list]: [one, one] }));
  };
  assert.match(twice(ApiVersions, "apiKeys").message, /field apiKeys\.apiKey: Reading "3" a second time/);
  assert.match(twice(Metadata, "topics").message, /field topics\.name: Reading "orders" a second time/);
  assert.match(twice(Metadata, "brokers").message, /field brokers\.nodeId: Reading "0" a second time/);
  assert.match(twice(Produce, "nodeEndpoints").message, /field nodeEndpoints\.nodeId: Reading "0" a second time/);
});

test("answers: an error of InitProducerId comes without an id", () => {
  read(InitProducerId, { errorCode: 15, producerId: -1n, producerEpoch: -1 });
});

test("answers: record errors of a partition that wasn't sent are passed over", () => {
  const body = rightAnswer(Produce) as { responses: { partitionResponses: Body[] }[] };
  body.responses[0]!.partitionResponses.push({
    ...{ index: 9, errorCode: 87, baseOffset: -1n, recordErrors: recordErrors(7) },
  });
  read(Produce, body as never);
});

function caught(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error("Nothing was thrown, wanted an error");
}
