/**
 * One topic with its partitions' queues, and the sends that wait until it is known.
 *
 * @module
 */

import type { TopicMetadata } from "../../cluster/metadata.ts";
import type { Compressor } from "../../codec/codec.ts";
import type { StickyPartition, StickyTopic } from "../record/sticky_partition.ts";
import { type DueListener, Partition } from "./partition.ts";
import { OPEN } from "./phase.ts";
import { Topic } from "./topic.ts";

/** Something that waits for a topic's metadata. */
export interface TopicWaiter {
  /** It has its outcome for another reason (timed out, closed). */
  readonly gone: boolean;
  /** Looks at the topic again. True if it need not wait any more. */
  onTopic(topic: TopicQueues): boolean;
}

/** A topic and what is to be sent to it. */
export class TopicQueues extends Topic implements StickyTopic {
  /** Where records without a key go. */
  readonly sticky: StickyPartition;
  /** Sends that wait for metadata, in the order of the calls. */
  waiters: TopicWaiter[] = [];
  /** Partitions that waiting sends ask for and that the topic isn't known to have. */
  readonly lookedFor: number[] = [];

  readonly #partitions: (Partition | undefined)[] = [];
  #queues = 0;
  readonly #schedule: DueListener;

  /** Makes a topic without queues; what falls due in a queue goes to the schedule. */
  constructor(
    name: string,
    metadata: TopicMetadata,
    codec: Compressor | undefined,
    batchSizeCap: number,
    sticky: StickyPartition,
    schedule: DueListener,
  ) {
    super(name, metadata, codec, batchSizeCap);
    this.sticky = sticky;
    this.#schedule = schedule;
  }

  /** The queue of a partition. */
  partition(index: number): Partition {
    return this.#partitions[index] ?? this.#newPartition(index);
  }

  isFull(partition: number, batchSize: number): boolean {
    const last = this.#partitions[partition]?.queue.at(-1);
    return last === undefined || last.phase !== OPEN || last.length >= batchSize;
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
    return this.#partitions[index] = new Partition(this, index, this.#schedule);
  }
}
