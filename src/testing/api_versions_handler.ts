/**
 * ApiVersions: which versions the brokers of a release advertise, and which they serve.
 *
 * @module
 */

import type { AnyApi, ResponseInputOf } from "../protocol/api.ts";
import type { ApiVersions } from "../protocol/messages/api_versions.ts";
import { Produce } from "../protocol/messages/produce.ts";
import { API_BY_KEY } from "../protocol/request_header.ts";
import type { Broker } from "./broker.ts";
import type { Call } from "./call.ts";
import type { EmbeddedCluster } from "./cluster.ts";

/** The Kafka release whose ranges, features and defaults a cluster shows. */
export type Release = "3.9" | "4.1";

/** As measured on brokers of the release; other APIs are not advertised. */
const ADVERTISED: Readonly<Record<Release, Readonly<Record<string, readonly [number, number]>>>> = {
  "3.9": {
    Produce: [0, 11],
    Fetch: [0, 17],
    ListOffsets: [0, 9],
    Metadata: [0, 12],
    FindCoordinator: [0, 6],
    ApiVersions: [0, 4],
    CreateTopics: [0, 7],
    InitProducerId: [0, 5],
  },
  "4.1": {
    Produce: [0, 13],
    Fetch: [4, 18],
    ListOffsets: [1, 10],
    Metadata: [0, 13],
    FindCoordinator: [0, 6],
    ApiVersions: [0, 4],
    CreateTopics: [2, 7],
    InitProducerId: [0, 5],
  },
};

interface Feature {
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
}

const SUPPORTED_FEATURES: Readonly<Record<Release, readonly Feature[]>> = {
  "3.9": [
    { name: "kraft.version", minVersion: 0, maxVersion: 1 },
    { name: "metadata.version", minVersion: 1, maxVersion: 21 },
  ],
  "4.1": [
    { name: "group.version", minVersion: 0, maxVersion: 1 },
    { name: "transaction.version", minVersion: 0, maxVersion: 2 },
    { name: "eligible.leader.replicas.version", minVersion: 0, maxVersion: 1 },
    { name: "kraft.version", minVersion: 0, maxVersion: 1 },
    { name: "metadata.version", minVersion: 7, maxVersion: 27 },
  ],
};

/** What is finalized on a fresh cluster of a release. */
export const FINALIZED_FEATURES: Readonly<Record<Release, Readonly<Record<string, number>>>> = {
  "3.9": { "metadata.version": 21 },
  "4.1": {
    "group.version": 1,
    "transaction.version": 2,
    "eligible.leader.replicas.version": 1,
    "metadata.version": 27,
  },
};

/** From this version on features that may be at 0 are told too. */
const FIRST_VERSION_WITH_OPTIONAL_FEATURES = 4;

/** The range of an API that a broker advertises. */
export function advertisedRange(
  cluster: EmbeddedCluster,
  broker: Broker,
  api: AnyApi,
): readonly [number, number] | undefined {
  const own = broker.pinned(api);
  const pinned = own === undefined ? cluster.pinnedForAll(api) : own;
  if (pinned !== undefined) return pinned ?? undefined;
  return ADVERTISED[cluster.release][api.name];
}

/** Whether a broker serves a version. Kafka 4 advertises Produce from 0 and closes the connection on 0 to 2. */
export function isServed(cluster: EmbeddedCluster, broker: Broker, api: AnyApi, version: number): boolean {
  const range = advertisedRange(cluster, broker, api);
  if (range === undefined || version < api.minVersion || version > api.maxVersion) return false;
  const min = api.key === Produce.key ? Math.max(range[0], Produce.minVersion) : range[0];
  return version >= min && version <= range[1];
}

const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;
const INVALID_REQUEST = 42;
const FIRST_VERSION_WITH_NAME = 3;

/** Serves ApiVersions. */
export function serveApiVersions(call: Call<typeof ApiVersions>): ResponseInputOf<typeof ApiVersions> {
  const { broker, cluster, request, version } = call;
  const names = [request.clientSoftwareName, request.clientSoftwareVersion];
  if (version >= FIRST_VERSION_WITH_NAME && !names.every((name) => SOFTWARE_NAME.test(name))) {
    return { errorCode: INVALID_REQUEST, apiKeys: [] };
  }
  const apiKeys = [...API_BY_KEY.values()].flatMap((api) => {
    const range = advertisedRange(cluster, broker, api);
    return range === undefined ? [] : [{ apiKey: api.key, minVersion: range[0], maxVersion: range[1] }];
  }).sort((one, other) => one.apiKey - other.apiKey);
  return {
    errorCode: 0,
    apiKeys,
    supportedFeatures: SUPPORTED_FEATURES[cluster.release].filter((feature) =>
      feature.minVersion > 0 || version >= FIRST_VERSION_WITH_OPTIONAL_FEATURES
    ),
    finalizedFeaturesEpoch: 1n,
    finalizedFeatures: Object.entries(cluster.finalizedFeatures).map(([name, level]) => (
      { name, maxVersionLevel: level, minVersionLevel: level }
    )),
  };
}
