/**
 * The header of a record batch as the broker reads and rewrites it, in place.
 *
 * @module
 */

import { crc32c } from "../../codec/crc32c.ts";
import { BatchHeader } from "../../protocol/batch_header.ts";
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

/** One batch, as the broker looks at it and writes into it. */
export class BatchView extends BatchHeader {
  /** The checksum that the bytes have. */
  get actualCrc(): number {
    return crc32c(this.bytes, layout.ATTRIBUTES, this.bytes.length);
  }

  /** Writes what the checksum doesn't cover: where the batch is in the log. */
  place(baseOffset: bigint, leaderEpoch: number): void {
    this.view.setBigInt64(layout.BASE_OFFSET, baseOffset);
    this.view.setInt32(layout.PARTITION_LEADER_EPOCH, leaderEpoch);
  }

  /** Writes attributes and latest timestamp, and the checksum anew when that changed them. */
  stamp(attributes: number, maxTimestamp: bigint): void {
    if (attributes === this.attributes && maxTimestamp === this.maxTimestamp) return;
    this.view.setInt16(layout.ATTRIBUTES, attributes);
    this.view.setBigInt64(layout.MAX_TIMESTAMP, maxTimestamp);
    this.view.setUint32(layout.CRC, this.actualCrc);
  }
}
