/**
 * What an admin client may be asked for: the connection options of a producer, under the same names.
 *
 * @module
 */

import { checkNumber, isObject, MAX_INT32, readOptions, refuse } from "../call_options.ts";
import { type Address, parseAddresses } from "../cluster/address.ts";
import { CLIENT_NUMBERS, CONNECTION_NUMBERS } from "../cluster/connection_numbers.ts";
import { checkConnect, checkSecurity, type SecurityProtocol } from "../cluster/security.ts";
import { ConfigError } from "../errors.ts";
import { optionHint } from "../other_clients.ts";
import type { Connect } from "../runtime/connectable.ts";
import type { SocketFactory, TlsOptions } from "../runtime/runtime.ts";
import type { SaslMechanism } from "../sasl/mechanism.ts";
import { namedMechanism, type NamedSasl } from "../sasl/named.ts";
import { show } from "../show.ts";

/** The options of an admin client; only `brokers` must be given. */
export interface AdminOptions {
  /** Some of the cluster's brokers: `"host:port"`, several with commas between, or a list. */
  readonly brokers: string | readonly string[];
  /** Names the client in the broker's logs and quotas. @default "sluice-admin" */
  readonly clientId?: string | undefined;
  /** How long a call may take in all, its retries included, in ms. @default 60_000 */
  readonly defaultApiTimeoutMs?: number | undefined;
  /** How long one request may take, in ms. @default 30_000 */
  readonly requestTimeoutMs?: number | undefined;
  /** TCP, TLS and handshake together, in ms. @default 10_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** The first pause after a failure, in ms. @default 100 */
  readonly retryBackoffMs?: number | undefined;
  /** The longest pause after failures, in ms. @default 1_000 */
  readonly retryBackoffMaxMs?: number | undefined;
  /** The first pause before a broker is dialled again, in ms. @default 50 */
  readonly reconnectBackoffMs?: number | undefined;
  /** The longest pause before a broker is dialled again, in ms. @default 1_000 */
  readonly reconnectBackoffMaxMs?: number | undefined;
  /** Age at which the list of brokers is asked for again, in ms. @default 300_000 */
  readonly metadataMaxAgeMs?: number | undefined;
  /** A connection that was idle for so long is closed, in ms. @default 540_000 */
  readonly connectionMaxIdleMs?: number | undefined;
  /** Connections at a time. @default what the runtime allows */
  readonly maxConnections?: number | undefined;
  /** Leave brokers that turn out to belong to another cluster (KIP-1242). @default true */
  readonly clusterCheck?: boolean | undefined;
  /** Speak TLS. @default false */
  readonly tls?: boolean | TlsOptions | undefined;
  /**
   * Who asks: a mechanism such as `scramSha256({ … })` of `@sluice/kafka/sasl`, or its name and what it needs:
   * `{ mechanism: "plain", username, password }`. @default nobody
   */
  readonly sasl?: SaslMechanism | NamedSasl | undefined;
  /**
   * What `tls` and `sasl` mean together, in Kafka's words. Only `"sasl_plaintext"` lets PLAIN send a password through an
   * open line. @default what they mean
   */
  readonly securityProtocol?: SecurityProtocol | undefined;
  /** Opens the connections, as that of a producer does. @default the runtime's own */
  readonly connect?: Connect | undefined;
}

/** Options with their defaults. */
export interface ResolvedAdminOptions {
  readonly bootstrap: readonly Address[];
  readonly clientId: string;
  readonly defaultApiTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly reconnectBackoffMs: number;
  readonly reconnectBackoffMaxMs: number;
  readonly metadataMaxAgeMs: number;
  readonly connectionMaxIdleMs: number;
  readonly maxConnections: number | undefined;
  readonly clusterCheck: boolean;
  readonly tls: boolean | TlsOptions;
  readonly sasl: SaslMechanism | undefined;
  readonly connect: SocketFactory | undefined;
}

/** What a string of the wire can hold. */
const MAX_STRING_BYTES = 32_767;

/** Number options: default, least and largest value. */
const NUMBERS = {
  defaultApiTimeoutMs: [60_000, 1, MAX_INT32],
  ...CLIENT_NUMBERS,
  ...CONNECTION_NUMBERS,
  maxConnections: [undefined, 1, MAX_INT32],
} as const;

const OTHERS = ["brokers", "clientId", "clusterCheck", "tls", "sasl", "securityProtocol", "connect"] as const;
const ALL_OPTIONS: readonly (keyof AdminOptions)[] = [
  ...Object.keys(NUMBERS) as (keyof typeof NUMBERS)[],
  ...OTHERS,
];

const IN_RETRY = 'Pass "defaultApiTimeoutMs" instead: within it each call is tried again, "retryBackoffMs" to ' +
  '"retryBackoffMaxMs" apart.';

/** What to say of an option that admin clients haven't. */
function hintOf(name: string): string {
  if (/^retr(y|ies)$/i.test(name)) return ` ${IN_RETRY}`;
  return optionHint(name, ALL_OPTIONS) || ` Wanted ${ALL_OPTIONS.join(", ")}.`;
}

/**
 * Options with their defaults.
 *
 * @throws {ConfigError} for the first that is unknown or wrong
 */
export function resolveAdminOptions(given: AdminOptions): ResolvedAdminOptions {
  if (!isObject(given)) {
    throw new ConfigError("options", `Pass an object with at least "brokers": ${show(given)} is not.`);
  }
  const options = readOptions("createAdmin", given, ALL_OPTIONS, hintOf);
  const { brokers, clientId = "sluice-admin", clusterCheck = true } = options;
  if (typeof clientId !== "string" || new TextEncoder().encode(clientId).length > MAX_STRING_BYTES) {
    refuse("clientId", `text of at most ${MAX_STRING_BYTES} bytes`, clientId);
  }
  if (typeof clusterCheck !== "boolean") refuse("clusterCheck", "true or false", clusterCheck);
  const numbers = Object.entries(NUMBERS).map(([name, bounds]) => {
    return [name, checkNumber(name, options[name as keyof typeof NUMBERS] ?? undefined, bounds)];
  });
  const connect = checkConnect(options.connect);
  const { sasl, tls } = checkSecurity(options, connect, namedMechanism);
  const isList = Array.isArray(brokers) && brokers.every((entry) => typeof entry === "string");
  if (typeof brokers !== "string" && !isList) refuse("brokers", '"host:port" or a list of them', brokers);
  return {
    bootstrap: parseAddresses(brokers as string | readonly string[]),
    ...{ clientId, clusterCheck, connect, sasl, tls },
    ...Object.fromEntries(numbers) as Pick<ResolvedAdminOptions, keyof typeof NUMBERS>,
  };
}
