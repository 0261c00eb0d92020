/**
 * Counts what becomes of the records of one run.
 *
 * @module
 */

import { reasonOf } from "../show.ts";
import { Histogram } from "./histogram.ts";

/** What a delivery tells. */
export interface Delivery {
  /** The topic that the record went to. */
  readonly topic: string;
  /** The partition that the record went to. */
  readonly partition: number;
  /** Its offset; −1n when the broker was not asked. */
  readonly offset: bigint;
  /** Its time, in ms since 1970. */
  readonly timestamp?: number;
}

/** What went to one partition. */
export interface PartitionTally {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** Records delivered. */
  records: number;
  /** The lowest offset; −1n when none is known. */
  firstOffset: bigint;
  /** The highest offset; −1n when none is known. */
  lastOffset: bigint;
}

/** Failures of one kind. */
export interface FailureTally {
  /** The error's code. */
  readonly code: string;
  /** The first message of this kind. */
  readonly message: string;
  /** How many records failed so. */
  records: number;
  /** How many of them may be in the log all the same. */
  possiblyPersisted: number;
}

/** The running totals of one run. */
export class Tally {
  /** Records handed to the producer. */
  taken = 0;
  /** Records acknowledged. */
  delivered = 0;
  /** Bytes of keys, values and headers of the acknowledged records. */
  deliveredBytes = 0;
  /** Records that will not be delivered. */
  failed = 0;
  /** From handing over to the acknowledgement. */
  readonly latency: Histogram = new Histogram();
  readonly #topics = new Map<string, Map<number, PartitionTally>>();
  readonly #failures = new Map<string, FailureTally>();

  /** Records whose outcome isn't known yet. */
  get pending(): number {
    return this.taken - this.delivered - this.failed;
  }

  /** What each partition got, by topic and number. */
  get partitions(): readonly PartitionTally[] {
    const names = [...this.#topics.keys()].sort();
    return names.flatMap((topic) => {
      return [...this.#topics.get(topic)!.values()].sort((left, right) => left.partition - right.partition);
    });
  }

  /** The kinds of failure, the first one first. */
  get failures(): readonly FailureTally[] {
    return [...this.#failures.values()];
  }

  /** Counts an acknowledged record. */
  deliver({ topic, partition, offset }: Delivery, bytes: number, latencyMs: number): void {
    this.delivered++;
    this.deliveredBytes += bytes;
    this.latency.record(latencyMs);
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) this.#topics.set(topic, partitions = new Map());
    let of = partitions.get(partition);
    if (of === undefined) {
      of = { topic, partition, records: 0, firstOffset: -1n, lastOffset: -1n };
      partitions.set(partition, of);
    }
    of.records++;
    if (offset < 0n) return;
    if (of.firstOffset < 0n || offset < of.firstOffset) of.firstOffset = offset;
    if (offset > of.lastOffset) of.lastOffset = offset;
  }

  /** Counts a record that failed. */
  fail(error: unknown): void {
    this.failed++;
    const { code = "ERROR", message = reasonOf(error), persisted } = error as Partial<FailureTally & Persisted>;
    let of = this.#failures.get(code);
    if (of === undefined) {
      of = { code, message, records: 0, possiblyPersisted: 0 };
      this.#failures.set(code, of);
    }
    of.records++;
    if (persisted === "possibly") of.possiblyPersisted++;
  }
}

interface Persisted {
  readonly persisted: string;
}
