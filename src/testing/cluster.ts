/**
 * A Kafka cluster inside the process: brokers, topics, logs, and a network in memory to reach them by.
 *
 * @module
 */

import type { Codec } from "../codec/codec.ts";
import { COMPRESSION_IDS, type CompressionType } from "../codec/codec.ts";
import { resolveCodec } from "../codec/registry.ts";
import { CompressionError, ConfigError } from "../errors.ts";
import type { Runtime, SocketFactory } from "../runtime/runtime.ts";
import { systemRuntime } from "../runtime/select.ts";
import type { AnyApi } from "./apis.ts";
import { FINALIZED_FEATURES, type Release } from "./api_versions_handler.ts";
import { Broker, type VersionRange } from "./broker.ts";
import { type ControlAction, type ControlFunction, type ControlOptions, Controls } from "./control.ts";
import { listen, type Listening, type ListenOptions } from "./listen.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "./network.ts";
import { seededRandom } from "./random.ts";
import { readStored, type StoredRecord } from "./stored_record.ts";
import { type RecordedRequest, Recording } from "./recording.ts";
import { isTopicName, type Partition, Topic, type TopicSpec } from "./topic.ts";

/** Time and chance, what a cluster takes from a runtime. */
export type ClusterRuntime = Pick<Runtime, "now" | "wallNow" | "setTimer" | "defer" | "random">;

/** How an {@link EmbeddedCluster} is made. */
export interface EmbeddedClusterOptions {
  /** How many brokers; their ids start at 1. @default 1 */
  readonly brokers?: number;
  /** The racks of the brokers, in order. */
  readonly racks?: readonly string[];
  /** The topics that are there from the start, or how many partitions each has. */
  readonly topics?: Readonly<Record<string, TopicSpec | number>>;
  /** Creates a topic that a client asks metadata of, if the client wants that. @default true */
  readonly autoCreateTopics?: boolean;
  /** How many partitions a topic has that was created without saying. @default 1 */
  readonly defaultPartitions?: number;
  /** The release whose versions, features and defaults are shown. @default "4.1" */
  readonly release?: Release;
  /** Pins versions on all brokers, by the API's name; null takes an API away. */
  readonly apiVersions?: Readonly<Record<string, VersionRange>>;
  /** Finalized features, if not those of the release. */
  readonly finalizedFeatures?: Readonly<Record<string, number>>;
  /** `socket.request.max.bytes`. @default 104_857_600 */
  readonly maxRequestBytes?: number;
  /** How many requests are kept for `requests`; false for none. @default 10_000 */
  readonly record?: number | false;
  /** Clock, timers and randomness, a virtual runtime's for instance. @default those of this runtime */
  readonly runtime?: ClusterRuntime;
  /** How the network in memory behaves. */
  readonly network?: MemoryNetworkOptions;
  /** Own codecs, by compression type, to check compressed batches with. */
  readonly codecs?: Readonly<Partial<Record<CompressionType, Codec>>>;
  /** What ids of topics and the cluster are made from. @default 1 */
  readonly seed?: number;
}

const DEFAULT_PORT = 9092;
const DEFAULT_RECORDED = 10_000;
const DEFAULT_MAX_REQUEST_BYTES = 104_857_600;
const MAX_REPLICATION_FACTOR = 3;
const FIRST_PRODUCER_ID = 1000n;
/** No batch of a client that is meant well holds more. */
const MAX_DECOMPRESSED_BYTES = 104_857_600;

/**
 * A cluster for tests and demos: the real protocol, the checks of a real broker, no disk.
 *
 * @example
 * ```ts
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ brokers: 3, topics: { orders: { partitions: 12 } } });
 * console.assert(cluster.bootstrap.split(",").length === 3);
 * console.assert(cluster.endOffset("orders", 0) === 0n);
 * ```
 */
