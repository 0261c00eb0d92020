/**
 * Interop with real Kafka: every codec and acks from every runtime, read back by other people's clients; other
 * people's clients against the embedded broker; a whole data set and the Java console consumer; what is claimed of
 * speed; the same requests to the embedded broker and to Kafka.
 *
 *     node scripts/interop.mjs [--version 4.1.1] [--runtime node22,bun] [--codec zstd] [--acks all] [--reader java]
 *                              [--part matrix,schemas,demo,claims,embedded,probes,security,groups,transactions,app]
 *                              [--thorough] [--secure] [--rounds 1] [--whole] [--load-seconds 600] [--jobs 2]
 *
 * `--whole` runs every mechanism with every codec and acks on every runtime (part security), `--load-seconds` nothing of
 * that part but a load under SASL and TLS for so long, with sessions of three seconds and brokers that restart in turn.
 *
 * `--thorough` runs all transactions, on one node and on three, `--secure` over TLS and SCRAM, `--rounds` so often.
 *
 * Several versions are tested by two processes, the first one beside the others: `--jobs 1` takes one after the other.
 *
 * Needs a JDK and Maven; says "skipped" where there is none, which is a failure in CI (environment variable `CI`).
 */
import { fork } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ensureKafka, kafkaVersions, missingForKafka, startKafka } from "./kafka.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { build } from "./build.mjs";
import { cacheDir, root } from "./lib/tools.mjs";

/** The argument of a process that was started by another one of this script. */
const forked = "forked";

/** What can be asked for by name. */
const everything = {
  versions: kafkaVersions,
  // "java" is the control group: the Java producer's records must pass through the same comparisons.
  runtimes: ["java", "node20", "node22", "node24", "node26", "deno", "bun", "workerd"],
  codecs: ["none", "gzip", "snappy", "lz4", "zstd"],
  acks: ["0", "1", "all"],
  readers: ["java", "librdkafka", "kafkajs"],
  parts: [
    "matrix",
    "schemas",
    "demo",
    "claims",
    "embedded",
    "loggers",
    "probes",
    "security",
    "groups",
    "transactions",
    "app",
  ],
};

/**
 * What is run of the matrix and of the probes on a version unless more is asked for. All of it takes minutes; what
 * differs from the other versions is how connections are greeted, which each runtime shows with one codec as well as
 * with all.
 */
const partOfMatrix = {
  "4.4.0": {
    runtimes: ["node24", "deno", "bun", "workerd"],
    codecs: ["none", "zstd"],
    acks: ["all"],
    readers: ["java"],
  },
};
/** Where producers are let in or kept out; the load with restarts runs on the first version alone. */
const securityOn = { "4.1.1": ["node24", "deno", "bun"], "4.4.0": ["node24"] };
const partOfProbes = { "4.4.0": /ApiVersions|Produce|metadata|transactions:|groups:|admin:/ };

/**
 * Runs the interop tests; `only` narrows them: `{ versions, runtimes, codecs, acks, readers, parts }`, each a list.
 * `share` is what one of two processes does of it: some versions, and the last of them what needs none.
 *
 * @param {{ only?: Record<string, string[]>, thorough?: boolean, secure?: boolean, rounds?: number, whole?: boolean, loadS?: number,
 *   jobs?: number, share?: { versions: string[], isLast: boolean }, log?: (line: string) => void }} [options]
 * @returns `{ passed, failed, skipped: [{ name, reason, allowed }], tests: [{ name, status }], times }`, the last of them
 *   pairs of a part and its seconds; details go to `log`
 */
