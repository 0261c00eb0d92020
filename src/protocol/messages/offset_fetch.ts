import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 9,
  name: "OffsetFetch",
  versions: [1, 10],
  flexible: 6,
  request: {
    groupId: { type: "string", until: 7 },
    topics: { array: { name: "string", partitionIndexes: "int32[]" }, until: 7, nullable: 2 },
    groups: {
      array: {
        groupId: "string",
        memberId: { type: "string", since: 9, nullable: 9, default: null, ignorable: true },
        memberEpoch: { type: "int32", since: 9, default: -1, ignorable: true },
        topics: {
          array: {
            name: { type: "string", until: 9, ignorable: true },
            topicId: { type: "uuid", since: 10, ignorable: true },
            partitionIndexes: "int32[]",
          },
          nullable: 8,
        },
      },
      since: 8,
    },
    requireStable: { type: "bool", since: 7, default: false },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 3, default: 0, ignorable: true, bound: "throttle" },
    topics: {
      array: {
        name: "string",
        partitions: {
          array: {
            partitionIndex: "int32",
            committedOffset: "int64",
            committedLeaderEpoch: { type: "int32", since: 5, default: -1, ignorable: true },
            metadata: "string?",
            errorCode: "int16",
          },
        },
      },
      until: 7,
    },
    errorCode: { type: "int16", since: 2, until: 7, default: 0, ignorable: true },
    groups: {
      array: {
        groupId: "string",
        topics: {
          array: {
            name: { type: "string", until: 9, ignorable: true },
            topicId: { type: "uuid", since: 10, ignorable: true },
            partitions: {
              array: {
                partitionIndex: { type: "int32", bound: "partition" },
                committedOffset: { type: "int64", bound: "offset" },
                committedLeaderEpoch: { type: "int32", default: -1 },
                metadata: "string?",
                errorCode: "int16",
              },
              bound: "entries",
            },
          },
          bound: "entries",
        },
        errorCode: { type: "int16", default: 0 },
      },
      since: 8,
      bound: "entries",
    },
  },
} as const;

/** Asks for the committed offsets of groups; several groups from version 8 on, topic ids from version 10 on. */
export const OffsetFetch: Api<typeof declaration> = defineApi(declaration);
