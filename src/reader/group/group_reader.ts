/**
 * A reader whose partitions are divided among the members of a consumer group.
 *
 * @module
 */

import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { sleep } from "../../cluster/sleep.ts";
import { KafkaError } from "../../errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { checkOffsets } from "../arguments.ts";
import type { SendAsked } from "../asked_offsets.ts";
import type { Cursor } from "../cursor.ts";
import { innerOf, positionsOf, Reader, type ReaderInner, withEpochs } from "../reader.ts";
import {
  keyOf,
  type Position,
  type ReadBatch,
  type ReadRecord,
  type TopicPartition,
  type TopicPartitionOffset,
} from "../record.ts";
import { Membership } from "./membership.ts";
import { type GroupReaderOptions, type ResolvedGroupOptions, resolveGroupOptions } from "./options.ts";
import {
  FENCED_INSTANCE_ID,
  ILLEGAL_GENERATION,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
} from "../../protocol/error_code_names.ts";

const CLOSE_TIMEOUT_MS = 30_000;

/**
 * Reads topics together with the other members of a group: each partition is read by one of them.
 *
 * Members are Java's, KafkaJS's and others' as well as this one (the classic protocol). What is read begins at the
 * group's committed offsets, or at `onMissingOffset`. Nothing is committed unless {@link commit} is called, or
 * `sendOffsets` of a transaction.
 *
 * A rebalance takes a partition away only when the iteration has come back for more: what was handed out before is done
 * by then, or in the hands of `onRevoked`. A caller that doesn't come back within `rebalanceTimeoutMs` loses everything.
 * A member that was dropped enters the group again when its caller comes back for more: nothing that was lost in its
 * hands is committed in the name of the next generation.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { GroupReader } from "@sluice/kafka/reader";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 4 } });
 * const options = { brokers: cluster.bootstrap, connect: cluster.sockets };
 * await using producer = new Producer(options);
 * await producer.send({ topic: "orders", value: "hello" });
 *
 * await using reader = new GroupReader({ ...options, groupId: "billing", topics: ["orders"] });
 * for await (const { topic, partition, offset } of reader) {
 *   // work on it, then:
 *   await reader.commit([{ topic, partition, offset: offset + 1n }]);
 *   break;
 * }
 * ```
 *
 * @example Consume, transform, produce: every record counts exactly once, with any number of instances
 * ```ts
 * import { Producer, TransactionalProducer } from "@sluice/kafka";
 * import { GroupReader } from "@sluice/kafka/reader";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { in: 4, out: 4 } });
 * const options = { brokers: cluster.bootstrap, connect: cluster.sockets };
 * await using source = new Producer(options);
 * await source.send({ topic: "in", value: "hello" });
 *
 * await using reader = new GroupReader({ ...options, groupId: "etl", topics: ["in"] });
 * await using producer = new TransactionalProducer({ ...options, transactionalId: "etl-1" });
 * for await (const { topic, partition, records, nextOffset, leaderEpoch } of reader.batches()) {
 *   await producer.transaction(async (tx) => {
 *     for (const { key, value } of records) tx.send({ topic: "out", key, value });
 *     await tx.sendOffsets({ topic, partition, offset: nextOffset, leaderEpoch }, reader.groupMetadata());
 *   });
 *   break;
 * }
 * console.assert(cluster.groups.committed("etl", "in", 0) !== 0n);
 * ```
 */
export class GroupReader implements AsyncIterable<ReadRecord> {
  readonly #reader: Reader;
  readonly #inner: ReaderInner;
  readonly #options: ResolvedGroupOptions;
  readonly #membership: Membership;
  #closing: Promise<void> | undefined;

