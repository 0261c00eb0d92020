/**
 * So many connections at a time and no more: who comes later waits for a place.
 *
 * @module
 */

import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";

/** Who may have a place: a broker that is connected, or not. */
export interface Seated {
  /** Since when it is connected; undefined without a connection, and while that is about to end. */
  readonly connectedSinceMs: number | undefined;
  /** Since when nothing is wanted of its connection; undefined while something is, and without one. */
  readonly idleSinceMs: number | undefined;
  /** It has a connection that is not about to end, or is opening one. */
  readonly isSeated: boolean;
  /** Ends the connection for another one, as soon as nothing is in flight. */
  makeRoom(): void;
}

/** For so long a busy connection may keep its place while others wait: to open another costs round trips. */
const TENURE_MS = 250;

/**
 * The places of one client. Whoever waits gets the first that comes free, in order. While somebody waits, the connection
 * that has been idle longest ends; if none is idle, the oldest does, once its requests are answered.
 */
export class Seats {
  readonly #runtime: Runtime;
  readonly #limit: number;
  readonly #all: () => Iterable<Seated>;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #looking = false;
  #timer: Timer | undefined;

  /** Makes `limit` places, which are all free; `all` are those who may sit there. */
  constructor(runtime: Runtime, limit: number, all: () => Iterable<Seated>) {
    this.#runtime = runtime;
    this.#limit = limit;
    this.#all = all;
  }

  /**
   * Takes a place, which must be left again, and waits for one if need be.
   *
   * @returns undefined if there was one; else a promise of whether there is one now, false when the signal came first
   */
  take(signal: AbortSignal): Promise<boolean> | undefined {
    if (this.#taken < this.#limit) {
      this.#taken++;
      return undefined;
    }
    return new Promise((resolve) => {
      const seated = (): void => {
        ignore();
        resolve(true);
      };
      const ignore = onAbort(signal, () => {
        this.#waiting.splice(this.#waiting.indexOf(seated), 1);
        resolve(false);
      });
      if (signal.aborted) return resolve(false);
      this.#waiting.push(seated);
      this.look();
    });
  }

  /** Leaves a place to who has waited longest. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }

  /** Something may have become idle. Looked at on a later turn: it may be about to be used again. */
  look(): void {
    if (this.#waiting.length === 0 || this.#looking) return;
    this.#looking = true;
    this.#runtime.defer(() => {
      this.#looking = false;
      this.#makeRoom();
    });
  }

  #makeRoom(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const all = [...this.#all()];
    const leaving = this.#taken - all.filter(({ isSeated }) => isSeated).length;
    let missing = this.#waiting.length - leaving;
    const idle = sortedBy(all, ({ idleSinceMs }) => idleSinceMs);
    for (const seated of idle.slice(0, Math.max(0, missing))) {
      missing--;
      seated.makeRoom();
    }
    if (missing <= 0) return;
    const nowMs = this.#runtime.now();
    const busy = sortedBy(all, ({ connectedSinceMs }) => connectedSinceMs);
    for (const seated of busy.slice(0, missing)) {
      if (nowMs - seated.connectedSinceMs! >= TENURE_MS) seated.makeRoom();
    }
    if (this.#waiting.length > 0) this.#timer = this.#runtime.setTimer(() => this.#makeRoom(), TENURE_MS);
  }
}

/** Those that have a time, the earliest first. */
function sortedBy(all: readonly Seated[], time: (seated: Seated) => number | undefined): Seated[] {
  return all.filter((seated) => time(seated) !== undefined).sort((a, b) => time(a)! - time(b)!);
}
