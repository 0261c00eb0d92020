/**
 * What a KafkaJS producer takes and gives, under KafkaJS's names. Where KafkaJS says `Buffer`, any `Uint8Array` will do.
 *
 * @module
 */

import type { ProducerOptions } from "../../producer/options/options.ts";
import type { CompressionTypes } from "./compression.ts";
import type {
  ConnectEvent,
  DisconnectEvent,
  InstrumentationEvent,
  ProducerEvents,
  RemoveInstrumentationEventListener,
  RequestEvent,
  RequestQueueSizeEvent,
  RequestTimeoutEvent,
} from "./events.ts";
import type { logCreator, Logger, logLevel } from "./logger.ts";

/** Finds the brokers each time that `connect()` is called. */
export type BrokersFunction = () => string[] | Promise<string[]>;

/** What of Node's TLS options has a counterpart. Another one is refused by name. */
export interface TlsConnectionOptions {
  /** Certificate authorities, in PEM. */
  ca?: string | Uint8Array | (string | Uint8Array)[] | undefined;
  /** The client's certificate, in PEM. */
  cert?: string | Uint8Array | (string | Uint8Array)[] | undefined;
  /** The client's private key, in PEM. */
  // deno-lint-ignore no-explicit-any
  key?: string | Uint8Array | any[] | undefined;
  /** The passphrase of an encrypted key. */
  passphrase?: string | undefined;
  /** The name to send as SNI and to check the certificate against. @default the broker's host */
  servername?: string | undefined;
  /** Trust whoever answers, if false. @default true */
  rejectUnauthorized?: boolean | undefined;
  /** A function checks the host name: only one that checks nothing can be meant here. */
  // deno-lint-ignore no-explicit-any
  checkServerIdentity?: ((host: string, certificate: any) => Error | undefined) | undefined;
}

/** What a token provider returns. */
export interface OauthbearerProviderResponse {
  /** The token. */
  value: string;
}

/** The name of a mechanism. */
export type SASLMechanism = "plain" | "scram-sha-256" | "scram-sha-512" | "aws" | "oauthbearer";
/** Who the client is. */
export type SASLOptions =
  | { mechanism: "plain"; username: string; password: string }
  | { mechanism: "scram-sha-256"; username: string; password: string }
  | { mechanism: "scram-sha-512"; username: string; password: string }
  | {
    mechanism: "aws";
    authorizationIdentity: string;
    accessKeyId: string;
    secretAccessKey: string;
    sessionToken?: string;
  }
  | { mechanism: "oauthbearer"; oauthBearerProvider: () => Promise<OauthbearerProviderResponse> };

/** Runs the exchange of a mechanism. */
export type Authenticator = {
  /** Resolves when the broker is content. */
  authenticate: () => Promise<void>;
};

/** One message of an exchange. */
export type SaslAuthenticateArgs<ParseResult> = {
  /** What is sent, its length in four bytes before it. */
  request: { encode: () => Uint8Array | Promise<Uint8Array> };
  /** Reads the answer, its length in four bytes before it. */
  // deno-lint-ignore no-explicit-any
  response?: { decode: (rawResponse: any) => any; parse: (data: any) => ParseResult };
};

/** What an authenticator is made of. */
export type AuthenticationProviderArgs = {
  /** The broker's host. */
  host: string;
  /** The broker's port. */
  port: number;
  /** Where to log. */
  logger: Logger;
  /** Sends a message and reads the answer. */
  saslAuthenticate: <ParseResult>(args: SaslAuthenticateArgs<ParseResult>) => Promise<ParseResult | void>;
};

/** A mechanism of one's own. */
export type Mechanism = {
  /** Its name. */
  mechanism: string;
  /** Makes an authenticator for each connection. */
  authenticationProvider: (args: AuthenticationProviderArgs) => Authenticator;
};

/** What a socket factory is told. */
export interface ISocketFactoryArgs {
  /** The broker's host. */
  host: string;
  /** The broker's port. */
  port: number;
  /** Always undefined: TLS is spoken through the socket that is returned. */
  // deno-lint-ignore no-explicit-any
  ssl: any;
  /** To be called when the socket is connected. */
  onConnect: () => void;
}

/** Opens a connection: returns a socket of `node:net`. */
// deno-lint-ignore no-explicit-any
export type ISocketFactory = (args: ISocketFactoryArgs) => any;

/** How what fails is tried again. */
export interface RetryOptions {
  /** The longest wait, in ms. @default 30000 */
  maxRetryTime?: number;
  /** The first wait, in ms. @default 300 */
  initialRetryTime?: number;
  /** How much waits vary. Without effect: they vary by a fifth. @default 0.2 */
  factor?: number;
  /** By how much waits grow. Without effect: each is twice the one before. @default 2 */
  multiplier?: number;
  /** How often. @default 5, without limit for an idempotent producer */
  retries?: number;
  /** For consumers. */
  restartOnFailure?: (e: Error) => Promise<boolean>;
}

