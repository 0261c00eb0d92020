/**
 * One partition of a topic, as the producer sees it: what waits, what is in flight, and what may go next.
 *
 * @module
 */

import { isUsable, type PartitionMetadata } from "../../cluster/metadata.ts";
import type { KafkaError } from "../../errors.ts";
import type { Entry } from "./agenda.ts";
import type { Batch } from "./batch.ts";
import { PartitionSequence } from "../idempotence/partition_sequence.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Topic, TopicGap } from "./topic.ts";

/** Batches of a partition that a broker remembers of an idempotent producer. */
const BROKER_WINDOW = 5;

/** Why the first batch of a partition must wait. Each has one event that ends it. */
export type Gate =
  | "encoding" // a codec is at work
  | "backoff" // a retry is not due yet
  | "metadata" // a retry waits for a fresh look at who leads
  | "migration" // requests to the former leader are unanswered (H2)
  | "muted" // one at a time, and one is in flight
  | "window" // as many in flight as a broker remembers (I4)
  | "recovery" // a retry goes alone, in sequence order (I5)
  | "proof" // the leader has accepted nothing of this epoch yet (H1)
  | "unresolved" // an earlier batch may or may not be in the log (I7)
  | "identity" // there is no producer id yet, or the partition still finishes an older epoch (I1, I8)
  | "registration"; // the partition is not part of the transaction yet

/** Up to where records may not be sent, because one before them failed (`gapless`). */
export interface Gap extends TopicGap {
  /** Batches that were drained first have ordinals below this. */
  readonly ordinal: number;
}

/** A partition's queue. Its sequence state lives as long as the producer (hazard H5). */
export class Partition implements Entry {
  readonly topic: Topic;
  readonly index: number;
  /** To be sent, in order: batches to be sent again, then new ones, the last of them open. */
  readonly queue: Batch[] = [];
  /** Sent and not answered, told or not. */
  readonly inFlight: Batch[] = [];
  /** Taken out of the queue while a batch behind them is sent in their stead: its answer is theirs too. */
  #probed: Batch[] = [];
  /** Drained and not told yet, in the order of the first drain. */
  readonly incomplete: Batch[] = [];
  /** Sequence numbers. */
  readonly sequence: PartitionSequence = new PartitionSequence();
  /** True while the sender has it on a list. */
  scheduled = false;
  /** End of a backoff on the monotonic clock. */
  notBeforeMs = 0;
  /** A retry waits until metadata has been refreshed. */
  awaitingMetadata = false;
  /** Whom the batches in flight were sent to. */
  sentTo: PartitionMetadata = { leaderId: -1, leaderEpoch: -1 };
  /** Set by the last failure of a record when nothing may be sent behind it (`gapless`). */
  gap: Gap | undefined;
  /** Size of the last batch, which is a good guess for the next one. */
  sizeHint = 1_024;
  heapIndex = -1;
  dueMs = 0;

  readonly #onDue: (partition: Partition) => void;
  #ordinal = 0;

  /** Makes an empty queue; `onDue` is called when something falls due (linger, backoff, delivery timeout). */
  constructor(topic: Topic, index: number, onDue: (partition: Partition) => void) {
    this.topic = topic;
    this.index = index;
    this.#onDue = onDue;
  }

  onDue(): void {
    this.#onDue(this);
  }

