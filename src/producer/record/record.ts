/**
 * What goes in: a record, and what may be said with it.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";
import type { RecordMetadata } from "./delivery.ts";

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
 * a `Buffer`, a view of shared, growing or WebAssembly's memory. The caller may reuse its own at once.
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
