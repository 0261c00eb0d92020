/**
 * Offsets and groups as callers hand them over, and their checks.
 *
 * @module
 */

import { MAX_INT32 } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";

const MAX_OFFSET = 2n ** 63n - 1n;

/** An offset to commit: that of the next record to read. */
export interface CommittedOffset {
  /** The topic's name. */
  readonly topic: string;
  /** The partition's index. */
  readonly partition: number;
  /** The offset of the next record to read. */
  readonly offset: bigint;
  /** What the consumer wants to remember with it. */
  readonly metadata?: string | undefined;
  /** The epoch of the leader that appended the record before it, as a reader tells it (KIP-320). @default unknown */
  readonly leaderEpoch?: number | undefined;
}

/** A list of offsets, each checked. */
export function checkOffsets(offsets: CommittedOffset | Iterable<CommittedOffset>): CommittedOffset[] {
  const isList = typeof offsets === "object" && offsets !== null && Symbol.iterator in offsets;
  const list = isList ? [...offsets as Iterable<CommittedOffset>] : [offsets as CommittedOffset];
  return list.map(checkOffset);
}

function checkOffset(value: CommittedOffset): CommittedOffset {
  const { topic, partition, offset, metadata, leaderEpoch = -1 } = value ?? {};
  if (typeof topic !== "string" || topic === "") refuse("topic", "text that isn't empty", topic);
  if (!isInt32From(0, partition)) refuse("partition", "a whole number from 0 on", partition);
  if (typeof offset !== "bigint" || offset < 0n || offset > MAX_OFFSET) {
    refuse("offset", "a bigint from 0n on, that of the next record", offset);
  }
  if (metadata !== undefined && typeof metadata !== "string") refuse("metadata", "text", metadata);
  if (!isInt32From(-1, leaderEpoch)) refuse("leaderEpoch", "a whole number from 0 on", leaderEpoch);
  return { topic, partition, offset, metadata, leaderEpoch };
}

function isInt32From(least: number, value: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= MAX_INT32;
}

function refuse(name: string, wanted: string, value: unknown): never {
  throw new ConfigError("offsets", `Give "${name}" as ${wanted}: ${show(value)} is none.`);
}

/** What is known of a group. */
export function checkGroup(group: string | GroupMetadata): GroupMetadata {
  const { groupId, memberId, generationId = -1, groupInstanceId } = typeof group === "string"
    ? { groupId: group } as GroupMetadata
    : group ?? {};
  if (typeof groupId !== "string" || groupId === "") {
    throw new ConfigError("group", `Name the group by text that isn't empty: ${show(groupId)} is none.`);
  }
  for (const [name, value] of [["memberId", memberId], ["groupInstanceId", groupInstanceId]] as const) {
    if (value !== undefined && value !== null && typeof value !== "string") {
      throw new ConfigError("group", `Give "${name}" of the group as text: ${show(value)} is none.`);
    }
  }
  if (!isInt32From(-1, generationId)) {
    throw new ConfigError(
      "group",
      `Give "generationId" of the group as a whole number: ${show(generationId)} is none.`,
    );
  }
  if (generationId >= 0 && !memberId) {
    throw new ConfigError("group", `Give "memberId" with "generationId": a generation without a member is nobody's.`);
  }
  return { groupId, memberId: memberId || "", generationId, groupInstanceId: groupInstanceId || undefined };
}
