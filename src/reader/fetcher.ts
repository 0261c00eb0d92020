/**
 * Keeps the cursors supplied: one Fetch request on its way to each leader, for all of its partitions that have room.
 *
 * Nothing polls. A request is sent when there is a reason: partitions were assigned, what was buffered has been handed
 * out, an answer has come, metadata has changed, a pause is over.
 *
 * @module
 */

import { watchRejection } from "../call_options.ts";
import { Backoff } from "../cluster/backoff.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { isUsable, type PartitionMetadata, ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import {
  AuthenticationError,
  BrokerError,
  ConfigError,
  KafkaError,
  ProtocolError,
  UnsupportedVersionError,
} from "../errors.ts";
import { byTopic } from "../protocol/by_topic.ts";
import { brokerError, errorOf } from "../protocol/error_codes.ts";
import { Fetch } from "../protocol/messages/fetch.ts";
import { ListOffsets } from "../protocol/messages/list_offsets.ts";
import { OffsetForLeaderEpoch } from "../protocol/messages/offset_for_leader_epoch.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import {
  FENCED_LEADER_EPOCH,
  INCONSISTENT_TOPIC_ID,
  KAFKA_STORAGE_ERROR,
  LEADER_NOT_AVAILABLE,
  NOT_LEADER_OR_FOLLOWER,
  OFFSET_NOT_AVAILABLE,
  OFFSET_OUT_OF_RANGE,
  REPLICA_NOT_AVAILABLE,
  UNKNOWN_LEADER_EPOCH,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../protocol/error_code_names.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { wholeBatches } from "./batch_decoder.ts";
import type { Changes } from "./changes.ts";
import type { Cursor } from "./cursor.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import type { Position } from "./record.ts";

/** From this version on Fetch names topics by id (KIP-516). */
const FETCH_WITH_IDS = 13;
/** The partition isn't led where it was asked, or not yet: metadata tells where. */
const NO_LEADER_ERRORS: readonly number[] = [
  UNKNOWN_TOPIC_OR_PARTITION,
  LEADER_NOT_AVAILABLE,
  NOT_LEADER_OR_FOLLOWER,
  REPLICA_NOT_AVAILABLE,
  KAFKA_STORAGE_ERROR,
  FENCED_LEADER_EPOCH,
  UNKNOWN_LEADER_EPOCH,
  OFFSET_NOT_AVAILABLE,
  UNKNOWN_TOPIC_ID,
  INCONSISTENT_TOPIC_ID,
];
const LATEST = -1n;
const EARLIEST = -2n;
/** Chunks of a partition that wait: one is read while the next one comes. */
const CHUNKS_AHEAD = 2;
const MOST_PARTITION_BYTES = 1 << 30;
const UNDEFINED_OFFSET = -1n;
/** What can't be read is fetched so often, for it may have been damaged on its way. */
const MOST_ATTEMPTS_AT_DAMAGE = 3;

type FetchedPartition = ResponseOf<typeof Fetch>["responses"][number]["partitions"][number];

/** Fetches for all cursors of a reader. */
export class Fetcher {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: ResolvedReaderOptions;
  /** Told of something to hand out, a position that was found, a cursor that has failed. */
  readonly #changes: Changes;
  readonly #backoff: Backoff;
  readonly #cursors = new Map<string, Cursor>();
  /** Leaders that owe an answer. */
  readonly #busyLeaders = new Set<number>();
  /** What can't be read at the moment, or go on for another reason. */
  readonly #troubled = new Map<object, KafkaError>();
  #bufferedBytes = 0;
  #isDeferred = false;
  #timer: Timer | undefined;
  #closed = false;

