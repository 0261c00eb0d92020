/**
 * One seed, one run, one verdict.
 *
 * @module
 */

import { planOf } from "./generator.ts";
import { checkInvariants } from "./invariants.ts";
import type { Violation } from "./observation.ts";
import type { SimulationPlan } from "./plan.ts";
import { run } from "./run.ts";
import { shrinkPlan } from "./shrink.ts";
import type { MakeProducer } from "./subject.ts";
import { Trace } from "./trace.ts";

/** What to simulate. */
export interface SimulateOptions {
  /** Gives the plan, unless there is one. */
  readonly seed?: number;
  /** The kind of trouble. @default the one that the seed chooses */
  readonly profile?: string;
  /** A plan in place of a seed. */
  readonly plan?: SimulationPlan;
  /** Makes a producer that takes sockets, time and chance from the runtime and from nowhere else. */
  readonly producer: MakeProducer;
  /** Writes down all that happens. @default false */
  readonly trace?: boolean;
  /** Looks for the smallest plan that fails in the same way, if it fails. @default false */
  readonly shrink?: boolean;
  /** Takes the rejections that nobody handled since the last call, where the caller can tell. */
  readonly takeUnhandled?: () => readonly unknown[];
}

/** How it went. */
export interface SimulationResult {
  /** The plan, or the smallest that fails. */
  readonly plan: SimulationPlan;
  /** Broken promises; none if all is well. */
  readonly violations: readonly Violation[];
  /** What happened, line by line, if it was asked for. */
  readonly trace: readonly string[];
  /** Records that were handed over, and how many of them were delivered. */
  readonly records: number;
  /** Records that were delivered. */
  readonly delivered: number;
  /** Virtual time that passed, in ms. */
  readonly virtualMs: number;
  /** Events that happened. */
  readonly steps: number;
}

/**
 * Runs a producer against a cluster in virtual time, with the workload and the faults of a seed, and checks what it
 * promised: each record once, in order, with a true outcome in time, and nothing left behind.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { simulate } from "@sluice/kafka/testing/simulation";
 *
 * const { violations } = await simulate({ seed: 7, producer: (options, runtime) => new Producer(options, runtime) });
 * console.assert(violations.length === 0);
 * ```
 */
export async function simulate(options: SimulateOptions): Promise<SimulationResult> {
  const { producer, takeUnhandled } = options;
  const first = options.plan ?? planOf(options.seed ?? 1, options.profile);
  let plan = first;
  if (options.shrink) {
    const rules = new Set(checkInvariants(await run(first, producer, { takeUnhandled })).map(({ rule }) => rule));
    const fails = async (candidate: SimulationPlan): Promise<boolean> =>
      checkInvariants(await run(candidate, producer, { takeUnhandled })).some(({ rule }) => rules.has(rule));
    if (rules.size > 0) plan = await shrinkPlan(first, fails);
  }
  const trace = options.trace ? new Trace() : undefined;
  const observation = await run(plan, producer, { trace, takeUnhandled });
  return {
    plan,
    violations: checkInvariants(observation),
    trace: trace?.lines ?? [],
    records: observation.sent.length,
    delivered:
      observation.sent.filter((sent) => (sent.calledBack[0] ?? sent.promised[0])?.metadata !== undefined).length,
    virtualMs: observation.virtualMs,
    steps: observation.steps,
  };
}
