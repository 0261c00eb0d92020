/**
 * The records that one partition sends together: bytes that grow until the batch is drained, and one settle point.
 *
 * @module
 */

import type { Compressor } from "../../codec/codec.ts";
import { crc32c } from "../../codec/crc32c.ts";
import type { KafkaError, Persisted } from "../../errors.ts";
import { lengthOf } from "../../byte_arrays.ts";
import {
  type ProducerStamp,
  readRecords,
  type RecordBytes,
  sealBatch,
  SEQUENCE_SPACE,
  writeBatchHeader,
  writeRecord,
} from "../../protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../protocol/record_batch_layout.ts";
import type { Barrier } from "./barrier.ts";
import type { Linked } from "./batch_line.ts";
import { chargeFor } from "./buffer_memory.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { CLOSED, DONE, ENCODING, OPEN, type Phase, READY, transition } from "./phase.ts";
import { deliver, fail, type OnThrow, type Receipt, rejectedPromise } from "../record/receipt.ts";
import type { Topic } from "./topic.ts";
import { BatchResult, RecordMetadata } from "../record/delivery.ts";

/** Where the records of a batch go. */
export interface Place {
  readonly topic: Topic;
  readonly index: number;
}

/** How a batch ended. `errors` holds the records whose error is not that of the others, by index (KIP-467). */
export type Outcome =
  | { readonly result: BatchResult; readonly bytes: number }
  | {
    readonly error: KafkaError;
    readonly bytes?: undefined;
    readonly errors?: ReadonlyMap<number, KafkaError> | undefined;
  };

/** A record that the broker has refused by itself, while the others of its batch go out again. */
interface RefusedRecord {
  /** It is settled in front of the record at this place. */
  readonly before: number;
  readonly error: KafkaError;
  readonly receipt: Receipt;
}

const NO_RECEIPTS: never[] = [];
const NONE_REFUSED: readonly RefusedRecord[] = [];
/** Of a batch whose records have one timestamp; never written to. */
const NO_DELTAS: number[] = emptyDeltas();
const NO_STAMP: ProducerStamp = { producerId: -1n, producerEpoch: -1, baseSequence: -1 };

/** A batch of one partition, of which it knows no more than its place. */
export class Batch<P extends Place = Place> implements Linked {
  readonly partition: P;
  /** When it was opened, on the monotonic clock: linger counts from here. */
  readonly createdMs: number;
  /** When its oldest record must have an outcome. */
  deadlineMs: number;
  /** What it takes of the buffer memory for the records that it holds now. */
  chargedBytes: number = BATCH_OVERHEAD;
  /** What it still holds for records that it has no more. */
  spareBytes = 0;
  /** Bytes so far, header included. */
  length: number = BATCH_OVERHEAD;
  recordCount = 0;
  /** How often it was sent and failed. */
  attempts = 0;
  /** Set when it is first drained, and never changed but by an epoch bump (KIP-98, KIP-360). */
  stamp: ProducerStamp = NO_STAMP;
  /** Its sequences don't follow those of the batch before it any more, which has become smaller. */
  misnumbered = false;
  /** The bytes that every attempt sends; undefined until they are made. */
  wire: Uint8Array | undefined;
  /** Sticky: once an attempt may have been written, no later refusal makes it "no" again. */
  persisted: Persisted = "no";
  /** An attempt ended without an answer: a socket may still read the bytes, so they are left alone from then on. */
  socketMayHoldBytes = false;
  /** Why the last attempt failed. */
  lastError: KafkaError | undefined;
  /** How often the broker has repeated its last answer. */
  repeats = 0;
  /** Base offset from a leader that appended the batch but answered with an error; −1n if none did. */
  appendedAt = -1n;
  /** How often the broker has hung up on a request of this batch alone. */
  hangUps = 0;
  /** A half of a batch that may have been appended as a whole: its broker may know the whole and not the half. */
  dividedInDoubt = false;
  /** Known, though perhaps not settled yet because an earlier batch is still on its way (O1). */
  outcome: Outcome | undefined;
  /** Its place in the order of first drains of its partition; −1 before. */
  ordinal = -1;
  /** The id that the topic had when it was last sent. */
  sentUnder = "";
  /** That request told the broker the topic's name and not its id (Produce up to 12). */
  sentByName = false;
  /** How far the next ordinal is; the halves of a split batch share it. */
  ordinalSpan = 1;
  /** Flushes that wait for it: it doesn't linger then. */
  barriers: Barrier[] | undefined;
  before: Linked | undefined;
  after: Linked | undefined;

