/**
 * Who leads what, and a pipe to each of them: bootstrap, metadata, brokers.
 *
 * What is known of brokers lies in the {@link BrokerRegistry}, what is known of topics in the {@link MetadataCache}, and
 * the {@link MetadataLoop} decides when to ask. A refresh goes from one to the next: the least loaded connection first, then other
 * brokers, then the bootstrap servers; a server that is slow doesn't keep the next one waiting.
 *
 * @module
 */

import { AuthenticationError, ConfigError, ConnectionError, type KafkaError, TimeoutError } from "../errors.ts";
import { REBOOTSTRAP_REQUIRED } from "../protocol/error_code_names.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { connectAdvice } from "./advice.ts";
import { Backoff } from "./backoff.ts";
import { Broker, type BrokerContext } from "./broker.ts";
import { BrokerRegistry, type ListedBroker } from "./broker_registry.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { ConnectionLimit } from "./connection_limit.ts";
import { firstSuccess } from "./first_success.ts";
import type { BrokerHealth } from "./health.ts";
import { MetadataCache, newGeneration, type PartitionMetadata, type TopicMetadata } from "./metadata.ts";
import { type Answer, MetadataFetch, type PipelinedRequest } from "./metadata_fetch.ts";
import { MetadataLoop } from "./metadata_loop.ts";
import { Negotiations } from "./negotiation.ts";
import { DialPace } from "./pace.ts";
import { sleep } from "./sleep.ts";
import { type ClusterSnapshot, partitionsOf, snapshotOf, versionsOf } from "./snapshot.ts";

/** What a cluster needs to know. */
export interface ClusterOptions extends ConnectionOptions {
  readonly bootstrap: readonly Address[];
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly reconnectBackoffMs: number;
  readonly reconnectBackoffMaxMs: number;
  readonly metadataMaxAgeMs: number;
  readonly metadataMaxIdleMs: number;
  readonly allowAutoTopicCreation: boolean;
  /** Connections at a time. @default what the runtime allows */
  readonly maxConnections?: number | undefined;
  /** Tell brokers whom the client takes them for, and leave those that are somebody else (KIP-1242). @default true */
  readonly clusterCheck?: boolean | undefined;
  /** What another client has learnt of the cluster. */
  readonly snapshot?: ClusterSnapshot | undefined;
}

/** What a client that uses the metadata tells and wants to be told; a client that only asks now and then needs none. */
export interface ClusterListener {
  /** A refresh has ended, well or not. */
  onMetadata?(): void;
  /** True while somebody waits for something that the metadata doesn't tell yet. */
  wantsMetadata?(): boolean;
  /** True while there are records of the topic. */
  usesTopic?(name: string): boolean;
  /** True when a broker owes answers for partitions that another one leads by now. */
  isOvertaken?(nodeId: number): boolean;
  /** What to ask of the broker that is dialled next; undefined if nothing. */
  pipelined?(): PipelinedRequest | undefined;
  /** The connection to a broker has ended. */
  onDisconnect?(nodeId: number): void;
  /** Everything that was known is given up, and the bootstrap servers are asked again (KIP-899, KIP-1102). */
  onRebootstrap?(reason: string): void;
}

/** A server that doesn't answer in this time is not given up, but the next one is asked too. */
const STAGGER_MS = 1_000;
/** A broker that owes an answer and says nothing for this long may be a frozen one; another one is asked who leads. */
const SILENCE_MS = 5_000;
/** But no longer than so that another one can be asked in the same time, and what is owed be sent again. */
const SILENCES_PER_REQUEST_TIMEOUT = 3;
const MINUTE_MS = 60_000;
/**
 * Sockets report no "all bytes written", so `close()` with acks 0 polls; only while a socket still has bytes queued.
 */
const FLUSH_POLL_MS = 10;
/** Addresses that lead to somebody else within this time of each other are in a row. */
const MISPLACEMENTS_IN_A_ROW_MS = 30_000;

/** The brokers of a cluster and what they lead. */
export class Cluster {
  readonly #runtime: Runtime;
  readonly #options: ClusterOptions;
  readonly #listener: ClusterListener;
  readonly #closing = new AbortController();
  readonly #metadata = new MetadataCache();
  readonly #registry: BrokerRegistry;
  readonly #loop: MetadataLoop<Answer>;
  readonly #negotiations: Negotiations;
  readonly #metadataFetch: MetadataFetch;
  /** The cluster's id, as the last metadata tells; undefined while none was told. */
  #clusterId: string | undefined;
  /** How often in a row an address has led to somebody else, and when that was last. */
  #misplacements = 0;
  #misplacedAtMs = -Infinity;
  /** How often everything was given up. */
  #starts = 0;
  /** What is known comes out of a snapshot, and nobody has used it yet. */
  #isRestored = false;

