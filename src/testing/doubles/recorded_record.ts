/**
 * What a recording producer keeps and gives back, in the shapes of the real one.
 *
 * @module
 */

import { isObject, refuse } from "../../call_options.ts";
import { KafkaError } from "../../errors.ts";
import { isByteArray } from "../../byte_arrays.ts";
import { show } from "../../show.ts";
import type { RecordText } from "../record_text.ts";

/** A record as the real producer takes it. */
export interface RecordedInput<K, V> {
  /** Where it goes. */
  readonly topic: string;
  /** Its key, if any. */
  readonly key?: K | null | undefined;
  /** The payload. */
  readonly value: V | null;
  /** The partition, if it is to be a certain one. */
  readonly partition?: number | undefined;
  /** Ms since the epoch. @default the time of the call */
  readonly timestamp?: number | undefined;
  /** Application data. */
  readonly headers?:
    | Readonly<Record<string, string | Uint8Array | null | undefined>>
    | Iterable<readonly [string, string | Uint8Array | null | undefined]>
    | undefined;
}

/** A record that a recording producer was given. */
export interface RecordedRecord<K, V> extends RecordText {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The key, null for none; a copy if it is bytes. */
  readonly key: K | null;
  /** The value, null for a tombstone; a copy if it is bytes. */
  readonly value: V | null;
  /** The headers, in order. */
  readonly headers: readonly (readonly [string, string | Uint8Array | null])[];
  /** Ms since the epoch. */
  readonly timestamp: number;
}

/** What may be said with a record. */
export interface RecordedCallbacks {
  /** Called with the outcome, before the promise settles. */
  readonly onDelivery?: ((error: KafkaError | null, metadata: RecordedMetadata | null) => void) | undefined;
  /** Called when the record was delivered. */
  readonly onSuccess?: ((metadata: RecordedMetadata) => void) | undefined;
  /** Called when it wasn't. */
  readonly onError?: ((error: KafkaError) => void) | undefined;
  /** Takes the record back while it has no outcome. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a record would be. */
export class RecordedMetadata {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset, counted from 0 for each partition. */
  readonly offset: bigint;
  /** The record's own time, in ms since the epoch. */
  readonly timestamp: number;
  /** Always `"acked"`. */
  readonly delivery = "acked";

  /** Keeps what a broker would have answered. */
  constructor(topic: string, partition: number, offset: bigint, timestamp: number) {
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.timestamp = timestamp;
  }

  /** A plain object; the offset is a string, because JSON has no bigint. */
  toJSON(): { topic: string; partition: number; offset: string; timestamp: number; delivery: "acked" } {
    const { topic, partition, timestamp, delivery } = this;
    return { topic, partition, offset: String(this.offset), timestamp, delivery };
  }
}

/** Awaited, one settled result per record; `all()` rejects with the first error instead. */
export class RecordedDelivery implements PromiseLike<PromiseSettledResult<RecordedMetadata>[]> {
  /** One promise per record. */
  readonly promises: readonly Promise<RecordedMetadata>[];
  readonly #settled: Promise<PromiseSettledResult<RecordedMetadata>[]>;

  readonly #refusal: KafkaError | undefined;

  /** Takes the promises of the records, in order; or why there are none, if what was passed is no list of records. */
  constructor(promises: readonly Promise<RecordedMetadata>[], refusal?: KafkaError) {
    this.promises = promises;
    this.#refusal = refusal;
    this.#settled = refusal === undefined ? Promise.allSettled(promises) : Promise.reject(refusal);
    this.#settled.catch(() => {});
  }

