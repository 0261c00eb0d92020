/**
 * A clock that is read once in a turn of the event loop, however many records the turn hands over.
 *
 * @module
 */

import type { Runtime } from "../../runtime/runtime.ts";

/** A turn's time, on both clocks. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Monotonic and wall time of the present turn. Reading the real clock costs as much as encoding a record. */
export class TurnClock {
  /** A lower bound on the number of I/O polls since the start; compare two readings. */
  polls = 0;

  readonly #runtime: Runtime;
  // Undefined until the turn reads them. Fields that hold that too keep a number as an object, which all records of the turn
  // share; of one that holds nothing but numbers, V8 would make an object for each record that takes it along.
  #nowMs: number | undefined;
  #wallMs: number | undefined;
  #moment: Moment | undefined;
  #after: (() => void) | undefined;

  /** Takes both clocks from the runtime. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Monotonic ms. */
  get nowMs(): number {
    if (this.#nowMs === undefined) this.#refresh();
    return this.#nowMs!;
  }

  /** Ms since the epoch. */
  get wallMs(): number {
    void this.nowMs;
    return this.#wallMs!;
  }

  /** Both, as one object for all who keep the time of a turn. */
  get moment(): Moment {
    return this.#moment ??= { nowMs: this.nowMs, wallMs: this.wallMs };
  }

  #refresh(): void {
    this.#nowMs = this.#runtime.now();
    this.#wallMs = this.#runtime.wallNow();
    this.polls += 1 / (this.#runtime.turnsPerPoll ?? 1);
    this.#runtime.defer(this.#forget);
  }

  /** Calls back when the turn is over. Asking again in the same turn replaces what was asked for before. */
  afterTurn(callback: () => void): void {
    // A reading has the clock set back when the turn is over.
    void this.nowMs;
    this.#after = callback;
  }

  readonly #forget = (): void => {
    const after = this.#after;
    this.#nowMs =
      this.#wallMs =
      this.#moment =
      this.#after =
        undefined;
    after?.();
  };
}
