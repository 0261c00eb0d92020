/**
 * Partitions by name and index, and what the results of several of them come to.
 *
 * @module
 */

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

/** What the results of several partitions come to, and which ones decide. */
export function judgePlaces(
  call: "AddPartitionsToTxn" | "TxnOffsetCommit",
  results: readonly PlaceResult[],
): { errorCode: number; detail: string } {
  const errorCode = gravest(call, results.map(({ code }) => code));
  const places = results.filter(({ code }) => code === errorCode).map(({ partition, topic }) =>
    `${topic}-${partition}`
  );
  const rest = places.length > MAX_NAMED ? ` and ${places.length - MAX_NAMED} more` : "";
  return { errorCode, detail: places.slice(0, MAX_NAMED).join(", ") + rest };
}
