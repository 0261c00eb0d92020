/** Three Kafka nodes on loopback, each with a proxy that clients are sent to, and the Java side of the rig. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { classPath, ensureKafka, freePorts, toolJvmFlags, waitForBroker } from "../../../scripts/kafka.mjs";
import { certificateAuthority } from "../../../scripts/lib/certificates.mjs";
import { cacheDir, run } from "../../../scripts/lib/tools.mjs";
import { BrokerProxy } from "./proxy.mjs";

/** Where traces, logs and results lie. */
export const faultsDir = join(cacheDir, "faults");

const jvmFlags = ["-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/** Who may come in where the rig is secure. */
const user = { username: "alice", password: "pencil-Ä€" };

/**
 * TLS as far as the proxies, which must see frames to spoil them, and SCRAM as far as the brokers, whose sessions end soon:
 * what nodes, proxies and producers need for it.
 */
export function scramOverTls() {
  const ca = certificateAuthority();
  const login = "org.apache.kafka.common.security.scram.ScramLoginModule";
  return {
    certificate: ca.issue({ name: "broker" }),
    scram: `SCRAM-SHA-256=[name="${user.username}",password="${user.password}"]`,
    config: {
      "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
      "sasl.enabled.mechanisms": "SCRAM-SHA-256",
      "listener.name.client.scram-sha-256.sasl.jaas.config": `${login} required;`,
      "connections.max.reauth.ms": 3_000,
    },
    options: { tls: { ca: ca.cert }, sasl: { mechanism: "scram-sha-256", ...user } },
  };
}

/** Starts the cluster of three nodes, or of one; brokers talk to each other past the proxies. */
export async function startFaultyCluster(
  { version, trace, random, nodeCount = 3, config = {}, security = undefined },
) {
  const libs = await ensureKafka(version);
  mkdirSync(faultsDir, { recursive: true });
  await compile(libs);
  const dir = join(cacheDir, "kafka-run", `faults-${process.pid}-${randomBytes(3).toString("hex")}`);
  mkdirSync(dir, { recursive: true });
  const ports = await freePorts(nodeCount * 4);
  const nodeOf = (id, ports, roles = "broker,controller") => {
    const [proxyPort, clientPort, internalPort, controllerPort] = ports;
    const addresses = { proxyPort, clientPort, internalPort, controllerPort };
    return new FaultyNode({ id, roles, dir, libs, ...addresses, trace, random, nodeCount, config, security });
  };
  const nodes = Array.from({ length: nodeCount }, (_, i) => nodeOf(i + 1, ports.slice(i * 4, i * 4 + 4)));
  const another = async (id) => nodeOf(id, await freePorts(4), "broker");
  const cluster = new FaultyCluster(nodes, libs, dir, another);
  try {
    await cluster.start();
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

class FaultyCluster {
  #dir;
  #libs;
  #java;
  #another;
  #identity;
  #lastId = 100;
  #onExit = () => this.#killAll();

  /** The nodes that clients are told of; one that was added and removed is in neither list. */
  constructor(nodes, libs, dir, another) {
    this.nodes = nodes;
    this.proxies = nodes.map(({ proxy }) => proxy);
    this.#another = another;
    this.brokers = nodes.map(({ proxy }) => `127.0.0.1:${proxy.port}`).join(",");
    this.#libs = libs;
    this.#dir = dir;
  }

  async start() {
    process.once("exit", this.#onExit);
    const id = randomBytes(16);
    id[0] &= 0x7f; // the storage tool takes a leading "-" for an option
    const voters = this.nodes.map((node) => `${node.id}@127.0.0.1:${node.controllerPort}`).join(",");
    this.#identity = [id.toString("base64url"), voters];
    await Promise.all(this.nodes.map((node) => node.format(...this.#identity)));
    await Promise.all(this.nodes.map((node) => node.start(this.nodes.length)));
    this.#java = new JavaSide(this.#libs, this.nodes.map((node) => `127.0.0.1:${node.internalPort}`).join(","));
  }

  /** Asks the Java side; resolves to its answer with the records that it read, if any. */
  ask(op, topics, more = {}) {
    return this.#java.ask({ op, topics, ...more });
  }

  /** Adds a broker that nobody was told of; it leads and keeps nothing yet. */
  async add() {
    const node = await this.#another(++this.#lastId);
    this.nodes.push(node);
    this.proxies.push(node.proxy);
    await node.format(...this.#identity);
    await node.start(this.nodes.length);
    return node;
  }

  /** Ends a broker that keeps nothing any more, and has the cluster forget it. */
  async remove(node) {
    await node.kill();
    this.nodes.splice(this.nodes.indexOf(node), 1);
    this.proxies.splice(this.proxies.indexOf(node.proxy), 1);
    // It is fenced when its session is over; until then it may not be forgotten.
    for (let tries = 0;; tries++) {
      const error = await this.ask("unregister", [], { broker: node.id }).then(() => undefined, (error) => error);
      if (error === undefined) return;
      if (tries === 40) throw error;
      await sleep(500);
    }
  }

  /** Everything runs and nothing is spoiled. */
  async heal() {
    await Promise.all(this.nodes.map(async (node) => {
      await node.start();
      await node.proxy.heal();
    }));
  }

  async stop() {
    await this.#killAll();
    process.removeListener("exit", this.#onExit);
  }

  async #killAll() {
    this.#java?.kill();
    const gone = this.nodes.map((node) => node.kill());
    rmSync(this.#dir, { recursive: true, force: true });
    await Promise.all(gone);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

class FaultyNode {
  #child;
  #config;
  #dir;
  #libs;
  #trace;
  #paused = false;
  #nodeCount;
  #moreConfig;
  #scram;
  #roles;

  constructor({ id, roles, dir, libs, trace, random, nodeCount, config, security, ...addresses }) {
    const { proxyPort, clientPort, internalPort, controllerPort } = addresses;
    this.#roles = roles;
    const certificate = security?.certificate;
    this.id = id;
    this.clientPort = clientPort;
    this.internalPort = internalPort;
    this.controllerPort = controllerPort;
    this.proxy = new BrokerProxy({ nodeId: id, port: proxyPort, upstreamPort: clientPort, trace, random, certificate });
    this.#dir = dir;
    this.#libs = libs;
    this.#trace = trace;
    this.#nodeCount = nodeCount;
    this.#moreConfig = { ...config, ...security?.config };
    this.#scram = security?.scram;
    this.#config = join(dir, `node-${id}.properties`);
  }

  get isUp() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async format(clusterId, voters) {
    const nodeCount = this.#nodeCount;
    const isController = this.#roles.includes("controller");
    const properties = {
      "node.id": this.id,
      "process.roles": this.#roles,
      "controller.quorum.voters": voters,
      "listeners": [
        `CLIENT://127.0.0.1:${this.clientPort}`,
        `INTERNAL://127.0.0.1:${this.internalPort}`,
        ...isController ? [`CONTROLLER://127.0.0.1:${this.controllerPort}`] : [],
      ].join(","),
      "advertised.listeners": `CLIENT://127.0.0.1:${this.proxy.port},INTERNAL://127.0.0.1:${this.internalPort}`,
      "inter.broker.listener.name": "INTERNAL",
      "controller.listener.names": "CONTROLLER",
      "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
      "log.dirs": join(this.#dir, `node-${this.id}`),
      "auto.create.topics.enable": false,
      "default.replication.factor": nodeCount,
      "min.insync.replicas": Math.min(2, nodeCount),
      "offsets.topic.replication.factor": nodeCount,
      "offsets.topic.num.partitions": 1,
      "transaction.state.log.replication.factor": nodeCount,
      "transaction.state.log.num.partitions": 1,
      "transaction.state.log.min.isr": Math.min(2, nodeCount),
      // A dead leader is replaced in seconds, so that a scenario has time for several.
      "broker.session.timeout.ms": 4_000,
      "broker.heartbeat.interval.ms": 500,
      "log.retention.ms": -1,
      "log.cleaner.dedupe.buffer.size": 10_485_760,
      ...this.#moreConfig,
    };
    writeFileSync(this.#config, Object.entries(properties).map(([key, value]) => `${key}=${value}\n`).join(""));
    const args = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", this.#config];
    if (this.#scram !== undefined) args.push("--add-scram", this.#scram);
    const { code, output } = await run("java", [...toolJvmFlags, "-cp", classPath(this.#libs), ...args]);
    if (code !== 0) throw new Error(`Formatting the storage of Kafka node ${this.id} failed:\n${output}`);
  }

  /** Starts the process unless it runs, and waits until it serves. */
  async start(brokerCount = 1) {
    this.resume();
    if (!this.isUp) {
      this.#trace.say(`node ${this.id} starts`);
      const log = openSync(join(faultsDir, `node-${this.id}.log`), "a");
      const flags = [...jvmFlags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];
      const args = [...flags, "-cp", classPath(this.#libs), "kafka.Kafka", this.#config];
      this.#child = spawn("java", args, { stdio: ["ignore", log, log] });
      closeSync(log);
    }
    const check = () => {
      if (!this.isUp) throw new Error(`Kafka node ${this.id} ended while it started`);
    };
    // Where clients need no credentials.
    await waitForBroker(this.internalPort, 180_000, { brokerCount, check });
    this.#trace.say(`node ${this.id} serves`);
    await this.proxy.accept();
  }

  /** kill -9; clients meet a port that refuses. */
  async kill() {
    if (!this.isUp) return;
    this.#trace.say(`node ${this.id} is killed`);
    const child = this.#child;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await Promise.all([gone, this.proxy.refuse()]);
  }

  /** Stops the process where it is, as a long garbage collection would. */
  pause() {
    if (!this.isUp || this.#paused) return;
    this.#trace.say(`node ${this.id} is paused`);
    this.#paused = true;
    this.#child.kill("SIGSTOP");
  }

  resume() {
    if (!this.#paused) return;
    this.#trace.say(`node ${this.id} goes on`);
    this.#paused = false;
    this.#child.kill("SIGCONT");
  }
}

/** A Java process that answers one command after the other. */
class JavaSide {
  #child;
  #waiting = [];
  #records = [];

  constructor(libs, brokers) {
    const flags = [...toolJvmFlags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"];
    const args = [...flags, "-cp", classPath(libs, classesDir(libs)), "Faults", brokers];
    this.#child = spawn("java", args, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (!line.startsWith("=")) {
        this.#records.push(JSON.parse(line));
        return;
      }
      const { resolve, reject } = this.#waiting.shift();
      const { error, ...answer } = JSON.parse(line.slice(1));
      const records = this.#records;
      this.#records = [];
      if (error === undefined) resolve({ ...answer, records });
      else reject(new Error(error));
    });
    this.#child.once("exit", () => this.#waiting.forEach(({ reject }) => reject(new Error("The Java side ended"))));
  }

  ask(command) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(JSON.stringify(command) + "\n");
    });
  }

  kill() {
    this.#child.kill("SIGKILL");
  }
}

async function compile(libs) {
  const classes = classesDir(libs);
  if (existsSync(join(classes, "Faults.class"))) return;
  mkdirSync(classes, { recursive: true });
  const { code, output } = await run("javac", ["-nowarn", "-cp", classPath(libs), "-d", classes, source]);
  if (code !== 0) throw new Error(`Compiling Faults.java failed:\n${output}`);
}

const source = fileURLToPath(new URL("Faults.java", import.meta.url));

/** By what the source says: other working copies may have the jars in common. */
function classesDir(libs) {
  const id = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  return join(libs, "..", `faults-classes-${id}`);
}
