/**
 * Makes a plan that fails smaller, as long as it fails in the same way.
 *
 * @module
 */

import type { SimulationPlan } from "./plan.ts";

/** Plays a plan; true when it fails as the first one did. */
export type Fails = (plan: SimulationPlan) => Promise<boolean>;

/**
 * Leaves out faults, records and flushes, larger shares first, until nothing more can go; then simplifies the world.
 *
 * `budget` bounds the number of runs.
 */
export async function shrinkPlan(plan: SimulationPlan, fails: Fails, budget = 600): Promise<SimulationPlan> {
  let best = plan;
  let left = budget;
  const attempt = async (candidate: SimulationPlan): Promise<boolean> => {
    if (left-- <= 0) return false;
    if (!await fails(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let before = -1; before !== sizeOf(best) && left > 0;) {
    before = sizeOf(best);
    await reduceList(() => best.faults, (faults) => attempt({ ...best, faults }));
    await reduceList(() => best.sends, (sends) => attempt({ ...best, sends }));
    await reduceList(() => best.flushes, (flushes) => attempt({ ...best, flushes }));
  }
  for (const simpler of simplifications(best)) await attempt(simpler(best));
  return best;
}

function sizeOf({ faults, sends, flushes }: SimulationPlan): number {
  return faults.length + sends.length + flushes.length;
}

/** Delta debugging: tries without each share of the list, and goes on to smaller shares. */
async function reduceList<T>(
  list: () => readonly T[],
  attempt: (rest: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let share = list().length; share >= 1; share = share === 1 ? 0 : Math.ceil(share / 2)) {
    for (let start = 0; start < list().length;) {
      const rest = [...list().slice(0, start), ...list().slice(start + share)];
      if (!await attempt(rest)) start += share;
    }
  }
}

/** Steps towards an easier world, each tried once. */
function simplifications(plan: SimulationPlan): ((plan: SimulationPlan) => SimulationPlan)[] {
  return [
    (plan) => ({ ...plan, sends: plan.sends.map(({ headers: _, timestampMs: __, ...send }) => send) }),
    (plan) => ({ ...plan, sends: plan.sends.map(({ throws: _, abortAfterMs: __, ...send }) => send) }),
    (plan) => ({ ...plan, sends: plan.sends.map((send) => ({ ...send, bytes: 0 })) }),
    (plan) => ({ ...plan, sends: plan.sends.map((send) => ({ ...send, via: "callback" })) }),
    (plan) => ({ ...plan, cluster: { ...plan.cluster, chunking: "whole" } }),
    ...plan.producers.map((_, index) => (plan: SimulationPlan) => ({
      ...plan,
      producers: plan.producers.map((producer, other) =>
        other !== index ? producer : { ...producer, options: { ...producer.options, compression: "none" as const } }
      ),
    })),
  ];
}
