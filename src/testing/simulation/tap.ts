/**
 * A tap in the connections of a producer: it sees requests and answers pass, and cuts requests short.
 *
 * @module
 */

import { ProtocolError } from "../../errors.ts";
import { type AnyApi, decodeResponseFrame, type RequestOf } from "../../protocol/api.ts";
import { FrameAssembler } from "../../protocol/frame_assembler.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { decodeRequestHeader } from "../../protocol/request_header.ts";
import type { Socket, SocketEvents, SocketFactory } from "../../runtime/runtime.ts";

/** A request on its way. */
export interface Exchange {
  /** Where it goes, as `host:port`. */
  readonly address: string;
  /** Number of the connection, by producer. */
  readonly connection: number;
  readonly api: AnyApi;
  readonly version: number;
  readonly correlationId: number;
  readonly request: unknown;
}

/** Who listens at the tap. */
export interface TapListener {
  /** A request leaves. The share of it that is let through, if it is to be cut. */
  onRequest(exchange: Exchange): number | undefined;
  /** An answer has come; undefined if it can't be read. */
  onAnswer(exchange: Exchange | undefined, body: unknown): void;
  /** A connection was made or has ended. */
  onConnection(address: string, connection: number, event: "open" | "closed" | "failed"): void;
}

const LENGTH_BYTES = 4;
const MAX_FRAME = 0x7fff_ffff;

/** Wraps sockets so that all that passes is seen by the listener; who only listens makes no difference to a run. */
export function tapped(sockets: SocketFactory, listener: TapListener): SocketFactory {
  let connections = 0;
  return {
    ...sockets,
    async connect(options, events): Promise<Socket> {
      const address = `${options.host}:${options.port}`;
      const tap = new TappedSocket(address, ++connections, events, listener);
      try {
        tap.inner = await sockets.connect(options, tap);
      } catch (error) {
        listener.onConnection(address, tap.connection, "failed");
        throw error;
      }
      listener.onConnection(address, tap.connection, "open");
      return tap;
    },
  };
}

/** One connection: the client's socket on one side, the listener of the real one on the other. */
class TappedSocket implements Socket, SocketEvents {
  readonly address: string;
  readonly connection: number;
  inner!: Socket;
  readonly #events: SocketEvents;
  readonly #listener: TapListener;
  readonly #frames = new FrameAssembler(MAX_FRAME, (frame) => this.#onFrame(frame), 0);
  readonly #pending: Exchange[] = [];
  #withheldBytes = 0;
  #isCut = false;
  #isReadable = true;

  constructor(address: string, connection: number, events: SocketEvents, listener: TapListener) {
    this.address = address;
    this.connection = connection;
    this.#events = events;
    this.#listener = listener;
  }

  get bufferedBytes(): number {
    return this.inner.bufferedBytes + this.#withheldBytes;
  }

  get unsentBytes(): number {
    return (this.inner.unsentBytes ?? 0) + this.#withheldBytes;
  }

  write(parts: Uint8Array | readonly Uint8Array[]): boolean {
    const list = parts instanceof Uint8Array ? [parts] : parts;
    const bytes = joined(list);
    if (this.#isCut) {
      this.#withheldBytes += bytes.length;
      return true;
    }
    const share = this.#onRequest(bytes);
    if (share === undefined) return this.inner.write(parts);
    const kept = Math.floor(bytes.length * share);
    this.inner.write(bytes.subarray(0, kept));
    this.#withheldBytes += bytes.length - kept;
    this.#isCut = true;
    this.inner.close();
    return true;
  }

  drained(): Promise<void> {
    return this.inner.drained();
  }

  close(): void {
    this.inner.close();
  }

  destroy(error?: Error): void {
    this.inner.destroy(error);
  }

  onData(chunk: Uint8Array): void {
    try {
      if (this.#isReadable) this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#isReadable = false;
    }
    this.#events.onData(chunk);
  }

  onClose(error?: Error): void {
    this.#listener.onConnection(this.address, this.connection, "closed");
    this.#events.onClose(error);
  }

  #onRequest(bytes: Uint8Array): number | undefined {
    const { api, apiVersion, correlationId, reader } = decodeRequestHeader(bytes.subarray(LENGTH_BYTES));
    if (api === undefined) return undefined;
    const request: unknown = api.decodeRequest(reader, apiVersion);
    const { address, connection } = this;
    const exchange: Exchange = { address, connection, api, version: apiVersion, correlationId, request };
    const isAnswered = api.key !== Produce.key || (request as RequestOf<typeof Produce>).acks !== 0;
    if (isAnswered) this.#pending.push(exchange);
    return this.#listener.onRequest(exchange);
  }

  #onFrame(frame: Uint8Array): void {
    const exchange = this.#pending.shift();
    let body: unknown;
    try {
      if (exchange !== undefined) body = decodeResponseFrame(exchange.api, exchange.version, frame).body;
    } catch {
      // Rubbish, or another version than was asked for.
    }
    this.#listener.onAnswer(exchange, body);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
