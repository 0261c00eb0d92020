/**
 * What an error code means to each call of a transaction: the matrix of Kafka's own client, as a table.
 *
 * @module
 */

import { errorOf } from "../../protocol/error_codes.ts";
import {
  CLUSTER_AUTHORIZATION_FAILED,
  CONCURRENT_TRANSACTIONS,
  COORDINATOR_LOAD_IN_PROGRESS,
  COORDINATOR_NOT_AVAILABLE,
  FENCED_INSTANCE_ID,
  GROUP_AUTHORIZATION_FAILED,
  GROUP_ID_NOT_FOUND,
  ILLEGAL_GENERATION,
  INVALID_PRODUCER_EPOCH,
  INVALID_TRANSACTION_TIMEOUT,
  NOT_COORDINATOR,
  OPERATION_NOT_ATTEMPTED,
  PRODUCER_FENCED,
  REQUEST_TIMED_OUT,
  STALE_MEMBER_EPOCH,
  TOPIC_AUTHORIZATION_FAILED,
  TRANSACTION_ABORTABLE,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  UNKNOWN_MEMBER_ID,
  UNKNOWN_PRODUCER_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";

/** The calls that a transaction is made of. */
export type TransactionCall =
  | "InitProducerId"
  | "AddPartitionsToTxn"
  | "AddOffsetsToTxn"
  | "TxnOffsetCommit"
  | "EndTxn";

/** What to do. */
export type Action =
  | "retry" // the same again, after a pause
  | "find" // look for the coordinator anew, then the same again
  | "fenced" // another producer has taken over: nothing is left but close()
  | "fatal" // nothing is left but close()
  | "abortable" // the transaction can only be aborted
  | "uninitialized"; // this call fails; init() may be called again

const FENCED = { [INVALID_PRODUCER_EPOCH]: "fenced", [PRODUCER_FENCED]: "fenced" } as const;
const COORDINATION = {
  [COORDINATOR_LOAD_IN_PROGRESS]: "retry",
  [COORDINATOR_NOT_AVAILABLE]: "find",
  [NOT_COORDINATOR]: "find",
  [CONCURRENT_TRANSACTIONS]: "retry",
} as const;

/** Codes that mean something of their own to a call. */
const ACTIONS: Readonly<Record<TransactionCall, Readonly<Record<number, Action>>>> = {
  InitProducerId: {
    ...COORDINATION,
    ...FENCED,
    [CLUSTER_AUTHORIZATION_FAILED]: "uninitialized",
    [TRANSACTIONAL_ID_AUTHORIZATION_FAILED]: "uninitialized",
    [INVALID_TRANSACTION_TIMEOUT]: "fatal",
    [TRANSACTION_ABORTABLE]: "uninitialized",
  },
  AddPartitionsToTxn: {
    ...COORDINATION,
    ...FENCED,
    [UNKNOWN_TOPIC_OR_PARTITION]: "retry", // it was created just now
    [TOPIC_AUTHORIZATION_FAILED]: "abortable",
    [OPERATION_NOT_ATTEMPTED]: "abortable", // because of another partition
    [UNKNOWN_PRODUCER_ID]: "abortable",
    [TRANSACTION_ABORTABLE]: "abortable",
  },
  AddOffsetsToTxn: {
    ...COORDINATION,
    ...FENCED,
    [GROUP_AUTHORIZATION_FAILED]: "abortable",
    [UNKNOWN_PRODUCER_ID]: "abortable",
    [TRANSACTION_ABORTABLE]: "abortable",
  },
  TxnOffsetCommit: {
    ...COORDINATION,
    ...FENCED,
    [UNKNOWN_TOPIC_OR_PARTITION]: "retry",
    [REQUEST_TIMED_OUT]: "find",
    [ILLEGAL_GENERATION]: "abortable",
    [UNKNOWN_MEMBER_ID]: "abortable",
    [GROUP_AUTHORIZATION_FAILED]: "abortable",
    [GROUP_ID_NOT_FOUND]: "abortable",
    [FENCED_INSTANCE_ID]: "abortable",
    [STALE_MEMBER_EPOCH]: "abortable",
    [TRANSACTION_ABORTABLE]: "abortable",
  },
  EndTxn: {
    ...COORDINATION,
    ...FENCED,
    [GROUP_AUTHORIZATION_FAILED]: "abortable",
    [UNKNOWN_PRODUCER_ID]: "abortable",
    // An abort that is refused with it would be refused again: `TransactionLife` ends the producer then.
    [TRANSACTION_ABORTABLE]: "abortable",
  },
};

/** What a code means to a call. UNKNOWN_SERVER_ERROR, and what isn't known at all, is never a success and never harmless. */
export function actionOf(call: TransactionCall, errorCode: number): Action {
  return ACTIONS[call][errorCode] ?? (errorOf(errorCode).retriable ? "retry" : "fatal");
}

/** The later, the graver. */
const GRAVITY: readonly Action[] = ["retry", "find", "abortable", "uninitialized", "fatal", "fenced"];

/** The code that decides, of those that an answer has for its partitions; 0 if there is none. */
export function gravest(call: TransactionCall, errorCodes: readonly number[]): number {
  const gravity = (code: number): number =>
    code === 0 ? -2 : code === OPERATION_NOT_ATTEMPTED ? -1 : GRAVITY.indexOf(actionOf(call, code));
  // A partition that was left out because of another one waits for what becomes of that one.
  return errorCodes.reduce((worst, code) => gravity(code) > gravity(worst) ? code : worst, 0);
}

/** Pauses between answers of CONCURRENT_TRANSACTIONS, which may last for ever (KAFKA-19999): longer the longer it does. */
export function concurrentPauseMs(elapsedMs: number): number {
  if (elapsedMs < 1_000) return 20;
  if (elapsedMs < 2_500) return 200;
  return elapsedMs < 5_000 ? 500 : 1_000;
}
