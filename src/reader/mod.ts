/**
 * Reads topics: partitions from an offset, a time, or an end of the log, with or without transactions, on every
 * runtime.
 *
 * @module
 */

export type { IsolationLevel, ReaderOptions } from "./options.ts";
export { type Assignment, type GroupMetadata, Reader } from "./reader.ts";
export type { ControlMarker, Position, ReadBatch, ReadRecord, TopicPartition, TopicPartitionOffset } from "./record.ts";
