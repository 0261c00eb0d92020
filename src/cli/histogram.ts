/**
 * Latency quantiles in a fixed amount of memory, whatever the number of records.
 *
 * @module
 */

const SMALLEST_MS = 0.001;
const GROWTH = 1.02;
const LOG_GROWTH = Math.log(GROWTH);
/** Up to about twelve days; longer ones share the last bucket. */
const BUCKETS = 1 + Math.ceil(Math.log(1e9 / SMALLEST_MS) / LOG_GROWTH);

/** Counts durations in buckets that grow by 2 %, which is the error of a quantile. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  /** How many durations were recorded. */
  get count(): number {
    return this.#count;
  }

  /** The longest duration, exact; 0 when there is none. */
  get maxMs(): number {
    return this.#maxMs;
  }

  /** The mean duration, exact; 0 when there is none. */
  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  /** Counts one duration. A negative one, from a clock that was set back, counts as 0. */
  record(durationMs: number): void {
    const ms = durationMs > 0 ? durationMs : 0;
    const bucket = ms <= SMALLEST_MS ? 0 : Math.ceil(Math.log(ms / SMALLEST_MS) / LOG_GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.#counts[index] = this.#counts[index]! + 1;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** The duration that the given share (0 to 1) of the recorded ones does not pass; 0 when there is none. */
  quantileMs(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.#counts[index]!;
      if (seen >= rank) return Math.min(SMALLEST_MS * GROWTH ** index, this.#maxMs);
    }
    return this.#maxMs;
  }
}
