/**
 * The same requests to the embedded broker and to a real Kafka, and what differs in the answers.
 *
 * A probe is a function that asks and returns what it saw: error codes, base offsets, whether there is a log append
 * time, how many answers came, whether the connection was closed. Both brokers must show the same.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "../../scripts/build.mjs";
import { startKafka } from "../../scripts/kafka.mjs";
import { root } from "../../scripts/lib/tools.mjs";
import { adminProbes } from "./probes_admin.mjs";
import { hangupsProbes } from "./probes_hangups.mjs";
import { probesKit, topics } from "./probes_kit.mjs";
import { produceProbes } from "./probes_produce.mjs";
import { recordsProbes } from "./probes_records.mjs";
import { requestsProbes } from "./probes_requests.mjs";
import { restartProbes } from "./probes_restart.mjs";
import { groupsProbes } from "./probes_groups.mjs";
import { groupWalksProbes } from "./probes_group_walks.mjs";
import { transactionsProbes } from "./probes_transactions.mjs";
import { sequencesProbes } from "./probes_sequences.mjs";
import { Wires } from "./probes_wire.mjs";

/** How the real broker differs from its defaults, so that a probe doesn't take minutes. */
const kafkaConfig = {
  "connections.max.idle.ms": 8_000,
  "socket.request.max.bytes": 2_000_000,
  "transaction.abort.timed.out.transaction.cleanup.interval.ms": 200,
};

const saslUsers = { alice: "secret" };

/** Starts a broker of each kind and lets every probe ask both. */
export async function runProbesPart({ version, tally, only = /./ }) {
  await build();
  const modules = await loadModules();
  const { EmbeddedCluster } = modules.testing;
  const cluster = new EmbeddedCluster({
    release: version.replace(/\.\d+$/, ""),
    autoCreateTopics: false,
    strictRequests: false,
    connectionsMaxIdleMs: kafkaConfig["connections.max.idle.ms"],
    maxRequestBytes: kafkaConfig["socket.request.max.bytes"],
  });
  const listening = await cluster.listen();
  // A second cluster for a second listener: ours demand SASL of everybody or of nobody.
  const guarded = new EmbeddedCluster({
    release: cluster.release,
    strictRequests: false,
    sasl: { users: saslUsers, mechanisms: ["PLAIN"] },
  });
  const guardedListening = await guarded.listen();
  const kafka = await startKafka({ version, config: kafkaConfig, saslUsers });
  try {
    const ours = new Wires(listening.address, modules);
    const theirs = new Wires(kafka.brokers, modules);
    const saslWires = [guardedListening.address, `127.0.0.1:${kafka.nodes[0].saslPort}`]
      .map((address) => new Wires(address, modules));
    const ids = await Promise.all([ours, theirs].map((wires) => createTopics(wires, modules)));
    const setQuota = [
      (clientId, bytesPerSecond) => void cluster.quota({ clientId, bytesPerSecond }),
      (clientId, bytesPerSecond) => alterClientQuota(theirs, clientId, bytesPerSecond),
    ];
    const kit = probesKit(modules);
    const makers = [
      sequencesProbes,
      recordsProbes,
      produceProbes,
      requestsProbes,
      hangupsProbes,
      transactionsProbes,
      groupsProbes,
      groupWalksProbes,
      adminProbes,
      restartProbes,
    ];
    const restart = [
      () => {
        cluster.killBroker(1);
        cluster.startBroker(1);
      },
      async (signal) => {
        await kafka.nodes[0].kill(signal);
        await kafka.nodes[0].start();
      },
    ];
    for (const { name, releases = [version], run } of makers.flatMap((make) => make(kit))) {
      if (!only.test(name) || !releases.includes(version)) continue;
      const seen = await Promise.all(
        [ours, theirs].map((wires, side) =>
          observe(run, {
            wires,
            saslWires: saslWires[side],
            idOf: (topic) => ids[side].get(topic),
            setQuota: setQuota[side],
            restart: restart[side],
          })
        ),
      );
      tally.check(`probe on Kafka ${version}: ${name}`, differences(...seen));
    }
    tally.check(
      `probe on Kafka ${version}: nothing went wrong inside the embedded broker`,
      [...cluster.failures, ...guarded.failures].map(String),
    );
    for (const wires of [ours, theirs, ...saslWires]) wires.closeAll();
  } finally {
    await Promise.all([kafka.stop(), cluster.close(), guarded.close()]);
  }
}

