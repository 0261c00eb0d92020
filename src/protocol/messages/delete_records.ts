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
    throttleTimeMs: { type: "int32", bound: "throttle" },
    topics: {
      array: {
        name: "string",
        partitions: {
          array: {
            partitionIndex: { type: "int32", bound: "partition" },
            lowWatermark: { type: "int64", bound: "offset" },
            errorCode: "int16",
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Deletes all records before an offset (KIP-107). */
export const DeleteRecords: Api<typeof declaration> = defineApi(declaration);
