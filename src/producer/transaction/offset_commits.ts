/**
 * The offsets of consumer groups that belong to the present transaction (KIP-447).
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { ZERO_TOPIC_ID } from "../../cluster/metadata.ts";
import { type KafkaError, UnsupportedVersionError } from "../../errors.ts";
import { show } from "../../show.ts";
import { byTopic } from "../../protocol/by_topic.ts";
import { UNKNOWN_TOPIC_ID } from "../../protocol/error_code_names.ts";
import { AddOffsetsToTxn } from "../../protocol/messages/add_offsets_to_txn.ts";
import { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import { TRANSACTION_V1_CAPS } from "../../protocol/negotiation.ts";
import type { RequestInputOf, ResponseOf } from "../../protocol/schema.ts";
import type { Attempt, TransactionCalls } from "./calls.ts";
import type { TransactionalIdentity } from "./identity.ts";
import type { CommittedOffset } from "./offsets.ts";
import { judgePlaces, keyOf } from "./places.ts";

const WITH_IDS = 6;
const WITH_MEMBERS = 3;

/** The commits of offsets in one transaction after the other. */
export class OffsetCommits {
  /** Offsets were sent with the group in the transaction. */
  hasAny = false;
  /** The group may have been added although no answer said so. */
  mayHaveAdded = false;

  readonly #cluster: Cluster;
  readonly #calls: TransactionCalls;
  readonly #transactionalId: string;
  readonly #identity: TransactionalIdentity;
  /** Asked before each further attempt: false when nobody needs the outcome any more. */
  readonly #isWanted: () => boolean;
  /** Those that have not ended; commit() and abort() wait for them as they do for records. */
  readonly #pending = new Set<Promise<void>>();

  /** Commits under an identity, for a transactional id. */
  constructor(
    cluster: Cluster,
    calls: TransactionCalls,
    transactionalId: string,
    identity: TransactionalIdentity,
    isWanted: () => boolean,
  ) {
    this.#cluster = cluster;
    this.#calls = calls;
    this.#transactionalId = transactionalId;
    this.#identity = identity;
    this.#isWanted = isWanted;
  }

  /** A transaction begins, with no offset in it. */
  begin(): void {
    this.hasAny = false;
    this.mayHaveAdded = false;
  }

  /** Resolves when none is under way; undefined if none is. */
  settled(): Promise<unknown> | undefined {
    return this.#pending.size === 0 ? undefined : Promise.allSettled(this.#pending);
  }

  /** Makes offsets part of the transaction. Rejects with what `told` makes of a failure. */
  async commit(
    offsets: readonly CommittedOffset[],
    group: GroupMetadata,
    deadlineMs: number,
    told: (error: unknown) => KafkaError,
  ): Promise<void> {
    const commit = this.#addAndWrite(offsets, group, deadlineMs, told);
    this.#pending.add(commit);
    try {
      await commit;
    } finally {
      this.#pending.delete(commit);
    }
  }

