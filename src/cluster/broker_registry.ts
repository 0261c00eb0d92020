/**
 * The servers and brokers of a cluster: which there are, where each listens, and whom to ask first.
 *
 * @module
 */

import { ConfigError, type KafkaError } from "../errors.ts";
import { type Address, formatAddress } from "./address.ts";
import type { Broker } from "./broker.ts";
import type { BrokerHealth } from "./health.ts";
import { orderToAsk } from "./order_to_ask.ts";

/** What an answer tells of a broker. */
export interface ListedBroker {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** What the registry needs to make brokers and to choose between them. */
export interface RegistryContext {
  readonly random: () => number;
  /** How long a broker may owe an answer without a sign of life, in ms, before it counts as silent. */
  readonly silenceMs: number;
  /** Makes a broker without a connection. */
  newBroker(nodeId: number, address: Address): Broker;
}

/** Knows every server and broker of a cluster. */
export class BrokerRegistry {
  /** The bootstrap servers, with node ids below 0: whom they turn out to be is not known. */
  readonly servers: readonly Broker[];

  readonly #context: RegistryContext;
  /** The addresses of the bootstrap servers. */
  readonly #serverNames: ReadonlySet<string>;
  /** By node id: those that the metadata lists, and those that still serve a request or lead something. */
  readonly #brokers = new Map<number, Broker>();
  readonly #separate: Set<Broker> = new Set();
  /** Whom the last metadata lists. */
  #listed: ReadonlySet<number> = new Set();
  /** When each broker was last chosen by {@link next}, counted in its calls. */
  readonly #turns: WeakMap<Broker, number> = new WeakMap();
  #turn = 0;

  /** Knows the bootstrap servers only. */
  constructor(servers: readonly Address[], context: RegistryContext) {
    this.#context = context;
    this.#serverNames = new Set(servers.map(formatAddress));
    this.servers = servers.map((address, index) => context.newBroker(-1 - index, address));
  }

