/**
 * Who leads what, and a pipe to each of them: bootstrap, metadata, brokers.
 *
 * Metadata is refreshed by one loop that starts when there is a reason and stops when there is none. A refresh is a
 * tour: the least loaded connection first, then other brokers, then the bootstrap servers; a server that is slow
 * doesn't keep the next one waiting.
 *
 * @module
 */

import { AuthenticationError, ConfigError, ConnectionError, type KafkaError, TimeoutError } from "../errors.ts";
import { outside } from "../runtime/async_context.ts";
import type { AnyApi } from "../protocol/schema.ts";
import { REBOOTSTRAP_REQUIRED } from "../protocol/error_code_names.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { connectAdvice } from "./advice.ts";
import { Backoff } from "./backoff.ts";
import { Broker } from "./broker.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { type AheadRequest, type Answer, Enquiry } from "./enquiry.ts";
import { Greetings } from "./greeting.ts";
import type { BrokerHealth } from "./health.ts";
import { isUsable, MetadataCache, newGeneration, type PartitionMetadata, type TopicMetadata } from "./metadata.ts";
import { DialPace } from "./pace.ts";
import { Seats } from "./seats.ts";
import { sleep } from "./sleep.ts";
import { type ClusterSnapshot, partitionsOf, plainVersions, versionsOf } from "./snapshot.ts";
import { firstSuccess, tourOrder } from "./tour.ts";

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

/** Who uses the metadata. */
export interface ClusterListener {
  /** A refresh has ended, well or not. */
  onMetadata(): void;
  /** True while somebody waits for something that the metadata doesn't tell yet. */
  wantsMetadata(): boolean;
  /** True while there are records of the topic. */
  usesTopic(name: string): boolean;
  /** True when a broker owes answers for partitions that another one leads by now. */
  isOvertaken?(nodeId: number): boolean;
  /** What to ask of the broker that is dialled next; undefined if nothing. */
  ahead?(): AheadRequest | undefined;
  /** The connection to a broker has ended. */
  onDisconnect?(nodeId: number): void;
  /** Everything that was known is given up, and the bootstrap servers are asked again (KIP-899, KIP-1102). */
  onRebootstrap?(reason: string): void;
}

interface Refresh {
  readonly ended: Promise<KafkaError | undefined>;
  readonly end: (error: KafkaError | undefined) => void;
}

/** A server that doesn't answer in this time is not given up, but the next one is asked too. */
const STAGGER_MS = 1_000;

/** A broker that owes an answer and says nothing for so long may be a frozen one; another one is asked who leads. */
const SILENCE_MS = 5_000;

/** After so long without metadata, everything that is known is given up (KIP-1102). */
const REBOOTSTRAP_AFTER_MS = 300_000;
/**
 * Sockets report no "all bytes written", so `close()` with acks 0 polls; only while a socket still has bytes queued.
 */
const FLUSH_POLL_MS = 10;
/** A server that offers no Metadata is found out without a wait, and `retryBackoffMs` may be 0. */
const LEAST_BACKOFF_MS = 50;
/** Addresses that lead to somebody else within so long of each other are in a row. */
const MISPLACEMENTS_IN_A_ROW_MS = 30_000;

/** The brokers of a cluster and what they lead. */
export class Cluster {
  /** Why the last refresh failed; undefined after a success. */
  lastError: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #options: ClusterOptions;
  readonly #listener: ClusterListener;
  readonly #metadata = new MetadataCache();
  readonly #brokers = new Map<number, Broker>();
  readonly #bootstrap: readonly Broker[];
  /** The addresses of the bootstrap servers. */
  readonly #serverNames: ReadonlySet<string>;
  readonly #separate: Set<Broker> = new Set();
  readonly #context: ConstructorParameters<typeof Broker>[4];
  readonly #refreshBackoff: Backoff;
  readonly #greetings: Greetings;
  readonly #enquiry: Enquiry;
  readonly #silenceMs: number;
  readonly #brokerOptions: ConnectionOptions;
  /** The cluster's id, as the last metadata tells; undefined while none was told. */
  #clusterId: string | undefined;
  /** How often in a row an address has led to somebody else, and when that was last. */
  #misplacements = 0;
  #misplacedAtMs = -Infinity;
  /** How often everything was given up. */
  #starts = 0;
  /** When the last metadata came, in ms since the epoch. */
  #heardAtMs: number;
  #refreshing = false;
  /** Since when there has been no answer though one was wanted. */
  #tryingSinceMs: number | undefined;
  readonly #closing = new AbortController();
  #listed: ReadonlySet<number> = new Set();
  #next: Refresh | undefined;
  #running = false;
  #failures = 0;
  #equivalent = 0;
  #notBeforeMs = 0;
  #ageTimer: Timer | undefined;
  /** What is known comes out of a snapshot, and nobody has used it yet. */
  #isRestored = false;
  /** When each broker was last chosen by {@link anyConnection}, counted in its calls. */
  readonly #turns: WeakMap<Broker, number> = new WeakMap();
  #turn = 0;

