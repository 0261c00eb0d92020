/**
 * The long proof of exactly once: records in transactions of a few hundred, two stages of two members each that copy
 * them on with the group's offsets, transactions aborted at random, every program killed again and again wherever it is
 * and started with the same id, and brokers killed meanwhile. At the end every offset of every log is a record or the
 * end of a transaction, and Java's consumer with `read_committed` finds each record once, in the order of its key.
 *
 *     npm run etl -- [--version 4.1.1] [--records 50000] [--rounds 1] [--zombies] [--security]
 *
 * `--zombies` stops programs instead of killing them, lets others take over their ids, and wakes them up again;
 * `--security` goes over TLS and SCRAM, with sessions that end after three seconds.
 */
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { build } from "./build.mjs";
import { install } from "./lib/install.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { startProgram } from "./lib/program.mjs";
import { root } from "./lib/tools.mjs";

const partitions = 4;
const keys = 500;
const topics = ["etl-in", "etl-mid", "etl-out"];
const limitMs = 900_000;
const nodeCount = 3;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const between = (least, most) => least + Math.floor(Math.random() * (most - least));

const { values } = flagsOf(import.meta.url, {
  options: {
    version: { type: "string", default: "4.1.1" },
    records: { type: "string", default: "50000" },
    rounds: { type: "string", default: "1" },
    zombies: { type: "boolean", default: false },
    security: { type: "boolean", default: false },
  },
});
const records = Number(values.records);
/** After so many the weather is good, and all must come to its end. */
const mostBlows = Math.max(40, records / 500);

// The programs and the cluster end with this process, however it ends.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

