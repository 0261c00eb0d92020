/**
 * Listening to a signal together with any number of others.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { sentenceOf } from "../show.ts";

/** All who listen to one signal, behind one listener of the signal itself. */
class Listeners {
  readonly #signal: AbortSignal;
  readonly #callbacks: Set<() => void> = new Set();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    try {
      signal.addEventListener("abort", this.#wake);
    } catch (cause) {
      const message = `Set "signal" to an AbortSignal: this one can't be listened to. ${sentenceOf(cause)}`;
      throw new ConfigError("signal", message, { cause });
    }
  }

  add(callback: () => void): () => void {
    // An entry of its own for each call, also of the same function.
    const entry = (): void => callback();
    this.#callbacks.add(entry);
    return () => {
      if (this.#callbacks.delete(entry) && this.#callbacks.size === 0) this.#end();
    };
  }

  readonly #wake = (): void => {
    this.#end();
    for (const callback of this.#callbacks) callback();
  };

  #end(): void {
    // Once: those who stop listening after the abort find nothing to end, or somebody else's.
    if (bySignal.get(this.#signal) !== this) return;
    bySignal.delete(this.#signal);
    try {
      this.#signal.removeEventListener("abort", this.#wake);
    } catch {
      // A signal that isn't the platform's: nobody listens any more, whatever it thinks.
    }
  }
}

const bySignal: WeakMap<AbortSignal, Listeners> = new WeakMap();

/**
 * Calls back when the signal is aborted; never if it is aborted already. The function that it returns ends the
 * listening.
 *
 * @throws {ConfigError} when the signal, which may be a polyfill's, doesn't let anybody listen
 *
 * However many listen, the signal itself has one listener: hundreds may wait for the same end, and Node takes eleven of
 * them for a leak (`MaxListenersExceededWarning`).
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) return () => {};
  let listeners = bySignal.get(signal);
  if (listeners === undefined) {
    listeners = new Listeners(signal);
    bySignal.set(signal, listeners);
  }
  return listeners.add(callback);
}
