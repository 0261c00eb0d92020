/** The legs of the matrix: how each runtime is made to run the suite, and what it reports. */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { cacheDir, root, run, runtimeBinary } from "./tools.mjs";

/** Environment variables, and in workerd globals: the ports of the helper servers, and what names must contain to run. */
const portsName = "SLUICE_TEST_SERVERS";
const namesName = "SLUICE_TEST_NAMES";

/**
 * What a leg is asked, and what comes of it: `problem` says why nothing could be run.
 *
 * @typedef {{ files: string[], dir: string, ports?: any, names?: string, timeoutMs: number,
 *   onLine?: (line: string) => void }} Asked
 * @typedef {{ problem?: string, result?: import("./tools.mjs").Ran, report?: string }} Started
 */

/**
 * Every leg, by name. `start({ files, dir, ports, names, timeoutMs, onLine })` runs the files to their end and resolves
 * to what was printed and where the report is, or to `{ problem }` when nothing could be run.
 */
/** @type {Record<string, (asked: Asked) => Promise<Started>>} */
const runners = {
  node20: node("node20", { compiled: true }),
  node22: node("node22"),
  node24: node("node24"),
  node26: node("node26"),
  deno: startDeno,
  bun: startBun,
  workerd: startWorkerd,
};

/**
 * Every leg, by name. `run({ files, ports, timeoutMs, dir })` resolves to `{ tests, problems }`; a problem is anything
 * that isn't the failure of one test: a build error, an exit code that no failed test explains, a leg out of time.
 */
export const legs = Object.fromEntries(
  Object.entries(runners).map(([name, start]) => [name, { run: async (asked) => await collect(await start(asked)) }]),
);

/** Runs files for somebody who watches: `start` of the leg, or of the Node that this is when none is named. */
export async function startTests(name, asked) {
  const start = runners[name] ?? node(process.execPath, { compiled: !process.features.typescript });
  return await start(asked);
}

/**
 * The files of a folder share a process: to start one, and to load the sources anew, takes longer than most files' tests.
 * Resolves to the paths of the modules that import them, one for each folder.
 */
async function groupByFolder(dir, files, pathOf = (file) => file) {
  const groups = new Map();
  for (const file of files) {
    const [, folder, ...rest] = file.split("/");
    const name = rest.length === 0 ? "top" : folder;
    groups.set(name, [
      ...groups.get(name) ?? [],
      `import ${JSON.stringify(relative(dir, join(root, pathOf(file))))};\n`,
    ]);
  }
  return await Promise.all([...groups].map(async ([name, imports]) => {
    const path = join(dir, `${name}_test.mjs`);
    await writeFile(path, imports.join(""));
    return path;
  }));
}

/** @returns {(asked: Asked) => Promise<Started>} */
function node(name, { compiled = false } = {}) {
  return async ({ files, dir, timeoutMs, onLine, ...given }) => {
    const binary = name === process.execPath ? name : runtimeBinary(name);
    if (binary === undefined) return missing(name);
    let pathOf = (file) => file;
    if (compiled) {
      // A Node that doesn't take types runs what tsc makes of the tests.
      const { compile } = await import("../build.mjs");
      let folder;
      try {
        folder = await compile();
      } catch (error) {
        return { problem: error.message };
      }
      pathOf = (file) => join(relative(root, folder), file.replace(/\.ts$/, ".js"));
    }
    const report = join(dir, "junit.xml");
    const result = await run(binary, [
      "--disable-warning=ExperimentalWarning",
      "--test",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      "--test-reporter=junit",
      `--test-reporter-destination=${report}`,
      ...await groupByFolder(dir, files, pathOf),
    ], { env: environment(given), timeoutMs, onLine });
    return { result, report };
  };
}

/** @param {Asked} asked */
async function startDeno({ files, dir, timeoutMs, onLine, ...given }) {
  const binary = runtimeBinary("deno");
  if (binary === undefined) return missing("deno");
  const report = join(dir, "junit.xml");
  // What a user must grant, and nothing more: types are checked by `npm run check`.
  const result = await run(binary, [
    "test",
    "--no-prompt",
    "--no-check",
    "--allow-net=127.0.0.1,localhost",
    "--allow-env",
    "--allow-read=.",
    `--junit-path=${report}`,
    ...files,
  ], { env: environment(given), timeoutMs, onLine });
  return { result, report };
}

/** @param {Asked} asked */
async function startBun({ files, dir, timeoutMs, onLine, ...given }) {
  const binary = runtimeBinary("bun");
  if (binary === undefined) return missing("bun");
  const report = join(dir, "junit.xml");
  const result = await run(binary, [
    "test",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...files.map((file) => `./${file}`),
  ], { env: environment(given), timeoutMs, onLine });
  return { result, report };
}

