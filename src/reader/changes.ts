/**
 * What those wait for who wait for a reader: that something has changed, and they had better look again.
 *
 * @module
 */

/** Wakes all that wait, whatever has changed: there is something to hand out, a member has joined, the reader is closed. */
export class Changes {
  #waiting: (() => void)[] = [];

  /** Resolves at the next change. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Something has changed. */
  tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
