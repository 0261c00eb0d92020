/**
 * Waiting that ends when there is nothing left to wait for.
 *
 * @module
 */

import type { Runtime } from "../runtime/runtime.ts";

/** Resolves after the time, or as soon as the signal is aborted; the caller asks the signal which it was. */
export function sleep(runtime: Pick<Runtime, "setTimer">, delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = runtime.setTimer(wake, delayMs);
    signal.addEventListener("abort", wake);
  });
}
