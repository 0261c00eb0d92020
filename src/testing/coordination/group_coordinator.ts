/**
 * Who remembers groups: their members, and the offsets that they have committed.
 *
 * @module
 */

import type { RequestOf } from "../../protocol/api.ts";
import type { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import type { Broker } from "../broker/broker.ts";
import type { CoordinatorHost } from "./host.ts";
import { coordinatorPartition, type Coordinators } from "./coordinators.ts";
import { GroupOffsets } from "./group_offsets.ts";
import { RELEASES } from "../broker/release.ts";
import type { ReplicatedPartition } from "../storage/replica.ts";

/** An offset as a client commits it. */
export interface OffsetToCommit {
  readonly partition: ReplicatedPartition;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
  readonly committedMetadata: string | null;
}

const INVALID_GROUP_ID = 24;
const INVALID_PRODUCER_EPOCH = 47;

/** What a partition of `__consumer_offsets` knows of a transaction's producer. */
interface OffsetsProducer {
  epoch: number;
  isOpen: boolean;
}

interface Group {
  readonly id: string;
  readonly offsets: GroupOffsets;
}

/** What the group coordinator takes from its cluster. */
export interface GroupCoordinatorHost extends CoordinatorHost {
  /** Who coordinates what. */
  readonly coordinators: Coordinators;
}

/** The group coordinator of one cluster. */
export class GroupCoordinator {
  readonly #cluster: GroupCoordinatorHost;
  readonly #groups = new Map<string, Group>();
  readonly #producers = new Map<number, Map<bigint, OffsetsProducer>>();

  /** For one cluster. */
  constructor(cluster: GroupCoordinatorHost) {
    this.#cluster = cluster;
  }

  /** The offset that a group has committed for a partition; undefined if it has none. */
  committed(groupId: string, topic: string, partition: number): bigint | undefined {
    return this.#groups.get(groupId)?.offsets.get(this.#cluster.partition(topic, partition))?.offset;
  }

  /** @internal Why a broker doesn't serve requests about a group; 0 if it does. */
  refusalOf(broker: Broker, groupId: string): number {
    if (groupId === "") return INVALID_GROUP_ID;
    return this.#cluster.coordinators.refusalOf(broker, "group", groupId);
  }

  /** @internal Whether a producer has a transaction open where the group's offsets are kept. */
  hasOpenTransaction(groupId: string, producerId: bigint, epoch: number): boolean {
    const producer = this.#producersOf(groupId).get(producerId);
    if (producer === undefined || !producer.isOpen) return false;
    // Until 4.0 the epoch wasn't looked at.
    return RELEASES[this.#cluster.release].verifiesEpochs ? producer.epoch === epoch : true;
  }

  /** @internal Notes offsets that count when the transaction is committed. */
  commitInTransaction(request: RequestOf<typeof TxnOffsetCommit>, offsets: readonly OffsetToCommit[]): number {
    const { groupId, producerEpoch, producerId } = request;
    const producers = this.#producersOf(groupId);
    if ((producers.get(producerId)?.epoch ?? -1) > producerEpoch) return INVALID_PRODUCER_EPOCH;
    producers.set(producerId, { epoch: producerEpoch, isOpen: true });
    const group = this.#group(groupId);
    for (const { committedLeaderEpoch, committedMetadata, committedOffset, partition } of offsets) {
      group.offsets.add(producerId, partition, {
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata,
      });
    }
    return 0;
  }

  /** @internal A transaction has ended that may have offsets of the group. */
  endTransaction(
    groupId: string,
    { epoch, producerId }: { readonly producerId: bigint; readonly epoch: number },
    isCommit: boolean,
  ): void {
    this.#groups.get(groupId)?.offsets.end(producerId, isCommit);
    this.#producersOf(groupId).set(producerId, { epoch, isOpen: false });
  }

  /** @internal Cancels what would happen later. */
  close(): void {}

  #group(id: string): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { id, offsets: new GroupOffsets() };
      this.#groups.set(id, group);
    }
    return group;
  }

  #producersOf(groupId: string): Map<bigint, OffsetsProducer> {
    const partition = coordinatorPartition(groupId);
    const producers = this.#producers.get(partition) ?? new Map<bigint, OffsetsProducer>();
    this.#producers.set(partition, producers);
    return producers;
  }
}
