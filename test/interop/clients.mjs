/** The other clients of the interop tests: each is a program that takes a plan and prints JSON lines. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { classPath, toolJvmFlags } from "../../scripts/kafka.mjs";
import { cacheDir, run } from "../../scripts/lib/tools.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const librdkafkaPackage = "confluent-kafka==2.16.1";

/** The names of the clients, which are those of the readers in test names. */
export const clientNames = ["java", "librdkafka", "kafkajs"];

/** Gets a client ready; resolves to a reason why it can't be, or to `undefined`. */
export async function prepareClient(name, libs) {
  if (name === "java") return await compileJava(libs);
  if (name === "librdkafka") return await installLibrdkafka();
  return undefined; // kafkajs: installed with this folder's package.json
}

/**
 * Runs one command of a client; resolves to its JSON lines, rejects with what it printed. The time is more than all that
 * a command waits for by itself, so that it is the command that tells what is missing.
 */
export async function runClient(name, libs, command, plan, timeoutMs = 400_000) {
  const file = join(cacheDir, "interop", `plan-${process.pid}-${name}-${command}.json`);
  writeFileSync(file, JSON.stringify(plan));
  const [program, ...args] = commandLine(name, libs);
  const { code, stdout, stderr } = await run(program, [...args, command, file], { timeoutMs });
  rmSync(file, { force: true });
  if (code !== 0) {
    throw new Error(`${name} ${command} ended with ${code}: ${stderr.trim().slice(-2_000)}`);
  }
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

function commandLine(name, libs) {
  if (name === "java") {
    const flags = [...toolJvmFlags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"];
    return ["java", ...flags, "-cp", classPath(libs, classesDir(libs)), "Interop"];
  }
  if (name === "librdkafka") return [venvPython(), join(here, "librdkafka.py")];
  return [process.execPath, join(here, "kafkajs.mjs")];
}

async function compileJava(libs) {
  const source = join(here, "Interop.java");
  const classes = classesDir(libs);
  const compiled = join(classes, "Interop.class");
  if (
    existsSync(compiled) &&
    statSync(compiled).mtimeMs > statSync(source).mtimeMs
  ) return undefined;
  mkdirSync(classes, { recursive: true });
  const { code, output } = await run("javac", ["-nowarn", "-cp", classPath(libs), "-d", classes, source]);
  if (code !== 0) throw new Error(`Compiling Interop.java failed:\n${output}`);
  return undefined;
}

async function installLibrdkafka() {
  const marker = join(cacheDir, "venv", "installed");
  if (existsSync(marker) && readFileSync(marker, "utf8") === librdkafkaPackage) return undefined;
  if (
    spawnSync("python3", ["-c", "import ensurepip, venv"], { stdio: "ignore" })
      .status !== 0
  ) return "no python3";
  const venv = join(cacheDir, "venv");
  const made = await run("python3", ["-m", "venv", "--clear", venv]);
  if (made.code !== 0) return "no python3 that can make a virtual environment";
  const installed = await run(venvPython(), ["-m", "pip", "install", "-q", librdkafkaPackage]);
  if (installed.code !== 0) {
    return `no wheel of ${librdkafkaPackage} for this machine`;
  }
  writeFileSync(marker, librdkafkaPackage);
  return undefined;
}

function venvPython() {
  return join(cacheDir, "venv", "bin", "python");
}

/** Beside the jars that it was compiled against, so that each version has its own. */
function classesDir(libs) {
  return join(libs, "..", "interop-classes");
}
