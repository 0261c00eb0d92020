import { ProtocolError } from "../../errors.ts";
import { refuseTwice } from "../answer_checks.ts";
import { type Api, type Decoded, defineApi } from "../schema.ts";

const declaration = {
  key: 18,
  name: "ApiVersions",
  versions: [0, 5],
  clientVersions: [0, 5],
  flexible: 3,
  request: {
    clientSoftwareName: { type: "string", since: 3, ignorable: true },
    clientSoftwareVersion: { type: "string", since: 3, ignorable: true },
    clusterId: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
    nodeId: { type: "int32", since: 5, default: -1, ignorable: true },
  },
  response: {
    errorCode: "int16",
    apiKeys: {
      array: {
        apiKey: { type: "int16", bound: "apiKey" },
        minVersion: { type: "int16", bound: "version" },
        maxVersion: { type: "int16", bound: "version" },
      },
      bound: "apis",
    },
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    supportedFeatures: {
      array: {
        name: "string",
        minVersion: { type: "int16", bound: "version" },
        maxVersion: { type: "int16", bound: "version" },
      },
      since: 3,
      tag: 0,
      ignorable: true,
    },
    finalizedFeaturesEpoch: {
      type: "int64",
      since: 3,
      tag: 1,
      default: -1n,
      ignorable: true,
      bound: "featuresEpoch",
    },
    finalizedFeatures: {
      array: {
        name: "string",
        maxVersionLevel: { type: "int16", bound: "version" },
        minVersionLevel: { type: "int16", bound: "version" },
      },
      since: 3,
      tag: 2,
      ignorable: true,
    },
    zkMigrationReady: { type: "bool", since: 3, tag: 3, default: false, ignorable: true },
  },
} as const;

type Response = Decoded<(typeof declaration)["response"]>;

/**
 * Asks which APIs and versions a broker speaks (KIP-35, KIP-511, KIP-584); the first request of a connection. From
 * version 5 on it says to whom the client believes to talk (KIP-1242).
 */
export const ApiVersions: Api<typeof declaration> = defineApi(declaration, checkVersions);

function checkVersions({ apiKeys, supportedFeatures, finalizedFeatures }: Response): void {
  refuseTwice("apiKeys.apiKey", apiKeys.map(({ apiKey }) => apiKey));
  for (const { minVersion, maxVersion } of apiKeys) checkRange("apiKeys.minVersion", minVersion, maxVersion);
  for (const { minVersion, maxVersion } of supportedFeatures) {
    checkRange("supportedFeatures.minVersion", minVersion, maxVersion);
  }
  for (const { minVersionLevel, maxVersionLevel } of finalizedFeatures) {
    checkRange("finalizedFeatures.minVersionLevel", minVersionLevel, maxVersionLevel);
  }
}

function checkRange(field: string, least: number, most: number): void {
  if (least > most) throw new ProtocolError(`${field}: Reading "${least}": wanted at most ${most}, the last version.`);
}
