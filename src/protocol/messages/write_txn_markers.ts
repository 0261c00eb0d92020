import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 27,
  name: "WriteTxnMarkers",
  versions: [1, 2],
  flexible: 1,
  request: {
    markers: {
      array: {
        producerId: "int64",
        producerEpoch: "int16",
        transactionResult: "bool",
        topics: { array: { name: "string", partitionIndexes: "int32[]" } },
        coordinatorEpoch: "int32",
        transactionVersion: { type: "int8", since: 2, default: 0, ignorable: true },
      },
    },
  },
  response: {
    markers: {
      array: {
        producerId: "int64",
        topics: { array: { name: "string", partitions: { array: { partitionIndex: "int32", errorCode: "int16" } } } },
      },
    },
  },
} as const;

/** Ends a transaction in the partitions of a broker; from broker to broker. */
export const WriteTxnMarkers: Api<typeof declaration> = defineApi(declaration);
