/**
 * Sockets from `Bun.connect`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { addressesOf, openFirst } from "./addresses.ts";
import { closedError, dial, isAddress, KEEP_ALIVE_MS, lostError } from "./dial.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, SocketEvents, SocketFactory, TlsOptions } from "./runtime.ts";
import { tlsOptions, unusableTls } from "./tls.ts";
import { isTlsRefusal } from "./tls_refusal.ts";

/** What is used of Bun's sockets; written down here because the types must be there on every runtime. */
interface BunSocket {
  /** Takes what the system takes now and says how much that was; negative when the socket is closed. */
  write(bytes: Uint8Array, byteOffset?: number, byteLength?: number): number;
  shutdown(): void;
  terminate(): void;
  setNoDelay(noDelay: boolean): boolean;
  setKeepAlive(enable: boolean, initialDelayMs?: number): boolean;
  ref(): void;
  unref(): void;
}

interface BunHandlers {
  readonly binaryType: "uint8array";
  open(socket: BunSocket): void;
  handshake?(socket: BunSocket, success: boolean, error: (Error & { code?: string }) | null): void;
  data(socket: BunSocket, chunk: Uint8Array): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket, error?: Error): void;
  error(socket: BunSocket, error: Error): void;
  connectError(socket: BunSocket, error: Error): void;
}

interface BunNamespace {
  connect(options: { hostname: string; port: number; tls?: unknown; socket: BunHandlers }): Promise<BunSocket>;
}

/** Sockets of Bun. */
export function bunSockets(): SocketFactory {
  const factory: SocketFactory = {
    name: "bun",
    can: { ca: true, clientCert: true, serverName: true, skipHostname: true, insecure: true, detached: true },
    connect: (options, events) => dial(factory, options, (cancelled) => open(options, events, cancelled), isTlsRefusal),
  };
  return factory;
}

/** So many addresses of a name Bun dials at once; the others only when all of these have failed. */
const DIALS_AT_ONCE = 4;

async function open(options: ConnectOptions, events: SocketEvents, cancelled: AbortSignal): Promise<QueueSocket> {
  const openAt = (address: string) => (cancelled: AbortSignal): Promise<QueueSocket> =>
    openAddress(options, address, events, cancelled);
  if (isAddress(options.host)) return await openAt(options.host)(cancelled);
  let first: Promise<QueueSocket>;
  return await openFirst([
    (cancelled) => first = openAt(options.host)(cancelled),
    // Four that hang must not keep the others from being tried.
    async (cancelled) => {
      const others = (await addressesOf(options.host).catch(() => [])).slice(DIALS_AT_ONCE);
      if (others.length > 0) return await openFirst(others.map(openAt), cancelled);
      await first;
      throw closedError(options);
    },
  ], cancelled);
}

function openAddress(
  options: ConnectOptions,
  address: string,
  events: SocketEvents,
  cancelled: AbortSignal,
): Promise<QueueSocket> {
  const namespace = (globalThis as { Bun?: BunNamespace }).Bun;
  if (namespace === undefined) {
    throw new ConfigError("connect", `Sockets of "bun" run only on Bun, wanted those of the present runtime`);
  }
  return new Promise((resolve, reject) => {
    const tls = tlsOptions(options);
    let queue: QueueSocket | undefined;
    let sink: BunSink | undefined;
    let failure: Error | undefined;
    const connected = (socket: BunSocket): void => {
      sink = new BunSink(socket);
      queue = new QueueSocket(sink, events);
      resolve(queue);
    };
    const handlers: BunHandlers = {
      binaryType: "uint8array",
      open(socket) {
        if (cancelled.aborted) return socket.terminate();
        cancelled.addEventListener("abort", () => socket.terminate(), { once: true });
        socket.setNoDelay(true);
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        if (tls === undefined) connected(socket);
      },
      data: (_, chunk) => queue?.received(chunk),
      drain: () => sink?.resume(),
      end: () => queue?.ended(),
      close(_, error) {
        failure ??= error;
        queue?.ended(failure && lostError(options, failure, isTlsRefusal));
        reject(failure ?? closedError(options));
      },
      error: (_, error) => void (failure ??= error),
      connectError: (_, error) => reject(error),
    };
    if (tls !== undefined) {
      handlers.handshake = (socket, success, error) => {
        const refusal = judge(options, tls, success, error);
        if (refusal === undefined) return connected(socket);
        reject(refusal);
        socket.terminate();
      };
    }
    try {
      namespace.connect({
        hostname: address,
        port: options.port,
        ...(tls === undefined ? {} : { tls: translate(options, tls) }),
        socket: handlers,
      }).catch(reject);
    } catch (cause) {
      // Thrown before anything is dialled: no second attempt will mend that.
      throw tls !== undefined && isTlsRefusal(cause) ? unusableTls(cause) : cause;
    }
  });
}

/** Bun takes at once what the system has room for, and calls `drain` when there is room again. */
class BunSink implements SegmentSink {
  readonly gathers = false;
  readonly #socket: BunSocket;
  #segments: readonly Uint8Array[] = [];
  #index = 0;
  #offset = 0;
  #done: (() => void) | undefined;
  #isUnref = false;

  constructor(socket: BunSocket) {
    this.#socket = socket;
  }

  send(segments: readonly Uint8Array[], done: () => void): void {
    this.#segments = segments;
    this.#index = 0;
    this.#offset = 0;
    this.#done = done;
    this.resume();
  }

  resume(): void {
    if (this.#done === undefined) return;
    while (this.#index < this.#segments.length) {
      const segment = this.#segments[this.#index]!;
      const written = this.#offset === 0
        ? this.#socket.write(segment)
        : this.#socket.write(segment, this.#offset, segment.byteLength - this.#offset);
      if (written < 0) return; // closed; the event follows
      this.#offset += written;
      if (this.#offset < segment.byteLength) {
        if (this.#isUnref) this.#socket.ref();
        return;
      }
      this.#index++;
      this.#offset = 0;
    }
    const done = this.#done;
    this.#done = undefined;
    this.#segments = [];
    if (this.#isUnref) this.#socket.unref();
    done();
  }

  shutdown(): void {
    this.#socket.shutdown();
  }

  /** Only while nothing waits for the system to have room again. */
  unref(): void {
    this.#isUnref = true;
    if (this.#done === undefined) this.#socket.unref();
  }

  kill(): void {
    this.#done = undefined;
    this.#segments = [];
    this.#socket.terminate();
  }
}

function translate(options: ConnectOptions, tls: TlsOptions): Record<string, unknown> {
  const name = tls.serverName ?? options.host;
  return {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key }),
    ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    serverName: isAddress(name) ? "" : name,
    rejectUnauthorized: (tls.verify ?? "full") === "full",
  };
}

/** The reason to refuse the peer, if there is one. Bun checks the name with the chain: only the code tells which. */
function judge(
  options: ConnectOptions,
  tls: TlsOptions,
  success: boolean,
  error: (Error & { code?: string }) | null,
): Error | undefined {
  if (error === null) return success ? undefined : closedError(options);
  if (tls.verify === "none") return undefined;
  if (tls.verify === "ca" && error.code === "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  return error;
}
