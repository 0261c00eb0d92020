/**
 * Takes records in: finds the partition, reserves memory, writes the record into the partition's open batch. What
 * can't be taken at once waits in line for metadata or memory.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import { isUsable } from "../cluster/metadata.ts";
import { KafkaError, RecordTooLargeError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { maxSizeOfRecord, type RecordBytes, sizeOfRecordBody } from "../protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../protocol/record_batch_layout.ts";
import { sizeOfVarint } from "../protocol/varint.ts";
import type { Agenda } from "./agenda.ts";
import { Barrier } from "./barrier.ts";
import { Batch, rejectedPromise, type Resolve, tell } from "./batch.ts";
import { BufferMemory, type MemoryWaiter } from "./buffer_memory.ts";
import { BufferPool } from "./buffer_pool.ts";
import type { Metrics } from "./metrics.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Partition } from "./partition.ts";
import { builtInPartitioner, type Partitioner, runPartitioner, StickyPartition } from "./partitioner.ts";
import { partitionForKey } from "./murmur2.ts";
import { lateError, PendingSend } from "./pending_send.ts";
import { overheadBound } from "./produce_request.ts";
import type { ProducerRecord, SendOptions } from "./record.ts";
import { checkRecordNumbers, checkTopicName, RecordEncoder } from "./record_encoder.ts";
import { Topic, type TopicWaiter } from "./topic.ts";
import type { TurnClock } from "./turn_clock.ts";

/** What the accumulator tells the sender. */
export interface AccumulatorEvents {
  /** The partition's first batch may be due. */
  onReady(partition: Partition): void;
  /** Something of the partition falls due: linger, backoff or delivery timeout. */
  onDue(partition: Partition): void;
}

const INVALID_TOPIC = 17;
const TOPIC_AUTHORIZATION_FAILED = 29;

/** Everything between the call of `send` and a batch that can be drained. */
export class Accumulator {
  /** The buffer memory of the producer. */
  readonly memory: BufferMemory;
  /** Every topic that was sent to, by name. */
  readonly topics: Map<string, Topic> = new Map();
  /** Batches that have not been told. */
  readonly incomplete: Set<Batch> = new Set();
  /** Sends that wait for metadata or memory. */
  readonly pending: Set<PendingSend> = new Set();
  /** Records in batches that have not been told. */
  recordsInBatches = 0;

  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #clock: TurnClock;
  readonly #agenda: Agenda;
  readonly #random: () => number;
  readonly #events: AccumulatorEvents;
  readonly #metrics: Metrics;
  #encoder: RecordEncoder | undefined;
  readonly #partitioner: Partitioner | undefined;
  readonly #pool: BufferPool;
  /** Sends to a partition that isn't known to be there, in the order of the calls. */
  readonly #looking: Set<PendingSend> = new Set();

  /** Makes an empty accumulator. */
  constructor(
    options: ResolvedOptions,
    cluster: Cluster,
    clock: TurnClock,
    agenda: Agenda,
    random: () => number,
    metrics: Metrics,
    events: AccumulatorEvents,
  ) {
    this.#options = options;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#agenda = agenda;
    this.#random = random;
    this.#metrics = metrics;
    this.#events = events;
    const { partitioner } = options;
    this.#partitioner = typeof partitioner === "function" ? partitioner : builtInPartitioner(partitioner, random);
    this.memory = new BufferMemory(options.bufferMemory);
    this.#pool = new BufferPool(options.bufferMemory);
  }

