/**
 * The embedded cluster on TCP: the only file here that knows the names of runtimes.
 *
 * @module
 */

import type { AddressInfo, Server, Socket as NetSocket } from "node:net";
import { ConfigError, ConnectionError } from "../../errors.ts";
import { builtinModule } from "../../runtime/builtin.ts";
import { QueueSocket } from "../../runtime/queue_socket.ts";
import type { SocketEvents } from "../../runtime/runtime.ts";
import type { Broker } from "./broker.ts";

/** Where a cluster listens. */
export interface ListenOptions {
  /** The first broker's port; the others take the next ones. @default 0, any that is free */
  readonly port?: number;
  /** The address to bind, told to clients too. @default "127.0.0.1" */
  readonly host?: string;
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

/** Opens one port for each broker. Fails with a `ConfigError` where the runtime can't listen. */
export async function listen(brokers: readonly Broker[], options: ListenOptions): Promise<Listening> {
  const net = builtinModule<typeof import("node:net")>("node:net");
  if (net === undefined || globalThis.navigator?.userAgent === "Cloudflare-Workers") {
    throw new ConfigError("listen", "This runtime can't listen, wanted Node, Deno or Bun; use cluster.sockets here.");
  }
  const { host = "127.0.0.1", port = 0 } = options;
  const servers: BrokerServer[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
  };
  try {
    for (const [i, broker] of brokers.entries()) {
      const server = new BrokerServer(net, broker);
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
  readonly #sockets = new Set<NetSocket>();

  constructor(net: typeof import("node:net"), broker: Broker) {
    this.#broker = broker;
    this.#server = net.createServer({ noDelay: true }, (socket) => this.#accept(socket));
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
        this.#broker.setEndpoint("tcp", { host, port: bound });
        this.address = `${host}:${bound}`;
        resolve();
      });
    });
  }

  close(): Promise<void> {
    this.#broker.setEndpoint("tcp", undefined);
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }

  #accept(socket: NetSocket): void {
    this.#sockets.add(socket);
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
    const events: SocketEvents = this.#broker.accept(queue, "tcp");
    socket.on("data", (chunk: Uint8Array) => queue.received(chunk));
    socket.on("error", (error) => failure = error);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      queue.ended(failure);
    });
  }
}
