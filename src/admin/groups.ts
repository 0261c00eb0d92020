/**
 * Groups: listed, described, deleted.
 *
 * @module
 */

import { readOptions } from "../call_options.ts";
import { KafkaError } from "../errors.ts";
import { readAssignment } from "../protocol/consumer_protocol.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { DeleteGroups } from "../protocol/messages/delete_groups.ts";
import { DescribeGroups } from "../protocol/messages/describe_groups.ts";
import { ListGroups } from "../protocol/messages/list_groups.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import { show } from "../show.ts";
import { checkName, readDistinct, readList } from "./arguments.ts";
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

/** A group with the classic protocol in full. */
export interface GroupDescription {
  /** Its name. */
  readonly groupId: string;
  /** Its state: `"Stable"`, `"Empty"`, `"PreparingRebalance"`, `"CompletingRebalance"`; `"Dead"` if it isn't there. */
  readonly state: string;
  /** What its members speak among themselves, such as `"consumer"`. */
  readonly protocolType: string;
  /** How they divide partitions, such as `"range"`; `""` while there is nobody. */
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

type WireGroup = ResponseOf<typeof DescribeGroups>["groups"][number];

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

/** Describes groups with the classic protocol. */
export function describeGroups(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<GroupDescription>[]> {
  const wanted = readGroups(given);
  return call.each(wanted, (left) =>
    dispatcher.byCoordinator(call, left, async ({ nodeId }, asked) => {
      const body = { groups: asked.map(({ groupId }) => groupId) };
      const { groups } = await dispatcher.ask(call, nodeId, DescribeGroups, body);
      const byId = new Map(groups.map((group) => [group.groupId, group]));
      return answered(asked, ({ groupId }) => {
        const group = byId.get(groupId);
        if (group === undefined) return undefined;
        if (group.errorCode !== 0) return groupError(group, groupId);
        try {
          return descriptionOf(group, nodeId);
        } catch (error) {
          // What a member of another make was given can't be read.
          return kafkaError(error);
        }
      });
    }));
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

function descriptionOf(group: WireGroup, coordinator: number): GroupDescription {
  const { groupId, groupState: state, members, protocolData: protocol, protocolType } = group;
  return {
    ...{ groupId, state, protocolType, protocol, coordinator },
    members: members.map(({ clientHost, clientId, groupInstanceId, memberAssignment, memberId }) => ({
      ...{ memberId, clientId, clientHost, groupInstanceId: groupInstanceId ?? undefined },
      assignment: protocolType === "consumer" ? readAssignment(memberAssignment) : [],
    })),
  };
}

function kafkaError(error: unknown): KafkaError {
  if (error instanceof KafkaError) return error;
  throw error;
}
