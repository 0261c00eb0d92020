/**
 * One connection to one broker: requests out in order, answers matched in the same order, and at the first sign of
 * trouble an end that everybody hears of.
 *
 * A dead connection is a value: the first error is kept, every request in flight and every later one gets it, and
 * nothing on the connection is believed any more.
 *
 * @module
 */

import { ConnectionError, KafkaError, ProtocolError, TimeoutError, UnsupportedVersionError } from "../errors.ts";
import { chooseVersion, decodeResponseFrame, encodeRequestFrame, readCorrelationId } from "../protocol/api.ts";
import { FrameAssembler } from "../protocol/frame_assembler.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../protocol/schema.ts";
import type { Runtime, Socket, Timer, TlsOptions } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { sleep } from "./sleep.ts";

/** What every connection of a client has in common. */
export interface ConnectionOptions {
  /** Sent with each request; quotas and the broker's logs go by it. */
  readonly clientId: string;
  /** TCP, TLS and handshake together, in ms. */
  readonly connectTimeoutMs: number;
  /** A connection that was idle for so long is closed, in ms. */
  readonly connectionMaxIdleMs: number;
  /** Cap on the size of an answer in bytes. */
  readonly maxResponseSize: number;
  /** Speak TLS. */
  readonly tls?: TlsOptions | boolean | undefined;
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
  /** How many bytes had been handed to the socket before this request. */
  readonly startByte: number;
  deadlineMs: number;
  readonly resolve: (response: never) => void;
  readonly reject: (error: KafkaError) => void;
}

/**
 * From which version on a broker answers before it throttles, so that the client has to hold back (KIP-219).
 * Below it the broker has done the waiting itself.
 */
const CLIENT_THROTTLES_FROM: Readonly<Record<string, number>> = {
  Produce: 6,
  Fetch: 8,
  ListOffsets: 3,
  Metadata: 6,
  FindCoordinator: 2,
  ApiVersions: 2,
  CreateTopics: 3,
  InitProducerId: 1,
  AddPartitionsToTxn: 1,
  AddOffsetsToTxn: 1,
  EndTxn: 1,
  TxnOffsetCommit: 1,
};

/** A connection, ready or not; {@link openConnection} makes ready ones. */
export class Connection {
  /** Where it leads. */
  readonly address: Address;
  /** Called once, when the connection has ended. */
  onClose: (error: KafkaError) => void = () => {};
  /** The broker answers ApiVersions requests in a version above 0. */
  modern = false;
  /** Until when the broker asked not to be sent anything, on the monotonic clock. */
  throttledUntilMs = 0;
  /** What the broker offers, by API key; empty until the handshake is done. */
  versions: ReadonlyMap<number, VersionRange> = new Map();

  readonly #runtime: Runtime;
  readonly #options: ConnectionOptions;
  readonly #frames: FrameAssembler;
  readonly #inFlight: InFlight[] = [];
  readonly #ended = new AbortController();
  #socket: Socket | undefined;
  #error: KafkaError | undefined;
  #correlationId = 0;
  #bytesWritten = 0;
  #lastUsedMs: number;
  #timer: Timer | undefined;
  #timerAtMs = Infinity;

  /** Makes a connection without a socket; {@link Connection.dial} gives it one. */
  constructor(runtime: Runtime, address: Address, options: ConnectionOptions) {
    this.#runtime = runtime;
    this.address = address;
    this.#options = options;
    this.#lastUsedMs = runtime.now();
    this.#frames = new FrameAssembler(options.maxResponseSize, (frame) => this.#onFrame(frame));
  }

  /** Why the connection is of no more use; undefined while it is. */
  get error(): KafkaError | undefined {
    return this.#error;
  }

  /** Requests that wait for an answer. */
  get inFlight(): number {
    return this.#inFlight.length;
  }

