/**
 * Every error class of the client. Nothing else in `src` throws a bare `Error`.
 *
 * Three questions are answered by fields, never by a message text: can the same call succeed later
 * (`retriable`), is the producer still usable (`fatal`, `requiresAbort`), and is the record in the log
 * (`persisted`).
 *
 * @module
 */

import { printable, reasonOf, show } from "./show.ts";

/**
 * Whether the record that an error is about is in the partition's log.
 *
 * `"no"`: it is not there and never will be from this send. `"yes"`: it is. `"possibly"`: nobody can know,
 * because a request that carried it was written and its outcome was not answered.
 */
export type Persisted = "no" | "possibly" | "yes";

/** What an error can say of itself besides its message. Every field has a default. */
export interface KafkaErrorOptions {
  /** A stable word in capitals, such as `"NOT_LEADER_OR_FOLLOWER"` or `"DELIVERY_TIMEOUT"`. */
  readonly code?: string;
  /** The broker's own number, when a broker's answer is the reason. */
  readonly errorCode?: number;
  /** The same call can succeed later. @default false */
  readonly retriable?: boolean;
  /** The producer is of no more use: only `close()` is left. @default false */
  readonly fatal?: boolean;
  /** The open transaction must be aborted before anything else. @default false */
  readonly requiresAbort?: boolean;
  /** Whether the record is in the log. @default "no" */
  readonly persisted?: Persisted;
  /** The topic concerned. */
  readonly topic?: string | undefined;
  /** The partition concerned. */
  readonly partition?: number | undefined;
  /** The broker concerned, as `host:port`. */
  readonly broker?: string | undefined;
  /** What led to this error. */
  readonly cause?: unknown;
}

/**
 * The base of every error that the client throws or rejects with.
 *
 * Its message is one line, safe to print whatever brokers and callers have put into it. All its fields, message and
 * cause included, are properties of its own: `{ ...error }` has them, equality looks at them, and JSON has them by
 * {@link KafkaError.toJSON}. Only `structuredClone` and `postMessage` leave them out, as they do with every error:
 * hand those `error.toJSON()`.
 *
 * @example
 * ```ts
 * import { KafkaError } from "@sluice/kafka";
 *
 * const error = new KafkaError("Broker 1 went away.", { code: "NETWORK_EXCEPTION", retriable: true });
 * console.assert(error.persisted === "no");
 * ```
 */
export class KafkaError extends Error {
  /** The class name, so that logs tell the kinds apart. */
  override readonly name: string = "KafkaError";
  /** A stable word in capitals. */
  readonly code: string;
  /** The broker's number for the error, when a broker answered. */
  readonly errorCode: number | undefined;
  /** The same call can succeed later. */
  readonly retriable: boolean;
  /** The producer is of no more use. */
  readonly fatal: boolean;
  /** The open transaction must be aborted. */
  readonly requiresAbort: boolean;
  /** Whether the record is in the log. */
  readonly persisted: Persisted;
  /** The topic concerned. */
  readonly topic: string | undefined;
  /** The partition concerned. */
  readonly partition: number | undefined;
  /** The broker concerned, as `host:port`. */
  readonly broker: string | undefined;

  /** Makes an error with a message in sentence case and what is known of its circumstances. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(printable(message), options.cause === undefined ? undefined : { cause: options.cause });
    for (const name of ["message", "cause"]) {
      if (Object.hasOwn(this, name)) Object.defineProperty(this, name, { enumerable: true });
    }
    this.code = options.code ?? "KAFKA_ERROR";
    this.errorCode = options.errorCode;
    this.retriable = options.retriable ?? false;
    this.fatal = options.fatal ?? false;
    this.requiresAbort = options.requiresAbort ?? false;
    this.persisted = options.persisted ?? "no";
    this.topic = options.topic;
    this.partition = options.partition;
    this.broker = options.broker;
  }

  /** The fields as plain data, fit for JSON, `structuredClone` and `postMessage`; of a cause name, message and code. */
  toJSON(): Record<string, unknown> {
    const { name, message, cause, ...fields } = this;
    const known = Object.entries(fields).filter(([, value]) => value !== undefined);
    const json = { name, message, ...Object.fromEntries(known) };
    return cause === undefined ? json : { ...json, cause: plainCause(cause) };
  }
}

/** Causes have causes; a chain that is longer, or leads back into itself, ends here. */
const MAX_CAUSES = 10;

/** The cause of an error as plain data, whatever was thrown. */
function plainCause(cause: unknown, depth = 1): unknown {
  if (typeof cause !== "object" || cause === null) {
    const isJson = cause === null || ["string", "boolean"].includes(typeof cause) || Number.isFinite(cause);
    return isJson ? cause : show(cause);
  }
  try {
    const { name, code, cause: next } = cause as Readonly<Record<string, unknown>>;
    return {
      ...(typeof name === "string" ? { name } : {}),
      message: reasonOf(cause),
      ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
      ...(next === undefined || depth === MAX_CAUSES ? {} : { cause: plainCause(next, depth + 1) }),
    };
  } catch {
    return { message: reasonOf(cause) };
  }
}

/** An option is unknown, of the wrong type, out of range or in conflict with another; thrown at construction. */
export class ConfigError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "ConfigError";
  /** The option at fault, as the caller wrote it. */
  readonly option: string;

  /** Names the option, then says what was wrong and what is wanted. */
  constructor(option: string, message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "CONFIG", ...options });
    this.option = option;
  }
}

/** A broker answered with an error code; `code` is its name in Kafka's table and `errorCode` its number. */
export class BrokerError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "BrokerError";
}