export async function runInterop(options = {}) {
  const { only = {}, thorough, secure, rounds, whole, loadS, jobs = 2, share, log = (line) => console.log(line) } =
    options;
  const wanted = { ...everything, ...withoutUndefined(only) };
  const tally = new Tally(log);
  const noJdk = wanted.versions.map(missingForKafka).find((reason) => reason !== undefined);
  if (noJdk !== undefined) {
    const names = wanted.versions.map((version) => `interop with Kafka ${version}`);
    for (const name of [...names, "interop with the embedded broker"]) {
      tally.skip(name, noJdk, !process.env.CI);
    }
    return tally.summary();
  }
  for (const folder of ["test/interop", "test/runtimes"]) {
    await install(folder, log);
  }
  mkdirSync(join(cacheDir, "interop"), { recursive: true });
  if (share === undefined && jobs > 1 && wanted.versions.length > 1) {
    return await runShares(options, wanted.versions, log);
  }
  // Loaded here, as they import what has just been installed.
  const { runLoggersPart } = await import("../test/interop/loggers.mjs");
  const { runMatrixPart } = await import("../test/interop/matrix.mjs");
  const { runAppPart } = await import("../test/interop/app.mjs");
  const { runClaimsPart } = await import("../test/interop/claims.mjs");
  const { runDemoPart } = await import("../test/interop/demo.mjs");
  const { runEmbeddedPart } = await import("../test/interop/embedded.mjs");
  const { runGroupsPart } = await import("../test/interop/groups.mjs");
  const { runProbesPart } = await import("../test/interop/probes.mjs");
  const { runSecurityPart } = await import("../test/interop/security/part.mjs");
  const { runTransactionsPart } = await import("../test/interop/transactions.mjs");
  const { runSchemasPart } = await import("../test/interop/schemas.mjs");
  const parts = wanted.parts;
  const onKafka = parts.some((part) => part !== "embedded" && part !== "loggers");
  for (const version of onKafka ? (share ?? wanted).versions : []) {
    await tally.guard(`Kafka ${version}`, async () => {
      const libs = await ensureKafka(version);
      const timed = (part, run) => tally.timed(`Kafka ${version}, ${part}`, run);
      if (parts.includes("schemas")) await timed("schemas", () => runSchemasPart({ version, libs, tally }));
      if (parts.includes("probes")) {
        const probes = only.parts === undefined ? partOfProbes[version] : undefined;
        if (probes !== undefined) log(`Kafka ${version}, probes: only those named like ${probes}`);
        await timed("probes", () => runProbesPart({ version, tally, only: probes }));
      }
      if (parts.includes("transactions")) {
        const how = { version, runtimes: only.runtimes, thorough, secure, rounds, tally };
        await timed("transactions", () => runTransactionsPart(how));
      }
      const isFirst = version === wanted.versions[0];
      const everywhere = everything.runtimes.filter((name) => name !== "java");
      const secured = (whole ? everywhere : securityOn[version] ?? []).filter((name) => wanted.runtimes.includes(name));
      if (parts.includes("security") && secured.length > 0) {
        log(`Kafka ${version}, security: ${secured.join(", ")}${isFirst ? "; load with restarts on the first" : ""}`);
        const how = { version, runtimes: secured, withLoad: isFirst && !whole, loadS, whole, tally, log };
        await timed("security", () => runSecurityPart(how));
      }
      if (
        !parts.includes("matrix") &&
        !(isFirst && ["demo", "claims", "groups", "app"].some((part) => parts.includes(part)))
      ) return;
      const kafka = await startKafka({ version });
      try {
        if (parts.includes("matrix")) {
          const matrix = { ...wanted, ...partOfMatrix[version], ...withoutUndefined(only) };
          log(`Kafka ${version}, matrix: ${describeMatrix(matrix)}`);
          await timed("matrix", () => runMatrixPart({ kafka, wanted: matrix, tally }));
        }
        const onFirst = {
          claims: () => runClaimsPart({ kafka, wanted, tally }),
          groups: async () => await runGroupsPart({ kafka, sluice: await builtPackage(), tally }),
          app: async () => await runAppPart({ kafka, sluice: await builtPackage(), tally }),
          demo: () => runDemoPart({ kafka, tally }),
        };
        for (const [part, run] of Object.entries(onFirst)) if (isFirst && parts.includes(part)) await timed(part, run);
      } finally {
        await kafka.stop();
      }
    });
  }
  if (share?.isLast === false) return tally.summary();
  if (parts.includes("loggers")) await tally.guard("loggers", () => runLoggersPart({ tally }));
  if (parts.includes("embedded")) {
    const libs = await ensureKafka(wanted.versions[0]);
    await tally.guard("embedded broker", () => runEmbeddedPart({ libs, wanted, tally }));
  }
  return tally.summary();
}

/**
 * Two processes, each with some of the versions: most of the time brokers, groups and timeouts are waited for. Processes,
 * because much of what the parts write is named after theirs.
 */
async function runShares(options, versions, log) {
  // What both need is made once, and before.
  await build();
  for (const version of versions) await ensureKafka(version);
  await (await import("../test/interop/clients.mjs")).prepareClient("librdkafka", "");
  const shares = [{ versions: versions.slice(0, 1), isLast: false }, { versions: versions.slice(1), isLast: true }];
  const tally = new Tally(log);
  const results = await Promise.all(shares.map(async (share) => {
    const { result, problem } = await runShare({ ...options, log: undefined, share }, log);
    if (problem !== undefined) {
      tally.check(`interop with Kafka ${share.versions.join(", ")}: runs to its end`, [problem]);
    }
    return result;
  }));
  const all = [...results.filter((result) => result !== undefined), tally.summary()];
  const sum = (count) => all.reduce((total, each) => total + each[count], 0);
  const list = (name) => all.flatMap((each) => each[name]);
  return {
    passed: sum("passed"),
    failed: sum("failed"),
    skipped: list("skipped"),
    tests: list("tests"),
    times: list("times"),
  };
}

function runShare(options, log) {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(import.meta.url), [forked]);
    let result;
    child.on("message", (/** @type {any} */ message) => {
      if (message.line === undefined) result = message.result;
      else log(message.line);
    });
    child.on("exit", (code, signal) => {
      resolve({ result, problem: result === undefined ? `It ended with ${signal ?? code} and no result` : undefined });
    });
    child.send(options);
  });
}

