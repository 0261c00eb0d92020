/**
 * A Kafka cluster inside the process: brokers, topics, logs, and a network in memory to reach them by.
 *
 * @module
 */

import { isList, readOptions, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import type { Runtime, SocketFactory } from "../runtime/runtime.ts";
import type { ByteStreams } from "../runtime/web_wire.ts";
import { show } from "../show.ts";
import { acceptStreams } from "./broker/accept.ts";
import type { AnyApi } from "./broker/apis.ts";
import { Broker, type VersionRange } from "./broker/broker.ts";
import { BrokerConnection } from "./broker/broker_connection.ts";
import { type ControlAction, type ControlFunction, type ControlOptions, Controls } from "./broker/control.ts";
import { FinalizedFeatures } from "./broker/finalized_features.ts";
import { listen, type Listening, type ListenOptions, readTls } from "./broker/listen.ts";
import { addQuota, type QuotaOptions } from "./broker/quota.ts";
import { type RecordedRequest, Recording } from "./broker/recording.ts";
import type { Release } from "./broker/release.ts";
import type { SaslOptions } from "./broker/sasl_exchange.ts";
import { type ClientMetrics, clientMetrics } from "./broker/telemetry.ts";
import { BrokerLives, memoryAddressOf } from "./broker_lives.ts";
import { type EmbeddedClusterOptions, readClusterOptions, readReplicationOptions } from "./cluster_options.ts";
import { clocksOf, type ClusterRuntime, runtimeWith } from "./cluster_runtime.ts";
import { Controller } from "./control/controller.ts";
import type { ReplicationOptions } from "./control/replication.ts";
import type { Partition, Topic, TopicSpec } from "./control/topic.ts";
import type { ClusterView } from "./control/view.ts";
import { Coordinators, type CoordinatorType, type MoveCoordinatorOptions } from "./coordination/coordinators.ts";
import { GroupCoordinator } from "./coordination/group_coordinator.ts";
import { TransactionCoordinator } from "./coordination/transaction_coordinator.ts";
import { MemoryNetwork } from "./doubles/network.ts";
import { Ids } from "./ids.ts";
import { recordsOf, type RecordsOptions } from "./records.ts";
import { decompressor } from "./storage/decompression.ts";
import type { Decompress } from "./storage/log.ts";
import type { StoredRecord } from "./storage/stored_record.ts";

const DEFAULT_PORT = 9092;
const DEFAULT_RECORDED = 10_000;
const DEFAULT_MAX_REQUEST_BYTES = 104_857_600;
const DEFAULT_REPLICA_LAG_TIME_MAX_MS = 30_000;
const DAY_MS = 86_400_000;
/** Of a cluster id: a UUID in base 64. */
const CLUSTER_ID_LENGTH = 22;

/**
 * A cluster for tests and demos: the real protocol, the checks of a real broker, replication and elections, no disk.
 *
 * @example
 * ```ts
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ brokers: 3, topics: { orders: { partitions: 12 } } });
 * console.assert(cluster.bootstrap.split(",").length === 3);
 * console.assert(cluster.endOffset("orders", 0) === 0n);
 * ```
 *
 * @example An acknowledged record that is lost
 * ```ts
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ brokers: 2, topics: { orders: 1 } });
 * cluster.setIsr("orders", 0, [1]); // 2 doesn't copy any more
 * // what is acknowledged now …
 * cluster.electLeader("orders", 0, 2, { unclean: true }); // … is gone
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
  /** The cluster's id. */
  readonly clusterId: string;
  /** Longer requests close the connection. */
  readonly maxRequestBytes: number;
  /** After how long without a request a connection is closed. */
  readonly connectionsMaxIdleMs: number;
  /** Whether bytes behind a request's last field close the connection. */
  readonly strictRequests: boolean;
  /** Who may come in; undefined where nobody has to authenticate. */
  readonly sasl: SaslOptions | undefined;
  /** What clients are asked for, and what they have pushed; undefined unless the option is set (KIP-714). */
  readonly clientMetrics: ClientMetrics | undefined;
  /** Decompresses under a codec's number, as the broker does to look at records. */
  readonly decompress: Decompress;
  /** @internal */
  readonly quotas: QuotaOptions[] = [];
  /** @internal */
  readonly controller: Controller;
  /** @internal */
  readonly controls: Controls = new Controls();
  /** What the coordinators of transactions know, and how they work. */
  readonly transactions: TransactionCoordinator;
  /** What the coordinators of groups know. */
  readonly groups: GroupCoordinator;
  /** @internal */
  readonly coordinators: Coordinators;
  /** @internal */
  readonly recording: Recording;
  /** Errors of control functions and other surprises; a test that wants none checks that it is empty. */
  readonly failures: unknown[] = [];
  readonly #options: EmbeddedClusterOptions;
  /** The clock of clients that are given {@link runtime}: nothing but their timers keeps a process alive for them. */
  readonly #callersClock: ClusterRuntime;
  readonly #ids: Ids;
  readonly #lives: BrokerLives;
  readonly #features: FinalizedFeatures;
  readonly #listening = new Set<Listening>();

  /** Starts the brokers. */
  constructor(given?: EmbeddedClusterOptions) {
    const options = readClusterOptions(given);
    this.#options = options;
    const { brokers: clock, callers } = clocksOf(options.runtime);
    this.clock = clock;
    this.#callersClock = callers;
    this.network = new MemoryNetwork(this.clock, options.network);
    this.release = options.release ?? "4.1";
    this.#features = new FinalizedFeatures(this.release, options.finalizedFeatures);
    this.maxRequestBytes = options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES;
    this.connectionsMaxIdleMs = options.connectionsMaxIdleMs ?? Infinity;
    this.strictRequests = options.strictRequests ?? true;
    this.sasl = options.sasl;
    this.decompress = decompressor(this.clock, options.codecs);
    this.coordinators = new Coordinators(this);
    this.transactions = new TransactionCoordinator(this, options.transactions);
    this.groups = new GroupCoordinator(this, options.groups);
    this.recording = new Recording(options.record === false ? 0 : options.record ?? DEFAULT_RECORDED);
    this.#ids = new Ids(options.seed ?? 1);
    this.clusterId = this.#ids.newId().slice(0, CLUSTER_ID_LENGTH);
    this.clientMetrics = clientMetrics(options.clientMetrics, () => this.#ids.newId(), this.decompress);
    const count = options.brokers ?? 1;
    if (!Number.isInteger(count)) refuse("brokers", "a whole number from 1", count);
    this.brokers = Array.from({ length: count }, (_, i) => this.#newBroker(i + 1, options.racks?.[i] ?? null));
    for (const broker of this.brokers) {
      broker.setEndpoint("memory", { host: `broker-${broker.id}.test`, port: DEFAULT_PORT });
    }
    this.controller = new Controller(this.brokers, {
      clock: this.clock,
      replication: {
        replicationLagMs: options.replicationLagMs ?? 0,
        replicaLagTimeMaxMs: options.replicaLagTimeMaxMs ?? DEFAULT_REPLICA_LAG_TIME_MAX_MS,
        sessionTimeoutMs: options.sessionTimeoutMs ?? 0,
        metadataLagMs: 0,
      },
      topicDefaults: {
        producerIdExpirationMs: options.producerIdExpirationMs ?? DAY_MS,
        release: this.release,
      },
      newId: () => this.#ids.newId(),
    });
    this.#lives = new BrokerLives(this.brokers, this.network, this.controller);
    for (const [name, spec] of Object.entries(options.topics ?? {})) {
      this.controller.createTopic(
        name,
        typeof spec === "number" ? { partitions: spec } : spec,
        this.#partitionsByDefault,
      );
    }
    // What is there from the start is known from the start.
    this.controller.publish();
    if (options.metadataLagMs !== undefined) this.controller.configure({ metadataLagMs: options.metadataLagMs });
  }

  /** Where the cluster is reached through {@link sockets}, as `host:port,…`. */
  get bootstrap(): string {
    return this.brokers.map(memoryAddressOf).join(",");
  }

  /** Dials the brokers in memory. */
  get sockets(): SocketFactory {
    return this.network.sockets;
  }

  /** The cluster's clock, timers and randomness with the sockets that dial it. */
  get runtime(): Runtime {
    return runtimeWith(this.#callersClock, this.sockets);
  }

  /** The topics, in the order of their creation. */
  get topics(): Iterable<Topic> {
    return this.controller.topics.values();
  }

  /** What the controller has decided, and every broker knows that has the news; to be answered as old metadata later. */
  get view(): ClusterView {
    return this.controller.view;
  }

  /** What ApiVersions says is finalized. */
  get finalizedFeatures(): Readonly<Record<string, number>> {
    return this.#features.levels;
  }

  /** How often features have been finalized, as ApiVersions tells it; -1 where there is no such thing. */
  get featuresEpoch(): bigint {
    return this.#features.epoch;
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

  /**
   * Allows producers so many bytes per second at each broker, until the returned call. As in Kafka a request over it is
   * answered at once, with `throttleTimeMs`, and the next one of its connection is left unread for that time.
   */
  quota(options: QuotaOptions): () => void {
    return addQuota(this.quotas, options);
  }

  /** The broker with an id. */
  broker(id: number): Broker {
    const broker = this.brokers.find((candidate) => candidate.id === id);
    if (broker === undefined) {
      throw new ConfigError("broker", `There is no broker ${show(id)}, wanted 1 to ${this.brokers.length}.`);
    }
    return broker;
  }

  /** Whether there is such a broker and it takes connections. */
  isRunning(id: number): boolean {
    return this.brokers.some((broker) => broker.id === id && broker.isRunning);
  }

  /** The topic of a name. */
  topic(name: string): Topic | undefined {
    return this.controller.topics.get(name);
  }

  /** The topic of an id. */
  topicById(id: string): Topic | undefined {
    return this.view.topicById(id);
  }

  /** A partition that must be there. */
  partition(topic: string, index: number): Partition {
    const partition = typeof index === "number" ? this.topic(topic)?.partitions[index] : undefined;
    if (partition === undefined) {
      const what = `partition ${show(index)} of topic ${show(topic)}`;
      throw new ConfigError("partition", `There is no ${what}, wanted one that was created.`);
    }
    return partition;
  }

  /** Creates a topic. */
  createTopic(name: string, spec: TopicSpec = {}): Topic {
    const topic = this.controller.createTopic(name, spec, this.#partitionsByDefault);
    this.controller.publish();
    return topic;
  }

  /** Deletes a topic with all it holds. Created again it has another id. */
  deleteTopic(name: string): void {
    const partitions = this.topic(name)?.partitions ?? [];
    this.controller.deleteTopic(name);
    this.groups.forgetTopic(partitions);
  }

  /** Adds partitions until the topic has so many; on the brokers of `assignments`, the leader first, if they are given. */
  addPartitions(name: string, total: number, assignments?: readonly (readonly number[])[]): void {
    this.controller.addPartitions(this.partition(name, 0).topic, total, assignments);
  }

  /** Drops the records of a partition before an offset, as retention does; what is known of producers stays. */
  deleteRecords(topic: string, partition: number, beforeOffset: bigint): void {
    if (typeof beforeOffset !== "bigint") refuse("beforeOffset", "a bigint, such as 5n", beforeOffset);
    this.partition(topic, partition).deleteBefore(beforeOffset);
  }

  /** All partitions forget a producer, or all of them, as when `producer.id.expiration.ms` has passed. */
  expireProducers(producerId?: bigint): void {
    for (const topic of this.topics) for (const partition of topic.partitions) partition.expireProducers(producerId);
  }

  /** Changes how fast followers copy and how fast news travels. */
  configure(options: ReplicationOptions): void {
    this.controller.configure(readReplicationOptions(options));
  }

  /**
   * Makes another broker of the ISR the leader of a partition, in a new epoch. What it hasn't copied yet is lost, which
   * can only be what was not acknowledged to `acks=all`.
   *
   * @returns false, and nothing has changed, when the broker isn't in sync or isn't there
   */
  moveLeader(topic: string, partition: number, brokerId: number): boolean {
    return this.electLeader(topic, partition, brokerId);
  }

  /**
   * Elects a leader as {@link moveLeader} does, or uncleanly: then any replica that is there will do, and what it lacks
   * is lost even if it was acknowledged.
   */
  electLeader(topic: string, partition: number, brokerId: number, options?: { unclean?: boolean }): boolean {
    const { unclean = false } = readOptions("electLeader", options, ["unclean"]);
    if (typeof unclean !== "boolean") refuse("unclean", "true or false", unclean);
    const wanted = this.partition(topic, partition);
    if (!wanted.replicas.includes(this.broker(brokerId).id)) {
      throw new ConfigError(
        "broker",
        `Elect one of the replicas of ${show(wanted.name)}, ${wanted.replicas}: broker ${show(brokerId)} is not.`,
      );
    }
    return this.controller.elect(wanted, brokerId, unclean);
  }

  /**
   * Sets who may be in sync, for `min.insync.replicas`: the others leave the ISR and don't copy until they are named
   * again, who is named joins when it has caught up.
   */
  setIsr(topic: string, partition: number, brokerIds: readonly number[]): void {
    const { replicas } = this.partition(topic, partition);
    const wanted = `a list of some of the replicas, ${replicas.join(", ")}`;
    if (!isList(brokerIds)) refuse("brokerIds", wanted, brokerIds);
    if (brokerIds.length === 0) refuse("brokerIds", wanted, brokerIds, " It is empty.");
    const stranger = brokerIds.findIndex((id) => !replicas.includes(id));
    if (stranger >= 0) {
      refuse(`brokerIds[${stranger}]`, `one of the replicas, ${replicas.join(", ")}`, brokerIds[stranger]);
    }
    this.controller.setIsr(this.partition(topic, partition), brokerIds);
  }

  /** Shuts a broker down in order: what it leads goes to others of the ISR first, then its connections are reset. */
  stopBroker(id: number): void {
    this.#lives.stop(this.broker(id));
  }

  /**
   * Ends a broker as `kill -9` does: connections are reset, new ones refused, requests that were begun are never
   * finished, and it stays the leader until `sessionTimeoutMs` have passed. What it has written stays on its disk.
   */
  killBroker(id: number): void {
    this.#lives.kill(this.broker(id));
  }

  /** Starts a broker again: it cuts off what its new leaders don't have, catches up and joins the ISR. */
  startBroker(id: number): void {
    this.#lives.start(this.broker(id));
  }

  /**
   * Cuts a broker off from the others but not from clients. It goes on serving what it leads, with the ISR and the
   * metadata that it knows, until {@link healBroker}; after `sessionTimeoutMs` others lead. What it takes with acks 1 is
   * lost, what comes with `acks=all` is never acknowledged.
   */
  isolateBroker(id: number): void {
    this.#lives.isolate(this.broker(id));
  }

  /** Connects a broker with the others again. */
  healBroker(id: number): void {
    this.#lives.heal(this.broker(id));
  }

  /**
   * Finalizes a feature at another level, as an upgrade or a downgrade of a running cluster does; 0 takes it away.
   * Clients hear of it when they connect anew.
   */
  finalizeFeature(name: string, level: number): void {
    this.#features.finalize(name, level);
  }

  /** The broker that coordinates a group or a transactional id; undefined while there is none. */
  coordinator(type: CoordinatorType, key: string): Broker | undefined {
    return this.coordinators.find(type, key);
  }

  /**
   * Makes another broker the coordinator of a group or a transactional id, at once or after a time in which requests
   * are answered 14, 15 or 16. What it coordinates goes on where it was.
   */
  moveCoordinator(type: CoordinatorType, key: string, brokerId: number, options?: MoveCoordinatorOptions): void {
    this.coordinators.move(type, key, brokerId, options);
  }

  /** The offset that the next record of a partition will have. */
  endOffset(topic: string, partition: number): bigint {
    return this.partition(topic, partition).log.endOffset;
  }

  /**
   * The records of a partition, or of all of a topic, by partition and offset. With `count` it waits until there are so
   * many, also for a topic that is yet to be created.
   *
   * Rejects with a `TimeoutError` that says how many there are when `timeoutMs` have passed, by default 4,000 ms: less
   * than what Jest, Vitest and Bun give a test, so that this is told and not that.
   *
   * @example
   * ```ts
   * import { Producer } from "@sluice/kafka";
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * const cluster = new EmbeddedCluster({ topics: { orders: 3 } });
   * const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
   * void producer.send({ topic: "orders", key: "o-1", value: JSON.stringify({ total: 3 }) });
   * const [record] = await cluster.records("orders", { count: 1 });
   * console.assert(record?.keyText() === "o-1" && record.json<{ total: number }>()?.total === 3);
   * await producer.close();
   * ```
   */
  async records(topic: string, options?: number | RecordsOptions): Promise<StoredRecord[]> {
    return await recordsOf(this, topic, options);
  }

  /** Listens on TCP, one port for each broker, on Node, Deno and Bun. */
  async listen(options?: ListenOptions): Promise<Listening> {
    const { port = 0, host = "127.0.0.1", tls } = readOptions("listen", options, ["port", "host", "tls"]);
    const isPort = typeof port === "number" && Number.isInteger(port) && port >= 0 && port <= 65_535;
    if (!isPort) refuse("port", "a whole number from 0 to 65535", port);
    if (typeof host !== "string" || host === "") refuse("host", "an address, as text", host);
    const listening = await listen(this.brokers, { port, host, ...tls === undefined ? {} : { tls: readTls(tls) } });
    this.#listening.add(listening);
    return listening;
  }

  /**
   * Serves a connection that somebody else has accepted, and resolves when it has ended: in the `connect` handler of a
   * Worker the cluster needs no port, and clients in another Worker reach it through a service binding.
   *
   * @example A Worker that is a Kafka cluster
   * ```ts ignore
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * const cluster = new EmbeddedCluster({ topics: { hits: 1 } });
   * export default { connect: (socket) => cluster.accept(socket) };
   * ```
   */
  accept(connection: ByteStreams): Promise<void> {
    return acceptStreams(this.brokers, connection);
  }

  /** Ends every connection, stops listening and cancels what would happen later. */
  async close(): Promise<void> {
    this.controller.close();
    this.transactions.close();
    this.groups.close();
    for (const broker of this.brokers) this.#lives.close(broker);
    await Promise.all([...this.#listening].map((listening) => listening.close()));
    this.#listening.clear();
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  nextConnectionId(): number {
    return this.#ids.nextConnectionId();
  }

  /** @internal */
  nextProducerId(): bigint {
    return this.#ids.nextProducerId();
  }

  /** @internal */
  autoCreate(name: string): void {
    if ((this.#options.autoCreateTopics ?? true) && this.topic(name) === undefined) this.createTopic(name);
  }

  /** @internal */
  pinnedForAll(api: AnyApi): VersionRange | undefined {
    return this.#options.apiVersions?.[api.name];
  }

  /** @internal */
  sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(resolve, durationMs));
  }

  #newBroker(id: number, rack: string | null): Broker {
    return new Broker(
      id,
      rack,
      (broker, socket, listener, ended) => new BrokerConnection(this, broker, socket, listener, ended),
    );
  }

  get #partitionsByDefault(): number {
    return this.#options.defaultPartitions ?? 1;
  }
}
