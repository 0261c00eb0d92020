/**
 * The admin client: topics, configs, records, offsets and groups of a cluster, on every runtime.
 *
 * @module
 */

export { type Admin, createAdmin } from "./admin.ts";
export type { CallOptions } from "./call.ts";
export type { ConfigEntry, ConfigSource, ConfigSynonym, ConfigType } from "./config_entry.ts";
export type { AdminOptions } from "./options.ts";
export type { AdminResult, AdminResults } from "./results.ts";
export type {
  ChangeOptions,
  CreatedTopic,
  ListTopicsOptions,
  NewPartitions,
  NewTopic,
  PartitionDescription,
  TopicDescription,
  TopicListing,
} from "./topics.ts";