  /** Makes a cluster without any connection. */
  constructor(runtime: Runtime, options: ClusterOptions, listener: ClusterListener) {
    this.#runtime = runtime;
    this.#options = options;
    this.#listener = listener;
    this.#silenceMs = Math.min(options.requestTimeoutMs / 3, SILENCE_MS);
    const random = (): number => runtime.random();
    this.#refreshBackoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, random);
    this.#greetings = new Greetings(options.clusterCheck);
    const { signal } = this.#closing;
    this.#enquiry = new Enquiry(runtime, options, this.#greetings, () => this.#metadata.names(), signal);
    this.#context = {
      backoff: new Backoff(options.reconnectBackoffMs, options.reconnectBackoffMaxMs, random),
      pace: new DialPace(runtime),
      seats: new Seats(runtime, options.maxConnections ?? runtime.maxConnections ?? Infinity, () => this.#all()),
      greetings: this.#greetings,
      flight: (broker) =>
        this.#enquiry.flight(broker, this.#refreshing, () => {
          const ahead = listener.ahead?.();
          if (ahead !== undefined) this.#turns.set(broker, ++this.#turn);
          return ahead;
        }),
      addressee: ({ nodeId }) => {
        const clusterId = this.#clusterId;
        return clusterId === undefined || nodeId < 0 ? undefined : { clusterId, nodeId };
      },
      onMisplaced: (broker) => this.#onMisplaced(broker),
      // A tour that is under way goes on to others by itself.
      onSilence: () => this.#refreshing || void this.requestUpdate(),
      onSlowDial: () => this.#refreshing || this.#listed.size === 0 || void this.requestUpdate(),
      onDisconnect: ({ nodeId }) => listener.onDisconnect?.(nodeId),
    };
    this.#brokerOptions = { ...options, silenceMs: this.#silenceMs };
    this.#serverNames = new Set(options.bootstrap.map(formatAddress));
    this.#bootstrap = options.bootstrap.map((address, index) => this.#newBroker(-1 - index, address));
    this.#heardAtMs = runtime.wallNow();
    if (options.snapshot !== undefined) this.#restore(options.snapshot);
  }

  /** What is known of a topic that is in use; undefined if it isn't. */
  topic(name: string): TopicMetadata | undefined {
    return this.#metadata.get(name);
  }

  /** Takes a topic into use, so that refreshes ask for it. */
  use(name: string): TopicMetadata {
    if (this.#isRestored) this.#watchRestored();
    return this.#metadata.get(name) ?? this.#metadata.add(name, this.#runtime.now());
  }

  /** A broker by node id. */
  broker(nodeId: number): Broker | undefined {
    return this.#brokers.get(nodeId);
  }

  /**
   * Asks for a refresh that begins after this call; calls in one turn share it.
   *
   * @returns a promise of the refresh's error, or of undefined if it went well
   */
  requestUpdate(): Promise<KafkaError | undefined> {
    if (this.#closing.signal.aborted) return Promise.resolve(closedError());
    this.#next ??= newRefresh();
    const { ended } = this.#next;
    if (!this.#running) {
      this.#running = true;
      // For all who will ask while it runs, and so in nobody's context.
      outside(() => void this.#run());
    }
    return ended;
  }

  /** Why there is no news: the last refresh has failed, or a broker wants to be left alone. */
  get trouble(): KafkaError | undefined {
    if (this.lastError !== undefined) return this.lastError;
    for (const { connection } of [...this.#brokers.values(), ...this.#bootstrap]) {
      const error = connection?.throttleError;
      if (error !== undefined) return error;
    }
    return undefined;
  }

  /** Connects to the broker that was longest not asked for this, a connected one if there is. Rejects with the reason. */
  async anyConnection(): Promise<Connection> {
    if (this.#listed.size === 0) {
      const error = await this.requestUpdate();
      if (error !== undefined) throw error;
    }
    // Those that are connected first, then those that are being dialled: a start needs no more connections than these.
    const [first, ...rest] = this.#ordered(this.#known());
    if (first === undefined) throw new ConnectionError("No broker is known.", { code: "BROKERS_UNREACHABLE" });
    const lastTurn = (broker: Broker): number => this.#turns.get(broker) ?? 0;
    const broker = rest.reduce((best, other) => lastTurn(other) < lastTurn(best) ? other : best, first);
    this.#turns.set(broker, ++this.#turn);
    return await broker.connect();
  }

  /** True unless a broker is known to offer an API up to less than this version, or not at all. */
  everyBrokerOffers({ key }: AnyApi, version: number): boolean {
    return this.#known().every(({ versions }) => versions === undefined || (versions.get(key)?.max ?? -1) >= version);
  }

  /** A broker with a connection of its own, beside the one that everybody shares; the caller closes it. */
  separate(nodeId: number, address: Address): Broker {
    for (const broker of this.#separate) if (broker.isClosed) this.#separate.delete(broker);
    const broker = this.#newBroker(nodeId, address);
    this.#separate.add(broker);
    return broker;
  }

  /**
   * Resolves when a broker of those that the metadata lists is connected. A bootstrap server that isn't one of them is
   * of no use to records. Rejects when all have failed, naming each and why.
   */
  async reach(): Promise<void> {
    const known = this.#known();
    if (known.length === 0 || this.isReached) return;
    const connect = (broker: Broker): Promise<Connection> => broker.connect();
    try {
      await firstSuccess(this.#runtime, this.#ordered(known), connect, STAGGER_MS, this.#closing.signal);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      const failed = known.find(({ lastError }) => lastError !== undefined);
      const advice = failed === undefined ? "" : ` ${connectAdvice(failed.lastError!, failed)}`;
      const message = `No broker that the metadata lists can be reached. ${error.message}${advice}`;
      throw new ConnectionError(message, { code: "BROKERS_UNREACHABLE", cause: error.cause ?? error });
    }
  }

  /** True when a broker of those that the metadata lists is connected. */
  get isReached(): boolean {
    return this.#known().some(({ connection }) => connection !== undefined);
  }

  /** True when no attempt at any broker can succeed before an option or the runtime is changed. */
  get isHopeless(): boolean {
    const all = [...this.#known(), ...this.#bootstrap];
    const tried = all.filter(({ lastError }) => lastError !== undefined);
    return tried.length > 0 && tried.every(({ lastError }) => lastError instanceof ConfigError) &&
      all.every(({ connection, lastError }) => connection === undefined && lastError !== undefined);
  }

  /** Those that are being dialled, or were in vain. */
  get unreached(): readonly Broker[] {
    return [...this.#known(), ...this.#bootstrap].filter((broker) => {
      return broker.connection === undefined && (broker.dialledForMs > 0 || broker.lastError !== undefined);
    });
  }

  /** How the brokers are, those that were not dialled included. */
  health(): BrokerHealth[] {
    const servers = this.#bootstrap.filter(({ connection, connecting }) => connection !== undefined || connecting);
    return [...this.#brokers.values(), ...servers].map((broker) => broker.health);
  }

  /** What is known, for another client of the same cluster. */
  snapshot(): ClusterSnapshot {
    const topics = [...this.#metadata.values()].filter(isUsable);
    return {
      format: 1,
      ...(this.#clusterId === undefined ? {} : { clusterId: this.#clusterId }),
      takenAtMs: this.#heardAtMs,
      bootstrap: this.#bootstrap.map(({ address }) => formatAddress(address)),
      brokers: this.#known().map(({ nodeId, address: { host, port }, versions }) => {
        return { nodeId, host, port, versions: plainVersions(versions ?? new Map()) };
      }),
      topics: topics.map(({ name, topicId, partitions }) => {
        return { name, topicId, partitions: partitions.map(({ leaderId, leaderEpoch }) => [leaderId, leaderEpoch]) };
      }),
    };
  }

  /** Moves a partition to the leader that a broker named in an error (KIP-951). True if that was news. */
  applyLeaderHint(
    name: string,
    partition: number,
    leader: { readonly leaderId: number; readonly leaderEpoch: number },
    endpoints: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[],
    by: Address,
  ): boolean {
    const topic = this.#metadata.get(name);
    const current: PartitionMetadata | undefined = topic?.partitions[partition];
    if (topic === undefined || current === undefined || leader.leaderId < 0) return false;
    if (leader.leaderEpoch <= current.leaderEpoch && !topic.unproven) return false;
    // Only where the new leader is: whatever else is told by the way comes with the metadata.
    const endpoint = endpoints.find(({ nodeId }) => nodeId === leader.leaderId);
    if (endpoint !== undefined) {
      this.#place(endpoint.nodeId, { host: endpoint.host, port: endpoint.port }, formatAddress(by));
    }
    if (!this.#brokers.has(leader.leaderId)) return false;
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
    this.#brokers.get(nodeId)?.denies();
  }

  /** A leader has taken a batch: what brokers that lag behind say of it doesn't count. */
  leaderConfirms(leader: PartitionMetadata): void {
    this.#metadata.confirm(leader);
  }

  /** Resolves when the operating system has been given all that was sent, or the cluster is closed. */
  async flushed(): Promise<void> {
    const { signal } = this.#closing;
    const isSending = (): boolean => [...this.#brokers.values()].some(({ connection }) => connection?.isSending);
    while (!signal.aborted && isSending()) await sleep(this.#runtime, FLUSH_POLL_MS, signal);
  }

  /** Closes every connection and ends every loop. */
  close(): void {
    this.#closing.abort();
    this.#ageTimer?.cancel();
    for (const broker of this.#all()) broker.close();
    this.#next?.end(closedError());
    this.#next = undefined;
  }

  #all(): Broker[] {
    return [...this.#brokers.values(), ...this.#bootstrap, ...this.#separate];
  }

  async #run(): Promise<void> {
    // What one turn asks for is asked for in one request.
    await new Promise<void>((resolve) => this.#runtime.defer(resolve));
    while (this.#next !== undefined) {
      await sleep(this.#runtime, this.#notBeforeMs - this.#runtime.now(), this.#closing.signal);
      const refresh: Refresh | undefined = this.#next;
      if (refresh === undefined) break;
      this.#next = undefined;
      const error = await this.#refresh();
      if (this.#closing.signal.aborted) {
        refresh.end(closedError());
        break;
      }
      refresh.end(error);
      this.#listener.onMetadata();
      const everHeard = this.#listed.size > 0;
      if (this.#listener.wantsMetadata() || (error !== undefined && everHeard)) this.#next ??= newRefresh();
    }
    this.#running = false;
  }

  async #refresh(): Promise<KafkaError | undefined> {
    this.#metadata.expire(
      this.#runtime.now(),
      this.#options.metadataMaxIdleMs,
      (name) => this.#listener.usesTopic(name),
    );
    this.#refreshing = true;
    const sinceMs = this.#tryingSinceMs ??= this.#runtime.now();
    try {
      const answer = await this.#ask();
      this.#failures = 0;
      this.#tryingSinceMs = undefined;
      // The same answer again and again means a cluster that is slow to settle: it isn't asked any faster.
      this.#equivalent = this.#merge(answer) ? 0 : this.#equivalent + 1;
      this.#notBeforeMs = this.#runtime.now() + this.#refreshBackoff.delayMs(this.#equivalent);
      this.lastError = undefined;
      this.#heardAtMs = this.#runtime.wallNow();
      this.#watchAge(this.#options.metadataMaxAgeMs);
      this.#dropOvertaken(answer.broker);
      return undefined;
    } catch (error) {
      this.#failures += 1;
      const nowMs = this.#runtime.now();
      this.#notBeforeMs = nowMs + Math.max(LEAST_BACKOFF_MS, this.#refreshBackoff.delayMs(this.#failures));
      this.lastError = this.#unreachable(error as KafkaError);
      if (nowMs - sinceMs >= REBOOTSTRAP_AFTER_MS && !this.#closing.signal.aborted) {
        this.#startOver("there has been no metadata for five minutes", false);
        this.#tryingSinceMs = nowMs;
      }
      return this.lastError;
    } finally {
      this.#refreshing = false;
    }
  }

  async #ask(): Promise<Answer> {
    const starts = this.#starts;
    try {
      return await this.#tour();
    } catch (error) {
      if ((error as KafkaError).errorCode !== REBOOTSTRAP_REQUIRED) throw error;
      // A broker that was dialled and is somebody else has led to that already.
      if (this.#starts === starts) this.#startOver("a broker asks for it", true);
      return await this.#tour();
    }
  }

  #tour(): Promise<Answer> {
    const { signal } = this.#closing;
    const ask = (broker: Broker): Promise<Answer> => this.#enquiry.ask(broker);
    return firstSuccess(this.#runtime, this.#candidates(), ask, STAGGER_MS, signal);
  }

  /** True if the answer brings anything new. */
  #merge(answer: Answer): boolean {
    const { response } = answer;
    const listed = new Set(response.brokers.map(({ nodeId }) => nodeId));
    let changed = listed.size !== this.#listed.size || [...listed].some((nodeId) => !this.#listed.has(nodeId));
    this.#listed = listed;
    this.#clusterId = response.clusterId || undefined;
    const by = formatAddress(answer.broker.address);
    for (const { nodeId, host, port } of response.brokers) this.#place(nodeId, { host, port }, by);
    this.#adoptBootstrap();
    if (this.#metadata.merge(response.topics, answer.hasEpochs)) changed = true;
    this.#forgetUnlisted();
    return changed;
  }

  /** A broker that is gone, serves no request and leads nothing is of no more use. */
  #forgetUnlisted(): void {
    if (this.#brokers.size === this.#listed.size) return;
    const leaders = new Set<number>();
    for (const { partitions } of this.#metadata.values()) {
      for (const { leaderId } of partitions) leaders.add(leaderId);
    }
    for (const [nodeId, broker] of this.#brokers) {
      const isUsed = broker.connection !== undefined || broker.connecting || leaders.has(nodeId);
      if (!this.#listed.has(nodeId) && !isUsed) this.#brokers.delete(nodeId);
    }
  }

  /**
   * Ends the connection of a frozen broker as soon as others know that it is out of the game, rather than after
   * `requestTimeoutMs`. Nothing goes to a new leader before what is in flight to the old one has failed.
   */
  #dropOvertaken(answerer: Broker): void {
    for (const broker of [...this.#brokers.values()]) {
      const { connection, nodeId } = broker;
      if (connection === undefined || broker === answerer || !this.#isSilent(broker)) continue;
      if (this.#listed.has(nodeId) && this.#listener.isOvertaken?.(nodeId) !== true) continue;
      const name = formatAddress(broker.address);
      const message = `The broker at ${name} has not answered for ${Math.round(connection.silentMs)} ms, and ` +
        `${formatAddress(answerer.address)} says that it leads no more.`;
      connection.destroy(new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker: name }));
    }
  }

  #isSilent({ connection }: Broker): boolean {
    return connection !== undefined && connection.silentMs >= this.#silenceMs;
  }

  /** Rebootstrap: every connection is closed, nobody leads anything, and, if need be, no broker is known any more. */
  #startOver(reason: string, forget: boolean): void {
    this.#starts += 1;
    for (const server of this.#bootstrap) server.release()?.close();
    for (const broker of [...this.#brokers.values()]) {
      if (forget) broker.close();
      else broker.connection?.close();
    }
    if (forget) {
      this.#brokers.clear();
      this.#clusterId = undefined;
      this.#listed = new Set();
    }
    this.#metadata.forgetLeaders();
    this.#listener.onRebootstrap?.(reason);
  }

  /** A broker's address leads to somebody else: what is known is of a time that is over. */
  #onMisplaced(broker: Broker): void {
    if (this.#brokers.get(broker.nodeId) !== broker || this.#closing.signal.aborted) return;
    this.#startOver(`${formatAddress(broker.address)} is not node ${broker.nodeId} of this cluster`, true);
    // Servers that go on to name it would lead us there again and again.
    const nowMs = this.#runtime.now();
    this.#misplacements = nowMs - this.#misplacedAtMs > MISPLACEMENTS_IN_A_ROW_MS ? 0 : this.#misplacements + 1;
    this.#misplacedAtMs = nowMs;
    if (this.#misplacements > 0) {
      const waitMs = Math.max(LEAST_BACKOFF_MS, this.#refreshBackoff.delayMs(this.#misplacements));
      this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + waitMs);
    }
    void this.requestUpdate();
  }

  #restore({ bootstrap, clusterId, takenAtMs, brokers, topics }: ClusterSnapshot): void {
    const own = new Set(this.#bootstrap.map(({ address }) => formatAddress(address)));
    // Another cluster's, perhaps: its brokers would take our records just as well.
    if (bootstrap.length !== own.size || bootstrap.some((server) => !own.has(server))) return;
    for (const broker of brokers) {
      const versions = versionsOf(broker);
      if (versions.size > 0) this.#greetings.of(broker).offers = versions;
    }
    const { metadataMaxAgeMs } = this.#options;
    const ageMs = Math.max(0, this.#runtime.wallNow() - takenAtMs);
    if (ageMs >= metadataMaxAgeMs || brokers.length === 0) return;
    this.#heardAtMs = takenAtMs;
    this.#clusterId = clusterId;
    for (const { nodeId, host, port } of brokers) this.#place(nodeId, { host, port }, bootstrap[0]!);
    this.#listed = new Set(this.#brokers.keys());
    for (const topic of topics) {
      const known = this.#metadata.add(topic.name, this.#runtime.now());
      Object.assign(known, { topicId: topic.topicId, partitions: partitionsOf(topic), unproven: true });
    }
    this.#isRestored = true;
  }

  /** Not when it is restored: a Worker's modules know no time while they are loaded, and may set no timer. */
  #watchRestored(): void {
    const ageMs = this.#runtime.wallNow() - this.#heardAtMs;
    this.#watchAge(Math.max(0, this.#options.metadataMaxAgeMs - Math.max(0, ageMs)));
  }

  /** Takes in where a broker listens, and who says so. */
  #place(nodeId: number, address: Address, by: string): void {
    const known = this.#brokers.get(nodeId);
    const name = formatAddress(address);
    if (known !== undefined && formatAddress(known.address) === name) return;
    const broker = known ?? this.#newBroker(nodeId, address);
    this.#brokers.set(nodeId, broker);
    broker.moveTo(address);
    // The user himself has written that address down: nobody has to be asked about it.
    broker.advertisedBy = this.#serverNames.has(name) ? undefined : by;
  }

  /** The connection that brought the first metadata serves on for the broker that it turned out to be. */
  #adoptBootstrap(): void {
    for (const server of this.#bootstrap) {
      if (server.connection === undefined) continue;
      const name = formatAddress(server.address);
      const broker = this.#known().find(({ address }) => formatAddress(address) === name);
      if (broker === undefined) continue;
      const connection = server.release()!;
      this.#turns.set(broker, Math.max(this.#turns.get(broker) ?? 0, this.#turns.get(server) ?? 0));
      if (!broker.adopt(connection)) connection.close();
    }
  }

  #candidates(): Broker[] {
    // One address, one backoff: a bootstrap server that is a known broker isn't dialled beside it.
    const known = new Set(this.#known().map(({ address }) => formatAddress(address)));
    const servers = this.#bootstrap.filter(({ connection, address }) =>
      connection !== undefined || !known.has(formatAddress(address))
    );
    return this.#ordered([...this.#known(), ...servers]);
  }

  #ordered(brokers: readonly Broker[]): Broker[] {
    const servers = new Set(this.#bootstrap.map(({ address }) => formatAddress(address)));
    return tourOrder(brokers, {
      random: () => this.#runtime.random(),
      isServer: ({ address }) => servers.has(formatAddress(address)),
      isSilent: (broker) => this.#isSilent(broker),
    });
  }

  #known(): Broker[] {
    return [...this.#listed].map((nodeId) => this.#brokers.get(nodeId)!);
  }

  #watchAge(delayMs: number): void {
    this.#isRestored = false;
    this.#ageTimer?.cancel();
    if (this.#closing.signal.aborted) return;
    this.#ageTimer = this.#runtime.setTimer(() => void this.requestUpdate(), delayMs);
  }

  #newBroker(nodeId: number, address: Address): Broker {
    return new Broker(this.#runtime, nodeId, address, this.#brokerOptions, this.#context);
  }

  #unreachable(error: KafkaError): KafkaError {
    if (this.#listed.size > 0 || error instanceof AuthenticationError || error instanceof ConfigError) return error;
    return new ConnectionError(`No broker can be reached. ${error.message}`, { cause: error.cause ?? error });
  }
}

function newRefresh(): Refresh {
  let end: Refresh["end"] = () => {};
  const ended = new Promise<KafkaError | undefined>((resolve) => end = resolve);
  return { ended, end };
}

function closedError(): KafkaError {
  return new ConnectionError("The client was closed.", { code: "CLIENT_CLOSED", retriable: false });
}
