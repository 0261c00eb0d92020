/**
 * Where metrics for the cluster's operators hook in (KIP-714). What is measured, how it is written and when it is pushed
 * is in `src/telemetry`, so that a producer without it carries none of it.
 *
 * @module
 */

import { isObject, refuse } from "../../call_options.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import type { Compressor } from "../../codec/codec.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { ProducerHooks } from "./hooks.ts";
import type { Logger } from "./logger.ts";

/** What a producer lends to its telemetry. */
export interface TelemetryParts {
  /** Clock and timers, which keep no program from ending. */
  readonly runtime: Runtime;
  /** Who is connected; known once the producer is made. */
  readonly cluster: () => Cluster;
  /** Codecs that are in use anyway. */
  readonly codecs: readonly Compressor[];
  /** How long an answer may take, in ms. */
  readonly requestTimeoutMs: number;
  /** Whose producer it is, in transactions. */
  readonly transactionalId: () => string | null;
  /** Is told of connections and answers. */
  readonly hooks: ProducerHooks;
  /** Is told what becomes of the telemetry. */
  readonly logger: Logger;
}

/** The telemetry of one producer. */
export interface TelemetrySession {
  /** The given hooks, and the telemetry's own. */
  readonly hooks: ProducerHooks;
  /** A request carries batches: their number, how long they have waited in all, and the longest of them. */
  requested(batches: number, queueMs: number, longestQueueMs: number): void;
  /** Pushes for the last time, within the given ms. Never rejects. */
  close(limitMs: number): Promise<void>;
}

/** What `clientTelemetry()` of `@sluice/kafka/telemetry` returns. */
export interface Telemetry {
  /** @internal */
  begin(parts: TelemetryParts): TelemetrySession;
}

/** The last push of a producer that is closed may take this long. */
export const LAST_PUSH_MS = 1_000;

/** The telemetry of a producer, if any. */
export function checkTelemetry(value: unknown): Telemetry | undefined {
  if (value === undefined) return undefined;
  if (isObject(value) && typeof (value as Telemetry).begin === "function") return value as Telemetry;
  refuse("telemetry", 'clientTelemetry() of "@sluice/kafka/telemetry"', value);
}
