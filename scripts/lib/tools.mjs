/** Where things are, and how a child process is run: shared by the scripts. */

import { spawn } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[/\\]$/, "");
export const cacheDir = join(root, ".cache");
export const runtimesDir = join(root, "test", "runtimes");

/** The path of an executable that `test/runtimes` brings, or undefined where it isn't installed. */
export function runtimeBinary(name) {
  const modules = join(runtimesDir, "node_modules");
  const path = name.startsWith("node") ? join(modules, name, "bin", "node") : join(modules, ".bin", name);
  if (existsSync(path)) return path;
  if (name === `node${process.versions.node.split(".")[0]}`) return process.execPath;
  return undefined;
}

/**
 * Every file under a folder, as paths from the root with forward slashes, in order of the alphabet.
 *
 * @param {string} folder
 * @param {(path: string) => boolean} [accept]
 * @returns {Promise<string[]>}
 */
export async function listFiles(folder, accept = () => true) {
  const found = [];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    if (entry.name === "node_modules" || entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...await listFiles(path, accept));
    else if (accept(path)) found.push(relative(".", path).split(sep).join("/"));
  }
  return found.sort();
}

/** Makes a folder that is complete the one at a path, all at once. Of two processes the faster one's stays. */
export function moveIntoPlace(folder, path) {
  try {
    renameSync(folder, path);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (!existsSync(path)) throw error;
  }
}

/** When the newest of the files was changed, in ms since the epoch. */
export async function newestMs(paths) {
  const stats = await Promise.all(paths.map((path) => stat(join(root, path))));
  return Math.max(0, ...stats.map((each) => each.mtimeMs));
}

/**
 * Runs a program to its end; resolves to `{ code, output, stdout, stderr, timedOut, elapsedMs }`, where `output` is both
 * streams together. Its whole process group is killed when time is up, so that no grandchild keeps the pipes open.
 * `onLine` is told each line as it comes.
 *
 * @typedef {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string | Uint8Array, timeoutMs?: number,
 *   onLine?: (line: string) => void }} RunOptions
 * @typedef {{ code: number, output: string, stdout: string, stderr: string, timedOut: boolean, elapsedMs: number }} Ran
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Ran>}
 */
export function run(
  command,
  args,
  { cwd = root, env = process.env, input, timeoutMs = 600_000, onLine } = {},
) {
  return new Promise((resolve) => {
    const startedMs = performance.now();
    const stdin = input === undefined ? "ignore" : "pipe";
    const child = spawn(command, args, { cwd, env, stdio: [stdin, "pipe", "pipe"], detached: true });
    const printed = { output: "", stdout: "", stderr: "" };
    let timedOut = false;
    const kill = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it has just ended by itself
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      for (const name of ["output", "stderr"]) printed[name] += `\nkilled after ${timeoutMs} ms\n`;
      kill();
    }, timeoutMs);
    process.once("exit", kill);
    const rests = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (text) => {
        printed[name] += text;
        printed.output += text;
        if (onLine === undefined) return;
        const lines = (rests[name] + text).split("\n");
        rests[name] = lines.pop();
        lines.forEach((line) => onLine(line));
      });
    }
    if (input !== undefined) child.stdin.on("error", () => {}).end(input); // it may end without reading all
    const end = (code, error) => {
      clearTimeout(timer);
      process.removeListener("exit", kill);
      if (error !== undefined) printed.output += `${error}\n`;
      for (const rest of Object.values(rests)) if (rest !== "") onLine?.(rest);
      resolve({ code, ...printed, timedOut, elapsedMs: performance.now() - startedMs });
    };
    child.once("error", (error) => end(-1, error));
    child.once("close", (code) => end(code ?? -1));
  });
}
