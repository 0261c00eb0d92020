/**
 * What comes back for a record that was delivered.
 *
 * @module
 */

/** How a record got into the log, as far as it is known. */
export type Delivery = "acked" | "duplicate" | "unacknowledged";

/** What the records of one batch have in common once the batch has been answered. */
export class BatchResult {
  /** Offset of the first record, −1 if it isn't known. */
  readonly baseOffset: bigint;
  /** The broker's timestamp for all records, −1 if each has its own. */
  readonly logAppendTimeMs: number;
  /** That, or the time of the first record. */
  readonly timestampMs: number;
  readonly delivery: Delivery;

  /** Keeps what the broker answered, and the time of the first record. */
  constructor(baseOffset: bigint, logAppendTimeMs: number, firstTimestampMs: number, delivery: Delivery) {
    this.baseOffset = baseOffset;
    this.logAppendTimeMs = logAppendTimeMs;
    this.timestampMs = logAppendTimeMs >= 0 ? logAppendTimeMs : firstTimestampMs;
    this.delivery = delivery;
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

// Made once and forgotten. In a field that has held something else, V8 keeps a number as an object that others can share, as
// the records of a batch do, which mostly have one timestamp; else each would get an object of its own.
const none = undefined as never;
new BatchResult(0n, -1, none, "acked");
new RecordMetadata("", 0, 0n, none, "acked");
