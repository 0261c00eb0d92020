/**
 * Where each field of a record batch stands (magic 2, the only format since Kafka 4), and its attribute bits.
 *
 * @module
 */

/** Offset of the first record's log offset, int64. A producer writes 0. */
export const BASE_OFFSET = 0;
/** Offset of the number of bytes after this field, int32. */
export const BATCH_LENGTH = 8;
/** Offset of the leader's epoch, int32. A producer writes -1. */
export const PARTITION_LEADER_EPOCH = 12;
/** Offset of the format's number, int8. */
export const MAGIC = 16;
/** Offset of the CRC-32C of everything from {@link ATTRIBUTES} on, uint32. */
export const CRC = 17;
/** Offset of the attribute bits, int16. */
export const ATTRIBUTES = 21;
/** Offset of the last record's offset delta, int32. */
export const LAST_OFFSET_DELTA = 23;
/** Offset of the timestamp that the records' deltas add to, int64. */
export const BASE_TIMESTAMP = 27;
/** Offset of the highest timestamp, int64. */
export const MAX_TIMESTAMP = 35;
/** Offset of the producer id, int64, -1 for none. */
export const PRODUCER_ID = 43;
/** Offset of the producer epoch, int16, -1 for none. */
export const PRODUCER_EPOCH = 51;
/** Offset of the first record's sequence number, int32, -1 for none. */
export const BASE_SEQUENCE = 53;
/** Offset of the number of records, int32. */
export const RECORDS_COUNT = 57;
/** Offset of the records, and so the length of the header. */
export const RECORDS = 61;

/** Length of the header. */
export const BATCH_OVERHEAD = 61;
/** Bytes before the ones that {@link BATCH_LENGTH} counts. */
export const LOG_OVERHEAD = 12;
/** The magic number of this format. */
export const MAGIC_V2 = 2;

/** Attribute bits of the codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
export const CODEC_MASK = 0x07;
/** Attribute bit: the broker set the timestamps (LogAppendTime). */
export const LOG_APPEND_TIME_BIT = 0x08;
/** Attribute bit: the batch belongs to a transaction. */
export const TRANSACTIONAL_BIT = 0x10;
/** Attribute bit: the batch holds a control record. */
export const CONTROL_BIT = 0x20;
