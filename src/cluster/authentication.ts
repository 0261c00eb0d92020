/**
 * Proving to a broker who we are (SASL): SaslHandshake names the mechanism, SaslAuthenticate carries its messages.
 *
 * @module
 */

import { AuthenticationError, ConnectionError, KafkaError } from "../errors.ts";
import { ILLEGAL_SASL_STATE, UNSUPPORTED_SASL_MECHANISM } from "../protocol/error_code_names.ts";
import { SaslAuthenticate } from "../protocol/messages/sasl_authenticate.ts";
import { SaslHandshake } from "../protocol/messages/sasl_handshake.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../protocol/schema.ts";
import { sharedVersion } from "../protocol/negotiation.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { withoutSecrets } from "../sasl/bytes.ts";
import type { SaslMechanism } from "../sasl/mechanism.ts";
import { excerpt, show } from "../show.ts";
import { type Address, formatAddress } from "./address.ts";
import { sleep } from "./sleep.ts";

/** Sends a request on the connection that is to be authenticated. */
export type Ask = <A extends AnyApi>(
  api: A,
  version: number,
  body: RequestInputOf<A>,
  timeoutMs: number,
) => Promise<ResponseOf<A>>;

/** What an authentication needs. */
export interface AuthenticationOptions {
  readonly mechanism: SaslMechanism;
  /** Aborted when the time is over. */
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** What the broker offers; undefined while it has not been asked, and versions must be guessed. */
  readonly versions: ReadonlyMap<number, { readonly min: number; readonly max: number }> | undefined;
  /** Writes what may follow in the same breath. Called once, behind the last message that has to wait for no answer. */
  readonly follow?: () => void;
}

/** Version 0 means messages without a frame of Kafka's, which went out with Kafka 1.0. */
const HANDSHAKE_VERSION = 1;
/** Offered since Kafka 2.2, and the first that tells how long a session lives (KIP-368). */
const GUESSED_VERSION = 1;
/** A session that lives longer than the largest timer is never renewed. */
const MOST_LIFETIME_MS = 2_147_483_647;

/**
 * Runs a mechanism's exchange with a broker. Its first message is written at once, without waiting for the answer to
 * SaslHandshake.
 *
 * Rejects with an {@link AuthenticationError} when the broker refuses (33 lists what it offers, 58 has its words), and
 * with a retriable {@link ConnectionError} when the connection ends meanwhile.
 *
 * @returns for how many ms the session lives; 0 if it does as long as the connection
 */
export async function authenticate(
  runtime: Runtime,
  address: Address,
  ask: Ask,
  { mechanism, signal, timeoutMs, versions, follow = () => {} }: AuthenticationOptions,
): Promise<number> {
  const broker = formatAddress(address);
  const { name, messages = Infinity } = mechanism;
  const version = versions === undefined
    ? GUESSED_VERSION
    : sharedVersion(SaslAuthenticate, versions.get(SaslAuthenticate.key), undefined) ?? GUESSED_VERSION;
  const shaken = ask(SaslHandshake, HANDSHAKE_VERSION, { mechanism: name }, timeoutMs);
  shaken.catch(() => {});
  let sent = 0;
  const told: string[] = [];
  let lifetimeMs = 0;
  const send = async (message: Uint8Array): Promise<Uint8Array> => {
    const answered = ask(SaslAuthenticate, version, { authBytes: message }, timeoutMs);
    answered.catch(() => {});
    sent += 1;
    told.push(...secretsIn(message, mechanism));
    if (sent === messages) follow();
    refuseHandshake(broker, name, await shaken);
    const { errorCode, errorMessage, authBytes, sessionLifetimeMs } = await answered;
    if (errorCode !== 0) throw refusal(broker, name, errorCode, errorMessage && withoutSecrets(errorMessage, told));
    lifetimeMs = Number(sessionLifetimeMs);
    return authBytes;
  };
  try {
    await mechanism.authenticate({
      host: address.host,
      port: address.port,
      signal,
      send,
      wallNow() {
        return runtime.wallNow();
      },
      sleep(delayMs) {
        return sleep(runtime, delayMs, signal);
      },
      random() {
        return runtime.random();
      },
    });
    refuseHandshake(broker, name, await shaken);
  } catch (error) {
    throw explained(broker, name, error);
  }
  if (sent < messages) follow();
  return lifetimeMs > 0 && lifetimeMs <= MOST_LIFETIME_MS ? lifetimeMs : 0;
}

/** The mechanisms that a broker offers, for a message. */
export function mechanismList(mechanisms: readonly string[]): string {
  return mechanisms.slice(0, 20).map((mechanism) => excerpt(mechanism.slice(0, 40))).join(", ") || "none";
}

/** What of a message must not get into errors, should the broker repeat it. */
function secretsIn(message: Uint8Array, { sendsPassword }: SaslMechanism): string[] {
  const text = new TextDecoder().decode(message);
  // Of a user and a password that stand side by side the user may be told.
  if (sendsPassword) return text.split("\0").slice(-1);
  return text.replaceAll("\u0001", "\0").split(/["\0,{}]/).map((field) => field.replace(/^auth=Bearer /, ""));
}

function refuseHandshake(
  broker: string,
  name: string,
  { errorCode, mechanisms }: ResponseOf<typeof SaslHandshake>,
): void {
  if (errorCode === 0) return;
  const offered = mechanismList(mechanisms);
  if (errorCode === UNSUPPORTED_SASL_MECHANISM) {
    throw new AuthenticationError(
      `Set "sasl" to a mechanism that the broker at ${broker} offers (${offered}): ${name} is not among them.`,
      { code: "UNSUPPORTED_SASL_MECHANISM", errorCode, broker },
    );
  }
  if (errorCode === ILLEGAL_SASL_STATE) {
    throw new AuthenticationError(
      `Remove "sasl", or name another port: the broker at ${broker} wants no authentication on this one.`,
      { code: "ILLEGAL_SASL_STATE", errorCode, broker },
    );
  }
  throw refusal(broker, name, errorCode, null);
}

function refusal(broker: string, name: string, errorCode: number, text: string | null): AuthenticationError {
  const why = text === null || text === "" ? "it gives no reason" : `it says ${show(text)}`;
  // Brokers keep users for each mechanism apart, and say of all mistakes the same.
  return new AuthenticationError(
    `The broker at ${broker} refused ${name}: ${why}. Correct what "sasl" holds, or make it known to the broker for ` +
      "this mechanism.",
    { code: "SASL_AUTHENTICATION_FAILED", errorCode, broker },
  );
}

/** A connection that ends meanwhile is no refusal, but often a sign of one. */
function explained(broker: string, name: string, error: unknown): KafkaError {
  // What ends a producer, or a transaction, is nothing that a mechanism can know.
  if (!(error instanceof KafkaError) || error.fatal || error.requiresAbort) {
    return new AuthenticationError(`Authenticating with ${broker} failed: the mechanism ${name} threw.`, {
      code: "SASL_MECHANISM_FAILED",
      broker,
      cause: error,
    });
  }
  if (!(error instanceof ConnectionError)) return error;
  return new ConnectionError(
    `Authenticating with ${broker} was cut off. A firewall does that, a broker without the mechanism ${name}, and a ` +
      `port that wants TLS. ${error.message}`,
    { broker, cause: error },
  );
}
