/**
 * What the broker checks of a produced records section, in Kafka's order and with Kafka's answers.
 *
 * Measured on 3.9.1 and 4.1.1. Some of what a producer could do wrong is accepted there and therefore here: offset
 * deltas of uncompressed records, negative timestamps, a wrong latest timestamp (it is corrected), garbage behind the
 * batch.
 *
 * @module
 */

import {
  BATCH_LENGTH,
  BATCH_OVERHEAD,
  CONTROL_BIT,
  LOG_OVERHEAD,
  MAGIC,
  TRANSACTIONAL_BIT,
} from "../../protocol/record_batch_layout.ts";
import { RecordCursor } from "../../protocol/record_cursor.ts";
import {
  CORRUPT_MESSAGE,
  INVALID_RECORD,
  INVALID_TIMESTAMP,
  MESSAGE_TOO_LARGE,
  RECORD_LIST_TOO_LARGE,
  UNKNOWN_SERVER_ERROR,
  UNSUPPORTED_COMPRESSION_TYPE,
} from "../../protocol/error_code_names.ts";
import { BatchView } from "./batch_view.ts";
import type { TopicRules } from "./topic_config.ts";

/** One record at fault, as Produce 8 and later tells it. */
export interface RecordError {
  /** The record's place in the batch. */
  readonly batchIndex: number;
  /** What is wrong with it. */
  readonly batchIndexErrorMessage: string | null;
}

/** Why a batch is not appended. */
export interface Rejection {
  /** Kafka's number. */
  readonly errorCode: number;
  /** Kafka's words, when it has some. */
  readonly errorMessage: string | null;
  /** The records at fault, when the error is about single records. */
  readonly recordErrors: readonly RecordError[];
  /** Whether it is found so late that the answer tells where the log starts. */
  readonly tellsLogStart?: boolean;
}

/** A batch that may be appended. */
export interface ValidBatch {
  /** The batch as it was sent. */
  readonly header: BatchView;
  /** The latest timestamp that its records really have. */
  readonly maxTimestampMs: bigint;
}

