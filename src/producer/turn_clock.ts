/**
 * A clock that is read once in a turn of the event loop, however many records the turn hands over.
 *
 * @module
 */

import type { Runtime } from "../runtime/runtime.ts";

/** Monotonic and wall time of the present turn. Reading the real clock costs as much as encoding a record. */
export class TurnClock {
  readonly #runtime: Runtime;
  #read = false;
  #nowMs = 0;
  #wallMs = 0;

  /** Takes both clocks from the runtime. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Monotonic ms. */
  get nowMs(): number {
    if (!this.#read) this.#refresh();
    return this.#nowMs;
  }

  /** Ms since the epoch. */
  get wallMs(): number {
    if (!this.#read) this.#refresh();
    return this.#wallMs;
  }

  #refresh(): void {
    this.#nowMs = this.#runtime.now();
    this.#wallMs = this.#runtime.wallNow();
    this.#read = true;
    this.#runtime.defer(() => this.#read = false);
  }
}
