/**
 * Reads partitions: from where the caller says, as an async iterator, at the caller's pace.
 *
 * @module
 */

import { Cluster } from "../cluster/cluster.ts";
import type { GroupMetadata } from "../cluster/group_metadata.ts";
import { Coordinator } from "../cluster/coordinator.ts";
import { Backoff } from "../cluster/backoff.ts";
import { isUsable } from "../cluster/metadata.ts";
import { sleep } from "../cluster/sleep.ts";
import { CompressionError, ConfigError, KafkaError, ProtocolError, TimeoutError } from "../errors.ts";
import { byTopic } from "../protocol/by_topic.ts";
import { UNKNOWN_MEMBER_ID } from "../protocol/error_code_names.ts";
import { brokerError, errorOf } from "../protocol/error_codes.ts";
import { OffsetCommit } from "../protocol/messages/offset_commit.ts";
import { OffsetFetch } from "../protocol/messages/offset_fetch.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { detached } from "../runtime/detached.ts";
import { Outstanding } from "../runtime/outstanding.ts";
import { selectRuntime, systemRuntime } from "../runtime/select.ts";
import { show } from "../show.ts";
import {
  checkAssignments,
  checkGroup,
  checkGroupId,
  checkOffsets,
  checkPartition,
  checkPartitions,
  checkPosition,
  checkTopic,
} from "./arguments.ts";
import { readChunk } from "./batch_decoder.ts";
import { Cursor } from "./cursor.ts";
import { Fetcher, keyOf } from "./fetcher.ts";
import { type ReaderOptions, type ResolvedReaderOptions, resolveReaderOptions } from "./options.ts";
import type { Assignment, Position, ReadBatch, ReadRecord, TopicPartition, TopicPartitionOffset } from "./record.ts";

/** @internal What the group of a reader works with. */
export interface ReaderInner {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly options: ResolvedReaderOptions;
  readonly cursors: ReadonlyMap<string, Cursor>;
  readonly outstanding: Outstanding;
  /** Aborted when the reader is closed. */
  readonly closing: AbortSignal;
  /** Topics that metadata is wanted of, read or not. */
  readonly topics: Set<string>;
  /** Called after each refresh of metadata. */
  onMetadata: () => void;
  /** What iterations throw when there is nothing to hand out. */
  failure: Error | undefined;
  /** Reads a partition; nothing of it is handed out while it is held. */
  add(partition: TopicPartition, start: Position): void;
  /** Reads a partition no longer. */
  remove(partition: TopicPartition): void;
  /** Tells that something can't go on at the moment, and why; null: that it does. */
  tell(who: object, trouble: KafkaError | null): void;
  /** Iterates; `begin` is called when the first record is asked for. */
  records(begin?: () => void): AsyncGenerator<ReadRecord, void, undefined>;
  /** {@link records}, batch by batch. */
  batches(begin?: () => void): AsyncGenerator<ReadBatch, void, undefined>;
  /** Resolves when something has changed: records, metadata, an iteration that has let go of a partition. */
  nextEvent(): Promise<void>;
  /** Something has changed. */
  wake(): void;
}

/** One walk through what a reader hands out. */
interface Iteration {
  readonly begin: () => void;
  /** The caller has ended it. */
  isOver: boolean;
}

/** @internal The inside of a reader. */
export let innerOf: (reader: Reader) => ReaderInner;

const MAX_RESPONSE_SIZE = 1 << 30;
/** From this version on OffsetFetch asks for several groups at once, and from 10 on for topics by id. */
const OFFSET_FETCH_WITH_GROUPS = 8;
const LAST_OFFSET_FETCH_WITH_NAMES = 9;
const LAST_OFFSET_COMMIT_WITH_NAMES = 9;
const COORDINATOR_ERRORS: readonly number[] = [15, 16];
const NO_OFFSET = -1n;
const HAS_MEMBERS = "the group has members, and takes offsets of them only: pass what groupMetadata() of one returns";

