/**
 * Compiles `mod.ts`, `src` and `test` to `dist` with tsc, which is what Node 20 tests, and makes of the sources what npm
 * gets: `dist/esm`, `dist/cjs` and `dist/types`.
 *
 *     node scripts/build.mjs [--force]
 *
 * Installs the packages that it needs. Does nothing when `dist` is newer than its sources.
 */

import { chmod, readFile, rename, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { install } from "./lib/install.mjs";
import { makePackage } from "./lib/package.mjs";
import { cacheDir, listFiles, newestMs, root, run } from "./lib/tools.mjs";

const stamp = join(root, "dist", ".stamp");

/** Builds when needed; resolves to whether it did, rejects with the compiler's messages. */
export async function build({ force = false } = {}) {
  const state = await stateOf([
    ...["package.json", "package-lock.json", "deno.json"],
    ...["build.mjs", "lib/package.mjs", "tools/package-lock.json"].map((path) => `scripts/${path}`),
  ]);
  if (!force && existsSync(stamp) && await readFile(stamp, "utf8") === state) return false;

  for (const folder of ["", "scripts/tools"]) await install(folder, (line) => console.error(line));
  // Built beside and swapped in with two renames, so that a program that is started meanwhile finds the old or the new one.
  const fresh = join(root, `.dist-${process.pid}`);
  const stale = `${fresh}-stale`;
  try {
    await runTsc(fresh);
    await makePackage(fresh);
    for (const bin of ["src/cli/bin.js", "esm/bin.js"]) await chmod(join(fresh, bin), 0o755);
    await writeFile(join(fresh, ".stamp"), state);
    if (existsSync(join(root, "dist"))) await rename(join(root, "dist"), stale);
    await rename(fresh, join(root, "dist"));
  } finally {
    for (const path of [fresh, stale]) await rm(path, { recursive: true, force: true });
  }
  return true;
}

/**
 * Compiles sources and tests for a Node that doesn't take types, unless that is done already; resolves to the folder. It
 * is not `dist`: what npm gets takes ten times as long to make.
 */
export async function compile() {
  const folder = join(cacheDir, "compiled");
  const state = await stateOf();
  const done = join(folder, ".stamp");
  if (existsSync(done) && await readFile(done, "utf8") === state) return folder;
  await install("", (line) => console.error(line));
  await rm(done, { force: true });
  await runTsc(folder, ["--incremental", "--tsBuildInfoFile", join(folder, ".tsbuildinfo")]);
  await writeFile(done, state);
  return folder;
}

/** What must be the same for something that was made of the sources to be good still. */
async function stateOf(more = []) {
  const sources = [
    ...more,
    ...["tsconfig.build.json", "mod.ts", "core.ts"],
    ...await listFiles("src"),
    ...await listFiles("test", (path) => !/test.(runtimes|consumers)/.test(path)),
  ];
  // The list is part of it, so that a file that was taken away counts as a change.
  return `${await newestMs(sources)}\n${sources.join("\n")}\n`;
}

async function runTsc(outDir, more = []) {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const args = [tsc, "-p", "tsconfig.build.json", "--outDir", outDir, ...more];
  const { code, output } = await run(process.execPath, args);
  if (code !== 0) throw new Error(`tsc failed with exit code ${code}\n${output}`);
  await withoutHelper(join(outDir, "src/runtime/workerd.js"));
  // What the compiled sources import by "#" are compiled sources as well, and not what npm gets.
  const manifest = await readFile(join(root, "src/package.json"), "utf8");
  await writeFile(join(outDir, "src/package.json"), manifest.replaceAll('.ts"', '.js"'));
}

/**
 * Takes out what tsc puts around an import whose specifier is a variable, in case that is relative: it would be in every
 * Worker, and esbuild warns of its `this`. The lines stay where the source map has them.
 */
async function withoutHelper(path) {
  const name = "__rewriteRelativeImportExtension";
  const code = await readFile(path, "utf8");
  if (!code.includes(name)) return; // not compiled anew
  const bare = code
    .replace(new RegExp(`^var ${name} = [^]*?^};$`, "m"), (helper) => "\n".repeat(helper.split("\n").length - 1))
    .replace(new RegExp(`${name}\\(((?:/\\*[^*]*\\*/ )*\\w+)\\)`), "$1");
  if (bare.includes(name)) throw new Error(`${path} still has ${name}`);
  await writeFile(path, bare);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    const startedMs = performance.now();
    const built = await build({ force: process.argv.includes("--force") });
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(built ? `Built dist in ${seconds} s` : "dist is up to date");
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
