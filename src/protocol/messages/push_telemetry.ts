import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 72,
  name: "PushTelemetry",
  versions: [0, 0],
  flexible: 0,
  request: {
    clientInstanceId: "uuid",
    subscriptionId: "int32",
    terminating: "bool",
    compressionType: "int8",
    metrics: "bytes",
  },
  response: { throttleTimeMs: { type: "int32", bound: "throttle" }, errorCode: "int16" },
} as const;

/** Pushes metrics in OpenTelemetry's format (KIP-714). */
export const PushTelemetry: Api<typeof declaration> = defineApi(declaration);
