import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 26,
  name: "EndTxn",
  versions: [0, 5],
  flexible: 3,
  request: { transactionalId: "string", producerId: "int64", producerEpoch: "int16", committed: "bool" },
  response: {
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    errorCode: "int16",
    producerId: { type: "int64", since: 5, default: -1n, ignorable: true, bound: "producerId" },
    producerEpoch: { type: "int16", since: 5, default: -1, ignorable: true, bound: "producerEpoch" },
  },
} as const;

/** Commits or aborts a transaction; version 5 hands out the next epoch (KIP-98, KIP-890). */
export const EndTxn: Api<typeof declaration> = defineApi(declaration);
