/**
 * The waiting room in front of the batches: sends wait there for memory, in one line, and then for metadata, topic by
 * topic.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import { endsWaiting } from "../../cluster/advice.ts";
import { KafkaError } from "../../errors.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { copyOfBytes } from "../../protocol/byte_arrays.ts";
import { callersContext } from "../../runtime/async_context.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { show } from "../../show.ts";
import { AbortableSend } from "./abortable_send.ts";
import type { Agenda, Entry } from "../accumulator/agenda.ts";
import type { Barrier } from "../accumulator/barrier.ts";
import type { Batch, Resolve } from "../accumulator/batch.ts";
import { earlierFailed } from "../sender/batch_errors.ts";
import type { BufferMemory, MemoryWaiter } from "../accumulator/buffer_memory.ts";
import type { Explanation } from "../observe/diagnosis.ts";
import { keepBytes, type KeptRecord } from "../record/kept_record.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Partition } from "../accumulator/partition.ts";
import { bytesHeldBy, Chunk, copyOf, lateError, PendingRun, PendingSend, type Waiting } from "./waiting_send.ts";
import type { SendOptions } from "../record/record.ts";
import type { Topic } from "../accumulator/topic.ts";
import type { Moment, TurnClock } from "../accumulator/turn_clock.ts";

/** What the accumulator does for those who wait. */
export interface Admission {
  /** True when records of the topic can be routed. */
  isKnown(topic: Topic): boolean;
  /** The partition of a record; undefined if it asks for one that the topic isn't known to have. */
  choose(topic: Topic, wanted: number | undefined, record: KeptRecord, bytes: RecordBytes): number | undefined;
  /** Writes a record, for which so much memory is reserved, into a batch. */
  append(
    partition: Partition,
    bytes: RecordBytes,
    timestamp: number,
    sinceMs: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
    reservedBytes: number,
  ): Batch;
  /** Tells a record that wasn't taken why. */
  refuse(error: unknown, resolve: Resolve | undefined, callbacks: SendOptions | undefined): void;
  /** Goes to the end of the line for memory. */
  waitForMemory(waiter: MemoryWaiter): void;
  /** The partition has a batch that a flush wants. */
  onReady(partition: Partition): void;
  /** Why a record that has waited in vain was not served. */
  diagnose(topic: Topic, partition: number | undefined, inLine: boolean): Explanation;
}

/** Records that have waited equally long. */
export interface WaitingRecords {
  readonly topic: Topic;
  /** The partition that the caller chose. */
  readonly partition: number | undefined;
  readonly records: number;
  /** When they were handed over, on the monotonic clock. */
  readonly sinceMs: number;
  /** They wait for memory, and not yet for their topic. */
  readonly inLine: boolean;
}

/** A flush, and how many it still waits for of those who waited when it began. */
interface Flush {
  readonly barrier: Barrier;
  readonly lastOrdinal: number;
  left: number;
}

const UNKNOWN_TOPIC_OR_PARTITION = 3;
const INVALID_TOPIC = 17;
const TOPIC_AUTHORIZATION_FAILED = 29;

/** Sizes of the buffers of those in line. */
const MIN_CHUNK_BYTES = 16_384;
const MAX_CHUNK_BYTES = 1_048_576;
const NO_RECORD: KeptRecord = { key: null, value: null, headers: undefined };

/** All who wait. Nobody overtakes: who is first is late first, so one deadline on the agenda is enough. */
export class PendingSends implements Entry {
  /** Batches of the same moment were sent before. */
  readonly isLast = true;
  heapIndex = -1;
  dueMs = 0;

  readonly #options: ResolvedOptions;
  readonly #patienceMs: number;
  readonly #cluster: Cluster;
  readonly #memory: BufferMemory;
  readonly #agenda: Agenda;
  readonly #clock: TurnClock;
  readonly #metrics: Metrics;
  readonly #admission: Admission;
  readonly #keepsRecords: boolean;
  #inLine = 0;
  /** Those who have their memory, in the order of the calls: all of them came before those in line. */
  readonly #withMemory: Set<PendingSend> = new Set();
  /** Those of them who want a partition that isn't known to be there. */
  readonly #looking: Set<PendingSend> = new Set();
  #flushes: Flush[] = [];
  #lastOrdinal = 0;
  /** Whose end the next one in line may join. */
  #openRun: PendingRun | undefined;
  #chunk = new Chunk(0);

