/**
 * Why the first batch of a partition must wait, for reasons of the partition's own. Two pure functions: they look at an
 * attempt and change nothing.
 *
 * There are other reasons: it lingers (`Schedule.isDue`), it has no leader (`Schedule.add`), or it would make the request
 * too large (`Drain.choose`); or the lane of its broker has no connection, is throttled, or has no free slot (`Sender`).
 *
 * Each gate has one event that ends it and puts the partition back on the schedule. The ids are those of
 * `docs/delivery.md`.
 *
 * @module
 */

/** Batches of a partition that a broker remembers of an idempotent producer. */
const BROKER_WINDOW = 5;

/** Why the first batch of a partition must wait. */
export type Gate =
  | "encoding" // a codec is at work on the batch; ends when it answers
  | "backoff" // a retry is not due yet; ends with the time
  | "metadata" // a retry waits until the leader has been looked up again; ends with the refresh
  | "migration" // requests to the former leader are unanswered (H2); ends with their answers
  | "muted" // only one batch may be in flight, and one is (O2); ends with its answer
  | "window" // as many are unanswered as a broker remembers (I4); ends with the answer to the oldest
  | "recovery" // a retry goes alone, in the order of the sequences (I5); ends with the last answer
  | "proof" // the leader has accepted nothing of this epoch yet (H1); ends with the answer to the first batch
  | "unresolved" // an earlier batch may or may not be in the log (I7); ends with a later one's answer, or a new epoch
  | "identity" // there is no producer id (I1), or the partition still finishes an older epoch (I8)
  | "registration"; // the partition is being made part of something that its batches belong to; ends with the promise

/** What counts of an attempt to send the first batch of a partition, whoever sends it. */
export interface Attempt {
  /** A codec is at work on the batch. */
  readonly isEncoding: boolean;
  readonly nowMs: number;
  /** When the backoff of the partition ends; in the past if there is none. */
  readonly notBeforeMs: number;
  /** A retry waits for fresh metadata. */
  readonly awaitsMetadata: boolean;
  /** Batches of the partition without an answer. */
  readonly inFlight: number;
  /** The broker that owes those answers. */
  readonly sentToId: number;
  /** The broker that would get this batch. */
  readonly leaderId: number;
  /** At most one batch of a partition may be in flight. */
  readonly oneAtATime: boolean;
}

/** What counts besides when batches are stamped. */
export interface StampedAttempt {
  /** Batches of the partition without an answer. */
  readonly inFlight: number;
  /** Batches that were drained since the oldest one without an answer, that one included; 0 if all are answered. */
  readonly span: number;
  /** The batch has a stamp already. */
  readonly isRetry: boolean;
  /** The leader has accepted a batch of the partition's epoch. */
  readonly isProven: boolean;
  /** There is a producer id. */
  readonly hasIdentity: boolean;
  /** The partition is at the present producer id and epoch. */
  readonly isCurrent: boolean;
  /** A stamped batch has ended, and nobody knows whether it is in the log. */
  readonly isUnresolved: boolean;
  /** Stamped batches of the partition wait for a new stamp. */
  readonly awaitsRewrite: boolean;
}

/** What keeps the batch from being sent now; undefined if nothing does. */
export function gateOf(attempt: Attempt): Gate | undefined {
  if (attempt.isEncoding) return "encoding";
  if (attempt.nowMs < attempt.notBeforeMs) return "backoff";
  if (attempt.awaitsMetadata) return "metadata";
  if (attempt.inFlight === 0) return undefined;
  if (attempt.sentToId !== attempt.leaderId) return "migration";
  if (attempt.oneAtATime) return "muted";
  return undefined;
}

/** What keeps a batch that is stamped, or would be, from being sent now; asked after {@link gateOf}. */
export function stampedGateOf(attempt: StampedAttempt): Gate | undefined {
  if (attempt.span >= BROKER_WINDOW) return "window";
  if (attempt.inFlight > 0 && attempt.isRetry) return "recovery";
  if (attempt.inFlight > 0 && !attempt.isProven) return "proof";
  if (!attempt.hasIdentity) return "identity";
  if (attempt.isRetry) return attempt.awaitsRewrite ? "identity" : undefined;
  if (attempt.isUnresolved) return "unresolved";
  return attempt.isCurrent ? undefined : "identity";
}
