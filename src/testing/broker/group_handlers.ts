/**
 * The requests of groups with the classic protocol, and those about committed offsets.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type {
  ConsumerGroupDescribe,
  DeleteGroups,
  DescribeGroups,
  Heartbeat,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  OffsetCommit,
  OffsetFetch,
  SyncGroup,
} from "../../protocol/messages/mod.ts";
import {
  GROUP_ID_NOT_FOUND,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_GROUP_ID,
  INVALID_SESSION_TIMEOUT,
  OFFSET_METADATA_TOO_LARGE,
  UNKNOWN_MEMBER_ID,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
  UNSTABLE_OFFSET_COMMIT,
} from "../../protocol/error_code_names.ts";
import { type JoinAnswer, refusedJoin, type SyncAnswer } from "../coordination/group.ts";
import type { ReplicatedPartition } from "../storage/replica.ts";
import type { Call } from "./call.ts";

type OffsetFetchBody = ResponseInputOf<typeof OffsetFetch>;
interface FetchedTopic {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: {
    readonly partitionIndex: number;
    readonly committedOffset: bigint;
    readonly committedLeaderEpoch: number;
    readonly metadata: string | null;
    readonly errorCode: number;
  }[];
}
type DescribedGroup = ResponseInputOf<typeof DescribeGroups>["groups"][number];

const FIRST_JOIN_WITH_REBALANCE_TIMEOUT = 1;
const FIRST_JOIN_WITH_KNOWN_IDS = 4;
const FIRST_JOIN_WITH_SKIPPING = 9;
const FIRST_JOIN_WITHOUT_PROTOCOL = 7;
const FIRST_SYNC_WITH_PROTOCOL = 5;
const FIRST_LEAVE_WITH_MEMBERS = 3;
const FIRST_COMMIT_WITH_TOPIC_IDS = 10;
const FIRST_FETCH_WITH_GROUPS = 8;
const FIRST_FETCH_WITH_TOPIC_IDS = 10;
const FIRST_DESCRIBE_WITH_NOT_FOUND = 6;
/** `offset.metadata.max.bytes`. */
const MAX_METADATA_BYTES = 4096;
const NO_ID = "0".repeat(32);

/** Serves JoinGroup. */
export function serveJoinGroup(
  call: Call<typeof JoinGroup>,
): ResponseInputOf<typeof JoinGroup> | Promise<ResponseInputOf<typeof JoinGroup>> {
  const { broker, cluster, request, version } = call;
  const { groupId, memberId, rebalanceTimeoutMs, sessionTimeoutMs } = request;
  const { groups } = cluster;
  const refusal = groups.memberRefusalOf(broker, groupId);
  if (refusal !== 0) return joined(call, refusedJoin(refusal, memberId));
  const { maxSessionTimeoutMs, minSessionTimeoutMs } = groups.options;
  if (sessionTimeoutMs < minSessionTimeoutMs || sessionTimeoutMs > maxSessionTimeoutMs) {
    return joined(call, refusedJoin(INVALID_SESSION_TIMEOUT, memberId));
  }
  if (groups.get(groupId) === undefined && memberId !== "") {
    return joined(call, refusedJoin(UNKNOWN_MEMBER_ID, memberId));
  }
  const answer = groups.getOrCreate(groupId).join({
    ...request,
    protocols: request.protocols.map(({ metadata, name }) => ({ name, metadata: metadata.slice() })),
    clientId: call.clientId ?? "",
    rebalanceTimeoutMs: version < FIRST_JOIN_WITH_REBALANCE_TIMEOUT ? sessionTimeoutMs : rebalanceTimeoutMs,
    mustKnowItsId: version >= FIRST_JOIN_WITH_KNOWN_IDS,
    maySkipAssignment: version >= FIRST_JOIN_WITH_SKIPPING,
  });
  return answer instanceof Promise ? answer.then((settled) => joined(call, settled)) : joined(call, answer);
}

function joined({ version }: Call<typeof JoinGroup>, answer: JoinAnswer): ResponseInputOf<typeof JoinGroup> {
  return {
    ...answer,
    protocolName: answer.protocolName ?? (version < FIRST_JOIN_WITHOUT_PROTOCOL ? "" : null),
    members: [...answer.members],
  };
}

/** Serves SyncGroup. */
export function serveSyncGroup(
  call: Call<typeof SyncGroup>,
): ResponseInputOf<typeof SyncGroup> | Promise<ResponseInputOf<typeof SyncGroup>> {
  const { broker, cluster, request, version } = call;
  const { groupId, protocolName, protocolType } = request;
  const isSaid = version < FIRST_SYNC_WITH_PROTOCOL || (protocolName !== null && protocolType !== null);
  if (!isSaid) return { errorCode: INCONSISTENT_GROUP_PROTOCOL, assignment: new Uint8Array(0) };
  const refusal = cluster.groups.memberRefusalOf(broker, groupId);
  if (refusal !== 0) return { errorCode: refusal, assignment: new Uint8Array(0) };
  const group = cluster.groups.get(groupId);
  if (group === undefined) return { errorCode: UNKNOWN_MEMBER_ID, assignment: new Uint8Array(0) };
  const answered = (answer: SyncAnswer): ResponseInputOf<typeof SyncGroup> =>
    answer.errorCode === 0 ? { ...answer, protocolName, protocolType } : answer;
  const answer = group.sync(request);
  return answer instanceof Promise ? answer.then(answered) : answered(answer);
}

