/**
 * Every error code of Kafka as a table, and the error that is made of one.
 *
 * Names and retriability are those of Kafka 4.1 (`org.apache.kafka.common.protocol.Errors`). What a code means for
 * the records of a Produce request was measured on Kafka 3.9.1 and 4.1.1.
 *
 * @module
 */

import {
  AuthenticationError,
  AuthorizationError,
  BrokerError,
  type KafkaError,
  type KafkaErrorOptions,
  type Persisted,
  ProducerFencedError,
  RecordTooLargeError,
  UnsupportedVersionError,
} from "../errors.ts";

/** What is known of one error code. */
export interface ErrorCode {
  /** The number on the wire. */
  readonly code: number;
  /** Kafka's name for it. */
  readonly name: string;
  /** The same request can succeed later. */
  readonly retriable: boolean;
  /** The metadata are stale: ask for them before the next attempt. */
  readonly refreshMetadata: boolean;
  /** Whether the records of the attempt that was answered with it are in the log. */
  readonly persisted: Persisted;
  /** The reason in a few words, empty where no producer meets the code. */
  readonly reason: string;
}

/** What {@link brokerError} is told of the circumstances. */
export interface BrokerErrorContext extends Omit<KafkaErrorOptions, "code" | "errorCode" | "retriable"> {
  /** What was asked, such as `Produce` or `Metadata`; said when no topic is concerned. */
  readonly api?: string | undefined;
  /** The message that the broker sent along. */
  readonly detail?: string | null | undefined;
}

