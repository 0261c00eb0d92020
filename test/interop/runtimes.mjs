/** Starts the program of produce.ts on each runtime, hands it the plan, and collects what it reports. */
import { createServer } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { legDir } from "../../scripts/lib/legs.mjs";
import { root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { listenAnywhere } from "../../scripts/lib/program.mjs";
import { bundle, runWorker } from "../../scripts/lib/worker.mjs";

/** The runtimes of the interop matrix. Node 20 runs what npm gets, workerd a bundle, the others the sources. */
export const runtimeNames = ["node20", "node22", "node24", "node26", "deno", "bun", "workerd"];

/**
 * Produces a plan on one runtime.
 *
 * @returns `{ reports, problem }`: reports by topic, and why the process ended badly, if it did
 */
export async function produceOn(name, plan, timeoutMs = 240_000) {
  const { address, reports, close } = await servePlan(plan);
  try {
    const { code, output, timedOut } = await start(name, address, timeoutMs);
    const problem = timedOut
      ? `${name} was stopped after ${timeoutMs} ms: ${output.slice(-2_000)}`
      : code !== 0
      ? `${name} ended with ${code}: ${output.slice(-2_000)}`
      : undefined;
    return { reports, problem };
  } catch (error) {
    return { reports, problem: `${name} did not start: ${error.message}` };
  } finally {
    close();
  }
}

/** Why a runtime can't run here, or `undefined`. */
export function missingRuntime(name) {
  return runtimeBinary(name) === undefined ? `${name} is not installed` : undefined;
}

async function start(name, address, timeoutMs) {
  const binary = runtimeBinary(name);
  if (name === "node20") {
    await build();
    return await run(binary, [join(root, "dist/test/interop/produce_main.js"), address], { timeoutMs });
  }
  if (name === "workerd") return await startWorker(binary, address, timeoutMs);
  const flags = name === "deno"
    ? ["run", "--no-prompt", "--no-check", "--allow-net=127.0.0.1", "--allow-env", "--allow-read=."]
    : name === "bun"
    ? []
    : ["--disable-warning=ExperimentalWarning"];
  return await run(binary, [...flags, join(root, "test/interop/produce_main.ts"), address], { timeoutMs });
}

async function startWorker(binary, address, timeoutMs) {
  const dir = await legDir("interop-workerd");
  const source = JSON.stringify(join(root, "test/interop/produce.ts"));
  const entry = join(dir, "entry.mjs");
  await writeFile(
    entry,
    `import { produceAll } from ${source};\nexport default { test: () => produceAll(${JSON.stringify(address)}) };\n`,
  );
  // workerd's own zstd is behind the flag.
  await bundle(entry, join(dir, "worker.mjs"));
  return await runWorker(binary, dir, "worker.mjs", ["nodejs_compat"], { timeoutMs });
}

async function servePlan(plan) {
  const reports = new Map();
  const server = createServer((request, response) => {
    if (request.method === "GET") {
      response.end(JSON.stringify(plan));
      return;
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const report = JSON.parse(Buffer.concat(chunks).toString());
      reports.set(report.topic, report);
      response.end();
    });
  });
  const port = await listenAnywhere(server);
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { address: `http://127.0.0.1:${port}/`, reports, close };
}
