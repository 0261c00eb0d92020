/**
 * Reads partitions: from where the caller says, as an async iterator, at the caller's pace.
 *
 * @module
 */

import { Cluster } from "../cluster/cluster.ts";
import { CONNECTION_NUMBERS, defaultsOf } from "../cluster/connection_numbers.ts";
import type { GroupMetadata } from "../cluster/group_metadata.ts";
import { nextTurn } from "../cluster/sleep.ts";
import { CompressionError, ConfigError, type KafkaError, ProtocolError } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { detached } from "../runtime/detached.ts";
import { Outstanding } from "../runtime/outstanding.ts";
import { selectRuntime, systemRuntime } from "../runtime/select.ts";
import { show } from "../show.ts";
import type { SendAsked } from "./asked_offsets.ts";
import {
  checkAssignments,
  checkGroup,
  checkGroupId,
  checkOffsets,
  checkPartition,
  checkPartitions,
  checkPosition,
} from "./arguments.ts";
import { readChunk } from "./batch_decoder.ts";
import { Changes } from "./changes.ts";
import { Cursor } from "./cursor.ts";
import { Fetcher } from "./fetcher.ts";
import { GroupOffsets } from "./group_offsets.ts";
import { OffsetLookup } from "./offset_lookup.ts";
import { type ReaderOptions, type ResolvedReaderOptions, resolveReaderOptions } from "./options.ts";
import { closedError } from "./reader_errors.ts";
import {
  type Assignment,
  keyOf,
  type Position,
  type ReadBatch,
  type ReadRecord,
  type TopicPartition,
  type TopicPartitionOffset,
} from "./record.ts";
import { Troubles } from "./troubles.ts";

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
  add(assignment: Assignment): void;
  /** Reads a partition no longer. */
  remove(partition: TopicPartition): void;
  /** Takes offsets of a group for as long as `commit` takes, which commits them. */
  ask(
    groupId: string,
    offsets: readonly TopicPartitionOffset[],
    commit: (send: SendAsked) => Promise<void>,
  ): Promise<void>;
  /** Commits what was asked for. */
  commit(member: GroupMetadata, send: SendAsked): Promise<void>;
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

/** A batch, the cursor that it belongs to, and the generation of that in which it was read. */
type HandedOut = readonly [Cursor, ReadBatch, number];

/** @internal The inside of a reader. */
export let innerOf: (reader: Reader) => ReaderInner;

