/**
 * Topics and partitions as the cluster knows them. Every replica of a partition shares one log here.
 *
 * @module
 */

import { PartitionLog } from "./log.ts";
import { ProducerState } from "./producer_state.ts";
import { type TopicConfig, type TopicRules, topicRules } from "./topic_config.ts";

/** A topic as it is asked for. */
export interface TopicSpec {
  /** How many partitions. @default 1 */
  readonly partitions?: number;
  /** On how many brokers each is. @default all, at most 3 */
  readonly replicationFactor?: number;
  /** Configs by Kafka's names. */
  readonly config?: TopicConfig;
  /** Its id, 32 hexadecimal digits. @default one that the cluster's seed gives */
  readonly id?: string;
}

/** One partition. */
export class Partition {
  /** The topic that it belongs to. */
  readonly topic: Topic;
  /** Its number. */
  readonly index: number;
  /** Its batches. */
  readonly log: PartitionLog = new PartitionLog();
  /** What is remembered of idempotent producers. */
  readonly producers: ProducerState = new ProducerState();
  /** The broker that takes writes, -1 if there is none. */
  leaderId: number;
  /** Grows with every change of the leader. */
  leaderEpoch = 0;
  /** The brokers that hold it. */
  replicas: readonly number[];
  /** Those of them that keep up. */
  isr: readonly number[];

  /** A partition led by the first of its replicas. */
  constructor(topic: Topic, index: number, replicas: readonly number[]) {
    this.topic = topic;
    this.index = index;
    this.replicas = replicas;
    this.isr = replicas;
    this.leaderId = replicas[0] ?? -1;
  }

  /** `topic-partition`, as Kafka writes it. */
  get name(): string {
    return `${this.topic.name}-${this.index}`;
  }

  /** Makes a broker the leader, in a new epoch. */
  lead(brokerId: number): void {
    if (brokerId >= 0 && !this.replicas.includes(brokerId)) this.replicas = [...this.replicas, brokerId];
    if (brokerId >= 0 && !this.isr.includes(brokerId)) this.isr = [...this.isr, brokerId];
    this.leaderId = brokerId;
    this.leaderEpoch++;
  }
}

/** One topic. */
export class Topic {
  /** Its name. */
  readonly name: string;
  /** Its id, 32 hexadecimal digits; a topic that is created again gets another. */
  readonly id: string;
  /** Its configs as they were given. */
  readonly config: TopicConfig;
  /** Its configs as the broker uses them. */
  readonly rules: TopicRules;
  /** Its partitions by number. */
  readonly partitions: Partition[] = [];

  /** A topic with the replicas of each partition. */
  constructor(name: string, id: string, config: TopicConfig, assignments: readonly (readonly number[])[]) {
    this.name = name;
    this.id = id;
    this.config = config;
    this.rules = topicRules(config);
    this.extend(assignments);
  }

  /** Adds partitions. */
  extend(assignments: readonly (readonly number[])[]): void {
    for (const replicas of assignments) this.partitions.push(new Partition(this, this.partitions.length, replicas));
  }
}

/** Whether Kafka takes this as a topic's name. */
export function isTopicName(name: string): boolean {
  return /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
}
