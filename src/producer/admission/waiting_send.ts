/**
 * Records that can't enter a batch yet: there is no memory for them, or their topic isn't known.
 *
 * @module
 */

import { BufferFullError, DeliveryTimeoutError, type KafkaError, TimeoutError } from "../../errors.ts";
import { copyInto, copyOfBytes } from "../../protocol/byte_arrays.ts";
import { errorOf } from "../../protocol/error_codes.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { show } from "../../show.ts";
import type { Resolve } from "../accumulator/batch.ts";
import { type MemoryWaiter, OBJECT_BYTES } from "../accumulator/buffer_memory.ts";
import type { Explanation } from "../observe/diagnosis.ts";
import type { KeptRecord } from "../record/kept_record.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { SendOptions } from "../record/record.ts";
import type { Topic, TopicWaiter } from "../accumulator/topic.ts";
import type { Moment } from "../accumulator/turn_clock.ts";

/** What is kept of a record besides its bytes. */
export interface Waiting {
  /** The partition that the caller chose. */
  readonly partition: number | undefined;
  /** The timestamp that the caller chose. */
  readonly timestamp: number | undefined;
  /** There for a partitioner that wants to see it. */
  readonly record: KeptRecord | undefined;
  readonly resolve: Resolve | undefined;
  readonly callbacks: SendOptions | undefined;
  /** Its place in the order of all that ever waited. */
  readonly ordinal: number;
}

/** A record that has its memory and waits for metadata. Its bytes are its own. */
export class PendingSend implements TopicWaiter {
  readonly topic: Topic;
  /** When it was handed over: all time limits count from here. */
  readonly since: Moment;
  readonly waiting: Waiting;
  readonly bytes: RecordBytes;
  /** What it has of the buffer memory. */
  readonly reservedBytes: number;
  gone = false;

  readonly #onTopic: (send: PendingSend) => boolean;

  /** Waits until `onTopic` says that it need not wait any more. */
  constructor(
    topic: Topic,
    since: Moment,
    waiting: Waiting,
    bytes: RecordBytes,
    reservedBytes: number,
    onTopic: (send: PendingSend) => boolean,
  ) {
    this.topic = topic;
    this.since = since;
    this.waiting = waiting;
    this.bytes = bytes;
    this.reservedBytes = reservedBytes;
    this.#onTopic = onTopic;
  }

  onTopic(): boolean {
    return this.#onTopic(this);
  }
}

/** A buffer that fills up with runs, one after the other. */
export class Chunk {
  readonly bytes: Uint8Array;
  used = 0;

  /** Makes room for so many bytes. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** How many bytes are left. */
  get left(): number {
    return this.bytes.length - this.used;
  }
}

/**
 * Records that one turn sends to one topic while there is no memory. Hundreds of thousands may wait after a burst, and
 * whatever is an object is moved about by the garbage collector while it waits: so they share one, and their buffer.
 */
export class PendingRun implements MemoryWaiter {
  readonly topic: Topic;
  /** When they were handed over. */
  readonly since: Moment;
  /** The ordinal of the first. */
  readonly ordinal: number;
  /** For a run of one: what others don't have. */
  timestamp: number | undefined;
  record: KeptRecord | undefined;
  headers: Uint8Array | null = null;

  readonly #onMemory: (run: PendingRun) => void;
  readonly #chunk: Chunk;
  readonly #resolves: (Resolve | undefined)[] = [];
  readonly #wanted: number[] = [];
  /** Length of each key, −1 for none. */
  readonly #keyLengths: number[] = [];
  readonly #valueLengths: number[] = [];
  #callbacks: (SendOptions | undefined)[] | undefined;
  #partitions: (number | undefined)[] | undefined;
  /** Where the first that still waits begins in the chunk. */
  #start: number;
  #next = 0;

  /** Starts an empty run at the end of what is used of a chunk; `onMemory` is called for each record in its turn. */
  constructor(topic: Topic, since: Moment, ordinal: number, chunk: Chunk, onMemory: (run: PendingRun) => void) {
    this.topic = topic;
    this.since = since;
    this.ordinal = ordinal;
    this.#chunk = chunk;
    this.#start = chunk.used;
    this.#onMemory = onMemory;
  }

