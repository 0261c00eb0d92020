/**
 * One request to a broker and its answer, which is taken apart partition by partition.
 *
 * @module
 */

import type { Connection } from "../../cluster/connection.ts";
import { MAX_THROTTLE_MS } from "../../cluster/write_gate.ts";
import { ConnectionError, type KafkaError, type KafkaErrorOptions, RecordTooLargeError } from "../../errors.ts";
import { PRODUCE_WITH_TOPIC_NAMES, PRODUCE_WITH_ZSTD } from "../../protocol/api.ts";
import { UNSUPPORTED_COMPRESSION_TYPE } from "../../protocol/error_code_names.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Partition, QueuedBatch } from "../accumulator/partition.ts";
import type { Schedule } from "../accumulator/schedule.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Lane } from "./lane.ts";
import { frameSizeBound, produceRequest, resultsOf } from "./produce_request.ts";
import type { Settlement } from "./settlement.ts";

/** A record fails after this many requests with it alone on which a broker has hung up that answers smaller ones. */
const HANG_UPS = 5;
/** Number of the codec in batches. */
const ZSTD = 4;

/** The sender, as an exchange sees it. */
export interface ExchangeListener {
  /** An exchange has ended, with its batches settled: its slot is free. */
  onEnd(): void;
  /** Takes in an answer, or what a codec has done. What that throws is an error after which the producer can't go on. */
  guard(run: () => void): void;
}

/** What exchanges work with. */
export interface ExchangeParts {
  readonly runtime: Runtime;
  readonly schedule: Schedule;
  readonly stamping: Stamping;
  readonly metrics: Metrics;
  readonly settlement: Settlement;
}

/** Owns requests, from the moment their batches leave the queues until each of these has its answer. */
export class Exchange {
  readonly #options: ResolvedOptions;
  readonly #runtime: Runtime;
  readonly #schedule: Schedule;
  readonly #stamping: Stamping;
  readonly #metrics: Metrics;
  readonly #settlement: Settlement;
  readonly #listener: ExchangeListener;

  /** Exchanges for one producer. */
  constructor(options: ResolvedOptions, parts: ExchangeParts, listener: ExchangeListener) {
    this.#options = options;
    this.#runtime = parts.runtime;
    this.#schedule = parts.schedule;
    this.#stamping = parts.stamping;
    this.#metrics = parts.metrics;
    this.#settlement = parts.settlement;
    this.#listener = listener;
  }

  /** Takes the first batches of partitions out of their queues, and sends them in one request. */
  begin(lane: Lane, connection: Connection, partitions: readonly Partition[]): void {
    const batches: QueuedBatch[] = [];
    for (const partition of partitions) {
      partition.scheduled = false;
      const batch = partition.take(partition.leader!, this.#stamping.stamps);
      batch.seal();
      batches.push(batch);
      if (partition.queue.length > 0) this.#schedule.add(partition);
    }
    lane.isTrying = lane.limit.cuts > 0 &&
      lane.isLarge(partitions[0]!, batches[0]!.wire!.length, this.#options.clientId, this.#runtime.now());
    lane.inFlight += 1;
    this.#metrics.requestsInFlight += 1;
    const lost = (reason: unknown): void =>
      this.#end(lane, () => {
        const isBehind = lane.ended === connection && lane.endedForSize;
        const error = this.#cutError(lane, connection, batches, reason) ?? reason;
        for (const batch of batches) this.#settlement.onLost(batch, error, isBehind);
      });
    try {
      this.#send(lane, connection, batches, lost);
    } catch (error) {
      // Later, as if a broker had said so: a drain isn't prepared for callbacks that send again.
      void Promise.resolve(error).then(lost);
    }
  }

