/**
 * The seam between the client and the runtime that it runs on: sockets, time, randomness.
 *
 * The core knows nothing but these interfaces. One adapter per runtime implements {@link SocketFactory}; the
 * simulator implements {@link Runtime} in virtual time.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";

/** The runtimes that have sockets here. */
export type RuntimeName = "workerd" | "deno" | "bun" | "node";

/** What TLS needs. Text is PEM. An option that a runtime can't honour is a `ConfigError`, never dropped. */
export interface TlsOptions {
  /** Certificate authorities to trust. On Node, Bun and Deno ≥ 2.8 they replace the runtime's own. */
  readonly ca?: string | readonly string[] | undefined;
  /** The client's certificate, for mutual TLS. */
  readonly cert?: string | undefined;
  /** The client's private key. */
  readonly key?: string | undefined;
  /** The passphrase of an encrypted key. */
  readonly passphrase?: string | undefined;
  /** The name to send as SNI and to check the certificate against. @default the host that is dialled */
  readonly serverName?: string | undefined;
  /** `"full"`: chain and host name; `"ca"`: chain only; `"none"`: nothing. @default "full" */
  readonly verify?: "full" | "ca" | "none" | undefined;
}

/** Where to connect, and in how much time. */
export interface ConnectOptions {
  /** Host name or address. */
  readonly host: string;
  /** TCP port. */
  readonly port: number;
  /** Speak TLS from the first byte. */
  readonly tls?: TlsOptions | boolean;
  /** How long connecting, TLS handshake included, may take, in ms. */
  readonly timeoutMs?: number;
  /** Gives up on the attempt. */
  readonly signal?: AbortSignal;
}

/** What a socket tells its owner. */
export interface SocketEvents {
  /** Bytes have come. The chunk is BORROWED: it is valid only during the call. */
  onData(chunk: Uint8Array): void;
  /** The socket has ended, with the reason if it wasn't an orderly end. Exactly once after `connect()` resolved. */
  onClose(error?: Error): void;
}

/** A connected stream of bytes. */
export interface Socket {
  /**
   * Takes over the bytes of one frame and sends them in order. The parts must not change until the answer to the
   * frame has come: Node and Deno send the changed bytes.
   *
   * @returns false when more than the high water mark (1 MB) waits; then await `drained()`
   */
  write(parts: Uint8Array | readonly Uint8Array[]): boolean;
  /** Resolves when what waits is below the mark again, also when the socket closes. Await it only after a `false`. */
  drained(): Promise<void>;
  /** Bytes that were written and not yet handed to the operating system. */
  readonly bufferedBytes: number;
  /**
   * Bytes that were written and of which the operating system has not been given any: nobody can have received them.
   * Keeps its value when the socket ends. Without it everything that was written counts as possibly received.
   */
  readonly unsentBytes?: number;
  /** Sends what waits, then ends. Idempotent. */
  close(): void;
  /** Ends at once; what waits is dropped. Idempotent. */
  destroy(error?: Error): void;
  /**
   * From now on the process need not stay alive to hear from the peer; it stays until what was written is sent. Without
   * it a program that doesn't close its producer goes on until the connection ends.
   */
  unref?(): void;
}

/** What of TLS, and of the life of a socket, a runtime can do. */
export interface SocketCapabilities {
  /** Own certificate authorities. */
  readonly ca: boolean;
  /** A client certificate. */
  readonly clientCert: boolean;
  /** A server name other than the host. */
  readonly serverName: boolean;
  /** `verify: "ca"`. */
  readonly skipHostname: boolean;
  /** `verify: "none"`. */
  readonly insecure: boolean;
  /** A socket may outlive the request that opened it (false on workerd outside a Durable Object). */
  readonly detached: boolean;
}

/** Opens sockets. The four adapters implement it; a caller may inject its own as `options.connect`. */
export interface SocketFactory {
  /** For messages: `"node"`, `"deno"`, `"bun"`, `"workerd"`, or the name of an own one. */
  readonly name: string;
  /** What can be asked of it. */
  readonly can: SocketCapabilities;
  /**
   * Connects, TLS handshake included. Rejects with a `ConnectionError` that names host and port, with an
   * `AuthenticationError` when TLS refuses the peer, or with a `ConfigError` for TLS options that can't be honoured.
   */
  connect(options: ConnectOptions, events: SocketEvents): Promise<Socket>;
}

/** A timer that was set. */
export interface Timer {
  /** Takes it back. Nothing happens when it has fired. */
  cancel(): void;
  /** From now on the process need not stay alive for it. */
  unref?(): void;
}

/** What keeps the process alive while something is to be done. */
export interface Hold {
  /** The process stays alive until it is released. */
  hold(): void;
  /** The process may end if nothing else is to be done; it may be held again. */
  release(): void;
  /** Lets go for good. */
  end(): void;
}

/** The request that a client belongs to. */
export interface Scope {
  /** Why the client can't be used from here; undefined where it can. The first use decides whose it is. */
  refusal(): KafkaError | undefined;
}

/** Everything that the client takes from its runtime. */
export interface Runtime {
  /** `"node"`, `"deno"`, `"bun"`, `"workerd"` or `"virtual"`. */
  readonly name: string;
  /** Opens sockets. */
  readonly sockets: SocketFactory;
  /** Monotonic milliseconds from an arbitrary start, for deadlines. */
  now(): number;
  /** Milliseconds since the epoch, a whole number, for record timestamps. */
  wallNow(): number;
  /** Calls back once after the given time. */
  setTimer(callback: () => void, delayMs: number): Timer;
  /** Calls back after the current turn, so that what one turn hands over is gathered. */
  defer(callback: () => void): void;
  /**
   * While callers keep the event loop busy, sockets are looked at in one of so many turns only; 1 if left out. On
   * Deno it is one of 61 (tokio's `event_interval`).
   */
  readonly turnsPerPoll?: number | undefined;
  /** So many connections at a time a client may have here; any number if left out. */
  readonly maxConnections?: number | undefined;
  /** A number from 0 (inclusive) to 1 (exclusive), for jitter and the choice of partitions. */
  random(): number;
  /** Makes what keeps the process alive; left out where a process doesn't end by itself. */
  newHold?(): Hold;
  /** Makes what knows the request that a client belongs to; left out where I/O belongs to the process. */
  newScope?(): Scope;
}
