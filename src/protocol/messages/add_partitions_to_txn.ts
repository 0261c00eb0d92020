import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 24,
  name: "AddPartitionsToTxn",
  versions: [0, 5],
  clientVersions: [0, 3],
  flexible: 3,
  request: {
    transactions: {
      array: {
        transactionalId: "string",
        producerId: "int64",
        producerEpoch: "int16",
        verifyOnly: { type: "bool", default: false },
        topics: { array: { name: "string", partitions: "int32[]" } },
      },
      since: 4,
    },
    v3AndBelowTransactionalId: { type: "string", until: 3 },
    v3AndBelowProducerId: { type: "int64", until: 3 },
    v3AndBelowProducerEpoch: { type: "int16", until: 3 },
    v3AndBelowTopics: { array: { name: "string", partitions: "int32[]" }, until: 3 },
  },
  response: {
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    errorCode: { type: "int16", since: 4, default: 0, ignorable: true },
    resultsByTransaction: {
      array: {
        transactionalId: "string",
        topicResults: {
          array: {
            name: "string",
            resultsByPartition: { array: { partitionIndex: "int32", partitionErrorCode: "int16" } },
          },
        },
      },
      since: 4,
    },
    resultsByTopicV3AndBelow: {
      array: {
        name: "string",
        resultsByPartition: {
          array: { partitionIndex: { type: "int32", bound: "partition" }, partitionErrorCode: "int16" },
          bound: "entries",
        },
      },
      until: 3,
      bound: "entries",
    },
  },
} as const;

/** Tells which partitions a transaction writes to; clients speak version 3 at most (KIP-98, KIP-890). */
export const AddPartitionsToTxn: Api<typeof declaration> = defineApi(declaration);
