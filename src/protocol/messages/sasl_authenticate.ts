import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 36,
  name: "SaslAuthenticate",
  versions: [0, 2],
  flexible: 2,
  request: { authBytes: "bytes" },
  response: {
    errorCode: "int16",
    errorMessage: { type: "string?", default: "" },
    authBytes: "bytes",
    sessionLifetimeMs: { type: "int64", since: 1, default: 0n, ignorable: true, bound: "lifetime" },
  },
} as const;

/** Carries one token of a SASL exchange; from version 1 on with the session's lifetime (KIP-152, KIP-368). */
export const SaslAuthenticate: Api<typeof declaration> = defineApi(declaration);
