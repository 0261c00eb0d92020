/**
 * All that was seen of a run: what the invariants are checked on.
 *
 * @module
 */

import type { Ledger } from "./ledger.ts";
import type { ProducerPlan, SimulationPlan } from "./plan.ts";
import type { SimulatedMetrics } from "./subject.ts";
import type { Sent } from "./workload.ts";

/** A broken promise. */
export interface Violation {
  /** The invariant, `"V1"` to `"V11"`. */
  readonly rule: string;
  /** What was seen and what was wanted. */
  readonly message: string;
  /** The record, by its id in the plan. */
  readonly record?: number;
}

/** What was seen of one producer. */
export interface ProducerObservation {
  readonly plan: ProducerPlan;
  /** When it was asked to close, and when that ended. */
  closingMs?: number;
  closedMs?: number;
  /** Bytes of its buffer memory that are taken after the close. */
  takenBytes?: number;
  /** Its counters after the close. */
  metrics?: SimulatedMetrics;
  /** When it wrote to a broker or heard of one. */
  readonly busyMs: number[];
  /** When a broker got a batch, by its place and its sequence. */
  readonly attemptsMs: Map<string, number[]>;
  /** Timers that it has set and that are neither over nor cancelled. */
  timers: number;
  /** Connections that are open. */
  connections: number;
  /** When it dialled. */
  readonly dialsMs: number[];
  /** When it asked for metadata. */
  readonly metadataMs: number[];
  /** How often it suspected a broker to have lost records; not counted while that broker is cut off. */
  suspicions: number;
}

/** What was seen of one run. */
export interface Observation {
  readonly plan: SimulationPlan;
  readonly sent: readonly Sent[];
  readonly ledger: Ledger;
  readonly producers: readonly ProducerObservation[];
  /** Where the run stopped if it didn't come to its end. */
  readonly stuck: string | undefined;
  /** Records of the plan sent after everything was healed, that had no success in time. */
  readonly unhealed: readonly string[];
  /** Records that had no outcome yet when everything had rested. */
  readonly leftToRest: readonly string[];
  /** Listeners left on the signals of records. */
  readonly listenersLeft: number;
  /** Flushes that ended before what they cover. */
  readonly earlyFlushes: readonly string[];
  /** Surprises: errors inside the cluster, rejections that nobody handled. */
  readonly surprises: readonly unknown[];
  /** Timers and connections of the whole world that are left. */
  readonly timersLeft: number;
  readonly connectionsLeft: number;
  /** Virtual ms and events that it took. */
  readonly virtualMs: number;
  readonly steps: number;
}
