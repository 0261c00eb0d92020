import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 71,
  name: "GetTelemetrySubscriptions",
  versions: [0, 0],
  flexible: 0,
  request: { clientInstanceId: "uuid" },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    errorCode: "int16",
    clientInstanceId: "uuid",
    subscriptionId: "int32",
    acceptedCompressionTypes: { type: "int8[]", bound: "names" },
    pushIntervalMs: "int32",
    telemetryMaxBytes: "int32",
    deltaTemporality: "bool",
    requestedMetrics: { type: "string[]", bound: "names" },
  },
} as const;

/** Asks which metrics the broker wants to be pushed (KIP-714). */
export const GetTelemetrySubscriptions: Api<typeof declaration> = defineApi(declaration);
