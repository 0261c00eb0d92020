/**
 * Runs KafkaJS's own specs of its producer against `@sluice/kafka/compat/kafkajs`, on a real Kafka with TLS and SASL.
 *
 *     npm run kafkajs-specs [-- --runtime node24,deno,bun] [--filter words] [--source URL or folder] [--write]
 *
 * The specs are fetched by git at the commit of KafkaJS 2.2.4 into `.cache/`, and their imports lead to this package. Each
 * spec that doesn't pass has its reason in `reasons`; one without a reason, and a reason that isn't needed any more, end
 * the program with exit code 1. `--write` writes the table of docs/migrate/kafkajs.md.
 */

import { existsSync, mkdirSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { missingForKafka, startKafka } from "./kafka.mjs";
import { certificateAuthority } from "./lib/certificates.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { runProgram } from "./lib/program.mjs";
import { cacheDir, root, run, runtimeBinary } from "./lib/tools.mjs";

const commit = "c08472878724ce5fc62a9a9aa865255d7e7682a6"; // v2.2.4
const repository = "https://github.com/tulios/kafkajs.git";
const page = "docs/migrate/kafkajs.md";
const [begin, end] = ["<!-- specs: begin -->", "<!-- specs: end -->"];

/** The files, and for those of KafkaJS's inside why there is nothing to run them against. */
const files = {
  "src/producer/index.spec.js": undefined,
  "src/producer/compression.spec.js": undefined,
  "src/producer/__tests__/concurrentTransaction.spec.js": undefined,
  "src/producer/__tests__/idempotentProduceMessages.spec.js": undefined,
  "src/producer/__tests__/producingToInvalidTopic.spec.js": undefined,
  "src/producer/partitioners/default/murmur2.spec.js": undefined,
  "src/producer/partitioners/legacy/index.spec.js": undefined,
  "src/producer/partitioners/legacy/murmur2.spec.js": undefined,
  "src/producer/partitioners/legacy/randomBytes.spec.js": "a helper inside KafkaJS",
  "src/producer/createTopicData.spec.js": "a helper inside KafkaJS",
  "src/producer/groupMessagesPerPartition.spec.js": "a helper inside KafkaJS",
  "src/producer/sendMessages.spec.js": "the retry loop inside KafkaJS, on mocked brokers",
  "src/producer/eosManager/index.spec.js": "the state machine inside KafkaJS, on a mocked cluster",
};

const INNER = "it asks or disturbs KafkaJS's inner cluster, which a producer of this package doesn't have";
const FAULTS =
  "it makes calls of KafkaJS's inner broker fail; that nothing is lost or doubled when requests fail has " +
  "tests of ours";
const SPIES = "it counts calls inside KafkaJS";
const CODECS = "on purpose: Snappy, LZ4 and Zstandard work without being brought";

/** Why a spec does not pass, by its name. */
const reasons = {
  "Producer > reconnects the cluster if disconnected": INNER,
  "Producer > when idempotent=true > sets the default retry value to MAX_SAFE_INTEGER": SPIES,
  "Producer > when idempotent=true > only calls initProducerId if unitialized": SPIES,
  "Producer > transactions > supports sending offsets": `${SPIES}; that the offsets are committed has a test of ours`,
  "Producer > Idempotent producer > sequential produce() calls > where produce() throws a retriable error, all messages are written to the partition once, in order":
    FAULTS,
  "Producer > Idempotent producer > sequential produce() calls > where produce() throws a retriable error after the message is written to the log, all messages are written to the partition once, in order":
    FAULTS,
  "Producer > Idempotent producer > concurrent produce() calls > where produce() throws a retriable error on the first call, all messages are written to the partition once":
    FAULTS,
  "Producer > Idempotent producer > concurrent produce() calls > where produce() throws a retriable error on 2nd call, all messages are written to the partition once":
    FAULTS,
  "Producer > Idempotent producer > concurrent produce() calls > where produce() throws a retriable error after the message is written to the log, all messages are written to the partition once":
    FAULTS,
  "Producer > snappy compression not configured > throws an error": CODECS,
  "Producer > lz4 compression not configured > throws an error": CODECS,
  "Producer > zstd compression not configured > throws an error": CODECS,
};

/** Runs them; resolves to how many have an outcome that nobody has explained. */
export async function runKafkaJSSpecs({ runtimes, filter = "", source = repository, write = false, log }) {
  await Promise.all(["test/consumers", "test/interop", "test/runtimes"].map((folder) => install(folder, log)));
  const specs = await ensureSpecs(source, log);
  const missing = missingForKafka("4.1.1");
  if (missing !== undefined) throw new Error(`The specs need a real Kafka: ${missing}`);
  const kafka = await startSpecKafka();
  const found = new Map();
  try {
    for (const runtime of runtimes) {
      for (const { name, status, detail } of await runOn(runtime, specs, kafka, filter)) {
        const outcomes = found.get(name) ?? {};
        found.set(name, { ...outcomes, [runtime]: { status, detail } });
      }
    }
  } finally {
    await kafka.stop();
  }
  const problems = report(found, runtimes, filter, log);
  if (write) await writeTable(found, runtimes);
  return problems;
}

/** KafkaJS's repository at the commit of its version 2.2.4. */
async function ensureSpecs(source, log) {
  const folder = join(cacheDir, "kafkajs-specs");
  if (existsSync(join(folder, "src/producer/index.spec.js"))) return folder;
  log(`Fetching KafkaJS's specs from ${source}`);
  await rm(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (
    const args of [
      ["init", "-q"],
      ["fetch", "-q", "--depth", "1", source, commit],
      ["checkout", "-q", "FETCH_HEAD"],
    ]
  ) {
    const { code, output } = await run("git", args, { cwd: folder });
    if (code !== 0) throw new Error(`git ${args[0]} of KafkaJS's specs failed: ${output}`);
  }
  return folder;
}

/** The listeners and users that the specs ask for. */
async function startSpecKafka() {
  const ca = certificateAuthority();
  const { cert, key } = ca.issue({ name: "broker" });
  const jaas = (module, rest = "") => `org.apache.kafka.common.security.${module} required${rest};`;
  return await startKafka({
    version: "4.1.1",
    listeners: { SSL: "SSL", SASL_SSL: "SASL_SSL" },
    scramUsers: [
      ["SCRAM-SHA-256", "testscram", "testtestscram=256"],
      ["SCRAM-SHA-512", "testscram", "testtestscram=512"],
    ],
    config: {
      "auto.create.topics.enable": true,
      "ssl.keystore.type": "PEM",
      "ssl.keystore.key": key,
      "ssl.keystore.certificate.chain": cert,
      "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
      "listener.name.sasl_ssl.plain.sasl.jaas.config": jaas("plain.PlainLoginModule", ' user_test="testtest"'),
      "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": jaas("scram.ScramLoginModule"),
      "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": jaas("scram.ScramLoginModule"),
    },
  });
}

async function runOn(runtime, specs, kafka, filter) {
  const binary = runtimeBinary(runtime);
  if (binary === undefined) throw new Error(`${runtime} is not installed in test/runtimes`);
  const runner = join(root, "scripts/lib/kafkajs_spec_runner.mjs");
  const flags = runtime === "deno"
    ? ["run", "--allow-all", "--no-lock", "--config", join(root, "deno.json")]
    : runtime === "bun"
    ? ["run"]
    : ["--disable-warning=ExperimentalWarning"];
  const plan = {
    specs,
    files: Object.keys(files).filter((file) => files[file] === undefined),
    filter,
    brokers: kafka.brokers,
    ssl: kafka.brokersOf("SSL"),
    sasl: kafka.brokersOf("SASL_SSL"),
  };
  const { code, output } = await runProgram([binary, ...flags, runner], {
    env: { SPEC_PLAN: JSON.stringify(plan), KAFKAJS_NO_PARTITIONER_WARNING: "1" },
    timeoutMs: 600_000,
  });
  const lines = output.split("\n").filter((line) => line.startsWith("SPEC "));
  if (code !== 0 || lines.length === 0) throw new Error(`The specs ended with ${code} on ${runtime}\n${output}`);
  return lines.map((line) => JSON.parse(line.slice(5)));
}

function report(found, runtimes, filter, log) {
  let problems = 0;
  for (const [name, outcomes] of found) {
    const failed = runtimes.filter((runtime) => outcomes[runtime]?.status !== "passed");
    const reason = reasons[name];
    const isRight = reason === undefined ? failed.length === 0 : failed.length === runtimes.length;
    log(`${failed.length === 0 ? "✓" : reason === undefined ? "✗" : "–"} ${name}`);
    if (failed.length > 0 && reason !== undefined) log(`    ${reason}`);
    if (isRight) continue;
    problems += 1;
    for (const runtime of failed) log(`    ${runtime}: ${outcomes[runtime]?.detail}`);
    if (reason !== undefined && failed.length === 0) log("    It has a reason, and passes.");
  }
  for (const name of Object.keys(reasons)) {
    if (found.has(name) || !name.includes(filter) || filter !== "") continue;
    problems += 1;
    log(`✗ There is no spec "${name}", which has a reason.`);
  }
  const passed = [...found.values()].filter((outcomes) => {
    return runtimes.every((runtime) => outcomes[runtime]?.status === "passed");
  });
  log(`${passed.length} of ${found.size} specs pass on ${runtimes.join(", ")}; ${problems} without an explanation`);
  return problems;
}

/** Writes what was found into the page, between its two marks. */
async function writeTable(found, runtimes) {
  const text = await readFile(join(root, page), "utf8");
  const mark = (outcomes) => runtimes.every((it) => outcomes[it]?.status === "passed") ? "passes" : "";
  const cell = (words) => words.replaceAll("|", "\\|");
  const rows = [...found].map(([name, outcomes]) =>
    `| ${cell(name)} | ${mark(outcomes) || cell(reasons[name] ?? "")} |`
  );
  const inner = Object.entries(files).filter(([, why]) => why !== undefined)
    .map(([file, why]) => `| \`${file}\` | not run: ${why} |`);
  const passed = [...found.values()].filter((outcomes) => mark(outcomes) !== "").length;
  const names = runtimes.map((name) => ({ deno: "Deno", bun: "Bun" })[name] ?? name.replace(/^node/, "Node "));
  const sentence = `${passed} of ${found.size} pass on ${names.join(", ")}, against Kafka 4.1.1.`;
  const table = [sentence, "", "| spec | outcome |", "| --- | --- |", ...rows, ...inner].join("\n");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`${page} has no marks ${begin} and ${end}`);
  await writeFile(join(root, page), `${before}${begin}\n\n${table}\n\n${end}${after}`);
  await run(runtimeBinary("deno"), ["fmt", "--config=deno.json", page]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values: { runtime, filter, source, write } } = flagsOf(import.meta.url, {
    options: {
      runtime: { type: "string", default: "node24,deno,bun" },
      filter: { type: "string" },
      source: { type: "string" },
      write: { type: "boolean" },
    },
  });
  const problems = await runKafkaJSSpecs({
    ...{ runtimes: runtime.split(","), filter, source, write },
    log: (line) => console.log(line),
  });
  if (problems > 0) process.exitCode = 1;
}
