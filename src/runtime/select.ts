/**
 * Finds out which runtime this is, and makes a {@link Runtime} of it.
 *
 * @module
 */

import { SOCKETS } from "#sockets";
import { ConfigError } from "../errors.ts";
import type { Runtime, RuntimeName, SocketFactory, Timer } from "./runtime.ts";

interface Globals {
  readonly navigator?: { readonly userAgent?: string };
  readonly Deno?: { readonly version?: unknown };
  readonly Bun?: unknown;
  readonly process?: { readonly versions?: { readonly node?: string } };
  readonly setImmediate?: (callback: () => void) => unknown;
}

/** The longest time that the runtimes' timers can measure; with more they would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

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
export function systemRuntime(sockets: SocketFactory = selectSockets()): Runtime {
  const name = runtimeName() ?? sockets.name;
  return {
    name,
    sockets,
    now: () => performance.now(),
    wallNow: () => Date.now(),
    setTimer,
    defer: deferral(),
    // 61, and some for turns that are not the caller's.
    turnsPerPoll: name === "deno" ? 64 : 1,
    random: () => Math.random(),
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
  const { navigator, Deno, Bun, process } = globalThis as unknown as Globals;
  if (navigator?.userAgent === "Cloudflare-Workers") return "workerd";
  if (Deno?.version !== undefined) return "deno";
  if (Bun !== undefined) return "bun";
  if (process?.versions?.node !== undefined) return "node";
  return undefined;
}

function setTimer(callback: () => void, delayMs: number): Timer {
  const timer = setTimeout(callback, Math.min(delayMs, longestDelayMs));
  return { cancel: () => clearTimeout(timer) };
}

/** Of all ways to wait for the end of the turn, `setImmediate` costs least; workerd's `setTimeout(0)` takes 10 µs. */
function deferral(): (callback: () => void) => void {
  const { setImmediate } = globalThis as unknown as Globals;
  if (setImmediate !== undefined && runtimeName() !== "workerd") return (callback) => void setImmediate(callback);
  return (callback) => void setTimeout(callback, 0);
}
