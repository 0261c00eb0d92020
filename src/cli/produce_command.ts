/**
 * What is meant by the words after `sluice produce`. What is wrong with them is a `ConfigError` of one line.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { type ConnectionIo, readConnection } from "./connection.ts";
import { separator } from "./escapes.ts";
import { produceSpec } from "./options.ts";
import { formatOf, type InputFormat, type InputOptions } from "./records.ts";
import { count, defined, number, oneOf, pair, readWords, type Words } from "./words.ts";

/** One thing to read. */
export interface InputFile {
  /** Its name; `"-"` is standard input. */
  readonly name: string;
  /** How to read it. */
  readonly input: InputOptions;
  /** Whether it is packed with gzip. */
  readonly gunzip: boolean;
}

/** `sluice produce`, understood. */
export interface ProduceCommand {
  /** Where to write; undefined for each record's own topic. */
  readonly topic: string | undefined;
  /** What to read, one after the other. */
  readonly files: readonly InputFile[];
  /** The key of records without one. */
  readonly key: string | undefined;
  /** The partition of every record, when it was asked for; `"any"` for none, whatever an envelope says. */
  readonly partition: number | "any" | undefined;
  /** The headers of every record, in order, behind its own. */
  readonly headers: readonly (readonly [string, string])[];
  /** Stop after so many records. */
  readonly count: number | undefined;
  /** At most so many records per second. */
  readonly rate: number | undefined;
  /** Send nothing. */
  readonly dryRun: boolean;
  /** Print each value that is sent. */
  readonly tee: boolean;
  /** What to print of each delivered record. */
  readonly output: string | undefined;
  /** The options of the producer; the producer judges them. */
  readonly producer: Readonly<Record<string, unknown>>;
  /** When to show progress. */
  readonly progress: "auto" | "always" | "json" | "never";
  /** Print neither progress nor summary. */
  readonly quiet: boolean;
  /** Print the summary as JSON. */
  readonly json: boolean;
}

/** Options that only some formats have. */
const OPTIONS_OF_FORMATS: Readonly<Record<InputFormat, readonly string[]>> = {
  lines: ["key-separator", "headers-separator", "delimiter", "empty-as-null", "null-marker"],
  ndjson: ["key-field"],
  json: ["key-field"],
  envelope: [],
};

/** Understands the words after `sluice produce`. Options that only the producer can judge are passed on to it. */
export async function parseProduce(words: Words, io: ConnectionIo): Promise<ProduceCommand> {
  const files = (words.positionals.length === 0 ? ["-"] : words.positionals).map((name) => inputFile(words, name));
  const topic = words.one("topic");
  if (!topic && !files.every(({ input }) => input.format === "envelope")) {
    const [word] = words.positionals;
    const hint = word === undefined ? "" : `: ${show(word)} is taken for a file`;
    throw new ConfigError("topic", `No topic is given, wanted --topic NAME${hint}`);
  }
  refuseForeign(words, files);
  if (words.has("tee") && words.one("output") !== undefined) {
    throw new ConfigError("tee", "Options --tee and --output are both given, wanted one of them");
  }
  const printed = words.has("tee") || words.one("output") !== undefined;
  if (words.has("dry-run") && words.one("output") !== undefined) {
    throw new ConfigError("output", "Option --output does not go with --dry-run, which delivers nothing; --tee does");
  }
  return {
    topic: topic || undefined,
    files,
    key: words.one("key"),
    partition: partition(words),
    headers: words.all("header").map((text) => pair("header", text)),
    count: count(words, "count"),
    rate: count(words, "rate"),
    dryRun: words.has("dry-run"),
    tee: words.has("tee"),
    output: words.one("output"),
    producer: await producerOptions(words, io),
    progress: oneOf(words, "progress", ["auto", "always", "json", "never"] as const) ?? (printed ? "never" : "auto"),
    quiet: words.has("quiet"),
    json: words.has("json"),
  };
}

/** Understands the words after `sluice produce` straight from the command line. */
export function produceCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<ProduceCommand> {
  const open = (file: string): Promise<never> =>
    Promise.reject(new ConfigError("file", `No file is read: ${show(file)}`));
  return parseProduce(readWords(produceSpec, args), { env, open });
}

function inputFile(words: Words, name: string): InputFile {
  const isPacked = /\.gz$/i.test(name);
  const format = oneOf(words, "format", ["lines", "ndjson", "json", "envelope"] as const) ??
    formatOf(isPacked ? name.slice(0, -3) : name);
  if (words.one("key-field") === "") {
    throw new ConfigError("key-field", "Option --key-field is empty, wanted at least one character");
  }
  return {
    name,
    gunzip: isPacked || words.has("gunzip"),
    input: {
      format,
      keySeparator: separator("key-separator", words.one("key-separator")),
      keyIsOptional: words.has("key"),
      headersSeparator: separator("headers-separator", words.one("headers-separator")),
      delimiter: separator("delimiter", words.one("delimiter")),
      emptyAsNull: words.has("empty-as-null"),
      keyField: words.one("key-field"),
      nullMarker: words.one("null-marker"),
    },
  };
}

function refuseForeign(words: Words, files: readonly InputFile[]): void {
  const names = Object.values(OPTIONS_OF_FORMATS).flat();
  for (const { input: { format } } of files) {
    const name = names.find((name) => words.has(name) && !OPTIONS_OF_FORMATS[format].includes(name));
    if (name !== undefined) throw new ConfigError(name, `Option --${name} does not go with --format ${format}`);
  }
}

function partition(words: Words): number | "any" | undefined {
  const text = words.one("partition");
  if (text === "any" || text === "-1") return "any";
  return number(words, "partition", /^\d{1,10}$/, "a whole number from 0, or any");
}

async function producerOptions(words: Words, io: ConnectionIo): Promise<Record<string, unknown>> {
  const timeoutMs = number(words, "timeout-ms");
  const options = await readConnection(words, io, "producer");
  return {
    deliveryTimeoutMs: 60_000,
    maxBlockMs: Math.min(timeoutMs ?? 10_000, 10_000), // only the first connection and the topic can block
    ...options,
    // An option of the command is meant for this run, whatever a file says.
    ...defined({
      deliveryTimeoutMs: timeoutMs,
      acks: acksOf(words.one("acks")),
      compression: compressionOf(words),
      lingerMs: number(words, "linger-ms"),
      batchSize: number(words, "batch-size"),
    }),
  };
}

/** Codec and level; a level alone is refused. */
export function compressionOf(words: Words): unknown {
  const compression = words.one("compression");
  const level = number(words, "level", /^-?\d{1,3}$/, "a whole number");
  if (level !== undefined && compression === undefined) {
    throw new ConfigError("level", "Option --level is given without a codec, wanted --compression CODEC as well");
  }
  return level === undefined ? compression : { codec: compression, level };
}

/** `1`, `0` and `-1` as numbers, all else as it is. */
export function acksOf(text: string | undefined): string | number | undefined {
  return text === "1" || text === "0" || text === "-1" ? Number(text) : text;
}
