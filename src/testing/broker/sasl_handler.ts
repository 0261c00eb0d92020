/**
 * SASL requests where nobody has to authenticate, or where somebody has already.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { SaslAuthenticate, SaslHandshake } from "../../protocol/messages/mod.ts";
import { ILLEGAL_SASL_STATE } from "../../protocol/error_code_names.ts";

/** Serves SaslHandshake on a listener without authentication. */
export function serveSaslHandshake(): ResponseInputOf<typeof SaslHandshake> {
  return { errorCode: ILLEGAL_SASL_STATE, mechanisms: [] };
}

/** Serves SaslAuthenticate on a listener without authentication. */
export function serveSaslAuthenticate(): ResponseInputOf<typeof SaslAuthenticate> {
  return {
    errorCode: ILLEGAL_SASL_STATE,
    errorMessage: "SaslAuthenticate request received after successful authentication",
    authBytes: new Uint8Array(0),
  };
}
