/**
 * One topic, as the producer sees it: its partitions, its codec, and who waits until it is known.
 *
 * @module
 */

import type { PartitionMetadata, TopicMetadata } from "../../cluster/metadata.ts";
import type { Compressor } from "../../codec/codec.ts";
import type { KafkaError } from "../../errors.ts";
import { Partition } from "./partition.ts";
import type { StickyPartition, StickyTopic } from "../record/sticky_partition.ts";

/** Somebody who waits for a topic's metadata. */
export interface TopicWaiter {
  /** It has its outcome for another reason (timed out, closed). */
  readonly gone: boolean;
  /** Looks at the topic again. True if it need not wait any more. */
  onTopic(topic: Topic): boolean;
}

/** Up to where records that wait may not be sent, because one before them failed (`gapless`). */
export interface TopicGap {
  /** Sends that waited for memory or metadata have ordinals up to this. */
  readonly lastPending: number;
  /** Why the record failed. */
  readonly cause: KafkaError;
}

/** A topic that records were sent to. */
export class Topic implements StickyTopic {
  readonly name: string;
  /** Codec of its batches; undefined for none. */
  readonly codec: Compressor | undefined;
  /** Where records without a key go. */
  readonly sticky: StickyPartition;
  /** A batch doesn't grow beyond so many bytes, unless its only record does. Less once the broker has refused one. */
  batchSizeCap: number;
  /** Whether the broker sets timestamps, by the answers to first attempts; undefined before. */
  usesLogAppendTime: boolean | undefined;
  /** How often in a row the metadata said that there is no such topic. */
  unknownAnswers = 0;
  /** Sends that wait for metadata, in the order of the calls. */
  waiters: TopicWaiter[] = [];
  /** Set when a send failed that waited: nobody knows its partition, so it is a gap in all of them. */
  gap: TopicGap | undefined;
  /** What the cluster knows of it; replaced when the cluster forgot and learnt it again. */
  metadata: TopicMetadata;

  readonly #partitions: (Partition | undefined)[] = [];
  #queues = 0;
  readonly #onDue: (partition: Partition) => void;
  #available: readonly number[] = [];
  #availableFrom: readonly PartitionMetadata[] | undefined;

  /** Makes a topic without partitions. */
  constructor(
    name: string,
    metadata: TopicMetadata,
    codec: Compressor | undefined,
    batchSizeCap: number,
    sticky: StickyPartition,
    onDue: (partition: Partition) => void,
  ) {
    this.name = name;
    this.metadata = metadata;
    this.codec = codec;
    this.batchSizeCap = batchSizeCap;
    this.sticky = sticky;
    this.#onDue = onDue;
  }

  /** The partitions that have queues. */
  partitions(): Partition[] {
    return this.#partitions.filter((partition) => partition !== undefined);
  }

  /** The queue of a partition. */
  partition(index: number): Partition {
    return this.#partitions[index] ?? this.#newPartition(index);
  }

  /** How many partitions the topic has, those without a leader and those without a queue included. */
  get partitionCount(): number {
    return this.metadata.partitions.length;
  }

  /** Partitions with a leader; all of them while none has one. */
  available(): readonly number[] {
    const { partitions } = this.metadata;
    if (this.#availableFrom !== partitions) {
      const led = partitions.flatMap(({ leaderId }, index) => leaderId >= 0 ? [index] : []);
      this.#available = led.length > 0 ? led : partitions.map((_, index) => index);
      this.#availableFrom = partitions;
    }
    return this.#available;
  }

  isFull(partition: number, batchSize: number): boolean {
    const last = this.#partitions[partition]?.queue.at(-1);
    return last === undefined || last.closed || last.length >= batchSize;
  }

  /** As KIP-794 has it, but for batches that grow while they wait: those count for as many as they could have been. */
  loads(batchSize: number): number[] | undefined {
    const available = this.available();
    const hasLeader = this.metadata.partitions[available[0] ?? 0]!.leaderId >= 0;
    if (this.#queues < this.partitionCount || !hasLeader) return undefined;
    return available.map((index) => {
      let batches = 0;
      for (const { length } of this.#partitions[index]?.queue ?? []) {
        batches += Math.max(1, Math.floor(length / batchSize));
      }
      return batches;
    });
  }

  /** True while any record of the topic has no outcome. */
  get busy(): boolean {
    return this.waiters.some((waiter) => !waiter.gone) ||
      this.#partitions.some((partition) => partition !== undefined && partition.busy);
  }

  #newPartition(index: number): Partition {
    this.#queues += 1;
    return this.#partitions[index] = new Partition(this, index, this.#onDue);
  }
}
