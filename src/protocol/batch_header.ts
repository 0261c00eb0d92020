/**
 * The header of a record batch, read where it lies.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import * as layout from "./record_batch_layout.ts";

/** The header of a whole batch; each field is read when it is asked for. */
export class BatchHeader {
  /** The batch, of at least a header's size. */
  readonly bytes: Uint8Array;
  /** The same for numbers. */
  protected readonly view: DataView;

  /** @throws ProtocolError when there are fewer bytes than a header has */
  constructor(bytes: Uint8Array) {
    if (bytes.length < layout.BATCH_OVERHEAD) {
      throw new ProtocolError(`Reading the header of a batch of ${bytes.length} bytes: wanted at least 61.`);
    }
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Offset of the first record in the log; 0 as a producer sends it. */
  get baseOffset(): bigint {
    return this.view.getBigInt64(layout.BASE_OFFSET);
  }

  /** Bytes after the length field. */
  get batchLength(): number {
    return this.view.getInt32(layout.BATCH_LENGTH);
  }

  /** Epoch of the leader that appended it. */
  get partitionLeaderEpoch(): number {
    return this.view.getInt32(layout.PARTITION_LEADER_EPOCH);
  }

  /** The format's number, 2. */
  get magic(): number {
    return this.view.getInt8(layout.MAGIC);
  }

  /** CRC-32C of everything after it, as the header has it. */
  get crc(): number {
    return this.view.getUint32(layout.CRC);
  }

  /** All attribute bits. */
  get attributes(): number {
    return this.view.getInt16(layout.ATTRIBUTES);
  }

  /** Offset of the last record less {@link baseOffset}. */
  get lastOffsetDelta(): number {
    return this.view.getInt32(layout.LAST_OFFSET_DELTA);
  }

  /** What the records' timestamps are relative to, in ms. */
  get baseTimestamp(): bigint {
    return this.view.getBigInt64(layout.BASE_TIMESTAMP);
  }

  /** The highest timestamp, or the broker's own where it sets them, in ms. */
  get maxTimestamp(): bigint {
    return this.view.getBigInt64(layout.MAX_TIMESTAMP);
  }

  /** −1 for a producer that is not idempotent. */
  get producerId(): bigint {
    return this.view.getBigInt64(layout.PRODUCER_ID);
  }

  /** −1 for a producer that is not idempotent. */
  get producerEpoch(): number {
    return this.view.getInt16(layout.PRODUCER_EPOCH);
  }

  /** The sequence number of the first record; −1 for a producer that is not idempotent. */
  get baseSequence(): number {
    return this.view.getInt32(layout.BASE_SEQUENCE);
  }

  /** How many records follow. */
  get recordsCount(): number {
    return this.view.getInt32(layout.RECORDS_COUNT);
  }

  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  get codecId(): number {
    return this.attributes & layout.CODEC_MASK;
  }

  /** The broker set the timestamps. */
  get isLogAppendTime(): boolean {
    return (this.attributes & layout.LOG_APPEND_TIME_BIT) !== 0;
  }

  /** The batch belongs to a transaction. */
  get isTransactional(): boolean {
    return (this.attributes & layout.TRANSACTIONAL_BIT) !== 0;
  }

  /** The batch holds a control record, not data. */
  get isControl(): boolean {
    return (this.attributes & layout.CONTROL_BIT) !== 0;
  }

  /** The records, compressed or not. */
  get records(): Uint8Array {
    return this.bytes.subarray(layout.RECORDS);
  }
}
