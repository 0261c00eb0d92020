/**
 * Topics and partitions as the controller knows them.
 *
 * @module
 */

import type { PartitionLog } from "../storage/log.ts";
import type { ProducerState } from "../storage/producer_state.ts";
import { type PartitionState, Replica, type ReplicatedPartition } from "../storage/replica.ts";
import type { Release } from "../broker/release.ts";
import { type TopicConfig, type TopicRules, topicRules } from "../storage/topic_config.ts";

/** A topic as it is asked for. */
export interface TopicSpec {
  /** How many partitions. @default 1 */
  readonly partitions?: number;
  /** On how many brokers each is. @default all, at most 3 */
  readonly replicationFactor?: number;
  /** The brokers of each partition, its leader first, in place of both numbers. @default as the controller likes */
  readonly assignments?: readonly (readonly number[])[];
  /** Configs by Kafka's names. */
  readonly config?: TopicConfig;
  /** Its id, 32 hexadecimal digits. @default one that the cluster's seed gives */
  readonly id?: string;
}

/** What a broker's own configs say about every topic. */
export interface TopicDefaults {
  /** `producer.id.expiration.ms`. */
  readonly producerIdExpirationMs: number;
  /** The release whose defaults hold. */
  readonly release: Release;
}

/** One partition: what the controller has decided about it, and its replicas. */
export class Partition implements ReplicatedPartition {
  /** The topic that it belongs to. */
  readonly topic: Topic;
  /** Its number. */
  readonly index: number;
  readonly #replicas = new Map<number, Replica>();
  readonly #producerIdExpirationMs: number;
  #state: PartitionState;
  #lastLeaderId: number;
  #heldBack: readonly number[] = [];

  /** @internal A partition led by the first of its replicas. */
  constructor(topic: Topic, index: number, replicas: readonly number[], producerIdExpirationMs: number) {
    this.topic = topic;
    this.index = index;
    this.#producerIdExpirationMs = producerIdExpirationMs;
    this.#lastLeaderId = replicas[0]!;
    this.#state = { leaderId: replicas[0]!, leaderEpoch: 0, partitionEpoch: 0, isr: replicas, replicas };
    this.#createReplicas();
  }

  /** `topic-partition`, as Kafka writes it. */
  get name(): string {
    return `${this.topic.name}-${this.index}`;
  }

  /** What the controller has decided last. */
  get state(): PartitionState {
    return this.#state;
  }

  /** The broker that takes writes, -1 if there is none. */
  get leaderId(): number {
    return this.#state.leaderId;
  }

  /** Grows with every election. */
  get leaderEpoch(): number {
    return this.#state.leaderEpoch;
  }

  /** The brokers that hold it. */
  get replicas(): readonly number[] {
    return this.#state.replicas;
  }

  /** Those of them that keep up. */
  get isr(): readonly number[] {
    return this.#state.isr;
  }

  /** The copy that a broker holds. */
  replica(brokerId: number): Replica | undefined {
    return this.#replicas.get(brokerId);
  }

  /** The leader's copy; while there is no leader, that of the last one. */
  get leader(): Replica {
    return this.#replicas.get(this.#lastLeaderId)!;
  }

  /** The leader's batches. */
  get log(): PartitionLog {
    return this.leader.log;
  }

  /** What the leader remembers of idempotent producers. */
  get producers(): ProducerState {
    return this.leader.producers;
  }

  /** The offset up to which consumers read. */
  get highWatermark(): bigint {
    return this.leader.highWatermark;
  }

  /** Drops the records before an offset, on all replicas, as far as they are replicated. */
  deleteBefore(offset: bigint): void {
    const { highWatermark, log } = this.leader;
    log.deleteBefore(offset < highWatermark ? offset : highWatermark);
    for (const replica of this.#replicas.values()) {
      replica.log.deleteBefore(log.startOffset);
      replica.transactions.deleteBefore(log.startOffset);
    }
  }

  /** All replicas forget a producer, or all of them, as `producer.id.expiration.ms` has it. */
  expireProducers(producerId?: bigint): void {
    for (const { producers } of this.#replicas.values()) producers.expire(producerId);
  }

  /** @internal Whether a test keeps this replica from copying. */
  isHeldBack(brokerId: number): boolean {
    return this.#heldBack.includes(brokerId);
  }

  /** @internal */
  holdBack(brokerIds: readonly number[]): void {
    this.#heldBack = brokerIds;
  }

  /** @internal Notes what the controller decides; brokers learn of it from the next view. */
  decide(change: Partial<Omit<PartitionState, "partitionEpoch">>): void {
    this.#state = { ...this.#state, ...change, partitionEpoch: this.#state.partitionEpoch + 1 };
    if (this.#state.leaderId >= 0) this.#lastLeaderId = this.#state.leaderId;
    this.#createReplicas();
  }

  #createReplicas(): void {
    for (const id of this.#state.replicas) {
      if (this.#replicas.has(id)) continue;
      this.#replicas.set(id, new Replica(this, id, this.#state, this.#producerIdExpirationMs));
    }
  }
}

/** One topic. */
export class Topic {
  /** Its name. */
  readonly name: string;
  /** Its id, 32 hexadecimal digits; a topic that is created again gets another. */
  readonly id: string;
  /** Its partitions by number. */
  readonly partitions: Partition[] = [];

  readonly #producerIdExpirationMs: number;
  readonly #release: Release;
  #config: TopicConfig;
  #rules: TopicRules;

  /** @internal A topic with the replicas of each partition. */
  constructor(
    name: string,
    id: string,
    config: TopicConfig,
    assignments: readonly (readonly number[])[],
    defaults: TopicDefaults,
  ) {
    this.name = name;
    this.id = id;
    this.#release = defaults.release;
    this.#config = config;
    this.#rules = topicRules(config, defaults.release);
    this.#producerIdExpirationMs = defaults.producerIdExpirationMs;
    this.extend(assignments);
  }

  /** Its configs as they were given. */
  get config(): TopicConfig {
    return this.#config;
  }

  /** Its configs as the broker uses them. */
  get rules(): TopicRules {
    return this.#rules;
  }

  /** Gives it other configs; all that isn't named falls back to its default. */
  configure(config: TopicConfig): void {
    this.#rules = topicRules(config, this.#release);
    this.#config = config;
    // What was not safe with the ISR that it had may be so now.
    for (const { leader } of this.partitions) if (leader.isLeader) leader.advance();
  }

  /** @internal Adds partitions. */
  extend(assignments: readonly (readonly number[])[]): Partition[] {
    const added = assignments.map((replicas, i) =>
      new Partition(this, this.partitions.length + i, replicas, this.#producerIdExpirationMs)
    );
    this.partitions.push(...added);
    return added;
  }
}

/** Whether Kafka takes this as a topic's name. */
export function isTopicName(name: unknown): name is string {
  return typeof name === "string" && /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
}
