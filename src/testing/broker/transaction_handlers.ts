/**
 * The requests that transactions are made of: AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, TxnOffsetCommit } from "../../protocol/messages/mod.ts";
import {
  INVALID_PRODUCER_EPOCH,
  INVALID_TXN_STATE,
  OPERATION_NOT_ATTEMPTED,
  PRODUCER_FENCED,
  TRANSACTION_ABORTABLE,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import type { Call } from "./call.ts";
import type { Partition } from "../control/topic.ts";

type AddBody = ResponseInputOf<typeof AddPartitionsToTxn>;
type AddedTopic = NonNullable<AddBody["resultsByTopicV3AndBelow"]>[number];
type AskedTopic = RequestOf<typeof AddPartitionsToTxn>["v3AndBelowTopics"][number];

const FIRST_VERSION_WITH_BATCH = 4;
const FIRST_VERSION_WITH_FENCED = 2;
const FIRST_END_OF_VERSION_2 = 5;
const FIRST_OFFSETS_OF_VERSION_2 = 5;
const FIRST_OFFSETS_WITH_ABORTABLE = 4;
const FIRST_OFFSETS_WITH_TOPIC_IDS = 6;

/** Serves AddPartitionsToTxn. From version 4 on it is asked by brokers, about several transactions at once. */
export function serveAddPartitionsToTxn(call: Call<typeof AddPartitionsToTxn>): AddBody {
  const { request, version } = call;
  if (version < FIRST_VERSION_WITH_BATCH) {
    return {
      resultsByTopicV3AndBelow: addPartitions(call, {
        transactionalId: request.v3AndBelowTransactionalId,
        producerId: request.v3AndBelowProducerId,
        producerEpoch: request.v3AndBelowProducerEpoch,
        topics: request.v3AndBelowTopics,
      }),
    };
  }
  return {
    errorCode: 0,
    resultsByTransaction: request.transactions.map((transaction) => ({
      transactionalId: transaction.transactionalId,
      topicResults: addPartitions(call, transaction),
    })),
  };
}

interface Addition {
  readonly transactionalId: string;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly verifyOnly?: boolean;
  readonly topics: readonly AskedTopic[];
}

function addPartitions(call: Call<typeof AddPartitionsToTxn>, addition: Addition): AddedTopic[] {
  const { broker, cluster, version, view } = call;
  const { producerEpoch, producerId, topics, transactionalId, verifyOnly = false } = addition;
  const found = topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map((index) => {
      const partition = view.topic(name)?.partitions[index];
      const isKnown = partition !== undefined && view.stateOf(partition) !== undefined;
      return { index, partition: isKnown ? partition : undefined };
    }),
  }));
  const all = found.flatMap(({ partitions }) => partitions.map(({ partition }) => partition));
  const results = (codeOf: (partition: Partition | undefined) => number): AddedTopic[] =>
    found.map(({ name, partitions }) => ({
      name,
      resultsByPartition: partitions.map(({ index, partition }) => (
        { partitionIndex: index, partitionErrorCode: codeOf(partition) }
      )),
    }));
  // All or nothing.
  if (all.includes(undefined)) {
    return results((partition) => partition === undefined ? UNKNOWN_TOPIC_OR_PARTITION : OPERATION_NOT_ATTEMPTED);
  }
  const known = all as Partition[];
  const { transactions } = cluster;
  const refusal = cluster.coordinators.refusalOf(broker, "transaction", transactionalId);
  if (refusal !== 0) return results(() => refusal);
  if (verifyOnly) {
    return results((partition) => transactions.verify(transactionalId, producerId, producerEpoch, partition!));
  }
  const code = transactions.add(transactionalId, producerId, producerEpoch, known, [], false);
  return results(() => version < FIRST_VERSION_WITH_FENCED ? withoutFenced(code) : code);
}

