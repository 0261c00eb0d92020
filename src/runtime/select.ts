/**
 * Finds out which runtime this is, and makes a {@link Runtime} of it.
 *
 * @module
 */

import { SOCKETS } from "#sockets";
import { ConfigError } from "../errors.ts";
import { isNode, isWorkerd } from "./builtin.ts";
import { type Connect, socketsOf } from "./connectable.ts";
import { deferral, monotonicNow, setTimer, SystemHold } from "./clock.ts";
import { RequestScope } from "./request_scope.ts";
import type { Runtime, RuntimeName, SocketFactory } from "./runtime.ts";

interface Globals {
  readonly Deno?: { readonly version?: unknown };
  readonly Bun?: unknown;
}

/** Cloudflare lets a request have so many connections at a time; a further one would wait for one of them to end. */
const WORKERD_CONNECTIONS = 6;

/** The runtime that this code is running on, with its own sockets. */
export function selectRuntime(): Runtime {
  return systemRuntime();
}

/**
 * The clock, the timers and the randomness of the runtime that this code is running on, with the given sockets.
 * Calls nothing of the runtime before it is used, so a worker may call it at module level.
 *
 * @throws ConfigError when no sockets are given and the runtime is none of the four
 */
export function systemRuntime(connect?: Connect): Runtime {
  const sockets = connect === undefined ? selectSockets() : socketsOf(connect);
  const name = runtimeName() ?? sockets.name;
  return {
    name,
    sockets,
    now: monotonicNow,
    wallNow() {
      return Date.now();
    },
    setTimer,
    defer: deferral(name === "workerd"),
    // 61, and some for turns that are not the caller's.
    turnsPerPoll: name === "deno" ? 64 : 1,
    random() {
      return Math.random();
    },
    ...(name === "workerd"
      ? { newScope: () => new RequestScope(), maxConnections: WORKERD_CONNECTIONS }
      : { newHold: () => new SystemHold() }),
  };
}

/** The sockets of the runtime that this code is running on. */
export function selectSockets(): SocketFactory {
  const name = runtimeName();
  const sockets = name && SOCKETS[name];
  if (sockets !== undefined) return sockets();
  const what = name === undefined ? "this runtime" : `${name} in this bundle for workerd`;
  throw new ConfigError("connect", `There are no sockets for ${what}, wanted option "connect" to bring some`);
}

/** workerd comes first and Node last, because the others imitate Node. */
function runtimeName(): RuntimeName | undefined {
  const { Deno, Bun } = globalThis as unknown as Globals;
  if (isWorkerd()) return "workerd";
  if (Deno?.version !== undefined) return "deno";
  if (Bun !== undefined) return "bun";
  return isNode() ? "node" : undefined;
}
