/**
 * Decides whether a record enters a batch now or waits: encodes it, finds its partition, and takes memory for it.
 *
 * @module
 */

import { reasonFor } from "../../error_like.ts";
import { explainRefusal } from "../../other_clients.ts";
import { maxSizeOfRecord, type RecordBytes, sizeOfRecordBody } from "../../protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../protocol/record_batch_layout.ts";
import { sizeOfVarint } from "../../protocol/varint.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import { Barrier } from "../accumulator/barrier.ts";
import { type BufferMemory, chargeFor } from "../accumulator/buffer_memory.ts";
import { ENCODING } from "../accumulator/phase.ts";
import type { TopicQueues } from "../accumulator/topic_queues.ts";
import type { TurnClock } from "../accumulator/turn_clock.ts";
import type { ResolvedOptions } from "../options/options.ts";
import { headersOf } from "../record/kept_record.ts";
import type { Receipt } from "../record/receipt.ts";
import type { ProducerRecord } from "../record/record.ts";
import { checkRecordNumbers, RecordEncoder, tooLarge } from "../record/record_encoder.ts";
import { type AbortableSend, abortError } from "./abortable_send.ts";
import type { Rejections } from "./rejections.ts";
import type { Router } from "./router.ts";
import { NO_RECORD, type WaitingRoom } from "./waiting_room.ts";

/** The way in. */
export class Admission {
  readonly #options: ResolvedOptions;
  readonly #clock: TurnClock;
  readonly #memory: BufferMemory;
  readonly #router: Router;
  readonly #accumulator: Accumulator;
  readonly #waitingRoom: WaitingRoom;
  readonly #rejections: Rejections;
  /** The partitioner is the caller's own: it sees records, and may do with them what it likes. */
  readonly #showsRecords: boolean;
  /** No record may take more bytes, with the header of a batch. */
  readonly #limit: number;
  #encoder: RecordEncoder | undefined;
  /** Most callers send to one topic again and again. */
  #lastTopic: TopicQueues | undefined;

  /** Lets records in. */
  constructor(
    options: ResolvedOptions,
    clock: TurnClock,
    memory: BufferMemory,
    router: Router,
    accumulator: Accumulator,
    waitingRoom: WaitingRoom,
    rejections: Rejections,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#memory = memory;
    this.#router = router;
    this.#accumulator = accumulator;
    this.#waitingRoom = waitingRoom;
    this.#rejections = rejections;
    this.#limit = Math.min(options.bufferMemory, options.maxRequestSize);
    this.#showsRecords = typeof options.partitioner === "function";
  }

  /**
   * Takes a record. Its outcome goes to the receipt; so does the reason if it is refused. Each field is read once. A
   * record whose headers can be read once only is taken even when it may not wait, as long as anything of the memory is
   * free.
   *
   * @returns 0; or, when `mayWait` is false and nothing was taken, the bytes of memory that there weren't
   */
  submit(record: ProducerRecord<unknown, unknown>, receipt: Receipt, mayWait: boolean): number {
    // Taken away meanwhile: a serializer or partitioner that sends a record of its own must not write over this one.
    const encoder = this.#encoder ?? this.#newEncoder();
    this.#encoder = undefined;
    let missing = 0;
    try {
      missing = this.#take(record, receipt, mayWait, encoder);
    } catch (error) {
      this.#rejections.reject(explainRefusal(error, record), receipt);
    }
    encoder.release();
    this.#encoder = encoder;
    return missing;
  }

  #take(
    record: ProducerRecord<unknown, unknown>,
    receipt: Receipt,
    mayWait: boolean,
    encoder: RecordEncoder,
  ): number {
    const { topic: name, key, value, partition: wantedPartition, timestamp, headers } = record;
    const topic = this.#lastTopic?.name === name ? this.#lastTopic : this.#router.topic(name);
    this.#lastTopic = topic;
    if (wantedPartition !== undefined || timestamp !== undefined) {
      checkRecordNumbers(name, wantedPartition, timestamp);
    }
    if (!mayWait && isIterator(headers)) {
      if (!this.#memory.has(1)) return 1;
      mayWait = true;
    }
    // Headers are read once, and a partitioner wants to see them too.
    const shown = this.#showsRecords ? { key, value, headers: headersOf(headers) } : NO_RECORD;
    encoder.encode(name, key, value, this.#showsRecords ? shown.headers : headers);
    let wanted = BATCH_OVERHEAD + chargeFor(maxSizeOfRecord(encoder));
    if (wanted > this.#limit) wanted = this.#wantedAtMost(wanted, encoder, name);
    try {
      if (this.#router.isReady(topic) && this.#memory.has(wanted)) {
        const partition = this.#router.choose(topic, wantedPartition, shown, encoder);
        if (partition !== undefined) {
          const { nowMs, wallMs } = this.#clock;
          this.#accumulator.append(topic, partition, encoder, timestamp ?? wallMs, nowMs, receipt, 0);
          return 0;
        }
      }
      if (!mayWait && !this.#memory.has(wanted)) return wanted;
      this.#waitingRoom.add(topic, wantedPartition, timestamp, shown, encoder, wanted, receipt);
      return 0;
    } catch (error) {
      // It has been read, so the record is not to blame.
      throw reasonFor(error);
    }
  }

  /** A barrier behind all that was handed over so far; nothing of it waits for more records any longer. */
  barrier(): Barrier {
    const barrier = new Barrier();
    this.#accumulator.hold(barrier);
    this.#waitingRoom.hold(barrier);
    this.#rejections.release(barrier);
    return barrier;
  }

  /** Metadata was refreshed, or could not be: what waited for it goes on. */
  onMetadata(): void {
    this.#waitingRoom.onMetadata();
    this.#router.onMetadata();
    this.#memory.serve();
  }

  /** Takes a record back if it hasn't left yet, and fails it at once, whatever was sent before it. */
  abort(send: AbortableSend, signal: AbortSignal): void {
    const { waiting, batch, index } = send;
    if (waiting !== undefined) return this.#waitingRoom.drop(waiting, abortError(signal, "no", waiting.topic.name));
    if (batch === undefined || batch.after === undefined) return;
    const { topic, index: partition } = batch.partition;
    const error = abortError(signal, batch.drained && !send.isRefused ? "possibly" : "no", topic.name, partition);
    if (batch.drained) return this.#rejections.tell(error, send);
    // Flushes that wait for the batch wait for what the record is told, too.
    const flushes = [...batch.barriers ?? []];
    for (const barrier of flushes) barrier.add();
    batch.drop(index);
    this.#rejections.reject(error, send);
    for (const barrier of flushes) this.#rejections.release(barrier);
    if (batch.phase !== ENCODING) this.#accumulator.tidy(batch);
  }

  #newEncoder(): RecordEncoder {
    const { keySerializer, valueSerializer } = this.#options;
    const hasPartitioner = this.#router.partitioner !== undefined;
    return new RecordEncoder(keySerializer, valueSerializer, this.#options, hasPartitioner, this.#showsRecords);
  }

  /** What a large record takes of the buffer memory at most, if it fits into it and into a request. */
  #wantedAtMost(bound: number, record: RecordBytes, topic: string): number {
    const body = sizeOfRecordBody(record, 0, 0);
    const alone = BATCH_OVERHEAD + sizeOfVarint(body) + body;
    if (alone > this.#limit) throw tooLarge(`${alone}`, this.#options, topic);
    return Math.min(this.#options.bufferMemory, bound);
  }
}

/** True for what can be read once only. */
function isIterator(headers: unknown): boolean {
  return typeof (headers as Partial<Iterator<unknown>> | null | undefined)?.next === "function";
}
