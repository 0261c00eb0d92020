/**
 * What becomes of a batch after an attempt: told, sent again, or failed. Every rule of retrying stands here; the
 * broker's answer decides, partition by partition.
 *
 * @module
 */

import { type Address, formatAddress } from "../../cluster/address.ts";
import { Backoff } from "../../cluster/backoff.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import {
  ConnectionError,
  type DeliveryTimeoutError,
  KafkaError,
  type KafkaErrorOptions,
  type Persisted,
  UnsupportedVersionError,
} from "../../errors.ts";
import { brokerError, errorOf, NONE, persistedAfter } from "../../protocol/error_codes.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { show } from "../../show.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { Batch } from "../accumulator/batch.ts";
import { batchRefused, earlierFailed, expired, recordErrorsOf, withFate } from "./batch_errors.ts";
import type { Diagnostics } from "../observe/diagnosis.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Partition } from "../accumulator/partition.ts";
import type { PartitionResult, ProduceAnswer } from "./produce_request.ts";
import type { Delivery } from "../record/record.ts";
import type { Stamping } from "../idempotence/stamping.ts";

/** What a settlement asks of the sender. */
export interface SettlementEvents {
  /** The partition may go on. */
  onReady(partition: Partition): void;
  /** The partition waits for fresh metadata before a retry. */
  onStale(partition: Partition): void;
  /** The producer may not go on at all. */
  onFatal(error: KafkaError): void;
}

/** How a failed attempt goes on. */
interface RetryOptions {
  /** Look who leads first. */
  readonly refresh: boolean;
  /** The broker has just told who leads: go there at once. */
  readonly hinted?: boolean;
  /** There is nothing to wait for. */
  readonly atOnce?: boolean;
  /** The attempt didn't reach the broker, or came before its turn: it isn't one. */
  readonly uncounted?: boolean;
}

const CORRUPT_MESSAGE = 2;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const NOT_LEADER_OR_FOLLOWER = 6;
const MESSAGE_TOO_LARGE = 10;
const CLUSTER_AUTHORIZATION_FAILED = 31;
const UNSUPPORTED_VERSION = 35;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const DUPLICATE_SEQUENCE_NUMBER = 46;
const INVALID_PRODUCER_ID_MAPPING = 49;
const UNKNOWN_PRODUCER_ID = 59;
const FENCED_LEADER_EPOCH = 74;
const INVALID_RECORD = 87;
const PRODUCER_FENCED = 90;
const UNKNOWN_TOPIC_ID = 100;

/** What an idempotent producer can't go on after: nothing that it sends would be accepted. */
const FATAL: readonly number[] = [
  CLUSTER_AUTHORIZATION_FAILED,
  UNSUPPORTED_VERSION,
  INVALID_PRODUCER_ID_MAPPING,
  PRODUCER_FENCED,
];

/** The batch is good, so what damaged it was on the way; old brokers also mean a record without a key by it. */
const CORRUPT_RETRIES = 3;
/** How often a batch that may be in the log is asked for again, before nobody can tell. */
const PATIENCE_IN_DOUBT = 4;
/** Some damage shows as an invalid record (broker-facts W11); really invalid ones are listed one by one. */
const INVALID_RETRIES = 1;

/** Decides about batches. */
export class Settlement {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #accumulator: Accumulator;
  readonly #stamping: Stamping;
  readonly #diagnostics: Diagnostics;
  readonly #metrics: Metrics;
  readonly #backoff: Backoff;
  readonly #events: SettlementEvents;

  /** Decides for one sender. */
  constructor(
    runtime: Runtime,
    options: ResolvedOptions,
    cluster: Cluster,
    accumulator: Accumulator,
    stamping: Stamping,
    diagnostics: Diagnostics,
    metrics: Metrics,
    events: SettlementEvents,
  ) {
    this.#runtime = runtime;
    this.#options = options;
    this.#cluster = cluster;
    this.#accumulator = accumulator;
    this.#stamping = stamping;
    this.#diagnostics = diagnostics;
    this.#metrics = metrics;
    this.#events = events;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
  }

