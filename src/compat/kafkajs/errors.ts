/**
 * KafkaJS's error classes by their names, and what becomes of an error of ours: that is always their `cause`.
 *
 * @module
 */

import { isKafkaError } from "../../error_like.ts";
import {
  AuthenticationError,
  BufferFullError,
  ConfigError,
  ConnectionError,
  DeliveryTimeoutError,
  type KafkaError,
  TimeoutError,
  UnsupportedVersionError,
} from "../../errors.ts";
import { reasonOf } from "../../show.ts";

/** What an error can say of itself besides its message. */
export interface KafkaJSErrorMetadata {
  /** Whether trying again can help. @default true */
  readonly retriable?: boolean | undefined;
  /** What led to it. */
  readonly cause?: unknown;
  /** The topic concerned; kept by nobody, as in KafkaJS. */
  readonly topic?: string | undefined;
  /** The partition concerned; kept by nobody, as in KafkaJS. */
  readonly partitionId?: number | undefined;
}

/** What an error may be made of: a text, or an error whose message is taken over. */
type Source = string | { readonly message?: string | undefined; readonly helpUrl?: string | undefined };

/** The base of KafkaJS's errors. */
export class KafkaJSError extends Error {
  /** The name of the class. */
  override name = "KafkaJSError";
  /** Whether trying again can help. */
  readonly retriable: boolean;
  /** Where to read more, if somebody wrote it down. */
  readonly helpUrl: string | undefined;
  /** What led to it: the error of this package, whose `persisted` says whether the record is in the log. */
  override readonly cause: Error | undefined;

  /** Takes over the message. */
  constructor(e: Error | string, metadata?: KafkaJSErrorMetadata) {
    super(textOf(e));
    const { retriable = true, cause } = metadata ?? {};
    this.retriable = retriable;
    this.helpUrl = typeof e === "string" ? undefined : (e as Source & { helpUrl?: string })?.helpUrl;
    this.cause = cause as Error | undefined;
  }
}

function textOf(e: Source): string {
  return typeof e === "string" ? e : e?.message ?? reasonOf(e);
}

/** Trying again is of no use. */
export class KafkaJSNonRetriableError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSNonRetriableError";

  /** Takes over the message. */
  constructor(e: Error | string, metadata?: { readonly cause?: unknown }) {
    super(e, { retriable: false, cause: metadata?.cause });
  }
}

/** A broker answered with an error code. */
export class KafkaJSProtocolError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSProtocolError";
  /** KafkaJS's name of the code, such as `"NOT_LEADER_FOR_PARTITION"`. */
  readonly type: string;
  /** The broker's number. */
  readonly code: number;

  /** Takes over message, `type`, `code` and `retriable`. */
  constructor(e: Error | string, metadata?: KafkaJSErrorMetadata) {
    const given = e as { readonly type?: string; readonly code?: number; readonly retriable?: boolean };
    super(e, { retriable: metadata?.retriable ?? given?.retriable, cause: metadata?.cause });
    this.type = given?.type as string;
    this.code = given?.code as number;
  }
}

/** An offset that isn't there. */
export class KafkaJSOffsetOutOfRange extends KafkaJSProtocolError {
  /** The name of the class. */
  override name = "KafkaJSOffsetOutOfRange";
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;

  /** Takes over what it is told. */
  constructor(e: Error | string, metadata?: { readonly topic: string; readonly partition: number }) {
    super(e);
    this.topic = metadata?.topic as string;
    this.partition = metadata?.partition as number;
  }
}

/** A member must come again with the id that it was given. */
export class KafkaJSMemberIdRequired extends KafkaJSProtocolError {
  /** The name of the class. */
  override name = "KafkaJSMemberIdRequired";
  /** The id. */
  readonly memberId: string;

  /** Takes over what it is told. */
  constructor(e: Error | string, metadata?: { readonly memberId: string }) {
    super(e);
    this.memberId = metadata?.memberId as string;
  }
}

