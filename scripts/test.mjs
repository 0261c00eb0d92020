/**
 * `npm test`: installs what is missing, builds, checks the architecture, runs the suite on every runtime and the
 * interop tests against real Kafka.
 *
 * Its last line is `N passed, N failed, N skipped`, summed over all legs. The exit code is 1 after a failure, and
 * after a skip that nobody allowed.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { install } from "./lib/install.mjs";
import { root, runtimesDir } from "./lib/tools.mjs";

const startedMs = performance.now();
const counts = { passed: 0, failed: 0, skipped: 0 };
/** What shows again at the end: a failure in the middle of a long log is easily overlooked. */
const failures = [];
/** How long each step took: `[name, seconds]`. */
const steps = [];

try {
  await main();
} catch (error) {
  fail(error.stack ?? String(error));
}
for (const line of failures) console.log(`✗ ${line}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
// Not process.exit(): what was printed must get out of a pipe first.
process.exitCode = counts.failed > 0 ? 1 : 0;

async function main() {
  if (await install(root)) progress("Installed the development dependencies");
  if (await install(runtimesDir)) progress("Installed the runtimes of the matrix");

  // Only now, because they import what was just installed.
  const { build } = await import("./build.mjs");
  const { runArchitecture } = await import("./architecture.mjs");
  const { runLint } = await import("./lint.mjs");
  const { allowedSkips, checkFeatures, describeResults, describeTimes, runMatrix } = await import("./matrix.mjs");
  const { runOneBundle } = await import("./lib/one_bundle.mjs");

  const buildFromMs = performance.now();
  await build().then((built) => progress(built ? "Built dist" : "dist is up to date"));
  const checksFromMs = performance.now();
  steps.push(["build", (checksFromMs - buildFromMs) / 1000]);
  const legs = [leg(
    "checks",
    [...await runArchitecture(), ...await runLint({ only: ["circles", "runtimes"] }), ...await runOneBundle()],
    checksFromMs,
  )];
  progress(`Architecture and bundle: ${legs[0].passed} passed, ${legs[0].failed} failed`);
  for (const { summary } of legs[0].tests) if (summary !== undefined) progress(`A Worker: ${summary}`);

  progress("Running the suite on every runtime");
  legs.push(...await runMatrix({ log: progress }));
  console.log(describeResults(legs));
  for (const each of legs) {
    add(each);
    for (const test of each.tests) {
      if (test.status === "failed") failures.push(`${each.name}: ${test.name}`);
      if (test.status === "skipped" && !allowedSkips.has(test.detail)) {
        fail(`${each.name}: "${test.name}" is skipped: ${test.detail}`);
      }
    }
    for (const problem of each.problems) failures.push(`${each.name}: ${problem.split("\n")[0]}`);
  }

  for (const [name, run] of await programs()) {
    progress(`Running ${name}`);
    const fromMs = performance.now();
    const { tests } = await run();
    const each = leg(name, tests, fromMs);
    legs.push(each);
    add(each);
    for (const test of tests) {
      if (test.status === "failed") failures.push(`${name}: ${test.name}`);
      if (test.status === "skipped") fail(`${name}: "${test.name}" is skipped: ${test.detail}`);
    }
    progress(`${name}: ${each.passed} passed, ${each.failed} failed, ${each.skipped} skipped`);
  }

  const interopFromMs = performance.now();
  const interop = await runInterop();
  if (interop !== undefined) legs.push(leg("interop", interop, interopFromMs));
  for (const gap of await checkFeatures(legs)) fail(`features: ${gap}`);
  steps.push(...legs.map(({ name, elapsedMs }) => [name, elapsedMs / 1000]));
  console.log(describeTimes(steps, legs));
}

/**
 * What is tested as whole programs: the command line, the code that the README shows, a process that is never full,
 * programs that never close their producer, producers behind a WebSocket, one that is killed and goes on.
 *
 * @returns {Promise<[string, (options?: object) => Promise<{ tests: any[] }>][]>}
 */
async function programs() {
  const { runCliTests } = await import("../test/programs/cli.mjs");
  const { runReadme } = await import("../test/programs/readme.mjs");
  const { runMemory } = await import("../test/programs/memory.mjs");
  const { runUnclosed } = await import("../test/programs/unclosed.mjs");
  const { runOutbox } = await import("../test/programs/outbox.mjs");
  const { runWebSocket } = await import("../test/programs/web_socket.mjs");
  return [
    ["cli", runCliTests],
    ["readme", runReadme],
    ["memory", runMemory],
    ["unclosed", runUnclosed],
    ["web socket", runWebSocket],
    ["outbox", runOutbox],
  ];
}

async function runInterop() {
  const script = join(root, "scripts", "interop.mjs");
  if (!existsSync(script)) return undefined;
  progress("Running the interop tests against real Kafka");
  const { runInterop } = await import("./interop.mjs");
  const { passed, failed, skipped, tests = [], times } = await runInterop({});
  steps.push(...times.map(([name, seconds]) => [`interop: ${name}`, seconds]));
  counts.passed += passed;
  counts.failed += failed;
  counts.skipped += skipped.length;
  if (failed > 0) failures.push(`interop: ${failed} failed, see above`);
  for (const { name, reason, allowed } of skipped) {
    console.log(`- interop: "${name}" is skipped: ${reason}`);
    if (!allowed || (process.env.CI && reason.includes("no JDK"))) fail(`interop: "${name}" is skipped: ${reason}`);
  }
  progress(`Interop: ${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  return tests;
}

function leg(name, tests, fromMs) {
  const count = (status) => tests.filter((test) => test.status === status).length;
  return {
    name,
    tests,
    problems: [],
    elapsedMs: performance.now() - fromMs,
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("skipped"),
  };
}

function add({ passed, failed, skipped }) {
  counts.passed += passed;
  counts.failed += failed;
  counts.skipped += skipped;
}

function fail(line) {
  counts.failed++;
  failures.push(line);
}

function progress(line) {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(`[${seconds.padStart(4)} s] ${line}`);
}
