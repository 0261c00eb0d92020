/**
 * What became of the records of one `sendBatch` call.
 *
 * @module
 */

import type { RecordMetadata } from "./record.ts";

/**
 * Awaited, it gives one settled result per record, in the order of the records, and never rejects; `all()` rejects
 * with the first error instead, and `promises` are the records' own.
 */
export class BatchDelivery implements PromiseLike<PromiseSettledResult<RecordMetadata>[]> {
  /** One promise per record. Taking it makes unhandled rejections the caller's business. */
  readonly promises: readonly Promise<RecordMetadata>[];
  readonly #settled: Promise<PromiseSettledResult<RecordMetadata>[]>;

  /** Takes the promises of the records, in order. */
  constructor(promises: readonly Promise<RecordMetadata>[]) {
    this.promises = promises;
    this.#settled = Promise.allSettled(promises);
  }

  /** Resolves with a result per record. */
  then<A = PromiseSettledResult<RecordMetadata>[], B = never>(
    onFulfilled?: ((results: PromiseSettledResult<RecordMetadata>[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled.then(onFulfilled, onRejected);
  }

  /** Resolves with the metadata of all records, or rejects with the first error. */
  all(): Promise<RecordMetadata[]> {
    return Promise.all(this.promises);
  }
}
