/**
 * Runs one suite on every runtime and demands the same test names from each.
 *
 *     node scripts/matrix.mjs [legs…] [--filter <part of a file's path>] [--jobs 2] [--time-limit 1200]
 *
 * A leg fails when a test fails, when a test is missing that another leg ran, when a skip has no reason, when it
 * runs out of time, or when it ends badly without saying why. `test/features.json` maps each feature row to the
 * tests that prove it; a named test that did not pass on a leg that claims the row is a failure too.
 */

import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { isTest, legDir, legs } from "./lib/legs.mjs";
import { startServers } from "./lib/servers.mjs";
import { listFiles, root } from "./lib/tools.mjs";

/** The names of the legs, in the order in which they start. */
export const legNames = Object.keys(legs);

/** Skips that are expected, by reason; any other one fails `npm test`. */
export const allowedSkips = new Set(["workerd cannot listen", "workerd runs no command line"]);

/**
 * Runs the suite on the given legs, `jobs` at a time.
 *
 * @param {{ names?: string[], filter?: string, jobs?: number, timeoutMs?: number, log?: (line: string) => void }} [options]
 * @returns one entry per leg: `{ name, tests, problems, elapsedMs, passed, failed, skipped }`
 */
export async function runMatrix(
  { names = legNames, filter = "", jobs = 2, timeoutMs = 1_200_000, log = () => {} } = {},
) {
  const files = (await listFiles("test", isTest)).filter((file) => file.includes(filter));
  if (files.length === 0) throw new Error(`No test file matches "${filter}"`);
  const servers = await startServers();
  const results = new Map();
  const waiting = [...names];
  try {
    await Promise.all(Array.from({ length: jobs }, async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        const startedMs = performance.now();
        const dir = await legDir(name);
        const result = await legs[name].run({ files, ports: servers.ports, timeoutMs, dir });
        await rm(dir, { recursive: true, force: true });
        const elapsedMs = performance.now() - startedMs;
        results.set(name, { name, elapsedMs, ...result });
        log(`${name}: ${result.tests.length} tests in ${(elapsedMs / 1000).toFixed(1)} s`);
      }
    }));
  } finally {
    await servers.stop();
  }
  const ordered = names.map((name) => results.get(name));
  compareNames(ordered);
  for (const leg of ordered) {
    for (const status of ["passed", "failed", "skipped"]) {
      leg[status] = leg.tests.filter((test) => test.status === status).length;
    }
    leg.failed += leg.problems.length;
  }
  return ordered;
}

/**
 * Whether each row of `test/features.json` is proved: `{ row: { tests: [names], legs: "all" | [legs] } }`, or a list
 * of such. `"all"` are the legs of the matrix; `"checks"` and `"interop"` can be named as well. Only the legs that
 * ran are asked.
 *
 * @returns a line for each gap
 */
export async function checkFeatures(results) {
  const path = join(root, "test", "features.json");
  if (!existsSync(path)) return [];
  const known = [...legNames, "checks", "cli", "readme", "interop"];
  const gaps = [];
  for (const [row, proofs] of Object.entries(JSON.parse(await readFile(path, "utf8")))) {
    for (const { tests, legs: claimed } of [proofs].flat()) {
      const wanted = claimed === "all" ? legNames : claimed;
      const unknown = wanted.find((name) => !known.includes(name));
      if (unknown !== undefined) gaps.push(`${row} claims "${unknown}", wanted one of ${known.join(", ")}`);
      if (!Array.isArray(tests) || tests.length === 0) gaps.push(`${row} names no test`);
      for (const leg of results.filter(({ name }) => wanted.includes(name))) {
        const passed = new Set(leg.tests.filter((test) => test.status === "passed").map((test) => test.name));
        for (const name of tests ?? []) {
          if (!passed.has(name)) gaps.push(`${row} claims ${leg.name}, where "${name}" did not pass`);
        }
      }
    }
  }
  return gaps;
}

