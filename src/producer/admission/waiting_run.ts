/**
 * Records that wait for memory.
 *
 * @module
 */

import { copyInto } from "../../byte_arrays.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { type MemoryWaiter, OBJECT_BYTES } from "../accumulator/buffer_memory.ts";
import type { TopicQueues } from "../accumulator/topic_queues.ts";
import type { Moment } from "../accumulator/turn_clock.ts";
import type { KeptRecord } from "../record/kept_record.ts";
import type { Receipt } from "../record/receipt.ts";
import type { Waiting } from "./waiting_send.ts";

/** A buffer that fills up with runs, one after the other. */
export class Chunk {
  readonly bytes: Uint8Array;
  used = 0;

  /** Makes room for `size` bytes. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** How many bytes are left. */
  get left(): number {
    return this.bytes.length - this.used;
  }
}

/**
 * Records that one turn sends to one topic while there is no memory. After a burst, hundreds of thousands of records wait.
 * One object and one buffer per turn keep them out of the collector's way.
 */
export class WaitingRun implements MemoryWaiter {
  readonly topic: TopicQueues;
  /** When they were handed over. */
  readonly since: Moment;
  /** The ordinal of the first. */
  readonly ordinal: number;
  /** For a run of one: what others don't have. */
  timestamp: number | undefined;
  record: KeptRecord | undefined;
  headers: Uint8Array | null = null;

  readonly #room: { onMemory(run: WaitingRun): void };
  readonly #chunk: Chunk;
  readonly #receipts: Receipt[] = [];
  readonly #wanted: number[] = [];
  /** Length of each key, −1 for none. */
  readonly #keyLengths: number[] = [];
  readonly #valueLengths: number[] = [];
  #partitions: (number | undefined)[] | undefined;
  /** Where the first that still waits begins in the chunk. */
  #start: number;
  #next = 0;

  /** Starts an empty run at the end of what is used of a chunk; its room hears of each record in its turn. */
  constructor(
    topic: TopicQueues,
    since: Moment,
    ordinal: number,
    chunk: Chunk,
    room: { onMemory(run: WaitingRun): void },
  ) {
    this.topic = topic;
    this.since = since;
    this.ordinal = ordinal;
    this.#chunk = chunk;
    this.#start = chunk.used;
    this.#room = room;
  }

  /** True while a record of that size may be added at this time. */
  takes(topic: TopicQueues, since: Moment, length: number, chunk: Chunk): boolean {
    return this.topic === topic && this.since === since && this.#chunk === chunk && length <= chunk.left && !this.gone;
  }

  /** Copies a record to the end. */
  add(
    { key, keyLength, value, valueLength }: RecordBytes,
    partition: number | undefined,
    bytesWanted: number,
    receipt: Receipt,
  ): void {
    const { bytes, used } = this.#chunk;
    if (key !== null) copyInto(bytes, used, key, keyLength);
    if (value !== null) copyInto(bytes, used + keyLength, value, valueLength);
    this.#chunk.used += keyLength + valueLength;
    const index = this.#receipts.length;
    this.#receipts.push(receipt);
    this.#wanted.push(bytesWanted);
    this.#keyLengths.push(key === null ? -1 : keyLength);
    this.#valueLengths.push(value === null ? -1 : valueLength);
    if (partition !== undefined) (this.#partitions ??= [])[index] = partition;
  }

  /** How many still wait. */
  get left(): number {
    return this.#receipts.length - this.#next;
  }

  get gone(): boolean {
    return this.#next >= this.#receipts.length;
  }

  get isLast(): boolean {
    return this.#next === this.#receipts.length - 1;
  }

  get bytesWanted(): number {
    return this.#wanted[this.#next]!;
  }

  onMemory(): void {
    this.#room.onMemory(this);
  }

  /** What is known of the first that waits, and its bytes, where they stand. */
  first(): [waiting: Waiting, bytes: RecordBytes] {
    const index = this.#next;
    const waiting = {
      partition: this.#partitions?.[index],
      timestamp: this.timestamp,
      record: this.record,
      receipt: this.#receipts[index],
      ordinal: this.ordinal + index,
    };
    const [keyAt, keyLength, valueLength] = [this.#start, this.#keyLengths[index]!, this.#valueLengths[index]!];
    const valueAt = keyAt + Math.max(0, keyLength);
    // Cheaper than `subarray`, and this is done for every record.
    const { buffer } = this.#chunk.bytes;
    return [waiting, {
      key: keyLength < 0 ? null : new Uint8Array(buffer, keyAt, keyLength),
      keyLength: Math.max(0, keyLength),
      value: valueLength < 0 ? null : new Uint8Array(buffer, valueAt, valueLength),
      valueLength: Math.max(0, valueLength),
      headers: this.headers,
      headersLength: this.headers?.length ?? 0,
    }];
  }

  /** The first that waits doesn't wait any more. Returns what it held. */
  shift(): number {
    const index = this.#next;
    const length = Math.max(0, this.#keyLengths[index]!) + Math.max(0, this.#valueLengths[index]!);
    this.#receipts[index] = undefined;
    this.#start += length;
    this.#next = index + 1;
    return OBJECT_BYTES + length + (this.headers?.length ?? 0);
  }
}

/** What a record would hold while it stands in line. */
export function bytesHeldBy({ keyLength, valueLength, headersLength }: RecordBytes): number {
  return OBJECT_BYTES + keyLength + valueLength + headersLength;
}