  /** Resolves with a result per record. */
  then<A = PromiseSettledResult<RecordedMetadata>[], B = never>(
    onFulfilled?: ((results: PromiseSettledResult<RecordedMetadata>[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled.then(onFulfilled, onRejected);
  }

  /** Resolves with the metadata of all records, or rejects with the first error. */
  all(): Promise<RecordedMetadata[]> {
    return this.#refusal === undefined ? Promise.all(this.promises) : Promise.reject(this.#refusal);
  }
}

/** Chooses a partition, as the `partitioner` of the real producer does. */
export type RecordingPartitioner = (input: {
  readonly topic: string;
  readonly key: unknown;
  readonly keyBytes: Uint8Array | null;
  readonly value: unknown;
  readonly headers: undefined;
  readonly partitionCount: number;
  readonly availablePartitions: readonly number[];
  readonly sizeBytes: number;
  readonly random: () => number;
}) => number;

/** The partitions of a recording producer's topics. */
export class RecordingPartitions {
  readonly #counts: number | Readonly<Record<string, number>>;
  readonly #partitioner: RecordingPartitioner | undefined;
  readonly #random: () => number;

  /** Takes a count for all, or one for each topic. */
  constructor(
    counts: number | Readonly<Record<string, number>>,
    partitioner: RecordingPartitioner | undefined,
    random: () => number,
  ) {
    const isCount = (count: unknown): boolean => Number.isInteger(count) && count as number > 0;
    this.#counts = copyOfCounts(counts);
    const all: unknown[] = isObject(this.#counts) ? Object.values(this.#counts) : [this.#counts];
    const wrong = all.findIndex((count) => !isCount(count));
    if (wrong >= 0) refuse("partitions", "a whole number from 1, or one for each topic", all[wrong]);
    this.#partitioner = partitioner;
    this.#random = random;
  }

  /** How many partitions a topic has. */
  countOf(topic: string): number {
    if (typeof this.#counts === "number") return this.#counts;
    return Object.hasOwn(this.#counts, topic) ? this.#counts[topic]! : 1;
  }

  /** Where a record goes. */
  choose(record: { topic: string; partition?: number | undefined; key?: unknown; value: unknown }): number {
    const { topic, key = null, value } = record;
    const partitionCount = this.countOf(topic);
    const keyBytes = key === null ? null : bytesOf(key);
    const partition = record.partition ?? this.#partitioner?.({
      ...{ topic, key, keyBytes, value, headers: undefined, partitionCount },
      availablePartitions: Array.from({ length: partitionCount }, (_, index) => index),
      sizeBytes: (keyBytes?.length ?? 0) + bytesOf(value).length,
      random: this.#random,
    }) ?? 0;
    if (Number.isInteger(partition) && partition >= 0 && partition < partitionCount) return partition;
    throw new KafkaError(
      `Choose another partition: topic ${show(topic)} has partitions 0 to ${partitionCount - 1}, not ${
        show(partition)
      }.`,
      { code: "INVALID_PARTITION", topic },
    );
  }
}

/** The counts as they are now. */
function copyOfCounts(counts: number | Readonly<Record<string, number>>): typeof counts {
  try {
    return typeof counts === "object" && counts !== null ? { ...counts } : counts;
  } catch {
    refuse("partitions", "an object that can be read", counts);
  }
}

/** Bytes of a key or value as the real producer makes them without a serializer; none of what it couldn't send. */
function bytesOf(value: unknown): Uint8Array {
  if (isByteArray(value)) return value;
  return new TextEncoder().encode(typeof value === "string" ? value : "");
}

const METRICS: readonly RecordingMetric[] = [
  "records_sent",
  "bytes_sent",
  "batches_sent",
  "requests_sent",
  "errors",
  "retries",
  "success_rate",
  "records_pending",
  "batches_pending",
  "record-send-rate",
  "record-error-rate",
  "compression-rate-avg",
  "batch-size-avg",
  "records-per-request-avg",
  "request-latency-avg",
  "request-latency-p50",
  "request-latency-p95",
  "request-latency-p99",
  "record-latency-p50",
  "record-latency-p95",
  "record-latency-p99",
  "record-queue-time-avg",
  "produce-throttle-time-avg",
  "bufferpool-wait-time",
  "buffer-available-bytes",
  "buffer-total-bytes",
  "requests-in-flight",
];

/** The names of the real producer's metrics. */
export type RecordingMetrics = Readonly<Record<RecordingMetric, number>> & { readonly brokers: readonly [] };

/** The names of the metrics that are numbers. */
export type RecordingMetric =
  | "records_sent"
  | "bytes_sent"
  | "batches_sent"
  | "requests_sent"
  | "errors"
  | "retries"
  | "success_rate"
  | "records_pending"
  | "batches_pending"
  | "record-send-rate"
  | "record-error-rate"
  | "compression-rate-avg"
  | "batch-size-avg"
  | "records-per-request-avg"
  | "request-latency-avg"
  | "request-latency-p50"
  | "request-latency-p95"
  | "request-latency-p99"
  | "record-latency-p50"
  | "record-latency-p95"
  | "record-latency-p99"
  | "record-queue-time-avg"
  | "produce-throttle-time-avg"
  | "bufferpool-wait-time"
  | "buffer-available-bytes"
  | "buffer-total-bytes"
  | "requests-in-flight";

/** What makes sense without a broker; the rest is 0. */
export function recordingMetrics(sent: number, failed: number, pending: number): RecordingMetrics {
  const zeros = Object.fromEntries(METRICS.map((name) => [name, 0])) as Record<RecordingMetric, number>;
  return {
    ...zeros,
    brokers: [],
    records_sent: sent,
    errors: failed,
    records_pending: pending,
    success_rate: sent + failed === 0 ? 1 : sent / (sent + failed),
    "compression-rate-avg": 1,
  };
}