/** Serves Heartbeat. */
export function serveHeartbeat(
  { broker, cluster, request }: Call<typeof Heartbeat>,
): ResponseInputOf<typeof Heartbeat> {
  const { generationId, groupId, groupInstanceId, memberId } = request;
  const refusal = cluster.groups.memberRefusalOf(broker, groupId);
  if (refusal !== 0) return { errorCode: refusal };
  const group = cluster.groups.get(groupId);
  return { errorCode: group?.heartbeat(memberId, groupInstanceId, generationId) ?? UNKNOWN_MEMBER_ID };
}

/** Serves LeaveGroup: of the one who asks, or from version 3 on of several. */
export function serveLeaveGroup(
  { broker, cluster, request, version }: Call<typeof LeaveGroup>,
): ResponseInputOf<typeof LeaveGroup> {
  const { groupId, memberId, members } = request;
  const refusal = cluster.groups.memberRefusalOf(broker, groupId);
  if (refusal !== 0) return { errorCode: refusal, members: [] };
  const group = cluster.groups.get(groupId);
  const leavers = version < FIRST_LEAVE_WITH_MEMBERS ? [{ memberId, groupInstanceId: null }] : members;
  const codes = group?.leaveAll(leavers) ?? leavers.map(() => UNKNOWN_MEMBER_ID);
  if (version < FIRST_LEAVE_WITH_MEMBERS) return { errorCode: codes[0]! };
  return {
    errorCode: 0,
    members: members.map(({ groupInstanceId, memberId }, at) => ({ memberId, groupInstanceId, errorCode: codes[at]! })),
  };
}

/** Serves OffsetCommit. */
export function serveOffsetCommit(call: Call<typeof OffsetCommit>): ResponseInputOf<typeof OffsetCommit> {
  const { broker, cluster, request, version, view } = call;
  const byId = version >= FIRST_COMMIT_WITH_TOPIC_IDS;
  const wanted = request.topics.map(({ name, partitions, topicId }) => {
    const topic = byId ? view.topicById(topicId) : view.topic(name);
    const unknown = byId && topic === undefined ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION;
    return {
      ...{ name, topicId },
      partitions: partitions.map((asked) => {
        const partition = topic?.partitions[asked.partitionIndex];
        const isLong = utf8Length(asked.committedMetadata) > MAX_METADATA_BYTES;
        const problem = partition === undefined ? unknown : isLong ? OFFSET_METADATA_TOO_LARGE : 0;
        return { ...asked, partition, problem };
      }),
    };
  });
  const known = wanted.flatMap(({ partitions }) =>
    partitions.flatMap(({ partition, ...rest }) => partition === undefined ? [] : [{ ...rest, partition }])
  );
  // A commit of nothing that is there doesn't get as far as the group.
  const code = known.length === 0 ? 0 : cluster.groups.refusalOf(broker, request.groupId) ||
    cluster.groups.commit(request, known.filter(({ problem }) => problem === 0), version);
  return {
    topics: wanted.map(({ name, partitions, topicId }) => ({
      ...{ name, topicId },
      partitions: partitions.map(({ partition, partitionIndex, problem }) => (
        { partitionIndex, errorCode: partition === undefined ? problem : code || problem }
      )),
    })),
  };
}

/** Serves OffsetFetch, of one group or from version 8 on of several. */
export function serveOffsetFetch(call: Call<typeof OffsetFetch>): OffsetFetchBody {
  const { request, version } = call;
  if (version >= FIRST_FETCH_WITH_GROUPS) {
    return {
      groups: request.groups.map(({ groupId, topics }) => ({ groupId, ...fetchOffsets(call, groupId, topics) })),
    };
  }
  return fetchOffsets(call, request.groupId, request.topics);
}

type AskedTopics = RequestOf<typeof OffsetFetch>["groups"][number]["topics"];
type NamedTopics = RequestOf<typeof OffsetFetch>["topics"];

