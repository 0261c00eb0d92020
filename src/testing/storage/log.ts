/**
 * One replica's log: the batches as they were appended, and how a reader finds its way in them.
 *
 * Replicas share the batches, which never change. That two logs hold the same object at an offset is how a follower
 * finds out how far it agrees with a leader, where Kafka compares the epochs of leaders.
 *
 * @module
 */

import { LOG_APPEND_TIME_BIT } from "../../protocol/record_batch_layout.ts";
import { RecordCursor } from "../../protocol/record_cursor.ts";
import { BatchView, type SequencedBatch } from "./batch_view.ts";

/** A batch in the log. Its bytes are the log's own copy. */
export interface StoredBatch {
  /** The batch, base offset and leader epoch written into it. */
  readonly bytes: Uint8Array;
  /** The offset of the first record. */
  readonly baseOffset: bigint;
  /** The offset of the last record. */
  readonly lastOffset: bigint;
  /** The latest timestamp, in ms. */
  readonly maxTimestampMs: bigint;
  /** The epoch of the leader that appended it. */
  readonly leaderEpoch: number;
  /** When it was appended, by the cluster's clock in ms. */
  readonly appendedAtMs: number;
  /** The sequence numbers that an idempotent producer gave it. */
  readonly sequenced: SequencedBatch | undefined;
  /** What it has to do with a transaction. */
  readonly transactional: TransactionalBatch | undefined;
}

/** A batch of a transaction, or the marker that ends it. */
export interface TransactionalBatch {
  /** The producer whose transaction it is. */
  readonly producerId: bigint;
  /** The producer's epoch; that of a marker holds from then on. */
  readonly epoch: number;
  /** Records, or how the transaction has ended. */
  readonly kind: "records" | "commit" | "abort";
  /** The epoch of the coordinator, in a marker. */
  readonly coordinatorEpoch?: number;
}

/** Where the batches of a leader begin. */
export interface EpochStart {
  /** The leader's epoch. */
  readonly epoch: number;
  /** The first offset that it wrote. */
  readonly startOffset: bigint;
}

/** How a batch is appended. */
export interface AppendOptions {
  /** The leader's epoch. */
  readonly leaderEpoch: number;
  /** The cluster's clock, in ms. @default 0 */
  readonly appendedAtMs?: number;
  /** The sequence numbers of an idempotent producer. */
  readonly sequenced?: SequencedBatch | undefined;
  /** What it has to do with a transaction. */
  readonly transactional?: TransactionalBatch | undefined;
  /** The latest timestamp of the records. */
  readonly maxTimestampMs: bigint;
  /** The broker's date, when the topic's timestamps are the broker's. */
  readonly logAppendTimeMs?: number | undefined;
}

/** A record found by its timestamp. */
export interface FoundOffset {
  /** Its offset. */
  readonly offset: bigint;
  /** Its timestamp, in ms. */
  readonly timestamp: bigint;
  /** The epoch of the leader that appended it. */
  readonly leaderEpoch: number;
}

