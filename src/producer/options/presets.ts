/**
 * Options that go together, by what they are for.
 *
 * @module
 */

import {
  confluentCloud,
  type ConfluentCloudOptions,
  eventHubs,
  type HostedPreset,
  msk,
  type MskOptions,
} from "./hosted.ts";
import type { ProducerOptions } from "./options.ts";

/** What a preset sets; spread it into the options and change what you like. */
export type Preset = Partial<Omit<ProducerOptions, "brokers" | "keySerializer" | "valueSerializer">>;

/**
 * Plain option objects. All of them keep acks "all" and idempotence: speed is never bought with records.
 *
 * @example
 * ```ts
 * import { presets, Producer } from "@sluice/kafka";
 *
 * const producer = new Producer({ brokers: "localhost:9092", ...presets.highThroughput(), compression: "none" });
 * await producer.close();
 * ```
 */
export const presets: {
  /** Big compressed batches: 64 KiB, 10 ms linger, LZ4, 64 MiB of buffer. */
  readonly highThroughput: () => Preset;
  /** Every record leaves as soon as it can. */
  readonly lowLatency: () => Preset;
  /** Never gives up within ten minutes. */
  readonly durable: () => Preset;
  /** One copy of each record, in order: idempotence spelled out, so that no other option can switch it off. */
  readonly exactlyOnce: () => Preset;
  /** Small buffers: 4 MiB in all, batches of at most 16 KiB. */
  readonly lowMemory: () => Preset;
  /**
   * Azure Event Hubs, `brokers` and credentials included, by the connection string that the portal shows: TLS, PLAIN,
   * requests of at most 1000000 bytes, a request timeout of a minute, connections and metadata of at most three
   * minutes. Another codec than gzip is refused.
   */
  readonly eventHubs: (connectionString: string) => HostedPreset;
  /** Confluent Cloud, with an API key (`apiKey`, `apiSecret`) or with tokens (`token`, `logicalCluster`, `identityPoolId`). */
  readonly confluentCloud: (options: ConfluentCloudOptions) => HostedPreset;
  /** Amazon MSK, with an identity of AWS (`credentials`, `region`; else of the environment) or a SCRAM user. */
  readonly msk: (options: MskOptions) => HostedPreset;
} = {
  highThroughput: () => ({
    acks: "all",
    idempotent: true,
    batchSize: 65_536,
    lingerMs: 10,
    compression: "lz4",
    bufferMemory: 67_108_864,
  }),
  lowLatency: () => ({ acks: "all", idempotent: true, lingerMs: 0, compression: "none" }),
  durable: () => ({
    acks: "all",
    idempotent: true,
    retries: Infinity,
    deliveryTimeoutMs: 600_000,
    maxBlockMs: 600_000,
  }),
  exactlyOnce: () => ({ acks: "all", idempotent: true, retries: Infinity, maxInFlight: 5 }),
  lowMemory: () => ({
    acks: "all",
    idempotent: true,
    bufferMemory: 4_194_304,
    batchSize: 16_384,
    maxInFlight: 2,
  }),
  eventHubs,
  confluentCloud,
  msk,
};
