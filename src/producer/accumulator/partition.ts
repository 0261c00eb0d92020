/**
 * One partition of a topic, as the producer sees it: what waits, what is in flight, and what may go next.
 *
 * @module
 */

import { isUsable, NO_LEADER, type PartitionMetadata } from "../../cluster/metadata.ts";
import type { KafkaError } from "../../errors.ts";
import type { Entry } from "./agenda.ts";
import type { Batch, Place } from "./batch.ts";
import { CLOSED, DONE, IN_FLIGHT, OPEN, PROBED, READY } from "./phase.ts";
import { PartitionSequence } from "../idempotence/partition_sequence.ts";
import type { Topic, TopicGap } from "./topic.ts";

/** Up to where records may not be sent, because one before them failed (`gapless`). */
export interface Gap extends TopicGap {
  /** Batches that were drained first have ordinals below this. */
  readonly ordinal: number;
}

/** Hears when something of a partition falls due. */
export interface DueListener {
  onDue(partition: Partition): void;
}

/** A batch of a partition that is at hand. */
export type QueuedBatch = Batch<Partition>;

/** A partition's queue. Its sequence state lives as long as the producer (H5). */
export class Partition implements Entry, Place {
  readonly topic: Topic;
  readonly index: number;
  /** To be sent, in order: batches to be sent again, then new ones, the last of them open. */
  readonly queue: QueuedBatch[] = listOfOne();
  /** Sent and not answered, told or not. */
  readonly inFlight: QueuedBatch[] = listOfOne();
  /**
   * Out of the queue while a later batch is sent as a probe: if the broker knows the later one, these are in the log too.
   */
  #probed: QueuedBatch[] = [];
  /** Drained and not told yet, in the order of the first drain. */
  readonly incomplete: QueuedBatch[] = listOfOne();
  /** Sequence numbers. */
  readonly sequence: PartitionSequence = new PartitionSequence();
  /** True while it is on the list of a broker. Set by the schedule, cleared where the sender takes it off. */
  scheduled = false;
  /** End of a backoff on the monotonic clock. */
  notBeforeMs = 0;
  /** A retry waits until metadata has been refreshed. Set by the schedule, cleared with the refresh. */
  awaitingMetadata = false;
  /** Whom the batches in flight were sent to. */
  sentTo: PartitionMetadata = NO_LEADER;
  /** Set by the last failure of a record when nothing may be sent behind it (`gapless`). */
  gap: Gap | undefined;
  /** The first offset of the log, as the leader has said last; −1n unless it has. */
  logStartOffset = -1n;
  /**
   * A guess at the size of the next batch: that of the larger of the last two. The records of one turn leave full ones and
   * then a rest, and a buffer that has the size of the rest would be copied to a larger one again and again.
   */
  sizeHint = 1_024;
  heapIndex = -1;
  dueMs = 0;

  readonly #listener: DueListener;
  #ordinal = 0;
  #lastSize = 0;

  /** Makes an empty queue; the listener hears when something falls due (linger, backoff, delivery timeout). */
  constructor(topic: Topic, index: number, listener: DueListener) {
    this.topic = topic;
    this.index = index;
    this.#listener = listener;
  }

  onDue(): void {
    this.#listener.onDue(this);
  }

  /** The batch that takes records; undefined if the next record opens one. */
  get open(): QueuedBatch | undefined {
    const { queue } = this;
    // Not the one at −1: a list that was asked for that once is read in the engine's slowest way from then on.
    if (queue.length === 0) return undefined;
    const last = queue[queue.length - 1]!;
    return last.phase === OPEN ? last : undefined;
  }

  /** The leader, as far as it is known. */
  get leader(): PartitionMetadata | undefined {
    const { metadata } = this.topic;
    if (!isUsable(metadata)) return undefined;
    const leader = metadata.partitions[this.index];
    return leader === undefined || leader.leaderId < 0 ? undefined : leader;
  }

  /** True when the topic is known and has no such partition any more. */
  get isGone(): boolean {
    const { metadata } = this.topic;
    return isUsable(metadata) && this.index >= metadata.partitions.length;
  }

  /** True while any record has no outcome. */
  get busy(): boolean {
    return this.queue.length > 0 || this.incomplete.length > 0;
  }

  /** Batches that were drained since the oldest one without an answer, that one included; 0 if all are answered. */
  get span(): number {
    // By place, not by count: while the oldest is sent again and again, the batches behind it must not push it out of the
    // broker's memory, or its next attempt would look like a gap. (The halves of a split batch have fractional ordinals.)
    const [oldest] = this.inFlight;
    return oldest === undefined ? 0 : this.#ordinal - Math.floor(oldest.ordinal);
  }

  /** True while a batch that was drained before this one is in flight or waits to be sent again. */
  hasEarlier(batch: QueuedBatch): boolean {
    const isEarlier = (other: QueuedBatch): boolean => other.drained && other.ordinal < batch.ordinal;
    return this.inFlight.some(isEarlier) || this.queue.some(isEarlier);
  }