/** Code, name, flags (R retriable, M refresh the metadata, ? possibly persisted, ! persisted), reason. */
const TABLE: readonly (readonly [code: number, name: string, flags: string, reason?: string])[] = [
  [-1, "UNKNOWN_SERVER_ERROR", "?", "something went wrong in the broker; its log says what"],
  [0, "NONE", "!"],
  [1, "OFFSET_OUT_OF_RANGE", ""],
  [2, "CORRUPT_MESSAGE", "R", "a batch arrived damaged, or has no key on a compacted topic"],
  [3, "UNKNOWN_TOPIC_OR_PARTITION", "RM", "it has no such topic or partition"],
  [4, "INVALID_FETCH_SIZE", ""],
  [5, "LEADER_NOT_AVAILABLE", "RM", "a leader is being elected"],
  [6, "NOT_LEADER_OR_FOLLOWER", "RM?", "another broker leads the partition now"],
  [7, "REQUEST_TIMED_OUT", "R?", "the replicas did not confirm in time"],
  [8, "BROKER_NOT_AVAILABLE", ""],
  [9, "REPLICA_NOT_AVAILABLE", "RM"],
  [10, "MESSAGE_TOO_LARGE", "", "the batch is larger than max.message.bytes of the topic"],
  [11, "STALE_CONTROLLER_EPOCH", ""],
  [12, "OFFSET_METADATA_TOO_LARGE", ""],
  [13, "NETWORK_EXCEPTION", "RM?", "it lost a connection on the way"],
  [14, "COORDINATOR_LOAD_IN_PROGRESS", "R", "the coordinator is still loading its state"],
  [15, "COORDINATOR_NOT_AVAILABLE", "R", "there is no coordinator at the moment"],
  [16, "NOT_COORDINATOR", "R", "another broker is the coordinator now"],
  [17, "INVALID_TOPIC_EXCEPTION", "", "the topic's name is not allowed"],
  [18, "RECORD_LIST_TOO_LARGE", "", "the batch is larger than a log segment"],
  [19, "NOT_ENOUGH_REPLICAS", "R", "fewer replicas are in sync than min.insync.replicas"],
  [20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "R?", "written, but fewer replicas are in sync than min.insync.replicas"],
  [21, "INVALID_REQUIRED_ACKS", "", "acks must be 0, 1 or all"],
  [22, "ILLEGAL_GENERATION", ""],
  [23, "INCONSISTENT_GROUP_PROTOCOL", ""],
  [24, "INVALID_GROUP_ID", ""],
  [25, "UNKNOWN_MEMBER_ID", ""],
  [26, "INVALID_SESSION_TIMEOUT", ""],
  [27, "REBALANCE_IN_PROGRESS", ""],
  [28, "INVALID_COMMIT_OFFSET_SIZE", ""],
  [29, "TOPIC_AUTHORIZATION_FAILED", "", "this principal may not write to or describe the topic"],
  [30, "GROUP_AUTHORIZATION_FAILED", "", "this principal may not use the group"],
  [31, "CLUSTER_AUTHORIZATION_FAILED", "", "this principal may not do this in the cluster"],
  [32, "INVALID_TIMESTAMP", "", "a record's timestamp is outside of what the topic takes"],
  [33, "UNSUPPORTED_SASL_MECHANISM", "", "it does not offer this SASL mechanism"],
  [34, "ILLEGAL_SASL_STATE", "", "the request does not fit the state of the SASL exchange"],
  [35, "UNSUPPORTED_VERSION", "", "it does not speak this version of the request"],
  [36, "TOPIC_ALREADY_EXISTS", "", "the topic exists already"],
  [37, "INVALID_PARTITIONS", "", "the number of partitions is not possible"],
  [38, "INVALID_REPLICATION_FACTOR", "", "the replication factor is not possible here"],
  [39, "INVALID_REPLICA_ASSIGNMENT", ""],
  [40, "INVALID_CONFIG", ""],
  [41, "NOT_CONTROLLER", "R", "another broker is the controller"],
  [42, "INVALID_REQUEST", "", "the request makes no sense to it"],
  [43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "", "the topic's message format is too old for this"],
  [44, "POLICY_VIOLATION", "", "a policy of the cluster forbids it"],
  [45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "", "the sequence number is not the one that follows"],
  [46, "DUPLICATE_SEQUENCE_NUMBER", "!", "the batch is in the log already"],
  [47, "INVALID_PRODUCER_EPOCH", "", "the producer's epoch is not the current one"],
  [48, "INVALID_TXN_STATE", "", "the transaction is not in a state that allows this"],
  [49, "INVALID_PRODUCER_ID_MAPPING", "", "the producer id does not belong to the transactional id"],
  [50, "INVALID_TRANSACTION_TIMEOUT", "", "transactionTimeoutMs is above transaction.max.timeout.ms of the broker"],
  [51, "CONCURRENT_TRANSACTIONS", "R", "the last transaction of this id is still being completed"],
  [52, "TRANSACTION_COORDINATOR_FENCED", ""],
  [53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "", "this principal may not use the transactional id"],
  [54, "SECURITY_DISABLED", ""],
  [55, "OPERATION_NOT_ATTEMPTED", ""],
  [56, "KAFKA_STORAGE_ERROR", "RM?", "a disk of the broker failed"],
  [57, "LOG_DIR_NOT_FOUND", ""],
  [58, "SASL_AUTHENTICATION_FAILED", "", "the credentials were refused"],
  [59, "UNKNOWN_PRODUCER_ID", "", "it has no state of this producer id"],
  [60, "REASSIGNMENT_IN_PROGRESS", ""],
  [61, "DELEGATION_TOKEN_AUTH_DISABLED", ""],
  [62, "DELEGATION_TOKEN_NOT_FOUND", ""],
  [63, "DELEGATION_TOKEN_OWNER_MISMATCH", ""],
  [64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", ""],
  [65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", ""],
  [66, "DELEGATION_TOKEN_EXPIRED", ""],
  [67, "INVALID_PRINCIPAL_TYPE", ""],
  [68, "NON_EMPTY_GROUP", ""],
  [69, "GROUP_ID_NOT_FOUND", ""],
  [70, "FETCH_SESSION_ID_NOT_FOUND", "R"],
  [71, "INVALID_FETCH_SESSION_EPOCH", "R"],
  [72, "LISTENER_NOT_FOUND", "RM", "the leader has no listener of this name"],
  [73, "TOPIC_DELETION_DISABLED", ""],
  [74, "FENCED_LEADER_EPOCH", "RM", "the request's leader epoch is older than the broker's"],
  [75, "UNKNOWN_LEADER_EPOCH", "R", "the request's leader epoch is newer than the broker's"],
  [76, "UNSUPPORTED_COMPRESSION_TYPE", "", "it does not take this compression"],
  [77, "STALE_BROKER_EPOCH", ""],
  [78, "OFFSET_NOT_AVAILABLE", "R"],
  [79, "MEMBER_ID_REQUIRED", ""],
  [80, "PREFERRED_LEADER_NOT_AVAILABLE", "RM"],
  [81, "GROUP_MAX_SIZE_REACHED", ""],
  [82, "FENCED_INSTANCE_ID", ""],
  [83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "RM"],
  [84, "ELECTION_NOT_NEEDED", "RM"],
  [85, "NO_REASSIGNMENT_IN_PROGRESS", ""],
  [86, "GROUP_SUBSCRIBED_TO_TOPIC", ""],
  [87, "INVALID_RECORD", "", "it refused a record of the batch"],
  [88, "UNSTABLE_OFFSET_COMMIT", "R"],
  [89, "THROTTLING_QUOTA_EXCEEDED", "R", "a quota is used up"],
  [90, "PRODUCER_FENCED", "", "a newer producer with the same transactional id has taken over"],
  [91, "RESOURCE_NOT_FOUND", ""],
  [92, "DUPLICATE_RESOURCE", ""],
  [93, "UNACCEPTABLE_CREDENTIAL", ""],
  [94, "INCONSISTENT_VOTER_SET", ""],
  [95, "INVALID_UPDATE_VERSION", ""],
  [96, "FEATURE_UPDATE_FAILED", ""],
  [97, "PRINCIPAL_DESERIALIZATION_FAILURE", ""],
  [98, "SNAPSHOT_NOT_FOUND", ""],
  [99, "POSITION_OUT_OF_RANGE", ""],
  [100, "UNKNOWN_TOPIC_ID", "RM", "it has no topic with this id"],
  [101, "DUPLICATE_BROKER_REGISTRATION", ""],
  [102, "BROKER_ID_NOT_REGISTERED", ""],
  [103, "INCONSISTENT_TOPIC_ID", "RM", "the topic's id is another one"],
  [104, "INCONSISTENT_CLUSTER_ID", ""],
  [105, "TRANSACTIONAL_ID_NOT_FOUND", ""],
  [106, "FETCH_SESSION_TOPIC_ID_ERROR", "R"],
  [107, "INELIGIBLE_REPLICA", ""],
  [108, "NEW_LEADER_ELECTED", ""],
  [109, "OFFSET_MOVED_TO_TIERED_STORAGE", ""],
  [110, "FENCED_MEMBER_EPOCH", ""],
  [111, "UNRELEASED_INSTANCE_ID", ""],
  [112, "UNSUPPORTED_ASSIGNOR", ""],
  [113, "STALE_MEMBER_EPOCH", ""],
  [114, "MISMATCHED_ENDPOINT_TYPE", ""],
  [115, "UNSUPPORTED_ENDPOINT_TYPE", ""],
  [116, "UNKNOWN_CONTROLLER_ID", ""],
  [117, "UNKNOWN_SUBSCRIPTION_ID", ""],
  [118, "TELEMETRY_TOO_LARGE", ""],
  [119, "INVALID_REGISTRATION", ""],
  [120, "TRANSACTION_ABORTABLE", "", "the transaction can only be aborted"],
  [121, "INVALID_RECORD_STATE", ""],
  [122, "SHARE_SESSION_NOT_FOUND", "R"],
  [123, "INVALID_SHARE_SESSION_EPOCH", "R"],
  [124, "FENCED_STATE_EPOCH", ""],
  [125, "INVALID_VOTER_KEY", ""],
  [126, "DUPLICATE_VOTER", ""],
  [127, "VOTER_NOT_FOUND", ""],
  [128, "INVALID_REGULAR_EXPRESSION", ""],
  [129, "REBOOTSTRAP_REQUIRED", "", "the metadata is stale: bootstrap again"],
  [130, "STREAMS_INVALID_TOPOLOGY", ""],
  [131, "STREAMS_INVALID_TOPOLOGY_EPOCH", ""],
  [132, "STREAMS_TOPOLOGY_FENCED", ""],
  [133, "SHARE_SESSION_LIMIT_REACHED", "R"],
];

const BY_CODE: ReadonlyMap<number, ErrorCode> = new Map(
  TABLE.map(([code, name, flags, reason = ""]): [number, ErrorCode] => [code, {
    code,
    name,
    retriable: flags.includes("R"),
    refreshMetadata: flags.includes("M"),
    persisted: flags.includes("?") ? "possibly" : flags.includes("!") ? "yes" : "no",
    reason,
  }]),
);

const UNKNOWN: ErrorCode = BY_CODE.get(-1)!;

/** The code for "no error". */
export const NONE = 0;

/** All rows of the table, by code. */
export const ERROR_CODES: ReadonlyMap<number, ErrorCode> = BY_CODE;

/** The row of a code. One that is not in the table is taken for UNKNOWN_SERVER_ERROR and keeps its number. */
export function errorOf(code: number): ErrorCode {
  return BY_CODE.get(code) ?? { ...UNKNOWN, code, reason: "a code that this client doesn't know" };
}

/**
 * Whether the records of one Produce attempt are in the log after this answer.
 *
 * An error with a base offset was appended by that leader and may yet be lost; NOT_LEADER_OR_FOLLOWER without one
 * was refused before the append (measured; KAFKA-13574). Says nothing about earlier attempts.
 */
export function persistedAfter(code: number, baseOffset: bigint): Persisted {
  const { persisted, name } = errorOf(code);
  if (persisted === "yes") return "yes";
  if (baseOffset >= 0n) return "possibly";
  return name === "NOT_LEADER_OR_FOLLOWER" ? "no" : persisted;
}

type ErrorClass = new (message: string, options: KafkaErrorOptions) => KafkaError;

const CLASSES: ReadonlyMap<number, ErrorClass> = new Map<number, ErrorClass>([
  [10, RecordTooLargeError],
  [18, RecordTooLargeError],
  [29, AuthorizationError],
  [30, AuthorizationError],
  [31, AuthorizationError],
  [35, UnsupportedVersionError],
  [53, AuthorizationError],
  [58, AuthenticationError],
  [90, ProducerFencedError],
]);

/** The error for a broker's answer: the class that fits the code, the code's name, and who was concerned. */
export function brokerError(code: number, context: BrokerErrorContext = {}): KafkaError {
  const { api, detail, ...options } = context;
  const { name, retriable, persisted, reason } = errorOf(code);
  const subject = context.topic === undefined
    ? api ?? "Request"
    : `Topic "${context.topic}"` + (context.partition === undefined ? "" : ` partition ${context.partition}`);
  const broker = context.broker === undefined ? "the broker" : `broker ${context.broker}`;
  const why = detail || reason;
  const message = `${subject}: ${broker} answered ${name} (${code})${why === "" ? "" : `: ${why.replace(/\.$/, "")}`}.`;
  const ErrorClass = CLASSES.get(code) ?? BrokerError;
  return new ErrorClass(message, { persisted, ...options, code: name, errorCode: code, retriable });
}
