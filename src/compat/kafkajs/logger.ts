/**
 * KafkaJS's logger: levels that are numbers, namespaces, and one function that writes what passes.
 *
 * @module
 */

import type { Logger as SluiceLogger } from "../../producer/observe/logger.ts";
import { environmentVariable } from "../../runtime/environment.ts";
import { printableJson } from "../../show.ts";

/** The levels, by the numbers that KafkaJS has for them. */
export const logLevel = {
  /** Nothing is written. */
  NOTHING: 0,
  /** What should not have happened. */
  ERROR: 1,
  /** What an operator may want to know. */
  WARN: 2,
  /** What happened in the normal course. */
  INFO: 4,
  /** Details of use when hunting a fault. */
  DEBUG: 5,
} as const;
/** A level. */
export type logLevel = typeof logLevel[keyof typeof logLevel];

/** What an entry says. */
export interface LoggerEntryContent {
  /** When, as ISO 8601. */
  readonly timestamp: string;
  /** What. */
  readonly message: string;
  /** Whatever else was passed. */
  // deno-lint-ignore no-explicit-any
  [key: string]: any;
}

/** An entry, as `logCreator`'s function gets it. */
export interface LogEntry {
  /** Who logs, such as `"Producer"`; empty for the client itself. */
  namespace: string;
  /** The level. */
  level: logLevel;
  /** The level's name. */
  label: string;
  /** What is said. */
  log: LoggerEntryContent;
}

/** Makes the function that writes entries; called once for each client, with its level. */
export type logCreator = (logLevel: logLevel) => (entry: LogEntry) => void;

/** Writes entries at a level. */
export type Logger = {
  /** What happened in the normal course. */
  info: (message: string, extra?: object) => void;
  /** What should not have happened. */
  error: (message: string, extra?: object) => void;
  /** What an operator may want to know. */
  warn: (message: string, extra?: object) => void;
  /** Details of use when hunting a fault. */
  debug: (message: string, extra?: object) => void;
  /** A logger for a part, with a level of its own if one is given. */
  namespace: (namespace: string, logLevel?: logLevel) => Logger;
  /** Sets the level of all that have none of their own. */
  setLogLevel: (logLevel: logLevel) => void;
};

/** Makes the logger of a client. `wallNow` is the clock, in ms since the epoch. */
export function createLogger(
  given: logLevel,
  create: logCreator,
  wallNow: () => number,
): Logger {
  let level = fromEnvironment() ?? given;
  const write = create(level);
  const loggerOf = (namespace: string, own: logLevel | undefined): Logger => {
    const at = (label: keyof typeof logLevel) => (message: string, extra: object = {}): void => {
      if (logLevel[label] > (own ?? level)) return;
      const timestamp = new Date(wallNow()).toISOString();
      write({ namespace, level: logLevel[label], label, log: { timestamp, logger: "kafkajs", message, ...extra } });
    };
    return {
      info: at("INFO"),
      error: at("ERROR"),
      warn: at("WARN"),
      debug: at("DEBUG"),
      namespace: (name, ownLevel) => loggerOf(name, fromEnvironment() ?? ownLevel),
      setLogLevel: (next) => void (level = next),
    };
  };
  return loggerOf("", undefined);
}

/** As in KafkaJS, `KAFKAJS_LOG_LEVEL` comes before everything else. */
function fromEnvironment(): logLevel | undefined {
  const name = environmentVariable("KAFKAJS_LOG_LEVEL")?.toUpperCase();
  return name !== undefined && Object.hasOwn(logLevel, name) ? logLevel[name as keyof typeof logLevel] : undefined;
}

const METHODS = { INFO: "info", ERROR: "error", WARN: "warn", DEBUG: "log" } as const;

/** A line of JSON for each entry, on the console. */
export const consoleLogCreator: logCreator = () => ({ namespace, label, log }) => {
  const method = METHODS[label as keyof typeof METHODS];
  const message = `${namespace === "" ? "" : `[${namespace}] `}${log.message}`;
  globalThis.console[method ?? "log"](printableJson({ level: label, ...log, message }));
};

/**
 * KafkaJS's logger as one of a producer of this package. What that tells an operator of each connection, KafkaJS tells
 * only who hunts a fault.
 */
export function loggerOf(logger: Logger): SluiceLogger {
  const message = (event: string, { reason, advice, error }: Readonly<Record<string, unknown>>): string => {
    const cause = (error as { readonly message?: string } | undefined)?.message;
    const text = [reason ?? cause, advice].filter((part) => typeof part === "string" && part !== "").join(" ");
    return text === "" ? event : `${event}: ${text}`;
  };
  return {
    debug: (event, fields) => logger.debug(message(event, fields), fields),
    info: (event, fields) => logger.debug(message(event, fields), fields),
    warn: (event, fields) => logger.warn(message(event, fields), fields),
    error: (event, fields) => logger.error(message(event, fields), fields),
  };
}
