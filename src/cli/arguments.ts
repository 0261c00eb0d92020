/**
 * Reads the words of a command line. What is wrong with them is a `ConfigError` of one line.
 *
 * @module
 */

import type { parseArgs } from "node:util";
import { ConfigError } from "../errors.ts";
import { builtinModule } from "../runtime/builtin.ts";
import { show } from "../show.ts";
import { formatOf, type InputOptions } from "./records.ts";
import { brokerSpec, type CommandSpec, produceSpec } from "./options.ts";

/** `sluice produce`, understood. */
export interface ProduceCommand {
  /** Where to write. */
  readonly topic: string;
  /** What to read; `"-"` is standard input. */
  readonly file: string;
  /** How to read it. */
  readonly input: InputOptions;
  /** The partition of every record, when it was asked for. */
  readonly partition: number | undefined;
  /** The headers of every record, in order. */
  readonly headers: readonly (readonly [string, string])[];
  /** The options of the producer; the producer judges them. */
  readonly producer: Readonly<Record<string, unknown>>;
  /** When to show progress. */
  readonly progress: "auto" | "always" | "json" | "never";
  /** Print neither progress nor summary. */
  readonly quiet: boolean;
  /** Print the summary as JSON. */
  readonly json: boolean;
}

/** `sluice broker`, understood. */
export interface BrokerCommand {
  /** Port of the first broker. */
  readonly port: number;
  /** Address to listen on. */
  readonly host: string;
  /** How many brokers. */
  readonly brokers: number;
  /** Topics to create. */
  readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  /** Create a topic when it is asked for. */
  readonly autoCreate: boolean;
  /** Speak TLS. */
  readonly tls: boolean;
}

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
 * Sorts words by option: `--name value`, `--name=value`, `-n value`, `-nvalue`, `--` and then no more options. Throws a
 * `ConfigError` for an unknown option, a missing value or one too many.
 */
export function readWords(spec: CommandSpec, args: readonly string[]): Words {
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokensOf(spec, args)) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const [name, value] = optionOf(spec, token, args[token.index]!);
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
function optionOf(spec: CommandSpec, token: OptionToken, word: string): [name: string, value: string] {
  const { name, rawName, value } = token;
  const option = spec.options.find((known) => known.name === name);
  if (option === undefined) throw new ConfigError(name, unknownOption(spec, rawName));
  if (option.value !== undefined) {
    if (value !== undefined) return [name, value];
    throw new ConfigError(name, `Option ${rawName} has no value, wanted ${option.value}`);
  }
  // Switches in one word, such as `-qv`, would be several tokens; here each has a word of its own.
  const attached = rawName.startsWith("--") || word === rawName ? value : word.slice(rawName.length);
  if (attached !== undefined) throw new ConfigError(name, `Option ${rawName} takes no value, got ${show(attached)}`);
  return [name, ""];
}

/** Understands the words after `sluice produce`. Options that only the producer can judge are passed on to it. */
export function parseProduce(words: Words, env: Readonly<Record<string, string | undefined>>): ProduceCommand {
  const brokers = words.one("brokers") ?? env["KAFKA_BROKERS"];
  if (!brokers) throw new ConfigError("brokers", "No brokers are given, wanted --brokers HOST:PORT or KAFKA_BROKERS");
  const topic = words.one("topic");
  if (!topic) throw new ConfigError("topic", "No topic is given, wanted --topic NAME");
  if (words.positionals.length > 1) {
    throw new ConfigError("file", `Found ${words.positionals.length} files, wanted one: ${quoted(words.positionals)}`);
  }
  const file = words.positionals[0] ?? "-";
  const format = oneOf(words, "format", ["lines", "ndjson", "json"] as const) ?? formatOf(file);
  refuseUnless(format === "lines", words, ["key-separator", "null-marker"], `--format ${format}`);
  refuseUnless(format !== "lines", words, ["key-field"], "--format lines");
  for (const name of ["key-separator", "key-field"]) {
    if (words.one(name) === "") throw new ConfigError(name, `Option --${name} is empty, wanted at least one character`);
  }
  const timeoutMs = number(words, "timeout-ms");
  const compression = words.one("compression");
  const level = number(words, "level", /^-?\d{1,3}$/, "a whole number");
  if (level !== undefined && compression === undefined) {
    throw new ConfigError("level", "Option --level is given without a codec, wanted --compression CODEC as well");
  }
  return {
    topic,
    file,
    input: {
      format,
      keySeparator: words.one("key-separator"),
      keyField: words.one("key-field"),
      nullMarker: words.one("null-marker"),
    },
    partition: number(words, "partition"),
    headers: words.all("header").map((text) => pair("header", text)),
    producer: defined({
      brokers,
      clientId: words.one("client-id"),
      acks: acks(words.one("acks")),
      compression: level === undefined ? compression : { codec: compression, level },
      lingerMs: number(words, "linger-ms"),
      batchSize: number(words, "batch-size"),
      deliveryTimeoutMs: timeoutMs ?? 60_000,
      maxBlockMs: Math.min(timeoutMs ?? 10_000, 10_000), // only the first connection and the topic can block
      ...Object.fromEntries(words.all("property").map((text) => property(text))),
    }),
    progress: oneOf(words, "progress", ["auto", "always", "json", "never"] as const) ?? "auto",
    quiet: words.has("quiet"),
    json: words.has("json"),
  };
}

