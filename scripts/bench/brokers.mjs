/** The two brokers that clients are measured against, behind one interface. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { startKafka } from "../kafka.mjs";
import { committedRecords, createTopic, deleteTopic, endOffsets } from "./admin.mjs";

/** A broker of an ordinary size, as the JVM would choose on a small server; tests use a smaller one. */
const kafkaJvmFlags = ["-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Xshare:auto"];

/**
 * Starts "null" or "kafka"; resolves to `{ name, label, address, tls, makeTopic, counts, dropTopic, seen, signal, stop }`.
 * `tls` is where it speaks TLS, if it does: `{ address, ca }`, the authority in PEM.
 */
export async function startBroker(name) {
  return name === "null" ? await startNull() : await startReal();
}

let topicCount = 0;

function topicName(work, client) {
  return `bench-${work.name}-${client}-${process.pid}-${++topicCount}-p${work.partitions}`.replace(
    /[^a-zA-Z0-9._-]/g,
    "_",
  );
}

async function startNull() {
  const child = fork(fileURLToPath(new URL("null_broker.mjs", import.meta.url)), ["--tls"], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map();
  let lastId = 0;
  /** @type {{ port: number, tlsPort: number, ca: string }} */
  const { port, tlsPort, ca } = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`The null broker ended with code ${code}`)));
    child.on("message", (/** @type {any} */ message) => {
      if (message.port !== undefined) return resolve(message);
      waiting.get(message.id)?.(message);
      waiting.delete(message.id);
    });
  });
  const ask = (topic) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, resolve);
      child.once("exit", () => reject(new Error("The null broker is gone")));
      child.send({ id, topic });
    });
  child.setMaxListeners(0);
  return {
    name: "null",
    label: "null broker",
    address: `127.0.0.1:${port}`,
    tls: { address: `127.0.0.1:${tlsPort}`, ca },
    makeTopic: (work, client) => topicName(work, client),
    counts: async (topic) => (await ask(topic)).partitions,
    dropTopic() {},
    seen: () => ask(),
    signal: (signal) => child.kill(signal),
    stop: () => void child.kill("SIGKILL"),
  };
}

async function startReal() {
  const kafka = await startKafka({ jvmFlags: kafkaJvmFlags, config: { "log.segment.delete.delay.ms": 1_000 } });
  const { port } = kafka.nodes[0];
  /** Topics that take the broker many seconds to make: all runs write to the same one. */
  const kept = new Map();
  return {
    name: "kafka",
    label: `Kafka ${kafka.version}`,
    address: kafka.brokers,
    tls: undefined,
    async makeTopic(work, client) {
      const isKept = work.partitions >= 1_000;
      const known = kept.get(work.partitions);
      if (isKept && known !== undefined) return known;
      const topic = topicName(work, isKept ? "all" : client);
      await createTopic(port, topic, work.partitions);
      if (isKept) kept.set(work.partitions, topic);
      return topic;
    },
    counts: (topic, { partitions, transactional }) =>
      transactional ? committedRecords(port, topic, partitions) : endOffsets(port, topic, partitions),
    dropTopic: (topic) => [...kept.values()].includes(topic) ? undefined : deleteTopic(port, topic),
    seen: () => undefined,
    signal: (signal) => kafka.nodes[0].signal(signal),
    stop: () => kafka.stop(),
  };
}