  /**
   * Takes the first batch out of the queue to be sent. On its first drain, and never again, it gets its place in the
   * order and (idempotent) its sequences.
   */
  take(leader: PartitionMetadata, stamps: boolean): QueuedBatch {
    const batch = takeFirst(this.queue);
    if (!batch.drained) {
      batch.ordinal = this.#ordinal++;
      if (stamps) batch.setStamp(this.sequence.stamp(batch.recordCount));
      this.incomplete.push(batch);
    }
    batch.transition(IN_FLIGHT);
    this.sizeHint = Math.max(batch.length, this.#lastSize);
    this.#lastSize = batch.length;
    batch.sentUnder = this.topic.metadata.topicId;
    this.inFlight.push(batch);
    this.sentTo = leader;
    return batch;
  }

  /** When the first batch falls due that doesn't wait for its outcome beyond its deadline; Infinity if none does. */
  get nextDeadlineMs(): number {
    let dueMs = Infinity;
    for (const batches of [this.incomplete, this.queue]) {
      for (const { deadlineMs, outcome } of batches) if (outcome === undefined) dueMs = Math.min(dueMs, deadlineMs);
    }
    return dueMs;
  }

  /** True when this broker owes answers for the partition, and another one has been elected to lead it. */
  isOvertaken(nodeId: number): boolean {
    if (this.inFlight.length === 0 || this.sentTo.leaderId !== nodeId) return false;
    const leader = this.topic.metadata.partitions[this.index];
    if (leader === undefined || leader.leaderId < 0 || leader.leaderId === nodeId) return false;
    return leader.leaderEpoch > this.sentTo.leaderEpoch || leader.leaderEpoch < 0;
  }

  /** Takes an answered or lost batch off the list of those in flight, for good. */
  removeInFlight(batch: QueuedBatch): undefined {
    if (batch.phase !== IN_FLIGHT) return;
    this.#leaveInFlight(batch);
    batch.transition(DONE);
  }

  #leaveInFlight(batch: QueuedBatch): void {
    const at = this.inFlight.indexOf(batch);
    // Answers come in order, and a splice makes an array of what it takes out.
    if (at === 0) takeFirst(this.inFlight);
    else if (at > 0) this.inFlight.splice(at, 1);
  }

  /** Puts an answered, lost or probed batch back to be sent again: before all new ones, in the order of their sequences. */
  putBack(batch: QueuedBatch): void {
    if (batch.phase === IN_FLIGHT) this.#leaveInFlight(batch);
    batch.transition(batch.wire === undefined ? CLOSED : READY);
    this.#enqueue(batch);
  }

  #enqueue(batch: QueuedBatch): void {
    let at = 0;
    while (at < this.queue.length && this.queue[at]!.drained && this.queue[at]!.ordinal < batch.ordinal) at++;
    this.queue.splice(at, 0, batch);
  }

  /** True if the first batch of the queue may be in the log, and no batch of it in an older topic of the same name. */
  get canProbe(): boolean {
    const [next] = this.queue;
    if (next === undefined || !next.drained || next.persisted === "no") return false;
    return !this.queue.some(({ mayBeInOlderTopic }) => mayBeInOlderTopic);
  }

  /**
   * Keeps a batch out of the queue while a later one is sent as a probe. A broker that has started again knows only the
   * last batch of a producer: an earlier one is no duplicate to it. If it knows the later one, both are in the log.
   */
  awaitProbe(batch: QueuedBatch): undefined {
    this.#leaveInFlight(batch);
    batch.transition(PROBED);
    this.#probed.push(batch);
  }

  /** True while a batch is sent as a probe for earlier ones. */
  get isProbing(): boolean {
    return this.#probed.length > 0;
  }

  /** The probe has told nothing of those that wait for it: they are sent again. */
  requeueProbed(): void {
    for (const batch of this.#probed.splice(0)) this.putBack(batch);
  }

  /** Puts the halves of the first batch of the queue in its place. */
  divide(batch: QueuedBatch, parts: readonly QueuedBatch[]): void {
    this.queue.splice(0, 1, ...parts);
    batch.transition(DONE);
    if (batch.drained) this.incomplete.splice(this.incomplete.indexOf(batch), 1, ...parts);
  }

  /** Puts the halves of a split batch in its place. */
  replace(batch: QueuedBatch, parts: readonly QueuedBatch[]): void {
    this.incomplete.splice(this.incomplete.indexOf(batch), 1, ...parts);
    for (const part of parts) this.#enqueue(part);
  }

  /**
   * A record has failed, and what was handed over behind it must not be sent, unless it may be in the log already: then its
   * sequence keeps it out if it isn't. Not so the second half of a batch in doubt, whose first half has failed: a broker
   * that has taken nothing of this epoch takes any first sequence.
   */
  openGap(cause: KafkaError, lastWaiting: number): QueuedBatch[] {
    this.gap = { ordinal: this.#ordinal, lastWaiting, cause };
    for (const batch of this.queue) batch.close();
    return this.queue.filter(({ dividedInDoubt, persisted }) => dividedInDoubt || persisted === "no");
  }

  /** Takes a batch out of the queue, for good. */
  removeFromQueue(batch: QueuedBatch): void {
    this.requeueProbed();
    const at = this.queue.indexOf(batch);
    if (at < 0) return;
    this.queue.splice(at, 1);
    batch.transition(DONE);
  }
}

/**
 * An empty list with room for one. A partition's lists are mostly that short, and with many partitions most of what a
 * batch takes would be room for the seventeen that the engine makes at the first push.
 */
function listOfOne<T>(): T[] {
  const list: (T | undefined)[] = [undefined];
  list.pop();
  return list as T[];
}

/** Takes out the first. Of one alone by `pop`, which leaves the list its room. */
export function takeFirst<T>(list: T[]): T {
  return (list.length === 1 ? list.pop() : list.shift()) as T;
}