  /** The batch that takes records; undefined if the next record opens one. */
  get open(): Batch | undefined {
    const last = this.queue[this.queue.length - 1];
    return last === undefined || last.closed ? undefined : last;
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

  /** What keeps the first batch in the queue from being sent to this leader now; undefined if nothing does. */
  gate(head: Batch, leader: PartitionMetadata, nowMs: number, oneAtATime: boolean): Gate | undefined {
    if (head.encoding) return "encoding";
    if (nowMs < this.notBeforeMs) return "backoff";
    if (this.awaitingMetadata) return "metadata";
    if (this.inFlight.length === 0) return undefined;
    if (this.sentTo.leaderId !== leader.leaderId) return "migration";
    if (oneAtATime) return "muted";
    return undefined;
  }

  /** The further gates of a producer that stamps its batches. */
  stampedGate(head: Batch, leader: PartitionMetadata, stamping: Stamping): Gate | undefined {
    const { sequence, inFlight } = this;
    // Counted from the oldest without an answer, not by number: while it is sent again and again, the batches behind
    // it must not push it out of the broker's memory, or its next attempt would look like a gap. (The halves of a
    // split batch have fractional ordinals.)
    const oldest = inFlight[0];
    if (oldest !== undefined && this.#ordinal - Math.floor(oldest.ordinal) >= BROKER_WINDOW) return "window";
    if (inFlight.length > 0 && head.drained) return "recovery";
    if (inFlight.length > 0 && !sequence.isProvenAt(leader)) return "proof";
    this.advanceSequence(stamping);
    const { identity } = stamping;
    if (identity === undefined) return "identity";
    if (head.drained) return sequence.rewrite ? "identity" : undefined;
    if (sequence.unresolved) return "unresolved";
    return sequence.isAt(identity) ? undefined : "identity";
  }

  /** Moves the sequence state on as far as the batches in flight allow: gap, rewrite, lazy move to a new epoch. */
  advanceSequence(stamping: Stamping): void {
    const { sequence } = this;
    if (this.inFlight.length > 0) return;
    const stampedWaits = this.queue[0]?.drained === true;
    // Nothing is left whose answer could tell: what is in doubt is a gap.
    if (sequence.unresolved && !stampedWaits && sequence.isAt(stamping.identity)) stamping.onGap(undefined);
    if (this.queue[0]?.misnumbered) {
      if (!sequence.rewrite && sequence.isAt(stamping.identity)) stamping.onGap(undefined);
      sequence.rewrite = true;
    }
    const { identity } = stamping;
    if (identity === undefined) return;
    if (sequence.rewrite) {
      sequence.adopt(identity);
      for (const batch of this.queue) {
        if (!batch.drained) break;
        batch.setStamp(sequence.stamp(batch.recordCount));
      }
    } else if (!stampedWaits && !sequence.isAt(identity)) {
      sequence.adopt(identity);
    }
  }

  /**
   * Takes the first batch out of the queue to be sent. On its first drain, and never again, it gets its place in the
   * order and (idempotent) its sequences.
   */
  take(leader: PartitionMetadata, stamps: boolean): Batch {
    const batch = this.queue.shift()!;
    if (!batch.drained) {
      batch.drained = true;
      batch.ordinal = this.#ordinal++;
      if (stamps) batch.setStamp(this.sequence.stamp(batch.recordCount));
      this.incomplete.push(batch);
    }
    batch.closed = true;
    this.sizeHint = batch.length;
    batch.sentUnder = this.topic.metadata.topicId;
    this.inFlight.push(batch);
    this.sentTo = leader;
    return batch;
  }

  /** True when this broker owes answers for the partition, and another one has been elected to lead it. */
  isOvertaken(nodeId: number): boolean {
    if (this.inFlight.length === 0 || this.sentTo.leaderId !== nodeId) return false;
    const leader = this.topic.metadata.partitions[this.index];
    if (leader === undefined || leader.leaderId < 0 || leader.leaderId === nodeId) return false;
    return leader.leaderEpoch > this.sentTo.leaderEpoch || leader.leaderEpoch < 0;
  }

  /** Takes an answered or lost batch off the list of those in flight. */
  removeInFlight(batch: Batch): void {
    const at = this.inFlight.indexOf(batch);
    // Answers come in order, and a splice makes an array of what it takes out.
    if (at === 0) this.inFlight.shift();
    else if (at > 0) this.inFlight.splice(at, 1);
  }

  /** Puts a batch back to be sent again: before all new ones, in the order of their sequences. */
  putBack(batch: Batch): void {
    let at = 0;
    while (at < this.queue.length && this.queue[at]!.drained && this.queue[at]!.ordinal < batch.ordinal) at++;
    this.queue.splice(at, 0, batch);
  }

  /**
   * Out of order, yet perhaps in the log. A broker that has started again knows only the last batch of a producer: an
   * earlier one is no duplicate to it. So the next one that may be in the log is asked for instead, by sending it: if
   * it is there, so is this one. False if there is none.
   */
  awaitProbe(batch: Batch): boolean {
    const next = this.queue[0];
    if (next === undefined || !next.drained || next.persisted === "no") return false;
    this.removeInFlight(batch);
    this.#probed.push(batch);
    return true;
  }

  /** True while a batch is sent in the stead of earlier ones. */
  get isProbing(): boolean {
    return this.#probed.length > 0;
  }

  /** What was set aside is to be sent again after all. */
  requeueProbed(): void {
    for (const batch of this.#probed.splice(0)) this.putBack(batch);
  }

  /** Puts the halves of the first batch of the queue in its place. */
  divide(batch: Batch, parts: readonly Batch[]): void {
    this.queue.splice(0, 1, ...parts);
    if (batch.drained) this.incomplete.splice(this.incomplete.indexOf(batch), 1, ...parts);
  }

  /** Puts the halves of a split batch in its place. */
  replace(batch: Batch, parts: readonly Batch[]): void {
    this.incomplete.splice(this.incomplete.indexOf(batch), 1, ...parts);
    for (const part of parts) this.putBack(part);
  }

  /** The batch has lost records that the broker refused: what was stamped behind it is to be stamped anew. */
  shorten(batch: Batch, errors: ReadonlyMap<number, KafkaError>): void {
    const { recordCount, stamp } = batch;
    batch.refuse(errors);
    this.sequence.shortened(stamp, recordCount, batch.recordCount);
    for (const other of [...this.inFlight, ...this.queue]) {
      if (other.drained && other.ordinal > batch.ordinal) other.misnumbered = true;
    }
  }

  /** A record has failed, and what was handed over behind it must not be sent, unless it may be in the log already. */
  openGap(cause: KafkaError, lastPending: number): Batch[] {
    this.gap = { ordinal: this.#ordinal, lastPending, cause };
    for (const batch of this.queue) batch.closed = true;
    return this.queue.filter(({ persisted }) => persisted === "no");
  }

  /** Takes a batch out of the queue, for good. */
  removeFromQueue(batch: Batch): void {
    this.requeueProbed();
    const at = this.queue.indexOf(batch);
    if (at >= 0) this.queue.splice(at, 1);
  }
}
