import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 23,
  name: "OffsetForLeaderEpoch",
  versions: [2, 4],
  flexible: 4,
  request: {
    replicaId: { type: "int32", since: 3, default: -2, ignorable: true },
    topics: {
      array: {
        topic: "string",
        partitions: {
          array: { partition: "int32", currentLeaderEpoch: { type: "int32", default: -1 }, leaderEpoch: "int32" },
        },
      },
    },
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    topics: {
      array: {
        topic: "string",
        partitions: {
          array: {
            errorCode: "int16",
            partition: { type: "int32", bound: "partition" },
            leaderEpoch: { type: "int32", default: -1, bound: "leaderEpoch" },
            endOffset: { type: "int64", default: -1n, bound: "offset" },
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Asks where the log of a leader epoch ends (KIP-320). */
export const OffsetForLeaderEpoch: Api<typeof declaration> = defineApi(declaration);
