/**
 * What comes back for a record that was delivered.
 *
 * @module
 */

/** How a record got into the log, as far as it is known. */
export type Delivery = "acked" | "duplicate" | "unacknowledged";

/** What the records of one batch have in common once the batch has been answered. */
export class BatchResult {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record, −1 if it isn't known. */
  readonly baseOffset: bigint;
  /** The broker's timestamp for all records, −1 if each has its own. */
  readonly logAppendTimeMs: number;
  readonly baseTimestampMs: number;
  readonly timestampDeltas: readonly number[];
  readonly delivery: Delivery;

  /** Keeps what the broker answered and what the batch knew of its records. */
  constructor(
    topic: string,
    partition: number,
    baseOffset: bigint,
    logAppendTimeMs: number,
    baseTimestampMs: number,
    timestampDeltas: readonly number[],
    delivery: Delivery,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.baseOffset = baseOffset;
    this.logAppendTimeMs = logAppendTimeMs;
    this.baseTimestampMs = baseTimestampMs;
    this.timestampDeltas = timestampDeltas;
    this.delivery = delivery;
  }

  /** What the record at an index of the batch is told. */
  metadataOf(index: number): RecordMetadata {
    const { topic, partition, baseOffset, logAppendTimeMs, baseTimestampMs, timestampDeltas, delivery } = this;
    const offset = baseOffset < 0n ? -1n : baseOffset + BigInt(index);
    const timestamp = logAppendTimeMs >= 0 ? logAppendTimeMs : baseTimestampMs + (timestampDeltas[index] ?? 0);
    return new RecordMetadata(topic, partition, offset, timestamp, delivery);
  }
}

/**
 * Where a record is now: plain fields, so that spread, equality, `structuredClone` and `postMessage` have all of them.
 * JSON has the offset as a decimal string.
 */
export class RecordMetadata {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset; −1n where nobody knows it (acks 0, or a duplicate that the broker doesn't place). */
  readonly offset: bigint;
  /** Ms since the epoch: the broker's time on a LogAppendTime topic, else the record's own. */
  readonly timestamp: number;
  /** `"acked"`, `"duplicate"` (it was in the log already) or `"unacknowledged"` (acks 0). */
  readonly delivery: Delivery;

  /** Keeps what is told of a record. */
  constructor(topic: string, partition: number, offset: bigint, timestamp: number, delivery: Delivery) {
    // Made for each record, read or not: measured, it costs no more than to compute the fields when they are read.
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.timestamp = timestamp;
    this.delivery = delivery;
  }

  /** A plain object; the offset is a string, because JSON has no bigint. */
  toJSON(): { topic: string; partition: number; offset: string; timestamp: number; delivery: Delivery } {
    return { ...this, offset: String(this.offset) };
  }
}
