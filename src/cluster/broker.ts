/**
 * A broker of the cluster and the one connection to it.
 *
 * @module
 */

import { ConnectionError, type KafkaError } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import type { Backoff } from "./backoff.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { openConnection } from "./handshake.ts";
import { sleep } from "./sleep.ts";

/** One broker: where it is, a connection when there is one, and patience when there isn't. */
export class Broker {
  /** The node id; below 0 for a bootstrap server whose id isn't known. */
  readonly nodeId: number;
  /** Where it listens, as the newest metadata says. */
  address: Address;
  /** Why the last attempt to connect failed; undefined after a success. */
  lastError: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #options: ConnectionOptions;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  /** Aborted, and replaced, when the broker moves; aborted when it is closed. */
  #course = new AbortController();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #failures = 0;
  /** It has answered a modern ApiVersions request before. */
  #modern = false;
  #nextAttemptMs = 0;

  /** Makes a broker without a connection. */
  constructor(runtime: Runtime, nodeId: number, address: Address, options: ConnectionOptions, backoff: Backoff) {
    this.#runtime = runtime;
    this.nodeId = nodeId;
    this.address = address;
    this.#options = options;
    this.#backoff = backoff;
  }

  /** The connection, if it is ready for requests. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** True while an attempt to connect would have to wait. */
  get backingOff(): boolean {
    return this.#nextAttemptMs > this.#runtime.now();
  }

  /** The ready connection, or the outcome of one attempt to make it, which first waits out the backoff. */
  connect(): Promise<Connection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection);
    this.#connecting ??= this.#attempt().finally(() => this.#connecting = undefined);
    return this.#connecting;
  }

  /** Takes over a ready connection that was made for another reason, if there is none yet. */
  adopt(connection: Connection): boolean {
    if (this.#connection !== undefined || this.#connecting !== undefined || this.#closing.signal.aborted) return false;
    this.#use(connection);
    return true;
  }

  /** Hands the connection to somebody else. */
  release(): Connection | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) connection.onClose = () => {};
    return connection;
  }

  /** Moves to a new address; the old connection serves until it ends. */
  moveTo(address: Address): void {
    if (formatAddress(address) === formatAddress(this.address)) return;
    this.address = address;
    this.#failures = 0;
    this.#nextAttemptMs = 0;
    const old = this.#course;
    this.#course = new AbortController();
    old.abort();
  }

  /** Closes the connection and refuses new ones. */
  close(): void {
    this.#closing.abort();
    this.#course.abort();
    this.#connection?.close();
  }

  async #attempt(): Promise<Connection> {
    const { signal } = this.#course;
    const waitMs = this.#nextAttemptMs - this.#runtime.now();
    if (waitMs > 0) await sleep(this.#runtime, waitMs, signal);
    this.#refuseIfClosed();
    // It has moved meanwhile: what was going on at the old address doesn't count at the new one.
    if (signal.aborted) return await this.#attempt();
    try {
      const connection = await openConnection(this.#runtime, this.address, this.#options, signal, this.#modern);
      if (this.#closing.signal.aborted) connection.close();
      this.#refuseIfClosed();
      this.#use(connection);
      return connection;
    } catch (error) {
      if (signal.aborted && !this.#closing.signal.aborted) return await this.#attempt();
      this.#failures += 1;
      this.#nextAttemptMs = this.#runtime.now() + this.#backoff.delayMs(this.#failures);
      this.lastError = error as KafkaError;
      throw error;
    }
  }

  #use(connection: Connection): void {
    this.#connection = connection;
    this.#modern ||= connection.modern;
    this.#failures = 0;
    this.lastError = undefined;
    connection.onClose = (error) => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.lastError = error;
      // A broker that accepts and then drops connections is not to be dialled in a tight loop.
      this.#nextAttemptMs = this.#runtime.now() + this.#backoff.delayMs(1);
    };
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) {
      throw new ConnectionError(`The client was closed; ${formatAddress(this.address)} isn't dialled.`);
    }
  }
}
