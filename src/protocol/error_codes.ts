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
import { excerpt, show } from "../show.ts";
import {
  CLUSTER_AUTHORIZATION_FAILED,
  GROUP_AUTHORIZATION_FAILED,
  MESSAGE_TOO_LARGE,
  PRODUCER_FENCED,
  RECORD_LIST_TOO_LARGE,
  SASL_AUTHENTICATION_FAILED,
  TOPIC_AUTHORIZATION_FAILED,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  UNSUPPORTED_VERSION,
} from "./error_code_names.ts";

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

/**
 * A line for each code, in their order from -1 on: name, flags (R retriable, M refresh the metadata, ? possibly
 * persisted, ! persisted, - none), reason. A text in small letters takes a kilobyte less of a compressed bundle than a
 * list of lists in capitals.
 */
const TABLE = `
unknown_server_error ? its log says what went wrong
none !
offset_out_of_range
corrupt_message R a batch arrived damaged, or has no key on a compacted topic
unknown_topic_or_partition RM it has no such topic or partition
invalid_fetch_size
leader_not_available RM a leader is being elected
not_leader_or_follower RM? another broker leads the partition now
request_timed_out R? the replicas did not confirm in time
broker_not_available
replica_not_available RM
message_too_large - the batch is larger than max.message.bytes of the topic
stale_controller_epoch
offset_metadata_too_large
network_exception RM? it lost a connection on the way
coordinator_load_in_progress R the coordinator is loading its state
coordinator_not_available R there is no coordinator at the moment
not_coordinator R another broker is the coordinator now
invalid_topic_exception - the topic's name is not allowed
record_list_too_large - the batch is larger than a log segment
not_enough_replicas R fewer replicas are in sync than min.insync.replicas
not_enough_replicas_after_append R? written, but fewer replicas are in sync than min.insync.replicas
invalid_required_acks - acks must be 0, 1 or all
illegal_generation
inconsistent_group_protocol
invalid_group_id
unknown_member_id
invalid_session_timeout
rebalance_in_progress
invalid_commit_offset_size
topic_authorization_failed - this principal may not write to or describe the topic
group_authorization_failed - this principal may not use the group
cluster_authorization_failed - this principal may not do this
invalid_timestamp - a record's timestamp is outside of what the topic takes
unsupported_sasl_mechanism - it does not offer this SASL mechanism
illegal_sasl_state - the request does not fit the SASL exchange
unsupported_version - it does not speak this version of the request
topic_already_exists
invalid_partitions
invalid_replication_factor
invalid_replica_assignment
invalid_config
not_controller R
invalid_request - the request makes no sense to it
unsupported_for_message_format - the topic's message format is too old
policy_violation - a policy of the cluster forbids it
out_of_order_sequence_number - the sequence number is not the one that follows
duplicate_sequence_number ! the batch is in the log already
invalid_producer_epoch - the producer's epoch is not the current one
invalid_txn_state - the transaction is not in a state that allows this
invalid_producer_id_mapping - the producer id does not belong to the transactional id
invalid_transaction_timeout - it is above transaction.max.timeout.ms of the broker
concurrent_transactions R the last transaction of this id is being completed
transaction_coordinator_fenced
transactional_id_authorization_failed - this principal may not use the transactional id
security_disabled
operation_not_attempted
kafka_storage_error RM? a disk of the broker failed
log_dir_not_found
sasl_authentication_failed - the credentials were refused
unknown_producer_id - it knows nothing of this producer id
reassignment_in_progress
delegation_token_auth_disabled
delegation_token_not_found
delegation_token_owner_mismatch
delegation_token_request_not_allowed
delegation_token_authorization_failed
delegation_token_expired
invalid_principal_type
non_empty_group
group_id_not_found
fetch_session_id_not_found R
invalid_fetch_session_epoch R
listener_not_found RM the leader has no listener of this name
topic_deletion_disabled
fenced_leader_epoch RM the request's leader epoch is older than the broker's
unknown_leader_epoch R the request's leader epoch is newer than the broker's
unsupported_compression_type - it does not take this compression
stale_broker_epoch
offset_not_available R
member_id_required
preferred_leader_not_available RM
group_max_size_reached
fenced_instance_id
eligible_leaders_not_available RM
election_not_needed RM
no_reassignment_in_progress
group_subscribed_to_topic
invalid_record - it refused a record of the batch
unstable_offset_commit R
throttling_quota_exceeded R a quota is used up
producer_fenced - a newer producer with this transactional id has taken over
resource_not_found
duplicate_resource
unacceptable_credential
inconsistent_voter_set
invalid_update_version
feature_update_failed
principal_deserialization_failure
snapshot_not_found
position_out_of_range
unknown_topic_id RM it has no topic with this id
duplicate_broker_registration
broker_id_not_registered
inconsistent_topic_id RM the topic's id is another one
inconsistent_cluster_id
transactional_id_not_found
fetch_session_topic_id_error R
ineligible_replica
new_leader_elected
offset_moved_to_tiered_storage
fenced_member_epoch
unreleased_instance_id
unsupported_assignor
stale_member_epoch
mismatched_endpoint_type
unsupported_endpoint_type
unknown_controller_id
unknown_subscription_id
telemetry_too_large
invalid_registration
transaction_abortable - the transaction can only be aborted
invalid_record_state
share_session_not_found R
invalid_share_session_epoch R
fenced_state_epoch
invalid_voter_key
duplicate_voter
voter_not_found
invalid_regular_expression
rebootstrap_required - the metadata is stale: bootstrap again
streams_invalid_topology
streams_invalid_topology_epoch
streams_topology_fenced
share_session_limit_reached R
`;

