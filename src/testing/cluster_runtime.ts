/**
 * Time and chance for a cluster, which dials nobody and so needs no sockets.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Runtime, SocketFactory, Timer } from "../runtime/runtime.ts";
import { systemRuntime } from "../runtime/select.ts";

/** Time and chance, what a cluster takes from a runtime. */
export type ClusterRuntime = Pick<Runtime, "now" | "wallNow" | "setTimer" | "defer" | "random">;

const noSockets: SocketFactory = {
  name: "none",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect: () => Promise.reject(new ConfigError("connect", "A cluster's own runtime has no sockets.")),
};

/** The time and chance of this runtime. */
export function realRuntime(): ClusterRuntime {
  return systemRuntime(noSockets);
}

/** The clock of a cluster's brokers, and that of clients which are given the cluster's runtime. */
export function clocksOf(given: ClusterRuntime | undefined): {
  readonly brokers: ClusterRuntime;
  readonly callers: ClusterRuntime;
} {
  if (given !== undefined) return { brokers: given, callers: given };
  const callers = realRuntime();
  // Real brokers are in other processes and keep none alive: a reader that a test has forgotten would ask them, and be
  // answered half a second later, for ever.
  const setTimer = (callback: () => void, delayMs: number): Timer => {
    const timer = callers.setTimer(callback, delayMs);
    timer.unref?.();
    return timer;
  };
  return { brokers: { ...callers, setTimer }, callers };
}

/** A whole runtime for a client: a cluster's time and chance, and sockets. */
export function runtimeWith(clock: ClusterRuntime, sockets: SocketFactory): Runtime {
  return {
    name: "name" in clock && typeof clock.name === "string" ? clock.name : "memory",
    sockets,
    now: () => clock.now(),
    wallNow: () => clock.wallNow(),
    setTimer: (callback, delayMs) => clock.setTimer(callback, delayMs),
    defer: (callback) => clock.defer(callback),
    random: () => clock.random(),
  };
}
