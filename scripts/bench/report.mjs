/** Writes docs/benchmarks.md and its plot from the saved results. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { install } from "../lib/install.mjs";
import { root, run, runtimeBinary } from "../lib/tools.mjs";
import { readEntries, readProfiles } from "./results.mjs";
import { columnsOf } from "./show.mjs";
import { showSpread } from "./statistics.mjs";
import { targets } from "./targets.mjs";
import { works } from "./works.mjs";

const brokerLabels = { kafka: "Apache Kafka 4.1.1", null: "null broker", none: "no broker" };
const families = {
  "sluice": "Sluice",
  "confluent": "addon in Node",
  "node-rdkafka": "addon in Node",
  "librdkafka": "native",
  "franz-go": "native",
  "java": "native",
};
const onEachRuntime = { "sluice": "Sluice", "sockets": "bare sockets" };
const productNames = {
  "sluice": "Sluice",
  "platformatic": "@platformatic/kafka",
  "kafkats": "@kafkats/client",
  "confluent": "@confluentinc/kafka-javascript",
  "java": "Java producer",
};

/** Reads all results and writes the report. */
export async function writeReport(log) {
  const entries = readEntries();
  if (entries.length === 0) throw new Error("There are no results yet: run npm run bench -- --save first");
  await install("scripts/bench/peers", log);
  const { drawPlot } = await import("./peers/plot.mjs");
  const docs = join(root, "docs");
  mkdirSync(docs, { recursive: true });
  const plotted = ["kafka", "null"].find((broker) => entries.some((entry) => entry.broker === broker && entry.cpuUs));
  const rows = plotRows(entries.filter((entry) => entry.broker === plotted));
  writeFileSync(
    join(docs, "benchmarks.svg"),
    await drawPlot(rows, `CPU of the client, ${brokerLabels[plotted]}`) + "\n",
  );
  writeFileSync(join(docs, "benchmarks.md"), report(entries));
  // The rest of the repository is laid out by Deno as well.
  const deno = runtimeBinary("deno");
  if (deno !== undefined) await run(deno, ["fmt", "docs", "scripts/bench/results"]);
  log("Wrote docs/benchmarks.md and docs/benchmarks.svg");
}

function plotRows(entries) {
  return Object.keys(works).flatMap((name) =>
    entries
      .filter(({ work, cpuUs }) => work === name && cpuUs !== undefined && !/^[GHJL]/.test(name))
      .map((entry) => ({ work: name, client: labelOf(entry), family: familyOf(entry), ...entry.cpuUs }))
  );
}

function report(entries) {
  const lines = [
    "# Benchmarks",
    "",
    "<!-- Written by `npm run bench -- --report` from scripts/bench/results; edits here are lost. -->",
    "",
    ...preface(entries),
    "![CPU per record of each client and work set](benchmarks.svg)",
    "",
    "## In one table",
    "",
    "Microseconds of client CPU for a record, all threads, medians.",
    "",
    ...["kafka", "null"].flatMap((broker) => overview(entries.filter((entry) => entry.broker === broker), broker)),
    "## Where Sluice isn't first",
    "",
    ...losses(entries),
    "",
    ...againstTargets(entries),
    ...whereItGoes(readProfiles()),
    "## Every work set",
    "",
    ...Object.keys(works).flatMap((name) => section(name, entries.filter(({ work }) => work === name))),
  ];
  return lines.join("\n").trimEnd() + "\n";
}

function preface(entries) {
  const machines = [
    ...new Set(entries.map(({ machine }) => `${machine.processor}, ${machine.memory}, ${machine.system}`)),
  ];
  const dates = entries.map(({ date }) => date).sort();
  const versions = new Map();
  for (const entry of entries.filter(({ client }) => client !== "sockets")) {
    const name = `${productOf(entry)} ${entry.version}`;
    const runtime = [runtimeOf(entry), entry.runtimeVersion].filter((each) => each !== undefined).join(" ");
    versions.set(name, (versions.get(name) ?? new Set()).add(runtime));
  }
  const runs = Math.min(
    ...entries.filter(({ broker, exactRuns }) => broker !== "none" && exactRuns > 0).map(({ runs }) => runs),
  );
  const when = dates[0] === dates.at(-1) ? dates[0] : `${dates[0]} to ${dates.at(-1)}`;
  return [
    `Measured ${when} on ${machines.join("; ")}. The broker runs on the same machine, at times beside other work: ` +
    "throughput says as much about them as about the client, CPU per record is the steadier figure. " +
    `Each figure is the median of at least ${runs} runs with the least and the greatest. Each run is a process of its ` +
    "own, the order of the clients changes from round to round, and the records that a client says are acknowledged " +
    "are compared with the end offsets of the topic, in T with the records of committed transactions in its log. A client of a row may have been measured by another call of the " +
    "command than the others.",
    "",
    "The null broker keeps nothing and answers at once: what is left is the client. Values are random letters or JSON, " +
    "the same for every client. Options are each client's own defaults but for what the work set says; where somebody " +
    "waits for each record or batch, and in the open loop, linger is 0 everywhere. Peers that send one request for each " +
    "call are given batches of 1,000 in E and I, made by the caller; Sluice gets one record for each call. JavaScript " +
    "peers run with the native codecs and checksums that they look for.",
    "",
    ...entries.some(({ warm }) => warm !== undefined)
      ? [
        "A run begins in a fresh process, and what it measures includes the compiling of the code. *Warm* is what the " +
        "same work costs when the process has done it a few times before (`--warm 4`).",
        "",
      ]
      : [],
    `Versions: ${
      [...versions].map(([name, runtimes]) => `${name} (${[...runtimes].sort().join(", ")})`).sort().join(", ")
    }.`,
    "",
    "`npm run bench` measures all of it again, `npm run bench -- --work D --client sluice,kafkajs --broker null` a part.",
    "",
    ...entries.some(({ work }) => work === "L")
      ? [
        "L tells what TLS costs: each process does the work in clear and over TLS by turns, and what is compared are the " +
        "medians of the turns, CPU of the client only. *Bare sockets* are those of `node:tls` on each runtime with nothing " +
        "around them: the same values, in as many writes. What it costs them it costs every client that goes through " +
        "`node:tls`; Sluice on Bun doesn't.",
        "",
      ]
      : [],
  ];
}