/**
 * Reads records of Kafka topics.
 *
 * A reader fetches ahead while its caller works, up to `maxBufferedBytes`, and goes on through elections, restarts and
 * truncated logs. It has no group of its own: `committed()` and `commit()` read and write the offsets of any group.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { Reader } from "@sluice/kafka/reader";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
 * const options = { brokers: cluster.bootstrap, connect: cluster.sockets };
 * await using producer = new Producer(options);
 * await producer.send({ topic: "orders", value: "hello" });
 *
 * await using reader = new Reader(options);
 * reader.assign([{ topic: "orders", partition: 0, start: "beginning" }]);
 * for await (const { offset, value } of reader) {
 *   console.assert(offset === 0n && new TextDecoder().decode(value!) === "hello");
 *   break;
 * }
 * ```
 */
export class Reader implements AsyncIterable<ReadRecord> {
  static {
    innerOf = (reader) => reader.#inner;
  }

  readonly #runtime: Runtime;
  readonly #options: ResolvedReaderOptions;
  readonly #cluster: Cluster;
  readonly #fetcher: Fetcher;
  /** That one, and those of calls that look up offsets. */
  readonly #fetchers = new Set<Fetcher>();
  readonly #backoff: Backoff;
  readonly #coordinators = new Map<string, Coordinator>();
  readonly #closing = new AbortController();
  /** An iteration, or a call, that waits keeps the process alive; a reader that nobody reads from doesn't. */
  readonly #outstanding: Outstanding;
  /** Those who wait for something to hand out. */
  #waiting: (() => void)[] = [];
  /** Chunks that were handed out. */
  #turns = 0;
  readonly #inner: ReaderInner;

