/**
 * A WebSocket over the runtime's own sockets: for Node 20, which has none, and for frames that no other would send.
 *
 * @module
 */

import type { Socket } from "../../src/runtime/runtime.ts";
import type { WebSocketLike } from "../../src/runtime/web_socket.ts";
import { frameHeader, OPCODES } from "../../src/cli/proxy/frames.ts";
import { sockets } from "./peer.ts";

type Listener = (event: never) => void;

/** The head of a request for a WebSocket. */
export function upgradeHead(path: string, headers: Readonly<Record<string, string>> = {}): string {
  const all = {
    Host: "proxy",
    Upgrade: "websocket",
    Connection: "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "sluice",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** A frame as a client sends it, masked unless told otherwise. */
export function clientFrame(
  opcode: number,
  payload: Uint8Array,
  options: { readonly first?: number; readonly isMasked?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const { first = 0x80 | opcode, isMasked = true } = options;
  const header = frameHeader(opcode, payload.length);
  const mask = Uint8Array.of(0x12, 0x34, 0x56, 0x78);
  const frame = new Uint8Array(header.length + (isMasked ? 4 : 0) + payload.length);
  frame.set(header);
  frame[0] = first;
  let at = header.length;
  if (isMasked) {
    frame[1] = frame[1]! | 0x80;
    frame.set(mask, at);
    at += 4;
  }
  for (let i = 0; i < payload.length; i++) frame[at + i] = isMasked ? payload[i]! ^ mask[i & 3]! : payload[i]!;
  return frame;
}

/** As much of WebSocket as `webSocketConnect` uses. */
export class RawWebSocket implements WebSocketLike {
  /** Headers of all requests. */
  static headers: Readonly<Record<string, string>> = {};

  binaryType = "";
  readonly #listeners = new Map<string, Listener[]>();
  #socket: Promise<Socket>;
  #received: Uint8Array = new Uint8Array(0);
  #isOpen = false;
  #isOver = false;

  constructor(url: string, protocols: string[]) {
    const { hostname, port, pathname, search } = new URL(url);
    this.#socket = sockets.connect({ host: hostname, port: Number(port) }, {
      onData: (chunk) => this.#onData(chunk),
      onClose: () => this.#end(1006, ""),
    });
    this.#socket.then((socket) => {
      const headers = { "Sec-WebSocket-Protocol": protocols.join(", "), ...RawWebSocket.headers };
      socket.write(new TextEncoder().encode(upgradeHead(pathname + search, headers)));
    }, () => this.#end(1006, ""));
  }

  get bufferedAmount(): number {
    return 0;
  }

  addEventListener(event: string, listener: Listener): void {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], listener]);
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#write(clientFrame(OPCODES.binary, bytes));
  }

  close(code = 1000): void {
    this.#write(clientFrame(OPCODES.close, Uint8Array.of(code >> 8, code & 0xff)));
  }

  #write(frame: Uint8Array): void {
    void this.#socket.then((socket) => void socket.write(frame)).catch(() => {});
  }

  #tell(event: string, what: object): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(what as never);
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.then((socket) => socket.destroy()).catch(() => {});
    this.#tell("close", { code, reason });
  }

  #onData(chunk: Uint8Array): void {
    const all = new Uint8Array(this.#received.length + chunk.length);
    all.set(this.#received);
    all.set(chunk, this.#received.length);
    this.#received = all;
    if (!this.#isOpen) {
      const at = new TextDecoder("latin1").decode(all).indexOf("\r\n\r\n");
      if (at < 0) return;
      this.#isOpen = true;
      this.#received = all.slice(at + 4);
    }
    while (!this.#isOver && this.#takeFrame());
  }

  #takeFrame(): boolean {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const short = bytes[1]! & 0x7f;
    const at = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    if (bytes.length < at) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const size = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
    if (bytes.length < at + size) return false;
    const payload = bytes.slice(at, at + size);
    this.#received = bytes.slice(at + size);
    const opcode = bytes[0]! & 0xf;
    if (opcode === OPCODES.text) this.#tell("message", { data: new TextDecoder().decode(payload) });
    if (opcode === OPCODES.binary) this.#tell("message", { data: payload.buffer });
    if (opcode === OPCODES.ping) this.#write(clientFrame(OPCODES.pong, payload));
    if (opcode === OPCODES.close) {
      this.#end(payload[0]! << 8 | payload[1]!, new TextDecoder().decode(payload.subarray(2)));
    }
    return true;
  }
}
