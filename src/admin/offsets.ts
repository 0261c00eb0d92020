/**
 * Offsets of partitions and of groups, and the records before an offset.
 *
 * @module
 */

import { ConfigError, KafkaError, UnsupportedVersionError } from "../errors.ts";
import { byTopic as entriesByTopic } from "../protocol/by_topic.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { UNKNOWN_MEMBER_ID } from "../protocol/error_code_names.ts";
import { DeleteRecords } from "../protocol/messages/delete_records.ts";
import { ListOffsets } from "../protocol/messages/list_offsets.ts";
import { OffsetCommit } from "../protocol/messages/offset_commit.ts";
import { OffsetDelete } from "../protocol/messages/offset_delete.ts";
import { OffsetFetch } from "../protocol/messages/offset_fetch.ts";
import { show } from "../show.ts";
import { checkCount, checkName, checkOffset, readDistinct, readFields } from "./arguments.ts";
import { ATTEMPTS_AT_NEW_TOPICS, type Call } from "./call.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { AdminResult } from "./results.ts";
import { answered } from "./topics.ts";

/** A partition of a topic. */
export interface TopicPartition {
  /** The topic. */
  readonly topic: string;
  /** The partition's number. */
  readonly partition: number;
}

/**
 * Which offset is meant: the first that is kept, the one behind the last record, that of the record with the latest
 * timestamp, or that of the first record at or after a time in ms.
 */
export type OffsetSpec = "earliest" | "latest" | "maxTimestamp" | { readonly timestamp: number };

/** A partition and which offset of it is wanted. */
export interface OffsetQuery extends TopicPartition {
  /** Which offset. @default "latest" */
  readonly at?: OffsetSpec | undefined;
}

/** An offset that was found. */
export interface FoundOffset extends TopicPartition {
  /** The offset; −1n when no record is that late, or there is none. */
  readonly offset: bigint;
  /** The record's timestamp in ms where a time was asked for, else −1. */
  readonly timestamp: number;
  /** The epoch of the leader that wrote the record, −1 if it isn't told. */
  readonly leaderEpoch: number;
}

/** A partition and up to where its records are to be deleted. */
export interface RecordsToDelete extends TopicPartition {
  /** The first offset that stays; `"latest"` deletes everything that is replicated. */
  readonly before: bigint | "latest";
}

/** A partition of which records were deleted. */
export interface DeletedRecords extends TopicPartition {
  /** The first offset that can be read now. */
  readonly lowWatermark: bigint;
}

/** What a group has committed for a partition. */
export interface CommittedOffset extends TopicPartition {
  /** The next offset to read. */
  readonly offset: bigint;
  /** The epoch of the leader that the last record was read from, −1 if it isn't known. */
  readonly leaderEpoch: number;
  /** What the client has written beside it. */
  readonly metadata: string;
}

/** An offset to be committed for a group. */
export interface OffsetToCommit extends TopicPartition {
  /** The next offset to read. */
  readonly offset: bigint;
  /** What is to stand beside it. @default "" */
  readonly metadata?: string | undefined;
  /** The epoch of the leader that the record before it was read from (KIP-320). @default -1, unknown */
  readonly leaderEpoch?: number | undefined;
}

/** What is shown of transactions; Kafka's words. */
export type IsolationLevel = "read_uncommitted" | "read_committed";

const TIMESTAMPS = { latest: -1n, earliest: -2n, maxTimestamp: -3n } as const;
/** From this version on ListOffsets finds the latest timestamp (KIP-734). */
const OFFSETS_WITH_MAX_TIMESTAMP = 7;
const OFFSETS_WITH_ISOLATION = 2;
const NO_OFFSET = -1n;
const HIGH_WATERMARK = -1n;
/** From this version on OffsetFetch asks for several groups at once, and from 10 on for topics by id. */
const FETCH_WITH_GROUPS = 8;
const LAST_FETCH_WITH_NAMES = 9;
const LAST_COMMIT_WITH_NAMES = 9;
const FETCH_WITH_STABLE = 7;

