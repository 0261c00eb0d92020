/**
 * Time and chance for a cluster, which dials nobody and so needs no sockets.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Runtime, SocketFactory } from "../runtime/runtime.ts";
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
