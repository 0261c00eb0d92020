/**
 * Produce: from a request's batches to the log, with the checks in Kafka's order.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { Produce } from "../../protocol/messages/produce.ts";
import {
  INVALID_REQUIRED_ACKS,
  INVALID_TXN_STATE,
  NOT_ENOUGH_REPLICAS,
  NOT_LEADER_OR_FOLLOWER,
  OUT_OF_ORDER_SEQUENCE_NUMBER,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { acknowledged, type Served } from "./acknowledgement.ts";
import type { BatchView } from "../storage/batch_view.ts";
import {
  checkFirstHeader,
  isTransactional,
  onlyBatch,
  type Rejection,
  validateBatch,
} from "../storage/batch_validation.ts";
import type { ValidBatch } from "../storage/batch_validation.ts";
import { type Call, nodeEndpoints, type Outcome } from "./call.ts";
import { sequencedBatch } from "../storage/producer_state.ts";
import type { Replica, ReplicatedPartition } from "../storage/replica.ts";
import type { Partition } from "../control/topic.ts";
import { addsPartitions, enlist, isEnlisted, isOfTransaction } from "./transactional_append.ts";

type Body = ResponseInputOf<typeof Produce>;
type TopicBody = Body["responses"][number];
type PartitionBody = TopicBody["partitionResponses"][number];
type TopicData = RequestOf<typeof Produce>["topicData"][number];

const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const FIRST_VERSION_WITH_HINTS = 10;
const FIRST_VERSION_WITH_RECORD_ERRORS = 8;

/** Serves Produce. */
export function serveProduce(call: Call<typeof Produce>): Outcome<typeof Produce> | Promise<Outcome<typeof Produce>> {
  const { request } = call;
  const records = request.topicData.flatMap((topic) => topic.partitionData.map((partition) => partition.records));
  // Both Kafka 3.9 and 4.1 neither answer this nor close the connection.
  if (records.includes(null)) return "silence";
  const refused = refuseWhole(call, records as Uint8Array[]);
  if (refused !== undefined) return answer(call, request.topicData.map((topic) => everyPartition(topic, refused)));
  const topics = uniqueTopics(request.topicData);
  const appended = topics.flatMap((topic) => appendTopic(call, topic));
  if (!appended.some((served) => served instanceof Promise)) return acknowledge(call, topics, appended as Served[]);
  return Promise.all(appended).then((all) => acknowledge(call, topics, all));
}

function acknowledge(
  call: Call<typeof Produce>,
  topics: readonly TopicData[],
  appended: readonly Served[],
): Outcome<typeof Produce> | Promise<Outcome<typeof Produce>> {
  const finish = (bodies: readonly PartitionBody[]): Outcome<typeof Produce> => {
    let at = 0;
    return answer(
      call,
      topics.map((topic) => ({
        ...topicNaming(topic),
        partitionResponses: bodies.slice(at, at += topic.partitionData.length).reverse(),
      })),
    );
  };
  const bodies = acknowledged(call, appended);
  return bodies instanceof Promise ? bodies.then(finish) : finish(bodies);
}

