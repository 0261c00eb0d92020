/**
 * Sockets from `node:net` and `node:tls`.
 *
 * @module
 */

import type { NetConnectOpts } from "node:net";
import type { ConnectionOptions as TlsConnectionOptions, TLSSocket } from "node:tls";
import { ConfigError } from "../errors.ts";
import { addressesOf, openFirst } from "./addresses.ts";
import { builtinModule, isNode } from "./builtin.ts";
import { closedError, dial, KEEP_ALIVE_MS, lostError } from "./dial.ts";
import { nodeNet, nodeSink, nodeTls, translateTls } from "./node_tls.ts";
import { QueueSocket } from "./queue_socket.ts";
import type { ConnectOptions, SocketEvents, SocketFactory } from "./runtime.ts";
import { tlsOptions, unusableTls } from "./tls.ts";
import { isTlsRefusal } from "./tls_refusal.ts";

/** One buffer for all reads of a socket. */
const READ_BYTES = 64 << 10;

/**
 * Sockets of Node. They also run on Deno and Bun, which implement the same modules.
 *
 * @throws {ConfigError} on a Node that is older than 20.16
 */
export function nodeSockets(): SocketFactory {
  // Found out now, and not by each attempt to connect.
  if (isNode() && builtinModule("node:net") === undefined) {
    throw new ConfigError(
      "connect",
      `Use Node 20.16 or newer: this is Node ${process.versions.node}, which has no sockets for us.`,
    );
  }
  const factory: SocketFactory = {
    name: "node",
    can: { ca: true, clientCert: true, serverName: true, skipHostname: true, insecure: true, detached: true },
    connect: (options, events) =>
      dial(factory, options, (cancelled) => openNode(options, events, cancelled), isTlsRefusal),
  };
  return factory;
}

/**
 * One attempt, also for the TLS that Deno itself can't do.
 *
 * Node would give each address of a name 250 ms and then go on to the next for good, so that a broker further away is
 * never reached when one of its other addresses is dead. Hence the addresses are tried from here.
 */
export async function openNode(
  options: ConnectOptions,
  events: SocketEvents,
  cancelled: AbortSignal,
): Promise<QueueSocket> {
  const addresses = await addressesOf(options.host);
  return await openFirst(
    addresses.map((address) => (cancelled) => openAddress(options, address, events, cancelled)),
    cancelled,
  );
}

function openAddress(
  options: ConnectOptions,
  address: string,
  events: SocketEvents,
  cancelled: AbortSignal,
): Promise<QueueSocket> {
  return new Promise((resolve, reject) => {
    if (cancelled.aborted) throw cancelled.reason;
    let queue: QueueSocket | undefined;
    // One buffer for all reads: twice the throughput of the "data" event at a quarter of its CPU time.
    const onread = {
      buffer: new Uint8Array(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        queue?.received(buffer.subarray(0, bytes));
        return true;
      },
    };
    const base = {
      host: address,
      port: options.port,
      // Nagle's algorithm costs 44 ms wherever a frame takes two writes.
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      onread,
    };
    const tls = tlsOptions(options);
    const socket = tls === undefined
      ? nodeNet().connect(base as NetConnectOpts)
      : connectTls({ ...translateTls(options, tls), ...base } as TlsConnectionOptions);
    cancelled.addEventListener("abort", () => socket.destroy(), { once: true });
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      queue = new QueueSocket(nodeSink(socket, true), events);
      resolve(queue);
    });
    socket.on("error", (error) => {
      // Deno doesn't always let "close" follow. What comes after the first reason changes nothing.
      queue?.ended(lostError(options, error, isTlsRefusal));
      reject(error);
      socket.destroy();
    });
    // A peer that ends is answered with an end by Node itself, because half-open is not asked for.
    socket.once("close", () => {
      queue?.ended();
      reject(closedError(options));
    });
  });
}

/** What is wrong with certificates and keys is found before anything is dialled, and no second attempt will mend it. */
function connectTls(options: TlsConnectionOptions): TLSSocket {
  const tls = nodeTls();
  try {
    return tls.connect(options);
  } catch (cause) {
    if (isTlsRefusal(cause)) throw unusableTls(cause);
    throw cause;
  }
}
