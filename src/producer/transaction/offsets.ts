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
}

/** A list of offsets, each checked. */
export function checkOffsets(offsets: CommittedOffset | Iterable<CommittedOffset>): CommittedOffset[] {
  const isList = typeof offsets === "object" && offsets !== null && Symbol.iterator in offsets;
  const list = isList ? [...offsets as Iterable<CommittedOffset>] : [offsets as CommittedOffset];
  return list.map(checkOffset);
}

function checkOffset(value: CommittedOffset): CommittedOffset {
  const { topic, partition, offset, metadata } = value ?? {};
  if (typeof topic !== "string" || topic === "") {
    throw new ConfigError("offsets", `Name the topic of each offset: ${show(topic)} is none.`);
  }
  if (!Number.isSafeInteger(partition) || partition < 0 || partition > MAX_INT32) {
    throw new ConfigError("offsets", `Give "partition" as a whole number from 0 on: ${show(partition)} is none.`);
  }
  if (typeof offset !== "bigint" || offset < 0n || offset > MAX_OFFSET) {
    throw new ConfigError(
      "offsets",
      `Give "offset" as a bigint from 0n on, that of the next record: ${show(offset)} is none.`,
    );
  }
  if (metadata !== undefined && typeof metadata !== "string") {
    throw new ConfigError("offsets", `Give "metadata" as text: ${show(metadata)} is none.`);
  }
  return { topic, partition, offset, ...(metadata === undefined ? {} : { metadata }) };
}

/** What is known of a group. */
export function checkGroup(group: string | GroupMetadata): GroupMetadata {
  const { groupId, memberId, generationId, groupInstanceId } = typeof group === "string"
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
  if (
    generationId !== undefined && (!Number.isSafeInteger(generationId) || generationId < -1 || generationId > MAX_INT32)
  ) {
    throw new ConfigError(
      "group",
      `Give "generationId" of the group as a whole number: ${show(generationId)} is none.`,
    );
  }
  if (generationId !== undefined && generationId >= 0 && (memberId === undefined || memberId === "")) {
    throw new ConfigError("group", `Give "memberId" with "generationId": a generation without a member is nobody's.`);
  }
  return {
    groupId,
    ...(memberId ? { memberId } : {}),
    ...(generationId === undefined ? {} : { generationId }),
    ...(groupInstanceId ? { groupInstanceId } : {}),
  };
}
