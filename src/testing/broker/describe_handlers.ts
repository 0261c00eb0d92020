/**
 * What is told of transactions and of the producers in a partition (KIP-664).
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { DescribeProducers, DescribeTransactions, ListTransactions } from "../../protocol/messages/mod.ts";
import {
  NOT_LEADER_OR_FOLLOWER,
  TRANSACTIONAL_ID_NOT_FOUND,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { coordinatorPartition } from "../coordination/coordinators.ts";
import type { TransactionDescription } from "../coordination/transaction_coordinator.ts";
import type { Call } from "./call.ts";

type DescribedTransaction = ResponseInputOf<typeof DescribeTransactions>["transactionStates"][number];

const STATES = ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"];

/** Serves DescribeTransactions. */
export function serveDescribeTransactions(
  call: Call<typeof DescribeTransactions>,
): ResponseInputOf<typeof DescribeTransactions> {
  return {
    throttleTimeMs: 0,
    transactionStates: call.request.transactionalIds.map((id) => describe(call, id)),
  };
}

function describe({ broker, cluster }: Call<typeof DescribeTransactions>, id: string): DescribedTransaction {
  const refusal = cluster.coordinators.refusalOf(broker, "transaction", id);
  const found = refusal === 0 ? cluster.transactions.describe(id) : undefined;
  return {
    errorCode: refusal || (found === undefined ? TRANSACTIONAL_ID_NOT_FOUND : 0),
    transactionalId: id,
    transactionState: found?.state ?? "",
    transactionTimeoutMs: found?.timeoutMs ?? 0,
    transactionStartTimeMs: BigInt(found?.startedAtMs ?? 0),
    producerId: found?.producerId ?? 0n,
    producerEpoch: found?.producerEpoch ?? 0,
    topics: found === undefined ? [] : topicsOf(found),
  };
}

function topicsOf({ groups, partitions }: TransactionDescription): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, Set<number>>();
  const add = (topic: string, partition: number): void => {
    topics.set(topic, (topics.get(topic) ?? new Set()).add(partition));
  };
  for (const name of partitions) {
    add(name.slice(0, name.lastIndexOf("-")), Number(name.slice(name.lastIndexOf("-") + 1)));
  }
  for (const group of groups) add("__consumer_offsets", coordinatorPartition(group));
  return [...topics].map(([topic, indexes]) => ({ topic, partitions: [...indexes] }));
}

/** Serves ListTransactions: those that the broker coordinates. */
export function serveListTransactions(
  { broker, cluster, request }: Call<typeof ListTransactions>,
): ResponseInputOf<typeof ListTransactions> {
  const { durationFilter, producerIdFilters, stateFilters, transactionalIdPattern } = request;
  const unknown = stateFilters.filter((state) => !STATES.includes(state));
  const nowMs = cluster.clock.wallNow();
  const found = cluster.transactions.transactionalIds.map((id) => cluster.transactions.describe(id)!).filter((it) =>
    cluster.coordinators.refusalOf(broker, "transaction", it.transactionalId) === 0 &&
    (stateFilters.length === 0 || stateFilters.includes(it.state)) &&
    (producerIdFilters.length === 0 || producerIdFilters.includes(it.producerId)) &&
    (durationFilter < 0n || (it.startedAtMs >= 0 && BigInt(nowMs - it.startedAtMs) > durationFilter)) &&
    (!transactionalIdPattern || new RegExp(`^(?:${transactionalIdPattern})$`).test(it.transactionalId))
  );
  return {
    throttleTimeMs: 0,
    errorCode: 0,
    unknownStateFilters: unknown,
    transactionStates: found.map(({ producerId, state, transactionalId }) => (
      { transactionalId, producerId, transactionState: state }
    )),
  };
}

/** Serves DescribeProducers: what the leader of a partition remembers. */
export function serveDescribeProducers(
  { broker, request, view }: Call<typeof DescribeProducers>,
): ResponseInputOf<typeof DescribeProducers> {
  return {
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((index) => {
        const partition = view.topic(name)?.partitions[index];
        const leader = partition?.replica(broker.id);
        const errorCode = partition === undefined
          ? UNKNOWN_TOPIC_OR_PARTITION
          : leader?.isLeader
          ? 0
          : NOT_LEADER_OR_FOLLOWER;
        const activeProducers = errorCode !== 0 ? [] : leader!.producers.all.map((it) => ({
          ...it,
          coordinatorEpoch: leader!.transactions.coordinatorEpochOf(it.producerId),
          currentTxnStartOffset: leader!.transactions.openOf(it.producerId)?.firstOffset ?? -1n,
        }));
        return { partitionIndex: index, errorCode, activeProducers };
      }),
    })),
  };
}
