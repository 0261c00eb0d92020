/**
 * Variable-length integers as plain functions over a buffer and an offset, for the path of every record.
 *
 * Signed ones are zig-zag coded as in Protocol Buffers. Varlongs are `number`s here: a record's timestamp delta
 * always fits 53 bits, and a `BigInt` per record would cost more than the rest of its header.
 *
 * @module
 */

const TWO_POW_32 = 0x1_0000_0000;

/** Bytes that an unsigned 32-bit integer takes. */
export function sizeOfUvarint(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/** Bytes that a signed 32-bit integer takes, zig-zag coded. */
export function sizeOfVarint(value: number): number {
  return sizeOfUvarint(((value << 1) ^ (value >> 31)) >>> 0);
}

/** Bytes that a safe integer takes as a zig-zag coded 64-bit one. */
export function sizeOfVarlong(value: number): number {
  if (value >= -0x4000_0000 && value < 0x4000_0000) return sizeOfVarint(value);
  // Zig-zag keeps the bits of a negative number's complement, and doubling adds one bit.
  let rest = value < 0 ? -1 - value : value;
  let size = 1;
  for (rest = Math.floor(rest / 0x40); rest > 0; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Writes an unsigned 32-bit integer; returns the offset after it. The caller has made room. */
export function writeUvarint(buffer: Uint8Array, offset: number, value: number): number {
  let rest = value >>> 0;
  while (rest >= 0x80) {
    buffer[offset++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[offset++] = rest;
  return offset;
}

/** Writes a signed 32-bit integer, zig-zag coded; returns the offset after it. The caller has made room. */
export function writeVarint(buffer: Uint8Array, offset: number, value: number): number {
  return writeUvarint(buffer, offset, (value << 1) ^ (value >> 31));
}

/** Writes a safe integer as a zig-zag coded 64-bit one; returns the offset after it. The caller has made room. */
export function writeVarlong(buffer: Uint8Array, offset: number, value: number): number {
  if (value >= -0x4000_0000 && value < 0x4000_0000) return writeVarint(buffer, offset, value);
  // The doubled value can pass 2^53, so it is kept as two halves of 32 bits. For a negative number the zig-zag
  // form is 2 * (-1 - value) + 1.
  const negative = value < 0;
  const magnitude = negative ? -1 - value : value;
  const magnitudeLow = magnitude % TWO_POW_32 >>> 0;
  let low = ((magnitudeLow << 1) | (negative ? 1 : 0)) >>> 0;
  let high = ((Math.floor(magnitude / TWO_POW_32) << 1) | (magnitudeLow >>> 31)) >>> 0;
  while (high !== 0 || low >= 0x80) {
    buffer[offset++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  buffer[offset++] = low;
  return offset;
}

/** Writes 32 bits, big-endian. Where there is no DataView yet, to make one for a number costs more than it does. */
export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
