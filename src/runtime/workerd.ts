/**
 * Sockets from `cloudflare:sockets`, for Workers and Durable Objects.
 *
 * A socket belongs to the request that opened it, unless a Durable Object did. Nothing here runs when the module is
 * loaded: workerd forbids timers, randomness and connections there.
 *
 * @module
 */

import { ConfigError, ConnectionError } from "../errors.ts";
import { dial, formatAddress, lostError } from "./dial.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, SocketEvents, SocketFactory } from "./runtime.ts";
import { tlsOptions } from "./tls.ts";

/** What is used of workerd's sockets; written down here because the types must be there on every runtime. */
interface WorkerdSocket {
  readonly readable: { getReader(options: { mode: "byob" }): ByobReader };
  readonly writable: { getWriter(): Writer };
  readonly opened: Promise<unknown>;
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

interface ByobReader {
  read(view: Uint8Array<ArrayBuffer>): Promise<{ value?: Uint8Array<ArrayBuffer>; done: boolean }>;
}

interface Writer {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

interface WorkerdModule {
  connect(address: { hostname: string; port: number }, options: { secureTransport: "on" | "off" }): WorkerdSocket;
}

/** In a variable and with a word for each of them, so that bundlers for other platforms leave the import alone. */
const socketsModule = "cloudflare:sockets";

/** Sockets of workerd. Its TLS can't be configured from within a worker. */
export function workerdSockets(): SocketFactory {
  const factory: SocketFactory = {
    name: "workerd",
    can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: false },
    connect: (options, events) => dial(factory, options, (cancelled) => open(options, events, cancelled)),
  };
  return factory;
}

async function open(options: ConnectOptions, events: SocketEvents, cancelled: AbortSignal): Promise<QueueSocket> {
  let module: WorkerdModule;
  try {
    module = await import(/* webpackIgnore: true */ /* @vite-ignore */ socketsModule) as WorkerdModule;
  } catch (cause) {
    throw new ConfigError("connect", `Sockets of "workerd" run only on workerd, wanted those of the present runtime`, {
      cause,
    });
  }
  const socket = module.connect(
    { hostname: options.host, port: options.port },
    { secureTransport: tlsOptions(options) === undefined ? "off" : "on" },
  );
  socket.closed.catch(() => {}); // the read loop has the reason
  const cancel = (): void => closeQuietly(socket);
  cancelled.addEventListener("abort", cancel, { once: true });
  try {
    await socket.opened;
  } catch (cause) {
    const broker = formatAddress(options);
    const reason = (cause as Error).message;
    throw new ConnectionError(`Connecting to "${broker}" failed: ${reason} (workerd tells no more)`, { broker, cause });
  } finally {
    cancelled.removeEventListener("abort", cancel);
  }
  const fail = (error: unknown): void => queue.ended(lostError(options, error));
  const queue = new QueueSocket(workerdSink(socket, fail), events);
  void readAll(socket, queue).then(() => queue.ended(), fail);
  return queue;
}

/** Its default reader gives 4 KB at a time, which is 6 to 9 times slower. */
async function readAll(socket: WorkerdSocket, queue: QueueSocket): Promise<void> {
  const reader = socket.readable.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(64 << 10);
  while (true) {
    const { value, done } = await reader.read(new Uint8Array(buffer));
    if (done || value === undefined) return;
    queue.received(value);
    buffer = value.buffer;
  }
}

function workerdSink(socket: WorkerdSocket, fail: (error: unknown) => void): SegmentSink {
  const writer = socket.writable.getWriter();
  return {
    gathers: false,
    send: (segments, done) => void writeAll(writer, segments).then(done, fail),
    shutdown: () => void writer.close().catch(fail),
    kill: () => closeQuietly(socket),
  };
}

async function writeAll(writer: Writer, segments: readonly Uint8Array[]): Promise<void> {
  for (const segment of segments) await writer.write(segment);
}

/** Nobody waits for it: on a socket that is still connecting it may never settle. */
function closeQuietly(socket: WorkerdSocket): void {
  socket.close().catch(() => {});
}
