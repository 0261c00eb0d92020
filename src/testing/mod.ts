/**
 * A Kafka cluster inside the process, and a clock that a test drives: `@sluice/kafka/testing`.
 *
 * @example Checking what a client wrote, without a network
 * ```ts
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ brokers: 3, topics: { orders: { partitions: 12 } } });
 * // new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets })
 * console.assert((await cluster.records("orders")).length === 0);
 * ```
 *
 * @module
 */

export {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
  type AnyApi,
  ApiVersions,
  ConsumerGroupDescribe,
  CreatePartitions,
  CreateTopics,
  DeleteGroups,
  DeleteRecords,
  DeleteTopics,
  DescribeCluster,
  DescribeConfigs,
  DescribeGroups,
  DescribeProducers,
  DescribeTransactions,
  EndTxn,
  Fetch,
  FindCoordinator,
  GetTelemetrySubscriptions,
  Heartbeat,
  IncrementalAlterConfigs,
  InitProducerId,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  ListOffsets,
  ListTransactions,
  Metadata,
  OffsetCommit,
  OffsetDelete,
  OffsetFetch,
  OffsetForLeaderEpoch,
  Produce,
  PushTelemetry,
  type RequestOf,
  type ResponseInputOf,
  SaslAuthenticate,
  SaslHandshake,
  SyncGroup,
  TxnOffsetCommit,
} from "./broker/apis.ts";
export { type Release } from "./broker/release.ts";
export { Broker, type Endpoint, type VersionRange } from "./broker/broker.ts";
export { EmbeddedCluster } from "./cluster.ts";
export { type EmbeddedClusterOptions } from "./cluster_options.ts";
export { type ClusterRuntime } from "./cluster_runtime.ts";
export {
  type ControlAction,
  type ControlFunction,
  type ControlOptions,
  type RequestContext,
} from "./broker/control.ts";
export { type CoordinatorType, type MoveCoordinatorOptions } from "./coordination/coordinators.ts";
export { GroupCoordinator } from "./coordination/group_coordinator.ts";
export { Group, type GroupOptions, type GroupState } from "./coordination/group.ts";
export { type CommittedOffset, GroupOffsets } from "./coordination/group_offsets.ts";
export {
  TransactionCoordinator,
  type TransactionDescription,
  type TransactionOptions,
  type TransactionState,
} from "./coordination/transaction_coordinator.ts";
export { type EndedTransaction, type OpenTransaction, TransactionLog } from "./storage/transaction_log.ts";
export { type SaslOptions } from "./broker/sasl_exchange.ts";
export { ClientMetrics, type ClientMetricsOptions, type TelemetryPush } from "./broker/telemetry.ts";
export { type Listening, type ListenOptions, type ListenTls } from "./broker/listen.ts";
export {
  type Certificate,
  type CertificateAuthority,
  certificateAuthority,
  type CertificateOptions,
} from "./certificates.ts";
export { type SequencedBatch } from "./storage/batch_view.ts";
export {
  type Decompress,
  type EpochStart,
  PartitionLog,
  type StoredBatch,
  type TransactionalBatch,
} from "./storage/log.ts";
export { type Accept, type Chunking, MemoryNetwork, type MemoryNetworkOptions } from "./doubles/network.ts";
export { type AppendedBatch, ProducerState } from "./storage/producer_state.ts";
export { type QuotaOptions } from "./broker/quota.ts";
export { seededRandom } from "./doubles/random.ts";
export { readTopic, type ReadTopicOptions } from "./read_back.ts";
export {
  type RecordedCallbacks,
  RecordedDelivery,
  type RecordedInput,
  RecordedMetadata,
  type RecordedRecord,
  type RecordingMetric,
  type RecordingMetrics,
  type RecordingPartitioner,
} from "./doubles/recorded_record.ts";
export { type RecordedRequest } from "./broker/recording.ts";
export { RecordingProducer, type RecordingProducerOptions } from "./doubles/recording_producer.ts";
export {
  type FollowerProgress,
  type PartitionState,
  Replica,
  type ReplicaRole,
  type ReplicatedPartition,
} from "./storage/replica.ts";
export { type ReplicationOptions } from "./control/replication.ts";
export { type RecordsOptions } from "./records.ts";
export { type RecordText } from "./record_text.ts";
export { type StoredRecord } from "./storage/stored_record.ts";
export { Partition, Topic, type TopicDefaults, type TopicSpec } from "./control/topic.ts";
export { type TopicConfig, type TopicRules } from "./storage/topic_config.ts";
export { ClusterView } from "./control/view.ts";
export { VirtualRuntime, type VirtualRuntimeOptions } from "./doubles/virtual_runtime.ts";
