/** What the product claims of its cold start, counted on a real broker. What takes time is in the benchmarks. */
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { prepareClient, runClient } from "./clients.mjs";
import { missingRuntime } from "./runtimes.mjs";

/** One round trip for three requests that leave together, then the record, all on one connection. */
const coldStart = ["ApiVersions", "Metadata", "InitProducerId", "Produce"];

/** Runs the claims on a started Kafka. */
export async function runClaimsPart({ kafka, wanted, tally }) {
  const { version, brokers, libs } = kafka;
  await prepareClient("java", libs);
  for (const name of ["node20", "node24", "deno", "bun"].filter((name) => wanted.runtimes.includes(name))) {
    const missing = missingRuntime(name);
    if (missing !== undefined) {
      tally.skip(`claims on ${name}`, missing, !process.env.CI);
      continue;
    }
    const topic = `claims-${name}`;
    await runClient("java", libs, "create", { brokers, topics: [topic], partitions: 12 });
    const { found, problem } = await claimsOn(name, brokers, topic);
    tally.check(`Kafka ${version}, ${name}: the claims can be measured`, problem === undefined ? [] : [problem]);
    if (found === undefined) continue;
    const { requests, connections } = found.coldStart;
    tally.check(
      `claims on ${name}: the first record takes four requests on one connection`,
      requests.join() === coldStart.join() && connections === 1 ? [] : [`${requests.join()} on ${connections}`],
    );
  }
}

async function claimsOn(name, brokers, topic) {
  if (name === "node20") await build();
  const main = join(root, name === "node20" ? "dist/test/interop/claims_main.js" : "test/interop/claims_main.ts");
  const flags = name === "deno" ? ["run", "--no-prompt", "--no-check", "--allow-net", "--allow-env"] : [];
  const { code, output } = await run(runtimeBinary(name), [...flags, main, brokers, topic], {
    timeoutMs: 180_000,
  });
  const line = output.split("\n").find((each) => each.startsWith("@@claims "));
  if (code !== 0 || line === undefined) return { problem: `${name} ended with ${code}: ${output.slice(-2_000)}` };
  return { found: JSON.parse(line.slice(9)) };
}
