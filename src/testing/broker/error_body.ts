/**
 * The answer that carries one error, for any API.
 *
 * @module
 */

import { ProtocolError } from "../../errors.ts";
import type { AnyApi, RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import { ZERO_UUID } from "../../protocol/compile.ts";
import {
  type AddPartitionsToTxn,
  type ConsumerGroupDescribe,
  type CreatePartitions,
  type CreateTopics,
  type DeleteGroups,
  type DeleteRecords,
  type DeleteTopics,
  type DescribeConfigs,
  type DescribeGroups,
  type DescribeProducers,
  type DescribeTransactions,
  type Fetch,
  FindCoordinator,
  type GetTelemetrySubscriptions,
  type IncrementalAlterConfigs,
  type JoinGroup,
  type LeaveGroup,
  type ListOffsets,
  type Metadata,
  type OffsetCommit,
  type OffsetFetch,
  type OffsetForLeaderEpoch,
  type Produce,
  type TxnOffsetCommit,
} from "../../protocol/messages/mod.ts";
import type { Outcome } from "./call.ts";

type ErrorBody<A extends AnyApi> = (
  errorCode: number,
  request: RequestOf<A>,
  served: ResponseInputOf<A> | undefined,
) => ResponseInputOf<A>;

const produce: ErrorBody<typeof Produce> = (errorCode, request, served) => ({
  responses: request.topicData.map(({ name, topicId, partitionData }) => ({
    name,
    topicId,
    partitionResponses: partitionData.map(({ index }) => {
      // An error behind the append keeps the offset: Kafka's 7, and 6 when the leader moved meanwhile.
      const appended = served?.responses.find((topic) => topic.name === name && topic.topicId === topicId)
        ?.partitionResponses.find((partition) => partition.index === index);
      return appended === undefined ? { index, errorCode, baseOffset: -1n } : { ...appended, errorCode };
    }),
  })),
});

const fetch: ErrorBody<typeof Fetch> = (errorCode, request) => ({
  responses: request.topics.map(({ topic, topicId, partitions }) => ({
    topic,
    topicId,
    partitions: partitions.map(({ partition }) => (
      { partitionIndex: partition, errorCode, highWatermark: -1n, abortedTransactions: null, records: [] }
    )),
  })),
});

const listOffsets: ErrorBody<typeof ListOffsets> = (errorCode, request) => ({
  topics: request.topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
  })),
});

const metadata: ErrorBody<typeof Metadata> = (errorCode, request, served) => ({
  ...(served ?? { brokers: [] }),
  topics: (request.topics ?? []).map(({ name, topicId }) => ({ errorCode, name: name ?? "", topicId, partitions: [] })),
});

const createTopics: ErrorBody<typeof CreateTopics> = (errorCode, request) => ({
  topics: request.topics.map(({ name }) => ({ name, topicId: ZERO_UUID, errorCode, errorMessage: null })),
});

const createPartitions: ErrorBody<typeof CreatePartitions> = (errorCode, request) => ({
  throttleTimeMs: 0,
  results: request.topics.map(({ name }) => ({ name, errorCode })),
});

const deleteTopics: ErrorBody<typeof DeleteTopics> = (errorCode, request) => ({
  throttleTimeMs: 0,
  responses: [...request.topics, ...request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }))]
    .map(({ name, topicId }) => ({ name, topicId, errorCode })),
});

const deleteRecords: ErrorBody<typeof DeleteRecords> = (errorCode, request) => ({
  throttleTimeMs: 0,
  topics: request.topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, lowWatermark: -1n, errorCode })),
  })),
});

const describeConfigs: ErrorBody<typeof DescribeConfigs> = (errorCode, request) => ({
  throttleTimeMs: 0,
  results: request.resources.map(({ resourceName, resourceType }) => (
    { errorCode, errorMessage: null, resourceType, resourceName, configs: [] }
  )),
});

