import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 66,
  name: "ListTransactions",
  versions: [0, 2],
  flexible: 0,
  request: {
    stateFilters: "string[]",
    producerIdFilters: "int64[]",
    durationFilter: { type: "int64", since: 1, default: -1n },
    transactionalIdPattern: { type: "string", since: 2, nullable: 2, default: null },
  },
  response: {
    throttleTimeMs: "int32",
    errorCode: "int16",
    unknownStateFilters: "string[]",
    transactionStates: { array: { transactionalId: "string", producerId: "int64", transactionState: "string" } },
  },
} as const;

/** Lists the transactions that a broker coordinates (KIP-664). */
export const ListTransactions: Api<typeof declaration> = defineApi(declaration);