  /** Takes in what a broker says of a batch; `undefined` if its answer leaves the batch out. */
  onResult(batch: Batch, result: PartitionResult | undefined, answer: ProduceAnswer, broker: Address): void {
    if (result === undefined) {
      const message = `The answer of ${formatAddress(broker)} leaves the partition out.`;
      this.onLost(batch, new ConnectionError(message, { code: "MISSING_RESPONSE", persisted: "possibly" }));
      return;
    }
    const { errorCode, baseOffset, logAppendTimeMs } = result;
    if (errorCode === NONE) {
      // For a duplicate the broker fills in the batch's own latest timestamp (broker-facts W1), which says nothing of
      // the other records; on a LogAppendTime topic it is the broker's clock.
      const appendTime = Number(logAppendTimeMs);
      const { topic } = batch.partition;
      if (batch.attempts === 0) topic.usesLogAppendTime = appendTime >= 0;
      const echoed = batch.attempts > 0 && appendTime === batch.maxTimestamp && topic.usesLogAppendTime !== true;
      this.onAccepted(batch, baseOffset, echoed ? -1 : appendTime, echoed ? "duplicate" : "acked");
    } else if (errorCode === DUPLICATE_SEQUENCE_NUMBER) {
      this.onAccepted(batch, -1n, -1, "duplicate");
    } else {
      this.#onRefused(batch, result, answer, broker);
    }
  }

  /** The records are in the log, or (acks 0) as far as anybody will tell; `isRead` when no socket holds the bytes. */
  onAccepted(batch: Batch, baseOffset: bigint, appendTimeMs: number, delivery: Delivery, isRead: boolean = true): void {
    const { partition } = batch;
    partition.removeInFlight(batch);
    this.#cluster.leaderConfirms(partition.sentTo);
    this.#acceptEarlier(batch, baseOffset);
    partition.sequence.accepted(batch, partition.sentTo, baseOffset);
    this.#deliver(batch, baseOffset, appendTimeMs, delivery);
    // An answer shows that the request has been read; without one (acks 0) the socket may still hold the bytes.
    if (isRead) batch.recycle();
    this.#events.onReady(partition);
  }

  /**
   * What was sent before this batch, in the same epoch and without a definite answer, must be in the log as well: the
   * broker would have refused this one otherwise (hazard H7). The gate "proof" sees to it that the broker could.
   */
  #acceptEarlier(batch: Batch, baseOffset: bigint): void {
    const { partition } = batch;
    if (!this.#stamping.stamps || partition.incomplete[0] === batch) return;
    // A log that goes back is another one, whose leader knew nothing of what was sent before.
    if (baseOffset >= 0n && baseOffset <= partition.sequence.lastAckedOffset) return;
    for (const earlier of [...partition.incomplete]) {
      if (earlier.ordinal >= batch.ordinal) break;
      const implied = earlier.outcome === undefined && earlier.persisted !== "no" &&
        !partition.inFlight.includes(earlier);
      if (!implied || !isSameEpoch(earlier, batch)) continue;
      partition.removeFromQueue(earlier);
      this.#deliver(earlier, partition.sequence.offsetBefore(earlier, batch, baseOffset), -1, "acked");
    }
  }

