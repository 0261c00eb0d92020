/**
 * Groups: listed, described, deleted.
 *
 * @module
 */

import { readList, readOptions } from "../call_options.ts";
import { KafkaError, ProtocolError, UnsupportedVersionError } from "../errors.ts";
import { readAssignment } from "../protocol/consumer_protocol.ts";
import { GROUP_ID_NOT_FOUND } from "../protocol/error_code_names.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { ConsumerGroupDescribe } from "../protocol/messages/consumer_group_describe.ts";
import { DeleteGroups } from "../protocol/messages/delete_groups.ts";
import { DescribeGroups } from "../protocol/messages/describe_groups.ts";
import { ListGroups } from "../protocol/messages/list_groups.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import { show } from "../show.ts";
import { checkName, readDistinct } from "./arguments.ts";
import { type Call, CALL_OPTIONS, type CallOptions } from "./call.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { TopicPartition } from "./offsets.ts";
import type { AdminResult } from "./results.ts";
import { answered } from "./topics.ts";

/** A group as a list names it. */
export interface GroupListing {
  /** Its name. */
  readonly groupId: string;
  /** What its members speak among themselves: `"consumer"`; `""` where there are only offsets. */
  readonly protocolType: string;
  /** Its state, such as `"Stable"` or `"Empty"`; undefined from brokers before Kafka 2.6. */
  readonly state: string | undefined;
  /** `"classic"`, `"consumer"` (KIP-848), `"share"`; undefined from brokers before Kafka 3.8. */
  readonly type: string | undefined;
  /** The node id of the broker that coordinates it. */
  readonly coordinator: number;
}

/** A group in full. */
export interface GroupDescription {
  /** Its name. */
  readonly groupId: string;
  /** The protocol between its members and the coordinator: the one that assigns is a member, or the broker (KIP-848). */
  readonly type: "classic" | "consumer";
  /**
   * Its state: `"Stable"`, `"Empty"`; `"PreparingRebalance"`, `"CompletingRebalance"` of the classic protocol,
   * `"Assigning"`, `"Reconciling"` of the newer one; `"Dead"` if it isn't there.
   */
  readonly state: string;
  /** What its members speak among themselves, such as `"consumer"`. */
  readonly protocolType: string;
  /** How partitions are divided, such as `"range"` or `"uniform"`; `""` of a classic group while there is nobody. */
  readonly protocol: string;
  /** The node id of the broker that coordinates it. */
  readonly coordinator: number;
  /** Its members. */
  readonly members: readonly GroupMember[];
}

/** A member of a group. */
export interface GroupMember {
  /** What the coordinator calls it. */
  readonly memberId: string;
  /** The name of a static member (KIP-345). */
  readonly groupInstanceId: string | undefined;
  /** What the client calls itself. */
  readonly clientId: string;
  /** Where it comes from, such as `"/10.0.0.7"`. */
  readonly clientHost: string;
  /** What it reads; empty for members that don't speak `"consumer"`. */
  readonly assignment: readonly TopicPartition[];
}

/** Options of a list of groups. */
export interface ListGroupsOptions extends CallOptions {
  /** Only groups in these states, such as `"Stable"`; needs Kafka 2.6. @default all */
  readonly states?: Iterable<string> | undefined;
  /** Only groups of these types, such as `"classic"`; needs Kafka 3.8. @default all */
  readonly types?: Iterable<string> | undefined;
}

type ClassicGroup = ResponseOf<typeof DescribeGroups>["groups"][number];
type ConsumerGroup = ResponseOf<typeof ConsumerGroupDescribe>["groups"][number];

/** Lists the groups of all brokers; rejects when one can't be asked, as the list would lack some. */
export async function listGroups(
  dispatcher: Dispatcher,
  newCall: (options: { readonly timeoutMs?: unknown; readonly signal?: unknown }) => Call,
  options: unknown,
): Promise<GroupListing[]> {
  const read = readOptions("listGroups", options, ["states", "types", ...CALL_OPTIONS]);
  const [statesFilter, typesFilter] = (["states", "types"] as const).map((name) =>
    read[name] === undefined ? [] : readList(name, read[name], "words", (word) => checkName(name, word))
  );
  const call = newCall(read);
  const { brokers } = await call.one(() => dispatcher.metadata(call, []));
  const results = await call.each(brokers, async (left) => {
    const answers = await Promise.all(left.map(async (broker) => {
      const body = { statesFilter: statesFilter!, typesFilter: typesFilter! };
      const answer = await dispatcher.ask(call, broker.nodeId, ListGroups, body).catch(kafkaError);
      if (answer instanceof KafkaError) return [broker, answer] as const;
      const { errorCode, groups } = answer;
      if (errorCode !== 0) return [broker, brokerError(errorCode, { api: `Broker ${broker.nodeId}` })] as const;
      return [broker, { groups: groups.map((group) => listingOf(group, broker.nodeId)) }] as const;
    }));
    return new Map<typeof left[number], KafkaError | { readonly groups: GroupListing[] }>(answers);
  });
  return results.flatMap((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value.groups;
  }).sort((a, b) => a.groupId < b.groupId ? -1 : 1);
}

