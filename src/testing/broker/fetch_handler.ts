/**
 * Fetch and ListOffsets: how the log is read.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { Fetch } from "../../protocol/messages/fetch.ts";
import type { OffsetForLeaderEpoch } from "../../protocol/messages/offset_for_leader_epoch.ts";
import type { ListOffsets } from "../../protocol/messages/list_offsets.ts";
import {
  FENCED_LEADER_EPOCH,
  FETCH_SESSION_ID_NOT_FOUND,
  LEADER_NOT_AVAILABLE,
  NOT_LEADER_OR_FOLLOWER,
  OFFSET_NOT_AVAILABLE,
  OFFSET_OUT_OF_RANGE,
  UNKNOWN_LEADER_EPOCH,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { type Call, nodeEndpoints } from "./call.ts";
import type { Partition } from "../control/topic.ts";
import type { PartitionState, Replica } from "../storage/replica.ts";

type FetchBody = ResponseInputOf<typeof Fetch>;
type FetchTopic = FetchBody["responses"][number];
type FetchPartition = FetchTopic["partitions"][number];
type AskedPartition = RequestOf<typeof Fetch>["topics"][number]["partitions"][number];
type OffsetsTopic = ResponseInputOf<typeof ListOffsets>["topics"][number];
type OffsetsPartition = OffsetsTopic["partitions"][number];
type AskedOffset = RequestOf<typeof ListOffsets>["topics"][number]["partitions"][number];

const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const FIRST_VERSION_WITH_CURRENT_LEADER = 12;
const FIRST_VERSION_WITH_ENDPOINTS = 16;
const READ_COMMITTED = 1;

/** Serves Fetch. No sessions are kept: the answer's session id is 0, and every request names all it wants. */
export function serveFetch(call: Call<typeof Fetch>): FetchBody | Promise<FetchBody> {
  const { request } = call;
  if (request.sessionId !== 0) return { errorCode: FETCH_SESSION_ID_NOT_FOUND, responses: [] };
  const now = readAll(call);
  const isDue = now.bytes >= request.minBytes || now.hasError || request.maxWaitMs <= 0 || now.replicas.length === 0;
  return isDue ? now.body : waitForMore(call, now.replicas);
}

interface ReadResult {
  readonly body: FetchBody;
  readonly bytes: number;
  readonly hasError: boolean;
  readonly replicas: readonly Replica[];
}

function waitForMore(call: Call<typeof Fetch>, replicas: readonly Replica[]): Promise<FetchBody> {
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      forget();
      for (const unwatch of unwatches) unwatch();
      resolve(readAll(call).body);
    };
    const timer = call.cluster.clock.setTimer(finish, call.request.maxWaitMs);
    const forget = call.onClose(finish);
    const unwatches = replicas.map((replica) =>
      replica.watch(() => {
        const { bytes, hasError } = readAll(call);
        if (bytes >= call.request.minBytes || hasError) finish();
      })
    );
  });
}

function readAll(call: Call<typeof Fetch>): ReadResult {
  const { broker, request, version, view } = call;
  const byId = version >= FIRST_VERSION_WITH_TOPIC_IDS;
  const replicas: Replica[] = [];
  const leaders: (number | undefined)[] = [];
  let bytes = 0;
  let hasError = false;
  const responses = request.topics.map((asked): FetchTopic => {
    const topic = byId ? view.topicById(asked.topicId) : view.topic(asked.topic);
    return {
      topic: asked.topic,
      topicId: asked.topicId,
      partitions: asked.partitions.map((wanted) => {
        const partition = topic?.partitions[wanted.partition];
        const replica = partition?.replica(broker.id);
        const unknown = topic === undefined && byId ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION;
        const body = partition === undefined || view.stateOf(partition) === undefined
          ? refused(wanted.partition, unknown)
          : readPartition(call, partition, wanted, request.maxBytes - bytes, bytes === 0);
        if (replica?.isLeader) replicas.push(replica);
        hasError ||= body.errorCode !== 0;
        for (const part of body.records as readonly Uint8Array[]) bytes += part.length;
        leaders.push(body.currentLeader?.leaderId);
        return body;
      }),
    };
  });
  const isHinted = version >= FIRST_VERSION_WITH_ENDPOINTS && leaders.some((leader) => leader !== undefined);
  const body: FetchBody = isHinted ? { responses, nodeEndpoints: nodeEndpoints(call, leaders) } : { responses };
  return { body, bytes, hasError, replicas };
}

