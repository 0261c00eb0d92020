/**
 * What becomes of a batch after an attempt: completed, sent again, or failed. `judge` decides, partition by partition;
 * what it decides is carried out here, and sequences are put right by `Recovery`.
 *
 * @module
 */

import { type Address, formatAddress } from "../../cluster/address.ts";
import { Backoff } from "../../cluster/backoff.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { reasonFor } from "../../error_like.ts";
import {
  ConnectionError,
  KafkaError,
  type KafkaErrorOptions,
  type Persisted,
  UnsupportedVersionError,
} from "../../errors.ts";
import { brokerError, errorOf, NONE, persistedAfter } from "../../protocol/error_codes.ts";
import {
  DUPLICATE_SEQUENCE_NUMBER,
  FENCED_LEADER_EPOCH,
  NOT_LEADER_OR_FOLLOWER,
} from "../../protocol/error_code_names.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import { batchRefused, earlierFailed, recordErrorsOf, withFate } from "./batch_errors.ts";
import { Expiry } from "./expiry.ts";
import type { Ended, Recovery } from "./recovery.ts";
import { judge, mayRepeat, type Verdict } from "./verdict.ts";
import type { Schedule } from "../accumulator/schedule.ts";
import type { Diagnostics } from "../observe/diagnosis.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Partition, QueuedBatch } from "../accumulator/partition.ts";
import { IN_FLIGHT } from "../accumulator/phase.ts";
import type { PartitionResult, ProduceAnswer } from "./produce_request.ts";
import type { Delivery } from "../record/delivery.ts";
import type { Stamping } from "../idempotence/stamping.ts";

/** A batch that may be in the log is divided after this many requests with it alone that seemed too large to its broker. */
const HANG_UPS_IN_DOUBT = 2;

/** What a settlement works with. */
export interface SettlementParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly schedule: Schedule;
  readonly accumulator: Accumulator;
  readonly stamping: Stamping;
  readonly recovery: Recovery;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
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

/** Carries out what `judge` says of a batch; what it says of sequences goes to `Recovery`. */
export class Settlement {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #accumulator: Accumulator;
  readonly #stamping: Stamping;
  readonly #recovery: Recovery;
  readonly #expiry: Expiry;
  readonly #metrics: Metrics;
  readonly #backoff: Backoff;
  readonly #schedule: Schedule;

