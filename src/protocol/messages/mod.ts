/**
 * Every API that is spoken, one file each.
 *
 * @module
 */

export { AddOffsetsToTxn } from "./add_offsets_to_txn.ts";
export { AddPartitionsToTxn } from "./add_partitions_to_txn.ts";
export { ApiVersions } from "./api_versions.ts";
export { CreatePartitions } from "./create_partitions.ts";
export { CreateTopics } from "./create_topics.ts";
export { DeleteGroups } from "./delete_groups.ts";
export { DeleteRecords } from "./delete_records.ts";
export { DeleteTopics } from "./delete_topics.ts";
export { DescribeCluster } from "./describe_cluster.ts";
export { DescribeConfigs } from "./describe_configs.ts";
export { ConsumerGroupDescribe } from "./consumer_group_describe.ts";
export { DescribeGroups } from "./describe_groups.ts";
export { DescribeProducers } from "./describe_producers.ts";
export { DescribeTransactions } from "./describe_transactions.ts";
export { EndTxn } from "./end_txn.ts";
export { Fetch } from "./fetch.ts";
export { FindCoordinator } from "./find_coordinator.ts";
export { GetTelemetrySubscriptions } from "./get_telemetry_subscriptions.ts";
export { Heartbeat } from "./heartbeat.ts";
export { IncrementalAlterConfigs } from "./incremental_alter_configs.ts";
export { InitProducerId } from "./init_producer_id.ts";
export { JoinGroup } from "./join_group.ts";
export { LeaveGroup } from "./leave_group.ts";
export { ListGroups } from "./list_groups.ts";
export { ListOffsets } from "./list_offsets.ts";
export { ListTransactions } from "./list_transactions.ts";
export { Metadata } from "./metadata.ts";
export { OffsetCommit } from "./offset_commit.ts";
export { OffsetDelete } from "./offset_delete.ts";
export { OffsetFetch } from "./offset_fetch.ts";
export { OffsetForLeaderEpoch } from "./offset_for_leader_epoch.ts";
export { Produce } from "./produce.ts";
export { PushTelemetry } from "./push_telemetry.ts";
export { SaslAuthenticate } from "./sasl_authenticate.ts";
export { SaslHandshake } from "./sasl_handshake.ts";
export { SyncGroup } from "./sync_group.ts";
export { TxnOffsetCommit } from "./txn_offset_commit.ts";
export { WriteTxnMarkers } from "./write_txn_markers.ts";
