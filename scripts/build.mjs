/**
 * Compiles `mod.ts`, `src` and `test` to `dist` with tsc: the types, what bundlers for workerd take, and what Node 20
 * tests. Beside it, in `dist/bundle`, the entry points are bundled, which is what npm gives to everyone else: to find
 * and read eighty files takes a good part of a start.
 *
 *     node scripts/build.mjs [--force]
 *
 * Does nothing when `dist` is newer than its sources.
 */

import { chmod, readFile, rename, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { listFiles, newestMs, root, run } from "./lib/tools.mjs";

const stamp = join(root, "dist", ".stamp");

/** The entry points of `package.json`, by the names of their bundles. What two of them share is in a file of its own. */
const entryPoints = {
  mod: "mod.ts",
  core: "core.ts",
  codecs: "src/codec/mod.ts",
  sockets: "src/runtime/mod.ts",
  testing: "src/testing/mod.ts",
  simulation: "src/testing/simulation/mod.ts",
  cli: "src/cli/mod.ts",
  bin: "src/cli/bin.ts",
};

/** How esbuild makes what every runtime loads. */
export const forEveryRuntime = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  mainFields: ["module", "main"],
  packages: "external",
  external: ["node:*", "cloudflare:*"],
  logLevel: "warning",
};

/** Builds when needed; resolves to whether it did, rejects with the compiler's messages. */
export async function build({ force = false } = {}) {
  const sources = [
    ...["package.json", "package-lock.json", "tsconfig.build.json", "mod.ts", "core.ts"].filter((path) =>
      existsSync(join(root, path))
    ),
    ...await listFiles("src"),
    ...await listFiles("test", (path) => !path.startsWith(join("test", "runtimes"))),
  ];
  // The list is part of the stamp, so that a file that was taken away counts as a change.
  const state = `${await newestMs(sources)}\n${sources.join("\n")}\n`;
  if (!force && existsSync(stamp) && await readFile(stamp, "utf8") === state) return false;

  // Built beside and swapped in, so that a program that runs from dist never finds half of it.
  const fresh = join(root, `.dist-${process.pid}`);
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const result = await run(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh]);
  if (result.code === 0) {
    await withoutHelper(join(fresh, "src/runtime/workerd.js"));
    await bundle(join(fresh, "bundle"));
    for (const bin of ["src/cli/bin.js", "bundle/bin.js"]) await chmod(join(fresh, bin), 0o755);
    await writeFile(join(fresh, ".stamp"), state);
  }
  // Two renames, so that whoever starts a program of dist meanwhile finds the old or the new one.
  const stale = `${fresh}-stale`;
  if (existsSync(fresh)) {
    if (existsSync(join(root, "dist"))) await rename(join(root, "dist"), stale);
    await rename(fresh, join(root, "dist"));
    await rm(stale, { recursive: true, force: true });
  }
  if (result.code !== 0) throw new Error(`tsc failed with exit code ${result.code}\n${result.output}`);
  return true;
}

async function bundle(outdir) {
  const { build: esbuild } = await import("esbuild");
  await esbuild({
    ...forEveryRuntime,
    entryPoints,
    outdir,
    chunkNames: "shared-[hash]",
    splitting: true,
    sourcemap: true,
  });
}

/**
 * Takes out what tsc puts around an import whose specifier is a variable, in case that is relative: it would be in every
 * Worker, and esbuild warns of its `this`. The lines stay where the source map has them.
 */
async function withoutHelper(path) {
  const name = "__rewriteRelativeImportExtension";
  const code = await readFile(path, "utf8");
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