  /** The brokers that the last metadata lists. */
  get listed(): Broker[] {
    return [...this.#listed].map((nodeId) => this.#brokers.get(nodeId)!);
  }

  /** True before the first metadata, and after everything was given up. */
  get isEmpty(): boolean {
    return this.#listed.size === 0;
  }

  /** True for a broker that the last metadata lists. */
  isListed(nodeId: number): boolean {
    return this.#listed.has(nodeId);
  }

  /** A broker by node id. */
  get(nodeId: number): Broker | undefined {
    return this.#brokers.get(nodeId);
  }

  /** The brokers with a node id, those included that are listed no more. */
  brokers(): Broker[] {
    return [...this.#brokers.values()];
  }

  /** All that may have a connection. */
  all(): Broker[] {
    return [...this.#brokers.values(), ...this.servers, ...this.#separate];
  }

  /** A broker with a connection of its own, beside the one that everybody shares; the caller closes it. */
  separate(nodeId: number, address: Address): Broker {
    for (const broker of this.#separate) if (broker.isClosed) this.#separate.delete(broker);
    const broker = this.#context.newBroker(nodeId, address);
    this.#separate.add(broker);
    return broker;
  }

  /** Takes in whom an answer lists, and who says so. True if anybody came or went. */
  list(brokers: readonly ListedBroker[], by: string): boolean {
    const listed = new Set(brokers.map(({ nodeId }) => nodeId));
    const changed = listed.size !== this.#listed.size || [...listed].some((nodeId) => !this.#listed.has(nodeId));
    this.#listed = listed;
    for (const broker of brokers) this.place(broker, by);
    this.#adoptServers();
    return changed;
  }

  /** Takes in where a broker listens, and who says so. */
  place({ nodeId, host, port }: ListedBroker, by: string): void {
    const address = { host, port };
    const known = this.#brokers.get(nodeId);
    const name = formatAddress(address);
    if (known !== undefined && formatAddress(known.address) === name) return;
    const broker = known ?? this.#context.newBroker(nodeId, address);
    this.#brokers.set(nodeId, broker);
    broker.moveTo(address);
    // The user himself has written that address down: nobody has to be asked about it.
    broker.advertisedBy = this.#serverNames.has(name) ? undefined : by;
  }

  /** A broker that is gone, serves no request and leads nothing is of no more use. */
  forgetUnlisted(leaders: () => ReadonlySet<number>): void {
    if (this.#brokers.size === this.#listed.size) return;
    const leading = leaders();
    for (const [nodeId, broker] of this.#brokers) {
      const isUsed = broker.isConnected || broker.connecting || leading.has(nodeId);
      if (!this.#listed.has(nodeId) && !isUsed) this.#brokers.delete(nodeId);
    }
  }

  /** Closes every connection; with `forget`, no broker is known any more but the bootstrap servers. */
  startOver(forget: boolean): void {
    for (const server of this.servers) server.release()?.close();
    for (const broker of this.brokers()) {
      if (forget) broker.close();
      else broker.connection?.close();
    }
    if (!forget) return;
    this.#brokers.clear();
    this.#listed = new Set();
  }

  /** The listed broker that was longest not chosen, a connected one if there is; undefined if none is listed. */
  next(): Broker | undefined {
    // Those that are connected first, then those that are being dialled: a start needs no more connections than these.
    const [first, ...rest] = this.ordered(this.listed);
    if (first === undefined) return undefined;
    const lastTurn = (broker: Broker): number => this.#turns.get(broker) ?? 0;
    const chosen = rest.reduce((best, other) => lastTurn(other) < lastTurn(best) ? other : best, first);
    this.choose(chosen);
    return chosen;
  }

  /** Counts as a call of {@link next} that chose this broker. */
  choose(broker: Broker): void {
    this.#turns.set(broker, ++this.#turn);
  }

  /** Whom to ask for metadata, in that order. */
  candidates(): Broker[] {
    const { listed } = this;
    // One address, one backoff: a bootstrap server that is a known broker isn't dialled beside it.
    const known = new Set(listed.map(({ address }) => formatAddress(address)));
    const servers = this.servers.filter(({ connection, address }) =>
      connection !== undefined || !known.has(formatAddress(address))
    );
    return this.ordered([...listed, ...servers]);
  }

  /** Some of them, in the order in which to try them. */
  ordered(brokers: readonly Broker[]): Broker[] {
    const servers = new Set(this.servers.map(({ address }) => formatAddress(address)));
    return orderToAsk(brokers, {
      random: this.#context.random,
      isServer({ address }) {
        return servers.has(formatAddress(address));
      },
      isSilent: (broker) => this.isSilent(broker),
    });
  }

  /** True for a broker that owes an answer and has given no sign of life for `silenceMs`. */
  isSilent({ connection }: Broker): boolean {
    return connection !== undefined && connection.silentMs >= this.#context.silenceMs;
  }

  /** True when a broker of those that the metadata lists is connected. */
  get isReached(): boolean {
    return this.listed.some(({ connection }) => connection !== undefined);
  }

  /** True when no attempt at any broker can succeed before an option or the runtime is changed. */
  get isHopeless(): boolean {
    const all = [...this.listed, ...this.servers];
    const tried = all.filter(({ lastError }) => lastError !== undefined);
    return tried.length > 0 && tried.every(({ lastError }) => lastError instanceof ConfigError) &&
      all.every(({ connection, lastError }) => connection === undefined && lastError !== undefined);
  }

  /** Those that are being dialled, or were in vain. */
  get unreached(): readonly Broker[] {
    return [...this.listed, ...this.servers].filter((broker) => {
      return broker.connection === undefined && (broker.dialledForMs > 0 || broker.lastError !== undefined);
    });
  }

  /** A broker wants to be left alone for a while. */
  get throttleError(): KafkaError | undefined {
    for (const { connection } of [...this.#brokers.values(), ...this.servers]) {
      const error = connection?.throttleError;
      if (error !== undefined) return error;
    }
    return undefined;
  }

  /** How the brokers are, those that were not dialled included. */
  health(): BrokerHealth[] {
    const servers = this.servers.filter(({ connection, connecting }) => connection !== undefined || connecting);
    return [...this.#brokers.values(), ...servers].map((broker) => broker.health);
  }

  /** The connection that brought the first metadata serves on for the broker that it turned out to be. */
  #adoptServers(): void {
    for (const server of this.servers) {
      if (server.connection === undefined) continue;
      const name = formatAddress(server.address);
      const broker = this.listed.find(({ address }) => formatAddress(address) === name);
      if (broker === undefined) continue;
      const connection = server.release()!;
      this.#turns.set(broker, Math.max(this.#turns.get(broker) ?? 0, this.#turns.get(server) ?? 0));
      if (!broker.adopt(connection)) connection.close();
    }
  }
}