/** It was tried as often as was allowed, or as long. `type` and `code` are those of the broker's last answer, if any. */
export class KafkaJSNumberOfRetriesExceeded extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSNumberOfRetriesExceeded";
  /** How often it may be tried again. */
  readonly retryCount: number;
  /** The last wait before a retry, in ms. */
  readonly retryTime: number;
  /** KafkaJS's name of the broker's last error code. */
  readonly type?: string;
  /** The broker's last error code. */
  readonly code?: number;

  /** Takes over the message; the error is the `cause`. */
  constructor(e: Error | string, metadata?: { readonly retryCount: number; readonly retryTime: number }) {
    super(e, { cause: e });
    this.retryCount = metadata?.retryCount as number;
    this.retryTime = metadata?.retryTime as number;
    const { type, code } = typeof e === "string" ? {} as Protocol : protocolOf(e) ?? e as Protocol;
    if (type !== undefined) this.type = type;
    if (typeof code === "number") this.code = code;
    const stack = typeof e === "string" ? e : e?.stack;
    this.stack = `KafkaJSNumberOfRetriesExceeded\n  Caused by: ${stack}`;
  }
}

/** A connection could not be made or was lost. */
export class KafkaJSConnectionError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSConnectionError";
  /** `host:port`. */
  readonly broker: string;
  /** The code of the operating system, or of this package. */
  readonly code: string | undefined;

  /** Takes over what it is told. */
  constructor(
    e: Error | string,
    metadata?: KafkaJSErrorMetadata & { readonly broker?: string | undefined; readonly code?: string | undefined },
  ) {
    super(e, { cause: metadata?.cause });
    this.broker = metadata?.broker as string;
    this.code = metadata?.code;
  }
}

/** A connection has ended. */
export class KafkaJSConnectionClosedError extends KafkaJSConnectionError {
  /** The name of the class. */
  override name = "KafkaJSConnectionClosedError";
  /** The broker's host. */
  readonly host: string;
  /** The broker's port. */
  readonly port: number;

  /** Takes over what it is told. */
  constructor(e: Error | string, metadata?: { readonly host: string; readonly port: number }) {
    super(e, { broker: `${metadata?.host}:${metadata?.port}` });
    this.host = metadata?.host as string;
    this.port = metadata?.port as number;
  }
}

/** What is known of a request that was not answered in time. */
export interface KafkaJSRequestTimeoutErrorMetadata {
  /** `host:port`. */
  readonly broker: string;
  /** Who asked. */
  readonly clientId: string;
  /** The request's number on its connection. */
  readonly correlationId: number;
  /** When it was made, in ms since the epoch. */
  readonly createdAt: number;
  /** When it was sent, in ms since the epoch. */
  readonly sentAt: number;
  /** Ms in between. */
  readonly pendingDuration: number;
}

/** A request was not answered in time. */
export class KafkaJSRequestTimeoutError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSRequestTimeoutError";
  /** `host:port`. */
  readonly broker: string;
  /** The request's number on its connection. */
  readonly correlationId: number;
  /** When it was made, in ms since the epoch. */
  readonly createdAt: number;
  /** When it was sent, in ms since the epoch. */
  readonly sentAt: number;
  /** Ms in between. */
  readonly pendingDuration: number;

  /** Takes over what it is told. */
  constructor(
    e: Error | string,
    metadata?: Partial<KafkaJSRequestTimeoutErrorMetadata> & { readonly cause?: unknown },
  ) {
    super(e, { cause: metadata?.cause });
    this.broker = metadata?.broker as string;
    this.correlationId = metadata?.correlationId as number;
    this.createdAt = metadata?.createdAt as number;
    this.sentAt = metadata?.sentAt as number;
    this.pendingDuration = metadata?.pendingDuration as number;
  }
}

/** There are no metadata. */
export class KafkaJSMetadataNotLoaded extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSMetadataNotLoaded";
}

/** There are no metadata of a topic. */
export class KafkaJSTopicMetadataNotLoaded extends KafkaJSMetadataNotLoaded {
  /** The name of the class. */
  override name = "KafkaJSTopicMetadataNotLoaded";
  /** The topic. */
  readonly topic: string;

  /** Takes over what it is told. */
  constructor(e: Error | string, metadata?: { readonly topic: string }) {
    super(e);
    this.topic = metadata?.topic as string;
  }
}

/** A consumer was assigned partitions that it doesn't know. */
export class KafkaJSStaleTopicMetadataAssignment extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSStaleTopicMetadataAssignment";
  /** The topic. */
  readonly topic: string;
  /** The partitions. */
  readonly unknownPartitions: unknown;

  /** Takes over what it is told. */
  constructor(e: Error | string, metadata?: { readonly topic: string; readonly unknownPartitions: unknown }) {
    super(e);
    this.topic = metadata?.topic as string;
    this.unknownPartitions = metadata?.unknownPartitions;
  }
}

