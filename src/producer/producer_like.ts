/**
 * A producer as a type without the class, so that code can take the real one and, in its tests, another.
 *
 * @module
 */

import type { ClusterSnapshot } from "../cluster/snapshot.ts";
import type { KafkaError } from "../errors.ts";
import type { ProducerMetrics } from "./observe/metrics.ts";
import type { PartitionInfo } from "./producer.ts";
import type { ProducerRecord } from "./record/record.ts";
import type { RecordMetadata } from "./record/delivery.ts";
import type { WaitOptions } from "./within.ts";

/** What {@link RecordMetadata} tells, without the class. */
export type RecordMetadataLike = Pick<RecordMetadata, keyof RecordMetadata>;

/** What may be said with a record. */
export interface SendOptionsLike {
  /** Called with the outcome, before the promise settles. */
  readonly onDelivery?: (error: KafkaError | null, metadata: RecordMetadataLike | null) => void;
  /** Called when the record was delivered. */
  readonly onSuccess?: (metadata: RecordMetadataLike) => void;
  /** Called when it wasn't, or when nobody knows. */
  readonly onError?: (error: KafkaError) => void;
  /** Takes the record back if it hasn't left yet. */
  readonly signal?: AbortSignal;
}

/** One settled result per record when it is awaited; `all()` rejects with the first error instead. */
export interface BatchDeliveryLike extends PromiseLike<PromiseSettledResult<RecordMetadataLike>[]> {
  /** One promise per record. */
  readonly promises: readonly Promise<RecordMetadataLike>[];
  /** Resolves with the metadata of all records, or rejects with the first error. */
  all(): Promise<RecordMetadataLike[]>;
}

/**
 * What `Producer` and the `RecordingProducer` of `@sluice/kafka/testing` have in common.
 *
 * @example
 * ```ts
 * import type { ProducerLike } from "@sluice/kafka";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * async function placeOrder(producer: ProducerLike, id: string): Promise<void> {
 *   await producer.send({ topic: "orders", key: id, value: "placed" });
 * }
 *
 * const producer = new RecordingProducer();
 * await placeOrder(producer, "o-1");
 * console.assert(producer.records("orders")[0]?.key === "o-1");
 * ```
 */
export interface ProducerLike<K = string | Uint8Array, V = string | Uint8Array> {
  /** As `Producer.connect`. */
  connect(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** As `Producer.send`. */
  send(record: ProducerRecord<K, V>, options?: SendOptionsLike): Promise<RecordMetadataLike>;
  /** As `Producer.sendBatch`. */
  sendBatch(records: Iterable<ProducerRecord<K, V>>, options?: SendOptionsLike): BatchDeliveryLike;
  /** As `Producer.produce`. */
  produce(record: ProducerRecord<K, V>, onDelivery?: SendOptionsLike["onDelivery"]): boolean;
  /** As `Producer.ready`. */
  ready(): Promise<void>;
  /** As `Producer.writable`. */
  writable(): WritableStream<ProducerRecord<K, V>>;
  /** A stream of the values of one topic. */
  writable(topic: string): WritableStream<V | null>;
  /** As `Producer.flush`. */
  flush(options?: WaitOptions): Promise<void>;
  /** As `Producer.close`. */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** As `Producer.partitionsFor`. */
  partitionsFor(topic: string): Promise<PartitionInfo[]>;
  /** As `Producer.refreshMetadata`. */
  refreshMetadata(topic?: string): Promise<void>;
  /** As `Producer.metrics`. */
  metrics(): ProducerMetrics;
  /** As `Producer.snapshot`. */
  snapshot(): ClusterSnapshot;
  /** As `Producer.isIdempotent`. */
  isIdempotent(): boolean;
}
