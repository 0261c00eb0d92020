import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 28,
  name: "TxnOffsetCommit",
  versions: [0, 6],
  flexible: 3,
  request: {
    transactionalId: "string",
    groupId: "string",
    producerId: "int64",
    producerEpoch: "int16",
    generationIdOrMemberEpoch: { type: "int32", since: 3, default: -1 },
    memberId: { type: "string", since: 3, default: "" },
    groupInstanceId: { type: "string", since: 3, nullable: 3, default: null },
    topics: {
      array: {
        name: { type: "string", until: 5, ignorable: true },
        topicId: { type: "uuid", since: 6, ignorable: true },
        partitions: {
          array: {
            partitionIndex: "int32",
            committedOffset: "int64",
            committedLeaderEpoch: { type: "int32", since: 2, default: -1, ignorable: true },
            committedMetadata: "string?",
          },
        },
      },
    },
  },
  response: {
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    topics: {
      array: {
        name: { type: "string", until: 5, ignorable: true },
        topicId: { type: "uuid", since: 6, ignorable: true },
        partitions: {
          array: { partitionIndex: { type: "int32", bound: "partition" }, errorCode: "int16" },
          bound: "entries",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Commits a group's offsets as part of a transaction (KIP-98, KIP-447); version 5 means KIP-890, version 6 names topics by id. */
export const TxnOffsetCommit: Api<typeof declaration> = defineApi(declaration);
