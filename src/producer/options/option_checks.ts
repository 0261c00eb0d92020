/**
 * Checks of single options: each returns what the option means, or throws a `ConfigError` that names it.
 *
 * @module
 */

import { type Address, parseAddresses } from "../../cluster/address.ts";
import { refuseUnknownIn } from "../../cluster/security.ts";
import { isObject, refuse } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import { HOOK_NAMES, type ProducerHooks } from "../observe/hooks.ts";
import type { ProducerInterceptor } from "../record/interceptor.ts";
import { CONSOLE, LOG_LEVELS, type Logger } from "../observe/logger.ts";
import type { Partitioner, PartitionerName } from "../record/partitioner.ts";

const PARTITIONERS: readonly unknown[] = ["sticky", "roundRobin", "random", "keyHash"];
const MAX_STRING_BYTES = 32_767;
const INTERCEPTOR_METHODS = ["onSend", "onAcknowledgement", "close"] as const;

/** Bootstrap servers. */
export function checkBrokers(value: unknown): Address[] {
  const wanted = '"host:port" or a list of them';
  if (typeof value === "string") return parseAddresses(value);
  if (!Array.isArray(value)) {
    refuse("brokers", wanted, value, typeof value === "function" ? " Call it, and pass what it returns." : "");
  }
  const entries: readonly unknown[] = [...value];
  const at = entries.findIndex((entry) => typeof entry !== "string");
  if (at < 0) return parseAddresses(entries as string[]);
  const message = `Set "brokers" to ${wanted}: entry ${at + 1} of ${entries.length}, ${show(entries[at])}, is not.`;
  throw new ConfigError("brokers", message);
}

/** A client id that fits the wire. */
export function checkClientId(value: unknown): string {
  if (value === undefined) return "sluice";
  const bytes = typeof value === "string" ? new TextEncoder().encode(value).length : -1;
  if (bytes >= 0 && bytes <= MAX_STRING_BYTES) return value as string;
  const is = bytes < 0 ? `${show(value)} is not` : `this one has ${bytes}`;
  throw new ConfigError("clientId", `Set "clientId" to a string of at most ${MAX_STRING_BYTES} bytes: ${is}.`);
}

/** acks as a number. */
export function checkAcks(value: unknown): -1 | 0 | 1 {
  if (value === undefined || value === "all" || value === -1) return -1;
  if (value === 0 || value === 1) return value;
  refuse("acks", '"all", 1 or 0', value);
}

/** A built-in strategy or a function. */
export function checkPartitioner(value: unknown): PartitionerName | Partitioner {
  if (value === undefined) return "sticky";
  if (typeof value === "function" || PARTITIONERS.includes(value)) return value as PartitionerName | Partitioner;
  const names = PARTITIONERS.map(show).join(", ");
  refuse("partitioner", `${names} or a function`, value);
}

/** A function, if anything. */
export function checkFunction(name: string, value: unknown): unknown {
  if (value === undefined || typeof value === "function") return value;
  refuse(name, "a function", value);
}

/** A list of interceptors, empty if there is none. */
export function checkInterceptors(value: unknown): readonly ProducerInterceptor<never, never>[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) refuse("interceptors", "a list of objects", value);
  const interceptors: readonly unknown[] = [...value];
  for (const [at, interceptor] of interceptors.entries()) checkInterceptor(`interceptors[${at}]`, interceptor);
  return interceptors as ProducerInterceptor<never, never>[];
}

/** An object whose functions, if it has them, are functions: its own, or those of its class. */
function checkInterceptor(name: string, value: unknown): void {
  if (!isObject(value)) refuseInterceptor(name, `${show(value)} is not`);
  for (const method of INTERCEPTOR_METHODS) {
    const given: unknown = (value as ProducerInterceptor)[method];
    if (given === undefined || typeof given === "function") continue;
    refuseInterceptor(name, `its ${method}, ${show(given)}, is not a function`);
  }
}

function refuseInterceptor(name: string, is: string): never {
  const wanted = "an object with functions onSend, onAcknowledgement and close, or some of them";
  throw new ConfigError("interceptors", `Set "${name}" to ${wanted}: ${is}.`);
}

/** true or false, if anything. */
export function checkBoolean(name: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  refuse(name, "true or false", value);
}

/** One of a few words; the first if there is none. */
export function checkChoice<W extends string>(name: string, value: unknown, words: readonly [W, ...W[]]): W {
  if (value === undefined) return words[0];
  if ((words as readonly unknown[]).includes(value)) return value as W;
  refuse(name, words.map(show).join(" or "), value);
}

/** A logger, or the word for the console, if anything. */
export function checkLogger(value: unknown): Logger | typeof CONSOLE | undefined {
  if (value === undefined || value === CONSOLE) return value;
  // Some loggers are functions that have the levels as methods.
  if (!isObject(value) && typeof value !== "function") {
    refuse("logger", '"console" or an object with functions like "warn"', value);
  }
  const logger = value as Logger;
  for (const level of LOG_LEVELS) checkFunction(`logger.${level}`, logger[level]);
  return logger;
}

/** An object with functions for hooks, empty if there is none. */
export function checkHooks(value: unknown): ProducerHooks {
  if (value === undefined) return {};
  if (!isObject(value)) {
    refuse("hooks", 'an object with functions like "onRetry"', value);
  }
  refuseUnknownIn("hooks", value, HOOK_NAMES);
  const hooks = value as ProducerHooks;
  for (const name of HOOK_NAMES) checkFunction(`hooks.${name}`, hooks[name]);
  return hooks;
}

/** Complains of an option that contradicts another. */
export function conflict(option: string, message: string): never {
  throw new ConfigError(option, `Change "${option}": ${message}.`);
}
