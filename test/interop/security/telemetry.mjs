/** A metrics plugin for the broker, what it wants of clients, and what it has got. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { classPath, ensureKafka, toolJvmFlags } from "../../../scripts/kafka.mjs";
import { cacheDir, run } from "../../../scripts/lib/tools.mjs";

/** How often clients are asked to push, in ms. */
export const pushIntervalMs = 500;

const prefix = "org.apache.kafka.producer.";

/** Compiles the plugin; resolves to what a broker needs to load it, and `pushes()`. */
export async function telemetrySink(version) {
  const libs = await ensureKafka(version);
  const source = fileURLToPath(new URL("TelemetrySink.java", import.meta.url));
  const classes = join(libs, "..", "telemetry-classes");
  const compiled = join(classes, "TelemetrySink.class");
  if (!existsSync(compiled) || statSync(compiled).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(classes, { recursive: true });
    const { code, output } = await run("javac", ["-nowarn", "-cp", classPath(libs), "-d", classes, source]);
    if (code !== 0) throw new Error(`Compiling TelemetrySink.java failed:\n${output}`);
  }
  const file = join(cacheDir, "interop", `telemetry-${version}-${process.pid}.ndjson`);
  rmSync(file, { force: true });
  return {
    classes,
    config: { "metric.reporters": "TelemetrySink" },
    systemProperties: { "telemetry.sink": file },
    /** What came so far. */
    pushes: () =>
      !existsSync(file) ? [] : readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line)),
  };
}

/** Asks all clients for the metrics of producers. */
export async function subscribe(libs, brokers) {
  const args = ["--bootstrap-server", brokers, "--alter", "--name", "all", "--metrics", prefix];
  const { code, output } = await run("java", [
    ...[...toolJvmFlags, "-cp", classPath(libs), "org.apache.kafka.tools.ClientMetricsCommand"],
    ...[...args, "--interval", `${pushIntervalMs}`],
  ]);
  if (code !== 0) throw new Error(`Subscribing to the metrics of clients failed:\n${output}`);
}

/** What is wrong with the pushes of a client that has sent some records and stayed for a while. */
export function wrongPushes(pushes) {
  const wrong = [];
  if (pushes.length < 2) wrong.push(`${pushes.length} pushes came, wanted one in each interval and a last one`);
  if (pushes.filter(({ terminating }) => terminating).length !== 1) wrong.push("there is not one last push");
  const points = pushes.flatMap((push) => push.points);
  const named = (name) => points.filter((point) => point.name === prefix + name);
  const connections = named("connection.creation.total");
  if (connections.reduce((sum, { value }) => sum + value, 0) < 1) wrong.push("no connection was counted");
  if (connections.some(({ kind }) => kind !== "AGGREGATION_TEMPORALITY_DELTA")) {
    wrong.push(`the sum is ${connections[0]?.kind}, wanted delta`);
  }
  if (connections.some(({ spanMs }) => spanMs < 0 || spanMs > 60_000)) wrong.push("its times are wrong");
  for (const name of ["request.latency.avg", "request.latency.max", "record.queue.time.avg", "record.queue.time.max"]) {
    if (!named(name).some(({ value }) => value >= 0 && value < 60_000)) wrong.push(`there is no ${name}`);
  }
  if (!named("node.request.latency.max").some(({ labels }) => labels === "node_id=1")) wrong.push("no node is named");
  return wrong;
}
