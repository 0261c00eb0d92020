/**
 * KafkaJS's interface for producers of this package: a program that uses KafkaJS to produce changes its import.
 *
 * `consumer()` and `admin()` come from a KafkaJS that is passed as `kafkajs`. Every error is one of KafkaJS's classes,
 * and its `cause` is the error of this package. What differs on purpose stands in `docs/migrate/kafkajs.md`.
 *
 * @example
 * ```ts
 * import { CompressionTypes, Kafka, logLevel } from "@sluice/kafka/compat/kafkajs";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const { bootstrap, sockets: connect } = new EmbeddedCluster({ topics: { orders: 1 } });
 * const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, sluice: { connect } });
 * const producer = kafka.producer({ idempotent: true });
 * await producer.connect();
 * await producer.send({ topic: "orders", compression: CompressionTypes.ZSTD, messages: [{ value: "hello" }] });
 * await producer.disconnect();
 * ```
 *
 * @module
 */

export { CompressionCodecs, CompressionTypes } from "./compression.ts";
export * from "./consumer_types.ts";
export {
  KafkaJSAggregateError,
  KafkaJSAlterPartitionReassignmentsError,
  KafkaJSBrokerNotFound,
  KafkaJSConnectionClosedError,
  KafkaJSConnectionError,
  KafkaJSCreateTopicError,
  KafkaJSDeleteGroupsError,
  KafkaJSDeleteTopicRecordsError,
  KafkaJSError,
  type KafkaJSErrorMetadata,
  KafkaJSGroupCoordinatorNotFound,
  KafkaJSInvalidLongError,
  KafkaJSInvalidVarIntError,
  KafkaJSInvariantViolation,
  KafkaJSLockTimeout,
  KafkaJSMemberIdRequired,
  KafkaJSMetadataNotLoaded,
  KafkaJSNoBrokerAvailableError,
  KafkaJSNonRetriableError,
  KafkaJSNotImplemented,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSOffsetOutOfRange,
  KafkaJSPartialMessageError,
  KafkaJSProtocolError,
  KafkaJSRequestTimeoutError,
  type KafkaJSRequestTimeoutErrorMetadata,
  KafkaJSSASLAuthenticationError,
  KafkaJSServerDoesNotSupportApiKey,
  KafkaJSStaleTopicMetadataAssignment,
  KafkaJSTimeout,
  KafkaJSTopicMetadataNotLoaded,
  KafkaJSUnsupportedMagicByteInMessageSet,
} from "./errors.ts";
export type {
  ConnectEvent,
  DisconnectEvent,
  InstrumentationEvent,
  ProducerEvents,
  RemoveInstrumentationEventListener,
  RequestEvent,
  RequestQueueSizeEvent,
  RequestTimeoutEvent,
} from "./events.ts";
export { type AnyKafkaJS, Kafka, type KafkaJSModule } from "./kafka.ts";
export { type logCreator, type LogEntry, type Logger, type LoggerEntryContent, logLevel } from "./logger.ts";
export { Partitioners } from "./partitioners.ts";
export type {
  AuthenticationProviderArgs,
  Authenticator,
  BrokersFunction,
  DefaultPartitioner,
  ICustomPartitioner,
  IHeaders,
  ISocketFactory,
  ISocketFactoryArgs,
  KafkaConfig,
  LegacyPartitioner,
  Mechanism,
  Message,
  OauthbearerProviderResponse,
  Offsets,
  PartitionerArgs,
  PartitionMetadata,
  PartitionOffset,
  Producer,
  ProducerBatch,
  ProducerConfig,
  ProducerRecord,
  RecordMetadata,
  RetryOptions,
  SaslAuthenticateArgs,
  SASLMechanism,
  SASLOptions,
  Sender,
  SluiceOptions,
  TlsConnectionOptions,
  TopicMessages,
  TopicOffsets,
  Transaction,
} from "./types.ts";
