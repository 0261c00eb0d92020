/**
 * One partition's log: the batches as they were appended, and how a reader finds his way in them.
 *
 * @module
 */

import { LOG_APPEND_TIME_BIT } from "../protocol/record_batch_layout.ts";
import { BatchView } from "./batch_view.ts";
import { RecordCursor } from "./record_cursor.ts";

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
}

/** How a batch is appended. */
export interface AppendOptions {
  /** The leader's epoch. */
  readonly leaderEpoch: number;
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
  readonly #watchers = new Set<() => void>();
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

  /** @internal Copies a batch to the end, gives it its offsets, and tells who watches. */
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
    };
    this.#batches.push(batch);
    this.#endOffset = batch.lastOffset + 1n;
    this.#sizeInBytes += batch.bytes.length;
    for (const watcher of [...this.#watchers]) watcher();
    return batch;
  }

  /** Whole batches from the one that holds an offset, the first however large, up to a size. */
  read(fromOffset: bigint, maxBytes: number, firstAtAnySize = true): Uint8Array[] {
    const found: Uint8Array[] = [];
    let size = 0;
    for (let i = this.#indexOf(fromOffset); i < this.#batches.length; i++) {
      const { bytes } = this.#batches[i]!;
      if (size + bytes.length > maxBytes && !(firstAtAnySize && found.length === 0)) break;
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
        header.compression === 0 ? header.records : await decompress(header.compression, header.records),
      );
      while (cursor.next()) {
        const found = header.baseTimestampMs + cursor.timestampDelta;
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

  /** Calls back after every append, until the returned call. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
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
