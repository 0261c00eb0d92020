/**
 * What became of the records of one `sendBatch` call.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";
import { rejectedPromise, type Resolve } from "./record/receipt.ts";
import type { RecordMetadata } from "./record/delivery.ts";

/**
 * Awaited, it gives one settled result per record, in the order of the records, and rejects only if it was not given a
 * list of records; `all()` rejects with the first error instead, and `promises` are the records' own.
 */
export class BatchDelivery implements PromiseLike<PromiseSettledResult<RecordMetadata>[]> {
  /** What each record was told; a rejection is a result only some microtasks later. */
  readonly #outcomes: (Parameters<Resolve>[0] | undefined)[] = [];
  readonly #results: PromiseSettledResult<RecordMetadata>[] = [];
  readonly #settled: Promise<PromiseSettledResult<RecordMetadata>[]>;
  #resolveSettled: ((results: PromiseSettledResult<RecordMetadata>[]) => void) | undefined;
  #left: number;
  /** Made when somebody wants them: a promise per record costs more than all else that happens to it. */
  #promises: readonly Promise<RecordMetadata>[] | undefined;
  readonly #resolves: Resolve[] = [];
  /** Callers of `all()`. */
  readonly #rejects: ((reason: unknown) => void)[] = [];

  /** Waits for this number of records; or for none, if what was passed is no list of records. */
  constructor(size: number, refusal?: KafkaError) {
    this.#left = size;
    this.#settled = refusal === undefined
      ? new Promise((resolve) => this.#resolveSettled = resolve)
      : rejectedPromise(refusal);
    if (size === 0) this.#resolveSettled?.([]);
    else this.#outcomes.length = size;
  }

  /** @internal Takes the outcome of the record at an index. */
  resolver(index: number): Resolve {
    return (outcome) => {
      if (this.#outcomes[index] !== undefined) return;
      this.#outcomes[index] = outcome;
      this.#resolves[index]?.(outcome);
      if (outcome instanceof Promise) {
        outcome.catch((reason: unknown) => this.#settle(index, { status: "rejected", reason }));
      } else {
        this.#settle(index, { status: "fulfilled", value: outcome });
      }
    };
  }

  /** One promise per record. Taking it makes unhandled rejections the caller's business. */
  get promises(): readonly Promise<RecordMetadata>[] {
    return this.#promises ??= Array.from(
      this.#outcomes,
      (outcome, index) =>
        Promise.resolve(outcome ?? new Promise<RecordMetadata>((resolve) => this.#resolves[index] = resolve)),
    );
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
    return new Promise((resolve, reject) => {
      for (const result of this.#results) if (result?.status === "rejected") return reject(result.reason);
      this.#rejects.push(reject);
      this.#settled.then((results) => {
        resolve(results.map((result) => (result as PromiseFulfilledResult<RecordMetadata>).value));
      }, reject);
    });
  }

  #settle(index: number, result: PromiseSettledResult<RecordMetadata>): void {
    this.#results[index] = result;
    this.#left -= 1;
    if (result.status === "rejected") { for (const reject of this.#rejects.splice(0)) reject(result.reason); }
    if (this.#left === 0) this.#resolveSettled?.(this.#results);
  }
}
