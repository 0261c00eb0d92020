/**
 * `npm run bench:check`: has the client become slower? Some minutes; fails when it has, by more than 25 %.
 *
 *     npm run bench:check [-- --update] [-- --runs 5] [-- --work D,F]
 *
 * Compares CPU per record with what else runs in between, so that a slower or busier machine changes both: with a fixed
 * piece of JavaScript, from a fresh process; and with other clients that do the same work against the null broker, after
 * a tenth of it, so that most of the code is compiled. What it was is in scripts/bench/results/check.json; `--update`
 * writes that file. A client that can't be made ready here is named, and its rows are left out.
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

/** Work set, and the part of its records that is enough here. */
const scales = { "A": 0.25, "C": 1, "D": 0.5, "Dw": 0.5, "Dp": 0.5, "E-none": 1, "E-lz4": 0.5, "F": 0.5, "I1000": 0.5 };

/** Work set, the others that are compared in it, and the part of its records. */
const contests = [
  ...["A", "B", "Ah", "Bh", "C"].map((work) => ({ work, others: ["kafkats"], scale: 1 })),
  ...["A", "B", "C", "D", "Dw", "E-none", "F"].map((work) => ({ work, others: ["librdkafka"], scale: 1 })),
];
const warm = 0.1;

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    update: { type: "boolean", default: false },
    runs: { type: "string", default: "7" },
    work: { type: "string" },
  },
});
const isWanted = (work) => flags.work === undefined || flags.work.split(",").includes(work);

process.once("SIGINT", () => process.exit(130));
if (!flags.update && !existsSync(stored)) {
  console.error("There is nothing to compare with: run npm run bench:check -- --update first");
  process.exit(1);
}
process.exit(await check());

async function check() {
  await install("test/runtimes", console.error);
  const sluice = await findClient("sluice", runtime, console.error);
  const others = await findOthers();
  const broker = await startBroker("null");
  const ratios = new Map();
  const note = (name, ratio) => ratios.set(name, [...ratios.get(name) ?? [], ratio]);
  try {
    for (let round = 0; round < Number(flags.runs); round++) {
      for (const [work, scale] of Object.entries(scales).filter(([each]) => isWanted(each))) {
        const unitMs = (await referenceCpuMs() + await referenceCpuMs()) / 2;
        note(work, await cost({ broker, client: sluice, work, scale }) / unitMs * 1000);
      }
      for (const { work, others: names, scale } of contests.filter((each) => isWanted(each.work))) {
        for (const name of names.filter((each) => others.has(each))) {
          // Who comes first changes from round to round.
          const pair = [sluice, others.get(name)];
          const costs = new Map();
          for (const client of round % 2 === 0 ? pair : pair.toReversed()) {
            costs.set(client, await cost({ broker, client, work, scale, warm }));
          }
          note(`${work} / ${name}`, costs.get(pair[0]) / costs.get(pair[1]));
        }
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
  const kept = flags.work === undefined || !existsSync(stored) ? {} : JSON.parse(readFileSync(stored, "utf8"));
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  writeFileSync(stored, JSON.stringify({ ...kept, ...Object.fromEntries(rounded) }, undefined, 2) + "\n");
  console.log(`Stored ${rounded.map(([name, median]) => `${name} ${median}`).join(", ")}`);
  return 0;
}

async function findOthers() {
  const found = new Map();
  for (const name of new Set(contests.flatMap(({ others }) => others))) {
    try {
      found.set(name, await findClient(name, runtime, console.error));
    } catch (error) {
      console.error(`Not compared with ${name}: ${error.message}`);
    }
  }
  return found;
}

/** Microseconds of CPU for a record. */
async function cost({ broker, client, work, ...more }) {
  const result = await measure({ broker, client, work: client.workFor(workNamed(work)), ...more });
  const problem = problemOf(result);
  if (problem !== undefined) throw new Error(`${work}, ${client.name}: ${problem}`);
  return result.cpuUs;
}

function compare(medians) {
  const before = JSON.parse(readFileSync(stored, "utf8"));
  let worse = 0;
  for (const [name, { median, min, max }] of Object.entries(medians)) {
    if (before[name] === undefined) {
      console.log(`? ${name.padEnd(20)} ${median.toPrecision(3)}, not known before: --update keeps it`);
      continue;
    }
    const change = median / before[name];
    // The median says that it is slower; the least says that it isn't the machine.
    const failed = change > allowed && min > before[name];
    if (failed) worse++;
    const range = `${min.toPrecision(3)}..${max.toPrecision(3)}`;
    const figures = `${median.toPrecision(3)} (${range}), was ${before[name]}, ${percent(change)}`;
    console.log(`${failed ? "✗" : "✓"} ${name.padEnd(20)} ${figures}`);
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
