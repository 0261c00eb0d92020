/**
 * What a replica knows of the transactions in its log: which are open, which were aborted, and up to where everything
 * is decided.
 *
 * It is made of the batches alone, so a follower knows as much as its leader, and what is cut off is forgotten.
 *
 * @module
 */

import type { StoredBatch } from "./log.ts";

/** A transaction that has written to the partition and is not decided yet. */
export interface OpenTransaction {
  /** Its producer. */
  readonly producerId: bigint;
  /** The offset of its first record. */
  readonly firstOffset: bigint;
}

/** A transaction that a marker has ended. */
export interface EndedTransaction extends OpenTransaction {
  /** The offset of the marker. */
  readonly lastOffset: bigint;
  /** Whether its records are to be left out. */
  readonly isAborted: boolean;
}

/** The transactions of one replica. */
export class TransactionLog {
  readonly #coordinatorEpochs = new Map<bigint, number>();
  readonly #open = new Map<bigint, OpenTransaction>();
  /** By the offsets of their markers. */
  #ended: EndedTransaction[] = [];

  /** The transaction that a producer has open here. */
  openOf(producerId: bigint): OpenTransaction | undefined {
    return this.#open.get(producerId);
  }

  /** The epoch of the coordinator that wrote a producer's last marker; -1 if none has come. */
  coordinatorEpochOf(producerId: bigint): number {
    return this.#coordinatorEpochs.get(producerId) ?? -1;
  }

  /** Up to this offset everything is decided, and its markers are replicated; at most the high watermark. */
  lastStableOffset(highWatermark: bigint): bigint {
    let stable = highWatermark;
    for (const { firstOffset } of this.#open.values()) if (firstOffset < stable) stable = firstOffset;
    for (let i = this.#ended.length - 1; i >= 0; i--) {
      const { firstOffset, lastOffset } = this.#ended[i]!;
      if (lastOffset < highWatermark) break;
      if (firstOffset < stable) stable = firstOffset;
    }
    return stable;
  }

  /** The aborted transactions that touch the offsets from one to before another. */
  abortedBetween(fromOffset: bigint, beforeOffset: bigint): EndedTransaction[] {
    const found: EndedTransaction[] = [];
    for (let i = this.#ended.length - 1; i >= 0; i--) {
      const ended = this.#ended[i]!;
      if (ended.lastOffset < fromOffset) break;
      if (ended.isAborted && ended.firstOffset < beforeOffset) found.push(ended);
    }
    return found.reverse();
  }

  /** @internal Takes note of a batch that was appended. */
  record({ baseOffset, transactional }: StoredBatch): void {
    if (transactional === undefined) return;
    const { coordinatorEpoch, kind, producerId } = transactional;
    if (coordinatorEpoch !== undefined) this.#coordinatorEpochs.set(producerId, coordinatorEpoch);
    const open = this.#open.get(producerId);
    if (kind === "records") {
      if (open === undefined) this.#open.set(producerId, { producerId, firstOffset: baseOffset });
    } else if (open !== undefined) {
      this.#open.delete(producerId);
      this.#ended.push({ ...open, lastOffset: baseOffset, isAborted: kind === "abort" });
    }
  }

  /** @internal Forgets what came from an offset on: markers that are gone have ended nothing. */
  truncateTo(offset: bigint): void {
    while (this.#ended.length > 0 && this.#ended.at(-1)!.lastOffset >= offset) {
      const { firstOffset, producerId } = this.#ended.pop()!;
      this.#open.set(producerId, { producerId, firstOffset });
    }
    for (const [producerId, { firstOffset }] of this.#open) if (firstOffset >= offset) this.#open.delete(producerId);
  }

  /** @internal Forgets transactions that had ended before an offset. */
  deleteBefore(offset: bigint): void {
    const first = this.#ended.findIndex(({ lastOffset }) => lastOffset >= offset);
    if (first !== 0) this.#ended = first < 0 ? [] : this.#ended.slice(first);
  }
}
