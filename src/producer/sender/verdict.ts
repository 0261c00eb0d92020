/**
 * What an answer means for a batch. Pure functions: they look at the answer and at the attempt, and change nothing.
 * `Settlement` carries their verdicts out, `Recovery` those on sequences.
 *
 * @module
 */

import type { Persisted } from "../../errors.ts";
import { errorOf, NONE } from "../../protocol/error_codes.ts";
import {
  CLUSTER_AUTHORIZATION_FAILED,
  CORRUPT_MESSAGE,
  DUPLICATE_SEQUENCE_NUMBER,
  INVALID_PRODUCER_ID_MAPPING,
  INVALID_RECORD,
  MESSAGE_TOO_LARGE,
  OUT_OF_ORDER_SEQUENCE_NUMBER,
  PRODUCER_FENCED,
  UNKNOWN_PRODUCER_ID,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
  UNSUPPORTED_VERSION,
} from "../../protocol/error_code_names.ts";

/** What an idempotent producer can't go on after: nothing that it sends would be accepted. */
const FATAL: readonly number[] = [
  CLUSTER_AUTHORIZATION_FAILED,
  UNSUPPORTED_VERSION,
  INVALID_PRODUCER_ID_MAPPING,
  PRODUCER_FENCED,
];

/**
 * Our bytes are correct, so a retry can succeed. Old brokers also use this code for "no key on a compacted topic", which
 * never does: hence the limit.
 */
const CORRUPT_RETRIES = 3;
/** Some damage shows as an invalid record (W11); records that really are invalid are listed one by one. */
const INVALID_RETRIES = 1;
/** How often a batch that may be in the log is asked for again before its outcome counts as unknown. */
const RETRIES_IN_DOUBT = 4;

/** What becomes of a batch. */
export type Verdict =
  | "accepted" // it is in the log
  | "duplicate" // it was in the log already; the answer says nothing of its timestamps
  | "gap" // the broker misses an earlier sequence: `judgeGap` tells why
  | "fatal" // the producer can't go on
  | "split" // it is too large, and its halves may not be
  | "retry" // it is sent again
  | "shorten" // the listed records fail, the others are sent again
  | "fail"; // it fails, or all of its records do

/** What counts of the answer. */
export interface Answer {
  readonly errorCode: number;
  readonly logAppendTimeMs: bigint;
  readonly recordErrors: readonly unknown[];
}

/** What counts of the batch, this answer included. */
export interface AnsweredAttempt {
  /** How often it was sent and failed before. */
  readonly attempts: number;
  /** How often the broker has given the same error as the time before. */
  readonly repeats: number;
  readonly recordCount: number;
  readonly maxTimestamp: number;
  /** Whether the records may be in the log. */
  readonly persisted: Persisted;
  /** Its outcome is known already: its deadline has passed. */
  readonly isOver: boolean;
}

/** What the options and the topic say. */
export interface RetryRules {
  /** Batches carry sequences. */
  readonly stamps: boolean;
  readonly unknownTopicRetries: number;
  readonly gapless: boolean;
  /** Whether the broker sets the timestamps of the topic; undefined if that isn't known yet. */
  readonly usesLogAppendTime: boolean | undefined;
}

/** Decides what becomes of a batch after an answer. */
export function judge(answer: Answer, attempt: AnsweredAttempt, rules: RetryRules): Verdict {
  const { errorCode, recordErrors } = answer;
  if (errorCode === NONE) return isEcho(answer, attempt, rules) ? "duplicate" : "accepted";
  if (errorCode === DUPLICATE_SEQUENCE_NUMBER) return "duplicate";
  if (rules.stamps && (errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === UNKNOWN_PRODUCER_ID)) return "gap";
  if (rules.stamps && FATAL.includes(errorCode)) return "fatal";
  const isOne = attempt.recordCount === 1;
  if (errorCode === MESSAGE_TOO_LARGE && !isOne && attempt.persisted === "no") return "split";
  if (attempt.repeats < retriesAfter(answer, rules)) return "retry";
  const isSome = recordErrors.length > 0 && recordErrors.length < attempt.recordCount;
  // With `gapless` what comes behind a refused record must not arrive, and would, if it were sent before its outcome.
  return isSome && attempt.persisted === "no" && !attempt.isOver && !rules.gapless ? "shorten" : "fail";
}

