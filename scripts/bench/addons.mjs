/**
 * The addons of node-gyp, compiled, which takes minutes; they work on the one Node that they were compiled for. What
 * was built is kept under `.cache/bench/addons`, as npm throws it away when it installs anything else.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDir, run, runtimeBinary } from "../lib/tools.mjs";

const peers = fileURLToPath(new URL("peers/", import.meta.url));

/** Gets an addon ready for a runtime; rejects with the reason why it can't be. */
export async function ensureAddon(module, runtime, log) {
  if (!runtime.startsWith("node")) throw new Error(`${module} is an addon for Node`);
  const folder = join(peers, "node_modules", module);
  if (!existsSync(folder)) throw new Error(`npm did not install ${module}`);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const kept = join(cacheDir, "bench", "addons", `${module.replace("/", "-")}-${version}-${runtime}`);
  const failure = join(kept, "failure.txt");
  if (existsSync(failure)) throw new Error(`${readFileSync(failure, "utf8")} (delete ${failure} to try again)`);
  if (!existsSync(kept)) {
    log(`Building ${module} for ${runtime}; this takes minutes …`);
    const complaint = await build(module, runtime);
    mkdirSync(kept, { recursive: true });
    if (complaint !== undefined) {
      writeFileSync(failure, complaint);
      throw new Error(complaint);
    }
    for (const path of products(join(folder, "build"))) cpSync(join(folder, "build", path), join(kept, path));
  }
  const missing = products(kept).filter((path) => !existsSync(join(folder, "build", path)));
  for (const path of missing) cpSync(join(kept, path), join(folder, "build", path), { recursive: true });
}

/** Resolves to undefined, or to what went wrong. */
async function build(module, runtime) {
  const home = dirname(dirname(runtimeBinary(runtime)));
  const env = {
    ...process.env,
    PATH: [join(home, "bin"), process.env.PATH].join(delimiter),
    CKJS_LINKING: "dynamic", // static linking would fetch the sources of everything else
    ...existsSync(join(home, "include", "node")) ? { npm_config_nodedir: home } : {},
  };
  const args = ["-n", "5", "npm", "rebuild", module, "--foreground-scripts", "--ignore-scripts=false"];
  const { code, output } = await run("nice", args, { cwd: peers, env, timeoutMs: 2_400_000 });
  if (code === 0) return undefined;
  return `Building ${module} failed: ${output.replace(/https?:\/\/[^\s)"']+/g, "<address>").trim().slice(-300)}`;
}

/** The addon and the libraries that it loads, as paths in its build folder; links are left out. */
function products(folder) {
  return ["Release", "deps"].filter((name) => existsSync(join(folder, name))).flatMap((name) =>
    readdirSync(join(folder, name), { withFileTypes: true })
      .filter((entry) => entry.isFile() && (name === "deps" ? /\.(so|dylib)(\.\d+)*$/ : /\.node$/).test(entry.name))
      .map((entry) => join(name, entry.name))
  );
}
