/**
 * Connections that somebody else has opened, before anybody listens to them: streams of Node, streams of the web, and
 * what a {@link SocketFactory} opens.
 *
 * Until a wire is started it can be read and written piece by piece, as proxies want it, and made to speak TLS.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { ConfigError, ConnectionError } from "../errors.ts";
import { show } from "../show.ts";
import { builtinModule, isWorkerd } from "./builtin.ts";
import { formatAddress, KEEP_ALIVE_MS, lostError } from "./dial.ts";
import { nodeSink, nodeTls, translateTls } from "./node_tls.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, Socket, SocketEvents, SocketFactory } from "./runtime.ts";
import { tlsOptions, unusableTls } from "./tls.ts";
import { isTlsRefusal } from "./tls_refusal.ts";

/** A connection that is open. */
export interface Wire {
  /** True when it speaks TLS by itself. */
  readonly isSecure: boolean;
  /** Resolves when bytes can go. */
  opened(): Promise<void>;
  /** The next bytes, as they come; undefined when there will be none. */
  read(): Promise<Uint8Array | undefined>;
  /** Sends bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Speaks TLS from here on, with the broker of the options. */
  startTls(options: ConnectOptions): Promise<Wire>;
  /** Hands the connection over to somebody who listens. */
  start(options: ConnectOptions, events: SocketEvents): Socket & {
    /** Gives it up without a word to its owner. */
    abandon(): void;
  };
  /** Gives it up. */
  abandon(): void;
}

interface Abandonable {
  /** Gives it up without a word to its owner. */
  abandon(): void;
}

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

/** What is used of streams of the web, as those of `cloudflare:sockets`, service bindings and `Deno.Conn` are. */
export interface ByteStreams {
  /** What comes from the broker. */
  readonly readable: unknown;
  /** What goes to it. */
  readonly writable: unknown;
  /** Settles when the connection is there, or isn't. @default it is there */
  readonly opened?: PromiseLike<unknown>;
  /** Settles when it has ended. */
  readonly closed?: PromiseLike<unknown>;
  /** Must be `"on"` when TLS was asked for: streams that say nothing are taken for plain, and refused. */
  readonly secureTransport?: string;
  /** Ends it. */
  close?(): unknown;
  /** Speaks TLS from here on; for those that were opened with `"starttls"`. */
  startTls?(options?: { readonly expectedServerHostname?: string }): ByteStreams;
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
    const queue = new QueueSocket(nodeSink(stream), events);
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

interface Reader {
  read(view?: Uint8Array<ArrayBuffer>): Promise<{ value?: unknown; done: boolean }>;
  cancel(): Promise<void>;
  releaseLock(): void;
}

interface Writer {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
  releaseLock(): void;
}

/** Streams of the web. */
export class WebWire implements Wire {
  readonly #streams: ByteStreams;
  readonly #reader: Reader;
  readonly #writer: Writer;
  /** Its default reader gives 4 KB at a time on workerd, which is 6 to 9 times slower. */
  readonly #readsInto: boolean;
  #buffer = new ArrayBuffer(64 << 10);
  #isWriting = false;

  constructor(streams: ByteStreams) {
    this.#streams = streams;
    const { readable } = streams as { readable: { getReader(options?: { mode: "byob" }): Reader } };
    const { writable } = streams as { writable: { getWriter(): Writer } };
    // The reading has the reason.
    Promise.resolve(streams.closed).catch(() => {});
    [this.#reader, this.#readsInto] = readerOf(readable);
    this.#writer = writable.getWriter();
  }

  get isSecure(): boolean {
    return this.#streams.secureTransport === "on";
  }

  async opened(): Promise<void> {
    await this.#streams.opened;
  }

  async read(): Promise<Uint8Array | undefined> {
    if (!this.#readsInto) {
      const { value, done } = await this.#reader.read();
      return done ? undefined : bytesOf(value);
    }
    const { value, done } = await this.#reader.read(new Uint8Array(this.#buffer)) as {
      value?: Uint8Array<ArrayBuffer>;
      done: boolean;
    };
    if (done || value === undefined) return undefined;
    this.#buffer = value.buffer;
    return value;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes);
  }

  async startTls(options: ConnectOptions): Promise<Wire> {
    const streams = this.#streams;
    if (streams.startTls === undefined) {
      throw new ConfigError("connect", "Let what is connected speak TLS by itself: its streams have no startTls().");
    }
    this.#reader.releaseLock();
    this.#writer.releaseLock();
    const wire = new WebWire(streams.startTls({ expectedServerHostname: options.host }));
    await wire.opened();
    return wire;
  }

  start(options: ConnectOptions, events: SocketEvents): Socket & Abandonable {
    const fail = (error: unknown): void => queue.ended(lostError(options, error, isTlsRefusal));
    const sink: SegmentSink = {
      gathers: false,
      send: (segments, done) => void this.#writeAll(segments).then(done, fail),
      shutdown: () => void this.#writer.close().catch(fail),
      kill: () => this.abandon(),
    };
    const queue = new QueueSocket(sink, events);
    void this.#readAll(queue).then(() => queue.ended(), fail);
    return queue;
  }