const MAX_RESPONSE_SIZE = 1 << 30;
/** A topic that nothing was read of for so long is asked for no more. */
const METADATA_MAX_IDLE_MS = 300_000;

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
  readonly #lookup: OffsetLookup;
  readonly #groupOffsets: GroupOffsets;
  readonly #changes = new Changes();
  /** What can't go on at the moment: partitions that are read or looked up, and what the group does. */
  readonly #troubles: Troubles;
  readonly #closing = new AbortController();
  /** An iteration, or a call, that waits keeps the process alive; a reader that nobody reads from doesn't. */
  readonly #outstanding: Outstanding;
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
    this.#cluster = new Cluster(this.#runtime, {
      ...this.#options,
      ...defaultsOf(CONNECTION_NUMBERS),
      metadataMaxIdleMs: METADATA_MAX_IDLE_MS,
      allowAutoTopicCreation: false,
      maxResponseSize: MAX_RESPONSE_SIZE,
    }, {
      onMetadata: () => {
        this.#fetcher.wake();
        this.#lookup.wake();
        this.#inner.onMetadata();
      },
      wantsMetadata: () => this.#fetcher.wantsMetadata || this.#lookup.wantsMetadata,
      usesTopic: (name) =>
        this.#inner.topics.has(name) || [...this.#fetcher.cursors.values()].some(({ topic }) => topic === name),
    });
    const own = this.#runtime;
    const closing = this.#closing.signal;
    const troubles = this.#troubles = new Troubles(own, this.#options);
    const shared = { runtime: own, cluster: this.#cluster, options: this.#options, changes: this.#changes, troubles };
    const parts = { ...shared, closing };
    this.#fetcher = new Fetcher(own, this.#cluster, this.#options, this.#changes, troubles);
    this.#lookup = new OffsetLookup(parts);
    this.#groupOffsets = new GroupOffsets(parts);
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
      add: (assignment) => {
        const cursor = this.#newCursor(assignment);
        cursor.held = true;
        this.#fetcher.add(cursor);
      },
      remove: (partition) => {
        const cursor = this.#fetcher.cursors.get(keyOf(partition));
        if (cursor !== undefined) this.#fetcher.remove(cursor);
      },
      ask: (groupId, offsets, commit) => this.#groupOffsets.ask(groupId, offsets, commit),
      commit: (member, send) => this.#outstanding.during(this.#groupOffsets.commit(member, send)),
      tell: (who, trouble) => {
        if (trouble === null) troubles.end(who);
        else troubles.begin(who, trouble);
      },
      records: (begin = () => {}) => this.#iterate(begin, (call) => this.#records(call)),
      batches: (begin = () => {}) => this.#iterate(begin, (call) => this.#batches(call)),
      nextEvent: () => this.#changes.next(),
      wake: () => this.#changes.tell(),
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
      else if (assignment.start !== undefined) {
        this.seek(cursor, assignment.start);
        cursor.assume(assignment);
      }
    }
  }

  /** The number of partitions of a topic. Waits for metadata up to `maxBlockMs`. */
  partitionsOf(topic: string): Promise<number> {
    return this.#outstanding.during(this.#lookup.partitionsOf(topic));
  }

  /** Goes to another place of a partition. What was fetched of it and not handed out is dropped. */
  seek(partition: TopicPartition, position: Position): void {
    const cursor = this.#cursorOf(partition);
    const start = checkPosition(position);
    this.#fetcher.drop(cursor);
    cursor.jump(start);
    // There is nothing to look up, and a commit may come before the next fetch.
    if (typeof start === "bigint") cursor.startAt(start);
    this.#fetcher.wake();
  }

  /** Hands out nothing of these partitions until {@link resume}. */
  pause(partitions: Iterable<TopicPartition>): void {
    for (const cursor of this.#cursorsOf(partitions)) this.#fetcher.pause(cursor);
  }

  /** Goes on with partitions that were paused. */
  resume(partitions: Iterable<TopicPartition>): void {
    for (const cursor of this.#cursorsOf(partitions)) cursor.paused = false;
    this.#fetcher.wake();
    this.#changes.tell();
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
    for await (const [cursor, batch, generation] of this.#handOut(call)) {
      const isWanted = (): boolean =>
        cursor.generation === generation && !cursor.isQuiet && !this.#closing.signal.aborted;
      let left = batch.records.length;
      for (const record of batch.records) {
        // The caller has gone elsewhere, has paused the partition, reads it no longer, or nothing any more.
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
    for await (const [cursor, batch, generation] of this.#handOut(call)) {
      // Between two generators there are turns in which the caller may go elsewhere.
      if (cursor.generation !== generation || cursor.isQuiet) continue;
      cursor.position = batch.nextOffset;
      yield batch;
    }
  }

  /** The offset of the first record at or behind a place, for each of the partitions. */
  offsetsOf(partitions: Iterable<TopicPartition>, position: Position): Promise<TopicPartitionOffset[]> {
    return this.#outstanding.during(this.#lookup.offsetsOf(partitions, position));
  }

  /** The offsets that a group has committed; a partition without one is left out. Rejects after `maxBlockMs`. */
  async committed(groupId: string, partitions: Iterable<TopicPartition>): Promise<TopicPartitionOffset[]> {
    checkGroupId(groupId);
    const wanted = checkPartitions(partitions);
    return await this.#outstanding.during(this.#groupOffsets.committed(groupId, wanted));
  }

  /**
   * Commits offsets of a group, outside of any transaction: those given, or the positions of all partitions that are
   * read. With the metadata of a membership only while that is valid. Rejects after `maxBlockMs`, and with
   * `UNKNOWN_TOPIC_OR_PARTITION` for a partition that isn't there: all others are committed then.
   */
  async commit(group: string | GroupMetadata, offsets?: Iterable<TopicPartitionOffset>): Promise<void> {
    const member = checkGroup(group);
    const { cursors } = this.#fetcher;
    const wanted = offsets === undefined ? positionsOf(cursors) : withEpochs(checkOffsets(offsets), cursors);
    if (wanted.length === 0) return;
    await this.#inner.ask(member.groupId, wanted, (send) => this.#inner.commit(member, send));
  }

  /** Ends iterations and calls, and closes every connection. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#troubles.close();
      this.#fetcher.close();
      this.#groupOffsets.close();
      this.#cluster.close();
      this.#changes.tell();
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
      this.#changes.tell();
      return end.apply(records, args);
    };
    return Object.assign(records, { return: ended(records.return), throw: ended(records.throw) });
  }

  async *#handOut(call: Iteration): AsyncGenerator<HandedOut, void, undefined> {
    call.begin();
    if (this.#closing.signal.aborted) await nextTurn(this.#runtime);
    while (!this.#closing.signal.aborted && !call.isOver) {
      const cursor = this.#nextCursor();
      if (cursor === undefined) {
        if (this.#inner.failure !== undefined) await this.#refuse(this.#inner.failure);
        await this.#outstanding.during(this.#changes.next());
        continue;
      }
      if (cursor.error !== undefined && cursor.chunks.length === 0) await this.#refuse(cursor.error);
      cursor.turn = ++this.#turns;
      const holder = cursor.holder = {};
      cursor.holders += 1;
      try {
        yield* this.#handOutChunk(cursor);
      } finally {
        cursor.holders -= 1;
        if (cursor.holder === holder) cursor.holder = undefined;
        this.#changes.tell();
      }
    }
  }

  /** The first chunk of a cursor, as far as it is wanted: what is left of it is begun with the next time. */
  async *#handOutChunk(cursor: Cursor): AsyncGenerator<HandedOut, void, undefined> {
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
        yield [cursor, batch, generation];
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

  #newCursor(assignment: Assignment): Cursor {
    const { topic, partition, start } = assignment;
    const { onMissingOffset, maxPartitionBytes } = this.#options;
    const fallback = onMissingOffset === "fail" ? "beginning" : onMissingOffset;
    const cursor = new Cursor(topic, partition, start ?? fallback, maxPartitionBytes);
    cursor.assume(assignment);
    return cursor;
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

  /** Tells why there is nothing to hand out, in a turn of its own: the caller may ask again at once. */
  async #refuse(reason: Error): Promise<never> {
    await nextTurn(this.#runtime);
    throw reason;
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw closedError();
  }
}

/** @internal Where all partitions stand whose beginning was looked up. */
export function positionsOf(cursors: ReadonlyMap<string, Cursor>): TopicPartitionOffset[] {
  const places = [...cursors.values()].flatMap(({ topic, partition, position: offset }) =>
    offset === undefined ? [] : [{ topic, partition, offset }]
  );
  return withEpochs(places, cursors);
}

/** @internal Offsets to commit, with the epochs in which was appended what was read before them. */
export function withEpochs(
  places: readonly TopicPartitionOffset[],
  cursors: ReadonlyMap<string, Cursor>,
): TopicPartitionOffset[] {
  return places.map((place) => {
    const epoch = place.leaderEpoch ?? cursors.get(keyOf(place))?.epochBefore(place.offset) ?? -1;
    return epoch < 0 ? place : { ...place, leaderEpoch: epoch };
  });
}
