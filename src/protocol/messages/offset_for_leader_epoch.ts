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
    throttleTimeMs: "int32",
    topics: {
      array: {
        topic: "string",
        partitions: {
          array: {
            errorCode: "int16",
            partition: "int32",
            leaderEpoch: { type: "int32", default: -1 },
            endOffset: { type: "int64", default: -1n },
          },
        },
      },
    },
  },
} as const;

/** Asks where the log of a leader epoch ends (KIP-320). */
export const OffsetForLeaderEpoch: Api<typeof declaration> = defineApi(declaration);
