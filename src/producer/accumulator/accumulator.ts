/**
 * Takes records in: finds the partition, reserves memory, writes the record into the partition's open batch. What
 * can't be taken at once waits in line for metadata or memory.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import { isUsable } from "../../cluster/metadata.ts";
import { isKafkaError } from "../../error_like.ts";
import { AbortError, KafkaError } from "../../errors.ts";
import { explainRefusal } from "../../other_clients.ts";
import { maxSizeOfRecord, type RecordBytes, sizeOfRecordBody } from "../../protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../protocol/record_batch_layout.ts";
import { sizeOfVarint } from "../../protocol/varint.ts";
import { type AbortableSend, abortError } from "../admission/abortable_send.ts";
import type { Agenda } from "./agenda.ts";
import { Barrier } from "./barrier.ts";
import { Batch, type Outcome, rejectedPromise, type Resolve, tell } from "./batch.ts";
import { BufferMemory, chargeFor, type MemoryWaiter } from "./buffer_memory.ts";
import { BufferPool } from "./buffer_pool.ts";
import type { Explanation } from "../observe/diagnosis.ts";
import { headersOf, type KeptRecord } from "../record/kept_record.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Partition } from "./partition.ts";
import { builtInPartitioner, type Partitioner, runPartitioner } from "../record/partitioner.ts";
import { partitionForKey } from "../record/murmur2.ts";
import { PendingSends } from "../admission/waiting_room.ts";
import { overheadBound } from "../sender/produce_request.ts";
import type { ProducerRecord, SendOptions } from "../record/record.ts";
import { checkRecordNumbers, checkTopicName, RecordEncoder, tooLarge } from "../record/record_encoder.ts";
import { StickyPartition } from "../record/sticky_partition.ts";
import { Topic, type TopicWaiter } from "./topic.ts";
import type { TurnClock } from "./turn_clock.ts";

/** What the accumulator tells the sender. */
export interface AccumulatorEvents {
  /** The partition's first batch may be due. */
  onReady(partition: Partition): void;
  /** Something of the partition falls due: linger, backoff or delivery timeout. */
  onDue(partition: Partition): void;
  /** There are records without an outcome, or there are none any more. */
  onUse(inUse: boolean): void;
  /** Why a record that waits for its topic, or in line for memory, is not served. */
  diagnose(topic: Topic, partition: number | undefined, inLine: boolean): Explanation;
}

const UNKNOWN_TOPIC_OR_PARTITION = 3;
/** Shown to nobody. */
const NO_RECORD: KeptRecord = { key: null, value: null, headers: undefined };
/** Records of one call without a key go to one partition, up to so many bytes: seven small batches cost twice as much. */
const TOGETHER_BYTES = 131_072;

/** Everything between the call of `send` and a batch that can be drained. */
export class Accumulator {
  /** The buffer memory of the producer. */
  readonly memory: BufferMemory;
  /** Every topic that was sent to, by name. */
  readonly topics: Map<string, Topic> = new Map();
  /** Batches that have not been told. */
  readonly incomplete: Set<Batch> = new Set();
  /** Sends that wait for metadata or memory. */
  readonly pending: PendingSends;
  /** Records in batches that have not been told. */
  recordsInBatches = 0;
  /** True while records are handed over that were given in one call with those before them. */
  sameCall = false;

  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #clock: TurnClock;
  readonly #agenda: Agenda;
  readonly #random: () => number;
  readonly #stamping: Stamping;
  readonly #events: AccumulatorEvents;
  readonly #metrics: Metrics;
  #encoder: RecordEncoder | undefined;
  #lastReason: KafkaError | undefined;
  #lastRejection: Promise<never> | undefined;
  readonly #partitioner: Partitioner | undefined;
  /** It is the caller's own: it sees records, and may do with them what it likes. */
  readonly #showsRecords: boolean;
  readonly #pool: BufferPool;
  /** Most callers send to one topic again and again. */
  #lastTopic: Topic | undefined;

