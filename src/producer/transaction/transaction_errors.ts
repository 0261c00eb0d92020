/**
 * What callers are told when a transaction, or its producer, can't go on: pure functions that make errors.
 *
 * @module
 */

import { errorLike } from "../../error_like.ts";
import {
  KafkaError,
  ProducerFencedError,
  TimeoutError,
  TransactionAbortedError,
  TransactionTimedOutError,
} from "../../errors.ts";
import { UNKNOWN_SERVER_ERROR } from "../../protocol/error_code_names.ts";
import type { Identity } from "../idempotence/identity.ts";
import type { End } from "./ending.ts";

/** What is known of a producer that another one has replaced. */
export interface Fenced {
  readonly transactionalId: string;
  readonly transactionTimeoutMs: number;
  readonly identity: Identity | undefined;
  /** The coordinator may as well have aborted the transaction for its age: version 1 answers the same. */
  readonly mayBeTimeout: boolean;
  /** A commit of it may have been carried out. */
  readonly isUnknown: boolean;
}

/** Another producer has taken over. */
export function fenced(
  { transactionalId, transactionTimeoutMs, identity, mayBeTimeout, isUnknown }: Fenced,
  cause: KafkaError,
): KafkaError {
  const { producerId, producerEpoch } = identity ?? { producerId: -1n, producerEpoch: -1 };
  const who = `another producer with the transactional id ${JSON.stringify(transactionalId)} has taken over from ` +
    `this one (producer id ${producerId}, epoch ${producerEpoch})`;
  const timedOut = mayBeTimeout
    ? `, or the transaction took longer than transactionTimeoutMs (${transactionTimeoutMs} ms)`
    : "";
  const outcome = isUnknown
    ? " Whether the transaction was committed isn't known: an earlier attempt had no answer."
    : "";
  return new ProducerFencedError(`Close this producer: ${who}${timedOut}.${outcome}`, {
    code: isUnknown ? "COMMIT_UNKNOWN" : "PRODUCER_FENCED",
    ...(cause.errorCode === undefined ? {} : { errorCode: cause.errorCode }),
    persisted: isUnknown ? "possibly" : "no",
    cause,
  });
}

/** Nothing but close() is left; says so. */
export function fatal(cause: KafkaError, ending: End | "init" | undefined, hasUnansweredCommits: boolean): KafkaError {
  const isUnknown = ending === "commit" && (hasUnansweredCommits || cause.errorCode === UNKNOWN_SERVER_ERROR);
  if (cause.fatal && !isUnknown) return cause;
  const outcome = isUnknown ? " Whether the transaction was committed isn't known." : "";
  return errorLike(cause, `Close this producer, and make a new one: ${cause.message}${outcome}`, {
    ...(isUnknown ? { code: "COMMIT_UNKNOWN", persisted: "possibly" as const } : {}),
    fatal: true,
    requiresAbort: false,
    retriable: false,
    cause,
  });
}

/** Nothing but abort() is left of the transaction; says so. */
export function requiresAbort(cause: KafkaError): KafkaError {
  if (cause.fatal || cause.requiresAbort) return cause;
  return errorLike(cause, `Abort the transaction: ${cause.message}`, { requiresAbort: true, retriable: false, cause });
}

/** What was not sent, because its transaction was aborted, or because of what has failed before. */
export function notSent(
  failure: KafkaError | undefined,
  what: "record was" | "offsets were" = "record was",
): KafkaError {
  const reason = failure === undefined
    ? "the transaction was aborted."
    : `something else in the transaction has failed. ${failure.message}`;
  const message = `The ${what} not sent: ${reason}`;
  return new TransactionAbortedError(message, { requiresAbort: true, cause: failure });
}

/** The broker has aborted the transaction by itself. */
export function timedOut(transactionTimeoutMs: number, refusal: KafkaError): KafkaError {
  return new TransactionTimedOutError(
    `Nothing of the transaction is committed: the broker has aborted it, for it took longer than ` +
      `transactionTimeoutMs (${transactionTimeoutMs} ms), or nothing of it had arrived. Abort it and begin again.`,
    { cause: refusal },
  );
}

/** No answer has decided a call; the same may be asked again. */
export function unknownOutcome(call: End | "init", error: KafkaError): KafkaError {
  const code = call === "commit" ? "COMMIT_UNKNOWN" : `${call.toUpperCase()}_UNKNOWN`;
  return new TimeoutError(`Call ${call}() again: its outcome isn't known. ${error.message}`, {
    code,
    persisted: "possibly",
    cause: error,
  });
}

/** Something has gone wrong that no broker can cause. */
export function internal(cause: unknown): KafkaError {
  const message = "Close this producer, and please report it: this is an error in the client.";
  return new KafkaError(message, { code: "INTERNAL", fatal: true, cause });
}
