/**
 * What a member of a group may be asked for.
 *
 * @module
 */

import { checkNumber, isList, isObject, MAX_INT32, readOptions, refuse } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import { READER_OPTIONS, readerHint, type ReaderOptions } from "../options.ts";
import type { TopicPartition } from "../record.ts";
import { type AssignorName, ASSIGNORS } from "./assignors.ts";

/** Who is told of partitions that come and go. Each call is awaited, and none is made while another one is under way. */
export interface RebalanceListener {
  /** Partitions are this member's from now on; the positions are known, and nothing was handed out yet: seek here. */
  readonly onAssigned?: ((partitions: TopicPartition[]) => void | Promise<void>) | undefined;
  /**
   * Partitions go to somebody else as soon as this has ended. They are still this member's: finish what was handed out
   * of them, and commit. Ending takes at most `rebalanceTimeoutMs`, or they are lost.
   */
  readonly onRevoked?: ((partitions: TopicPartition[]) => void | Promise<void>) | undefined;
  /**
   * Partitions were taken away already, for this member was silent too long or was replaced: somebody else may read
   * them, and nothing can be committed any more. @default `onRevoked`
   */
  readonly onLost?: ((partitions: TopicPartition[]) => void | Promise<void>) | undefined;
}

/** The options of a member of a group: those of a reader, the group, and the topics. */
export interface GroupReaderOptions extends ReaderOptions, RebalanceListener {
  /** The group. */
  readonly groupId: string;
  /** What the group reads; all of its members should name the same. */
  readonly topics: readonly string[];
  /**
   * A name of its own for each instance that stays the same over restarts (KIP-345): a member that is back before
   * `sessionTimeoutMs` is over goes on with its partitions, and the others notice nothing. Closing doesn't leave the
   * group then. @default none
   */
  readonly groupInstanceId?: string | undefined;
  /**
   * Ways to divide the partitions, the best first; the group takes one that all of its members know. With
   * `"cooperative-sticky"` alone only the partitions that move stop being read in a rebalance; with others in the list
   * all do. @default ["cooperative-sticky"]
   */
  readonly assignors?: readonly AssignorName[] | undefined;
  /** A member that says nothing for so long is out, in ms; brokers allow 6 s to 30 min. @default 45_000 */
  readonly sessionTimeoutMs?: number | undefined;
  /** How often a member says that it lives, in ms; less than `sessionTimeoutMs`. @default 3_000 */
  readonly heartbeatIntervalMs?: number | undefined;
  /**
   * How long a member may take to give up partitions in a rebalance, and to work on what it was handed out, in ms: a
   * member that is stuck for longer leaves its partitions to others. @default 300_000
   */
  readonly rebalanceTimeoutMs?: number | undefined;
}

/** Options of the group with their defaults. */
export interface ResolvedGroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly groupInstanceId: string | null;
  readonly assignors: readonly AssignorName[];
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly listener: RebalanceListener;
}

const NUMBERS = {
  sessionTimeoutMs: [45_000, 1, MAX_INT32],
  heartbeatIntervalMs: [3_000, 1, MAX_INT32],
  rebalanceTimeoutMs: [300_000, 1, MAX_INT32],
} as const;
const LISTENERS = ["onAssigned", "onRevoked", "onLost"] as const;
const GROUP_OPTIONS = [
  "groupId",
  "topics",
  "groupInstanceId",
  "assignors",
  ...Object.keys(NUMBERS) as (keyof typeof NUMBERS)[],
  ...LISTENERS,
] as const;

/**
 * Splits what a group's member is given into what its reader takes and what the group does.
 *
 * @throws {ConfigError} for the first option that is wrong
 */
export function resolveGroupOptions(given: GroupReaderOptions): [ReaderOptions, ResolvedGroupOptions] {
  if (!isObject(given)) {
    const wanted = `"brokers", "groupId" and "topics"`;
    throw new ConfigError("options", `Give the reader an object with ${wanted}: ${show(given)} is none.`);
  }
  const known = [...GROUP_OPTIONS, ...READER_OPTIONS];
  const options = readOptions("new GroupReader()", given, known, (name) => readerHint(name, known));
  const { groupId, groupInstanceId, onAssigned, onRevoked, onLost } = options;
  checkText("groupId", groupId);
  if (groupInstanceId !== undefined) checkText("groupInstanceId", groupInstanceId);
  const topics = textsOf("topics", options.topics, "a list of at least one topic's name", (topic) => topic !== "");
  const names = Object.keys(ASSIGNORS);
  const wanted = `a list of some of ${names.map(show).join(", ")}`;
  const assignors = options.assignors === undefined
    ? ["cooperative-sticky"]
    : textsOf("assignors", options.assignors, wanted, (name) => names.includes(name));
  for (const name of LISTENERS) {
    const listener = options[name];
    if (listener !== undefined && typeof listener !== "function") refuse(name, "a function", listener);
  }
  const reader = Object.fromEntries(
    READER_OPTIONS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  );
  return [reader as unknown as ReaderOptions, {
    ...{ groupId, groupInstanceId: groupInstanceId ?? null },
    ...{ topics: [...new Set(topics)], assignors: assignors as AssignorName[] },
    ...timesOf(options),
    listener: { onAssigned, onRevoked, onLost } as RebalanceListener,
  }];
}

/** A list of at least one text that may be. */
function textsOf(name: string, value: unknown, wanted: string, isOne: (text: string) => boolean): string[] {
  if (!isList(value)) refuse(name, wanted, value);
  const texts: readonly unknown[] = [...value];
  const wrong = texts.findIndex((text) => typeof text !== "string" || !isOne(text));
  if (texts.length === 0) refuse(name, wanted, value);
  if (wrong >= 0) {
    throw new ConfigError(name, `Set "${name}" to ${wanted}: entry ${wrong + 1}, ${show(texts[wrong])}, is not.`);
  }
  return texts as string[];
}

function timesOf(given: { readonly [name in keyof typeof NUMBERS]?: unknown }): Record<keyof typeof NUMBERS, number> {
  const numbers = Object.fromEntries(
    Object.entries(NUMBERS).map(([name, bounds]) => {
      return [name, checkNumber(name, given[name as keyof typeof NUMBERS] ?? undefined, bounds)];
    }),
  ) as Record<keyof typeof NUMBERS, number>;
  if (numbers.heartbeatIntervalMs >= numbers.sessionTimeoutMs) {
    throw new ConfigError(
      "heartbeatIntervalMs",
      `Set "heartbeatIntervalMs" (${numbers.heartbeatIntervalMs}) to less than "sessionTimeoutMs" ` +
        `(${numbers.sessionTimeoutMs}), a third of it at best: the member would be out between two heartbeats.`,
    );
  }
  return numbers;
}

function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value === "string" && value !== "") return;
  throw new ConfigError(name, `Set "${name}" to text that isn't empty: ${show(value)} is none.`);
}
