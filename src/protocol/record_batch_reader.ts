/**
 * Record batches to records, with every bound checked.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { BatchHeader } from "./batch_header.ts";
import { Reader } from "./reader.ts";
import * as layout from "./record_batch_layout.ts";
import { RecordCursor } from "./record_cursor.ts";
import { VarintCursor } from "./varint_cursor.ts";

/** A record as it stands in the log. Byte fields are views. */
export interface DecodedRecord {
  /** Offset in the log. */
  readonly offset: bigint;
  /** In ms; the broker's own where it sets them. */
  readonly timestamp: bigint;
  /** The key's bytes, or null. */
  readonly key: Uint8Array | null;
  /** The value's bytes, or null. */
  readonly value: Uint8Array | null;
  /** Name and value in their order, repeats kept. */
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
}

/** A batch that was read. */
export interface RecordBatch {
  /** Its header. */
  readonly header: BatchHeader;
  /** The whole batch, a view of the input. */
  readonly bytes: Uint8Array;
  /** Its records. */
  readonly records: readonly DecodedRecord[];
}

/** What reading needs from the codec layer. */
export interface BatchReaderOptions {
  /** CRC-32C as an unsigned number. */
  readonly crc32c: (bytes: Uint8Array) => number;
  /** Undoes codec 1 to 4. Never called for codec 0. */
  readonly decompress?: (codecId: number, bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}

/** The smallest record: length, attributes, two deltas, two lengths, a header count. */
const MIN_RECORD_BYTES = 7;

/**
 * Reads the batches of a Produce request or a Fetch response one after the other.
 *
 * A batch that is cut off at the end is left out, as brokers cut Fetch responses by bytes.
 *
 * @throws ProtocolError for a wrong CRC, an old format or a record that does not fit its batch
 */
export async function* readRecordBatches(
  bytes: Uint8Array,
  options: BatchReaderOptions,
): AsyncGenerator<RecordBatch, void, undefined> {
  for (const { header, bytes: batch } of splitRecordBatches(bytes)) {
    verifyCrc(header, batch, options.crc32c);
    const raw = header.codecId === 0 ? header.records : await decompressed(header, options);
    yield { header, bytes: batch, records: decodeRecords(header, raw) };
  }
}

/** Finds the batches in a blob without looking into them: header and bytes of each, a cut-off last one left out. */
export function* splitRecordBatches(
  bytes: Uint8Array,
): Generator<{ readonly header: BatchHeader; readonly bytes: Uint8Array }, void, undefined> {
  for (let start = 0; bytes.length - start >= layout.LOG_OVERHEAD;) {
    const length = new Reader(bytes, start + layout.BATCH_LENGTH).int32();
    if (length < layout.BATCH_OVERHEAD - layout.LOG_OVERHEAD) {
      throw new ProtocolError(`Reading a batch of "${length}" bytes: wanted at least 49.`);
    }
    const end = start + layout.LOG_OVERHEAD + length;
    if (end > bytes.length) return;
    const batch = bytes.subarray(start, end);
    yield { header: readBatchHeader(batch), bytes: batch };
    start = end;
  }
}

/** Reads the header of a whole batch, which must be of the present format. */
export function readBatchHeader(batch: Uint8Array): BatchHeader {
  const header = new BatchHeader(batch);
  if (header.magic !== layout.MAGIC_V2) {
    throw new ProtocolError(`Reading a batch of magic "${header.magic}": wanted 2.`);
  }
  return header;
}

/** Throws {@link ProtocolError} unless the batch's CRC is the one of its bytes. */
export function verifyCrc(header: BatchHeader, batch: Uint8Array, crc32c: (bytes: Uint8Array) => number): void {
  const actual = crc32c(batch.subarray(layout.ATTRIBUTES)) >>> 0;
  if (actual !== header.crc) {
    throw new ProtocolError(`Checking a batch: its bytes have the CRC ${actual}, wanted "${header.crc}".`);
  }
}

/** Reads the uncompressed records section of a batch: exactly as many records as the header says, and no more. */
export function decodeRecords(header: BatchHeader, section: Uint8Array): DecodedRecord[] {
  const count = header.recordsCount;
  if (count < 0 || count * MIN_RECORD_BYTES > section.length) {
    throw new ProtocolError(`Reading "${count}" records from ${section.length} bytes: wanted 7 bytes for each.`);
  }
  const cursor = new RecordCursor(section, "client");
  const records: DecodedRecord[] = [];
  while (records.length < count) {
    if (!cursor.next()) {
      throw new ProtocolError(cursor.problem ?? `Truncated input: ${records.length} records, wanted ${count}.`);
    }
    records.push(decodedRecord(header, cursor));
  }
  if (!cursor.atEnd) {
    throw new ProtocolError(`Over-long input: ${cursor.remaining} bytes left after the last record, wanted none.`);
  }
  return records;
}

function decodedRecord(header: BatchHeader, cursor: RecordCursor): DecodedRecord {
  return {
    offset: header.baseOffset + BigInt(cursor.offsetDelta),
    timestamp: header.isLogAppendTime ? header.maxTimestamp : header.baseTimestamp + cursor.timestampDelta,
    key: cursor.key,
    value: cursor.value,
    headers: headersOf(cursor),
  };
}

const NO_HEADERS: readonly never[] = Object.freeze([]);
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The headers of a record, whose bytes the cursor has walked over. */
function headersOf({ headerCount, headerSection }: RecordCursor): DecodedRecord["headers"] {
  if (headerCount === 0) return NO_HEADERS;
  const section = new VarintCursor(headerSection);
  section.varint();
  return Array.from({ length: headerCount }, () => [decoder.decode(fieldOf(section)!), fieldOf(section)]);
}

function fieldOf(section: VarintCursor): Uint8Array | null {
  const length = section.varint();
  return length < 0 ? null : section.bytes.subarray(section.at, section.at += length);
}

async function decompressed({ codecId, records }: BatchHeader, options: BatchReaderOptions): Promise<Uint8Array> {
  if (options.decompress === undefined) {
    throw new ProtocolError(`Reading a batch of codec "${codecId}": wanted an uncompressed one.`);
  }
  return await options.decompress(codecId, records);
}