  /** Makes a fetcher without partitions. */
  constructor(runtime: Runtime, cluster: Cluster, options: ResolvedReaderOptions, changes: Changes) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#changes = changes;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
  }

  /** The partitions that are read. */
  get cursors(): ReadonlyMap<string, Cursor> {
    return this.#cursors;
  }

  /** True while a partition waits for a leader that isn't known. */
  get wantsMetadata(): boolean {
    for (const cursor of this.#cursors.values()) if (this.#leaderOf(cursor) === undefined) return true;
    return false;
  }

  /** Reads a partition from now on. */
  add(cursor: Cursor): void {
    this.#cursors.set(keyOf(cursor), cursor);
    this.#cluster.use(cursor.topic);
    this.wake();
  }

  /** Reads a partition no longer. */
  remove(cursor: Cursor): void {
    if (this.#cursors.get(keyOf(cursor)) !== cursor) return;
    this.#cursors.delete(keyOf(cursor));
    this.relieve(cursor);
    cursor.generation += 1;
    this.drop(cursor);
  }

  /** Forgets what is buffered of a partition. */
  drop(cursor: Cursor): void {
    this.#bufferedBytes -= cursor.bufferedBytes;
    cursor.dropBuffer();
    this.wake();
  }

  /** The first chunk of a cursor has been handed out. */
  taken(cursor: Cursor): void {
    const chunk = cursor.chunks.shift();
    if (chunk === undefined) return;
    cursor.bufferedBytes -= chunk.bytes.length;
    this.#bufferedBytes -= chunk.bytes.length;
    this.wake();
  }

  /** What was fetched can't be read. It is fetched again, and after that the caller is told. */
  damaged(cursor: Cursor, cause: unknown): void {
    const { topic, partition, position } = cursor;
    cursor.corruptions += 1;
    this.drop(cursor);
    if (cursor.corruptions < MOST_ATTEMPTS_AT_DAMAGE) return this.#retry(cursor, cause);
    cursor.corruptions = 0;
    const message =
      `Topic "${topic}" partition ${partition} can't be read at offset ${position}: three times what the ` +
      `broker sent was damaged. ${(cause as Error).message} Seek to an offset behind the batch to leave it out.`;
    this.#fail(cursor, new KafkaError(message, { code: "CORRUPT_MESSAGE", topic, partition, cause }));
  }

  /** Looks what can be asked for, at the end of this turn. */
  wake(): void {
    if (this.#isDeferred || this.#closed) return;
    this.#isDeferred = true;
    this.#runtime.defer(() => {
      this.#isDeferred = false;
      this.#pump();
    });
  }

  /** Sends nothing more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #pump(): void {
    if (this.#closed) return;
    const nowMs = this.#runtime.now();
    const byLeader = new Map<number, Cursor[]>();
    const leaderless: Cursor[] = [];
    this.#makeRoom();
    let nextMs = Infinity;
    for (const cursor of this.#cursors.values()) {
      if (!this.#wantsMore(cursor)) continue;
      if (cursor.notBeforeMs > nowMs) {
        nextMs = Math.min(nextMs, cursor.notBeforeMs);
        continue;
      }
      const leader = this.#leaderOf(cursor);
      if (leader === undefined) leaderless.push(cursor);
      else if (!this.#busyLeaders.has(leader.leaderId)) {
        const list = byLeader.get(leader.leaderId);
        if (list === undefined) byLeader.set(leader.leaderId, [cursor]);
        else list.push(cursor);
      }
    }
    if (leaderless.length > 0) void this.#findLeaders(leaderless);
    this.#wakeAt(nextMs);
    for (const [leaderId, cursors] of byLeader) void this.#serve(leaderId, cursors);
  }

  /** Asks for metadata; what no further metadata will mend is told. */
  async #findLeaders(cursors: readonly Cursor[]): Promise<void> {
    const error = await this.#cluster.requestUpdate();
    if (this.#closed) return;
    for (const cursor of cursors) {
      const { topic, partition } = cursor;
      if (this.#cursors.get(keyOf(cursor)) !== cursor || this.#leaderOf(cursor) !== undefined) continue;
      const errorCode = this.#cluster.topic(topic)?.errorCode ?? 0;
      if (error instanceof AuthenticationError || error instanceof ConfigError) this.#fail(cursor, error);
      else if (errorCode !== 0 && !errorOf(errorCode).retriable) {
        this.#fail(cursor, brokerError(errorCode, { api: "Metadata", topic, partition }));
      } else this.trouble(cursor, error ?? brokerError(LEADER_NOT_AVAILABLE, { api: "Metadata", topic, partition }));
    }
  }

  /** What is buffered of partitions that are paused doesn't keep the others from being read. */
  #makeRoom(): void {
    const { maxBufferedBytes } = this.#options;
    if (this.#bufferedBytes < maxBufferedBytes) return;
    const full = [...this.#cursors.values()].filter(({ bufferedBytes }) => bufferedBytes > 0);
    if (full.some(({ paused }) => !paused)) return;
    for (const cursor of full) {
      if (cursor.inHand) continue;
      this.#bufferedBytes -= cursor.bufferedBytes;
      cursor.dropBuffer();
    }
  }

  #wantsMore(cursor: Cursor): boolean {
    if (cursor.busy || cursor.paused || cursor.error !== undefined) return false;
    if (cursor.position === undefined) return true;
    return !cursor.isProbe && cursor.chunks.length < CHUNKS_AHEAD &&
      this.#bufferedBytes < this.#options.maxBufferedBytes;
  }

  #wakeAt(atMs: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (atMs < Infinity) {
      this.#timer = this.#runtime.setTimer(() => this.#pump(), Math.max(0, atMs - this.#runtime.now()));
    }
  }

  #leaderOf({ topic, partition }: Cursor): PartitionMetadata | undefined {
    const metadata = this.#cluster.topic(topic) ?? this.#cluster.use(topic);
    metadata.touched = true;
    if (!isUsable(metadata)) return undefined;
    const leader = metadata.partitions[partition];
    if (leader === undefined || leader.leaderId < 0 || this.#cluster.broker(leader.leaderId) === undefined) {
      return undefined;
    }
    return leader;
  }

  /** One round with one leader: places to begin are looked up, places to go on checked, then records are fetched. */
  async #serve(leaderId: number, cursors: readonly Cursor[]): Promise<void> {
    this.#busyLeaders.add(leaderId);
    for (const cursor of cursors) cursor.busy = true;
    try {
      const connection = await this.#cluster.broker(leaderId)!.connect();
      const unknown = cursors.filter(({ position }) => position === undefined);
      if (unknown.length > 0) return await this.#lookUp(connection, unknown);
      const unchecked = cursors.filter((cursor) => this.#needsCheck(cursor, connection));
      if (unchecked.length > 0) return await this.#check(connection, unchecked);
      // The first batch of an answer comes whole (KIP-74), whatever was asked for.
      const cut = cursors.find(({ isCut, maxBytes }) => isCut && maxBytes >= MOST_PARTITION_BYTES);
      await this.#fetch(connection, cut === undefined ? cursors : [cut]);
    } catch (error) {
      this.#onFailure(cursors, error);
    } finally {
      for (const cursor of cursors) cursor.busy = false;
      this.#busyLeaders.delete(leaderId);
      this.wake();
    }
  }

  async #lookUp(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    const asked: Cursor[] = [];
    for (const cursor of cursors) {
      if (typeof cursor.start === "bigint") cursor.startAt(cursor.start);
      else asked.push(cursor);
    }
    if (asked.length === 0) return;
    const generations = new Map(asked.map((cursor) => [cursor, cursor.generation]));
    const { requestTimeoutMs } = this.#options;
    const answer = await connection.request(ListOffsets, connection.version(ListOffsets), {
      replicaId: -1,
      isolationLevel: this.#isolationLevel(),
      topics: byTopic(asked, (cursor) => cursor).map(([name, list]) => ({
        name,
        partitions: list.map(({ partition: partitionIndex, start }) => (
          { partitionIndex, timestamp: timestampOf(start) }
        )),
      })),
    }, requestTimeoutMs);
    const found = new Map(
      answer.topics.flatMap(({ name, partitions }) =>
        partitions.map((partition) => [keyOf({ topic: name, partition: partition.partitionIndex }), partition] as const)
      ),
    );
    for (const cursor of asked) {
      const partition = found.get(keyOf(cursor));
      if (cursor.generation !== generations.get(cursor)) continue;
      if (partition === undefined) this.#retry(cursor, new ProtocolError("ListOffsets left out a partition."));
      else if (partition.errorCode !== 0) this.#onError(cursor, partition.errorCode, "ListOffsets");
      // No record is as young as that: the next one will be.
      else if (partition.offset === UNDEFINED_OFFSET && typeof cursor.start === "object") cursor.start = "end";
      else if (partition.offset === UNDEFINED_OFFSET) {
        this.#retry(cursor, new ProtocolError(`ListOffsets told no offset of the ${cursor.start}.`));
      } else if (partition.offset < 0n) {
        this.#fail(cursor, new ProtocolError(`ListOffsets told the offset ${partition.offset}.`));
      } else {
        cursor.startAt(partition.offset);
        if (cursor.isProbe) this.relieve(cursor);
      }
    }
    this.#changes.tell();
  }

  /** After an election the position may lie behind the end of the new leader's log (KIP-320). */
  #needsCheck(cursor: Cursor, connection: Connection): boolean {
    const leader = this.#leaderOf(cursor);
    if (leader === undefined || leader.leaderEpoch < 0 || cursor.lastEpoch < 0) return false;
    // The epochs of a topic that was made anew say nothing of the one that was read.
    if (this.#topicIdOf(cursor.topic) !== cursor.topicId) return false;
    if (cursor.validEpoch < 0) cursor.validEpoch = cursor.lastEpoch;
    return leader.leaderEpoch > cursor.validEpoch && connection.versions.has(OffsetForLeaderEpoch.key);
  }

  async #check(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    const asked = cursors.map((cursor) => ({ cursor, leader: this.#leaderOf(cursor)!, generation: cursor.generation }));
    const answer = await connection.request(OffsetForLeaderEpoch, connection.version(OffsetForLeaderEpoch), {
      replicaId: -1,
      topics: byTopic(cursors, (cursor) => cursor).map(([topic, list]) => ({
        topic,
        partitions: list.map((cursor) => ({
          partition: cursor.partition,
          currentLeaderEpoch: this.#leaderOf(cursor)?.leaderEpoch ?? -1,
          leaderEpoch: cursor.lastEpoch,
        })),
      })),
    }, this.#options.requestTimeoutMs);
    const answers = new Map(
      answer.topics.flatMap(({ topic, partitions }) =>
        partitions.map((each) => [keyOf({ topic, partition: each.partition }), each] as const)
      ),
    );
    for (const { cursor, leader, generation } of asked) {
      const found = answers.get(keyOf(cursor));
      if (cursor.generation !== generation) continue;
      if (found === undefined) this.#retry(cursor, new ProtocolError("OffsetForLeaderEpoch left out a partition."));
      else if (found.errorCode !== 0) this.#onError(cursor, found.errorCode, "OffsetForLeaderEpoch");
      else {
        cursor.validEpoch = leader.leaderEpoch;
        // Its log begins with a later epoch: nothing of what was read is left.
        if (found.endOffset < 0n || found.leaderEpoch < 0) this.#onTruncation(cursor, undefined);
        else if (found.endOffset < cursor.fetchOffset) {
          cursor.lastEpoch = found.leaderEpoch;
          this.#onTruncation(cursor, found.endOffset);
        }
      }
    }
  }

  /** Records that were read are in the log no more. What follows the end that is left is read next. */
  #onTruncation(cursor: Cursor, endOffset: bigint | undefined): void {
    const position = cursor.position!;
    const { onMissingOffset } = this.#options;
    this.#bufferedBytes -= cursor.bufferedBytes;
    cursor.dropBuffer();
    if (endOffset !== undefined && endOffset >= position) return;
    if (onMissingOffset === "fail") {
      this.#fail(
        cursor,
        new KafkaError(
          `Records of topic "${cursor.topic}" partition ${cursor.partition} that were read are in the log no more: it ` +
            `was cut off at offset ${endOffset ?? 0n}, the position is ${position}. Seek to where to go on.`,
          { code: "LOG_TRUNCATED", topic: cursor.topic, partition: cursor.partition },
        ),
      );
      return;
    }
    if (endOffset === undefined) return cursor.jump(onMissingOffset);
    cursor.generation += 1;
    cursor.startAt(endOffset);
  }

  async #fetch(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    const { maxWaitMs, requestTimeoutMs } = this.#options;
    const isAlone = cursors.length === 1;
    // Brokers that don't know of that keep to this.
    const maxBytes = Math.max(this.#options.maxBytes, isAlone && cursors[0]!.isCut ? cursors[0]!.maxBytes : 0);
    const ids = new Map(cursors.map(({ topic }) => [topic, this.#topicIdOf(topic)]));
    const allHaveIds = cursors.every(({ topic }) => ids.get(topic) !== ZERO_TOPIC_ID);
    const version = connection.version(Fetch, allHaveIds ? undefined : FETCH_WITH_IDS - 1);
    const names = new Map([...ids].map(([topic, id]) => [id, topic]));
    const asked = new Map(cursors.map((cursor) => [keyOf(cursor), { cursor, generation: cursor.generation }]));
    const answer = await connection.request(Fetch, version, {
      maxWaitMs,
      minBytes: 1,
      maxBytes,
      isolationLevel: this.#isolationLevel(),
      topics: byTopic(cursors, (cursor) => cursor).map(([topic, list]) => ({
        ...(version >= FETCH_WITH_IDS ? { topicId: ids.get(topic)! } : { topic }),
        partitions: list.map((cursor) => ({
          partition: cursor.partition,
          currentLeaderEpoch: this.#leaderOf(cursor)?.leaderEpoch ?? -1,
          fetchOffset: cursor.fetchOffset,
          partitionMaxBytes: cursor.maxBytes,
        })),
      })),
    }, requestTimeoutMs + maxWaitMs);
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, { api: "Fetch" });
    for (const { topic: name, topicId, partitions } of answer.responses) {
      const topic = version >= FETCH_WITH_IDS ? names.get(topicId) : name;
      for (const partition of partitions) {
        const found = asked.get(keyOf({ topic: topic ?? "", partition: partition.partitionIndex }));
        if (found === undefined || found.cursor.generation !== found.generation) continue;
        asked.delete(keyOf(found.cursor));
        this.#onPartition(found.cursor, partition, isAlone, ids.get(topic!)!);
      }
    }
    for (const { cursor, generation } of asked.values()) {
      if (cursor.generation === generation) this.#retry(cursor, new ProtocolError("Fetch left out a partition."));
    }
  }

  #topicIdOf(topic: string): string {
    return this.#cluster.topic(topic)?.topicId ?? ZERO_TOPIC_ID;
  }

  /**
   * True when another topic than before has answered to the name: its offsets mean nothing to what was read of the
   * deleted one, and reading on there would leave out what is new. Only the leader's word counts, for the metadata may be
   * of yesterday.
   */
  #isAnew(cursor: Cursor, topicId: string): boolean {
    const { partition, topic, topicId: before } = cursor;
    if (topicId !== before && before !== ZERO_TOPIC_ID && topicId !== ZERO_TOPIC_ID) {
      const message =
        `Topic "${topic}" partition ${partition} was deleted and made anew: offset ${cursor.fetchOffset} was ` +
        `one of the old log. Seek to where to go on, or set "onMissingOffset" to "beginning" or "end".`;
      this.#onMissingOffset(cursor, new KafkaError(message, { code: "LOG_TRUNCATED", topic, partition }));
      return true;
    }
    cursor.topicId = topicId;
    return false;
  }

  #onPartition(
    cursor: Cursor,
    { errorCode, records, abortedTransactions, highWatermark }: FetchedPartition,
    isAlone: boolean,
    topicId: string,
  ): void {
    if (errorCode !== 0) return this.#onError(cursor, errorCode, "Fetch");
    if (this.#isAnew(cursor, topicId)) return;
    cursor.failures = 0;
    this.relieve(cursor);
    if (records === null || records.length === 0) return;
    let whole: ReturnType<typeof wholeBatches>;
    try {
      whole = wholeBatches(records, cursor.fetchOffset);
    } catch (error) {
      return this.#onDamage(cursor, error);
    }
    const { length, nextOffset, epoch } = whole;
    cursor.isCut = length === 0;
    if (cursor.isCut) {
      if (isAlone && cursor.maxBytes >= MOST_PARTITION_BYTES) {
        return this.#onDamage(cursor, new ProtocolError(`Its next batch is cut off after ${records.length} bytes.`));
      }
      // A broker sends the first batch whole, but only in the first partition of its answer (KIP-74).
      cursor.maxBytes = Math.min(cursor.maxBytes * 2, MOST_PARTITION_BYTES);
      return;
    }
    cursor.chunks.push({ bytes: records.subarray(0, length), aborted: abortedTransactions ?? [], highWatermark });
    cursor.bufferedBytes += length;
    this.#bufferedBytes += length;
    cursor.fetchOffset = nextOffset;
    cursor.lastEpoch = epoch;
    this.#changes.tell();
  }

  /** What is buffered before it is in hand, and is handed out first. */
  #onDamage(cursor: Cursor, error: unknown): void {
    if (cursor.chunks.length > 0) this.#retry(cursor, error);
    else this.damaged(cursor, error);
  }

  #onError(cursor: Cursor, errorCode: number, api: string): void {
    const { topic, partition } = cursor;
    const error = brokerError(errorCode, { api, topic, partition });
    if (errorCode === OFFSET_OUT_OF_RANGE) return this.#onMissingOffset(cursor, missingOffset(cursor, error));
    if (NO_LEADER_ERRORS.includes(errorCode)) {
      // The connection may lead to where that broker was said to be before.
      const leader = this.#leaderOf(cursor);
      if (leader !== undefined) this.#cluster.brokerDenies(leader.leaderId);
      void this.#cluster.requestUpdate();
      return this.#retry(cursor, error);
    }
    if (errorOf(errorCode).retriable) return this.#retry(cursor, error);
    this.#fail(cursor, error);
  }

  #onMissingOffset(cursor: Cursor, error: KafkaError): void {
    const { onMissingOffset } = this.#options;
    if (onMissingOffset === "fail") return this.#fail(cursor, error);
    // What is buffered is in hand, and is handed out first.
    if (cursor.chunks.length > 0) return this.#retry(cursor, error);
    const { failures } = cursor;
    cursor.jump(onMissingOffset);
    cursor.failures = failures + 1;
    // The first time at once; where it was sent to there is nothing either.
    if (failures > 0) cursor.notBeforeMs = this.#runtime.now() + this.#backoff.delayMs(failures);
  }

  #onFailure(cursors: readonly Cursor[], error: unknown): void {
    for (const cursor of cursors) {
      const isHopeless = error instanceof AuthenticationError || error instanceof ConfigError ||
        (error instanceof UnsupportedVersionError && !error.retriable);
      if (isHopeless) this.#fail(cursor, error);
      else this.#retry(cursor, error);
    }
    void this.#cluster.requestUpdate();
  }

  #retry(cursor: Cursor, error: unknown): void {
    cursor.failures += 1;
    cursor.notBeforeMs = this.#runtime.now() + this.#backoff.delayMs(cursor.failures);
    this.trouble(cursor, error);
  }

  /** Something can't go on. The first one is told with its reason; what follows from the same is no news. */
  trouble(who: object, error: unknown): void {
    const isFirst = this.#troubled.size === 0;
    const trouble = error instanceof KafkaError ? error : new KafkaError("Reading failed.", { cause: error });
    this.#troubled.set(who, trouble);
    if (isFirst) this.#tell(trouble);
  }

  /** Why something can't go on at the moment. */
  troubleOf(who: object): KafkaError | undefined {
    return this.#troubled.get(who);
  }

  /** It goes on. */
  relieve(who: object): void {
    if (this.#troubled.delete(who) && this.#troubled.size === 0) this.#tell(null);
  }

  /** In a turn of its own: nothing that a listener does happens in the middle of something else. */
  #tell(trouble: KafkaError | null): void {
    const { onTrouble } = this.#options;
    if (onTrouble === undefined || this.#closed) return;
    this.#runtime.defer(() => {
      try {
        watchRejection(onTrouble(trouble), () => {});
      } catch {
        // A slip of the listener must not end the reading, nor the process.
      }
    });
  }

  #fail(cursor: Cursor, error: Error): void {
    cursor.error = error;
    this.relieve(cursor);
    this.#changes.tell();
  }

  #isolationLevel(): 0 | 1 {
    return this.#options.isolation === "read_committed" ? 1 : 0;
  }
}

function missingOffset({ fetchOffset, topic, partition }: Cursor, cause: KafkaError): KafkaError {
  const message =
    `Offset ${fetchOffset} of topic "${topic}" partition ${partition} is not in its log. Seek to where to ` +
    `go on, or set "onMissingOffset" to "beginning" or "end".`;
  return new BrokerError(message, { code: cause.code, errorCode: cause.errorCode!, topic, partition, cause });
}

/** What a partition is kept under. */
export function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${partition} ${topic}`;
}

function timestampOf(start: Position): bigint {
  if (start === "beginning") return EARLIEST;
  if (start === "end") return LATEST;
  return typeof start === "bigint" ? start : BigInt(start.timestamp);
}
