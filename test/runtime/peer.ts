/**
 * The client's end of a connection to one of the helper servers that `scripts/matrix.mjs` starts.
 *
 * @module
 */

import { selectRuntime } from "../../src/runtime/select.ts";
import type { ConnectOptions, Socket, SocketFactory } from "../../src/runtime/runtime.ts";
import type { TestContext } from "../harness.ts";

/** The ports of the helper servers. */
export interface Ports {
  /** Sends back what it gets. */
  readonly echo: number;
  /** Does what the first line says; see `scripts/lib/servers_main.mjs`. */
  readonly modes: number;
  /** A SOCKS5 proxy; names that end in ".internal" lead to this machine. */
  readonly socks: number;
  /** The same, for `user` with the password `secret`. */
  readonly socksWithPassword: number;
  /** Nobody listens here. */
  readonly refused: number;
  /** Neither accepts nor refuses. */
  readonly hung: number;
  /** Echoes behind TLS. */
  readonly tls: {
    /** What is particular about each server's certificate. */
    readonly ports: Readonly<
      Record<"good" | "mutual" | "expired" | "early" | "elsewhere" | "untrusted" | "old", number>
    >;
    /** The authority that has signed all certificates but one. workerd trusts it by its configuration. */
    readonly ca: string;
    /** A client's certificate, which "mutual" wants. */
    readonly client: {
      readonly cert: string;
      readonly key: string;
      readonly encryptedKey: string;
      readonly passphrase: string;
    };
  };
}

/** What the server got from a connection. */
export interface Report {
  /** Bytes after the first line. */
  readonly bytes: number;
  /** Their SHA-256, in hexadecimal. */
  readonly sha256: string;
  /** The code of the error that ended the connection, if one did. */
  readonly failure?: string;
}

interface Environment {
  readonly SLUICE_TEST_SERVERS?: string;
  readonly process?: { readonly env: Record<string, string | undefined> };
}

/** The sockets under test: those of the runtime that the test is running on. */
export const sockets: SocketFactory = selectRuntime().sockets;

/** Where the helper servers listen. */
export function serverPorts(): Ports {
  const environment = globalThis as unknown as Environment;
  const json = environment.SLUICE_TEST_SERVERS ?? environment.process?.env["SLUICE_TEST_SERVERS"];
  if (json === undefined) throw new Error("The helper servers are not running, wanted node scripts/matrix.mjs");
  return JSON.parse(json) as Ports;
}

/** A connection that keeps what it gets, and can wait for it. */
export class Peer {
  /** Everything received so far. */
  received: Uint8Array = new Uint8Array(0);
  /** One entry per call of `onClose`: its error, or undefined. */
  readonly closes: (Error | undefined)[] = [];
  socket!: Socket;
  #changed: () => void = () => {};

  /** Connects, and destroys the socket when the test is over. */
  static async connect(
    t: TestContext,
    port: number,
    factory: SocketFactory = sockets,
    more: Partial<ConnectOptions> = {},
  ): Promise<Peer> {
    const peer = new Peer();
    peer.socket = await factory.connect({ host: "127.0.0.1", port, timeoutMs: 10_000, signal: t.signal, ...more }, {
      onData: (chunk) => {
        const longer = new Uint8Array(peer.received.byteLength + chunk.byteLength);
        longer.set(peer.received);
        longer.set(chunk, peer.received.byteLength); // a copy: the chunk is borrowed
        peer.received = longer;
        peer.#changed();
      },
      onClose: (error) => {
        peer.closes.push(error);
        peer.#changed();
      },
    });
    t.after(async () => {
      peer.socket.destroy();
      await peer.until(() => peer.closes.length > 0);
    });
    return peer;
  }

  /** Connects to the server of modes and sends the first line. */
  static async command(t: TestContext, command: Record<string, unknown>): Promise<Peer> {
    const peer = await Peer.connect(t, serverPorts().modes);
    peer.socket.write(bytesOf(`${JSON.stringify(command)}\n`));
    return peer;
  }

  /** Waits until the condition holds; asked again on each event. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#changed = resolve);
  }

  /** Waits for a line of JSON. */
  async line<T>(): Promise<T> {
    await this.until(() => this.received.includes(10) || this.closes.length > 0);
    return JSON.parse(new TextDecoder().decode(this.received)) as T;
  }
}

/** What the server got from the connection with that id, once it is over. */
export async function reportOf(t: TestContext, id: string): Promise<Report> {
  return await (await Peer.command(t, { mode: "report", id })).line<Report>();
}

/** An id that no other leg of a matrix run uses. */
export function freshId(): string {
  return crypto.randomUUID();
}

/** The bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Bytes that differ from seed to seed and don't repeat within a part. */
export function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** SHA-256 in hexadecimal, as the servers report it. */
export async function sha256(parts: readonly Uint8Array[]): Promise<string> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
