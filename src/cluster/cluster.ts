/**
 * Who leads what, and a pipe to each of them: bootstrap, metadata, brokers.
 *
 * Metadata is refreshed by one loop that starts when there is a reason and stops when there is none. A refresh is a
 * tour: the least loaded connection first, then other brokers, then the bootstrap servers; a server that is slow
 * doesn't keep the next one waiting.
 *
 * @module
 */

import { AuthenticationError, BrokerError, ConnectionError, type KafkaError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { Metadata } from "../protocol/messages/metadata.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { Backoff } from "./backoff.ts";
import { Broker } from "./broker.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { MetadataCache, type PartitionMetadata, type TopicMetadata } from "./metadata.ts";
import { sleep } from "./sleep.ts";
import { firstSuccess } from "./tour.ts";

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
}

/** Who uses the metadata. */
export interface ClusterListener {
  /** A refresh has ended, well or not. */
  onMetadata(): void;
  /** True while somebody waits for something that the metadata doesn't tell yet. */
  wantsMetadata(): boolean;
  /** True while there are records of the topic. */
  usesTopic(name: string): boolean;
}

interface Refresh {
  readonly ended: Promise<KafkaError | undefined>;
  readonly end: (error: KafkaError | undefined) => void;
}

/** A server that doesn't answer in this time is not given up, but the next one is asked too. */
const STAGGER_MS = 1_000;