/** Groups were not deleted. */
export class KafkaJSDeleteGroupsError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSDeleteGroupsError";
  /** Which, and why. */
  readonly groups: readonly { groupId: string; errorCode?: number; error?: KafkaJSError }[];

  /** Takes over what it is told. */
  constructor(
    e: Error | string,
    groups: readonly { groupId: string; errorCode?: number; error?: KafkaJSError }[] = [],
  ) {
    super(e);
    this.groups = groups;
  }
}

/** The broker and the client share no version of an API. */
export class KafkaJSServerDoesNotSupportApiKey extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSServerDoesNotSupportApiKey";
  /** The API's number. */
  readonly apiKey: number;
  /** The API's name. */
  readonly apiName: string;

  /** Takes over what it is told. */
  constructor(
    e: Error | string,
    metadata?: { readonly apiKey?: number; readonly apiName?: string; readonly cause?: unknown },
  ) {
    super(e, { cause: metadata?.cause });
    this.apiKey = metadata?.apiKey as number;
    this.apiName = metadata?.apiName as string;
  }
}

/** There is no such broker. */
export class KafkaJSBrokerNotFound extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSBrokerNotFound";
}

/** A message is cut off. */
export class KafkaJSPartialMessageError extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSPartialMessageError";
}

/** The broker refused the credentials. */
export class KafkaJSSASLAuthenticationError extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSSASLAuthenticationError";
}

/** There is no coordinator. */
export class KafkaJSGroupCoordinatorNotFound extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSGroupCoordinatorNotFound";
}

/** There is no such thing. */
export class KafkaJSNotImplemented extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSNotImplemented";
}

/** It took too long. */
export class KafkaJSTimeout extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSTimeout";
}

/** A lock was not to be had in time. */
export class KafkaJSLockTimeout extends KafkaJSTimeout {
  /** The name of the class. */
  override name = "KafkaJSLockTimeout";
}

/** Messages of a format that nobody knows. */
export class KafkaJSUnsupportedMagicByteInMessageSet extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSUnsupportedMagicByteInMessageSet";
}

/** Records were not deleted. */
export class KafkaJSDeleteTopicRecordsError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSDeleteTopicRecordsError";
  /** Where, and why. */
  readonly partitions: readonly { partition: number; offset: string; error: KafkaJSError }[];

  /** Retriable if all of its errors are. */
  constructor(
    { partitions }: { readonly partitions: readonly { partition: number; offset: string; error: KafkaJSError }[] },
  ) {
    const retriable = partitions.every(({ error }) => error === undefined || error === null || error.retriable);
    super("Error while deleting records", { retriable });
    this.partitions = partitions;
  }
}

/** Something is as it can't be. */
export class KafkaJSInvariantViolation extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSInvariantViolation";
}

/** A number that can't be read. */
export class KafkaJSInvalidVarIntError extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSNonRetriableError";
}

/** A number that can't be read. */
export class KafkaJSInvalidLongError extends KafkaJSNonRetriableError {
  /** The name of the class. */
  override name = "KafkaJSNonRetriableError";
}

/** A topic was not created. */
export class KafkaJSCreateTopicError extends KafkaJSProtocolError {
  /** The name of the class. */
  override name = "KafkaJSCreateTopicError";
  /** The topic. */
  readonly topic: string;

  /** Takes over what it is told. */
  constructor(e: Error | string, topic?: string) {
    super(e);
    this.topic = topic as string;
  }
}

/** A partition was not reassigned. */
export class KafkaJSAlterPartitionReassignmentsError extends KafkaJSProtocolError {
  /** The name of the class. */
  override name = "KafkaJSAlterPartitionReassignmentsError";
  /** The topic. */
  readonly topic: string | undefined;
  /** The partition. */
  readonly partition: number | undefined;

  /** Takes over what it is told. */
  constructor(e: Error | string, topic?: string, partition?: number) {
    super(e);
    this.topic = topic;
    this.partition = partition;
  }
}

/** Several errors. */
export class KafkaJSAggregateError extends Error {
  /** The name of the class. */
  override name = "KafkaJSAggregateError";
  /** The errors. */
  readonly errors: (Error | string)[];

  /** Takes over what it is told. */
  constructor(message: Error | string, errors: (Error | string)[]) {
    super(textOf(message));
    this.errors = errors;
  }
}

/** There is no broker. */
export class KafkaJSNoBrokerAvailableError extends KafkaJSError {
  /** The name of the class. */
  override name = "KafkaJSNoBrokerAvailableError";