  /** Makes a cluster without any connection. */
  constructor(runtime: Runtime, options: ClusterOptions, listener: ClusterListener = {}) {
    this.#runtime = runtime;
    this.#options = options;
    this.#listener = listener;
    const { signal } = this.#closing;
    this.#negotiations = new Negotiations(options.clusterCheck);
    this.#metadataFetch = new MetadataFetch(runtime, options, this.#negotiations, () => this.#metadata.names(), signal);
    this.#loop = new MetadataLoop(runtime, options, {
      ask: () => this.#ask(),
      take: (answer) => this.#take(answer),
      taken: ({ broker }) => this.#dropOvertaken(broker),
      failed: (error) => this.#unreachable(error),
      giveUp: (afterMs) => this.#startOver(`there has been no metadata for ${afterMs / MINUTE_MS} minutes`, false),
      ended: (error) => this.#ended(error),
    }, signal);
    const silenceMs = Math.min(options.requestTimeoutMs / SILENCES_PER_REQUEST_TIMEOUT, SILENCE_MS);
    const brokerOptions = { ...options, silenceMs };
    const context = this.#brokerContext();
    this.#registry = new BrokerRegistry(options.bootstrap, {
      silenceMs,
      random() {
        return runtime.random();
      },
      newBroker(nodeId, address) {
        return new Broker(runtime, nodeId, address, brokerOptions, context);
      },
    });
    if (options.snapshot !== undefined) this.#restore(options.snapshot);
  }

  /** Why the last refresh failed; undefined after a success. */
  get lastError(): KafkaError | undefined {
    return this.#loop.lastError;
  }

  /** What is known of a topic that is in use; undefined if it isn't. */
  topic(name: string): TopicMetadata | undefined {
    return this.#metadata.get(name);
  }

  /** Takes a topic into use, so that refreshes ask for it. */
  use(name: string): TopicMetadata {
    if (this.#isRestored) {
      // Not when it is restored: a Worker's modules know no time while they are loaded, and may set no timer.
      this.#isRestored = false;
      this.#loop.watchAge(this.#runtime.wallNow() - this.#loop.heardAtMs);
    }
    const topic = this.#metadata.get(name);
    if (topic !== undefined) return topic;
    this.#loop.hasten();
    return this.#metadata.add(name, this.#runtime.now());
  }

  /** A broker by node id. */
  broker(nodeId: number): Broker | undefined {
    return this.#registry.get(nodeId);
  }

  /**
   * Asks for a refresh that begins after this call; calls in one turn share it.
   *
   * @returns a promise of the refresh's error, or of undefined if it went well
   */
  requestUpdate(): Promise<KafkaError | undefined> {
    return this.#loop.request();
  }

  /** Why there is no news: the last refresh has failed, or a broker wants to be left alone. */
  get trouble(): KafkaError | undefined {
    return this.lastError ?? this.#registry.throttleError;
  }

  /** Connects to the broker that was longest not asked for this, a connected one if there is. Rejects with the reason. */
  async anyConnection(): Promise<Connection> {
    if (this.#registry.isEmpty) {
      const error = await this.requestUpdate();
      if (error !== undefined) throw error;
    }
    const broker = this.#registry.next();
    if (broker === undefined) {
      throw new ConnectionError("Look at the brokers' logs: the metadata names none.", { code: "BROKERS_UNREACHABLE" });
    }
    try {
      return await broker.connect();
    } catch (error) {
      // It may be somewhere else by now; the bootstrap servers are asked as well.
      void this.requestUpdate();
      throw error;
    }
  }

  /** The brokers that the metadata lists. */
  get listed(): readonly Broker[] {
    return this.#registry.listed;
  }

  /** A broker with a connection of its own, beside the one that everybody shares; the caller closes it. */
  separate(nodeId: number, address: Address): Broker {
    return this.#registry.separate(nodeId, address);
  }

  /**
   * Resolves when a broker of those that the metadata lists is connected. A bootstrap server that isn't one of them is
   * of no use to records. Rejects when all have failed, naming each and why.
   */
  async reach(): Promise<void> {
    const { listed } = this.#registry;
    if (listed.length === 0 || this.isReached) return;
    const connect = (broker: Broker): Promise<Connection> => broker.connect();
    try {
      await firstSuccess(this.#runtime, this.#registry.ordered(listed), connect, STAGGER_MS, this.#closing.signal);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      const failed = listed.find(({ lastError }) => lastError !== undefined);
      const advice = failed === undefined ? "" : ` ${connectAdvice(failed.lastError!, failed)}`;
      const message = `No broker that the metadata lists can be reached. ${error.message}${advice}`;
      throw new ConnectionError(message, { code: "BROKERS_UNREACHABLE", cause: error.cause ?? error });
    }
  }

  /** True when a broker of those that the metadata lists is connected. */
  get isReached(): boolean {
    return this.#registry.isReached;
  }

  /** True when no attempt at any broker can succeed before an option or the runtime is changed. */
  get isHopeless(): boolean {
    return this.#registry.isHopeless;
  }

  /** Those that are being dialled, or were in vain. */
  get unreached(): readonly Broker[] {
    return this.#registry.unreached;
  }

  /** How the brokers are, those that were not dialled included. */
  health(): BrokerHealth[] {
    return this.#registry.health();
  }

  /** What is known, for another client of the same cluster. */
  snapshot(): ClusterSnapshot {
    return snapshotOf(this.#registry, this.#metadata.values(), this.#clusterId, this.#loop.heardAtMs);
  }

  /** Moves a partition to the leader that a broker named in an error (KIP-951). True if that was news. */
  applyLeaderHint(
    name: string,
    partition: number,
    leader: { readonly leaderId: number; readonly leaderEpoch: number },
    endpoints: readonly ListedBroker[],
    by: Address,
  ): boolean {
    const topic = this.#metadata.get(name);
    const current: PartitionMetadata | undefined = topic?.partitions[partition];
    if (topic === undefined || current === undefined || leader.leaderId < 0) return false;
    if (leader.leaderEpoch <= current.leaderEpoch && !topic.unproven) return false;
    // Only where the new leader is: whatever else is told by the way comes with the metadata.
    const endpoint = endpoints.find(({ nodeId }) => nodeId === leader.leaderId);
    if (endpoint !== undefined) this.#registry.place(endpoint, formatAddress(by));
    if (this.#registry.get(leader.leaderId) === undefined) return false;
    topic.partitions[partition] = newGeneration({ ...leader, isHint: true });
    return true;
  }

  /**
   * A leader says that it isn't one. If it was told by a hint, its epoch is forgotten: the hint may have come from a
   * broker that didn't know yet that the topic was created anew, and no metadata would ever be new enough to mend that.
   */
  leaderDenies(name: string, partition: number, leader: PartitionMetadata): void {
    const partitions = this.#metadata.get(name)?.partitions;
    if (!leader.isHint || partitions?.[partition]?.generation !== leader.generation) return;
    partitions[partition] = newGeneration({ ...leader, leaderEpoch: -1 });
  }

  /** A broker doesn't lead, or doesn't know, what metadata says that it does. */
  brokerDenies(nodeId: number): void {
    this.#registry.get(nodeId)?.denies();
  }

  /** A leader has taken a batch: what brokers that lag behind say of it doesn't count. */
  leaderConfirms(leader: PartitionMetadata): void {
    this.#metadata.confirm(leader);
  }

  /** Resolves when the operating system has been given all that was sent, or the cluster is closed. */
  async flushed(): Promise<void> {
    const { signal } = this.#closing;
    const isSending = (): boolean => this.#registry.brokers().some(({ connection }) => connection?.isSending);
    while (!signal.aborted && isSending()) await sleep(this.#runtime, FLUSH_POLL_MS, signal);
  }

  /** Closes every connection and ends every loop. */
  close(): void {
    this.#closing.abort();
    for (const broker of this.#registry.all()) broker.close();
    this.#loop.close();
  }

  /** What the brokers of this cluster have in common. */
  #brokerContext(): BrokerContext {
    const runtime = this.#runtime;
    const { reconnectBackoffMs, reconnectBackoffMaxMs, maxConnections } = this.#options;
    return {
      backoff: new Backoff(reconnectBackoffMs, reconnectBackoffMaxMs, () => runtime.random()),
      pace: new DialPace(runtime),
      connectionLimit: new ConnectionLimit(
        runtime,
        maxConnections ?? runtime.maxConnections ?? Infinity,
        () => this.#registry.all(),
      ),
      negotiations: this.#negotiations,
      pipelined: (broker) =>
        this.#metadataFetch.pipelined(broker, this.#loop.isRefreshing, () => {
          const extra = this.#listener.pipelined?.();
          if (extra !== undefined) this.#registry.choose(broker);
          return extra;
        }),
      addressee: ({ nodeId }) => {
        const clusterId = this.#clusterId;
        return clusterId === undefined || nodeId < 0 ? undefined : { clusterId, nodeId };
      },
      onMisplaced: (broker) => this.#onMisplaced(broker),
      // A refresh that is under way goes on to others by itself.
      onSilence: () => this.#loop.isRefreshing || void this.requestUpdate(),
      onSlowDial: () => this.#loop.isRefreshing || this.#registry.isEmpty || void this.requestUpdate(),
      onDisconnect: ({ nodeId }) => this.#listener.onDisconnect?.(nodeId),
    };
  }

  async #ask(): Promise<Answer> {
    const { metadataMaxIdleMs } = this.#options;
    this.#metadata.expire(this.#runtime.now(), metadataMaxIdleMs, (name) => this.#listener.usesTopic?.(name) === true);
    const starts = this.#starts;
    try {
      return await this.#askInTurn();
    } catch (error) {
      if ((error as KafkaError).errorCode !== REBOOTSTRAP_REQUIRED) throw error;
      // A broker that was dialled and is somebody else has led to that already.
      if (this.#starts === starts) this.#startOver("a broker asks for it", true);
      return await this.#askInTurn();
    }
  }

  #askInTurn(): Promise<Answer> {
    const { signal } = this.#closing;
    const ask = (broker: Broker): Promise<Answer> => this.#metadataFetch.ask(broker);
    return firstSuccess(this.#runtime, this.#registry.candidates(), ask, STAGGER_MS, signal);
  }

  /** True if the answer brings anything new. */
  #take({ response, broker, hasEpochs }: Answer): boolean {
    this.#isRestored = false;
    this.#clusterId = response.clusterId || undefined;
    let changed = this.#registry.list(response.brokers, formatAddress(broker.address));
    if (this.#metadata.merge(response.topics, hasEpochs)) changed = true;
    this.#registry.forgetUnlisted(() => this.#metadata.leaders());
    return changed;
  }

  /** True if metadata is wanted again at once. */
  #ended(error: KafkaError | undefined): boolean {
    this.#listener.onMetadata?.();
    return this.#listener.wantsMetadata?.() === true || (error !== undefined && !this.#registry.isEmpty);
  }

  /**
   * Ends the connection of a frozen broker as soon as others know that it is out of the game, rather than after
   * `requestTimeoutMs`. Nothing goes to a new leader before what is in flight to the old one has failed.
   */
  #dropOvertaken(answerer: Broker): void {
    for (const broker of this.#registry.brokers()) {
      const { connection, nodeId } = broker;
      if (connection === undefined || broker === answerer || !this.#registry.isSilent(broker)) continue;
      if (this.#registry.isListed(nodeId) && this.#listener.isOvertaken?.(nodeId) !== true) continue;
      const name = formatAddress(broker.address);
      const message = `The broker at ${name} has not answered for ${Math.round(connection.silentMs)} ms, and ` +
        `${formatAddress(answerer.address)} says that it leads no more.`;
      connection.destroy(new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker: name }));
    }
  }

  /** Rebootstrap: every connection is closed, nobody leads anything, and, if need be, no broker is known any more. */
  #startOver(reason: string, forget: boolean): void {
    this.#starts += 1;
    this.#registry.startOver(forget);
    if (forget) this.#clusterId = undefined;
    this.#metadata.forgetLeaders();
    this.#listener.onRebootstrap?.(reason);
  }

  /** A broker's address leads to somebody else: what is known is of a time that is over. */
  #onMisplaced(broker: Broker): void {
    if (this.#registry.get(broker.nodeId) !== broker || this.#closing.signal.aborted) return;
    this.#startOver(`${formatAddress(broker.address)} is not node ${broker.nodeId} of this cluster`, true);
    // Servers that go on to name it would lead us there again and again.
    const nowMs = this.#runtime.now();
    this.#misplacements = nowMs - this.#misplacedAtMs > MISPLACEMENTS_IN_A_ROW_MS ? 0 : this.#misplacements + 1;
    this.#misplacedAtMs = nowMs;
    if (this.#misplacements > 0) this.#loop.holdOff(this.#misplacements);
    void this.requestUpdate();
  }

  #restore({ bootstrap, clusterId, takenAtMs, brokers, topics }: ClusterSnapshot): void {
    const own = new Set(this.#options.bootstrap.map(formatAddress));
    // Another cluster's, perhaps: its brokers would take our records just as well.
    if (bootstrap.length !== own.size || bootstrap.some((server) => !own.has(server))) return;
    for (const broker of brokers) {
      const versions = versionsOf(broker);
      if (versions.size > 0) this.#negotiations.of(broker).offers = versions;
    }
    const ageMs = Math.max(0, this.#runtime.wallNow() - takenAtMs);
    if (ageMs >= this.#options.metadataMaxAgeMs || brokers.length === 0) return;
    this.#loop.heardAtMs = takenAtMs;
    this.#clusterId = clusterId;
    this.#registry.list(brokers, bootstrap[0]!);
    for (const topic of topics) {
      const known = this.#metadata.add(topic.name, this.#runtime.now());
      Object.assign(known, { topicId: topic.topicId, partitions: partitionsOf(topic), unproven: true });
    }
    this.#isRestored = true;
  }

  #unreachable(error: KafkaError): KafkaError {
    if (!this.#registry.isEmpty || error instanceof AuthenticationError || error instanceof ConfigError) return error;
    return new ConnectionError(`No broker can be reached. ${error.message}`, { cause: error.cause ?? error });
  }
}
