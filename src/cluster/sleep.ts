/**
 * Waiting that ends when there is nothing left to wait for.
 *
 * @module
 */

import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Resolves after the time, or as soon as the signal is aborted; the caller asks the signal which it was. */
export function sleep(runtime: Pick<Runtime, "setTimer">, delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      timer.cancel();
      ignore();
      resolve();
    };
    const timer = runtime.setTimer(wake, delayMs);
    const ignore = onAbort(signal, wake);
  });
}

/**
 * Resolves in a turn of its own. Who calls what has ended again and again, whatever it is told, would otherwise run on
 * microtasks alone, and nothing else of the process would ever get its turn.
 */
export function nextTurn(runtime: Pick<Runtime, "defer">): Promise<void> {
  return new Promise((resolve) => runtime.defer(resolve));
}

/** What a promise settles to, or undefined at the given time; what becomes of it after that is nobody's business. */
export async function settledBy<T>(
  runtime: Pick<Runtime, "setTimer" | "now">,
  deadlineMs: number,
  promise: Promise<T>,
): Promise<T | undefined> {
  const ended = new AbortController();
  promise.catch(() => {});
  try {
    const late = sleep(runtime, deadlineMs - runtime.now(), ended.signal).then(() => undefined);
    return await Promise.race([promise, late]);
  } finally {
    ended.abort();
  }
}
