/**
 * Headers of dead letters, as Kafka Connect, the share groups of Kafka 4.4 and Spring write them.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { show } from "../show.ts";
import {
  checkOptionalInt32,
  checkOptionalText,
  checkText,
  type HeaderPair,
  type HeaderSource,
  int32Header,
  int64Header,
  lastHeader,
  lastText,
  pairsOf,
  readInt32,
  readInt64,
  textHeader,
} from "./header.ts";

/**
 * Who reads them: `"connect"` (`__connect.errors.…`, KIP-298), `"kafka"` (`__dlq.errors.…`, KIP-1191), or `"spring"`
 * (`kafka_dlt-…`, with numbers as bytes).
 */
export type DeadLetterDialect = "connect" | "kafka" | "spring";

/** Where a record comes from, and why it is a dead letter. A dialect writes what it has a header for. */
export interface DeadLetter {
  /** The topic that the record was meant for, or was read from. */
  readonly topic: string;
  /** Its partition, if it has one yet. */
  readonly partition?: number | undefined;
  /** Its offset, if it stands in a log. */
  readonly offset?: bigint | number | undefined;
  /** Its time, in ms since the epoch. */
  readonly timestamp?: number | undefined;
  /** Whose time that is. @default "CreateTime" */
  readonly timestampType?: "CreateTime" | "LogAppendTime" | undefined;
  /** The consumer group in which it failed. */
  readonly group?: string | undefined;
  /** How often it was tried. */
  readonly deliveryCount?: number | undefined;
  /** The connector, or the program, in which it failed. */
  readonly connector?: string | undefined;
  /** The task of the connector. */
  readonly taskId?: number | undefined;
  /** Where in its work that was; Connect's own words are `"VALUE_CONVERTER"`, `"TRANSFORMATION"` and so on. */
  readonly stage?: string | undefined;
  /** The class, or the function, that failed. */
  readonly className?: string | undefined;
  /** What was thrown: its name, message and cause are written; its stack where the dialect has a header for it. */
  readonly error?: unknown;
  /** False leaves the stack out, which names files of the program. @default true */
  readonly stack?: boolean | undefined;
}

/** What the headers of a dead letter say. */
export interface ReadDeadLetter {
  /** Whose headers they are. */
  readonly dialect: DeadLetterDialect;
  /** The topic that the record comes from. */
  readonly topic: string;
  /** Its partition. */
  readonly partition?: number | undefined;
  /** Its offset. */
  readonly offset?: bigint | undefined;
  /** Its time, in ms since the epoch. */
  readonly timestamp?: number | undefined;
  /** The consumer group. */
  readonly group?: string | undefined;
  /** How often it was tried. */
  readonly deliveryCount?: number | undefined;
  /** The class of the error. */
  readonly errorName?: string | undefined;
  /** What the error said. */
  readonly errorMessage?: string | undefined;
  /** Where it was thrown. */
  readonly stack?: string | undefined;
}

const CONNECT = "__connect.errors.";
const KAFKA = "__dlq.errors.";
const SPRING = "kafka_dlt-";

/** A header is part of a record, which has a limit: of longer texts the beginning is kept. */
const MAX_TEXT = 10_000;

const FIELDS = [
  ...["topic", "partition", "offset", "timestamp", "timestampType", "group", "deliveryCount"] as const,
  ...["connector", "taskId", "stage", "className", "error", "stack"] as const,
];

/**
 * The headers of a dead letter; put them behind those that the record has.
 *
 * @example
 * ```ts
 * import { deadLetterHeaders, readDeadLetter } from "@sluice/kafka/headers";
 *
 * const headers = deadLetterHeaders("spring", { topic: "orders", partition: 3, offset: 41n, error: new RangeError("no") });
 * console.assert(readDeadLetter(headers)?.offset === 41n);
 * ```
 *
 * @throws {ConfigError} for a dialect that isn't known, or a field that is wrong
 */
export function deadLetterHeaders(dialect: DeadLetterDialect, letter: DeadLetter): HeaderPair[] {
  const { stack = true, ...checked } = checkLetter(letter);
  const error = errorText(checked.error);
  const trace = stack ? error.stack : undefined;
  const { topic, partition, offset } = checked;
  switch (dialect) {
    case "connect":
      return [
        ...textHeader(`${CONNECT}topic`, topic),
        ...textHeader(`${CONNECT}partition`, partition),
        ...textHeader(`${CONNECT}offset`, offset),
        ...textHeader(`${CONNECT}connector.name`, checked.connector),
        ...textHeader(`${CONNECT}task.id`, checked.taskId),
        ...textHeader(`${CONNECT}stage`, checked.stage),
        ...textHeader(`${CONNECT}class.name`, checked.className),
        ...textHeader(`${CONNECT}exception.class.name`, error.name),
        ...textHeader(`${CONNECT}exception.message`, error.message),
        ...textHeader(`${CONNECT}exception.stacktrace`, trace),
      ];
    case "kafka":
      return [
        ...textHeader(`${KAFKA}topic`, topic),
        ...textHeader(`${KAFKA}partition`, partition),
        ...textHeader(`${KAFKA}offset`, offset),
        ...textHeader(`${KAFKA}group`, checked.group),
        ...textHeader(`${KAFKA}delivery.count`, checked.deliveryCount),
        ...textHeader(`${KAFKA}message`, error.message),
      ];
    case "spring":
      return [
        ...textHeader(`${SPRING}exception-fqcn`, error.name),
        ...textHeader(`${SPRING}exception-cause-fqcn`, error.cause),
        ...textHeader(`${SPRING}exception-message`, error.message),
        ...textHeader(`${SPRING}exception-stacktrace`, trace),
        ...textHeader(`${SPRING}original-topic`, topic),
        ...int32Header(`${SPRING}original-partition`, partition),
        ...int64Header(`${SPRING}original-offset`, offset),
        ...int64Header(`${SPRING}original-timestamp`, checked.timestamp),
        ...textHeader(
          `${SPRING}original-timestamp-type`,
          checked.timestamp === undefined ? undefined : checked.timestampType ?? "CreateTime",
        ),
        ...textHeader(`${SPRING}original-consumer-group`, checked.group),
      ];
    default:
      refuse("dialect", '"connect", "kafka" or "spring"', dialect);
  }
}

