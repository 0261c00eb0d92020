/**
 * The clock and the timers of the runtime, as they were when this module was loaded.
 *
 * Tests put fake ones in their place (Jest, Vitest, sinon, `node:test`), whose time stands still until the test moves
 * it. Sockets know nothing of that: with fake timers a client would wait for ever for what the network has long
 * brought. So the first ones are kept. The date is another matter, it is asked for where it is wanted: who fakes the
 * date wants to see it in his records.
 *
 * @module
 */

import type { Timer } from "./runtime.ts";

interface Globals {
  readonly setImmediate?: (callback: () => void) => unknown;
}

/** The longest time that the runtimes' timers can measure; with more they would fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

// Kept, not called: a worker may do nothing else when it loads its modules.
const { setTimeout, clearTimeout } = globalThis;
const { setImmediate } = globalThis as Globals;

/** Monotonic milliseconds from an arbitrary start. */
export const monotonicNow: () => number = performance.now.bind(performance);

/** Calls back once after the given time. */
export function setTimer(callback: () => void, delayMs: number): Timer {
  const timer = setTimeout(callback, Math.min(delayMs, LONGEST_DELAY_MS));
  return { cancel: () => clearTimeout(timer) };
}

/**
 * Calls back after the current turn. Of all ways to wait for its end, `setImmediate` costs least; but workerd's
 * `setTimeout(0)` takes 10 µs, less than its `setImmediate`.
 */
export function deferral(isWorkerd: boolean): (callback: () => void) => void {
  if (setImmediate !== undefined && !isWorkerd) return (callback) => void setImmediate(callback);
  return (callback) => void setTimeout(callback, 0);
}
