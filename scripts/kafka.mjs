/**
 * A real Apache Kafka for tests: fetched from Maven Central once, then started on loopback in KRaft mode.
 *
 *     node scripts/kafka.mjs start --version 4.1.1 [--nodes 1|3] [--port 9092]
 *     node scripts/kafka.mjs fetch --version 3.9.1
 *
 * Needs a JDK (17 or newer) and Maven. Everything lies under `.cache/`.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { cacheDir, moveIntoPlace, run } from "./lib/tools.mjs";

/** The Kafka versions that the tests run against, the one that most of them use first. */
export const kafkaVersions = ["4.1.1", "3.9.1", "4.4.0"];

/** Quick to start and small: a test broker lives for a minute. */
const brokerJvmFlags = ["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/** Flags for the short Java programs around a broker. */
export const toolJvmFlags = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/** What of the JDK and Maven is missing on this machine, as a sentence, or `undefined` when all is there. */
export function missingForKafka(version) {
  for (const command of ["java", "javac"]) {
    if (spawnSync(command, ["-version"], { stdio: "ignore" }).status !== 0) return `no JDK (\`${command}\` not found)`;
  }
  if (version !== undefined && existsSync(libsDir(version))) return undefined;
  if (spawnSync("mvn", ["-v"], { stdio: "ignore" }).status !== 0) return "no Maven (`mvn` not found)";
  return undefined;
}

/** Fetches the jars of one version unless they are there; returns the folder that holds them. */
export async function ensureKafka(version) {
  const libs = libsDir(version);
  if (existsSync(libs)) return libs;
  const missing = missingForKafka(version);
  if (missing !== undefined) throw new Error(`Fetching Kafka ${version} needs a JDK and Maven: ${missing}`);
  const work = join(cacheDir, `kafka-${version}.${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, "pom.xml"), pom(version));
  const args = ["-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${join(work, "libs")}`];
  const { code, output } = await run("mvn", args, { cwd: work });
  if (code !== 0) {
    rmSync(work, { recursive: true, force: true });
    throw new Error(`Fetching Kafka ${version} with Maven failed (exit code ${code}):\n${withoutAddresses(output)}`);
  }
  moveIntoPlace(work, join(cacheDir, `kafka-${version}`));
  return libs;
}

/**
 * Starts a cluster of one or three nodes on loopback and waits until every node answers and knows all others.
 *
 * `config` is added to every node's `server.properties`, `jvmFlags` take the place of a test broker's,
 * `systemProperties` go to its JVM, `classes` are folders of plugins, and `saslUsers` opens a second listener on each node (`saslPort`) that demands SASL PLAIN. `listeners` opens more, by name: Kafka's word for
 * what each speaks, such as `{ MTLS: "SSL" }`; `scramUsers` are made by the storage tool, a list of
 * `[mechanism, name, password]`; `advertised` are ports that clients are told in place of a listener's own. The result: `brokers` (comma-separated addresses), `libs` (folder of jars), `nodes`
 * (with `ports` by listener, and `kill(signal)` and `start()` for tests of broker loss), `brokersOf(listener)` and
 * `stop()`.
 *
 * @param {{ version?: string, nodes?: number, port?: number, config?: Record<string, unknown>, jvmFlags?: string[],
 *   systemProperties?: Record<string, string>, classes?: string[], saslUsers?: Record<string, string>, listeners?: Record<string, string>,
 *   scramUsers?: string[][], advertised?: Record<string, number> }} [options]
 */
export async function startKafka(
  {
    version = kafkaVersions[0],
    nodes: nodeCount = 1,
    port,
    config = {},
    jvmFlags = brokerJvmFlags,
    systemProperties = {},
    classes = [],
    saslUsers,
    listeners = saslUsers === undefined ? {} : { SASL_PLAINTEXT: "SASL_PLAINTEXT" },
    scramUsers = [],
    advertised = {},
  } = {},
) {
  const libs = await ensureKafka(version);
  const ports = await freePorts(nodeCount * 2, port);
  const names = Object.keys(listeners);
  const morePorts = await freePorts(nodeCount * names.length);
  const dir = join(cacheDir, "kafka-run", `${version}-${process.pid}-${randomBytes(3).toString("hex")}`);
  mkdirSync(dir, { recursive: true });
  const clusterId = newClusterId();
  const nodes = Array.from(
    { length: nodeCount },
    (_, i) =>
      new KafkaNode({
        ...{ id: i + 1, version, dir, libs, classes },
        jvmFlags: [...jvmFlags, ...Object.entries(systemProperties).map(([name, value]) => `-D${name}=${value}`)],
        ...{ port: ports[i], controllerPort: ports[nodeCount + i] },
        ports: Object.fromEntries(names.map((name, at) => [name, morePorts[i * names.length + at]])),
      }),
  );
  const voters = nodes.map((node) => `${node.id}@127.0.0.1:${node.controllerPort}`).join(",");

  const killAll = () => {
    nodes.forEach((node) => node.kill("SIGKILL"));
    rmSync(dir, { recursive: true, force: true });
  };
  process.once("exit", killAll);
  const stop = async () => {
    // Killed, not asked: the data is thrown away in the next line anyway.
    await Promise.all(nodes.map((node) => node.kill("SIGKILL")));
    process.removeListener("exit", killAll);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const all = { ...config, ...saslProperties(saslUsers) };
    await Promise.all(
      nodes.map((node) =>
        node.format(clusterId, properties(node, voters, nodeCount, listeners, all, advertised), scramUsers)
      ),
    );
    for (const node of nodes) node.spawn();
    await Promise.all(nodes.map((node) => node.ready(nodeCount)));
  } catch (error) {
    await stop();
    throw error;
  }
  const brokersOf = (listener) => nodes.map(({ ports }) => `127.0.0.1:${ports[listener]}`).join(",");
  return { version, brokers: nodes.map((node) => node.address).join(","), brokersOf, libs, nodes, stop };
}

/** The class path of a version's jars. */
export function classPath(libs, ...more) {
  return [...more, join(libs, "*")].join(delimiter);
}

/** Ports that nobody listens on, from `first` upwards or wherever the system finds them. */
export async function freePorts(count, first) {
  const servers = [];
  try {
    for (let i = 0; i < count; i++) {
      // Only brokers get the wished ports; they come first in the list.
      const wished = first === undefined || i >= count / 2 ? 0 : first + i;
      servers.push(await listen(wished));
    }
    return servers.map((server) => server.address().port);
  } finally {
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  }
}

/** Waits until whatever listens on a port answers Metadata with at least `brokerCount` brokers and a controller. */
export async function waitForBroker(port, withinMs, { brokerCount = 1, check = () => {} } = {}) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    check();
    const seen = await askMetadata(port).catch(() => ({ brokers: 0, controller: -1 }));
    if (seen.brokers >= brokerCount && seen.controller >= 0) return;
    if (Date.now() > deadline) throw new Error(`Nothing on port ${port} answered like Kafka within ${withinMs} ms`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

class KafkaNode {
  #child;
  #classes;
  #config;
  #jvmFlags;

  constructor({ id, version, dir, libs, classes, port, controllerPort, ports, jvmFlags }) {
    this.id = id;
    this.#classes = classes;
    this.#jvmFlags = jvmFlags;
    this.port = port;
    this.controllerPort = controllerPort;
    this.ports = ports;
    this.saslPort = ports.SASL_PLAINTEXT;
    this.address = `127.0.0.1:${port}`;
    this.libs = libs;
    this.dataDir = join(dir, `node-${id}`);
    this.log = join(cacheDir, `kafka-${version}-node-${id}.log`);
    this.#config = join(dir, `node-${id}.properties`);
  }

  /** Writes the configuration and formats the storage. */
  async format(clusterId, lines, scramUsers) {
    writeFileSync(this.#config, lines.join("\n") + "\n");
    const args = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", this.#config];
    for (const [mechanism, name, password] of scramUsers) {
      args.push("--add-scram", `${mechanism}=[name="${name}",password="${password}"]`);
    }
    const { code, output } = await run("java", [...toolJvmFlags, "-cp", classPath(this.libs), ...args]);
    if (code !== 0) throw new Error(`Formatting the storage of Kafka node ${this.id} failed:\n${output}`);
  }

  spawn() {
    const log = openSync(this.log, "w");
    const flags = [...this.#jvmFlags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];
    const args = [...flags, "-cp", classPath(this.libs, ...this.#classes), "kafka.Kafka", this.#config];
    this.#child = spawn("java", args, { stdio: ["ignore", log, log] });
    closeSync(log);
  }

  /** Starts a node that was killed and waits until it answers. */
  async start() {
    this.spawn();
    await this.ready(1);
  }

  /** Stops the node for a while, or lets it go on: SIGSTOP, SIGCONT. */
  signal(signal) {
    this.#child?.kill(signal);
  }

  /** Ends the node; resolves when the process is gone. */
  kill(signal = "SIGTERM") {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return gone;
  }

  /** Waits until this node answers Metadata with at least `brokerCount` brokers and a controller. */
  async ready(brokerCount, withinMs = 180_000) {
    const check = () => {
      if (this.#child.exitCode !== null) throw new Error(`It ended with code ${this.#child.exitCode}`);
    };
    try {
      await waitForBroker(this.port, withinMs, { brokerCount, check });
    } catch (error) {
      throw new Error(`Kafka node ${this.id} did not start: ${error.message}\n${this.#lastLog()}`);
    }
  }

  #lastLog() {
    return readFileSync(this.log, "utf8").split("\n").slice(-30).join("\n");
  }
}

function properties(node, voters, nodeCount, listeners, config, advertised) {
  const replicas = Math.min(nodeCount, 3);
  const open = [`PLAINTEXT://127.0.0.1:${node.port}`];
  const protocols = { PLAINTEXT: "PLAINTEXT", CONTROLLER: "PLAINTEXT", ...listeners };
  for (const name of Object.keys(listeners)) open.push(`${name}://127.0.0.1:${node.ports[name]}`);
  const all = {
    "node.id": node.id,
    "process.roles": "broker,controller",
    "controller.quorum.voters": voters,
    "listeners": [...open, `CONTROLLER://127.0.0.1:${node.controllerPort}`].join(","),
    "advertised.listeners": open.map((url) => {
      const [name] = url.split(":");
      return advertised[name] === undefined ? url : `${name}://127.0.0.1:${advertised[name]}`;
    }).join(","),
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": Object.entries(protocols).map((pair) => pair.join(":")).join(","),
    "log.dirs": node.dataDir,
    "auto.create.topics.enable": false,
    "num.partitions": 3,
    "default.replication.factor": replicas,
    "min.insync.replicas": Math.max(1, replicas - 1),
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": 3,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": Math.max(1, replicas - 1),
    "transaction.state.log.num.partitions": 3,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 10_485_760,
    // Tests write old timestamps, which Kafka would take for a reason to delete.
    "log.retention.ms": -1,
    ...config,
  };
  // A properties file is Latin-1, and ends a value with its line.
  const escaped = (value) =>
    String(value).replace(
      /[\\\n]|[^\x20-\x7e]/g,
      (character) =>
        character === "\n"
          ? "\\n"
          : character === "\\"
          ? "\\\\"
          : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  return Object.entries(all).map(([key, value]) => `${key}=${escaped(value)}`);
}

/** A second listener that lets in these users, their passwords by name, with SASL PLAIN. */
function saslProperties(users) {
  if (users === undefined) return {};
  const list = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`).join(" ");
  return {
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config":
      `org.apache.kafka.common.security.plain.PlainLoginModule required ${list};`,
  };
}

/** Metadata v1 without topics, by hand: the one request that shows that a node serves and knows its cluster. */
function askMetadata(port) {
  const client = "ready";
  const request = Buffer.alloc(4 + 8 + 2 + client.length + 4);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(3, at); // Metadata
  at = request.writeInt16BE(1, at);
  at = request.writeInt32BE(1, at); // correlation id
  at = request.writeInt16BE(client.length, at);
  at += request.write(client, at);
  request.writeInt32BE(0, at); // no topics
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    /** @type {Buffer} */
    let received = Buffer.alloc(0);
    socket.setTimeout(2_000, () => socket.destroy(new Error("no answer")));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
    socket.on("data", (/** @type {Buffer} */ chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      const brokers = received.readInt32BE(8);
      let at = 12;
      for (let i = 0; i < brokers; i++) {
        at += 4; // node id
        at += 2 + received.readInt16BE(at); // host
        at += 4; // port
        at += 2 + Math.max(0, received.readInt16BE(at)); // rack
      }
      resolve({ brokers, controller: received.readInt32BE(at) });
      socket.destroy();
    });
  });
}

/** Kafka's way to write a UUID. The storage tool takes one that starts with "-" for an option. */
function newClusterId() {
  const bytes = randomBytes(16);
  bytes[0] &= 0x7f;
  return bytes.toString("base64url");
}

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => reject(port === 0 ? error : new Error(`Port ${port} is taken`, { cause: error })));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

function libsDir(version) {
  return join(cacheDir, `kafka-${version}`, "libs");
}

function pom(version) {
  const dependency = (group, artifact, v) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${v}</version>
      <exclusions><exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId></exclusion></exclusions>
    </dependency>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId><artifactId>kafka-${version}</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    ${dependency("org.apache.kafka", "kafka_2.13", version)}
    ${dependency("org.apache.kafka", "kafka-tools", version)}
    ${dependency("org.slf4j", "slf4j-simple", "1.7.36")}
  </dependencies>
</project>
`;
}

/** Mirrors differ from machine to machine, and their names are nobody's business. */
function withoutAddresses(text) {
  return text.replace(/https?:\/\/[^\s)"']+/g, "<repository>").split("\n").slice(-20).join("\n");
}

async function main() {
  const { values, positionals } = flagsOf(import.meta.url, {
    allowPositionals: true,
    options: {
      version: { type: "string", default: kafkaVersions[0] },
      nodes: { type: "string", default: "1" },
      port: { type: "string", default: "9092" },
    },
  });
  const [command] = positionals;
  if (command === "fetch") {
    const libs = await ensureKafka(values.version);
    console.log(`Kafka ${values.version}: ${readdirSync(libs).length} jars in ${libs}`);
    return;
  }
  if (command !== "start") {
    throw new Error("Give a command: start | fetch [--version 4.1.1] [--nodes 1|3] [--port 9092]");
  }
  const stopped = new Promise((resolve) => {
    process.on("SIGINT", resolve);
    process.on("SIGTERM", resolve);
  });
  const starting = startKafka({ version: values.version, nodes: Number(values.nodes), port: Number(values.port) });
  const kafka = await Promise.race([starting, stopped]);
  if (typeof kafka !== "object") process.exit(130); // stopped while starting: the exit handler cleans up
  console.log(`Kafka ${kafka.version} listens on ${kafka.brokers} (Ctrl-C stops it)`);
  await stopped;
  await kafka.stop();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