  /** Settles the batches of one producer. */
  constructor(options: ResolvedOptions, parts: SettlementParts) {
    this.#runtime = parts.runtime;
    this.#options = options;
    this.#cluster = parts.cluster;
    this.#schedule = parts.schedule;
    this.#accumulator = parts.accumulator;
    this.#stamping = parts.stamping;
    this.#recovery = parts.recovery;
    this.#metrics = parts.metrics;
    this.#expiry = new Expiry(options, parts.diagnostics);
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => parts.runtime.random());
  }

  /**
   * Takes in what a broker says of a batch; `undefined` if its answer leaves the batch out.
   *
   * @throws {KafkaError} the error after which the producer can't go on, if the answer was such a one
   */
  onResult(
    batch: QueuedBatch,
    result: PartitionResult | undefined,
    answer: ProduceAnswer,
    broker: Address,
  ): void {
    if (result === undefined) {
      const message = `The answer of ${formatAddress(broker)} leaves the partition out.`;
      return this.onLost(batch, new ConnectionError(message, { code: "MISSING_RESPONSE", persisted: "possibly" }));
    }
    batch.partition.logStartOffset = result.logStartOffset;
    if (result.errorCode !== NONE) this.#note(batch, result);
    else if (!mayRepeat(batch)) batch.partition.topic.usesLogAppendTime = result.logAppendTimeMs >= 0n;
    const { gapless, unknownTopicRetries } = this.#options;
    const { partition: { topic }, attempts, repeats, recordCount, maxTimestamp, persisted } = batch;
    const verdict = judge(
      result,
      { attempts, repeats, recordCount, maxTimestamp, persisted, isOver: batch.outcome !== undefined },
      { stamps: this.#stamping.stamps, gapless, unknownTopicRetries, usesLogAppendTime: topic.usesLogAppendTime },
    );
    if (verdict === "accepted") {
      this.onAccepted(batch, result.baseOffset, Number(result.logAppendTimeMs), "acked", answer.nowMs);
    } else if (verdict === "duplicate") {
      this.onAccepted(batch, result.errorCode === NONE ? result.baseOffset : -1n, -1, "duplicate", answer.nowMs);
    } else {
      return this.#onRefused(batch, verdict, result, answer, broker);
    }
    // An answer shows that the request has been read.
    batch.recycle();
  }

  /** What an error says for good, whatever becomes of the batch. */
  #note(batch: QueuedBatch, { errorCode, baseOffset }: PartitionResult): void {
    if (errorCode === DUPLICATE_SEQUENCE_NUMBER) return;
    if (baseOffset >= 0n) batch.appendedAt = baseOffset;
    batch.repeats = errorCode === batch.lastError?.errorCode ? batch.repeats + 1 : 0;
    batch.persisted = stickyPersisted(batch.persisted, persistedAfter(errorCode, baseOffset));
  }

  /**
   * The records are in the log, or (acks 0) as far as will ever be known. Whoever calls it knows whether a socket may still
   * hold the bytes.
   */
  onAccepted(
    batch: QueuedBatch,
    baseOffset: bigint,
    appendTimeMs: number,
    delivery: Delivery,
    nowMs: number,
  ): void {
    const { partition } = batch;
    partition.removeInFlight(batch);
    this.#cluster.leaderConfirms(partition.sentTo);
    for (const implied of this.#recovery.accepted(batch, baseOffset)) {
      this.#deliver(implied.batch, implied.baseOffset, -1, "acked", nowMs);
    }
    this.#deliver(batch, baseOffset, appendTimeMs, delivery, nowMs);
    this.#schedule.add(partition);
  }

  #deliver(batch: QueuedBatch, baseOffset: bigint, appendTimeMs: number, delivery: Delivery, nowMs: number): void {
    if (batch.outcome !== undefined) return;
    const { topic, index: partition } = batch.partition;
    const { recordCount: records, length, createdMs } = batch;
    const bytes = batch.wire!.length;
    this.#metrics.delivered(records, bytes, length, nowMs - createdMs, nowMs);
    this.#options.logger.debug?.("batch_delivered", {
      topic: topic.name,
      partition,
      offset: baseOffset,
      records,
      delivery,
    });
    batch.outcome = { result: batch.resultOf(baseOffset, appendTimeMs, delivery), bytes };
    this.#accumulator.completeInOrder(batch.partition);
  }

  #onRefused(
    batch: QueuedBatch,
    verdict: Exclude<Verdict, "accepted" | "duplicate">,
    result: PartitionResult,
    answer: ProduceAnswer,
    broker: Address,
  ): void {
    const { partition } = batch;
    const { errorCode, errorMessage } = result;
    const error = brokerError(errorCode, {
      topic: partition.topic.name,
      partition: partition.index,
      broker: formatAddress(broker),
      detail: errorMessage,
      persisted: batch.persisted,
    });
    const isHinted = this.#learnLeader(batch, result, answer, broker);
    this.#carryOut(batch, verdict, error, result, isHinted);
    this.#schedule.add(partition);
  }

  #carryOut(
    batch: QueuedBatch,
    verdict: Exclude<Verdict, "accepted" | "duplicate">,
    error: KafkaError,
    result: PartitionResult,
    isHinted: boolean,
  ): undefined {
    switch (verdict) {
      case "gap":
        return this.#onGap(batch, error, result);
      case "fatal":
        batch.partition.removeInFlight(batch);
        // It was given up, and who sent it may be somebody else by now.
        if (batch.outcome !== undefined) return undefined;
        throw error;
      case "split":
        return this.#split(batch, error);
      case "retry":
        if (isHinted) void this.#cluster.requestUpdate();
        return this.#retry(batch, error, { refresh: errorOf(result.errorCode).refreshMetadata, hinted: isHinted });
      case "shorten":
        return this.#shorten(batch, error, recordErrorsOf(batch, result, error));
      case "fail": {
        const errors = recordErrorsOf(batch, result, error);
        return this.#failAttempt(batch, errors.size > 0 ? batchRefused(error, errors.size) : error, errors);
      }
    }
  }

  /** Takes in what an error says of who leads. True if it named a leader that wasn't known. */
  #learnLeader(batch: QueuedBatch, result: PartitionResult, { response }: ProduceAnswer, broker: Address): boolean {
    const { partition: { topic, index, sentTo } } = batch;
    const { errorCode, currentLeader } = result;
    // An answer that comes after its topic was created anew tells of the old one's leader, and of its higher epoch.
    const isHinted = (errorCode === NOT_LEADER_OR_FOLLOWER || errorCode === FENCED_LEADER_EPOCH) &&
      batch.sentUnder === topic.metadata.topicId &&
      this.#cluster.applyLeaderHint(topic.name, index, currentLeader, response.nodeEndpoints, broker);
    if (errorCode === NOT_LEADER_OR_FOLLOWER && !isHinted) this.#cluster.leaderDenies(topic.name, index, sentTo);
    if (errorOf(errorCode).refreshMetadata) this.#cluster.brokerDenies(sentTo.leaderId);
    return isHinted;
  }

  /**
   * The broker refuses certain records and has appended none. They fail; the others had nothing wrong with them and go
   * out again, at once and in their order.
   */
  #shorten(batch: QueuedBatch, error: KafkaError, errors: Map<number, KafkaError>): undefined {
    const { partition } = batch;
    this.#recovery.shorten(batch, errors);
    this.#accumulator.releaseSpare(batch);
    this.#options.logger.info?.("records_refused", {
      topic: partition.topic.name,
      partition: partition.index,
      records: errors.size,
      sentAgain: batch.recordCount,
      error,
    });
    this.#retry(batch, batchRefused(error, errors.size), { refresh: false, atOnce: true, uncounted: true });
  }

  /** The broker misses an earlier sequence (I10). What came before is to blame: it uses up none of the batch's retries. */
  #onGap(batch: QueuedBatch, error: KafkaError, result: PartitionResult): undefined {
    const { partition } = batch;
    const verdict = this.#recovery.judge(batch, result);
    switch (verdict) {
      case "earlier failed":
        return this.#failAttempt(batch, earlierFailed(batch, partition.gap!.cause));
      case "probe":
        batch.lastError = error;
        return partition.awaitProbe(batch);
      case "gap":
      case "known gap": {
        if (verdict === "gap") this.#onDataLoss(batch, error);
        const ended = this.#recovery.onGap(batch, error);
        if (ended.length > 0) return this.#end(ended);
      }
    }
    return this.#retry(batch, error, { refresh: verdict === "look up", uncounted: true });
  }

  #end(batches: readonly Ended[]): undefined {
    for (const { batch, error } of batches) this.#failAttempt(batch, withFate(error, batch));
  }

  /** Moves the sequence of a partition on before its first batch is sent (see {@link Recovery.advance}). */
  advance(partition: Partition): void {
    this.#end(this.#recovery.advance(partition));
  }

  /** The metadata that a retry or a partition without a leader waited for is there. */
  onRefreshed(partition: Partition): void {
    if (!partition.isGone) return;
    // The topic was created anew with fewer partitions: nobody will ever tell the outcome that these wait for.
    for (const batch of [...partition.queue]) {
      if (batch.overdue) this.failQueued(batch, this.#expiry.errorOf(batch, false));
    }
  }

  /** Acknowledged records are missing. Throws if the producer may not go on. */
  #onDataLoss(batch: QueuedBatch, error: KafkaError): void {
    const { partition, stamp: { baseSequence }, recordCount: records } = batch;
    const where = { topic: partition.topic.name, partition: partition.index };
    this.#options.hooks.onDataLossSuspected?.({ ...where, baseSequence, records, error });
    if (this.#options.onDataLoss !== "fatal") return;
    partition.removeInFlight(batch);
    const message = `Records that were acknowledged are missing (onDataLoss). ${error.message}`;
    throw new KafkaError(message, { ...error as KafkaErrorOptions, code: "DATA_LOSS_SUSPECTED", cause: error });
  }

  /**
   * The batch is too large for the topic, but its halves may not be. They keep its sequences (the broker has not
   * appended it), and later batches of the topic don't grow so far again.
   */
  #split(batch: QueuedBatch, error: KafkaError): undefined {
    const { partition } = batch;
    partition.removeInFlight(batch);
    partition.sequence.requireProof();
    if (batch.outcome !== undefined) return undefined;
    batch.lastError = error;
    partition.topic.batchSizeCap = Math.min(partition.topic.batchSizeCap, batch.length >> 1);
    let parts: [QueuedBatch, QueuedBatch];
    try {
      parts = batch.split();
    } catch (cause) {
      return this.#fail(batch, reasonFor(cause));
    }
    partition.replace(batch, parts);
    this.#replace(batch, parts);
  }

  /**
   * Divides the first batch of a queue, because its broker doesn't answer requests of that size. False if it can't be.
   *
   * One that was sent keeps its sequences. Should the broker have appended it all the same, or read it later, it takes
   * either the whole or the halves and finds the others out of order, so no record is written twice. But nobody could
   * tell then which: one that may be in the log goes out as a whole, alone, until the broker has hung up on that too. So
   * does one for whose halves there is no memory.
   */
  divide(batch: QueuedBatch): boolean {
    if (batch.recordCount < 2 || batch.appendedAt >= 0n) return false;
    if (batch.persisted !== "no" && !batch.dividedInDoubt && batch.hangUps < HANG_UPS_IN_DOUBT) return false;
    let parts: [QueuedBatch, QueuedBatch];
    try {
      parts = batch.split();
    } catch {
      return false;
    }
    batch.partition.divide(batch, parts);
    this.#replace(batch, parts);
    return true;
  }

  #replace(batch: QueuedBatch, parts: readonly QueuedBatch[]): void {
    this.#accumulator.replace(batch, parts);
    const { partition: { topic, index }, recordCount: records, length: bytes } = batch;
    this.#options.logger.info?.("batch_split", { topic: topic.name, partition: index, records, bytes });
  }

  /**
   * An attempt that got no answer: the connection ended, or the answer leaves the batch out. `isUnread`: the broker
   * seems to have hung up on a request before this one.
   */
  onLost(batch: QueuedBatch, reason: unknown, isUnread: boolean = false): void {
    const { partition } = batch;
    const error = reason instanceof KafkaError ? reason : new KafkaError("The request failed.", { cause: reason });
    batch.persisted = stickyPersisted(batch.persisted, error.persisted);
    batch.socketMayHoldBytes = true;
    this.#stamping.onUnanswered(error);
    // With acks 0 nothing is sent twice. When no version fits, it hasn't been sent once.
    const isUnsent = error instanceof UnsupportedVersionError && error.retriable;
    if (this.#options.acks === 0 && !isUnsent) {
      partition.removeInFlight(batch);
      this.completeExceptionally(batch, withFate(error, batch));
    } else if (error.retriable) {
      // Not a byte of it left: the broker can't have seen it, and it was no attempt (N4).
      this.#retry(batch, error, { refresh: true, uncounted: isUnread || error.persisted === "no" });
    } else {
      this.#failAttempt(batch, withFate(error, batch));
    }
    this.#schedule.add(partition);
  }

  #retry(batch: QueuedBatch, error: KafkaError, options: RetryOptions): undefined {
    const { refresh, hinted = false, atOnce = false, uncounted = false } = options;
    const { partition } = batch;
    partition.requeueProbed();
    partition.sequence.requireProof();
    batch.lastError = error;
    // Its deadline has passed while it was in flight: it has failed already, and is not sent again.
    if (batch.outcome !== undefined) return partition.removeInFlight(batch);
    if (!uncounted) batch.attempts += 1;
    const { gap } = partition;
    if (batch.attempts > this.#options.retries) return this.#failAttempt(batch, withFate(error, batch));
    if (batch.persisted === "no") {
      // The outcome is known now, and nothing makes it worth another attempt.
      if (batch.overdue) return this.#failAttempt(batch, this.#expiry.errorOf(batch, true));
      if (gap !== undefined && batch.ordinal < gap.ordinal) {
        return this.#failAttempt(batch, earlierFailed(batch, gap.cause));
      }
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
      this.#schedule.awaitMetadata(partition);
    }
    this.#schedule.watch(partition, this.#runtime.now());
    // Also what was still in flight when the epoch was raised.
    for (const ended of this.#recovery.doubtful(partition, error)) this.failQueued(ended.batch, ended.error);
  }

  #failAttempt(batch: QueuedBatch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): undefined {
    batch.partition.removeInFlight(batch);
    if (batch.outcome === undefined) this.#fail(batch, error, errors);
  }

  /** Ends a batch without success; with `gapless`, also what was handed over behind it and isn't in doubt. */
  #fail(batch: QueuedBatch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): undefined {
    const { partition } = batch;
    this.#recovery.failed(batch);
    if (!this.#options.gapless) {
      this.completeExceptionally(batch, error, errors);
      return undefined;
    }
    partition.removeFromQueue(batch);
    const behind = partition.openGap(error, this.#accumulator.lastWaiting);
    this.completeExceptionally(batch, error, errors);
    for (const later of behind) {
      this.#recovery.failed(later);
      this.completeExceptionally(later, earlierFailed(later, error));
    }
  }

  /** Fails a batch that waits to be sent, for the first time or again. */
  failQueued(batch: QueuedBatch, error: KafkaError): void {
    if (batch.outcome === undefined) this.#fail(batch, batch.drained ? withFate(error, batch) : error);
  }

  /** Gives a batch an error for its outcome, and completes what can be completed in order. */
  completeExceptionally(batch: QueuedBatch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    if (batch.outcome !== undefined || batch.after === undefined) return;
    const { partition } = batch;
    partition.removeFromQueue(batch);
    batch.outcome = { error, errors };
    this.#options.logger.warn?.("batch_failed", {
      topic: partition.topic.name,
      partition: partition.index,
      records: batch.recordCount,
      persisted: error.persisted,
      error,
    });
    if (!batch.drained) {
      partition.incomplete.push(batch);
      batch.recycle();
    }
    this.#accumulator.completeInOrder(partition);
  }

  /** Fails what is past its deadline, in order, whether it waits or is in flight. */
  expire(partition: Partition, nowMs: number): void {
    for (const batch of [...partition.incomplete, ...partition.queue]) {
      if (batch.deadlineMs > nowMs || batch.outcome !== undefined) continue;
      const inFlight = batch.phase === IN_FLIGHT;
      if (this.#expiry.isPutOff(batch, inFlight)) continue;
      if (inFlight) batch.persisted = stickyPersisted(batch.persisted, "possibly");
      this.#fail(batch, this.#expiry.errorOf(batch, inFlight));
    }
  }
}

/** Once a record may be in the log, nothing makes it certain that it is not. */
function stickyPersisted(a: Persisted, b: Persisted): Persisted {
  return a === "no" ? b : a;
}
