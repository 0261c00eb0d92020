/**
 * One connection to one broker: requests out in order, answers matched in the same order, and at the first sign of
 * trouble an end that everybody hears of.
 *
 * A dead connection is a value: the first error is kept, every request in flight and every later one gets it, and
 * nothing on the connection is believed any more.
 *
 * @module
 */

import {
  AuthenticationError,
  BrokerError,
  ConnectionError,
  type KafkaError,
  ProtocolError,
  TimeoutError,
} from "../errors.ts";
import {
  decodeAnswerFrame,
  encodeRequestFrame,
  readCorrelationId,
  sharedVersion,
  versionError,
} from "../protocol/api.ts";
import { FrameAssembler } from "../protocol/frame_assembler.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../protocol/schema.ts";
import { MAX_INT32 } from "../call_options.ts";
import type { Runtime, Socket, Timer, TlsOptions } from "../runtime/runtime.ts";
import { setDeadline, Truce } from "../runtime/truce.ts";
import { type Address, formatAddress } from "./address.ts";
import type { SaslMechanism } from "../sasl/mechanism.ts";
import { type Ask, authenticate } from "./authentication.ts";
import { answerError, lateError } from "./connection_errors.ts";
import type { ConnectionHooks } from "./hooks.ts";
import { WriteGate } from "./write_gate.ts";

/** What every connection of a client has in common. */
export interface ConnectionOptions {
  /** Sent with each request; quotas and the broker's logs go by it. */
  readonly clientId: string;
  /** TCP, TLS and handshake together, in ms. */
  readonly connectTimeoutMs: number;
  /** A connection that was idle for this long is closed, in ms. */
  readonly connectionMaxIdleMs: number;
  /** Cap on the size of an answer in bytes. */
  readonly maxResponseSize: number;
  /** A broker that owes an answer and says nothing for this long is reported, in ms. @default Infinity */
  readonly silenceMs?: number | undefined;
  /** Proves who we are. */
  readonly sasl?: SaslMechanism | undefined;
  /** Speak TLS. */
  readonly tls?: TlsOptions | boolean | undefined;
  /** Told of what happens. They must not throw. */
  readonly hooks?: ConnectionHooks | undefined;
}

/** The versions of an API that the broker at the other end offers. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

interface InFlight {
  readonly api: AnyApi;
  readonly version: number;
  readonly correlationId: number;
  readonly body: unknown;
  /** How many bytes had been handed to the socket before this request. */
  readonly startByte: number;
  readonly sentMs: number;
  readonly timeoutMs: number;
  deadlineMs: number;
  readonly resolve: (response: never) => void;
  readonly reject: (error: KafkaError) => void;
}

/** While a broker stays silent, it is reported again after this time. */
const REMINDER_MS = 2_000;
const LEAST_REMINDER_MS = 100;
/** After this long without a request, a closed connection is an idle close and no failure: there is no backoff. */
const QUIET_MS = 1_000;

/** A connection, ready or not; {@link openConnection} makes ready ones. */
export class Connection {
  /** Where it leads. */
  readonly address: Address;
  /** Called once, when the connection has ended. */
  onClose: ((error: KafkaError) => void) | undefined;
  /** Called once, when the socket is gone: after an orderly end the peer has ended as well. */
  onGone: (() => void) | undefined;
  /** The socket is gone. */
  isGone = false;
  /** Called when everything is answered. */
  onIdle: (() => void) | undefined;
  /** Called while the broker owes answers and keeps silent. */
  onSilence: (() => void) | undefined;
  /**
   * Called when the broker offers no version of an API that the client speaks. Returns false if the table is in doubt
   * and is going to be asked for anew, so that the same request may succeed later.
   */
  onMisfit: ((api: AnyApi, cap: number | undefined) => boolean) | undefined;
  /** The answer to a request of ours could not be read: the other end speaks Kafka, but not in this version. */
  isMisread = false;
  /** What the broker offers, by API key; empty until the handshake is done. */
  versions: ReadonlyMap<number, VersionRange> = new Map();
  /** The levels of the cluster's features (KIP-584), as of the handshake. */
  finalizedFeatures: ReadonlyMap<string, number> = new Map();
  /** Bytes that were handed to the socket. */
  bytesSent = 0;
  /** Bytes that came from the socket. */
  bytesReceived = 0;
  /** Requests that were handed to the socket. */
  requests = 0;
  /** When it was made, on the monotonic clock. */
  readonly sinceMs: number;
  /** It ended while nobody wanted anything of it, as idle connections do. */
  endedQuietly = false;
  /** The broker, or something on the way to it, has ended it. */
  endedByPeer = false;

