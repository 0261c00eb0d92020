/**
 * Connections that somebody else has opened, before anybody listens to them: a stream of Node is a `NodeWire`, streams of
 * the web are a `WebWire`, what a `SocketFactory` opens is a `SocketWire`.
 *
 * Until a wire is started it can be read and written piece by piece, as proxies want it, and made to speak TLS.
 *
 * @module
 */

import { ConnectionError } from "../errors.ts";
import { show } from "../show.ts";
import { formatAddress } from "./dial.ts";
import type { ConnectOptions, Socket, SocketEvents } from "./runtime.ts";

/** A connection that is open. */
export interface Wire {
  /** True when it speaks TLS by itself. */
  readonly isSecure: boolean;
  /** Resolves when bytes can go. */
  opened(): Promise<void>;
  /** The next bytes, as they come; undefined when there will be none. */
  read(): Promise<Uint8Array | undefined>;
  /** Sends bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Speaks TLS from here on, with the broker of the options. */
  startTls(options: ConnectOptions): Promise<Wire>;
  /** Hands the connection over to somebody who listens. */
  start(options: ConnectOptions, events: SocketEvents): Socket & {
    /** Gives it up without a word to its owner. */
    abandon(): void;
  };
  /** Gives it up. */
  abandon(): void;
}

/** What has an owner who hears of its end, unless it was given up. */
export interface Abandonable {
  /** Gives it up without a word to its owner. */
  abandon(): void;
}

/** What a stream has given, if it is bytes. */
export function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  const message = `Let the stream that "connect" has opened give bytes, without an encoding: ${show(chunk)} is none.`;
  throw new ConnectionError(message, { retriable: false });
}

/** The error of an attempt that was given up. */
export function givenUp(options: ConnectOptions): ConnectionError {
  const broker = formatAddress(options);
  return new ConnectionError(`Connecting to "${broker}" was given up`, { broker });
}
