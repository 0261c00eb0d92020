/**
 * Avro's binary encoding, written: bytes that grow.
 *
 * @module
 */

const FIRST_SIZE = 256;
const MAX_SAFE_SHIFT = 0x1fff_ffff;
const encoder = new TextEncoder();

/** Takes values and makes bytes of them. */
export class Sink {
  #bytes = new Uint8Array(FIRST_SIZE);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** What was written since the last call, as bytes of their own. */
  finish(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    return bytes;
  }

  /** Forgets what was written: it will not be finished. */
  reset(): void {
    this.#at = 0;
  }

  /** One byte. */
  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  /** An int, or any whole number that JavaScript holds exactly, as a zig-zag varint. */
  int(value: number): void {
    if (value > MAX_SAFE_SHIFT || value < -MAX_SAFE_SHIFT) return this.long(BigInt(value));
    this.#room(5);
    let rest = (value << 1) ^ (value >> 31);
    while ((rest & ~0x7f) !== 0) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  /** A long as a zig-zag varint. */
  long(value: bigint): void {
    this.#room(10);
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 0x7fn) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#at++] = Number(rest);
  }

  /** Four bytes, little-endian. */
  float(value: number): void {
    this.#room(4);
    this.#view.setFloat32(this.#at, value, true);
    this.#at += 4;
  }

  /** Eight bytes, little-endian. */
  double(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** UTF-8 with its length before it. */
  string(text: string): void {
    const bytes = encoder.encode(text);
    this.int(bytes.length);
    this.raw(bytes);
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + size));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
