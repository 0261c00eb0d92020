/**
 * Where Sluice's time goes: samples of the main thread, by module and by function.
 *
 *     npm run bench:profile -- --work D,F [--warm 4] [--functions 12] [--save]
 *     npm run bench:profile -- --work D,F --heap [--source /path/of/another/mod.ts]
 *
 * On Node, against the null broker, so that all of it is the client. Each figure is µs per record. What the process
 * used beyond the main thread is the engine's: it compiles and collects garbage on threads of its own. `--save` keeps
 * the modules for the report in docs.
 *
 * `--heap` tells bytes that are allocated, in place of time, those that are garbage at once included. Time varies with
 * whatever else the machine does; bytes hardly do, and the collector's share of the time follows them.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { flagsOf } from "../lib/flags.mjs";
import { install } from "../lib/install.mjs";
import { startBroker } from "./brokers.mjs";
import { findClient } from "./clients.mjs";
import { measure } from "./measure.mjs";
import { problemOf, saveProfiles } from "./results.mjs";
import { workNamed } from "./works.mjs";

const runtime = "node24";

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    work: { type: "string", default: "D" },
    warm: { type: "string", default: "0" },
    functions: { type: "string", default: "12" },
    save: { type: "boolean", default: false },
    heap: { type: "boolean", default: false },
    source: { type: "string" },
  },
});

process.once("SIGINT", () => process.exit(130));
await install("test/runtimes", console.error);
const broker = await startBroker("null");
const profiles = [];
try {
  const spec = flags.source === undefined ? "sluice" : `sluice:${flags.source}`;
  const client = { ...await findClient(spec, runtime, console.error), name: "sluice" };
  for (const name of flags.work.split(",")) profiles.push(await profileOf(client, name));
  if (flags.save && !flags.heap) saveProfiles(profiles);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await broker.stop();
}
process.exit();

async function profileOf(client, name) {
  const work = client.workFor(workNamed(name));
  let bundle;
  const profiled = {
    ...client,
    command: async (work) => {
      const { line, plan } = await client.command(work);
      bundle = plan.module;
      return { line, plan: { ...plan, profile: flags.heap ? "heap" : "cpu" } };
    },
  };
  const result = await measure({ broker, client: profiled, work, warm: Number(flags.warm) });
  const problem = problemOf(result);
  if (problem !== undefined) throw new Error(`${name}: ${problem}`);
  const moduleOf = moduleFinder(bundle);
  const { modules, functions } = flags.heap ? selfSizes(result.profile, moduleOf) : selfTimes(result.profile, moduleOf);
  const perRecord = (times) => [...times].map(([label, us]) => [label, us / result.sent]).sort(([, a], [, b]) => b - a);
  if (flags.heap) return tellBytes(work, result.sent, perRecord(modules), perRecord(functions));
  const mainUs = [...modules.values()].reduce((sum, us) => sum + us, 0) / result.sent;
  const rows = [...perRecord(modules), ["other threads", Math.max(0, result.cpuUs - mainUs)]];
  const warm = Number(flags.warm);
  console.log(`\n${name}: ${work.title}${warm > 0 ? `, warm (${warm} rounds before)` : ""}`);
  console.log(`  ${result.cpuUs.toFixed(2)} µs of CPU per record, while sampled`);
  for (const [label, us] of rows) if (us >= 0.005) console.log(`  ${us.toFixed(3).padStart(8)}  ${label}`);
  console.log("  of these, the functions:");
  for (const [label, us] of perRecord(functions).slice(0, Number(flags.functions))) {
    console.log(`  ${us.toFixed(3).padStart(8)}  ${label}`);
  }
  return { work: name, warm, cpuUs: result.cpuUs, rows: rows.filter(([, us]) => us >= result.cpuUs / 100) };
}

function tellBytes({ name, title }, records, modules, functions) {
  const sum = modules.reduce((all, [, bytes]) => all + bytes, 0);
  const warm = Number(flags.warm);
  console.log(`\n${name}: ${title}${warm > 0 ? `, warm (${warm} rounds before)` : ""}`);
  console.log(`  ${sum.toFixed(0)} bytes allocated per record (${records} records)`);
  for (const [label, bytes] of modules) if (bytes >= 1) console.log(`  ${bytes.toFixed(0).padStart(8)}  ${label}`);
  console.log("  of these, the functions:");
  for (const [label, bytes] of functions.slice(0, Number(flags.functions))) {
    console.log(`  ${bytes.toFixed(0).padStart(8)}  ${label}`);
  }
}

/** Bytes by module and by function that allocated them. */
function selfSizes({ head }, moduleOf) {
  const [modules, functions] = [new Map(), new Map()];
  const nodes = [head];
  for (const { callFrame: { functionName, url, lineNumber }, selfSize, children } of nodes) {
    nodes.push(...children);
    if (selfSize === 0) continue;
    const module = moduleOf(functionName, url, lineNumber);
    modules.set(module, (modules.get(module) ?? 0) + selfSize);
    const label = `${functionName || "(anonymous)"} (${module})`;
    functions.set(label, (functions.get(label) ?? 0) + selfSize);
  }
  return { modules, functions };
}

/** Microseconds by module and by function in which the thread itself was there. */
function selfTimes({ nodes, samples, timeDeltas }, moduleOf) {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]));
  const [modules, functions] = [new Map(), new Map()];
  for (const [i, id] of samples.entries()) {
    const { functionName, url, lineNumber } = byId.get(id);
    if (functionName === "(idle)" || functionName === "(root)") continue;
    const us = timeDeltas[i + 1] ?? timeDeltas[i];
    const module = moduleOf(functionName, url, lineNumber);
    modules.set(module, (modules.get(module) ?? 0) + us);
    const label = `${functionName || "(anonymous)"} (${module})`;
    functions.set(label, (functions.get(label) ?? 0) + us);
  }
  return { modules, functions };
}

/** Names the module that a function of the bundle comes from: a comment stands before each. */
function moduleFinder(bundle) {
  const path = fileURLToPath(bundle);
  const names = [];
  let name = "Sluice";
  for (const line of readFileSync(path, "utf8").split("\n")) {
    name = /^\/\/ (?:\S+\/)?(src\/\S+)\.ts$/.exec(line)?.[1] ?? name;
    names.push(name);
  }
  return (functionName, url, lineNumber) => {
    if (url === bundle) return names[lineNumber] ?? "Sluice";
    if (functionName === "(garbage collector)") return "collector of garbage, main thread";
    if (functionName === "(program)" || url === "") return "engine, kernel and native code";
    return url.startsWith("node:") ? "JavaScript of Node" : "the calling program";
  };
}
