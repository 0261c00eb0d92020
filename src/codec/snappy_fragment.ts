/**
 * The elements of Snappy blocks in JavaScript, for runtimes without WebAssembly.
 *
 * @module
 */

const MAX_HASH_BITS = 13;
const SKIP_TRIGGER = 5;
/** A match is looked for only where a word can be read behind the next position. */
const MARGIN = 15;

/** Where in its stretch a hash was last seen. */
let hashTable: Uint16Array | undefined;

/** Compresses one stretch of a block to elements, and returns how many bytes they take. */
export function compressSnappyFragment(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outputStart: number,
): number {
  const table = hashTable ??= new Uint16Array(1 << MAX_HASH_BITS);
  const hashBits = end - start <= 4096 ? 10 : MAX_HASH_BITS;
  const shift = 32 - hashBits;
  table.fill(0, 0, 1 << hashBits);
  const lastStart = end - MARGIN;
  let out = outputStart;
  let anchor = start;
  let i = start + 1; // an empty slot of the table says "at the start", so the start needs no entry

  search: while (i <= lastStart) {
    let candidate = 0;
    let misses = 1 << SKIP_TRIGGER;
    for (;;) {
      const word = input[i]! | (input[i + 1]! << 8) | (input[i + 2]! << 16) | (input[i + 3]! << 24);
      const hash = Math.imul(word, 0x1e35a7bd) >>> shift;
      candidate = start + table[hash]!;
      table[hash] = i - start;
      if (
        input[candidate] === (word & 255) && input[candidate + 1] === (word >>> 8 & 255) &&
        input[candidate + 2] === (word >>> 16 & 255) && input[candidate + 3] === word >>> 24
      ) break;
      i += misses++ >>> SKIP_TRIGGER;
      if (i > lastStart) break search;
    }
    const offset = i - candidate;
    let j = i + 4;
    while (j < end && input[j] === input[j - offset]) j++;
    if (i > anchor) out = writeLiterals(input, anchor, i - anchor, output, out);
    out = writeCopy(output, out, offset, j - i);
    i = anchor = j;
    if (i <= lastStart) {
      const k = i - 1;
      const word = input[k]! | (input[k + 1]! << 8) | (input[k + 2]! << 16) | (input[k + 3]! << 24);
      table[Math.imul(word, 0x1e35a7bd) >>> shift] = k - start;
    }
  }
  if (anchor < end) out = writeLiterals(input, anchor, end - anchor, output, out);
  return out - outputStart;
}

function writeLiterals(input: Uint8Array, from: number, length: number, output: Uint8Array, at: number): number {
  let out = at;
  const n = length - 1;
  if (n < 60) {
    output[out++] = n << 2;
  } else if (n < 256) {
    output[out++] = 60 << 2;
    output[out++] = n;
  } else {
    output[out++] = 61 << 2;
    output[out++] = n;
    output[out++] = n >>> 8;
  }
  if (length > 64) {
    output.set(input.subarray(from, from + length), out);
  } else {
    for (let k = 0; k < length; k++) output[out + k] = input[from + k]!;
  }
  return out + length;
}

function writeCopy(output: Uint8Array, at: number, offset: number, length: number): number {
  let out = at;
  let rest = length;
  while (rest > 64) {
    // Four bytes at least must be left for the last copy.
    const part = rest < 68 ? 60 : 64;
    output[out++] = ((part - 1) << 2) | 2;
    output[out++] = offset;
    output[out++] = offset >>> 8;
    rest -= part;
  }
  if (rest < 12 && offset < 2048) {
    output[out++] = ((offset >>> 8) << 5) | ((rest - 4) << 2) | 1;
    output[out++] = offset;
  } else {
    output[out++] = ((rest - 1) << 2) | 2;
    output[out++] = offset;
    output[out++] = offset >>> 8;
  }
  return out;
}
