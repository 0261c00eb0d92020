/**
 * ApiVersions: which versions a broker advertises, and which it serves.
 *
 * @module
 */

import type { AnyApi, RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { ApiVersions } from "../../protocol/messages/api_versions.ts";
import { GetTelemetrySubscriptions } from "../../protocol/messages/get_telemetry_subscriptions.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { PushTelemetry } from "../../protocol/messages/push_telemetry.ts";
import { API_BY_KEY } from "../../protocol/request_header.ts";
import { INVALID_REQUEST, REBOOTSTRAP_REQUIRED } from "../../protocol/error_code_names.ts";
import type { Broker } from "./broker.ts";
import type { Call } from "./call.ts";
import type { BrokerHost } from "./host.ts";
import { releasedRange, RELEASES } from "./release.ts";

/** From this version on features that may be at 0 are told too. */
const FIRST_VERSION_WITH_OPTIONAL_FEATURES = 4;

/** The range of an API that a broker advertises. */
export function advertisedRange(
  cluster: BrokerHost,
  broker: Broker,
  api: AnyApi,
): readonly [number, number] | undefined {
  const own = broker.pinned(api);
  const pinned = own === undefined ? cluster.pinnedForAll(api) : own;
  if (pinned !== undefined) return pinned ?? undefined;
  // Kafka tells of these only where a plugin takes what is pushed.
  if (api.key === GetTelemetrySubscriptions.key || api.key === PushTelemetry.key) {
    return cluster.clientMetrics === undefined ? undefined : [0, 0];
  }
  return releasedRange(cluster.release, api);
}

/** Whether a broker serves a version. Kafka 4 advertises Produce from 0 and closes the connection on 0 to 2. */
export function isServed(cluster: BrokerHost, broker: Broker, api: AnyApi, version: number): boolean {
  const range = advertisedRange(cluster, broker, api);
  if (range === undefined || version < api.minVersion || version > api.maxVersion) return false;
  const min = api.key === Produce.key ? Math.max(range[0], Produce.minVersion) : range[0];
  return version >= min && version <= range[1];
}

const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;
const FIRST_VERSION_WITH_NAME = 3;

/** Whether a client's name for itself is one that Kafka takes (KIP-511). */
export function hasGoodName(request: RequestOf<typeof ApiVersions>, version: number): boolean {
  const names = [request.clientSoftwareName, request.clientSoftwareVersion];
  return version < FIRST_VERSION_WITH_NAME || names.every((name) => SOFTWARE_NAME.test(name));
}

/** What a client says to whom it believes to talk (KIP-1242): refused when it is half of it, or somebody else. */
function addresseeError({ broker, cluster, request }: Call<typeof ApiVersions>): number {
  const { clusterId, nodeId } = request;
  if (clusterId === null && nodeId < 0) return 0;
  if (clusterId === null || nodeId < 0) return INVALID_REQUEST;
  return clusterId === cluster.clusterId && nodeId === broker.id ? 0 : REBOOTSTRAP_REQUIRED;
}

/** Serves ApiVersions. */
export function serveApiVersions(call: Call<typeof ApiVersions>): ResponseInputOf<typeof ApiVersions> {
  const { broker, cluster, request, version } = call;
  if (!hasGoodName(request, version)) return { errorCode: INVALID_REQUEST, apiKeys: [] };
  const refusal = addresseeError(call);
  if (refusal !== 0) return { errorCode: refusal, apiKeys: [] };
  const apiKeys = [...API_BY_KEY.values()].flatMap((api) => {
    const range = advertisedRange(cluster, broker, api);
    return range === undefined ? [] : [{ apiKey: api.key, minVersion: range[0], maxVersion: range[1] }];
  }).sort((one, other) => one.apiKey - other.apiKey);
  return {
    errorCode: 0,
    apiKeys,
    supportedFeatures: RELEASES[cluster.release].supportedFeatures.filter((feature) =>
      feature.minVersion > 0 || version >= FIRST_VERSION_WITH_OPTIONAL_FEATURES
    ),
    finalizedFeaturesEpoch: cluster.featuresEpoch,
    finalizedFeatures: Object.entries(cluster.finalizedFeatures).map(([name, level]) => (
      { name, maxVersionLevel: level, minVersionLevel: level }
    )),
  };
}
