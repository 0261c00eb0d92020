/**
 * What becomes of a batch after an attempt: told, sent again, or failed. Every rule of retrying stands here; the
 * broker's answer decides, partition by partition.
 *
 * @module
 */

import { type Address, formatAddress } from "../cluster/address.ts";
import { Backoff } from "../cluster/backoff.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { BrokerError, ConnectionError, DeliveryTimeoutError, KafkaError, type Persisted } from "../errors.ts";
import { brokerError, errorOf, NONE, persistedAfter } from "../protocol/error_codes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Accumulator } from "./accumulator.ts";
import type { Batch } from "./batch.ts";
import type { Metrics } from "./metrics.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Partition } from "./partition.ts";
import type { PartitionResult, ProduceAnswer } from "./produce_request.ts";
import type { Delivery } from "./record.ts";
import type { ProducerIdentity } from "./sequence.ts";

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
  /** The attempt didn't reach the broker, so it isn't one. */
  readonly uncounted?: boolean;
}

const CORRUPT_MESSAGE = 2;
const MAX_CORRUPT_ATTEMPTS = 3;
const NOT_LEADER_OR_FOLLOWER = 6;
const MESSAGE_TOO_LARGE = 10;
const CLUSTER_AUTHORIZATION_FAILED = 31;
const UNSUPPORTED_VERSION = 35;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const DUPLICATE_SEQUENCE_NUMBER = 46;
const UNKNOWN_PRODUCER_ID = 59;
const FENCED_LEADER_EPOCH = 74;

/** Decides about batches; `identity` is there for an idempotent producer. */
export class Settlement {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #accumulator: Accumulator;
  readonly #identity: ProducerIdentity | undefined;
  readonly #metrics: Metrics;
  readonly #backoff: Backoff;
  readonly #events: SettlementEvents;