/** Options of a producer of this package that KafkaJS has no name for, such as `lingerMs`. */
export type SluiceOptions = Partial<
  Omit<ProducerOptions, "brokers" | "acks" | "compression" | "idempotent" | "partitioner" | "interceptors">
>;

/** The configuration of a client. Times are in ms. */
export interface KafkaConfig {
  /** The bootstrap servers, or a function that finds them. */
  brokers: string[] | BrokersFunction;
  /** Speak TLS. @default false */
  ssl?: TlsConnectionOptions | boolean | undefined;
  /** Who the client is. @default none */
  sasl?: SASLOptions | Mechanism | undefined;
  /** Sent with every request. @default "kafkajs" */
  clientId?: string | undefined;
  /** How long connecting may take. @default 1000 */
  connectionTimeout?: number | undefined;
  /** How long authenticating may take beside that. @default 10000 */
  authenticationTimeout?: number | undefined;
  /** Without effect: sessions are renewed in time. */
  reauthenticationThreshold?: number | undefined;
  /** How long to wait for an answer. @default 30000 */
  requestTimeout?: number | undefined;
  /** Without effect: the timeout is always enforced. @default true */
  enforceRequestTimeout?: boolean | undefined;
  /** How what fails is tried again. */
  retry?: RetryOptions | undefined;
  /** Opens connections. @default the runtime's own */
  socketFactory?: ISocketFactory | undefined;
  /** What is logged. @default logLevel.INFO */
  logLevel?: logLevel | undefined;
  /** Makes what writes the log. @default lines of JSON on the console */
  logCreator?: logCreator | undefined;
  /** What else a producer of this package can do; it comes before what follows from the options above. */
  sluice?: SluiceOptions | undefined;
}

/** The configuration of a producer. */
export interface ProducerConfig {
  /** Chooses partitions. @default Partitioners.DefaultPartitioner */
  createPartitioner?: ICustomPartitioner | undefined;
  /** Comes over that of the client. */
  retry?: RetryOptions | undefined;
  /** Age at which metadata is refreshed, in ms. @default 300000 */
  metadataMaxAge?: number | undefined;
  /** Let the broker create a missing topic. @default true */
  allowAutoTopicCreation?: boolean | undefined;
  /** No duplicates and no reordering through retries. @default false */
  idempotent?: boolean | undefined;
  /** For {@link Producer.transaction}. */
  transactionalId?: string | undefined;
  /** After so long the broker aborts a transaction, in ms. @default 60000 */
  transactionTimeout?: number | undefined;
  /** Unanswered Produce requests on a connection. @default 5 */
  maxInFlightRequests?: number | null | undefined;
  /** What else a producer of this package can do; comes over that of the client. */
  sluice?: SluiceOptions | undefined;
}

/** Headers: several values under a name are several headers. */
export interface IHeaders {
  /** By name. */
  [key: string]: Uint8Array | string | (Uint8Array | string)[] | undefined;
}

/** A record to send. */
export interface Message {
  /** Records with the same key go to the same partition. */
  key?: Uint8Array | string | null;
  /** The payload; null is a tombstone. */
  value: Uint8Array | string | null;
  /** Chooses the partition by hand. */
  partition?: number;
  /** Application data. */
  headers?: IHeaders;
  /** Ms since the epoch, as text. @default the time of the call */
  timestamp?: string;
}

/** A partition, as a partitioner is told of it. */
export type PartitionMetadata = {
  /** Always 0. */
  partitionErrorCode: number;
  /** The partition. */
  partitionId: number;
  /** Node id of the leader, −1 while there is none. */
  leader: number;
  /** The leader alone, as far as a producer knows. */
  replicas: number[];
  /** The leader alone, as far as a producer knows. */
  isr: number[];
  /** None. */
  offlineReplicas?: number[];
};

/** What a partitioner is told. */
export interface PartitionerArgs {
  /** The topic. */
  topic: string;
  /** All partitions of the topic. */
  partitionMetadata: PartitionMetadata[];
  /** The message as it was passed to `send`. */
  message: Message;
}

/** Makes a partitioner: called once for each producer. */
export type ICustomPartitioner = () => (args: PartitionerArgs) => number;
/** Makes the partitioner of Java's client. */
export type DefaultPartitioner = ICustomPartitioner;
/** Makes the partitioner of KafkaJS 1. */
export type LegacyPartitioner = ICustomPartitioner;

