/**
 * Avro's binary encoding, read: nothing that the bytes say of their own size is believed beyond their end.
 *
 * @module
 */

import { SerializationError } from "../../errors.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** A varint of 64 bits has so many bytes at most. */
const MAX_VARINT_BYTES = 10;
/** Elements that take no bytes (null, an empty record) are bounded by nothing but this. */
const MAX_EMPTY_ELEMENTS = 1_000_000;

/** Reads values out of bytes. */
export class Source {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  /** Begins with the first byte. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes are left. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** One byte. */
  byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++]!;
  }

  /** A long. */
  long(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt((low >>> 1) ^ -(low & 1));
    }
    let value = BigInt(low);
    for (let index = 4; index < MAX_VARINT_BYTES; index++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) {
        const bits = BigInt.asUintN(64, value);
        return BigInt.asIntN(64, (bits >> 1n) ^ -(bits & 1n));
      }
    }
    throw new SerializationError("Reading a number of more than ten bytes: wanted a varint of 64 bits.");
  }

  /** An int. */
  int(): number {
    const value = this.long();
    if (value >= -0x8000_0000n && value <= 0x7fff_ffffn) return Number(value);
    throw new SerializationError(`Reading "${value}": wanted an int of 32 bits.`);
  }

  /** Four bytes, little-endian. */
  float(): number {
    this.#need(4);
    this.#at += 4;
    return this.#view.getFloat32(this.#at - 4, true);
  }

  /** Eight bytes, little-endian. */
  double(): number {
    this.#need(8);
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  /** So many bytes, as a copy. */
  raw(length: number): Uint8Array {
    this.#need(length);
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  /** Bytes with their length before them. */
  bytes(): Uint8Array {
    return this.raw(this.#length());
  }

  /** UTF-8 with its length before it. */
  string(): string {
    const bytes = this.bytes();
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new SerializationError("Reading a string: its bytes are no UTF-8.", { cause });
    }
  }

  /** The elements of a block of an array or a map; 0 ends it. `least` is how many bytes each takes at least. */
  blockCount(least: number): number {
    const count = this.long();
    // A negative count is followed by the block's size, which only those need who skip it.
    if (count < 0n) this.long();
    const elements = count < 0n ? -count : count;
    const most = least === 0 ? MAX_EMPTY_ELEMENTS : Math.floor(this.remaining / least);
    if (elements <= BigInt(most)) return Number(elements);
    throw new SerializationError(`Reading a block of ${elements} elements: there are bytes for ${most}.`);
  }

  #length(): number {
    const length = this.long();
    if (length >= 0n && length <= BigInt(this.remaining)) return Number(length);
    throw new SerializationError(`Reading a length of ${length}: ${this.remaining} bytes are left.`);
  }

  #need(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    throw new SerializationError(`Reading ${length} bytes: ${this.remaining} are left.`);
  }
}
