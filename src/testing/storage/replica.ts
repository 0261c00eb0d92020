/**
 * One broker's copy of a partition: its log, what it remembers of producers, and how far it knows it to be safe.
 *
 * @module
 */

import type { Timer } from "../../runtime/runtime.ts";
import type { AppendOptions, StoredBatch } from "./log.ts";
import { PartitionLog } from "./log.ts";
import type { BatchView } from "./batch_view.ts";
import { ProducerState } from "./producer_state.ts";
import { FirstAttempts } from "./first_attempts.ts";
import { TransactionLog } from "./transaction_log.ts";
import type { TopicRules } from "./topic_config.ts";

/** Who leads a partition, and who keeps up. */
export interface PartitionState {
  /** The broker that takes writes, -1 if there is none. */
  readonly leaderId: number;
  /** Grows with every election. */
  readonly leaderEpoch: number;
  /** Grows with every decision: of two states the one with the higher number is the newer one. */
  readonly partitionEpoch: number;
  /** The brokers that keep up with the leader. */
  readonly isr: readonly number[];
  /** The brokers that hold it. */
  readonly replicas: readonly number[];
}

/** The partition that replicas are copies of, as far as they and what moves them need it. */
export interface ReplicatedPartition {
  /** Its number. */
  readonly index: number;
  /** `topic-partition`, as Kafka writes it. */
  readonly name: string;
  /** The topic that it belongs to. */
  readonly topic: { readonly name: string; readonly rules: TopicRules };
  /** What the controller has decided last. */
  readonly state: PartitionState;
  /** The copy that a broker holds. */
  replica(brokerId: number): Replica | undefined;
  /** @internal Whether a test keeps this replica from copying. */
  isHeldBack(brokerId: number): boolean;
  /** @internal Notes what the controller decides. */
  decide(change: Partial<Omit<PartitionState, "partitionEpoch">>): void;
}

/** How far a follower has come, as its leader knows. */
export interface FollowerProgress {
  /** The follower's end offset; -1 until it has fetched from this leader in this epoch. */
  endOffset: bigint;
  /** The fetch that is under way. */
  fetch: Timer | undefined;
  /** Whether the last fetch took no time, so that it also learns the high watermark at once. */
  isPrompt: boolean;
  /** Runs while it is behind and can't catch up; then it leaves the ISR. */
  patience: Timer | undefined;
}

/** What a replica does: it leads, it follows, or its broker is down or the topic is gone. */
export type ReplicaRole = "leader" | "follower" | "offline";

/** One replica. */
export class Replica {
  /** The partition that it is a copy of. */
  readonly partition: ReplicatedPartition;
  /** The broker that holds it. */
  readonly brokerId: number;
  /** Its batches, on its own disk: they outlive the broker's death. */
  readonly log: PartitionLog = new PartitionLog();
  /** What it remembers of idempotent producers. */
  readonly producers: ProducerState;
  /** @internal With which sequences producers have tried to begin a transaction, while it leads. */
  readonly firstAttempts: FirstAttempts = new FirstAttempts();
  /** What it knows of transactions. */
  readonly transactions: TransactionLog = new TransactionLog();
  /** @internal How far each follower has come; of no meaning unless it leads. */
  readonly followers: Map<number, FollowerProgress> = new Map();
  readonly #watchers = new Set<() => void>();
  #state: PartitionState;
  #role: ReplicaRole = "offline";
  #highWatermark = 0n;
  #epochStartOffset = 0n;
  #agreedEpoch = -1;

  /** @internal */
  constructor(partition: ReplicatedPartition, brokerId: number, state: PartitionState, producerIdExpirationMs: number) {
    this.partition = partition;
    this.brokerId = brokerId;
    this.producers = new ProducerState(producerIdExpirationMs);
    this.#state = state;
  }

  /** What its broker knows of leader and ISR. */
  get state(): PartitionState {
    return this.#state;
  }

  /** What it does at present. */
  get role(): ReplicaRole {
    return this.#role;
  }

  /** Whether it takes itself for the leader, rightly or not. */
  get isLeader(): boolean {
    return this.#role === "leader";
  }

  /** The offset up to which all of the ISR have it, as far as this replica knows; consumers read to here. */
  get highWatermark(): bigint {
    return this.#highWatermark;
  }

