/**
 * The producer against a real three-node Kafka behind proxies that spoil connections, with nodes that are killed,
 * paused and relieved of their partitions. What it was told is compared with what the Java consumer reads back.
 *
 *     node scripts/faults.mjs [--rounds 1] [--scenario "lost answers,elections"] [--seed N] [--version 4.1.1] [--security]
 *
 * One line per scenario; exit code 1 when a promise was broken. A seed repeats the choices of a scenario, but not the
 * timing of a real cluster. `--security` plays the same over TLS and SCRAM, with sessions of three seconds. Needs a JDK and Maven; traces lie in `.cache/faults`.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { faultsDir, scramOverTls, startFaultyCluster } from "../test/interop/faults/cluster.mjs";
import { seededRandom } from "../test/interop/faults/random.mjs";
import { scenarios } from "../test/interop/faults/scenarios.mjs";
import { Trace } from "../test/interop/faults/trace.mjs";
import { judge } from "../test/interop/faults/verdict.mjs";
import { kafkaVersions, missingForKafka } from "./kafka.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { runtimeBinary } from "./lib/tools.mjs";

const workload = fileURLToPath(new URL("../test/interop/faults/workload.mjs", import.meta.url));
const usualPartitions = 6;
/** A workload that takes longer hangs: more than any delivery timeout and everything around it. */
const hangsAfterMs = 300_000;

/**
 * Runs the scenarios; resolves to the number of those in which a promise was broken.
 *
 * @param {{ rounds?: number, names?: string[], seed?: number, version?: string, isSecure?: boolean,
 *   log?: (line: string) => void }} [options]
 */
export async function runFaults(
  { rounds = 1, names, seed, version = kafkaVersions[0], isSecure = false, log = console.log } = {},
) {
  await install("test/runtimes", log);
  const trace = new Trace();
  const security = isSecure ? scramOverTls() : undefined;
  const cluster = await startFaultyCluster({ version, trace, random: Math.random, security });
  let broken = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const runSeed = seed === undefined ? Math.floor(Math.random() * 2 ** 31) : seed + round;
        if (!await runScenario({ name, seed: runSeed, cluster, security, trace, log })) broken++;
      }
    }
  } finally {
    await cluster.stop();
  }
  return broken;
}

async function runScenario({ name, seed, cluster, security, trace, log }) {
  const scenario = scenarios[name];
  const dice = seededRandom(seed);
  const noise = seededRandom(seed ^ 0x5bd1e995);
  const id = `${name.replaceAll(" ", "-")}-${seed}`;
  const topics = [`${id}-a`, `${id}-b`];
  await cluster.heal();
  const { partitions = usualPartitions, producers } = scenario.plan(dice);
  await cluster.ask("create", topics, { partitions });
  const settle = async (withinMs) => (await cluster.ask("settle", topics, { withinMs })).settled;
  if (!await settle(30_000)) throw new Error("The partitions of new topics did not get their replicas within 30 s");
  trace.restart();
  const plan = {
    brokers: cluster.brokers,
    security: security?.options ?? {},
    topics,
    partitions,
    out: join(faultsDir, `result-${process.pid}.json`),
    producers: producers.map((producer, i) => ({ ...producer, name: `p${i + 1}` })),
  };
  const durationMs = Math.max(...plan.producers.map((producer) => producer.startMs + producer.durationMs));
  const startedMs = performance.now();
  const running = runWorkload(plan);
  // The faults end a little before the sending does, so that the way back to normal is seen too.
  const endMs = startedMs + durationMs - 1_500;
  const isOver = () => performance.now() >= endMs;
  const sleepWithin = (ms) => sleep(Math.max(0, Math.min(ms, endMs - performance.now())));
  let failure;
  try {
    await scenario.faults({ cluster, dice, noise, topics, trace, isOver, settle, sleep: sleepWithin });
  } catch (error) {
    failure = error;
  }
  await cluster.heal();
  trace.say("everything is healed");
  const run = await running;
  const openConnections = cluster.proxies.reduce((sum, proxy) => sum + proxy.connections, 0);
  if (failure !== undefined) throw failure;
  await settle(30_000);
  // What a proxy still holds of a dead connection has arrived by now.
  await sleep(500);
  const { records, complete } = await cluster.ask("read", topics, { withinMs: 30_000 });
  if (!complete) throw new Error(`The log of "${id}" could not be read back within 30 s`);
  const verdict = run.result === undefined
    ? { violations: [{ rule: "V1", text: `the workload did not come to its end:\n${run.output}` }], counts: {} }
    : judge({ plan, ...run, log: records, openConnections, trace, rules: scenario.rules });
  await cluster.ask("delete", topics).catch(() => {});
  const { violations, counts } = verdict;
  const text = Object.entries({ ...counts, inLog: records.length }).map(([key, value]) => `${key} ${value}`).join(", ");
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  log(`${violations.length === 0 ? "✓" : "✗"} ${name} (seed ${seed}, ${seconds} s): ${text}`);
  if (violations.length > 0) report({ id, violations, trace, plan, run, log });
  return violations.length === 0;
}

