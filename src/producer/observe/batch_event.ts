/**
 * What the hook `onBatch` is told.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";

/**
 * A batch has its outcome: delivered, failed, or delivered but for records that the broker has refused one by one.
 * Records that are refused before they enter a batch have no such event; interceptors hear of those.
 */
export interface BatchEvent {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** Records with an outcome, the failed ones included. */
  readonly records: number;
  /** How many of them failed. */
  readonly failed: number;
  /** Bytes of the batch as sent; before compression if it has failed. */
  readonly bytes: number;
  /** Ms from the opening of the batch to its outcome. */
  readonly latencyMs: number;
  /** Why records failed; left out if none has. */
  readonly error?: KafkaError;
}

/** What of a batch is told. */
interface SettledBatch {
  readonly partition: { readonly topic: { readonly name: string }; readonly index: number };
  readonly createdMs: number;
  readonly length: number;
  readonly liveCount: number;
  readonly refusedCount: number;
  readonly failure: KafkaError | undefined;
  readonly outcome: { readonly bytes?: number | undefined } | undefined;
}

/** The event of a batch of which this many records have failed. */
export function batchEvent(batch: SettledBatch, failed: number, nowMs: number): BatchEvent {
  const { partition: { topic, index: partition }, failure: error, outcome } = batch;
  return {
    topic: topic.name,
    partition,
    records: batch.liveCount + batch.refusedCount,
    failed,
    bytes: outcome?.bytes ?? batch.length,
    latencyMs: nowMs - batch.createdMs,
    ...(error === undefined ? {} : { error }),
  };
}
