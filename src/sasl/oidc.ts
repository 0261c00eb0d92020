/**
 * Tokens from an OpenID Connect provider: the grant `client_credentials` (KIP-768, KIP-1258).
 *
 * @module
 */

import { AuthenticationError, ConfigError } from "../errors.ts";
import type { FetchLike } from "../runtime/fetch.ts";
import { base64, utf8 } from "./bytes.ts";
import { askJson } from "./http.ts";
import { checkFields, checkText, type Provided } from "./mechanism.ts";
import type { TokenProvider } from "./token.ts";

/** Where a token is to be had, and by what right. */
export interface OidcOptions {
  /** The provider's token endpoint. */
  readonly tokenEndpoint: string;
  /** The application's id there. */
  readonly clientId: string;
  /** Its secret. Either this or `assertion`. */
  readonly clientSecret?: string | undefined;
  /** A signed JWT in place of a secret (RFC 7523), or a function that makes one. */
  readonly assertion?: string | (() => string | Promise<string>) | undefined;
  /** What the token is to be good for. */
  readonly scope?: string | undefined;
  /** For whom the token is to be good, where the provider asks for it. */
  readonly audience?: string | undefined;
  /** Whether the secret goes into the Authorization header or into the body. @default "basic" */
  readonly authMethod?: "basic" | "post" | undefined;
  /** How long to wait for the provider, all attempts together, in ms. @default 1_800 */
  readonly timeoutMs?: number | undefined;
  /** In place of the runtime's `fetch`. */
  readonly fetch?: FetchLike | undefined;
}

const FIELDS = [
  "tokenEndpoint",
  "clientId",
  "clientSecret",
  "assertion",
  "scope",
  "audience",
  "authMethod",
  "timeoutMs",
  "fetch",
];
/** Whoever waits for a record learns within two seconds that there is no token. */
const TIMEOUT_MS = 1_800;
/** A year; what lives longer is no bearer token but a mistake in the unit. */
const MOST_LIFE_S = 366 * 86_400;

/**
 * A token provider for `oauthBearer`: asks an OpenID Connect provider with the credentials of an application. A server
 * that can't be reached or is overloaded is asked again after a pause; a refusal is final.
 *
 * @throws {ConfigError} for options that can't be right
 * @example
 * ```ts
 * import { oauthBearer, oidc } from "@sluice/kafka/sasl";
 *
 * const token = oidc({ tokenEndpoint: "https://login.example/token", clientId: "app", clientSecret: "s", scope: "kafka" });
 * console.assert(oauthBearer({ token }).name === "OAUTHBEARER");
 * ```
 */
export function oidc(options: OidcOptions): TokenProvider {
  checkFields("oidc()", options, FIELDS);
  const { tokenEndpoint, clientId, clientSecret, assertion, scope, audience } = options;
  const { authMethod = "basic", timeoutMs = TIMEOUT_MS, fetch } = options;
  checkEndpoint(tokenEndpoint);
  checkText("clientId", clientId);
  if ((clientSecret === undefined) === (assertion === undefined)) {
    throw new ConfigError("sasl", `Give oidc() either "clientSecret" or "assertion".`);
  }
  if (clientSecret !== undefined) checkText("clientSecret", clientSecret);
  if (assertion !== undefined && typeof assertion !== "function") checkText("assertion", assertion, "a signed JWT");
  if (scope !== undefined) checkText("scope", scope);
  if (audience !== undefined) checkText("audience", audience);
  if (authMethod !== "basic" && authMethod !== "post") {
    throw new ConfigError("sasl", `Set "authMethod" of oidc() to "basic" or "post".`);
  }
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1) {
    throw new ConfigError("sasl", `Set "timeoutMs" of oidc() to a whole number from 1 on.`);
  }
  return async (context) => {
    const form = new URLSearchParams({ grant_type: "client_credentials" });
    const headers: Record<string, string> = {
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
    };
    if (scope !== undefined) form.set("scope", scope);
    if (audience !== undefined) form.set("audience", audience);
    const signed = assertion === undefined ? undefined : await made(assertion);
    if (signed !== undefined) {
      form.set("client_id", clientId);
      form.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
      form.set("client_assertion", signed);
    } else if (authMethod === "post") {
      form.set("client_id", clientId);
      form.set("client_secret", clientSecret!);
    } else {
      const [id, secret] = [clientId, clientSecret!].map((part) => encodeURIComponent(part).replaceAll("%20", "+"));
      headers.authorization = `Basic ${base64(utf8(`${id}:${secret}`))}`;
    }
    const { host } = new URL(tokenEndpoint);
    const what = `The token endpoint at ${host}`;
    const request = {
      url: tokenEndpoint,
      method: "POST",
      headers,
      body: String(form),
      what,
      timeoutMs,
      fetch,
      secrets: [clientSecret, signed, headers.authorization?.slice("Basic ".length)],
    } as const;
    return tokenOf(await askJson(request, context), what, context.wallNow());
  };
}

/** @internal The token in the answer of a token endpoint (RFC 6749, section 5.1). */
export function tokenOf(
  { access_token: value, expires_in: expiresIn }: Record<string, unknown>,
  what: string,
  nowMs: number,
): { value: string; expiresAtMs?: number } {
  if (typeof value !== "string" || value === "") {
    throw new AuthenticationError(`${what} gave no token: its answer has no "access_token".`, {
      code: "TOKEN_UNAVAILABLE",
      retriable: true,
    });
  }
  const lifeS = Number(expiresIn);
  if (expiresIn === undefined || !(lifeS > 0 && lifeS <= MOST_LIFE_S)) return { value };
  return { value, expiresAtMs: nowMs + lifeS * 1_000 };
}

async function made(assertion: Provided<string>): Promise<string> {
  const value = typeof assertion === "function" ? await assertion() : assertion;
  if (typeof value === "string" && value !== "") return value;
  throw new AuthenticationError(`Let "assertion" of oidc() return a signed JWT as text.`, {
    code: "TOKEN_UNAVAILABLE",
  });
}

function checkEndpoint(tokenEndpoint: unknown): void {
  const wanted = "an address that begins with https:// (or http://)";
  checkText("tokenEndpoint", tokenEndpoint, wanted);
  let url: URL | undefined;
  try {
    url = new URL(tokenEndpoint);
  } catch {
    // told below; the address may hold a secret
  }
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new ConfigError("sasl", `Set "tokenEndpoint" of oidc() to ${wanted}, without user and password in it.`);
  }
}
