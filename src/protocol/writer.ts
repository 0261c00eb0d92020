/**
 * Values to bytes, big-endian as Kafka wants them, in a buffer that grows.
 *
 * Large byte fields are not copied: the result is a list of parts in which they stand by reference, so a caller
 * must leave those bytes alone until the socket has taken them.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { writeUvarint } from "./varint.ts";

/** What {@link Writer.finish} gives: the bytes in pieces, and how many there are in all. */
export interface WrittenParts {
  /** The pieces in order. Together they are the whole output. */
  readonly parts: Uint8Array[];
  /** Total length in bytes. */
  readonly byteLength: number;
}

const INITIAL_CAPACITY = 256;
/** Small messages share a buffer, one behind the other: to make one costs more than to fill it. */
const SLAB_BYTES = 32_768;
/** Below this a copy is cheaper than one more piece for the socket to write. */
const COPY_LIMIT = 1024;
/** Up to this many characters a loop beats the call into TextEncoder. */
const SHORT_STRING = 64;

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

/** What small messages are written to, and how far it is used; taken away while one is written. */
let slab: Uint8Array = NOTHING;
let slabView!: DataView;
let slabUsed = 0;

/** Writes one message. Every method throws {@link ProtocolError} for a value that its type can't carry. */
export class Writer {
  /** The field being written when an error was thrown, from the outermost struct; kept by the message compiler. */
  path = "";
  readonly #parts: Uint8Array[] = [];
  #finishedLength = 0;
  #buffer: Uint8Array;
  #view: DataView;
  /** Where the piece that is not in `#parts` yet begins. */
  #start: number;
  #offset: number;

  /** Starts with room for a small message; more is taken as needed. */
  constructor() {
    if (slabUsed + INITIAL_CAPACITY > slab.length) {
      slab = new Uint8Array(SLAB_BYTES);
      slabView = viewOf(slab);
      slabUsed = 0;
    }
    this.#buffer = slab;
    this.#view = slabView;
    this.#start = this.#offset = slabUsed;
    slab = NOTHING;
  }

  /** Bytes written so far, those by reference included. */
  get byteLength(): number {
    return this.#finishedLength + this.#offset - this.#start;
  }

  /** Writes a signed 8-bit integer. */
  int8(value: number): void {
    if (value << 24 >> 24 !== value) throw unfit(value, "an int8");
    const at = this.#take(1);
    this.#view.setInt8(at, value);
  }

  /** Writes a signed 16-bit integer. */
  int16(value: number): void {
    if (value << 16 >> 16 !== value) throw unfit(value, "an int16");
    const at = this.#take(2);
    this.#view.setInt16(at, value);
  }

  /** Writes a signed 32-bit integer. */
  int32(value: number): void {
    if ((value | 0) !== value) throw unfit(value, "an int32");
    const at = this.#take(4);
    this.#view.setInt32(at, value);
  }

