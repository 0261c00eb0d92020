/**
 * A broker of the cluster and the one connection to it.
 *
 * @module
 */

import { errorLike } from "../error_like.ts";
import { ConnectionError, KafkaError, TimeoutError, UnsupportedVersionError } from "../errors.ts";
import { sharedVersion } from "../protocol/api.ts";
import type { AnyApi } from "../protocol/schema.ts";
import { REBOOTSTRAP_REQUIRED } from "../protocol/error_code_names.ts";
import { outside } from "../runtime/async_context.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { causeKeyOf, connectAdvice, withAdvertiser } from "./advice.ts";
import type { Backoff } from "./backoff.ts";
import type { Connection, ConnectionOptions, VersionRange } from "./connection.ts";
import type { ConnectionHolder, ConnectionLimit } from "./connection_limit.ts";
import { type Addressee, openConnection, type Pipelined } from "./handshake.ts";
import type { BrokerHealth } from "./health.ts";
import type { Negotiations } from "./negotiation.ts";
import type { DialPace } from "./pace.ts";
import { sleep } from "./sleep.ts";

/** What the brokers of one client have in common. */
export interface BrokerContext {
  readonly backoff: Backoff;
  readonly pace: DialPace;
  readonly connectionLimit: ConnectionLimit;
  readonly negotiations: Negotiations;
  /** What to ask of a broker together with the handshake. */
  pipelined(broker: Broker): Pipelined | undefined;
  /** Who should be found at a broker's address; undefined while that isn't known. */
  addressee(broker: Broker): Addressee | undefined;
  /** Its address leads to somebody else by now. */
  onMisplaced(broker: Broker): void;
  /** A broker owes an answer and says nothing. Repeated while it lasts. */
  onSilence(broker: Broker): void;
  /** A broker takes long to connect to. */
  onSlowDial(broker: Broker): void;
  /** A connection that could be used has ended. */
  onDisconnect(broker: Broker): void;
}

/** A dial that takes longer than this may well be in vain. */
const SLOW_DIAL_MS = 1_000;
/** Causes of failed attempts that are told for one broker; more of them are not worth a line each. */
const MAX_CAUSES = 8;

interface Misfit {
  readonly api: AnyApi;
  readonly cap: number | undefined;
  readonly connection: Connection;
}

interface Retiring {
  readonly connection: Connection;
  readonly ended: Promise<void>;
  readonly end: () => void;
  /** It does no harm, another connection is waited for. */
  readonly isForRoom: boolean;
}

/** One broker: where it is, a connection when there is one, and patience when there isn't. */
export class Broker implements ConnectionHolder {
  /** The node id; below 0 for a bootstrap server whose id isn't known. */
  readonly nodeId: number;
  /** Where it listens, as the newest metadata says. */
  address: Address;
  /** What it offers, as the last connection was told; undefined before the first. */
  versions: ReadonlyMap<number, VersionRange> | undefined;
  /** Why the last attempt to connect failed; undefined after a success. */
  lastError: KafkaError | undefined;
  /** Who advertises the address, as `host:port`; undefined for a bootstrap server. */
  advertisedBy: string | undefined;

  readonly #runtime: Runtime;
  readonly #options: ConnectionOptions;
  readonly #context: BrokerContext;
  #closed = false;
  /** Aborted, and replaced, when the broker moves; aborted when it is closed. Made by the first attempt to connect. */
  #course: AbortController | undefined;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #failures = 0;
  /** It offers no version of these that the client speaks, as the given connection was told first. */
  readonly #misfits = new Map<number, Misfit>();
  /** How many connections in a row have ended because of that. */
  #doubts = 0;
  /** The connection that ends when nothing is in flight any more: for that, or to make room. */
  #retiring: Retiring | undefined;
  #wasReached = false;
  /** Causes that have been told since the last connection. */
  readonly #told: Set<string> = new Set();
  #nextAttemptMs = 0;
  /** Since when it has been dialled. */
  #dialledMs: number | undefined;
  /** What connections that have ended add to the counts. */
  readonly #past = { requests: 0, bytesSent: 0, bytesReceived: 0 };

