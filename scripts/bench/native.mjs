/** The clients that aren't JavaScript: builds their drivers under `.cache/bench`. */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { classPath, ensureKafka, missingForKafka } from "../kafka.mjs";
import { install } from "../lib/install.mjs";
import { cacheDir, run } from "../lib/tools.mjs";

const sources = fileURLToPath(new URL("native/", import.meta.url));
const addonDir = fileURLToPath(new URL("peers/node_modules/@confluentinc/kafka-javascript/", import.meta.url));
const dir = join(cacheDir, "bench");

const librdkafkaVersion = "2.15.1";
const javaVersion = "4.1.1";
const franzVersion = "1.22.2";

const clients = {
  "librdkafka": { runtime: "C", version: librdkafkaVersion, prepare: prepareLibrdkafka },
  "franz-go": { runtime: "Go", version: franzVersion, prepare: prepareFranz },
  "java": { runtime: "Java", version: javaVersion, prepare: prepareJava },
};

/** Their names. */
export const nativeNames = Object.keys(clients);

/** Gets a client ready; rejects with the reason why it can't be. What it resolves to is as in clients.mjs. */
export async function nativeClient(name, log) {
  const { runtime, version, prepare } = clients[name];
  mkdirSync(dir, { recursive: true });
  const line = await prepare(log);
  return {
    name,
    runtime,
    version,
    workFor(work) {
      if (work.sluiceOnly) return "Sluice only";
      if (work.kind === "turns") return "its driver here speaks no TLS";
      if (work.name === "Db") return "one send per record is what it has";
      return { ...work, share: 1 };
    },
    command: () => ({ line, plan: {}, args: flatten }),
  };
}

/** A plan as "name=value" words. */
function flatten({ work, ...plan }) {
  const words = {
    ...{ ...plan, ...work, count: plan.count },
    idempotent: work.idempotent ? 1 : undefined,
    transactional: work.transactional ? 1 : undefined,
  };
  return Object.entries(words)
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .map(([name, value]) => `${name}=${value}`);
}

/** The library as its makers build it, from the Python wheel, with all codecs; headers are those of the addon. */
async function prepareLibrdkafka(log) {
  const source = join(sources, "librdkafka.c");
  const program = join(dir, "librdkafka");
  if (isNewer(program, source)) return [program];
  await install("scripts/bench/peers", log); // for the headers
  const wheelDir = join(dir, "librdkafka-wheel");
  const wanted = `confluent-kafka==${librdkafkaVersion}`;
  const pip = ["-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", wheelDir, wanted];
  await execute("python3", pip, `no wheel of ${wanted} for this machine`);
  const libs = join(wheelDir, "confluent_kafka.libs");
  const library = readdirSync(libs).find((file) => file.startsWith("librdkafka-"));
  if (library === undefined) throw new Error(`The wheel of ${wanted} holds no librdkafka`);
  const include = join(addonDir, "deps", "librdkafka", "src");
  const args = ["-O2", "-I", include, source, "-o", program, join(libs, library), `-Wl,-rpath,${libs}`];
  await execute("gcc", args, "compiling librdkafka.c failed");
  return [program];
}

async function prepareFranz(log) {
  const program = join(dir, "franz-go");
  const newest = readdirSync(join(sources, "franz")).map((file) => join(sources, "franz", file));
  if (newest.every((file) => isNewer(program, file))) return [program];
  log("Building the driver of franz-go …");
  await execute("go", ["build", "-C", join(sources, "franz"), "-o", program, "."], "go build failed");
  return [program];
}

async function prepareJava() {
  const missing = missingForKafka(javaVersion);
  if (missing !== undefined) throw new Error(missing);
  const libs = await ensureKafka(javaVersion);
  const source = join(sources, "Bench.java");
  const classes = join(dir, "java");
  if (!isNewer(join(classes, "Bench.class"), source)) {
    rmSync(classes, { recursive: true, force: true });
    mkdirSync(classes, { recursive: true });
    await execute("javac", ["-nowarn", "-cp", classPath(libs), "-d", classes, source], "compiling Bench.java failed");
  }
  return ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classPath(libs, classes), "Bench"];
}

function isNewer(built, source) {
  return existsSync(built) && statSync(built).mtimeMs > statSync(source).mtimeMs;
}

async function execute(command, args, complaint) {
  const { code, output } = await run(command, args);
  if (code === 0) return;
  throw new Error(`${complaint}: ${output.replace(/https?:\/\/[^\s)"']+/g, "<address>").trim().slice(-500)}`);
}
