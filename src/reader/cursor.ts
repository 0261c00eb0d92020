/**
 * One partition as a reader sees it: how far it has come, and what was fetched and not yet handed out.
 *
 * @module
 */

import { ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import { EpochsRead } from "./epochs_read.ts";
import type { Assignment, Position } from "./record.ts";

/** What one answer has brought for a partition. */
export interface Chunk {
  /** Whole batches, one behind the other; a part of the answer that has brought them, or a copy. */
  bytes: Uint8Array;
  /** Transactions of which nothing may be handed out (`read_committed`), by their first offset. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[];
  readonly highWatermark: bigint;
}

/** The state of one partition. */
export class Cursor {
  readonly topic: string;
  readonly partition: number;
  /** The offset of the next record to hand out; undefined until it has been looked up. */
  position: bigint | undefined;
  /** Where the next fetch goes on: ahead of `position` by what is buffered. */
  fetchOffset = -1n;
  /** Where to begin, while `position` is undefined. */
  start: Position;
  /** Chunks in order. */
  readonly chunks: Chunk[] = [];
  /** Bytes of the chunks. */
  bufferedBytes = 0;
  /** Nothing is fetched and nothing handed out. */
  paused = false;
  /** Counts the jumps: an answer that was asked for before one says nothing any more. */
  generation = 0;
  /** Not to be asked for before this, on the monotonic clock. */
  notBeforeMs = 0;
  /** Attempts in a row that have failed. */
  failures = 0;
  /** How often in a row what was fetched couldn't be read. */
  corruptions = 0;
  /** A request for it is on its way. */
  busy = false;
  /** Id of the topic whose records were fetched last; all zeros before the first, and after a jump. */
  topicId: string = ZERO_TOPIC_ID;
  /** The leaders that have appended what was fetched. */
  readonly epochs: EpochsRead = new EpochsRead();
  /** Epoch of the leader at which the position was last found to be in its log (KIP-320); −1 before, and after a jump. */
  validEpoch = -1;
  /** How much to ask for at a time; grows where a single batch is larger. */
  maxBytes: number;
  /** The last Fetch request that it was the first of; 0 before there was one. */
  round = 0;
  /** Of its next batch only the beginning came. */
  isCut = false;
  /** The iteration that is handing out its first chunk: another one doesn't begin with that. */
  holder: object | undefined;
  /** Which of the reader's chunks was its last one; 0 before the first. */
  turn = 0;
  /** Callers that have a record of it in hand, or one of before a jump. */
  holders = 0;
  /** Nothing is handed out while its group decides who reads it. */
  held = false;
  /** Why it can't go on; told by the iterator. */
  error: Error | undefined;

  /** Only its position is wanted, nothing is fetched. */
  readonly isProbe: boolean;

  constructor(topic: string, partition: number, start: Position, maxBytes: number, isProbe = false) {
    this.isProbe = isProbe;
    this.topic = topic;
    this.partition = partition;
    this.start = start;
    this.maxBytes = maxBytes;
  }

  /** A caller has a record of it in hand. */
  get inHand(): boolean {
    return this.holders > 0;
  }

  /** Nothing is handed out at the moment. */
  get isQuiet(): boolean {
    return this.paused || this.held;
  }

  /** Goes to another place; what is buffered or on its way is dropped. */
  jump(start: Position): void {
    this.start = start;
    this.position = undefined;
    this.generation += 1;
    this.holder = undefined;
    this.error = undefined;
    this.notBeforeMs = 0;
    this.failures = 0;
    this.corruptions = 0;
    this.isCut = false;
    this.epochs.clear();
    this.validEpoch = -1;
    this.topicId = ZERO_TOPIC_ID;
    this.dropBuffer();
  }

  /** The place where it begins is known. */
  startAt(offset: bigint): void {
    this.position = offset;
    this.fetchOffset = offset;
  }

  /** It begins where somebody has read before, who knew by whom the last record was appended. */
  assume({ start, leaderEpoch = -1 }: Assignment): void {
    if (typeof start === "bigint" && leaderEpoch >= 0) this.epochs.add({ from: start - 1n, epoch: leaderEpoch });
  }

  /** The epoch of the leader that has appended the record before an offset; −1 if that wasn't read. */
  epochBefore(offset: bigint): number {
    return offset > this.fetchOffset ? -1 : this.epochs.before(offset);
  }

  /** Forgets what was fetched and not handed out. */
  dropBuffer(): void {
    this.chunks.length = 0;
    this.bufferedBytes = 0;
    if (this.position !== undefined) this.fetchOffset = this.position;
  }
}
