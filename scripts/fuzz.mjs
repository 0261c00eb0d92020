/**
 * Changes a broker's answers field by field and byte by byte, in virtual time, and holds the producer to what it
 * promises: one schedule for each seed.
 *
 *     npm run fuzz -- --seeds 10000 [--from 1] [--jobs 2]
 *     npm run fuzz -- --seed 4711
 *     npm run fuzz -- --client admin --seeds 1000
 *
 * `--client` is producer, admin, reader, group or transactions: who is asked for what it promises.
 *
 * A seed that fails is printed, and one that is given is told step by step. Exit code 1.
 */

import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { root } from "./lib/tools.mjs";

/** Old space of a thread, in MiB. The largest answers have 15 MiB, which the fuzzer itself holds several times. */
const heapMiB = 384;
/** CPU time that the producer may take over a chunk of an answer, in ms: so much, and so much for each KiB. */
const blockMs = { base: 500, perKiB: 1 };
const clients = ["producer", "admin", "reader", "group", "transactions"];
const seedsInAShare = 20;
const shownProblems = 5;
const shownFailures = 20;

if (isMainThread) await main();
else serve();

async function main() {
  const { values } = flagsOf(import.meta.url, {
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "1" },
      jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
      seed: { type: "string" },
      client: { type: "string", default: "producer" },
    },
  });
  if (!clients.includes(values.client)) {
    throw new Error(`There is no client "${values.client}", wanted ${clients.join(", ")}`);
  }
  await install(".");
  const bundle = await bundled();
  try {
    const hasFailed = values.seed === undefined
      ? await many(bundle, values)
      : await one(bundle, values.client, Number(values.seed));
    process.exitCode = hasFailed ? 1 : 0;
  } finally {
    await rm(bundle, { force: true });
  }
}

/** The fuzzer and the producer in one file. */
async function bundled() {
  const { build } = await import("esbuild");
  const folder = join(root, ".cache", "fuzz");
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `${process.pid}.mjs`);
  await build({
    absWorkingDir: root,
    stdin: {
      contents: 'export { fuzz } from "./test/fuzz/fuzz.ts"; export { fuzzClient } from "./test/fuzz/clients.ts";',
      resolveDir: root,
    },
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "silent",
    external: ["fflate"],
  });
  return outfile;
}

/** Many seeds on several threads; resolves to whether one failed. */
async function many(bundle, values) {
  const [seeds, from, jobs] = [values.seeds, values.from, values.jobs].map(Number);
  const sums = { done: 0, mutated: 0, lies: 0, delivered: 0, bytes: 0 };
  const failures = [];
  const startMs = performance.now();
  let toldMs = startMs;
  let next = from;
  const fail = (seed, problems) => {
    failures.push(seed);
    if (failures.length <= shownFailures) {
      console.log(`✗ seed ${seed}: ${problems.slice(0, shownProblems).join("\n  ")}`);
    }
  };
  const work = () =>
    new Promise((resolve) => {
      let seed = 0;
      const worker = new Worker(fileURLToPath(import.meta.url), {
        workerData: { bundle, client: values.client },
        resourceLimits: { maxOldGenerationSizeMb: heapMiB },
      });
      const share = () => {
        const first = next;
        next = Math.min(next + seedsInAShare, from + seeds);
        if (first < next) worker.postMessage({ first, end: next });
        else void worker.terminate().then(resolve);
      };
      worker.on("message", (message) => {
        if (message === "next") return share();
        if (typeof message === "number") return void (seed = message);
        for (const name of Object.keys(sums)) sums[name] += message[name] ?? 1;
        if (message.problems.length > 0) fail(message.seed, message.problems);
        if (performance.now() - toldMs < 10_000) return;
        toldMs = performance.now();
        console.log(`${sums.done} of ${seeds} schedules, ${failures.length} failed`);
      });
      // Such a thread is gone, with the rest of its share: another one goes on.
      worker.on("error", (/** @type {Error} */ error) => {
        fail(seed, [`it ended the thread: ${error.message}`]);
        resolve(work());
      });
    });
  await Promise.all(Array.from({ length: jobs }, work));
  const seconds = (performance.now() - startMs) / 1_000;
  console.log(
    `${sums.done - failures.length} of ${sums.done} schedules passed in ${
      seconds.toFixed(1)
    } s: ${sums.mutated} answers ` +
      `changed, of which ${sums.lies} could be right; ${sums.delivered} records delivered meanwhile; ` +
      `${(sums.bytes / 1_048_576).toFixed(0)} MiB of answers`,
  );
  if (failures.length > 0) console.log(`Again: npm run fuzz -- --client ${values.client} --seed ${failures[0]}`);
  return failures.length > 0;
}

/** One seed, step by step; resolves to whether it failed. */
async function one(bundle, client, seed) {
  const { problems, trace } = await play(bundle, client, seed);
  console.log(trace.join("\n"));
  console.log(problems.length === 0 ? `✓ seed ${seed}` : problems.map((problem) => `✗ ${problem}`).join("\n"));
  return problems.length > 0;
}

/** Plays a seed in this thread, with what is known of it besides. */
async function play(bundle, client, seed) {
  const { fuzz, fuzzClient } = await import(pathToFileURL(bundle).href);
  const unhandled = [];
  const onUnhandled = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage();
    return (user + system) / 1_000;
  };
  const options = { huge: true, cpuMs, blockMs, takeUnhandled: () => unhandled.splice(0) };
  const result = client === "producer" ? await fuzz(seed, options) : await fuzzClient(client, seed, options);
  process.off("unhandledRejection", onUnhandled);
  return result;
}

/** A thread: takes shares of seeds until it is ended. */
function serve() {
  parentPort.on("message", async ({ first, end }) => {
    for (let seed = first; seed < end; seed++) {
      parentPort.postMessage(seed);
      const { problems, mutated, lies, delivered, bytes } = await play(workerData.bundle, workerData.client, seed);
      parentPort.postMessage({ seed, problems, mutated, lies, delivered, bytes });
    }
    parentPort.postMessage("next");
  });
  parentPort.postMessage("next");
}
