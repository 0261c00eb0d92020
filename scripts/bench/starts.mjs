/**
 * What a start consists of, from an empty process of Node to the first acknowledged record.
 *
 *     node scripts/bench/starts.mjs [--module /path/of/another/dist/esm/mod.js] [--runs 24]
 *
 * In ms, with `dist` as npm gets it and with each other module, without Node's compile cache and with it, by turns. All of
 * a start is CPU time of one thread, so that the least of the runs is steady where the median follows what else the machine
 * does.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "../build.mjs";
import { flagsOf } from "../lib/flags.mjs";
import { install } from "../lib/install.mjs";
import { root, runtimeBinary } from "../lib/tools.mjs";
import { startBroker } from "./brokers.mjs";
import { showSpread, spread } from "./statistics.mjs";
import { workNamed } from "./works.mjs";

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    module: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "24" },
  },
});

/** The program that is started. `%` is where its options stand. */
const program = `
const { module, brokers, topic, spawnedMs } = %;
const now = () => performance.timeOrigin + performance.now();
const begunMs = now();
const { Producer } = await import(module);
const importedMs = now();
const producer = new Producer({ brokers });
const sent = producer.send({ topic, value: new Uint8Array(100) });
const calledMs = now();
await sent;
const ackedMs = now();
console.log(JSON.stringify({
  "until the program begins": begunMs - spawnedMs,
  "import": importedMs - begunMs,
  "new Producer, send": calledMs - importedMs,
  "to the acknowledgement": ackedMs - calledMs,
  "in all": ackedMs - spawnedMs,
}));
process.exit(0);
`;

await install("test/runtimes", console.error);
await build();
const node = runtimeBinary("node24");
const caches = await mkdtemp(join(tmpdir(), "sluice-starts-"));
const broker = await startBroker("null");
process.once("SIGINT", () => process.exit(130));
try {
  const topic = await broker.makeTopic(workNamed("J"), "starts");
  const modules = [join(root, "dist/esm/mod.js"), ...flags.module];
  const subjects = modules.flatMap((module) => [
    { name: module, module, env: {}, parts: {} },
    { name: `${module}, NODE_COMPILE_CACHE`, module, env: { NODE_COMPILE_CACHE: caches }, parts: {} },
  ]);
  // One more than asked for: the first fills the caches, the system's as well.
  for (let run = 0; run <= Number(flags.runs); run++) {
    for (const { module, env, parts } of subjects) {
      const options = {
        ...{ module: pathToFileURL(module).href, brokers: broker.address, topic },
        spawnedMs: performance.timeOrigin + performance.now(),
      };
      const args = ["--input-type=module", "--eval", program.replace("%", JSON.stringify(options))];
      const { stdout } = await promisify(execFile)(node, args, { env: { ...process.env, ...env } });
      if (run === 0) continue;
      for (const [part, ms] of Object.entries(JSON.parse(stdout))) (parts[part] ??= []).push(ms);
    }
  }
  for (const { name, parts } of subjects) {
    console.log(name);
    for (const [part, ms] of Object.entries(parts)) console.log(`  ${part.padEnd(26)}${showSpread(spread(ms))}`);
  }
} finally {
  await broker.stop();
  await rm(caches, { recursive: true, force: true });
}
process.exit();
