/**
 * The sequence numbers of one partition: arithmetic, without a clock, a socket or a batch's bytes.
 *
 * @module
 */

import type { PartitionMetadata } from "../../cluster/metadata.ts";
import { type ProducerStamp, SEQUENCE_SPACE } from "../../protocol/record_batch.ts";
import type { Identity } from "./identity.ts";

/** What counts of a batch that has a stamp. */
export interface Stamped {
  readonly stamp: ProducerStamp;
  readonly recordCount: number;
  /** Its place in the order of first drains of its partition. */
  readonly ordinal: number;
}

/** A batch without a definite answer. */
export interface StampedInDoubt extends Stamped {
  /** Base offset from a leader that appended the batch but answered with an error; −1n if none did. */
  readonly appendedAt: bigint;
}

/** The sequence numbers of one partition. They outlive the partition's metadata: a used sequence is never reused. */
export class PartitionSequence {
  /** A stamped batch has ended, and nobody knows yet whether it is in the log (I7). */
  unresolved = false;
  /** The stamped batches that wait to be sent again get new stamps as soon as there is an identity for them. */
  rewrite = false;

  #producerId = -1n;
  #producerEpoch = -1;
  #next = 0;
  #unresolvedOrdinal = -1;
  #provenGeneration = -1;
  #proven = false;
  /** The sequence that follows what was accepted last. */
  #ackedEnd = 0;
  #lastAckedOrdinal = -1;
  /** The first batch that was accepted by the present log; −1 while it is the one that there was at first. */
  #firstOfLog = -1;

  /** Offset of the last record that was accepted, as far as it is known; −1 before. Only definite answers count (H6). */
  lastAckedOffset = -1n;

  /** True when new batches get the identity's present id and epoch. */
  isAt(identity: Identity | undefined): boolean {
    return identity !== undefined && this.#producerId === identity.producerId &&
      this.#producerEpoch === identity.producerEpoch;
  }

  /** Starts at sequence 0 under the identity's present id and epoch. */
  adopt(identity: Identity): void {
    this.#producerId = identity.producerId;
    this.#producerEpoch = identity.producerEpoch;
    this.#next = 0;
    this.#ackedEnd = 0;
    this.#proven = false;
    this.unresolved = false;
    this.rewrite = false;
  }

  /** Takes the next sequences. They are not given back, whatever becomes of the batch. */
  stamp(recordCount: number): ProducerStamp {
    const baseSequence = this.#next;
    this.#next = (baseSequence + recordCount) % SEQUENCE_SPACE;
    return { producerId: this.#producerId, producerEpoch: this.#producerEpoch, baseSequence };
  }

  /**
   * True once this leader has accepted a batch of the present epoch. Until then one batch is in flight at a time: a
   * broker that knows nothing of a producer accepts any first sequence, also that of the second batch (H1).
   */
  isProvenAt(leader: Pick<PartitionMetadata, "generation">): boolean {
    return this.#proven && this.#provenGeneration === leader.generation;
  }

  /**
   * A batch has lost records that the broker refused, and goes out again under its stamp. Nothing of it was appended, so
   * the sequences at its end are free again, unless later batches have been given those that follow.
   */
  shortened({ producerId, producerEpoch, baseSequence }: ProducerStamp, before: number, after: number): void {
    if (producerId !== this.#producerId || producerEpoch !== this.#producerEpoch) return;
    if (this.#next === (baseSequence + before) % SEQUENCE_SPACE) this.#next = (baseSequence + after) % SEQUENCE_SPACE;
  }

  /** A batch was accepted. If it came after the one in doubt, that one must be in the log as well. */
  accepted(batch: Stamped, leader: Pick<PartitionMetadata, "generation">, baseOffset: bigint): void {
    const { recordCount } = batch;
    const lastOffset = baseOffset < 0n || recordCount === 1 ? baseOffset : baseOffset + BigInt(recordCount - 1);
    if (lastOffset > this.lastAckedOffset) this.lastAckedOffset = lastOffset;
    else if (this.#beginsLog(batch, baseOffset)) {
      this.#firstOfLog = batch.ordinal;
      this.lastAckedOffset = lastOffset;
    }
    this.#lastAckedOrdinal = Math.max(this.#lastAckedOrdinal, batch.ordinal);
    const { producerId, producerEpoch, baseSequence } = batch.stamp;
    if (producerId !== this.#producerId || producerEpoch !== this.#producerEpoch) return;
    // An offset that isn't known is no base for arithmetic.
    this.#ackedEnd = baseOffset < 0n ? -1 : (baseSequence + batch.recordCount) % SEQUENCE_SPACE;
    this.#proven = true;
    this.#provenGeneration = leader.generation;
    if (batch.ordinal >= this.#unresolvedOrdinal) this.unresolved = false;
  }

  /**
   * True if a later batch was accepted by a leader that may have known nothing of this one: its log was begun anew in
   * between, for a topic's new incarnation, say.
   */
  isBeforeLog(batch: Stamped): boolean {
    return batch.ordinal < this.#firstOfLog;
  }

  /** A later batch at an offset that an earlier one had. */
  #beginsLog({ ordinal }: Stamped, baseOffset: bigint): boolean {
    return baseOffset >= 0n && baseOffset <= this.lastAckedOffset && ordinal > this.#lastAckedOrdinal;
  }

  /**
   * Where a batch without an answer is, when the one after it was accepted at `baseOffset`: where its leader said, or
   * right behind the last one accepted, if nobody else wrote in between. −1n if that isn't known.
   */
  offsetBefore(batch: StampedInDoubt, accepted: Stamped, baseOffset: bigint): bigint {
    if (batch.appendedAt >= 0n) return batch.appendedAt;
    const { baseSequence } = batch.stamp;
    const between = (accepted.stamp.baseSequence - this.#ackedEnd + SEQUENCE_SPACE) % SEQUENCE_SPACE;
    const isContiguous = this.#ackedEnd >= 0 && this.lastAckedOffset >= 0n &&
      baseOffset === this.lastAckedOffset + 1n + BigInt(between);
    if (!isContiguous) return -1n;
    return baseOffset - BigInt((accepted.stamp.baseSequence - baseSequence + SEQUENCE_SPACE) % SEQUENCE_SPACE);
  }

  /** A batch was refused or lost: the next one goes alone until the leader has accepted something again. */
  requireProof(): void {
    this.#proven = false;
  }

  /** A stamped batch has ended without being known to be in the log. */
  markUnresolved(batch: Stamped): void {
    this.unresolved = true;
    this.#unresolvedOrdinal = Math.max(this.#unresolvedOrdinal, batch.ordinal);
    this.#proven = false;
  }
}