/** The first Metadata version whose leader epochs can be relied upon; before, a broker may tell stale ones. */
const METADATA_WITH_EPOCHS = 9;

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
  readonly #reconnectBackoff: Backoff;
  readonly #refreshBackoff: Backoff;
  readonly #closing = new AbortController();
  #listed: ReadonlySet<number> = new Set();
  #next: Refresh | undefined;
  #running = false;
  #failures = 0;
  #equivalent = 0;
  #notBeforeMs = 0;
  #ageTimer: Timer | undefined;
  /** When each broker was last chosen by {@link anyConnection}, counted in its calls. */
  readonly #turns: WeakMap<Broker, number> = new WeakMap();
  #turn = 0;

  /** Makes a cluster without any connection. */
  constructor(runtime: Runtime, options: ClusterOptions, listener: ClusterListener) {
    this.#runtime = runtime;
    this.#options = options;
    this.#listener = listener;
    const random = (): number => runtime.random();
    this.#reconnectBackoff = new Backoff(options.reconnectBackoffMs, options.reconnectBackoffMaxMs, random);
    this.#refreshBackoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, random);
    this.#bootstrap = options.bootstrap.map((address, index) => this.#newBroker(-1 - index, address));
  }

  /** What is known of a topic that is in use; undefined if it isn't. */
  topic(name: string): TopicMetadata | undefined {
    return this.#metadata.get(name);
  }

  /** Takes a topic into use, so that refreshes ask for it. */
  use(name: string): TopicMetadata {
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
      void this.#run();
    }
    return ended;
  }

  /** Connects to the broker that was longest not asked for this, a connected one if there is. Rejects with the reason. */
  async anyConnection(): Promise<Connection> {
    if (this.#listed.size === 0) {
      const error = await this.requestUpdate();
      if (error !== undefined) throw error;
    }
    const ready = this.#ready();
    const others = this.#known().filter((broker) => broker.connection === undefined);
    const [first, ...rest] = [...ready, ...others];
    if (first === undefined) throw new ConnectionError("No broker is known.", { code: "BROKERS_UNREACHABLE" });
    const lastTurn = (broker: Broker): number => this.#turns.get(broker) ?? 0;
    const broker = rest.reduce((best, other) => lastTurn(other) < lastTurn(best) ? other : best, first);
    this.#turns.set(broker, ++this.#turn);
    return await broker.connect();
  }

  /** Moves a partition to the leader that a broker named in an error (KIP-951). True if that was news. */
  applyLeaderHint(
    name: string,
    partition: number,
    leader: { readonly leaderId: number; readonly leaderEpoch: number },
    endpoints: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[],
  ): boolean {
    for (const { nodeId, host, port } of endpoints) this.#place(nodeId, { host, port });
    const partitions = this.#metadata.get(name)?.partitions;
    const current: PartitionMetadata | undefined = partitions?.[partition];
    if (current === undefined || leader.leaderId < 0 || leader.leaderEpoch <= current.leaderEpoch) return false;
    if (!this.#brokers.has(leader.leaderId)) return false;
    partitions![partition] = { leaderId: leader.leaderId, leaderEpoch: leader.leaderEpoch };
    return true;
  }

  /** Closes every connection and ends every loop. */
  close(): void {
    this.#closing.abort();
    this.#ageTimer?.cancel();
    for (const broker of [...this.#brokers.values(), ...this.#bootstrap]) broker.close();
    this.#next?.end(closedError());
    this.#next = undefined;
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
    try {
      const [version, response] = await firstSuccess(
        this.#runtime,
        this.#candidates(),
        (broker) => this.#fetch(broker),
        STAGGER_MS,
        this.#closing.signal,
      );
      this.#failures = 0;
      // The same answer again and again means a cluster that is slow to settle: it isn't asked any faster.
      this.#equivalent = this.#merge(version, response) ? 0 : this.#equivalent + 1;
      this.#notBeforeMs = this.#runtime.now() + this.#refreshBackoff.delayMs(this.#equivalent);
      this.lastError = undefined;
      this.#watchAge();
      return undefined;
    } catch (error) {
      this.#failures += 1;
      this.#notBeforeMs = this.#runtime.now() + this.#refreshBackoff.delayMs(this.#failures);
      this.lastError = this.#unreachable(error as KafkaError);
      return this.lastError;
    }
  }

  async #fetch(broker: Broker): Promise<[version: number, ResponseOf<typeof Metadata>]> {
    const connection = await broker.connect();
    const version = connection.version(Metadata);
    const response = await connection.request(Metadata, version, {
      topics: this.#metadata.names().map((name) => ({ name })),
      allowAutoTopicCreation: this.#options.allowAutoTopicCreation,
    }, this.#options.requestTimeoutMs);
    const server = formatAddress(broker.address);
    if (response.errorCode !== 0) throw brokerError(response.errorCode, { api: "Metadata", broker: server });
    if (response.brokers.length === 0) {
      throw new BrokerError(`The broker at ${server} names no brokers; it may be starting.`, {
        code: "BROKER_NOT_AVAILABLE",
        retriable: true,
        broker: server,
      });
    }
    return [version, response];
  }

  #merge(version: number, response: ResponseOf<typeof Metadata>): boolean {
    const listed = new Set(response.brokers.map(({ nodeId }) => nodeId));
    let changed = listed.size !== this.#listed.size || [...listed].some((nodeId) => !this.#listed.has(nodeId));
    this.#listed = listed;
    for (const { nodeId, host, port } of response.brokers) this.#place(nodeId, { host, port });
    this.#adoptBootstrap();
    if (this.#metadata.merge(response.topics, version >= METADATA_WITH_EPOCHS)) changed = true;
    return changed;
  }

  #place(nodeId: number, address: Address): void {
    const broker = this.#brokers.get(nodeId);
    if (broker === undefined) this.#brokers.set(nodeId, this.#newBroker(nodeId, address));
    else broker.moveTo(address);
  }

  /** The connection that brought the first metadata serves on for the broker that it turned out to be. */
  #adoptBootstrap(): void {
    for (const server of this.#bootstrap) {
      if (server.connection === undefined) continue;
      const name = formatAddress(server.address);
      const broker = this.#known().find(({ address }) => formatAddress(address) === name);
      if (broker === undefined) continue;
      const connection = server.release()!;
      if (!broker.adopt(connection)) connection.close();
    }
  }

  #candidates(): Broker[] {
    const ready = this.#ready();
    const others = this.#known().filter((broker) => broker.connection === undefined);
    const patient = others.filter((broker) => !broker.backingOff);
    const backingOff = others.filter((broker) => broker.backingOff);
    // One address, one backoff: a bootstrap server that is a known broker isn't dialled beside it.
    const known = new Set(this.#known().map(({ address }) => formatAddress(address)));
    const servers = this.#bootstrap.filter(({ connection, address }) =>
      connection === undefined && !known.has(formatAddress(address))
    );
    return [...ready, ...this.#shuffled(patient), ...this.#shuffled(servers), ...backingOff];
  }

  /** Brokers and bootstrap servers with a connection, the least loaded first. */
  #ready(): Broker[] {
    return [...this.#known(), ...this.#bootstrap]
      .filter((broker) => broker.connection !== undefined)
      .sort((a, b) => a.connection!.inFlight - b.connection!.inFlight);
  }

  #known(): Broker[] {
    return [...this.#listed].map((nodeId) => this.#brokers.get(nodeId)!);
  }

  #shuffled<T>(items: T[]): T[] {
    for (let last = items.length - 1; last > 0; last--) {
      const other = Math.floor(this.#runtime.random() * (last + 1));
      [items[last], items[other]] = [items[other]!, items[last]!];
    }
    return items;
  }

  #watchAge(): void {
    this.#ageTimer?.cancel();
    if (this.#closing.signal.aborted) return;
    this.#ageTimer = this.#runtime.setTimer(() => void this.requestUpdate(), this.#options.metadataMaxAgeMs);
  }

  #newBroker(nodeId: number, address: Address): Broker {
    return new Broker(this.#runtime, nodeId, address, this.#options, this.#reconnectBackoff);
  }

  #unreachable(error: KafkaError): KafkaError {
    if (this.#listed.size > 0 || error instanceof AuthenticationError) return error;
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
