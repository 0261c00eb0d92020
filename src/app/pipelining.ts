/**
 * Presets for how requests are pipelined. Every connection pipelines by itself: requests go out without waiting for the
 * answers of those before, and these are matched by their order.
 *
 * @module
 */

/** What a preset says: options of a producer. */
export interface PipeliningPreset {
  /** Produce requests on one connection without an answer. */
  readonly maxInFlight: number;
  /** How long a record waits for others, in ms. */
  readonly lingerMs: number;
  /** Bytes of a batch. Left out: 16 KiB, and more while it can't leave. */
  readonly batchSize?: number;
  /** How long a request may take, in ms. */
  readonly requestTimeoutMs: number;
}

/**
 * Plain options, to be spread into a producer's.
 *
 * A request carries batches, and a batch thousands of records, so five requests in flight are what others need a thousand
 * for; with more than five a retry could change the order, which an idempotent producer never allows.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { closeTimeoutMs, pipelining } from "@sluice/kafka/app";
 *
 * const producer = new Producer({ brokers: "localhost:9092", ...pipelining.highThroughput() });
 * await producer.close({ timeoutMs: closeTimeoutMs.highThroughput });
 * ```
 */
export const pipelining: Readonly<Record<"standard" | "highThroughput" | "lowLatency", () => PipeliningPreset>> = {
  standard: () => ({ maxInFlight: 5, lingerMs: 1, requestTimeoutMs: 30_000 }),
  highThroughput: () => ({ maxInFlight: 5, lingerMs: 5, batchSize: 262_144, requestTimeoutMs: 60_000 }),
  lowLatency: () => ({ maxInFlight: 5, lingerMs: 0, requestTimeoutMs: 10_000 }),
};

/** What to give `close({ timeoutMs })` with each preset, in ms. */
export const closeTimeoutMs: Readonly<Record<keyof typeof pipelining, number>> = {
  standard: 5_000,
  highThroughput: 10_000,
  lowLatency: 3_000,
};
