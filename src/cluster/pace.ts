/**
 * Keeps an outage quiet: so many attempts in a second, and no more, however many brokers are down.
 *
 * @module
 */

import type { Runtime } from "../runtime/runtime.ts";

/** A limit on what is done in any second. */
export class Pace {
  readonly #runtime: Runtime;
  readonly #perSecond: number;
  /** When each turn of the last second was taken, and of the turns to come; ascending. */
  #turns: number[] = [];

  /** Allows `perSecond` turns in any second. */
  constructor(runtime: Runtime, perSecond: number) {
    this.#runtime = runtime;
    this.#perSecond = perSecond;
  }

  /** Takes a turn: the moment at which it is due, on the monotonic clock. An urgent one is due now. */
  take(urgent = false): number {
    const nowMs = this.#runtime.now();
    this.#turns = this.#turns.filter((turnMs) => turnMs > nowMs - 1_000);
    const before = this.#turns.at(-this.#perSecond);
    const turnMs = urgent || before === undefined ? nowMs : Math.max(nowMs, before + 1_000);
    this.#turns.push(turnMs);
    this.#turns.sort((a, b) => a - b);
    return turnMs;
  }
}

/** Dials of a client in a second. */
const DIALS_PER_SECOND = 15;
/** An address that was dialled in this time is dialled *again*. */
const AGAIN_MS = 5_000;

/**
 * Spreads dials. The first attempt at an address never waits, so a start at hundreds of brokers is not slowed down;
 * attempts at the same address again share fifteen turns a second.
 */
export class DialPace {
  readonly #runtime: Runtime;
  readonly #pace: Pace;
  readonly #dialled = new Map<string, number>();

  /** Keeps the pace of one client. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#pace = new Pace(runtime, DIALS_PER_SECOND);
  }

  /** Takes a turn to dial an address; returns how long to wait for it, in ms. */
  take(name: string): number {
    const nowMs = this.#runtime.now();
    for (const [other, dialledMs] of this.#dialled) {
      if (dialledMs <= nowMs - AGAIN_MS) this.#dialled.delete(other);
    }
    const turnMs = this.#pace.take(!this.#dialled.has(name));
    this.#dialled.set(name, turnMs);
    return turnMs - nowMs;
  }
}
