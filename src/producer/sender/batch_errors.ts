/**
 * What a batch's records are told when it fails.
 *
 * @module
 */

import { errorLike } from "../../error_like.ts";
import { BrokerError, DeliveryTimeoutError, KafkaError, type KafkaErrorOptions } from "../../errors.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { sentence, show } from "../../show.ts";
import type { Batch } from "../accumulator/batch.ts";
import type { Explanation } from "../observe/diagnosis.ts";
import type { PartitionResult } from "./produce_request.ts";

/** Why the broker has refused single records of a batch, by their places (KIP-467). */
export function recordErrorsOf(
  batch: Batch,
  { errorCode, recordErrors }: PartitionResult,
  error: KafkaError,
): Map<number, KafkaError> {
  const { persisted, partition: { topic, index: partition } } = batch;
  const context = { topic: topic.name, partition, broker: error.broker, persisted };
  // Each is one of the batch, and listed once: another answer would not have been believed (see checkAnswer).
  return new Map(recordErrors.map(({ batchIndex, batchIndexErrorMessage: detail }) => {
    return [batchIndex, brokerError(errorCode, { ...context, detail })];
  }));
}

/** What the records are told, or what becomes known of the batch, for which others were refused. */
export function batchRefused(error: KafkaError, others: number): KafkaError {
  return new BrokerError(
    `Send the record again: the broker refused its batch for ${others} other records. ${error.message}`,
    { ...error as KafkaErrorOptions, retriable: true, cause: error },
  );
}

/** What a record is told that isn't sent because one before it failed (`gapless`). */
export function earlierFailed(
  { partition: { topic, index }, persisted }: Pick<Batch, "partition" | "persisted">,
  cause: KafkaError,
): KafkaError {
  return new KafkaError(
    `Send the record again, in order: an earlier one for topic ${
      show(topic.name)
    } partition ${index} failed (gapless). ` +
      cause.message,
    { code: "EARLIER_RECORD_FAILED", retriable: true, persisted, topic: topic.name, partition: index, cause },
  );
}

/** The error that ends a batch, with what is known of the batch as a whole. */
export function withFate(error: KafkaError, batch: Batch): KafkaError {
  const { topic, index } = batch.partition;
  if (error.persisted === batch.persisted && error.topic !== undefined) return error;
  return errorLike(error, error.message, {
    persisted: batch.persisted,
    topic: topic.name,
    partition: index,
    cause: error,
  });
}

/** The error of a batch whose deadline has passed, with why it had no outcome by then, and what happened last. */
export function expired(
  batch: Batch,
  inFlight: boolean,
  deliveryTimeoutMs: number,
  { reason, advice, error }: Explanation,
): DeliveryTimeoutError {
  const { topic, index } = batch.partition;
  const where = inFlight ? "the answer was awaited" : batch.drained ? "it was to be sent again" : "it was never sent";
  const fate = batch.persisted === "no" ? "not in the log" : "possibly in the log";
  const { lastError } = batch;
  const isSaid = lastError === undefined || reason.includes(lastError.message.replace(/\.$/, ""));
  const last = isSaid ? "" : ` The last attempt has failed: ${sentence(lastError.message)}`;
  return new DeliveryTimeoutError(
    `Gave up on a batch of ${batch.recordCount} for topic ${show(topic.name)} partition ${index} after ` +
      `${deliveryTimeoutMs} ms (deliveryTimeoutMs) while ${where}; it is ${fate}. ${reason}${last} ${advice}`,
    { topic: topic.name, partition: index, persisted: batch.persisted, cause: lastError ?? error },
  );
}
