/**
 * Waiting with a time limit and a signal.
 *
 * @module
 */

import { checkSignal, checkTimeoutMs, readOptions, reasonOfSignal } from "../call_options.ts";
import type { TimeoutError } from "../errors.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { setDeadline } from "../runtime/truce.ts";

/** Time limit and signal of a call that waits. */
export interface WaitOptions {
  /** Give up after this time, in ms. @default Infinity */
  readonly timeoutMs?: number | undefined;
  /** Gives up when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** Reads the options of a method that waits. @throws {ConfigError} */
export function readWaitOptions(call: string, options: unknown, known: readonly (keyof WaitOptions)[]): WaitOptions {
  const { timeoutMs, signal } = readOptions(call, options, known);
  return { timeoutMs: checkTimeoutMs(timeoutMs), signal: checkSignal(signal) };
}

/** The promise, or the error that `late` makes when it takes too long, or the signal's reason when it is aborted. */
export function within<T>(
  runtime: Runtime,
  promise: Promise<T>,
  { timeoutMs, signal }: WaitOptions,
  late: () => TimeoutError,
): Promise<T> {
  if (timeoutMs === undefined && signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    let timer: Pick<Timer, "cancel"> | undefined;
    const giveUp = (): void => end(() => reject(reasonOfSignal(signal!)));
    let ignore: (() => void) | undefined;
    const end = (settle: () => void): void => {
      timer?.cancel();
      ignore?.();
      settle();
    };
    promise.then((value) => end(() => resolve(value)), (error) => end(() => reject(error)));
    if (signal?.aborted) return giveUp();
    if (signal !== undefined) ignore = onAbort(signal, giveUp);
    if (timeoutMs !== undefined && timeoutMs !== Infinity) {
      timer = setDeadline(runtime, () => end(() => reject(late())), timeoutMs);
    }
  });
}
