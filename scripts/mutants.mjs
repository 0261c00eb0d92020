/**
 * Breaks one delivery rule after the other and lets the simulator look for it: each mutant must be caught.
 *
 *     npm run mutants [-- --seeds 10000] [--jobs 2] [--only H3] [--skip 5] [--required] [--list] [--fit] [--save plans.json]
 *
 * A mutant is a small change of the sources in `scripts/mutants`, made while they are bundled; nothing on disk changes.
 * Prints how many seeds it took and which promise was seen to be broken; exit code 1 when a mutant survives. `--fit` only
 * sees that each still fits the sources.
 */

import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { bundleSimulator, loadSimulator, runSeeds, transactional } from "./lib/simulation.mjs";
import { edges } from "./mutants/edges.mjs";
import { network } from "./mutants/network.mjs";
import { order } from "./mutants/order.mjs";
import { outcomes } from "./mutants/outcomes.mjs";
import { transactions } from "./mutants/transactions.mjs";

const { values } = flagsOf(import.meta.url, {
  options: {
    seeds: { type: "string", default: "10000" },
    jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
    only: { type: "string" },
    required: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    fit: { type: "boolean", default: false },
    save: { type: "string" },
    skip: { type: "string", default: "0" },
  },
});

const mutants = [...order, ...outcomes, ...network, ...edges, ...transactions]
  .filter(({ required }) => required || !values.required)
  .filter(({ name }) => name.includes(values.only ?? ""))
  .slice(Number(values.skip));
if (mutants.length === 0) throw new Error(`No mutant's name contains "${values.only}"`);
if (values.list) {
  for (const { name, required } of mutants) console.log(`${required ? "*" : " "} ${name}`);
} else {
  process.exitCode = await run();
}

async function run() {
  await install(".");
  const original = await bundleSimulator();
  let survivors = 0;
  try {
    // All are made first: one that no longer fits the sources is told at once.
    const attempts = await Promise.allSettled(mutants.map((mutant) => bundleSimulator(mutant)));
    const bundles = attempts.map((attempt) => attempt.status === "fulfilled" ? attempt.value : undefined);
    try {
      const unfit = attempts.flatMap((attempt, index) =>
        attempt.status === "fulfilled" ? [] : [[mutants[index].name, attempt.reason]]
      );
      for (const [name, { message }] of unfit) console.error(`${name}:\n${message.replace(/^/gm, "    ")}`);
      if (unfit.length > 0 || values.fit) return unfit.length > 0 ? 1 : 0;
      for (const [index, { name, profile }] of mutants.entries()) {
        const found = await hunt(bundles[index], original, profile);
        if (found === undefined) survivors++;
        else if (values.save !== undefined) await save(name, bundles[index], original, found.seed, profile);
        console.log(
          found === undefined
            ? `✗ ${name}: survived ${values.seeds} seeds`
            : `✓ ${name}: ${found.rule} after ${found.tried} seeds (seed ${found.seed}, ${found.profile}, ` +
              `${found.seconds.toFixed(1)} s)`,
        );
      }
    } finally {
      for (const bundle of bundles) if (bundle !== undefined) await rm(bundle, { force: true });
    }
  } finally {
    await rm(original, { force: true });
  }
  console.log(`${mutants.length - survivors} of ${mutants.length} mutants caught`);
  return survivors === 0 ? 0 : 1;
}

/** The first seed that fails with the mutant and passes without it; of one profile, where only that shows it soon. */
async function hunt(bundle, original, profile) {
  const [limit, jobs] = [Number(values.seeds), Number(values.jobs)];
  let seconds = 0;
  for (let from = 1; from <= limit;) {
    const { done, failures, seconds: took } = await runSeeds({
      bundle,
      from,
      seeds: limit - from + 1,
      jobs,
      profile,
      onShare: ({ failures }) => failures.length > 0,
    });
    seconds += took;
    from += done;
    for (const { seed, profile: chosen, violations } of failures) {
      if (await passes(original, seed, profile)) {
        return { ...violations[0], seed, profile: chosen, tried: from - 1, seconds };
      }
    }
  }
  return undefined;
}

async function passes(bundle, seed, profile) {
  const { producer, simulate } = await loadSimulator(bundle);
  const { violations } = await simulate({ seed, ...(profile === undefined ? {} : { profile }), producer });
  return violations.length === 0;
}

/** Keeps the smallest plan that fails with the mutant and passes without it, in place of the one kept before. */
async function save(found, bundle, original, seed, profile) {
  // Such a run is no plan; its seeds are in the tests.
  if (profile === transactional) return;
  const { producer, simulate } = await loadSimulator(bundle);
  const chosen = profile === undefined ? {} : { profile };
  const { plan, violations } = await simulate({ seed, ...chosen, shrink: true, producer });
  const sound = await loadSimulator(original).then((good) => good.simulate({ plan, producer: good.producer }));
  if (violations.length === 0 || sound.violations.length > 0) return console.log(`  its plan isn't kept`);
  const kept = existsSync(values.save) ? JSON.parse(await readFile(values.save, "utf8")) : [];
  const plans = [...kept.filter((other) => other.found !== found), { found, plan }];
  await writeFile(values.save, `${JSON.stringify(plans, null, 1)}\n`);
}