  /**
   * Makes a reader; no connection is opened yet.
   *
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(options: ReaderOptions, runtime?: Runtime) {
    this.#options = resolveReaderOptions(options);
    const given = runtime ??
      (this.#options.connect === undefined ? selectRuntime() : systemRuntime(this.#options.connect));
    this.#runtime = detached(given);
    this.#outstanding = new Outstanding(given);
    const { retryBackoffMs, retryBackoffMaxMs } = this.#options;
    this.#backoff = new Backoff(retryBackoffMs, retryBackoffMaxMs, () => this.#runtime.random());
    this.#cluster = new Cluster(this.#runtime, {
      ...this.#options,
      connectionMaxIdleMs: 540_000,
      reconnectBackoffMs: 50,
      reconnectBackoffMaxMs: 1_000,
      metadataMaxIdleMs: 300_000,
      allowAutoTopicCreation: false,
      maxResponseSize: MAX_RESPONSE_SIZE,
    }, {
      onMetadata: () => {
        for (const fetcher of this.#fetchers) fetcher.wake();
        this.#wakeAll();
        this.#inner.onMetadata();
      },
      wantsMetadata: () => [...this.#fetchers].some(({ wantsMetadata }) => wantsMetadata),
      usesTopic: (name) =>
        this.#inner.topics.has(name) || [...this.#fetcher.cursors.values()].some(({ topic }) => topic === name),
    });
    this.#fetcher = this.#newFetcher();
    this.#inner = {
      runtime: this.#runtime,
      cluster: this.#cluster,
      options: this.#options,
      cursors: this.#fetcher.cursors,
      outstanding: this.#outstanding,
      closing: this.#closing.signal,
      topics: new Set(),
      onMetadata: () => {},
      failure: undefined,
      add: (partition, start) => {
        const cursor = this.#newCursor({ ...partition, start });
        cursor.held = true;
        this.#fetcher.add(cursor);
      },
      remove: (partition) => {
        const cursor = this.#fetcher.cursors.get(keyOf(partition));
        if (cursor !== undefined) this.#fetcher.remove(cursor);
      },
      tell: (who, trouble) => {
        if (trouble === null) this.#fetcher.relieve(who);
        else this.#fetcher.trouble(who, trouble);
      },
      records: (begin = () => {}) => this.#iterate(begin, (call) => this.#records(call)),
      batches: (begin = () => {}) => this.#iterate(begin, (call) => this.#batches(call)),
      nextEvent: () => this.#nextEvent(),
      wake: () => this.#wakeAll(),
    };
  }

  /** The partitions that are read, in no particular order. */
  get assignment(): TopicPartition[] {
    return [...this.#fetcher.cursors.values()].map(({ topic, partition }) => ({ topic, partition }));
  }

  /**
   * Reads these partitions and no others from now on. Those that are read already go on where they are, unless they
   * have a `start`.
   */
  assign(partitions: Iterable<Assignment>): void {
    this.#refuseIfClosed();
    const wanted = new Map(checkAssignments(partitions).map((assignment) => [keyOf(assignment), assignment]));
    for (const [key, cursor] of [...this.#fetcher.cursors]) if (!wanted.has(key)) this.#fetcher.remove(cursor);
    for (const [key, assignment] of wanted) {
      const cursor = this.#fetcher.cursors.get(key);
      if (cursor === undefined) this.#fetcher.add(this.#newCursor(assignment));
      else if (assignment.start !== undefined) this.seek(cursor, assignment.start);
    }
  }

  /** The number of partitions of a topic. Waits for metadata up to `maxBlockMs`. */
  partitionsOf(topic: string): Promise<number> {
    return this.#outstanding.during(this.#partitionsOf(topic));
  }

  async #partitionsOf(
    topic: string,
    deadlineMs: number = this.#runtime.now() + this.#options.maxBlockMs,
  ): Promise<number> {
    this.#refuseIfClosed();
    checkTopic(topic);
    const metadata = this.#cluster.topic(topic) ?? this.#cluster.use(topic);
    while (!isUsable(metadata)) {
      const error = await this.#until(deadlineMs, this.#cluster.requestUpdate());
      this.#refuseIfClosed();
      if (isUsable(metadata)) break;
      const { errorCode } = metadata;
      // When time is up before a refresh has ended, the one before it tells what is wrong.
      const reason = error ?? (errorCode === 0 ? this.#cluster.trouble : brokerError(errorCode, { topic }));
      if (reason !== undefined && !reason.retriable && !errorOf(errorCode).retriable) throw reason;
      if (this.#runtime.now() >= deadlineMs) {
        const why = reason?.message ?? "No broker knows it.";
        throw new TimeoutError(`Looking up topic ${show(topic)} took longer than maxBlockMs. ${why}`, {
          topic,
          cause: reason,
        });
      }
    }
    return metadata.partitions.length;
  }

  /** Goes to another place of a partition. What was fetched of it and not handed out is dropped. */
  seek(partition: TopicPartition, position: Position): void {
    const cursor = this.#cursorOf(partition);
    const start = checkPosition(position);
    this.#fetcher.drop(cursor);
    cursor.jump(start);
    this.#fetcher.wake();
  }

  /** Hands out nothing of these partitions until {@link resume}. */
  pause(partitions: Iterable<TopicPartition>): void {
    for (const cursor of this.#cursorsOf(partitions)) cursor.paused = true;
  }

  /** Goes on with partitions that were paused. */
  resume(partitions: Iterable<TopicPartition>): void {
    for (const cursor of this.#cursorsOf(partitions)) cursor.paused = false;
    this.#fetcher.wake();
    this.#wakeAll();
  }

  /** The offset behind everything that was handed out of a partition; undefined before its beginning was looked up. */
  position(partition: TopicPartition): bigint | undefined {
    return this.#cursorOf(partition).position;
  }

  /**
   * Record by record, see {@link batches}. The position is behind a record as soon as it is handed out. `return()` of the
   * iterator ends a `next()` that waits.
   */
  [Symbol.asyncIterator](): AsyncGenerator<ReadRecord, void, undefined> {
    return this.#inner.records();
  }

  async *#records(call: Iteration): AsyncGenerator<ReadRecord, void, undefined> {
    for await (const [cursor, batch] of this.#handOut(call)) {
      const { generation } = cursor;
      const isWanted = (): boolean => cursor.generation === generation && !cursor.isQuiet;
      let left = batch.records.length;
      for (const record of batch.records) {
        // The caller has gone elsewhere, has paused the partition, or reads it no longer.
        if (!isWanted()) break;
        left -= 1;
        cursor.position = record.offset + 1n;
        yield record;
      }
      if (left === 0 && cursor.generation === generation) cursor.position = batch.nextOffset;
    }
  }

  /**
   * Batch by batch, as they stand in the log, the partitions in turn. Ends when the reader is closed. Throws what a
   * partition can't go on after (authorization, a missing offset with `onMissingOffset: "fail"`, a damaged batch); after
   * a {@link seek} of that partition a new iteration goes on.
   *
   * The position is behind a batch as soon as it is handed out.
   */
  batches(): AsyncGenerator<ReadBatch, void, undefined> {
    return this.#inner.batches();
  }

  async *#batches(call: Iteration): AsyncGenerator<ReadBatch, void, undefined> {
    for await (const [cursor, batch] of this.#handOut(call)) {
      cursor.position = batch.nextOffset;
      yield batch;
    }
  }

  /** The offset of the first record at or behind a place, for each of the partitions. */
  offsetsOf(partitions: Iterable<TopicPartition>, position: Position): Promise<TopicPartitionOffset[]> {
    return this.#outstanding.during(this.#offsetsOf(partitions, position));
  }

  async #offsetsOf(partitions: Iterable<TopicPartition>, position: Position): Promise<TopicPartitionOffset[]> {
    this.#refuseIfClosed();
    const wanted = checkPartitions(partitions);
    const start = checkPosition(position);
    // One for each, however often it is named.
    const byKey = new Map(
      wanted.map((each) => [keyOf(each), new Cursor(each.topic, each.partition, start, 1, true)] as const),
    );
    const probes = [...byKey.values()];
    // Looked up by a fetcher of its own, whose partitions are never read.
    const fetcher = this.#newFetcher();
    const { maxBlockMs } = this.#options;
    const deadlineMs = this.#runtime.now() + maxBlockMs;
    const timer = this.#runtime.setTimer(() => this.#wakeAll(), maxBlockMs);
    try {
      for (const probe of probes) {
        await this.#partitionsOf(probe.topic, deadlineMs);
        fetcher.add(probe);
      }
      while (probes.some(({ position }) => position === undefined)) {
        const failed = probes.find(({ error }) => error !== undefined);
        if (failed !== undefined) throw failed.error;
        this.#refuseIfClosed();
        if (this.#runtime.now() >= deadlineMs) {
          const late = probes.find(({ position }) => position === undefined)!;
          throw this.#lateLookup(late, fetcher.troubleOf(late));
        }
        await this.#nextEvent();
      }
    } finally {
      timer.cancel();
      fetcher.close();
      this.#fetchers.delete(fetcher);
    }
    return wanted.map((each) => ({ ...each, offset: byKey.get(keyOf(each))!.position! }));
  }

  /** Why an offset wasn't found in time, as far as that is known. */
  #lateLookup({ topic, partition }: Cursor, trouble: KafkaError | undefined): TimeoutError {
    const count = this.#cluster.topic(topic)?.partitions.length ?? 0;
    const why = partition >= count
      ? `The topic has ${count}, counted from 0.`
      : trouble?.message ?? "No broker answered.";
    const message = `Looking up an offset of topic ${show(topic)} partition ${partition} took longer than maxBlockMs. `;
    return new TimeoutError(message + why, { topic, partition, cause: trouble });
  }

  /** The offsets that a group has committed; a partition without one is left out. Rejects after `maxBlockMs`. */
  async committed(groupId: string, partitions: Iterable<TopicPartition>): Promise<TopicPartitionOffset[]> {
    checkGroupId(groupId);
    const wanted = checkPartitions(partitions);
    const topics = byTopic(wanted, ({ partition }) => partition)
      .map(([name, partitionIndexes]) => ({ name, partitionIndexes }));
    const offsets = await this.#withCoordinator(groupId, "committed", async (coordinator) => {
      const connection = await coordinator.connection();
      const version = connection.version(OffsetFetch, LAST_OFFSET_FETCH_WITH_NAMES);
      const hasGroups = version >= OFFSET_FETCH_WITH_GROUPS;
      // What a transaction has committed and not ended yet may still be taken back (KIP-447).
      const body = {
        ...(hasGroups ? { groups: [{ groupId, topics }] } : { groupId, topics }),
        requireStable: version >= 7,
      };
      const answer = await connection.request(OffsetFetch, version, body as never, this.#options.requestTimeoutMs);
      const group = hasGroups ? answer.groups.find((each) => each.groupId === groupId) : answer;
      if (group === undefined) {
        throw new KafkaError("OffsetFetch left out the group that it was asked for.", { retriable: true });
      }
      throwError(group.errorCode, "OffsetFetch");
      const answers = new Map(
        group.topics.flatMap(({ name, partitions }) =>
          partitions.map((each) => [keyOf({ topic: name, partition: each.partitionIndex }), each] as const)
        ),
      );
      return wanted.map(({ topic, partition }) => {
        const found = answers.get(keyOf({ topic, partition }));
        // Taken for a partition without an offset, it would be read from elsewhere.
        if (found === undefined) throw leftOut("OffsetFetch", topic, partition);
        throwError(found.errorCode, "OffsetFetch", topic, partition);
        return { topic, partition, offset: found.committedOffset };
      });
    });
    return offsets.filter(({ offset }) => offset > NO_OFFSET);
  }

