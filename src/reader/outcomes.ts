/**
 * What an answer means to a partition that is read, and what follows where none came.
 *
 * @module
 */

import { Backoff } from "../cluster/backoff.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { isUsable, ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import {
  AuthenticationError,
  BrokerError,
  ConfigError,
  KafkaError,
  ProtocolError,
  UnsupportedVersionError,
} from "../errors.ts";
import {
  FENCED_LEADER_EPOCH,
  INCONSISTENT_TOPIC_ID,
  KAFKA_STORAGE_ERROR,
  LEADER_NOT_AVAILABLE,
  NOT_LEADER_OR_FOLLOWER,
  OFFSET_NOT_AVAILABLE,
  OFFSET_OUT_OF_RANGE,
  REPLICA_NOT_AVAILABLE,
  UNKNOWN_LEADER_EPOCH,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../protocol/error_code_names.ts";
import { brokerError, errorOf } from "../protocol/error_codes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { wholeBatches } from "./batch_decoder.ts";
import type { Changes } from "./changes.ts";
import type { Cursor } from "./cursor.ts";
import type { FetchBuffer } from "./fetch_buffer.ts";
import { leaderOf } from "./leader.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import type { EpochEnd, Fetched, ListedOffset } from "./requests.ts";
import type { Troubles } from "./troubles.ts";

/** The partition isn't led where it was asked, or not yet: metadata tells where. */
const NO_LEADER_ERRORS: readonly number[] = [
  UNKNOWN_TOPIC_OR_PARTITION,
  LEADER_NOT_AVAILABLE,
  NOT_LEADER_OR_FOLLOWER,
  REPLICA_NOT_AVAILABLE,
  KAFKA_STORAGE_ERROR,
  FENCED_LEADER_EPOCH,
  UNKNOWN_LEADER_EPOCH,
  OFFSET_NOT_AVAILABLE,
  UNKNOWN_TOPIC_ID,
  INCONSISTENT_TOPIC_ID,
];
/** How much of a partition is asked for at most: what a broker can be told. */
export const MOST_PARTITION_BYTES: number = 1 << 30;
const UNDEFINED_OFFSET = -1n;
/** What can't be read is fetched so often, for it may have been damaged on its way. */
const MOST_ATTEMPTS_AT_DAMAGE = 3;

/** What outcomes are carried out with. */
export interface OutcomeParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly options: ResolvedReaderOptions;
  /** Told of something to hand out, a position that was found, a cursor that has failed. */
  readonly changes: Changes;
  readonly troubles: Troubles;
  readonly buffer: FetchBuffer;
}

/** Carries out what leaders have answered for cursors: they go on, jump, are asked again later, or fail. */
export class Outcomes {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: ResolvedReaderOptions;
  readonly #changes: Changes;
  readonly #troubles: Troubles;
  readonly #buffer: FetchBuffer;
  readonly #backoff: Backoff;

