/**
 * What is known of one topic: facts, and no queue.
 *
 * @module
 */

import type { PartitionMetadata, TopicMetadata } from "../../cluster/metadata.ts";
import type { Compressor } from "../../codec/codec.ts";
import type { KafkaError } from "../../errors.ts";

/** Up to where records that wait may not be sent, because one before them failed (`gapless`). */
export interface TopicGap {
  /** Sends that waited for memory or metadata have ordinals up to this. */
  readonly lastWaiting: number;
  /** Why the record failed. */
  readonly cause: KafkaError;
}

/** A topic that records were sent to. */
export class Topic {
  readonly name: string;
  /** Codec of its batches; undefined for none. */
  readonly codec: Compressor | undefined;
  /** A batch doesn't grow beyond this many bytes, unless its only record does. Less once the broker has refused one. */
  batchSizeCap: number;
  /** Whether the broker sets timestamps, by the answers to first attempts; undefined before. */
  usesLogAppendTime: boolean | undefined;
  /** How often in a row the metadata said that there is no such topic. */
  unknownAnswers = 0;
  /** Set when a send failed that waited: its partition isn't known, so it is a gap in all of them. */
  gap: TopicGap | undefined;
  /** What the cluster knows of it; replaced when the cluster forgot and learnt it again. */
  metadata: TopicMetadata;

  #available: readonly number[] = [];
  #availableFrom: readonly PartitionMetadata[] | undefined;

  /** Knows what the cluster knows. */
  constructor(name: string, metadata: TopicMetadata, codec: Compressor | undefined, batchSizeCap: number) {
    this.name = name;
    this.metadata = metadata;
    this.codec = codec;
    this.batchSizeCap = batchSizeCap;
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
}
