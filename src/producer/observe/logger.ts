/**
 * Where the producer's log events go: what a logger is, how others' loggers are served, and what a field may be.
 *
 * Every event passes {@link adaptLogger} on its way. What arrives at a logger can be written as JSON: a `bigint` is its
 * decimal text, an error is an object with name, message, code and cause.
 *
 * @module
 */

import { ignoreRejection } from "../../call_options.ts";
import { printable, sentence } from "../../show.ts";

/** Where the producer's structured log events go. Every method is optional. */
export interface Logger {
  /** Details of use when hunting a fault. */
  debug?(event: string, fields: LogFields): void;
  /** What happened in the normal course. */
  info?(event: string, fields: LogFields): void;
  /** What an operator may want to know. */
  warn?(event: string, fields: LogFields): void;
  /** What should not have happened. */
  error?(event: string, fields: LogFields): void;
}

/** What is said of an event, by name. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A level of importance. */
export type LogLevel = keyof Logger;

/** All levels, the least important first. */
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** The one word in place of a logger. */
export const CONSOLE = "console";

/** Levels that `logger: "console"` shows. There is a debug event for each request: too much for a word. */
const CONSOLE_LEVELS: readonly LogLevel[] = ["info", "warn", "error"];

/** What loggers of the syslog levels (winston's among them) call a level. */
const OTHER_NAMES: Readonly<Partial<Record<LogLevel, string>>> = { warn: "warning" };

type Methods = Readonly<Record<string, unknown>>;

/**
 * Makes one kind of logger out of all: it takes the event and the fields, which are safe for JSON, and never throws.
 * A level that the given one doesn't have isn't there, so that it costs nothing.
 *
 * Known by their shape are loggers that want the object first and the text second (pino, bunyan), and those that call
 * a level by another name. All others take the text first: winston, `console`, log4js, LogTape, one's own.
 */
export function adaptLogger(given: Logger | typeof CONSOLE | undefined): Logger {
  if (given === undefined) return {};
  const adapted: Logger = {};
  for (const level of LOG_LEVELS) {
    const write = given === CONSOLE ? consoleWriter(level) : writerOf(given as unknown as Methods, level);
    if (write !== undefined) adapted[level] = guarded(write);
  }
  return adapted;
}

type Write = (event: string, fields: LogFields) => unknown;

function consoleWriter(level: LogLevel): Write | undefined {
  if (!CONSOLE_LEVELS.includes(level)) return undefined;
  // Looked up each time: tests and other tools put methods of their own there.
  return (event, fields) => globalThis.console[level](lineOf(event, jsonSafe(fields)));
}

function writerOf(logger: Methods, level: LogLevel): Write | undefined {
  const name = [level, OTHER_NAMES[level]].find((name) => name !== undefined && typeof logger[name] === "function");
  if (name === undefined) return undefined;
  const objectFirst = takesObjectFirst(logger);
  return (event, fields) => {
    if (!isEnabled(logger, name)) return undefined;
    const safe = jsonSafe(fields);
    // Looked up each time: pino puts other methods there when its level changes.
    const write = logger[name] as (...args: unknown[]) => unknown;
    return objectFirst ? write.call(logger, safe, event) : write.call(logger, event, safe);
  };
}

/** pino knows `bindings`, bunyan `addSerializers`; both make children. */
function takesObjectFirst({ child, bindings, addSerializers }: Methods): boolean {
  return typeof child === "function" && (typeof bindings === "function" || typeof addSerializers === "function");
}

/** pino, winston and log4js can say that a level is off, and may be told otherwise at any time. */
function isEnabled(logger: Methods, name: string): boolean {
  const { isLevelEnabled } = logger;
  return typeof isLevelEnabled !== "function" || isLevelEnabled.call(logger, name) !== false;
}

/** A logger that throws must not disturb the delivery of records. */
function guarded(write: Write): (event: string, fields: LogFields) => void {
  return (event, fields) => {
    try {
      ignoreRejection(write(event, fields));
    } catch {
      // There is nobody left to tell.
    }
  };
}

/** How many lines of one event may be written in a row, and after how long there is one more. */
const PACES: Readonly<Partial<Record<LogLevel, readonly [burst: number, everyMs: number]>>> = {
  info: [20, 10_000],
  warn: [10, 60_000],
  error: [100, 1_000],
};

/**
 * A logger that stays readable in an outage of hours with a thousand topics: of each event ten warnings in a row and
 * then one a minute; twenty lines of information and then one in ten seconds. What was left out is counted, and told by
 * `suppressed` of the next line of that event, or of an event `lines_suppressed` when {@link PacedLogger.settle} is
 * called.
 */
export class PacedLogger implements Logger {
  debug?: NonNullable<Logger["debug"]>;
  info?: NonNullable<Logger["info"]>;
  warn?: NonNullable<Logger["warn"]>;
  error?: NonNullable<Logger["error"]>;

  readonly #now: () => number;
  readonly #settle: (() => void)[] = [];

