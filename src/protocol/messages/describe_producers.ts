import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 61,
  name: "DescribeProducers",
  versions: [0, 0],
  flexible: 0,
  request: { topics: { array: { name: "string", partitionIndexes: "int32[]" } } },
  response: {
    throttleTimeMs: "int32",
    topics: {
      array: {
        name: "string",
        partitions: {
          array: {
            partitionIndex: "int32",
            errorCode: "int16",
            errorMessage: { type: "string", nullable: 0, default: null },
            activeProducers: {
              array: {
                producerId: "int64",
                producerEpoch: "int32",
                lastSequence: { type: "int32", default: -1 },
                lastTimestamp: { type: "int64", default: -1n },
                coordinatorEpoch: "int32",
                currentTxnStartOffset: { type: "int64", default: -1n },
              },
            },
          },
        },
      },
    },
  },
} as const;

/** Tells the state that partitions keep of producers (KIP-664). */
export const DescribeProducers: Api<typeof declaration> = defineApi(declaration);