/** Looks offsets up. */
export function listOffsets(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
  isolation: IsolationLevel,
): Promise<AdminResult<FoundOffset>[]> {
  const queries = readDistinct("partitions", given, "partitions", readQuery, keyOf);
  return call.each(queries, (left) =>
    dispatcher.byLeader(call, left, async (nodeId, asked) => {
      const connection = await dispatcher.connection(nodeId);
      const version = connection.version(ListOffsets);
      const isKnown = ({ timestamp }: ReadQuery): boolean =>
        timestamp !== TIMESTAMPS.maxTimestamp || version >= OFFSETS_WITH_MAX_TIMESTAMP;
      const known = asked.filter(isKnown);
      const { topics } = known.length === 0 ? { topics: [] } : await connection.request(ListOffsets, version, {
        replicaId: -1,
        ...(version < OFFSETS_WITH_ISOLATION ? {} : { isolationLevel: isolation === "read_committed" ? 1 : 0 }),
        topics: byTopic(known, ({ partition, timestamp }) => ({ partitionIndex: partition, timestamp })),
        timeoutMs: call.brokerTimeoutMs,
      }, call.requestTimeoutMs);
      const found = indexed(topics, ({ partitionIndex }) => partitionIndex);
      return answered(asked, (query) => isKnown(query) ? foundOf(query, found.get(keyOf(query))) : tooOld(query));
    }), { unknownTopicAttempts: ATTEMPTS_AT_NEW_TOPICS });
}

/** Deletes the records before offsets. */
export function deleteRecords(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
): Promise<AdminResult<DeletedRecords>[]> {
  const wanted = readDistinct("partitions", given, "partitions", (item) => {
    const { before, ...place } = readFields("records to delete", item, ["topic", "partition", "before"]);
    const offset = before === "latest" ? HIGH_WATERMARK : checkOffset("before", before);
    return { ...readPartition(place), offset };
  }, keyOf);
  return call.each(wanted, (left) =>
    dispatcher.byLeader(call, left, async (nodeId, asked) => {
      const { topics } = await dispatcher.ask(call, nodeId, DeleteRecords, {
        topics: byTopic(asked, ({ offset, partition }) => ({ partitionIndex: partition, offset })),
        timeoutMs: call.brokerTimeoutMs,
      });
      const found = indexed(topics, ({ partitionIndex }) => partitionIndex);
      return answered(asked, (place) => {
        const answer = found.get(keyOf(place));
        if (answer === undefined) return undefined;
        const { partition, topic } = place;
        if (answer.errorCode !== 0) return brokerError(answer.errorCode, { topic, partition });
        return { topic, partition, lowWatermark: answer.lowWatermark };
      });
    }), { unknownTopicAttempts: ATTEMPTS_AT_NEW_TOPICS });
}

/** What a group has committed. */
export async function listConsumerGroupOffsets(
  dispatcher: Dispatcher,
  call: Call,
  givenGroup: unknown,
  given: unknown,
  requireStable: boolean,
): Promise<CommittedOffset[]> {
  const groupId = checkGroup(givenGroup);
  const wanted = given === undefined
    ? undefined
    : readDistinct("partitions", given, "partitions", readWholePartition, keyOf);
  const { offsets } = await call.one(async () => {
    const answers = await dispatcher.byCoordinator(call, [{ groupId }], async ({ nodeId }, [group]) => {
      const topics = wanted === undefined ? null : byTopic(wanted, ({ partition }) => partition)
        .map(({ name, partitions }) => ({ name, partitionIndexes: partitions }));
      const answer = await dispatcher.ask(call, nodeId, OffsetFetch, (version) => ({
        ...(version >= FETCH_WITH_GROUPS ? { groups: [{ groupId, topics }] } : { groupId, topics }),
        requireStable: requireStable && version >= FETCH_WITH_STABLE,
      } as never), LAST_FETCH_WITH_NAMES);
      const found = answer.groups.find((each) => each.groupId === groupId) ?? answer;
      if (found.errorCode !== 0) throw brokerError(found.errorCode, { api: `Group ${show(groupId)}` });
      return new Map([[group!, {
        offsets: found.topics.flatMap(({ name, partitions }) => committedIn(name, partitions)),
      }]]);
    });
    const [answer] = answers.values();
    if (answer instanceof KafkaError) throw answer;
    return answer!;
  });
  return offsets;
}