/** Serves AddOffsetsToTxn. */
export function serveAddOffsetsToTxn(call: Call<typeof AddOffsetsToTxn>): ResponseInputOf<typeof AddOffsetsToTxn> {
  const { broker, cluster, request, version } = call;
  const { groupId, producerEpoch, producerId, transactionalId } = request;
  const code = cluster.coordinators.refusalOf(broker, "transaction", transactionalId) ||
    cluster.transactions.add(transactionalId, producerId, producerEpoch, [], [groupId], false);
  return { errorCode: version < FIRST_VERSION_WITH_FENCED ? withoutFenced(code) : code };
}

/** Serves EndTxn. From version 5 on it raises the epoch, and the answer tells it. */
export function serveEndTxn(call: Call<typeof EndTxn>): ResponseInputOf<typeof EndTxn> {
  const { broker, cluster, request, version } = call;
  const { committed, producerEpoch, producerId, transactionalId } = request;
  const errorCode = cluster.coordinators.refusalOf(broker, "transaction", transactionalId);
  if (errorCode !== 0) return { errorCode };
  const isVersion2 = version >= FIRST_END_OF_VERSION_2;
  const end = cluster.transactions.end(transactionalId, producerId, producerEpoch, committed, isVersion2);
  return version < FIRST_VERSION_WITH_FENCED ? { errorCode: withoutFenced(end.errorCode) } : end;
}

/** Serves TxnOffsetCommit. From version 5 on it adds the group to the transaction by itself. */
export function serveTxnOffsetCommit(call: Call<typeof TxnOffsetCommit>): ResponseInputOf<typeof TxnOffsetCommit> {
  const { cluster, request, version, view } = call;
  const byId = version >= FIRST_OFFSETS_WITH_TOPIC_IDS;
  const wanted = request.topics.map(({ name, partitions, topicId }) => {
    const topic = byId ? view.topicById(topicId) : view.topic(name);
    const unknown = byId && topic === undefined ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION;
    return {
      ...{ name, topicId, unknown },
      partitions: partitions.map((asked) => ({ ...asked, partition: topic?.partitions[asked.partitionIndex] })),
    };
  });
  const offsets = wanted.flatMap(({ partitions }) =>
    partitions.flatMap(({ committedLeaderEpoch, committedMetadata, committedOffset, partition }) =>
      partition === undefined ? [] : [{ committedLeaderEpoch, committedMetadata, committedOffset, partition }]
    )
  );
  const code = offsets.length === 0
    ? 0
    : commitOffsets(call, () => cluster.groups.commitInTransaction(request, offsets));
  return {
    topics: wanted.map(({ name, partitions, topicId, unknown }) => ({
      ...{ name, topicId },
      partitions: partitions.map(({ partition, partitionIndex }) => (
        { partitionIndex, errorCode: partition === undefined ? unknown : code }
      )),
    })),
  };
}

function commitOffsets(call: Call<typeof TxnOffsetCommit>, commit: () => number): number {
  const { broker, cluster, request, version } = call;
  const { groupId, producerEpoch, producerId, transactionalId } = request;
  const refusal = cluster.groups.memberRefusalOf(broker, groupId);
  if (refusal !== 0) return refusal;
  if (!cluster.groups.hasOpenTransaction(groupId, producerId, producerEpoch)) {
    const { coordinators, transactions } = cluster;
    const code = coordinators.refusal("transaction", transactionalId) ||
      (version >= FIRST_OFFSETS_OF_VERSION_2
        ? transactions.add(transactionalId, producerId, producerEpoch, [], [groupId], true)
        : transactions.verify(transactionalId, producerId, producerEpoch, groupId));
    if (code === TRANSACTION_ABORTABLE && version < FIRST_OFFSETS_WITH_ABORTABLE) return INVALID_TXN_STATE;
    if (code !== 0) return withoutFenced(code);
  }
  return commit();
}

/** As clients were told that they are fenced before there was a code for it. */
function withoutFenced(errorCode: number): number {
  return errorCode === PRODUCER_FENCED ? INVALID_PRODUCER_EPOCH : errorCode;
}
