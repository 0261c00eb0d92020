/**
 * Finds the topic and the partition of a record.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import { isUsable } from "../../cluster/metadata.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { UNKNOWN_TOPIC_OR_PARTITION } from "../../protocol/error_code_names.ts";
import type { DueListener } from "../accumulator/partition.ts";
import { TopicQueues, type TopicWaiter } from "../accumulator/topic_queues.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { KeptRecord } from "../record/kept_record.ts";
import { partitionForKey } from "../record/murmur2.ts";
import { builtInPartitioner, type Partitioner, runPartitioner } from "../record/partitioner.ts";
import { checkTopicName } from "../record/record_encoder.ts";
import { StickyPartition } from "../record/sticky_partition.ts";
import { overheadBound } from "../sender/produce_request.ts";

/** Records of one call without a key go to one partition, up to this many bytes: seven small batches cost twice as much. */
const SAME_CALL_BYTES = 131_072;

/** Knows every topic that was sent to. */
export class Router {
  /** By name. */
  readonly topics: Map<string, TopicQueues> = new Map();
  /** True while a record is routed that was given in the same call as the one before it. */
  sameCall = false;
  /** The partitioner, if it is not the built-in one of records without a key. */
  readonly partitioner: Partitioner | undefined;

  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #schedule: DueListener;
  readonly #random: () => number;

  /** Knows no topic yet. */
  constructor(options: ResolvedOptions, cluster: Cluster, schedule: DueListener, random: () => number) {
    this.#options = options;
    this.#cluster = cluster;
    this.#schedule = schedule;
    this.#random = random;
    const { partitioner } = options;
    this.partitioner = typeof partitioner === "function" ? partitioner : builtInPartitioner(partitioner);
  }

  /** Gets the topic and puts it to use. */
  topic(name: string): TopicQueues {
    return this.topics.get(name) ?? this.#newTopic(name);
  }

  /** True when records of the topic can be routed, as far as the topic is concerned. */
  isKnown(topic: TopicQueues): boolean {
    if (topic.metadata.forgotten) topic.metadata = this.#cluster.use(topic.name);
    topic.metadata.touched = true;
    return isUsable(topic.metadata);
  }

  /** True when records of the topic can be routed and none waits in front. */
  isReady(topic: TopicQueues): boolean {
    const known = this.isKnown(topic);
    return known && topic.waiters.length === 0;
  }

  /** Counts answers that know no such topic, and lets the sends that wait look at fresh metadata. */
  onMetadata(): void {
    for (const topic of this.topics.values()) {
      if (topic.metadata.errorCode !== UNKNOWN_TOPIC_OR_PARTITION) topic.unknownAnswers = 0;
      else if (this.#cluster.lastError === undefined) topic.unknownAnswers += 1;
      if (topic.waiters.length === 0) continue;
      const still: TopicWaiter[] = [];
      // By index: a send that gets memory meanwhile is appended to this list, and must come after those before it.
      const before = topic.waiters.length;
      for (let at = 0; at < topic.waiters.length; at++) {
        const waiter = topic.waiters[at]!;
        // A waiter added by a callback during this loop is left for the next refresh; otherwise a resend in `onError`
        // would loop for ever.
        if (at >= before && !isUsable(topic.metadata)) {
          still.push(waiter);
          continue;
        }
        if (!waiter.gone && !waiter.onTopic(topic)) still.push(waiter);
      }
      topic.waiters = still;
    }
  }

  /** True while a send waits for metadata. */
  get wantsMetadata(): boolean {
    for (const topic of this.topics.values()) {
      if (topic.waiters.some((waiter) => !waiter.gone)) return true;
    }
    return false;
  }

  /** The record's partition; undefined if it asks for one that the topic isn't known to have. */
  choose(
    topic: TopicQueues,
    wanted: number | undefined,
    record: KeptRecord,
    bytes: RecordBytes,
  ): number | undefined {
    const partitionCount = topic.metadata.partitions.length;
    if (wanted !== undefined) {
      if (wanted >= partitionCount) return undefined;
      // A send that has looked for the partition already gets there first.
      return topic.lookedFor.includes(wanted) ? undefined : wanted;
    }
    if (this.partitioner !== undefined) return this.#ask(this.partitioner, topic, record, bytes);
    if (bytes.key !== null) return partitionForKey(bytes.key, bytes.keyLength, partitionCount);
    return topic.sticky.choose(topic, this.sameCall);
  }

  #ask(partitioner: Partitioner, topic: TopicQueues, record: KeptRecord, bytes: RecordBytes): number {
    return runPartitioner(partitioner, {
      topic: topic.name,
      key: record.key ?? null,
      keyBytes: bytes.key && bytes.key.subarray(0, bytes.keyLength),
      value: record.value,
      headers: record.headers,
      partitionCount: topic.metadata.partitions.length,
      get availablePartitions() {
        return topic.available();
      },
      sizeBytes: bytes.keyLength + bytes.valueLength,
      random: this.#random,
    });
  }

  #newTopic(name: string): TopicQueues {
    checkTopicName(name);
    const { batchSize, batchSizeCap, maxRequestSize, clientId, codecFor } = this.#options;
    const topic = new TopicQueues(
      name,
      this.#cluster.use(name),
      codecFor(name),
      // A batch of several records must fit into a request, together with what surrounds it there.
      Math.min(batchSizeCap, maxRequestSize - overheadBound(name, clientId)),
      new StickyPartition(batchSize, Math.min(batchSizeCap, SAME_CALL_BYTES), this.#random),
      this.#schedule,
    );
    this.topics.set(name, topic);
    return topic;
  }
}
