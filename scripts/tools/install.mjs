/** Installs a folder's npm packages when they are missing or older than its lock file. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "../lib/tools.mjs";

/** Does nothing when all is there; rejects with npm's words when it fails. */
export async function install(folder, log = () => {}) {
  const cwd = join(root, folder);
  const done = join(cwd, "node_modules", ".package-lock.json");
  const lock = join(cwd, "package-lock.json");
  // npm writes the two within moments of each other, in either order.
  if (existsSync(done) && statSync(done).mtimeMs > statSync(lock).mtimeMs - 5_000) return;
  log(`Installing the packages of ${folder === "" ? "the project" : folder} …`);
  const { code, output } = await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd });
  if (code === 0) return;
  const said = output.replace(/https?:\/\/[^\s)"']+/g, "<registry>").slice(-2_000);
  throw new Error(`npm ci in "${folder || "."}" failed with exit code ${code}:\n${said}`);
}