  /** Writes the request. When it ends, its slot is freed and its batches are settled. */
  #send(lane: Lane, connection: Connection, batches: readonly QueuedBatch[], lost: (error: unknown) => void): void {
    const { acks, requestTimeoutMs } = this.#options;
    const request = produceRequest(connection, batches, acks, requestTimeoutMs, this.#stamping);
    const { version, body } = request;
    if (version < PRODUCE_WITH_ZSTD && batches.some(({ partition }) => partition.topic.codec?.id === ZSTD)) {
      throw brokerError(UNSUPPORTED_COMPRESSION_TYPE, { api: "Produce" });
    }
    const sentMs = this.#runtime.now();
    let records = 0;
    let queueMs = 0;
    let longestQueueMs = 0;
    for (const batch of batches) {
      batch.sentByName = version <= PRODUCE_WITH_TOPIC_NAMES;
      records += batch.recordCount;
      const waitedMs = sentMs - batch.createdMs;
      queueMs += waitedMs;
      longestQueueMs = Math.max(longestQueueMs, waitedMs);
    }
    this.#metrics.requested(batches.length, records, queueMs, longestQueueMs, sentMs);
    if (acks === 0) {
      connection.send(Produce, version, body, requestTimeoutMs).then((flushed) =>
        this.#end(lane, () => {
          const nowMs = this.#runtime.now();
          this.#metrics.answered(nowMs - sentMs, 0, nowMs);
          for (const batch of batches) {
            this.#settlement.onAccepted(batch, -1n, -1, "unacknowledged", nowMs);
            // Without an answer the socket may still hold the bytes.
            if (flushed) batch.recycle();
          }
        }), lost);
      return;
    }
    connection.request(Produce, version, body, requestTimeoutMs).then((response) =>
      this.#end(lane, () => {
        const nowMs = this.#runtime.now();
        if (lane.limit.cuts > 0) lane.limit.onAnswer(frameSizeBound(batches, this.#options.clientId));
        this.#metrics.answered(nowMs - sentMs, Math.min(response.throttleTimeMs, MAX_THROTTLE_MS), nowMs);
        const answer = { version, response, nowMs };
        const results = resultsOf(request, response, batches);
        const fatal: unknown[] = [];
        batches.forEach((batch, index) => {
          try {
            this.#settlement.onResult(batch, results[index], answer, connection.address);
          } catch (error) {
            // What else stands in the answer counts all the same.
            fatal.push(error);
          }
        });
        if (fatal.length > 0) throw fatal[0];
      }), lost);
  }

  #end(lane: Lane, settle: () => void): void {
    this.#listener.guard(() => {
      lane.freeSlot();
      this.#metrics.requestsInFlight -= 1;
      settle();
      this.#listener.onEnd();
    });
  }

  /**
   * The error of a request that was the first without an answer when the broker ended the connection; undefined if that
   * is not how it was lost. The broker serves one request at a time, so this is the one that it hung up on.
   */
  #cutError(
    lane: Lane,
    connection: Connection,
    batches: readonly QueuedBatch[],
    reason: unknown,
  ): KafkaError | undefined {
    if (!connection.endedByPeer || lane.ended === connection) return undefined;
    lane.ended = connection;
    lane.endedForSize = false;
    // With acks 0 there are no answers: an end is all that a broker says of any error.
    if (this.#options.acks === 0 || !(reason instanceof ConnectionError) || reason.persisted === "no") return undefined;
    const nowMs = this.#runtime.now();
    const bytes = frameSizeBound(batches, this.#options.clientId);
    const isNews = lane.limit.onCut(bytes, nowMs);
    if (bytes < lane.limit.cutBytes(nowMs)) return undefined;
    lane.endedForSize = true;
    const { broker } = reason;
    const [batch] = batches;
    const isProven = batches.length === 1 && ++batch!.hangUps >= HANG_UPS && lane.limit.isProven;
    if (isProven && batch!.recordCount === 1) {
      const message =
        `Send a smaller record or raise "socket.request.max.bytes" of the broker at ${broker}: it has hung ` +
        `up ${batch!.hangUps} times on a request of about ${bytes} bytes with nothing but this record, and answers ` +
        `smaller ones.`;
      return new RecordTooLargeError(message, {
        ...reason as KafkaErrorOptions,
        code: "RECORD_TOO_LARGE",
        retriable: false,
        cause: reason,
      });
    }
    if (isNews) this.#options.logger.warn?.("request_cut", { broker, bytes, cuts: lane.limit.cuts });
    const message =
      `${reason.message} That has happened ${lane.limit.cuts} times, now to a request of about ${bytes} bytes. If that is too ` +
      `much for the broker, send smaller records, set "batchSize" or "maxRequestSize" to less, or raise ` +
      `"socket.request.max.bytes" there.`;
    return new ConnectionError(message, { ...reason as KafkaErrorOptions, cause: reason });
  }
}