/** Commits offsets for a group that nobody is in. */
export function alterConsumerGroupOffsets(
  dispatcher: Dispatcher,
  call: Call,
  givenGroup: unknown,
  given: unknown,
): Promise<AdminResult<TopicPartition & { readonly offset: bigint }>[]> {
  const groupId = checkGroup(givenGroup);
  const offsets = readDistinct("offsets", given, "partitions", (item) => {
    const fields = ["topic", "partition", "offset", "metadata", "leaderEpoch"];
    const { metadata = "", leaderEpoch = -1, offset, ...place } = readFields("an offset", item, fields);
    if (typeof metadata !== "string") {
      throw new ConfigError("metadata", `Set "metadata" to text: ${show(metadata)} is not.`);
    }
    const committedLeaderEpoch = checkCount("leaderEpoch", leaderEpoch, -1);
    return { ...readPartition(place), offset: checkOffset("offset", offset), committedLeaderEpoch, metadata, groupId };
  }, keyOf);
  return call.each(offsets, (left) =>
    dispatcher.byCoordinator(call, left, async ({ nodeId }, asked) => {
      const { topics } = await dispatcher.ask(call, nodeId, OffsetCommit, {
        groupId,
        memberId: "",
        topics: byTopic(asked, ({ committedLeaderEpoch, metadata, offset, partition }) => (
          { partitionIndex: partition, committedOffset: offset, committedLeaderEpoch, committedMetadata: metadata }
        )),
      } as never, LAST_COMMIT_WITH_NAMES);
      const found = indexed(topics, ({ partitionIndex }) => partitionIndex);
      return answered(asked, (place) => {
        const answer = found.get(keyOf(place));
        if (answer === undefined) return undefined;
        const { offset, partition, topic } = place;
        return answer.errorCode === 0 ? { topic, partition, offset } : commitError(answer.errorCode, place);
      });
    }), { unknownTopicAttempts: ATTEMPTS_AT_NEW_TOPICS });
}

/**
 * Commits for a group that nobody is in where it is to go on: at the first or behind the last record of each partition, or
 * at a time; where no record is that late, behind the last one.
 */
export async function resetConsumerGroupOffsets(
  dispatcher: Dispatcher,
  call: Call,
  givenGroup: unknown,
  { partitions, to }: { readonly to?: unknown; readonly partitions?: unknown },
): Promise<AdminResult<TopicPartition & { readonly offset: bigint }>[]> {
  const groupId = checkGroup(givenGroup);
  readSpec("to", to);
  const places = partitions === undefined
    ? await listConsumerGroupOffsets(dispatcher, call, groupId, undefined, false)
    : readDistinct("partitions", partitions, "partitions", readWholePartition, keyOf);
  const find = (at: unknown, of: readonly TopicPartition[]): Promise<AdminResult<FoundOffset>[]> =>
    listOffsets(dispatcher, call, of.map(({ partition, topic }) => ({ topic, partition, at })), "read_uncommitted");
  const found = await find(to, places);
  const isBehind = (result: AdminResult<FoundOffset>): boolean =>
    result.status === "fulfilled" && result.value.offset <= NO_OFFSET;
  const late = await find("latest", places.filter((_, i) => isBehind(found[i]!)));
  const targets = found.map((result) => isBehind(result) ? late.shift()! : result);
  const known = targets.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
  const offsets = known.map(({ offset, partition, topic }) => ({ topic, partition, offset }));
  const committed = await alterConsumerGroupOffsets(dispatcher, call, groupId, offsets);
  return targets.map((result) => result.status === "fulfilled" ? committed.shift()! : result);
}

/** Forgets offsets of a group. */
export function deleteConsumerGroupOffsets(
  dispatcher: Dispatcher,
  call: Call,
  givenGroup: unknown,
  given: unknown,
): Promise<AdminResult<TopicPartition>[]> {
  const groupId = checkGroup(givenGroup);
  const wanted = readDistinct(
    "partitions",
    given,
    "partitions",
    (item) => ({ ...readWholePartition(item), groupId }),
    keyOf,
  );
  return call.each(wanted, (left) =>
    dispatcher.byCoordinator(call, left, async ({ nodeId }, asked) => {
      const { errorCode, topics } = await dispatcher.ask(call, nodeId, OffsetDelete, {
        groupId,
        topics: byTopic(asked, ({ partition }) => ({ partitionIndex: partition })),
      });
      if (errorCode !== 0) throw brokerError(errorCode, { api: `Group ${show(groupId)}` });
      const found = indexed(topics, ({ partitionIndex }) => partitionIndex);
      return answered(asked, ({ partition, topic }) => {
        const answer = found.get(keyOf({ topic, partition }));
        if (answer === undefined) return undefined;
        return answer.errorCode === 0 ? { topic, partition } : brokerError(answer.errorCode, { topic, partition });
      });
    }));
}

