/**
 * `sluice doctor`: goes the way of a record step by step, and says where it ends and what to do.
 *
 * @module
 */

import type { Producer } from "../../mod.ts";
import { type Address, formatAddress, parseAddresses } from "../cluster/address.ts";
import { connectAdvice } from "../cluster/advice.ts";
import type { Connection, ConnectionOptions } from "../cluster/connection.ts";
import { openConnection } from "../cluster/handshake.ts";
import { saslPortError } from "../cluster/port_probe.ts";
import { checkSecurity } from "../cluster/security.ts";
import { ConfigError, KafkaError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { Metadata } from "../protocol/messages/metadata.ts";
import { Produce } from "../protocol/messages/produce.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import { isAddress } from "../runtime/dial.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { namedMechanism } from "../sasl/named.ts";
import { printable, printableJson, reasonOf, sentence, show } from "../show.ts";
import { ADVICE } from "./advice.ts";
import { fold } from "./fold.ts";
import type { CliIo } from "./io.ts";
import type { DoctorCommand } from "./doctor_command.ts";

/** What one step has found, as `--json` prints it. */
export interface Finding {
  /** `resolve`, `dial`, `tls`, `versions`, `sasl`, `cluster`, `broker N`, `topic`, `acl` or `write`. */
  readonly step: string;
  /** What was looked at: a host, an address, a topic. */
  readonly target: string;
  /** How it is. A warning doesn't fail the whole. */
  readonly status: "ok" | "warning" | "failed";
  /** How long it took. */
  readonly ms: number;
  /** What was seen, or what went wrong. */
  readonly detail: string;
  /** What to do; null when there is nothing to do. */
  readonly advice: string | null;
}

/** What the doctor works with. */
export interface DoctorTools {
  readonly runtime: Runtime;
  createProducer(options: Readonly<Record<string, unknown>>): Pick<Producer, "send" | "close">;
}

/** A step that found something that isn't well, and needs no error to say so. */
interface Verdict {
  readonly detail: string;
  readonly warning?: string;
}

type Cluster = ResponseOf<typeof Metadata>;

const MAX_RESPONSE_SIZE = 1 << 26;
/** More are told by their number: whoever has so many looks at one of them with --brokers. */
const MAX_BROKERS = 20;

/** Runs the command. Returns the exit code. */
export async function doctor(command: DoctorCommand, io: CliIo, tools: DoctorTools): Promise<number> {
  const stop = new AbortController();
  const forget = io.onInterrupt(() => stop.abort(new KafkaError("Interrupted", { code: "INTERRUPTED" })));
  const visit = new Visit(command, io, tools, stop.signal);
  try {
    await visit.run();
  } finally {
    visit.end();
    forget();
  }
  if (command.json) {
    const { findings, clusterId } = visit;
    io.stdout(`${printableJson({ ok: visit.isWell, interrupted: stop.signal.aborted, clusterId, steps: findings })}\n`);
  } else if (!stop.signal.aborted) {
    io.stdout(visit.isWell ? "All is well.\n" : "Something is wrong: see above.\n");
  }
  return stop.signal.aborted ? 130 : visit.isWell ? 0 : 1;
}

/** One run. */
class Visit {
  readonly findings: Finding[] = [];
  clusterId: string | null = null;
  readonly #command: DoctorCommand;
  readonly #io: CliIo;
  readonly #tools: DoctorTools;
  readonly #signal: AbortSignal;
  readonly #options: ConnectionOptions;
  readonly #open = new Set<Connection>();

  constructor(command: DoctorCommand, io: CliIo, tools: DoctorTools, signal: AbortSignal) {
    this.#command = command;
    this.#io = io;
    this.#tools = tools;
    this.#signal = signal;
    const { clientId = "sluice", ...given } = command.client as { readonly clientId?: string };
    const { tls, sasl } = checkSecurity(given, undefined, namedMechanism);
    this.#options = {
      clientId,
      connectTimeoutMs: command.timeoutMs,
      connectionMaxIdleMs: 540_000,
      maxResponseSize: MAX_RESPONSE_SIZE,
      tls,
      sasl,
    };
    signal.addEventListener("abort", () => this.end());
  }

  /** Nothing has failed. */
  get isWell(): boolean {
    return this.findings.every(({ status }) => status !== "failed");
  }

  /** Ends what is open. */
  end(): void {
    for (const connection of this.#open) connection.close();
    this.#open.clear();
  }

  async run(): Promise<void> {
    const { topic, write, client } = this.#command;
    const servers = parseAddresses(client.brokers);
    let connection: Connection | undefined;
    for (const address of servers) {
      const reached = await this.#knock(address);
      connection ??= reached;
    }
    if (connection === undefined) return;
    const found = await this.#cluster(connection);
    if (found === undefined) return;
    for (const broker of found.brokers.slice(0, MAX_BROKERS)) await this.#advertised(broker, servers);
    if (topic !== undefined) await this.#topic(connection, topic);
    if (
      topic !== undefined && write && !this.findings.some(({ step, status }) => step === "topic" && status === "failed")
    ) {
      await this.#write(topic);
    }
  }

  /** One server of `--brokers`, layer by layer. */
  async #knock(address: Address): Promise<Connection | undefined> {
    const { host } = address;
    const target = formatAddress(address);
    const { tls, sasl } = this.#options;
    if (!isAddress(host) && await this.#step("resolve", host, () => this.#resolved(host)) === undefined) return;
    const dialled = await this.#step("dial", target, async () => {
      await this.#dial(address);
      return { detail: "" };
    });
    if (dialled === undefined) return;
    if (tls) {
      const secured = await this.#step("tls", target, async () => {
        try {
          await this.#dial(address, true);
        } catch (error) {
          // A whole handshake tells more: that the port is a plain one, for instance.
          await this.#connect(address, false);
          throw error;
        }
        return { detail: "the certificate is trusted" };
      });
      if (secured === undefined) return;
    }
    let connection: Connection | undefined;
    await this.#step("versions", target, async () => {
      connection = await this.#connect(address, false);
      return { detail: versionsOf(connection) };
    });
    if (connection === undefined || sasl === undefined) return connection;
    connection = undefined;
    await this.#step("sasl", target, async () => {
      connection = await this.#connect(address, true);
      return { detail: `${sasl.name} accepted` };
    });
    return connection;
  }

  async #resolved(host: string): Promise<Verdict> {
    const addresses = await this.#io.resolve(host);
    return { detail: addresses.join(", ") };
  }

  async #dial({ host, port }: Address, secure = false): Promise<void> {
    const { tls, connectTimeoutMs: timeoutMs } = this.#options;
    const options = { host, port, timeoutMs, signal: this.#signal, ...secure && tls ? { tls } : {} };
    const socket = await this.#tools.runtime.sockets.connect(options, { onData() {}, onClose() {} });
    socket.destroy();
  }

  async #connect(address: Address, authenticates: boolean): Promise<Connection> {
    const { sasl, ...options } = this.#options;
    const all = authenticates ? { ...options, sasl } : options;
    const connection = await openConnection(this.#tools.runtime, address, all, this.#signal);
    this.#open.add(connection);
    return connection;
  }

  async #cluster(connection: Connection): Promise<Cluster | undefined> {
    let found: Cluster | undefined;
    await this.#step("cluster", this.#command.client.brokers, async () => {
      found = await this.#described(connection);
      this.clusterId = found.clusterId;
      const { brokers, controllerId } = found;
      const more = brokers.length > MAX_BROKERS ? `, of which ${MAX_BROKERS} are looked at` : "";
      const count = `${brokers.length} ${brokers.length === 1 ? "broker" : "brokers"}${more}`;
      return { detail: `${found.clusterId ?? "without an id"}, ${count}, controller ${controllerId}` };
    });
    return found;
  }

  /** A broker that wants to know who asks hangs up on all but ApiVersions: then that is the error. */
  async #described(connection: Connection): Promise<Cluster> {
    try {
      return await this.#metadata(connection, []);
    } catch (error) {
      if (this.#options.sasl !== undefined || this.#signal.aborted || !(error instanceof KafkaError)) throw error;
      throw await saslPortError(this.#tools.runtime, connection.address, this.#options, error, this.#signal) ?? error;
    }
  }

  /** A broker as the cluster advertises it: clients will go there, whatever `--brokers` says. */
  async #advertised(broker: Cluster["brokers"][number], servers: readonly Address[]): Promise<void> {
    const address = { host: broker.host, port: broker.port };
    const origin = { nodeId: broker.nodeId, advertisedBy: this.#command.client.brokers, wasReached: false };
    await this.#step(`broker ${broker.nodeId}`, formatAddress(address), async () => {
      const connection = await this.#connect(address, this.#options.sasl !== undefined);
      this.#open.delete(connection);
      connection.close();
      const isFar = !servers.some(({ host }) => isLocal(host));
      if (!isLocal(address.host) || !isFar) return { detail: "reached at the address that it advertises" };
      return {
        detail: `it advertises ${show(address.host)}, which is this machine`,
        warning: `Set advertised.listeners of broker ${broker.nodeId} to a name that clients elsewhere can use.`,
      };
    }, origin);
  }

  async #topic(connection: Connection, topic: string): Promise<void> {
    let operations: number | undefined;
    await this.#step("topic", topic, async () => {
      const { topics } = await this.#metadata(connection, [topic]);
      const found = topics.find(({ name }) => name === topic);
      if (found === undefined) throw new KafkaError("The broker's answer leaves the topic out.", { code: "PROTOCOL" });
      if (found.errorCode !== 0) throw brokerError(found.errorCode, { topic });
      operations = found.topicAuthorizedOperations;
      return healthOf(found.partitions);
    });
    if (operations === undefined) return;
    const allowed = operations;
    await this.#step("acl", topic, () => Promise.resolve(rightsOf(allowed, topic)));
  }

  async #write(topic: string): Promise<void> {
    await this.#step("write", topic, async () => {
      const { timeoutMs } = this.#command;
      const limits = { deliveryTimeoutMs: timeoutMs, maxBlockMs: timeoutMs, lingerMs: 0 };
      const requestTimeoutMs = Math.min(timeoutMs, 30_000);
      const producer = this.#tools.createProducer({ requestTimeoutMs, ...this.#command.client, ...limits });
      try {
        const value = "A test record of sluice doctor";
        const { partition, offset } = await producer.send({ topic, key: "sluice-doctor", value });
        return { detail: `delivered to partition ${partition} at offset ${offset}` };
      } finally {
        await producer.close({ timeoutMs: 1_000 }).catch(() => {});
      }
    });
  }

  async #metadata(connection: Connection, topics: readonly string[]): Promise<Cluster> {
    const version = connection.version(Metadata);
    const body = {
      topics: topics.map((name) => ({ name })),
      allowAutoTopicCreation: false,
      includeTopicAuthorizedOperations: version >= 8,
    };
    return await connection.request(Metadata, version, body as never, this.#command.timeoutMs);
  }

  /** Takes a step, tells what it found, and resolves to that, or to undefined if it failed. */
  async #step(
    step: string,
    target: string,
    take: () => Promise<Verdict>,
    origin?: Parameters<typeof connectAdvice>[1],
  ): Promise<Finding | undefined> {
    if (this.#signal.aborted) return undefined;
    const startedMs = performance.now();
    let found: Pick<Finding, "status" | "detail" | "advice">;
    try {
      const { detail, warning } = await take();
      found = { status: warning === undefined ? "ok" : "warning", detail, advice: warning ?? null };
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      const advice = adviceFor(step, error, origin);
      found = { status: "failed", detail: reasonOf(error), advice: advice === "" ? null : advice };
    }
    const finding = { step, target, ms: Math.round((performance.now() - startedMs) * 10) / 10, ...found };
    this.findings.push(finding);
    if (!this.#command.json) this.#io.stdout(fold(formatFinding(finding), this.#io.columns));
    return finding.status === "failed" ? undefined : finding;
  }
}

const MARKS = { ok: "✓", warning: "!", failed: "✗" } as const;

/** A finding as a line for people, with what to do below it. */
export function formatFinding({ step, target, status, ms, detail, advice }: Finding): string {
  const time = `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`.padStart(8);
  const head = `${MARKS[status]} ${time}  ${step.padEnd(9)} ${printable(target)}`;
  return `${detail === "" ? head : `${head}: ${printable(detail)}`}\n${
    advice === null ? "" : `${" ".repeat(12)}→ ${printable(sentence(advice))}\n`
  }`;
}

const TLS_ADVICE =
  "Look whether the port speaks TLS; give who signed its certificate with -X ssl.ca.location=FILE, and a " +
  "certificate of your own, where it asks for one, with ssl.certificate.location and ssl.key.location.";

/** What is advised here alone: it looks at one topic, as who writes to it. */
const OWN_ADVICE: Readonly<Record<string, string>> = {
  ...ADVICE,
  UNKNOWN_TOPIC_OR_PARTITION: "Look at the name, or create the topic: sluice topics create NAME.",
  TOPIC_AUTHORIZATION_FAILED: "Grant Describe and Write on the topic to this user (kafka-acls --producer).",
};

function adviceFor(step: string, error: unknown, origin?: Parameters<typeof connectAdvice>[1]): string {
  if (step === "resolve") return 'Correct the host name in "brokers", or the DNS of this machine.';
  if (!(error instanceof KafkaError) || error instanceof ConfigError) return "";
  if (Object.hasOwn(OWN_ADVICE, error.code)) return OWN_ADVICE[error.code]!;
  if (step === "tls") return TLS_ADVICE;
  if (["write", "topic", "acl"].includes(step)) return "";
  return connectAdvice(error, origin ?? { nodeId: -1, advertisedBy: undefined, wasReached: false });
}

function versionsOf(connection: Connection): string {
  const produce = connection.versions.get(Produce.key);
  const count = `${connection.versions.size} APIs`;
  return produce === undefined ? `${count}, but no Produce` : `${count}, Produce ${produce.min} to ${produce.max}`;
}

function healthOf(partitions: Cluster["topics"][number]["partitions"]): Verdict {
  const replicas = Math.min(...partitions.map(({ replicaNodes }) => replicaNodes.length));
  const leaderless = partitions.filter(({ leaderId }) => leaderId < 0).length;
  const behind = partitions.filter(({ replicaNodes, isrNodes }) => isrNodes.length < replicaNodes.length).length;
  const detail = `${partitions.length} ${partitions.length === 1 ? "partition" : "partitions"}, ` +
    `${replicas} ${replicas === 1 ? "replica" : "replicas"}`;
  if (leaderless > 0) {
    return {
      detail: `${detail}, ${leaderless} without a leader`,
      warning: "Start the brokers that have the replicas: what goes to these partitions waits.",
    };
  }
  if (behind > 0) {
    const warning = "Look after the brokers that are behind: with fewer than min.insync.replicas, acks=all fails.";
    return { detail: `${detail}, ${behind} not fully in sync`, warning };
  }
  return { detail: `${detail}, all in sync` };
}

const UNKNOWN_OPERATIONS = -2_147_483_648;
/** Kafka's numbers for what may be done with a topic. */
const OPERATIONS = { Read: 3, Write: 4, Describe: 8 } as const;

function rightsOf(operations: number, topic: string): Verdict {
  if (operations === UNKNOWN_OPERATIONS) return { detail: "the broker doesn't tell" };
  const has = (operation: number): boolean => (operations & (1 << operation)) !== 0;
  const allowed = Object.entries(OPERATIONS).filter(([, operation]) => has(operation)).map(([name]) => name);
  if (!has(OPERATIONS.Write)) {
    throw new KafkaError(`Writing is not allowed, only ${allowed.join(" and ") || "nothing that concerns records"}`, {
      code: "TOPIC_AUTHORIZATION_FAILED",
      topic,
    });
  }
  const detail = `${allowed.join(", ")} allowed`;
  return has(OPERATIONS.Read) ? { detail } : { detail, warning: "Grant Read as well where it is to be read back." };
}

function isLocal(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}
