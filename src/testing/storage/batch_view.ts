/**
 * The header of a record batch as the broker reads and rewrites it, in place.
 *
 * @module
 */

import { crc32c } from "../../codec/crc32c.ts";
import * as layout from "../../protocol/record_batch_layout.ts";

/** What decides about a batch of an idempotent producer. */
export interface SequencedBatch {
  /** The producer id, 0 or more. */
  readonly producerId: bigint;
  /** The producer's epoch. */
  readonly epoch: number;
  /** The sequence of the first record. */
  readonly firstSequence: number;
  /** The sequence of the last record. */
  readonly lastSequence: number;
}

/** One batch, its header read where it lies. */
export class BatchView {
  /** The batch, exactly. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Looks at a batch of at least a header's size. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The offset of the first record; 0 as the producer sends it. */
  get baseOffset(): bigint {
    return this.#view.getBigInt64(layout.BASE_OFFSET);
  }

  /** The checksum that the header carries. */
  get crc(): number {
    return this.#view.getUint32(layout.CRC);
  }

  /** The checksum that the bytes have. */
  get actualCrc(): number {
    return crc32c(this.bytes, layout.ATTRIBUTES, this.bytes.length);
  }

  /** Codec and flags. */
  get attributes(): number {
    return this.#view.getInt16(layout.ATTRIBUTES);
  }

  /** The codec's number. */
  get compression(): number {
    return this.attributes & layout.CODEC_MASK;
  }

  /** Offset of the last record, counted from the first. */
  get lastOffsetDelta(): number {
    return this.#view.getInt32(layout.LAST_OFFSET_DELTA);
  }

  /** What the records' timestamp deltas count from, in ms. */
  get baseTimestampMs(): bigint {
    return this.#view.getBigInt64(layout.BASE_TIMESTAMP);
  }

  /** The latest timestamp, in ms. */
  get maxTimestampMs(): bigint {
    return this.#view.getBigInt64(layout.MAX_TIMESTAMP);
  }

  /** The producer id, negative when the producer is not idempotent. */
  get producerId(): bigint {
    return this.#view.getBigInt64(layout.PRODUCER_ID);
  }

  /** The producer's epoch. */
  get producerEpoch(): number {
    return this.#view.getInt16(layout.PRODUCER_EPOCH);
  }

  /** The sequence number of the first record. */
  get baseSequence(): number {
    return this.#view.getInt32(layout.BASE_SEQUENCE);
  }

  /** How many records there are, as the header says. */
  get recordCount(): number {
    return this.#view.getInt32(layout.RECORDS_COUNT);
  }

  /** The records, compressed or not. */
  get records(): Uint8Array {
    return this.bytes.subarray(layout.RECORDS);
  }

  /** Writes what the checksum doesn't cover: where the batch is in the log. */
  place(baseOffset: bigint, leaderEpoch: number): void {
    this.#view.setBigInt64(layout.BASE_OFFSET, baseOffset);
    this.#view.setInt32(layout.PARTITION_LEADER_EPOCH, leaderEpoch);
  }

  /** Writes attributes and latest timestamp, and the checksum anew when that changed them. */
  stamp(attributes: number, maxTimestampMs: bigint): void {
    if (attributes === this.attributes && maxTimestampMs === this.maxTimestampMs) return;
    this.#view.setInt16(layout.ATTRIBUTES, attributes);
    this.#view.setBigInt64(layout.MAX_TIMESTAMP, maxTimestampMs);
    this.#view.setUint32(layout.CRC, this.actualCrc);
  }
}