  /** The offset up to which every transaction is decided; who wants only what was committed reads to here. */
  get lastStableOffset(): bigint {
    return this.transactions.lastStableOffset(this.#highWatermark);
  }

  /** Where its leadership began; until the high watermark has come there, latest offsets are not told. */
  get epochStartOffset(): bigint {
    return this.#epochStartOffset;
  }

  /** Calls back when the high watermark or the role changes, until the returned call. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** @internal Appends as the leader. */
  append(batch: BatchView, options: AppendOptions): StoredBatch {
    const stored = this.log.append(batch, options);
    this.#remember(stored);
    return stored;
  }

  /** @internal Takes note of an election or another ISR; says whether the role or the epoch is new. */
  learn(news: PartitionState): boolean {
    // What the leader has from the controller's own answer is newer than news that was on its way by then.
    const state = news.partitionEpoch < this.#state.partitionEpoch ? this.#state : news;
    const isNew = this.#role === "offline" || this.#state.leaderEpoch !== state.leaderEpoch;
    this.#state = state;
    if (state.leaderId !== this.brokerId) {
      this.#become("follower");
    } else if (isNew) {
      this.#forgetFollowers();
      for (const id of state.replicas) if (id !== this.brokerId) this.followers.set(id, newProgress());
      this.#epochStartOffset = this.log.endOffset;
      this.#become("leader");
    }
    if (this.isLeader) this.advance();
    return isNew;
  }

  /** @internal The broker is down, or the topic is no more. */
  goOffline(): void {
    this.#become("offline");
  }

  /** @internal Moves the high watermark to what the whole ISR has, if the ISR is large enough. */
  advance(): void {
    const { isr, replicas } = this.#state;
    const needed = Math.min(this.partition.topic.rules.minInsyncReplicas, replicas.length);
    if (isr.length < needed) return;
    let safe = this.log.endOffset;
    for (const id of isr) {
      if (id === this.brokerId) continue;
      const endOffset = this.followers.get(id)?.endOffset ?? -1n;
      if (endOffset < safe) safe = endOffset;
    }
    if (safe <= this.#highWatermark) return;
    this.#highWatermark = safe;
    this.#notify();
  }

  /** @internal Copies from the leader what is missing; before the first copy of an epoch what differs is cut off. */
  follow(leader: Replica): void {
    const { leaderEpoch } = this.#state;
    if (this.#agreedEpoch !== leaderEpoch) {
      const agreed = this.log.agreedOffset(leader.log);
      if (agreed !== this.log.endOffset) this.#truncateTo(agreed);
      this.#agreedEpoch = leaderEpoch;
    }
    for (const batch of this.log.copyFrom(leader.log)) this.#remember(batch);
    this.learnHighWatermark(leader);
  }

  /** @internal The leader's answer tells its high watermark. */
  learnHighWatermark(leader: Replica): void {
    const { endOffset } = this.log;
    this.#highWatermark = leader.#highWatermark < endOffset ? leader.#highWatermark : endOffset;
  }

  #truncateTo(offset: bigint): void {
    this.log.truncateTo(offset);
    this.producers.rebuild(offset, this.log.batches);
    this.transactions.truncateTo(offset);
  }

  #remember(batch: StoredBatch): void {
    const { sequenced, transactional, baseOffset, maxTimestampMs, appendedAtMs } = batch;
    this.transactions.record(batch);
    if (transactional !== undefined && transactional.kind !== "records") {
      this.producers.mark(transactional.producerId, transactional.epoch, appendedAtMs);
    }
    if (sequenced === undefined) return;
    const { firstSequence, lastSequence } = sequenced;
    this.producers.record(sequenced, { firstSequence, lastSequence, baseOffset, maxTimestampMs, appendedAtMs });
  }

  #become(role: ReplicaRole): void {
    if (role !== "leader") {
      this.#forgetFollowers();
      this.firstAttempts.clear();
    }
    if (role === "offline") this.#agreedEpoch = -1;
    const changed = role !== this.#role;
    this.#role = role;
    if (changed) this.#notify();
  }

  #forgetFollowers(): void {
    for (const { fetch, patience } of this.followers.values()) {
      fetch?.cancel();
      patience?.cancel();
    }
    this.followers.clear();
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function newProgress(): FollowerProgress {
  return { endOffset: -1n, fetch: undefined, isPrompt: false, patience: undefined };
}
