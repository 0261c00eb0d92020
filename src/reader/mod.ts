/**
 * Reads topics: partitions from an offset, a time, or an end of the log, alone or as a member of a consumer group, with
 * or without transactions, on every runtime.
 *
 * @module
 */

export type { AssignorName } from "./group/assignors.ts";
export { GroupReader } from "./group/group_reader.ts";
export type { GroupReaderOptions, RebalanceListener } from "./group/options.ts";
export type { IsolationLevel, ReaderOptions } from "./options.ts";
export type { GroupMetadata } from "../cluster/group_metadata.ts";
export { Reader } from "./reader.ts";
export type {
  Assignment,
  ControlMarker,
  OffsetReset,
  Position,
  ReadBatch,
  ReadRecord,
  TopicPartition,
  TopicPartitionOffset,
} from "./record.ts";
