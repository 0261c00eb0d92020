/**
 * Whether a server that hangs up wants to be spoken to in another way: in TLS, in plain text, or by somebody it knows.
 * Each probe is a connection of its own, and finds the error that says which option to change.
 *
 * @module
 */

import { AuthenticationError, ConfigError, type KafkaError } from "../errors.ts";
import { UNSUPPORTED_SASL_MECHANISM } from "../protocol/error_code_names.ts";
import { ApiVersions } from "../protocol/messages/api_versions.ts";
import { SaslHandshake } from "../protocol/messages/sasl_handshake.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { neverArrived } from "./advice.ts";
import { mechanismList } from "./authentication.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";

/** The longest that a server is given to show that it speaks TLS, or plain text, in ms. */
const PROBE_MS = 1_000;

/**
 * A server that hangs up in the middle of the TLS handshake may be restarting, or speak no TLS. Only one that answers
 * a request in plain text is known for it. Resolves with the error for that, or with undefined.
 */
export async function plainPortError(
  runtime: Runtime,
  address: Address,
  options: ConnectionOptions,
  error: KafkaError,
  signal: AbortSignal,
): Promise<AuthenticationError | undefined> {
  const hungUp = !(error instanceof AuthenticationError || error instanceof ConfigError) && !neverArrived(error);
  if (!hungUp || signal.aborted) return undefined;
  const probe = new Connection(runtime, address, { ...options, tls: undefined, sasl: undefined, hooks: undefined });
  const timer = runtime.setTimer(() => probe.close(), PROBE_MS);
  const broker = formatAddress(address);
  try {
    await probe.dial(PROBE_MS, signal);
    await probe.request(ApiVersions, 0, {}, PROBE_MS);
    return new AuthenticationError(
      `Remove "tls", or name the TLS port of the broker: ${broker} looks like a plain port, for it hangs up on TLS and ` +
        `answers without.`,
      { code: "PLAIN_PORT", broker, cause: error },
    );
  } catch {
    return undefined;
  } finally {
    timer.cancel();
    probe.close();
  }
}

/**
 * A server that hangs up on whatever it is asked in plain text may speak TLS: one that begins a handshake is known for
 * it, whether its certificate is trusted or not. Resolves with the error for that, or with undefined.
 */
export async function tlsPortError(
  { sockets }: Runtime,
  { host, port }: Address,
  error: KafkaError,
  signal: AbortSignal,
): Promise<AuthenticationError | undefined> {
  if (signal.aborted) return undefined;
  const broker = formatAddress({ host, port });
  try {
    const ignore = (): void => {};
    const attempt = { host, port, timeoutMs: PROBE_MS, signal, tls: true };
    (await sockets.connect(attempt, { onData: ignore, onClose: ignore })).destroy();
  } catch (refusal) {
    if (!(refusal instanceof AuthenticationError) || !refusal.message.includes("its certificate")) return undefined;
  }
  return new AuthenticationError(
    `Set "tls" to true, or to an object with its options: ${broker} looks like a TLS port, for it hangs up on plain ` +
      `text and answers in TLS.`,
    { code: "TLS_PORT", broker, cause: error },
  );
}

/**
 * A broker that wants to know who somebody is answers ApiVersions, and hangs up on whatever else it is asked. Asked for
 * a mechanism that there isn't, it lists those that there are. Resolves with the error for that, or with undefined.
 */
export async function saslPortError(
  runtime: Runtime,
  address: Address,
  options: ConnectionOptions,
  error: KafkaError,
  signal: AbortSignal,
): Promise<AuthenticationError | undefined> {
  const probe = new Connection(runtime, address, { ...options, hooks: undefined });
  const timer = runtime.setTimer(() => probe.close(), PROBE_MS);
  const broker = formatAddress(address);
  try {
    await probe.dial(PROBE_MS, signal);
    const { errorCode, mechanisms } = await probe.request(SaslHandshake, 1, { mechanism: "NONE" }, PROBE_MS);
    if (errorCode !== UNSUPPORTED_SASL_MECHANISM) return undefined;
    return new AuthenticationError(
      `Set "sasl": the broker at ${broker} wants to know who you are (${mechanismList(mechanisms)}).`,
      { code: "SASL_REQUIRED", broker, cause: error },
    );
  } catch {
    return undefined;
  } finally {
    timer.cancel();
    probe.close();
  }
}