  /** Makes an empty accumulator. */
  constructor(
    options: ResolvedOptions,
    cluster: Cluster,
    clock: TurnClock,
    agenda: Agenda,
    random: () => number,
    stamping: Stamping,
    metrics: Metrics,
    events: AccumulatorEvents,
  ) {
    this.#options = options;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#agenda = agenda;
    this.#random = random;
    this.#stamping = stamping;
    this.#metrics = metrics;
    this.#events = events;
    const { partitioner } = options;
    this.#partitioner = typeof partitioner === "function" ? partitioner : builtInPartitioner(partitioner);
    this.#showsRecords = typeof partitioner === "function";
    this.memory = new BufferMemory(options.bufferMemory, clock, (inUse) => events.onUse(inUse));
    const keepsRecords = this.#partitioner !== undefined;
    this.pending = new PendingSends(options, cluster, this.memory, agenda, clock, metrics, keepsRecords, {
      isKnown: (topic) => this.isKnown(topic),
      choose: (topic, wanted, record, bytes) => this.#choose(topic, wanted, record, bytes),
      append: (partition, bytes, timestamp, sinceMs, resolve, callbacks, reserved) =>
        this.#append(partition, bytes, timestamp, sinceMs, resolve, callbacks, reserved),
      refuse: (error, resolve, callbacks) => this.refuse(error, resolve, callbacks),
      waitForMemory: (waiter) => this.waitForMemory(waiter),
      onReady: (partition) => events.onReady(partition),
      diagnose: (topic, partition, inLine) => events.diagnose(topic, partition, inLine),
    });
    this.#pool = new BufferPool(options.bufferMemory);
  }