  /** True while a record of that size may be added at this time. */
  takes(topic: Topic, since: Moment, length: number, chunk: Chunk): boolean {
    return this.topic === topic && this.since === since && this.#chunk === chunk && length <= chunk.left && !this.gone;
  }

  /** Copies a record to the end. */
  add(
    { key, keyLength, value, valueLength }: RecordBytes,
    partition: number | undefined,
    bytesWanted: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
  ): void {
    const { bytes, used } = this.#chunk;
    if (key !== null) copyInto(bytes, used, key, keyLength);
    if (value !== null) copyInto(bytes, used + keyLength, value, valueLength);
    this.#chunk.used += keyLength + valueLength;
    const index = this.#resolves.length;
    this.#resolves.push(resolve);
    this.#wanted.push(bytesWanted);
    this.#keyLengths.push(key === null ? -1 : keyLength);
    this.#valueLengths.push(value === null ? -1 : valueLength);
    if (callbacks !== undefined) (this.#callbacks ??= [])[index] = callbacks;
    if (partition !== undefined) (this.#partitions ??= [])[index] = partition;
  }

  /** How many still wait. */
  get left(): number {
    return this.#resolves.length - this.#next;
  }

  get gone(): boolean {
    return this.#next >= this.#resolves.length;
  }

  get isLast(): boolean {
    return this.#next === this.#resolves.length - 1;
  }

  get bytesWanted(): number {
    return this.#wanted[this.#next]!;
  }

  onMemory(): void {
    this.#onMemory(this);
  }

  /** What is known of the first that waits, and its bytes, where they stand. */
  first(): [waiting: Waiting, bytes: RecordBytes] {
    const index = this.#next;
    const waiting = {
      partition: this.#partitions?.[index],
      timestamp: this.timestamp,
      record: this.record,
      resolve: this.#resolves[index],
      callbacks: this.#callbacks?.[index],
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
    this.#resolves[index] = undefined;
    this.#start += length;
    this.#next = index + 1;
    return OBJECT_BYTES + length + (this.headers?.length ?? 0);
  }
}

/** What a record would hold while it stands in line. */
export function bytesHeldBy({ keyLength, valueLength, headersLength }: RecordBytes): number {
  return OBJECT_BYTES + keyLength + valueLength + headersLength;
}

/** A copy of a record's bytes that nobody shares. */
export function copyOf({ key, keyLength, value, valueLength, headers, headersLength }: RecordBytes): RecordBytes {
  return {
    key: key && copyOfBytes(key, keyLength),
    keyLength,
    value: value && copyOfBytes(value, valueLength),
    valueLength,
    headers: headers && copyOfBytes(headers, headersLength),
    headersLength,
  };
}

/** Why a send has waited in vain: for memory, for a topic that there isn't, or for a broker to ask. */
export function lateError(
  send: PendingSend | PendingRun,
  options: ResolvedOptions,
  { reason, advice, error }: Explanation,
): KafkaError {
  const { maxBlockMs, deliveryTimeoutMs } = options;
  const byDelivery = deliveryTimeoutMs < maxBlockMs;
  const limit = byDelivery ? `${deliveryTimeoutMs} ms (deliveryTimeoutMs)` : `${maxBlockMs} ms (maxBlockMs)`;
  const topic = send.topic.name;
  if (send instanceof PendingRun) {
    const message = `Send slower or raise "bufferMemory": there was no room for ${send.bytesWanted} bytes within ` +
      `${limit}. ${reason}`;
    const context = { topic, cause: error };
    return byDelivery ? new DeliveryTimeoutError(message, context) : new BufferFullError(message, context);
  }
  const { errorCode } = send.topic.metadata;
  if (errorCode !== 0 && error?.errorCode === errorCode) {
    return new TimeoutError(`Topic ${show(topic)} could not be found within ${limit}. ${reason} ${advice}`, {
      code: errorOf(errorCode).name,
      errorCode,
      topic,
      cause: error,
    });
  }
  const message = `Topic ${show(topic)} could not be looked up within ${limit}. ${reason} ${advice}`;
  const context = { topic, cause: error };
  return byDelivery ? new DeliveryTimeoutError(message, context) : new TimeoutError(message, context);
}