/** The table of the legs, and the details of what failed. */
export function describeResults(results) {
  const rows = results.map((leg) => [
    leg.name,
    String(leg.passed),
    String(leg.failed),
    String(leg.skipped),
    `${(leg.elapsedMs / 1000).toFixed(1)} s`,
  ]);
  const table = [["leg", "passed", "failed", "skipped", "time"], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const text = table.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
  );
  const details = results.flatMap((leg) => [
    ...leg.problems.map((problem) => `✗ ${leg.name}: ${problem}`),
    ...leg.tests.filter((test) => test.status === "failed").map((test) =>
      `✗ ${leg.name}: ${test.name}\n${(test.detail ?? "").trim().replace(/^/gm, "    ")}`
    ),
  ]);
  const skips = new Map();
  for (const leg of results) {
    for (const test of leg.tests.filter((each) => each.status === "skipped")) {
      const key = `${leg.name}: ${test.detail}`;
      skips.set(key, (skips.get(key) ?? 0) + 1);
    }
  }
  return [...details, ...[...skips].map(([key, count]) => `- ${count} skipped on ${key}`), text.join("\n")].join("\n");
}

/** What took longest: the steps of a run, `[name, seconds]`, and the tests, with the runtime on which each did. */
export function describeTimes(steps, legs) {
  const row = ([name, seconds]) => `  ${seconds.toFixed(1).padStart(6)} s  ${name}`;
  const slowest = new Map();
  for (const leg of legs) {
    for (const { name, seconds = 0 } of leg.tests) {
      if (seconds > (slowest.get(name)?.[1] ?? 0)) slowest.set(name, [`${name} (${leg.name})`, seconds]);
    }
  }
  const longest = (entries, count) => [...entries].sort(([, a], [, b]) => b - a).slice(0, count).map(row);
  return [
    ...["What took longest:", ...longest(steps, 12)],
    ...["The slowest tests, each where it was slowest:", ...longest(slowest.values(), 10)],
  ].join("\n");
}

/** A lost file or an early exit doesn't show in an exit code; it shows in the names. */
function compareNames(results) {
  const all = new Set(results.flatMap((leg) => leg.tests.map((test) => test.name)));
  for (const leg of results) {
    const own = new Set();
    for (const { name } of leg.tests) {
      if (own.has(name)) leg.problems.push(`"${name}" was reported twice, wanted unique names`);
      own.add(name);
    }
    const lost = [...all].filter((name) => !own.has(name));
    if (lost.length > 5) {
      leg.problems.push(`${lost.length} tests did not run that other legs ran, "${lost[0]}" and so on`);
    } else for (const name of lost) leg.problems.push(`"${name}" did not run, other legs ran it`);
  }
}

async function main() {
  const { values, positionals } = flagsOf(import.meta.url, {
    allowPositionals: true,
    options: {
      filter: { type: "string", default: "" },
      jobs: { type: "string", default: "2" },
      "time-limit": { type: "string", default: "1200" },
    },
  });
  const unknown = positionals.filter((name) => !legNames.includes(name));
  if (unknown.length > 0) throw new Error(`There is no leg "${unknown[0]}", wanted one of ${legNames.join(", ")}`);
  for (const folder of ["", "test/runtimes"]) await install(folder, (line) => console.error(line));
  const results = await runMatrix({
    names: positionals.length > 0 ? positionals : legNames,
    filter: values.filter,
    jobs: Number(values.jobs),
    timeoutMs: Number(values["time-limit"]) * 1000,
    log: (line) => console.error(line),
  });
  const gaps = values.filter === "" ? await checkFeatures(results) : [];
  console.log(describeResults(results));
  console.log(describeTimes(results.map(({ name, elapsedMs }) => [name, elapsedMs / 1000]), results));
  for (const gap of gaps) console.log(`✗ features: ${gap}`);
  if (gaps.length > 0 || results.some((leg) => leg.failed > 0)) process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
