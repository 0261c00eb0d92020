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
  type AnyApi,
  ApiVersions,
  CreateTopics,
  Fetch,
  FindCoordinator,
  InitProducerId,
  ListOffsets,
  Metadata,
  Produce,
  type RequestOf,
  type ResponseInputOf,
} from "./apis.ts";
export { type Release } from "./release.ts";
export { Broker, type Endpoint, type VersionRange } from "./broker.ts";
export { EmbeddedCluster } from "./cluster.ts";
export { type EmbeddedClusterOptions } from "./cluster_options.ts";
export { type ClusterRuntime } from "./cluster_runtime.ts";
export { type ControlAction, type ControlFunction, type ControlOptions, type RequestContext } from "./control.ts";
export { type SaslOptions } from "./sasl_exchange.ts";
export { type Listening, type ListenOptions } from "./listen.ts";
export { type Decompress, type EpochStart, PartitionLog, type StoredBatch } from "./log.ts";
export { type Accept, type Chunking, MemoryNetwork, type MemoryNetworkOptions } from "./network.ts";
export { type AppendedBatch, ProducerState, type SequencedBatch } from "./producer_state.ts";
export { type QuotaOptions } from "./quota.ts";
export { seededRandom } from "./random.ts";
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
} from "./recorded_record.ts";
export { type RecordedRequest } from "./recording.ts";
export { RecordingProducer, type RecordingProducerOptions } from "./recording_producer.ts";
export { type FollowerProgress, Replica, type ReplicaRole } from "./replica.ts";
export { type ReplicationOptions } from "./replication.ts";
export { type StoredRecord } from "./stored_record.ts";
export { Partition, Topic, type TopicDefaults, type TopicSpec } from "./topic.ts";
export { type TopicConfig, type TopicRules } from "./topic_config.ts";
export { ClusterView, type PartitionState } from "./view.ts";
export { VirtualRuntime, type VirtualRuntimeOptions } from "./virtual_runtime.ts";
