/**
 * The offsets of groups: read and written through the coordinator of each, outside of any transaction.
 *
 * @module
 */

import { Backoff } from "../cluster/backoff.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { Coordinator, ELSEWHERE_ERRORS } from "../cluster/coordinator.ts";
import type { GroupMetadata } from "../cluster/group_metadata.ts";
import { isUsable } from "../cluster/metadata.ts";
import { nextTurn, settledBy, sleep } from "../cluster/sleep.ts";
import { BrokerError, KafkaError, TimeoutError } from "../errors.ts";
import { byTopic } from "../protocol/by_topic.ts";
import { UNKNOWN_MEMBER_ID, UNKNOWN_TOPIC_OR_PARTITION } from "../protocol/error_code_names.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { OffsetCommit } from "../protocol/messages/offset_commit.ts";
import { OffsetFetch } from "../protocol/messages/offset_fetch.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { show } from "../show.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import { isThroughForOthers, LastAskedOffsets, type SendAsked } from "./asked_offsets.ts";
import { closedError, leftOut } from "./reader_errors.ts";
import { keyOf, type TopicPartition, type TopicPartitionOffset } from "./record.ts";

/** From this version on OffsetFetch asks for several groups at once, and from 10 on for topics by id. */
const OFFSET_FETCH_WITH_GROUPS = 8;
const LAST_OFFSET_FETCH_WITH_NAMES = 9;
/** From this version on OffsetFetch waits for transactions that have offsets of the group (KIP-447). */
const OFFSET_FETCH_OF_STABLE_OFFSETS = 7;
const LAST_OFFSET_COMMIT_WITH_NAMES = 9;
/** From this version on OffsetCommit knows static members (KIP-345). */
const OFFSET_COMMIT_WITH_INSTANCES = 7;
const NO_OFFSET = -1n;
/** A topic that was just created isn't known everywhere yet. */
const ATTEMPTS_AT_UNKNOWN = 3;
const HAS_MEMBERS = "the group has members, and takes offsets of them only: pass what groupMetadata() of one returns";

/** What group offsets are asked with. */
export interface GroupOffsetsParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly options: ResolvedReaderOptions;
  /** Aborted when the reader is closed. */
  readonly closing: AbortSignal;
}

/** Owns the coordinators of the groups that a reader was asked about. */
export class GroupOffsets {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: ResolvedReaderOptions;
  readonly #closing: AbortSignal;
  readonly #backoff: Backoff;
  readonly #coordinators = new Map<string, Coordinator>();
  readonly #lastAsked = new Map<string, LastAskedOffsets>();