const incrementalAlterConfigs: ErrorBody<typeof IncrementalAlterConfigs> = (errorCode, request) => ({
  throttleTimeMs: 0,
  responses: request.resources.map(({ resourceName, resourceType }) => (
    { errorCode, errorMessage: null, resourceType, resourceName }
  )),
});

const addPartitionsToTxn: ErrorBody<typeof AddPartitionsToTxn> = (errorCode, request) => {
  const failed = (topics: typeof request.v3AndBelowTopics) =>
    topics.map(({ name, partitions }) => ({
      name,
      resultsByPartition: partitions.map((partitionIndex) => ({ partitionIndex, partitionErrorCode: errorCode })),
    }));
  if (request.transactions.length === 0) return { resultsByTopicV3AndBelow: failed(request.v3AndBelowTopics) };
  return {
    resultsByTransaction: request.transactions.map(({ topics, transactionalId }) => (
      { transactionalId, topicResults: failed(topics) }
    )),
  };
};

const txnOffsetCommit: ErrorBody<typeof TxnOffsetCommit> = (errorCode, request) => ({
  topics: request.topics.map(({ name, partitions, topicId }) => ({
    ...{ name, topicId },
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
  })),
});

const offsetCommit: ErrorBody<typeof OffsetCommit> = (errorCode, request) => ({
  topics: request.topics.map(({ name, partitions, topicId }) => ({
    ...{ name, topicId },
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
  })),
});

const offsetFetch: ErrorBody<typeof OffsetFetch> = (errorCode, request) => {
  if (request.groups.length === 0) return { errorCode, topics: [] };
  return { groups: request.groups.map(({ groupId }) => ({ groupId, errorCode, topics: [] })) };
};

const leaveGroup: ErrorBody<typeof LeaveGroup> = (errorCode) => ({ errorCode, members: [] });

const describeGroups: ErrorBody<typeof DescribeGroups> = (errorCode, request) => ({
  groups: request.groups.map((groupId) => (
    { groupId, errorCode, groupState: "", protocolType: "", protocolData: "", members: [] }
  )),
});

const consumerGroupDescribe: ErrorBody<typeof ConsumerGroupDescribe> = (errorCode, request) => ({
  throttleTimeMs: 0,
  groups: request.groupIds.map((groupId) => (
    { groupId, errorCode, groupState: "", groupEpoch: 0, assignmentEpoch: 0, assignorName: "", members: [] }
  )),
});

const deleteGroups: ErrorBody<typeof DeleteGroups> = (errorCode, request) => ({
  throttleTimeMs: 0,
  results: request.groupsNames.map((groupId) => ({ groupId, errorCode })),
});

const offsetForLeaderEpoch: ErrorBody<typeof OffsetForLeaderEpoch> = (errorCode, request) => ({
  throttleTimeMs: 0,
  topics: request.topics.map(({ partitions, topic }) => ({
    topic,
    partitions: partitions.map(({ partition }) => ({ partition, errorCode })),
  })),
});

const describeTransactions: ErrorBody<typeof DescribeTransactions> = (errorCode, request) => ({
  throttleTimeMs: 0,
  transactionStates: request.transactionalIds.map((transactionalId) => ({
    ...{ errorCode, transactionalId, transactionState: "", transactionTimeoutMs: 0, transactionStartTimeMs: 0n },
    ...{ producerId: 0n, producerEpoch: 0, topics: [] },
  })),
});

const describeProducers: ErrorBody<typeof DescribeProducers> = (errorCode, request) => ({
  throttleTimeMs: 0,
  topics: request.topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, errorCode, activeProducers: [] })),
  })),
});

