/**
 * What the producer has done, counted: in all, and over the last half minute.
 *
 * Nothing is counted for each record on its way; a batch or a request is the smallest thing that is.
 *
 * @module
 */

import type { BrokerHealth } from "../../cluster/health.ts";
import { LatencyWindow } from "./latency_window.ts";
import type { TelemetrySession } from "./telemetry.ts";

/**
 * A snapshot of a producer's counters. Names that have a dash are Kafka's own; those that end in `-avg`, `-rate`,
 * `-p50`, `-p95` and `-p99` are about the last 30 seconds, everything else is about now or about the producer's life.
 */
export interface ProducerMetrics {
  /** Records with an acknowledgement (or handed to the socket, with acks 0). */
  readonly records_sent: number;
  /** Bytes of the batches of these records, as sent. */
  readonly bytes_sent: number;
  /** Batches of these records. */
  readonly batches_sent: number;
  /** Produce requests written, retries included. */
  readonly requests_sent: number;
  /** Records that failed. */
  readonly errors: number;
  /** Batches that were sent again. */
  readonly retries: number;
  /** `records_sent` of all records with an outcome, from 0 to 1; 1 before the first. */
  readonly success_rate: number;
  /** Records without an outcome yet, those that wait for memory or metadata included. */
  readonly records_pending: number;
  /** Batches without an outcome yet. */
  readonly batches_pending: number;
  /** Records delivered, per second. */
  readonly "record-send-rate": number;
  /** Records that failed, per second. */
  readonly "record-error-rate": number;
  /** Bytes sent over bytes before compression, headers of batches included; 1 when nothing was sent. */
  readonly "compression-rate-avg": number;
  /** Bytes of a batch as sent. */
  readonly "batch-size-avg": number;
  /** Records in a request. */
  readonly "records-per-request-avg": number;
  /** Ms from a request to its answer. */
  readonly "request-latency-avg": number;
  /** Ms from a request to its answer in half of the cases, at most. */
  readonly "request-latency-p50": number;
  /** Ms from a request to its answer in 95 % of the cases, at most. */
  readonly "request-latency-p95": number;
  /** Ms from a request to its answer in 99 % of the cases, at most. */
  readonly "request-latency-p99": number;
  /** Ms from the opening of a record's batch to its delivery for half of the records, at most. */
  readonly "record-latency-p50": number;
  /** Ms from the opening of a record's batch to its delivery for 95 % of the records, at most. */
  readonly "record-latency-p95": number;
  /** Ms from the opening of a record's batch to its delivery for 99 % of the records, at most. */
  readonly "record-latency-p99": number;
  /** Ms from the opening of a batch to the request that carries it. */
  readonly "record-queue-time-avg": number;
  /** Ms that an answer asks to be left alone for. */
  readonly "produce-throttle-time-avg": number;
  /** Ms that sends have waited for memory, all of them together. */
  readonly "bufferpool-wait-time": number;
  /** Bytes of `bufferMemory` that are free. */
  readonly "buffer-available-bytes": number;
  /** Bytes of `bufferMemory` in all. */
  readonly "buffer-total-bytes": number;
  /** Produce requests without an answer yet. */
  readonly "requests-in-flight": number;
  /** How each broker and the connection to it are. */
  readonly brokers: readonly BrokerHealth[];
}

/** What the accumulator knows at the moment of a snapshot. */
export interface BufferState {
  readonly availableBytes: number;
  readonly totalBytes: number;
  readonly recordsPending: number;
  readonly batchesPending: number;
  readonly brokers: readonly BrokerHealth[];
}

/** What is added up, in all and over each second; under the users' names, where they have one for it. */
class Counters {
  records_sent = 0;
  errors = 0;
  bytes_sent = 0;
  uncompressedBytes = 0;
  batches_sent = 0;
  requests_sent = 0;
  recordsRequested = 0;
  batchesRequested = 0;
  queueMs = 0;
  requestsAnswered = 0;
  latencyMs = 0;
  throttleMs = 0;
  retries = 0;
  waitMs = 0;
}

const SLOT_MS = 1_000;
const SLOTS = 30;

/** The counters behind {@link ProducerMetrics}. */
export class Metrics {
  /** Produce requests without an answer yet. */
  requestsInFlight = 0;
  /** Records that were delivered so far. */
  recordsDelivered = 0;
  /** Hears of requests as well. */
  telemetry: Pick<TelemetrySession, "requested"> | undefined;

  readonly #now: () => number;
  readonly #startMs: number;
  /** What is in no slot any more. */
  readonly #past = new Counters();
  /** One for each of the last seconds in which anything happened, the newest last. */
  readonly #slots: { readonly number: number; readonly counters: Counters }[] = [];
  readonly #requestLatency = new LatencyWindow(SLOTS * SLOT_MS);
  readonly #recordLatency = new LatencyWindow(SLOTS * SLOT_MS);

