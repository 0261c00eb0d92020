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
export { type Release } from "./api_versions_handler.ts";
export { Broker, type Endpoint, type VersionRange } from "./broker.ts";
export { type ClusterRuntime, EmbeddedCluster, type EmbeddedClusterOptions } from "./cluster.ts";
export { type ControlAction, type ControlFunction, type ControlOptions, type RequestContext } from "./control.ts";
export { type Listening, type ListenOptions } from "./listen.ts";
export { PartitionLog, type StoredBatch } from "./log.ts";
export { type Accept, type Chunking, MemoryNetwork, type MemoryNetworkOptions } from "./network.ts";
export { ProducerState } from "./producer_state.ts";
export { seededRandom } from "./random.ts";
export { readTopic, type ReadTopicOptions } from "./read_back.ts";
export { type RecordedRequest } from "./recording.ts";
export { type StoredRecord } from "./stored_record.ts";
export { Partition, Topic, type TopicSpec } from "./topic.ts";
export { type TopicConfig, type TopicRules } from "./topic_config.ts";
export { VirtualRuntime, type VirtualRuntimeOptions } from "./virtual_runtime.ts";
