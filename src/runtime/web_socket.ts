/**
 * Connections through a WebSocket, for where there is no TCP: browsers, and platforms that have nothing else. At the other
 * end `sluice proxy` leads to the brokers.
 *
 * @module
 */

import { readOptions } from "../call_options.ts";
import { AuthenticationError, ConfigError, ConnectionError, type KafkaError } from "../errors.ts";
import { excerpt, show } from "../show.ts";
import { setTimer } from "./clock.ts";
import { connectFailed, dial, formatAddress } from "./dial.ts";
import { QueueSocket, type SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, SocketEvents, SocketFactory } from "./runtime.ts";
import { CLOSE_CODES, READY, SUBPROTOCOL, tokenProtocol } from "./web_socket_protocol.ts";

/** How a proxy is reached. */
export interface WebSocketConnectOptions {
  /** What the proxy knows us by (`sluice proxy --token-file`). */
  readonly token?: string | undefined;
  /** The class to make sockets of, for Node before 22 that of the package `ws`. @default the runtime's own */
  readonly webSocket?: WebSocketClass | undefined;
}

/** What is used of the class `WebSocket`. */
export interface WebSocketClass {
  /** Dials. */
  new (url: string, protocols: string[]): WebSocketLike;
}

/** What is used of a `WebSocket`. */
export interface WebSocketLike {
  /** Set to `"arraybuffer"`. */
  binaryType: string;
  /** Bytes that were sent and have not left yet; not everywhere. */
  readonly bufferedAmount?: number;
  /** Sends a message of bytes. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Ends. */
  close(code?: number, reason?: string): void;
  /** Calls back for each event of a name: `message`, `close`, `error`. */
  // deno-lint-ignore no-explicit-any
  addEventListener(event: string, listener: (event: any) => void): void;
}

/** More than this waits in the socket: then nothing is given to it. */
const HIGH_WATER_BYTES = 256 << 10;
/** WebSockets don't tell when bytes have left. */
const POLL_MS = 5;
const NORMAL_CLOSURE = 1000;
/** No close frame has come. */
const ABNORMAL_CLOSURE = 1006;
const WANTED_URL = '"wss://…" or "ws://…"';

interface Closed {
  readonly code: number;
  readonly reason: string;
}

/**
 * Sockets that go through `sluice proxy`, for the option `connect`, in a browser too. With `wss:` what goes to the proxy is
 * encrypted; TLS with the brokers is the proxy's business (`sluice proxy --broker-tls`), so leave `tls` out.
 *
 * A broker that the proxy doesn't lead to, a token that it doesn't know, and a broker that it can't reach each have an
 * error that says so.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { webSocketConnect } from "@sluice/kafka/sockets";
 *
 * const connect = webSocketConnect("wss://kafka-proxy.example", { token: "…" });
 * const producer = new Producer({ brokers: "kafka.internal:9092", connect });
 * ```
 *
 * @throws {ConfigError} for what is no address of a WebSocket, or where there are none
 */
export function webSocketConnect(
  url: string | { readonly href: string },
  options?: WebSocketConnectOptions,
): SocketFactory {
  const proxy = checkUrl(url);
  const read: { readonly token?: unknown; readonly webSocket?: unknown } = readOptions(
    "webSocketConnect",
    options,
    ["token", "webSocket"],
  );
  const protocols = [SUBPROTOCOL, ...tokenProtocols(read.token)];
  const given = read.webSocket ??
    (globalThis as { readonly WebSocket?: unknown }).WebSocket;
  if (typeof given !== "function") {
    const message = read.webSocket === undefined
      ? 'Pass "webSocket" to webSocketConnect, such as the class of the package "ws": this runtime has none.'
      : `Set "webSocket" of webSocketConnect to a class like WebSocket: ${show(given)} is none.`;
    throw new ConfigError("webSocket", message);
  }
  const Class = given as unknown as WebSocketClass;
  const factory: SocketFactory = {
    name: "websocket",
    can: {
      ca: false,
      clientCert: false,
      serverName: false,
      skipHostname: false,
      insecure: false,
      detached: true,
    },
    connect: (target, events) =>
      dial(factory, target, (cancelled) => {
        if (target.tls !== undefined && target.tls !== false) throw noTls();
        const address = new URL(proxy);
        address.searchParams.set("broker", formatAddress(target));
        return open(() => new Class(address.href, protocols), {
          proxy: proxy.origin,
          target,
          events,
          cancelled,
        });
      }),
  };
  return factory;
}

