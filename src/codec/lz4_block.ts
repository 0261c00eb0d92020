/**
 * LZ4 blocks in JavaScript, for runtimes without WebAssembly.
 *
 * @module
 */

import { MIN_MATCH } from "./lz4.ts";

/** The last bytes of a block are always literals. */
const LAST_LITERALS = 5;
/** The last match starts at least this far from the end of its block. */
const MATCH_FROM_END = 12;
/** After 2^6 misses the search begins to skip bytes. */
const SKIP_TRIGGER = 6;

const MAX_HASH_BITS = 13;
/** Where in its block a hash was last seen. Block-relative positions fit in 16 bits. */
let hashTable: Uint16Array | undefined;

/** Compresses one block, or returns 0 when that would not make it smaller. */
export function compressLz4Block(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outputStart: number,
): number {
  const size = end - start;
  const table = hashTable ??= new Uint16Array(1 << MAX_HASH_BITS);
  const hashBits = size <= 4096 ? 10 : MAX_HASH_BITS;
  const shift = 32 - hashBits;
  table.fill(0, 0, 1 << hashBits);
  const outputEnd = outputStart + size;
  const lastStart = end - MATCH_FROM_END;
  const matchEnd = end - LAST_LITERALS;
  let out = outputStart;
  let anchor = start;
  let i = start + 1; // an empty slot of the table says "at the start", so the start needs no entry

  while (i <= lastStart) {
    let candidate = 0;
    let misses = 1 << SKIP_TRIGGER;
    for (;;) {
      const word = input[i]! | (input[i + 1]! << 8) | (input[i + 2]! << 16) | (input[i + 3]! << 24);
      const hash = Math.imul(word, 0x9e3779b1) >>> shift;
      candidate = start + table[hash]!;
      table[hash] = i - start;
      if (
        input[candidate] === (word & 255) && input[candidate + 1] === (word >>> 8 & 255) &&
        input[candidate + 2] === (word >>> 16 & 255) && input[candidate + 3] === word >>> 24
      ) break;
      i += misses++ >>> SKIP_TRIGGER;
      if (i > lastStart) return finishBlock(input, anchor, end, output, outputStart, out, outputEnd);
    }
    while (i > anchor && candidate > start && input[i - 1] === input[candidate - 1]) {
      i--;
      candidate--;
    }
    const offset = i - candidate;
    let j = i + MIN_MATCH;
    while (j < matchEnd && input[j] === input[j - offset]) j++;

    const literals = i - anchor;
    // Token, two lengths with their extra bytes, offset, and the literals of the end must leave the block smaller.
    if (out + literals + (literals / 255 | 0) + ((j - i) / 255 | 0) + 5 >= outputEnd) return 0;
    out = writeLiterals(input, anchor, literals, Math.min(j - i - MIN_MATCH, 15), output, out);
    output[out++] = offset;
    output[out++] = offset >>> 8;
    if (j - i - MIN_MATCH >= 15) out = writeLength(output, out, j - i - MIN_MATCH - 15);

    i = anchor = j;
    if (i <= lastStart) {
      const k = i - 2;
      const word = input[k]! | (input[k + 1]! << 8) | (input[k + 2]! << 16) | (input[k + 3]! << 24);
      table[Math.imul(word, 0x9e3779b1) >>> shift] = k - start;
    }
  }
  return finishBlock(input, anchor, end, output, outputStart, out, outputEnd);
}

function finishBlock(
  input: Uint8Array,
  anchor: number,
  end: number,
  output: Uint8Array,
  outputStart: number,
  out: number,
  outputEnd: number,
): number {
  const literals = end - anchor;
  if (out + literals + (literals / 255 | 0) + 2 >= outputEnd) return 0;
  return writeLiterals(input, anchor, literals, 0, output, out) - outputStart;
}

function writeLiterals(
  input: Uint8Array,
  from: number,
  length: number,
  matchToken: number,
  output: Uint8Array,
  at: number,
): number {
  let out = at;
  if (length < 15) {
    output[out++] = (length << 4) | matchToken;
  } else {
    output[out++] = 0xf0 | matchToken;
    out = writeLength(output, out, length - 15);
  }
  if (length > 64) {
    output.set(input.subarray(from, from + length), out);
  } else {
    for (let k = 0; k < length; k++) output[out + k] = input[from + k]!;
  }
  return out + length;
}

function writeLength(output: Uint8Array, at: number, length: number): number {
  let out = at;
  let rest = length;
  for (; rest >= 255; rest -= 255) output[out++] = 255;
  output[out++] = rest;
  return out;
}
