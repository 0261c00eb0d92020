/**
 * InitProducerId and FindCoordinator: the first steps of idempotent and of transactional producing.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { FindCoordinator } from "../../protocol/messages/find_coordinator.ts";
import type { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import {
  COORDINATOR_NOT_AVAILABLE,
  INVALID_PRODUCER_EPOCH,
  INVALID_REQUEST,
  PRODUCER_FENCED,
} from "../../protocol/error_code_names.ts";
import type { Call } from "./call.ts";

const FIRST_VERSION_WITH_BATCH = 4;
const FIRST_VERSION_WITH_FENCED = 4;
const TYPES = ["group", "transaction"] as const;

/** Serves InitProducerId. Without a transactional id every call gives a new producer id in epoch 0. */
export function serveInitProducerId(call: Call<typeof InitProducerId>): ResponseInputOf<typeof InitProducerId> {
  const { broker, cluster, request, version } = call;
  const { producerEpoch, producerId, transactionalId, transactionTimeoutMs } = request;
  if (transactionalId === "" || (producerId === -1n) !== (producerEpoch === -1)) return refused(INVALID_REQUEST);
  if (transactionalId === null) return { errorCode: 0, producerId: cluster.nextProducerId(), producerEpoch: 0 };
  const refusal = cluster.coordinators.refusalOf(broker, "transaction", transactionalId);
  if (refusal !== 0) return refused(refusal);
  const expected = producerId === -1n ? undefined : { producerId, epoch: producerEpoch };
  const identity = cluster.transactions.initProducerId(transactionalId, transactionTimeoutMs, expected);
  const isFenced = identity.errorCode === PRODUCER_FENCED && version < FIRST_VERSION_WITH_FENCED;
  return isFenced ? refused(INVALID_PRODUCER_EPOCH) : identity;
}

function refused(errorCode: number): ResponseInputOf<typeof InitProducerId> {
  return { errorCode, producerId: -1n, producerEpoch: -1 };
}

/** Serves FindCoordinator. */
export function serveFindCoordinator(call: Call<typeof FindCoordinator>): ResponseInputOf<typeof FindCoordinator> {
  const { cluster, listener, request, version } = call;
  const find = (key: string) => {
    const type = TYPES[request.keyType];
    const broker = type && cluster.coordinators.find(type, key);
    if (broker !== undefined) return { errorCode: 0, nodeId: broker.id, ...broker.endpoint(listener) };
    return { errorCode: type ? COORDINATOR_NOT_AVAILABLE : INVALID_REQUEST, nodeId: -1, host: "", port: -1 };
  };
  if (version >= FIRST_VERSION_WITH_BATCH) {
    return { coordinators: request.coordinatorKeys.map((key) => ({ key, ...find(key) })) };
  }
  const found = find(request.key);
  return found.errorCode === 0 ? { ...found, errorMessage: "NONE" } : found;
}