const FIRST_CODE = -1;

/** The code for "no error". */
export const NONE = 0;

let byCode: ReadonlyMap<number, ErrorCode> | undefined;

/** All rows of the table, by code. They are read out of the text when the first is asked for. */
export function errorCodes(): ReadonlyMap<number, ErrorCode> {
  byCode ??= new Map(TABLE.trim().split("\n").map(rowOf).map((row) => [row.code, row]));
  return byCode;
}

function rowOf(line: string, index: number): ErrorCode {
  const [name = "", flags = "", ...reason] = line.split(" ");
  return {
    code: FIRST_CODE + index,
    name: name.toUpperCase(),
    retriable: flags.includes("R"),
    refreshMetadata: flags.includes("M"),
    persisted: flags.includes("?") ? "possibly" : flags.includes("!") ? "yes" : "no",
    reason: reason.join(" "),
  };
}

/** The row of a code. One that is not in the table is taken for UNKNOWN_SERVER_ERROR and keeps its number. */
export function errorOf(code: number): ErrorCode {
  const codes = errorCodes();
  return codes.get(code) ??
    { ...codes.get(FIRST_CODE)!, code, reason: "a code that this client doesn't know" };
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
  [MESSAGE_TOO_LARGE, RecordTooLargeError],
  [RECORD_LIST_TOO_LARGE, RecordTooLargeError],
  [TOPIC_AUTHORIZATION_FAILED, AuthorizationError],
  [GROUP_AUTHORIZATION_FAILED, AuthorizationError],
  [CLUSTER_AUTHORIZATION_FAILED, AuthorizationError],
  [UNSUPPORTED_VERSION, UnsupportedVersionError],
  [TRANSACTIONAL_ID_AUTHORIZATION_FAILED, AuthorizationError],
  [SASL_AUTHENTICATION_FAILED, AuthenticationError],
  [PRODUCER_FENCED, ProducerFencedError],
]);

/** The error for a broker's answer: the class that fits the code, the code's name, and who was concerned. */
export function brokerError(code: number, context: BrokerErrorContext = {}): KafkaError {
  const { api, detail, ...options } = context;
  const { name, retriable, persisted, reason } = errorOf(code);
  const subject = context.topic === undefined
    ? api ?? "Request"
    : `Topic ${show(context.topic)}` + (context.partition === undefined ? "" : ` partition ${context.partition}`);
  const broker = context.broker === undefined ? "the broker" : `broker ${excerpt(context.broker)}`;
  const why = (detail ? excerpt(detail) : reason).replace(/\.$/, "");
  const message = `${subject}: ${broker} answered ${name} (${code})${why === "" ? "" : `: ${why}`}.`;
  const ErrorClass = CLASSES.get(code) ?? BrokerError;
  return new ErrorClass(message, { persisted, ...options, code: name, errorCode: code, retriable });
}