  /** Nobody waits for it: on a socket that is still connecting it may never settle. */
  abandon(): void {
    try {
      if (this.#streams.close !== undefined) return void Promise.resolve(this.#streams.close()).catch(() => {});
      // Mere streams: what is being written is dropped, else the peer is told of an orderly end.
      (this.#isWriting ? this.#writer.abort() : this.#writer.close()).catch(() => {});
      this.#reader.cancel().catch(() => {});
    } catch {
      // it has closed itself after an error
    }
  }

  async #writeAll(segments: readonly Uint8Array[]): Promise<void> {
    this.#isWriting = true;
    for (const segment of segments) await this.#writer.write(segment);
    this.#isWriting = false;
  }

  async #readAll(queue: QueueSocket): Promise<void> {
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) queue.received(chunk);
  }
}

/** A reader that fills a buffer of ours where the stream has one. */
function readerOf(readable: { getReader(options?: { mode: "byob" }): Reader }): [Reader, boolean] {
  try {
    return [readable.getReader({ mode: "byob" }), true];
  } catch {
    return [readable.getReader(), false];
  }
}

/** What a {@link SocketFactory} has opened: its events are kept until somebody listens. */
export class SocketWire implements Wire {
  readonly isSecure: boolean = false;
  readonly #socket: Socket;
  readonly #relay: Relay;

  constructor(socket: Socket, relay: Relay) {
    this.#socket = socket;
    this.#relay = relay;
  }

  static async open(factory: SocketFactory, options: ConnectOptions): Promise<SocketWire> {
    const relay = new Relay();
    return new SocketWire(await factory.connect(options, relay), relay);
  }

  opened(): Promise<void> {
    return Promise.resolve();
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#relay.read();
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#socket.write(bytes)) await this.#socket.drained();
  }

  /** Node's TLS takes any stream of Node; so this one is made to look like one. */
  async startTls(options: ConnectOptions): Promise<Wire> {
    const streams = builtinModule<typeof import("node:stream")>("node:stream");
    if (streams === undefined || builtinModule("node:tls") === undefined) {
      const message =
        'Pass "connect" a function, such as that of cloudflare:sockets, for TLS through a proxy: of the ' +
        "present sockets none can begin to speak TLS later on.";
      throw new ConfigError("connect", message);
    }
    const socket = this.#socket;
    const duplex = new streams.Duplex({
      read: () => {},
      write(chunk: Uint8Array, _, done) {
        // A copy: TLS uses its buffers again.
        if (socket.write(chunk.slice())) done();
        else void socket.drained().then(() => done());
      },
      final(done) {
        socket.close();
        done();
      },
      destroy(error, done) {
        socket.destroy();
        done(error);
      },
    });
    this.#relay.to({
      onData: (chunk) => void duplex.push(chunk.slice()),
      onClose: (error) => error === undefined ? void duplex.push(null) : void duplex.destroy(error),
    });
    return await new NodeWire(duplex).startTls(options);
  }

  start(_: ConnectOptions, events: SocketEvents): Socket & Abandonable {
    this.#relay.to(events);
    return new Adopted(this.#socket, () => this.abandon());
  }

  abandon(): void {
    this.#relay.to({ onData: () => {}, onClose: () => {} });
    this.#socket.destroy();
  }
}

/** A socket that can be given up. */
class Adopted implements Socket, Abandonable {
  readonly #socket: Socket;
  readonly abandon: () => void;

  constructor(socket: Socket, abandon: () => void) {
    this.#socket = socket;
    this.abandon = abandon;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedBytes;
  }

  get unsentBytes(): number {
    return this.#socket.unsentBytes ?? 0;
  }

  write(parts: Uint8Array | readonly Uint8Array[]): boolean {
    return this.#socket.write(parts);
  }

  drained(): Promise<void> {
    return this.#socket.drained();
  }

  close(): void {
    this.#socket.close();
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  unref(): void {
    this.#socket.unref?.();
  }
}

/** Keeps what a socket tells until it is known whom to tell it. */
export class Relay implements SocketEvents {
  #target: SocketEvents | undefined;
  readonly #chunks: Uint8Array[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #wake: () => void = () => {};

  onData(chunk: Uint8Array): void {
    if (this.#target !== undefined) return this.#target.onData(chunk);
    this.#chunks.push(chunk.slice());
    this.#wake();
  }

  onClose(error?: Error): void {
    if (this.#target !== undefined) return this.#target.onClose(error);
    this.#end = { error };
    this.#wake();
  }

  async read(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return chunk;
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** From now on, and with what was kept. */
  to(target: SocketEvents): void {
    this.#target = target;
    for (const chunk of this.#chunks.splice(0)) target.onData(chunk);
    const end = this.#end;
    if (end !== undefined) void Promise.resolve().then(() => target.onClose(end.error));
  }
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  const message = `Let the stream that "connect" has opened give bytes, without an encoding: ${show(chunk)} is none.`;
  throw new ConnectionError(message, { retriable: false });
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

/** The error of an attempt that was given up. */
export function givenUp(options: ConnectOptions): ConnectionError {
  const broker = formatAddress(options);
  return new ConnectionError(`Connecting to "${broker}" was given up`, { broker });
}