  /** Opens the socket. Rejects with a {@link ConnectionError}. */
  async dial(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { host, port } = this.address;
    const tls = this.#options.tls;
    const socket = await this.#runtime.sockets.connect(
      { host, port, timeoutMs, signal, ...(tls === undefined ? {} : { tls }) },
      { onData: (chunk) => this.#onData(chunk), onClose: (error) => this.#onSocketClose(error) },
    );
    if (this.#error === undefined) this.#socket = socket;
    else socket.destroy();
  }

  /**
   * The highest version of an API that both ends speak, at most `cap`.
   *
   * @throws {UnsupportedVersionError} when there is none; nothing is written then
   */
  version(api: AnyApi, cap?: number): number {
    const range = this.versions.get(api.key);
    if (range === undefined) {
      throw new UnsupportedVersionError(
        `Use another broker: ${formatAddress(this.address)} doesn't offer ${api.name} at all.`,
        { broker: formatAddress(this.address) },
      );
    }
    return chooseVersion(api, range.min, range.max, cap);
  }

  /** Sends a request and resolves with its answer; rejects when the connection ends first. */
  request<A extends AnyApi>(
    api: A,
    version: number,
    body: RequestInputOf<A>,
    timeoutMs: number,
  ): Promise<ResponseOf<A>> {
    const heldForMs = this.throttledUntilMs - this.#runtime.now();
    if (heldForMs > 0 && this.#error === undefined) {
      return sleep(this.#runtime, heldForMs, this.#ended.signal)
        .then(() => this.request(api, version, body, timeoutMs));
    }
    return new Promise((resolve, reject) => {
      const correlationId = this.#nextCorrelationId();
      const startByte = this.#bytesWritten;
      try {
        this.#write(encodeRequestFrame(api, version, correlationId, this.#options.clientId, body as never));
      } catch (error) {
        reject(error);
        return;
      }
      const deadlineMs = this.#lastUsedMs + timeoutMs;
      this.#inFlight.push({ api, version, correlationId, startByte, deadlineMs, resolve, reject });
      this.#armTimer(deadlineMs);
    });
  }

  /**
   * Sends a request that the broker never answers (acks 0). Resolves on a later turn, once the socket has taken the
   * bytes without falling behind; rejects when the connection ended by then.
   */
  async send<A extends AnyApi>(api: A, version: number, body: RequestInputOf<A>, timeoutMs: number): Promise<void> {
    const startByte = this.#bytesWritten;
    const calm = this.#write(
      encodeRequestFrame(api, version, this.#nextCorrelationId(), this.#options.clientId, body as never),
    );
    if (!calm) {
      // Nobody answers, so a broker that has stopped reading is found out here.
      const timer = this.#runtime.setTimer(() => this.destroy(this.#lateError(api, "read")), timeoutMs);
      await this.#socket?.drained();
      timer.cancel();
    }
    // A later turn, not a microtask: a caller who awaits one send after the other must not starve timers and I/O.
    await new Promise<void>((resolve) => this.#runtime.defer(resolve));
    if (this.#error !== undefined && this.#flushedBytes() <= startByte) throw this.#errorFor(startByte);
  }

  /** Ends in an orderly way; what is in flight is failed. */
  close(): void {
    this.#end(new ConnectionError(`The connection to ${formatAddress(this.address)} was closed by the client.`), false);
  }

  /** Ends at once and for the given reason. */
  destroy(error: KafkaError): void {
    this.#end(error, true);
  }

  #write(parts: readonly Uint8Array[]): boolean {
    if (this.#error !== undefined) throw this.#errorFor(this.#bytesWritten);
    if (this.#socket === undefined) throw new ConnectionError("Wait for the socket before the first request.");
    for (const part of parts) this.#bytesWritten += part.length;
    this.#lastUsedMs = this.#runtime.now();
    return this.#socket.write(parts);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#error !== undefined) return;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      this.destroy(this.#named(error));
    }
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#error !== undefined) return;
    const entry = this.#inFlight[0];
    const correlationId = readCorrelationId(frame);
    if (entry === undefined || entry.correlationId !== correlationId) {
      const wanted = entry === undefined ? "no answer is awaited" : `${entry.correlationId} is awaited`;
      throw new ProtocolError(`Close the connection: an answer has correlation id ${correlationId}, ${wanted}.`);
    }
    const { body } = decodeResponseFrame(entry.api, entry.version, frame);
    this.#inFlight.shift();
    this.#lastUsedMs = this.#runtime.now();
    this.#heedThrottle(entry, body as { throttleTimeMs?: number });
    entry.resolve(body as never);
  }

  /** The broker leaves later requests unread for that long, so those in flight get as much more time. */
  #heedThrottle(entry: InFlight, body: { throttleTimeMs?: number }): void {
    const throttleMs = body.throttleTimeMs ?? 0;
    if (throttleMs <= 0 || entry.version < (CLIENT_THROTTLES_FROM[entry.api.name] ?? 0)) return;
    this.throttledUntilMs = Math.max(this.throttledUntilMs, this.#lastUsedMs + throttleMs);
    for (const other of this.#inFlight) other.deadlineMs += throttleMs;
  }

  #onSocketClose(cause: Error | undefined): void {
    const name = formatAddress(this.address);
    this.#end(
      new ConnectionError(
        cause === undefined ? `The broker at ${name} closed the connection.` : `The connection to ${name} was lost.`,
        { broker: name, cause },
      ),
      true,
    );
  }

  #end(error: KafkaError, abruptly: boolean): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#timer?.cancel();
    this.#ended.abort();
    const failed = this.#inFlight.splice(0);
    const errors = failed.map((entry) => this.#errorFor(entry.startByte));
    if (abruptly) this.#socket?.destroy();
    else this.#socket?.close();
    for (const [index, entry] of failed.entries()) entry.reject(errors[index]!);
    this.onClose(error);
  }

  /** The error of a request that began at the given byte: its fate is unknown only if a byte of it may have left. */
  #errorFor(startByte: number): KafkaError {
    const reason = this.#error!;
    const left = this.#flushedBytes() > startByte;
    const options = {
      broker: formatAddress(this.address),
      persisted: left ? "possibly" : "no",
      retriable: true,
      cause: reason,
    } as const;
    if (reason instanceof TimeoutError) return new TimeoutError(reason.message, { ...options, code: reason.code });
    return new ConnectionError(reason.message, options);
  }

  /** Bytes of which any may have reached the broker. */
  #flushedBytes(): number {
    return this.#bytesWritten - (this.#socket?.unsentBytes ?? 0);
  }

  #armTimer(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#runtime.setTimer(() => this.#onTimer(), Math.max(0, atMs - this.#runtime.now()));
  }

