/**
 * Errors that more than one file of the reader tells.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { show } from "../show.ts";

/** What every call of a closed reader is told. */
export function closedError(): KafkaError {
  return new KafkaError("The reader was closed.", { code: "READER_CLOSED" });
}

/** A broker has answered, but not for this partition. */
export function leftOut(api: string, topic: string, partition: number): KafkaError {
  const message = `${api} left out topic ${show(topic)} partition ${partition}, which it was asked for.`;
  return new KafkaError(message, { code: "PROTOCOL", retriable: true, topic, partition });
}
