/**
 * Chunks of a Fetch answer to batches of records: decompressed, and without what `read_committed` must not show.
 *
 * @module
 */

import { COMPRESSION_IDS } from "../codec/codec.ts";
import { codecsById } from "../codec/codecs_by_id.ts";
import { crc32c } from "../codec/crc32c.ts";
import { ProtocolError } from "../errors.ts";
import type { BatchHeader } from "../protocol/batch_header.ts";
import { type DecodedRecord, decodeRecords, splitRecordBatches, verifyCrc } from "../protocol/record_batch_reader.ts";
import * as layout from "../protocol/record_batch_layout.ts";
import type { Chunk, Cursor } from "./cursor.ts";
import type { EpochSpan } from "./epochs_read.ts";
import type { ControlMarker, ReadBatch, ReadRecord } from "./record.ts";

/** What is shown of transactions. */
export interface DecodeOptions {
  /** Records of transactions that were aborted, or may still be, are left out. */
  readonly readCommitted: boolean;
  /** The ends of transactions are shown as records. */
  readonly controlRecords: boolean;
  /** What a batch may grow to, in bytes. */
  readonly maxDecompressedBytes: number;
}

const ABORT = 0;
const COMMIT = 1;
const codecOf = codecsById();

/** The offset behind a batch. */
export function offsetBehind({ baseOffset, lastOffsetDelta }: BatchHeader): bigint {
  return baseOffset + BigInt(lastOffsetDelta) + 1n;
}

/** The whole batches at the front of a blob. */
export interface WholeBatches {
  /** Bytes that they take. */
  length: number;
  /** The offset behind the last of them. */
  nextOffset: bigint;
  /** Who has appended them. */
  readonly epochs: EpochSpan[];
}

/**
 * Looks how far a blob can be read. What can't be read behind others is left for the next answer, which begins with it.
 *
 * @throws {ProtocolError} when the first one can't be read
 */
export function wholeBatches(bytes: Uint8Array, from: bigint): Readonly<WholeBatches> {
  const found: WholeBatches = { length: 0, nextOffset: from, epochs: [] };
  try {
    for (const { header, bytes: batch } of splitRecordBatches(bytes)) addBatch(found, header, batch.length);
  } catch (error) {
    if (found.length === 0) throw error;
  }
  return found;
}

function addBatch(found: WholeBatches, header: BatchHeader, byteLength: number): void {
  const behind = offsetBehind(header);
  // The first batch may begin before what was asked for; none goes back behind the one before it.
  const goesBack = found.length > 0 && header.baseOffset < found.nextOffset;
  if (header.lastOffsetDelta < 0 || behind <= found.nextOffset || goesBack) {
    throw new ProtocolError(
      `Reading a batch that ends before offset ${behind}: wanted one behind ${found.nextOffset}.`,
    );
  }
  found.length += byteLength;
  found.nextOffset = behind;
  const { baseOffset, partitionLeaderEpoch: epoch } = header;
  if (found.epochs.at(-1)?.epoch !== epoch) found.epochs.push({ from: baseOffset, epoch });
}

/**
 * Reads a chunk, batch by batch, from the cursor's position on: whoever breaks off in the middle of a chunk begins with
 * it again.
 */
export async function* readChunk(
  cursor: Cursor,
  { bytes, aborted, highWatermark }: Chunk,
  options: DecodeOptions,
): AsyncGenerator<ReadBatch, void, undefined> {
  const { topic, partition } = cursor;
  const pending = [...aborted].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  // Every answer lists the aborted transactions that reach into it, those that began before it included.
  const abortedProducers = new Set<bigint>();
  for (const { header, bytes: batch } of splitRecordBatches(bytes)) {
    verifyCrc(header, batch, crc32c);
    const nextOffset = offsetBehind(header);
    while (pending.length > 0 && pending[0]!.firstOffset < nextOffset) {
      abortedProducers.add(pending.shift()!.producerId);
    }
    const isBehind = cursor.position === undefined || nextOffset <= cursor.position;
    if (isBehind && !header.isControl) continue;
    const records = await visibleRecords(cursor, header, batch, options, abortedProducers);
    const { partitionLeaderEpoch: leaderEpoch } = header;
    if (!isBehind) yield { topic, partition, records, nextOffset, leaderEpoch, highWatermark };
  }
}

async function visibleRecords(
  cursor: Cursor,
  header: BatchHeader,
  batch: Uint8Array,
  options: DecodeOptions,
  abortedProducers: Set<bigint>,
): Promise<ReadRecord[]> {
  const { readCommitted, controlRecords } = options;
  const { topic, partition } = cursor;
  const from = cursor.position ?? header.baseOffset;
  if (header.isControl) {
    const records = await decode(header, batch, options);
    const marker = markerOf(header, records[0]);
    if (marker?.type === "abort") abortedProducers.delete(header.producerId);
    if (!controlRecords || marker === undefined) return [];
    return records.filter(({ offset }) => offset >= from).map((record) => ({
      ...shown(topic, partition, record),
      control: marker,
    }));
  }
  if (readCommitted && header.isTransactional && abortedProducers.has(header.producerId)) return [];
  const records: ReadRecord[] = [];
  for (const record of await decode(header, batch, options)) {
    // A batch is fetched whole, also where only its end was asked for.
    if (record.offset >= from) records.push(shown(topic, partition, record));
  }
  return records;
}

function shown(topic: string, partition: number, record: DecodedRecord): ReadRecord {
  const { offset, timestamp, key, value, headers } = record;
  return { topic, partition, offset, timestamp: Number(timestamp), key, value, headers };
}

/** The key of a control record holds a version and a type (KIP-98); types that aren't known are no ends. */
function markerOf(
  { producerId, producerEpoch }: BatchHeader,
  record: DecodedRecord | undefined,
): ControlMarker | undefined {
  const key = record?.key;
  if (!key || key.length < 4) return undefined;
  const type = (key[2]! << 8) | key[3]!;
  if (type !== ABORT && type !== COMMIT) return undefined;
  return { type: type === COMMIT ? "commit" : "abort", producerId, producerEpoch };
}

async function decode(header: BatchHeader, batch: Uint8Array, options: DecodeOptions): Promise<DecodedRecord[]> {
  const section = batch.subarray(layout.RECORDS);
  const records = decodeRecords(header, await plainOf(header, section, options));
  const nextOffset = offsetBehind(header);
  let least = header.baseOffset;
  for (const { offset } of records) {
    // The position goes by the records: one out of order would lose others, or hand them out twice.
    if (offset < least || offset >= nextOffset) {
      throw new ProtocolError(`Reading a record of offset "${offset}": wanted ${least} to ${nextOffset - 1n}.`);
    }
    least = offset + 1n;
  }
  return records;
}

async function plainOf({ codecId }: BatchHeader, section: Uint8Array, options: DecodeOptions): Promise<Uint8Array> {
  if (codecId === COMPRESSION_IDS.none) return section;
  const codec = codecOf(codecId);
  if (codec === undefined) throw new ProtocolError(`Reading a batch of codec "${codecId}": wanted 0 to 4.`);
  return await codec.decompress(section, options.maxDecompressedBytes);
}