function checkUrl(given: unknown): URL {
  let url: URL | undefined;
  try {
    url = new URL(typeof given === "string" ? given : (given as { readonly href: string }).href);
  } catch {
    // Told below.
  }
  // An address with a user may hold a secret, so it isn't shown, whatever else is wrong with it.
  if (String(url?.href ?? given).includes("@")) {
    throw new ConfigError(
      "url",
      'Pass what the proxy knows us by as "token" of webSocketConnect, not in the address.',
    );
  }
  if (url === undefined || !/^wss?:$/.test(url.protocol)) {
    throw new ConfigError(
      "url",
      `Pass webSocketConnect the address of a proxy, ${WANTED_URL}: ${show(given)} is none.`,
    );
  }
  // A fragment is an error to WebSocket.
  url.hash = "";
  return url;
}

function tokenProtocols(token: unknown): string[] {
  if (token === undefined) return [];
  if (typeof token === "string" && token !== "") return [tokenProtocol(token)];
  // It may be a secret in another form, so it isn't shown.
  throw new ConfigError(
    "token",
    'Set "token" of webSocketConnect to a text that isn\'t empty.',
  );
}

function noTls(): ConfigError {
  return new ConfigError(
    "tls",
    'Remove "tls": through a WebSocket the proxy speaks TLS with the brokers (sluice proxy --broker-tls), and wss: hides ' +
      "what goes to the proxy.",
  );
}

interface Attempt {
  readonly proxy: string;
  readonly target: ConnectOptions;
  readonly events: SocketEvents;
  readonly cancelled: AbortSignal;
}

/** Resolves once the proxy says that the broker is there. */
function open(
  newSocket: () => WebSocketLike,
  attempt: Attempt,
): Promise<QueueSocket> {
  const { events, cancelled } = attempt;
  return new Promise((resolve, reject) => {
    const socket = newSocket();
    socket.binaryType = "arraybuffer";
    let queue: QueueSocket | undefined;
    let failure: string | undefined;
    const giveUp = (): void => end(socket);
    cancelled.addEventListener("abort", giveUp, { once: true });
    socket.addEventListener("message", ({ data }: { data: unknown }) => {
      if (queue !== undefined) {
        if (data instanceof ArrayBuffer) {
          return queue.received(new Uint8Array(data));
        }
        return queue.ended(
          lost(attempt, "the proxy sent text among the bytes"),
        );
      }
      if (data !== READY) {
        end(socket);
        return reject(refusal(attempt, "what answers is no sluice proxy"));
      }
      cancelled.removeEventListener("abort", giveUp);
      queue = new QueueSocket(new MessageSink(socket), events);
      resolve(queue);
    });
    // What it tells is in Node's and Deno's event; browsers tell nothing.
    socket.addEventListener("error", ({ message }: { message?: unknown }) => {
      if (typeof message === "string" && message !== "") {
        failure = excerpt(message);
      }
      // Of one that never opened Node 22 tells this and nothing more; elsewhere "close" comes in the same turn.
      setTimer(() => {
        if (queue === undefined) onClose({ code: ABNORMAL_CLOSURE, reason: "" });
      }, 0);
    });
    const onClose = (closed: Closed): void => {
      cancelled.removeEventListener("abort", giveUp);
      if (queue === undefined) {
        return reject(closedBefore(attempt, closed, failure));
      }
      queue.ended(
        closed.code === NORMAL_CLOSURE ? undefined : lost(attempt, whyClosed(closed, failure)),
      );
    };
    socket.addEventListener("close", onClose);
  });
}

