/**
 * Partitions by name and index, and what the results of several of them come to.
 *
 * @module
 */

import { KafkaError } from "../../errors.ts";
import { gravest } from "./actions.ts";

/** A partition, by name and index. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** What one partition was answered. */
export interface PlaceResult extends Place {
  readonly code: number;
}

/** How many partitions a message names. */
const MAX_NAMED = 5;

/** The same for the same partition. */
export function keyOf({ topic, partition }: Place): string {
  return `${partition} ${topic}`;
}

/**
 * What the results of several partitions come to, and which ones decide.
 *
 * @param left partitions that were asked for and have not succeeded
 * @throws {KafkaError} retriable, when nothing has failed and yet not all have succeeded
 */
export function judgePlaces(
  call: "AddPartitionsToTxn" | "TxnOffsetCommit",
  results: readonly PlaceResult[],
  left: Iterable<Place>,
): { errorCode: number; detail: string } {
  const errorCode = gravest(call, results.map(({ code }) => code));
  if (errorCode !== 0) return { errorCode, detail: named(results.filter(({ code }) => code === errorCode)) };
  const missing = [...left];
  if (missing.length === 0) return { errorCode, detail: "" };
  // Taken for a success, it would be committed without them.
  const message = `${call} left out ${named(missing)}, which it was asked for.`;
  throw new KafkaError(message, { code: "PROTOCOL", retriable: true, persisted: "possibly" });
}

function named(places: readonly Place[]): string {
  const names = places.slice(0, MAX_NAMED).map(({ partition, topic }) => `${topic}-${partition}`).join(", ");
  return places.length > MAX_NAMED ? `${names} and ${places.length - MAX_NAMED} more` : names;
}
