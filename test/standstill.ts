/**
 * A process that stands still: in a debugger, in a long computation, while the machine sleeps.
 *
 * @module
 */

import type { Runtime, Timer } from "../src/runtime/runtime.ts";
import type { VirtualRuntime } from "../src/testing/mod.ts";

/** The runtime of a client that can be held up, while the world around it goes on. */
export interface Standstill {
  readonly runtime: Runtime;
  /**
   * Lets so much time pass for the client without a turn of its event loop. What fell due meanwhile is called first, and
   * what has come over the network after that, as on Node.
   */
  standStill(ms: number): void;
}

interface Entry {
  readonly dueMs: number;
  readonly fire: () => void;
  inner: Timer;
}

/** Makes it of virtual time. */
export function standstill(virtual: VirtualRuntime): Standstill {
  let skippedMs = 0;
  const entries = new Set<Entry>();
  const now = (): number => virtual.now() + skippedMs;
  const runtime: Runtime = {
    name: virtual.name,
    get sockets() {
      return virtual.sockets;
    },
    now,
    wallNow: () => virtual.wallNow() + skippedMs,
    setTimer(callback, delayMs) {
      const fire = (): void => {
        entries.delete(entry);
        callback();
      };
      const entry: Entry = { dueMs: now() + Math.max(0, delayMs), fire, inner: virtual.setTimer(fire, delayMs) };
      entries.add(entry);
      return {
        cancel() {
          entries.delete(entry);
          entry.inner.cancel();
        },
      };
    },
    defer: (callback) => virtual.defer(callback),
    random: () => virtual.random(),
  };
  return {
    runtime,
    standStill(ms) {
      skippedMs += ms;
      for (const entry of [...entries].sort((one, other) => one.dueMs - other.dueMs)) {
        entry.inner.cancel();
        entry.inner = virtual.setTimer(entry.fire, entry.dueMs - now());
      }
    },
  };
}