  /**
   * Commits offsets of a group, outside of any transaction: those given, or the positions of all partitions that are
   * read. With the metadata of a membership only while that is valid. Rejects after `maxBlockMs`.
   */
  async commit(group: string | GroupMetadata, offsets?: Iterable<TopicPartitionOffset>): Promise<void> {
    const { groupId, memberId = "", generationId = -1, groupInstanceId = null } = checkGroup(group);
    const wanted = offsets === undefined ? positionsOf(this.#fetcher.cursors) : checkOffsets(offsets);
    if (wanted.length === 0) return;
    await this.#withCoordinator(groupId, "commit", async (coordinator) => {
      const connection = await coordinator.connection();
      const version = connection.version(OffsetCommit, LAST_OFFSET_COMMIT_WITH_NAMES);
      const answer = await connection.request(OffsetCommit, version, {
        groupId,
        memberId,
        generationIdOrMemberEpoch: generationId,
        groupInstanceId: version >= 7 ? groupInstanceId : null,
        topics: byTopic(wanted, ({ partition, offset }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          committedMetadata: "",
        })).map(([name, list]) => ({ name, partitions: list })),
      } as never, this.#options.requestTimeoutMs);
      const answers = new Map(
        answer.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ partitionIndex, errorCode }) =>
            [keyOf({ topic: name, partition: partitionIndex }), errorCode] as const
          )
        ),
      );
      for (const { topic, partition } of wanted) {
        const errorCode = answers.get(keyOf({ topic, partition }));
        if (errorCode === undefined) throw leftOut("OffsetCommit", topic, partition);
        // Nobody has asked as a member of the group.
        const detail = errorCode === UNKNOWN_MEMBER_ID && memberId === "" ? HAS_MEMBERS : undefined;
        if (errorCode !== 0) throw brokerError(errorCode, { api: "OffsetCommit", topic, partition, detail });
      }
    });
  }

  /** Ends iterations and calls, and closes every connection. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#fetcher.close();
      for (const coordinator of this.#coordinators.values()) coordinator.forget();
      this.#cluster.close();
      this.#wakeAll();
      this.#outstanding.close();
    }
    return Promise.resolve();
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * An iteration that its caller can end at any time: a generator's own `return()` waits until `next()` has its record,
   * and so would a stream that is made of it when it is destroyed.
   */
  #iterate<T>(
    begin: () => void,
    run: (call: Iteration) => AsyncGenerator<T, void, undefined>,
  ): AsyncGenerator<T, void, undefined> {
    const call: Iteration = { begin, isOver: false };
    const records = run(call);
    const ended = <A extends unknown[], R>(end: (...args: A) => R) => (...args: A): R => {
      call.isOver = true;
      this.#wakeAll();
      return end.apply(records, args);
    };
    return Object.assign(records, { return: ended(records.return), throw: ended(records.throw) });
  }

  async *#handOut(call: Iteration): AsyncGenerator<[Cursor, ReadBatch], void, undefined> {
    call.begin();
    while (!this.#closing.signal.aborted && !call.isOver) {
      const cursor = this.#nextCursor();
      if (cursor === undefined) {
        if (this.#inner.failure !== undefined) throw this.#inner.failure;
        await this.#outstanding.during(this.#nextEvent());
        continue;
      }
      if (cursor.error !== undefined && cursor.chunks.length === 0) throw cursor.error;
      cursor.turn = ++this.#turns;
      const holder = cursor.holder = {};
      cursor.holders += 1;
      try {
        yield* this.#handOutChunk(cursor);
      } finally {
        cursor.holders -= 1;
        if (cursor.holder === holder) cursor.holder = undefined;
        this.#wakeAll();
      }
    }
  }

  /** The first chunk of a cursor, as far as it is wanted: what is left of it is begun with the next time. */
  async *#handOutChunk(cursor: Cursor): AsyncGenerator<[Cursor, ReadBatch], void, undefined> {
    const { isolation, controlRecords, maxDecompressedBytes } = this.#options;
    const options = { readCommitted: isolation === "read_committed", controlRecords, maxDecompressedBytes };
    const { generation } = cursor;
    const chunk = cursor.chunks[0]!;
    const isWanted = (): boolean =>
      cursor.generation === generation && cursor.chunks[0] === chunk && !this.#closing.signal.aborted;
    try {
      for await (const batch of readChunk(cursor, chunk, options)) {
        if (!isWanted() || cursor.isQuiet) return;
        cursor.corruptions = 0;
        yield [cursor, batch];
        if (!isWanted() || cursor.isQuiet) return;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof CompressionError)) throw error;
      if (isWanted()) this.#fetcher.damaged(cursor, error);
      return;
    }
    if (isWanted()) this.#fetcher.taken(cursor);
  }

  /** Of the partitions that have something to hand out, or to tell, the one whose last turn is longest ago. */
  #nextCursor(): Cursor | undefined {
    let next: Cursor | undefined;
    for (const cursor of this.#fetcher.cursors.values()) {
      const { chunks, error, holder, isQuiet, turn } = cursor;
      if (holder !== undefined || isQuiet || (chunks.length === 0 && error === undefined)) continue;
      if (next === undefined || turn < next.turn) next = cursor;
    }
    return next;
  }

  #newFetcher(): Fetcher {
    const fetcher = new Fetcher(this.#runtime, this.#cluster, this.#options, { onArrival: () => this.#wakeAll() });
    this.#fetchers.add(fetcher);
    return fetcher;
  }

  #newCursor({ topic, partition, start }: Assignment): Cursor {
    const { onMissingOffset, maxPartitionBytes } = this.#options;
    const fallback = onMissingOffset === "fail" ? "beginning" : onMissingOffset;
    return new Cursor(topic, partition, start ?? fallback, maxPartitionBytes);
  }

  #cursorOf(partition: TopicPartition): Cursor {
    const { topic, partition: index } = checkPartition(partition);
    const cursor = this.#fetcher.cursors.get(keyOf({ topic, partition: index }));
    if (cursor !== undefined) return cursor;
    throw new ConfigError("partition", `Assign topic ${show(topic)} partition ${index} first: it isn't read.`);
  }

  /** All of them, or none when one isn't read. */
  #cursorsOf(partitions: Iterable<TopicPartition>): Cursor[] {
    return checkPartitions(partitions).map((partition) => this.#cursorOf(partition));
  }

  #withCoordinator<T>(groupId: string, call: string, ask: (coordinator: Coordinator) => Promise<T>): Promise<T> {
    return this.#outstanding.during(this.#askCoordinator(groupId, call, ask));
  }

  async #askCoordinator<T>(groupId: string, call: string, ask: (coordinator: Coordinator) => Promise<T>): Promise<T> {
    this.#refuseIfClosed();
    const { requestTimeoutMs, maxBlockMs } = this.#options;
    let coordinator = this.#coordinators.get(groupId);
    if (coordinator === undefined) {
      coordinator = new Coordinator(this.#cluster, "group", groupId, requestTimeoutMs);
      this.#coordinators.set(groupId, coordinator);
    }
    const deadlineMs = this.#runtime.now() + maxBlockMs;
    for (let attempt = 1;; attempt++) {
      try {
        const answer = await this.#until(deadlineMs, ask(coordinator).then((value) => ({ value })));
        if (answer !== undefined) return answer.value;
        coordinator.forget();
        throw new KafkaError("The coordinator didn't answer.", { code: "REQUEST_TIMED_OUT", retriable: true });
      } catch (error) {
        if (this.#closing.signal.aborted) throw closedError();
        if (!(error instanceof KafkaError) || !error.retriable) throw error;
        const { errorCode } = error;
        if (errorCode === undefined || COORDINATOR_ERRORS.includes(errorCode)) coordinator.forget();
        const delayMs = this.#backoff.delayMs(attempt);
        if (this.#runtime.now() + delayMs >= deadlineMs) {
          const message = `${call}() for group ${show(groupId)} took longer than maxBlockMs. ${error.message}`;
          throw new TimeoutError(message, { cause: error });
        }
        await sleep(this.#runtime, delayMs, this.#closing.signal);
      }
    }
  }

  /** Waits for a promise until the deadline; undefined when that has passed. */
  async #until<T>(deadlineMs: number, promise: Promise<T>): Promise<T | undefined> {
    const ended = new AbortController();
    promise.catch(() => {});
    try {
      const late = sleep(this.#runtime, deadlineMs - this.#runtime.now(), ended.signal).then(() => undefined);
      return await Promise.race([promise, late]);
    } finally {
      ended.abort();
    }
  }

  /** Resolves when there may be something to hand out, when metadata was refreshed, and when the reader is closed. */
  #nextEvent(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wakeAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw closedError();
  }
}

function closedError(): KafkaError {
  return new KafkaError("The reader was closed.", { code: "READER_CLOSED" });
}

function leftOut(api: string, topic: string, partition: number): KafkaError {
  const message = `${api} left out topic ${show(topic)} partition ${partition}, which it was asked for.`;
  return new KafkaError(message, { code: "PROTOCOL", retriable: true, topic, partition });
}

function throwError(errorCode: number, api: string, topic?: string, partition?: number): void {
  if (errorCode !== 0) throw brokerError(errorCode, { api, topic, partition });
}

/** @internal Where all partitions stand whose beginning was looked up. */
export function positionsOf(cursors: ReadonlyMap<string, Cursor>): TopicPartitionOffset[] {
  return [...cursors.values()].flatMap(({ topic, partition, position: offset }) =>
    offset === undefined ? [] : [{ topic, partition, offset }]
  );
}