/** A record was not acknowledged within `deliveryTimeoutMs`; `persisted` says what may have become of it. */
export class DeliveryTimeoutError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "DeliveryTimeoutError";

  /** Code `DELIVERY_TIMEOUT`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "DELIVERY_TIMEOUT", retriable: true, ...options });
  }
}

/** A call did not end in its time: `maxBlockMs`, `flush({ timeoutMs })`, `close({ timeoutMs })`, a request. */
export class TimeoutError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "TimeoutError";

  /** Code `TIMEOUT`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "TIMEOUT", retriable: true, ...options });
  }
}

/**
 * The signal of a send was aborted; `cause` is the signal's reason. `persisted` is `"no"` when the record was taken back
 * in time, and `"possibly"` when it had left already: its delivery goes on, and nobody is told of the outcome.
 */
export class AbortError extends KafkaError {
  /** As that of the errors of the platform when a signal is aborted. */
  override readonly name: string = "AbortError";

  /** Code `ABORTED`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "ABORTED", ...options });
  }
}

/** `bufferMemory` stayed full: for `maxBlockMs`, or with so much in line and no progress that waiting is no use. */
export class BufferFullError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "BufferFullError";

  /** Code `BUFFER_FULL`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "BUFFER_FULL", retriable: true, ...options });
  }
}

/** A record can never be sent: it is larger than `maxRequestSize`, `bufferMemory` or the broker's own limit. */
export class RecordTooLargeError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "RecordTooLargeError";

  /** Code `RECORD_TOO_LARGE`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "RECORD_TOO_LARGE", ...options });
  }
}

/** A key or a value could not be turned into bytes; nothing was queued. */
export class SerializationError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "SerializationError";

  /** Code `SERIALIZATION`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "SERIALIZATION", ...options });
  }
}

/** A codec failed; the batch was rejected and nothing was sent uncompressed in its place. */
export class CompressionError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "CompressionError";

  /** Code `COMPRESSION`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "COMPRESSION", ...options });
  }
}

/** The broker refused the credentials, or TLS refused the peer. Never retried. */
export class AuthenticationError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "AuthenticationError";

  /** Code `AUTHENTICATION`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "AUTHENTICATION", ...options });
  }
}

/** The principal may not do this. */
export class AuthorizationError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "AuthorizationError";

  /** Code `AUTHORIZATION` unless the broker's own name for it is known. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "AUTHORIZATION", ...options });
  }
}

/** A connection could not be made or was lost. */
export class ConnectionError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "ConnectionError";

  /** Code `NETWORK_EXCEPTION`, as Kafka calls it. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "NETWORK_EXCEPTION", retriable: true, ...options });
  }
}

/** Bytes that can't be right: a value that the wire can't carry, or an answer that can't be read. */
export class ProtocolError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "ProtocolError";

  /** Code `PROTOCOL`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "PROTOCOL", ...options });
  }
}

/** The broker and the client share no version of an API. */
export class UnsupportedVersionError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "UnsupportedVersionError";

  /** Code `UNSUPPORTED_VERSION`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "UNSUPPORTED_VERSION", ...options });
  }
}

/** A newer producer has taken over the transactional id, or the producer id is no longer valid. Fatal. */
export class ProducerFencedError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "ProducerFencedError";

  /** Code `PRODUCER_FENCED`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "PRODUCER_FENCED", fatal: true, ...options });
  }
}

/**
 * The broker has aborted the transaction because it took longer than `transactionTimeoutMs`; nothing of it is
 * committed. Abort, and begin again.
 */
export class TransactionTimedOutError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "TransactionTimedOutError";

  /** Code `TRANSACTION_TIMED_OUT`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "TRANSACTION_TIMED_OUT", requiresAbort: true, ...options });
  }
}

/** The record was dropped because its transaction was aborted (KIP-654). */
export class TransactionAbortedError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "TransactionAbortedError";

  /** Code `TRANSACTION_ABORTED`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "TRANSACTION_ABORTED", ...options });
  }
}

/** The call is not legal in the transaction's present state; the state is unchanged. */
export class TransactionStateError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "TransactionStateError";

  /** Code `TRANSACTION_STATE`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "TRANSACTION_STATE", ...options });
  }
}

/** The producer is closed, or was closed before the record could be delivered. */
export class ProducerClosedError extends KafkaError {
  /** The name of the class. */
  override readonly name: string = "ProducerClosedError";

  /** Code `PRODUCER_CLOSED`. */
  constructor(message: string, options: KafkaErrorOptions = {}) {
    super(message, { code: "PRODUCER_CLOSED", ...options });
  }
}

/**
 * True when the same call can succeed later. False for anything that is not a {@link KafkaError}.
 *
 * @example
 * ```ts
 * import { isRetriable, TimeoutError } from "@sluice/kafka";
 *
 * console.assert(isRetriable(new TimeoutError("No answer within 30000 ms.")));
 * ```
 */
export function isRetriable(error: unknown): boolean {
  return isKafkaError(error) && error.retriable;
}

/**
 * True when the producer that raised the error can only be closed.
 *
 * @example
 * ```ts
 * import { isFatal, ProducerFencedError } from "@sluice/kafka";
 *
 * console.assert(isFatal(new ProducerFencedError("A newer instance uses this transactional id.")));
 * ```
 */
export function isFatal(error: unknown): boolean {
  return isKafkaError(error) && error.fatal;
}

/** What was caught may be a proxy that throws when it is looked at. */
function isKafkaError(error: unknown): error is KafkaError {
  try {
    return error instanceof KafkaError;
  } catch {
    return false;
  }
}