/** The other end of {@link runShare}: it is asked once, and ends when the one who asks has gone. */
function answerParent() {
  process.on("disconnect", () => process.exit(1));
  process.once("message", async (/** @type {any} */ options) => {
    const result = await runInterop({ ...options, log: (line) => process.send({ line }) });
    process.send({ result }, () => process.exit(0));
  });
}

/** The package as it is published. */
async function builtPackage() {
  await build();
  const load = (file) => import(pathToFileURL(join(root, "dist/esm", file)).href);
  const [{ Producer }, { GroupReader, Reader }, { createAdmin }] = await Promise.all(
    ["mod.js", "reader.js", "admin.js"].map(load),
  );
  const [app, headers, otel] = await Promise.all(["app.js", "headers.js", "otel.js"].map(load));
  return { Producer, GroupReader, Reader, createAdmin, app, headers, otel };
}

function describeMatrix({ runtimes, codecs, acks, readers }) {
  return `${runtimes.join(", ")}; codecs ${codecs.join(", ")}; acks ${acks.join(", ")}; read by ${readers.join(", ")}`;
}

/** Counts the tests by name and prints what went wrong: the first failures in full, the others by name. */
class Tally {
  #log;
  #tests = new Map();
  #skipped = [];
  #times = [];

  constructor(log) {
    this.#log = log;
  }

  /** A test whose differences are already known: passed when there are none. */
  check(name, differences) {
    if (this.#tests.has(name)) {
      throw new Error(`Two interop tests are named "${name}"`);
    }
    this.#tests.set(name, differences.length === 0 ? "passed" : "failed");
    if (differences.length === 0) return;
    this.#log(`✗ ${name}`);
    if (this.#count("failed") > 20) return;
    for (const line of differences.slice(0, 6)) this.#log(`    ${line}`);
    if (differences.length > 6) {
      this.#log(`    … and ${differences.length - 6} more differences`);
    }
  }

  skip(name, reason, allowed) {
    this.#skipped.push({ name, reason, allowed });
    this.#log(`- ${name}: skipped, ${reason}`);
  }

  /** Runs a part of a version and keeps how long it took. */
  async timed(name, body) {
    const startedMs = performance.now();
    try {
      await body();
    } finally {
      const seconds = (performance.now() - startedMs) / 1000;
      this.#times.push([name, seconds]);
      this.#log(`${name}: ${seconds.toFixed(1)} s`);
    }
  }

  /** Runs a part and times it; an exception in it is one failed test. */
  async guard(name, body) {
    const startedMs = performance.now();
    const before = this.#count("passed");
    try {
      await body();
    } catch (error) {
      this.check(`${name}: runs to its end`, [error.stack ?? String(error)]);
    }
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    this.#log(`${name}: ${this.#count("passed") - before} passed in ${seconds} s`);
  }

  summary() {
    const tests = [...this.#tests].map(([name, status]) => ({ name, status }));
    const [passed, failed] = [this.#count("passed"), this.#count("failed")];
    return { passed, failed, skipped: this.#skipped, tests, times: this.#times };
  }

  #count(wanted) {
    return [...this.#tests.values()].filter((status) => status === wanted)
      .length;
  }
}

function withoutUndefined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

async function main() {
  const option = /** @type {const} */ ({ type: "string" });
  const { values } = flagsOf(import.meta.url, {
    options: {
      version: option,
      runtime: option,
      codec: option,
      acks: option,
      reader: option,
      part: option,
      rounds: option,
      thorough: { type: "boolean" },
      secure: { type: "boolean" },
      whole: { type: "boolean" },
      "load-seconds": option,
      jobs: { type: "string", default: "2" },
    },
  });
  const list = (name, known) => {
    const names = values[name]?.split(",");
    const unknown = names?.find((each) => !known.includes(each) && name !== "version");
    if (unknown !== undefined) {
      throw new Error(`There is no ${name} "${unknown}", wanted one of ${known.join(", ")}`);
    }
    return names;
  };
  const only = {
    versions: list("version", everything.versions),
    runtimes: list("runtime", everything.runtimes),
    codecs: list("codec", everything.codecs),
    acks: list("acks", everything.acks),
    readers: list("reader", everything.readers),
    parts: list("part", everything.parts),
  };
  const { passed, failed, skipped } = await runInterop({
    only,
    thorough: values.thorough,
    secure: values.secure,
    rounds: values.rounds === undefined ? undefined : Number(values.rounds),
    whole: values.whole,
    jobs: Number(values.jobs),
    loadS: values["load-seconds"] === undefined ? undefined : Number(values["load-seconds"]),
  });
  console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  if (failed > 0 || passed + skipped.length === 0 || skipped.some(({ allowed }) => !allowed)) {
    process.exitCode = 1;
  }
}

if (process.argv[2] === forked && process.send !== undefined) answerParent();
else if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
