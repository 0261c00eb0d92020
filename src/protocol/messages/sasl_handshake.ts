import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 17,
  name: "SaslHandshake",
  versions: [0, 1],
  clientVersions: [1, 1],
  flexible: null,
  request: { mechanism: "string" },
  response: { errorCode: "int16", mechanisms: "string[]" },
} as const;

/** Names the SASL mechanism; from version 1 on the tokens travel in SaslAuthenticate (KIP-43, KIP-152). */
export const SaslHandshake: Api<typeof declaration> = defineApi(declaration);