  #deliver(batch: Batch, baseOffset: bigint, appendTimeMs: number, delivery: Delivery): void {
    if (batch.outcome !== undefined) return;
    const { topic, index: partition } = batch.partition;
    const { recordCount: records, length, createdMs } = batch;
    this.#metrics.delivered(records, batch.wire!.length, length, createdMs);
    this.#options.logger.debug?.("batch_delivered", {
      topic: topic.name,
      partition,
      offset: baseOffset,
      records,
      delivery,
    });
    batch.outcome = { result: batch.resultOf(baseOffset, appendTimeMs, delivery) };
    this.#accumulator.tell(batch.partition);
  }

  #onRefused(batch: Batch, result: PartitionResult, answer: ProduceAnswer, broker: Address): void {
    const { partition } = batch;
    const { errorCode, baseOffset, currentLeader, errorMessage } = result;
    const row = errorOf(errorCode);
    if (baseOffset >= 0n) batch.appendedAt = baseOffset;
    batch.repeats = errorCode === batch.lastError?.errorCode ? batch.repeats + 1 : 0;
    batch.persisted = stickyPersisted(batch.persisted, persistedAfter(errorCode, baseOffset));
    const error = brokerError(errorCode, {
      topic: partition.topic.name,
      partition: partition.index,
      broker: formatAddress(broker),
      detail: errorMessage,
      persisted: batch.persisted,
    });
    // An answer that comes after its topic was created anew tells of the old one's leader, and of its higher epoch.
    const hinted = (errorCode === NOT_LEADER_OR_FOLLOWER || errorCode === FENCED_LEADER_EPOCH) &&
      batch.sentUnder === partition.topic.metadata.topicId &&
      this.#cluster.applyLeaderHint(
        partition.topic.name,
        partition.index,
        currentLeader,
        answer.response.nodeEndpoints,
        broker,
      );
    if (errorCode === NOT_LEADER_OR_FOLLOWER && !hinted) {
      this.#cluster.leaderDenies(partition.topic.name, partition.index, partition.sentTo);
    }
    if (row.refreshMetadata) this.#cluster.brokerDenies(partition.sentTo.leaderId);
    if (this.#stamping.stamps && isOutOfOrder(errorCode)) {
      this.#onOutOfOrder(batch, error, result.logStartOffset);
    } else if (this.#stamping.stamps && FATAL.includes(errorCode)) {
      partition.removeInFlight(batch);
      this.#events.onFatal(error);
    } else if (errorCode === MESSAGE_TOO_LARGE && batch.recordCount > 1 && batch.persisted === "no") {
      this.#split(batch, error);
    } else if (batch.repeats < this.#retriesAfter(result)) {
      if (hinted) void this.#cluster.requestUpdate();
      this.#retry(batch, error, { refresh: row.refreshMetadata, hinted });
    } else {
      this.#onRecordsRefused(batch, error, recordErrorsOf(batch, result, error));
    }
    this.#events.onReady(partition);
  }

  /**
   * The broker refuses certain records and has appended none. They are told why; the others had nothing wrong with them
   * and go out again, at once and in their order. With `gapless` they fail too: what comes behind them must not arrive,
   * and would, if it were handed over before it is their turn to be told.
   */
  #onRecordsRefused(batch: Batch, error: KafkaError, errors: Map<number, KafkaError>): void {
    const { partition } = batch;
    const rest = errors.size > 0 ? batchRefused(error, errors.size) : error;
    const isSome = errors.size > 0 && errors.size < batch.recordCount;
    if (!isSome || batch.persisted !== "no" || batch.outcome !== undefined || this.#options.gapless) {
      return this.#failAttempt(batch, rest, errors);
    }
    partition.removeInFlight(batch);
    if (!this.#stamping.stamps) batch.refuse(errors);
    else partition.shorten(batch, errors);
    this.#accumulator.releaseSpare(batch);
    this.#options.logger.info?.("records_refused", {
      topic: partition.topic.name,
      partition: partition.index,
      records: errors.size,
      sentAgain: batch.recordCount,
      error,
    });
    this.#retry(batch, rest, { refresh: false, atOnce: true, uncounted: true });
  }

  /** How often the same answer in a row is taken as a reason to try again. */
  #retriesAfter({ errorCode, recordErrors }: PartitionResult): number {
    switch (errorCode) {
      case CORRUPT_MESSAGE:
        return CORRUPT_RETRIES;
      case INVALID_RECORD:
        return recordErrors.length === 0 ? INVALID_RETRIES : 0;
      case UNKNOWN_TOPIC_OR_PARTITION:
      case UNKNOWN_TOPIC_ID:
        return this.#options.unknownTopicRetries;
      default:
        return errorOf(errorCode).retriable ? Infinity : 0;
    }
  }

  /**
   * The broker misses an earlier sequence (delivery rule I10). If an earlier batch is still to be answered, that is
   * why; if one behind it may be in the log, that one is asked for (see {@link Partition.awaitProbe}); if neither, there
   * is a gap in the log: this batch wasn't appended, and goes out again under a new epoch.
   */
  #onOutOfOrder(batch: Batch, error: KafkaError, logStartOffset: bigint): void {
    const { partition } = batch;
    const { sequence, inFlight, queue, gap } = partition;
    if (gap !== undefined && batch.ordinal < gap.ordinal) {
      return this.#failAttempt(batch, earlierFailed(batch, gap.cause));
    }
    const earlier = [...inFlight, ...queue].some((other) => other.drained && other.ordinal < batch.ordinal);
    // Brokers before 2.4 forgot a producer when its last record was deleted; some didn't say where the log starts then.
    const forgotten = error.errorCode === UNKNOWN_PRODUCER_ID && logStartOffset < 0n;
    if (!earlier && !forgotten && batch.outcome === undefined && this.#stamping.identity !== undefined) {
      if (batch.persisted !== "no" && error.errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER) {
        // A name may mean another topic by now: that is looked up first.
        const isKnown = !batch.sentByName || batch.repeats > 0 || partition.isProbing;
        if (!isKnown) return this.#retry(batch, error, { refresh: true, uncounted: true });
        if (!queue.some(({ mayBeInOlderTopic }) => mayBeInOlderTopic) && partition.awaitProbe(batch)) {
          batch.lastError = error;
          return;
        }
        // Nor is it there at present; but what was written to a lost connection may still be on its way.
        if (batch.repeats < PATIENCE_IN_DOUBT) return this.#retry(batch, error, { refresh: false, uncounted: true });
      }
      const deleted = error.errorCode === UNKNOWN_PRODUCER_ID && sequence.lastAckedOffset < logStartOffset;
      const isKnownGap = sequence.unresolved || deleted || batch.dividedInDoubt;
      if (!isKnownGap && this.#onDataLoss(batch, error)) return;
      if (!sequence.rewrite && sequence.isAt(this.#stamping.identity)) this.#stamping.onGap(error);
      sequence.rewrite = true;
    }
    // What came before is to blame, not the record: it uses up none of its own retries.
    this.#retry(batch, error, { refresh: false, uncounted: true });
  }

  /**
   * What may be in the log is never stamped anew: an attempt that a broker has not read yet would be accepted under the
   * old stamp after the new one has been written, or has been already in a topic that was created anew.
   */
  #giveUpInDoubt(partition: Partition, cause: KafkaError): void {
    const { rewrite } = partition.sequence;
    for (const batch of [...partition.queue]) {
      if (!batch.drained || batch.persisted === "no" || !(rewrite || batch.misnumbered)) continue;
      const { topic: { name: topic }, index } = partition;
      const message = `The record may be in the log of topic ${show(topic)} partition ${index}: its broker can't tell.`;
      const options = { code: "OUTCOME_UNKNOWN", persisted: "possibly", topic, partition: index, cause } as const;
      this.refuse(batch, new KafkaError(message, options));
    }
  }

  /** The metadata that a retry or a partition without a leader waited for is there. */
  onRefreshed(partition: Partition): void {
    if (!partition.isGone) return;
    // The topic was created anew with fewer partitions: nobody will ever tell the outcome that these wait for.
    for (const batch of [...partition.queue]) if (batch.overdue) this.refuse(batch, this.#expiryError(batch, false));
  }

  /** Acknowledged records are missing. True if the producer may not go on. */
  #onDataLoss(batch: Batch, error: KafkaError): boolean {
    const { partition, stamp: { baseSequence }, recordCount: records } = batch;
    const where = { topic: partition.topic.name, partition: partition.index };
    this.#options.hooks.onDataLossSuspected?.({ ...where, baseSequence, records, error });
    if (this.#options.onDataLoss !== "fatal") return false;
    partition.removeInFlight(batch);
    const message = `Records that were acknowledged are missing (onDataLoss). ${error.message}`;
    this.#events.onFatal(
      new KafkaError(message, { ...error as KafkaErrorOptions, code: "DATA_LOSS_SUSPECTED", cause: error }),
    );
    return true;
  }

  /**
   * The batch is too large for the topic, but its halves may not be. They keep its sequences (the broker has not
   * appended it), and later batches of the topic don't grow so far again.
   */
  #split(batch: Batch, error: KafkaError): void {
    const { partition } = batch;
    partition.removeInFlight(batch);
    partition.sequence.requireProof();
    if (batch.outcome !== undefined) return;
    batch.lastError = error;
    partition.topic.batchSizeCap = Math.min(partition.topic.batchSizeCap, batch.length >> 1);
    const parts = batch.split();
    partition.replace(batch, parts);
    this.#accumulator.replace(batch, parts);
    this.#tellSplit(batch);
  }

  /**
   * Divides the first batch of a queue, because its broker doesn't answer requests of that size. False if it can't be.
   *
   * One that was sent keeps its sequences. Should the broker have appended it all the same, or read it later, it takes
   * either the whole or the halves and finds the others out of order, so no record is written twice.
   */
  divide(batch: Batch): boolean {
    if (batch.recordCount < 2 || batch.appendedAt >= 0n) return false;
    const parts = batch.split();
    batch.partition.divide(batch, parts);
    this.#accumulator.replace(batch, parts);
    this.#tellSplit(batch);
    return true;
  }

  #tellSplit({ partition, recordCount: records, length: bytes }: Batch): void {
    const { topic, index } = partition;
    this.#options.logger.info?.("batch_split", { topic: topic.name, partition: index, records, bytes });
  }

  /**
   * An attempt that got no answer: the connection ended, or the answer leaves the batch out. `isUnread`: the broker
   * seems to have hung up on a request before this one.
   */
  onLost(batch: Batch, reason: unknown, isUnread: boolean = false): void {
    const { partition } = batch;
    const error = reason instanceof KafkaError ? reason : new KafkaError("The request failed.", { cause: reason });
    batch.persisted = stickyPersisted(batch.persisted, error.persisted);
    batch.socketMayHoldBytes = true;
    this.#stamping.onUnanswered(error);
    // With acks 0 nothing is sent twice. When no version fits, it hasn't been sent once.
    const isUnsent = error instanceof UnsupportedVersionError && error.retriable;
    if (this.#options.acks === 0 && !isUnsent) {
      partition.removeInFlight(batch);
      this.conclude(batch, withFate(error, batch));
    } else if (error.retriable) {
      // Not a byte of it left: the broker can't have seen it, and it was no attempt (network rule N4).
      this.#retry(batch, error, { refresh: true, uncounted: isUnread || error.persisted === "no" });
    } else {
      this.#failAttempt(batch, withFate(error, batch));
    }
    this.#events.onReady(partition);
  }

  #retry(batch: Batch, error: KafkaError, options: RetryOptions): void {
    const { refresh, hinted = false, atOnce = false, uncounted = false } = options;
    const { partition } = batch;
    partition.removeInFlight(batch);
    partition.requeueProbed();
    partition.sequence.requireProof();
    batch.lastError = error;
    // Its deadline has passed while it was in flight: it has been told, and is not sent again.
    if (batch.outcome !== undefined) return;
    if (!uncounted) batch.attempts += 1;
    const { gap } = partition;
    if (batch.attempts > this.#options.retries) return this.#fail(batch, withFate(error, batch));
    if (batch.persisted === "no") {
      // The outcome is known now, and nothing makes it worth another attempt.
      if (batch.overdue) return this.#fail(batch, this.#expiryError(batch, true));
      if (gap !== undefined && batch.ordinal < gap.ordinal) return this.#fail(batch, earlierFailed(batch, gap.cause));
    }
    this.#metrics.retried();
    partition.putBack(batch);
    const delayMs = hinted || atOnce ? 0 : this.#backoff.delayMs(Math.max(1, batch.attempts));
    if (!atOnce) partition.notBeforeMs = hinted ? 0 : this.#runtime.now() + delayMs;
    this.#options.hooks.onRetry?.({
      topic: partition.topic.name,
      partition: partition.index,
      records: batch.recordCount,
      attempts: batch.attempts,
      delayMs,
      error,
    });
    if (refresh && !hinted) {
      partition.awaitingMetadata = true;
      this.#events.onStale(partition);
    }
    this.#accumulator.watch(partition, this.#runtime.now());
    // Also what was still in flight when the epoch was raised.
    this.#giveUpInDoubt(partition, error);
  }

  #failAttempt(batch: Batch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    batch.partition.removeInFlight(batch);
    if (batch.outcome === undefined) this.#fail(batch, error, errors);
  }

  /** Ends a batch without success; with `gapless`, also what was handed over behind it and isn't in doubt. */
  #fail(batch: Batch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    const { partition } = batch;
    this.#endInDoubt(batch);
    if (!this.#options.gapless) return this.conclude(batch, error, errors);
    partition.removeFromQueue(batch);
    const behind = partition.openGap(error, this.#accumulator.pending.lastOrdinal);
    this.conclude(batch, error, errors);
    for (const later of behind) {
      this.#endInDoubt(later);
      this.conclude(later, earlierFailed(later, error));
    }
  }

  /** Nobody may use its sequence again, and what comes after must not be sent as if nothing had happened. */
  #endInDoubt(batch: Batch): void {
    if (this.#stamping.stamps && batch.drained) batch.partition.sequence.markUnresolved(batch);
  }

  /** Fails a batch that waits to be sent, for the first time or again. */
  refuse(batch: Batch, error: KafkaError): void {
    if (batch.outcome === undefined) this.#fail(batch, batch.drained ? withFate(error, batch) : error);
  }

  /** Gives a batch its outcome, and tells all that can be told in order. */
  conclude(batch: Batch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    if (batch.outcome !== undefined || !this.#accumulator.incomplete.has(batch)) return;
    const { partition } = batch;
    batch.outcome = { error, errors };
    this.#options.logger.warn?.("batch_failed", {
      topic: partition.topic.name,
      partition: partition.index,
      records: batch.recordCount,
      persisted: error.persisted,
      error,
    });
    partition.removeFromQueue(batch);
    if (!batch.drained) {
      partition.incomplete.push(batch);
      if (!batch.encoding) batch.recycle();
    }
    this.#accumulator.tell(partition);
  }

  /** Fails what is past its deadline, in order, whether it waits or is in flight. */
  expire(partition: Partition, nowMs: number): void {
    for (const batch of [...partition.incomplete, ...partition.queue]) {
      if (batch.deadlineMs > nowMs || batch.outcome !== undefined) continue;
      const inFlight = partition.inFlight.includes(batch);
      if (this.#options.waitForOutcome && (inFlight || batch.persisted !== "no")) {
        batch.overdue = true;
        batch.deadlineMs = Infinity;
        continue;
      }
      if (inFlight) batch.persisted = stickyPersisted(batch.persisted, "possibly");
      this.#fail(batch, this.#expiryError(batch, inFlight));
    }
    this.#events.onReady(partition);
  }

  #expiryError(batch: Batch, inFlight: boolean): DeliveryTimeoutError {
    const explanation = this.#diagnostics.ofPartition(batch.partition).explain();
    return expired(batch, inFlight, this.#options.deliveryTimeoutMs, explanation);
  }
}

function isSameEpoch({ stamp: a }: Batch, { stamp: b }: Batch): boolean {
  return a.producerId === b.producerId && a.producerEpoch === b.producerEpoch;
}

function isOutOfOrder(errorCode: number): boolean {
  return errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === UNKNOWN_PRODUCER_ID;
}

/** Once a record may be in the log, nothing makes it certain that it is not. */
function stickyPersisted(a: Persisted, b: Persisted): Persisted {
  return a === "no" ? b : a;
}
