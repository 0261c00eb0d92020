/**
 * Runs the producer against a cluster in virtual time, one run for each seed, and checks what it promises.
 *
 *     npm run simulate -- --seeds 10000 [--from 1] [--jobs 2] [--profile chaos]
 *     npm run simulate -- --seed 4711 [--trace] [--save plan.json]
 *     npm run simulate -- --plan plan.json [--trace]
 *     npm run simulate -- --seeds 500 --digest before.json
 *     npm run simulate -- --seeds 500 --profile transactions
 *
 * `--digest` writes a hash of all that happened in each run: where two versions of the code behave alike, the files are
 * the same. The profile "transactions" is another world, for which no seed is meant that names no profile: two
 * transactional producers, zombies of theirs, and two members of a group that copy what is committed, under version 1
 * (odd seeds) and 2 (even ones); a referee of histories is the judge. A seed that fails is run again with ever less until nothing can be left out, and told step by step (`--no-shrink`
 * leaves it as it is). Exit code 1.
 */

import { readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { bundleSimulator, loadSimulator, runSeeds, transactional } from "./lib/simulation.mjs";

const shownFailures = 20;
const shownViolations = 6;

const { values } = flagsOf(import.meta.url, {
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
    profile: { type: "string" },
    seed: { type: "string" },
    plan: { type: "string" },
    save: { type: "string" },
    digest: { type: "string" },
    trace: { type: "boolean", default: false },
    shrink: { type: "boolean", default: true },
  },
  allowNegative: true,
});

await install(".");
const bundle = await bundleSimulator();
try {
  const failed = values.seed === undefined && values.plan === undefined ? await many() : await one();
  process.exitCode = failed ? 1 : 0;
} finally {
  await rm(bundle, { force: true });
}

/** Many seeds: how many pass, and of the first that doesn't, why. */
async function many() {
  const [seeds, from, jobs] = [values.seeds, values.from, values.jobs].map((text) => wholeNumber(text));
  let toldMs = performance.now();
  let shown = 0;
  const { done, failures, seconds, records, digests } = await runSeeds({
    bundle,
    from,
    seeds,
    jobs,
    profile: values.profile,
    digest: values.digest !== undefined,
    onShare: ({ done, failures }, seconds) => {
      for (; shown < Math.min(failures.length, shownFailures); shown++) show(failures[shown]);
      if (performance.now() - toldMs > 5_000) {
        toldMs = performance.now();
        console.log(`${done} of ${seeds} seeds, ${(done / seconds).toFixed(0)} a second, ${failures.length} failed`);
      }
      return failures.length >= 200;
    },
  });
  console.log(
    `${done - failures.length} of ${done} seeds passed with ${records} records in ${seconds.toFixed(1)} s, ` +
      `${(done / seconds).toFixed(0)} a second`,
  );
  if (values.digest !== undefined) {
    await writeFile(values.digest, `${JSON.stringify(Object.fromEntries(digests), null, 2)}\n`);
  }
  if (failures.length > shownFailures) console.log(`${failures.length - shownFailures} more failed`);
  if (failures.length === 0) return false;
  await tell({ seed: failures[0].seed, profile: values.profile });
  return true;
}

function show({ seed, profile, violations: [{ rule, message, record }] }) {
  console.log(`✗ seed ${seed} (${profile}): ${rule}${record === undefined ? "" : ` record ${record}`} ${message}`);
}

/** One seed or one plan. */
async function one() {
  const { profile } = values;
  if (values.plan === undefined) return await tell({ seed: wholeNumber(values.seed, 0), profile });
  return await tell({ plan: JSON.parse(await readFile(values.plan, "utf8")) });
}

/**
 * Runs it and prints what came of it, step by step if it failed; resolves to whether it did.
 *
 * @param {{ seed?: number, profile?: string, plan?: unknown }} what
 */
async function tell({ seed, profile, plan }) {
  const { producer, simulate } = await loadSimulator(bundle);
  const unhandled = [];
  process.on("unhandledRejection", (reason) => unhandled.push(reason));
  if (profile === transactional) return await tellTransactions(simulate, seed, () => unhandled.splice(0));
  const run = (more) =>
    simulate({
      ...(plan === undefined ? { seed } : { plan }),
      ...(profile === undefined ? {} : { profile }),
      ...more,
      producer,
      takeUnhandled: () => unhandled.splice(0),
    });
  let result = await run({ trace: values.trace });
  const hasFailed = result.violations.length > 0;
  if (hasFailed) result = await run({ trace: true, shrink: values.shrink });
  const { violations } = result;
  if (values.save !== undefined) await writeFile(values.save, `${JSON.stringify(result.plan, null, 2)}\n`);
  console.log(`\nseed ${result.plan.seed}, profile "${result.plan.profile}"`);
  const { cluster, producers, sends, flushes, faults } = result.plan;
  console.log(`cluster ${JSON.stringify(cluster)}`);
  for (const producer of producers) console.log(`producer ${JSON.stringify(producer)}`);
  console.log(`${sends.length} sends, ${flushes.length} flushes, ${faults.length} faults`);
  if (hasFailed) { for (const send of sends) console.log(`send ${JSON.stringify(send)}`); }
  for (const fault of faults) console.log(`fault ${JSON.stringify(fault)}`);
  if (values.trace || hasFailed) console.log(`\n${result.trace.join("\n")}\n`);
  for (const { rule, message, record } of violations.slice(0, shownViolations)) {
    console.log(`✗ ${rule}${record === undefined ? "" : ` record ${record}`}: ${message}`);
  }
  if (violations.length > shownViolations) console.log(`… and ${violations.length - shownViolations} more`);
  if (violations.length === 0) {
    console.log(
      `✓ ${result.delivered} of ${result.records} records delivered in ${result.virtualMs.toFixed(0)} virtual ms`,
    );
  }
  return violations.length > 0;
}

/** The same of a transactional seed, whose plan is the seed. */
async function tellTransactions(simulate, seed, takeUnhandled) {
  const { plan, records, told, trace, violations } = await simulate({
    ...{ seed, profile: transactional, takeUnhandled },
    trace: values.trace,
  });
  console.log(`\nseed ${seed}, profile "${plan.profile}"`);
  if (values.trace) console.log(`\n${trace.join("\n")}\n`);
  for (const { rule, message } of violations.slice(0, shownViolations)) console.log(`✗ ${rule}: ${message}`);
  if (violations.length > shownViolations) console.log(`… and ${violations.length - shownViolations} more`);
  if (violations.length > 0) return true;
  console.log(
    `✓ ${told.ok} transactions committed, ${told.fail} aborted, ${told.info} unknown; ${records} records copied`,
  );
  return false;
}

function wholeNumber(text, least = 1) {
  if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
  console.error(`"${text}" is no number of seeds or jobs, wanted a whole number from ${least}`);
  process.exit(2);
}
