/**
 * What is asked of a leader for the partitions that it leads, and which answer belongs to which of them.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import { byTopic } from "../protocol/by_topic.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { Fetch } from "../protocol/messages/fetch.ts";
import { ListOffsets } from "../protocol/messages/list_offsets.ts";
import { OffsetForLeaderEpoch } from "../protocol/messages/offset_for_leader_epoch.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import type { Cursor } from "./cursor.ts";
import { leaderOf, topicIdOf } from "./leader.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import { keyOf, type Position, type TopicPartition } from "./record.ts";

/** From this version on Fetch names topics by id (KIP-516). */
const FETCH_WITH_IDS = 13;
const NO_REPLICA = -1;
const UNKNOWN_LEADER_EPOCH = -1;
const READ_UNCOMMITTED = 0;
const READ_COMMITTED = 1;
const LATEST = -1n;
const EARLIEST = -2n;

/** What ListOffsets answers for a partition. */
export type ListedOffset = ResponseOf<typeof ListOffsets>["topics"][number]["partitions"][number];
/** What OffsetForLeaderEpoch answers for a partition. */
export type EpochEnd = ResponseOf<typeof OffsetForLeaderEpoch>["topics"][number]["partitions"][number];
/** What Fetch answers for a partition. */
export interface Fetched {
  /** The id under which the leader was asked; all zeros while it isn't known. */
  readonly topicId: string;
  readonly partition: ResponseOf<typeof Fetch>["responses"][number]["partitions"][number];
}

/** What a leader has answered for one partition. */
export interface Answered<T> {
  readonly cursor: Cursor;
  /** undefined where it has left out the partition. */
  readonly answer: T | undefined;
}

/** Asks leaders for partitions. What comes back leaves out cursors that have jumped until it is looked at. */
export class Requests {
  readonly #cluster: Cluster;
  readonly #options: ResolvedReaderOptions;

