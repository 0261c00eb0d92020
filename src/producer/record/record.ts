/**
 * What goes in, a record, and what comes back, its metadata.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";

/** What a header may hold. Strings are sent as UTF-8; a lone surrogate, which UTF-8 can't carry, as U+FFFD. */
export type HeaderValue = string | Uint8Array | null;

/**
 * A record's headers: an object, or pairs where order and repeats matter. A name must be
 * well-formed text; a header that is undefined is left out.
 */
export type Headers =
  | Readonly<Record<string, HeaderValue | undefined>>
  | Iterable<readonly [string, HeaderValue | undefined]>;

/**
 * A record to produce. Its fields are read once and its bytes copied before the call returns, whatever they are made of:
 * a `Buffer`, a view of shared, growing or WebAssembly's memory. The caller may use his own again at once.
 *
 * Strings are sent as UTF-8, which can't carry half of a surrogate pair: in a value it becomes U+FFFD, as with
 * `TextEncoder`; a key with one is refused, or two different keys would become one.
 */
export interface ProducerRecord<K = string | Uint8Array, V = string | Uint8Array> {
  /** Where it goes. */
  readonly topic: string;
  /** Records with the same key go to the same partition, in order. `null` or absent is no key; `""` is a key. */
  readonly key?: K | null | undefined;
  /** The payload; `null` is a tombstone. `undefined` is an error. */
  readonly value: V | null;
  /** Chooses the partition by hand. */
  readonly partition?: number | undefined;
  /** Ms since the epoch. @default the time of the call */
  readonly timestamp?: number | undefined;
  /** Application data beside the value. */
  readonly headers?: Headers | undefined;
}

/** How a record got into the log, as far as it is known. */
export type Delivery = "acked" | "duplicate" | "unacknowledged";

/** What the records of one batch have in common once the batch has been answered. */
export class BatchResult {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record, −1 if it isn't known. */
  readonly baseOffset: bigint;
  /** The broker's timestamp for all records, −1 if each has its own. */
  readonly logAppendTimeMs: number;
  readonly baseTimestampMs: number;
  readonly timestampDeltas: readonly number[];
  readonly delivery: Delivery;

  /** Keeps what the broker answered and what the batch knew of its records. */
  constructor(
    topic: string,
    partition: number,
    baseOffset: bigint,
    logAppendTimeMs: number,
    baseTimestampMs: number,
    timestampDeltas: readonly number[],
    delivery: Delivery,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.baseOffset = baseOffset;
    this.logAppendTimeMs = logAppendTimeMs;
    this.baseTimestampMs = baseTimestampMs;
    this.timestampDeltas = timestampDeltas;
    this.delivery = delivery;
  }

  /** What the record at an index of the batch is told. */
  metadataOf(index: number): RecordMetadata {
    const { topic, partition, baseOffset, logAppendTimeMs, baseTimestampMs, timestampDeltas, delivery } = this;
    const offset = baseOffset < 0n ? -1n : baseOffset + BigInt(index);
    const timestamp = logAppendTimeMs >= 0 ? logAppendTimeMs : baseTimestampMs + (timestampDeltas[index] ?? 0);
    return new RecordMetadata(topic, partition, offset, timestamp, delivery);
  }
}

/**
 * Where a record is now: plain fields, so that spread, equality, `structuredClone` and `postMessage` have all of them.
 * JSON has the offset as a decimal string.
 */
export class RecordMetadata {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset; −1n where nobody knows it (acks 0, or a duplicate that the broker doesn't place). */
  readonly offset: bigint;
  /** Ms since the epoch: the broker's time on a LogAppendTime topic, else the record's own. */
  readonly timestamp: number;
  /** `"acked"`, `"duplicate"` (it was in the log already) or `"unacknowledged"` (acks 0). */
  readonly delivery: Delivery;

  /** Keeps what is told of a record. */
  constructor(topic: string, partition: number, offset: bigint, timestamp: number, delivery: Delivery) {
    // Made for each record, read or not: measured, it costs no more than to compute the fields when they are read.
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.timestamp = timestamp;
    this.delivery = delivery;
  }

  /** A plain object; the offset is a string, because JSON has no bigint. */
  toJSON(): { topic: string; partition: number; offset: string; timestamp: number; delivery: Delivery } {
    return { ...this, offset: String(this.offset) };
  }
}

/** Called once with the outcome: an error and no metadata, or null and the metadata. */
export type DeliveryCallback = (error: KafkaError | null, metadata: RecordMetadata | null) => void;

/** What may be said with a record. */
export interface SendOptions {
  /** Called with the outcome, before the promise settles. What it throws is logged and ignored. */
  readonly onDelivery?: DeliveryCallback | undefined;
  /** Called when the record was delivered. */
  readonly onSuccess?: ((metadata: RecordMetadata) => void) | undefined;
  /** Called when it wasn't, or when nobody knows. */
  readonly onError?: ((error: KafkaError) => void) | undefined;
  /**
   * Takes the record back when it is aborted. As long as the record has not left, it is taken out and fails with an
   * `AbortError` whose `persisted` is `"no"`; later it fails at once with `"possibly"`, and its delivery goes on. Either
   * way the reason of the signal is the error's `cause`. One signal may serve any number of sends.
   */
  readonly signal?: AbortSignal | undefined;
}