  async #addAndWrite(
    offsets: readonly CommittedOffset[],
    group: GroupMetadata,
    deadlineMs: number,
    told: (error: unknown) => KafkaError,
  ): Promise<void> {
    try {
      if (this.#identity.version === 1) await this.#addGroup(group.groupId, deadlineMs);
      this.hasAny = true;
      await this.#write(offsets, group, deadlineMs);
    } catch (error) {
      // Here, and not a turn later: a commit that sees nothing pending must see what has failed.
      throw told(error);
    }
  }

  async #addGroup(groupId: string, deadlineMs: number): Promise<void> {
    try {
      await this.#calls.run({
        name: "AddOffsetsToTxn",
        api: AddOffsetsToTxn,
        coordinator: this.#calls.coordinator,
        deadlineMs,
        isWanted: this.#isWanted,
        body: () => ({ transactionalId: this.#transactionalId, ...this.#identity.current!, groupId }),
        read: ({ errorCode }) => ({ errorCode, response: undefined, detail: `group ${show(groupId)}` }),
      });
    } catch (error) {
      if (this.#calls.wasIndefinite) this.mayHaveAdded = true;
      throw error;
    }
  }

  #write(offsets: readonly CommittedOffset[], group: GroupMetadata, deadlineMs: number): Promise<void> {
    const left = new Map(offsets.map((offset) => [keyOf(offset), offset]));
    const topics = new TopicIds(this.#cluster);
    return this.#calls.run({
      name: "TxnOffsetCommit",
      api: TxnOffsetCommit,
      coordinator: this.#calls.group(group.groupId),
      deadlineMs,
      isWanted: this.#isWanted,
      cap: () => {
        if (this.#identity.version === 1) return TRANSACTION_V1_CAPS.TxnOffsetCommit;
        return topics.haveIds(offsets) ? undefined : WITH_IDS - 1;
      },
      body: (version) => this.#bodyOf(version, [...left.values()], group, topics),
      read: (answer, version) => {
        const results = resultsOf(answer, version, topics);
        for (const result of results) if (result.code === 0) left.delete(keyOf(result));
        const { errorCode, detail } = judgePlaces("TxnOffsetCommit", results, left.values());
        const attempt: Attempt<undefined> = {
          ...{ errorCode, response: undefined },
          detail: `group ${show(group.groupId)} for ${detail}`,
        };
        if (attempt.errorCode === UNKNOWN_TOPIC_ID) topics.onRefusedId();
        return attempt;
      },
    });
  }

  #bodyOf(
    version: number,
    offsets: readonly CommittedOffset[],
    { groupId, memberId = "", generationId = -1, groupInstanceId }: GroupMetadata,
    topics: TopicIds,
  ): RequestInputOf<typeof TxnOffsetCommit> {
    const isMember = memberId !== "" || generationId >= 0 || groupInstanceId !== undefined;
    if (isMember && version < WITH_MEMBERS) {
      throw new UnsupportedVersionError(
        `Give sendOffsets() the id of the group alone: this broker speaks TxnOffsetCommit up to version ${version}, ` +
          `which knows nothing of members, wanted ${WITH_MEMBERS}.`,
      );
    }
    return {
      transactionalId: this.#transactionalId,
      groupId,
      ...this.#identity.current!,
      ...(version < WITH_MEMBERS
        ? {}
        : { memberId, generationIdOrMemberEpoch: generationId, groupInstanceId: groupInstanceId ?? null }),
      topics: byTopic(offsets, ({ partition, offset, metadata = "", leaderEpoch: committedLeaderEpoch = -1 }) => (
        { partitionIndex: partition, committedOffset: offset, committedLeaderEpoch, committedMetadata: metadata }
      )).map(([name, partitions]) => (
        version < WITH_IDS ? { name, partitions } : { topicId: topics.idOf(name), partitions }
      )),
    };
  }
}

/** The ids of the topics of one commit, and the way back. */
class TopicIds {
  readonly #cluster: Cluster;
  readonly #names = new Map<string, string>();
  #areRefused = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** True if each topic can be told by its id. */
  haveIds(offsets: readonly CommittedOffset[]): boolean {
    return !this.#areRefused && offsets.every(({ topic }) => this.#find(topic) !== ZERO_TOPIC_ID);
  }

  idOf(topic: string): string {
    const id = this.#find(topic);
    this.#names.set(id, topic);
    return id;
  }

  nameOf(topicId: string): string {
    return this.#names.get(topicId) ?? "";
  }

  /** The topic was created anew, or this broker doesn't know its id yet: by its name it is found. */
  onRefusedId(): void {
    this.#areRefused = true;
    void this.#cluster.requestUpdate();
  }

  #find(topic: string): string {
    return (this.#cluster.topic(topic) ?? this.#cluster.use(topic)).topicId;
  }
}

function resultsOf(
  { topics }: ResponseOf<typeof TxnOffsetCommit>,
  version: number,
  ids: TopicIds,
): { topic: string; partition: number; code: number }[] {
  return topics.flatMap(({ name, topicId, partitions }) => {
    const topic = version < WITH_IDS ? name : ids.nameOf(topicId);
    return partitions.map(({ partitionIndex: partition, errorCode: code }) => ({ topic, partition, code }));
  });
}