/** Sends each gathering of segments as one message. */
class MessageSink implements SegmentSink {
  readonly gathers = true;
  readonly #socket: WebSocketLike;
  #isDead = false;

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
  }

  send(segments: readonly Uint8Array[], done: () => void): void {
    // A copy: not every WebSocket is done with the bytes when it returns.
    const message = new Uint8Array(
      segments.reduce((sum, segment) => sum + segment.length, 0),
    );
    let at = 0;
    for (const segment of segments) {
      message.set(segment, at);
      at += segment.length;
    }
    try {
      this.#socket.send(message);
    } catch {
      // It is closing, and its event follows.
      return;
    }
    this.#whenCalm(done);
  }

  shutdown(): void {
    end(this.#socket);
  }

  kill(): void {
    this.#isDead = true;
    end(this.#socket);
  }

  #whenCalm(done: () => void): void {
    if (this.#isDead) return;
    if ((this.#socket.bufferedAmount ?? 0) <= HIGH_WATER_BYTES) return done();
    setTimer(() => this.#whenCalm(done), POLL_MS);
  }
}

function end(socket: WebSocketLike): void {
  try {
    socket.close(NORMAL_CLOSURE);
  } catch {
    // It is closed, or was never open.
  }
}

function closedBefore(
  attempt: Attempt,
  closed: Closed,
  failure: string | undefined,
): KafkaError {
  const { target, proxy } = attempt;
  const broker = formatAddress(target);
  switch (closed.code) {
    case CLOSE_CODES.token:
      return new AuthenticationError(
        `Change "token" of webSocketConnect: the proxy at "${proxy}" refuses it.`,
        { broker },
      );
    case CLOSE_CODES.origin:
      return new AuthenticationError(
        `Start the proxy at "${proxy}" with --origin and the origin of this page: it refuses it.`,
        { broker },
      );
    case CLOSE_CODES.broker:
      return refusal(
        attempt,
        "it doesn't lead to this broker (sluice proxy --allow)",
      );
    case CLOSE_CODES.connections:
      return refusal(
        attempt,
        "it has as many connections as it takes (sluice proxy --max-connections)",
      );
    case CLOSE_CODES.unreachable:
      return refusal(
        attempt,
        `it can't reach the broker: ${excerpt(closed.reason)}`,
      );
    default:
      return refusal(attempt, whyClosed(closed, failure));
  }
}

function whyClosed(
  { code, reason }: Closed,
  failure: string | undefined,
): string {
  if (code === CLOSE_CODES.lost) {
    return `the proxy has lost the broker: ${excerpt(reason)}`;
  }
  if (code === CLOSE_CODES.bytes) {
    return "so many bytes are more than the proxy takes (sluice proxy --max-bytes)";
  }
  if (code === CLOSE_CODES.idle) {
    return "the proxy ends what is idle (sluice proxy --max-idle-ms)";
  }
  if (reason !== "") {
    return `it was closed with ${code}, ${show(excerpt(reason))}`;
  }
  if (failure !== undefined) return failure;
  return code === ABNORMAL_CLOSURE ? "it can't be reached, or has gone" : `it was closed with ${code}`;
}

function refusal({ proxy, target }: Attempt, why: string): ConnectionError {
  const broker = formatAddress(target);
  return new ConnectionError(
    `${connectFailed(broker)}: the proxy at "${proxy}": ${why}.`,
    { broker },
  );
}

function lost({ proxy, target }: Attempt, why: string): ConnectionError {
  const broker = formatAddress(target);
  return new ConnectionError(
    `Connection to "${broker}" through the proxy at "${proxy}" was lost: ${why}.`,
    { broker },
  );
}
