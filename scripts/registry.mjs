/**
 * The schema registry's client against a real registry, Apicurio by its API that is Confluent's: Avro, Protobuf and JSON
 * Schema are registered, fetched by their ids, written, read back and refused.
 *
 *     npm run registry [-- --url http://localhost:8081]
 *
 * Without `--url` Apicurio is fetched from Maven Central once (140 MB, into `.cache/`) and started on loopback; that needs
 * a JDK (17 or newer) and Maven. It is too large for `npm test`, which has a strict fake in its place.
 */

import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { missingForKafka } from "./kafka.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { freePort } from "./lib/program.mjs";
import { cacheDir, moveIntoPlace, run } from "./lib/tools.mjs";

/** The last one that a JDK 17 runs from a single archive. */
const version = "2.6.13.Final";
const folder = join(cacheDir, `apicurio-${version}`);
const program = `apicurio-registry-app-${version}-runner.jar`;

/** Fetches the registry unless it is there. */
async function fetchRegistry() {
  if (existsSync(folder)) return;
  const work = `${folder}.${process.pid}`;
  mkdirSync(work, { recursive: true });
  try {
    const artifact = `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`;
    const coordinates = `-Dartifact=${artifact}`;
    await succeed("mvn", ["-q", "-B", "dependency:get", coordinates, "-Dtransitive=false"]);
    await succeed("mvn", ["-q", "-B", "dependency:copy", coordinates, `-DoutputDirectory=${work}`]);
    const archive = `apicurio-registry-app-${version}-all.tar.gz`;
    await succeed("tar", ["-xzf", archive], work);
    rmSync(join(work, archive));
    moveIntoPlace(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function succeed(command, args, cwd = cacheDir) {
  const { code, output } = await run(command, args, { cwd });
  // Mirrors differ from machine to machine, and their names are nobody's business.
  const told = output.replace(/https?:\/\/[^\s)"']+/g, "<repository>").slice(-2000);
  if (code !== 0) throw new Error(`${command} ended with exit code ${code}. Fetching Apicurio needs Maven:\n${told}`);
}

/** Starts the registry; resolves to its address, and to what ends it, when it answers. */
async function startRegistry() {
  const missing = missingForKafka();
  if (missing !== undefined) throw new Error(`Starting Apicurio needs a JDK and Maven: ${missing}`);
  await fetchRegistry();
  const port = await freePort();
  const path = join(folder, `${process.pid}.log`);
  const log = openSync(path, "w");
  const flags = ["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
  const where = ["-Dquarkus.http.host=127.0.0.1", `-Dquarkus.http.port=${port}`];
  const child = spawn("java", [...flags, ...where, "-jar", program], { cwd: folder, stdio: ["ignore", log, log] });
  closeSync(log);
  const gone = new Promise((resolve) => {
    child.once("exit", resolve);
    child.once("error", resolve);
  });
  process.once("exit", () => {
    child.kill("SIGKILL");
    rmSync(path, { force: true });
  });
  const stop = async () => {
    child.kill();
    await gone;
    rmSync(path, { force: true });
  };
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  const over = gone.then(() => {
    throw new Error(`Apicurio ended:\n${readFileSync(path, "utf8").split("\n").slice(-20).join("\n")}`);
  });
  await Promise.race([over, answers(url)]);
  over.catch(() => {});
  return { url, stop };
}

async function answers(url, withinMs = 180_000) {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const isThere = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5_000) }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isThere) return;
    if (performance.now() > untilMs) throw new Error(`Nobody answers at ${url}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const { values } = flagsOf(import.meta.url, { options: { url: { type: "string" } } });
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));
await install("test/recipes");
await build();
const { registryTests } = await import("../test/interop/registry.mjs");
const started = values.url === undefined ? await startRegistry() : { url: values.url, stop: async () => {} };
let failed = 0;
try {
  const tests = await registryTests(started.url);
  for (const [name, test] of Object.entries(tests)) {
    const error = await test().then(() => undefined, (error) => error);
    console.log(`${error === undefined ? "✓" : "✗"} ${name}`);
    if (error === undefined) continue;
    failed += 1;
    console.log(String(error.stack ?? error).replace(/^/gm, "    "));
  }
  console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
} finally {
  await started.stop();
}
if (failed > 0) process.exitCode = 1;