/** Decompresses under a codec's number. */
export type Decompress = (compression: number, bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** The batches of a partition, in order, from its start offset to its end offset. */
export class PartitionLog {
  readonly #batches: StoredBatch[] = [];
  #startOffset = 0n;
  #endOffset = 0n;
  #sizeInBytes = 0;

  /** The first offset that can be read. */
  get startOffset(): bigint {
    return this.#startOffset;
  }

  /** The offset that the next record will have. */
  get endOffset(): bigint {
    return this.#endOffset;
  }

  /** Bytes of all batches. */
  get sizeInBytes(): number {
    return this.#sizeInBytes;
  }

  /** The batches, oldest first. */
  get batches(): readonly StoredBatch[] {
    return this.#batches;
  }

  /** The epochs of the leaders that wrote what is in the log, oldest first. */
  get epochs(): readonly EpochStart[] {
    const epochs: EpochStart[] = [];
    for (const { leaderEpoch, baseOffset } of this.#batches) {
      if (epochs.at(-1)?.epoch !== leaderEpoch) epochs.push({ epoch: leaderEpoch, startOffset: baseOffset });
    }
    return epochs;
  }

  /** @internal Copies a batch to the end and gives it its offsets. */
  append(sent: BatchView, options: AppendOptions): StoredBatch {
    const header = new BatchView(sent.bytes.slice());
    const { leaderEpoch, logAppendTimeMs } = options;
    const maxTimestampMs = logAppendTimeMs === undefined ? options.maxTimestampMs : BigInt(logAppendTimeMs);
    const attributes = logAppendTimeMs === undefined
      ? header.attributes & ~LOG_APPEND_TIME_BIT
      : header.attributes | LOG_APPEND_TIME_BIT;
    header.place(this.#endOffset, leaderEpoch);
    header.stamp(attributes, maxTimestampMs);
    const batch: StoredBatch = {
      bytes: header.bytes,
      baseOffset: this.#endOffset,
      lastOffset: this.#endOffset + BigInt(header.lastOffsetDelta),
      maxTimestampMs,
      leaderEpoch,
      appendedAtMs: options.appendedAtMs ?? 0,
      sequenced: options.sequenced,
      transactional: options.transactional,
    };
    this.#push(batch);
    return batch;
  }

  /** @internal Takes over from another log what comes after this one's end; returns the batches. */
  copyFrom(leader: PartitionLog): readonly StoredBatch[] {
    const batches = leader.#batches.slice(leader.#indexOf(this.#endOffset));
    for (const batch of batches) this.#push(batch);
    if (leader.#startOffset > this.#startOffset) this.deleteBefore(leader.#startOffset);
    return batches;
  }

  /** @internal Up to which offset this log holds the same batches as another one. */
  agreedOffset(other: PartitionLog): bigint {
    for (let i = this.#batches.length - 1; i >= 0; i--) {
      const batch = this.#batches[i]!;
      if (batch.lastOffset < other.#startOffset) break;
      if (other.#batches[other.#indexOf(batch.baseOffset)] === batch) return batch.lastOffset + 1n;
    }
    // Nothing in common: empty so far, or all of it is older than what the other one still has.
    const start = this.#startOffset > other.#startOffset ? this.#startOffset : other.#startOffset;
    return start > other.#endOffset ? other.#endOffset : start;
  }

  /** @internal Cuts off what comes from an offset on, which is the end afterwards. */
  truncateTo(offset: bigint): void {
    while (this.#batches.length > 0 && this.#batches.at(-1)!.lastOffset >= offset) {
      this.#sizeInBytes -= this.#batches.pop()!.bytes.length;
    }
    this.#endOffset = offset;
    if (this.#startOffset > offset || this.#batches.length === 0) this.#startOffset = offset;
  }

  /**
   * Batches from the one that holds an offset, up to a size and before an end. Whole batches and the beginning of the
   * next, as Kafka cuts by bytes; the first one comes whole or not at all, however large if wanted.
   */
  read(fromOffset: bigint, maxBytes: number, firstAtAnySize = true, endOffset: bigint = this.#endOffset): Uint8Array[] {
    const found: Uint8Array[] = [];
    let size = 0;
    for (let i = this.#indexOf(fromOffset); i < this.#batches.length; i++) {
      const { bytes, lastOffset } = this.#batches[i]!;
      if (lastOffset >= endOffset) break;
      const room = maxBytes - size;
      if (bytes.length > room && !(firstAtAnySize && found.length === 0)) {
        if (found.length > 0 && room > 0) found.push(bytes.subarray(0, room));
        break;
      }
      found.push(bytes);
      size += bytes.length;
    }
    return found;
  }

  /** @internal The first record of a timestamp or later. */
  async offsetForTimestamp(timestamp: bigint, decompress: Decompress): Promise<FoundOffset | undefined> {
    for (const batch of this.#batches) {
      if (batch.maxTimestampMs < timestamp || batch.lastOffset < this.#startOffset) continue;
      const header = new BatchView(batch.bytes);
      if ((header.attributes & LOG_APPEND_TIME_BIT) !== 0) {
        return { offset: batch.baseOffset, timestamp: batch.maxTimestampMs, leaderEpoch: batch.leaderEpoch };
      }
      const cursor = new RecordCursor(
        header.codecId === 0 ? header.records : await decompress(header.codecId, header.records),
        "broker",
      );
      while (cursor.next()) {
        const found = header.baseTimestamp + cursor.timestampDelta;
        const offset = batch.baseOffset + BigInt(cursor.offsetDelta);
        if (found >= timestamp && offset >= this.#startOffset) {
          return { offset, timestamp: found, leaderEpoch: batch.leaderEpoch };
        }
      }
    }
    return undefined;
  }

  /** The latest timestamp in the log. */
  get maxTimestampMs(): bigint | undefined {
    let max: bigint | undefined;
    for (const { maxTimestampMs } of this.#batches) if (max === undefined || maxTimestampMs > max) max = maxTimestampMs;
    return max;
  }

  /** Drops the records before an offset, as DeleteRecords and retention do. */
  deleteBefore(offset: bigint): void {
    this.#startOffset = offset > this.#endOffset ? this.#endOffset : offset;
    while (this.#batches.length > 0 && this.#batches[0]!.lastOffset < this.#startOffset) {
      this.#sizeInBytes -= this.#batches.shift()!.bytes.length;
    }
  }

  #push(batch: StoredBatch): void {
    this.#batches.push(batch);
    this.#endOffset = batch.lastOffset + 1n;
    this.#sizeInBytes += batch.bytes.length;
  }

  /** The index of the batch that holds an offset or comes after it. */
  #indexOf(offset: bigint): number {
    let low = 0;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#batches[middle]!.lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