interface ReadQuery extends TopicPartition {
  readonly timestamp: bigint;
}

/** A group's name. */
export function checkGroup(value: unknown): string {
  return checkName("groupId", value);
}

/** Which offset is meant, as it stands on the wire. */
export function readSpec(option: string, value: unknown): bigint {
  if (typeof value === "string" && Object.hasOwn(TIMESTAMPS, value)) {
    return TIMESTAMPS[value as keyof typeof TIMESTAMPS];
  }
  const timestamp = typeof value === "object" && value !== null
    ? (value as { timestamp?: unknown }).timestamp
    : undefined;
  if (Number.isSafeInteger(timestamp) && timestamp as number >= 0) return BigInt(timestamp as number);
  throw new ConfigError(
    option,
    `Set "${option}" to "earliest", "latest", "maxTimestamp" or { timestamp } in ms: ${show(value)} is none of them.`,
  );
}

/** A partition, and nothing else. */
export function readWholePartition(item: unknown): TopicPartition {
  return readPartition(readFields("a partition", item, ["topic", "partition"]));
}

function readQuery(item: unknown): ReadQuery {
  const { at = "latest", ...place } = readFields("a partition", item, ["topic", "partition", "at"]);
  return { ...readPartition(place), timestamp: readSpec("at", at) };
}

function readPartition(
  { partition, topic }: { readonly topic?: unknown; readonly partition?: unknown },
): TopicPartition {
  return { topic: checkName("topic", topic), partition: checkCount("partition", partition, 0) };
}

function foundOf(
  { partition, topic }: ReadQuery,
  answer: {
    readonly errorCode: number;
    readonly offset: bigint;
    readonly timestamp: bigint;
    readonly leaderEpoch: number;
  } | undefined,
): FoundOffset | KafkaError | undefined {
  if (answer === undefined) return undefined;
  const { errorCode, leaderEpoch, offset, timestamp } = answer;
  if (errorCode !== 0) return brokerError(errorCode, { topic, partition });
  return { topic, partition, offset, timestamp: Number(timestamp), leaderEpoch };
}

function tooOld({ partition, topic }: ReadQuery): UnsupportedVersionError {
  const message =
    'Ask for "latest" or a { timestamp }: the broker is older than Kafka 3.0, and finds no "maxTimestamp".';
  return new UnsupportedVersionError(message, { topic, partition });
}

function commitError(
  errorCode: number,
  { groupId, partition, topic }: TopicPartition & { readonly groupId: string },
): KafkaError {
  const detail = errorCode === UNKNOWN_MEMBER_ID
    ? `stop the members of group ${show(groupId)} first, only they may commit while there are any`
    : undefined;
  return brokerError(errorCode, { topic, partition, detail });
}

function committedIn(
  topic: string,
  partitions: readonly {
    readonly partitionIndex: number;
    readonly committedOffset: bigint;
    readonly committedLeaderEpoch: number;
    readonly metadata: string | null;
    readonly errorCode: number;
  }[],
): CommittedOffset[] {
  return partitions.flatMap((each) => {
    const { committedLeaderEpoch, committedOffset, errorCode, metadata, partitionIndex: partition } = each;
    if (errorCode !== 0) throw brokerError(errorCode, { topic, partition });
    if (committedOffset <= NO_OFFSET) return [];
    return [{ topic, partition, offset: committedOffset, leaderEpoch: committedLeaderEpoch, metadata: metadata ?? "" }];
  });
}

/** Partitions by topic, as requests have them. */
function byTopic<P extends TopicPartition, E>(
  partitions: readonly P[],
  entryOf: (partition: P) => E,
): { readonly name: string; readonly partitions: E[] }[] {
  return entriesByTopic(partitions, entryOf).map(([name, entries]) => ({ name, partitions: entries }));
}

/** What was answered, by partition. */
function indexed<P>(
  topics: readonly { readonly name: string; readonly partitions: readonly P[] }[],
  indexOf: (partition: P) => number,
): ReadonlyMap<string, P> {
  return new Map(
    topics.flatMap(({ name, partitions }) =>
      partitions.map((each) => [keyOf({ topic: name, partition: indexOf(each) }), each] as const)
    ),
  );
}

/** A partition as one text. */
export function keyOf({ partition, topic }: TopicPartition): string {
  return `${partition}/${topic}`;
}
