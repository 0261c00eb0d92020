/**
 * One connection of a client to the proxy: who it is and where it wants to go, then bytes both ways.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { monotonicNow, setTimer } from "../../runtime/clock.ts";
import type { Runtime, Timer } from "../../runtime/runtime.ts";
import { CLOSE_CODES, READY, SUBPROTOCOL, tokenProtocol } from "../../runtime/web_socket_protocol.ts";
import { sentenceOf, show } from "../../show.ts";
import { closePayload, frameHeader, FrameReader, OPCODES } from "./frames.ts";
import {
  endOfHead,
  MAX_HEAD_BYTES,
  readUpgrade,
  refusalAnswer,
  upgradeAnswer,
  type UpgradeRequest,
} from "./upgrade.ts";

/** A stream of Node, as far as both ends need it. */
export type Stream = Duplex & {
  setNoDelay?(on: boolean): unknown;
  setKeepAlive?(on: boolean, ms: number): unknown;
};

/** What holds for all clients. */
export interface ProxyRules {
  /** Brokers that it leads to, `host:port`; `*.` in front stands for any name that ends so. */
  readonly allow: readonly string[];
  /** What clients must know. */
  readonly token: string | undefined;
  /** Pages that may come, by their origin; `"*"` is all. */
  readonly origins: readonly string[];
  /** Bytes of a connection, both ways together. */
  readonly maxBytes: number;
  /** A connection on which nothing goes for so long is ended. */
  readonly maxIdleMs: number;
}

/** What a session asks of the proxy. */
export interface ProxyHost {
  readonly rules: ProxyRules;
  /** Takes one of the places; false if there is none. */
  enter(): boolean;
  /** Gives it back. */
  leave(): void;
  /** Connects to a broker. Rejects with the reason. */
  dial(broker: string, cancelled: AbortSignal): Promise<Stream>;
  /** Is told why a client was sent away. */
  onRefused(reason: string): void;
}

/** What a session measures time with. */
export type SessionClock = Pick<Runtime, "now" | "setTimer">;

/** A client that doesn't say what it wants in this time is no client. */
const HEAD_MS = 10_000;
/** How often a client is asked whether it is there; NATs forget a connection after some minutes. */
const PING_MS = 30_000;
/** After a close frame the client has so long to end. */
const END_MS = 2_000;
/** Ours offers two; each costs a hash. */
const MAX_PROTOCOLS = 10;
const NORMAL_CLOSURE = 1000;
const PROTOCOL_ERROR = 1002;

/** Serves a connection until it ends. */
export class Session {
  readonly #client: Stream;
  readonly #host: ProxyHost;
  readonly #clock: SessionClock;
  readonly #ended = new AbortController();
  #head: Uint8Array | undefined = new Uint8Array(0);
  #frames: FrameReader | undefined;
  #broker: Stream | undefined;
  #timer: Timer;
  #isIn = false;
  #isClosing = false;
  #bytes = 0;
  #usedMs: number;
  #unansweredPings = 0;

  /** Takes over a connection. */
  constructor(client: Stream, host: ProxyHost, clock: SessionClock = { now: monotonicNow, setTimer }) {
    this.#client = client;
    this.#host = host;
    this.#clock = clock;
    this.#usedMs = clock.now();
    client.setNoDelay?.(true);
    client.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    // "close" follows.
    client.on("error", () => {});
    client.on("end", () => void client.end());
    client.on("close", () => this.end());
    this.#timer = this.#clock.setTimer(() => this.end(), HEAD_MS);
  }

  /** Ends it now. */
  end(): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#timer.cancel();
    this.#client.destroy();
    this.#broker?.destroy();
    if (this.#isIn) this.#host.leave();
  }

  #onData(chunk: Uint8Array): void {
    if (this.#head !== undefined) return this.#onHead(chunk);
    try {
      this.#frames?.read(chunk);
    } catch (error) {
      this.#close(PROTOCOL_ERROR, sentenceOf(error));
    }
  }

  #onHead(chunk: Uint8Array): void {
    const head = new Uint8Array(this.#head!.length + chunk.length);
    head.set(this.#head!);
    head.set(chunk, this.#head!.length);
    const length = endOfHead(head);
    if (length < 0 && head.length <= MAX_HEAD_BYTES) {
      this.#head = head;
      return;
    }
    this.#head = undefined;
    const request = length < 0
      ? { status: 431, text: "Request Header Fields Too Large" }
      : readUpgrade(head.subarray(0, length));
    if ("status" in request) {
      this.#host.onRefused(`it answers ${request.status}`);
      this.#client.end(refusalAnswer(request));
      return this.#endSoon();
    }
    this.#frames = new FrameReader({
      onBytes: (bytes) => this.#toBroker(bytes),
      onPing: (bytes) => this.#write(OPCODES.pong, bytes),
      onPong: () => this.#unansweredPings = 0,
      onClose: () => this.#close(NORMAL_CLOSURE, ""),
    });
    void this.#serve(request, head.slice(length)).catch((error) => this.#close(CLOSE_CODES.lost, sentenceOf(error)));
  }

