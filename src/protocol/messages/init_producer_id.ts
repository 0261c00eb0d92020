import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 22,
  name: "InitProducerId",
  versions: [0, 5],
  flexible: 2,
  request: {
    transactionalId: "string?",
    transactionTimeoutMs: "int32",
    producerId: { type: "int64", since: 3, default: -1n },
    producerEpoch: { type: "int16", since: 3, default: -1 },
  },
  response: {
    throttleTimeMs: { type: "int32", default: 0 },
    errorCode: "int16",
    producerId: { type: "int64", default: -1n },
    producerEpoch: "int16",
  },
} as const;

/** Asks for a producer id; first step of idempotent and transactional producing (KIP-98, KIP-360). */
export const InitProducerId: Api<typeof declaration> = defineApi(declaration);
