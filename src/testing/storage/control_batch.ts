/**
 * The batch that ends a transaction in a partition: one control record, as Kafka writes it.
 *
 * @module
 */

import * as layout from "../../protocol/record_batch_layout.ts";
import { BatchView } from "./batch_view.ts";

/** What a marker tells. */
export interface Marker {
  /** The producer whose transaction it ends. */
  readonly producerId: bigint;
  /** The epoch that the producer has from now on in this partition. */
  readonly producerEpoch: number;
  /** Whether the records count. */
  readonly isCommit: boolean;
  /** The epoch of the coordinator that decided. */
  readonly coordinatorEpoch: number;
  /** When, in ms. */
  readonly timestampMs: number;
}

/** The record's key: a version of 0, then the type. */
const ABORT = 0;
const COMMIT = 1;
/** Length, attributes, two deltas, a key of 4 bytes, a value of 6, no headers; numbers are zig-zag coded. */
const RECORD = [32, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0];
const TYPE = 8;
const COORDINATOR_EPOCH = 12;

/** Writes a marker; offset and leader epoch come with the append. */
export function controlBatch(marker: Marker): BatchView {
  const bytes = new Uint8Array(layout.BATCH_OVERHEAD + RECORD.length);
  bytes.set(RECORD, layout.RECORDS);
  const view = new DataView(bytes.buffer);
  view.setInt32(layout.BATCH_LENGTH, bytes.length - layout.LOG_OVERHEAD);
  view.setInt8(layout.MAGIC, layout.MAGIC_V2);
  view.setInt16(layout.ATTRIBUTES, layout.TRANSACTIONAL_BIT | layout.CONTROL_BIT);
  view.setBigInt64(layout.BASE_TIMESTAMP, BigInt(marker.timestampMs));
  view.setBigInt64(layout.MAX_TIMESTAMP, BigInt(marker.timestampMs));
  view.setBigInt64(layout.PRODUCER_ID, marker.producerId);
  view.setInt16(layout.PRODUCER_EPOCH, marker.producerEpoch);
  view.setInt32(layout.BASE_SEQUENCE, -1);
  view.setInt32(layout.RECORDS_COUNT, 1);
  view.setInt8(layout.RECORDS + TYPE, marker.isCommit ? COMMIT : ABORT);
  view.setInt32(layout.RECORDS + COORDINATOR_EPOCH, marker.coordinatorEpoch);
  const batch = new BatchView(bytes);
  view.setUint32(layout.CRC, batch.actualCrc);
  return batch;
}
