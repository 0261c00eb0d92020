/**
 * SASL mechanisms as values, and where their tokens come from. On `fetch` and WebCrypto alone.
 *
 * @example
 * ```ts
 * import { scramSha512 } from "@sluice/kafka/sasl";
 *
 * const sasl = scramSha512({ username: "app", password: "secret" });
 * console.assert(sasl.name === "SCRAM-SHA-512");
 * ```
 *
 * @module
 */

export type { FetchedResponse, FetchLike } from "../runtime/fetch.ts";
export type { AwsCredentials, AwsOptions } from "./aws.ts";
export { type GoogleAccess, type GoogleOptions, googleToken } from "./google.ts";
export type { Provided, SaslExchange, SaslMechanism } from "./mechanism.ts";
export { mskIam, mskToken } from "./msk.ts";
export type { NamedSasl } from "./named.ts";
export { confluentExtensions, oauthBearer, type OAuthBearerOptions } from "./oauthbearer.ts";
export { oidc, type OidcOptions } from "./oidc.ts";
export { plain, type PlainCredentials } from "./plain.ts";
export { type ScramCredentials, scramSha256, scramSha512 } from "./scram.ts";
export type { OAuthToken, TokenContext, TokenProvider } from "./token.ts";
