/**
 * A connection that is a stream of Node: a `net.Socket`, or what libraries for SOCKS proxies and SSH tunnels make in its
 * image.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { ConfigError, ConnectionError } from "../errors.ts";
import { show } from "../show.ts";
import { builtinModule, isWorkerd } from "./builtin.ts";
import { KEEP_ALIVE_MS, lostError } from "./dial.ts";
import { nodeSink, nodeTls, translateTls } from "./node_tls.ts";
import { QueueSocket } from "./queue_socket.ts";
import type { ConnectOptions, Socket, SocketEvents } from "./runtime.ts";
import { tlsOptions, unusableTls } from "./tls.ts";
import { isTlsRefusal } from "./tls_refusal.ts";
import { type Abandonable, bytesOf, type Wire } from "./wire.ts";

/** What is used of a stream of Node: a `net.Socket`, or what a library for SOCKS or SSH makes in its image. */
export interface NodeStream {
  /** Takes bytes. */
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  /** Ends after what was written. */
  end(): unknown;
  /** Ends at once. */
  destroy(error?: Error): unknown;
  /** Calls back for each event of a name. */
  // deno-lint-ignore no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
}

const NO_TLS_OF_NODE =
  'Open connections by connect() of "cloudflare:sockets", which can begin to speak TLS: Node\'s TLS ' +
  "over a stream is not to be had here.";

/** A stream of Node. */
export class NodeWire implements Wire {
  readonly #stream: Duplex & NodeExtras;
  readonly #release: (() => void)[] = [];

  constructor(stream: NodeStream) {
    this.#stream = stream as unknown as Duplex & NodeExtras;
    // An error that comes before anybody listens must not end the process.
    this.#on("error", () => {});
  }

  get isSecure(): boolean {
    return this.#stream.encrypted === true;
  }

  opened(): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed) {
      return Promise.reject(stream.errored ?? new ConnectionError("The stream was closed before it was used."));
    }
    if (stream.connecting !== true) return Promise.resolve();
    return this.#until(["connect"]);
  }

  async read(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk: unknown = this.#stream.read();
      if (chunk !== null) return bytesOf(chunk);
      if (this.#stream.readableEnded || this.#stream.destroyed) return undefined;
      await this.#until(["readable", "end", "close"]);
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error?: Error | null) => error ? reject(error) : resolve());
    });
  }

  async startTls(options: ConnectOptions): Promise<Wire> {
    if (isWorkerd()) throw new ConfigError("connect", NO_TLS_OF_NODE);
    const tls = tlsOptions(options) ?? {};
    let secure: Duplex;
    try {
      secure = nodeTls().connect({ socket: this.#stream, ...translateTls(options, tls) });
    } catch (cause) {
      if (isTlsRefusal(cause)) throw unusableTls(cause);
      throw cause;
    }
    const wire = new NodeWire(secure);
    await wire.#until(["secureConnect"]);
    return wire;
  }

  start(options: ConnectOptions, events: SocketEvents): Socket & Abandonable {
    const stream = this.#stream;
    for (const release of this.#release.splice(0)) release();
    stream.setNoDelay?.(true);
    stream.setKeepAlive?.(true, KEEP_ALIVE_MS);
    const net = builtinModule<typeof import("node:net")>("node:net");
    const queue = new QueueSocket(nodeSink(stream, net !== undefined && stream instanceof net.Socket), events);
    stream.on("data", (chunk: unknown) => {
      try {
        queue.received(bytesOf(chunk));
      } catch (error) {
        queue.ended(error as Error);
      }
    });
    stream.on("error", (error: Error) => queue.ended(lostError(options, error, isTlsRefusal)));
    // Not every stream closes by itself when its peer has ended.
    stream.on("end", () => queue.ended());
    stream.on("close", () => queue.ended());
    stream.resume();
    return queue;
  }

  abandon(): void {
    this.#stream.destroy();
  }

  /** Resolves at the first of the events, rejects when the stream fails, or ends before what isn't its end. */
  #until(events: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const listeners: [string, (error?: Error) => void][] = [["error", (error) => end(() => reject(error))]];
      for (const event of events) listeners.push([event, () => end(resolve)]);
      if (!events.includes("close")) {
        listeners.push(["close", () => end(() => reject(new ConnectionError("The peer closed the connection.")))]);
      }
      const end = (settle: () => void): void => {
        for (const [event, listener] of listeners) this.#stream.removeListener(event, listener);
        settle();
      };
      for (const [event, listener] of listeners) this.#stream.on(event, listener);
    });
  }

  #on(event: string, listener: () => void): void {
    this.#stream.on(event, listener);
    this.#release.push(() => this.#stream.removeListener(event, listener));
  }
}

/** What sockets have over other streams. */
interface NodeExtras {
  readonly connecting?: boolean;
  readonly encrypted?: boolean;
  readonly errored?: Error | null;
  setNoDelay?(noDelay: boolean): void;
  setKeepAlive?(enable: boolean, initialDelayMs: number): void;
}

/**
 * A connection out of a stream of Node, for the option `connect`: what libraries for SOCKS proxies or SSH tunnels open.
 * With `tls` it speaks TLS through the stream; `tls.TLSSocket`s are taken as they are.
 *
 * @example Through an SSH tunnel
 * ```ts ignore
 * import { Producer } from "@sluice/kafka";
 * import { fromNodeSocket } from "@sluice/kafka/sockets";
 *
 * const producer = new Producer({
 *   brokers: "kafka.internal:9092",
 *   connect: ({ hostname, port }) =>
 *     new Promise((resolve, reject) => {
 *       ssh.forwardOut("127.0.0.1", 0, hostname, port, (error, stream) => {
 *         if (error) reject(error);
 *         else resolve(fromNodeSocket(stream));
 *       });
 *     }),
 * });
 * ```
 *
 * @throws {ConfigError} when it isn't one
 */
export function fromNodeSocket(stream: NodeStream): Wire {
  if (!isNodeStream(stream)) {
    throw new ConfigError(
      "connect",
      `Pass fromNodeSocket a stream of Node, such as a net.Socket: ${show(stream)} is none.`,
    );
  }
  return new NodeWire(stream);
}

/** Whether something is a stream of Node that can be read and written. */
export function isNodeStream(value: unknown): value is NodeStream {
  if (typeof value !== "object" || value === null) return false;
  const { on, write, end, destroy, read } = value as Record<string, unknown>;
  return [on, write, end, destroy, read].every((method) => typeof method === "function");
}