  /** "No broker available". */
  constructor() {
    super("No broker available");
  }
}

/** What a broker's error code is in KafkaJS's words. */
interface Protocol {
  readonly type?: string;
  readonly code?: number;
}

/** Where KafkaJS keeps a name that Kafka has changed. */
const OLD_NAMES: Readonly<Record<number, string>> = {
  [-1]: "UNKNOWN",
  6: "NOT_LEADER_FOR_PARTITION",
  14: "GROUP_LOAD_IN_PROGRESS",
  15: "GROUP_COORDINATOR_NOT_AVAILABLE",
  16: "NOT_COORDINATOR_FOR_GROUP",
};

/** What Kafka says of its codes, and KafkaJS with it: for programs that look into the message. */
const SENTENCES: Readonly<Record<number, string>> = {
  10: "The request included a message larger than the max message size the server will accept",
  17: "The request attempted to perform an operation on an invalid topic",
  18: "The request included message batch larger than the configured segment size on the server",
  21: "Produce request specified an invalid value for required acks",
  29: "Not authorized to access topics: [Topic authorization failed]",
  31: "Cluster authorization failed",
  32: "The timestamp of the message is out of acceptable range",
  45: "The broker received an out of order sequence number",
  47: "Producer attempted an operation with an old epoch",
  48: "The producer attempted a transactional operation in an invalid state",
  50: "The transaction timeout is larger than the maximum value allowed by the broker",
  53: "Transactional Id authorization failed",
  87: "This record has failed the validation on broker and hence will be rejected",
};

/** The broker's error code of an error of ours, or of what led to it: a timeout says in its cause what went on. */
function protocolOf(error: unknown, depth = 0): Required<Protocol> | undefined {
  if (depth > MAX_CAUSES || !isKafkaError(error)) return undefined;
  const { errorCode, code, cause } = error;
  if (errorCode === undefined || errorCode === 0) return protocolOf(cause, depth + 1);
  return { type: OLD_NAMES[errorCode] ?? code, code: errorCode };
}

/** Causes have causes; a chain that leads back into itself ends here. */
const MAX_CAUSES = 10;

/** How often something was tried again, for errors that tell of it. */
export interface Attempts {
  /** How often it may be tried again. */
  readonly retryCount: number;
  /** The longest wait before a retry, in ms. */
  readonly retryTime: number;
}

/** The error that KafkaJS would have thrown in place of one of ours, which becomes its `cause`; any other as it is. */
export function toKafkaJSError(error: unknown, attempts: Attempts): unknown {
  if (!isKafkaError(error)) return error;
  const { retriable, broker, code, errorCode } = error;
  if (error instanceof AuthenticationError) {
    // Of TLS KafkaJS says that there is no connection.
    const isTls = code === "TLS_PORT" || code === "PLAIN_PORT" || error.message.startsWith("TLS ");
    if (isTls) return new KafkaJSConnectionError(error, { broker, code, cause: error });
    return new KafkaJSSASLAuthenticationError(error, { cause: error });
  }
  if (code === "COMMIT_UNKNOWN") return new KafkaJSError(error, { retriable: true, cause: error });
  if (hasRunOut(error)) return new KafkaJSNumberOfRetriesExceeded(error, attempts);
  if (errorCode !== undefined && errorCode !== 0) {
    const sentence = SENTENCES[errorCode];
    const message = sentence === undefined ? error.message : `${sentence}. ${error.message}`;
    const answer = { message, retriable, ...protocolOf(error)! };
    return new KafkaJSProtocolError(answer as unknown as Error, { cause: error });
  }
  if (error instanceof ConnectionError) return new KafkaJSConnectionError(error, { broker, code, cause: error });
  if (error instanceof UnsupportedVersionError) return new KafkaJSServerDoesNotSupportApiKey(error, { cause: error });
  if (retriable) return new KafkaJSError(error, { cause: error });
  // KafkaJS has no serializers, so nobody could set one.
  const message = error.message.replace(/, or set "(?:key|value)Serializer"/, "");
  return new KafkaJSNonRetriableError(message, { cause: error });
}

/** Whatever could succeed later was tried until the retries, or the time for them, ran out. */
function hasRunOut(error: KafkaError): boolean {
  if (error instanceof DeliveryTimeoutError || error instanceof TimeoutError) return true;
  return error.retriable && !(error instanceof BufferFullError) && !(error instanceof ConfigError);
}
