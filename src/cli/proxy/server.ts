/**
 * `sluice proxy` as a function: listens for WebSockets and leads them to brokers. On Node, Deno and Bun.
 *
 * @module
 */

import type { AddressInfo, Server, Socket } from "node:net";
import { ConnectionError } from "../../errors.ts";
import { KEEP_ALIVE_MS } from "../../runtime/dial.ts";
import { nodeNet, nodeTls, translateTls } from "../../runtime/node_tls.ts";
import type { TlsOptions } from "../../runtime/runtime.ts";
import { show } from "../../show.ts";
import { type ProxyHost, type ProxyRules, Session, type Stream } from "./session.ts";

/** How the proxy listens, and what it allows. */
export interface ProxyOptions extends ProxyRules {
  /** The address to bind. */
  readonly host: string;
  /** The port; 0 takes a free one. */
  readonly port: number;
  /** Certificate and key in PEM, for `wss:`. */
  readonly certificate:
    | { readonly cert: string; readonly key: string }
    | undefined;
  /** How to speak TLS with brokers; undefined for not at all. */
  readonly brokerTls: TlsOptions | undefined;
  /** Connections at a time. */
  readonly maxConnections: number;
  /** How long connecting to a broker may take. */
  readonly connectTimeoutMs: number;
  /** Is told why a client was sent away. */
  onRefused(reason: string): void;
}

/** A proxy that listens. */
export interface ListeningProxy {
  /** Where: `ws://host:port` or `wss://host:port`. */
  readonly url: string;
  /** How many connections lead to brokers. */
  readonly connections: number;
  /** Ends all connections and gives the port back. */
  close(): Promise<void>;
}

/** So many clients may be saying what they want, beside those that are connected. */
const NEWCOMERS = 64;

/** Listens. Rejects with a `ConnectionError` when it can't. */
export async function listenProxy(
  options: ProxyOptions,
): Promise<ListeningProxy> {
  const proxy = new Proxy(options);
  await proxy.listen();
  return proxy;
}

class Proxy implements ProxyHost, ListeningProxy {
  readonly rules: ProxyRules;
  url = "";
  connections = 0;
  readonly #options: ProxyOptions;
  readonly #sessions = new Map<Stream, Session>();
  readonly #server: Server;

  constructor(options: ProxyOptions) {
    this.rules = options;
    this.#options = options;
    const accept = (socket: Stream): void => this.#accept(socket);
    const { certificate } = options;
    this.#server = certificate === undefined
      ? nodeNet().createServer({ noDelay: true }, accept)
      : nodeTls().createServer({ ...certificate }, accept);
    // A client that can't be spoken to is its own business.
    this.#server.on("tlsClientError", () => {});
    this.#server.maxConnections = options.maxConnections + NEWCOMERS;
  }

  listen(): Promise<void> {
    const { host, port, certificate } = this.#options;
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void =>
        reject(
          new ConnectionError(
            `Listen on ${show(`${host}:${port}`)} failed: ${cause.message}`,
            { cause },
          ),
        );
      this.#server.once("error", fail);
      this.#server.listen(port, host, () => {
        this.#server.removeListener("error", fail);
        const bound = (this.#server.address() as AddressInfo).port;
        const name = host.includes(":") ? `[${host}]` : host;
        this.url = `${certificate === undefined ? "ws" : "wss"}://${name}:${bound}`;
        resolve();
      });
    });
  }

  enter(): boolean {
    if (this.connections >= this.#options.maxConnections) return false;
    this.connections += 1;
    return true;
  }

  leave(): void {
    this.connections -= 1;
  }

  onRefused(reason: string): void {
    this.#options.onRefused(reason);
  }

  dial(broker: string, cancelled: AbortSignal): Promise<Stream> {
    const { brokerTls, connectTimeoutMs } = this.#options;
    const at = broker.lastIndexOf(":");
    const address = {
      host: broker.slice(0, at).replace(/^\[(.*)\]$/, "$1"),
      port: Number(broker.slice(at + 1)),
    };
    return new Promise((resolve, reject) => {
      const socket: Socket = brokerTls === undefined
        ? nodeNet().connect({ ...address, noDelay: true })
        : nodeTls().connect({
          ...address,
          ...translateTls(address, brokerTls),
        });
      const giveUp = (): void => void socket.destroy(new ConnectionError("The client has gone."));
      const settle = (act: () => void): void => {
        socket.setTimeout(0);
        cancelled.removeEventListener("abort", giveUp);
        act();
      };
      cancelled.addEventListener("abort", giveUp, { once: true });
      socket.setTimeout(connectTimeoutMs, () => {
        socket.destroy(
          new ConnectionError(`It took longer than ${connectTimeoutMs} ms.`),
        );
      });
      socket.once("error", (error) => settle(() => reject(error)));
      socket.once(brokerTls === undefined ? "connect" : "secureConnect", () => {
        socket.setNoDelay(true);
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        settle(() => resolve(socket));
      });
      if (cancelled.aborted) giveUp();
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const session of this.#sessions.values()) session.end();
    await closed;
  }

  #accept(socket: Stream): void {
    this.#sessions.set(socket, new Session(socket, this));
    socket.once("close", () => this.#sessions.delete(socket));
  }
}
