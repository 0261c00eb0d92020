/**
 * What a run says of itself when it is over: as text for people, as JSON for programs.
 *
 * @module
 */

import { excerpt } from "../show.ts";
import type { Tally } from "./tally.ts";

/** The summary of one run of `sluice produce`, as `--json` prints it. */
export interface ProduceSummary {
  /** Where the records went; null for each one's own topic. */
  readonly topic: string | null;
  /** The runtime that ran, such as `"node 22.1.0"`. */
  readonly runtime: string;
  /** Records delivered. */
  readonly records: number;
  /** Records that were taken from the input and not delivered. */
  readonly failed: number;
  /** How many of `failed` may be in the log all the same. */
  readonly possiblyPersisted: number;
  /** Bytes of keys, values and headers of the delivered records. */
  readonly bytes: number;
  /** From the first byte read to the last acknowledgement. */
  readonly seconds: number;
  /** Delivered records per second. */
  readonly recordsPerSecond: number;
  /** Delivered bytes per second. */
  readonly bytesPerSecond: number;
  /** Batches sent; null when the producer doesn't say. */
  readonly batches: number | null;
  /** Produce requests sent, repeats included; null when the producer doesn't say. */
  readonly requests: number | null;
  /** Batches that were sent again. */
  readonly retries: number | null;
  /** The codec. */
  readonly compression: string;
  /** Bytes on the wire per byte handed to the codec; null when nothing was sent. */
  readonly compressionRatio: number | null;
  /** From handing a record over to its acknowledgement, in ms; quantiles are right to 2 %. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** What each partition got; none in a dry run. Offsets are decimal text; null when they are not known. */
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly records: number;
    readonly firstOffset: string | null;
    readonly lastOffset: string | null;
  }[];
  /** The kinds of failure. */
  readonly errors: readonly { readonly code: string; readonly message: string; readonly records: number }[];
  /** The run was interrupted. */
  readonly interrupted: boolean;
  /** Nothing was sent: `records` were read and would have been. */
  readonly dryRun?: boolean;
}

/** What the producer knows better than the tally. */
export interface Traffic {
  /** Batches sent. */
  readonly batches: number | null;
  /** Produce requests sent. */
  readonly requests: number | null;
  /** Batches sent again. */
  readonly retries: number | null;
  /** Bytes on the wire per byte handed to the codec. */
  readonly compressionRatio: number | null;
}

/** Sums up a run. */
export function summarize(
  tally: Tally,
  run: {
    readonly topic: string | null;
    readonly runtime: string;
    readonly compression: string;
    readonly elapsedMs: number;
    readonly interrupted: boolean;
    readonly dryRun?: boolean;
    readonly traffic: Traffic;
  },
): ProduceSummary {
  const seconds = run.elapsedMs / 1000;
  const perSecond = (count: number) => seconds > 0 ? Math.round(count / seconds) : 0;
  const offset = (value: bigint) => value < 0n ? null : String(value);
  return {
    topic: run.topic,
    runtime: run.runtime,
    records: tally.delivered,
    failed: tally.failed,
    possiblyPersisted: tally.failures.reduce((sum, failure) => sum + failure.possiblyPersisted, 0),
    bytes: tally.deliveredBytes,
    seconds: round(seconds, 3),
    recordsPerSecond: perSecond(tally.delivered),
    bytesPerSecond: perSecond(tally.deliveredBytes),
    batches: run.traffic.batches,
    requests: run.traffic.requests,
    retries: run.traffic.retries,
    compression: run.compression,
    compressionRatio: run.traffic.compressionRatio === null ? null : round(run.traffic.compressionRatio, 3),
    latencyMs: {
      p50: round(tally.latency.quantileMs(0.5), 2),
      p99: round(tally.latency.quantileMs(0.99), 2),
      max: round(tally.latency.maxMs, 2),
    },
    partitions: (run.dryRun ? [] : tally.partitions).map(({ topic, partition, records, firstOffset, lastOffset }) => ({
      topic,
      partition,
      records,
      firstOffset: offset(firstOffset),
      lastOffset: offset(lastOffset),
    })),
    errors: tally.failures.map(({ code, message, records }) => ({ code, message, records })),
    interrupted: run.interrupted,
    ...run.dryRun ? { dryRun: true } : {},
  };
}