  /**
   * Takes a record. Its outcome goes to `resolve` and to the callbacks; so does the reason if it is refused. Each field
   * is read once. A record whose headers can be read once only is taken even when it may not wait, as long as anything
   * of the memory is free.
   *
   * @returns 0; or, when `mayWait` is false and nothing was taken, the bytes of memory that there weren't
   */
  submit(
    record: ProducerRecord<unknown, unknown>,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
    mayWait: boolean,
  ): number {
    // Taken away meanwhile: a serializer or partitioner that sends a record of its own must not write over this one.
    const encoder = this.#encoder ?? this.#newEncoder();
    this.#encoder = undefined;
    try {
      const { topic: name, key, value, partition: wantedPartition, timestamp, headers } = record;
      const topic = this.#lastTopic?.name === name ? this.#lastTopic : this.topic(name);
      this.#lastTopic = topic;
      if (wantedPartition !== undefined || timestamp !== undefined) {
        checkRecordNumbers(name, wantedPartition, timestamp);
      }
      if (!mayWait && isIterator(headers)) {
        if (!this.memory.has(1)) return 1;
        mayWait = true;
      }
      // Headers are read once, and a partitioner wants to see them too.
      const shown = this.#showsRecords ? { key, value, headers: headersOf(headers) } : NO_RECORD;
      encoder.encode(name, key, value, this.#showsRecords ? shown.headers : headers);
      const wanted = this.#memoryFor(encoder, name);
      if (this.#isReady(topic) && this.memory.has(wanted)) {
        const partition = this.#choose(topic, wantedPartition, shown, encoder);
        if (partition !== undefined) {
          const { nowMs, wallMs } = this.#clock;
          this.#append(topic.partition(partition), encoder, timestamp ?? wallMs, nowMs, resolve, callbacks, 0);
          return 0;
        }
      }
      if (!mayWait && !this.memory.has(wanted)) return wanted;
      this.pending.add(topic, wantedPartition, timestamp, shown, encoder, wanted, resolve, callbacks);
    } catch (error) {
      this.refuse(explainRefusal(error, record), resolve, callbacks);
    } finally {
      encoder.release();
      this.#encoder = encoder;
    }
    return 0;
  }

  /** Gets the topic and puts it to use. */
  topic(name: string): Topic {
    return this.topics.get(name) ?? this.#newTopic(name);
  }

  /** True when records of the topic can be routed and nobody waits in front. */
  isKnown(topic: Topic): boolean {
    if (topic.metadata.forgotten) topic.metadata = this.#cluster.use(topic.name);
    topic.metadata.touched = true;
    return isUsable(topic.metadata);
  }

  /** Lets those in line look at fresh metadata. */
  onMetadata(): void {
    this.pending.onMetadata();
    for (const topic of this.topics.values()) {
      if (topic.metadata.errorCode !== UNKNOWN_TOPIC_OR_PARTITION) topic.unknownAnswers = 0;
      else if (this.#cluster.lastError === undefined) topic.unknownAnswers += 1;
      if (topic.waiters.length === 0) continue;
      const still: TopicWaiter[] = [];
      // By index: whoever gets memory meanwhile is appended to this list, and must come after those before him.
      const before = topic.waiters.length;
      for (let at = 0; at < topic.waiters.length; at++) {
        const waiter = topic.waiters[at]!;
        // A callback that sends again to a topic that is refused waits for the next answer, or this would never end.
        if (at >= before && !isUsable(topic.metadata)) {
          still.push(waiter);
          continue;
        }
        if (!waiter.gone && !waiter.onTopic(topic)) still.push(waiter);
      }
      topic.waiters = still;
    }
    this.memory.serve();
  }

  /** True while a send waits for metadata. */
  get wantsMetadata(): boolean {
    for (const topic of this.topics.values()) {
      if (topic.waiters.some((waiter) => !waiter.gone)) return true;
    }
    return false;
  }

  /** True when a batch need not wait for more records. */
  isDue(batch: Batch, nowMs: number): boolean {
    const { lingerMs, batchSize } = this.#options;
    return lingerMs === 0 || batch.closed || batch.urgent || batch.drained || batch.length >= batchSize ||
      nowMs >= batch.createdMs + lingerMs || this.memory.contended;
  }

  /** Puts the next moment at which something happens to the partition by itself on the agenda. */
  watch(partition: Partition, nowMs: number): void {
    const oldest = partition.incomplete[0] ?? partition.queue[0];
    if (oldest === undefined) return;
    let dueMs = oldest.overdue ? nextDeadlineOf(partition) : oldest.deadlineMs;
    const head = partition.queue[0];
    if (head !== undefined) {
      dueMs = Math.min(dueMs, head.deadlineMs);
      if (partition.notBeforeMs > nowMs) dueMs = Math.min(dueMs, partition.notBeforeMs);
      else if (!this.isDue(head, nowMs)) dueMs = Math.min(dueMs, head.createdMs + this.#options.lingerMs);
    }
    // One that is too early finds nothing due and comes back here: cheaper than to move it with every batch.
    this.#agenda.setEarlier(partition, dueMs);
  }

  /** A barrier behind all that was handed over so far; nothing of it waits for company any longer. */
  barrier(): Barrier {
    const barrier = new Barrier();
    for (const batch of [...this.incomplete]) {
      barrier.add();
      (batch.barriers ??= []).push(barrier);
      batch.urgent = true;
      batch.closed = true;
      this.#events.onReady(batch.partition);
    }
    this.pending.hold(barrier);
    barrier.done();
    return barrier;
  }

  /** Tells the outcomes of a partition that are known, in the order of the sends. */
  tell(partition: Partition): void {
    const { incomplete } = partition;
    while (incomplete.length > 0 && incomplete[0]!.outcome !== undefined) {
      const batch = incomplete.shift()!;
      this.incomplete.delete(batch);
      this.recordsInBatches -= batch.liveCount + batch.refusedCount;
      const failed = batch.refusedCount + ("error" in batch.outcome! ? batch.liveCount : 0);
      if (failed > 0) {
        this.#metrics.failed(failed);
        this.#stamping.onFailed(batch.failure!, failed);
      }
      batch.settle((error) => this.#logThrow(error));
      this.memory.release(batch.reservedBytes, isAnswer(batch.outcome!));
      for (const barrier of batch.barriers ?? []) barrier.done();
    }
  }

  /** Takes a record back if it hasn't left yet, and tells it at once, whatever was sent before it. */
  abort(send: AbortableSend, signal: AbortSignal): void {
    const { pending, batch, index, resolve } = send;
    if (pending !== undefined) return this.pending.drop(pending, abortError(signal, "no", pending.topic.name));
    if (batch === undefined || !this.incomplete.has(batch)) return;
    const { topic, index: partition } = batch.partition;
    const error = abortError(signal, batch.drained && !send.isRefused ? "possibly" : "no", topic.name, partition);
    if (batch.drained) {
      tell(send, error, null, (thrown) => this.#logThrow(thrown));
      resolve(rejectedPromise(error));
      return;
    }
    batch.drop(index);
    this.recordsInBatches -= 1;
    this.refuse(error, resolve, send);
    if (!batch.encoding) this.tidy(batch);
  }

  /** Gives back what records that were taken out of the batch have left behind there, if that is worth the trouble. */
  tidy(batch: Batch): void {
    // A callback of one record may have taken back the others, or the batch has ended while a codec worked on it.
    if (batch.outcome !== undefined || !this.incomplete.has(batch)) return;
    if (batch.liveCount === 0) {
      batch.partition.removeFromQueue(batch);
      this.incomplete.delete(batch);
      batch.recycle();
      for (const barrier of batch.barriers ?? []) barrier.done();
      this.memory.release(batch.reservedBytes);
    } else if (batch.liveCount * 2 <= batch.recordCount) {
      batch.compact();
      this.releaseSpare(batch);
    }
  }

  /** Gives back the memory that a batch has held for records that it has no more. */
  releaseSpare(batch: Batch): void {
    const spareBytes = batch.reservedBytes - batch.chargedBytes;
    batch.reservedBytes = batch.chargedBytes;
    this.memory.release(spareBytes);
  }

  /** Counts the halves of a split batch in its place; flushes wait for both. */
  replace(batch: Batch, parts: readonly Batch[]): void {
    this.incomplete.delete(batch);
    let reservedBytes = -batch.reservedBytes;
    for (const part of parts) {
      this.incomplete.add(part);
      reservedBytes += part.reservedBytes;
      for (const barrier of batch.barriers ?? []) {
        barrier.add();
        (part.barriers ??= []).push(barrier);
      }
    }
    for (const barrier of batch.barriers ?? []) barrier.done();
    this.memory.reserve(reservedBytes);
  }

  #newEncoder(): RecordEncoder {
    const { keySerializer, valueSerializer } = this.#options;
    const hasPartitioner = this.#partitioner !== undefined;
    return new RecordEncoder(keySerializer, valueSerializer, this.#options, hasPartitioner, this.#showsRecords);
  }

  #newTopic(name: string): Topic {
    checkTopicName(name);
    const { batchSize, batchSizeCap, maxRequestSize, clientId, codecFor } = this.#options;
    const topic = new Topic(
      name,
      this.#cluster.use(name),
      codecFor(name),
      // A batch of several records must fit into a request, together with what surrounds it there.
      Math.min(batchSizeCap, maxRequestSize - overheadBound(name, clientId)),
      new StickyPartition(batchSize, Math.min(batchSizeCap, TOGETHER_BYTES), this.#random),
      (partition) => this.#events.onDue(partition),
    );
    this.topics.set(name, topic);
    return topic;
  }

  #isReady(topic: Topic): boolean {
    const known = this.isKnown(topic);
    return known && topic.waiters.length === 0;
  }

  /** The most that a record can take of the buffer memory. */
  #memoryFor(record: RecordBytes, topic: string): number {
    const { bufferMemory, maxRequestSize } = this.#options;
    const bound = maxSizeOfRecord(record);
    const wanted = BATCH_OVERHEAD + chargeFor(bound);
    const limit = Math.min(bufferMemory, maxRequestSize);
    if (wanted <= limit) return wanted;
    const body = sizeOfRecordBody(record, 0, 0);
    const alone = BATCH_OVERHEAD + sizeOfVarint(body) + body;
    if (alone > limit) throw tooLarge(`${alone}`, this.#options, topic);
    return Math.min(bufferMemory, wanted);
  }

  /** The record's partition; undefined if it asks for one that the topic isn't known to have. */
  #choose(
    topic: Topic,
    wanted: number | undefined,
    record: KeptRecord,
    bytes: RecordBytes,
  ): number | undefined {
    const partitionCount = topic.metadata.partitions.length;
    if (wanted !== undefined) {
      if (wanted >= partitionCount) return undefined;
      // Whoever looked for the partition first gets there first.
      return this.pending.isLookedFor(topic, wanted) ? undefined : wanted;
    }
    if (this.#partitioner !== undefined) {
      return runPartitioner(this.#partitioner, {
        topic: topic.name,
        key: record.key ?? null,
        keyBytes: bytes.key && bytes.key.subarray(0, bytes.keyLength),
        value: record.value,
        headers: record.headers,
        partitionCount,
        get availablePartitions() {
          return topic.available();
        },
        sizeBytes: bytes.keyLength + bytes.valueLength,
        random: this.#random,
      });
    }
    if (bytes.key !== null) return partitionForKey(bytes.key, bytes.keyLength, partitionCount);
    return topic.sticky.choose(topic, this.sameCall);
  }

  #append(
    partition: Partition,
    record: RecordBytes,
    timestamp: number,
    sinceMs: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
    reserved: number,
  ): Batch {
    const { deliveryTimeoutMs } = this.#options;
    const deadlineMs = sinceMs + deliveryTimeoutMs;
    let batch = partition.open;
    let size = 0;
    if (batch !== undefined) {
      size = batch.sizeOf(record, timestamp);
      if (batch.length + size > partition.topic.batchSizeCap) {
        batch.closed = true;
        batch = undefined;
      }
    }
    let overhead = 0;
    if (batch === undefined) {
      batch = new Batch(partition, this.#clock.nowMs, deadlineMs, partition.sizeHint, this.#pool);
      size = batch.sizeOf(record, timestamp);
      overhead = BATCH_OVERHEAD;
    }
    // First, because it is all that can fail.
    batch.append(record, timestamp, size, resolve, callbacks);
    if (overhead > 0) {
      partition.queue.push(batch);
      this.incomplete.add(batch);
    }
    const hastened = deadlineMs < batch.deadlineMs;
    if (hastened) batch.deadlineMs = deadlineMs;
    this.memory.reserve(overhead + chargeFor(size) - reserved);
    this.recordsInBatches += 1;
    partition.topic.sticky.appended(overhead + size, partition.topic);
    if (batch.recordCount === 1 || hastened) this.watch(partition, this.#clock.nowMs);
    if (!partition.scheduled && this.isDue(partition.queue[0]!, this.#clock.nowMs)) this.#events.onReady(partition);
    return batch;
  }

  /** Goes to the end of the line for memory. */
  waitForMemory(waiter: MemoryWaiter): void {
    const first = !this.memory.contended;
    this.memory.wait(waiter);
    if (!first) return;
    // What lingers must leave, or nothing would ever come free.
    for (const batch of this.incomplete) {
      if (!batch.partition.scheduled) this.#events.onReady(batch.partition);
    }
  }

  /** Tells a record that was not taken why. */
  refuse(error: unknown, resolve: Resolve | undefined, callbacks: SendOptions | undefined): void {
    this.#metrics.failed(1);
    const reason = isKafkaError(error)
      ? error
      : new KafkaError("The record can't be sent.", { code: "UNEXPECTED", cause: error });
    this.#stamping.onFailed(reason, 1);
    // Whoever takes it back himself knows.
    if (!(reason instanceof AbortError)) {
      const { topic, persisted } = reason;
      this.#options.logger.warn?.("record_failed", { topic, persisted, error: reason });
    }
    if (callbacks !== undefined) tell(callbacks, reason, null, (thrown) => this.#logThrow(thrown));
    if (resolve === undefined) return;
    // Those who are refused while the line is long share an error, and so the promise that rejects with it.
    if (reason !== this.#lastReason) {
      this.#lastReason = reason;
      this.#lastRejection = rejectedPromise(reason);
    }
    resolve(this.#lastRejection!);
  }

  #logThrow(error: unknown): void {
    this.#options.logger.error?.("callback_threw", { error });
  }
}

/** True for what can be read once only. */
function isIterator(headers: unknown): boolean {
  return typeof (headers as Partial<Iterator<unknown>> | null | undefined)?.next === "function";
}

/** True if a broker has decided it, not the clock or the network. */
function isAnswer(outcome: Outcome): boolean {
  return "result" in outcome || outcome.error.errorCode !== undefined;
}

/** When the first batch falls due that doesn't wait for its outcome beyond its deadline. */
function nextDeadlineOf({ incomplete, queue }: Partition): number {
  let dueMs = Infinity;
  for (const batches of [incomplete, queue]) {
    for (const { deadlineMs, outcome } of batches) if (outcome === undefined) dueMs = Math.min(dueMs, deadlineMs);
  }
  return dueMs;
}
