/**
 * What a reader hands out.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";

/** The end of a transaction as it stands in a partition's log. */
export interface ControlMarker {
  /** How the transaction ended. */
  readonly type: "commit" | "abort";
  /** Whose transaction it was. */
  readonly producerId: bigint;
  /** The epoch of the producer. */
  readonly producerEpoch: number;
}

/** A record as it stands in the log. */
export interface ReadRecord {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset in the log. */
  readonly offset: bigint;
  /** Ms since the epoch: the producer's time, or the broker's on a topic with LogAppendTime. */
  readonly timestamp: number;
  /** The key's bytes, or null. */
  readonly key: Uint8Array | null;
  /** The value's bytes, or null. */
  readonly value: Uint8Array | null;
  /** Name and value in their order, repeats kept. */
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
  /** The end of a transaction, with `controlRecords: true`; undefined for data. */
  readonly control?: ControlMarker;
}

/** Records of one partition that came together. */
export interface ReadBatch {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The records in their order; empty for a batch that is filtered out whole. */
  readonly records: readonly ReadRecord[];
  /** The offset behind the batch: where to go on, and what to commit. */
  readonly nextOffset: bigint;
  /** The epoch of the leader that appended the batch (KIP-320); −1 if unknown. */
  readonly leaderEpoch: number;
  /** The offset behind the last record that all replicas in sync have, as the broker said with this batch. */
  readonly highWatermark: bigint;
}

/** A partition of a topic. */
export interface TopicPartition {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
}

/** What a partition is kept under. */
export function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition} ${topic}`;
}

/** An offset of a partition; always that of the next record to read. */
export interface TopicPartitionOffset extends TopicPartition {
  /** The offset. */
  readonly offset: bigint;
  /**
   * The epoch of the leader that appended the record before it; left out where that isn't known. Committed with the
   * offset, it tells whoever goes on there whether that record was lost in an unclean election (KIP-320).
   *
   * @default what this reader has read, when an offset is committed
   */
  readonly leaderEpoch?: number | undefined;
}

/** That a reader goes on elsewhere, because the place where it was isn't in the log any more. */
export interface OffsetReset extends TopicPartition {
  /** The offset that was to be read next. */
  readonly from: bigint;
  /** Where it goes on: at an end of the log as `onMissingOffset` says, or at the offset where the log was cut off. */
  readonly to: bigint | "beginning" | "end";
  /**
   * What has happened: code `OFFSET_OUT_OF_RANGE` when retention has overtaken the reader, `LOG_TRUNCATED` when an unclean
   * election has lost what was read, or the topic was deleted and made anew.
   */
  readonly reason: KafkaError;
}

/** Where to begin: an offset, the ends of the log, or the first record from a time on (ms since the epoch). */
export type Position = bigint | "beginning" | "end" | { readonly timestamp: number };

/** A partition, and where to begin. */
export interface Assignment extends TopicPartition {
  /** Where to begin. @default the reader's `onMissingOffset`, or "beginning" where that is "fail" */
  readonly start?: Position | undefined;
  /** With an offset as `start`: what {@link TopicPartitionOffset.leaderEpoch} tells of it, as `committed()` returns it. */
  readonly leaderEpoch?: number | undefined;
}
