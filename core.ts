/**
 * The producer without codecs: for bundles that must be small, such as Workers. It takes codecs as values, and a bundle
 * has those only that it imports. Everything else is as in `@sluice/kafka`.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka/core";
 * import { lz4 } from "@sluice/kafka/codecs";
 *
 * const producer = new Producer({ brokers: "localhost:9092", compression: lz4() });
 * await producer.close();
 * ```
 *
 * @module
 */

export * from "./src/errors.ts";
export { Kafka } from "./src/other_clients.ts";
export type { BrokerHealth } from "./src/cluster/health.ts";
export type { BrokerSnapshot, ClusterSnapshot, TopicSnapshot } from "./src/cluster/snapshot.ts";
export type { Codec, CompressionId, CompressionType } from "./src/codec/codec.ts";
export type { CodecSource } from "./src/codec/guarded_compressor.ts";
export type { CompressionSpec, TopicCompression } from "./src/producer/options/compression.ts";
export { type ProducerOptions, validateConfig } from "./src/producer/options/options.ts";
export {
  keyHash,
  type Partitioner,
  type PartitionerInput,
  type PartitionerName,
  randomPartition,
  roundRobin,
  sticky,
  type StickyOptions,
} from "./src/producer/record/partitioner.ts";
export type {
  ConnectEvent,
  ConnectFailedEvent,
  ConnectionHooks,
  DisconnectEvent,
  RequestEvent,
  ResponseEvent,
  ThrottleEvent,
} from "./src/cluster/hooks.ts";
export type { BatchEvent } from "./src/producer/observe/batch_event.ts";
export type { DataLossEvent, EpochBumpEvent, ProducerHooks, RetryEvent } from "./src/producer/observe/hooks.ts";
export type { ProducerInterceptor } from "./src/producer/record/interceptor.ts";
export type { LogFields, Logger, LogLevel } from "./src/producer/observe/logger.ts";
export type { ProducerMetrics } from "./src/producer/observe/metrics.ts";
export type { SecurityProtocol } from "./src/cluster/security.ts";
export type { ConfluentCloudOptions, HostedPreset, MskOptions } from "./src/producer/options/hosted.ts";
export { type Preset, presets } from "./src/producer/options/presets.ts";
export { type PartitionInfo, Producer } from "./src/producer/producer.ts";
export {
  TransactionalProducer,
  type TransactionalProducerOptions,
  type TransactionOptions,
} from "./src/producer/transaction/transactional_producer.ts";
export { Transaction } from "./src/producer/transaction/transaction.ts";
export type { GroupMetadata } from "./src/cluster/group_metadata.ts";
export type { CommittedOffset } from "./src/producer/transaction/offsets.ts";
export type { TransactionState } from "./src/producer/transaction/states.ts";
export type { WaitOptions } from "./src/producer/within.ts";
export type {
  BatchDeliveryLike,
  ProducerLike,
  RecordMetadataLike,
  SendOptionsLike,
} from "./src/producer/producer_like.ts";
export { type Delivery, RecordMetadata } from "./src/producer/record/delivery.ts";
export {
  type DeliveryCallback,
  type Headers,
  type HeaderValue,
  type ProducerRecord,
  type SendOptions,
} from "./src/producer/record/record.ts";
export { RetryContext, RetryPolicy, type RetryPolicyOptions, type RetryRuntime } from "./src/app/retry_policy.ts";
export { BatchDelivery } from "./src/producer/send_batch.ts";
export {
  bytesSerializer,
  jsonSerializer,
  type Serializer,
  type SerializerContext,
  stringSerializer,
} from "./src/producer/record/serializer.ts";
export type {
  ConnectOptions,
  Hold,
  Runtime,
  Socket,
  SocketCapabilities,
  SocketEvents,
  SocketFactory,
  Timer,
  TlsOptions,
} from "./src/runtime/runtime.ts";