  /** An empty room; `keepsRecords` for a partitioner that wants to see them. */
  constructor(
    options: ResolvedOptions,
    cluster: Cluster,
    memory: BufferMemory,
    agenda: Agenda,
    clock: TurnClock,
    metrics: Metrics,
    keepsRecords: boolean,
    admission: Admission,
  ) {
    this.#options = options;
    this.#patienceMs = Math.min(options.maxBlockMs, options.deliveryTimeoutMs);
    this.#cluster = cluster;
    this.#memory = memory;
    this.#agenda = agenda;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#keepsRecords = keepsRecords;
    this.#admission = admission;
  }

  /** How many wait. */
  get size(): number {
    return this.#inLine + this.#withMemory.size;
  }

  /** The ordinal of whoever came last. */
  get lastOrdinal(): number {
    return this.#lastOrdinal;
  }

  /**
   * Lets a record wait, with a copy of its bytes: the caller may use his own again.
   *
   * @throws {BufferFullError} when nothing comes free, and too much waits already
   */
  add(
    topic: Topic,
    partition: number | undefined,
    timestamp: number | undefined,
    record: KeptRecord,
    bytes: RecordBytes,
    bytesWanted: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
  ): void {
    const kept = this.#keepsRecords ? { ...keepBytes(record), context: callersContext() } : undefined;
    const since = this.#clock.moment;
    if (this.#memory.has(bytesWanted)) {
      const ordinal = ++this.#lastOrdinal;
      const waiting = { partition, timestamp, record: kept, resolve, callbacks, ordinal };
      this.#memory.reserve(bytesWanted);
      this.#seekTopic(topic, since, waiting, bytes, bytesWanted);
      return;
    }
    const held = bytesHeldBy(bytes);
    const refusal = this.#memory.refusal(held);
    if (refusal !== undefined) throw refusal;
    const { headers, headersLength, keyLength, valueLength } = bytes;
    const isAbortable = callbacks instanceof AbortableSend;
    const isAlone = isAbortable || timestamp !== undefined || headers !== null || kept !== undefined;
    const ordinal = ++this.#lastOrdinal;
    const length = keyLength + valueLength;
    let run = this.#openRun;
    const isNew = isAlone || run === undefined || !run.takes(topic, since, length, this.#chunk);
    if (isNew) {
      if (length > this.#chunk.left) this.#chunk = new Chunk(Math.max(length, this.#chunkSize()));
      run = new PendingRun(topic, since, ordinal, this.#chunk, this.#onMemory);
      run.timestamp = timestamp;
      run.record = kept;
      run.headers = headers && copyOfBytes(headers, headersLength);
    }
    run!.add(bytes, partition, bytesWanted, resolve, callbacks);
    this.#openRun = isAlone ? undefined : run;
    this.#inLine += 1;
    this.#memory.hold(held);
    if (isAbortable) callbacks.pending = run;
    if (!isNew) return;
    this.#watch(since);
    this.#admission.waitForMemory(run!);
  }

  /** True when somebody wants that partition and doesn't know whether there is one. */
  isLookedFor(topic: Topic, partition: number): boolean {
    for (const other of this.#looking) if (other.topic === topic && other.waiting.partition === partition) return true;
    return false;
  }

  /** Lets those who look for a partition see fresh metadata: whoever asked for it first goes first. */
  onMetadata(): void {
    for (const send of this.#looking) {
      const { topic, waiting: { partition } } = send;
      if (this.#admission.isKnown(topic) && partition! < topic.metadata.partitions.length) this.#found(send);
    }
  }

  /** Who has waited since `beforeMs` or longer: those with memory one by one, those in line in their runs. */
  *waiting(beforeMs: number): Generator<WaitingRecords, void, undefined> {
    for (const { topic, since: { nowMs: sinceMs }, waiting: { partition } } of this.#withMemory) {
      if (sinceMs <= beforeMs) yield { topic, partition, records: 1, sinceMs, inLine: false };
    }
    if (this.#inLine === 0) return;
    for (const run of this.#memory.line()) {
      if (!(run instanceof PendingRun) || run.since.nowMs > beforeMs) continue;
      yield { topic: run.topic, partition: undefined, records: run.left, sinceMs: run.since.nowMs, inLine: true };
    }
  }

  /** Lets a barrier wait for all who wait now, and then for the batches that take them. */
  hold(barrier: Barrier): void {
    if (this.size === 0) return;
    barrier.add();
    this.#flushes.push({ barrier, lastOrdinal: this.#lastOrdinal, left: this.size });
  }

  /** Ends the waiting of a send, or of all records of a run, without success. */
  drop(waiter: PendingSend | PendingRun, error: KafkaError): void {
    if (waiter instanceof PendingRun) {
      if (this.#openRun === waiter) this.#openRun = undefined;
      while (waiter.left > 1) this.#dropFirst(waiter, error);
      if (waiter.gone) return;
      this.#dropFirst(waiter, error);
      return;
    }
    if (waiter.gone) return;
    this.#leave(waiter);
    this.#refuse(waiter.waiting, error);
    this.#memory.release(waiter.reservedBytes);
  }

  /** Ends the waiting of all. */
  dropAll(error: KafkaError): void {
    // One after the other: the memory that each gives back goes to the next in line, who may join the others.
    for (let send = this.#first(); send !== undefined; send = this.#first()) this.drop(send, error);
  }

  onDue(): void {
    // Not by the clock: what was sent before is told before, and it may be a batch that falls due between two of these.
    const { dueMs } = this;
    for (let send = this.#first(); send !== undefined; send = this.#first()) {
      const lateMs = send.since.nowMs + this.#patienceMs;
      if (lateMs > dueMs) return this.#agenda.set(this, lateMs);
      const wanted = send instanceof PendingRun ? undefined : send.waiting.partition;
      const explanation = this.#admission.diagnose(send.topic, wanted, send instanceof PendingRun);
      const error = lateError(send, this.#options, explanation);
      if (this.#options.gapless) send.topic.gap = { lastPending: this.#lastOrdinal, cause: error };
      this.drop(send, error);
    }
  }

  /** Memory was reserved for the first of a run. */
  readonly #onMemory = (run: PendingRun): void => {
    const { topic, since, bytesWanted } = run;
    const [waiting, bytes] = run.first();
    this.#memory.hold(-run.shift());
    this.#inLine -= 1;
    const waitMs = this.#clock.nowMs - since.nowMs;
    if (waitMs > 0) this.#metrics.waited(waitMs);
    this.#seekTopic(topic, since, waiting, bytes, bytesWanted);
    if (this.size === 0) this.#agenda.remove(this);
  };

  /** Has its memory: goes into a batch if the topic is known and nobody waits for it, else to the end of those. */
  #seekTopic(topic: Topic, since: Moment, waiting: Waiting, bytes: RecordBytes, reservedBytes: number): void {
    const isReady = this.#admission.isKnown(topic) && topic.waiters.length === 0;
    if (isReady && !this.#keepsRecords) {
      // The way of all but a few, without a further object.
      const partition = this.#admission.choose(topic, waiting.partition, NO_RECORD, bytes);
      if (partition !== undefined) return this.#enter(topic, partition, since, waiting, bytes, reservedBytes);
    }
    const send = new PendingSend(topic, since, waiting, copyOf(bytes), reservedBytes, this.#onTopic);
    if (waiting.callbacks instanceof AbortableSend) waiting.callbacks.pending = send;
    this.#withMemory.add(send);
    this.#watch(since);
    if (isReady && this.#onTopic(send)) return;
    topic.waiters.push(send);
    void this.#cluster.requestUpdate();
  }

  /** The topic may be known. True if the send need not wait for that any more. */
  readonly #onTopic = (send: PendingSend): boolean => {
    const { topic, waiting: { partition: wanted, record = NO_RECORD }, bytes } = send;
    const { errorCode } = topic.metadata;
    const isMissing = errorCode === UNKNOWN_TOPIC_OR_PARTITION &&
      topic.unknownAnswers > this.#options.unknownTopicRetries;
    if (isMissing || errorCode === INVALID_TOPIC || errorCode === TOPIC_AUTHORIZATION_FAILED) {
      this.drop(send, brokerError(errorCode, { topic: topic.name }));
      return true;
    }
    if (!this.#admission.isKnown(topic)) {
      const { lastError } = this.#cluster;
      // No waiting will change that; after refused credentials the next send tries again.
      if (!endsWaiting(lastError)) return false;
      this.drop(send, lastError);
      return true;
    }
    try {
      const { choose } = this.#admission;
      const partition = record.context === undefined
        ? choose(topic, wanted, record, bytes)
        : record.context.runInAsyncScope(choose, undefined, topic, wanted, record, bytes);
      if (send.gone) return true;
      if (partition === undefined) this.#lookAgain(send);
      else this.#admit(send, partition);
    } catch (error) {
      this.drop(send, error as KafkaError);
    }
    return true;
  };

  /** The topic may have grown: one fresh look, then the record is refused. Others don't wait for it. */
  #lookAgain(send: PendingSend): void {
    this.#looking.add(send);
    void this.#cluster.requestUpdate().then((error) => {
      if (send.gone) return;
      // A refresh that failed says nothing of the partition; maxBlockMs ends this.
      if (error !== undefined || !this.#admission.isKnown(send.topic)) return this.#lookAgain(send);
      const { topic: { name, metadata: { partitions } }, waiting: { partition } } = send;
      if (partition! < partitions.length) return this.#found(send);
      const message = `Choose another partition: topic ${show(name)} has partitions 0 to ${partitions.length - 1}, ` +
        `not ${partition}.`;
      this.drop(send, new KafkaError(message, { code: "INVALID_PARTITION", topic: name, partition }));
    });
  }

  #found(send: PendingSend): void {
    this.#admit(send, send.waiting.partition!);
    this.#memory.serve();
  }

  #admit(send: PendingSend, partition: number): void {
    const { topic, since, waiting, bytes, reservedBytes } = send;
    this.#leave(send);
    this.#enter(topic, partition, since, waiting, bytes, reservedBytes);
  }

  #enter(topic: Topic, index: number, since: Moment, waiting: Waiting, bytes: RecordBytes, reserved: number): void {
    const partition = topic.partition(index);
    const { ordinal, timestamp = since.wallMs, resolve, callbacks } = waiting;
    for (const gap of [partition.gap, topic.gap]) {
      if (gap === undefined || ordinal > gap.lastPending) continue;
      this.#refuse(waiting, earlierFailed({ partition, persisted: "no" }, gap.cause));
      this.#memory.release(reserved);
      return;
    }
    let batch: Batch;
    try {
      batch = this.#admission.append(partition, bytes, timestamp, since.nowMs, resolve, callbacks, reserved);
    } catch (error) {
      // There is no buffer to be had for it. Nobody else may be the worse for that.
      this.#refuse(waiting, error);
      this.#memory.release(reserved);
      return;
    }
    this.#countDown(ordinal, batch);
  }

  #dropFirst(run: PendingRun, error: KafkaError): void {
    const { since, isLast } = run;
    const [waiting] = run.first();
    this.#memory.hold(-run.shift());
    this.#inLine -= 1;
    if (isLast) {
      this.#memory.leave();
      if (this.size === 0) this.#agenda.remove(this);
    }
    this.#metrics.waited(this.#clock.nowMs - since.nowMs);
    this.#refuse(waiting, error);
    if (isLast) this.#memory.serve();
  }

  #refuse({ ordinal, resolve, callbacks }: Waiting, error: unknown): void {
    this.#countDown(ordinal, undefined);
    this.#admission.refuse(error, resolve, callbacks);
  }

  #leave(send: PendingSend): void {
    send.gone = true;
    this.#withMemory.delete(send);
    this.#looking.delete(send);
    if (this.size === 0) this.#agenda.remove(this);
  }

  /** The flushes that waited for the send wait for its batch instead, if there is one. */
  #countDown(ordinal: number, batch: Batch | undefined): void {
    if (this.#flushes.length === 0) return;
    let isOpen = false;
    for (const flush of this.#flushes) {
      if (ordinal > flush.lastOrdinal) continue;
      if (batch !== undefined && batch.barriers?.includes(flush.barrier) !== true) {
        flush.barrier.add();
        (batch.barriers ??= []).push(flush.barrier);
        batch.urgent = true;
        this.#admission.onReady(batch.partition);
      }
      flush.left -= 1;
      if (flush.left > 0) continue;
      flush.barrier.done();
      isOpen = true;
    }
    if (isOpen) this.#flushes = this.#flushes.filter(({ left }) => left > 0);
  }

  /** Whoever will be late first. */
  #first(): PendingSend | PendingRun | undefined {
    for (const send of this.#withMemory) return send;
    if (this.#inLine === 0) return undefined;
    for (const waiter of this.#memory.line()) if (waiter instanceof PendingRun) return waiter;
    return undefined;
  }

  /** Large where much waits, or buffers would be many; small where little does. */
  #chunkSize(): number {
    return Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, this.#memory.bytesInLine >> 2));
  }

  #watch(since: Moment): void {
    if (this.heapIndex < 0) this.#agenda.set(this, since.nowMs + this.#patienceMs);
  }
}