/**
 * For a duplicate the broker fills in the batch's own latest timestamp (W1), which says nothing of the other records; on
 * a LogAppendTime topic it is the broker's clock.
 */
function isEcho({ logAppendTimeMs }: Answer, attempt: AnsweredAttempt, rules: RetryRules): boolean {
  return mayRepeat(attempt) && Number(logAppendTimeMs) === attempt.maxTimestamp && rules.usesLogAppendTime !== true;
}

/** Whether the broker may have had the batch before: an attempt behind a request that was hung up on isn't counted. */
export function mayRepeat({ attempts, persisted }: Pick<AnsweredAttempt, "attempts" | "persisted">): boolean {
  return attempts > 0 || persisted !== "no";
}

/** How often the same answer in a row is taken as a reason to try again. */
function retriesAfter({ errorCode, recordErrors }: Answer, rules: RetryRules): number {
  switch (errorCode) {
    case CORRUPT_MESSAGE:
      return CORRUPT_RETRIES;
    case INVALID_RECORD:
      return recordErrors.length === 0 ? INVALID_RETRIES : 0;
    case UNKNOWN_TOPIC_OR_PARTITION:
    case UNKNOWN_TOPIC_ID:
      return rules.unknownTopicRetries;
    default:
      return errorOf(errorCode).retriable ? Infinity : 0;
  }
}

/** Why the broker misses an earlier sequence, and so what to do (I10, I11). */
export type GapVerdict =
  | "earlier failed" // nothing may arrive behind a failed record (`gapless`): it fails too
  | "in turn" // an earlier batch is on its way, or the answer proves nothing: it is sent again after that
  | "look up" // the topic may have been created anew under the same name: metadata first, then again
  | "probe" // it may be in the log, and a later one too: that one is sent, and its answer holds for both
  | "ask again" // it may be in the log, or arrive there: it is sent again as it is
  | "gap" // acknowledged records may be missing in the log
  | "known gap"; // records are missing of which nothing else was said

/** What counts of an answer that an earlier sequence is missing. */
export interface GapAttempt {
  readonly errorCode: number;
  /** Where the broker's log starts; −1n if it doesn't say. */
  readonly logStartOffset: bigint;
  /** A record before it has failed, and with `gapless` nothing may be sent behind that. */
  readonly isBehindFailure: boolean;
  /** An earlier batch of the partition is in flight or waits to be sent again. */
  readonly hasEarlier: boolean;
  /** Its outcome is known already, or there is no producer id at present. */
  readonly isOver: boolean;
  readonly persisted: Persisted;
  readonly repeats: number;
  /** The request named the topic by its id, or its id has been looked up since. */
  readonly isTopicCertain: boolean;
  /** The next batch of the queue may be in the log too, and in no older topic of that name. */
  readonly canProbe: boolean;
  /** The partition is unresolved, or the batch half of one that may have been appended as a whole. */
  readonly isExplained: boolean;
  /** Offset of the last record that was acknowledged. */
  readonly lastAckedOffset: bigint;
}

/** Decides what to do about an answer that an earlier sequence is missing. */
export function judgeGap(attempt: GapAttempt): GapVerdict {
  const { errorCode, logStartOffset } = attempt;
  if (attempt.isBehindFailure) return "earlier failed";
  const isForgotten = errorCode === UNKNOWN_PRODUCER_ID;
  // Brokers before 2.4 forgot a producer when its last record was deleted; some didn't say where the log starts then.
  if (attempt.hasEarlier || (isForgotten && logStartOffset < 0n) || attempt.isOver) return "in turn";
  if (attempt.persisted !== "no" && !isForgotten) {
    if (!attempt.isTopicCertain) return "look up";
    if (attempt.canProbe) return "probe";
    // The broker does not have it now, but an attempt on a lost connection may still arrive: ask a few more times.
    if (attempt.repeats < RETRIES_IN_DOUBT) return "ask again";
  }
  const isDeleted = isForgotten && attempt.lastAckedOffset < logStartOffset;
  return attempt.isExplained || isDeleted ? "known gap" : "gap";
}
