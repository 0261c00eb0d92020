/** The runtimes that are found, and how each runs the command line. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root, run } from "./tools.mjs";

/** The command line as Node runs it, on every version from 20: compiled. */
export const compiled = [process.execPath, join("dist", "src", "cli", "bin.js")];

/** `[{ name, version, command }]`: Node always, Deno and Bun where they are found. Those run the sources as they are. */
export async function findRuntimes() {
  const source = join("src", "cli", "bin.ts");
  const deno = findProgram("deno");
  const bun = findProgram("bun");
  const candidates = [
    { name: "node", program: process.execPath, command: compiled },
    {
      name: "deno",
      program: deno,
      // What the command line needs to be granted, and nothing more.
      command: [deno, "run", "--no-prompt", "--no-lock", "--allow-net", "--allow-env", "--allow-read", source],
    },
    { name: "bun", program: bun, command: [bun, "run", source] },
  ];
  const found = candidates.filter(({ program }) => program !== undefined);
  const versions = await Promise.all(found.map(({ program }) => run(program, ["--version"], { timeoutMs: 30_000 })));
  return found.flatMap(({ name, command }, index) => {
    const { code, output } = versions[index];
    const version = /\d+\.\d+\.\d+\S*/.exec(output)?.[0];
    return code === 0 && version !== undefined ? [{ name, version, command }] : [];
  });
}

/** On the PATH, or installed by the project or by its test matrix. */
export function findProgram(name) {
  const folders = [
    join(root, "test", "runtimes", "node_modules", ".bin"),
    join(root, "node_modules", ".bin"),
    ...(process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== ""),
  ];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
