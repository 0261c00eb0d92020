/**
 * `maxConnections`: while all are taken, whatever wants another one waits.
 *
 * @module
 */

import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";

/** What may hold one of the connections: a broker. */
export interface ConnectionHolder {
  /** Since when it is connected; undefined without a connection, and while that is about to end. */
  readonly connectedSinceMs: number | undefined;
  /** Since when nothing is wanted of its connection; undefined while something is, and without one. */
  readonly idleSinceMs: number | undefined;
  /** It has a connection that is not about to end, or is opening one. */
  readonly holdsConnection: boolean;
  /** Ends the connection for another one, as soon as nothing is in flight. */
  makeRoom(): void;
}

/** A busy connection is not ended for another one before it is this old: to open one costs round trips. */
const MIN_LIFETIME_MS = 250;

/**
 * The connections of one client, up to a limit. Those that wait are served in order. Meanwhile the connection that has
 * been idle longest ends; if none is idle, the oldest does, once its requests are answered.
 */
export class ConnectionLimit {
  readonly #runtime: Runtime;
  readonly #limit: number;
  readonly #all: () => Iterable<ConnectionHolder>;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #looking = false;
  #timer: Timer | undefined;

  /** Allows `limit` connections; `all` are the brokers that may hold them. */
  constructor(runtime: Runtime, limit: number, all: () => Iterable<ConnectionHolder>) {
    this.#runtime = runtime;
    this.#limit = limit;
    this.#all = all;
  }

  /**
   * Takes a connection out of the limit, which must be given back, and waits for one if need be.
   *
   * @returns undefined if there was one; else a promise of whether there is one now, false when the signal came first
   */
  take(signal: AbortSignal): Promise<boolean> | undefined {
    if (this.#taken < this.#limit) {
      this.#taken++;
      return undefined;
    }
    return new Promise((resolve) => {
      const served = (): void => {
        ignore();
        resolve(true);
      };
      const ignore = onAbort(signal, () => {
        this.#waiting.splice(this.#waiting.indexOf(served), 1);
        resolve(false);
      });
      if (signal.aborted) return resolve(false);
      this.#waiting.push(served);
      this.look();
    });
  }

  /** Gives one back, to what has waited longest. */
  giveBack(): void {
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
    const leaving = this.#taken - all.filter(({ holdsConnection }) => holdsConnection).length;
    let missing = this.#waiting.length - leaving;
    const idle = sortedBy(all, ({ idleSinceMs }) => idleSinceMs);
    for (const holder of idle.slice(0, Math.max(0, missing))) {
      missing--;
      holder.makeRoom();
    }
    if (missing <= 0) return;
    const nowMs = this.#runtime.now();
    const busy = sortedBy(all, ({ connectedSinceMs }) => connectedSinceMs);
    for (const holder of busy.slice(0, missing)) {
      if (nowMs - holder.connectedSinceMs! >= MIN_LIFETIME_MS) holder.makeRoom();
    }
    if (this.#waiting.length > 0) this.#timer = this.#runtime.setTimer(() => this.#makeRoom(), MIN_LIFETIME_MS);
  }
}

/** Those that have a time, the earliest first. */
function sortedBy(
  all: readonly ConnectionHolder[],
  time: (holder: ConnectionHolder) => number | undefined,
): ConnectionHolder[] {
  return all.filter((holder) => time(holder) !== undefined).sort((a, b) => time(a)! - time(b)!);
}