function readPartition(
  call: Call<typeof Fetch>,
  partition: Partition,
  wanted: AskedPartition,
  budget: number,
  isFirst: boolean,
): FetchPartition {
  const { request, version } = call;
  const { index } = partition;
  const { errorCode, replica, state } = leaderOf(call, partition, wanted.currentLeaderEpoch);
  if (replica === undefined) {
    const { leaderEpoch, leaderId } = state;
    const body = refused(index, errorCode);
    const tells = version >= FIRST_VERSION_WITH_CURRENT_LEADER && errorCode !== UNKNOWN_LEADER_EPOCH;
    return tells ? { ...body, currentLeader: { leaderId, leaderEpoch } } : body;
  }
  const { highWatermark, lastStableOffset, log } = replica;
  if (wanted.fetchOffset < log.startOffset || wanted.fetchOffset > log.endOffset) {
    return refused(index, OFFSET_OUT_OF_RANGE);
  }
  const maxBytes = Math.max(0, Math.min(wanted.partitionMaxBytes, budget));
  const isCommittedOnly = request.isolationLevel === READ_COMMITTED;
  const endOffset = isCommittedOnly ? lastStableOffset : highWatermark;
  return {
    partitionIndex: index,
    errorCode: 0,
    highWatermark,
    lastStableOffset,
    logStartOffset: log.startOffset,
    abortedTransactions: isCommittedOnly
      ? replica.transactions.abortedBetween(wanted.fetchOffset, endOffset).map(({ firstOffset, producerId }) => (
        { firstOffset, producerId }
      ))
      : null,
    records: log.read(wanted.fetchOffset, maxBytes, isFirst, endOffset),
  };
}

function refused(partitionIndex: number, errorCode: number): FetchPartition {
  return { partitionIndex, errorCode, highWatermark: -1n, abortedTransactions: null, records: [] };
}

interface Found {
  readonly errorCode: number;
  /** The broker's own replica, if it leads and the client knows as much of the leader as it does. */
  readonly replica?: Replica;
  readonly state: PartitionState;
}

function leaderOf({ broker, view }: Call, partition: Partition, currentLeaderEpoch: number): Found {
  const replica = partition.replica(broker.id);
  const state = replica?.isLeader ? replica.state : view.stateOf(partition)!;
  const { leaderEpoch } = state;
  if (currentLeaderEpoch > leaderEpoch) return { errorCode: UNKNOWN_LEADER_EPOCH, state };
  if (currentLeaderEpoch !== -1 && currentLeaderEpoch < leaderEpoch) return { errorCode: FENCED_LEADER_EPOCH, state };
  return replica?.isLeader ? { errorCode: 0, replica, state } : { errorCode: NOT_LEADER_OR_FOLLOWER, state };
}

const LATEST = -1n;
const EARLIEST = -2n;
const MAX_TIMESTAMP = -3n;
const EARLIEST_LOCAL = -4n;
const FIRST_VERSION_WITH_LEADER_EPOCH = 4;
const FIRST_VERSION_WITH_OFFSET_NOT_AVAILABLE = 5;

/** Serves ListOffsets. */
export async function serveListOffsets(
  call: Call<typeof ListOffsets>,
): Promise<ResponseInputOf<typeof ListOffsets>> {
  const topics = call.request.topics.map(async ({ name, partitions }): Promise<OffsetsTopic> => ({
    name,
    partitions: await Promise.all(partitions.map((asked) => {
      const partition = call.view.topic(name)?.partitions[asked.partitionIndex];
      return partition === undefined || call.view.stateOf(partition) === undefined
        ? { partitionIndex: asked.partitionIndex, errorCode: UNKNOWN_TOPIC_OR_PARTITION }
        : listOffset(call, partition, asked);
    })),
  }));
  return { topics: await Promise.all(topics) };
}

