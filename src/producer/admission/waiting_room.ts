/**
 * The waiting room in front of the batches: sends wait there for memory, in one queue, and then for metadata, topic by
 * topic. None overtakes another.
 *
 * @module
 */

import { endsWaiting } from "../../cluster/advice.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { KafkaError } from "../../errors.ts";
import { copyOfBytes } from "../../byte_arrays.ts";
import {
  INVALID_TOPIC_EXCEPTION,
  TOPIC_AUTHORIZATION_FAILED,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { callersContext } from "../../runtime/async_context.ts";
import { show } from "../../show.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { Agenda, Entry } from "../accumulator/agenda.ts";
import type { Barrier } from "../accumulator/barrier.ts";
import type { BufferMemory } from "../accumulator/buffer_memory.ts";
import type { QueuedBatch } from "../accumulator/partition.ts";
import type { Schedule } from "../accumulator/schedule.ts";
import type { TopicQueues } from "../accumulator/topic_queues.ts";
import type { Moment, TurnClock } from "../accumulator/turn_clock.ts";
import type { Diagnosis, Diagnostics } from "../observe/diagnosis.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import { keepBytes, type KeptRecord } from "../record/kept_record.ts";
import type { Receipt } from "../record/receipt.ts";
import { earlierFailed } from "../sender/batch_errors.ts";
import { AbortableSend } from "./abortable_send.ts";
import { lateError } from "./late_error.ts";
import type { Rejections } from "./rejections.ts";
import type { Router } from "./router.ts";
import { bytesHeldBy, Chunk, WaitingRun } from "./waiting_run.ts";
import { copyOf, type Waiting, WaitingSend } from "./waiting_send.ts";

/** What a waiting room works with. */
export interface WaitingRoomParts {
  readonly cluster: Cluster;
  readonly clock: TurnClock;
  readonly agenda: Agenda;
  readonly memory: BufferMemory;
  readonly schedule: Schedule;
  readonly accumulator: Accumulator;
  readonly router: Router;
  readonly rejections: Rejections;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
}

/** Records that have waited equally long. */
export interface WaitingRecords {
  readonly topic: TopicQueues;
  /** The partition that the caller chose. */
  readonly partition: number | undefined;
  readonly records: number;
  /** When they were handed over, on the monotonic clock. */
  readonly sinceMs: number;
  /** They wait for memory, and not yet for their topic. */
  readonly inLine: boolean;
}

/** A flush, and how many it still waits for of the sends that waited when it began. */
interface Flush {
  readonly barrier: Barrier;
  readonly lastOrdinal: number;
  left: number;
}

/** Sizes of the buffers of records that wait for memory. */
const MIN_CHUNK_BYTES = 16_384;
const MAX_CHUNK_BYTES = 1_048_576;
/** Between these, a new buffer has this share of all that waits. */
const CHUNK_SHARE = 1 / 4;
/** For partitioners that don't look at records. */
export const NO_RECORD: KeptRecord = { key: null, value: null, headers: undefined };

/** Owns the sends that wait, in the order of the calls: the first is late first, so one deadline on the agenda is enough. */
export class WaitingRoom implements Entry {
  /** Batches that fall due at the same moment were sent before. */
  readonly isLast = true;
  heapIndex = -1;
  dueMs = 0;

  readonly #options: ResolvedOptions;
  readonly #maxWaitMs: number;
  readonly #cluster: Cluster;
  readonly #memory: BufferMemory;
  readonly #agenda: Agenda;
  readonly #clock: TurnClock;
  readonly #metrics: Metrics;
  readonly #schedule: Schedule;
  readonly #accumulator: Accumulator;
  readonly #router: Router;
  readonly #rejections: Rejections;
  readonly #diagnostics: Diagnostics;
  /** The partitioner wants to see records as they were given. */
  readonly #keepsRecords: boolean;
  #inLine = 0;
  /** Sends that have their memory, in the order of the calls: all of them came before those that wait for it. */
  readonly #withMemory: Set<WaitingSend> = new Set();
  /** Those of them that want a partition that isn't known to be there. */
  readonly #looking: Set<WaitingSend> = new Set();
  #flushes: Flush[] = [];
  /** The run that the next record may join. */
  #openRun: WaitingRun | undefined;
  #chunk = new Chunk(0);

  /** An empty room. */
  constructor(options: ResolvedOptions, parts: WaitingRoomParts) {
    this.#options = options;
    this.#maxWaitMs = Math.min(options.maxBlockMs, options.deliveryTimeoutMs);
    this.#cluster = parts.cluster;
    this.#memory = parts.memory;
    this.#agenda = parts.agenda;
    this.#clock = parts.clock;
    this.#metrics = parts.metrics;
    this.#schedule = parts.schedule;
    this.#accumulator = parts.accumulator;
    this.#router = parts.router;
    this.#rejections = parts.rejections;
    this.#diagnostics = parts.diagnostics;
    this.#keepsRecords = parts.router.partitioner !== undefined;
  }

  /** How many wait. */
  get size(): number {
    return this.#inLine + this.#withMemory.size;
  }

  /**
   * Lets a record wait, with a copy of its bytes: the caller may reuse its own.
   *
   * @throws {BufferFullError} when nothing comes free, and too much waits already
   */
  add(
    topic: TopicQueues,
    partition: number | undefined,
    timestamp: number | undefined,
    record: KeptRecord,
    bytes: RecordBytes,
    bytesWanted: number,
    receipt: Receipt,
  ): void {
    const kept = this.#keepsRecords ? { ...keepBytes(record), context: callersContext() } : undefined;
    const since = this.#clock.moment;
    if (this.#memory.has(bytesWanted)) {
      const ordinal = ++this.#accumulator.lastWaiting;
      const waiting = { partition, timestamp, record: kept, receipt, ordinal };
      this.#memory.reserve(bytesWanted);
      this.#seekTopic(topic, since, waiting, bytes, bytesWanted);
      return;
    }
    const held = bytesHeldBy(bytes);
    const refusal = this.#memory.refusal(held);
    if (refusal !== undefined) throw refusal;
    const { headers, headersLength, keyLength, valueLength } = bytes;
    const isAbortable = receipt instanceof AbortableSend;
    const isAlone = isAbortable || timestamp !== undefined || headers !== null || kept !== undefined;
    const ordinal = ++this.#accumulator.lastWaiting;
    const length = keyLength + valueLength;
    let run = this.#openRun;
    const isNew = isAlone || run === undefined || !run.takes(topic, since, length, this.#chunk);
    if (isNew) {
      if (length > this.#chunk.left) this.#chunk = new Chunk(Math.max(length, this.#chunkSize()));
      run = new WaitingRun(topic, since, ordinal, this.#chunk, this);
      run.timestamp = timestamp;
      run.record = kept;
      run.headers = headers && copyOfBytes(headers, headersLength);
    }
    run!.add(bytes, partition, bytesWanted, receipt);
    this.#openRun = isAlone ? undefined : run;
    this.#inLine += 1;
    this.#memory.addHeld(held);
    if (isAbortable) receipt.waiting = run;
    if (!isNew) return;
    this.#watch(since);
    this.#accumulator.waitForMemory(run!);
  }

  /** Lets sends that look for a partition see fresh metadata, in the order in which they asked for it. */
  onMetadata(): void {
    for (const send of this.#looking) {
      const { topic, waiting: { partition } } = send;
      if (this.#router.isKnown(topic) && partition! < topic.metadata.partitions.length) this.#found(send);
    }
  }

  /** What has waited since `beforeMs` or longer: sends with memory one by one, those without in their runs. */
  *waiting(beforeMs: number): Generator<WaitingRecords, void, undefined> {
    for (const { topic, since: { nowMs: sinceMs }, waiting: { partition } } of this.#withMemory) {
      if (sinceMs <= beforeMs) yield { topic, partition, records: 1, sinceMs, inLine: false };
    }
    if (this.#inLine === 0) return;
    for (const run of this.#memory.queue()) {
      if (!(run instanceof WaitingRun) || run.since.nowMs > beforeMs) continue;
      yield { topic: run.topic, partition: undefined, records: run.left, sinceMs: run.since.nowMs, inLine: true };
    }
  }

  /** Lets a barrier wait for all that wait now, and then for the batches that take them. */
  hold(barrier: Barrier): void {
    if (this.size === 0) return;
    barrier.add();
    this.#flushes.push({ barrier, lastOrdinal: this.#accumulator.lastWaiting, left: this.size });
  }

  /** Ends the waiting of a send, or of all records of a run, without success. */
  drop(waiter: WaitingSend | WaitingRun, error: KafkaError): void {
    if (waiter instanceof WaitingRun) {
      if (this.#openRun === waiter) this.#openRun = undefined;
      while (waiter.left > 1) this.#dropFirst(waiter, error);
      if (waiter.gone) return;
      this.#dropFirst(waiter, error);
      return;
    }
    if (waiter.gone) return;
    this.#leave(waiter);
    this.#refuse(waiter.waiting, error, waiter.reservedBytes);
  }

  /** Ends the waiting of all. */
  dropAll(error: KafkaError): void {
    // One after the other: the memory that each gives back goes to the next in line, who may join the others.
    for (let send = this.#first(); send !== undefined; send = this.#first()) this.drop(send, error);
  }

  onDue(): void {
    // Not by the clock: what was sent before fails before, and it may be a batch that falls due between two of these.
    const { dueMs } = this;
    const endMs = this.#agenda.truce.endOf(dueMs);
    if (endMs > dueMs) return this.#agenda.set(this, endMs);
    for (let send = this.#first(); send !== undefined; send = this.#first()) {
      const lateMs = send.since.nowMs + this.#maxWaitMs;
      if (lateMs > dueMs) return this.#agenda.set(this, lateMs);
      const wanted = send instanceof WaitingRun ? undefined : send.waiting.partition;
      const error = lateError(send, this.#options, this.#diagnose(send, wanted, send instanceof WaitingRun).explain());
      if (this.#options.gapless) send.topic.gap = { lastWaiting: this.#accumulator.lastWaiting, cause: error };
      this.drop(send, error);
    }
  }

  /** Memory was reserved for the first of a run. */
  onMemory(run: WaitingRun): void {
    const { topic, since, bytesWanted } = run;
    const [waiting, bytes] = run.first();
    this.#memory.addHeld(-run.shift());
    this.#inLine -= 1;
    const waitMs = this.#clock.nowMs - since.nowMs;
    if (waitMs > 0) this.#metrics.waited(waitMs);
    this.#seekTopic(topic, since, waiting, bytes, bytesWanted);
    if (this.size === 0) this.#agenda.remove(this);
  }

  /** It has its memory: it enters a batch if the topic is known and no send waits for that, else it waits behind them. */
  #seekTopic(topic: TopicQueues, since: Moment, waiting: Waiting, bytes: RecordBytes, reservedBytes: number): void {
    const isReady = this.#router.isReady(topic);
    if (isReady && !this.#keepsRecords) {
      // The way of all but a few, without a further object.
      const partition = this.#router.choose(topic, waiting.partition, NO_RECORD, bytes);
      if (partition !== undefined) return this.#enter(topic, partition, since, waiting, bytes, reservedBytes);
    }
    let copy: RecordBytes;
    try {
      copy = copyOf(bytes);
    } catch (error) {
      return this.#refuse(waiting, error, reservedBytes);
    }
    const send = new WaitingSend(topic, since, waiting, copy, reservedBytes, this);
    if (waiting.receipt instanceof AbortableSend) waiting.receipt.waiting = send;
    this.#withMemory.add(send);
    this.#watch(since);
    if (isReady && this.onTopic(send)) return;
    topic.waiters.push(send);
    void this.#cluster.requestUpdate();
  }

  /** The topic may be known. True if the send need not wait for that any more. */
  onTopic(send: WaitingSend): boolean {
    const { topic, waiting: { partition: wanted, record = NO_RECORD }, bytes } = send;
    const { errorCode } = topic.metadata;
    const isMissing = errorCode === UNKNOWN_TOPIC_OR_PARTITION &&
      topic.unknownAnswers > this.#options.unknownTopicRetries;
    if (isMissing || errorCode === INVALID_TOPIC_EXCEPTION || errorCode === TOPIC_AUTHORIZATION_FAILED) {
      this.drop(send, brokerError(errorCode, { topic: topic.name }));
      return true;
    }
    if (!this.#router.isKnown(topic)) {
      const { lastError } = this.#cluster;
      // No waiting will change that; after refused credentials the next send tries again.
      if (!endsWaiting(lastError)) return false;
      this.drop(send, lastError);
      return true;
    }
    try {
      const router = this.#router;
      const partition = record.context === undefined
        ? router.choose(topic, wanted, record, bytes)
        : record.context.runInAsyncScope(() => router.choose(topic, wanted, record, bytes), undefined);
      if (send.gone) return true;
      if (partition === undefined) this.#lookAgain(send);
      else this.#admit(send, partition);
    } catch (error) {
      this.drop(send, error as KafkaError);
    }
    return true;
  }

  /** The topic may have grown: one fresh look, then the record is refused. Others don't wait for it. */
  #lookAgain(send: WaitingSend): void {
    if (!this.#looking.has(send)) {
      this.#looking.add(send);
      send.topic.lookedFor.push(send.waiting.partition!);
    }
    void this.#cluster.requestUpdate().then((error) => {
      if (send.gone) return;
      // A refresh that failed says nothing of the partition; maxBlockMs ends this.
      if (error !== undefined || !this.#router.isKnown(send.topic)) return this.#lookAgain(send);
      const { topic: { name, metadata: { partitions } }, waiting: { partition } } = send;
      if (partition! < partitions.length) return this.#found(send);
      const message = `Choose another partition: topic ${show(name)} has partitions 0 to ${partitions.length - 1}, ` +
        `not ${partition}.`;
      this.drop(send, new KafkaError(message, { code: "INVALID_PARTITION", topic: name, partition }));
    });
  }

  #found(send: WaitingSend): void {
    this.#admit(send, send.waiting.partition!);
    this.#memory.serve();
  }

  #admit(send: WaitingSend, partition: number): void {
    const { topic, since, waiting, bytes, reservedBytes } = send;
    this.#leave(send);
    this.#enter(topic, partition, since, waiting, bytes, reservedBytes);
  }

  #enter(
    topic: TopicQueues,
    index: number,
    since: Moment,
    waiting: Waiting,
    bytes: RecordBytes,
    reserved: number,
  ): void {
    const partition = topic.partition(index);
    const { ordinal, timestamp = since.wallMs, receipt } = waiting;
    for (const gap of [partition.gap, topic.gap]) {
      if (gap === undefined || ordinal > gap.lastWaiting) continue;
      return this.#refuse(waiting, earlierFailed({ partition, persisted: "no" }, gap.cause), reserved);
    }
    let batch: QueuedBatch;
    try {
      batch = this.#accumulator.append(topic, index, bytes, timestamp, since.nowMs, receipt, reserved);
    } catch (error) {
      return this.#refuse(waiting, error, reserved);
    }
    this.#countDown(ordinal, batch);
  }

  /** Fails a record that has its memory, often because there is no buffer to be had: that must not harm other records. */
  #refuse(waiting: Waiting, error: unknown, reservedBytes: number): void {
    this.#reject(waiting, error);
    this.#memory.release(reservedBytes);
  }

  #dropFirst(run: WaitingRun, error: KafkaError): void {
    const { since, isLast } = run;
    const [waiting] = run.first();
    this.#memory.addHeld(-run.shift());
    this.#inLine -= 1;
    if (isLast) {
      this.#memory.abandon();
      if (this.size === 0) this.#agenda.remove(this);
    }
    this.#metrics.waited(this.#clock.nowMs - since.nowMs);
    this.#reject(waiting, error);
    if (isLast) this.#memory.serve();
  }

  #reject({ ordinal, receipt }: Waiting, error: unknown): void {
    const flushes = this.#flushes.filter(({ lastOrdinal }) => ordinal <= lastOrdinal);
    for (const { barrier } of flushes) barrier.add();
    // First, for a callback may begin a flush that never waited for this one.
    this.#countDown(ordinal, undefined);
    this.#rejections.reject(error, receipt);
    for (const { barrier } of flushes) this.#rejections.release(barrier);
  }

  /** Why a send has waited in vain. */
  #diagnose({ topic }: WaitingSend | WaitingRun, wanted: number | undefined, inLine: boolean): Diagnosis {
    return inLine ? this.diagnoseMemory() : this.#diagnostics.ofTopic(topic, wanted);
  }

  /** Why nothing of the buffer memory comes free. */
  diagnoseMemory(): Diagnosis {
    const [oldest] = this.#accumulator.incomplete;
    return this.#diagnostics.ofMemory(this.#memory.totalBytes, oldest?.partition);
  }

  #leave(send: WaitingSend): void {
    send.gone = true;
    this.#withMemory.delete(send);
    if (this.#looking.delete(send)) {
      const { lookedFor } = send.topic;
      lookedFor.splice(lookedFor.indexOf(send.waiting.partition!), 1);
    }
    if (this.size === 0) this.#agenda.remove(this);
  }

  /** The flushes that waited for the send wait for its batch instead, if there is one. */
  #countDown(ordinal: number, batch: QueuedBatch | undefined): void {
    if (this.#flushes.length === 0) return;
    let isOpen = false;
    for (const flush of this.#flushes) {
      if (ordinal > flush.lastOrdinal) continue;
      if (batch !== undefined && batch.barriers?.includes(flush.barrier) !== true) {
        flush.barrier.add();
        (batch.barriers ??= []).push(flush.barrier);
        this.#schedule.add(batch.partition);
      }
      flush.left -= 1;
      if (flush.left > 0) continue;
      flush.barrier.done();
      isOpen = true;
    }
    if (isOpen) this.#flushes = this.#flushes.filter(({ left }) => left > 0);
  }

  /** The send that will be late first. */
  #first(): WaitingSend | WaitingRun | undefined {
    for (const send of this.#withMemory) return send;
    if (this.#inLine === 0) return undefined;
    for (const waiter of this.#memory.queue()) if (waiter instanceof WaitingRun) return waiter;
    return undefined;
  }

  /** Large where much waits, or buffers would be many; small where little does. */
  #chunkSize(): number {
    return Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, Math.floor(this.#memory.queuedBytes * CHUNK_SHARE)));
  }

  #watch(since: Moment): void {
    if (this.heapIndex < 0) this.#agenda.set(this, since.nowMs + this.#maxWaitMs);
  }
}
