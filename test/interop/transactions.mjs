/**
 * Transactions on a real Kafka behind proxies: starts the cluster, spoils it on demand, and has the Java consumer read
 * what is committed.
 */
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { listenAnywhere } from "../../scripts/lib/program.mjs";
import { root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { scramOverTls, startFaultyCluster } from "./faults/cluster.mjs";
import { Trace } from "./faults/trace.mjs";

const apis = { Produce: 0, AddPartitionsToTxn: 24, EndTxn: 26 };
/** These need more than one node. */
const needsMoreNodes = /coordinator is killed/;
/** What a usual run leaves to the thorough one. */
const onlyThorough = /silent connection|lost on its way|an abort arrives late|answer of an abort/;
const config = { "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500 };

/**
 * Runs the scenarios on one version, from some runtimes; `thorough`: all of them, on one node and on three; `secure`: over
 * TLS and SCRAM, with sessions that end after three seconds.
 */
export async function runTransactionsPart(
  { version, runtimes = ["node24"], thorough = false, secure = false, rounds = 1, tally },
) {
  await build();
  const { scenarioNames } = await import("../../dist/test/interop/transactions.js");
  for (const nodeCount of thorough ? [1, 3] : [1]) {
    const names = scenarioNames.filter((name) => {
      if (nodeCount === 1) return !needsMoreNodes.test(name) && (thorough || !onlyThorough.test(name));
      return true;
    });
    const trace = new Trace();
    const security = secure ? scramOverTls() : undefined;
    const cluster = await startFaultyCluster({ version, trace, random: Math.random, nodeCount, config, security });
    try {
      for (const runtime of runtimes) {
        for (let round = 0; round < rounds; round++) {
          await runRound({
            version,
            runtime,
            nodeCount,
            names,
            round,
            cluster,
            trace,
            tally,
            security: security?.options,
          });
        }
      }
    } finally {
      await cluster.stop();
    }
  }
}

async function runRound({ version, runtime, nodeCount, names, round, cluster, trace, tally, security = {} }) {
  const label = (name) =>
    `Kafka ${version}, ${nodeCount} nodes, ${runtime}${round > 0 ? `, round ${round + 1}` : ""}: ${name}`;
  const prefix = `tx-${runtime}-${round}`;
  const plan = {
    brokers: cluster.brokers,
    version: version.startsWith("3.") ? 1 : 2,
    scenarios: names,
    prefix,
    security,
  };
  const server = await servePlan(plan, (order) => control(cluster, trace, order));
  try {
    const flags = runtime === "deno" ? ["run", "--no-prompt", "--no-check", "--no-lock", "-A"] : [];
    const main = join(root, "test/interop/transactions_main.ts");
    const { code, output } = await run(runtimeBinary(runtime), [...flags, main, server.address], {
      timeoutMs: 600_000,
    });
    if (server.reports === undefined) return tally.check(label("transactions"), [`ended with ${code}: ${output}`]);
    const topics = server.reports.map(({ topic }) => topic);
    const options = { withinMs: 60_000, isolation: "read_committed" };
    const { records, complete } = await cluster.ask("read", topics, options);
    for (const { name, topic, values, differences, elapsedMs } of server.reports) {
      if (process.env.SLOW) console.log(name, elapsedMs);
      const read = {};
      for (const [of, partition, , , , value] of records) if (of === topic) (read[partition] ??= []).push(value);
      for (const partition of new Set([...Object.keys(values), ...Object.keys(read)])) {
        const seen = JSON.stringify(read[partition] ?? []);
        if (seen !== JSON.stringify(values[partition] ?? [])) {
          differences.push(`the Java consumer reads ${seen.slice(0, 200)} of partition ${partition}`);
        }
      }
      if (!complete) differences.push("the Java consumer doesn't come to the end");
      tally.check(label(name), differences);
    }
  } finally {
    server.close();
  }
}

/** Does what a scenario asks for. */
async function control(cluster, trace, { what, id, partitions }) {
  const [verb, api = ""] = what.split(" ");
  const key = apis[api.replace("'s", "")];
  if (what === "create") {
    const topics = [`${id}-out`, `${id}-in`];
    await cluster.heal();
    await cluster.ask("create", topics, { partitions });
    const { settled } = await cluster.ask("settle", topics, { withinMs: 60_000 });
    if (!settled) throw new Error("The partitions of new topics did not get their replicas in time");
  } else if (verb === "lose" || verb === "silence") {
    const isAnswer = what.endsWith("answer") || verb === "silence";
    once(cluster, isAnswer ? "response" : "request", key, () => {
      if (!isAnswer) return "reset before";
      return verb === "silence" ? "silence" : "swallow";
    });
  } else if (verb === "hold") {
    once(cluster, "request", key, (proxy) => void proxy.hold());
  } else if (verb === "release") {
    for (const proxy of cluster.proxies) proxy.release();
  } else if (what === "kill the coordinator") {
    await (await coordinator(cluster)).kill();
  } else if (what === "kill the coordinator at EndTxn") {
    once(cluster, "request", apis.EndTxn, (proxy) => {
      // It gets the request, and may or may not have it in its log.
      setTimeout(() => void cluster.nodes.find((node) => node.proxy === proxy).kill(), Math.random() * 20);
    });
  } else if (what === "heal") {
    await cluster.heal();
  } else {
    throw new Error(`No scenario may ask for "${what}"`);
  }
  trace.say(what);
}

/** Spoils the next request, or the next answer, of an API at whichever node gets it. */
function once(cluster, side, key, fault) {
  let done = false;
  for (const proxy of cluster.proxies) {
    proxy.rules[side] = (header) => {
      if (done || header.api !== key) return undefined;
      done = true;
      return fault(proxy);
    };
  }
}

/** The node that leads the one partition of the transactions' topic. */
async function coordinator(cluster) {
  const { leaders } = await cluster.ask("leaders", ["__transaction_state"]);
  return cluster.nodes.find(({ id }) => id === leaders["__transaction_state-0"]);
}

async function servePlan(plan, onControl) {
  const served = { reports: undefined };
  const server = createServer((request, response) => {
    if (request.method === "GET") return response.end(JSON.stringify(plan));
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const body = JSON.parse(Buffer.concat(chunks).toString());
      try {
        if (request.url === "/report") served.reports = body;
        else await onControl(body);
        response.end();
      } catch (error) {
        response.statusCode = 500;
        response.end(String(error.stack));
      }
    });
  });
  served.address = `http://127.0.0.1:${await listenAnywhere(server)}/`;
  served.close = () => {
    server.close();
    server.closeAllConnections();
  };
  return served;
}