/** Runs the producers in a process of their own; resolves when it has ended. */
async function runWorkload(plan) {
  const planFile = `${plan.out}.plan`;
  rmSync(plan.out, { force: true });
  writeFileSync(planFile, JSON.stringify(plan));
  const node = runtimeBinary("node24") ?? process.execPath;
  const child = spawn(node, ["--no-warnings", workload, planFile], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let doneMs = 0;
  const kill = () => child.kill("SIGKILL");
  let timer = setTimeout(kill, hangsAfterMs);
  process.once("exit", kill);
  child.stdout.on("data", (chunk) => {
    output += chunk;
    if (doneMs > 0 || !output.endsWith("done\n")) return;
    doneMs = performance.now();
    clearTimeout(timer);
    timer = setTimeout(kill, 5_000);
  });
  child.stderr.on("data", (chunk) => output += chunk);
  const code = await new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal)));
  clearTimeout(timer);
  process.removeListener("exit", kill);
  const exitedAfterMs = Math.round(performance.now() - doneMs);
  const result = existsSync(plan.out) ? JSON.parse(readFileSync(plan.out, "utf8")) : undefined;
  if (result === undefined) output += `\nended with ${code}`;
  return { result, output, exitedAfterMs };
}

/** Prints the first violations, with what passed the proxies for the partition of the first, and keeps the rest. */
function report({ id, violations, trace, plan, run, log }) {
  const traceFile = join(faultsDir, `${id}.trace`);
  const events = run.result?.producers.flatMap(({ name, events }) => events.map((event) => `${name} ${event}`)) ?? [];
  const all = violations.map(({ rule, text }) => `${rule} ${text}`);
  const sections = [JSON.stringify(plan.producers, null, 2), all.join("\n"), events.join("\n"), trace.lines.join("\n")];
  writeFileSync(traceFile, sections.join("\n\n"));
  writeFileSync(join(faultsDir, `${id}.json`), JSON.stringify(run.result ?? run.output));
  for (const line of all.slice(0, 8)) log(`    ${line}`);
  if (all.length > 8) log(`    … and ${all.length - 8} more`);
  log(`    everything is in ${traceFile}`);
}

async function main() {
  const { values } = flagsOf(import.meta.url, {
    options: {
      rounds: { type: "string", default: "1" },
      scenario: { type: "string" },
      seed: { type: "string" },
      version: { type: "string", default: kafkaVersions[0] },
      security: { type: "boolean", default: false },
    },
  });
  const names = values.scenario?.split(",") ?? Object.keys(scenarios);
  const unknown = names.find((name) => !Object.hasOwn(scenarios, name));
  if (unknown !== undefined) {
    const known = Object.keys(scenarios).map((name) => `"${name}"`).join(", ");
    throw new Error(`There is no scenario "${unknown}", wanted one of ${known}`);
  }
  const missing = missingForKafka(values.version);
  if (missing !== undefined) throw new Error(`The fault rig needs a JDK and Maven: ${missing}`);
  // The exit handlers end the nodes.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  const { version, security: isSecure } = values;
  const broken = await runFaults({ rounds: Number(values.rounds), names, seed, version, isSecure });
  const runs = names.length * Number(values.rounds);
  console.log(broken === 0 ? `all ${runs} runs kept every promise` : `${broken} of ${runs} runs broke a promise`);
  process.exit(broken === 0 ? 0 : 1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
}
