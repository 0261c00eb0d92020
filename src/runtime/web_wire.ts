/**
 * A connection that is a pair of streams of the web, as `cloudflare:sockets`, service bindings and `Deno.Conn` have them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { lostError } from "./dial.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, Socket, SocketEvents } from "./runtime.ts";
import { isTlsRefusal } from "./tls_refusal.ts";
import { type Abandonable, bytesOf, type Wire } from "./wire.ts";

/** One buffer for all reads of a stream. */
const READ_BYTES = 64 << 10;

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
  #buffer = new ArrayBuffer(READ_BYTES);
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
    // Copies: a stream of a library may be done with a write and hold its bytes, and segments are used again.
    for (const segment of segments) await this.#writer.write(segment.slice());
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
