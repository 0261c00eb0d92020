/**
 * Checks of what is passed to the calls of an admin client; each reads what it is given once.
 *
 * @module
 */

import { isList, isObject, MAX_INT32, readList, readOptions, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import { sentenceOf, show } from "../show.ts";

/** What a string of the wire can hold. */
const MAX_STRING_BYTES = 32_767;
const MAX_OFFSET = 2n ** 63n - 1n;

/** {@link readList} of at least one, none of them twice: a broker would answer for one of them only. */
export function readDistinct<T>(
  option: string,
  value: unknown,
  wanted: string,
  each: (item: unknown) => T,
  keyOf: (item: T) => string,
): T[] {
  const items = readList(option, value, wanted, each);
  const seen = new Set<string>();
  for (const item of items) {
    const key = keyOf(item);
    if (seen.has(key)) throw new ConfigError(option, `Name each of the ${wanted} once: ${show(key)} is there twice.`);
    seen.add(key);
  }
  return items;
}

/** The fields of one thing, those that are known and no others. */
export function readFields<N extends string>(
  what: string,
  value: unknown,
  known: readonly N[],
): { readonly [name in N]?: unknown } {
  if (value === undefined || !isObject(value)) {
    throw new ConfigError(what, `Pass an object for ${what}, with ${known.join(", ")}: ${show(value)} is not.`);
  }
  return readOptions(what, value, known);
}

/** Text that isn't empty, and fits the wire. */
export function checkName(option: string, value: unknown): string {
  if (typeof value !== "string" || value === "") refuse(option, "text that isn't empty", value);
  if (new TextEncoder().encode(value).length > MAX_STRING_BYTES) {
    refuse(option, `text of at most ${MAX_STRING_BYTES} bytes`, value);
  }
  return value;
}

/** A whole number. */
export function checkCount(option: string, value: unknown, least: number, most: number = MAX_INT32): number {
  if (Number.isSafeInteger(value) && value as number >= least && value as number <= most) return value as number;
  refuse(option, `a whole number from ${least} to ${most}`, value);
}

/** An offset. */
export function checkOffset(option: string, value: unknown): bigint {
  if (typeof value === "bigint" && value >= 0n && value <= MAX_OFFSET) return value;
  const hint = typeof value === "number" ? " Write it as a bigint, such as 42n." : "";
  refuse(option, "a bigint from 0n on", value, hint);
}

/** true or false, if anything. */
export function checkFlag(option: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? fallback;
  refuse(option, "true or false", value);
}

/** One of a few words. */
export function checkWord<W extends string>(option: string, value: unknown, words: readonly W[]): W {
  if ((words as readonly unknown[]).includes(value)) return value as W;
  refuse(option, words.map(show).join(" or "), value);
}

/** Configs by name; numbers and booleans are written as Kafka reads them. */
export function checkConfigs(option: string, value: unknown): { readonly name: string; readonly value: string }[] {
  if (value === undefined) return [];
  if (!isObject(value) || isList(value) || value instanceof Map) {
    refuse(option, 'an object such as { "retention.ms": 86400000 }', value);
  }
  let entries: [string, unknown][];
  try {
    entries = Object.entries(value);
  } catch (error) {
    throw new ConfigError(option, `Set "${option}" to a plain object: reading it failed. ${sentenceOf(error)}`, {
      cause: error,
    });
  }
  return entries.map(([name, entry]) => {
    const isPlain = typeof entry === "string" || typeof entry === "boolean" || typeof entry === "bigint" ||
      (typeof entry === "number" && Number.isFinite(entry));
    if (!isPlain) refuse(`${option}.${name}`, "text, a number, true or false", entry);
    return { name: checkName(option, name), value: String(entry) };
  });
}
