/**
 * What keeps a process alive: somebody still waits for something.
 *
 * @module
 */

import type { Hold, Runtime } from "./runtime.ts";

/**
 * Counts what is outstanding. A program that never closes its producer ends when there is nothing left: idle sockets
 * and timers don't keep it, and this does while records have no outcome and calls have no answer.
 */
export class Outstanding {
  #hold: Hold | undefined;
  #count = 0;

  /** Starts with nothing. */
  constructor(runtime: Runtime) {
    this.#hold = runtime.newHold?.();
  }

  /** There is one more. */
  begin(): void {
    this.#count += 1;
    if (this.#count === 1) this.#hold?.hold();
  }

  /** There is one less. */
  end(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#hold?.release();
  }

  /** Counts a call until its promise has settled. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.begin();
    try {
      return await promise;
    } finally {
      this.end();
    }
  }

  /** Nothing will be outstanding any more: calls that come later are refused, and hold nothing. */
  close(): void {
    this.#hold?.end();
    this.#hold = undefined;
  }
}
