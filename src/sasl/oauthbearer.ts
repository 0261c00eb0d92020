/**
 * OAUTHBEARER (RFC 7628, KIP-255, KIP-342): a bearer token in place of a password.
 *
 * @module
 */

import { AuthenticationError, ConfigError, KafkaError } from "../errors.ts";
import { textOf, utf8, withoutSecrets } from "./bytes.ts";
import { checkFields, checkText, type SaslExchange, type SaslMechanism } from "./mechanism.ts";
import { type OAuthToken, TokenCache, type TokenProvider } from "./token.ts";

/** What OAUTHBEARER needs. */
export interface OAuthBearerOptions {
  /** Fetches a token: a function of your own, or one of `oidc`, `mskToken`, `googleToken`. */
  readonly token: TokenProvider;
  /** What the broker wants to know beside the token (KIP-342), such as `confluentExtensions(…)`. */
  readonly extensions?: Readonly<Record<string, string>> | undefined;
  /** As whom to act, if not as oneself. */
  readonly authorizationId?: string | undefined;
}

const SEPARATOR = "\x01";
const MOST_STATUS_CHARACTERS = 500;

/**
 * OAUTHBEARER. A token serves all connections until four fifths of its life are over; if its end isn't known, each
 * connection fetches one.
 *
 * @throws {ConfigError} for options that can't be right
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { oauthBearer, oidc } from "@sluice/kafka/sasl";
 *
 * const token = oidc({ tokenEndpoint: "https://login.example/token", clientId: "app", clientSecret: "secret" });
 * const producer = new Producer({ brokers: "kafka.example:9093", tls: true, sasl: oauthBearer({ token }) });
 * await producer.close();
 * ```
 */
export function oauthBearer(options: OAuthBearerOptions): SaslMechanism {
  checkFields("oauthBearer()", options, ["token", "extensions", "authorizationId"]);
  const { token: provider, extensions = {}, authorizationId } = options;
  if (typeof provider !== "function") {
    throw new ConfigError("sasl", `Set "token" of "sasl" to a function that returns a token, such as oidc({ … }).`);
  }
  if (authorizationId !== undefined) checkText("authorizationId", authorizationId);
  checkExtensions(extensions);
  const cache = new TokenCache(provider);
  return {
    name: "OAUTHBEARER",
    messages: 1,
    async authenticate(exchange) {
      const token = await cache.token(exchange);
      try {
        await present(exchange, token, { ...extensions, ...token.extensions }, authorizationId);
      } catch (error) {
        if (error instanceof AuthenticationError) cache.drop(token);
        throw error;
      }
    },
  };
}

async function present(
  exchange: SaslExchange,
  { value }: OAuthToken,
  extensions: Readonly<Record<string, string>>,
  authorizationId: string | undefined,
): Promise<void> {
  checkExtensions(extensions);
  const actsAs = authorizationId === undefined
    ? ""
    : `a=${authorizationId.replaceAll("=", "=3D").replaceAll(",", "=2C")}`;
  const pairs = [`auth=Bearer ${value}`, ...Object.entries(extensions).map(([name, text]) => `${name}=${text}`)];
  const message = `n,${actsAs},${SEPARATOR}${pairs.join(SEPARATOR)}${SEPARATOR}${SEPARATOR}`;
  const challenge = await exchange.send(utf8(message));
  if (challenge.length === 0) return;
  // Not a challenge but the reason of a refusal, as JSON; the broker wants it confirmed before it refuses.
  const status = readStatus(challenge, value);
  const refusal = await exchange.send(utf8(SEPARATOR)).then(() => undefined, (error: unknown) => error);
  const { broker, errorCode } = refusal instanceof KafkaError ? refusal : { broker: undefined, errorCode: undefined };
  throw new AuthenticationError(`The broker refused the token for OAUTHBEARER: ${status}.`, {
    code: "SASL_AUTHENTICATION_FAILED",
    ...(errorCode === undefined ? {} : { errorCode }),
    broker,
    cause: refusal,
  });
}

function readStatus(bytes: Uint8Array, token: string): string {
  try {
    const text = withoutSecrets(textOf(bytes), [token]);
    return text.slice(0, MOST_STATUS_CHARACTERS).replace(/[^\x20-\x7e]/g, "?");
  } catch {
    return "it gave no readable reason";
  }
}

function checkExtensions(extensions: Readonly<Record<string, string>>): void {
  if (typeof extensions !== "object" || extensions === null) {
    throw new ConfigError("sasl", `Set "extensions" of "sasl" to an object of texts.`);
  }
  for (const [name, text] of Object.entries(extensions)) {
    if (!/^[A-Za-z]+$/.test(name) || name === "auth") {
      throw new ConfigError("sasl", `Name each of "extensions" by letters alone, and none "auth".`);
    }
    if (typeof text !== "string" || !/^[\x21-\x7e \t\r\n]+$/.test(text)) {
      throw new ConfigError("sasl", `Set "${name.slice(0, 40)}" of "extensions" to printable ASCII text.`);
    }
  }
}

/**
 * The extensions that Confluent Cloud wants with a token.
 *
 * @example
 * ```ts
 * import { confluentExtensions } from "@sluice/kafka/sasl";
 *
 * console.assert(confluentExtensions({ logicalCluster: "lkc-1" }).logicalCluster === "lkc-1");
 * ```
 */
export function confluentExtensions(
  options: { readonly logicalCluster: string; readonly identityPoolId?: string | undefined },
): Record<string, string> {
  checkFields("confluentExtensions()", options, ["logicalCluster", "identityPoolId"]);
  const { logicalCluster, identityPoolId } = options;
  checkText("logicalCluster", logicalCluster, `the cluster's id, such as "lkc-abc123"`);
  if (identityPoolId !== undefined) checkText("identityPoolId", identityPoolId, `a pool's id, such as "pool-abc"`);
  return { logicalCluster, ...(identityPoolId === undefined ? {} : { identityPoolId }) };
}
