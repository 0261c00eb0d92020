/**
 * A runtime for what goes on in the background.
 *
 * @module
 */

import { outside } from "./async_context.ts";
import type { Runtime, SocketFactory, Timer } from "./runtime.ts";

/**
 * The same runtime for the inner life of a client: its timers belong to no caller's context and don't keep the process
 * alive. What does is held where it is known that somebody waits ({@link Runtime.newHold}).
 */
export function detached(runtime: Runtime): Runtime {
  const setTimer = (callback: () => void, delayMs: number): Timer => {
    const timer = runtime.setTimer(callback, delayMs);
    if (runtime.newHold !== undefined) timer.unref?.();
    return timer;
  };
  const defer = (callback: () => void): void => runtime.defer(callback);
  return {
    name: runtime.name,
    // Asked for each time: a test may change it.
    get sockets(): SocketFactory {
      return runtime.sockets;
    },
    now() {
      return runtime.now();
    },
    wallNow() {
      return runtime.wallNow();
    },
    setTimer(callback, delayMs) {
      return outside(setTimer, callback, delayMs);
    },
    defer(callback) {
      return outside(defer, callback);
    },
    turnsPerPoll: runtime.turnsPerPoll,
    maxConnections: runtime.maxConnections,
    random() {
      return runtime.random();
    },
    ...(runtime.newHold === undefined ? {} : { newHold: () => runtime.newHold!() }),
  };
}