  #phase: Phase = OPEN;
  readonly #pool: BufferPool;
  #buffer: Uint8Array;
  #baseTimestamp = 0;
  #maxTimestamp = 0;
  #timestampDeltas: number[] = NO_DELTAS;
  #receipts: Receipt[] = NO_RECEIPTS;
  /** Records that the broker has refused and that are yet to be settled, in order. */
  #refused: readonly RefusedRecord[] = NONE_REFUSED;
  /** Records that were taken out and whose bytes are still there. */
  #dropped: Set<number> | undefined;
  /** The stamp that {@link wire} carries; undefined if it carries none. */
  #sealedStamp: ProducerStamp | undefined;
  #inUse = true;

  /** Opens an empty batch. */
  constructor(partition: P, createdMs: number, deadlineMs: number, sizeHint: number, pool: BufferPool) {
    this.partition = partition;
    this.createdMs = createdMs;
    this.deadlineMs = deadlineMs;
    this.#pool = pool;
    this.#buffer = pool.take(sizeHint);
  }

  /** Where it is on its way. */
  get phase(): Phase {
    return this.#phase;
  }

  /** Goes on to the next phase; the caller moves the batch to the list of that phase. */
  transition(next: Phase): void {
    // A codec still reads the buffer, which is left to the garbage collector then.
    if (this.#phase === ENCODING && next === DONE) this.#inUse = false;
    this.#phase = transition(this.#phase, next);
  }

  /** No record is added any more. */
  close(): void {
    if (this.#phase === OPEN) this.transition(CLOSED);
  }

  /** True from the first drain on: its sequence is taken. */
  get drained(): boolean {
    return this.ordinal >= 0;
  }

  /** Past its deadline, and waiting for an answer all the same (`waitForOutcome`). */
  get overdue(): boolean {
    return this.deadlineMs === Infinity;
  }

  /**
   * Adds a record with its receipt, unless the batch would grow beyond `cap` bytes; the first record always fits. When it
   * throws, because there is no memory for a larger buffer or the caller's bytes have gone, the batch is as it was.
   *
   * @returns the bytes by which the batch has grown; 0 if the record wasn't added
   */
  append(record: RecordBytes, timestamp: number, receipt: Receipt, cap: number): number {
    const index = this.recordCount;
    const delta = index === 0 ? 0 : timestamp - this.#baseTimestamp;
    const start = this.length;
    const room = this.#buffer.length;
    let end = writeRecord(this.#buffer, start, cap < room ? cap : room, record, index, delta);
    if (end < 0) {
      end = -end;
      if (end > cap && index > 0) return 0;
      if (end > room) this.#grow(end);
      writeRecord(this.#buffer, start, end, record, index, delta);
    }
    const size = end - start;
    this.length = end;
    // Records of one turn have one timestamp, and then nothing of it is kept.
    if (index < 2 || delta !== 0 || this.#timestampDeltas !== NO_DELTAS) this.#keep(index, timestamp, delta, receipt);
    else this.#receipts.push(receipt);
    this.chargedBytes += chargeFor(size);
    this.recordCount = index + 1;
    if (typeof receipt === "object") receipt.entered?.(this, index);
    return size;
  }

  /** Keeps what begins a batch, and timestamps that differ. Apart, because of most records there is nothing but the receipt. */
  #keep(index: number, timestamp: number, delta: number, receipt: Receipt): void {
    if (index === 0) this.#baseTimestamp = this.#maxTimestamp = timestamp;
    // Arrays of one and two, where a push makes room for twenty: most batches of many partitions stay that small.
    if (index < 2) this.#receipts = index === 0 ? [receipt] : [this.#receipts[0], receipt];
    else this.#receipts.push(receipt);
    if (delta === 0 && this.#timestampDeltas === NO_DELTAS) return;
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
    if (this.#timestampDeltas === NO_DELTAS) this.#timestampDeltas = emptyDeltas();
    while (this.#timestampDeltas.length < index) this.#timestampDeltas.push(0);
    this.#timestampDeltas.push(delta);
  }

  /** Bytes that it holds of the buffer memory. */
  get reservedBytes(): number {
    return this.chargedBytes + this.spareBytes;
  }

  /** How many records have not been taken out. */
  get liveCount(): number {
    return this.recordCount - (this.#dropped?.size ?? 0);
  }

  /** Takes a record out, with its receipt. Only while nothing of the batch has been sent. */
  drop(index: number): void {
    this.#receipts[index] = undefined;
    (this.#dropped ??= new Set()).add(index);
    this.wire = undefined;
    if (this.#phase === READY) this.transition(CLOSED);
  }

  /**
   * Rewrites the batch without the records that were taken out. It keeps what it has of the buffer memory. When it throws,
   * because there is no buffer to be had, the batch is as it was; so it is with {@link refuse}.
   */
  compact(): void {
    if (this.#dropped === undefined) return;
    this.#rewrite(this.#dropped);
    this.#dropped = undefined;
  }

  /** How many records the broker has refused one by one that are yet to be settled. */
  get refusedCount(): number {
    return this.#refused.length;
  }

  /** Why records of it have failed; undefined if none has. */
  get failure(): KafkaError | undefined {
    const { outcome } = this;
    return outcome !== undefined && "error" in outcome ? outcome.error : this.#refused[0]?.error;
  }

  /**
   * Takes out the records that the broker has refused, by their places; they fail in their order among the others.
   * It appended none of the batch, so what is left can go out again. It keeps what it has of the buffer memory.
   */
  refuse(errors: ReadonlyMap<number, KafkaError>): void {
    const refused: RefusedRecord[] = [];
    let earlier = 0;
    for (let index = 0, before = 0; index <= this.recordCount; index++) {
      // One that was refused before stands in front of the one that is at this place now.
      while (this.#refused[earlier]?.before === index) refused.push({ ...this.#refused[earlier++]!, before });
      const error = errors.get(index);
      if (error === undefined) {
        before += 1;
        continue;
      }
      refused.push({ before, error, receipt: this.#receipts[index] });
    }
    this.#rewrite(errors);
    this.#refused = refused;
    for (const { receipt } of refused) if (typeof receipt === "object") receipt.left?.();
    this.wire = undefined;
  }

  #rewrite(without: { has(index: number): boolean }): void {
    const records = this.#decode();
    const buffer = this.#buffer;
    // First, because it is all that can fail.
    this.#buffer = this.#pool.take(this.length);
    const receipts = this.#receipts.splice(0);
    this.spareBytes += this.chargedBytes;
    this.#timestampDeltas = NO_DELTAS;
    this.recordCount = 0;
    this.length = BATCH_OVERHEAD;
    this.chargedBytes = BATCH_OVERHEAD;
    for (const [index, [record, timestamp]] of records.entries()) {
      if (without.has(index)) continue;
      this.append(record, timestamp, receipts[index], Infinity);
    }
    this.spareBytes -= this.chargedBytes;
    // A socket may still read the old bytes; nothing has been written of the new ones.
    if (!this.socketMayHoldBytes) this.#pool.give(buffer);
    this.socketMayHoldBytes = false;
  }

  /**
   * Makes the bytes that will be sent, all but the producer's stamp: it takes no more records. Undefined if they are there
   * at once; a promise if the codec answers later. Fails with a `CompressionError`. There are none if it has ended
   * meanwhile, or records were taken out of it.
   */
  encode(codec: Compressor | undefined, attributes: number): Promise<void> | undefined {
    this.close();
    this.compact();
    if (codec === undefined) {
      this.#finish(this.#buffer.subarray(0, this.length), attributes);
      return undefined;
    }
    // Also while one is at work that answers at once: it may call back, and records be taken out meanwhile.
    this.transition(ENCODING);
    const compressed = codec.compress(this.#buffer.subarray(BATCH_OVERHEAD, this.length));
    const all = codec.id | attributes;
    if (!(compressed instanceof Uint8Array)) return compressed.then((bytes) => this.#finishCompressed(bytes, all));
    this.#finishCompressed(compressed, all);
    return undefined;
  }

  /** Gives it a stamp: on the first drain, and again only after an epoch bump. */
  setStamp(stamp: ProducerStamp): void {
    if (this.socketMayHoldBytes) this.wire = this.wire?.slice();
    this.stamp = stamp;
    this.misnumbered = false;
  }

  /** Writes the stamp and the checksum; from here on the bytes are what every attempt sends. */
  seal(): void {
    if (this.#sealedStamp === this.stamp) return;
    sealBatch(this.wire!, this.stamp, crc32c);
    this.#sealedStamp = this.stamp;
  }

  /**
   * Divides a batch that is too large for the broker into two, in order, which share its sequences if it has any. This
   * batch is of no more use then. When it throws, because there is no buffer to be had, the batch is as it was.
   */
  split(): [Batch<P>, Batch<P>] {
    try {
      return this.#halves();
    } catch (error) {
      // Some have entered a half that comes to nothing.
      for (const [index, receipt] of this.#receipts.entries()) {
        if (typeof receipt === "object") receipt.entered?.(this, index);
      }
      throw error;
    }
  }

  #halves(): [Batch<P>, Batch<P>] {
    const records = this.#decode();
    const middle = this.recordCount >> 1;
    const parts = [[0, middle], [middle, this.recordCount]].map(([from, to]) => {
      const part = new Batch(this.partition, this.createdMs, this.deadlineMs, this.length >> 1, this.#pool);
      for (let index = from!; index < to!; index++) {
        const [record, timestamp] = records[index]!;
        part.append(record, timestamp, this.#receipts[index], Infinity);
      }
      part.close();
      part.lastError = this.lastError;
      part.persisted = this.persisted;
      part.dividedInDoubt = this.dividedInDoubt || this.persisted !== "no";
      part.sentUnder = this.sentUnder;
      part.sentByName = this.sentByName;
      part.misnumbered = this.misnumbered;
      part.ordinalSpan = this.drained ? this.ordinalSpan / 2 : 1;
      return part;
    }) as [Batch<P>, Batch<P>];
    const { producerId, producerEpoch, baseSequence } = this.stamp;
    parts[0].ordinal = this.ordinal;
    parts[0].stamp = this.stamp;
    parts[1].ordinal = this.drained ? this.ordinal + this.ordinalSpan / 2 : -1;
    const next = baseSequence < 0 ? -1 : (baseSequence + middle) % SEQUENCE_SPACE;
    parts[1].stamp = { producerId, producerEpoch, baseSequence: next };
    for (const refused of this.#refused) {
      const { before } = refused;
      const part = parts[before <= middle ? 0 : 1];
      part.#refused = [...part.#refused, before <= middle ? refused : { ...refused, before: before - middle }];
    }
    this.recycle();
    return parts;
  }

  /**
   * True if it may be in a topic that was created again after it was sent: a request that names a topic by its name
   * is good for every topic of that name.
   */
  get mayBeInOlderTopic(): boolean {
    return this.persisted !== "no" && this.sentByName && this.sentUnder !== this.partition.topic.metadata.topicId;
  }

  /** The highest timestamp among the records. */
  get maxTimestamp(): number {
    return this.#maxTimestamp;
  }

  /** What the records get after a success. */
  resultOf(baseOffset: bigint, logAppendTimeMs: number, delivery: BatchResult["delivery"]): BatchResult {
    return new BatchResult(baseOffset, logAppendTimeMs, this.#baseTimestamp, delivery);
  }

  /** Passes the outcome to the receipts of all records. Called once. What a callback throws goes to `onThrow`. */
  settle(onThrow: OnThrow): void {
    const outcome = this.outcome!;
    if ("result" in outcome) this.#deliver(outcome.result, onThrow);
    else this.#fail(outcome.error, outcome.errors, onThrow);
    this.#receipts = NO_RECEIPTS;
    // Of the very first batch too: until a field is written a second time, the engine compiles its value as a constant.
    this.#timestampDeltas = NO_RECEIPTS;
  }

  #deliver(result: BatchResult, onThrow: OnThrow): void {
    const { recordCount } = this;
    const receipts = this.#receipts;
    const refused = this.#refused;
    const { topic: { name }, index: partition } = this.partition;
    const deltas = result.logAppendTimeMs < 0 ? this.#timestampDeltas : NO_DELTAS;
    let settled = 0;
    const isPlaced = result.baseOffset >= 0n;
    // Counted up from record to record, which takes one bigint for each; the base and the index would be two.
    let offset = result.baseOffset;
    let offsetIndex = 0;
    for (let index = 0; index < recordCount; index++) {
      if (settled < refused.length) settled = this.#settleRefused(settled, index, onThrow);
      const receipt = receipts[index];
      if (receipt === undefined) continue;
      if (isPlaced && index > offsetIndex) offset += index === offsetIndex + 1 ? 1n : BigInt(index - offsetIndex);
      offsetIndex = index;
      const delta = deltas[index] ?? 0;
      // The number itself while it will do: the engine makes an object of each sum.
      const timestamp = delta === 0 ? result.timestampMs : result.timestampMs + delta;
      const metadata = new RecordMetadata(name, partition, offset, timestamp, result.delivery);
      // Most receipts are a resolve function.
      if (typeof receipt === "function") receipt(metadata);
      else deliver(receipt, metadata, onThrow);
    }
    if (settled < refused.length) this.#settleRefused(settled, recordCount, onThrow);
  }

  #fail(error: KafkaError, errors: ReadonlyMap<number, KafkaError> | undefined, onThrow: OnThrow): void {
    const { recordCount } = this;
    const refused = this.#refused;
    let settled = 0;
    // One rejected promise for all that share the error.
    const rejected = rejectedPromise(error);
    for (let index = 0; index < recordCount; index++) {
      if (settled < refused.length) settled = this.#settleRefused(settled, index, onThrow);
      const own = errors?.get(index);
      if (own === undefined) fail(this.#receipts[index], error, rejected, onThrow);
      else fail(this.#receipts[index], own, rejectedPromise(own), onThrow);
    }
    if (settled < refused.length) this.#settleRefused(settled, recordCount, onThrow);
  }

  /** Fails the refused records that stand in front of a place, from the given one on; returns the next one. */
  #settleRefused(from: number, index: number, onThrow: OnThrow): number {
    let next = from;
    for (; this.#refused[next]?.before === index; next++) {
      const { error, receipt } = this.#refused[next]!;
      fail(receipt, error, rejectedPromise(error), onThrow);
    }
    return next;
  }

  /** Gives the buffers back. Only when no socket and no retry can need them: after an answer, or if never sent. */
  recycle(): void {
    if (!this.#inUse) return;
    this.#inUse = false;
    this.wire = undefined;
    if (!this.socketMayHoldBytes) this.#pool.give(this.#buffer);
  }

  /** The records as they were appended, with their timestamps. */
  #decode(): [record: RecordBytes, timestamp: number][] {
    const records = readRecords(this.#buffer.subarray(BATCH_OVERHEAD, this.length), this.recordCount);
    return records.map((record, index) => [record, this.#baseTimestamp + (this.#timestampDeltas[index] ?? 0)]);
  }

  #grow(needed: number): void {
    const grown = this.#pool.take(needed);
    grown.set(this.#buffer.subarray(0, this.length));
    this.#pool.give(this.#buffer);
    this.#buffer = grown;
  }

  #finishCompressed(compressed: Uint8Array, attributes: number): void {
    const bytes = new Uint8Array(BATCH_OVERHEAD + lengthOf(compressed));
    bytes.set(compressed, BATCH_OVERHEAD);
    this.#finish(bytes, attributes);
  }

  #finish(bytes: Uint8Array, attributes: number): void {
    // It has ended while the codec was at work.
    if (this.#phase === DONE) return;
    // A record was taken out meanwhile: it has to begin again.
    if (this.#dropped !== undefined) return this.transition(CLOSED);
    writeBatchHeader(bytes, attributes, this.recordCount, this.#baseTimestamp, this.#maxTimestamp);
    this.wire = bytes;
    this.#sealedStamp = undefined;
    this.transition(READY);
  }
}

/**
 * A list that has held a fraction once: to the engine all of them are of one kind then, whatever numbers they get, and
 * what reads them isn't compiled again for another.
 */
function emptyDeltas(): number[] {
  const deltas = [0.5];
  deltas.pop();
  return deltas;
}
