/**
 * The records of a topic, as a test looks at them and waits for them.
 *
 * @module
 */

import { MAX_TIMER_MS, readOptions, refuse } from "../call_options.ts";
import { TimeoutError } from "../errors.ts";
import { show } from "../show.ts";
import type { ClusterRuntime } from "./cluster_runtime.ts";
import type { Partition, Topic } from "./control/topic.ts";
import type { Decompress } from "./storage/log.ts";
import { readLog, type StoredRecord } from "./storage/stored_record.ts";

/** Which records, and how many are waited for. */
export interface RecordsOptions {
  /** One partition. @default all */
  readonly partition?: number | undefined;
  /** Wait until there are so many. @default none: what there is now */
  readonly count?: number | undefined;
  /** How long, in ms. @default 4000 */
  readonly timeoutMs?: number | undefined;
}

/** How often one looks whether there are enough records. */
const LOOK_AGAIN_MS = 5;

const DEFAULT_TIMEOUT_MS = 4_000;

/** As much of a cluster as its records are read from. */
export interface RecordsSource {
  readonly clock: ClusterRuntime;
  readonly decompress: Decompress;
  topic(name: string): Topic | undefined;
  /** A partition that must be there. */
  partition(topic: string, index: number): Partition;
  sleep(durationMs: number): Promise<void>;
}

/** The records of a topic, as {@link RecordsOptions} want them. Rejects when those that are waited for don't come. */
export async function recordsOf(
  source: RecordsSource,
  topic: string,
  options: number | RecordsOptions | undefined,
): Promise<StoredRecord[]> {
  const { partition, count, timeoutMs } = readRecordsOptions(options);
  if (count === undefined) return await readRecords(source, topic, partition);
  const untilMs = source.clock.now() + timeoutMs;
  let records: StoredRecord[] = [];
  for (let seen = -1;;) {
    const written = writtenTo(source, topic, partition);
    // Decompressed only when something has come.
    if (written !== seen) records = await readRecords(source, topic, partition);
    seen = written;
    if (records.length >= count) return records;
    const leftMs = untilMs - source.clock.now();
    if (leftMs <= 0) throw tooFew(topic, records.length, { count, timeoutMs });
    await source.sleep(Math.min(LOOK_AGAIN_MS, Math.max(1, leftMs)));
  }
}

async function readRecords(
  source: RecordsSource,
  topic: string,
  partition: number | undefined,
): Promise<StoredRecord[]> {
  const wanted = partition === undefined
    ? source.partition(topic, 0).topic.partitions
    : [source.partition(topic, partition)];
  return (await Promise.all(wanted.map(({ index, log }) => readLog(topic, index, log, source.decompress)))).flat();
}

/** Grows with every batch; −1 while there is no such topic. */
function writtenTo(source: RecordsSource, topic: string, partition: number | undefined): number {
  const partitions = source.topic(topic)?.partitions;
  if (partitions === undefined) return -1;
  const wanted = partition === undefined ? partitions : [source.partition(topic, partition)];
  return wanted.reduce((sum, { log }) => sum + Number(log.endOffset), 0);
}

/** The options of `records()`, or a partition in their place. @throws {ConfigError} */
function readRecordsOptions(
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
function tooFew(
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