  /** Outcomes of one fetcher. */
  constructor({ runtime, cluster, options, changes, troubles, buffer }: OutcomeParts) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#changes = changes;
    this.#troubles = troubles;
    this.#buffer = buffer;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
  }

  /** ListOffsets has told where a cursor begins. */
  listed(cursor: Cursor, answer: ListedOffset | undefined): void {
    if (answer === undefined) return this.retry(cursor, new ProtocolError("ListOffsets left out a partition."));
    const { errorCode, offset } = answer;
    if (errorCode !== 0) return this.#onErrorCode(cursor, errorCode, "ListOffsets");
    if (offset === UNDEFINED_OFFSET) {
      // No record is as young as that: the next one will be.
      if (typeof cursor.start === "object") cursor.start = "end";
      else this.retry(cursor, new ProtocolError(`ListOffsets told no offset of the ${cursor.start}.`));
      return;
    }
    if (offset < 0n) return this.fail(cursor, new ProtocolError(`ListOffsets told the offset ${offset}.`));
    cursor.startAt(offset);
    if (cursor.isProbe) this.#troubles.end(cursor);
  }

  /** OffsetForLeaderEpoch has told where the epoch that was read last ends in the log of a leader of `leaderEpoch`. */
  checked(cursor: Cursor, answer: EpochEnd | undefined, leaderEpoch: number): void {
    if (answer === undefined) {
      return this.retry(cursor, new ProtocolError("OffsetForLeaderEpoch left out a partition."));
    }
    if (answer.errorCode !== 0) return this.#onErrorCode(cursor, answer.errorCode, "OffsetForLeaderEpoch");
    cursor.validEpoch = leaderEpoch;
    // Its log begins with a later epoch: nothing of what was read is left.
    if (answer.endOffset < 0n || answer.leaderEpoch < 0) this.#onTruncation(cursor, undefined);
    else if (answer.endOffset < cursor.fetchOffset) {
      cursor.epochs.add({ from: answer.endOffset - 1n, epoch: answer.leaderEpoch });
      this.#onTruncation(cursor, answer.endOffset);
    }
  }

  /** Fetch has brought what comes next for a cursor; `isAlone` if it was asked for no other. */
  fetched(cursor: Cursor, answer: Fetched | undefined, isAlone: boolean): void {
    if (answer === undefined) return this.retry(cursor, new ProtocolError("Fetch left out a partition."));
    const { errorCode, records, abortedTransactions, highWatermark } = answer.partition;
    if (errorCode !== 0) return this.#onErrorCode(cursor, errorCode, "Fetch");
    if (this.#isAnew(cursor, answer.topicId)) return;
    cursor.failures = 0;
    this.#troubles.end(cursor);
    if (records === null || records.length === 0) return;
    let whole: ReturnType<typeof wholeBatches>;
    try {
      whole = wholeBatches(records, cursor.fetchOffset);
    } catch (error) {
      return this.#onDamage(cursor, error);
    }
    const { length, nextOffset, epochs } = whole;
    cursor.isCut = length === 0;
    if (cursor.isCut) {
      if (isAlone && cursor.maxBytes >= MOST_PARTITION_BYTES) {
        return this.#onDamage(cursor, new ProtocolError(`Its next batch is cut off after ${records.length} bytes.`));
      }
      // A broker sends the first batch whole, but only in the first partition of its answer (KIP-74).
      cursor.maxBytes = Math.min(cursor.maxBytes * 2, MOST_PARTITION_BYTES);
      return;
    }
    const bytes = records.subarray(0, length);
    this.#buffer.add(cursor, { bytes, aborted: abortedTransactions ?? [], highWatermark });
    cursor.fetchOffset = nextOffset;
    for (const span of epochs) cursor.epochs.add(span);
    this.#changes.tell();
  }

  /** A request for cursors came to nothing. */
  lost(cursors: readonly Cursor[], error: unknown): void {
    const isHopeless = error instanceof AuthenticationError || error instanceof ConfigError ||
      (error instanceof UnsupportedVersionError && !error.retriable);
    for (const cursor of cursors) {
      if (isHopeless) this.fail(cursor, error);
      else this.retry(cursor, error);
    }
    void this.#cluster.requestUpdate();
  }

  /** After a refresh of metadata, which has ended with `error` if any, nobody leads the partition of a cursor. */
  leaderless(cursor: Cursor, error: KafkaError | undefined): void {
    const { topic, partition } = cursor;
    if (error instanceof AuthenticationError || error instanceof ConfigError) return this.fail(cursor, error);
    const reason = this.#whyLeaderless(topic, partition);
    if (reason.retriable) this.#trouble(cursor, error ?? reason);
    else this.fail(cursor, reason);
  }

  /** The metadata knows of the topic what is wrong with it, or how many partitions it has. */
  #whyLeaderless(topic: string, partition: number): KafkaError {
    const context = { api: "Metadata", topic, partition };
    const metadata = this.#cluster.topic(topic);
    if (metadata === undefined) return brokerError(LEADER_NOT_AVAILABLE, context);
    const { errorCode, partitions } = metadata;
    if (errorCode !== 0) return brokerError(errorCode, context);
    if (!isUsable(metadata) || partition < partitions.length) return brokerError(LEADER_NOT_AVAILABLE, context);
    return brokerError(UNKNOWN_TOPIC_OR_PARTITION, { ...context, detail: `it has ${partitions.length} partitions` });
  }

  /** What was fetched can't be read. It is fetched again, and after that the caller is told. */
  damaged(cursor: Cursor, cause: unknown): void {
    const { topic, partition, position } = cursor;
    cursor.corruptions += 1;
    this.#buffer.drop(cursor);
    if (cursor.corruptions < MOST_ATTEMPTS_AT_DAMAGE) return this.retry(cursor, cause);
    cursor.corruptions = 0;
    const message =
      `Topic "${topic}" partition ${partition} can't be read at offset ${position}: three times what the ` +
      `broker sent was damaged. ${(cause as Error).message} Seek to an offset behind the batch to leave it out.`;
    this.fail(cursor, new KafkaError(message, { code: "CORRUPT_MESSAGE", topic, partition, cause }));
  }

  /** A cursor is asked for again, after a pause. */
  retry(cursor: Cursor, error: unknown): void {
    cursor.failures += 1;
    cursor.notBeforeMs = this.#runtime.now() + this.#backoff.delayMs(cursor.failures);
    this.#trouble(cursor, error);
  }

  /** A cursor doesn't go on before its caller has sought another place. */
  fail(cursor: Cursor, error: Error): void {
    cursor.error = error;
    this.#troubles.end(cursor);
    this.#changes.tell();
  }

  /** Nobody waits for a partition that is paused: nothing would tell that it can be read again. */
  #trouble(cursor: Cursor, error: unknown): void {
    if (!cursor.paused) this.#troubles.begin(cursor, error);
  }

  /** Records that were read are in the log no more. What follows the end that is left is read next. */
  #onTruncation(cursor: Cursor, endOffset: bigint | undefined): void {
    const { topic, partition } = cursor;
    const position = cursor.position!;
    const { onMissingOffset } = this.#options;
    this.#buffer.drop(cursor);
    if (endOffset !== undefined && endOffset >= position) return;
    const to = onMissingOffset === "fail" ? onMissingOffset : endOffset ?? onMissingOffset;
    const message =
      `Records of topic "${topic}" partition ${partition} that were read are in the log no more: it was ` +
      `cut off at offset ${endOffset ?? 0n}, the position is ${position}. ${advice(to)}`;
    const error = new KafkaError(message, { code: "LOG_TRUNCATED", topic, partition });
    if (to === "fail") return this.fail(cursor, error);
    this.#troubles.reset({ topic, partition, from: position, to, reason: error });
    if (typeof to === "string") return cursor.jump(to);
    cursor.generation += 1;
    cursor.startAt(to);
  }

  /**
   * True when another topic than before has answered to the name: its offsets mean nothing to what was read of the
   * deleted one, and reading on there would leave out what is new. Only the leader's word counts, for the metadata may be
   * of yesterday.
   */
  #isAnew(cursor: Cursor, topicId: string): boolean {
    const { partition, topic, topicId: before } = cursor;
    if (topicId !== before && before !== ZERO_TOPIC_ID && topicId !== ZERO_TOPIC_ID) {
      const message =
        `Topic "${topic}" partition ${partition} was deleted and made anew: offset ${cursor.fetchOffset} was ` +
        `one of the old log. ${advice(this.#options.onMissingOffset)}`;
      this.#onMissingOffset(cursor, new KafkaError(message, { code: "LOG_TRUNCATED", topic, partition }));
      return true;
    }
    cursor.topicId = topicId;
    return false;
  }

  /** What is buffered before it is in hand, and is handed out first. */
  #onDamage(cursor: Cursor, error: unknown): void {
    if (cursor.chunks.length > 0) this.retry(cursor, error);
    else this.damaged(cursor, error);
  }

  #onErrorCode(cursor: Cursor, errorCode: number, api: string): void {
    const { topic, partition } = cursor;
    const error = brokerError(errorCode, { api, topic, partition });
    if (errorCode === OFFSET_OUT_OF_RANGE) {
      return this.#onMissingOffset(cursor, missingOffset(cursor, error, this.#options.onMissingOffset));
    }
    if (NO_LEADER_ERRORS.includes(errorCode)) {
      // The connection may lead to where that broker was said to be before.
      const leader = leaderOf(this.#cluster, cursor);
      if (leader !== undefined) this.#cluster.brokerDenies(leader.leaderId);
      void this.#cluster.requestUpdate();
      return this.retry(cursor, error);
    }
    if (errorOf(errorCode).retriable) return this.retry(cursor, error);
    this.fail(cursor, error);
  }

  #onMissingOffset(cursor: Cursor, error: KafkaError): void {
    const { onMissingOffset } = this.#options;
    if (onMissingOffset === "fail") return this.fail(cursor, error);
    // What is buffered is in hand, and is handed out first.
    if (cursor.chunks.length > 0) return this.retry(cursor, error);
    const { failures, partition, position, topic } = cursor;
    if (position !== undefined) {
      this.#troubles.reset({ topic, partition, from: position, to: onMissingOffset, reason: error });
    }
    cursor.jump(onMissingOffset);
    cursor.failures = failures + 1;
    // The first time at once; where it was sent to there is nothing either.
    if (failures > 0) cursor.notBeforeMs = this.#runtime.now() + this.#backoff.delayMs(failures);
  }
}

/** What has to be done, or is done, where a position is gone. */
function advice(to: bigint | "beginning" | "end" | "fail"): string {
  if (to === "fail") return 'Seek to where to go on, or set "onMissingOffset" to "beginning" or "end".';
  return `Reading goes on at ${typeof to === "bigint" ? `offset ${to}` : `the ${to} of the log`}.`;
}

function missingOffset(
  { fetchOffset, topic, partition }: Cursor,
  cause: KafkaError,
  to: "beginning" | "end" | "fail",
): KafkaError {
  const message = `Offset ${fetchOffset} of topic "${topic}" partition ${partition} is not in its log. ${advice(to)}`;
  return new BrokerError(message, { code: cause.code, errorCode: cause.errorCode!, topic, partition, cause });
}
