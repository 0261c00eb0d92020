/**
 * Listening to a signal together with any number of others.
 *
 * @module
 */

/** All who listen to one signal, behind one listener of the signal itself. */
class Listeners {
  readonly #signal: AbortSignal;
  readonly #callbacks: Set<() => void> = new Set();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#wake);
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
    bySignal.delete(this.#signal);
    this.#signal.removeEventListener("abort", this.#wake);
  }
}

const bySignal: WeakMap<AbortSignal, Listeners> = new WeakMap();

/**
 * Calls back when the signal is aborted; never if it is aborted already. The function that it returns ends the
 * listening.
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
