/**
 * The sequences of partitions after something went wrong: unresolved batches, answers out of order, probes, new stamps,
 * successes that imply others. All of it is here, and nothing else declares a gap, rewrites a stamp or asks for a new
 * epoch. The rules are I7 to I11 and H6, H7 in `docs/delivery.md`.
 *
 * @module
 */

import type { PartitionMetadata } from "../../cluster/metadata.ts";
import { KafkaError } from "../../errors.ts";
import { show } from "../../show.ts";
import type { Partition, QueuedBatch } from "../accumulator/partition.ts";
import { IN_FLIGHT } from "../accumulator/phase.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { StampedAttempt } from "./gates.ts";
import { type GapVerdict, judgeGap } from "./verdict.ts";
import type { PartitionResult } from "./produce_request.ts";

/** A batch that is in the log because a later one is. */
export interface Implied {
  readonly batch: QueuedBatch;
  /** Where it is; −1n if that isn't known. */
  readonly baseOffset: bigint;
}

/** A batch that can't go on, and why. */
export interface Ended {
  readonly batch: QueuedBatch;
  readonly error: KafkaError;
}

/** Keeps the sequences of one producer's partitions right. */
export class Recovery {
  readonly #stamping: Stamping;

  /** Asks for new epochs at the given stamping. */
  constructor(stamping: Stamping) {
    this.#stamping = stamping;
  }

