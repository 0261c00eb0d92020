/**
 * The admin client: topics, configs, records, offsets and groups of a cluster, on every runtime.
 *
 * @module
 */

export { type Admin, createAdmin } from "./admin.ts";
export type { CallOptions } from "./call.ts";
export type { BrokerDescription, ClusterDescription } from "./cluster_description.ts";
export type {
  ConfigChange,
  ConfigDescription,
  ConfigResource,
  ConfigResourceType,
  DescribeConfigsOptions,
} from "./configs.ts";
export type { ConfigEntry, ConfigSource, ConfigSynonym, ConfigType } from "./config_entry.ts";
export type { GroupDescription, GroupListing, GroupMember, ListGroupsOptions } from "./groups.ts";
export type {
  CommittedOffset,
  DeletedRecords,
  FoundOffset,
  IsolationLevel,
  OffsetQuery,
  OffsetSpec,
  OffsetToCommit,
  RecordsToDelete,
  TopicPartition,
} from "./offsets.ts";
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
