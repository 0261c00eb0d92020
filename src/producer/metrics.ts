/**
 * What the producer has done so far, counted.
 *
 * @module
 */

/** A snapshot of a producer's counters. Names that have a dash are Kafka's own. */
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
  /** Bytes sent over bytes before compression, headers of batches included; 1 before the first. */
  readonly "compression-rate-avg": number;
  /** Bytes of a batch as sent, on average. */
  readonly "batch-size-avg": number;
  /** Records in a request, on average. */
  readonly "records-per-request-avg": number;
  /** Ms from a request to its answer, on average. */
  readonly "request-latency-avg": number;
  /** Bytes of `bufferMemory` that are free. */
  readonly "buffer-available-bytes": number;
  /** Bytes of `bufferMemory` in all. */
  readonly "buffer-total-bytes": number;
  /** Produce requests without an answer yet. */
  readonly "requests-in-flight": number;
  /** Records without an outcome yet, those that wait for memory or metadata included. */
  readonly records_pending: number;
}

/** The counters behind {@link ProducerMetrics}. */
export class Metrics {
  recordsSent = 0;
  bytesSent = 0;
  uncompressedBytes = 0;
  batchesSent = 0;
  requestsSent = 0;
  recordsRequested = 0;
  recordsFailed = 0;
  retries = 0;
  requestsAnswered = 0;
  latencyMs = 0;
  requestsInFlight = 0;

  /** The counters as users see them; the rest is known elsewhere. */
  snapshot(availableBytes: number, totalBytes: number, recordsPending: number): ProducerMetrics {
    const settled = this.recordsSent + this.recordsFailed;
    return {
      records_sent: this.recordsSent,
      bytes_sent: this.bytesSent,
      batches_sent: this.batchesSent,
      requests_sent: this.requestsSent,
      errors: this.recordsFailed,
      retries: this.retries,
      success_rate: ratio(this.recordsSent, settled, 1),
      "compression-rate-avg": ratio(this.bytesSent, this.uncompressedBytes, 1),
      "batch-size-avg": ratio(this.bytesSent, this.batchesSent, 0),
      "records-per-request-avg": ratio(this.recordsRequested, this.requestsSent, 0),
      "request-latency-avg": ratio(this.latencyMs, this.requestsAnswered, 0),
      "buffer-available-bytes": availableBytes,
      "buffer-total-bytes": totalBytes,
      "requests-in-flight": this.requestsInFlight,
      records_pending: recordsPending,
    };
  }
}

function ratio(part: number, whole: number, fallback: number): number {
  return whole === 0 ? fallback : part / whole;
}