  /** Requests of one reader. */
  constructor(cluster: Cluster, options: ResolvedReaderOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** Looks up where cursors begin. */
  listOffsets(connection: Connection, cursors: readonly Cursor[]): Promise<Iterable<Answered<ListedOffset>>> {
    return matched(cursors, async () => {
      const { topics } = await connection.request(ListOffsets, connection.version(ListOffsets), {
        replicaId: NO_REPLICA,
        isolationLevel: this.#isolationLevel(),
        topics: byTopic(cursors, (cursor) => cursor).map(([name, list]) => ({
          name,
          partitions: list.map(({ partition: partitionIndex, start }) => (
            { partitionIndex, timestamp: timestampOf(start) }
          )),
        })),
      }, this.#options.requestTimeoutMs);
      return topics.flatMap(({ name: topic, partitions }) =>
        partitions.map((each) => [{ topic, partition: each.partitionIndex }, each])
      );
    });
  }

  /** Looks up where the epoch of the last batch of each cursor ends in the leader's log (KIP-320). */
  epochEnds(connection: Connection, cursors: readonly Cursor[]): Promise<Iterable<Answered<EpochEnd>>> {
    return matched(cursors, async () => {
      const { topics } = await connection.request(OffsetForLeaderEpoch, connection.version(OffsetForLeaderEpoch), {
        replicaId: NO_REPLICA,
        topics: byTopic(cursors, (cursor) => cursor).map(([topic, list]) => ({
          topic,
          partitions: list.map((cursor) => ({
            partition: cursor.partition,
            currentLeaderEpoch: this.#leaderEpochOf(cursor),
            leaderEpoch: cursor.epochs.last,
          })),
        })),
      }, this.#options.requestTimeoutMs);
      return topics.flatMap(({ topic, partitions }) =>
        partitions.map((each) => [{ topic, partition: each.partition }, each])
      );
    });
  }

  /**
   * Fetches what comes next for each cursor.
   *
   * @throws the error that the broker answers for all of them
   */
  fetch(connection: Connection, cursors: readonly Cursor[]): Promise<Iterable<Answered<Fetched>>> {
    const { maxWaitMs, requestTimeoutMs } = this.#options;
    const [first] = cursors;
    // Brokers that don't know of a partition's limit keep to this.
    const maxBytes = Math.max(this.#options.maxBytes, cursors.length === 1 && first!.isCut ? first!.maxBytes : 0);
    const ids = new Map(cursors.map(({ topic }) => [topic, topicIdOf(this.#cluster, topic)]));
    const allHaveIds = [...ids.values()].every((id) => id !== ZERO_TOPIC_ID);
    const version = connection.version(Fetch, allHaveIds ? undefined : FETCH_WITH_IDS - 1);
    const names = new Map([...ids].map(([topic, id]) => [id, topic]));
    return matched(cursors, async () => {
      const answer = await connection.request(Fetch, version, {
        maxWaitMs,
        minBytes: 1,
        maxBytes,
        isolationLevel: this.#isolationLevel(),
        topics: byTopic(cursors, (cursor) => cursor).map(([topic, list]) => ({
          ...(version >= FETCH_WITH_IDS ? { topicId: ids.get(topic)! } : { topic }),
          partitions: list.map((cursor) => ({
            partition: cursor.partition,
            currentLeaderEpoch: this.#leaderEpochOf(cursor),
            fetchOffset: cursor.fetchOffset,
            partitionMaxBytes: cursor.maxBytes,
          })),
        })),
      }, requestTimeoutMs + maxWaitMs);
      if (answer.errorCode !== 0) throw brokerError(answer.errorCode, { api: "Fetch" });
      return answer.responses.flatMap(({ topic: name, topicId, partitions }) => {
        const topic = (version >= FETCH_WITH_IDS ? names.get(topicId) : name) ?? "";
        const asked = ids.get(topic) ?? ZERO_TOPIC_ID;
        return partitions.map((partition) => [
          { topic, partition: partition.partitionIndex },
          { topicId: asked, partition },
        ]);
      });
    });
  }

  #leaderEpochOf(cursor: Cursor): number {
    return leaderOf(this.#cluster, cursor)?.leaderEpoch ?? UNKNOWN_LEADER_EPOCH;
  }

  #isolationLevel(): 0 | 1 {
    return this.#options.isolation === "read_committed" ? READ_COMMITTED : READ_UNCOMMITTED;
  }
}

/** Asks, and finds the answer for each cursor; of several the first counts. */
async function matched<T>(
  cursors: readonly Cursor[],
  ask: () => Promise<(readonly [TopicPartition, T])[]>,
): Promise<Iterable<Answered<T>>> {
  const asked = cursors.map((cursor) => ({ cursor, generation: cursor.generation, fetchOffset: cursor.fetchOffset }));
  const answers = new Map<string, T>();
  for (const [place, answer] of await ask()) {
    const key = keyOf(place);
    if (!answers.has(key)) answers.set(key, answer);
  }
  return stillAsked(asked, answers);
}

/**
 * Looked at in the turn of whoever carries it out: a caller may go elsewhere between any two. What was buffered may have
 * been dropped meanwhile, too, and what follows it would leave a gap.
 */
function* stillAsked<T>(
  asked: readonly { readonly cursor: Cursor; readonly generation: number; readonly fetchOffset: bigint }[],
  answers: ReadonlyMap<string, T>,
): Generator<Answered<T>> {
  for (const { cursor, generation, fetchOffset } of asked) {
    const isAsked = cursor.generation === generation && cursor.fetchOffset === fetchOffset;
    if (isAsked) yield { cursor, answer: answers.get(keyOf(cursor)) };
  }
}

function timestampOf(start: Position): bigint {
  if (start === "beginning") return EARLIEST;
  if (start === "end") return LATEST;
  return typeof start === "bigint" ? start : BigInt(start.timestamp);
}
