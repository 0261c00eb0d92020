/**
 * Who remembers groups: their members, and the offsets that they have committed.
 *
 * @module
 */

import { readOptions } from "../../call_options.ts";
import type { RequestOf } from "../../protocol/api.ts";
import type { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import {
  GROUP_ID_NOT_FOUND,
  ILLEGAL_GENERATION,
  INVALID_GROUP_ID,
  INVALID_PRODUCER_EPOCH,
  NON_EMPTY_GROUP,
} from "../../protocol/error_code_names.ts";
import type { Broker } from "../broker/broker.ts";
import { RELEASES } from "../broker/release.ts";
import { checkNumber } from "../check_number.ts";
import type { ReplicatedPartition } from "../storage/replica.ts";
import { coordinatorPartition, type Coordinators } from "./coordinators.ts";
import { Group, type GroupHost, type GroupOptions } from "./group.ts";
import type { CoordinatorHost } from "./host.ts";

/** An offset as a client commits it. */
export interface OffsetToCommit {
  readonly partition: ReplicatedPartition;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
  readonly committedMetadata: string | null;
}

/** What a partition of `__consumer_offsets` knows of a transaction's producer. */
interface OffsetsProducer {
  epoch: number;
  isOpen: boolean;
}

/** What the group coordinator takes from its cluster. */
export interface GroupCoordinatorHost extends CoordinatorHost {
  /** Who coordinates what. */
  readonly coordinators: Coordinators;
}

const FIRST_COMMIT_WITH_NOT_FOUND = 9;

/** The group coordinator of one cluster. */
export class GroupCoordinator {
  readonly #cluster: GroupCoordinatorHost;
  readonly #host: GroupHost;
  readonly #groups = new Map<string, Group>();
  readonly #producers = new Map<number, Map<bigint, OffsetsProducer>>();
  #memberIds = 0;

  /** @internal For one cluster. */
  constructor(cluster: GroupCoordinatorHost, given?: GroupOptions) {
    this.#cluster = cluster;
    this.#host = {
      clock: cluster.clock,
      options: readGroupOptions(given),
      isNew: this.#isNew,
      newMemberId: (prefix) =>
        `${prefix}-${(++this.#memberIds).toString().padStart(8, "0")}-0000-4000-8000-000000000000`,
    };
    cluster.coordinators.onMove = (type, partition) => {
      if (type !== "group") return;
      for (const group of this.#groups.values()) if (coordinatorPartition(group.id) === partition) group.moved();
    };
  }

  /** The offset that a group has committed for a partition; undefined if it has none. */
  committed(groupId: string, topic: string, partition: number): bigint | undefined {
    return this.#groups.get(groupId)?.offsets.get(this.#cluster.partition(topic, partition))?.offset;
  }

  /** How groups work. */
  get options(): Required<GroupOptions> {
    return this.#host.options;
  }

  /** The group of a name. */
  get(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  /** All groups. */
  get all(): Iterable<Group> {
    return this.#groups.values();
  }

  /** @internal Why a broker doesn't serve requests of a group's members; 0 if it does. */
  memberRefusalOf(broker: Broker, groupId: string): number {
    return groupId === "" ? INVALID_GROUP_ID : this.refusalOf(broker, groupId);
  }

  /** @internal Why a broker doesn't serve requests about a group, which may have no name; 0 if it does. */
  refusalOf(broker: Broker, groupId: string): number {
    return this.#cluster.coordinators.refusalOf(broker, "group", groupId);
  }

  /** @internal The group of a name, created if it isn't there. */
  getOrCreate(id: string): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = new Group(this.#host, id);
      this.#groups.set(id, group);
    }
    return group;
  }

  /** @internal Forgets a group that has no members. */
  delete(groupId: string): number {
    const group = this.#groups.get(groupId);
    if (group === undefined) return GROUP_ID_NOT_FOUND;
    if (!group.hasNobody) return NON_EMPTY_GROUP;
    group.close();
    this.#groups.delete(groupId);
    return 0;
  }

  /** @internal Until Kafka 4 a group that nobody is in was gone with its last offset. */
  forgetIfEmpty(group: Group): void {
    if (!this.#isNew && group.hasNobody && group.offsets.isEmpty) this.delete(group.id);
  }

  /** @internal Forgets the offsets of a topic that was deleted. */
  forgetTopic(partitions: readonly ReplicatedPartition[]): void {
    for (const group of this.#groups.values()) {
      for (const partition of partitions) group.offsets.delete(partition);
      this.forgetIfEmpty(group);
    }
  }

  /** @internal Commits offsets of a member, or of a group without members. */
  commit(
    { generationIdOrMemberEpoch: generation, groupId, groupInstanceId, memberId }: {
      readonly groupId: string;
      readonly generationIdOrMemberEpoch: number;
      readonly memberId: string;
      readonly groupInstanceId: string | null;
    },
    offsets: readonly OffsetToCommit[],
    version: number,
  ): number {
    const known = this.#groups.get(groupId);
    if (known === undefined && generation >= 0) {
      return this.#isNew && version >= FIRST_COMMIT_WITH_NOT_FOUND ? GROUP_ID_NOT_FOUND : ILLEGAL_GENERATION;
    }
    const group = known ?? this.getOrCreate(groupId);
    const problem = group.commitProblem(memberId, groupInstanceId, generation, false);
    if (problem !== 0) return problem;
    for (const { partition, ...offset } of offsets) group.offsets.commit(partition, committedOffset(offset));
    return 0;
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
    const { generationIdOrMemberEpoch, groupId, groupInstanceId, memberId, producerEpoch, producerId } = request;
    const isNew = this.#groups.get(groupId) === undefined && generationIdOrMemberEpoch >= 0;
    if (isNew && RELEASES[this.#cluster.release].verifiesEpochs) return ILLEGAL_GENERATION;
    const group = this.getOrCreate(groupId);
    const problem = group.commitProblem(memberId, groupInstanceId, generationIdOrMemberEpoch, true);
    if (problem !== 0) return problem;
    const producers = this.#producersOf(groupId);
    if ((producers.get(producerId)?.epoch ?? -1) > producerEpoch) return INVALID_PRODUCER_EPOCH;
    producers.set(producerId, { epoch: producerEpoch, isOpen: true });
    for (const { partition, ...offset } of offsets) group.offsets.add(producerId, partition, committedOffset(offset));
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
  close(): void {
    for (const group of this.#groups.values()) group.close();
  }

  get #isNew(): boolean {
    return RELEASES[this.#cluster.release].hasNewGroupCoordinator;
  }

  #producersOf(groupId: string): Map<bigint, OffsetsProducer> {
    const partition = coordinatorPartition(groupId);
    const producers = this.#producers.get(partition) ?? new Map<bigint, OffsetsProducer>();
    this.#producers.set(partition, producers);
    return producers;
  }
}

function committedOffset(
  { committedLeaderEpoch, committedMetadata, committedOffset }: Omit<OffsetToCommit, "partition">,
): { readonly offset: bigint; readonly leaderEpoch: number; readonly metadata: string | null } {
  return { offset: committedOffset, leaderEpoch: committedLeaderEpoch, metadata: committedMetadata };
}

function readGroupOptions(options: unknown): Required<GroupOptions> {
  const names = ["initialRebalanceDelayMs", "minSessionTimeoutMs", "maxSessionTimeoutMs"] as const;
  const read = readOptions("groups", options, names);
  for (const name of names) checkNumber(name, read[name], 0);
  const { initialRebalanceDelayMs = 0, maxSessionTimeoutMs = 1_800_000, minSessionTimeoutMs = 6000 } =
    read as GroupOptions;
  return { initialRebalanceDelayMs, maxSessionTimeoutMs, minSessionTimeoutMs };
}