/**
 * Reads the headers of a dead letter, whoever wrote them; undefined if there are none. A letter that has died more than
 * once tells of the last time. A number that can't be right is left out.
 */
export function readDeadLetter(headers: HeaderSource | undefined): ReadDeadLetter | undefined {
  const pairs = pairsOf(headers);
  // What was written last stands last.
  const last = pairs.findLast(([name]) => /^(__connect\.errors\.|__dlq\.errors\.|kafka_dlt-)/.test(name))?.[0];
  if (last === undefined) return undefined;
  if (last.startsWith(SPRING)) return readSpring(pairs);
  const isConnect = last.startsWith(CONNECT);
  const text = (name: string): string | undefined => lastText(pairs, `${isConnect ? CONNECT : KAFKA}${name}`);
  const topic = text("topic");
  if (topic === undefined) return undefined;
  const shared = { topic, partition: numberOf(text("partition")), offset: bigintOf(text("offset")) };
  if (!isConnect) {
    const deliveryCount = numberOf(text("delivery.count"));
    return { dialect: "kafka", ...shared, group: text("group"), deliveryCount, errorMessage: text("message") };
  }
  return {
    dialect: "connect",
    ...shared,
    errorName: text("exception.class.name"),
    errorMessage: text("exception.message"),
    stack: text("exception.stacktrace"),
  };
}

function readSpring(pairs: readonly HeaderPair[]): ReadDeadLetter | undefined {
  const text = (name: string): string | undefined => lastText(pairs, `${SPRING}${name}`);
  const bytes = (name: string): Uint8Array | undefined => lastHeader(pairs, `${SPRING}${name}`);
  const topic = text("original-topic");
  if (topic === undefined) return undefined;
  const timestamp = readInt64(bytes("original-timestamp"));
  return {
    dialect: "spring",
    topic,
    partition: readInt32(bytes("original-partition")),
    offset: readInt64(bytes("original-offset")),
    timestamp: timestamp === undefined ? undefined : Number(timestamp),
    group: text("original-consumer-group"),
    errorName: text("exception-fqcn"),
    errorMessage: text("exception-message"),
    stack: text("exception-stacktrace"),
  };
}

function checkLetter(letter: DeadLetter): Omit<DeadLetter, "offset"> & { readonly offset: bigint | undefined } {
  if (!isObject(letter)) refuse("letter", "an object with topic and error", letter);
  const read = readOptions("deadLetterHeaders", letter, FIELDS);
  const { timestamp, timestampType, stack } = read;
  if (timestamp !== undefined && !Number.isSafeInteger(timestamp)) refuse("timestamp", "ms since the epoch", timestamp);
  if (timestampType !== undefined && timestampType !== "CreateTime" && timestampType !== "LogAppendTime") {
    refuse("timestampType", '"CreateTime" or "LogAppendTime"', timestampType);
  }
  if (stack !== undefined && typeof stack !== "boolean") refuse("stack", "true or false", stack);
  return {
    topic: checkText("topic", read.topic),
    partition: checkOptionalInt32("partition", read.partition),
    offset: checkOffset(read.offset),
    timestamp: timestamp as number | undefined,
    timestampType,
    group: checkOptionalText("group", read.group),
    deliveryCount: checkOptionalInt32("deliveryCount", read.deliveryCount),
    connector: checkOptionalText("connector", read.connector),
    taskId: checkOptionalInt32("taskId", read.taskId),
    stage: checkOptionalText("stage", read.stage),
    className: checkOptionalText("className", read.className),
    error: read.error,
    stack,
  };
}

function checkOffset(offset: unknown): bigint | undefined {
  if (offset === undefined) return undefined;
  const isWhole = typeof offset === "bigint" || Number.isSafeInteger(offset);
  if (isWhole && BigInt.asIntN(64, BigInt(offset as number)) === BigInt(offset as number)) {
    return BigInt(offset as number);
  }
  refuse("offset", "a bigint of 64 bits", offset);
}

/** What of an error is written. Whatever was thrown, and whatever its getters do, this doesn't throw. */
function errorText(error: unknown): { name?: string; message?: string; stack?: string; cause?: string } {
  if (error === undefined) return {};
  if (!isObject(error)) return { name: "Error", message: cut(typeof error === "string" ? error : show(error)) };
  const field = (name: string, of: object = error): string | undefined => {
    try {
      const value: unknown = (of as Readonly<Record<string, unknown>>)[name];
      return typeof value === "string" ? cut(value) : undefined;
    } catch {
      return undefined;
    }
  };
  let cause: string | undefined;
  try {
    const inner: unknown = (error as { readonly cause?: unknown }).cause;
    if (isObject(inner)) cause = field("name", inner) ?? "Error";
  } catch {
    // Its getter throws; then there is none.
  }
  const [message, stack] = [field("message"), field("stack")];
  return {
    name: field("name") ?? "Error",
    message: message ?? show(error),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1)}…` : text;
}

function numberOf(text: string | undefined): number | undefined {
  const value = bigintOf(text);
  return value !== undefined && value >= 0n && value <= 2_147_483_647n ? Number(value) : undefined;
}

function bigintOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined;
}
