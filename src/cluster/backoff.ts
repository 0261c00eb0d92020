/**
 * Exponential backoff with jitter (KIP-580): how long to wait before the next attempt.
 *
 * @module
 */

const JITTER = 0.2;

/** Doubles from an initial to a maximal delay, each ±20 %, never above the maximum. */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;

  /** Takes the delay of the first attempt, the cap, and a source of numbers from 0 to 1. */
  constructor(initialMs: number, maxMs: number, random: () => number) {
    this.#initialMs = initialMs;
    this.#maxMs = Math.max(initialMs, maxMs);
    this.#random = random;
  }

  /** The delay in ms after `attempts` failed attempts; 0 when there was none. */
  delayMs(attempts: number): number {
    if (attempts <= 0 || this.#initialMs <= 0) return 0;
    // 2^30 of any base is beyond every cap: the exponent is bounded so that it can't overflow.
    const center = Math.min(this.#maxMs, this.#initialMs * 2 ** Math.min(attempts - 1, 30));
    const jittered = center * (1 - JITTER + 2 * JITTER * this.#random());
    return Math.min(this.#maxMs, jittered);
  }
}