  readonly #runtime: Runtime;
  readonly #options: ConnectionOptions;
  readonly #frames: FrameAssembler;
  readonly #inFlight: InFlight[] = [];
  readonly #gate: WriteGate;
  /** The address in words. */
  readonly #broker: string;
  #socket: Socket | undefined;
  #error: KafkaError | undefined;
  /** It was closed in an orderly way: the socket goes on with what it still holds. */
  #lingers = false;
  #correlationId = 0;
  #lastUsedMs: number;
  #heardMs: number;
  #remindAtMs = 0;
  #timer: Timer | undefined;
  #renewalTimer: Pick<Timer, "cancel"> | undefined;
  #timerAtMs = Infinity;
  readonly #truce = new Truce();
  /** The handshake is done. */
  #ready = false;
  /** Why it ends when nothing is in flight any more. */
  #retirement: KafkaError | undefined;

  /** Makes a connection without a socket; {@link Connection.dial} gives it one. */
  constructor(runtime: Runtime, address: Address, options: ConnectionOptions) {
    this.#runtime = runtime;
    this.address = address;
    this.#options = options;
    this.#broker = formatAddress(address);
    this.#gate = new WriteGate(runtime, (signal) => this.#authenticate(signal));
    this.sinceMs = this.#lastUsedMs = this.#heardMs = runtime.now();
    this.#frames = new FrameAssembler(options.maxResponseSize, (frame) => this.#onFrame(frame));
  }

  /** Why the connection is of no more use; undefined while it is. */
  get error(): KafkaError | undefined {
    return this.#error;
  }

  /** Requests that wait for an answer, or for the end of a throttle. */
  get inFlight(): number {
    return this.#inFlight.length + this.#gate.held;
  }

  /** Until when the broker asked not to be sent anything, on the monotonic clock. */
  get throttledUntilMs(): number {
    return this.#gate.throttledUntilMs;
  }

