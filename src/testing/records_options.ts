/**
 * What a test may say of the records that it looks at.
 *
 * @module
 */

import { MAX_TIMER_MS, readOptions, refuse } from "../call_options.ts";
import { TimeoutError } from "../errors.ts";
import { show } from "../show.ts";

/** Which records, and how many are waited for. */
export interface RecordsOptions {
  /** One partition. @default all */
  readonly partition?: number | undefined;
  /** Wait until there are so many. @default none: what there is now */
  readonly count?: number | undefined;
  /** How long, in ms. @default 4000 */
  readonly timeoutMs?: number | undefined;
}

/** How often a cluster looks whether there are enough records. */
export const LOOK_AGAIN_MS = 5;

const DEFAULT_TIMEOUT_MS = 4_000;

/** The options of `records()`, or a partition in their place. @throws {ConfigError} */
export function readRecordsOptions(
  given: unknown,
): { readonly partition: number | undefined; readonly count: number | undefined; readonly timeoutMs: number } {
  if (typeof given === "number") return { partition: given, count: undefined, timeoutMs: 0 };
  const { partition, count, timeoutMs = DEFAULT_TIMEOUT_MS } = readOptions("records", given, [
    "partition",
    "count",
    "timeoutMs",
  ]);
  const isWhole = (value: unknown): value is number => Number.isInteger(value) && value as number >= 0;
  if (partition !== undefined && !isWhole(partition)) refuse("partition", "a whole number from 0", partition);
  if (count !== undefined && !isWhole(count)) refuse("count", "a whole number from 0", count);
  if (!isWhole(timeoutMs) || timeoutMs > MAX_TIMER_MS) {
    refuse("timeoutMs", `a whole number of ms from 0 to ${MAX_TIMER_MS}`, timeoutMs);
  }
  return { partition, count, timeoutMs };
}

/** What `records()` rejects with when its time is over. */
export function tooFew(
  topic: string,
  found: number,
  { count, timeoutMs }: { readonly count: number; readonly timeoutMs: number },
): TimeoutError {
  const there = found === 1 ? "there is 1" : `there are ${found}`;
  const wanted = count === 1 ? "1 record" : `${count} records`;
  return new TimeoutError(
    `Waited ${timeoutMs} ms (timeoutMs) for ${wanted} in topic ${show(topic)}: ${there}. ` +
      "Await what sends them, or wait longer.",
    { topic },
  );
}
