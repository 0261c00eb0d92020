import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 25,
  name: "AddOffsetsToTxn",
  versions: [0, 4],
  flexible: 3,
  request: { transactionalId: "string", producerId: "int64", producerEpoch: "int16", groupId: "string" },
  response: { throttleTimeMs: { type: "int32", default: 0, bound: "throttle" }, errorCode: "int16" },
} as const;

/** Tells that a transaction commits offsets of a group; not sent where EndTxn is at version 5 (KIP-890). */
export const AddOffsetsToTxn: Api<typeof declaration> = defineApi(declaration);
