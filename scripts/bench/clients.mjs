/** The clients: how each is got ready, which work it takes and how, and the command line that runs it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "../build.mjs";
import { install } from "../lib/install.mjs";
import { root, runtimeBinary } from "../lib/tools.mjs";
import { ensureAddon } from "./addons.mjs";
import { bundleSluice } from "./bundle.mjs";
import { runtimeVersion } from "./machine.mjs";
import { nativeClient, nativeNames } from "./native.mjs";

const here = new URL(".", import.meta.url);

/** What the caller does where a client sends one request for each call: it makes batches of 1,000 itself. */
const inBatches = {
  kind: "batches",
  batch: 1_000,
  outstanding: 10,
  window: undefined,
  note: "batches of 1,000 made by the caller",
};

/** Where a client has a call without a promise and a report for each record. */
const withReports = { kind: "produce", reports: true, window: undefined, note: "reports, no promises" };

/** A part of the records, by work set, for those that would take minutes. */
const javascriptPeers = {
  "kafkajs": { module: "kafkajs", share: { D: 0.1, Dw: 0.1, F: 0.2, L: 0.4 } },
  "platformatic": {
    module: "@platformatic/kafka",
    share: { F: 0.2, L: 0.4, T100: 0.2, T1000: 0.2 },
    adapt: ({ name }) => /^D1?w?$/.test(name) ? { kind: "produce", window: undefined, note: "its stream" } : {},
  },
  "kafkats": { module: "@kafkats/client", share: { D: 0.04, D1: 0.04, Dw: 0.04, F: 0.2 } },
  "kafka-ts": {
    module: "kafka-ts",
    text: true,
    share: { D: 0.4, D1: 0.4, Dw: 0.4, L: 0.2 },
    refuses: ({ acks, codec, transactional }) =>
      acks === 0
        ? "has no acks 0"
        : codec !== "none"
        ? "has no compression"
        : transactional
        ? "has no transactions"
        : undefined,
  },
  "confluent": {
    module: "@confluentinc/kafka-javascript",
    native: true,
    refuses: whatIsMissing,
    share: { D: 0.2, D1: 0.2, Dw: 0.2, L: 0.4 },
  },
  "node-rdkafka": {
    module: "node-rdkafka",
    native: true,
    refuses: (work) =>
      work.transactional || work.kind === "turns"
        ? "its driver here has neither transactions nor TLS"
        : whatIsMissing(work),
    share: {},
    adapt: ({ kind }) => kind === "burst" ? withReports : kind === "stall" ? { produce: true } : {},
  },
};

/** The names of all clients. */
export const clientNames = ["sluice", "sockets", ...Object.keys(javascriptPeers), ...nativeNames];

/** These run on each of the runtimes that the command line names, others on the first of them. */
export const onEachRuntime = /^(sluice|sockets)/;

/**
 * Finds a client by what the command line calls it: "sluice", "sluice@bun", "sluice:/path/of/another/mod.ts".
 *
 * Resolves to `{ name, runtime, version, workFor, command }`, or rejects with the reason why it can't run here.
 * `workFor(work)` is the work as this client does it, with `share`, the part of the records that it gets, and `note`;
 * or a text: why it doesn't do it. `command(work)` resolves to `{ line, plan, args }`: the command line, what the plan
 * needs besides, and how a plan becomes arguments if not as JSON.
 */
export async function findClient(spec, runtime, log) {
  const [withRuntime, source] = spec.split(/:(.*)/s);
  const [name, own] = withRuntime.split("@");
  if (!nativeNames.includes(name)) await install("test/runtimes", log);
  if (name === "sluice") return sluice(spec, own ?? runtime, source);
  if (name === "sockets") return sockets(own ?? runtime);
  if (name in javascriptPeers) return await javascriptPeer(name, own ?? runtime, log);
  if (nativeNames.includes(name)) return await nativeClient(name, log);
  throw new Error(`There is no client "${spec}", wanted one of ${clientNames.join(", ")}`);
}

function sluice(spec, runtime, source = join(root, "mod.ts")) {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  let bundled;
  return {
    name: spec.split("@")[0],
    runtime,
    version,
    workFor: (work) => ({ ...work, share: 1 }),
    async command(work) {
      // A start is measured with what npm installs.
      if (work.kind === "start" && source === join(root, "mod.ts")) await build();
      const module = work.kind === "start"
        ? join(root, "dist", "esm", "mod.js")
        : await (bundled ??= bundleSluice(source));
      return {
        line: javascript(runtime, work),
        plan: { adapter: new URL("clients/sluice.mjs", here).href, module: pathToFileURL(module).href },
      };
    },
  };
}

/** What no client of a runtime can be cheaper than. */
function sockets(runtime) {
  return {
    name: "sockets",
    runtime,
    version: runtimeVersion(runtime),
    workFor: (work) => work.kind === "turns" ? { ...work, share: 1 } : "is no client",
    command: (work) => ({
      line: javascript(runtime, work),
      plan: { adapter: new URL("clients/sockets.mjs", here).href },
    }),
  };
}

async function javascriptPeer(name, runtime, log) {
  const { module, text, native, share, adapt = () => ({}), refuses = () => undefined } = javascriptPeers[name];
  await install("scripts/bench/peers", log);
  if (native) await ensureAddon(module, runtime, log);
  const manifest = fileURLToPath(new URL(`peers/node_modules/${module}/package.json`, here));
  const { version } = JSON.parse(readFileSync(manifest, "utf8"));
  return {
    name,
    runtime,
    version: version.replace(/^v/, ""),
    workFor(work) {
      if (work.sluiceOnly) return "Sluice only";
      const refusal = refuses(work);
      if (refusal !== undefined) return refusal;
      const gathered = /^[EI]/.test(work.name) && name !== "node-rdkafka" ? inBatches : {};
      return { ...work, ...gathered, ...adapt(work), share: share[work.name] ?? 1 };
    },
    command: (work) => ({
      line: javascript(runtime, work),
      plan: { adapter: new URL(`peers/${name}.mjs`, here).href, text },
    }),
  };
}

/** What the drivers of addons here can not do: they are compiled with the codecs that this machine has headers for. */
function whatIsMissing({ codec, headers }) {
  if (headers) return "its driver here writes no headers";
  return codec === "zstd" && !existsSync("/usr/include/zstd.h") ? "was built without zstd here" : undefined;
}

/** The command that runs a driver in JavaScript. */
function javascript(runtime, work) {
  const binary = runtimeBinary(runtime);
  if (binary === undefined) throw new Error(`${runtime} is not installed: run npm install in test/runtimes`);
  const program = fileURLToPath(new URL(work.kind === "start" ? "start.mjs" : "drive.mjs", here));
  const flags = process.env.BENCH_FLAGS?.split(" ") ?? []; // --cpu-prof, say
  if (runtime !== "deno") return [binary, ...flags, program];
  return [binary, "run", ...flags, "--allow-all", "--no-prompt", "--no-lock", "--no-check", program];
}
