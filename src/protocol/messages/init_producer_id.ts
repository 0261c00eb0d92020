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
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    errorCode: "int16",
    producerId: { type: "int64", default: -1n, bound: "producerId" },
    producerEpoch: { type: "int16", bound: "producerEpoch" },
  },
} as const;

/** Asks for a producer id; first step of idempotent and transactional producing (KIP-98, KIP-360). */
export const InitProducerId: Api<typeof declaration> = defineApi(declaration);