  /** Keeps the pace by the given clock, in ms. */
  constructor(logger: Logger, now: () => number) {
    this.#now = now;
    for (const level of LOG_LEVELS) {
      const write = logger[level]?.bind(logger);
      if (write === undefined) continue;
      const pace = PACES[level];
      this[level] = pace === undefined ? write : this.#paced(write, ...pace);
    }
  }

  /** Tells what was left out and not told yet. */
  settle(): void {
    for (const tell of this.#settle) tell();
  }

  #paced(write: NonNullable<Logger["warn"]>, burst: number, everyMs: number): NonNullable<Logger["warn"]> {
    const buckets = new Map<string, { left: number; sinceMs: number; suppressed: number }>();
    this.#settle.push(() => {
      for (const [event, bucket] of buckets) {
        if (bucket.suppressed > 0) write("lines_suppressed", { of: event, suppressed: bucket.suppressed });
        bucket.suppressed = 0;
      }
    });
    return (event, fields) => {
      const nowMs = this.#now();
      let bucket = buckets.get(event);
      if (bucket === undefined) buckets.set(event, bucket = { left: burst, sinceMs: nowMs, suppressed: 0 });
      const gained = Math.floor((nowMs - bucket.sinceMs) / everyMs);
      bucket.left = Math.min(burst, bucket.left + gained);
      bucket.sinceMs = bucket.left === burst ? nowMs : bucket.sinceMs + gained * everyMs;
      if (bucket.left === 0) {
        bucket.suppressed += 1;
        return;
      }
      bucket.left -= 1;
      const { suppressed } = bucket;
      bucket.suppressed = 0;
      write(event, suppressed === 0 ? fields : { ...fields, suppressed });
    };
  }
}

/** Deeper than this nobody reads on, and what points back to itself ends. */
const MAX_DEPTH = 5;
const MAX_ERRORS = 10;

/** Fields as JSON can hold them. Never throws, whatever the values are. */
export function jsonSafe(fields: LogFields): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const plain = attempt(() => plainOf(value, 0));
    if (plain !== undefined) safe[name] = plain;
  }
  return safe;
}

function plainOf(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "bigint":
      return value.toString();
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "function":
    case "symbol":
      return String(value);
    case "object":
      return value === null ? null : plainObjectOf(value, depth);
    default:
      return value;
  }
}

function plainObjectOf(value: object, depth: number): unknown {
  if (isError(value)) return plainErrorOf(value, depth);
  if (depth >= MAX_DEPTH) return "…";
  if (Array.isArray(value)) return value.map((entry) => plainOf(entry, depth + 1));
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return plainOf(toJSON.call(value, ""), depth + 1);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  return plainEntriesOf(value, depth);
}

function plainEntriesOf(value: object, depth: number): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const own = attempt(() => plainOf((value as Record<string, unknown>)[name], depth + 1));
    if (own !== undefined) plain[name] = own;
  }
  return plain;
}

/** Name, message and code first, then whatever else it says of itself in a word, then what led to it. */
function plainErrorOf(error: Error, depth: number): unknown {
  const { name, message } = error;
  if (depth >= MAX_DEPTH) return { name, message };
  const { cause, errors, stack, ...own } = Object.getOwnPropertyDescriptors(error) as PropertyDescriptorMap;
  const plain: Record<string, unknown> = { name, message };
  const code = attempt(() => (error as { code?: unknown }).code);
  if (code !== undefined) plain["code"] = plainOf(code, depth + 1);
  for (const key of Object.keys(own)) {
    const value = attempt(() => (error as unknown as Record<string, unknown>)[key]);
    const isWord = ["string", "number", "boolean", "bigint"].includes(typeof value);
    if (own[key]!.enumerable === true && isWord && !(key in plain)) plain[key] = plainOf(value, depth + 1);
  }
  if (Array.isArray(errors?.value)) {
    plain["errors"] = errors.value.slice(0, MAX_ERRORS).map((one: unknown) => plainOf(one, depth + 1));
  }
  const reason = cause === undefined ? undefined : attempt(() => error.cause);
  if (reason !== undefined) plain["cause"] = plainOf(reason, depth + 1);
  // Of a fault in the caller's own code the place counts; the client's errors say what they have to say.
  const isForeign = !("persisted" in error);
  if (depth === 0 && isForeign && stack !== undefined) plain["stack"] = attempt(() => String(error.stack));
  return plain;
}

function isError(value: object): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

function attempt<T>(read: () => T): T | string {
  try {
    return read();
  } catch {
    return "unreadable";
  }
}

/**
 * An event as one line for people: its name, what is the matter, what to do, and the other fields in brackets. `fields`
 * are safe for JSON already.
 */
export function lineOf(event: string, fields: LogFields): string {
  const { reason, advice, error, ...rest } = fields;
  const message = isRecord(error) ? String(error["message"] ?? "") : error === undefined ? "" : String(error);
  const text = [reason ?? message, advice].filter((part) => part !== undefined && part !== "")
    .map((part) => sentence(String(part))).join(" ");
  const pairs = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(" ");
  const line = `sluice ${event}${text === "" ? "" : `: ${text}`}${pairs === "" ? "" : ` [${pairs}]`}`;
  return printable(line);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
