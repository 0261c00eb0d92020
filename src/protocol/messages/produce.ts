import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 0,
  name: "Produce",
  versions: [3, 13],
  flexible: 9,
  request: {
    transactionalId: { type: "string?", default: null },
    acks: "int16",
    timeoutMs: "int32",
    topicData: {
      array: {
        name: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitionData: { array: { index: "int32", records: "records" } },
      },
    },
  },
  response: {
    responses: {
      array: {
        name: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitionResponses: {
          array: {
            index: "int32",
            errorCode: "int16",
            baseOffset: "int64",
            logAppendTimeMs: { type: "int64", default: -1n },
            logStartOffset: { type: "int64", since: 5, default: -1n, ignorable: true },
            recordErrors: {
              array: { batchIndex: "int32", batchIndexErrorMessage: { type: "string?", default: null } },
              since: 8,
              default: [],
              ignorable: true,
            },
            errorMessage: { type: "string", since: 8, nullable: 8, default: null, ignorable: true },
            currentLeader: {
              struct: { leaderId: { type: "int32", default: -1 }, leaderEpoch: { type: "int32", default: -1 } },
              since: 10,
              tag: 0,
            },
          },
        },
      },
    },
    throttleTimeMs: { type: "int32", default: 0 },
    nodeEndpoints: {
      array: { nodeId: "int32", host: "string", port: "int32", rack: { type: "string?", default: null } },
      since: 10,
      tag: 0,
    },
  },
} as const;

/** Appends record batches to partitions; version 13 names topics by id, 12 in a transaction means KIP-890. */
export const Produce: Api<typeof declaration> = defineApi(declaration);
