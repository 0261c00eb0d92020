/**
 * An error that says more than the one before it.
 *
 * @module
 */

import { KafkaError, type KafkaErrorOptions } from "./errors.ts";
import { sentenceOf } from "./show.ts";

/** True for an error of ours. Other than `instanceof` it never throws: what was caught may be a proxy that does. */
export function isKafkaError(error: unknown): error is KafkaError {
  try {
    return error instanceof KafkaError;
  } catch {
    return false;
  }
}

/**
 * True for an error of ours that says nothing of a producer, a transaction or a log. One that code of the caller's has
 * thrown may be of another producer, or made by hand: what it says of those isn't true of the record that it is thrown for.
 */
export function isHarmless(error: unknown): error is KafkaError {
  try {
    if (!(error instanceof KafkaError)) return false;
    const { name, code, fatal, requiresAbort, persisted, errorCode } = error;
    return !fatal && !requiresAbort && persisted === "no" && errorCode === undefined &&
      !/abort|closed/i.test(`${name} ${code}`);
  } catch {
    return false;
  }
}

/** What a record is told that an error keeps from being sent: the error itself if it is one of ours. */
export function reasonFor(error: unknown): KafkaError {
  if (isKafkaError(error)) return error;
  const message = `Send the record again, and report it if that fails too: ${sentenceOf(error)}`;
  return new KafkaError(message, { code: "UNEXPECTED", cause: error });
}

/** An error of the same class and with the same fields, but for the message and what is given. */
export function errorLike(error: KafkaError, message: string, options: KafkaErrorOptions): KafkaError {
  const { message: _message, cause, ...fields } = error;
  const { cause: nextCause = cause, ...changes } = options;
  // Not by the class's own constructor: that of `ConfigError` or of a caller's subclass wants other arguments.
  const like = new KafkaError(message, { cause: nextCause });
  Object.setPrototypeOf(like, Object.getPrototypeOf(error));
  return Object.assign(like, fields, changes);
}
