/**
 * Writes record batches, magic 2: the records one by one as they come, the header when the batch is complete.
 *
 * Plain functions over a buffer, because this is the code that every record goes through.
 *
 * @module
 */

import { COPY_BY_LOOP, copyInto } from "../byte_arrays.ts";
import {
  ATTRIBUTES,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_LENGTH,
  BATCH_OVERHEAD,
  CRC,
  LAST_OFFSET_DELTA,
  LOG_OVERHEAD,
  MAGIC,
  MAGIC_V2,
  MAX_TIMESTAMP,
  PARTITION_LEADER_EPOCH,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  RECORDS_COUNT,
} from "./record_batch_layout.ts";
import { RecordCursor } from "./record_cursor.ts";
import { sizeOfVarlong, writeUint32, writeVarlong } from "./varint.ts";

/**
 * A record as bytes. The key stands in `key[0, keyLength)`, the value in `value[0, valueLength)` and the headers in
 * `headers[0, headersLength)`, so that buffers which are longer than their content can be used over and over.
 *
 * The value may be the caller's own: what it says of itself isn't believed (see `byte_arrays`).
 */
export interface RecordBytes {
  key: Uint8Array | null;
  keyLength: number;
  value: Uint8Array | null;
  valueLength: number;
  /** The whole header section with its count; null for none. */
  headers: Uint8Array | null;
  headersLength: number;
}

/** More than the size of any record with this content, whatever its place in a batch. */
export function maxSizeOfRecord(record: RecordBytes): number {
  // length 5, attributes 1, timestamp delta 10, offset delta 5, key length 5, value length 5, header count 1
  return 32 + record.keyLength + record.valueLength + record.headersLength;
}

/** The size of a record without the length that stands before it. */
export function sizeOfRecordBody(record: RecordBytes, offsetDelta: number, timestampDelta: number): number {
  return 1 + (isSmallDelta(timestampDelta) ? sizeOfLength(timestampDelta) : sizeOfVarlong(timestampDelta)) +
    sizeOfLength(offsetDelta) +
    (record.key === null ? 1 : sizeOfLength(record.keyLength) + record.keyLength) +
    (record.value === null ? 1 : sizeOfLength(record.valueLength) + record.valueLength) +
    (record.headers === null ? 1 : record.headersLength);
}

/**
 * True of nearly all: ms since the first record of a batch. Zero is one of them and no case of its own, for what is done
 * for the first time after a function was compiled makes the engine compile it once more.
 */
function isSmallDelta(timestampDelta: number): boolean {
  return timestampDelta >= 0 && timestampDelta < 0x4000_0000;
}

/** Bytes that a varint of what is never negative takes. */
function sizeOfLength(length: number): number {
  return length < 0x40 ? 1 : length < 0x2000 ? 2 : length < 0x10_0000 ? 3 : length < 0x800_0000 ? 4 : 5;
}

/**
 * Writes a record, unless it would end behind `limit`: nothing is written then.
 *
 * All in one piece, too large for the engine to put it into its callers: each function that it does that with is compiled
 * once by itself and again inside of them, which costs a program that sends for a second more than the sending.
 *
 * @returns the offset after the record; the same below zero if it lies behind the limit
 */
