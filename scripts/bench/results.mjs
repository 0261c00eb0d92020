/** Results as files: one for each broker, one entry for each work set, client and runtime. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { spread } from "./statistics.mjs";

const folder = fileURLToPath(new URL("results/", import.meta.url));

/** What is kept of a run: numbers, of which each becomes a median with its range. */
const measures = {
  kPerSecond: (run) => run.kPerSecond,
  cpuUs: (run) => run.cpuUs,
  tlsKPerSecond: (run) => run.tlsKPerSecond,
  tlsCpuUs: (run) => run.tlsCpuUs,
  tlsCostUs: (run) => run.tlsCostUs,
  maxRssMiB: (run) => run.maxRssMiB,
  requests: (run) => run.requests,
  allRequests: (run) => run.allRequests,
  connections: (run) => run.connections,
  elapsedMs: (run) => run.elapsedMs,
  p50Ms: (run) => run.latencyMs?.p50,
  p99Ms: (run) => run.latencyMs?.p99,
  p999Ms: (run) => run.latencyMs?.p999,
  duePercentile99Ms: (run) => run.latencyFromDueMs?.p99,
  refused: (run) => run.refused,
  unsettled: (run) => run.unsettled,
  recoverMs: (run) => run.recoverMs,
  gzipBytes: (run) => run.gzipBytes,
  bytes: (run) => run.bytes,
};

/** Makes an entry of the runs of one client on one work set. */
export function entryOf({ client, work, broker, runs, warm = 0, machine, versions }) {
  const entry = {
    work: work.name,
    title: work.title,
    broker,
    client: client.name,
    runtime: client.runtime,
    runtimeVersion: versions[client.runtime],
    version: client.version,
    date: new Date().toISOString().slice(0, 10),
    machine,
    runs: runs.length,
    count: runs.find((run) => run.count !== undefined)?.count,
  };
  if (warm > 0) entry.warm = warm;
  if (work.note !== undefined) entry.note = work.note;
  const problems = runs.map(problemOf).filter((problem) => problem !== undefined);
  if (problems.length > 0) entry.problems = [...new Set(problems)].map((each) => each.slice(0, 300));
  entry.exactRuns = runs.length - problems.length;
  // A run whose records were lost was fast for the wrong reason, and one that failed has no numbers.
  const good = runs.filter((run) => run.error === undefined);
  for (const [name, read] of Object.entries(measures)) {
    const found = spread(good.map(read));
    if (found !== undefined) entry[name] = rounded(found);
  }
  return entry;
}

/** Why a run doesn't count as it should, or undefined. */
export function problemOf(run) {
  if (run.error !== undefined) return run.error.split("\n").slice(0, 8).join(" ");
  if (run.unsettled > 0) {
    return `${Math.round(100 * run.unsettled / run.sent)} % of the promises unsettled a minute later`;
  }
  if (run.failed > 0) return `${run.failed} of ${run.sent} failed: ${run.firstError}`;
  return run.verified === undefined || run.verified === "exact" ? undefined : run.verified;
}

/** What `npm run bench:profile -- --save` has kept: work set, warm rounds, µs per record by module. */
export function readProfiles() {
  const path = join(folder, "profiles", "node.json");
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
}

/** Puts profiles in the place of older ones for the same thing. */
export function saveProfiles(profiles) {
  const nameOf = ({ work, warm }) => `${work} ${warm}`;
  const names = new Set(profiles.map(nameOf));
  const kept = readProfiles().filter((profile) => !names.has(nameOf(profile)));
  const all = [...kept, ...profiles].sort((a, b) => nameOf(a) < nameOf(b) ? -1 : 1);
  const rounded = (us) => Number(us.toPrecision(3));
  const text = JSON.stringify(all, (_, value) => typeof value === "number" ? rounded(value) : value, 2);
  mkdirSync(join(folder, "profiles"), { recursive: true });
  writeFileSync(join(folder, "profiles", "node.json"), text + "\n");
}

/** Puts entries in the place of older ones for the same thing. */
export function saveEntries(entries) {
  mkdirSync(folder, { recursive: true });
  for (const broker of new Set(entries.map((entry) => entry.broker))) {
    const path = join(folder, `${broker}.json`);
    const fresh = entries.filter((entry) => entry.broker === broker);
    const names = new Set(fresh.map(nameOf));
    const kept = readEntries(broker).filter((entry) => !names.has(nameOf(entry)));
    const all = [...kept, ...fresh].sort((a, b) => nameOf(a) < nameOf(b) ? -1 : 1);
    writeFileSync(path, JSON.stringify(all, undefined, 2) + "\n");
  }
}

/** All entries, or those of one broker. */
export function readEntries(broker) {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => name.endsWith(".json"));
  const wanted = files.filter(({ name }) => broker === undefined ? name !== "check.json" : name === `${broker}.json`);
  return wanted.flatMap(({ name }) => JSON.parse(readFileSync(join(folder, name), "utf8")));
}

function nameOf({ work, client, runtime, warm = 0 }) {
  return `${work} ${client} ${runtime} ${warm > 0 ? "warm" : ""}`;
}

function rounded(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value.toPrecision(4))]));
}
