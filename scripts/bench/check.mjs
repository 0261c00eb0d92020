/**
 * `npm run bench:check`: has the client become slower? A few minutes; fails when it has, by more than 25 %.
 *
 *     npm run bench:check [-- --update] [-- --runs 5]
 *
 * Compares CPU per record, in units of a fixed piece of JavaScript that runs between the measurements: so a slower or
 * busier machine changes both. What it was is in scripts/bench/results/check.json; `--update` writes that file.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { flagsOf } from "../lib/flags.mjs";
import { install } from "../lib/install.mjs";
import { run, runtimeBinary } from "../lib/tools.mjs";
import { startBroker } from "./brokers.mjs";
import { findClient } from "./clients.mjs";
import { measure } from "./measure.mjs";
import { problemOf } from "./results.mjs";
import { spread } from "./statistics.mjs";
import { workNamed } from "./works.mjs";

const stored = fileURLToPath(new URL("results/check.json", import.meta.url));
const reference = fileURLToPath(new URL("reference.mjs", import.meta.url));
const runtime = "node24";
const allowed = 1.25;

/** Work set and the part of its records that is enough here. */
const works = { "A": 0.25, "C": 1, "D": 0.5, "Dw": 0.5, "Dp": 0.5, "E-none": 1, "E-lz4": 0.5, "F": 0.5, "I1000": 0.5 };

const { values: flags } = flagsOf(import.meta.url, {
  options: { update: { type: "boolean", default: false }, runs: { type: "string", default: "7" } },
});

process.once("SIGINT", () => process.exit(130));
if (!flags.update && !existsSync(stored)) {
  console.error("There is nothing to compare with: run npm run bench:check -- --update first");
  process.exit(1);
}
process.exit(await check());

async function check() {
  await install("test/runtimes", console.error);
  const client = await findClient("sluice", runtime, console.error);
  const broker = await startBroker("null");
  const ratios = new Map(Object.keys(works).map((name) => [name, []]));
  try {
    for (let round = 0; round < Number(flags.runs); round++) {
      for (const [name, scale] of Object.entries(works)) {
        const unitMs = (await referenceCpuMs() + await referenceCpuMs()) / 2;
        const result = await measure({ broker, client, work: client.workFor(workNamed(name)), scale });
        const problem = problemOf(result);
        if (problem !== undefined) throw new Error(`${name}: ${problem}`);
        ratios.get(name).push(result.cpuUs / unitMs * 1000);
      }
    }
  } catch (error) {
    console.error(error.message);
    return 1;
  } finally {
    await broker.stop();
  }
  const medians = Object.fromEntries([...ratios].map(([name, all]) => [name, spread(all)]));
  if (!flags.update) return compare(medians);
  const rounded = Object.entries(medians).map(([name, { median }]) => [name, Number(median.toPrecision(4))]);
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  writeFileSync(stored, JSON.stringify(Object.fromEntries(rounded), undefined, 2) + "\n");
  console.log(`Stored ${rounded.map(([name, median]) => `${name} ${median}`).join(", ")}`);
  return 0;
}

function compare(medians) {
  const before = JSON.parse(readFileSync(stored, "utf8"));
  let worse = 0;
  for (const [name, { median, min, max }] of Object.entries(medians)) {
    const change = median / before[name];
    // The median says that it is slower; the least says that it isn't the machine.
    const failed = change > allowed && min > before[name];
    if (failed) worse++;
    const range = `${min.toPrecision(3)}..${max.toPrecision(3)}`;
    const figures = `${median.toPrecision(3)} (${range}), was ${before[name]}, ${percent(change)}`;
    console.log(`${failed ? "✗" : "✓"} ${name.padEnd(7)} ${figures}`);
  }
  console.log(worse === 0 ? "No work set became slower" : `${worse} became slower by more than ${percent(allowed)}`);
  return worse === 0 ? 0 : 1;
}

function percent(factor) {
  return `${factor >= 1 ? "+" : "−"}${Math.abs(Math.round((factor - 1) * 100))} %`;
}

async function referenceCpuMs() {
  const { code, output } = await run(runtimeBinary(runtime), [reference]);
  const line = output.split("\n").find((each) => each.startsWith("@@result "));
  if (code !== 0 || line === undefined) throw new Error(`The reference failed: ${output}`);
  return JSON.parse(line.slice(9)).cpuMs;
}
