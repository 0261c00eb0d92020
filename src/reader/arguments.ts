/**
 * Checks of what is passed to the calls of a reader; each reads what it is given once, and keeps nothing of the caller's.
 *
 * @module
 */

import { isObject, MAX_INT32, readList } from "../call_options.ts";
import type { GroupMetadata } from "../cluster/group_metadata.ts";
import { ConfigError } from "../errors.ts";
import { sentenceOf, show } from "../show.ts";
import type { Assignment, Position, TopicPartition, TopicPartitionOffset } from "./record.ts";

const MAX_OFFSET = 2n ** 63n - 1n;
const PARTITIONS = "partitions, each as { topic, partition }";

/** The name of a topic. */
export function checkTopic(topic: unknown): string {
  if (typeof topic === "string" && topic !== "") return topic;
  throw new ConfigError("topic", `Name the topic by text that isn't empty: ${show(topic)} is none.`);
}

/** The name of a group. */
export function checkGroupId(groupId: unknown): string {
  if (typeof groupId === "string" && groupId !== "") return groupId;
  throw new ConfigError("groupId", `Name the group by text that isn't empty: ${show(groupId)} is none.`);
}

/** The name of a group, or what one of its members knows of itself. */
export function checkGroup(group: unknown): GroupMetadata {
  if (!isObject(group)) return { groupId: checkGroupId(group) };
  const { groupId, memberId, generationId, groupInstanceId } = readable("group", () => {
    const { groupId, memberId, generationId, groupInstanceId } = group as GroupMetadata;
    return { groupId, memberId, generationId, groupInstanceId };
  });
  return { groupId: checkGroupId(groupId), memberId, generationId, groupInstanceId };
}

/** A partition. */
export function checkPartition(value: unknown): TopicPartition {
  const { topic, partition } = readable("partition", () => {
    const { topic, partition } = (value ?? {}) as Partial<TopicPartition>;
    return { topic, partition };
  });
  const isIndex = Number.isSafeInteger(partition) && partition! >= 0 && partition! <= MAX_INT32;
  if (typeof topic === "string" && topic !== "" && isIndex) return { topic, partition: partition! };
  const what = isObject(value) ? `${show(topic)}, ${show(partition)}` : show(value);
  throw new ConfigError("partition", `Name a partition by { topic, partition }: ${what} is none.`);
}

/** Partitions. */
export function checkPartitions(value: unknown): TopicPartition[] {
  return readList("partitions", value, PARTITIONS, checkPartition);
}

/** Partitions, and where to begin with each. */
export function checkAssignments(value: unknown): Assignment[] {
  return readList("partitions", value, PARTITIONS, (item) => {
    const partition = checkPartition(item);
    const { start, offset } = readable("start", () => {
      const { start, offset } = item as Assignment & { offset?: unknown };
      return { start, offset };
    });
    if (offset !== undefined) {
      throw new ConfigError("start", `Name the place to begin "start", not "offset": start: ${show(offset)}.`);
    }
    const leaderEpoch = checkLeaderEpoch(item);
    return { ...partition, start: start === undefined ? undefined : checkPosition(start), ...leaderEpoch };
  });
}

/** Offsets of partitions. */
export function checkOffsets(value: unknown): TopicPartitionOffset[] {
  return readList("offsets", value, "offsets, each as { topic, partition, offset }", (item) => {
    const partition = checkPartition(item);
    const offset = readable("offset", () => (item as TopicPartitionOffset).offset);
    if (typeof offset === "bigint" && offset >= 0n && offset <= MAX_OFFSET) {
      return { ...partition, offset, ...checkLeaderEpoch(item) };
    }
    throw new ConfigError("offset", `Give "offset" as a bigint from 0n on: ${show(offset)} is none.`);
  });
}

/** The epoch that stands with an offset, if it is known. */
function checkLeaderEpoch(item: unknown): { readonly leaderEpoch?: number } {
  const leaderEpoch = readable("leaderEpoch", () => (item as TopicPartitionOffset).leaderEpoch);
  if (leaderEpoch === undefined || leaderEpoch === -1) return {};
  if (Number.isSafeInteger(leaderEpoch) && leaderEpoch >= 0 && leaderEpoch <= MAX_INT32) return { leaderEpoch };
  throw new ConfigError(
    "leaderEpoch",
    `Give "leaderEpoch" as a whole number from 0 on, or leave it out: ${show(leaderEpoch)} is none.`,
  );
}

/** A place in a partition. */
export function checkPosition(position: unknown): Position {
  if (position === "beginning" || position === "end") return position;
  if (typeof position === "bigint" && position >= 0n && position <= MAX_OFFSET) return position;
  const timestamp = readable("start", () => isObject(position) ? (position as { timestamp: unknown }).timestamp : NaN);
  if (Number.isSafeInteger(timestamp) && timestamp as number >= 0) return { timestamp: timestamp as number };
  const isDate = position instanceof Date || timestamp instanceof Date;
  const hint = isDate ? " Write a Date as { timestamp: date.getTime() }." : "";
  throw new ConfigError(
    "start",
    `Begin at "beginning", "end", an offset such as 0n, or { timestamp } in ms: ${show(position)} is none of ` +
      `them.${hint}`,
  );
}

function readable<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConfigError(option, `Pass a plain object: reading it failed. ${sentenceOf(error)}`, { cause: error });
  }
}
