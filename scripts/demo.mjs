/**
 * `npm start`: sends a real data set through the producer on every runtime that is found, into an embedded broker or
 * into the Kafka that `KAFKA_BROKERS` names, reads it back and compares.
 *
 *     npm start [-- --compression gzip]
 *
 * Runs on Node 20 with nothing but npm. The exit code is 0 only if every topic holds exactly the source's records.
 */

import { stderr, stdout } from "node:process";
import { build } from "./build.mjs";
import { start, stopAll } from "./demo/children.mjs";
import { differences } from "./demo/digest.mjs";
import { compiled, findRuntimes } from "./lib/runtimes.mjs";
import { count, printTable, Screen } from "./demo/screen.mjs";
import { digestSource, keyField, sourceFile } from "./demo/source.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { root } from "./lib/tools.mjs";

const partitions = 6;
const heading = ["runtime", "version", "records", "MB", "seconds", "records/s"];
heading.push("batches", "requests", "ratio", "p50 ms", "p99 ms", "topic", "digest");
const say = (text) => void stderr.write(`${text}\n`);

let interrupted = false;

for (const [signal, exitCode] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
  process.once(signal, () => {
    interrupted = true; // what fails from now on, fails because its partner was stopped
    say("\nInterrupted.");
    stopAll().finally(() => process.exit(exitCode));
  });
}

try {
  process.exitCode = await demo();
} catch (error) {
  if (!interrupted) {
    say(`\nThe demo failed: ${error.message}\nNext: read the message above, then try npm run build, or npm test.`);
    process.exitCode = 1;
  }
} finally {
  await stopAll();
}

async function demo() {
  const { compression } =
    flagsOf(import.meta.url, { options: { compression: { type: "string", default: "lz4" } } }).values;
  say("Looking for what is missing …");
  if (await install(root)) say("Installed the packages of the project.");
  if (await build()) say("Built dist.");
  const { createTopics, digestTopic } = await import("./demo/topics.mjs");

  const given = process.env.KAFKA_BROKERS;
  const [runtimes, source, brokers] = await Promise.all([
    findRuntimes(),
    digestSource(partitions),
    given || startBroker(),
  ]);
  say(given ? `Writing to the Kafka at ${given}.` : `Started the embedded broker on ${brokers}.`);
  // A Kafka outlives the demo, so each run has topics of its own there.
  const suffix = given ? `-${new Date().toISOString().slice(0, 19).replace(/\D/g, "")}` : "";
  const topics = await createTopics(brokers, runtimes.map(({ name }) => `flights-${name}${suffix}`), partitions);

  const names = runtimes.map(({ name }) => name);
  say(
    `Producing ${count(source.records)} records (${megabytes(source.bytes)} MB, ${compression}) of ${sourceFile} ` +
      `from ${names.join(", ")}${names.length > 1 ? " side by side" : ""}, into ${partitions} partitions each:`,
  );
  const screen = new Screen(names, source.records);
  const runs = await Promise.all(runtimes.map(async ({ name, command }, index) => {
    const words = ["produce", "--brokers", brokers, "--topic", topics[index], "--key-field", keyField];
    const rest = ["--compression", compression, "--json", "--progress", "json", sourceFile];
    const run = await produce([...command, ...words, ...rest], (row) => screen.update(name, row));
    screen.update(name, { delivered: run.summary?.records ?? 0, state: run.code === 0 ? "done" : "failed" });
    return run;
  })).finally(() => screen.stop());

  say("Reading the topics back:");
  const rows = [heading];
  const complaints = [];
  for (const [index, { name, version }] of runtimes.entries()) {
    const { code, stderr: message, summary } = runs[index];
    const found = await digestTopic(brokers, topics[index]);
    const wrong = differences(source, found);
    if (code !== 0) wrong.unshift(`sluice produce ended with exit code ${code}: ${message}`);
    complaints.push(...wrong.map((text) => `  ${name}: ${text}`));
    const cells = summary === undefined ? Array(7).fill("-") : summaryCells(summary);
    const digest = wrong.length === 0 ? `${found.content.slice(0, 12)} ok` : "WRONG";
    rows.push([name, version, count(found.records), megabytes(found.bytes), ...cells, topics[index], digest]);
  }
  printTable(rows);
  if (complaints.length > 0) {
    say(`\nNot equal:\n${complaints.join("\n")}\nNext: npm test shows which part is broken.`);
    return 1;
  }
  stdout.write(
    `\nAll equal: ${runtimes.length} × ${count(source.records)} records came back complete, in order in each ` +
      `partition and where Kafka's own producers put their keys.\nContent SHA-256 ${source.content}\n` +
      `${
        names.length < 3 ? "Deno or Bun were not found: npm test installs them, and they join in after that.\n" : ""
      }` +
      `Next: npm test · node dist/esm/bin.js broker · node dist/esm/bin.js produce --help\n`,
  );
  return 0;
}

/** Starts the embedded broker in a process of its own; resolves to its address. */
function startBroker() {
  return new Promise((resolve, reject) => {
    const broker = start([...compiled, "broker", "--port", "0"], {
      onStdout(line) {
        const address = /^Listening on (\S+)$/.exec(line)?.[1];
        if (address !== undefined) resolve(address);
      },
    });
    broker.ended.then(({ code, stderr: message }) =>
      reject(new Error(`The embedded broker ended with exit code ${code}. ${message}`))
    );
  });
}

/** Runs `sluice produce` to its end; resolves to its exit code, its complaints and its summary. */
async function produce(command, onProgress) {
  let summary;
  const { ended } = start(command, {
    onStdout(line) {
      summary = parse(line) ?? summary;
    },
    onStderr(line) {
      const state = parse(line);
      if (state?.delivered === undefined) return false;
      onProgress({ delivered: state.delivered, state: `${count(state.pending)} pending` });
      return true;
    },
  });
  return { ...await ended, summary };
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function summaryCells({ seconds, recordsPerSecond, batches, requests, compressionRatio, latencyMs }) {
  return [
    seconds.toFixed(2),
    count(recordsPerSecond),
    batches === null ? "-" : count(batches),
    requests === null ? "-" : count(requests),
    compressionRatio === null ? "-" : compressionRatio.toFixed(3),
    latencyMs.p50.toFixed(1),
    latencyMs.p99.toFixed(1),
  ];
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
