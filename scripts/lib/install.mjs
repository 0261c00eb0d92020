/** Installs what a lock file asks for, when what is installed differs from it. */

import { readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { root, run } from "./tools.mjs";

/**
 * Resolves to whether something was installed, rejects with what npm said. The folder counts from the project's.
 *
 * @param {string} path
 * @param {(line: string) => void} [log]
 */
export async function install(path, log = () => {}) {
  const folder = resolve(root, path);
  const name = relative(root, folder) || "the project";
  const wanted = await packagesOf(join(folder, "package-lock.json"));
  const installed = await packagesOf(join(folder, "node_modules", ".package-lock.json"));
  if (installed !== undefined && wanted !== undefined && satisfies(installed, wanted)) return false;
  log(`Installing the packages of ${name} …`);
  // Not `npm ci`, which would take away first what is installed already. The versions are those of the lock file all the
  // same, and the file stays as it is.
  const args = ["install", "--no-save", "--no-audit", "--no-fund"];
  // Under `npm test` the running npm is known; its own script starts on every system.
  const npm = process.env.npm_execpath;
  const [command, before] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  const { code, output } = await run(command, [...before, ...args], { cwd: folder });
  if (code !== 0) {
    const said = output.replace(/https?:\/\/[^\s)"']+/g, "<registry>").slice(-2_000);
    throw new Error(`npm install in ${name} failed with exit code ${code}\n${said}`);
  }
  return true;
}

async function packagesOf(path) {
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text).packages;
}

/** Times of files say nothing here: npm writes the lock file after what it installs. */
function satisfies(installed, wanted) {
  return Object.entries(wanted).every(([path, { version, optional, link }]) => {
    if (path === "" || link) return true;
    return installed[path] === undefined ? optional : installed[path].version === version;
  });
}