/** What a batch is validated against. */
export interface ValidationContext {
  /** The topic's configs. */
  readonly rules: TopicRules;
  /** The broker's date, in ms. */
  readonly nowMs: number;
  /** For messages: `topic-partition`. */
  readonly topicPartition: string;
  /** Decompresses under a codec's number; throws or rejects when it can't. */
  decompress(compression: number, bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

const CORRUPT_WHOLE_REQUEST = "The request contains a batch whose header can't be read.";
const ZSTD = 4;
const FIRST_VERSION_WITH_ZSTD = 7;
const SMALLEST_BATCH_LENGTH = 14;
const MAGIC_END = 17;

/**
 * Looks at the very first batch header of a partition. Kafka does so for the whole request at once: a size or a magic
 * that can't be fails every partition of it.
 */
export function checkFirstHeader(records: Uint8Array): Rejection | undefined {
  if (records.length < LOG_OVERHEAD) return undefined;
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const length = view.getInt32(BATCH_LENGTH);
  if (length < SMALLEST_BATCH_LENGTH) return rejection(CORRUPT_MESSAGE, CORRUPT_WHOLE_REQUEST);
  if (records.length < MAGIC_END) return undefined;
  const magic = view.getInt8(MAGIC);
  return magic < 0 || magic > 2 ? rejection(CORRUPT_MESSAGE, CORRUPT_WHOLE_REQUEST) : undefined;
}

/** Whether any batch header of a partition carries the transactional bit. */
export function isTransactional(records: Uint8Array): boolean {
  const batch = nextBatch(records, 0);
  return batch !== undefined && batch.length >= BATCH_OVERHEAD &&
    (new BatchView(batch).attributes & TRANSACTIONAL_BIT) !== 0;
}

/** Takes the one batch out of a partition's records, or says why that is not what they are. */
export function onlyBatch(records: Uint8Array, version: number): BatchView | Rejection {
  const bytes = nextBatch(records, 0);
  if (bytes === undefined) return rejection(INVALID_RECORD);
  if (bytes[MAGIC] !== 2) return rejection(INVALID_RECORD);
  if (bytes.length < BATCH_OVERHEAD) return rejection(CORRUPT_MESSAGE);
  const header = new BatchView(bytes);
  if (header.codecId === ZSTD && version < FIRST_VERSION_WITH_ZSTD) return rejection(UNSUPPORTED_COMPRESSION_TYPE);
  return nextBatch(records, bytes.length) === undefined ? header : rejection(INVALID_RECORD);
}

/** Validates a batch as the log does before it looks at sequences. */
export function validateBatch(
  header: BatchView,
  context: ValidationContext,
): ValidBatch | Rejection | Promise<ValidBatch | Rejection> {
  const { rules } = context;
  const size = header.bytes.length;
  if (header.baseOffset !== 0n) return rejection(INVALID_RECORD);
  if (size > rules.maxMessageBytes) return rejection(MESSAGE_TOO_LARGE);
  if (header.crc !== header.actualCrc) return rejection(CORRUPT_MESSAGE);
  const { recordsCount } = header;
  if (recordsCount <= 0 || recordsCount !== header.lastOffsetDelta + 1) return rejection(INVALID_RECORD);
  if ((header.attributes & CONTROL_BIT) !== 0) return rejection(INVALID_RECORD);
  if (header.producerId >= 0n && header.baseSequence < 0) return { ...rejection(INVALID_RECORD), tellsLogStart: true };
  if (header.codecId === 0) return finish(header, validateRecords(header, header.records, context), rules);
  let records: Uint8Array | Promise<Uint8Array>;
  try {
    records = context.decompress(header.codecId, header.records);
  } catch {
    return rejection(UNKNOWN_SERVER_ERROR);
  }
  if (records instanceof Uint8Array) return finish(header, validateRecords(header, records, context), rules);
  return records.then(
    (bytes) => finish(header, validateRecords(header, bytes, context), rules),
    () => rejection(UNKNOWN_SERVER_ERROR),
  );
}

/** Kafka compares with the segment's size after all else, right before the append. */
function finish(header: BatchView, result: bigint | Rejection, rules: TopicRules): ValidBatch | Rejection {
  if (typeof result !== "bigint") return result;
  return header.bytes.length > rules.segmentBytes
    ? rejection(RECORD_LIST_TOO_LARGE)
    : { header, maxTimestampMs: result };
}

/** Walks over the records; returns their latest timestamp. */
function validateRecords(header: BatchView, records: Uint8Array, context: ValidationContext): bigint | Rejection {
  const { rules } = context;
  const isCompressed = header.codecId !== 0;
  const base = header.baseTimestamp;
  const earliest = BigInt(context.nowMs) - rules.timestampBeforeMaxMs;
  const latest = BigInt(context.nowMs) + rules.timestampAfterMaxMs;
  // Deltas are compared as numbers as long as they are safe integers, which makes the usual walk cheap.
  const earliestDelta = Number(earliest - base);
  const latestDelta = Number(latest - base);
  const cursor = cursorOf(header, records);
  const errors: RecordError[] = [];
  let isTimestampWrong = false;
  let offsetsMatch = true;
  let maxDelta = -Infinity;
  let maxHugeDelta: bigint | undefined;
  let count = 0;
  for (; cursor.next(); count++) {
    if (cursor.offsetDelta !== count) offsetsMatch = false;
    const delta = cursor.safeTimestampDelta;
    if (delta === undefined) {
      const huge = cursor.timestampDelta;
      if (maxHugeDelta === undefined || huge > maxHugeDelta) maxHugeDelta = huge;
    } else if (delta > maxDelta) maxDelta = delta;
    if (rules.isCompacted && cursor.keyLength < 0) {
      errors.push({
        batchIndex: count,
        batchIndexErrorMessage:
          `Compacted topic cannot accept message without key in topic partition ${context.topicPartition}`,
      });
      continue;
    }
    if (rules.usesLogAppendTime) continue;
    if (delta !== undefined && delta >= earliestDelta && delta <= latestDelta) continue;
    const timestamp = base + cursor.timestampDelta;
    if (timestamp >= earliest && timestamp <= latest) continue;
    isTimestampWrong = true;
    errors.push({
      batchIndex: count,
      batchIndexErrorMessage: `Timestamp ${timestamp} of message with offset ${count} is out of range. ` +
        `The timestamp should be within [${earliest}, ${latest}]`,
    });
  }
  if (cursor.problem !== undefined || count !== header.recordsCount) return rejection(INVALID_RECORD);
  if (isCompressed && !offsetsMatch) return rejection(UNKNOWN_SERVER_ERROR);
  if (isTimestampWrong) {
    return rejection(INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp", errors);
  }
  if (errors.length > 0) return rejection(INVALID_RECORD, describeErrors(errors), errors);
  if (maxHugeDelta === undefined) return base + BigInt(maxDelta);
  return base + (maxDelta > Number(maxHugeDelta) ? BigInt(maxDelta) : maxHugeDelta);
}

function cursorOf({ codecId }: BatchView, records: Uint8Array): RecordCursor {
  return new RecordCursor(records, codecId === 0 ? "broker" : "broker, decompressed");
}

function describeErrors(errors: readonly RecordError[]): string {
  const shown = errors.slice(0, 3).map(({ batchIndex, batchIndexErrorMessage }) =>
    `RecordError(batchIndex=${batchIndex}, message='${batchIndexErrorMessage}')`
  );
  return `One or more records have been rejected due to ${errors.length} record errors in total, and only showing ` +
    `the first three errors at most: [${shown.join(", ")}]`;
}

/** The bytes of the batch at an offset, if all of it is there; of magic 0 and 1 too. */
function nextBatch(records: Uint8Array, start: number): Uint8Array | undefined {
  if (records.length - start < MAGIC_END) return undefined;
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const end = start + LOG_OVERHEAD + view.getInt32(start + BATCH_LENGTH);
  return end > records.length || end < start + MAGIC_END ? undefined : records.subarray(start, end);
}

function rejection(
  errorCode: number,
  errorMessage: string | null = null,
  recordErrors: readonly RecordError[] = [],
): Rejection {
  return { errorCode, errorMessage, recordErrors, tellsLogStart: recordErrors.length > 0 };
}
