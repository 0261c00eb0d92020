/** Runs shares of seeds in a thread of its own. */

import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { loadSimulator } from "./simulation.mjs";

const { bundle, profile, digest } = workerData;
// Errors are made all the time, and who wants to know where runs the seed again.
Error.stackTraceLimit = 1;
const { producer, simulate } = await loadSimulator(bundle);
const unhandled = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

parentPort.on("message", async ({ first, count }) => {
  const failures = [];
  const digests = [];
  let records = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      const result = await simulate({
        seed,
        ...(profile === undefined ? {} : { profile }),
        producer,
        trace: digest,
        takeUnhandled: () => unhandled.splice(0),
      });
      records += result.records;
      if (digest) digests.push([seed, createHash("sha256").update(result.trace.join("\n")).digest("hex").slice(0, 16)]);
      if (result.violations.length > 0) {
        failures.push({ seed, profile: result.plan.profile, violations: result.violations.slice(0, 10) });
      }
    } catch (error) {
      failures.push({ seed, profile: "", violations: [{ rule: "simulator", message: error.stack }] });
    }
  }
  parentPort.postMessage({ count, failures, records, digests });
});
