/** Bundles the simulator with the producer, and runs seeds on several threads. */

import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { root } from "./tools.mjs";

const folder = join(root, ".cache", "simulate");
const seedsInAShare = 20;

/**
 * Bundles `mod.ts` and `./testing` into one file, with one source changed if a mutant is given
 * (`{ edits: [{ file, find, replace }] }`). Resolves to the bundle's path; the caller removes it.
 */
export async function bundleSimulator(mutant) {
  const { build } = await import("esbuild");
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `${process.pid}-${Math.random().toString(36).slice(2)}.mjs`);
  const edits = mutant?.edits ?? [];
  const applied = new Set();
  await build({
    absWorkingDir: root,
    stdin: {
      contents:
        `export { Producer } from "./mod.ts"; export { planOf, simulate } from "./src/testing/simulation/mod.ts";` +
        `export { weather } from "./test/producer/transaction/weather.ts";`,
      resolveDir: root,
      loader: "ts",
    },
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "silent",
    external: ["fflate"],
    plugins: edits.length === 0 ? [] : [{
      name: "mutant",
      setup(build) {
        build.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
          const mine = edits.filter(({ file }) => join(root, file) === path);
          if (mine.length === 0) return undefined;
          let contents = await readFile(path, "utf8");
          for (const edit of mine) {
            contents = replaced(contents, edit);
            applied.add(edit);
          }
          return { contents, loader: "ts" };
        });
      },
    }],
  });
  if (applied.size !== edits.length) {
    await rm(outfile, { force: true });
    throw new Error(`A mutant names a file that isn't in the bundle, wanted one of src`);
  }
  return outfile;
}

/** A mutant that no longer fits the source must be seen to by a human. */
export function replaced(contents, { file, find, replace }) {
  const count = contents.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} contains ${count} times what a mutant looks for, wanted once:\n${find}`);
  return contents.replace(find, () => replace);
}

/** The profile of transactional seeds: odd ones with version 1 of transactions, even ones with version 2. */
export const transactional = "transactions";

/** Loads a bundle into this thread: `simulate`, and what makes its producers. */
export async function loadSimulator(bundle) {
  const { Producer, simulate: simulatePlan, weather } = await import(pathToFileURL(bundle).href);
  const simulate = (options) =>
    options.profile === transactional ? simulateTransactions(weather, options) : simulatePlan(options);
  const producer = (options, runtime, before) =>
    new Producer(before instanceof Producer ? { ...options, snapshot: before.snapshot() } : options, runtime);
  return { simulate, producer };
}

/** A transactional seed in the words of the others. */
async function simulateTransactions(weather, { seed, trace: isTraced = false, takeUnhandled = () => [] }) {
  const release = seed % 2 === 0 ? "4.1" : "3.9";
  const plan = { seed, profile: `${transactional} on ${release}` };
  try {
    const { anomalies, copied, told, trace } = await weather(seed, release);
    const violations = anomalies.map(({ name, witness }) => ({ rule: name, message: witness }));
    for (const reason of takeUnhandled()) {
      violations.push({ rule: "unhandled rejection", message: String(reason?.stack ?? reason) });
    }
    return { plan, violations, records: copied, told, trace: isTraced ? trace() : [] };
  } catch (error) {
    return { plan, violations: [{ rule: "stuck", message: error.message }], records: 0, trace: [] };
  }
}

/**
 * Runs seeds from `from` on. `onShare({ done, failures })` hears of every share; when it returns true, the run ends.
 * Resolves to `{ done, failures, seconds, records, digests }`; with `digest`, the last are pairs of a seed and a hash of
 * all that happened in its run.
 *
 * @param {{ bundle: string, from: number, seeds: number, jobs: number, profile?: string, digest?: boolean,
 *   onShare?: (total: { done: number, failures: any[] }, seconds: number) => boolean }} options
 */
export async function runSeeds({ bundle, from, seeds, jobs, profile, digest = false, onShare = () => false }) {
  const startedMs = performance.now();
  const total = { done: 0, failures: [], records: 0, digests: [] };
  let next = from;
  let isOver = false;
  const share = () => {
    if (isOver || next >= from + seeds) return undefined;
    const first = next;
    next = Math.min(from + seeds, first + seedsInAShare);
    return { first, count: next - first };
  };
  await Promise.all(
    Array.from({ length: Math.min(jobs, Math.ceil(seeds / seedsInAShare)) }, () =>
      new Promise((resolve, reject) => {
        const worker = new Worker(new URL("./simulation_worker.mjs", import.meta.url), {
          workerData: { bundle, profile, digest },
        });
        const go = () => {
          const mine = share();
          if (mine === undefined) worker.terminate().then(resolve, reject);
          else worker.postMessage(mine);
        };
        worker.on("error", reject);
        worker.on("message", ({ count, failures, records, digests }) => {
          total.done += count;
          total.records += records;
          total.failures.push(...failures);
          total.digests.push(...digests);
          if (onShare(total, (performance.now() - startedMs) / 1000)) isOver = true;
          go();
        });
        go();
      })),
  );
  total.failures.sort((a, b) => a.seed - b.seed);
  total.digests.sort(([a], [b]) => a - b);
  return { ...total, seconds: (performance.now() - startedMs) / 1000 };
}