async function observe(run, context) {
  try {
    return await run(context);
  } catch (error) {
    return `probe failed: ${error.stack}`;
  }
}

function differences(ours, theirs) {
  const [one, other] = [ours, theirs].map((seen) => JSON.stringify(seen, readable, 1).split("\n"));
  if (one.join() === other.join()) return [];
  const lines = [];
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if (one[i] !== other[i]) lines.push(`${one[i]?.trim()} (embedded), ${other[i]?.trim()} (Kafka)`);
  }
  return [...lines, JSON.stringify(theirs, readable)];
}

function readable(_, value) {
  return typeof value === "bigint" ? Number(value) : value;
}

async function loadModules() {
  const load = (path) => import(pathToFileURL(join(root, "dist", path)).href);
  const [api, messages, testing, batches] = await Promise.all([
    load("src/protocol/api.js"),
    load("src/protocol/messages/mod.js"),
    load("src/testing/mod.js"),
    load("test/testing/batches.js"),
  ]);
  return { ...api, messages, testing, batches };
}

/** Creates the topics and waits until each partition can be written; resolves to their ids. */
async function createTopics(wires, { messages: { CreateTopics, ListOffsets, Metadata } }) {
  const wire = await wires.open();
  const { topics: created } = await wire.ask(CreateTopics, 7, {
    topics: Object.entries(topics).map(([name, config]) => ({
      name,
      numPartitions: 2,
      replicationFactor: 1,
      configs: Object.entries(config).map(([name, value]) => ({ name, value: String(value) })),
    })),
  }, { withinMs: 30_000 });
  for (const { errorCode, errorMessage, name } of created) {
    if (errorCode !== 0) throw new Error(`Creating "${name}": ${errorMessage}`);
  }
  for (const name of Object.keys(topics)) {
    for (let isReady = false; !isReady;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const { topics } = await wire.ask(ListOffsets, 5, {
        replicaId: -1,
        topics: [{ name, partitions: [0, 1].map((partitionIndex) => ({ partitionIndex, timestamp: -1n })) }],
      });
      isReady = topics.every(({ partitions }) => partitions.every(({ errorCode }) => errorCode === 0));
    }
  }
  const { topics: described } = await wire.ask(Metadata, 12, { topics: null });
  return new Map(described.map(({ name, topicId }) => [name, topicId]));
}

/** AlterClientQuotas v0 by hand: nothing else here needs it. */
async function alterClientQuota(wires, clientId, bytesPerSecond) {
  const string = (text) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length), bytes]);
  };
  const count = (length) => Buffer.of(0, 0, 0, length);
  const rate = Buffer.alloc(8);
  rate.writeDoubleBE(bytesPerSecond);
  const body = Buffer.concat([
    Buffer.of(0, 49, 0, 0, 0, 0, 0, 1),
    string("probe"),
    count(1),
    count(1),
    string("client-id"),
    string(clientId),
    count(1),
    string("producer_byte_rate"),
    rate,
    Buffer.of(0, 0),
  ]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  const wire = await wires.open();
  wire.write(Buffer.concat([length, body]));
  const answer = await wire.frame();
  if (!Buffer.isBuffer(answer) || answer.readInt16BE(12) !== 0) throw new Error("The quota could not be set");
  // The broker learns of it from its own metadata log.
  await new Promise((resolve) => setTimeout(resolve, 500));
}