  /** Makes a broker without a connection. */
  constructor(runtime: Runtime, nodeId: number, address: Address, options: ConnectionOptions, context: BrokerContext) {
    this.#runtime = runtime;
    this.nodeId = nodeId;
    this.address = address;
    this.#options = options;
    this.#context = context;
  }

  /** The connection, if it is ready for requests. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** True while an attempt to connect is under way or waits for its time. */
  get connecting(): boolean {
    return this.#connecting !== undefined;
  }

  /** True while an attempt to connect takes suspiciously long. */
  get slow(): boolean {
    return this.#dialledMs !== undefined && this.#runtime.now() - this.#dialledMs >= SLOW_DIAL_MS;
  }

  /** There has been a connection to the present address. */
  get wasReached(): boolean {
    return this.#wasReached;
  }

  /** How many attempts to connect in a row have failed. */
  get failures(): number {
    return this.#failures;
  }

  /** For how long the present attempt to connect has been under way, in ms; 0 if there is none. */
  get dialledForMs(): number {
    return this.#dialledMs === undefined ? 0 : this.#runtime.now() - this.#dialledMs;
  }

  /** How the broker and the connection to it are. */
  get health(): BrokerHealth {
    const nowMs = this.#runtime.now();
    const connection = this.#connection ?? this.#retiring?.connection;
    const throttledMs = Math.max(0, (connection?.throttledUntilMs ?? 0) - nowMs);
    const past = this.#past;
    return {
      nodeId: this.nodeId,
      host: this.address.host,
      port: this.address.port,
      state: connection !== undefined
        ? throttledMs > 0 ? "throttled" : "connected"
        : this.#dialledMs !== undefined
        ? "connecting"
        : this.backingOff
        ? "backoff"
        : "disconnected",
      connectedMs: connection === undefined ? 0 : nowMs - connection.sinceMs,
      throttledMs,
      inFlight: connection?.inFlight ?? 0,
      requests: past.requests + (connection?.requests ?? 0),
      bytesSent: past.bytesSent + (connection?.bytesSent ?? 0),
      bytesReceived: past.bytesReceived + (connection?.bytesReceived ?? 0),
      lastError: this.lastError?.message ?? null,
    };
  }

