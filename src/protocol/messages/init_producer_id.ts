import { ProtocolError } from "../../errors.ts";
import { type Api, type Decoded, defineApi } from "../schema.ts";

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

type Response = Decoded<(typeof declaration)["response"]>;

/** Asks for a producer id; first step of idempotent and transactional producing (KIP-98, KIP-360). */
export const InitProducerId: Api<typeof declaration> = defineApi(declaration, checkProducerId);

function checkProducerId({ errorCode, producerId, producerEpoch }: Response): void {
  if (errorCode !== 0) return;
  const wanted = "wanted 0 or more, as there is no error";
  if (producerId < 0n) throw new ProtocolError(`producerId: Reading "${producerId}": ${wanted}.`);
  if (producerEpoch < 0) throw new ProtocolError(`producerEpoch: Reading "${producerEpoch}": ${wanted}.`);
}
