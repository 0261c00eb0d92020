/**
 * What a simulation asks of the producer that it tests: Sluice's own, or anything around it.
 *
 * @module
 */

import type { Runtime } from "../../runtime/runtime.ts";
import type { PlannedOptions } from "./plan.ts";

/** A record as the simulator sends it. */
export interface SimulatedRecord {
  /** Where it goes. */
  readonly topic: string;
  /** Names the record: no two are the same. */
  readonly value: string;
  /** Chooses the partition. */
  readonly key?: string;
  /** Chosen by hand. */
  readonly partition?: number;
  /** Ms since the epoch. */
  readonly timestamp?: number;
  /** Pairs of name and value. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** What the simulator reads of a record's metadata. */
export interface SimulatedMetadata {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset, −1n if unknown. */
  readonly offset: bigint;
  /** Ms since the epoch. */
  readonly timestamp: number;
}

/** What the simulator reads of an error. */
export interface SimulatedError extends Error {
  /** Its kind. */
  readonly code?: string;
  /** Its producer is of no more use. */
  readonly fatal?: boolean;
  /** Whether the record is in the log. */
  readonly persisted?: "no" | "possibly" | "yes";
}

/** What is passed with a record. */
export interface SimulatedSendOptions {
  /** Called once with the outcome. */
  readonly onDelivery?: ((error: SimulatedError | null, metadata: SimulatedMetadata | null) => void) | undefined;
  /** Takes the record back. */
  readonly signal?: AbortSignal | undefined;
}

/** What becomes of records that were sent at once. */
export interface SimulatedDelivery extends PromiseLike<readonly PromiseSettledResult<SimulatedMetadata>[]> {
  /** One for each record. */
  readonly promises: readonly Promise<SimulatedMetadata>[];
}

/** The producer under test. */
export interface SimulatedProducer {
  /** Sends a record; the promise is its outcome. */
  send(record: SimulatedRecord, options?: SimulatedSendOptions): Promise<SimulatedMetadata>;
  /** Sends several at once. Awaited, it gives their results, in their order; `promises` are the records' own. */
  sendBatch?(records: readonly SimulatedRecord[]): SimulatedDelivery;
  /** Sends a record without a promise; false when there is no room. */
  produce?(record: SimulatedRecord, onDelivery?: SimulatedSendOptions["onDelivery"]): boolean;
  /** Resolves when there is room. */
  ready?(): Promise<void>;
  /** Resolves when everything sent so far has its outcome. */
  flush(): Promise<void>;
  /** Ends it. */
  close(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Counters, some of which are looked at. */
  metrics?(): SimulatedMetrics;
}

/** What the simulator looks at in a producer's counters. */
export interface SimulatedMetrics {
  /** Free memory. */
  readonly "buffer-available-bytes"?: number;
  /** Memory in all. */
  readonly "buffer-total-bytes"?: number;
  /** Records that were delivered. */
  readonly records_sent?: number;
  /** Records that failed. */
  readonly errors?: number;
  /** Records without an outcome. */
  readonly records_pending?: number;
  /** Batches without an outcome. */
  readonly batches_pending?: number;
  /** Produce requests without an answer. */
  readonly "requests-in-flight"?: number;
}

/** Sees records and outcomes (KIP-42). */
export interface SimulatedInterceptor {
  /** Once for each record. */
  onSend<Seen extends object>(record: Seen): Seen;
  /** Once for each record, when it has its outcome. */
  onAcknowledgement(): void;
}

/** The options that a producer under test is made with: Sluice's own names. */
export interface SimulatedOptions extends Omit<PlannedOptions, "retries" | "intercepted"> {
  /** The servers to start from. */
  readonly brokers: string;
  /** Tells the producers of a run apart. */
  readonly clientId: string;
  /** `Infinity` for no limit. */
  readonly retries: number;
  /** Look at each record and its outcome. */
  readonly interceptors?: readonly SimulatedInterceptor[];
  /** Is told of suspected losses. */
  readonly logger: { warn(event: string, fields: Readonly<Record<string, unknown>>): void };
}

/**
 * Makes a producer that takes sockets, time and chance from the runtime and from nowhere else. `before` is a producer of
 * the same run whose snapshot it should begin with, if it can.
 */
export type MakeProducer = (
  options: SimulatedOptions,
  runtime: Runtime,
  before?: SimulatedProducer,
) => SimulatedProducer;