  /** Writes a signed 64-bit integer. */
  int64(value: bigint): void {
    if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) throw unfit(value, "an int64 (a bigint)");
    const at = this.#take(8);
    this.#view.setBigInt64(at, value);
  }

  /** Writes one byte, 0 or 1. */
  bool(value: boolean): void {
    if (typeof value !== "boolean") throw unfit(value, "a boolean");
    const at = this.#take(1);
    this.#view.setInt8(at, value ? 1 : 0);
  }

  /** Writes an unsigned 32-bit integer in one to five bytes. */
  uvarint(value: number): void {
    if (value >>> 0 !== value) throw unfit(value, "an unsigned varint");
    this.#reserve(5);
    this.#offset = writeUvarint(this.#buffer, this.#offset, value);
  }

  /** Writes 16 bytes from 32 hexadecimal digits. */
  uuid(value: string): void {
    if (typeof value !== "string" || !/^[0-9a-fA-F]{32}$/.test(value)) throw unfit(value, "a uuid of 32 hex digits");
    const at = this.#take(16);
    for (const half of [0, 8]) this.#view.setBigUint64(at + half, BigInt(`0x${value.slice(2 * half, 2 * half + 16)}`));
  }

  /** Writes a string behind its length in UTF-8 bytes: an int16, or compact, one more as an unsigned varint. */
  string(value: string, compact: boolean = false): void {
    if (typeof value !== "string") throw unfit(value, "a string");
    if (value.length <= SHORT_STRING && this.#ascii(value, compact)) return;
    const bytes = encoder.encode(value);
    if (compact) {
      this.uvarint(bytes.length + 1);
    } else {
      if (bytes.length > 0x7fff) {
        throw new ProtocolError(
          `Writing a string of ${bytes.length} bytes ("${value.slice(0, 40)}…"): wanted at most 32767 bytes.`,
        );
      }
      this.int16(bytes.length);
    }
    this.raw(bytes);
  }

  /** Writes a string or null (length −1). */
  nullableString(value: string | null, compact: boolean = false): void {
    if (value !== null) this.string(value, compact);
    else if (compact) this.uvarint(0);
    else this.int16(-1);
  }

  /** Writes bytes behind their length: an int32, or compact, one more as an unsigned varint. */
  bytes(value: Uint8Array | readonly Uint8Array[], compact: boolean = false): void {
    this.length(byteLengthOf(value), compact);
    this.raw(value);
  }

  /** Writes bytes or null (length −1). */
  nullableBytes(value: Uint8Array | readonly Uint8Array[] | null, compact: boolean = false): void {
    if (value === null) this.length(-1, compact);
    else this.bytes(value, compact);
  }

  /** Writes the length of an array or of bytes, -1 for null: an int32, or compact, one more as an unsigned varint. */
  length(value: number, compact: boolean): void {
    if (compact) this.uvarint(value + 1);
    else this.int32(value);
  }

  /** Writes bytes with no length before them; large ones by reference. */
  raw(value: Uint8Array | readonly Uint8Array[]): void {
    if (!(value instanceof Uint8Array)) {
      for (const part of value) this.raw(part);
    } else if (value.length < COPY_LIMIT) {
      const at = this.#take(value.length);
      this.#buffer.set(value, at);
    } else {
      this.#closePart();
      this.#parts.push(value);
      this.#finishedLength += value.length;
    }
  }

  /** Ends the message. The writer is of no more use. */
  finish(): WrittenParts {
    this.#closePart();
    slab = this.#buffer;
    slabView = this.#view;
    slabUsed = this.#offset;
    return { parts: this.#parts, byteLength: this.#finishedLength };
  }

  /** Writes a short string if it is ASCII. */
  #ascii(value: string, compact: boolean): boolean {
    this.#reserve(value.length + 2);
    const at = this.#offset + (compact ? 1 : 2);
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      this.#buffer[at + i] = code;
    }
    if (compact) this.#buffer[this.#offset] = value.length + 1;
    else this.#view.setInt16(this.#offset, value.length);
    this.#offset = at + value.length;
    return true;
  }

  /** Makes room for `size` bytes and returns where they go. `#buffer` and `#view` can be new ones afterwards. */
  #take(size: number): number {
    this.#reserve(size);
    const at = this.#offset;
    this.#offset = at + size;
    return at;
  }

  #reserve(size: number): void {
    if (this.#offset + size <= this.#buffer.length) return;
    // Finished parts keep the old buffer; only the open piece moves to the new one.
    const pending = this.#buffer.subarray(this.#start, this.#offset);
    const grown = new Uint8Array(Math.max(2 * (pending.length + size), SLAB_BYTES));
    grown.set(pending);
    this.#buffer = grown;
    this.#view = viewOf(grown);
    this.#start = 0;
    this.#offset = pending.length;
  }

  #closePart(): void {
    if (this.#offset === this.#start) return;
    const part = this.#buffer.subarray(this.#start, this.#offset);
    this.#parts.push(part);
    this.#finishedLength += part.length;
    this.#start = this.#offset;
  }
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}

function byteLengthOf(value: Uint8Array | readonly Uint8Array[]): number {
  if (value instanceof Uint8Array) return value.length;
  if (!Array.isArray(value)) throw unfit(value, "a Uint8Array");
  let length = 0;
  for (const part of value as readonly Uint8Array[]) {
    if (!(part instanceof Uint8Array)) throw unfit(part, "a Uint8Array");
    length += part.length;
  }
  return length;
}

/** The error for a value that a type can't carry. */
export function unfit(value: unknown, wanted: string): ProtocolError {
  const shown = typeof value === "object" && value !== null ? "an object" : `"${String(value)}"`;
  return new ProtocolError(`Writing ${shown}: wanted ${wanted}.`);
}