export class EmbeddedCluster {
  /** The brokers, in the order of their ids. */
  readonly brokers: readonly Broker[];
  /** The network in memory. */
  readonly network: MemoryNetwork;
  /** Clock, timers and randomness. */
  readonly clock: ClusterRuntime;
  /** The release that is shown. */
  readonly release: Release;
  /** What ApiVersions says is finalized. */
  readonly finalizedFeatures: Readonly<Record<string, number>>;
  /** The cluster's id. */
  readonly clusterId: string;
  /** Longer requests close the connection. */
  readonly maxRequestBytes: number;
  /** @internal */
  readonly controls: Controls = new Controls();
  /** @internal */
  readonly recording: Recording;
  /** Errors of control functions and other surprises; a test that wants none checks that it is empty. */
  readonly failures: unknown[] = [];
  readonly #options: EmbeddedClusterOptions;
  readonly #topics = new Map<string, Topic>();
  readonly #topicsById = new Map<string, Topic>();
  readonly #codecs = new Map<number, Codec>();
  readonly #random: () => number;
  readonly #unlisten = new Map<number, () => void>();
  readonly #listening = new Set<Listening>();
  #nextProducerId = FIRST_PRODUCER_ID;
  #connections = 0;
  #created = 0;

  /** Starts the brokers. */
  constructor(options: EmbeddedClusterOptions = {}) {
    this.#options = options;
    this.clock = options.runtime ?? systemRuntime(noSockets);
    this.network = new MemoryNetwork(this.clock, options.network);
    this.release = options.release ?? "4.1";
    this.finalizedFeatures = options.finalizedFeatures ?? FINALIZED_FEATURES[this.release];
    this.maxRequestBytes = options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES;
    this.recording = new Recording(options.record === false ? 0 : options.record ?? DEFAULT_RECORDED);
    this.#random = seededRandom(options.seed ?? 1);
    this.clusterId = this.#newId().slice(0, 22);
    const count = options.brokers ?? 1;
    if (!Number.isInteger(count) || count < 1) {
      throw new ConfigError("brokers", `Start "${count}" brokers failed, wanted a whole number from 1.`);
    }
    this.brokers = Array.from({ length: count }, (_, i) => new Broker(this, i + 1, options.racks?.[i] ?? null));
    for (const broker of this.brokers) {
      broker.setEndpoint("memory", { host: `broker-${broker.id}.test`, port: DEFAULT_PORT });
      this.#listenInMemory(broker);
    }
    for (const [name, spec] of Object.entries(options.topics ?? {})) {
      this.createTopic(name, typeof spec === "number" ? { partitions: spec } : spec);
    }
  }

  /** Where the cluster is reached through {@link sockets}, as `host:port,…`. */
  get bootstrap(): string {
    return this.brokers.map((broker) => addressOf(broker, "memory")).join(",");
  }

  /** Dials the brokers in memory. */
  get sockets(): SocketFactory {
    return this.network.sockets;
  }

  /** The cluster's clock, timers and randomness with the sockets that dial it. */
  get runtime(): Runtime {
    const { clock, sockets } = this;
    return {
      name: "name" in clock && typeof clock.name === "string" ? clock.name : "memory",
      sockets,
      now: () => clock.now(),
      wallNow: () => clock.wallNow(),
      setTimer: (callback, delayMs) => clock.setTimer(callback, delayMs),
      defer: (callback) => clock.defer(callback),
      random: () => clock.random(),
    };
  }

  /** The topics, in the order of their creation. */
  get topics(): Iterable<Topic> {
    return this.#topics.values();
  }

  /** The requests that came, oldest first, as far as they are kept. */
  get requests(): readonly RecordedRequest[] {
    return this.recording.requests;
  }

  /** The requests of one API, with its types. */
  requestsOf<A extends AnyApi>(api: A): RecordedRequest<A>[] {
    return this.recording.of(api);
  }

  /** Forgets the requests so far. */
  clearRequests(): void {
    this.recording.clear();
  }

  /**
   * Makes brokers do something else with the requests of an API, until the returned call or `times` actions later.
   *
   * @example
   * ```ts
   * import { EmbeddedCluster, Produce } from "@sluice/kafka/testing";
   *
   * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
   * cluster.control(Produce, { error: 6 }, { times: 2 });
   * cluster.control(Produce, (request) => request.acks === 0 ? { drop: "after" } : undefined);
   * ```
   */
  control<A extends AnyApi>(
    api: A,
    control: ControlFunction<A> | ControlAction<A>,
    options?: ControlOptions,
  ): () => void {
    return this.controls.add(api, control, options);
  }

  /** The broker with an id. */
  broker(id: number): Broker {
    const broker = this.brokers.find((candidate) => candidate.id === id);
    if (broker === undefined) {
      throw new ConfigError("broker", `There is no broker "${id}", wanted 1 to ${this.brokers.length}.`);
    }
    return broker;
  }

