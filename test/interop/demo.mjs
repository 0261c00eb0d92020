/** `npm start` against a real Kafka: the demo fills it, and Java's console consumer must count the same records. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceFile } from "../../scripts/demo/source.mjs";
import { classPath, toolJvmFlags } from "../../scripts/kafka.mjs";
import { root, run } from "../../scripts/lib/tools.mjs";
import { prepareClient, runClient } from "./clients.mjs";

/** Runs the demo on a started Kafka and counts. */
export async function runDemoPart({ kafka, tally }) {
  const { version, brokers, libs } = kafka;
  await prepareClient("java", libs);
  const before = new Set(await runClient("java", libs, "topics", { brokers }));
  const env = { ...process.env, KAFKA_BROKERS: brokers };
  const { code, output } = await run(process.execPath, [join(root, "scripts/demo.mjs")], {
    cwd: root,
    env,
    timeoutMs: 180_000,
  });
  tally.check(
    `Kafka ${version}: npm start with KAFKA_BROKERS ends well`,
    code === 0 ? [] : output.slice(-3_000).split("\n"),
  );
  const topics = (await runClient("java", libs, "topics", { brokers }))
    .filter((topic) => !before.has(topic) && !topic.startsWith("__"));
  const wanted = flightCount();
  const counts = await Promise.all(topics.map((topic) => consoleCount(libs, brokers, topic, wanted)));
  tally.check(
    `Kafka ${version}: the console consumer reads as many records as npm start has produced`,
    topics.length === 0
      ? ["npm start created no topic"]
      : topics.flatMap((topic, i) => counts[i] === wanted ? [] : [`${topic}: ${counts[i]} records, wanted ${wanted}`]),
  );
}

/**
 * The number of lines that `kafka-console-consumer` prints for a topic from its beginning. It waits for more than there
 * should be, so that a record too many is seen; joining its group must not take as long, so one that comes to less waits
 * longer.
 */
async function consoleCount(libs, brokers, topic, wanted) {
  for (let waitMs = 4_000;; waitMs *= 3) {
    const count = await consoleLines(libs, brokers, topic, waitMs);
    if (count >= wanted || waitMs > 30_000) return count;
  }
}

async function consoleLines(libs, brokers, topic, waitMs) {
  const flags = [...toolJvmFlags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classPath(libs)];
  const { stdout } = await run("java", [
    ...flags,
    "org.apache.kafka.tools.consumer.ConsoleConsumer",
    `--bootstrap-server=${brokers}`,
    `--topic=${topic}`,
    "--from-beginning",
    `--timeout-ms=${waitMs}`,
  ], { timeoutMs: 180_000 });
  return stdout.split("\n").length - 1;
}

function flightCount() {
  return JSON.parse(readFileSync(join(root, sourceFile), "utf8")).length;
}
