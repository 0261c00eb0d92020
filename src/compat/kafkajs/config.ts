/**
 * KafkaJS's configuration in the words of this package.
 *
 * @module
 */

import { isByteArray } from "../../byte_arrays.ts";
import { MAX_INT32 } from "../../call_options.ts";
import type { ProducerOptions } from "../../producer/options/options.ts";
import type { ConnectFunction } from "../../runtime/connectable.ts";
import type { TlsOptions } from "../../runtime/runtime.ts";
import type { NamedSasl } from "../../sasl/named.ts";
import { show } from "../../show.ts";
import { KafkaJSConnectionError, KafkaJSNonRetriableError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { saslOf } from "./sasl.ts";
import type { BrokersFunction, KafkaConfig, ProducerConfig, RetryOptions, TlsConnectionOptions } from "./types.ts";

const CLIENT_OPTIONS: Readonly<Record<keyof KafkaConfig | "kafkajs", true>> = {
  brokers: true,
  ssl: true,
  sasl: true,
  clientId: true,
  connectionTimeout: true,
  authenticationTimeout: true,
  reauthenticationThreshold: true,
  requestTimeout: true,
  enforceRequestTimeout: true,
  retry: true,
  socketFactory: true,
  logLevel: true,
  logCreator: true,
  sluice: true,
  kafkajs: true,
};

const PRODUCER_OPTIONS: Readonly<Record<keyof ProducerConfig, true>> = {
  createPartitioner: true,
  retry: true,
  metadataMaxAge: true,
  allowAutoTopicCreation: true,
  idempotent: true,
  transactionalId: true,
  transactionTimeout: true,
  maxInFlightRequests: true,
  sluice: true,
};

/** What KafkaJS leaves out in silence is told in the log: a program that runs with KafkaJS has to run. */
export function warnOfUnknown(call: string, options: object, known: "client" | "producer", logger: Logger): void {
  const names = known === "client" ? CLIENT_OPTIONS : PRODUCER_OPTIONS;
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) logger.warn(`Remove the option ${show(name)}: ${call} has no such option.`);
  }
}

const DEFAULTS = {
  clientId: "kafkajs",
  connectionTimeout: 1_000,
  authenticationTimeout: 10_000,
  requestTimeout: 30_000,
  maxRetryTime: 30_000,
  initialRetryTime: 300,
  retries: 5,
  metadataMaxAge: 300_000,
  transactionTimeout: 60_000,
  maxInFlight: 5,
};
/** A broker looks once in ten seconds for transactions that have timed out, and until then no record may be given up. */
const LEAST_TRANSACTION_MS = 10_000;
/** How much a wait may be longer than told: KafkaJS's `factor`. */
const LONGEST_SHARE = 1.2;

/** What follows from the configuration, but for what is decided by each send. */
export interface Resolved {
  /** The options of each producer, but for `brokers`, `acks` and `compression`. */
  readonly options: Omit<ProducerOptions, "brokers">;
  readonly idempotent: boolean;
  readonly transactionalId: string | undefined;
  readonly transactionTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly retries: number;
  readonly initialRetryMs: number;
  readonly maxRetryMs: number;
  /** How long KafkaJS would have tried to connect. */
  readonly connectBudgetMs: number;
}