export function writeRecord(
  buffer: Uint8Array,
  offset: number,
  limit: number,
  record: RecordBytes,
  offsetDelta: number,
  timestampDelta: number,
): number {
  const { key, keyLength, value, valueLength, headers, headersLength } = record;
  const bodySize = sizeOfRecordBody(record, offsetDelta, timestampDelta);
  const end = offset + sizeOfLength(bodySize) + bodySize;
  if (end > limit) return -end;
  let at = offset;
  // Lengths are varints of what is never negative: twice the number. A byte keeps the lowest eight bits of what it is given.
  let rest = bodySize * 2;
  for (; rest >= 0x80; rest >>>= 7) buffer[at++] = rest | 0x80;
  buffer[at++] = rest;
  buffer[at++] = 0;
  if (isSmallDelta(timestampDelta)) {
    for (rest = timestampDelta * 2; rest >= 0x80; rest >>>= 7) buffer[at++] = rest | 0x80;
    buffer[at++] = rest;
  } else {
    at = writeVarlong(buffer, at, timestampDelta);
  }
  for (rest = offsetDelta * 2; rest >= 0x80; rest >>>= 7) buffer[at++] = rest | 0x80;
  buffer[at++] = rest;
  if (key === null) {
    buffer[at++] = NULL_LENGTH;
  } else {
    for (rest = keyLength * 2; rest >= 0x80; rest >>>= 7) buffer[at++] = rest | 0x80;
    buffer[at++] = rest;
    if (keyLength <= COPY_BY_LOOP) { for (let index = 0; index < keyLength; index++) buffer[at + index] = key[index]!; }
    else copyInto(buffer, at, key, keyLength);
    at += keyLength;
  }
  if (value === null) {
    buffer[at++] = NULL_LENGTH;
  } else {
    for (rest = valueLength * 2; rest >= 0x80; rest >>>= 7) buffer[at++] = rest | 0x80;
    buffer[at++] = rest;
    copyInto(buffer, at, value, valueLength);
    at += valueLength;
  }
  if (headers === null) buffer[at] = 0;
  else copyInto(buffer, at, headers, headersLength);
  return end;
}

/** -1, zig-zag coded. */
const NULL_LENGTH = 1;

/** Reads what {@link writeRecord} has written: so many records one after the other, without their two deltas. */
export function readRecords(section: Uint8Array, count: number): RecordBytes[] {
  const cursor = new RecordCursor(section, "client");
  return Array.from({ length: count }, () => {
    cursor.next();
    const { key, value } = cursor;
    const headers = cursor.headerCount === 0 ? null : cursor.headerSection;
    return {
      ...{ key, keyLength: key?.length ?? 0, value, valueLength: value?.length ?? 0 },
      ...{ headers, headersLength: headers?.length ?? 0 },
    };
  });
}

// Headers are put together in one place and copied: a DataView for each batch, and a bigint for each of its timestamps,
// would cost more than to fill it.
const header = new Uint8Array(BATCH_OVERHEAD);
const view = new DataView(header.buffer);
view.setInt32(PARTITION_LEADER_EPOCH, -1);
view.setInt8(MAGIC, MAGIC_V2);

/**
 * Writes the header of a batch that fills `bytes`, without a producer's stamp and without the checksum. The attributes are
 * the number of the codec and the transactional bit.
 */
export function writeBatchHeader(
  bytes: Uint8Array,
  attributes: number,
  recordCount: number,
  baseTimestamp: number,
  maxTimestamp: number,
): void {
  // The base offset stays 0: the broker refuses any other.
  view.setInt32(BATCH_LENGTH, bytes.length - LOG_OVERHEAD);
  view.setInt16(ATTRIBUTES, attributes);
  view.setInt32(LAST_OFFSET_DELTA, recordCount - 1);
  setTimestamp(BASE_TIMESTAMP, baseTimestamp);
  setTimestamp(MAX_TIMESTAMP, maxTimestamp);
  view.setInt32(RECORDS_COUNT, recordCount);
  bytes.set(header);
}

function setTimestamp(at: number, timestamp: number): void {
  view.setInt32(at, Math.floor(timestamp / 2 ** 32));
  view.setInt32(at + 4, timestamp);
}

/** Sequences run from 0 to one less than this, and then from 0 again. */
export const SEQUENCE_SPACE: number = 2 ** 31;

/** Which producer wrote a batch, and at which of its sequences; all −1 without idempotence. */
export interface ProducerStamp {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

/** Writes the producer's stamp and then the checksum: from here on the bytes are final. */
export function sealBatch(
  bytes: Uint8Array,
  stamp: ProducerStamp,
  crc32c: (bytes: Uint8Array, start?: number, end?: number) => number,
): void {
  stampView.setBigInt64(0, stamp.producerId);
  stampView.setInt16(PRODUCER_EPOCH - PRODUCER_ID, stamp.producerEpoch);
  stampView.setInt32(BASE_SEQUENCE - PRODUCER_ID, stamp.baseSequence);
  bytes.set(stampBytes, PRODUCER_ID);
  writeUint32(bytes, CRC, crc32c(bytes, ATTRIBUTES, bytes.length));
}

const stampBytes = new Uint8Array(RECORDS_COUNT - PRODUCER_ID);
const stampView = new DataView(stampBytes.buffer);