/** Describes groups of either protocol: a broker knows a group of the other one by neither name nor state. */
export function describeGroups(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<GroupDescription>[]> {
  const wanted = readGroups(given);
  return call.each(wanted, (left) =>
    dispatcher.byCoordinator(call, left, async ({ nodeId }, asked) => {
      const groupIds = asked.map(({ groupId }) => groupId);
      const { groups } = await dispatcher.ask(call, nodeId, DescribeGroups, { groups: groupIds });
      const classic = new Map(groups.map((group) => [group.groupId, group]));
      const others = groupIds.filter((groupId) => isUnknown(classic.get(groupId)));
      const consumer = await askConsumerGroups(dispatcher, call, nodeId, others);
      return answered(asked, ({ groupId }) => {
        const [found, other] = [classic.get(groupId), consumer.get(groupId)];
        const group = other !== undefined && other.errorCode !== GROUP_ID_NOT_FOUND ? other : found;
        if (group === undefined) return undefined;
        if (group.errorCode !== 0) return groupError(group, groupId);
        try {
          return "assignorName" in group ? consumerDescription(group, nodeId) : classicDescription(group, nodeId);
        } catch (error) {
          // What a member of another make was given can't be read.
          return kafkaError(error);
        }
      });
    }));
}

/** Whether a group isn't there, or has another protocol: brokers from Kafka 4 on say so, earlier ones call it dead. */
function isUnknown(group: ClassicGroup | undefined): boolean {
  return group?.errorCode === GROUP_ID_NOT_FOUND || group?.errorCode === 0 && group.groupState === "Dead";
}

/** What a broker tells of groups with the protocol of KIP-848; nothing, if it doesn't know that protocol. */
async function askConsumerGroups(
  dispatcher: Dispatcher,
  call: Call,
  nodeId: number,
  groupIds: readonly string[],
): Promise<ReadonlyMap<string, ConsumerGroup>> {
  if (groupIds.length === 0) return new Map();
  try {
    const { groups } = await dispatcher.ask(call, nodeId, ConsumerGroupDescribe, { groupIds });
    return new Map(groups.map((group) => [group.groupId, group]));
  } catch (error) {
    if (error instanceof UnsupportedVersionError) return new Map();
    throw error;
  }
}

/** Deletes groups that nobody is in. */
export function deleteGroups(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<{ readonly groupId: string }>[]> {
  const wanted = readGroups(given);
  return call.each(wanted, (left) =>
    dispatcher.byCoordinator(call, left, async ({ nodeId }, asked) => {
      const body = { groupsNames: asked.map(({ groupId }) => groupId) };
      const { results } = await dispatcher.ask(call, nodeId, DeleteGroups, body);
      const byId = new Map(results.map((result) => [result.groupId, result]));
      return answered(asked, ({ groupId }) => {
        const result = byId.get(groupId);
        if (result === undefined) return undefined;
        return result.errorCode === 0 ? { groupId } : groupError(result, groupId);
      });
    }), { isChange: true });
}

function readGroups(given: unknown): { readonly groupId: string }[] {
  const read = (groupId: unknown): { readonly groupId: string } => ({ groupId: checkName("groups", groupId) });
  return readDistinct("groups", given, "groups", read, ({ groupId }) => groupId);
}

function groupError(
  { errorCode, errorMessage }: { readonly errorCode: number; readonly errorMessage: string | null },
  groupId: string,
): KafkaError {
  return brokerError(errorCode, { api: `Group ${show(groupId)}`, detail: errorMessage });
}

function listingOf(
  { groupId, groupState, groupType, protocolType }: ResponseOf<typeof ListGroups>["groups"][number],
  coordinator: number,
): GroupListing {
  return { groupId, protocolType, state: groupState || undefined, type: groupType || undefined, coordinator };
}

function classicDescription(group: ClassicGroup, coordinator: number): GroupDescription {
  const { groupId, groupState: state, members, protocolData: protocol, protocolType } = group;
  return {
    ...{ groupId, type: "classic", state, protocolType, protocol, coordinator },
    members: members.map(({ clientHost, clientId, groupInstanceId, memberAssignment, memberId }) => ({
      ...{ memberId, clientId, clientHost, groupInstanceId: groupInstanceId ?? undefined },
      assignment: protocolType === "consumer" ? readAssignment(memberAssignment) : [],
    })),
  };
}

function consumerDescription(group: ConsumerGroup, coordinator: number): GroupDescription {
  const { assignorName: protocol, groupId, groupState: state, members } = group;
  return {
    ...{ groupId, type: "consumer", state, protocolType: "consumer", protocol, coordinator },
    members: members.map(({ assignment, clientHost, clientId, instanceId, memberId }) => ({
      ...{ memberId, clientId, clientHost, groupInstanceId: instanceId ?? undefined },
      assignment: assignment.topicPartitions.flatMap(({ partitions, topicName: topic }) =>
        partitions.map((partition) => ({ topic, partition: checkPartition(partition) }))
      ),
    })),
  };
}

function checkPartition(partition: number): number {
  if (partition >= 0) return partition;
  throw new ProtocolError(`Reading partition "${partition}" of an assignment: wanted 0 or more.`);
}

function kafkaError(error: unknown): KafkaError {
  if (error instanceof KafkaError) return error;
  throw error;
}
