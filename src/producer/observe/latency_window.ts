/**
 * Quantiles of how long something took lately, in a fixed amount of memory.
 *
 * @module
 */

const SMALLEST_MS = 0.01;
/** About a day; what takes longer shares the last bucket. */
const LARGEST_MS = 100_000_000;
const GROWTH = 1.05;
const LOG_GROWTH = Math.log(GROWTH);
const BUCKETS = 1 + Math.ceil(Math.log(LARGEST_MS / SMALLEST_MS) / LOG_GROWTH);

/** Two counts, a newer and an older one: each covers half of the window, and the older one is dropped for a new one. */
export class LatencyWindow {
  readonly #halfMs: number;
  #newer: Float64Array | undefined;
  #older: Float64Array | undefined;
  #sinceMs = 0;

  /** Takes the length of the window. */
  constructor(windowMs: number) {
    this.#halfMs = windowMs / 2;
  }

  /** Counts `weight` things that took this long. */
  record(durationMs: number, weight: number, nowMs: number): void {
    this.#turn(nowMs);
    const ms = Math.max(SMALLEST_MS, durationMs);
    const bucket = Math.min(BUCKETS - 1, Math.round(Math.log(ms / SMALLEST_MS) / LOG_GROWTH));
    const counts = this.#newer ??= new Float64Array(BUCKETS);
    counts[bucket] = counts[bucket]! + weight;
  }

  /** What the given share (0 to 1) did not exceed, within 3 %; 0 when nothing was recorded lately. */
  quantileMs(share: number, nowMs: number): number {
    this.#turn(nowMs);
    const counts = new Float64Array(BUCKETS);
    for (const half of [this.#newer, this.#older]) half?.forEach((count, bucket) => counts[bucket]! += count);
    let left = Math.max(1, Math.ceil(share * counts.reduce((sum, count) => sum + count)));
    const bucket = counts.findIndex((count) => (left -= count) <= 0);
    return bucket > 0 ? SMALLEST_MS * GROWTH ** bucket : 0;
  }

  #turn(nowMs: number): void {
    const passedMs = nowMs - this.#sinceMs;
    if (passedMs < this.#halfMs) return;
    this.#older = passedMs < 2 * this.#halfMs ? this.#newer : undefined;
    this.#newer = undefined;
    this.#sinceMs = nowMs;
  }
}
