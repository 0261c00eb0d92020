/**
 * Asynchronous contexts: whose call something belongs to, where the runtime keeps account of it (`AsyncLocalStorage`).
 *
 * What a client does for many callers, it must not do in the context of the one that happened to come first: its
 * trace would get the requests of all, and its store would stay in memory for as long as a socket is open.
 *
 * @module
 */

import { builtinModule, isWorkerd } from "./builtin.ts";

/** What is used of `node:async_hooks`. */
interface AsyncHooks {
  readonly AsyncLocalStorage: (new () => Store) & { snapshot?(): Run };
  readonly AsyncResource: new (type: string, options: typeof UNTRACKED) => Context;
}

/** Half as dear: nobody asks to be told when it is collected. */
const UNTRACKED = { requireManualDestroy: true } as const;

interface Store {
  run<R>(mark: object, callback: () => R): R;
  getStore(): object | undefined;
  disable?(): void;
}

type Run = <A extends unknown[], R>(callback: (...args: A) => R, ...args: A) => R;

/** A caller's context, to come back to. */
export interface Context {
  /** Calls a function in the context. */
  runInAsyncScope<A extends unknown[], R>(callback: (...args: A) => R, self: undefined, ...args: A): R;
  emitDestroy(): unknown;
}

const hooks = builtinModule<AsyncHooks>("node:async_hooks");

/** Calls a function in no caller's context, but in that in which this module was loaded. */
export const outside: Run = hooks?.AsyncLocalStorage.snapshot?.() ?? ((callback, ...args) => callback(...args));

const AsyncResource = hooks?.AsyncResource;

/** The context of whoever calls this function; undefined where the runtime keeps no account. */
export function callersContext(): Context | undefined {
  return AsyncResource && new AsyncResource("SluiceCall", UNTRACKED);
}

/**
 * Says that a context is not needed any more; may be called again. Deno registers each with the garbage collector, and
 * to take it off at once costs a third of leaving it there; elsewhere there is nothing to do.
 */
export const dropContext: (context: Context) => void = "Deno" in globalThis
  ? (context) => void context.emitDestroy()
  : () => {};

/** A call of somebody else's function: tells those calls apart that come back out of it. */
export class Marked {
  readonly #store: Store | undefined = hooks && new hooks.AsyncLocalStorage();
  #mark: object | undefined;

  /** True while a function runs. */
  get isRunning(): boolean {
    return this.#mark !== undefined;
  }

  /** True when it is called by the function that runs; where the runtime keeps no account, by anybody meanwhile. */
  get isInside(): boolean {
    return this.isRunning && (this.#store === undefined || this.#store.getStore() === this.#mark);
  }

  /** Runs a function; one at a time. */
  async run(callback: () => unknown): Promise<void> {
    const mark = this.#mark = {};
    try {
      await (this.#store === undefined ? callback() : this.#store.run(mark, callback));
    } finally {
      this.#mark = undefined;
      // Before Node 24 every promise of the process is dearer while a store is in use. On workerd it throws.
      if (!isWorkerd()) this.#store?.disable?.();
    }
  }
}
