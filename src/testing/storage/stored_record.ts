/**
 * Records as they stand in a log, for assertions and for reading back.
 *
 * @module
 */

import { crc32c } from "../../codec/crc32c.ts";
import { readRecordBatches } from "../../protocol/record_batch_reader.ts";
import { type RecordText, withText } from "../record_text.ts";
import type { Decompress, PartitionLog } from "./log.ts";

/** One record of a log, and where it is. */
export interface StoredRecord extends RecordText {
  /** Its topic. */
  readonly topic: string;
  /** Its partition. */
  readonly partition: number;
  /** Its offset. */
  readonly offset: bigint;
  /** Its timestamp in ms; the broker's own where the topic has it so. */
  readonly timestamp: bigint;
  /** The key's bytes, or null. */
  readonly key: Uint8Array | null;
  /** The value's bytes, or null. */
  readonly value: Uint8Array | null;
  /** Name and value in their order, repeats kept. */
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
}

/** Reads the records of whole batches; markers of transactions are left out. */
export async function* readStored(
  topic: string,
  partition: number,
  batches: Uint8Array,
  decompress: Decompress,
): AsyncGenerator<StoredRecord> {
  for await (
    const { header, records } of readRecordBatches(batches, { crc32c: (bytes) => crc32c(bytes), decompress })
  ) {
    if (header.isControl) continue;
    for (const record of records) yield withText({ ...record, topic, partition });
  }
}

/** Reads what a log holds. */
export async function readLog(
  topic: string,
  partition: number,
  log: PartitionLog,
  decompress: Decompress,
): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for (const { bytes } of log.batches) {
    for await (const record of readStored(topic, partition, bytes, decompress)) {
      if (record.offset >= log.startOffset) records.push(record);
    }
  }
  return records;
}
