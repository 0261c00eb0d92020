import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 37,
  name: "CreatePartitions",
  versions: [0, 3],
  flexible: 2,
  request: {
    topics: {
      array: { name: "string", count: "int32", assignments: { array: { brokerIds: "int32[]" }, nullable: 0 } },
    },
    timeoutMs: "int32",
    validateOnly: "bool",
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    results: {
      array: { name: "string", errorCode: "int16", errorMessage: { type: "string", nullable: 0, default: null } },
      bound: "entries",
    },
  },
} as const;

/** Gives topics more partitions (KIP-195). */
export const CreatePartitions: Api<typeof declaration> = defineApi(declaration);