/** The summary as text, for people. */
export function formatSummary(summary: ProduceSummary): string {
  const { records, topic, bytes, seconds } = summary;
  const what = `${formatRecords(records)} (${formatBytes(bytes)})`;
  const where = topic === null ? "" : ` to ${excerpt(topic)}`;
  if (summary.dryRun) {
    return `${summary.interrupted ? "Interrupted: read" : "Read"} ${what}, and sent none of them${where}: a dry run\n`;
  }
  const lines = [
    `${summary.interrupted ? "Interrupted: delivered" : "Delivered"} ${what}${where} in ${seconds.toFixed(2)} s: ` +
    `${formatRecords(summary.recordsPerSecond)}/s, ${formatBytes(summary.bytesPerSecond)}/s`,
  ];
  if (summary.failed > 0) {
    const possibly = summary.possiblyPersisted;
    const note = possibly === 0 ? "" : `, ${formatCount(possibly)} of them possibly in the log`;
    lines.push(`  not delivered ${formatCount(summary.failed)}${note}`);
  }
  const traffic = trafficLine(summary);
  if (traffic !== "") lines.push(`  ${traffic}`);
  if (records > 0) {
    const { p50, p99, max } = summary.latencyMs;
    lines.push(`  latency p50 ${formatMs(p50)}, p99 ${formatMs(p99)}, max ${formatMs(max)}`);
    lines.push(...partitionTable(summary));
  }
  return `${lines.join("\n")}\n`;
}

function trafficLine({ batches, requests, retries, records, compression, compressionRatio }: ProduceSummary): string {
  const parts: string[] = [];
  if (batches !== null && batches > 0) {
    const mean = records / batches;
    const each = formatRecords(round(mean, mean < 10 ? 1 : 0));
    parts.push(`${formatCount(batches)} ${batches === 1 ? "batch" : "batches"} of ${each} on average`);
  }
  if (requests !== null && requests > 0) {
    parts.push(`${formatCount(requests)} ${requests === 1 ? "request" : "requests"}`);
  }
  if (retries !== null && retries > 0) parts.push(`${formatCount(retries)} ${retries === 1 ? "retry" : "retries"}`);
  if (compressionRatio !== null && compression !== "none") {
    parts.push(`${excerpt(compression)} to ${(compressionRatio * 100).toFixed(1)} % of the size`);
  }
  return parts.join(", ");
}

/** Topics are told where each record had its own. */
function partitionTable({ topic: ofAll, partitions }: ProduceSummary): string[] {
  const named = (topic: string): string[] => ofAll === null ? [topic] : [];
  const rows = partitions.map(({ topic, partition, records, firstOffset, lastOffset }) => [
    ...named(excerpt(topic)),
    String(partition),
    formatCount(records),
    firstOffset === null ? "unknown" : `${firstOffset} to ${lastOffset}`,
  ]);
  return formatTable([[...named("topic"), "partition", "records", "offsets"], ...rows]).map((line) => `  ${line}`);
}

/** Lines of columns: the last column to the left, all others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => column === row.length - 1 ? cell : cell.padStart(widths[column]!)).join("  ").trimEnd()
  );
}

/** So many records. */
export function formatRecords(count: number): string {
  return `${formatCount(count)} ${count === 1 ? "record" : "records"}`;
}

/** `1234567` as `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Bytes in the unit that leaves one to three digits: B, kB, MB, GB (powers of 1000). */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 999.5) return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} GB`;
}

function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