  /**
   * Makes a reader that hasn't joined its group yet; the first iteration does, or {@link join}.
   *
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(options: GroupReaderOptions, runtime?: Runtime) {
    const [readerOptions, groupOptions] = resolveGroupOptions(options);
    this.#options = groupOptions;
    this.#reader = new Reader(readerOptions, runtime);
    this.#inner = innerOf(this.#reader);
    this.#membership = new Membership(this.#reader, groupOptions);
  }

  /** The partitions that are this member's, in no particular order. */
  get assignment(): TopicPartition[] {
    return this.#reader.assignment;
  }

  /**
   * Enters the group, unless it has. Resolves with the first assignment; rejects with what stands against it, which may
   * be a record in hand of a partition that was lost. Within a listener it waits for nothing.
   */
  async join(): Promise<TopicPartition[]> {
    await this.#inner.outstanding.during(this.#membership.joined());
    return this.assignment;
  }

  /**
   * What the member knows of itself, for `sendOffsets` of a transaction: when the group has gone on without it, its
   * offsets are refused, and so is the transaction. Take it before the next record is asked for.
   *
   * @throws {KafkaError} code `NOT_IN_GROUP` before the group was joined
   */
  groupMetadata(): GroupMetadata {
    const { metadata } = this.#membership;
    if (metadata !== undefined) return metadata;
    throw new KafkaError("Join the group first, by join() or by reading: this member doesn't know itself yet.", {
      code: "NOT_IN_GROUP",
    });
  }

  /** Record by record. The position is behind a record as soon as it is handed out. Joins the group if need be. */
  [Symbol.asyncIterator](): AsyncGenerator<ReadRecord, void, undefined> {
    return this.#inner.records(() => this.#membership.start());
  }

  /**
   * Batch by batch, as they stand in the log, the partitions in turn. Ends when the reader is closed. Throws what a
   * partition or the membership can't go on after (authorization, a missing offset with `onMissingOffset: "fail"`, what
   * a listener has thrown); a new iteration joins again, unless the member was fenced by one of the same
   * `groupInstanceId`.
   */
  batches(): AsyncGenerator<ReadBatch, void, undefined> {
    return this.#inner.batches(() => this.#membership.start());
  }

