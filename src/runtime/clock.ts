/**
 * The clock and the timers of the runtime, as they were when this module was loaded.
 *
 * Tests put fake ones in their place (Jest, Vitest, sinon, `node:test`), whose time stands still until the test moves
 * it. Sockets know nothing of that: with fake timers a client would wait for ever for what the network has long
 * brought. So the first ones are kept. The date is another matter, it is asked for where it is wanted: a test that
 * fakes the date wants to see it in its records.
 *
 * @module
 */

import { outside } from "./async_context.ts";
import { isNode } from "./builtin.ts";
import type { Hold, Timer } from "./runtime.ts";

interface Globals {
  readonly setImmediate?: (callback: () => void) => unknown;
  readonly process?: { hrtime?(): [seconds: number, nanoseconds: number] };
  readonly Deno?: { refTimer?(id: unknown): void; unrefTimer?(id: unknown): void };
}

/** The longest time that the runtimes' timers can measure; with more they would fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** What timers are on Node, Bun and today's Deno; elsewhere they are numbers. */
interface TimerObject {
  ref(): void;
  unref(): void;
}

// Kept, not called: a worker may do nothing else when it loads its modules.
const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
const { setImmediate } = globalThis as Globals;

/** Monotonic milliseconds from an arbitrary start. */
export const monotonicNow: () => number = steadyClock();

/** Node loads half a dozen modules for whoever reads `performance`, which takes more than a millisecond of a start. */
function steadyClock(): () => number {
  const hrtime = isNode() ? (globalThis as Globals).process?.hrtime : undefined;
  if (hrtime === undefined) return performance.now.bind(performance);
  return () => {
    const [seconds, nanoseconds] = hrtime();
    return seconds * 1_000 + nanoseconds / 1_000_000;
  };
}

/** Calls back once after the given time. */
export function setTimer(callback: () => void, delayMs: number): Timer {
  return new SystemTimer(setTimeout(callback, Math.min(delayMs, LONGEST_DELAY_MS)));
}

class SystemTimer implements Timer {
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(timer: ReturnType<typeof setTimeout>) {
    this.#timer = timer;
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  unref(): void {
    setRef(this.#timer, false);
  }
}

/** Keeps the process alive from {@link hold} to {@link release}, as a timer that nobody waits for. */
export class SystemHold implements Hold {
  #timer: ReturnType<typeof setInterval> | undefined;

  hold(): void {
    // The timer stays, and would keep what belongs to the first caller with it.
    if (this.#timer === undefined) this.#timer = outside(() => setInterval(() => {}, LONGEST_DELAY_MS));
    else setRef(this.#timer, true);
  }

  release(): void {
    if (this.#timer !== undefined) setRef(this.#timer, false);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function setRef(timer: unknown, isRef: boolean): void {
  if (typeof timer === "object") {
    const { ref, unref } = timer as Partial<TimerObject>;
    (isRef ? ref : unref)?.call(timer);
    return;
  }
  const { Deno } = globalThis as Globals;
  (isRef ? Deno?.refTimer : Deno?.unrefTimer)?.(timer);
}

/**
 * Calls back after the current turn. Of all ways to wait for its end, `setImmediate` costs least; but workerd's
 * `setTimeout(0)` takes 10 µs, less than its `setImmediate`.
 */
export function deferral(isWorkerd: boolean): (callback: () => void) => void {
  if (setImmediate !== undefined && !isWorkerd) return (callback) => void setImmediate(callback);
  return (callback) => void setTimeout(callback, 0);
}
