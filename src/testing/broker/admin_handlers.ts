/**
 * DescribeCluster, DeleteRecords and OffsetDelete.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { DeleteRecords, DescribeCluster, OffsetDelete } from "../../protocol/messages/mod.ts";
import {
  GROUP_ID_NOT_FOUND,
  GROUP_SUBSCRIBED_TO_TOPIC,
  MISMATCHED_ENDPOINT_TYPE,
  NON_EMPTY_GROUP,
  NOT_LEADER_OR_FOLLOWER,
  OFFSET_OUT_OF_RANGE,
  POLICY_VIOLATION,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import type { Partition } from "../control/topic.ts";
import type { Group } from "../coordination/group.ts";
import type { Call } from "./call.ts";

const BROKERS = 1;
const HIGH_WATERMARK = -1n;
const NO_WATERMARK = -1n;
const CONSUMER = "consumer";

/** Serves DescribeCluster. */
export function serveDescribeCluster(call: Call<typeof DescribeCluster>): ResponseInputOf<typeof DescribeCluster> {
  const { cluster, listener, request, view } = call;
  const { endpointType } = request;
  if (endpointType !== BROKERS) {
    const errorMessage = "The request was sent to an endpoint of the wrong type.";
    return { throttleTimeMs: 0, errorCode: MISMATCHED_ENDPOINT_TYPE, errorMessage, clusterId: "", brokers: [] };
  }
  const known = cluster.brokers.filter((broker) => view.brokerIds.includes(broker.id));
  return {
    throttleTimeMs: 0,
    errorCode: 0,
    endpointType,
    clusterId: cluster.clusterId,
    controllerId: known[0]?.id ?? -1,
    brokers: known.map((broker) => ({ brokerId: broker.id, ...broker.endpoint(listener), rack: broker.rack })),
  };
}

/** Serves DeleteRecords. */
export function serveDeleteRecords(call: Call<typeof DeleteRecords>): ResponseInputOf<typeof DeleteRecords> {
  return {
    throttleTimeMs: 0,
    topics: call.request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ offset, partitionIndex }) => {
        const partition = call.view.topic(name)?.partitions[partitionIndex];
        const outcome = deleteRecords(call, partition, offset);
        const isError = typeof outcome === "number";
        return {
          partitionIndex,
          errorCode: isError ? outcome : 0,
          lowWatermark: isError ? NO_WATERMARK : outcome,
        };
      }),
    })),
  };
}

/** The first offset that is left, or why nothing was deleted. */
function deleteRecords(
  { broker }: Call<typeof DeleteRecords>,
  partition: Partition | undefined,
  offset: bigint,
): bigint | number {
  if (partition === undefined) return UNKNOWN_TOPIC_OR_PARTITION;
  const leader = partition.replica(broker.id);
  if (leader?.isLeader !== true) return NOT_LEADER_OR_FOLLOWER;
  if (partition.topic.rules.isOnlyCompacted) return POLICY_VIOLATION;
  const { highWatermark, log } = leader;
  const target = offset === HIGH_WATERMARK ? highWatermark : offset;
  if (target < 0n || target > highWatermark) return OFFSET_OUT_OF_RANGE;
  if (target > log.startOffset) partition.deleteBefore(target);
  return log.startOffset;
}

/** Serves OffsetDelete. */
export function serveOffsetDelete(call: Call<typeof OffsetDelete>): ResponseInputOf<typeof OffsetDelete> {
  const { broker, cluster, request, view } = call;
  const { groupId } = request;
  const group = cluster.groups.get(groupId);
  const errorCode = cluster.groups.memberRefusalOf(broker, groupId) || refusalOf(group);
  if (errorCode !== 0 || group === undefined) return { errorCode, throttleTimeMs: 0, topics: [] };
  const answer = {
    errorCode: 0,
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const partition = view.topic(name)?.partitions[partitionIndex];
        if (partition === undefined) return { partitionIndex, errorCode: UNKNOWN_TOPIC_OR_PARTITION };
        if (group.subscribesTo(name)) return { partitionIndex, errorCode: GROUP_SUBSCRIBED_TO_TOPIC };
        group.offsets.delete(partition);
        return { partitionIndex, errorCode: 0 };
      }),
    })),
  };
  const hasDeleted = answer.topics.some(({ partitions }) => partitions.some(({ errorCode }) => errorCode === 0));
  if (hasDeleted) cluster.groups.forgetIfEmpty(group);
  return answer;
}

function refusalOf(group: Group | undefined): number {
  if (group === undefined) return GROUP_ID_NOT_FOUND;
  return group.hasNobody || group.protocolType === CONSUMER ? 0 : NON_EMPTY_GROUP;
}
