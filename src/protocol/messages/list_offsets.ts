import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 2,
  name: "ListOffsets",
  versions: [1, 11],
  flexible: 6,
  request: {
    replicaId: "int32",
    isolationLevel: { type: "int8", since: 2, default: 0 },
    topics: {
      array: {
        name: "string",
        partitions: {
          array: {
            partitionIndex: "int32",
            currentLeaderEpoch: { type: "int32", since: 4, default: -1, ignorable: true },
            timestamp: "int64",
          },
        },
      },
    },
    timeoutMs: { type: "int32", since: 10, default: 0, ignorable: true },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 2, default: 0, ignorable: true, bound: "throttle" },
    topics: {
      array: {
        name: "string",
        partitions: {
          array: {
            partitionIndex: { type: "int32", bound: "partition" },
            errorCode: "int16",
            timestamp: { type: "int64", default: -1n },
            offset: { type: "int64", default: -1n, bound: "offset" },
            leaderEpoch: { type: "int32", since: 4, default: -1 },
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Asks for the offset at a timestamp, or for the first (-2) or next (-1) one (KIP-79). */
export const ListOffsets: Api<typeof declaration> = defineApi(declaration);