  /**
   * Commits offsets of the group, outside of any transaction: those given, or the positions of all partitions of this
   * member, which are behind everything that was handed out. Rejects after `maxBlockMs`; when the group has gone on
   * without this member nothing is committed, and the records will be read again by somebody else
   * (`code: "COMMIT_FAILED"`). Of a partition that isn't there (`UNKNOWN_TOPIC_OR_PARTITION`) it says so when all others
   * are committed.
   */
  async commit(offsets?: Iterable<TopicPartitionOffset>): Promise<void> {
    const { cursors } = this.#inner;
    // What stood at the time of the call: a later position was not asked for, and a partition that has been somebody
    // else's meanwhile, with a cursor of its own, may have come further. What was lost in the caller's hands counts as
    // well, so that the coordinator refuses it.
    const read = new Map([...this.#membership.lostInHand.map((each) => [keyOf(each), each] as const), ...cursors]);
    const held = (offsets === undefined ? positionsOf(read) : withEpochs(checkOffsets(offsets), read))
      .map((place) => ({ place, cursor: read.get(keyOf(place)) }));
    const metadata = this.groupMetadata();
    if (held.length === 0) return;
    const places = held.map(({ place }) => place);
    await this.#inner.ask(this.#options.groupId, places, (send) => this.#commit(held, metadata, send));
  }

  /** Commits, in the name of the generation at the time of the call or, if all of it stays here, of a later one. */
  async #commit(
    held: readonly { readonly place: TopicPartitionOffset; readonly cursor: Cursor | undefined }[],
    first: GroupMetadata,
    send: SendAsked,
  ): Promise<void> {
    const { cursors, options, runtime } = this.#inner;
    const deadlineMs = runtime.now() + options.maxBlockMs;
    for (let metadata = first;; metadata = this.groupMetadata()) {
      try {
        return await this.#inner.commit(metadata, send);
      } catch (error) {
        const { errorCode } = error as KafkaError;
        const isRefused = errorCode === FENCED_INSTANCE_ID || errorCode === UNKNOWN_MEMBER_ID ||
          errorCode === ILLEGAL_GENERATION;
        if (!isRefused && errorCode !== REBALANCE_IN_PROGRESS) throw error;
        if (isRefused && this.#membership.isRefused(metadata, error as KafkaError)) {
          throw commitFailed(this.#options.groupId, error as KafkaError);
        }
        // The group is between two generations, or this member is in the next one already; if all of it stays with this
        // member it can be committed there.
        await this.#inner.outstanding.during(sleep(runtime, options.retryBackoffMs, this.#inner.closing));
        const isLater = this.groupMetadata() !== first;
        const isGone = held.some(({ place, cursor }) => {
          return cursors.get(keyOf(place)) !== cursor || (cursor === undefined && isLater);
        });
        if (isGone || runtime.now() >= deadlineMs) {
          throw commitFailed(this.#options.groupId, error as KafkaError);
        }
      }
    }
  }

  /** The offsets that the group has committed; a partition without one is left out. Rejects after `maxBlockMs`. */
  committed(partitions: Iterable<TopicPartition> = this.assignment): Promise<TopicPartitionOffset[]> {
    return this.#reader.committed(this.#options.groupId, partitions);
  }

  /** Goes to another place of a partition of this member. What was fetched of it and not handed out is dropped. */
  seek(partition: TopicPartition, position: Position): void {
    this.#reader.seek(partition, position);
  }

  /** Hands out nothing of these partitions until {@link resume}, or until they have been somebody else's. */
  pause(partitions: Iterable<TopicPartition>): void {
    this.#reader.pause(partitions);
  }

  /** Goes on with partitions that were paused. */
  resume(partitions: Iterable<TopicPartition>): void {
    this.#reader.resume(partitions);
  }

  /** The offset behind everything that was handed out of a partition; undefined before its beginning was looked up. */
  position(partition: TopicPartition): bigint | undefined {
    return this.#reader.position(partition);
  }

  /** The offset of the first record at or behind a place, for each of the partitions. */
  offsetsOf(partitions: Iterable<TopicPartition>, position: Position): Promise<TopicPartitionOffset[]> {
    return this.#reader.offsetsOf(partitions, position);
  }

  /**
   * Gives up the partitions (`onRevoked`), leaves the group, so that others take over at once, ends iterations, and
   * closes every connection. Doesn't wait for a caller that works on a record. Idempotent; takes 30 s at most, but for
   * a listener.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    if (!this.#membership.isCalledByListener) return this.#closing;
    // The listener would wait for itself.
    this.#closing.catch(() => {});
    return Promise.resolve();
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#membership.close();
    await this.#inner.outstanding.during(this.#endMembership());
  }

  async #endMembership(): Promise<void> {
    const before = this.#membership.failure;
    const waiting = new AbortController();
    const ended = this.#membership.ended.then(() => waiting.abort());
    await Promise.race([ended, sleep(this.#inner.runtime, CLOSE_TIMEOUT_MS, waiting.signal)]);
    // What a listener throws is known when everything is given up.
    if (this.#membership.isInListener) {
      while (this.#membership.state !== "closed") await this.#inner.nextEvent();
    }
    const { failure } = this.#membership;
    await this.#reader.close();
    // What the last onRevoked has thrown.
    if (failure !== undefined && failure !== before) throw failure;
  }
}

function commitFailed(groupId: string, cause: KafkaError): KafkaError {
  const message =
    `Committing offsets of group "${groupId}" was refused, and nothing is committed: the group has gone ` +
    `on without this member, and the records will be read again by whoever has their partitions now. ` +
    `Raise "sessionTimeoutMs" or "rebalanceTimeoutMs" if it was too slow. ${cause.message}`;
  return new KafkaError(message, { code: "COMMIT_FAILED", errorCode: cause.errorCode!, cause });
}
