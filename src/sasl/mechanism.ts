/**
 * What a SASL mechanism is: a name, and one conversation with a broker.
 *
 * The client sends SaslHandshake with the name and hands the mechanism an exchange; each message that the mechanism
 * sends travels in a SaslAuthenticate request (KIP-43, KIP-152). Nothing else of the client knows a mechanism, so one
 * of the caller's own is as good as those that come along.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/** The conversation with one broker, on a connection that is being made or whose session is being renewed. */
export interface SaslExchange {
  /** Host of the broker, as it was dialled. */
  readonly host: string;
  /** Port of the broker. */
  readonly port: number;
  /** Aborted when the time for the whole handshake (`connectTimeoutMs`) is over. */
  readonly signal: AbortSignal;
  /**
   * Sends a message and resolves with the broker's answer, which may be empty. Rejects with an `AuthenticationError`
   * when the broker refuses, and with a `ConnectionError` when the connection ends.
   */
  send(message: Uint8Array): Promise<Uint8Array>;
  /** The wall clock, in ms since the epoch. */
  wallNow(): number;
  /** Resolves after so many ms, or when the signal is aborted. */
  sleep(delayMs: number): Promise<void>;
  /** A number from 0 (inclusive) to 1 (exclusive), for jitter only. */
  random(): number;
}

/**
 * A SASL mechanism as a value, for the option `sasl`. One value serves all connections of a producer.
 *
 * @example
 * ```ts
 * import type { SaslMechanism } from "@sluice/kafka/sasl";
 *
 * const anonymous: SaslMechanism = {
 *   name: "ANONYMOUS",
 *   authenticate: async ({ send }) => void await send(new TextEncoder().encode("guest")),
 * };
 * console.assert(anonymous.name === "ANONYMOUS");
 * ```
 */
export interface SaslMechanism {
  /** The name in Kafka's list, such as `"SCRAM-SHA-256"`. */
  readonly name: string;
  /**
   * How many messages it sends when all goes well: what the client wants to ask next is written right behind the last
   * of them, which saves a round trip. @default unknown: nothing is written before the exchange has ended
   */
  readonly messages?: number;
  /** The first message holds a password as it is: on a connection without TLS it must have been asked for in words. */
  readonly sendsPassword?: boolean;
  /** Runs the exchange; called for each connection, and again when a session must be renewed (KIP-368). */
  authenticate(exchange: SaslExchange): Promise<void>;
}

/** A value, or a function that fetches it each time it is needed: so credentials can be rotated. */
export type Provided<T> = T | (() => T | Promise<T>);

/** @internal The value that was given or is fetched. */
export async function provided<T extends object>(source: Provided<T>): Promise<T> {
  return typeof source === "function" ? await (source as () => T | Promise<T>)() : source;
}

/** @internal Checks a text of some credentials; the value stands in no message. */
export function checkText(field: string, value: unknown, wanted = "text that isn't empty"): asserts value is string {
  if (typeof value !== "string" || value === "") {
    throw new ConfigError("sasl", `Set "${field}" of "sasl" to ${wanted}: ${kindOf(value)} was given.`);
  }
}

/** @internal Checks that a value is an object, and that nothing stands in it but what is known. */
export function checkFields(what: string, value: unknown, known: readonly string[]): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError("sasl", `Give ${what} an object with ${known.join(", ")}: ${kindOf(value)} was given.`);
  }
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ConfigError("sasl", `Take "${unknown.slice(0, 40)}" out of ${what}, which knows ${known.join(", ")}.`);
  }
}

/** What something is, without what it holds: it may be a secret in the wrong place. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (value === "") return "empty text";
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}
