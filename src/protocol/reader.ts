/**
 * Bytes to values, with every bound checked.
 *
 * A length field is compared with what is left before anything is allocated, so a hostile peer can't make the
 * client reserve what it claims. Byte fields are views of the input, not copies.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { NO_LIMITS, type RequestLimits } from "./bounds.ts";

/** Up to this many bytes a loop over ASCII beats the call into TextDecoder. */
const SHORT_STRING = 32;

// A byte order mark is part of the string; the default is to swallow it.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads one message. Every method throws {@link ProtocolError} when the input ends too early or can't be right. */
export class Reader {
  /** The field being read when an error was thrown, from the outermost struct; kept by the message compiler. */
  path = "";
  /** What is known of the request, when the input is its answer. */
  limits: RequestLimits = NO_LIMITS;
  /** The input. */
  readonly bytes: Uint8Array;
  /** Where the next value begins. */
  offset: number;
  /** Where the input ends. */
  readonly end: number;
  readonly #view: DataView;

  /** Reads `bytes` from `offset` up to `end`. */
  constructor(bytes: Uint8Array, offset: number = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.end - this.offset;
  }

  /** Throws unless everything was read. */
  expectEnd(): void {
    if (this.offset !== this.end) {
      throw new ProtocolError(`Over-long input: ${this.remaining} bytes left after the last field, wanted none.`);
    }
  }

  /** Reads a signed 8-bit integer. */
  int8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  /** Reads a signed 16-bit integer. */
  int16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  /** Reads a signed 32-bit integer. */
  int32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  /** Reads a signed 64-bit integer. */
  int64(): bigint {
    const at = this.#take(8);
    const high = this.#view.getInt32(at);
    // Most are 0 or −1, "none": to make a bigint for each would cost more than all other fields of an answer.
    if ((high === 0 || high === -1) && this.#view.getInt32(at + 4) === high) return high === 0 ? 0n : -1n;
    return this.#view.getBigInt64(at);
  }

  /** Reads one byte; anything but 0 is true. */
  bool(): boolean {
    return this.#view.getInt8(this.#take(1)) !== 0;
  }

  /** Reads an unsigned 32-bit integer of one to five bytes. */
  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#view.getUint8(this.#take(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.#view.getUint8(this.#take(1));
    if (last > 0x0f) throw new ProtocolError("Reading a varint of more than 32 bits: wanted at most 5 bytes.");
    return (value | (last << 28)) >>> 0;
  }

  /** Reads 16 bytes as 32 lower-case hexadecimal digits. */
  uuid(): string {
    const at = this.#take(16);
    let text = "";
    for (const half of [0, 8]) text += this.#view.getBigUint64(at + half).toString(16).padStart(16, "0");
    return text;
  }

  /** Reads a string; null is an error. */
  string(compact: boolean = false): string {
    return this.nullableString(compact) ?? unexpectedNull("string");
  }

  /** Reads a string behind an int16 length, or compact, one more as an unsigned varint. Null has the length -1. */
  nullableString(compact: boolean = false): string | null {
    const length = compact ? this.uvarint() - 1 : this.int16();
    return length === -1 ? null : this.#text(length);
  }

  /** Reads bytes; null is an error. */
  byteField(compact: boolean = false): Uint8Array {
    return this.nullableBytes(compact) ?? unexpectedNull("byte field");
  }

  /** Reads bytes behind an int32 length, or compact, one more as an unsigned varint. Null has the length -1. */
  nullableBytes(compact: boolean = false): Uint8Array | null {
    const length = this.#length(compact);
    return length === -1 ? null : this.raw(length);
  }

  /** Reads `length` bytes as a view of the input. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.bytes.subarray(at, at + length);
  }

  /** Reads the number of elements, coded as the length of bytes is, and checks that so many can follow. */
  arrayLength(minElementSize: number, compact: boolean): number {
    const count = this.#length(compact);
    if (count < -1) throw new ProtocolError(`Reading an array of "${count}" elements: wanted -1 or more.`);
    if (count * minElementSize > this.remaining) {
      throw new ProtocolError(
        `Truncated input: ${count} elements need ${count * minElementSize} bytes, ${this.remaining} left.`,
      );
    }
    return count;
  }

  /** Skips the tag section of a struct of which no tag is known. */
  skipTags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.#take(this.uvarint());
    }
  }

  #length(compact: boolean): number {
    return compact ? this.uvarint() - 1 : this.int32();
  }

  #text(length: number): string {
    const start = this.#take(length);
    const end = start + length;
    let text = "";
    let at = start;
    if (length <= SHORT_STRING) {
      while (at < end && this.bytes[at]! < 0x80) text += String.fromCharCode(this.bytes[at++]!);
    }
    return at === end ? text : decoder.decode(this.bytes.subarray(start, end));
  }

  /** Checks that `size` bytes are left and returns where they begin. */
  #take(size: number): number {
    const at = this.offset;
    if (size < 0) throw new ProtocolError(`Reading a field of "${size}" bytes: wanted -1 (null) or more.`);
    if (at + size > this.end) {
      throw new ProtocolError(`Truncated input: a field needs ${size} bytes, ${this.remaining} left.`);
    }
    this.offset = at + size;
    return at;
  }
}

function unexpectedNull(what: string): never {
  throw new ProtocolError(`Reading null: wanted a ${what}.`);
}
