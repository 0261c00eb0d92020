/**
 * One broker of an embedded cluster: its addresses, the versions that it speaks, its connections.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Socket, SocketEvents } from "../../runtime/runtime.ts";
import type { AnyApi } from "./apis.ts";
import { Quotas } from "./quota.ts";
import type { ClusterView } from "../control/view.ts";

/** Where a broker can be reached. */
export interface Endpoint {
  /** Host name or address. */
  readonly host: string;
  /** Port. */
  readonly port: number;
}

/** First and last version of an API that are advertised and served; null: the API isn't there. */
export type VersionRange = readonly [number, number] | null;

/** A connection at the broker's side. */
export interface ServedConnection extends SocketEvents {
  /** Ends it at once; answers that have not left are lost, what has begun is finished. */
  reset(): void;
  /** The broker is no more: what it has begun isn't finished either. */
  die(): void;
}

/** Serves what comes to a broker by a socket through a listener; calls back when that has ended. */
export type Serve = (broker: Broker, socket: Socket, listener: string, ended: () => void) => ServedConnection;

/** One broker. */
export class Broker {
  /** Its number in the cluster. */
  readonly id: number;
  /** Its rack, told in metadata. */
  readonly rack: string | null;
  /** @internal How often it has been stopped. */
  lives = 0;
  /** @internal What its clients have produced lately. */
  readonly quotas: Quotas = new Quotas();
  readonly #serve: Serve;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #versions = new Map<number, VersionRange>();
  readonly #connections = new Set<ServedConnection>();
  /** What it knows of the cluster; one that is cut off knows what was. */
  view!: ClusterView;
  #running = true;
  #isolated = false;

  /** @internal */
  constructor(id: number, rack: string | null, serve: Serve) {
    this.#serve = serve;
    this.id = id;
    this.rack = rack;
  }

  /** Whether it takes connections. */
  get isRunning(): boolean {
    return this.#running;
  }

  /** Whether it is cut off from the other brokers. */
  get isIsolated(): boolean {
    return this.#isolated;
  }

  /** How many connections are open. */
  get openConnections(): number {
    return this.#connections.size;
  }

  /** Where it is reached by who came through a listener; `"memory"` and `"tcp"` are those there are. */
  endpoint(listener: string): Endpoint {
    const endpoint = this.#endpoints.get(listener) ?? this.#endpoints.get("memory");
    if (endpoint === undefined) {
      throw new ConfigError("listener", `Broker ${this.id} has no address for listener "${listener}".`);
    }
    return endpoint;
  }

  /** Gives it an address; metadata tells it from now on. Without one, the listener is gone. */
  setEndpoint(listener: string, endpoint: Endpoint | undefined): void {
    if (endpoint === undefined) this.#endpoints.delete(listener);
    else this.#endpoints.set(listener, endpoint);
  }

  /** Pins the versions of an API, advertised and served alike, or takes it away with null. */
  pin(api: AnyApi, range: VersionRange): void {
    this.#versions.set(api.key, range);
  }

  /** The versions of an API that were pinned; undefined when they were not. */
  pinned(api: AnyApi): VersionRange | undefined {
    return this.#versions.get(api.key);
  }

  /** Takes a connection that came through a listener. For `EmbeddedCluster`, and for an own listener. */
  accept(socket: Socket, listener: string): SocketEvents {
    const connection = this.#serve(this, socket, listener, () => void this.#connections.delete(connection));
    this.#connections.add(connection);
    if (!this.#running) connection.reset();
    return connection;
  }

  /** Resets every connection. */
  disconnectAll(): void {
    for (const connection of [...this.#connections]) connection.reset();
  }

  /** @internal Use `cluster.stopBroker` and `cluster.startBroker`. */
  setRunning(running: boolean): void {
    if (!running) this.lives += 1;
    this.#running = running;
    if (!running) { for (const connection of [...this.#connections]) connection.die(); }
  }

  /** @internal Use `cluster.isolateBroker` and `cluster.healBroker`. */
  setIsolated(isolated: boolean): void {
    this.#isolated = isolated;
  }
}
