/**
 * A network in memory: addresses that listen, connections with latency, chunks of any size, resets and black holes.
 *
 * It is as unkind as the contract of {@link SocketEvents} and {@link Socket} allows. Written parts are read as late as
 * possible, so that a change after `write()` is seen on the other side as it is with Node's sockets, and a chunk that
 * was handed to `onData` is overwritten after the call.
 *
 * @module
 */

import { ConfigError, ConnectionError } from "../../errors.ts";
import type { ConnectOptions, Runtime, Socket, SocketEvents, SocketFactory } from "../../runtime/runtime.ts";

/** How the bytes of one delivery are cut before they are handed over. */
export type Chunking = "whole" | "random" | "bytes";

/** Time and chance, all that the network takes from a runtime. */
export type NetworkRuntime = Pick<Runtime, "setTimer" | "defer" | "random" | "now">;

/** How a {@link MemoryNetwork} behaves. */
export interface MemoryNetworkOptions {
  /** How long bytes take one way, in ms, or a function that is asked for each delivery. @default 0 */
  readonly latencyMs?: number | (() => number);
  /** `"whole"`: up to 64 KB at once, `"random"`: cut at random places, `"bytes"`: one by one. @default "whole" */
  readonly chunking?: Chunking;
  /** Overwrites a chunk after `onData`, to catch who keeps it. @default true */
  readonly scribble?: boolean;
  /** When written bytes are read: when they arrive, as late as Node may, or at once. @default "arrival" */
  readonly snapshot?: "arrival" | "write";
}

/** What a listening address does with a connection: it takes the socket and says who is told of its bytes. */
export type Accept = (socket: Socket) => SocketEvents;

const CHUNK_SIZE = 65_536;
const HIGH_WATER = 1_048_576;
const SCRIBBLE = 0xdb;

/** Connects the clients and the brokers of one test. */
export class MemoryNetwork {
  /** Dials the addresses that listen here. */
  readonly sockets: SocketFactory;
  readonly #runtime: NetworkRuntime;
  readonly #listeners = new Map<string, Accept>();
  readonly #holes = new Set<string>();
  /** Those who dial into a black hole. */
  readonly #dialling = new Map<string, Set<() => void>>();
  readonly #slow = new Map<string, number>();
  readonly #links = new Set<Link>();
  #options: Required<MemoryNetworkOptions>;
  #dials = 0;

  /** A network on a runtime's clock, real or virtual. */
  constructor(runtime: NetworkRuntime, options: MemoryNetworkOptions = {}) {
    this.#runtime = runtime;
    this.#options = { latencyMs: 0, chunking: "whole", scribble: true, snapshot: "arrival", ...options };
    this.sockets = {
      name: "memory",
      can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
      connect: (options, events) => this.#connect(options, events),
    };
  }

  /** How many connections are open. */
  get openConnections(): number {
    return this.#links.size;
  }

  /** How many connections were asked for since the start, refused ones included. */
  get dials(): number {
    return this.#dials;
  }

