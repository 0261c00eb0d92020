import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 65,
  name: "DescribeTransactions",
  versions: [0, 0],
  flexible: 0,
  request: { transactionalIds: "string[]" },
  response: {
    throttleTimeMs: "int32",
    transactionStates: {
      array: {
        errorCode: "int16",
        transactionalId: "string",
        transactionState: "string",
        transactionTimeoutMs: "int32",
        transactionStartTimeMs: "int64",
        producerId: "int64",
        producerEpoch: "int16",
        topics: { array: { topic: "string", partitions: "int32[]" } },
      },
    },
  },
} as const;

/** Tells the state of transactions (KIP-664). */
export const DescribeTransactions: Api<typeof declaration> = defineApi(declaration);
