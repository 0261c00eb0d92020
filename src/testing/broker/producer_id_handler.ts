/**
 * InitProducerId and FindCoordinator: the first steps of idempotent producing. Nothing is coordinated here yet.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { FindCoordinator } from "../../protocol/messages/find_coordinator.ts";
import type { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import type { Call } from "./call.ts";

const COORDINATOR_NOT_AVAILABLE = 15;
const NOT_COORDINATOR = 16;
const INVALID_REQUEST = 42;
const FIRST_VERSION_WITH_BATCH = 4;

/** Serves InitProducerId. Without a transactional id every call gives a new producer id in epoch 0. */
export function serveInitProducerId(call: Call<typeof InitProducerId>): ResponseInputOf<typeof InitProducerId> {
  const { transactionalId, producerId, producerEpoch } = call.request;
  if (transactionalId === "" || (producerId === -1n) !== (producerEpoch === -1)) return refused(INVALID_REQUEST);
  if (transactionalId !== null) return refused(NOT_COORDINATOR);
  return { errorCode: 0, producerId: call.cluster.nextProducerId(), producerEpoch: 0 };
}

function refused(errorCode: number): ResponseInputOf<typeof InitProducerId> {
  return { errorCode, producerId: -1n, producerEpoch: -1 };
}

/** Serves FindCoordinator: there is none. */
export function serveFindCoordinator(call: Call<typeof FindCoordinator>): ResponseInputOf<typeof FindCoordinator> {
  const nobody = { errorCode: COORDINATOR_NOT_AVAILABLE, nodeId: -1, host: "", port: -1 };
  if (call.version < FIRST_VERSION_WITH_BATCH) return nobody;
  return { coordinators: call.request.coordinatorKeys.map((key) => ({ key, ...nobody })) };
}