/** @param {Asked} asked */
async function startWorkerd({ files, dir, timeoutMs, onLine, ports, names = "" }) {
  const binary = runtimeBinary("workerd");
  if (binary === undefined) return missing("workerd");
  const { bundle, runWorker } = await import("./worker.mjs");
  const imports = files.map((file) => `import ${JSON.stringify(relative(dir, join(root, file)))};`);
  await writeFile(
    join(dir, "entry.mjs"),
    `import "./given.mjs";
${imports.join("\n")}
import { workerHandlers } from ${JSON.stringify(relative(dir, join(root, "test/harness.ts")))};
export default workerHandlers();
`,
  );
  const globals = { [portsName]: JSON.stringify(ports), [namesName]: names };
  await writeFile(join(dir, "given.mjs"), `Object.assign(globalThis, ${JSON.stringify(globals)});\n`);
  try {
    // Packages that only tests use are made for Node, but for what they have for browsers.
    await bundle(join(dir, "entry.mjs"), join(dir, "worker.mjs"), undefined, "browser");
  } catch (error) {
    return { problem: error.message };
  }
  // Assertions come from node:assert, hence nodejs_compat; that the client needs none of it is a check of its own.
  const options = { timeoutMs, onLine, authorities: ports === undefined ? [] : [ports.tls.ca] };
  return { result: await runWorker(binary, dir, "worker.mjs", ["nodejs_compat"], options) };
}

/** Whether a file is one of the suite. */
export function isTest(path) {
  return path.endsWith("_test.ts") && !/^test[/\\](runtimes|interop|fixtures)[/\\]/.test(path);
}

/** A fresh folder for what a leg writes. */
export async function legDir(name) {
  const dir = join(cacheDir, "matrix", `${name}-${process.pid}`);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  return dir;
}

/** @param {{ ports?: any, names?: string }} given */
function environment({ ports, names = "" }) {
  const { FORCE_COLOR: _, ...inherited } = process.env;
  return { ...inherited, NO_COLOR: "1", [portsName]: JSON.stringify(ports), [namesName]: names };
}

function missing(name) {
  return { problem: `${name} is not installed: run npm install in test/runtimes` };
}

/** @param {Started} started */
async function collect({ problem, result, report }) {
  const problems = [];
  if (problem !== undefined) return { tests: [], problems: [problem] };
  if (report === undefined) return conclude(result, collectedTests(result.output), problems);
  let tests = [];
  if (existsSync(report)) {
    try {
      const { readJunit } = await import("./junit.mjs");
      tests = readJunit(await readFile(report, "utf8"));
    } catch (error) {
      problems.push(`The JUnit report can't be read: ${error.message}`);
    }
  }
  return conclude(result, tests, problems);
}

/** The tests that workerd has told of in its output. */
export function collectedTests(output) {
  return marked(output, "@@test").map(({ name, status, durationMs, detail }) => {
    return { name, status, seconds: durationMs / 1000, detail };
  });
}

/** Adds what the reports leave out: reasons of skips, details of failures, exits that nothing explains. */
function conclude(result, tests, problems) {
  const reasons = new Map(marked(result.output, "@@skip").map(({ name, reason }) => [name, reason]));
  const details = new Map(marked(result.output, "@@fail").map(({ name, detail }) => [name, detail]));
  // Node reports a file that failed as a whole, or that registered nothing, as if it were a test.
  const files = tests.filter((test) => /_test\.m?[jt]s$/.test(test.name));
  tests = tests.filter((test) => !files.includes(test));
  for (const { name, status } of files) {
    problems.push(`${name} ${status === "failed" ? "failed outside of its tests" : "registered no test"}`);
  }
  if (files.length > 0) problems.push(`The end of the output\n${result.output.slice(-4000)}`);
  for (const test of tests) {
    if (test.status === "skipped") test.detail = reasons.get(test.name) || test.detail;
    if (test.status === "failed") test.detail = details.get(test.name) ?? test.detail;
    if (test.status === "skipped" && !test.detail) problems.push(`"${test.name}" is skipped without a reason`);
  }
  if (result.timedOut) problems.push(`Stopped after ${Math.round(result.elapsedMs / 1000)} s`);
  const unexplained = result.code !== 0 && files.length === 0 && !tests.some((test) => test.status === "failed");
  if (unexplained) problems.push(`Exit code ${result.code}\n${result.output.slice(-4000)}`);
  if (tests.length === 0 && problems.length === 0) problems.push(`No test ran\n${result.output.slice(-4000)}`);
  return { tests, problems, output: result.output };
}

/** What stands as JSON in the lines that begin with a mark. */
function marked(output, mark) {
  return output.split("\n").flatMap((line) => {
    const at = line.indexOf(`${mark} {`);
    if (at < 0) return [];
    try {
      return [JSON.parse(line.slice(at + mark.length + 1))];
    } catch {
      return []; // cut off by a kill
    }
  });
}
