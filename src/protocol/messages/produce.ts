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
            index: { type: "int32", bound: "partition" },
            errorCode: "int16",
            baseOffset: { type: "int64", bound: "offset" },
            logAppendTimeMs: { type: "int64", default: -1n, bound: "timestamp" },
            logStartOffset: { type: "int64", since: 5, default: -1n, ignorable: true, bound: "offset" },
            recordErrors: {
              bound: "recordErrors",
              array: {
                batchIndex: { type: "int32", bound: "record" },
                batchIndexErrorMessage: { type: "string?", default: null },
              },
              since: 8,
              default: [],
              ignorable: true,
            },
            errorMessage: { type: "string", since: 8, nullable: 8, default: null, ignorable: true },
            currentLeader: {
              struct: {
                leaderId: { type: "int32", default: -1, bound: "nodeIdOrNone" },
                leaderEpoch: { type: "int32", default: -1, bound: "leaderEpoch" },
              },
              since: 10,
              tag: 0,
            },
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    nodeEndpoints: {
      array: {
        nodeId: { type: "int32", bound: "nodeId" },
        host: { type: "string", bound: "host" },
        port: { type: "int32", bound: "port" },
        rack: { type: "string?", default: null },
      },
      bound: "brokers",
      since: 10,
      tag: 0,
    },
  },
} as const;

/** Appends record batches to partitions; version 13 names topics by id, 12 in a transaction means KIP-890. */
export const Produce: Api<typeof declaration> = defineApi(declaration);