  /**
   * Moves the sequence of a partition on as far as the batches in flight allow: a gap is declared, stamped batches get
   * new stamps, an idle partition takes over the present epoch. Called before the partition's gates are looked at.
   *
   * @returns stamped batches that can't get a new stamp
   */
  advance(partition: Partition): readonly Ended[] {
    const { sequence, inFlight } = partition;
    if (inFlight.length > 0) return NOTHING;
    const [head] = partition.queue;
    const stampedWaits = head?.drained === true;
    let refusal: KafkaError | undefined;
    // No answer can come any more that would tell: an unresolved batch counts as a gap.
    if (sequence.unresolved && !stampedWaits && sequence.isAt(this.#stamping.identity)) {
      refusal = this.#stamping.onGap(undefined);
    }
    if (head?.misnumbered) {
      if (!sequence.rewrite && sequence.isAt(this.#stamping.identity)) refusal = this.#stamping.onGap(undefined);
      if (refusal === undefined) sequence.rewrite = true;
    }
    if (refusal !== undefined) return stampedIn(partition, refusal);
    const { identity } = this.#stamping;
    if (identity === undefined) return NOTHING;
    if (sequence.rewrite) {
      sequence.adopt(identity);
      for (const batch of partition.queue) {
        if (!batch.drained) break;
        batch.setStamp(sequence.stamp(batch.recordCount));
      }
    } else if (!stampedWaits && !sequence.isAt(identity)) {
      sequence.adopt(identity);
    }
    return NOTHING;
  }

  /** How things stand with the first batch of a partition, for its gates. */
  attempt(partition: Partition, head: QueuedBatch, leader: PartitionMetadata): StampedAttempt {
    const { sequence, inFlight } = partition;
    const { identity } = this.#stamping;
    return {
      inFlight: inFlight.length,
      span: partition.span,
      isRetry: head.drained,
      isProven: sequence.isProvenAt(leader),
      hasIdentity: identity !== undefined,
      isCurrent: sequence.isAt(identity),
      isUnresolved: sequence.unresolved,
      awaitsRewrite: sequence.rewrite,
    };
  }

  /** Why the broker misses an earlier sequence. Nothing is changed. */
  judge(batch: QueuedBatch, { errorCode, logStartOffset }: PartitionResult): GapVerdict {
    const { partition } = batch;
    const { sequence, gap } = partition;
    return judgeGap({
      errorCode,
      logStartOffset,
      isBehindFailure: gap !== undefined && batch.ordinal < gap.ordinal,
      hasEarlier: partition.hasEarlier(batch),
      isOver: batch.outcome !== undefined || this.#stamping.identity === undefined,
      persisted: batch.persisted,
      repeats: batch.repeats,
      isTopicCertain: !batch.sentByName || batch.repeats > 0 || partition.isProbing,
      canProbe: partition.canProbe,
      isExplained: sequence.unresolved || batch.dividedInDoubt,
      lastAckedOffset: sequence.lastAckedOffset,
    });
  }

  /**
   * There is a gap in front of the batch: what is certainly not in the log is stamped again under a new epoch, as soon
   * as the answers of everything in flight are in.
   *
   * @returns stamped batches that can't get a new stamp
   */
  onGap(batch: QueuedBatch, cause: KafkaError): readonly Ended[] {
    const { partition } = batch;
    const { sequence } = partition;
    if (!sequence.rewrite && sequence.isAt(this.#stamping.identity)) {
      const refusal = this.#stamping.onGap(cause);
      if (refusal !== undefined) return [{ batch, error: refusal }, ...stampedIn(partition, refusal)];
    }
    sequence.rewrite = true;
    return NOTHING;
  }

  /**
   * A batch was accepted. What was sent before it, in the same epoch and without a definite answer, must be in the log as
   * well: the broker would have refused this one otherwise (H7). The gate "proof" sees to it that the broker could.
   *
   * @returns those earlier batches, which are out of the queue then
   */
  accepted(batch: QueuedBatch, baseOffset: bigint): readonly Implied[] {
    const { partition } = batch;
    const { sequence } = partition;
    const implied = this.#impliedBy(batch, baseOffset);
    sequence.accepted(batch, partition.sentTo, baseOffset);
    return implied;
  }

  #impliedBy(batch: QueuedBatch, baseOffset: bigint): readonly Implied[] {
    const { partition, stamp } = batch;
    const { sequence, incomplete } = partition;
    if (!this.#stamping.stamps || incomplete[0] === batch) return NOTHING_IMPLIED;
    // A log that goes back is another one, whose leader knew nothing of what was sent before.
    if (baseOffset >= 0n && baseOffset <= sequence.lastAckedOffset) return NOTHING_IMPLIED;
    const implied: Implied[] = [];
    for (const earlier of incomplete) {
      if (earlier.ordinal >= batch.ordinal) break;
      const isOpen = earlier.outcome === undefined && earlier.persisted !== "no" &&
        earlier.phase !== IN_FLIGHT;
      const isSameEpoch = earlier.stamp.producerId === stamp.producerId &&
        earlier.stamp.producerEpoch === stamp.producerEpoch;
      if (!isOpen || !isSameEpoch || sequence.isBeforeLog(earlier)) continue;
      implied.push({ batch: earlier, baseOffset: sequence.offsetBefore(earlier, batch, baseOffset) });
    }
    for (const { batch: earlier } of implied) partition.removeFromQueue(earlier);
    return implied;
  }

  /** The records that the broker refused have been taken out of the batch: what was stamped behind it needs a new stamp. */
  shorten(batch: QueuedBatch, errors: ReadonlyMap<number, KafkaError>): void {
    const { partition, recordCount, stamp } = batch;
    batch.refuse(errors);
    if (!this.#stamping.stamps) return;
    partition.sequence.shortened(stamp, recordCount, batch.recordCount);
    for (const other of [...partition.inFlight, ...partition.queue]) {
      if (other.drained && other.ordinal > batch.ordinal) other.misnumbered = true;
    }
  }

  /** A batch has ended without success. Its sequences stay used, and if it was sent, nothing new is stamped for now. */
  failed(batch: QueuedBatch): void {
    if (this.#stamping.stamps && batch.drained) batch.partition.sequence.markUnresolved(batch);
  }

  /**
   * Batches that would need a new stamp and may be in the log. They are never stamped again: an attempt that a broker has
   * not read yet would be accepted under the old stamp after the new one has been written, or has been already in a topic
   * that was created anew.
   */
  doubtful(partition: Partition, cause: KafkaError): readonly Ended[] {
    const { rewrite } = partition.sequence;
    const ended: Ended[] = [];
    for (const batch of partition.queue) {
      if (!batch.drained || batch.persisted === "no" || !(rewrite || batch.misnumbered)) continue;
      const { topic: { name: topic }, index } = partition;
      const message =
        `Look whether the record is in the log of topic ${show(topic)} partition ${index} before you send ` +
        "it again: its broker can't tell.";
      const options = { code: "OUTCOME_UNKNOWN", persisted: "possibly", topic, partition: index, cause } as const;
      ended.push({ batch, error: new KafkaError(message, options) });
    }
    return ended;
  }
}

const NOTHING: readonly Ended[] = [];
const NOTHING_IMPLIED: readonly Implied[] = [];

/** What waits to be sent again under a stamp that leads nowhere. */
function stampedIn({ queue }: Partition, error: KafkaError): readonly Ended[] {
  return queue.filter(({ drained }) => drained).map((batch) => ({ batch, error }));
}
