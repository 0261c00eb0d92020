/**
 * Part of the suite on one runtime, in seconds.
 *
 *     npm run t -- test/producer/gates_test.ts           one file
 *     npm run t -- producer                              a folder, or whatever a word in the paths finds
 *     npm run t -- gates "waits for the answers"         of those files, the tests with these words in their names
 *     npm run t -- "records that linger" deno            by names alone; on node20 … node26, deno, bun or workerd
 *
 * Without a runtime it is the Node that runs this. From 22.18 that takes TypeScript as it is, so that a file needs nothing
 * to be installed or built; on an older one the tests are compiled first.
 */

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { collectedTests, isTest, legDir, legs, startTests } from "./lib/legs.mjs";
import { startServers } from "./lib/servers.mjs";
import { listFiles, root } from "./lib/tools.mjs";

const { positionals } = flagsOf(import.meta.url, { allowPositionals: true, options: {} });
const runtime = positionals.at(-1) in legs ? positionals.pop() : "node";

try {
  await main(positionals);
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}

async function main(words) {
  const { files, names } = await select(words);
  const what = files.length === 1 ? files[0] : `${files.length} files`;
  console.log(`${what}${names === "" ? "" : `, tests with "${names}" in their names`}, on ${runtime}`);
  // Only tests of sockets dial them.
  const servers = files.some((file) => file.startsWith("test/runtime/")) ? await startServers() : undefined;
  const dir = await legDir("t");
  if (runtime !== "node") await install("test/runtimes", console.log);
  // A file mostly needs no package, most folders do.
  if (files.length > 1) await install("", console.log);
  let chosen = names === "";
  const onLine = (line) => {
    if (line.startsWith("@@chosen")) chosen = true;
    for (const { name, status, seconds, detail = "" } of collectedTests(line)) {
      const mark = { passed: "✔", failed: "✖", skipped: "﹣" }[status];
      console.log(`${mark} ${name} (${(seconds * 1000).toFixed(1)} ms)${detail.replace(/^(?=.)/gm, "\n    ")}`);
    }
    if (!line.startsWith("@@") && !line.startsWith("workerd/server")) console.log(line);
  };
  try {
    const started = await startTests(runtime, { files, names, dir, onLine, ports: servers?.ports, timeoutMs: 600_000 });
    if (started.problem !== undefined) throw new Error(started.problem);
    if (/ERR_MODULE_NOT_FOUND|Cannot find package/.test(started.result.output) && await install("", console.log)) {
      return await main(words);
    }
    if (!chosen) throw new Error(`No test has "${names}" in its name`);
    const { code, timedOut, elapsedMs } = started.result;
    if (timedOut) console.log("Stopped after ten minutes");
    if (code !== 0) process.exitCode = 1;
    console.log(`${code === 0 ? "✓ Passed" : "✗ Failed"} in ${(elapsedMs / 1000).toFixed(1)} s`);
  } finally {
    await servers?.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** A word that paths have narrows the files; the others are looked for in the tests' names. */
async function select(words) {
  let files = await listFiles("test", isTest);
  const unused = [];
  for (const word of words) {
    const narrowed = files.filter((file) => file.includes(word.replace(/^\.\//, "")));
    if (narrowed.length > 0) files = narrowed;
    else unused.push(word);
  }
  const names = unused.join(" ");
  if (names === "") return { files, names };
  const sources = await Promise.all(files.map((file) => readFile(join(root, file), "utf8")));
  const having = files.filter((_, index) => sources[index].toLowerCase().includes(names.toLowerCase()));
  // A name may be put together from parts, which no search finds.
  return { files: having.length > 0 ? having : files, names };
}
