/**
 * Serves what clients ask and push for the operators of a cluster (KIP-714).
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { AnyApi } from "../../protocol/api.ts";
import type { GetTelemetrySubscriptions, PushTelemetry } from "../../protocol/messages/mod.ts";
import type { Call, Outcome } from "./call.ts";
import type { TelemetryClient } from "./telemetry.ts";

/** Serves GetTelemetrySubscriptions; a cluster without a metrics plugin doesn't know it. */
export function serveGetTelemetrySubscriptions(
  call: Call<typeof GetTelemetrySubscriptions>,
): Outcome<typeof GetTelemetrySubscriptions> {
  return call.cluster.clientMetrics?.subscriptionFor(call.request, clientOf(call)) ?? "close";
}

/** Serves PushTelemetry. */
export async function servePushTelemetry(
  call: Call<typeof PushTelemetry>,
): Promise<ResponseInputOf<typeof PushTelemetry> | "close"> {
  return await call.cluster.clientMetrics?.push(call.request, clientOf(call)) ?? "close";
}

function clientOf<A extends AnyApi>({ broker, clientId, cluster }: Call<A>): TelemetryClient {
  return { nodeId: broker.id, clientId, nowMs: cluster.clock.now() };
}