  /** Whether there is such a broker and it takes connections. */
  isRunning(id: number): boolean {
    return this.brokers.some((broker) => broker.id === id && broker.isRunning);
  }

  /** The topic of a name. */
  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** The topic of an id. */
  topicById(id: string): Topic | undefined {
    return this.#topicsById.get(id);
  }

  /** A partition that must be there. */
  partition(topic: string, index: number): Partition {
    const partition = this.#topics.get(topic)?.partitions[index];
    if (partition === undefined) {
      throw new ConfigError("partition", `There is no partition "${topic}-${index}", wanted one that was created.`);
    }
    return partition;
  }

  /** Creates a topic. */
  createTopic(name: string, spec: TopicSpec = {}): Topic {
    if (!isTopicName(name) || this.#topics.has(name)) {
      throw new ConfigError("topics", `Create topic "${name}" failed, wanted a legal name that is not taken.`);
    }
    const { partitions = this.#options.defaultPartitions ?? 1, config = {} } = spec;
    const replicas = spec.replicationFactor ?? Math.min(MAX_REPLICATION_FACTOR, this.brokers.length);
    if (!(partitions >= 1) || !(replicas >= 1 && replicas <= this.brokers.length)) {
      throw new ConfigError(
        "topics",
        `Create topic "${name}" with ${partitions} partitions on "${replicas}" brokers failed, ` +
          `wanted at least 1 partition and at most ${this.brokers.length} replicas.`,
      );
    }
    const topic = new Topic(name, spec.id ?? this.#newId(), config, this.#assign(0, partitions, replicas));
    this.#topics.set(name, topic);
    this.#topicsById.set(topic.id, topic);
    return topic;
  }

  /** Deletes a topic with all it holds. Created again it has another id. */
  deleteTopic(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    this.#topics.delete(name);
    this.#topicsById.delete(topic.id);
  }

  /** Adds partitions until the topic has so many. */
  addPartitions(name: string, total: number): void {
    const { topic } = this.partition(name, 0);
    const count = topic.partitions.length;
    topic.extend(this.#assign(count, total - count, topic.partitions[0]!.replicas.length));
  }

  /** Makes another broker the leader of a partition, in a new epoch. */
  moveLeader(topic: string, partition: number, brokerId: number): void {
    this.partition(topic, partition).lead(this.broker(brokerId).id);
  }

  /** Sets the replicas that keep up, for `min.insync.replicas`. */
  setIsr(topic: string, partition: number, brokerIds: readonly number[]): void {
    this.partition(topic, partition).isr = brokerIds;
  }

  /** Stops a broker: connections are reset, new ones refused, its partitions go to another replica if there is one. */
  stopBroker(id: number): void {
    const broker = this.broker(id);
    if (!broker.isRunning) return;
    this.#unlisten.get(id)?.();
    broker.setRunning(false);
    this.network.reset(addressOf(broker, "memory"));
    for (const partition of this.#allPartitions()) {
      partition.isr = partition.isr.filter((replica) => replica !== id || partition.isr.length === 1);
      if (partition.leaderId === id) partition.lead(partition.isr.find((replica) => this.isRunning(replica)) ?? -1);
    }
  }

  /** Starts a broker again; it leads what has no leader. */
  startBroker(id: number): void {
    const broker = this.broker(id);
    if (broker.isRunning) return;
    broker.setRunning(true);
    this.#listenInMemory(broker);
    for (const partition of this.#allPartitions()) {
      if (!partition.replicas.includes(id)) continue;
      if (!partition.isr.includes(id)) partition.isr = [...partition.isr, id];
      if (partition.leaderId < 0) partition.lead(id);
    }
  }

  /** The offset that the next record of a partition will have. */
  endOffset(topic: string, partition: number): bigint {
    return this.partition(topic, partition).log.endOffset;
  }

  /** The records of a partition, or of all of a topic, by partition and offset. */
  async records(topic: string, partition?: number): Promise<StoredRecord[]> {
    const wanted = partition === undefined
      ? this.partition(topic, 0).topic.partitions
      : [this.partition(topic, partition)];
    const records: StoredRecord[] = [];
    for (const { index, log } of wanted) {
      for (const { bytes } of log.batches) {
        for await (const record of readStored(topic, index, bytes, this.decompress)) {
          if (record.offset >= log.startOffset) records.push(record);
        }
      }
    }
    return records;
  }

  /** Listens on TCP, one port for each broker, on Node, Deno and Bun. */
  async listen(options: ListenOptions = {}): Promise<Listening> {
    const listening = await listen(this, options);
    this.#listening.add(listening);
    return listening;
  }

  /** Ends every connection and stops listening. */
  async close(): Promise<void> {
    for (const broker of this.brokers) {
      this.#unlisten.get(broker.id)?.();
      broker.disconnectAll();
    }
    await Promise.all([...this.#listening].map((listening) => listening.close()));
    this.#listening.clear();
  }

  /** Decompresses under a codec's number, as the broker does to look at records. */
  readonly decompress = (compression: number, bytes: Uint8Array): Uint8Array | Promise<Uint8Array> => {
    const codec = this.#codec(compression);
    const result = codec.decompress(bytes, MAX_DECOMPRESSED_BYTES);
    return result instanceof Promise ? outside(this.clock, result) : result;
  };

  /** @internal */
  nextConnectionId(): number {
    return ++this.#connections;
  }

  /** @internal */
  nextProducerId(): bigint {
    return this.#nextProducerId++;
  }

  /** @internal */
  autoCreate(name: string): void {
    if (this.#options.autoCreateTopics ?? true) this.createTopic(name);
  }

  /** @internal */
  pinnedForAll(api: AnyApi): VersionRange | undefined {
    return this.#options.apiVersions?.[api.name];
  }

  /** @internal */
  nodeEndpoints(
    listener: string,
    ids: readonly (number | undefined)[],
  ): { nodeId: number; host: string; port: number; rack: string | null }[] {
    const leaders = this.brokers.filter((broker) => ids.includes(broker.id));
    return leaders.map((broker) => ({ nodeId: broker.id, ...broker.endpoint(listener), rack: broker.rack }));
  }

  /** @internal */
  sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(resolve, durationMs));
  }

  /** @internal */
  reportFailure(error: unknown): void {
    this.failures.push(error);
  }

  #listenInMemory(broker: Broker): void {
    const unlisten = this.network.listen(addressOf(broker, "memory"), (socket) => broker.accept(socket, "memory"));
    this.#unlisten.set(broker.id, unlisten);
  }

  /** Leaders take turns, and each topic starts at another broker. */
  #assign(from: number, count: number, replicas: number): number[][] {
    const start = from === 0 ? this.#created++ : 0;
    return Array.from(
      { length: Math.max(0, count) },
      (_, i) =>
        Array.from(
          { length: replicas },
          (_, replica) => this.brokers[(start + from + i + replica) % this.brokers.length]!.id,
        ),
    );
  }

  *#allPartitions(): Generator<Partition> {
    for (const topic of this.#topics.values()) yield* topic.partitions;
  }

  #codec(compression: number): Codec {
    const known = this.#codecs.get(compression);
    if (known !== undefined) return known;
    const names = Object.entries(COMPRESSION_IDS) as [CompressionType, number][];
    const name = names.find(([, id]) => id === compression)?.[0];
    if (name === undefined) {
      throw new CompressionError(`Decompressing with codec "${compression}" failed, wanted 0 to 4.`);
    }
    const codec = resolveCodec(name, { custom: this.#options.codecs });
    this.#codecs.set(compression, codec);
    return codec;
  }

  #newId(): string {
    let id = "";
    while (id.length < 32) id += Math.floor(this.#random() * 0x1_0000).toString(16).padStart(4, "0");
    return id;
  }
}

function addressOf(broker: Broker, listener: string): string {
  const { host, port } = broker.endpoint(listener);
  return `${host}:${port}`;
}

/** A codec that works outside of virtual time holds the virtual clock. */
function outside<T>(clock: ClusterRuntime, promise: Promise<T>): Promise<T> {
  const hold = (clock as { outside?: (promise: Promise<T>) => Promise<T> }).outside;
  return hold === undefined ? promise : hold.call(clock, promise);
}

/** The cluster dials nobody. */
const noSockets: SocketFactory = {
  name: "none",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect: () => Promise.reject(new ConfigError("connect", "A cluster's own runtime has no sockets.")),
};
