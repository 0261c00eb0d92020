/**
 * What goes in, a record, and what comes back, its metadata.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";
import { INSPECT_SYMBOLS } from "../runtime/inspect.ts";

/** What a header may hold. Strings are sent as UTF-8. */
export type HeaderValue = string | Uint8Array | null;

/** A record's headers: an object, or pairs where order and repeats matter. */
export type Headers = Readonly<Record<string, HeaderValue>> | Iterable<readonly [string, HeaderValue]>;

/** A record to produce. */
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
}

/** Where a record is now. Computed from its batch's answer when it is read. */
export class RecordMetadata {
  readonly #batch: BatchResult;
  readonly #index: number;

  /** Takes the answer of the batch and the record's place in it. */
  constructor(batch: BatchResult, index: number) {
    this.#batch = batch;
    this.#index = index;
  }

  /** The topic. */
  get topic(): string {
    return this.#batch.topic;
  }

  /** The partition. */
  get partition(): number {
    return this.#batch.partition;
  }

  /** The offset; −1n where nobody knows it (acks 0, or a duplicate that the broker doesn't place). */
  get offset(): bigint {
    const { baseOffset } = this.#batch;
    return baseOffset < 0n ? -1n : baseOffset + BigInt(this.#index);
  }

  /** Ms since the epoch: the broker's time on a LogAppendTime topic, else the record's own. */
  get timestamp(): number {
    const { logAppendTimeMs, baseTimestampMs, timestampDeltas } = this.#batch;
    return logAppendTimeMs >= 0 ? logAppendTimeMs : baseTimestampMs + (timestampDeltas[this.#index] ?? 0);
  }

  /** `"acked"`, `"duplicate"` (it was in the log already) or `"unacknowledged"` (acks 0). */
  get delivery(): Delivery {
    return this.#batch.delivery;
  }

  /** A plain object; the offset is a string, because JSON has no bigint. */
  toJSON(): { topic: string; partition: number; offset: string; timestamp: number; delivery: Delivery } {
    const { topic, partition, timestamp, delivery } = this;
    return { topic, partition, offset: String(this.offset), timestamp, delivery };
  }
}

// The fields are getters over private state; without this `console.log` would show an empty object.
for (const inspect of INSPECT_SYMBOLS) {
  Object.defineProperty(RecordMetadata.prototype, inspect, {
    value(this: RecordMetadata): string {
      const { topic, partition, offset, timestamp, delivery } = this;
      return `RecordMetadata { ${topic}-${partition} @ ${offset}, timestamp: ${timestamp}, delivery: "${delivery}" }`;
    },
  });
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