  /** Whether there is a connection, be it one that ends when its requests are answered. */
  get isConnected(): boolean {
    return (this.#connection ?? this.#retiring) !== undefined;
  }

  /** True while an attempt to connect would have to wait. */
  get backingOff(): boolean {
    return this.#nextAttemptMs > this.#runtime.now();
  }

  /** The ready connection, or the outcome of one attempt to make it, which first waits out the backoff. */
  connect(): Promise<Connection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection);
    this.#connecting ??= outside(() => this.#attempt()).finally(() => this.#connecting = undefined);
    return this.#connecting;
  }

  /** Takes over a ready connection that was made for another reason, if there is none yet. */
  adopt(connection: Connection): boolean {
    const isTaken = this.#connection !== undefined || this.#connecting !== undefined || this.#retiring !== undefined;
    if (isTaken || this.#closed) return false;
    this.#use(connection);
    return true;
  }

  /** Hands the connection to somebody else. */
  release(): Connection | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) {
      connection.onClose =
        connection.onSilence =
        connection.onIdle =
        connection.onMisfit =
          undefined;
    }
    return connection;
  }

  /**
   * It doesn't know what it was asked for. A connection to where it was said to be before may lead to another one, and
   * is closed then.
   */
  denies(): void {
    const connection = this.#connection;
    if (connection === undefined || formatAddress(connection.address) === formatAddress(this.address)) return;
    connection.close();
  }

  /** Moves to a new address; the old connection serves until it ends, or the broker at its other end {@link denies}. */
  moveTo(address: Address): void {
    if (formatAddress(address) === formatAddress(this.address)) return;
    this.address = address;
    this.#failures = 0;
    this.#wasReached = false;
    this.#told.clear();
    this.#nextAttemptMs = 0;
    const old = this.#course;
    this.#course = undefined;
    old?.abort();
  }

  /** Since when it is connected. */
  get connectedSinceMs(): number | undefined {
    return this.#connection?.sinceMs;
  }

  /** Since when nothing is wanted of the connection. */
  get idleSinceMs(): number | undefined {
    return this.#connection?.idleSinceMs;
  }

  /** True while it holds one of `maxConnections`, and is not about to give it back. */
  get holdsConnection(): boolean {
    return this.#connection !== undefined || this.#dialledMs !== undefined;
  }

  /** Ends the connection so that another one may be opened. */
  makeRoom(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const broker = formatAddress(this.address);
    const message = `The connection to ${broker} makes room for another one (maxConnections).`;
    this.#end(connection, new ConnectionError(message, { broker }), true);
  }

  /** True once it was closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Closes the connection and refuses new ones. */
  close(): void {
    this.#closed = true;
    this.#course?.abort();
    this.#connection?.close();
    this.#retiring?.connection.close();
  }

  async #attempt(): Promise<Connection> {
    this.#refuseIfClosed();
    this.#course ??= new AbortController();
    const { signal } = this.#course;
    if (this.#retiring !== undefined) await this.#retiring.ended;
    const waitMs = this.#nextAttemptMs - this.#runtime.now();
    if (waitMs > 0) await sleep(this.#runtime, waitMs, signal);
    this.#refuseIfClosed();
    // It has moved meanwhile: what was going on at the old address doesn't count at the new one.
    if (signal.aborted) return await this.#attempt();
    try {
      const connection = await this.#dial(signal);
      if (this.#closed) connection.close();
      this.#refuseIfClosed();
      if (connection.error !== undefined) throw connection.error;
      this.#use(connection);
      return connection;
    } catch (error) {
      if (signal.aborted && !this.#closed) return await this.#attempt();
      this.#failures += 1;
      this.#nextAttemptMs = this.#runtime.now() + this.#context.backoff.delayMs(this.#failures);
      this.lastError = this.#explained(error as KafkaError);
      this.#tellFailure(this.lastError);
      if (this.lastError.errorCode === REBOOTSTRAP_REQUIRED) this.#context.onMisplaced(this);
      throw this.lastError;
    }
  }

  /** The most usual trouble of all is an address that a broker advertises and that doesn't lead to it from here. */
  #explained(error: KafkaError): KafkaError {
    const { advertisedBy } = this;
    const isReachability = error instanceof ConnectionError || error instanceof TimeoutError;
    if (advertisedBy === undefined || this.#wasReached || !isReachability) return error;
    const message = withAdvertiser(error.message, this.nodeId, advertisedBy);
    return errorLike(error, message, { cause: error.cause ?? error });
  }

  #tellFailure(error: KafkaError): void {
    const onConnectFailed = this.#options.hooks?.onConnectFailed;
    if (onConnectFailed === undefined || this.#closed || !(error instanceof KafkaError)) return;
    const key = causeKeyOf(error);
    if (this.#told.has(key) || this.#told.size >= MAX_CAUSES) return;
    this.#told.add(key);
    const { nodeId, advertisedBy } = this;
    onConnectFailed.call(this.#options.hooks, {
      broker: formatAddress(this.address),
      ...(nodeId < 0 ? {} : { nodeId }),
      ...(advertisedBy === undefined ? {} : { advertisedBy }),
      failures: this.#failures,
      error,
      advice: connectAdvice(error, this),
    });
  }

  async #dial(signal: AbortSignal): Promise<Connection> {
    const { negotiations, pace, connectionLimit } = this.#context;
    const turn = pace.turn(formatAddress(this.address), signal);
    if (turn !== undefined) await turn;
    const allowed = connectionLimit.take(signal);
    if (allowed !== undefined && !await allowed) {
      throw new ConnectionError(`Connecting to "${formatAddress(this.address)}" was given up.`);
    }
    const slow = this.#runtime.setTimer(() => this.#context.onSlowDial(this), SLOW_DIAL_MS);
    this.#dialledMs = this.#runtime.now();
    let connection: Connection | undefined;
    try {
      connection = await openConnection(this.#runtime, this.address, this.#options, signal, {
        negotiation: negotiations.of(this.address),
        addressee: this.#context.addressee(this),
        pipelined: this.#context.pipelined(this),
        pace,
      });
      connection.onGone = () => connectionLimit.giveBack();
      return connection;
    } finally {
      if (connection === undefined || connection.isGone) connectionLimit.giveBack();
      this.#dialledMs = undefined;
      slow.cancel();
    }
  }

  #use(connection: Connection): void {
    this.#connection = connection;
    this.versions = connection.versions;
    this.#failures = 0;
    this.#wasReached = true;
    this.#told.clear();
    this.lastError = undefined;
    for (const [key, { api, cap }] of this.#misfits) {
      if (sharedVersion(api, connection.versions.get(key), cap) !== undefined) this.#misfits.delete(key);
    }
    if (this.#misfits.size === 0) this.#doubts = 0;
    connection.onSilence = () => this.#context.onSilence(this);
    connection.onIdle = () => this.#context.connectionLimit.look();
    connection.onMisfit = (api, cap) => this.#doubt(connection, api, cap);
    connection.onClose = (error) => {
      const retiring = this.#retiring?.connection === connection ? this.#retiring : undefined;
      if (this.#connection !== connection && retiring === undefined) return;
      if (retiring === undefined) this.#connection = undefined;
      else this.#retiring = undefined;
      this.#past.requests += connection.requests;
      this.#past.bytesSent += connection.bytesSent;
      this.#past.bytesReceived += connection.bytesReceived;
      if (!connection.endedQuietly && retiring?.isForRoom !== true) {
        this.lastError = error;
        // A broker that accepts and then drops connections is not to be dialled in a tight loop.
        this.#nextAttemptMs = this.#runtime.now() + this.#context.backoff.delayMs(Math.max(1, this.#doubts));
      }
      this.#context.onDisconnect(this);
      retiring?.end();
    };
  }

  /**
   * Versions are told once in a connection's life, so when none fits, that life ends: a table may have been wrong, or
   * the broker has been upgraded behind a proxy. Returns true if an earlier connection was told the same.
   */
  #doubt(connection: Connection, api: AnyApi, cap: number | undefined): boolean {
    const misfit = this.#misfits.get(api.key);
    if (misfit === undefined) this.#misfits.set(api.key, { api, cap, connection });
    // On a later turn: the caller may have more to ask on the same connection.
    this.#runtime.defer(() => this.#retire(connection, api));
    return misfit !== undefined && misfit.connection !== connection;
  }

  #retire(connection: Connection, api: AnyApi): void {
    if (this.#connection !== connection) return;
    const broker = formatAddress(this.address);
    this.#doubts += 1;
    const message = `The broker at ${broker} offers no version of ${api.name} that this client speaks; ` +
      "it is asked for its versions anew.";
    this.#end(connection, new UnsupportedVersionError(message, { broker, retriable: true }), false);
  }

  /** Ends the present connection once nothing is in flight; who connects meanwhile waits for that. */
  #end(connection: Connection, error: KafkaError, isForRoom: boolean): void {
    this.#connection = undefined;
    let end!: () => void;
    const ended = new Promise<void>((resolve) => end = resolve);
    this.#retiring = { connection, ended, end, isForRoom };
    connection.retire(error);
  }

  #refuseIfClosed(): void {
    if (this.#closed) {
      const address = formatAddress(this.address);
      throw new ConnectionError(
        `${address} isn't dialled: the client was closed, or another broker coordinates by now.`,
      );
    }
  }
}
