/**
 * The embedded cluster on TCP: the only file here that knows the names of runtimes.
 *
 * @module
 */

import type { AddressInfo, Server, Socket as NetSocket } from "node:net";
import { readOptions, refuse } from "../../call_options.ts";
import { ConfigError, ConnectionError } from "../../errors.ts";
import { builtinModule, isWorkerd } from "../../runtime/builtin.ts";
import { nodeTls } from "../../runtime/node_tls.ts";
import { QueueSocket } from "../../runtime/queue_socket.ts";
import type { SocketEvents } from "../../runtime/runtime.ts";
import { sentenceOf } from "../../show.ts";
import type { Broker } from "./broker.ts";

/** Where a cluster listens. */
export interface ListenOptions {
  /** The first broker's port; the others take the next ones. @default 0, any that is free */
  readonly port?: number;
  /** The address to bind, told to clients too. @default "127.0.0.1" */
  readonly host?: string;
  /** Speak TLS, beside ports that speak none if the cluster listens twice. @default plain */
  readonly tls?: ListenTls;
}

/** How a port speaks TLS; text is PEM. `certificateAuthority().issue(…)` makes what is needed. */
export interface ListenTls {
  /** The certificate of the brokers. */
  readonly cert: string;
  /** Its key. */
  readonly key: string;
  /** Who vouches for clients. @default nobody is asked */
  readonly ca?: string | undefined;
  /** `ssl.client.auth`: clients must, or may, show a certificate that `ca` has signed. @default "required" with `ca` */
  readonly clientAuth?: "none" | "requested" | "required" | undefined;
}

/** A cluster that listens. */
export interface Listening {
  /** The first broker's `host:port`. */
  readonly address: string;
  /** All of them, as `host:port,…`. */
  readonly brokers: string;
  /** Resets the connections and gives the ports back. */
  close(): Promise<void>;
}

/** The option `tls` of `listen`. @throws {ConfigError} for one that is unknown or of a wrong type */
export function readTls(given: unknown): ListenTls {
  const read: { readonly [N in keyof ListenTls]?: unknown } = readOptions("tls of listen", given, [
    ...["cert", "key", "ca", "clientAuth"] as const,
  ]);
  for (const name of ["cert", "key", "ca"] as const) {
    const value = read[name];
    // A key is a secret, so what was given isn't shown.
    if (typeof value === "string" && value.includes("-----BEGIN ")) continue;
    if (name === "ca" && value === undefined) continue;
    throw new ConfigError(`tls.${name}`, `Set "tls.${name}" of listen to text in PEM.`);
  }
  const { clientAuth, ca } = read;
  if (clientAuth !== undefined && !["none", "requested", "required"].includes(clientAuth as string)) {
    refuse("tls.clientAuth", '"none", "requested" or "required"', clientAuth);
  }
  if (clientAuth === "required" && ca === undefined) {
    throw new ConfigError("tls.ca", 'Set "tls.ca" to who vouches for clients: "clientAuth" is "required".');
  }
  return read as ListenTls;
}

/** Opens one port for each broker. Fails with a `ConfigError` where the runtime can't listen. */
export async function listen(brokers: readonly Broker[], options: ListenOptions): Promise<Listening> {
  const net = builtinModule<typeof import("node:net")>("node:net");
  if (net === undefined || isWorkerd()) {
    throw new ConfigError("listen", "This runtime can't listen, wanted Node, Deno or Bun; use cluster.sockets here.");
  }
  const { host = "127.0.0.1", port = 0, tls } = options;
  const servers: BrokerServer[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
  };
  try {
    for (const [i, broker] of brokers.entries()) {
      const server = new BrokerServer(net, broker, tls);
      servers.push(server);
      await server.listen(host, port === 0 ? 0 : port + i);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = servers.map((server) => server.address);
  return { address: addresses[0]!, brokers: addresses.join(","), close };
}

/** One broker's port. */
class BrokerServer {
  address = "";
  readonly #broker: Broker;
  readonly #server: Server;
  readonly #listener: string;
  readonly #sockets = new Set<NetSocket>();

  constructor(net: typeof import("node:net"), broker: Broker, tls: ListenTls | undefined) {
    this.#broker = broker;
    this.#listener = tls === undefined ? "tcp" : "tls";
    const accept = (socket: NetSocket): void => this.#accept(socket);
    this.#server = tls === undefined ? net.createServer({ noDelay: true }, accept) : secureServer(tls, accept);
    // Before a handshake, too, a connection is one that close() ends.
    this.#server.on("connection", (socket: NetSocket) => this.#keep(socket));
    // What it was, the client is told; here it is no news.
    this.#server.on("tlsClientError", () => {});
  }

  listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => {
        const address = `${host}:${port}`;
        reject(new ConnectionError(`Listen on "${address}" failed: ${cause.message}`, { broker: address, cause }));
      };
      this.#server.once("error", fail);
      this.#server.listen(port, host, () => {
        this.#server.off("error", fail);
        const bound = (this.#server.address() as AddressInfo).port;
        this.#broker.setEndpoint(this.#listener, { host, port: bound });
        this.address = `${host}:${bound}`;
        resolve();
      });
    });
  }

  close(): Promise<void> {
    this.#broker.setEndpoint(this.#listener, undefined);
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }

  #keep(socket: NetSocket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #accept(socket: NetSocket): void {
    this.#keep(socket);
    socket.setNoDelay(true);
    let failure: Error | undefined;
    const queue = new QueueSocket({
      gathers: true,
      send(segments, done) {
        const last = segments.length - 1;
        socket.cork();
        for (let i = 0; i < last; i++) socket.write(segments[i]!);
        socket.write(segments[last]!, (error) => error ? undefined : done());
        socket.uncork();
      },
      shutdown: () => void socket.end(),
      kill: () => void (failure === undefined ? socket.destroy() : socket.destroy(failure)),
    }, {
      onData: (chunk) => events.onData(chunk),
      onClose: (error) => events.onClose(error),
    });
    const events: SocketEvents = this.#broker.accept(queue, this.#listener);
    socket.on("data", (chunk: Uint8Array) => queue.received(chunk));
    socket.on("error", (error) => failure = error);
    socket.once("close", () => queue.ended(failure));
  }
}

function secureServer({ ca, cert, clientAuth, key }: ListenTls, accept: (socket: NetSocket) => void): Server {
  const wish = clientAuth ?? (ca === undefined ? "none" : "required");
  try {
    return nodeTls().createServer({
      ...{ cert, key, requestCert: wish !== "none", rejectUnauthorized: wish === "required" },
      ...ca === undefined ? {} : { ca },
    }, accept);
  } catch (cause) {
    throw new ConfigError("tls", `Set "tls" to a certificate and its key, in PEM: ${sentenceOf(cause)}`, { cause });
  }
}
