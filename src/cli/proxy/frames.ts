/**
 * Frames of WebSocket (RFC 6455) as a server reads and writes them. What a message carries is handed on as it comes: nothing
 * is gathered, so no message is too large.
 *
 * @module
 */

import { ProtocolError } from "../../errors.ts";

/** Kinds of frames. */
export const OPCODES = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** What a client sends. */
export interface FrameEvents {
  /** Bytes of a message. BORROWED: valid only during the call. */
  onBytes(bytes: Uint8Array): void;
  /** A ping, to be answered with its bytes. */
  onPing(bytes: Uint8Array): void;
  /** The answer to a ping. */
  onPong(): void;
  /** The client ends. */
  onClose(): void;
}

const MASK_BYTES = 4;
/** Longer frames that steer the connection are an error. */
const MAX_CONTROL_BYTES = 125;
const MAX_HEADER_BYTES = 14;

/** Reads what a client sends, in pieces of any size. */
export class FrameReader {
  readonly #events: FrameEvents;
  #header: Uint8Array = new Uint8Array(0);
  #control: Uint8Array = new Uint8Array(0);
  #opcode = -1;
  #left = 0;
  #mask: Uint8Array = new Uint8Array(MASK_BYTES);
  #masked = 0;
  /** A message is under way: what comes next goes on with it. */
  #inMessage = false;
  #isOver = false;

  /** Tells the events of what it is given. */
  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** Takes bytes; they are changed. @throws {ProtocolError} for what no client sends */
  read(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#isOver) {
      rest = this.#opcode < 0 ? this.#readHeader(rest) : this.#readPayload(rest);
    }
  }

  #readHeader(bytes: Uint8Array): Uint8Array {
    const known = this.#header.length;
    const header = concat(
      this.#header,
      bytes.subarray(0, MAX_HEADER_BYTES - known),
    );
    const length = headerLength(header);
    if (length === undefined || header.length < length) {
      this.#header = header;
      return bytes.subarray(header.length - known);
    }
    this.#header = new Uint8Array(0);
    this.#begin(header.subarray(0, length));
    if (this.#left === 0) this.#finish();
    return bytes.subarray(length - known);
  }

  #begin(header: Uint8Array): void {
    const [first = 0] = header;
    const opcode = first & 0xf;
    const isLast = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) {
      throw refused("an extension that wasn't agreed on");
    }
    const size = payloadSize(header);
    if (opcode >= OPCODES.close) {
      if (!isLast || size > MAX_CONTROL_BYTES) {
        throw refused("a control frame that is too long");
      }
    } else if (opcode === OPCODES.text) throw refused("text");
    else if ((opcode === OPCODES.continuation) !== this.#inMessage) {
      throw refused("a message within another");
    }
    if (![0, 2, 8, 9, 10].includes(opcode)) {
      throw refused(`a frame of an unknown kind (${opcode})`);
    }
    if (opcode < OPCODES.close) this.#inMessage = !isLast;
    this.#opcode = opcode;
    this.#left = size;
    this.#mask = header.slice(header.length - MASK_BYTES);
    this.#masked = 0;
  }

  #readPayload(bytes: Uint8Array): Uint8Array {
    const own = bytes.subarray(0, Math.min(this.#left, bytes.length));
    for (let i = 0; i < own.length; i++) {
      own[i] = own[i]! ^ this.#mask[this.#masked + i & 3]!;
    }
    this.#masked += own.length;
    this.#left -= own.length;
    if (this.#opcode < OPCODES.close) this.#events.onBytes(own);
    else this.#control = concat(this.#control, own);
    if (this.#left === 0) this.#finish();
    return bytes.subarray(own.length);
  }

  #finish(): void {
    const opcode = this.#opcode;
    const control = this.#control;
    this.#opcode = -1;
    this.#control = new Uint8Array(0);
    if (opcode === OPCODES.ping) this.#events.onPing(control);
    if (opcode === OPCODES.pong) this.#events.onPong();
    if (opcode === OPCODES.close) {
      this.#isOver = true;
      this.#events.onClose();
    }
  }
}

/** The bytes before a payload. */
export function frameHeader(opcode: number, size: number): Uint8Array {
  const first = 0x80 | opcode;
  if (size < 126) return Uint8Array.of(first, size);
  if (size < 0x1_0000) return Uint8Array.of(first, 126, size >> 8, size & 0xff);
  const header = new Uint8Array(10);
  header.set([first, 127]);
  new DataView(header.buffer).setBigUint64(2, BigInt(size));
  return header;
}

/** The payload of a close frame; the reason is cut to what fits. */
export function closePayload(code: number, reason: string): Uint8Array {
  const text = new TextEncoder().encode(reason);
  let length = Math.min(text.length, MAX_CONTROL_BYTES - 2);
  // Not within a character.
  while (
    length < text.length && length > 0 && (text[length]! & 0xc0) === 0x80
  ) length--;
  return concat(
    Uint8Array.of(code >> 8, code & 0xff),
    text.subarray(0, length),
  );
}

/** How long a header is, mask included; undefined while its first two bytes aren't there. */
function headerLength(header: Uint8Array): number | undefined {
  if (header.length < 2) return undefined;
  // At once: it might be too short for the mask that isn't there.
  if ((header[1]! & 0x80) === 0) throw refused("a frame without a mask");
  const size = header[1]! & 0x7f;
  return 2 + (size === 126 ? 2 : size === 127 ? 8 : 0) + MASK_BYTES;
}

function payloadSize(header: Uint8Array): number {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const size = header[1]! & 0x7f;
  if (size < 126) return size;
  if (size === 126) return view.getUint16(2);
  const long = view.getBigUint64(2);
  if (long > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw refused("a frame without end");
  }
  return Number(long);
}

function refused(what: string): ProtocolError {
  return new ProtocolError(`Reading a WebSocket failed: there was ${what}.`);
}

function concat(one: Uint8Array, other: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}