  /** Since when nothing is wanted of it; undefined while something is, or while the broker wants to be left alone. */
  get idleSinceMs(): number | undefined {
    if (this.inFlight > 0 || this.isSending || this.#gate.isThrottled) return undefined;
    return this.#lastUsedMs;
  }

  /** For how long the broker has owed an answer and said nothing, in ms; 0 if it owes none. */
  get silentMs(): number {
    const oldest = this.#inFlight[0];
    if (oldest === undefined) return 0;
    // It may well be silent while it throttles: that is what it has announced.
    return Math.max(0, this.#runtime.now() - Math.max(oldest.sentMs, this.#heardMs, this.throttledUntilMs));
  }

  /** Opens the socket. Rejects with a {@link ConnectionError}. */
  async dial(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { host, port } = this.address;
    const tls = this.#options.tls;
    const socket = await this.#runtime.sockets.connect(
      { host, port, timeoutMs, signal, ...(tls === undefined ? {} : { tls }) },
      { onData: (chunk) => this.#onData(chunk), onClose: (error) => this.#onSocketClose(error) },
    );
    if (this.#error !== undefined) return socket.destroy();
    this.#socket = socket;
    // Who waits for something of this connection is held otherwise; an idle one must not keep a program from ending.
    if (this.#runtime.newHold !== undefined) socket.unref?.();
  }

  /**
   * The highest version of an API that both ends speak, at most `cap`.
   *
   * @throws {UnsupportedVersionError} when there is none; nothing is written then
   */
  version(api: AnyApi, cap?: number): number {
    const range = this.versions.get(api.key);
    return sharedVersion(api, range, cap) ?? this.#refuse(api, range, cap);
  }

  #refuse(api: AnyApi, range: VersionRange | undefined, cap: number | undefined): never {
    throw versionError(api, range, cap, { broker: this.#broker, retriable: this.onMisfit?.(api, cap) === false });
  }

  /** True if a request would be held now: the broker wants to be left alone, or sees the credentials again. */
  get isHeld(): boolean {
    return this.#error === undefined && this.#gate.mustWait();
  }

  /** Resolves when no request is held any more, or when the connection has ended. */
  untilFree(): Promise<void> {
    return this.#gate.untilFree();
  }

  /** Sends a request and resolves with its answer; rejects when the connection ends first. */
  request<A extends AnyApi>(
    api: A,
    version: number,
    body: RequestInputOf<A>,
    timeoutMs: number,
  ): Promise<ResponseOf<A>> {
    return new Promise((resolve, reject) => {
      const isDead = this.#error !== undefined;
      if (isDead || !this.#gate.mustWait()) return this.#request(api, version, body, timeoutMs, resolve, reject);
      this.#gate.hold(() => this.#request(api, version, body, timeoutMs, resolve, reject));
    });
  }

  #request<A extends AnyApi>(
    api: A,
    version: number,
    body: RequestInputOf<A>,
    timeoutMs: number,
    resolve: (response: ResponseOf<A>) => void,
    reject: (error: KafkaError) => void,
  ): void {
    const correlationId = this.#nextCorrelationId();
    const startByte = this.bytesSent;
    try {
      this.#write(encodeRequestFrame(api, version, correlationId, this.#options.clientId, body as never));
    } catch (error) {
      reject(error as KafkaError);
      return;
    }
    const sentMs = this.#lastUsedMs;
    const deadlineMs = sentMs + timeoutMs;
    // One literal: to spread two into a third takes longer than all else that is done for the request here.
    const entry: InFlight = {
      api,
      version,
      correlationId,
      body,
      startByte,
      sentMs,
      timeoutMs,
      deadlineMs,
      resolve,
      reject,
    };
    this.#inFlight.push(entry);
    this.#armTimer(Math.min(deadlineMs, sentMs + this.#silenceMs));
    this.#tellRequest(api, version, correlationId, startByte);
  }

  /** The broker wants to see the credentials again within `lifetimeMs` (KIP-368). */
  keepSession(lifetimeMs: number): void {
    const usedMs = this.#lastUsedMs;
    this.#gate.keepSession(lifetimeMs, () => this.inFlight > 0 || this.#lastUsedMs > usedMs);
  }

  /** Shows the credentials again. What is in flight is answered first, for a broker answers in order. */
  #authenticate(signal: AbortSignal): Promise<void> | undefined {
    const { sasl: mechanism, connectTimeoutMs: timeoutMs } = this.#options;
    if (mechanism === undefined || this.#error !== undefined) return undefined;
    const ask: Ask = (api, version, body, timeoutMs) =>
      new Promise((resolve, reject) => this.#request(api, version, body, timeoutMs, resolve, reject));
    // A mechanism that asks somebody else for a token may wait for ever. What the broker owes has a deadline of its own, which a
    // throttle moves.
    const watch = (): void => void (this.#renewalTimer = setDeadline(this.#runtime, late, timeoutMs));
    const late = (): void => {
      if (this.#inFlight.length > 0) return watch();
      const message = `Showing the credentials to ${this.#broker} again took longer than connectTimeoutMs.`;
      this.destroy(new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker: this.#broker }));
    };
    watch();
    return authenticate(this.#runtime, this.address, ask, { mechanism, signal, timeoutMs, versions: this.versions })
      .then((lifetimeMs) => this.keepSession(lifetimeMs), (error) => this.destroy(error))
      .finally(() => this.#renewalTimer?.cancel());
  }

  /**
   * Sends a request that the broker never answers (acks 0). Resolves when the operating system has the bytes, or on a
   * later turn if the socket takes them without falling behind; rejects when the connection ended by then.
   *
   * @returns true if nobody needs the request's bytes any more: the operating system has them all
   */
  send<A extends AnyApi>(api: A, version: number, body: RequestInputOf<A>, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const write = (): void => {
        const startByte = this.bytesSent;
        const correlationId = this.#nextCorrelationId();
        const calm = this.#write(
          encodeRequestFrame(api, version, correlationId, this.#options.clientId, body as never),
        );
        this.#tellRequest(api, version, correlationId, startByte);
        const settle = (): void => {
          if (this.#error !== undefined && this.#flushedBytes() <= startByte) reject(this.#errorFor(startByte));
          else resolve(this.#error === undefined && this.#socket?.bufferedBytes === 0);
        };
        // The end of a socket that has failed in this write is told by a microtask before this one.
        if (calm) return this.isSending ? this.#runtime.defer(settle) : void Promise.resolve().then(settle);
        // Nobody answers, so a broker that has stopped reading is found out here.
        const sentMs = this.#lastUsedMs;
        const late = (): void => this.destroy(this.#lateError(api, "read", sentMs));
        const timer = setDeadline(this.#runtime, late, timeoutMs);
        void this.#socket?.drained().then(() => {
          timer.cancel();
          this.#runtime.defer(settle);
        });
      };
      // A throttle is the business of the sender, which holds back by itself.
      const renewal = this.#gate.renewal();
      if (renewal === undefined) write();
      else void renewal.then(write).catch(reject);
    });
  }

  /** True while the operating system hasn't been given all that was sent. */
  get isSending(): boolean {
    return this.#error === undefined && this.#socket !== undefined && this.#socket.bufferedBytes > 0;
  }

  /** Ends in an orderly way; what is in flight is failed. */
  close(): void {
    this.#end(new ConnectionError(`The connection to ${this.#broker} was closed by the client.`), false);
  }

  /** Ends in an orderly way, for the given reason, as soon as nothing is in flight. */
  retire(error: KafkaError): void {
    this.#retirement = error;
    if (this.inFlight === 0) this.#end(error, false);
  }

  /** Ends at once and for the given reason. */
  destroy(error: KafkaError): void {
    this.#end(error, true);
  }

  #write(parts: readonly Uint8Array[]): boolean {
    if (this.#error !== undefined) throw this.#errorFor(this.bytesSent);
    for (const part of parts) this.bytesSent += part.length;
    this.requests += 1;
    this.#lastUsedMs = this.#runtime.now();
    return this.#socket!.write(parts);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#error !== undefined) return;
    this.bytesReceived += chunk.length;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      this.destroy(answerError(error, this.#broker, this.#ready));
    }
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#error !== undefined) return;
    const entry = this.#inFlight[0];
    const correlationId = readCorrelationId(frame);
    if (entry === undefined || entry.correlationId !== correlationId) {
      const wanted = entry === undefined ? "no answer is awaited" : `${entry.correlationId} is awaited`;
      throw new ProtocolError(`An answer has correlation id ${correlationId}, ${wanted}.`);
    }
    this.isMisread = true;
    const { body } = decodeAnswerFrame(entry.api, entry.version, entry.body as never, frame);
    this.isMisread = false;
    this.#inFlight.shift();
    this.#lastUsedMs = this.#heardMs = this.#runtime.now();
    this.#remindAtMs = 0;
    this.#tellResponse(entry);
    this.#heedThrottle(entry, body as { throttleTimeMs?: number });
    // The timer may stand at the deadline of what has just been answered.
    if (this.#inFlight.length === 0) this.#armTimer(this.#lastUsedMs + this.#options.connectionMaxIdleMs);
    entry.resolve(body as never);
    if (this.inFlight > 0) return;
    if (this.#retirement === undefined) this.onIdle?.();
    else this.#end(this.#retirement, false);
  }

  /** The broker leaves later requests unread for as long as it asks for quiet, so those in flight get more time. */
  #heedThrottle({ api: { name: api }, version }: InFlight, { throttleTimeMs = 0 }: { throttleTimeMs?: number }): void {
    const throttleMs = this.#gate.throttle(api, version, throttleTimeMs, this.#lastUsedMs);
    if (throttleMs === 0) return;
    for (const other of this.#inFlight) {
      // Answers that ask for quiet again and again don't add up: each request has its time once the quiet is over.
      other.deadlineMs = Math.min(other.deadlineMs + throttleMs, this.throttledUntilMs + other.timeoutMs);
    }
    this.#options.hooks?.onThrottle?.({ broker: this.#broker, api, throttleMs });
  }

  /** What to tell of a wait that is the broker's wish; undefined while it has none. */
  get throttleError(): KafkaError | undefined {
    if (!this.#gate.isThrottled) return undefined;
    const broker = this.#broker;
    return new BrokerError(
      `The broker at ${broker} ${this.#gate.throttleNote}: look at its quotas for this client.`,
      { code: "THROTTLED", retriable: true, broker },
    );
  }

  #onSocketClose(cause: Error | undefined): void {
    const name = this.#broker;
    this.endedByPeer = this.#error === undefined;
    // With TLS 1.3 a client has finished before the server has judged its certificate: the refusal comes later.
    if (cause instanceof AuthenticationError && !this.#ready) return this.#end(cause, true);
    this.#end(
      new ConnectionError(
        cause === undefined ? `The broker at ${name} closed the connection.` : `The connection to ${name} was lost.`,
        { broker: name, cause },
      ),
      true,
    );
    this.isGone = true;
    this.onGone?.();
  }

  #end(error: KafkaError, abruptly: boolean): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#timer?.cancel();
    this.#renewalTimer?.cancel();
    this.endedQuietly = this.#inFlight.length === 0 && !(error instanceof ProtocolError) &&
      this.#runtime.now() - this.#lastUsedMs >= QUIET_MS;
    this.#gate.end();
    const failed = this.#inFlight.splice(0);
    this.#lingers = !abruptly;
    const errors = failed.map((entry) => this.#errorFor(entry.startByte));
    if (abruptly) this.#socket?.destroy();
    else this.#socket?.close();
    for (const [index, entry] of failed.entries()) {
      entry.reject(errors[index]!);
      this.#tellResponse(entry, errors[index]);
    }
    if (this.#ready) this.#options.hooks?.onDisconnect?.({ broker: this.#broker, error });
    this.onClose?.(error);
  }

  /** The error of a request that began at the given byte: its fate is unknown only if a byte of it may have left. */
  #errorFor(startByte: number): KafkaError {
    const reason = this.#error!;
    const left = this.#flushedBytes() > startByte;
    const options = {
      broker: this.#broker,
      persisted: left ? "possibly" : "no",
      retriable: true,
      cause: reason,
    } as const;
    if (reason instanceof TimeoutError) return new TimeoutError(reason.message, { ...options, code: reason.code });
    return new ConnectionError(reason.message, options);
  }

  /** Bytes of which any may have reached the broker. */
  #flushedBytes(): number {
    return this.bytesSent - (this.#lingers ? 0 : this.#socket?.unsentBytes ?? 0);
  }

  #armTimer(atMs: number): void {
    if (atMs >= this.#timerAtMs || this.#error !== undefined) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#runtime.setTimer(() => this.#onTimer(), Math.max(0, atMs - this.#runtime.now()));
  }

  #onTimer(): void {
    const nowMs = this.#runtime.now();
    this.#truce.onTimer(this.#timerAtMs, nowMs);
    this.#timerAtMs = Infinity;
    this.#timer = undefined;
    // A broker that throttles is left in peace, also by a new connection.
    const usedMs = Math.max(this.#lastUsedMs, this.throttledUntilMs);
    const idle = this.inFlight === 0 && !this.isSending;
    let nextMs = idle ? usedMs + this.#options.connectionMaxIdleMs : this.#silenceDueMs(nowMs);
    for (const entry of this.#inFlight) {
      const deadlineMs = this.#truce.endOf(entry.deadlineMs);
      if (deadlineMs <= nowMs) {
        this.destroy(this.#lateError(entry.api, "answer", entry.sentMs));
        return;
      }
      nextMs = Math.min(nextMs, deadlineMs);
    }
    if (idle && nextMs <= nowMs) this.close();
    else this.#armTimer(Math.max(nextMs, nowMs + 1));
  }

  /** Reports a silent broker if it is time to; returns when to look again. */
  #silenceDueMs(nowMs: number): number {
    const dueMs = Math.max(nowMs - this.silentMs + this.#silenceMs, this.#remindAtMs);
    if (dueMs > nowMs) return dueMs;
    this.#remindAtMs = nowMs + Math.max(LEAST_REMINDER_MS, Math.min(this.#silenceMs, REMINDER_MS));
    this.onSilence?.();
    return this.#remindAtMs;
  }

  get #silenceMs(): number {
    return this.#options.silenceMs ?? Infinity;
  }

  #tellRequest(api: AnyApi, version: number, correlationId: number, startByte: number): void {
    const bytes = this.bytesSent - startByte;
    this.#options.hooks?.onRequest?.({
      broker: this.#broker,
      api: api.name,
      version,
      correlationId,
      bytes,
    });
  }

  #tellResponse({ api, version, correlationId, sentMs }: InFlight, error?: KafkaError): void {
    this.#options.hooks?.onResponse?.({
      broker: this.#broker,
      api: api.name,
      version,
      correlationId,
      latencyMs: this.#runtime.now() - sentMs,
      ...(error === undefined ? {} : { error }),
    });
  }

  /** Starts the clock of idleness; called when the handshake is done. */
  watchIdle(): void {
    this.#ready = true;
    this.#options.hooks?.onConnect?.({ broker: this.#broker });
    this.#armTimer(this.#runtime.now() + this.#options.connectionMaxIdleMs);
  }

  #nextCorrelationId(): number {
    this.#correlationId = (this.#correlationId + 1) & MAX_INT32;
    return this.#correlationId;
  }

  #lateError(api: AnyApi, what: "answer" | "read", sinceMs: number): TimeoutError {
    return lateError(api, what, this.#broker, this.throttledUntilMs < sinceMs ? "" : this.#gate.throttleNote);
  }
}