/** Reads the configuration. @throws {KafkaJSNonRetriableError} for what can't be meant */
export function resolveConfig(config: KafkaConfig, given: ProducerConfig, logger: Logger): Resolved {
  const idempotent = given.idempotent ?? false;
  const wanted = { ...config.retry, ...given.retry };
  const isOpen = wanted.retries === undefined;
  const retry = readRetry(wanted, idempotent);
  const requestTimeoutMs = readNumber("requestTimeout", config.requestTimeout, DEFAULTS.requestTimeout);
  const connectTimeoutMs = connectTimeoutOf(config);
  // Who leaves the number of retries open is told within the time of five.
  const timed = isOpen ? { ...retry, retries: DEFAULTS.retries } : retry;
  const waitsMs = waitsOf(timed);
  const attempts = timed.retries + 1;
  const connectBudgetMs = Math.min(MAX_INT32, waitsMs + attempts * connectTimeoutMs);
  const deliveryTimeoutMs = Math.min(MAX_INT32, waitsMs + attempts * requestTimeoutMs);
  const { tls, sasl } = securityOf(config, logger);
  const { socketFactory, sluice } = config;
  const options: Omit<ProducerOptions, "brokers"> = {
    clientId: config.clientId ?? DEFAULTS.clientId,
    retries: retry.retries,
    // A topic that isn't there is told after as many attempts, if nobody creates it.
    unknownTopicRetries: retry.retries,
    retryBackoffMs: retry.initialRetryMs,
    retryBackoffMaxMs: Math.max(retry.initialRetryMs, retry.maxRetryMs),
    maxBlockMs: connectBudgetMs,
    deliveryTimeoutMs,
    requestTimeoutMs,
    connectTimeoutMs,
    metadataMaxAgeMs: readNumber("metadataMaxAge", given.metadataMaxAge, DEFAULTS.metadataMaxAge, 1),
    maxInFlight: maxInFlightOf(given, idempotent),
    allowAutoTopicCreation: given.allowAutoTopicCreation ?? true,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined ? {} : { sasl }),
    // KafkaJS sends passwords through open lines without being asked twice.
    ...(sasl !== undefined && (tls === undefined || tls === false) ? { securityProtocol: "sasl_plaintext" } : {}),
    ...(socketFactory === undefined || socketFactory === null ? {} : { connect: connectOf(socketFactory) }),
    ...sluice,
    ...given.sluice,
  };
  return {
    options,
    idempotent,
    transactionalId: given.transactionalId ?? undefined,
    transactionTimeoutMs: Math.max(
      LEAST_TRANSACTION_MS,
      readNumber("transactionTimeout", given.transactionTimeout, DEFAULTS.transactionTimeout, 1),
    ),
    requestTimeoutMs,
    connectBudgetMs,
    ...retry,
  };
}

/** KafkaJS limits the connection and what is said first on it, each by itself. */
function connectTimeoutOf({ sasl, connectionTimeout, authenticationTimeout }: KafkaConfig): number {
  const connectMs = readNumber("connectionTimeout", connectionTimeout, DEFAULTS.connectionTimeout, 1);
  if (sasl === undefined || sasl === null) return connectMs;
  return connectMs + readNumber("authenticationTimeout", authenticationTimeout, DEFAULTS.authenticationTimeout, 1);
}

/** An idempotent producer keeps sequences for five requests; KafkaJS has one at a time then, whatever is set. */
function maxInFlightOf({ maxInFlightRequests }: ProducerConfig, idempotent: boolean): number {
  const wanted = readNumber("maxInFlightRequests", maxInFlightRequests, DEFAULTS.maxInFlight, 1);
  return idempotent ? Math.min(DEFAULTS.maxInFlight, wanted) : wanted;
}

function readRetry(
  { retries: given, initialRetryTime, maxRetryTime }: RetryOptions,
  idempotent: boolean,
): Pick<Resolved, "retries" | "initialRetryMs" | "maxRetryMs"> {
  const retries = readNumber("retries", given, idempotent ? Infinity : DEFAULTS.retries);
  if (idempotent && retries < 1) {
    throw new KafkaJSNonRetriableError("Idempotent producer must allow retries to protect against transient errors");
  }
  return {
    // As in KafkaJS: a number that nobody lives to see the end of.
    retries: retries >= Number.MAX_SAFE_INTEGER ? Infinity : retries,
    initialRetryMs: readNumber("initialRetryTime", initialRetryTime, DEFAULTS.initialRetryTime),
    maxRetryMs: readNumber("maxRetryTime", maxRetryTime, DEFAULTS.maxRetryTime),
  };
}

/** All waits between the attempts together, at their longest. */
function waitsOf({ retries, initialRetryMs, maxRetryMs }: Pick<Resolved, "retries" | "initialRetryMs" | "maxRetryMs">) {
  let sumMs = 0;
  let waitMs = initialRetryMs;
  for (let retry = 0; retry < retries && sumMs < MAX_INT32; retry++) {
    sumMs += Math.min(waitMs, maxRetryMs) * LONGEST_SHARE;
    if (waitMs >= maxRetryMs) return sumMs + (retries - retry - 1) * maxRetryMs * LONGEST_SHARE;
    waitMs = Math.max(1, waitMs * 2);
  }
  return Math.ceil(sumMs);
}

function readNumber(name: string, value: number | null | undefined, fallback: number, least = 0): number {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "number" && value >= least && (value <= MAX_INT32 || name === "retries")) {
    return Math.ceil(value);
  }
  const wanted = name === "retries" ? `a number from ${least}` : `a number from ${least} to ${MAX_INT32}`;
  throw new KafkaJSNonRetriableError(`Set "${name}" to ${wanted}: ${show(value)} is not.`);
}