  /** Takes the monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
    this.#startMs = now();
  }

  /**
   * A request was written: how many batches and records it carries, and how long these batches had waited in all, and the
   * one that had waited longest.
   */
  requested(batches: number, records: number, queueMs: number, longestQueueMs: number, nowMs: number): void {
    this.telemetry?.requested(batches, queueMs, longestQueueMs);
    const counters = this.#second(nowMs);
    counters.requests_sent += 1;
    counters.batchesRequested += batches;
    counters.recordsRequested += records;
    counters.queueMs += queueMs;
  }

  /** A request was answered after `latencyMs`; the broker asks to be left alone for `throttleMs`. */
  answered(latencyMs: number, throttleMs: number, nowMs: number): void {
    this.#requestLatency.record(latencyMs, 1, nowMs);
    const counters = this.#second(nowMs);
    counters.requestsAnswered += 1;
    counters.latencyMs += latencyMs;
    counters.throttleMs += throttleMs;
  }

  /** A batch was delivered, so long after it was opened. */
  delivered(records: number, bytes: number, uncompressedBytes: number, latencyMs: number, nowMs: number): void {
    this.recordsDelivered += records;
    this.#recordLatency.record(latencyMs, records, nowMs);
    const counters = this.#second(nowMs);
    counters.batches_sent += 1;
    counters.records_sent += records;
    counters.bytes_sent += bytes;
    counters.uncompressedBytes += uncompressedBytes;
  }

  /** Records failed, or were refused. */
  failed(records: number): void {
    this.#second(this.#now()).errors += records;
  }

  /** A batch is to be sent again. */
  retried(): void {
    this.#second(this.#now()).retries += 1;
  }

  /** A send has waited this long for memory. */
  waited(waitMs: number): void {
    this.#second(this.#now()).waitMs += waitMs;
  }

  /** The counters as users see them. */
  snapshot(buffer: BufferState): ProducerMetrics {
    const nowMs = this.#now();
    this.#forget(Math.floor(nowMs / SLOT_MS));
    const recent = new Counters();
    for (const { counters } of this.#slots) add(recent, counters);
    const total = new Counters();
    for (const counters of [this.#past, recent]) add(total, counters);
    const { records_sent, bytes_sent, batches_sent, requests_sent, errors, retries } = total;
    const seconds = this.#windowSeconds(nowMs);
    return {
      records_sent,
      bytes_sent,
      batches_sent,
      requests_sent,
      errors,
      retries,
      success_rate: ratio(records_sent, records_sent + errors, 1),
      records_pending: buffer.recordsPending,
      batches_pending: buffer.batchesPending,
      brokers: buffer.brokers,
      "record-send-rate": recent.records_sent / seconds,
      "record-error-rate": recent.errors / seconds,
      "compression-rate-avg": ratio(recent.bytes_sent, recent.uncompressedBytes, 1),
      "batch-size-avg": ratio(recent.bytes_sent, recent.batches_sent, 0),
      "records-per-request-avg": ratio(recent.recordsRequested, recent.requests_sent, 0),
      "request-latency-avg": ratio(recent.latencyMs, recent.requestsAnswered, 0),
      ...quantiles("request-latency", this.#requestLatency, nowMs),
      ...quantiles("record-latency", this.#recordLatency, nowMs),
      "record-queue-time-avg": ratio(recent.queueMs, recent.batchesRequested, 0),
      "produce-throttle-time-avg": ratio(recent.throttleMs, recent.requestsAnswered, 0),
      "bufferpool-wait-time": total.waitMs,
      "buffer-available-bytes": buffer.availableBytes,
      "buffer-total-bytes": buffer.totalBytes,
      "requests-in-flight": this.requestsInFlight,
    };
  }

  /** The counters in which what happens now is to be counted. */
  #second(nowMs: number): Counters {
    const number = Math.floor(nowMs / SLOT_MS);
    let newest = this.#slots.at(-1);
    if (newest?.number !== number) {
      newest = { number, counters: new Counters() };
      this.#slots.push(newest);
      this.#forget(number);
    }
    return newest.counters;
  }

  #forget(newest: number): void {
    while (this.#slots.length > 0 && this.#slots[0]!.number <= newest - SLOTS) {
      add(this.#past, this.#slots.shift()!.counters);
    }
  }

  /** What the window covers; a producer that is younger than a second has no rates of thousands for that. */
  #windowSeconds(nowMs: number): number {
    const oldestMs = (Math.floor(nowMs / SLOT_MS) - SLOTS + 1) * SLOT_MS;
    return Math.max(1, (nowMs - Math.max(oldestMs, this.#startMs)) / 1_000);
  }
}

function quantiles<N extends string>(
  name: N,
  window: LatencyWindow,
  nowMs: number,
): Record<`${N}-p50` | `${N}-p95` | `${N}-p99`, number> {
  return Object.fromEntries(
    [50, 95, 99].map((percent) => [`${name}-p${percent}`, window.quantileMs(percent / 100, nowMs)]),
  ) as ReturnType<typeof quantiles<N>>;
}

function add(sum: Counters, counters: Counters): void {
  for (const name of Object.keys(sum) as (keyof Counters)[]) sum[name] += counters[name];
}

function ratio(part: number, whole: number, fallback: number): number {
  return whole === 0 ? fallback : part / whole;
}
