import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 47,
  name: "OffsetDelete",
  versions: [0, 0],
  flexible: null,
  request: {
    groupId: "string",
    topics: { array: { name: "string", partitions: { array: { partitionIndex: "int32" } } } },
  },
  response: {
    errorCode: "int16",
    throttleTimeMs: { type: "int32", bound: "throttle" },
    topics: {
      array: {
        name: "string",
        partitions: {
          array: { partitionIndex: { type: "int32", bound: "partition" }, errorCode: "int16" },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Deletes committed offsets of a group (KIP-496). */
export const OffsetDelete: Api<typeof declaration> = defineApi(declaration);
