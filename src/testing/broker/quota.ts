/**
 * The byte rate that a broker allows a client, measured as Kafka measures it.
 *
 * @module
 */

import { readOptions, refuse } from "../../call_options.ts";
import { checkNumber } from "../check_number.ts";

/** How much a client may produce. */
export interface QuotaOptions {
  /** What each broker takes from each client id, `producer_byte_rate`. */
  readonly bytesPerSecond: number;
  /** Only for this client. @default each client has the quota for itself */
  readonly clientId?: string;
}

/** Adds a quota to those of a cluster; returns what takes it away. @throws {ConfigError} */
export function addQuota(quotas: QuotaOptions[], options: QuotaOptions): () => void {
  const { bytesPerSecond, clientId } = readOptions("quota", options, ["bytesPerSecond", "clientId"]);
  checkNumber("bytesPerSecond", bytesPerSecond ?? null, 0);
  if (clientId !== undefined && typeof clientId !== "string") refuse("clientId", "text", clientId);
  // Its own, and what it is now: the same options may be passed twice, and changed.
  const quota = { ...options };
  quotas.push(quota);
  return () => {
    const index = quotas.indexOf(quota);
    if (index >= 0) quotas.splice(index, 1);
  };
}

interface Sample {
  readonly fromMs: number;
  bytes: number;
}

const WINDOW_MS = 1000;
const WINDOWS = 11;

/** The quotas of one broker's clients. */
export class Quotas {
  /** When the last client that was told to hold back may go on. */
  heldBackUntilMs = 0;

  readonly #clients = new Map<string, ByteRate>();

  /** Counts a request; returns for how many ms its connection is to be left unread. */
  record(quotas: readonly QuotaOptions[], clientId: string | null, bytes: number, nowMs: number): number {
    const name = clientId ?? "";
    const quota = quotas.find((each) => each.clientId === name) ?? quotas.find((each) => each.clientId === undefined);
    if (quota === undefined) return 0;
    let rate = this.#clients.get(name);
    if (rate === undefined) this.#clients.set(name, rate = new ByteRate());
    rate.record(bytes, nowMs);
    const throttleMs = rate.throttleMs(quota.bytesPerSecond, nowMs);
    if (throttleMs > 0) this.heldBackUntilMs = Math.max(this.heldBackUntilMs, nowMs + throttleMs);
    return throttleMs;
  }
}

/** Bytes in windows of a second, the last eleven; a burst counts as if it had taken ten seconds at least. */
class ByteRate {
  #samples: Sample[] = [];

  record(bytes: number, nowMs: number): void {
    this.#samples = this.#samples.filter(({ fromMs }) => nowMs - fromMs < WINDOWS * WINDOW_MS);
    const current = this.#samples.at(-1);
    if (current !== undefined && nowMs - current.fromMs < WINDOW_MS) current.bytes += bytes;
    else this.#samples.push({ fromMs: nowMs, bytes });
  }

  throttleMs(bytesPerSecond: number, nowMs: number): number {
    const elapsedMs = nowMs - this.#samples[0]!.fromMs;
    const missing = Math.max(0, WINDOWS - 1 - Math.floor(elapsedMs / WINDOW_MS));
    const windowMs = elapsedMs + missing * WINDOW_MS;
    const total = this.#samples.reduce((sum, { bytes }) => sum + bytes, 0);
    return Math.max(0, Math.round(total * 1000 / bytesPerSecond - windowMs));
  }
}
