/**
 * The header of a record batch as the broker reads and rewrites it, in place.
 *
 * @module
 */

import { crc32c } from "../codec/crc32c.ts";

/** Where the fields of a batch of magic 2 are, in bytes from its start. */
export const BATCH_OFFSETS = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

/** Bytes before the first record. */
export const BATCH_HEADER_SIZE = 61;

/** Bytes before the part that `batchLength` counts. */
export const LENGTH_END = 12;

/** Bits of the attributes. */
export const COMPRESSION_MASK = 0x07;
/** Set when the batch's timestamps are the broker's. */
export const LOG_APPEND_TIME = 0x08;
/** Set on the records of a transaction. */
export const TRANSACTIONAL = 0x10;
/** Set on the markers that end a transaction; never by a producer. */
export const CONTROL = 0x20;

/** One batch, its header read where it lies. */
export class BatchHeader {
  /** The batch, exactly. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Looks at a batch of at least {@link BATCH_HEADER_SIZE} bytes. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The offset of the first record; 0 as the producer sends it. */
  get baseOffset(): bigint {
    return this.#view.getBigInt64(BATCH_OFFSETS.baseOffset);
  }

  /** The checksum that the header carries. */
  get crc(): number {
    return this.#view.getUint32(BATCH_OFFSETS.crc);
  }

  /** The checksum that the bytes have. */
  get actualCrc(): number {
    return crc32c(this.bytes, BATCH_OFFSETS.attributes, this.bytes.length);
  }

  /** Codec and flags. */
  get attributes(): number {
    return this.#view.getInt16(BATCH_OFFSETS.attributes);
  }

  /** The codec's number. */
  get compression(): number {
    return this.attributes & COMPRESSION_MASK;
  }

  /** Offset of the last record, counted from the first. */
  get lastOffsetDelta(): number {
    return this.#view.getInt32(BATCH_OFFSETS.lastOffsetDelta);
  }

  /** What the records' timestamp deltas count from, in ms. */
  get baseTimestampMs(): bigint {
    return this.#view.getBigInt64(BATCH_OFFSETS.baseTimestamp);
  }

  /** The latest timestamp, in ms. */
  get maxTimestampMs(): bigint {
    return this.#view.getBigInt64(BATCH_OFFSETS.maxTimestamp);
  }

  /** The producer id, negative when the producer is not idempotent. */
  get producerId(): bigint {
    return this.#view.getBigInt64(BATCH_OFFSETS.producerId);
  }

  /** The producer's epoch. */
  get producerEpoch(): number {
    return this.#view.getInt16(BATCH_OFFSETS.producerEpoch);
  }

  /** The sequence number of the first record. */
  get baseSequence(): number {
    return this.#view.getInt32(BATCH_OFFSETS.baseSequence);
  }

  /** How many records there are, as the header says. */
  get recordCount(): number {
    return this.#view.getInt32(BATCH_OFFSETS.recordCount);
  }

  /** The records, compressed or not. */
  get records(): Uint8Array {
    return this.bytes.subarray(BATCH_HEADER_SIZE);
  }

  /** Writes what the checksum doesn't cover: where the batch is in the log. */
  place(baseOffset: bigint, leaderEpoch: number): void {
    this.#view.setBigInt64(BATCH_OFFSETS.baseOffset, baseOffset);
    this.#view.setInt32(BATCH_OFFSETS.partitionLeaderEpoch, leaderEpoch);
  }

  /** Writes attributes and latest timestamp, and the checksum anew when that changed them. */
  stamp(attributes: number, maxTimestampMs: bigint): void {
    if (attributes === this.attributes && maxTimestampMs === this.maxTimestampMs) return;
    this.#view.setInt16(BATCH_OFFSETS.attributes, attributes);
    this.#view.setBigInt64(BATCH_OFFSETS.maxTimestamp, maxTimestampMs);
    this.#view.setUint32(BATCH_OFFSETS.crc, this.actualCrc);
  }
}
