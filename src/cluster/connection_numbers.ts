/**
 * The numbers that producers, readers and admin clients all have among their options, for the cluster below them.
 *
 * @module
 */

import { MAX_INT32, type NumberBounds } from "../call_options.ts";

type Client = "requestTimeoutMs" | "connectTimeoutMs" | "retryBackoffMs" | "retryBackoffMaxMs" | "metadataMaxAgeMs";
type Reconnecting = "reconnectBackoffMs" | "reconnectBackoffMaxMs" | "connectionMaxIdleMs";

/** Of what every client may be asked for. */
export const CLIENT_NUMBERS: Readonly<Record<Client, NumberBounds>> = {
  requestTimeoutMs: [30_000, 1, MAX_INT32],
  connectTimeoutMs: [10_000, 1, MAX_INT32],
  retryBackoffMs: [100, 0, MAX_INT32],
  retryBackoffMaxMs: [1_000, 0, MAX_INT32],
  metadataMaxAgeMs: [300_000, 1, MAX_INT32],
};

/** Of what those may be asked for besides that may be told how to keep their connections. */
export const CONNECTION_NUMBERS: Readonly<Record<Reconnecting, NumberBounds>> = {
  reconnectBackoffMs: [50, 0, MAX_INT32],
  reconnectBackoffMaxMs: [1_000, 0, MAX_INT32],
  connectionMaxIdleMs: [540_000, 1, MAX_INT32],
};

/** What each of these numbers is unless it is given, for clients that can't be told. */
export function defaultsOf<N extends string>(numbers: Readonly<Record<N, NumberBounds>>): Record<N, number> {
  const entries = Object.entries<NumberBounds>(numbers).map(([name, [fallback]]) => [name, fallback]);
  return Object.fromEntries(entries) as Record<N, number>;
}