  /**
   * Takes a record. Its outcome goes to `resolve` and to the callbacks; so does the reason if it is refused.
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
    const encoder = this.#encoder ?? new RecordEncoder(this.#options.keySerializer, this.#options.valueSerializer);
    this.#encoder = undefined;
    try {
      const topic = this.topics.get(record.topic) ?? this.#newTopic(record.topic);
      if (record.partition !== undefined || record.timestamp !== undefined) checkRecordNumbers(record);
      encoder.encode(record);
      const wanted = this.#memoryFor(encoder, record.topic);
      const timestamp = record.timestamp ?? this.#clock.wallMs;
      if (this.#isReady(topic) && this.memory.has(wanted)) {
        const partition = this.#choose(topic, record, encoder);
        if (partition !== undefined) {
          this.#append(topic.partition(partition), encoder, timestamp, this.#clock.nowMs, resolve, callbacks, 0);
          return 0;
        }
      }
      if (!mayWait && !this.memory.has(wanted)) return wanted;
      this.#wait(topic, record, encoder.copy(), timestamp, wanted, resolve, callbacks);
    } catch (error) {
      this.refuse(error, resolve, callbacks);
    } finally {
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
    if (this.#cluster.topic(topic.name) !== topic.metadata) topic.metadata = this.#cluster.use(topic.name);
    topic.metadata.touched = true;
    return isUsable(topic.metadata);
  }

  /** Lets those in line look at fresh metadata. */
  onMetadata(): void {
    // Whatever brought the partition to light: who asked for it first goes first.
    for (const send of this.#looking) {
      const { topic, record } = send;
      if (this.isKnown(topic) && record.partition! < topic.metadata.partitions.length) this.#found(send);
    }
    for (const topic of this.topics.values()) {
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
    const oldest = partition.untold[0] ?? partition.queue[0];
    if (oldest === undefined) return;
    let dueMs = oldest.deadlineMs;
    const head = partition.queue[0];
    if (head !== undefined) {
      dueMs = Math.min(dueMs, head.deadlineMs);
      if (partition.notBeforeMs > nowMs) dueMs = Math.min(dueMs, partition.notBeforeMs);
      else if (!this.isDue(head, nowMs)) dueMs = Math.min(dueMs, head.createdMs + this.#options.lingerMs);
    }
    this.#agenda.set(partition, dueMs);
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
    for (const send of this.pending) {
      barrier.add();
      send.barriers.push(barrier);
    }
    barrier.done();
    return barrier;
  }

  /** Tells the outcomes of a partition that are known, in the order of the sends. */
  tell(partition: Partition): void {
    const { untold } = partition;
    while (untold.length > 0 && untold[0]!.outcome !== undefined) {
      const batch = untold.shift()!;
      this.incomplete.delete(batch);
      this.recordsInBatches -= batch.recordCount;
      if ("error" in batch.outcome!) this.#metrics.recordsFailed += batch.recordCount;
      batch.settle((error) => this.#logThrow(error));
      this.memory.release(batch.reservedBytes);
      for (const barrier of batch.barriers ?? []) barrier.done();
    }
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

  /** Fails every send that is still in line. */
  refusePending(error: KafkaError): void {
    for (const send of [...this.pending]) this.#drop(send, error);
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
      new StickyPartition(batchSize, this.#random),
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
    const body = sizeOfRecordBody(record, 0, 0);
    const alone = BATCH_OVERHEAD + sizeOfVarint(body) + body;
    const limit = Math.min(bufferMemory, maxRequestSize);
    if (alone > limit) {
      const option = limit === bufferMemory ? "bufferMemory" : "maxRequestSize";
      throw new RecordTooLargeError(
        `Send a smaller record or raise "${option}": the record takes ${alone} bytes, the limit is ${limit}.`,
        { topic },
      );
    }
    return Math.min(bufferMemory, BATCH_OVERHEAD + maxSizeOfRecord(record));
  }

  /** The record's partition; undefined if it asks for one that the topic isn't known to have. */
  #choose(topic: Topic, record: ProducerRecord<unknown, unknown>, bytes: RecordBytes): number | undefined {
    const partitionCount = topic.metadata.partitions.length;
    if (record.partition !== undefined) {
      if (record.partition >= partitionCount) return undefined;
      // Whoever looked for the partition first gets there first.
      for (const other of this.#looking) {
        if (other.topic === topic && other.record.partition === record.partition) return undefined;
      }
      return record.partition;
    }
    if (this.#partitioner !== undefined) {
      return runPartitioner(this.#partitioner, {
        topic: topic.name,
        key: record.key ?? null,
        keyBytes: bytes.key === null ? null : bytes.key.subarray(0, bytes.keyLength),
        value: record.value,
        headers: record.headers,
        partitionCount,
        get availablePartitions() {
          return topic.available();
        },
      });
    }
    if (bytes.key !== null) return partitionForKey(bytes.key, bytes.keyLength, partitionCount);
    return topic.sticky.choose(partitionCount, () => topic.available());
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
    let taken = size;
    if (batch === undefined) {
      batch = new Batch(partition, this.#clock.nowMs, deadlineMs, partition.sizeHint, this.#pool);
      size = batch.sizeOf(record, timestamp);
      taken = size + BATCH_OVERHEAD;
      partition.queue.push(batch);
      this.incomplete.add(batch);
    }
    const hastened = deadlineMs < batch.deadlineMs;
    if (hastened) batch.deadlineMs = deadlineMs;
    this.memory.reserve(taken - reserved);
    batch.append(record, timestamp, size, resolve, callbacks);
    this.recordsInBatches += 1;
    partition.topic.sticky.appended(partition.index, size);
    if (batch.recordCount === 1 || hastened) this.watch(partition, this.#clock.nowMs);
    if (!partition.scheduled && this.isDue(partition.queue[0]!, this.#clock.nowMs)) this.#events.onReady(partition);
    return batch;
  }

  #wait(
    topic: Topic,
    record: ProducerRecord<unknown, unknown>,
    bytes: RecordBytes,
    timestamp: number,
    wanted: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
  ): void {
    const { maxBlockMs, deliveryTimeoutMs } = this.#options;
    const sinceMs = this.#clock.nowMs;
    // The caller may use the object again for the next record.
    const { key, value, partition, headers } = record;
    const kept = { topic: topic.name, key, value, partition, headers };
    const send = new PendingSend(topic, kept, bytes, timestamp, sinceMs, wanted, resolve, callbacks, {
      onMemory: (granted) => this.#onMemory(granted),
      onTopic: (waiting) => this.#onTopic(waiting),
      onDue: (late) => this.#drop(late, lateError(late, this.#options, this.#cluster.lastError)),
    });
    this.pending.add(send);
    this.#agenda.set(send, sinceMs + Math.min(maxBlockMs, deliveryTimeoutMs));
    if (this.memory.has(wanted)) {
      this.memory.reserve(wanted);
      this.#onMemory(send);
    } else {
      this.waitForMemory(send);
    }
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

  #onMemory(send: PendingSend): void {
    send.reservedBytes = send.bytesWanted;
    const { topic } = send;
    if (this.#isReady(topic) && this.#onTopic(send)) return;
    topic.waiters.push(send);
    void this.#cluster.requestUpdate();
  }

  #onTopic(send: PendingSend): boolean {
    const { topic, record } = send;
    const { errorCode } = topic.metadata;
    if (errorCode === INVALID_TOPIC || errorCode === TOPIC_AUTHORIZATION_FAILED) {
      this.#drop(send, brokerError(errorCode, { topic: topic.name }));
      return true;
    }
    if (!this.isKnown(topic)) return false;
    try {
      const partition = this.#choose(topic, record, send.bytes);
      if (partition === undefined) this.#lookAgain(send);
      else this.#enter(send, partition);
    } catch (error) {
      this.#drop(send, error as KafkaError);
    }
    return true;
  }

  /** The topic may have grown: one fresh look, then the record is refused. Others don't wait for it. */
  #lookAgain(send: PendingSend): void {
    this.#looking.add(send);
    void this.#cluster.requestUpdate().then((error) => {
      if (send.gone) return;
      // A refresh that failed says nothing of the partition; maxBlockMs ends this.
      if (error !== undefined || !this.isKnown(send.topic)) return this.#lookAgain(send);
      const { topic, record } = send;
      const count = topic.metadata.partitions.length;
      if (record.partition! < count) return this.#found(send);
      this.#drop(
        send,
        new KafkaError(
          `Choose another partition: topic "${topic.name}" has partitions 0 to ${count - 1}, not ${record.partition}.`,
          { code: "INVALID_PARTITION", topic: topic.name, partition: record.partition },
        ),
      );
    });
  }

  #found(send: PendingSend): void {
    this.#enter(send, send.record.partition!);
    this.memory.serve();
  }

  #enter(send: PendingSend, index: number): void {
    const { topic, bytes, timestamp, sinceMs, resolve, callbacks, reservedBytes, barriers } = send;
    this.#leave(send);
    const batch = this.#append(topic.partition(index), bytes, timestamp, sinceMs, resolve, callbacks, reservedBytes);
    if (barriers.length === 0) return;
    (batch.barriers ??= []).push(...barriers);
    batch.urgent = true;
    this.#events.onReady(batch.partition);
  }

  #leave(send: PendingSend): void {
    send.gone = true;
    this.pending.delete(send);
    this.#looking.delete(send);
    this.#agenda.remove(send);
  }

  #drop(send: PendingSend, error: KafkaError): void {
    if (send.gone) return;
    this.#leave(send);
    this.refuse(error, send.resolve, send.callbacks);
    for (const barrier of send.barriers) barrier.done();
    this.memory.release(send.reservedBytes);
  }

  /** Tells a record that was not taken why. */
  refuse(error: unknown, resolve: Resolve | undefined, callbacks: SendOptions | undefined): void {
    this.#metrics.recordsFailed += 1;
    const reason = error instanceof KafkaError
      ? error
      : new KafkaError("The record can't be sent.", { code: "UNEXPECTED", cause: error });
    if (callbacks !== undefined) tell(callbacks, reason, null, (thrown) => this.#logThrow(thrown));
    resolve?.(rejectedPromise(reason));
  }

  #logThrow(error: unknown): void {
    this.#options.logger.error?.("callback_threw", { error });
  }
}