function securityOf({ ssl, sasl }: KafkaConfig, logger: Logger): Pick<ProducerOptions, "tls" | "sasl"> {
  const mechanism = sasl === undefined || sasl === null ? undefined : saslOf(sasl, logger) as NamedSasl;
  const tls = ssl === undefined || ssl === null ? undefined : typeof ssl === "object" ? tlsOf(ssl) : ssl;
  return { ...(tls === undefined ? {} : { tls }), ...(mechanism === undefined ? {} : { sasl: mechanism }) };
}

const TLS_NAMES = ["ca", "cert", "key", "passphrase", "servername", "rejectUnauthorized", "checkServerIdentity"];

/** Node's options; which of them have no counterpart is told by name. */
function tlsOf(ssl: TlsConnectionOptions): TlsOptions {
  const unknown = Object.keys(ssl).find((name) => !TLS_NAMES.includes(name));
  if (unknown !== undefined && (ssl as Record<string, unknown>)[unknown] !== undefined) {
    const wanted = TLS_NAMES.join(", ");
    throw new KafkaJSNonRetriableError(`Remove ${show(unknown)} from "ssl", which knows ${wanted}.`);
  }
  const { ca, cert, key, passphrase, servername, rejectUnauthorized, checkServerIdentity } = ssl;
  const verify = rejectUnauthorized === false ? "none" : checkServerIdentity === undefined ? undefined : "ca";
  return {
    ...(ca === undefined ? {} : { ca: listOf(ca).map((each) => textOf("ca", each)) }),
    ...(cert === undefined ? {} : { cert: joined("cert", cert) }),
    ...(key === undefined ? {} : { key: joined("key", key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(servername === undefined ? {} : { serverName: servername }),
    ...(verify === undefined ? {} : { verify }),
  };
}

function listOf<T>(value: T | T[]): T[] {
  return Array.isArray(value) ? value : [value];
}

/** Node takes one or a list of one; more than one would be for several identities, of which a client has none. */
function joined(name: string, value: unknown): string {
  const [only, ...rest] = listOf(value);
  if (rest.length === 0) return textOf(name, only);
  throw new KafkaJSNonRetriableError(`Set "${name}" of "ssl" to one text in PEM: a list of ${rest.length + 1} is not.`);
}

/** PEM as text. What it holds may be secret, so it is never shown. */
function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (isByteArray(value)) return new TextDecoder().decode(value);
  throw new KafkaJSNonRetriableError(`Set "${name}" of "ssl" to text in PEM, or to its bytes.`);
}

/** What of a stream of Node is used here. */
interface NodeSocket {
  once(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  destroy(): unknown;
}

/** KafkaJS's factory as a function that connects. TLS is spoken through what it returns. */
function connectOf(socketFactory: NonNullable<KafkaConfig["socketFactory"]>): ConnectFunction {
  return ({ host, port }, { signal }) =>
    new Promise((resolve, reject) => {
      const seen: { socket?: NodeSocket; isConnected: boolean } = { isConnected: false };
      const ready = (): void => {
        seen.isConnected = true;
        // A factory may hand out a socket that was connected before; then there is none here yet.
        if (seen.socket === undefined) return;
        seen.socket.removeListener("error", reject);
        resolve(seen.socket as never);
      };
      const socket = socketFactory({ host, port, ssl: undefined, onConnect: ready }) as NodeSocket;
      seen.socket = socket;
      socket.once("error", reject);
      signal.addEventListener("abort", () => void (seen.isConnected || socket.destroy()), { once: true });
      if (seen.isConnected) ready();
    });
}

/** The bootstrap servers. @throws {KafkaJSNonRetriableError} when there are none */
export async function resolveBrokers(brokers: string[] | BrokersFunction): Promise<string[]> {
  let list: unknown = brokers;
  if (typeof brokers === "function") {
    try {
      list = await brokers();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new KafkaJSConnectionError(`Failed to connect: "config.brokers" threw: ${reason}`, { cause: error });
    }
  }
  if (list === undefined || list === null) refuseBrokers("brokers should not be null");
  if (!Array.isArray(list)) refuseBrokers(`brokers should be a list, and ${show(list)} is none`);
  if (list.length === 0) refuseBrokers("brokers array is empty");
  for (const [index, broker] of list.entries()) {
    if (typeof broker === "string" && broker !== "") continue;
    refuseBrokers(`broker at index ${index} is invalid "${typeof broker}"`);
  }
  return list as string[];
}

function refuseBrokers(why: string): never {
  throw new KafkaJSNonRetriableError(`Failed to connect: ${why}`);
}
