/**
 * What the controller has decided, as one broker knows it.
 *
 * A view never changes. Each broker holds one, and gets the next when the news has come to it; one that is cut off
 * goes on with the last.
 *
 * @module
 */

import type { PartitionState, ReplicatedPartition } from "../storage/replica.ts";
import type { Partition, Topic } from "./topic.ts";

/**
 * The cluster at one moment, as Metadata tells it.
 *
 * @example Answering with metadata of yesterday
 * ```ts
 * import { EmbeddedCluster, Metadata } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ brokers: 2, topics: { orders: 1 } });
 * const view = cluster.view;
 * cluster.moveLeader("orders", 0, 2);
 * cluster.control(Metadata, { view }, { times: 3 });
 * ```
 */
export class ClusterView {
  /** Counts the views. */
  readonly version: number;
  /** The brokers that are there, as the controller thinks. */
  readonly brokerIds: readonly number[];
  /** @internal What is new since the view before. */
  readonly changed: readonly ReplicatedPartition[];
  readonly #topics: ReadonlyMap<string, Topic>;
  readonly #topicsById: ReadonlyMap<string, Topic>;
  readonly #states: ReadonlyMap<ReplicatedPartition, PartitionState>;

  /** @internal */
  constructor(
    version: number,
    brokerIds: readonly number[],
    topics: ReadonlyMap<string, Topic>,
    changed: readonly ReplicatedPartition[],
  ) {
    this.version = version;
    this.brokerIds = brokerIds;
    this.changed = changed;
    this.#topics = new Map(topics);
    this.#topicsById = new Map([...topics.values()].map((topic) => [topic.id, topic]));
    const states = new Map<ReplicatedPartition, PartitionState>();
    for (const topic of topics.values()) {
      for (const partition of topic.partitions) states.set(partition, partition.state);
    }
    this.#states = states;
  }

  /** The topics, in the order of their creation. */
  get topics(): Iterable<Topic> {
    return this.#topics.values();
  }

  /** The topic of a name. */
  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** The topic of an id. */
  topicById(id: string): Topic | undefined {
    return this.#topicsById.get(id);
  }

  /** The partitions that a topic had then. */
  partitionsOf(topic: Topic): Partition[] {
    return topic.partitions.filter((partition) => this.#states.has(partition));
  }

  /** A partition's leader and replicas; undefined when it wasn't there. */
  stateOf(partition: ReplicatedPartition): PartitionState | undefined {
    return this.#states.get(partition);
  }

  /** All partitions. */
  get partitions(): Iterable<ReplicatedPartition> {
    return this.#states.keys();
  }
}
