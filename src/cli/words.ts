/**
 * Sorts the words of a command line by option. What is wrong with them is a `ConfigError` of one line.
 *
 * @module
 */

import type { parseArgs } from "node:util";
import { ConfigError } from "../errors.ts";
import { builtinModule } from "../runtime/builtin.ts";
import { show } from "../show.ts";
import { foreignHint } from "./foreign.ts";
import type { CommandSpec } from "./options.ts";

/** The words that were given, by option. */
export interface Words {
  /** The last value of an option. */
  one(name: string): string | undefined;
  /** All values of an option. */
  all(name: string): readonly string[];
  /** Whether a switch was given. */
  has(name: string): boolean;
  /** What isn't an option. */
  readonly positionals: readonly string[];
}

/**
 * Sorts words by option: `--name value`, `--name=value`, `-n value`, `-nvalue`, switches in one word such as `-qe`, `--`
 * and then no more options. Throws a `ConfigError` for an unknown option, a missing value or one too many.
 */
export function readWords(spec: CommandSpec, args: readonly string[]): Words {
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokensOf(spec, args)) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const [name, value] = optionOf(spec, token);
    values.set(name, [...values.get(name) ?? [], value]);
  }
  return {
    one: (name) => values.get(name)?.at(-1),
    all: (name) => values.get(name) ?? [],
    has: (name) => values.has(name),
    positionals,
  };
}

type Token = Exclude<ReturnType<typeof parseArgs>["tokens"], undefined>[number];
type OptionToken = Extract<Token, { kind: "option" }>;

/** The words in Node's own reading. It complains of nothing: that is done here, in the same words on every runtime. */
function tokensOf(spec: CommandSpec, args: readonly string[]): readonly Token[] {
  const util = builtinModule<{ parseArgs?: typeof parseArgs }>("node:util");
  if (util?.parseArgs === undefined) {
    throw new ConfigError("runtime", "This runtime has no command line, wanted Node, Deno or Bun");
  }
  const options = Object.fromEntries(
    spec.options.map(({ name, short, value }) => [
      name,
      { type: value === undefined ? "boolean" as const : "string" as const, ...short === undefined ? {} : { short } },
    ]),
  );
  return util.parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

/** An option that there is, and its value; that of a switch is empty. */
function optionOf(spec: CommandSpec, { name, rawName, value }: OptionToken): [name: string, value: string] {
  const option = spec.options.find((known) => known.name === name);
  if (option === undefined) throw new ConfigError(name, unknownOption(spec, rawName));
  if (option.value !== undefined) {
    if (value !== undefined) return [name, value];
    throw new ConfigError(name, `Option ${rawName} has no value, wanted ${option.value}`);
  }
  if (value !== undefined) throw new ConfigError(name, `Option ${rawName} takes no value, got ${show(value)}`);
  return [name, ""];
}

function unknownOption(spec: CommandSpec, rawName: string): string {
  const foreign = foreignHint(spec.name, rawName);
  if (foreign !== undefined) return `Unknown option ${show(rawName)}, ${foreign}`;
  const near = spec.options.map((option) => `--${option.name}`).find((name) => distance(name, rawName) <= 2);
  const hint = near === undefined ? `see sluice ${spec.name} --help` : `did you mean ${near}?`;
  return `Unknown option ${show(rawName)}, ${hint}`;
}

/** A whole number, from 0 unless a pattern says more. */
export function number(
  words: Words,
  name: string,
  pattern: RegExp = /^\d{1,15}$/,
  wanted: string = "a whole number from 0",
): number | undefined {
  const text = words.one(name);
  if (text === undefined || pattern.test(text)) return text === undefined ? undefined : Number(text);
  throw new ConfigError(name, `Option --${name} is ${show(text)}, wanted ${wanted}`);
}

/** A whole number from 1. */
export function count(words: Words, name: string): number | undefined {
  return number(words, name, /^0*[1-9]\d{0,14}$/, "a whole number from 1");
}

/** One of the words that are allowed. */
export function oneOf<T extends string>(words: Words, name: string, allowed: readonly T[]): T | undefined {
  const text = words.one(name);
  if (text === undefined || (allowed as readonly string[]).includes(text)) return text as T | undefined;
  throw new ConfigError(name, `Option --${name} is ${show(text)}, wanted one of ${allowed.join(", ")}`);
}

/** What stands before and after the first `=`. A value that may be secret is not shown. */
export function pair(option: string, text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  // A property may be a password, with something else in place of the "=".
  const shown = option === "property" ? 'without name and "="' : show(text);
  throw new ConfigError(option, `Option --${option} is ${shown}, wanted NAME=VALUE`);
}

/** The entries that have a value. */
export function defined(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Refuses words that are no options, but for the first so many. */
export function refuseMore(words: Words, most: number, wanted: string): void {
  const { positionals } = words;
  if (positionals.length <= most) return;
  throw new ConfigError("file", `Found ${positionals.slice(0, 5).map(show).join(", ")}, wanted ${wanted}`);
}

/** How many letters must change, come or go (Levenshtein). */
export function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const changed = row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[right.length]!;
}
