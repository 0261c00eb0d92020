/**
 * What the leader of a partition asks the coordinator before it appends a batch of a transaction.
 *
 * Under version 1 the producer has registered the partition, and the leader makes sure of it; with Produce 12 and later
 * the leader registers it. Either is done once in a transaction, since the log shows afterwards that it is open.
 *
 * @module
 */

import type { Produce } from "../../protocol/messages/produce.ts";
import { TRANSACTIONAL_BIT } from "../../protocol/record_batch_layout.ts";
import {
  CONCURRENT_TRANSACTIONS,
  COORDINATOR_LOAD_IN_PROGRESS,
  COORDINATOR_NOT_AVAILABLE,
  INVALID_PRODUCER_EPOCH,
  INVALID_TXN_STATE,
  NOT_COORDINATOR,
  NOT_ENOUGH_REPLICAS,
  PRODUCER_FENCED,
  TRANSACTION_ABORTABLE,
} from "../../protocol/error_code_names.ts";
import type { BatchView } from "../storage/batch_view.ts";
import type { Call } from "./call.ts";
import { RELEASES } from "./release.ts";
import { sequencedBatch } from "../storage/producer_state.ts";
import type { Replica } from "../storage/replica.ts";

const FIRST_VERSION_WITH_ABORTABLE = 11;
const FIRST_VERSION_THAT_ADDS = 12;
/** `add.partitions.to.txn.retry.backoff.ms` and `….max.ms`: the broker itself waits for the end of the last one. */
const RETRY_MS = 20;
const RETRIES = 5;

/** Whether a batch says that it belongs to a transaction. */
export function isOfTransaction({ attributes }: BatchView): boolean {
  return (attributes & TRANSACTIONAL_BIT) !== 0;
}

/** Whether the leader itself adds the partition to the transaction (KIP-890). */
export function addsPartitions({ version }: Call<typeof Produce>): boolean {
  return version >= FIRST_VERSION_THAT_ADDS;
}

/** Makes sure that the partition is in the batch's transaction. Resolves to Kafka's code, 0 if it may be appended. */
export function enlist(call: Call<typeof Produce>, leader: Replica, batch: BatchView): number | Promise<number> {
  if (!RELEASES[call.cluster.release].verifiesTransactions || hasOpen(call, leader, batch)) return 0;
  // One of an older epoch is no attempt of the producer that is now.
  if (isOfOlderEpoch(call, leader, batch)) return INVALID_PRODUCER_EPOCH;
  const sequenced = sequencedBatch(batch);
  if (sequenced !== undefined) leader.firstAttempts.note(sequenced);
  const code = ask(call, leader, batch);
  if (code !== CONCURRENT_TRANSACTIONS || !addsPartitions(call)) return answered(call, code);
  return askAgain(call, leader, batch);
}

/**
 * Whether the transaction is still open when the batch is about to be appended: it may have ended while the batch was
 * being decompressed, and records behind its marker would stay undecided.
 */
export function isEnlisted(call: Call<typeof Produce>, leader: Replica, batch: BatchView): boolean {
  if (!RELEASES[call.cluster.release].verifiesTransactions || hasOpen(call, leader, batch)) return true;
  const { producerEpoch, producerId } = batch;
  return call.cluster.transactions.verify(idOf(call), producerId, producerEpoch, leader.partition) === 0;
}

async function askAgain(call: Call<typeof Produce>, leader: Replica, batch: BatchView): Promise<number> {
  let code = CONCURRENT_TRANSACTIONS;
  for (let i = 0; i < RETRIES && code === CONCURRENT_TRANSACTIONS && call.isAlive; i++) {
    await call.cluster.sleep(RETRY_MS);
    code = ask(call, leader, batch);
  }
  return answered(call, code);
}

function ask(call: Call<typeof Produce>, { partition }: Replica, { producerEpoch, producerId }: BatchView): number {
  const { coordinators, transactions } = call.cluster;
  const id = idOf(call);
  const refusal = coordinators.refusal("transaction", id);
  if (refusal !== 0) return refusal;
  return addsPartitions(call)
    ? transactions.add(id, producerId, producerEpoch, [partition], [], true)
    : transactions.verify(id, producerId, producerEpoch, partition);
}

/** The coordinator's code in the words that producers of that version know. */
function answered(call: Call<typeof Produce>, code: number): number {
  switch (code) {
    case PRODUCER_FENCED:
      return INVALID_PRODUCER_EPOCH;
    case TRANSACTION_ABORTABLE:
      return call.version < FIRST_VERSION_WITH_ABORTABLE ? INVALID_TXN_STATE : code;
    case CONCURRENT_TRANSACTIONS:
      return addsPartitions(call) ? code : NOT_ENOUGH_REPLICAS;
    case COORDINATOR_LOAD_IN_PROGRESS:
    case COORDINATOR_NOT_AVAILABLE:
    case NOT_COORDINATOR:
      return NOT_ENOUGH_REPLICAS;
    default:
      return code;
  }
}

function hasOpen(call: Call<typeof Produce>, leader: Replica, { producerEpoch, producerId }: BatchView): boolean {
  if (leader.transactions.openOf(producerId) === undefined) return false;
  // Until 4.0 the epoch wasn't looked at.
  return !RELEASES[call.cluster.release].verifiesEpochs || leader.producers.lastOf(producerId)?.epoch === producerEpoch;
}

function isOfOlderEpoch(
  call: Call<typeof Produce>,
  leader: Replica,
  { producerEpoch, producerId }: BatchView,
): boolean {
  const known = leader.producers.lastOf(producerId);
  return known !== undefined && producerEpoch < known.epoch && RELEASES[call.cluster.release].verifiesEpochs;
}

/** A request with a transactional batch and no id has been refused before. */
function idOf({ request }: Call<typeof Produce>): string {
  return request.transactionalId ?? "";
}