  /** Decides for one sender. */
  constructor(
    runtime: Runtime,
    options: ResolvedOptions,
    cluster: Cluster,
    accumulator: Accumulator,
    identity: ProducerIdentity | undefined,
    metrics: Metrics,
    events: SettlementEvents,
  ) {
    this.#runtime = runtime;
    this.#options = options;
    this.#cluster = cluster;
    this.#accumulator = accumulator;
    this.#identity = identity;
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
      const echoed = batch.attempts > 0 && appendTime === batch.maxTimestamp;
      this.onAccepted(batch, baseOffset, echoed ? -1 : appendTime, echoed ? "duplicate" : "acked");
    } else if (errorCode === DUPLICATE_SEQUENCE_NUMBER) {
      this.onAccepted(batch, -1n, -1, "duplicate");
    } else {
      this.#onRefused(batch, result, answer, broker);
    }
  }

  /** The records are in the log, or (acks 0) as far as anybody will tell. */
  onAccepted(batch: Batch, baseOffset: bigint, appendTimeMs: number, delivery: Delivery): void {
    const { partition } = batch;
    partition.landed(batch);
    partition.sequence.accepted(batch, partition.sentTo);
    if (batch.outcome === undefined) {
      const size = batch.wire!.length;
      this.#metrics.recordsSent += batch.recordCount;
      this.#metrics.batchesSent += 1;
      this.#metrics.bytesSent += size;
      this.#metrics.uncompressedBytes += batch.length;
      batch.outcome = { result: batch.resultOf(baseOffset, appendTimeMs, delivery) };
      this.#accumulator.tell(partition);
    }
    // The answer shows that the request has been read; without one (acks 0) the socket may still hold the bytes.
    if (delivery !== "unacknowledged") batch.recycle();
    this.#events.onReady(partition);
  }

  #onRefused(batch: Batch, result: PartitionResult, answer: ProduceAnswer, broker: Address): void {
    const { partition } = batch;
    const { errorCode, baseOffset, currentLeader, errorMessage } = result;
    const row = errorOf(errorCode);
    batch.persisted = worse(batch.persisted, persistedAfter(errorCode, baseOffset));
    const error = brokerError(errorCode, {
      topic: partition.topic.name,
      partition: partition.index,
      broker: formatAddress(broker),
      detail: errorMessage,
      persisted: batch.persisted,
    });
    const hinted = (errorCode === NOT_LEADER_OR_FOLLOWER || errorCode === FENCED_LEADER_EPOCH) &&
      this.#cluster.applyLeaderHint(
        partition.topic.name,
        partition.index,
        currentLeader,
        answer.response.nodeEndpoints,
      );
    if (this.#identity !== undefined && isOutOfOrder(errorCode)) {
      this.#onOutOfOrder(batch, error);
    } else if (
      this.#identity !== undefined && (errorCode === CLUSTER_AUTHORIZATION_FAILED || errorCode === UNSUPPORTED_VERSION)
    ) {
      partition.landed(batch);
      this.#events.onFatal(error);
    } else if (errorCode === CORRUPT_MESSAGE && batch.attempts + 1 >= MAX_CORRUPT_ATTEMPTS) {
      this.#failAttempt(batch, error);
    } else if (errorCode === MESSAGE_TOO_LARGE && batch.recordCount > 1 && batch.persisted === "no") {
      this.#split(batch, error);
    } else if (row.retriable) {
      if (hinted) void this.#cluster.requestUpdate();
      this.#retry(batch, error, { refresh: row.refreshMetadata, hinted });
    } else {
      const [rest, errors] = recordErrorsOf(batch, result, error);
      this.#failAttempt(batch, rest, errors);
    }
    this.#events.onReady(partition);
  }

  /**
   * The broker misses an earlier sequence (delivery rule I10). If an earlier batch is still to be answered, that is
   * why; if not, there is a gap in the log: this batch wasn't appended, and goes out again under a new epoch.
   */
  #onOutOfOrder(batch: Batch, error: KafkaError): void {
    const { partition } = batch;
    const { sequence, inFlight, queue } = partition;
    const earlier = [...inFlight, ...queue].some((other) => other.drained && other.ordinal < batch.ordinal);
    if (!earlier && batch.outcome === undefined && this.#identity!.held) {
      if (!sequence.unresolved) {
        this.#options.logger.warn?.("data_loss_suspected", {
          topic: partition.topic.name,
          partition: partition.index,
          baseSequence: batch.stamp.baseSequence,
        });
      }
      if (!sequence.rewrite && sequence.isAt(this.#identity!)) this.#identity!.bumpEpoch();
      sequence.rewrite = true;
    }
    this.#retry(batch, error, { refresh: false });
  }

  /**
   * The batch is too large for the topic, but its halves may not be. They keep its sequences (the broker has not
   * appended it), and later batches of the topic don't grow so far again.
   */
  #split(batch: Batch, error: KafkaError): void {
    const { partition } = batch;
    partition.landed(batch);
    partition.sequence.disturbed();
    if (batch.outcome !== undefined) return;
    batch.lastError = error;
    partition.topic.batchSizeCap = Math.min(partition.topic.batchSizeCap, batch.length >> 1);
    const parts = batch.split();
    partition.replace(batch, parts);
    this.#accumulator.replace(batch, parts);
    this.#options.logger.info?.("batch_split", {
      topic: partition.topic.name,
      partition: partition.index,
      records: batch.recordCount,
      bytes: batch.length,
    });
  }

  /** An attempt that got no answer: the connection ended, or the answer leaves the batch out. */
  onLost(batch: Batch, reason: unknown): void {
    const { partition } = batch;
    const error = reason instanceof KafkaError ? reason : new KafkaError("The request failed.", { cause: reason });
    batch.persisted = worse(batch.persisted, error.persisted);
    batch.strayed = true;
    if (this.#options.acks === 0) {
      partition.landed(batch);
      this.conclude(batch, withFate(error, batch));
    } else if (error.retriable) {
      // Not a byte of it left: the broker can't have seen it, and it was no attempt (network rule N4).
      this.#retry(batch, error, { refresh: true, uncounted: error.persisted === "no" });
    } else {
      this.#failAttempt(batch, withFate(error, batch));
    }
    this.#events.onReady(partition);
  }

  #retry(batch: Batch, error: KafkaError, { refresh, hinted = false, uncounted = false }: RetryOptions): void {
    const { partition } = batch;
    partition.landed(batch);
    partition.sequence.disturbed();
    batch.lastError = error;
    // Its deadline has passed while it was in flight: it has been told, and is not sent again.
    if (batch.outcome !== undefined) return;
    if (!uncounted) batch.attempts += 1;
    if (batch.attempts > this.#options.retries) {
      this.#endInDoubt(batch);
      this.conclude(batch, withFate(error, batch));
      return;
    }
    this.#metrics.retries += 1;
    partition.putBack(batch);
    partition.notBeforeMs = hinted ? 0 : this.#runtime.now() + this.#backoff.delayMs(Math.max(1, batch.attempts));
    if (refresh && !hinted) {
      partition.awaitingMetadata = true;
      this.#events.onStale(partition);
    }
    this.#accumulator.watch(partition, this.#runtime.now());
  }

  #failAttempt(batch: Batch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    batch.partition.landed(batch);
    if (batch.outcome !== undefined) return;
    this.#endInDoubt(batch);
    this.conclude(batch, error, errors);
  }

  /** Nobody may use its sequence again, and what comes after must not be sent as if nothing had happened. */
  #endInDoubt(batch: Batch): void {
    if (this.#identity !== undefined && batch.drained) batch.partition.sequence.doubt(batch);
  }

  /** Fails a batch that waits to be sent, for the first time or again. */
  refuse(batch: Batch, error: KafkaError): void {
    this.#endInDoubt(batch);
    this.conclude(batch, batch.drained ? withFate(error, batch) : error);
  }

  /** Gives a batch its outcome, and tells all that can be told in order. */
  conclude(batch: Batch, error: KafkaError, errors?: ReadonlyMap<number, KafkaError>): void {
    if (batch.outcome !== undefined) return;
    const { partition } = batch;
    batch.outcome = { error, errors };
    partition.removeFromQueue(batch);
    if (!batch.drained) {
      partition.untold.push(batch);
      if (!batch.encoding) batch.recycle();
    }
    this.#accumulator.tell(partition);
  }

  /** Fails what is past its deadline, in order, whether it waits or is in flight. */
  expire(partition: Partition, nowMs: number): void {
    for (const batch of [...partition.untold, ...partition.queue]) {
      if (batch.deadlineMs > nowMs || batch.outcome !== undefined) continue;
      const inFlight = partition.inFlight.includes(batch);
      if (inFlight) batch.persisted = worse(batch.persisted, "possibly");
      this.#endInDoubt(batch);
      this.conclude(batch, this.#expiryError(batch, inFlight));
    }
    this.#events.onReady(partition);
  }

  #expiryError(batch: Batch, inFlight: boolean): DeliveryTimeoutError {
    const { topic, index } = batch.partition;
    const where = inFlight ? "the answer was awaited" : batch.drained ? "it was to be sent again" : "it was never sent";
    const cause = batch.lastError ?? this.#identity?.lastError ?? this.#cluster.lastError;
    const fate = batch.persisted === "no" ? "not in the log" : "possibly in the log";
    return new DeliveryTimeoutError(
      `Gave up on a batch of ${batch.recordCount} for topic "${topic.name}" partition ${index} after ` +
        `${this.#options.deliveryTimeoutMs} ms (deliveryTimeoutMs) while ${where}; it is ${fate}.` +
        (cause === undefined ? "" : ` ${cause.message}`),
      { topic: topic.name, partition: index, persisted: batch.persisted, cause },
    );
  }
}