await install("test/interop");
await build();
const { scramOverTls, startFaultyCluster } = await import("../test/interop/faults/cluster.mjs");
const { Trace } = await import("../test/interop/faults/trace.mjs");
const { Reader } = await import(pathToFileURL(join(root, "dist/src/reader/mod.js")).href);
async function runRound() {
  const secured = values.security ? scramOverTls() : undefined;
  const cluster = await startFaultyCluster({
    ...{ version: values.version, trace: new Trace(), random: Math.random, nodeCount, security: secured },
    config: { "group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 1_000 },
  });
  const run = new Run(cluster, secured?.options ?? {});
  try {
    await cluster.ask("create", topics, { partitions });
    await cluster.ask("settle", topics, { withinMs: 60_000 });
    run.startAll();
    await Promise.all([run.disturb(), run.disturbBrokers(), run.count()]);
    await run.end();
    await cluster.heal();
    const problems = [...run.problems, ...await compare(cluster)];
    const accounts = [];
    for (const topic of topics) {
      const { controls, offsets, problems: found } = await run.account(topic);
      problems.push(...found);
      accounts.push(`${topic}: ${offsets} offsets with ${controls} ends of transactions`);
    }
    return { problems, blows: run.blows, brokers: run.brokers, summary: `${accounts.join(", ")};` };
  } finally {
    await run.end();
    await cluster.stop();
  }
}

/** The programs of one round. */
class Run {
  blows = 0;
  brokers = 0;
  problems = [];
  #cluster;
  #security;
  #programs = new Map();
  #isOver = false;
  #isGenerated = false;
  #counted = 0;

  constructor(cluster, security) {
    this.#cluster = cluster;
    this.#security = security;
  }

  startAll() {
    this.#start({ what: "generate", id: "generator", from: "", to: topics[0] });
    for (const [stage, from] of topics.slice(0, -1).entries()) {
      for (const member of [0, 1]) {
        this.#start({ what: "copy", id: `stage-${stage}-${member}`, from, to: topics[stage + 1] });
      }
    }
  }

  #start(step) {
    const program = this.#spawn(step);
    this.#programs.set(step.id, { step, program });
    program.closed.then((code) => {
      if (this.#programs.get(step.id)?.program !== program || this.#isOver) return;
      if (step.what === "generate" && code === 0) this.#isGenerated = true;
      else this.problems.push(`${step.id} ended with ${code}: ${program.output().slice(-2_000)}`);
    });
    return program;
  }

  #spawn(step) {
    const plan = { brokers: this.#cluster.brokers, partitions, records, keys, security: this.#security, ...step };
    const main = join(root, "dist/test/interop/etl_main.js");
    return startProgram([process.execPath, main, JSON.stringify(plan)], { keepOpen: true });
  }

  /** Kills one program after the other, and starts it again. */
  async disturb() {
    while (!this.#isOver && this.blows < mostBlows) {
      await sleep(between(500, 2_500));
      const ids = [...this.#programs.keys()].filter((id) => id !== "generator" || !this.#isGenerated);
      const { program, step } = this.#programs.get(ids[between(0, ids.length)]);
      if (this.#isOver || (step.what === "generate" && this.#isGenerated)) continue;
      this.blows += 1;
      // Without an entry of its own its end is no news.
      this.#programs.delete(step.id);
      if (values.zombies) await this.#replace(program, step);
      else {
        program.child.kill("SIGKILL");
        await program.closed;
        this.#start(step);
      }
    }
  }

  /** Somebody takes over, the former wakes up and goes on with what it was about, and some time later it is gone. */
  async #replace(program, step) {
    program.child.kill("SIGSTOP");
    this.#start(step);
    await sleep(between(500, 8_000));
    program.child.kill("SIGCONT");
    await sleep(between(200, 2_000));
    program.child.kill("SIGKILL");
    await program.closed;
  }

  /** Kills a broker at a third and at two thirds of the way. */
  async disturbBrokers() {
    for (const share of [1 / 3, 2 / 3]) {
      while (!this.#isOver && this.#counted < share * records) await sleep(100);
      if (this.#isOver) return;
      const node = this.#cluster.nodes[between(0, nodeCount)];
      await node.kill();
      await sleep(between(1_000, 6_000));
      await node.start();
      this.brokers += 1;
    }
  }

  /** Counts what is committed at the end of the way, until there is as much as was to be written. */
  async count() {
    const reader = new Reader({ brokers: this.#cluster.brokers, ...this.#security });
    const timer = setTimeout(() => {
      this.problems.push(`${this.#counted} of ${records} records have arrived within ${limitMs / 1000} s`);
      for (const { program, step } of this.#programs.values()) {
        this.problems.push(`${step.id} said: ${program.output().slice(-500)}`);
      }
      void reader.close();
    }, limitMs);
    reader.assign(Array.from({ length: partitions }, (_, partition) => (
      { topic: topics.at(-1), partition, start: "beginning" }
    )));
    for await (const { records: seen } of reader.batches()) {
      this.#counted += seen.length;
      if (this.#counted >= records) break;
    }
    clearTimeout(timer);
    await reader.close();
    // What comes twice comes now.
    await sleep(2_000);
    this.#isOver = true;
  }

  async end() {
    this.#isOver = true;
    for (const { program } of this.#programs.values()) {
      program.child.kill("SIGKILL");
      await program.closed;
    }
    // What they have left open is aborted by the coordinator in time, and by their successors at once.
    for (const { step } of [...this.#programs.values()].filter(({ step }) => step.what === "copy")) {
      this.#programs.delete(step.id);
      await this.#abortWhatIsOpen(step.id);
    }
    this.#programs.clear();
  }

  async #abortWhatIsOpen(id) {
    const { TransactionalProducer } = await import(pathToFileURL(join(root, "dist/mod.js")).href);
    const producer = new TransactionalProducer({
      brokers: this.#cluster.brokers,
      ...this.#security,
      transactionalId: id,
    });
    await producer.init().catch((error) => this.problems.push(`init of ${id}: ${error}`));
    await producer.close();
  }

  async account(topic) {
    // A transaction is ended before its marks are in the logs.
    for (let tries = 0;; tries++) {
      const program = this.#spawn({ what: "account", id: "accountant", from: topic, to: "" });
      const code = await program.closed;
      if (code !== 0) return { problems: [program.output()], offsets: 0, controls: 0 };
      const account = JSON.parse(program.stdout().trim().split("\n").at(-1));
      if (tries > 20 || !account.problems.some((problem) => problem.includes("is open"))) return account;
      await sleep(500);
    }
  }
}

/** What Java's consumer reads of the last topic: each number once, and the numbers of a key in order. */
async function compare(cluster) {
  const options = { withinMs: 60_000, isolation: "read_committed" };
  const { complete, records: read } = await cluster.ask("read", [topics.at(-1)], options);
  const problems = complete ? [] : ["Java's consumer doesn't come to the end"];
  const times = new Uint8Array(records);
  const last = new Map();
  for (const [, partition, offset, , key, value] of read) {
    const i = Number(value);
    if (key !== `k${i % keys}`) problems.push(`${value} has the key ${key}`);
    times[i] += 1;
    if (times[i] > 1) problems.push(`${value} is there ${times[i]} times, also at ${partition}@${offset}`);
    if ((last.get(key) ?? -1) >= i) {
      problems.push(`${key}: ${value} comes after ${last.get(key)}, at ${partition}@${offset}`);
    }
    last.set(key, i);
  }
  const missing = [...times.keys()].filter((i) => times[i] === 0);
  if (missing.length > 0) problems.push(`${missing.length} records are missing: ${missing.slice(0, 10).join(", ")} …`);
  return problems;
}

let failed = 0;
for (let round = 1; round <= Number(values.rounds); round++) {
  const startedMs = performance.now();
  const { blows, brokers, problems, summary } = await runRound().catch((error) => (
    { problems: [error.stack], blows: 0, brokers: 0, summary: "" }
  ));
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  const how = `${blows} programs ${values.zombies ? "stopped and replaced" : "killed"}, ${brokers} brokers`;
  console.log(
    `${problems.length === 0 ? "✓" : "✗"} Kafka ${values.version}, round ${round}: ${how}; ${summary} ${seconds} s`,
  );
  for (const problem of problems.slice(0, 20)) console.log(`    ${problem}`);
  if (problems.length > 0) failed += 1;
}
process.exitCode = failed > 0 ? 1 : 0;
