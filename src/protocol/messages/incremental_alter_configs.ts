import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 44,
  name: "IncrementalAlterConfigs",
  versions: [0, 1],
  flexible: 1,
  request: {
    resources: {
      array: {
        resourceType: "int8",
        resourceName: "string",
        configs: { array: { name: "string", configOperation: "int8", value: "string?" } },
      },
    },
    validateOnly: "bool",
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    responses: {
      array: { errorCode: "int16", errorMessage: "string?", resourceType: "int8", resourceName: "string" },
      bound: "entries",
    },
  },
} as const;

/** Changes single entries of the configuration of topics and brokers (KIP-339). */
export const IncrementalAlterConfigs: Api<typeof declaration> = defineApi(declaration);
