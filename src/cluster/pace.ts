/**
 * Keeps an outage quiet: a number of attempts in a second, and no more, however many brokers are down.
 *
 * @module
 */

import type { Runtime } from "../runtime/runtime.ts";
import { sleep } from "./sleep.ts";

/** A limit on what is done in any second. */
export class Pace {
  readonly #perSecond: number;
  /** When each turn of the last second was taken, and of the turns to come; ascending. */
  #turns: number[] = [];

  /** Allows `perSecond` turns in any second. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /**
   * Takes a turn: the moment at which it is due. An urgent one is due now.
   *
   * @param nowMs the monotonic clock; the caller's own reading, because a turn that is due now is one without a wait
   */
  take(nowMs: number, urgent = false): number {
    const turnMs = urgent ? nowMs : this.#nextMs(nowMs);
    this.#turns.push(turnMs);
    this.#turns.sort((a, b) => a - b);
    return turnMs;
  }

  /** True if a turn would be due now. */
  isFree(nowMs: number): boolean {
    return this.#nextMs(nowMs) === nowMs;
  }

  /** Gives a turn back that nothing was done with, so that those who come later need not wait for it. */
  giveBack(turnMs: number): void {
    const index = this.#turns.indexOf(turnMs);
    if (index >= 0) this.#turns.splice(index, 1);
  }

  #nextMs(nowMs: number): number {
    this.#turns = this.#turns.filter((turnMs) => turnMs > nowMs - 1_000);
    const before = this.#turns.at(-this.#perSecond);
    return before === undefined ? nowMs : Math.max(nowMs, before + 1_000);
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
    this.#pace = new Pace(DIALS_PER_SECOND);
  }

  /**
   * Takes a turn to dial an address, and waits for it. A turn that a signal ends the waiting for is given back.
   *
   * @returns undefined if the turn is now: the caller that has caused the dial finds it begun in the same turn of the event loop
   */
  turn(name: string, signal: AbortSignal): Promise<void> | undefined {
    const nowMs = this.#runtime.now();
    for (const [other, dialledMs] of this.#dialled) {
      if (dialledMs <= nowMs - AGAIN_MS) this.#dialled.delete(other);
    }
    const turnMs = this.#pace.take(nowMs, !this.#dialled.has(name));
    this.#dialled.set(name, turnMs);
    if (turnMs <= nowMs) return undefined;
    return sleep(this.#runtime, turnMs - nowMs, signal).then(() => {
      if (signal.aborted) this.#pace.giveBack(turnMs);
    });
  }
}
