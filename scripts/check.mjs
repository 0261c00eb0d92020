/**
 * `npm run check`: format, lint, types, documentation and packages, one after the other.
 *
 *     npm run check [-- --fix] [-- --only fmt,lint]
 *
 * Installs what is missing first. `--fix` formats and mends what the linters can mend. Exit code 1 when a step fails.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { listFiles, root, run, runtimeBinary } from "./lib/tools.mjs";
import { install } from "./lib/install.mjs";

/** The steps by name; each resolves to `{ ok, output }`. */
const steps = {
  "fmt": ({ fix }) => deno(["fmt", "--config=deno.json", ...fix ? [] : ["--check"]]),
  "lint": ({ fix }) => deno(["lint", "--config=deno.json", ...fix ? ["--fix"] : []]),
  "oxlint": ({ fix }) => oxlint(fix),
  "tsc": () => execute(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--noEmit"]),
  "scripts": () => scripts(),
  "deno check": async () => deno(["check", ...lockless, "mod.ts", "core.ts", "src", ...await tests(), ...examples()]),
  "snippets": () => deno(["check", ...lockless, "--doc", ...entryPoints()]),
  "readme": async () => deno(["check", ...lockless, "--doc-only", ...await documents()]),
  "reference": ({ fix }) => reference(fix),
  // ./otel names types of @opentelemetry/api, which aren't documented here.
  "deno doc": () => deno(["doc", "--lint", ...entryPoints().filter((path) => !path.includes("/otel/"))]),
  "deno publish": () => deno(["publish", "--dry-run", "--allow-dirty"]),
  "architecture": () => architecture(),
  "wasm": async () => (await import("./wasm.mjs")).checkKernels(),
  "mutants fit": () => execute(process.execPath, [join(root, "scripts/mutants.mjs"), "--fit"]),
  "lock files": () => lockFiles(),
  "npm manifest": ({ fix }) => npmManifest(fix),
  "npm package": () => npmPackage(),
  "consumers": () => consumers(),
  "fresh clone": async () => (await import("../test/programs/fresh_clone.mjs")).checkFreshClone(),
};

/** Deno keeps no lock file here: npm's is the one. */
const lockless = ["--no-lock"];

/** Runs all steps, or the named ones; resolves to the names of those that failed. */
export async function runChecks({ fix = false, only = Object.keys(steps), log = (line) => console.log(line) } = {}) {
  for (const folder of ["", "test/runtimes", "scripts/tools", "test/interop"]) await install(folder, log);
  const failed = [];
  for (const name of only) {
    const startedMs = performance.now();
    const { ok, output } = await steps[name]({ fix }).catch((error) => ({ ok: false, output: error.message }));
    log(`${ok ? "✓" : "✗"} ${name} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
    if (ok) continue;
    failed.push(name);
    log(output.trim().replace(/^/gm, "    "));
  }
  return failed;
}

async function execute(command, args, more = {}) {
  const { FORCE_COLOR: _, ...inherited } = process.env;
  const env = { ...inherited, NO_COLOR: "1", ...more };
  const { code, output } = await run(command, args, { env, timeoutMs: 300_000 });
  return { ok: code === 0, output };
}

async function deno(args) {
  const binary = runtimeBinary("deno");
  if (binary === undefined) return { ok: false, output: "Deno is not installed in test/runtimes" };
  return await execute(binary, args);
}

/** What Deno's linter can't: rules that need types or other files, and the shape of functions. */
async function oxlint(fix) {
  const { runLint } = await import("./lint.mjs");
  const failed = (await runLint({ fix })).filter(({ status }) => status === "failed");
  return { ok: failed.length === 0, output: failed.map(({ name, detail }) => `${name}\n${detail}`).join("\n") };
}

/**
 * The types of what is JavaScript: scripts, and tests of whole programs. The sources that they import are checked above,
 * with stricter rules; what drives other clients in benchmarks needs packages that only those install.
 */
async function scripts() {
  await (await import("./build.mjs")).build(); // some import what is compiled
  const { output } = await execute(join(root, "node_modules/.bin/tsc"), [
    "-p",
    "tsconfig.scripts.json",
    "--pretty",
    "false",
  ]);
  const found = output.split("\n").filter((line) => line.includes("error TS"));
  const broken = found.filter((line) => !/^(src|dist|test\/.*\.ts|scripts\/bench\/peers)\b/.test(line));
  return { ok: broken.length === 0, output: broken.join("\n") };
}

async function architecture() {
  const script = join(root, "scripts/architecture.mjs");
  if (!existsSync(script)) return { ok: false, output: "There is no scripts/architecture.mjs" };
  return await execute(process.execPath, [script]);
}

/** A lock file that names the registry it came from ties everybody to that registry. */
async function lockFiles() {
  const { output } = await execute("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*-lock.json"]);
  const files = output.split("\n").filter((path) => path !== "" && existsSync(join(root, path)));
  const bad = files.filter((path) => readFileSync(join(root, path), "utf8").includes('"resolved": "http'));
  const fixIt = "install again with npm's omit-lockfile-registry-resolved";
  return { ok: bad.length === 0, output: bad.map((path) => `${path} names a registry: ${fixIt}`).join("\n") };
}

/** What `package.json` says of its entry points is what follows from `deno.json`; `--fix` writes it there. */
async function npmManifest(fix) {
  const { manifest, writeManifest } = await import("./lib/package.mjs");
  if (fix) await writeManifest();
  const is = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const wrong = Object.entries(await manifest()).filter(([name, wanted]) => {
    return JSON.stringify(is[name]) !== JSON.stringify(wanted);
  });
  const output = wrong.map(([name]) => `"${name}" in package.json doesn't follow deno.json: run it with --fix`);
  return { ok: wrong.length === 0, output: output.join("\n") };
}

/** Packs what npm would get and looks at it as a stranger would. */
async function npmPackage() {
  const { pack } = await import("../test/programs/consumers.mjs");
  const tarball = await pack();
  const bin = join(root, "scripts/tools/node_modules/.bin");
  const results = [
    await execute(join(bin, "publint"), ["run", tarball, "--strict"]),
    await execute(join(bin, "attw"), [tarball, "--no-color", "--no-emoji"]),
  ];
  return { ok: results.every(({ ok }) => ok), output: results.map(({ output }) => output).join("\n") };
}

/** Compiles, bundles and tests with what users have. */
async function consumers() {
  const { runConsumers } = await import("../test/programs/consumers.mjs");
  const failed = (await runConsumers()).filter(({ ok }) => !ok);
  return { ok: failed.length === 0, output: failed.map(({ name, output }) => `${name}\n${output}`).join("\n\n") };
}

/** The entry points of `deno.json`. */
function entryPoints() {
  return Object.values(JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).exports);
}

/** README.md and the pages of docs/ that people write: what is written from the sources is checked there. */
async function documents() {
  return ["README.md", ...await listFiles("docs", (path) => path.endsWith(".md") && !path.includes("/reference/api"))];
}

/** The pages of docs/reference that follow from the sources; `--fix` writes them. */
async function reference(fix) {
  const { checkReference } = await import("./reference.mjs");
  const stale = await checkReference(fix);
  return {
    ok: fix || stale.length === 0,
    output: stale.map((path) => `${path} is stale: run it with --fix`).join("\n"),
  };
}

/** What is TypeScript under `test`: the scripts beside it use packages that only some folders have. */
async function tests() {
  return await listFiles("test", (path) => path.endsWith(".ts"));
}

/** All but the one that needs Bun's types. */
function examples() {
  return present("examples").flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`))
    .filter((path) => path.endsWith(".ts") && path !== "examples/bun.ts");
}

function present(...paths) {
  return paths.filter((path) => existsSync(join(root, path)));
}

async function main() {
  const { values } = flagsOf(import.meta.url, {
    options: { fix: { type: "boolean", default: false }, only: { type: "string" } },
  });
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !(name in steps));
  if (unknown !== undefined) {
    throw new Error(`There is no step "${unknown}", wanted one of ${Object.keys(steps).join(", ")}`);
  }
  const failed = await runChecks({ fix: values.fix, only });
  console.log(failed.length === 0 ? "All checks passed" : `${failed.length} failed: ${failed.join(", ")}`);
  if (failed.length > 0) process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