  #onTimer(): void {
    this.#timerAtMs = Infinity;
    this.#timer = undefined;
    const nowMs = this.#runtime.now();
    let nextMs = this.#inFlight.length > 0 ? Infinity : this.#lastUsedMs + this.#options.connectionMaxIdleMs;
    for (const entry of this.#inFlight) {
      if (entry.deadlineMs <= nowMs) {
        this.destroy(this.#lateError(entry.api, "answer"));
        return;
      }
      nextMs = Math.min(nextMs, entry.deadlineMs);
    }
    if (this.#inFlight.length === 0 && nextMs <= nowMs) this.close();
    else this.#armTimer(Math.max(nextMs, nowMs + 1));
  }

  /** Starts the clock of idleness; called when the handshake is done. */
  watchIdle(): void {
    this.#armTimer(this.#runtime.now() + this.#options.connectionMaxIdleMs);
  }

  #nextCorrelationId(): number {
    this.#correlationId = (this.#correlationId + 1) & 0x7fffffff;
    return this.#correlationId;
  }

  #lateError(api: AnyApi, what: "answer" | "read"): TimeoutError {
    const broker = formatAddress(this.address);
    const message = `The broker at ${broker} didn't ${what} ${api.name} in time (requestTimeoutMs).`;
    return new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker });
  }

  #named(error: unknown): KafkaError {
    const broker = formatAddress(this.address);
    if (error instanceof KafkaError) {
      return new ProtocolError(`The answer of ${broker} can't be right. ${error.message}`, { broker, cause: error });
    }
    return new ProtocolError(`The answer of ${broker} can't be read.`, { broker, cause: error });
  }
}