const BODIES: Readonly<Record<string, unknown>> = {
  Produce: produce,
  Fetch: fetch,
  ListOffsets: listOffsets,
  Metadata: metadata,
  CreatePartitions: createPartitions,
  CreateTopics: createTopics,
  DeleteRecords: deleteRecords,
  DeleteTopics: deleteTopics,
  DescribeCluster: (errorCode: number) => (
    { throttleTimeMs: 0, errorCode, errorMessage: null, clusterId: "", brokers: [] }
  ),
  DescribeConfigs: describeConfigs,
  IncrementalAlterConfigs: incrementalAlterConfigs,
  OffsetDelete: (errorCode: number) => ({ errorCode, throttleTimeMs: 0, topics: [] }),
  ApiVersions: (errorCode: number) => ({ errorCode, apiKeys: [] }),
  SaslHandshake: (errorCode: number) => ({ errorCode, mechanisms: [] }),
  SaslAuthenticate: (errorCode: number) => ({ errorCode, authBytes: new Uint8Array(0) }),
  AddOffsetsToTxn: (errorCode: number) => ({ errorCode }),
  AddPartitionsToTxn: addPartitionsToTxn,
  ConsumerGroupDescribe: consumerGroupDescribe,
  DeleteGroups: deleteGroups,
  DescribeGroups: describeGroups,
  DescribeProducers: describeProducers,
  DescribeTransactions: describeTransactions,
  EndTxn: (errorCode: number) => ({ errorCode }),
  GetTelemetrySubscriptions: (errorCode: number, request: RequestOf<typeof GetTelemetrySubscriptions>) => ({
    ...{ throttleTimeMs: 0, errorCode, clientInstanceId: request.clientInstanceId, subscriptionId: 0 },
    ...{ acceptedCompressionTypes: [], pushIntervalMs: 0, telemetryMaxBytes: 0, deltaTemporality: false },
    requestedMetrics: [],
  }),
  PushTelemetry: (errorCode: number) => ({ throttleTimeMs: 0, errorCode }),
  Heartbeat: (errorCode: number) => ({ errorCode }),
  JoinGroup: (errorCode: number, request: RequestOf<typeof JoinGroup>) => (
    { errorCode, protocolName: "", leader: "", memberId: request.memberId, members: [] }
  ),
  LeaveGroup: leaveGroup,
  ListGroups: (errorCode: number) => ({ errorCode, groups: [] }),
  ListTransactions: (errorCode: number) => (
    { throttleTimeMs: 0, errorCode, unknownStateFilters: [], transactionStates: [] }
  ),
  OffsetCommit: offsetCommit,
  OffsetFetch: offsetFetch,
  OffsetForLeaderEpoch: offsetForLeaderEpoch,
  SyncGroup: (errorCode: number) => ({ errorCode, assignment: new Uint8Array(0) }),
  TxnOffsetCommit: txnOffsetCommit,
  InitProducerId: (errorCode: number) => ({ errorCode, producerId: -1n, producerEpoch: -1 }),
};

const FIRST_VERSION_WITH_COORDINATORS = 4;

/**
 * Makes the answer in which everything has failed with a code.
 *
 * `served` is what was answered really, when the request was served all the same.
 */
export function errorBody(
  api: AnyApi,
  version: number,
  request: unknown,
  errorCode: number,
  served: Outcome,
): Record<string, unknown> {
  if (api.key === FindCoordinator.key) return findCoordinator(version, request as never, errorCode);
  const make = BODIES[api.name] as ErrorBody<AnyApi> | undefined;
  if (make === undefined) throw new ProtocolError(`Answering "${api.name}" with an error: wanted another action.`);
  return make(errorCode, request as never, typeof served === "string" ? undefined : served) as Record<string, unknown>;
}

function findCoordinator(
  version: number,
  request: RequestOf<typeof FindCoordinator>,
  errorCode: number,
): Record<string, unknown> {
  const nobody = { errorCode, nodeId: -1, host: "", port: -1 };
  if (version < FIRST_VERSION_WITH_COORDINATORS) return nobody;
  return { coordinators: request.coordinatorKeys.map((key) => ({ key, ...nobody })) };
}