/**
 * The errors of a batch of which the broker refused certain records (KIP-467): those get the reason, and the others
 * are told that there was nothing wrong with them.
 */
function recordErrorsOf(
  batch: Batch,
  { errorCode, recordErrors }: PartitionResult,
  error: KafkaError,
): [rest: KafkaError, errors: Map<number, KafkaError> | undefined] {
  if (recordErrors.length === 0) return [error, undefined];
  const { topic, index: partition } = batch.partition;
  const context = { topic: topic.name, partition, broker: error.broker, persisted: batch.persisted };
  const errors = new Map(recordErrors.map(({ batchIndex, batchIndexErrorMessage: detail }) => {
    return [batchIndex, brokerError(errorCode, { ...context, detail })];
  }));
  const rest = new BrokerError(
    `Send the record again: the broker refused its batch for ${errors.size} other records. ${error.message}`,
    { ...context, code: error.code, errorCode, retriable: true, cause: error },
  );
  return [rest, errors];
}

function isOutOfOrder(errorCode: number): boolean {
  return errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === UNKNOWN_PRODUCER_ID;
}

/** Once a record may be in the log, nothing makes it certain that it is not. */
function worse(a: Persisted, b: Persisted): Persisted {
  return a === "no" ? b : a;
}

/** The error that ends a batch, with what is known of the batch as a whole. */
function withFate(error: KafkaError, batch: Batch): KafkaError {
  const { topic, index } = batch.partition;
  if (error.persisted === batch.persisted && error.topic !== undefined) return error;
  const Class = error.constructor as new (message: string, options: object) => KafkaError;
  return new Class(error.message, {
    code: error.code,
    errorCode: error.errorCode,
    retriable: error.retriable,
    persisted: batch.persisted,
    topic: topic.name,
    partition: index,
    broker: error.broker,
    cause: error,
  });
}
