/**
 * What a deadline is worth that nobody could look at in time.
 *
 * A process stands still now and then: in a long computation, in a debugger, while the machine sleeps or is busy with
 * others. Timers are the first to run after that, and they know nothing of the answers that have come meanwhile and are
 * still to be read. So a deadline that is found late is judged a little later: not before what has come is read, and
 * what has waited was given a chance to be sent.
 *
 * @module
 */

import type { Runtime, Timer } from "./runtime.ts";

/** Timers are late by as much without anything standing still. */
const LATE_MS = 20;
/** Longer than this nothing is put off at once: new deadlines wait with the old ones. */
const MAX_TRUCE_MS = 5_000;
/** So many times in a row deadlines are put off: a process may be late all its life, or be led through a debugger. */
const MAX_IN_A_ROW = 10;

/** The time in which none of those deadlines is judged that share a timer. */
export class Truce {
  #untilMs = 0;
  #inARow = 0;

  /** The timer has fired that was set for `dueMs`. */
  onTimer(dueMs: number, nowMs: number): void {
    const moreMs = truceMs(dueMs, nowMs);
    if (moreMs === 0 || nowMs < this.#untilMs) return;
    this.#inARow = dueMs > this.#untilMs ? 1 : this.#inARow + 1;
    if (this.#inARow <= MAX_IN_A_ROW) this.#untilMs = nowMs + moreMs;
  }

  /** When a deadline is judged. */
  endOf(deadlineMs: number): number {
    return Math.max(deadlineMs, this.#untilMs);
  }

  /** True while none is judged. */
  isOn(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }
}

/** Calls back when the time is over, and not before the sockets were looked at if that is found out late. */
export function setDeadline(
  runtime: Pick<Runtime, "now" | "setTimer">,
  callback: () => void,
  delayMs: number,
): Pick<Timer, "cancel"> {
  const dueMs = runtime.now() + delayMs;
  let timer = runtime.setTimer(() => {
    const moreMs = truceMs(dueMs, runtime.now());
    if (moreMs > 0) timer = runtime.setTimer(callback, moreMs);
    else callback();
  }, delayMs);
  return {
    cancel() {
      timer.cancel();
    },
  };
}

/** As long as it was late. */
function truceMs(dueMs: number, nowMs: number): number {
  const lateMs = nowMs - dueMs;
  return lateMs < LATE_MS ? 0 : Math.min(lateMs, MAX_TRUCE_MS);
}
