/**
 * Benchmarks: Sluice and others, the same work, one after the other.
 *
 *     npm run bench                                       everything, and the report in docs; takes hours
 *     npm run bench -- --work D,F --client sluice,kafkajs --broker kafka --runs 5
 *     npm run bench -- --work D --broker null --runtime deno,bun --scale 0.1 --set bufferMemory=268435456
 *     npm run bench -- --work D --client sluice,sluice:/path/of/another/mod.ts
 *     npm run bench -- --work D --warm 5                  what it costs once all of it is compiled
 *     npm run bench -- --work L --client sluice,sockets   what TLS costs, beside what it costs the runtime itself
 *     npm run bench -- --report                           the report again, from what is saved
 *
 * Each run is a process of its own, the order of the clients changes from round to round, and every count is compared
 * with the broker's. `--save` keeps the results in scripts/bench/results; without flags that is the default.
 */
import { startBroker } from "./bench/brokers.mjs";
import { bundleSize } from "./bench/bundle.mjs";
import { clientNames, findClient, onEachRuntime } from "./bench/clients.mjs";
import { describeMachine, runtimeVersion } from "./bench/machine.mjs";
import { measure } from "./bench/measure.mjs";
import { entryOf, problemOf, saveEntries } from "./bench/results.mjs";
import { showEntry } from "./bench/show.mjs";
import { workNamed, works } from "./bench/works.mjs";
import { flagsOf } from "./lib/flags.mjs";

const everything = process.argv.length === 2;

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    work: { type: "string", default: everything ? Object.keys(works).join(",") : "D" },
    client: { type: "string", default: everything ? clientNames.join(",") : "sluice" },
    broker: { type: "string", default: everything ? "kafka,null" : "null" },
    /** Of Sluice and of bare sockets; others run on the first of them. */
    runtime: { type: "string", default: everything ? "node24,deno,bun" : "node24" },
    runs: { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    set: { type: "string", multiple: true, default: [] },
    timeout: { type: "string", default: "300" },
    /** JavaScript clients do the work so often before it is measured. */
    warm: { type: "string", default: "0" },
    save: { type: "boolean", default: everything },
    report: { type: "boolean", default: everything },
    verbose: { type: "boolean", default: false },
  },
});

process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

try {
  if (everything || process.argv.some((word) => word.startsWith("--") && word !== "--report")) await runAll();
  if (flags.report) await (await import("./bench/report.mjs")).writeReport(console.error);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
process.exit();

async function runAll() {
  const wanted = flags.work.split(",").map(workNamed);
  const clients = await findClients();
  const runtimes = new Set(clients.map(({ runtime }) => runtime));
  const versions = Object.fromEntries(
    [...runtimes].map((name) => [name, /^[a-z]/.test(name) ? runtimeVersion(name) : undefined]),
  );
  const context = { machine: describeMachine(), versions };
  for (const work of wanted.filter(({ kind }) => kind === "size")) await measureSizes(work, clients, context);
  for (const brokerName of flags.broker.split(",")) {
    const here = wanted.filter(({ kind }) => kind !== "size");
    for (const work of here) {
      if (work.brokers !== undefined && !work.brokers.includes(brokerName)) continue;
      // A broker of its own for each, so that nobody pays for the files of the one before.
      const broker = await startBroker(brokerName);
      try {
        await runWork(broker, work, clients, context);
      } finally {
        await broker.stop();
      }
    }
  }
}

async function findClients() {
  const clients = [];
  const [firstRuntime, ...otherRuntimes] = flags.runtime.split(",");
  for (const spec of flags.client.split(",")) {
    for (const runtime of onEachRuntime.test(spec) ? [firstRuntime, ...otherRuntimes] : [firstRuntime]) {
      try {
        clients.push(await findClient(spec, runtime, console.error));
      } catch (error) {
        console.error(`SKIPPED ${spec} on ${runtime}: ${error.message}`);
      }
    }
  }
  return clients;
}

async function runWork(broker, work, clients, context) {
  console.log(`\n${work.name}: ${work.title} [${broker.label}]`);
  const tasks = clients.map((client) => ({ client, work: client.workFor(work), runs: [] }));
  for (const { client, work } of tasks) {
    if (typeof work === "string") console.log(`  ${client.name} ${client.runtime}: left out, ${work}`);
  }
  const taking = tasks.filter(({ work }) => typeof work !== "string");
  const rounds = Math.min(Number(flags.runs), work.maxRuns ?? Infinity);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < taking.length; i++) {
      const { client, work, runs } = taking[(i + round) % taking.length];
      // Whoever hangs or fails twice is told so, and doesn't keep the others waiting.
      if (runs.filter(({ error }) => error !== undefined).length >= 2) continue;
      const result = await measure({
        broker,
        client,
        work,
        scale: Number(flags.scale),
        options: optionsFrom(flags.set),
        warm: Number(flags.warm),
        timeoutMs: Number(flags.timeout) * 1000,
      });
      runs.push(result);
      if (flags.verbose) console.log(client.name, JSON.stringify(result));
    }
  }
  const entries = taking.map(({ client, work, runs }) =>
    entryOf({ client, work, broker: broker.name, runs, warm: Number(flags.warm), ...context })
  );
  for (const entry of entries) console.log(showEntry(entry));
  if (flags.save) saveEntries(entries);
  for (const { client, runs } of taking) {
    for (const problem of runs.map(problemOf)) {
      if (problem !== undefined) console.log(`    ! ${client.name}: ${problem}`);
    }
  }
}

async function measureSizes(work, clients, context) {
  console.log(`\n${work.name}: ${work.title}`);
  const entries = [];
  for (const client of clients.filter(({ name }, i) => clients.findIndex((each) => each.name === name) === i)) {
    const size = await bundleSize(client.name);
    if (size === undefined) continue;
    entries.push(entryOf({ client, work, broker: "none", runs: [size], ...context }));
  }
  for (const entry of entries) console.log(showEntry(entry));
  if (flags.save) saveEntries(entries);
}

function optionsFrom(pairs) {
  return Object.fromEntries(pairs.map((pair) => {
    const [name, value] = pair.split(/=(.*)/s);
    return [name, /^[\d.]+$|^true$|^false$/.test(value) ? JSON.parse(value) : value];
  }));
}
