/** Entries as text: which numbers matter for which work, and how they are written. */
import { showSpread } from "./statistics.mjs";

const rate = ["kPerSecond", "records/s", "k"];
const cpu = ["cpuUs", "CPU per record", "µs"];
const memory = ["maxRssMiB", "max RSS", "MiB"];
const stall = [memory, ["refused", "refused", ""], ["unsettled", "unsettled", ""], [
  "recoverMs",
  "recovered after",
  "ms",
]];

/** Columns of each kind of work: name of the measure, heading, unit. */
const columns = {
  "default": [rate, cpu, memory],
  "open-loop": [["p50Ms", "p50", "ms"], ["p99Ms", "p99", "ms"], ["p999Ms", "p99.9", "ms"], cpu],
  stall,
  "start": [["elapsedMs", "to first ack", "ms"], ["allRequests", "requests", ""], ["connections", "connections", ""]],
  "turns": [
    ["cpuUs", "CPU per record in clear", "µs"],
    ["tlsCpuUs", "over TLS", "µs"],
    ["tlsCostUs", "TLS costs", "µs"],
    ["kPerSecond", "records/s in clear", "k"],
    ["tlsKPerSecond", "over TLS", "k"],
  ],
  "size": [["gzipBytes", "gzipped", "B"], ["bytes", "minified", "B"]],
};

/** The columns of a work set by its name. */
export function columnsOf(name) {
  if (/^G/.test(name)) return columns["open-loop"];
  if (/^H/.test(name)) return columns.stall;
  if (name === "L") return columns.turns;
  return name === "J" ? columns.start : name === "K" ? columns.size : columns.default;
}

/** One line for the terminal. */
export function showEntry(entry) {
  const numbers = columnsOf(entry.work)
    .filter(([name]) => entry[name] !== undefined)
    .map(([name, heading, unit]) => `${heading} ${showSpread(entry[name])} ${unit}`.trim());
  if (entry.requests !== undefined && /^[A-FI]/.test(entry.work)) numbers.push(`${entry.requests.median} requests`);
  const note = entry.note === undefined ? "" : ` (${entry.note})`;
  const exact = entry.exactRuns === entry.runs ? "" : `, ONLY ${entry.exactRuns} OF ${entry.runs} EXACT`;
  return `  ${entry.client} ${entry.runtime}${note}: ${numbers.join(", ")}${exact}`;
}
