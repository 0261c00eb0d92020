/**
 * A connection that a {@link SocketFactory} has opened, and what is kept of it until somebody listens.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { builtinModule } from "./builtin.ts";
import { NodeWire } from "./node_wire.ts";
import type { ConnectOptions, Socket, SocketEvents, SocketFactory } from "./runtime.ts";
import type { Abandonable, Wire } from "./wire.ts";

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
      read() {},
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
      onData(chunk) {
        duplex.push(chunk.slice());
      },
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
  #wake: (() => void) | undefined;

  onData(chunk: Uint8Array): void {
    if (this.#target !== undefined) return this.#target.onData(chunk);
    this.#chunks.push(chunk.slice());
    this.#wake?.();
  }

  onClose(error?: Error): void {
    if (this.#target !== undefined) return this.#target.onClose(error);
    this.#end = { error };
    this.#wake?.();
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
