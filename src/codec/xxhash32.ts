/**
 * xxHash32, the checksum of LZ4 frame headers, blocks and contents.
 *
 * @module
 */

const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/** The xxHash32 of `bytes` from `start` to `end` with seed 0, as an unsigned number. */
export function xxhash32(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
  let i = start;
  let hash = PRIME_5;
  if (end - start >= 16) {
    let a = (PRIME_1 + PRIME_2) | 0;
    let b = PRIME_2;
    let c = 0;
    let d = -PRIME_1 | 0;
    for (const last = end - 16; i <= last; i += 16) {
      a = round(a, word(bytes, i));
      b = round(b, word(bytes, i + 4));
      c = round(c, word(bytes, i + 8));
      d = round(d, word(bytes, i + 12));
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
  }
  hash = (hash + end - start) | 0;
  for (const last = end - 4; i <= last; i += 4) {
    hash = Math.imul(rotate(hash + Math.imul(word(bytes, i), PRIME_3), 17), PRIME_4);
  }
  for (; i < end; i++) hash = Math.imul(rotate(hash + Math.imul(bytes[i]!, PRIME_5), 11), PRIME_1);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(lane: number, input: number): number {
  return Math.imul(rotate(lane + Math.imul(input, PRIME_2), 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