function overview(entries, broker) {
  const shown = entries.filter(({ work }) => !/^[GHJKL]/.test(work));
  const labels = [...new Set(shown.map(labelOf))].sort((a, b) => rank(a) - rank(b));
  const rows = Object.keys(works)
    .filter((name) => shown.some(({ work }) => work === name))
    .map((name) => {
      const cells = labels.map((label) => {
        const entry = entries.find((each) => each.work === name && labelOf(each) === label);
        if (entry?.cpuUs === undefined) return "–";
        const figure = short(entry.cpuUs.median);
        return entry.exactRuns < entry.runs ? `${figure} ¹` : figure;
      });
      return `| ${name} | ${cells.join(" | ")} |`;
    });
  if (rows.length === 0) return [];
  return [
    `| ${brokerLabels[broker]} | ${labels.join(" | ")} |`,
    `|---|${labels.map(() => "---:|").join("")}`,
    ...rows,
    "",
    ...rows.some((row) => row.includes("¹")) ? ["¹ Not every run was exact; see below.", ""] : [],
  ];
}

/** Rows in which somebody else has the better median, in CPU, in latency or in memory. */
function losses(entries) {
  const lines = [];
  for (const broker of ["kafka", "null", "none"]) {
    for (const name of Object.keys(works)) {
      const here = entries.filter((entry) => entry.broker === broker && entry.work === name);
      const [measure, what, unit] = /^G/.test(name)
        ? ["p99Ms", "p99", "ms"]
        : /^H/.test(name)
        ? ["maxRssMiB", "memory", "MiB"]
        : name === "J"
        ? ["elapsedMs", "time to the first ack", "ms"]
        : name === "L"
        ? ["tlsCpuUs", "CPU per record over TLS", "µs"]
        : name === "K"
        ? ["gzipBytes", "size", "B"]
        : ["cpuUs", "CPU per record", "µs"];
      const ours = here.find(({ client, runtime, warm }) =>
        client === "sluice" && runtime.startsWith("node") && warm === undefined
      )?.[measure];
      if (ours === undefined) continue;
      const better = here
        .filter((entry) =>
          !(entry.client in onEachRuntime) && entry[measure]?.median < ours.median && entry.exactRuns > 0
        )
        .sort((a, b) => a[measure].median - b[measure].median)
        .map((entry) => `${labelOf(entry)} ${short(entry[measure].median)}`);
      if (better.length === 0) continue;
      const figures = `Sluice ${short(ours.median)} ${unit}, ${better.join(", ")}`;
      lines.push(`- ${name}, ${brokerLabels[broker]}, ${what}: ${figures}.`);
    }
  }
  return lines.length > 0 ? lines : ["Nowhere, in what was measured."];
}

