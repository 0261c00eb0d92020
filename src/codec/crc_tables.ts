/**
 * Checksums by tables, sixteen bytes a step: CRC-32C for short inputs and where there is no WebAssembly, CRC-32 for gzip.
 *
 * @module
 */

const SLICES = 16;
const CASTAGNOLI = 0x82f63b78;

let castagnoli: Int32Array | undefined;
let ieee: Int32Array | undefined;

/** The CRC-32C of `bytes` from `start` to `end`, as an unsigned number. */
export function crc32cByTables(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
  return ~advance(castagnoli ??= crcTables(CASTAGNOLI), -1, bytes, start, end) >>> 0;
}

/** The same bit by bit, without tables that have to be made first, and so for a few bytes only. */
export function crc32cByBits(bytes: Uint8Array, start: number, end: number): number {
  let crc = -1;
  for (let at = start; at < end; at++) crc = ofByte(crc ^ bytes[at]!, CASTAGNOLI);
  return ~crc >>> 0;
}

/** The CRC-32 of `bytes`, as an unsigned number; of what came before and `bytes`, if that of the former is given. */
export function crc32ByTables(bytes: Uint8Array, before: number = 0): number {
  return ~advance(ieee ??= crcTables(0xedb88320), ~before, bytes, 0, bytes.length) >>> 0;
}

/** Table k, at index 256 k, advances a byte that k more bytes follow. */
function crcTables(polynomial: number): Int32Array {
  const t = new Int32Array(256 * SLICES);
  for (let i = 0; i < 256; i++) t[i] = ofByte(i, polynomial);
  for (let i = 256; i < t.length; i++) {
    const before = t[i - 256]!;
    t[i] = (before >>> 8) ^ t[before & 255]!;
  }
  return t;
}

function ofByte(crc: number, polynomial: number): number {
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  return crc;
}

function advance(t: Int32Array, crc: number, b: Uint8Array, start: number, end: number): number {
  let i = start;
  for (const last = end - SLICES; i <= last; i += SLICES) {
    const a = crc ^ (b[i]! | b[i + 1]! << 8 | b[i + 2]! << 16 | b[i + 3]! << 24);
    crc = t[3840 + (a & 255)]! ^ t[3584 + (a >>> 8 & 255)]! ^ t[3328 + (a >>> 16 & 255)]! ^ t[3072 + (a >>> 24)]! ^
      t[2816 + b[i + 4]!]! ^ t[2560 + b[i + 5]!]! ^ t[2304 + b[i + 6]!]! ^ t[2048 + b[i + 7]!]! ^
      t[1792 + b[i + 8]!]! ^ t[1536 + b[i + 9]!]! ^ t[1280 + b[i + 10]!]! ^ t[1024 + b[i + 11]!]! ^
      t[768 + b[i + 12]!]! ^ t[512 + b[i + 13]!]! ^ t[256 + b[i + 14]!]! ^ t[b[i + 15]!]!;
  }
  for (; i < end; i++) crc = t[(crc ^ b[i]!) & 255]! ^ (crc >>> 8);
  return crc;
}
