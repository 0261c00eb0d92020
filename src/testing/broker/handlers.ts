/**
 * Which API is served by which function.
 *
 * @module
 */

import type { AnyApi } from "../../protocol/api.ts";
import {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
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
  SaslAuthenticate,
  SaslHandshake,
  SyncGroup,
  TxnOffsetCommit,
} from "../../protocol/messages/mod.ts";
import { ProtocolError } from "../../errors.ts";
import { serveDeleteRecords, serveDescribeCluster, serveOffsetDelete } from "./admin_handlers.ts";
import { serveApiVersions } from "./api_versions_handler.ts";
import type { Call, Outcome } from "./call.ts";
import { serveDescribeConfigs, serveIncrementalAlterConfigs } from "./config_handlers.ts";
import { serveFetch, serveListOffsets } from "./fetch_handler.ts";
import { serveMetadata } from "./metadata_handler.ts";
import {
  serveConsumerGroupDescribe,
  serveDeleteGroups,
  serveDescribeGroups,
  serveHeartbeat,
  serveJoinGroup,
  serveLeaveGroup,
  serveListGroups,
  serveOffsetCommit,
  serveOffsetFetch,
  serveSyncGroup,
} from "./group_handlers.ts";
import { serveDescribeProducers, serveDescribeTransactions, serveListTransactions } from "./describe_handlers.ts";
import { serveOffsetForLeaderEpoch } from "./fetch_handler.ts";
import { serveProduce } from "./produce_handler.ts";
import { serveCreatePartitions, serveCreateTopics, serveDeleteTopics } from "./topic_handlers.ts";
import { serveSaslAuthenticate, serveSaslHandshake } from "./sasl_handler.ts";
import { serveGetTelemetrySubscriptions, servePushTelemetry } from "./telemetry_handlers.ts";
import { serveFindCoordinator, serveInitProducerId } from "./producer_id_handler.ts";
import {
  serveAddOffsetsToTxn,
  serveAddPartitionsToTxn,
  serveEndTxn,
  serveTxnOffsetCommit,
} from "./transaction_handlers.ts";

/** Serves one API. */
export type Handler<A extends AnyApi = AnyApi> = (call: Call<A>) => Outcome<A> | Promise<Outcome<A>>;

const HANDLERS = new Map<number, Handler>();

handle(AddOffsetsToTxn, serveAddOffsetsToTxn);
handle(AddPartitionsToTxn, serveAddPartitionsToTxn);
handle(ApiVersions, serveApiVersions);
handle(CreatePartitions, serveCreatePartitions);
handle(CreateTopics, serveCreateTopics);
handle(DeleteTopics, serveDeleteTopics);
handle(EndTxn, serveEndTxn);
handle(Fetch, serveFetch);
handle(FindCoordinator, serveFindCoordinator);
handle(InitProducerId, serveInitProducerId);
handle(ListOffsets, serveListOffsets);
handle(Metadata, serveMetadata);
handle(Produce, serveProduce);
handle(SaslAuthenticate, serveSaslAuthenticate);
handle(SaslHandshake, serveSaslHandshake);
handle(DeleteGroups, serveDeleteGroups);
handle(DeleteRecords, serveDeleteRecords);
handle(DescribeCluster, serveDescribeCluster);
handle(DescribeConfigs, serveDescribeConfigs);
handle(IncrementalAlterConfigs, serveIncrementalAlterConfigs);
handle(OffsetDelete, serveOffsetDelete);
handle(ConsumerGroupDescribe, serveConsumerGroupDescribe);
handle(DescribeGroups, serveDescribeGroups);
handle(DescribeProducers, serveDescribeProducers);
handle(DescribeTransactions, serveDescribeTransactions);
handle(GetTelemetrySubscriptions, serveGetTelemetrySubscriptions);
handle(PushTelemetry, servePushTelemetry);
handle(Heartbeat, serveHeartbeat);
handle(JoinGroup, serveJoinGroup);
handle(LeaveGroup, serveLeaveGroup);
handle(ListGroups, serveListGroups);
handle(ListTransactions, serveListTransactions);
handle(OffsetCommit, serveOffsetCommit);
handle(OffsetFetch, serveOffsetFetch);
handle(OffsetForLeaderEpoch, serveOffsetForLeaderEpoch);
handle(SyncGroup, serveSyncGroup);
handle(TxnOffsetCommit, serveTxnOffsetCommit);

function handle<A extends AnyApi>(api: A, handler: Handler<A>): void {
  HANDLERS.set(api.key, handler as unknown as Handler);
}

/** The function that serves an API. */
export function handlerOf(api: AnyApi): Handler {
  const handler = HANDLERS.get(api.key);
  if (handler === undefined) throw new ProtocolError(`Serving "${api.name}": wanted an API that the broker knows.`);
  return handler;
}
