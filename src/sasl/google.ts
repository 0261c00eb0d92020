/**
 * Tokens for Google Cloud's Managed Service for Apache Kafka.
 *
 * @module
 */

import { AuthenticationError, ConfigError } from "../errors.ts";
import type { FetchLike } from "../runtime/fetch.ts";
import { base64url, utf8 } from "./bytes.ts";
import { askJson } from "./http.ts";
import { checkFields, checkText } from "./mechanism.ts";
import { tokenOf } from "./oidc.ts";
import type { TokenContext, TokenProvider } from "./token.ts";

/** An access token of Google, and whose it is. */
export interface GoogleAccess {
  /** The access token. */
  readonly accessToken: string;
  /** The service account's e-mail address. */
  readonly subject: string;
  /** When the token ends, in ms since the epoch. */
  readonly expiresAtMs: number;
}

/** Where the access token comes from. */
export interface GoogleOptions {
  /** Fetches an access token. @default that of the machine's service account, from Google's metadata server */
  readonly access?: (() => GoogleAccess | Promise<GoogleAccess>) | undefined;
  /** In place of the runtime's `fetch`, for the metadata server. */
  readonly fetch?: FetchLike | undefined;
}

const ACCOUNT = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default";
const TIMEOUT_MS = 1_800;

/**
 * A token provider for `oauthBearer` on Google Cloud.
 *
 * @throws {ConfigError} for options that can't be right
 * @example
 * ```ts
 * import { googleToken, oauthBearer } from "@sluice/kafka/sasl";
 *
 * console.assert(oauthBearer({ token: googleToken() }).name === "OAUTHBEARER");
 * ```
 */
export function googleToken(options: GoogleOptions = {}): TokenProvider {
  checkFields("googleToken()", options, ["access", "fetch"]);
  const { access, fetch } = options;
  if (access !== undefined && typeof access !== "function") {
    throw new ConfigError("sasl", `Set "access" of googleToken() to a function that returns an access token.`);
  }
  return async (context) => {
    const given = access === undefined ? await fromMetadataServer(context, fetch) : await access();
    checkFields(`what "access" of googleToken() returns`, given, ["accessToken", "subject", "expiresAtMs"]);
    checkText("accessToken", given.accessToken);
    checkText("subject", given.subject);
    if (!Number.isFinite(given.expiresAtMs)) {
      throw new AuthenticationError(`Let "access" of googleToken() return "expiresAtMs" in ms since the epoch.`);
    }
    return { value: googleJwt(given, context.wallNow()), expiresAtMs: given.expiresAtMs };
  };
}

/** @internal Google's own form: three parts as a JWT has, with the access token in place of a signature. */
export function googleJwt({ accessToken, subject, expiresAtMs }: GoogleAccess, nowMs: number): string {
  const header = { typ: "JWT", alg: "GOOG_OAUTH2_TOKEN" };
  const exp = Math.floor(expiresAtMs / 1_000);
  const claims = { exp, iat: Math.floor(nowMs / 1_000), iss: "Google", scope: "kafka", sub: subject };
  return [JSON.stringify(header), JSON.stringify(claims), accessToken].map((part) => base64url(utf8(part))).join(".");
}

async function fromMetadataServer(context: TokenContext, fetch: FetchLike | undefined): Promise<GoogleAccess> {
  const what = "Google's metadata server";
  const ask = (path: string): Promise<Record<string, unknown>> =>
    askJson({
      url: `${ACCOUNT}${path}`,
      method: "GET",
      headers: { "metadata-flavor": "Google" },
      what,
      timeoutMs: TIMEOUT_MS,
      fetch,
    }, context);
  const [token, { email }] = await Promise.all([ask("/token"), ask("/?recursive=true")]);
  const { value, expiresAtMs } = tokenOf(token, what, context.wallNow());
  if (typeof email !== "string" || expiresAtMs === undefined) {
    throw new AuthenticationError(`${what} gave no token: its answer lacks "email" or "expires_in".`, {
      code: "TOKEN_UNAVAILABLE",
      retriable: true,
    });
  }
  return { accessToken: value, subject: email, expiresAtMs };
}
