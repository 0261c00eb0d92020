/**
 * Sockets from `Deno.connect` and `Deno.startTls`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { builtinModule } from "./builtin.ts";
import { dial, lostError } from "./dial.ts";
import { openNode } from "./node.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, SocketEvents, SocketFactory, TlsOptions } from "./runtime.ts";
import { tlsOptions, unusableTls } from "./tls.ts";
import { isTlsRefusal } from "./tls_refusal.ts";

/** One buffer for all reads of a connection. */
const READ_BYTES = 64 << 10;

/** What is used of Deno's connections; written down here because the types must be there on every runtime. */
interface DenoConn {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  unref(): void;
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(keepAlive: boolean): void;
}

interface DenoTlsConn extends Omit<DenoConn, "setNoDelay" | "setKeepAlive"> {
  handshake(): Promise<unknown>;
}

interface DenoNamespace {
  readonly version: { readonly deno: string };
  connect(options: { hostname: string; port: number; signal?: AbortSignal }): Promise<DenoConn>;
  startTls(conn: DenoConn, options: { hostname: string; caCerts?: string[] }): Promise<DenoTlsConn>;
}

/**
 * Sockets of Deno. TLS that asks for more than the runtime's own certificate authorities goes through `node:tls`,
 * which Deno honours from 2.8 on: `Deno.startTls` ignores a client certificate, and can't leave out a check.
 */
export function denoSockets(): SocketFactory {
  const full = atLeast(deno()?.version.deno ?? "0.0", 2, 8);
  const factory: SocketFactory = {
    name: "deno",
    can: { ca: full, clientCert: full, serverName: true, skipHostname: full, insecure: full, detached: true },
    connect: (options, events) =>
      dial(factory, options, (cancelled) => {
        const tls = tlsOptions(options);
        if (tls !== undefined && !isPlain(tls)) {
          checkKey(tls);
          return openNode(options, events, cancelled).catch((error) => explained(options, tls, error));
        }
        return open(options, tls, events, cancelled);
      }, isTlsRefusal),
  };
  return factory;
}

async function open(
  options: ConnectOptions,
  tls: TlsOptions | undefined,
  events: SocketEvents,
  cancelled: AbortSignal,
): Promise<QueueSocket> {
  const namespace = deno();
  if (namespace === undefined) {
    throw new ConfigError("connect", `Sockets of "deno" run only on Deno, wanted those of the present runtime`);
  }
  const tcp = await namespace.connect({ hostname: options.host, port: options.port, signal: cancelled });
  // Without it a frame in two writes takes 44 ms. A TLS connection has no such call, hence not Deno.connectTls.
  tcp.setNoDelay(true);
  // With the system's own delay, two hours: Deno can set no other.
  tcp.setKeepAlive(true);
  if (tls === undefined) return start(tcp, options, events);

  const secure = await namespace.startTls(tcp, { hostname: tls.serverName ?? options.host });
  const cancel = (): void => closeQuietly(secure);
  cancelled.addEventListener("abort", cancel, { once: true });
  try {
    await secure.handshake();
  } catch (error) {
    closeQuietly(secure);
    throw error;
  } finally {
    cancelled.removeEventListener("abort", cancel);
  }
  return start(secure, options, events);
}

/** A certificate or key that can't be used is passed over by Deno: found here, before anything is dialled. */
function checkKey({ cert, key, passphrase }: TlsOptions): void {
  const crypto = builtinModule<typeof import("node:crypto")>("node:crypto");
  if (crypto === undefined || cert === undefined || key === undefined) return;
  try {
    new crypto.X509Certificate(cert);
    crypto.createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    throw unusableTls(cause);
  }
}

/**
 * `node:tls` of Deno has one reason for whatever is wrong with a certificate; Deno itself tells which. Throws the
 * reason: Deno's, if it refuses the certificate as well.
 */
async function explained(
  { host, port }: ConnectOptions,
  { ca, serverName }: TlsOptions,
  error: unknown,
): Promise<never> {
  const isVague = (error as { code?: unknown } | null)?.code === "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
  if (isVague && ca !== undefined) {
    const tcp = await deno()!.connect({ hostname: host, port });
    const secure = await deno()!.startTls(tcp, { hostname: serverName ?? host, caCerts: [ca].flat() });
    await secure.handshake().finally(() => closeQuietly(secure));
  }
  throw error;
}

type Conn = Pick<DenoConn, "read" | "write" | "closeWrite" | "close" | "unref">;

function start(conn: Conn, options: ConnectOptions, events: SocketEvents): QueueSocket {
  const fail = (error: unknown): void => queue.ended(lostError(options, error, isTlsRefusal));
  const queue = new QueueSocket(denoSink(conn, fail), events);
  void readAll(conn, queue).then(() => queue.ended(), fail);
  return queue;
}

async function readAll(conn: Conn, queue: QueueSocket): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let bytes = await conn.read(buffer); bytes !== null; bytes = await conn.read(buffer)) {
    queue.received(buffer.subarray(0, bytes));
  }
}

function denoSink(conn: Conn, fail: (error: unknown) => void): SegmentSink {
  return {
    gathers: false,
    send: (segments, done) => void writeAll(conn, segments).then(done, fail),
    shutdown: () => void conn.closeWrite().catch(fail),
    kill: () => closeQuietly(conn),
    // Of the reading only: a write that is under way keeps the process alive.
    unref: () => conn.unref(),
  };
}

async function writeAll(conn: Conn, segments: readonly Uint8Array[]): Promise<void> {
  for (const segment of segments) {
    let written = await conn.write(segment);
    while (written < segment.byteLength) written += await conn.write(segment.subarray(written));
  }
}

function closeQuietly(conn: Pick<DenoConn, "close">): void {
  try {
    conn.close();
  } catch {
    // it has closed itself after an error
  }
}

function isPlain(tls: TlsOptions): boolean {
  return tls.ca === undefined && tls.cert === undefined && (tls.verify ?? "full") === "full";
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function deno(): DenoNamespace | undefined {
  return (globalThis as { Deno?: DenoNamespace }).Deno;
}