  /** Changes the behaviour from now on, for open connections too. */
  configure(options: MemoryNetworkOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Listens on `host:port`; an address that nobody listens on refuses. Returns the call that ends it. */
  listen(address: string, accept: Accept): () => void {
    if (this.#listeners.has(address)) {
      throw new ConfigError("listen", `Listen on "${address}" failed, it is taken.`);
    }
    this.#listeners.set(address, accept);
    return () => void (this.#listeners.get(address) === accept && this.#listeners.delete(address));
  }

  /** Resets every open connection to an address, or all. */
  reset(address?: string): void {
    for (const link of [...this.#links]) {
      if (address === undefined || link.address === address) link.reset();
    }
  }

  /** From now on nothing goes to or comes from an address, and no error tells of it, until {@link heal}. */
  blackHole(address: string): void {
    this.#holes.add(address);
    for (const link of this.#links) {
      if (link.address === address) link.held = true;
    }
  }

  /** Ends a black hole: what was written or dialled meanwhile arrives now, as TCP would see to. */
  heal(address: string): void {
    this.#holes.delete(address);
    for (const link of this.#links) {
      if (link.address === address) link.release();
    }
    const dialling = this.#dialling.get(address) ?? [];
    this.#dialling.delete(address);
    for (const arrive of dialling) arrive();
  }

  /**
   * Slows the link to one address: from now on its bytes, and dials, take so many ms longer each way. 0 ends it.
   *
   * @example
   * ```ts
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * const cluster = new EmbeddedCluster({ brokers: 3, topics: { orders: 3 } });
   * cluster.network.slow("broker-2.test:9092", 200);
   * ```
   */
  slow(address: string, addedMs: number): void {
    this.#slow.set(address, addedMs);
  }

  /** @internal */
  get runtime(): NetworkRuntime {
    return this.#runtime;
  }

  /** @internal */
  get options(): Required<MemoryNetworkOptions> {
    return this.#options;
  }

  /** @internal */
  latencyMs(address: string): number {
    const { latencyMs } = this.#options;
    return (typeof latencyMs === "number" ? latencyMs : latencyMs()) + (this.#slow.get(address) ?? 0);
  }

  /** Calls back after the latency of one way. */
  #later(address: string, callback: () => void): void {
    const latencyMs = this.latencyMs(address);
    if (latencyMs > 0) this.#runtime.setTimer(callback, latencyMs);
    else this.#runtime.defer(callback);
  }

  #connect(options: ConnectOptions, events: SocketEvents): Promise<Socket> {
    const address = `${options.host}:${options.port}`;
    this.#dials++;
    if (options.tls) {
      return Promise.reject(new ConfigError("tls", `Connect to "${address}" failed, TLS is not spoken in memory.`));
    }
    return new Promise((resolve, reject) => {
      const fail = (why: string, cause?: unknown): void => {
        settle();
        reject(new ConnectionError(`Connect to "${address}" failed, ${why}.`, { broker: address, cause }));
      };
      const onAbort = (): void => fail("the attempt was given up", options.signal?.reason);
      let settled = false;
      const arrive = (): void => {
        if (settled) return;
        if (this.#holes.has(address)) return this.#waitThere(address, arrive);
        const accept = this.#listeners.get(address);
        if (accept === undefined) return this.#later(address, () => settled || fail("it was refused"));
        this.#later(address, () => {
          if (settled) return;
          settle();
          resolve(this.#open(address, accept, events));
        });
      };
      const settle = (): void => {
        settled = true;
        this.#dialling.get(address)?.delete(arrive);
        deadline?.cancel();
        options.signal?.removeEventListener("abort", onAbort);
      };
      const deadline = options.timeoutMs === undefined
        ? undefined
        : this.#runtime.setTimer(() => fail(`no answer came within ${options.timeoutMs} ms`), options.timeoutMs);
      if (options.signal?.aborted) return onAbort();
      options.signal?.addEventListener("abort", onAbort);
      this.#later(address, arrive);
    });
  }

  #waitThere(address: string, arrive: () => void): void {
    const dialling = this.#dialling.get(address) ?? new Set();
    this.#dialling.set(address, dialling.add(arrive));
  }

  #open(address: string, accept: Accept, events: SocketEvents): Socket {
    const link: Link = new Link(this, address, () => void this.#links.delete(link));
    this.#links.add(link);
    link.client.events = events;
    link.server.events = accept(link.server);
    if (this.#holes.has(address)) link.held = true;
    return link.client;
  }
}

/** Both directions of one connection. */
class Link {
  readonly address: string;
  readonly client: MemorySocket;
  readonly server: MemorySocket;
  held = false;
  readonly #ended: () => void;

  constructor(network: MemoryNetwork, address: string, ended: () => void) {
    this.address = address;
    this.#ended = ended;
    this.client = new MemorySocket(network, this);
    this.server = new MemorySocket(network, this);
    this.client.peer = this.server;
    this.server.peer = this.client;
  }

  /** Both ends learn of a reset at once, as if a machine in between had sent it. */
  reset(): void {
    const error = new ConnectionError(`Connection to "${this.address}" was reset.`, { broker: this.address });
    this.client.end(error);
    this.server.end(error);
  }

  release(): void {
    this.held = false;
    this.client.pump();
    this.server.pump();
  }

  endOf(_socket: MemorySocket): void {
    if (this.client.isClosed && this.server.isClosed) this.#ended();
  }
}

type Event = { readonly bytes: Uint8Array } | { readonly end: true; readonly error: Error | undefined };

/** One end of a connection: it keeps what it has sent until the other end has it. */
class MemorySocket implements Socket {
  peer!: MemorySocket;
  events!: SocketEvents;
  readonly #network: MemoryNetwork;
  readonly #link: Link;
  #outgoing: Event[] = [];
  #bufferedBytes = 0;
  #unsentAtEnd: number | undefined;
  #scheduled = false;
  #arrivals: { readonly atMs: number; readonly count: number }[] = [];
  #lastArrivalMs = 0;
  #closing = false;
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(network: MemoryNetwork, link: Link) {
    this.#network = network;
    this.#link = link;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** What has not arrived when the connection ends never will. */
  get unsentBytes(): number {
    return this.#unsentAtEnd ?? this.#bufferedBytes;
  }

  write(parts: Uint8Array | readonly Uint8Array[]): boolean {
    if (this.#closing || this.#closed) return true;
    for (const part of parts instanceof Uint8Array ? [parts] : parts) {
      if (part.length === 0) continue;
      this.#outgoing.push({ bytes: this.#network.options.snapshot === "write" ? new Uint8Array(part) : part });
      this.#bufferedBytes += part.length;
    }
    this.#schedule();
    return this.#bufferedBytes <= HIGH_WATER;
  }

  drained(): Promise<void> {
    if (this.#closed || this.#bufferedBytes <= HIGH_WATER) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  close(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#outgoing.push({ end: true, error: undefined });
    this.#schedule();
  }

  destroy(error?: Error): void {
    if (this.#closed) return;
    const peer = this.peer;
    const address = this.#link.address;
    this.#outgoing = [{
      end: true,
      error: new ConnectionError(`Connection to "${address}" was reset by the other side.`, { broker: address }),
    }];
    this.#arrivals = [];
    peer.#outgoing = [];
    peer.#arrivals = [];
    this.end(error);
    this.#schedule();
  }

  /** This end is over; its owner hears of it in a turn of its own, whoever was the reason. */
  end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsentAtEnd = this.#bufferedBytes;
    this.#bufferedBytes = 0;
    this.#network.runtime.defer(() => this.events.onClose(error));
    this.#wake();
    this.#link.endOf(this);
  }

  /** Writes of one turn travel together; a later one never overtakes. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#network.runtime.defer(() => {
      this.#scheduled = false;
      const departed = this.#arrivals.reduce((sum, { count }) => sum + count, 0);
      const count = this.#outgoing.length - departed;
      if (count === 0) return;
      const nowMs = this.#network.runtime.now();
      const latencyMs = this.#network.latencyMs(this.#link.address);
      this.#lastArrivalMs = Math.max(this.#lastArrivalMs, nowMs + latencyMs);
      this.#arrivals.push({ atMs: this.#lastArrivalMs, count });
      if (this.#lastArrivalMs > nowMs) {
        const atMs = this.#lastArrivalMs;
        this.#network.runtime.setTimer(() => this.pump(atMs), atMs - nowMs);
      } else {
        this.pump();
      }
    });
  }

  /** Hands over what has arrived by then. A real timer may fire a little before its time. */
  pump(untilMs: number = this.#network.runtime.now()): void {
    if (this.#link.held) return;
    while (this.#arrivals.length > 0 && this.#arrivals[0]!.atMs <= untilMs) {
      const { count } = this.#arrivals.shift()!;
      const arrived = this.#outgoing.splice(0, count);
      const end = arrived.at(-1)!;
      this.#deliver(arrived.flatMap((event) => "bytes" in event ? [event.bytes] : []));
      if ("end" in end) this.#deliverEnd(end.error);
    }
  }

  /** Bytes of several writes share a chunk, as they do in a socket's receive buffer. */
  #deliver(parts: readonly Uint8Array[]): void {
    const { chunking, scribble } = this.#network.options;
    const totalBytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#bufferedBytes = Math.max(0, this.#bufferedBytes - totalBytes);
    const buffer = new Uint8Array(Math.min(totalBytes, CHUNK_SIZE));
    let filled = 0;
    for (const part of parts) {
      for (let start = 0; start < part.length;) {
        const taken = Math.min(part.length - start, buffer.length - filled);
        buffer.set(part.subarray(start, start + taken), filled);
        start += taken;
        filled += taken;
        if (filled === buffer.length) {
          this.#handOver(buffer, filled, chunking, scribble);
          filled = 0;
        }
      }
    }
    if (filled > 0) this.#handOver(buffer, filled, chunking, scribble);
    if (this.#bufferedBytes <= HIGH_WATER) this.#wake();
  }

  #handOver(buffer: Uint8Array, length: number, chunking: Chunking, scribble: boolean): void {
    for (let start = 0; start < length && !this.peer.#closed;) {
      const end = start + this.#chunkSize(chunking, length - start);
      const chunk = buffer.subarray(start, end);
      this.peer.events.onData(chunk);
      if (scribble) chunk.fill(SCRIBBLE);
      start = end;
    }
  }

  #chunkSize(chunking: Chunking, rest: number): number {
    if (chunking === "bytes") return 1;
    if (chunking === "whole") return rest;
    return 1 + Math.floor(this.#network.runtime.random() * rest);
  }

  /** The other end closes too: Kafka's connections are never half open. */
  #deliverEnd(error: Error | undefined): void {
    this.peer.end(error);
    if (!this.#closed) this.end();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}