async function listOffset(
  call: Call<typeof ListOffsets>,
  partition: Partition,
  { currentLeaderEpoch, timestamp }: AskedOffset,
): Promise<OffsetsPartition> {
  const { cluster, version } = call;
  const partitionIndex = partition.index;
  const { errorCode, replica, state } = leaderOf(call, partition, currentLeaderEpoch);
  if (replica === undefined) return { partitionIndex, errorCode };
  const epoch = (leaderEpoch: number) => version < FIRST_VERSION_WITH_LEADER_EPOCH ? {} : { leaderEpoch };
  const { epochStartOffset, highWatermark, log } = replica;
  const endOffset = call.request.isolationLevel === READ_COMMITTED ? replica.lastStableOffset : highWatermark;
  if (timestamp === EARLIEST || timestamp === EARLIEST_LOCAL) {
    return { partitionIndex, errorCode: 0, offset: log.startOffset, ...epoch(state.leaderEpoch) };
  }
  // A new leader doesn't know yet what is safe of that which it has from the old one.
  if (highWatermark < epochStartOffset) {
    const isKnown = version >= FIRST_VERSION_WITH_OFFSET_NOT_AVAILABLE;
    return { partitionIndex, errorCode: isKnown ? OFFSET_NOT_AVAILABLE : LEADER_NOT_AVAILABLE };
  }
  if (timestamp === LATEST) {
    return { partitionIndex, errorCode: 0, offset: endOffset, ...epoch(state.leaderEpoch) };
  }
  const wanted = timestamp === MAX_TIMESTAMP ? log.maxTimestampMs : timestamp;
  const found = wanted === undefined || wanted < 0n
    ? undefined
    : await log.offsetForTimestamp(wanted, cluster.decompress);
  if (found === undefined || found.offset >= endOffset) return { partitionIndex, errorCode: 0 };
  const { leaderEpoch, ...place } = found;
  return { partitionIndex, errorCode: 0, ...place, ...epoch(leaderEpoch) };
}

type EpochTopic = ResponseInputOf<typeof OffsetForLeaderEpoch>["topics"][number];
type EpochPartition = EpochTopic["partitions"][number];
type AskedEpoch = RequestOf<typeof OffsetForLeaderEpoch>["topics"][number]["partitions"][number];

/** Serves OffsetForLeaderEpoch: where what a leader wrote in an epoch ends in this leader's log. */
export function serveOffsetForLeaderEpoch(
  call: Call<typeof OffsetForLeaderEpoch>,
): ResponseInputOf<typeof OffsetForLeaderEpoch> {
  return {
    throttleTimeMs: 0,
    topics: call.request.topics.map(({ partitions, topic }): EpochTopic => ({
      topic,
      partitions: partitions.map((asked) =>
        endOfEpoch(call, call.view.topic(topic)?.partitions[asked.partition], asked)
      ),
    })),
  };
}

function endOfEpoch(
  call: Call<typeof OffsetForLeaderEpoch>,
  partition: Partition | undefined,
  asked: AskedEpoch,
): EpochPartition {
  const index = asked.partition;
  if (partition === undefined || call.view.stateOf(partition) === undefined) {
    return { partition: index, errorCode: UNKNOWN_TOPIC_OR_PARTITION };
  }
  const { errorCode, replica, state } = leaderOf(call, partition, asked.currentLeaderEpoch);
  if (replica === undefined) return { partition: index, errorCode };
  const { endOffset, epochs, startOffset } = replica.log;
  if (asked.leaderEpoch === state.leaderEpoch) {
    return { partition: index, errorCode: 0, leaderEpoch: asked.leaderEpoch, endOffset };
  }
  const known = epochs.some(({ epoch }) => epoch === state.leaderEpoch)
    ? epochs
    : [...epochs, { epoch: state.leaderEpoch, startOffset: endOffset }];
  const next = known.findIndex(({ epoch }) => epoch > asked.leaderEpoch);
  // An epoch that is yet to come.
  if (next < 0 || asked.leaderEpoch < 0) return { partition: index, errorCode: 0 };
  const isBeforeAll = next === 0;
  return {
    partition: index,
    errorCode: 0,
    leaderEpoch: isBeforeAll ? asked.leaderEpoch : known[next - 1]!.epoch,
    endOffset: isBeforeAll ? startOffset : known[next]!.startOffset,
  };
}