/** Understands the words after `sluice broker`. */
export function parseBroker(words: Words): BrokerCommand {
  if (words.positionals.length > 0) {
    throw new ConfigError("file", `Found ${quoted(words.positionals)}, wanted options only`);
  }
  const port = number(words, "port") ?? 9092;
  if (port > 65_535) throw new ConfigError("port", `Option --port is "${port}", wanted a number up to 65535`);
  const brokers = number(words, "brokers") ?? 1;
  if (brokers < 1) throw new ConfigError("brokers", `Option --brokers is "${brokers}", wanted at least 1`);
  return {
    port,
    host: words.one("host") ?? "127.0.0.1",
    brokers,
    topics: words.all("topic").map(topicOf),
    autoCreate: words.has("auto-create"),
    tls: words.has("tls"),
  };
}

/** Understands the words after `sluice produce` straight from the command line. */
export function produceCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): ProduceCommand {
  return parseProduce(readWords(produceSpec, args), env);
}

/** Understands the words after `sluice broker` straight from the command line. */
export function brokerCommand(args: readonly string[]): BrokerCommand {
  return parseBroker(readWords(brokerSpec, args));
}

function number(
  words: Words,
  name: string,
  pattern = /^\d{1,15}$/,
  wanted = "a whole number from 0",
): number | undefined {
  const text = words.one(name);
  if (text === undefined || pattern.test(text)) return text === undefined ? undefined : Number(text);
  throw new ConfigError(name, `Option --${name} is ${show(text)}, wanted ${wanted}`);
}

function oneOf<T extends string>(words: Words, name: string, allowed: readonly T[]): T | undefined {
  const text = words.one(name);
  if (text === undefined || (allowed as readonly string[]).includes(text)) return text as T | undefined;
  throw new ConfigError(name, `Option --${name} is ${show(text)}, wanted one of ${allowed.join(", ")}`);
}

function acks(text: string | undefined): string | number | undefined {
  return text === "1" || text === "0" || text === "-1" ? Number(text) : text;
}

function pair(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  // A property may be a password, with something else in place of the "=".
  const shown = option === "property" ? 'without name and "="' : show(text);
  throw new ConfigError(option, `Option --${option} is ${shown}, wanted NAME=VALUE`);
}

/** `maxInFlight=1` is the number 1: what reads as JSON is that value, all else is text. */
function property(text: string): readonly [string, unknown] {
  const [name, value] = pair("property", text);
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value === "Infinity" ? Infinity : value];
  }
}

function topicOf(text: string): { name: string; partitions: number } {
  const match = /^([A-Za-z0-9._-]{1,249})(?::([1-9]\d{0,4}))?$/.exec(text);
  if (match !== null) return { name: match[1]!, partitions: Number(match[2] ?? 1) };
  throw new ConfigError("topic", `Option --topic is ${show(text)}, wanted NAME or NAME:PARTITIONS`);
}

function refuseUnless(fits: boolean, words: Words, names: readonly string[], format: string): void {
  const name = names.find((candidate) => words.has(candidate));
  if (!fits && name !== undefined) throw new ConfigError(name, `Option --${name} does not go with ${format}`);
}

function defined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function quoted(texts: readonly string[]): string {
  return texts.map(show).join(", ");
}

function unknownOption(spec: CommandSpec, rawName: string): string {
  const near = spec.options.map((option) => `--${option.name}`).find((name) => distance(name, rawName) <= 2);
  const hint = near === undefined ? `see sluice ${spec.name} --help` : `did you mean ${near}?`;
  return `Unknown option ${show(rawName)}, ${hint}`;
}

/** How many letters must change, come or go (Levenshtein). */
function distance(left: string, right: string): number {
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
