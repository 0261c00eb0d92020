/** The legs of the matrix: how each runtime is made to run the suite, and what it reports. */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "../build.mjs";
import { readJunit } from "./junit.mjs";
import { cacheDir, root, run, runtimeBinary } from "./tools.mjs";

/** The environment variable, and in workerd the global, that carries the ports of the helper servers. */
const portsName = "SLUICE_TEST_SERVERS";

/**
 * Every leg, by name. `run({ files, ports, timeoutMs })` resolves to `{ tests, problems }`; a problem is anything
 * that isn't the failure of one test: a build error, an exit code that no failed test explains, a leg out of time.
 */
export const legs = {
  node20: node("node20", { compiled: true }),
  node22: node("node22"),
  node24: node("node24"),
  node26: node("node26"),
  deno: { run: runDeno },
  bun: { run: runBun },
  workerd: { run: runWorkerd },
};

function node(name, { compiled = false } = {}) {
  return {
    async run({ files, ports, timeoutMs, dir }) {
      const binary = runtimeBinary(name);
      if (binary === undefined) return missing(name);
      const problems = [];
      if (compiled) await build().catch((error) => problems.push(error.message));
      const paths = compiled ? files.map((file) => `dist/${file.replace(/\.ts$/, ".js")}`) : files;
      const report = join(dir, "junit.xml");
      const result = await run(binary, [
        "--disable-warning=ExperimentalWarning",
        "--test",
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        "--test-reporter=junit",
        `--test-reporter-destination=${report}`,
        ...paths,
      ], { env: environment(ports), timeoutMs });
      return await collect(result, report, problems);
    },
  };
}

async function runDeno({ files, ports, timeoutMs, dir }) {
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
  ], { env: environment(ports), timeoutMs });
  return await collect(result, report);
}

async function runBun({ files, ports, timeoutMs, dir }) {
  const binary = runtimeBinary("bun");
  if (binary === undefined) return missing("bun");
  const report = join(dir, "junit.xml");
  const result = await run(binary, [
    "test",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...files.map((file) => `./${file}`),
  ], { env: environment(ports), timeoutMs });
  return await collect(result, report);
}

async function runWorkerd({ files, ports, timeoutMs, dir }) {
  const binary = runtimeBinary("workerd");
  if (binary === undefined) return missing("workerd");
  const problems = [];
  const imports = files.map((file) => `import ${JSON.stringify(relative(dir, join(root, file)))};`);
  await writeFile(
    join(dir, "entry.mjs"),
    `import "./ports.mjs";
${imports.join("\n")}
import { workerHandlers } from ${JSON.stringify(relative(dir, join(root, "test/harness.ts")))};
export default workerHandlers();
`,
  );
  await writeFile(join(dir, "ports.mjs"), `globalThis.${portsName} = ${JSON.stringify(JSON.stringify(ports))};\n`);
  try {
    await bundle(join(dir, "entry.mjs"), join(dir, "worker.mjs"));
  } catch (error) {
    return { tests: [], problems: [error.message] };
  }
  // Assertions come from node:assert, hence nodejs_compat; that the client needs none of it is a check of its own.
  const result = await runWorker(binary, dir, "worker.mjs", ["nodejs_compat"], timeoutMs, [ports.tls.ca]);
  const tests = lines(result.output, "@@test").map(({ name, status, durationMs, detail }) => ({
    name,
    status,
    seconds: durationMs / 1000,
    detail,
  }));
  return conclude(result, tests, problems);
}

/** The conditions of wrangler. */
export const workerConditions = ["workerd", "worker", "browser"];

/**
 * Bundles, for workerd unless other conditions are given. The tests are imported for their effect, which
 * `sideEffects: false` would drop.
 */
export async function bundle(entry, outfile, conditions = workerConditions) {
  const { build: esbuild } = await import("esbuild");
  await esbuild({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    mainFields: ["module", "main"],
    conditions,
    external: ["cloudflare:*", "node:*"],
    loader: { ".wasm": "binary" },
    ignoreAnnotations: true,
    keepNames: true,
    logLevel: "silent",
  });
}

/** Runs the `test` handler of a bundled worker, which trusts these authorities (PEM) beside those of browsers. */
export async function runWorker(binary, dir, file, flags, timeoutMs, authorities = []) {
  const config = join(dir, `${file}.capnp`);
  const trusted = authorities.map((pem) => JSON.stringify(pem)).join(", ");
  await writeFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true, trustedCertificates = [${trusted}]))),
  ],
);

const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "${file}")],
  compatibilityDate = "2025-06-01",
  compatibilityFlags = [${flags.map((flag) => JSON.stringify(flag)).join(", ")}],
  bindings = [(name = "SELF", service = "main")],
);
`,
  );
  return await run(binary, ["test", config], { timeoutMs });
}

/** A fresh folder for what a leg writes. */
export async function legDir(name) {
  const dir = join(cacheDir, "matrix", `${name}-${process.pid}`);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  return dir;
}

function environment(ports) {
  return { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", [portsName]: JSON.stringify(ports) };
}

function missing(name) {
  return { tests: [], problems: [`${name} is not installed: run npm install in test/runtimes`] };
}

async function collect(result, report, problems = []) {
  let tests = [];
  if (existsSync(report)) {
    try {
      tests = readJunit(await readFile(report, "utf8"));
    } catch (error) {
      problems.push(`The JUnit report can't be read: ${error.message}`);
    }
  }
  return conclude(result, tests, problems);
}

/** Adds what the reports leave out: reasons of skips, details of failures, exits that nothing explains. */
function conclude(result, tests, problems) {
  const reasons = new Map(lines(result.output, "@@skip").map(({ name, reason }) => [name, reason]));
  const details = new Map(lines(result.output, "@@fail").map(({ name, detail }) => [name, detail]));
  // Node reports a file that failed as a whole, or that registered nothing, as if it were a test.
  const files = tests.filter((test) => /_test\.[jt]s$/.test(test.name));
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

function lines(output, mark) {
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
