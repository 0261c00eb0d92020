/**
 * What is meant by the words after `sluice tail`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { type ConnectionIo, readConnection } from "./connection.ts";
import { separator, unescape } from "./escapes.ts";
import { tailSpec } from "./options.ts";
import { count, defined, number, oneOf, readWords, refuseMore, type Words } from "./words.ts";

/** A place in a log: an end of it, an offset, so many records before the end, or a time in ms since 1970. */
export type Place =
  | "beginning"
  | "end"
  | { readonly offset: bigint }
  | { readonly last: bigint }
  | { readonly timestamp: number };

/** `sluice tail`, understood. */
export interface TailCommand {
  /** What to read. */
  readonly topic: string;
  /** Where to begin. */
  readonly from: Place;
  /** Where to stop; undefined to go on. */
  readonly to: Place | undefined;
  /** Stop after so many records. */
  readonly count: number | undefined;
  /** The partitions to read; undefined for all. */
  readonly partitions: readonly number[] | undefined;
  /** Print JSON. */
  readonly json: boolean;
  /** Print this of each record; undefined for key, separator, value and delimiter. */
  readonly template: string | undefined;
  /** Print the key and this before the value. */
  readonly keySeparator: Uint8Array | undefined;
  /** Print this behind the value. */
  readonly delimiter: Uint8Array;
  /** What stands for null. */
  readonly nullText: string;
  /** Make no remarks. */
  readonly quiet: boolean;
  /** The options of the reader. */
  readonly reader: { readonly brokers: string; readonly [option: string]: unknown };
}

/** Understands the words after `sluice tail`. */
export async function parseTail(words: Words, io: ConnectionIo, nowMs: number): Promise<TailCommand> {
  refuseMore(words, 1, "one topic");
  const topic = words.one("topic") ?? words.positionals[0];
  if (!topic) throw new ConfigError("topic", "No topic is given, wanted its name");
  if (words.one("topic") !== undefined && words.positionals.length > 0) {
    throw new ConfigError("topic", `Found ${show(words.positionals[0])} besides --topic, wanted one topic`);
  }
  refuseBoth(words, "exit", "to");
  for (const name of ["format", "key-separator", "delimiter", "null-text"]) refuseBoth(words, "json", name);
  for (const name of ["key-separator", "delimiter"]) refuseBoth(words, "format", name);
  const to = words.one("to");
  const isolation = oneOf(words, "isolation", ["read_committed", "read_uncommitted"] as const);
  const connection = await readConnection(words, io, "reader");
  return {
    topic,
    from: place("from", words.one("from") ?? "-10", nowMs),
    to: words.has("exit") ? "end" : to === undefined ? undefined : place("to", to, nowMs),
    count: count(words, "count"),
    partitions: partitions(words.one("partition")),
    json: words.has("json"),
    template: words.one("format"),
    keySeparator: separator("key-separator", words.one("key-separator")),
    delimiter: unescape(words.one("delimiter") ?? "\\n"),
    nullText: words.has("null-text") ? "NULL" : "",
    quiet: words.has("quiet"),
    reader: {
      clientId: "sluice",
      maxBlockMs: 10_000,
      ...connection,
      ...defined({ maxBlockMs: number(words, "timeout-ms"), isolation }),
    },
  };
}

/** Understands the words after `sluice tail` straight from the command line. */
export function tailCommand(args: readonly string[], nowMs = 0): Promise<TailCommand> {
  const open = (file: string): Promise<never> =>
    Promise.reject(new ConfigError("file", `No file is read: ${show(file)}`));
  return parseTail(readWords(tailSpec, args), { env: {}, open }, nowMs);
}

function refuseBoth(words: Words, left: string, right: string): void {
  if (!words.has(left) || !words.has(right)) return;
  throw new ConfigError(left, `Options --${left} and --${right} are both given, wanted one of them`);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WORDS: Readonly<Record<string, "beginning" | "end">> = {
  ...{ beginning: "beginning", start: "beginning", earliest: "beginning" },
  ...{ end: "end", latest: "end" },
};

function place(name: string, text: string, nowMs: number): Place {
  if (Object.hasOwn(WORDS, text)) return WORDS[text]!;
  if (/^\d{1,18}$/.test(text)) return { offset: BigInt(text) };
  if (/^-\d{1,18}$/.test(text)) return { last: -BigInt(text) };
  const [, ago, unit, at] = /^(?:[se]?@)(?:-(\d{1,9})(ms|s|m|h|d)|(\d{1,15}))$/.exec(text) ?? [];
  if (at !== undefined) return { timestamp: Number(at) };
  if (ago !== undefined) return { timestamp: Math.max(0, nowMs - Number(ago) * UNITS[unit!]!) };
  const timestamp = /^\d{4}-\d{2}-\d{2}(?:[T ]\S+)?$/.test(text) ? Date.parse(text) : NaN;
  if (timestamp >= 0) return { timestamp };
  throw new ConfigError(
    name,
    `Option --${name} is ${show(text)}, wanted beginning, end, an offset, -N, 2026-01-31T12:00:00Z, @MS or @-1h`,
  );
}

function partitions(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined;
  const wanted = text.split(",").map((part) => part.trim());
  if (wanted.every((part) => /^\d{1,9}$/.test(part))) return [...new Set(wanted.map(Number))];
  throw new ConfigError("partition", `Option --partition is ${show(text)}, wanted numbers such as 0,3`);
}