  /** Each call takes `maxBlockMs` at most. */
  constructor({ runtime, cluster, options, closing }: GroupOffsetsParts) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#closing = closing;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
  }

  /** Forgets all coordinators. */
  close(): void {
    for (const coordinator of this.#coordinators.values()) coordinator.forget();
  }

  /** The offsets that a group has committed; a partition without one is left out. */
  async committed(groupId: string, wanted: readonly TopicPartition[]): Promise<TopicPartitionOffset[]> {
    const topics = byTopic(wanted, ({ partition }) => partition)
      .map(([name, partitionIndexes]) => ({ name, partitionIndexes }));
    const offsets = await this.#ask(groupId, "committed", async (coordinator) => {
      const connection = await coordinator.connection();
      const version = connection.version(OffsetFetch, LAST_OFFSET_FETCH_WITH_NAMES);
      const hasGroups = version >= OFFSET_FETCH_WITH_GROUPS;
      // What a transaction has committed and not ended yet may still be taken back (KIP-447).
      const body = {
        ...(hasGroups ? { groups: [{ groupId, topics }] } : { groupId, topics }),
        requireStable: version >= OFFSET_FETCH_OF_STABLE_OFFSETS,
      };
      const answer = await connection.request(OffsetFetch, version, body as never, this.#options.requestTimeoutMs);
      const group = hasGroups ? answer.groups.find((each) => each.groupId === groupId) : answer;
      if (group === undefined) {
        throw new KafkaError("OffsetFetch left out the group that it was asked for.", { retriable: true });
      }
      throwError(group.errorCode, "OffsetFetch");
      const answers = new Map(
        group.topics.flatMap(({ name, partitions }) =>
          partitions.map((each) => [keyOf({ topic: name, partition: each.partitionIndex }), each] as const)
        ),
      );
      return wanted.map(({ topic, partition }) => {
        const found = answers.get(keyOf({ topic, partition }));
        // Taken for a partition without an offset, it would be read from elsewhere.
        if (found === undefined) throw leftOut("OffsetFetch", topic, partition);
        throwError(found.errorCode, "OffsetFetch", topic, partition);
        const { committedLeaderEpoch: leaderEpoch, committedOffset: offset } = found;
        return { topic, partition, offset, ...(leaderEpoch < 0 ? {} : { leaderEpoch }) };
      });
    });
    return offsets.filter(({ offset }) => offset > NO_OFFSET);
  }

  /** Takes offsets of a group for as long as `commit` takes, which commits them by {@link commit}. */
  ask(
    groupId: string,
    offsets: readonly TopicPartitionOffset[],
    commit: (send: SendAsked) => Promise<void>,
  ): Promise<void> {
    let last = this.#lastAsked.get(groupId);
    if (last === undefined) this.#lastAsked.set(groupId, last = new LastAskedOffsets());
    return last.during(offsets, commit);
  }

  /** Commits offsets of a group, as the member if it is one. */
  async commit(member: GroupMetadata, send: SendAsked): Promise<void> {
    let refusals = 0;
    await this.#ask(member.groupId, "commit", async (coordinator) => {
      const connection = await coordinator.connection();
      try {
        await send((wanted) => this.#send(connection, member, wanted));
      } catch (error) {
        const isUnknown = isThroughForOthers(error) && ++refusals >= ATTEMPTS_AT_UNKNOWN;
        throw isUnknown && await this.#isGone(error) ? goneError(member.groupId, error) : error;
      }
    });
  }

  /** The coordinator doesn't know the partition, and nor does the metadata. */
  async #isGone({ topic, partition }: KafkaError): Promise<boolean> {
    const metadata = this.#cluster.use(topic!);
    if (await this.#cluster.requestUpdate() !== undefined) return false;
    const { errorCode, partitions } = metadata;
    return errorCode === UNKNOWN_TOPIC_OR_PARTITION || (isUsable(metadata) && partition! >= partitions.length);
  }

  async #send(connection: Connection, member: GroupMetadata, wanted: readonly TopicPartitionOffset[]): Promise<void> {
    const { groupId, memberId = "", generationId = -1, groupInstanceId = null } = member;
    const version = connection.version(OffsetCommit, LAST_OFFSET_COMMIT_WITH_NAMES);
    const answer = await connection.request(OffsetCommit, version, {
      groupId,
      memberId,
      generationIdOrMemberEpoch: generationId,
      groupInstanceId: version >= OFFSET_COMMIT_WITH_INSTANCES ? groupInstanceId : null,
      topics: byTopic(wanted, ({ partition, offset, leaderEpoch }) => ({
        partitionIndex: partition,
        committedOffset: offset,
        ...(leaderEpoch === undefined ? {} : { committedLeaderEpoch: leaderEpoch }),
        committedMetadata: "",
      })).map(([name, list]) => ({ name, partitions: list })),
    } as never, this.#options.requestTimeoutMs);
    const answers = new Map(
      answer.topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex, errorCode }) =>
          [keyOf({ topic: name, partition: partitionIndex }), errorCode] as const
        )
      ),
    );
    let unknown: KafkaError | undefined;
    for (const { topic, partition } of wanted) {
      const errorCode = answers.get(keyOf({ topic, partition }));
      if (errorCode === undefined) throw leftOut("OffsetCommit", topic, partition);
      // Nobody has asked as a member of the group.
      const detail = errorCode === UNKNOWN_MEMBER_ID && memberId === "" ? HAS_MEMBERS : undefined;
      if (errorCode === 0) continue;
      const error = brokerError(errorCode, { api: "OffsetCommit", topic, partition, detail });
      // Last of all: it concerns this partition alone, and a coordinator that has moved away answers it, too.
      if (!isThroughForOthers(error)) throw error;
      unknown ??= error;
    }
    if (unknown !== undefined) throw unknown;
  }

  /** Asks the coordinator of a group, again and again until it has answered, or time is up. */
  async #ask<T>(groupId: string, call: string, ask: (coordinator: Coordinator) => Promise<T>): Promise<T> {
    if (this.#closing.aborted) {
      await nextTurn(this.#runtime);
      throw closedError();
    }
    const { requestTimeoutMs, maxBlockMs } = this.#options;
    let coordinator = this.#coordinators.get(groupId);
    if (coordinator === undefined) {
      coordinator = new Coordinator(this.#cluster, "group", groupId, requestTimeoutMs);
      this.#coordinators.set(groupId, coordinator);
    }
    const deadlineMs = this.#runtime.now() + maxBlockMs;
    for (let attempt = 1;; attempt++) {
      try {
        const answer = await settledBy(this.#runtime, deadlineMs, ask(coordinator).then((value) => ({ value })));
        if (answer !== undefined) return answer.value;
        coordinator.forget();
        throw new KafkaError("The coordinator didn't answer.", { code: "REQUEST_TIMED_OUT", retriable: true });
      } catch (error) {
        if (this.#closing.aborted) throw closedError();
        if (!(error instanceof KafkaError) || !error.retriable) throw error;
        const { errorCode } = error;
        if (errorCode === undefined || ELSEWHERE_ERRORS.includes(errorCode)) coordinator.forget();
        const delayMs = this.#backoff.delayMs(attempt);
        if (this.#runtime.now() + delayMs >= deadlineMs) {
          const message = `${call}() for group ${show(groupId)} took longer than maxBlockMs. ${error.message}`;
          throw new TimeoutError(message, { cause: error });
        }
        await sleep(this.#runtime, delayMs, this.#closing);
      }
    }
  }
}

function goneError(groupId: string, cause: KafkaError): KafkaError {
  const { code, errorCode, partition, topic } = cause;
  const message =
    `Topic ${show(topic)} partition ${partition} isn't there, and no offset of it is committed for group ` +
    `${show(groupId)}; all others of the call are. Leave it out, or make the topic. ${cause.message}`;
  return new BrokerError(message, { code, errorCode: errorCode!, topic, partition, cause });
}

function throwError(errorCode: number, api: string, topic?: string, partition?: number): void {
  if (errorCode !== 0) throw brokerError(errorCode, { api, topic, partition });
}