/** What `send` takes. */
export interface ProducerRecord {
  /** Where the messages go. */
  topic: string;
  /** The messages. */
  messages: Message[];
  /** Who must have a message before it counts: all in-sync replicas (−1), the leader (1), nobody (0). @default -1 */
  acks?: number;
  /** Checked, and otherwise without effect: `requestTimeout` is what brokers are told. @default 30000 */
  timeout?: number;
  /** The codec. @default CompressionTypes.None */
  compression?: CompressionTypes;
}

/** The messages of one topic. */
export interface TopicMessages {
  /** Where the messages go. */
  topic: string;
  /** The messages. */
  messages: Message[];
}

/** What `sendBatch` takes. */
export interface ProducerBatch {
  /** As in {@link ProducerRecord}. @default -1 */
  acks?: number;
  /** As in {@link ProducerRecord}. @default 30000 */
  timeout?: number;
  /** As in {@link ProducerRecord}. @default CompressionTypes.None */
  compression?: CompressionTypes;
  /** The messages of each topic. */
  topicMessages?: TopicMessages[];
}

/** Where the messages of one partition are now. */
export type RecordMetadata = {
  /** The topic. */
  topicName: string;
  /** The partition. */
  partition: number;
  /** Always 0. */
  errorCode: number;
  /** Never there: brokers since Kafka 0.11 tell `baseOffset`. */
  offset?: string;
  /** Never there: brokers since Kafka 0.11 tell `logAppendTime`. */
  timestamp?: string;
  /** The offset of the first message; `"-1"` of a duplicate that the broker doesn't place. */
  baseOffset?: string;
  /** The broker's time on a topic with LogAppendTime, in ms since the epoch; else `"-1"`. */
  logAppendTime?: string;
  /** The first offset of the partition, as of the last answer; `"-1"` if the broker doesn't tell. */
  logStartOffset?: string;
};

/** An offset of a partition. */
export interface PartitionOffset {
  /** The partition. */
  partition: number;
  /** The offset. */
  offset: string;
}

/** Offsets of a topic. */
export interface TopicOffsets {
  /** The topic. */
  topic: string;
  /** An offset for each partition. */
  partitions: PartitionOffset[];
}

/** Offsets of topics. */
export interface Offsets {
  /** The topics. */
  topics: TopicOffsets[];
}

/** What sends messages. */
export type Sender = {
  /** Sends messages to a topic; resolves with an entry for each partition that they went to, none with acks 0. */
  send(record: ProducerRecord): Promise<RecordMetadata[]>;
  /** Sends messages to several topics. */
  sendBatch(batch: ProducerBatch): Promise<RecordMetadata[]>;
};

/** A transaction: what is sent by it is committed together or not at all. */
export type Transaction = Sender & {
  /** Commits offsets of a consumer group as part of the transaction: those of the next records to read. */
  sendOffsets(offsets: Offsets & { consumerGroupId: string }): Promise<void>;
  /** Waits for every message, then commits. Rejects if one of them has failed: then `abort()` is what is left. */
  commit(): Promise<void>;
  /** Takes everything back. */
  abort(): Promise<void>;
  /** Whether it has been neither committed nor aborted. */
  isActive(): boolean;
};

/** Sends messages to Kafka. */
export type Producer = Sender & {
  /** Connects; needed before the first send. */
  connect(): Promise<void>;
  /** Delivers what was sent, then closes all connections. May be called again, and `connect()` after it. */
  disconnect(): Promise<void>;
  /** What `idempotent` was set to. */
  isIdempotent(): boolean;
  /** The names of the events. */
  readonly events: ProducerEvents;
  /** Listens for `connect()`; the returned function ends that. */
  on(
    eventName: ProducerEvents["CONNECT"],
    listener: (event: ConnectEvent) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Listens for `disconnect()`. */
  on(
    eventName: ProducerEvents["DISCONNECT"],
    listener: (event: DisconnectEvent) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Listens for requests. */
  on(
    eventName: ProducerEvents["REQUEST"],
    listener: (event: RequestEvent) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Listens for how many requests are under way. */
  on(
    eventName: ProducerEvents["REQUEST_QUEUE_SIZE"],
    listener: (event: RequestQueueSizeEvent) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Listens for requests that were not answered. */
  on(
    eventName: ProducerEvents["REQUEST_TIMEOUT"],
    listener: (event: RequestTimeoutEvent) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Listens for any of them. */
  on(
    eventName: ProducerEvents[keyof ProducerEvents],
    // deno-lint-ignore no-explicit-any
    listener: (event: InstrumentationEvent<any>) => void,
  ): RemoveInstrumentationEventListener<typeof eventName>;
  /** Begins a transaction, of which a producer has one at a time. */
  transaction(): Promise<Transaction>;
  /** The producer's logger. */
  logger(): Logger;
};