/** Each target as a share of the best JavaScript client, and what the work costs once all of it is compiled. */
function againstTargets(entries) {
  const rows = targets.flatMap(({ work, measure = "cpuUs", unit = "µs", best, floor, aim }) => {
    const here = entries.filter((entry) => entry.work === work && entry.broker !== "null" && entry[measure]);
    const ours = here.find((entry) => labelOf(entry) === "Sluice, Node")?.[measure].median;
    const peers = here.filter((entry) => familyOf(entry) === "JavaScript").map((entry) => entry[measure].median);
    if (ours === undefined || peers.length === 0) return [];
    const bestHere = Math.min(...peers);
    const onNull = entries.filter((entry) => entry.work === work && entry.broker === "null");
    const [cold, warm] = ["Sluice, Node", "Sluice, Node, warm"]
      .map((label) => onNull.find((entry) => labelOf(entry) === label)?.cpuUs?.median);
    const reached = ours / bestHere <= aim / best ? "aim" : ours / bestHere <= floor / best ? "floor" : "";
    const cells = [
      `${short(bestHere)} ${unit}`,
      `${short(ours)} ${unit}`,
      (ours / bestHere).toFixed(2),
      (floor / best).toFixed(2),
      (aim / best).toFixed(2),
      reached,
      cold === undefined || warm === undefined ? "–" : `${short(cold)}, ${short(warm)}`,
    ];
    return [`| ${work} | ${cells.join(" | ")} |`];
  });
  return [
    "## Against the targets",
    "",
    "The targets are those of another machine. Each counts as a share of what the best JavaScript client took there, and " +
    "is compared with Sluice's share of the best one here. The last column has the same work against the null broker, " +
    "from a fresh process and warm: the difference is the compiling of the code, which native clients don't have, and " +
    "which stands between Sluice and most targets in runs of a second.",
    "",
    "| | best JavaScript client | Sluice | share | floor | aim | reached | null broker: fresh, warm |",
    "|---|---:|---:|---:|---:|---:|---|---:|",
    ...rows,
    "",
  ];
}

/** The modules of each profile, the most expensive first. */
function whereItGoes(profiles) {
  if (profiles.length === 0) return [];
  const titles = profiles.map(({ work, warm }) => `${work}${warm > 0 ? ", warm" : ""}`);
  const totals = new Map();
  for (const { rows } of profiles) for (const [label, us] of rows) totals.set(label, (totals.get(label) ?? 0) + us);
  const labels = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a)).slice(0, 20);
  const cell = (profile, label) => profile.rows.find(([each]) => each === label)?.[1].toFixed(2) ?? "–";
  return [
    "## Where Sluice's time goes",
    "",
    "Microseconds per record on Node, null broker, sampled (`npm run bench:profile`), which costs something itself: what " +
    "the main thread does, by module, what takes 1 % at least; and what the engine does on other threads.",
    "",
    `| | ${titles.join(" | ")} |`,
    `|---|${titles.map(() => "---:|").join("")}`,
    `| CPU in all | ${profiles.map(({ cpuUs }) => cpuUs.toFixed(2)).join(" | ")} |`,
    ...labels.map((label) => `| ${label} | ${profiles.map((profile) => cell(profile, label)).join(" | ")} |`),
    "",
  ];
}

function section(name, entries) {
  if (entries.length === 0) return [];
  const lines = [`### ${name}: ${works[name].title}`, ""];
  for (const broker of Object.keys(brokerLabels)) {
    const here = entries.filter((entry) => entry.broker === broker);
    if (here.length === 0) continue;
    const columns = columnsOf(name).filter(([measure]) => here.some((entry) => entry[measure] !== undefined));
    const [sortBy] = ["tlsCpuUs", "cpuUs", columns[0][0]]
      .map((wanted) => columns.find(([measure]) => measure === wanted))
      .find((column) => column !== undefined);
    here.sort((a, b) => (a[sortBy]?.median ?? Infinity) - (b[sortBy]?.median ?? Infinity));
    const heading = columns.map(([, text, unit]) => unit === "" ? text : `${text}, ${unit}`);
    lines.push(
      `| ${brokerLabels[broker]} | ${heading.join(" | ")} | |`,
      `|---|${columns.map(() => "---:|").join("")}---|`,
    );
    for (const entry of here) {
      const cells = columns.map(([measure]) => showSpread(entry[measure]));
      const problems = (entry.problems ?? []).map((problem) => problem.slice(0, 120));
      const wrong = problems.length > 0 ? [`${entry.exactRuns} of ${entry.runs} runs exact`] : [];
      const remarks = [entry.note, ...wrong, ...problems].filter((each) => each !== undefined);
      lines.push(`| ${labelOf(entry)} | ${cells.join(" | ")} | ${remarks.join("; ").replace(/[|<>]/g, " ")} |`);
    }
    lines.push("");
  }
  return lines;
}

function labelOf(entry) {
  const name = entry.client in onEachRuntime ? `${onEachRuntime[entry.client]}, ${runtimeOf(entry)}` : entry.client;
  return entry.warm === undefined ? name : `${name}, warm`;
}

/** "Node" for "node24". */
function runtimeOf({ runtime }) {
  return `${runtime[0].toUpperCase()}${runtime.slice(1).replace(/\d+$/, "")}`;
}

function productOf({ client }) {
  return productNames[client] ?? client;
}

function familyOf({ client }) {
  return families[client] ?? "JavaScript";
}

function rank(label) {
  const order = [
    "Sluice, Node",
    "Sluice, Node, warm",
    "Sluice, Deno",
    "Sluice, Bun",
    "kafkajs",
    "platformatic",
    "kafkats",
    "kafka-ts",
  ];
  order.push("confluent", "node-rdkafka", "librdkafka", "franz-go", "java");
  const at = order.indexOf(label);
  return at < 0 ? order.length : at;
}

function short(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
