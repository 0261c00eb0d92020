/**
 * Owns all partitions with work: records enter their batches here, and their batches are completed here, in order.
 *
 * @module
 */

import type { RecordBytes } from "../../protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../protocol/record_batch_layout.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import { batchEvent } from "../observe/batch_event.ts";
import type { ProducerHooks } from "../observe/hooks.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { OnThrow, Receipt } from "../record/receipt.ts";
import type { Barrier } from "./barrier.ts";
import { Batch, type Outcome } from "./batch.ts";
import { BatchLine } from "./batch_line.ts";
import { type BufferMemory, chargeFor, type MemoryWaiter } from "./buffer_memory.ts";
import { BufferPool } from "./buffer_pool.ts";
import { type Partition, type QueuedBatch, takeFirst } from "./partition.ts";
import type { Schedule } from "./schedule.ts";
import type { TopicQueues } from "./topic_queues.ts";
import type { TurnClock } from "./turn_clock.ts";

/** What an accumulator needs to know of the options. */
export interface AccumulatorOptions {
  readonly bufferMemory: number;
  readonly deliveryTimeoutMs: number;
  readonly logger: Logger;
  readonly hooks?: ProducerHooks;
}

/** The batches of one producer. */
export class Accumulator {
  /** Batches that have not been completed. */
  readonly incomplete: BatchLine<QueuedBatch> = new BatchLine();
  /** The ordinal of the last record that had to wait before it entered a batch. Written by the waiting room. */
  lastWaiting = 0;

  readonly #schedule: Schedule;
  readonly #memory: BufferMemory;
  readonly #clock: TurnClock;
  readonly #stamping: Stamping;
  readonly #metrics: Metrics;
  readonly #pool: BufferPool;
  readonly #deliveryTimeoutMs: number;
  readonly #onThrow: OnThrow;
  readonly #hooks: ProducerHooks | undefined;

  /** Makes an empty accumulator. */
  constructor(
    { bufferMemory, deliveryTimeoutMs, logger, hooks }: AccumulatorOptions,
    schedule: Schedule,
    memory: BufferMemory,
    clock: TurnClock,
    stamping: Stamping,
    metrics: Metrics,
  ) {
    this.#schedule = schedule;
    this.#memory = memory;
    this.#clock = clock;
    this.#stamping = stamping;
    this.#metrics = metrics;
    this.#pool = new BufferPool(bufferMemory);
    this.#deliveryTimeoutMs = deliveryTimeoutMs;
    this.#hooks = hooks;
    this.#onThrow = (error) => logger.error?.("callback_threw", { error });
  }

  /**
   * Writes a record into the open batch of a partition. `reserved` is what it has of the buffer memory already; the rest
   * is taken. When it throws, because there is no buffer to be had, no record is affected: at most the open batch takes
   * no more.
   */
  append(
    topic: TopicQueues,
    index: number,
    record: RecordBytes,
    timestamp: number,
    sinceMs: number,
    receipt: Receipt,
    reserved: number,
  ): QueuedBatch {
    const partition = topic.partition(index);
    const deadlineMs = sinceMs + this.#deliveryTimeoutMs;
    let batch = partition.open;
    let size = batch === undefined ? 0 : batch.append(record, timestamp, receipt, topic.batchSizeCap);
    let overhead = 0;
    if (batch === undefined || size === 0) {
      batch?.close();
      batch = this.#newBatch(partition, deadlineMs);
      // First, because it is all that can fail.
      size = batch.append(record, timestamp, receipt, Infinity);
      overhead = BATCH_OVERHEAD;
      partition.queue.push(batch);
      this.incomplete.add(batch);
    }
    const hastened = deadlineMs < batch.deadlineMs;
    if (hastened) batch.deadlineMs = deadlineMs;
    const bytes = chargeFor(size) - reserved;
    // An open batch holds memory, so there was no pause. What hardly ever happens in a function that is called for each
    // record makes the engine compile it, and all that it contains, once more when it does.
    if (overhead > 0) this.#memory.reserve(overhead + bytes);
    else this.#memory.availableBytes -= bytes;
    topic.sticky.appended(overhead + size, topic);
    if (overhead > 0 || hastened) this.#schedule.watch(partition, this.#clock.nowMs);
    if (!partition.scheduled && this.#schedule.isDue(partition.queue[0]!, this.#clock.nowMs)) {
      this.#schedule.add(partition);
    }
    return batch;
  }

