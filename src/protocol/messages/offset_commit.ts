import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 8,
  name: "OffsetCommit",
  versions: [2, 10],
  flexible: 8,
  request: {
    groupId: "string",
    generationIdOrMemberEpoch: { type: "int32", default: -1 },
    memberId: "string",
    groupInstanceId: { type: "string", since: 7, nullable: 7, default: null },
    retentionTimeMs: { type: "int64", until: 4, default: -1n, ignorable: true },
    topics: {
      array: {
        name: { type: "string", until: 9, ignorable: true },
        topicId: { type: "uuid", since: 10, ignorable: true },
        partitions: {
          array: {
            partitionIndex: "int32",
            committedOffset: "int64",
            committedLeaderEpoch: { type: "int32", since: 6, default: -1, ignorable: true },
            committedMetadata: "string?",
          },
        },
      },
    },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 3, default: 0, ignorable: true, bound: "throttle" },
    topics: {
      array: {
        name: { type: "string", until: 9, ignorable: true },
        topicId: { type: "uuid", since: 10, ignorable: true },
        partitions: {
          array: { partitionIndex: { type: "int32", bound: "partition" }, errorCode: "int16" },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Commits the offsets of a group; topic ids from version 10 on. */
export const OffsetCommit: Api<typeof declaration> = defineApi(declaration);
