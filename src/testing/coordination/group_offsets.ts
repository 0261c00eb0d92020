/**
 * The offsets that a group has committed, and those that wait for the end of a transaction.
 *
 * @module
 */

import type { ReplicatedPartition } from "../storage/replica.ts";

/** An offset of a group. */
export interface CommittedOffset {
  /** The next offset to read. */
  readonly offset: bigint;
  /** The epoch of the leader that the last record was read from; -1 if it isn't known. */
  readonly leaderEpoch: number;
  /** What the client has written beside it. */
  readonly metadata: string | null;
}

/** The offsets of one group. */
export class GroupOffsets {
  readonly #committed = new Map<ReplicatedPartition, CommittedOffset>();
  readonly #pending = new Map<bigint, Map<ReplicatedPartition, CommittedOffset>>();

  /** The offset of a partition. */
  get(partition: ReplicatedPartition): CommittedOffset | undefined {
    return this.#committed.get(partition);
  }

  /** The partitions with an offset. */
  get partitions(): Iterable<ReplicatedPartition> {
    return this.#committed.keys();
  }

  /** Whether a transaction is open that has an offset for the partition. */
  isPending(partition: ReplicatedPartition): boolean {
    for (const offsets of this.#pending.values()) if (offsets.has(partition)) return true;
    return false;
  }

  /** Whether there are none, decided or not. */
  get isEmpty(): boolean {
    return this.#committed.size === 0 && this.#pending.size === 0;
  }

  /** @internal Commits an offset. */
  commit(partition: ReplicatedPartition, offset: CommittedOffset): void {
    this.#committed.set(partition, offset);
  }

  /** @internal Notes an offset that a transaction commits when it does. */
  add(producerId: bigint, partition: ReplicatedPartition, offset: CommittedOffset): void {
    const offsets = this.#pending.get(producerId) ?? new Map<ReplicatedPartition, CommittedOffset>();
    offsets.set(partition, offset);
    this.#pending.set(producerId, offsets);
  }

  /** @internal A transaction has ended. */
  end(producerId: bigint, isCommit: boolean): void {
    const offsets = this.#pending.get(producerId);
    this.#pending.delete(producerId);
    if (isCommit && offsets !== undefined) {
      for (const [partition, offset] of offsets) {
        this.commit(partition, offset);
      }
    }
  }

  /** @internal Forgets the offset of a partition. */
  delete(partition: ReplicatedPartition): void {
    this.#committed.delete(partition);
  }
}