  async #serve(request: UpgradeRequest, rest: Uint8Array): Promise<void> {
    this.#client.write(
      await upgradeAnswer(
        request.key,
        request.protocols.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined,
      ),
    );
    // A browser shows no status of HTTP to its page, so it is told of a refusal by a code.
    const refusal = await this.#refusal(request);
    if (refusal !== undefined) {
      this.#host.onRefused(refusal[1]);
      return this.#close(...refusal);
    }
    this.#timer.cancel();
    try {
      this.#broker = await this.#host.dial(request.broker, this.#ended.signal);
    } catch (error) {
      this.#host.onRefused(
        `${show(request.broker)} can't be reached: ${sentenceOf(error)}`,
      );
      return this.#close(CLOSE_CODES.unreachable, sentenceOf(error));
    }
    if (this.#ended.signal.aborted || this.#isClosing) {
      return void this.#broker.destroy();
    }
    this.#listen(this.#broker);
    this.#write(OPCODES.text, new TextEncoder().encode(READY));
    this.#watch();
    if (rest.length > 0) this.#onData(rest);
  }

  /** Why the client is sent away: its token first, so that others learn nothing of the brokers. */
  async #refusal(
    { broker, origin, protocols }: UpgradeRequest,
  ): Promise<[code: number, reason: string] | undefined> {
    const { allow, origins, token } = this.#host.rules;
    if (token !== undefined && !await hasToken(protocols, token)) {
      return [CLOSE_CODES.token, "the token is wrong"];
    }
    if (
      origin !== undefined && !origins.includes("*") &&
      !origins.includes(origin)
    ) {
      return [
        CLOSE_CODES.origin,
        `the origin ${show(origin)} is not among those of --origin`,
      ];
    }
    if (!/^(\[[\da-fA-F:.]+\]|[^:[\]\s/@]+):\d{1,5}$/.test(broker)) {
      return [
        CLOSE_CODES.request,
        `${show(broker)} is no broker, wanted ?broker=host:port`,
      ];
    }
    if (!allow.some((pattern) => matches(pattern, broker))) {
      return [
        CLOSE_CODES.broker,
        `${show(broker)} is not among the brokers of --allow`,
      ];
    }
    if (!this.#host.enter()) {
      return [
        CLOSE_CODES.connections,
        "there are as many connections as there may be",
      ];
    }
    this.#isIn = true;
    return undefined;
  }

  #listen(broker: Stream): void {
    broker.on("data", (chunk: Uint8Array) => {
      this.#count(chunk.length);
      if (this.#isClosing) return;
      if (!this.#write(OPCODES.binary, chunk)) holdUp(broker, this.#client);
    });
    let failure: string | undefined;
    broker.on("error", (error: Error) => failure = sentenceOf(error));
    broker.on("end", () => this.#close(NORMAL_CLOSURE, ""));
    broker.on("close", () => {
      if (failure === undefined) this.#close(NORMAL_CLOSURE, "");
      else this.#close(CLOSE_CODES.lost, failure);
    });
  }

  #toBroker(bytes: Uint8Array): void {
    const broker = this.#broker;
    if (broker === undefined) {
      return this.#close(
        PROTOCOL_ERROR,
        "bytes came before the broker was connected",
      );
    }
    this.#count(bytes.length);
    // Each chunk of a stream is memory of its own, so that it may be kept until it has left.
    if (this.#isClosing || bytes.length === 0 || broker.write(bytes)) return;
    holdUp(this.#client, broker);
  }

  #count(bytes: number): void {
    this.#usedMs = this.#clock.now();
    this.#bytes += bytes;
    if (this.#bytes > this.#host.rules.maxBytes) {
      this.#close(CLOSE_CODES.bytes, "a connection may carry no more bytes");
    }
  }

  #watch(): void {
    const { maxIdleMs } = this.#host.rules;
    this.#timer = this.#clock.setTimer(() => {
      const idleMs = this.#clock.now() - this.#usedMs;
      if (idleMs >= maxIdleMs) {
        return this.#close(CLOSE_CODES.idle, "nothing has gone for too long");
      }
      // What has come from a client that is held up, for its broker is slow, isn't read: its pong may be there.
      if (this.#client.isPaused()) this.#unansweredPings = 0;
      if (this.#unansweredPings > 1) return this.end();
      this.#unansweredPings += 1;
      this.#write(OPCODES.ping, new Uint8Array(0));
      this.#watch();
    }, Math.min(PING_MS, maxIdleMs));
  }

  #write(opcode: number, payload: Uint8Array): boolean {
    if (this.#client.destroyed || this.#client.writableEnded) return true;
    this.#client.cork();
    this.#client.write(frameHeader(opcode, payload.length));
    const isCalm = this.#client.write(payload);
    this.#client.uncork();
    return isCalm;
  }

  #close(code: number, reason: string): void {
    if (this.#isClosing || this.#ended.signal.aborted) return;
    this.#write(OPCODES.close, closePayload(code, reason));
    this.#isClosing = true;
    this.#broker?.end();
    this.#client.end();
    this.#client.resume();
    this.#endSoon();
  }

  #endSoon(): void {
    this.#timer.cancel();
    this.#timer = this.#clock.setTimer(() => this.end(), END_MS);
  }
}

/** Reads no more of a stream until the other one has sent what waits; a chunk that was read already may hold many frames. */
function holdUp(from: Stream, to: Stream): void {
  if (from.isPaused()) return;
  from.pause();
  to.once("drain", () => from.resume());
}

/** Compared by digests, so that how long it takes tells nothing of the token. */
async function hasToken(
  protocols: readonly string[],
  token: string,
): Promise<boolean> {
  const digest = async (text: string): Promise<Uint8Array> =>
    new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
    );
  const wanted = await digest(tokenProtocol(token));
  const given = await Promise.all(protocols.slice(0, MAX_PROTOCOLS).map(digest));
  return given.some((bytes) => bytes.every((byte, at) => byte === wanted[at]));
}

function matches(pattern: string, broker: string): boolean {
  const [wanted, given] = [pattern.toLowerCase(), broker.toLowerCase()];
  return wanted.startsWith("*.")
    ? given.endsWith(wanted.slice(1)) && given.length > wanted.length - 1
    : given === wanted;
}
