/**
 * The lowest sequence with which each producer has tried to begin a transaction here.
 *
 * Several batches may be on their way when the first of them is refused. A later one must not begin the transaction in
 * its place, so until a batch is in the log no sequence above the lowest that was tried is taken (KIP-890). Measured on
 * Kafka 3.9.1 and 4.1.1.
 *
 * @module
 */

import type { SequencedBatch } from "./batch_view.ts";

interface Attempt {
  readonly epoch: number;
  readonly sequence: number;
}

/** The attempts of one leader, which a new one knows nothing of. */
export class FirstAttempts {
  readonly #attempts = new Map<bigint, Attempt>();

  /** A batch is to begin a transaction. */
  note({ epoch, firstSequence: sequence, producerId }: SequencedBatch): void {
    const known = this.#attempts.get(producerId);
    const isLower = known === undefined || epoch > known.epoch ||
      (epoch === known.epoch && sequence < known.sequence);
    if (isLower) this.#attempts.set(producerId, { epoch, sequence });
  }

  /** Whether a batch comes behind one that has not made it. */
  isBehind({ firstSequence, producerId }: SequencedBatch): boolean {
    const known = this.#attempts.get(producerId);
    return known !== undefined && firstSequence > known.sequence;
  }

  /** A batch of the producer is in the log. */
  forget(producerId: bigint): void {
    this.#attempts.delete(producerId);
  }

  /** Another leader will be asked. */
  clear(): void {
    this.#attempts.clear();
  }
}
