import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 21,
  name: "DeleteRecords",
  versions: [0, 2],
  flexible: 2,
  request: {
    topics: { array: { name: "string", partitions: { array: { partitionIndex: "int32", offset: "int64" } } } },
    timeoutMs: "int32",
  },
  response: {
    throttleTimeMs: "int32",
    topics: {
      array: {
        name: "string",
        partitions: { array: { partitionIndex: "int32", lowWatermark: "int64", errorCode: "int16" } },
      },
    },
  },
} as const;

/** Deletes all records before an offset (KIP-107). */
export const DeleteRecords: Api<typeof declaration> = defineApi(declaration);