  #newBatch(partition: Partition, deadlineMs: number): QueuedBatch {
    return new Batch<Partition>(partition, this.#clock.nowMs, deadlineMs, partition.sizeHint, this.#pool);
  }

  /** Goes to the end of the queue for memory. */
  waitForMemory(waiter: MemoryWaiter): void {
    const first = !this.#memory.contended;
    this.#memory.wait(waiter);
    if (!first) return;
    // What lingers must leave, or nothing would ever come free.
    for (const { partition } of this.incomplete) if (!partition.scheduled) this.#schedule.add(partition);
  }

  /** Lets a barrier wait for all batches; none of them waits for more records any longer. */
  hold(barrier: Barrier): void {
    for (const batch of [...this.incomplete]) {
      barrier.add();
      (batch.barriers ??= []).push(barrier);
      batch.close();
      this.#schedule.add(batch.partition);
    }
  }

  /** Settles the outcomes of a partition that are known, in the order of the sends (O1). */
  completeInOrder(partition: Partition): void {
    const { incomplete } = partition;
    while (incomplete.length > 0 && incomplete[0]!.outcome !== undefined) {
      const batch = takeFirst(incomplete);
      this.incomplete.delete(batch);
      const failed = batch.refusedCount + ("error" in batch.outcome! ? batch.liveCount : 0);
      if (failed > 0) {
        this.#metrics.failed(failed);
        this.#stamping.onFailed(batch.failure!, failed);
      }
      const onBatch = this.#hooks?.onBatch;
      if (onBatch !== undefined) onBatch(batchEvent(batch, failed, this.#clock.nowMs));
      batch.settle(this.#onThrow);
      this.#memory.release(batch.reservedBytes, isAnswer(batch.outcome!));
      if (batch.barriers !== undefined) { for (const barrier of batch.barriers) barrier.done(); }
    }
  }

  /**
   * Gives back what records that were taken out of the batch have left behind there, if that is worth the trouble. Those
   * are to be settled before.
   */
  tidy(batch: QueuedBatch): void {
    // A callback of one record may have taken back the others, or the batch has ended while a codec worked on it.
    if (batch.outcome !== undefined || batch.after === undefined) return;
    if (batch.liveCount === 0) {
      batch.partition.removeFromQueue(batch);
      this.incomplete.delete(batch);
      batch.recycle();
      for (const barrier of batch.barriers ?? []) barrier.done();
      this.#memory.release(batch.reservedBytes);
    } else if (batch.liveCount * 2 <= batch.recordCount) {
      try {
        batch.compact();
      } catch {
        // There is no buffer to be had. That is tried once more before it is sent.
        return;
      }
      this.releaseSpare(batch);
    }
  }

  /** Gives back the memory that a batch has held for records that it has no more. */
  releaseSpare(batch: QueuedBatch): void {
    const { spareBytes } = batch;
    batch.spareBytes = 0;
    this.#memory.release(spareBytes);
  }

  /** Counts the halves of a split batch in its place; flushes wait for both. */
  replace(batch: QueuedBatch, parts: readonly QueuedBatch[]): void {
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
    this.#memory.reserve(reservedBytes);
  }
}

/** True if a broker has decided it, not the clock or the network. */
function isAnswer(outcome: Outcome): boolean {
  return "result" in outcome || outcome.error.errorCode !== undefined;
}