/** What is wrong with the request as a whole. */
function refuseWhole({ request }: Call<typeof Produce>, records: readonly Uint8Array[]): Rejection | undefined {
  if (![-1, 0, 1].includes(request.acks)) return refusal(INVALID_REQUIRED_ACKS);
  for (const bytes of records) {
    const corrupt = checkFirstHeader(bytes);
    if (corrupt !== undefined) return corrupt;
  }
  return request.transactionalId === null && records.some(isTransactional)
    ? refusal(TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    : undefined;
}

/** With acks 0 there is no answer: an error shows in the end of the connection. */
function answer(call: Call<typeof Produce>, topics: readonly TopicBody[]): Outcome<typeof Produce> {
  const all = topics.flatMap((topic) => topic.partitionResponses);
  if (call.request.acks === 0) return all.some(({ errorCode }) => errorCode !== 0) ? "close" : "nothing";
  const hinted = all.some(({ currentLeader }) => currentLeader !== undefined);
  // Kafka's order is that of a hash table; the reverse of the request's shows who relies on it.
  const responses = [...topics].reverse();
  return hinted
    ? {
      responses,
      nodeEndpoints: nodeEndpoints(call, all.map((it) => it.currentLeader?.leaderId)),
    }
    : { responses };
}

/** A topic may come twice; of a partition that comes twice Kafka drops all but the last without a word. */
function uniqueTopics(topicData: readonly TopicData[]): TopicData[] {
  const topics = new Map<string, TopicData>();
  for (const topic of topicData) {
    const key = topic.name || topic.topicId;
    const partitions = new Map((topics.get(key)?.partitionData ?? []).map((data) => [data.index, data]));
    for (const data of topic.partitionData) partitions.set(data.index, data);
    topics.set(key, { ...topic, partitionData: [...partitions.values()] });
  }
  return [...topics.values()];
}

function appendTopic(call: Call<typeof Produce>, data: TopicData): (Served | Promise<Served>)[] {
  const byId = call.version >= FIRST_VERSION_WITH_TOPIC_IDS;
  const topic = byId ? call.view.topicById(data.topicId) : call.view.topic(data.name);
  const unknown = refusal(topic === undefined && byId ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION);
  return data.partitionData.map(({ index, records }) => {
    const partition = topic?.partitions[index];
    return partition === undefined || call.view.stateOf(partition) === undefined
      ? { body: failure(call, index, unknown) }
      : appendPartition(call, partition, records!);
  });
}

function appendPartition(
  call: Call<typeof Produce>,
  partition: Partition,
  records: Uint8Array,
): Served | Promise<Served> {
  const { index } = partition;
  const header = onlyBatch(records, call.version);
  if ("errorCode" in header) return { body: failure(call, index, header) };
  const leader = partition.replica(call.broker.id);
  if (!leader?.isLeader) return { body: notLeader(call, partition) };
  const enlisted = isOfTransaction(header) ? enlist(call, leader, header) : 0;
  if (enlisted instanceof Promise) return enlisted.then((code) => validate(call, leader, header, code));
  return validate(call, leader, header, enlisted);
}

function validate(
  call: Call<typeof Produce>,
  leader: Replica,
  header: BatchView,
  enlisted: number,
): Served | Promise<Served> {
  const { partition } = leader;
  const { index } = partition;
  if (enlisted !== 0) return { body: failure(call, index, refusal(enlisted)) };
  if (!leader.isLeader) return { body: notLeader(call, partition) };
  const { rules } = partition.topic;
  const { isr, replicas } = leader.state;
  if (call.request.acks === -1 && isr.length < Math.min(rules.minInsyncReplicas, replicas.length)) {
    return { body: failure(call, index, refusal(NOT_ENOUGH_REPLICAS)) };
  }
  const valid = validateBatch(header, {
    rules,
    nowMs: call.cluster.clock.wallNow(),
    topicPartition: partition.name,
    decompress: call.cluster.decompress,
  });
  return valid instanceof Promise ? valid.then((result) => append(call, leader, result)) : append(call, leader, valid);
}

/** The last step: sequences, then the log. Nothing can come between the two. */
function append(call: Call<typeof Produce>, leader: Replica, valid: ValidBatch | Rejection): Served {
  const { log, partition, producers } = leader;
  const { index } = partition;
  if ("errorCode" in valid) {
    return { body: failure(call, index, valid, valid.tellsLogStart ? log.startOffset : undefined) };
  }
  // Others may have been elected while the batch was being decompressed.
  if (!leader.isLeader || !call.isAlive) return { body: notLeader(call, partition) };
  const appendedAtMs = call.cluster.clock.now();
  const sequenced = sequencedBatch(valid.header);
  const isTransactional = isOfTransaction(valid.header);
  if (sequenced !== undefined) {
    const isFirst = producers.isUnknown(sequenced.producerId, appendedAtMs);
    const verdict = producers.check(sequenced, appendedAtMs);
    if (verdict.kind === "refuse") return { body: failure(call, index, refusal(verdict.errorCode), log.startOffset) };
    if (verdict.kind === "duplicate") {
      const { baseOffset, maxTimestampMs } = verdict.original;
      // Also where the topic keeps the producer's timestamps; measured on both releases.
      const body = success(index, baseOffset, maxTimestampMs, log.startOffset);
      return { body, leader, endOffset: baseOffset + BigInt(valid.header.lastOffsetDelta) + 1n };
    }
    // Under version 2 of transactions a producer that isn't known is at its beginning.
    const isTooEarly = isTransactional && addsPartitions(call) && isFirst && sequenced.firstSequence !== 0;
    if (isTooEarly || (isTransactional && leader.firstAttempts.isBehind(sequenced))) {
      return { body: failure(call, index, refusal(OUT_OF_ORDER_SEQUENCE_NUMBER), log.startOffset) };
    }
    const isWelcome = isTransactional
      ? isEnlisted(call, leader, valid.header)
      : leader.transactions.openOf(sequenced.producerId) === undefined;
    if (!isWelcome) return { body: failure(call, index, refusal(INVALID_TXN_STATE), log.startOffset) };
  }
  const logAppendTimeMs = partition.topic.rules.usesLogAppendTime ? call.cluster.clock.wallNow() : undefined;
  const { maxTimestampMs } = valid;
  const { leaderEpoch } = leader.state;
  const { baseOffset, lastOffset } = leader.append(valid.header, {
    leaderEpoch,
    maxTimestampMs,
    logAppendTimeMs,
    appendedAtMs,
    sequenced,
    transactional: isTransactional && sequenced !== undefined
      ? { producerId: sequenced.producerId, epoch: sequenced.epoch, kind: "records" }
      : undefined,
  });
  if (sequenced !== undefined) leader.firstAttempts.forget(sequenced.producerId);
  call.cluster.controller.appended(leader);
  const body = success(index, baseOffset, BigInt(logAppendTimeMs ?? -1), log.startOffset);
  return { body, leader, endOffset: lastOffset + 1n };
}

function success(index: number, baseOffset: bigint, logAppendTimeMs: bigint, logStartOffset: bigint): PartitionBody {
  return { index, errorCode: 0, baseOffset, logAppendTimeMs, logStartOffset };
}

function failure(
  { version }: Call<typeof Produce>,
  index: number,
  { errorCode, errorMessage, recordErrors }: Rejection,
  logStartOffset = -1n,
): PartitionBody {
  const body = { index, errorCode, baseOffset: -1n, logAppendTimeMs: -1n, logStartOffset };
  return version < FIRST_VERSION_WITH_RECORD_ERRORS ? body : { ...body, errorMessage, recordErrors };
}

function notLeader(call: Call<typeof Produce>, partition: ReplicatedPartition): PartitionBody {
  const body = failure(call, partition.index, refusal(NOT_LEADER_OR_FOLLOWER));
  const { leaderId, leaderEpoch } = call.view.stateOf(partition) ?? partition.state;
  return call.version < FIRST_VERSION_WITH_HINTS ? body : { ...body, currentLeader: { leaderId, leaderEpoch } };
}

/** The same error for every partition of a topic. */
function everyPartition(data: TopicData, rejected: Rejection): TopicBody {
  return {
    ...topicNaming(data),
    partitionResponses: data.partitionData.map(({ index }) => ({
      index,
      errorCode: rejected.errorCode,
      baseOffset: -1n,
      errorMessage: rejected.errorMessage,
    })),
  };
}

function topicNaming({ name, topicId }: TopicData): { readonly name: string; readonly topicId: string } {
  return { name, topicId };
}

function refusal(errorCode: number): Rejection {
  return { errorCode, errorMessage: null, recordErrors: [] };
}