function fetchOffsets(
  call: Call<typeof OffsetFetch>,
  groupId: string,
  asked: AskedTopics | NamedTopics,
): { errorCode: number; topics: FetchedTopic[] } {
  const { broker, cluster, request, version, view } = call;
  const errorCode = cluster.groups.refusalOf(broker, groupId);
  if (errorCode !== 0) return { errorCode, topics: [] };
  const offsets = cluster.groups.get(groupId)?.offsets;
  const fetched = (partitionIndex: number, partition: ReplicatedPartition | undefined) => {
    const nothing = { partitionIndex, committedOffset: -1n, committedLeaderEpoch: -1, metadata: "" };
    if (partition === undefined || offsets === undefined) return { ...nothing, errorCode: 0 };
    if (request.requireStable && offsets.isPending(partition)) return { ...nothing, errorCode: UNSTABLE_OFFSET_COMMIT };
    const found = offsets.get(partition);
    if (found === undefined) return { ...nothing, errorCode: 0 };
    const { leaderEpoch, metadata, offset } = found;
    return { partitionIndex, committedOffset: offset, committedLeaderEpoch: leaderEpoch, metadata, errorCode: 0 };
  };
  if (asked !== null) {
    const topics = asked.map((each) => {
      const topicId = "topicId" in each ? each.topicId as string : NO_ID;
      const byId = version >= FIRST_FETCH_WITH_TOPIC_IDS;
      const topic = byId ? view.topicById(topicId) : view.topic(each.name);
      const partitions = each.partitionIndexes.map((index) => {
        const body = fetched(index, topic?.partitions[index]);
        return byId && topic === undefined ? { ...body, errorCode: UNKNOWN_TOPIC_ID } : body;
      });
      return { name: each.name, topicId, partitions };
    });
    return { errorCode: 0, topics };
  }
  const topics = new Map<string, FetchedTopic>();
  for (const partition of offsets?.partitions ?? []) {
    const topic = view.topic(partition.topic.name);
    if (topic?.partitions[partition.index] !== partition) continue;
    const body = topics.get(topic.name) ?? { name: topic.name, topicId: topic.id, partitions: [] };
    body.partitions.push(fetched(partition.index, partition));
    topics.set(topic.name, body);
  }
  return { errorCode: 0, topics: [...topics.values()] };
}

/** Serves ListGroups: those that the broker coordinates. */
export function serveListGroups(
  { broker, cluster, request }: Call<typeof ListGroups>,
): ResponseInputOf<typeof ListGroups> {
  const states = request.statesFilter.map((state) => state.toLowerCase());
  const types = request.typesFilter.map((type) => type.toLowerCase());
  const groups = [...cluster.groups.all].filter(({ id, state }) =>
    cluster.groups.refusalOf(broker, id) === 0 && (states.length === 0 || states.includes(state.toLowerCase())) &&
    (types.length === 0 || types.includes("classic"))
  );
  return {
    errorCode: 0,
    groups: groups.map(({ id, protocolType, state }) => (
      { groupId: id, protocolType, groupState: state, groupType: "classic" }
    )),
  };
}

/** Serves DescribeGroups. */
export function serveDescribeGroups(call: Call<typeof DescribeGroups>): ResponseInputOf<typeof DescribeGroups> {
  return { groups: call.request.groups.map((groupId) => describeGroup(call, groupId)) };
}

function describeGroup({ broker, cluster, version }: Call<typeof DescribeGroups>, groupId: string): DescribedGroup {
  const nothing = { groupId, groupState: "", protocolType: "", protocolData: "", members: [] };
  const refusal = cluster.groups.refusalOf(broker, groupId);
  if (refusal !== 0) return { ...nothing, errorCode: refusal };
  const group = cluster.groups.get(groupId);
  if (group === undefined) {
    const dead = { ...nothing, groupState: "Dead" };
    if (version < FIRST_DESCRIBE_WITH_NOT_FOUND) return { ...dead, errorCode: 0 };
    return { ...dead, errorCode: GROUP_ID_NOT_FOUND, errorMessage: `Group ${groupId} not found.` };
  }
  return {
    errorCode: 0,
    groupId,
    groupState: group.state,
    protocolType: group.protocolType,
    protocolData: group.protocolName,
    members: group.members.map(({ assignment, clientId, groupInstanceId, memberId, metadata }) => ({
      ...{ memberId, groupInstanceId, clientId },
      clientHost: "/127.0.0.1",
      memberMetadata: metadata,
      memberAssignment: assignment,
    })),
  };
}

/** Serves ConsumerGroupDescribe: the groups here have the classic protocol. */
export function serveConsumerGroupDescribe(
  { broker, cluster, request }: Call<typeof ConsumerGroupDescribe>,
): ResponseInputOf<typeof ConsumerGroupDescribe> {
  const describe = (groupId: string) => {
    const refusal = groupId === "" ? INVALID_GROUP_ID : cluster.groups.refusalOf(broker, groupId);
    const errorMessage = cluster.groups.get(groupId) === undefined
      ? `Group ${groupId} not found.`
      : `Group ${groupId} is not a consumer group.`;
    return {
      ...{ groupId, groupState: "", groupEpoch: 0, assignmentEpoch: 0, assignorName: "", members: [] },
      errorCode: refusal || GROUP_ID_NOT_FOUND,
      errorMessage: refusal === 0 ? errorMessage : null,
    };
  };
  return { throttleTimeMs: 0, groups: request.groupIds.map(describe) };
}

/** Serves DeleteGroups. */
export function serveDeleteGroups(
  { broker, cluster, request }: Call<typeof DeleteGroups>,
): ResponseInputOf<typeof DeleteGroups> {
  return {
    throttleTimeMs: 0,
    results: request.groupsNames.map((groupId) => (
      { groupId, errorCode: cluster.groups.refusalOf(broker, groupId) || cluster.groups.delete(groupId) }
    )),
  };
}

function utf8Length(text: string | null): number {
  return text === null ? 0 : new TextEncoder().encode(text).length;
}
