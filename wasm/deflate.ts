// deno-fmt-ignore-file: it would drop the decorators

import { makeCodes } from "./huffman";
import { emptyTable, matchEnd, slot } from "./matches";
import {
  BITS,
  DISTANCE_BITS,
  DISTANCES,
  LENGTHS,
  LITERALS,
  ORDER,
  OUTPUT,
  RUNS,
  SEQUENCES,
  setWord,
  SOURCE,
  word,
} from "./memory";

const END_OF_BLOCK: u32 = 256;
/** In the place of a length: there is no match, the input ends here. */
const NO_MATCH: u32 = 0xffff;
const MAX_MATCH: u32 = 258;
const MAX_DISTANCE: usize = 32_768;
/** After a match of so many bytes nothing longer is looked for at the next one. */
const LONG_MATCH: usize = 32;

store<u64>(ORDER, 0x0609_0708_0012_1110);
store<u64>(ORDER, 0x020d_030c_040b_050a, 8);
store<u64>(ORDER, 0x0f_010e, 16);

/** Bits that are not written yet, and how many. */
let bits: u64 = 0;
let bitCount: u64 = 0;
let out: usize = 0;

/**
 * Compresses the source into one Deflate block with codes of its own, and returns its size, or 0 if storing is no
 * larger. A block that is not the last is followed by an empty stored one, which ends at a byte.
 */
export function deflate(size: usize, last: u32): usize {
  memory.fill(LITERALS, 0, BITS - LITERALS);
  findSequences(SOURCE + size, size);
  setWord(LITERALS, END_OF_BLOCK, 1);
  // There must be two codes of each kind, whether they are needed or not.
  if (size === 0) setWord(LITERALS, 0, 1);
  for (let i = 0; i < 2; i++) if (word(DISTANCES, i) === 0) setWord(DISTANCES, i, 1);
  makeCodes(LITERALS, 286, 15, BITS);
  makeCodes(DISTANCES, 30, 15, DISTANCE_BITS);

  bits = 0;
  bitCount = 0;
  out = OUTPUT;
  put(last | 4, 3);
  writeCodes();
  writeSequences();
  put(word(LITERALS, END_OF_BLOCK) >>> 8, word(LITERALS, END_OF_BLOCK) & 255);
  if (!last) put(0, 3);
  flush();
  if (bitCount > 0) out++;
  if (!last) {
    store<u32>(out, 0xffff_0000);
    out += 4;
  }
  return out - OUTPUT < size + 5 ? out - OUTPUT : 0;
}

/** Splits the source into literals and matches, and counts the symbols that they will be written with. */
function findSequences(end: usize, size: usize): void {
  const shift = emptyTable(size);
  const lastStart = end - 12;
  let sequence = SEQUENCES;
  let anchor = SOURCE;
  let p = SOURCE + 1;
  while (<isize> p <= <isize> lastStart) {
    let misses: usize = 64;
    let candidate: usize = 0;
    do {
      candidate = lookUp(p, shift);
      if (isMatch(p, candidate)) break;
      p += misses++ >>> 6;
    } while (p <= lastStart);
    if (p > lastStart) break;

    let next = matchEnd(p + 4, p - candidate, end);
    if (next - p < LONG_MATCH && p < lastStart) {
      const other = lookUp(p + 1, shift);
      if (isMatch(p + 1, other)) {
        const otherEnd = matchEnd(p + 5, p + 1 - other, end);
        if (otherEnd > next + 1) {
          next = otherEnd;
          candidate = other;
          p++;
        }
      }
    }
    while (p > anchor && candidate > SOURCE && load<u8>(p - 1) === load<u8>(candidate - 1)) {
      p--;
      candidate--;
    }
    lookUp(p + 1, shift);
    lookUp(next - 2, shift);

    store<u16>(sequence, <u16> (p - anchor));
    for (; anchor < p; anchor++) count(LITERALS, load<u8>(anchor));
    const distance = <u32> (p - candidate) - 1;
    for (let rest = <u32> (next - p); rest > 0;) {
      // Three bytes at least must be left for the last match.
      const part: u32 = rest <= MAX_MATCH ? rest : rest < MAX_MATCH + 3 ? rest - 3 : MAX_MATCH;
      store<u16>(sequence, <u16> (part - 3), 2);
      store<u16>(sequence, <u16> distance, 4);
      count(LITERALS, lengthSymbol(part - 3, lengthExtra(part - 3)));
      count(DISTANCES, distanceSymbol(distance, distanceExtra(distance)));
      sequence += 6;
      store<u16>(sequence, 0);
      rest -= part;
    }
    anchor = p = next;
  }
  store<u16>(sequence, <u16> (end - anchor));
  store<u16>(sequence, NO_MATCH, 2);
  for (; anchor < end; anchor++) count(LITERALS, load<u8>(anchor));
}

/** Where the bytes at `p` were last seen; from now on that is here. */
@inline
function lookUp(p: usize, shift: u64): usize {
  const at = slot(load<u64>(p), shift);
  const candidate = SOURCE + load<u16>(at);
  store<u16>(at, <u16> (p - SOURCE));
  return candidate;
}

@inline
function isMatch(p: usize, candidate: usize): bool {
  return load<u32>(candidate) === load<u32>(p) && p - candidate <= MAX_DISTANCE;
}

@inline
function count(list: usize, symbol: u32): void {
  setWord(list, symbol, word(list, symbol) + 1);
}

/** How many bits a length, less three, needs beside its symbol. */
@inline
function lengthExtra(length: u32): u32 {
  return length < 8 || length === 255 ? 0 : 29 - clz(length);
}

@inline
function lengthSymbol(length: u32, extra: u32): u32 {
  return length === 255 ? 285 : 257 + 4 * extra + (length >>> extra);
}

/** The same for a distance, less one. */
@inline
function distanceExtra(distance: u32): u32 {
  return distance < 4 ? 0 : 30 - clz(distance);
}

@inline
function distanceSymbol(distance: u32, extra: u32): u32 {
  return 2 * extra + (distance >>> extra);
}

function writeSequences(): void {
  let p = SOURCE;
  for (let sequence = SEQUENCES;; sequence += 6) {
    const stop = p + load<u16>(sequence);
    while (p + 3 <= stop) {
      putSymbol(LITERALS, load<u8>(p));
      putSymbol(LITERALS, load<u8>(p, 1));
      putSymbol(LITERALS, load<u8>(p, 2));
      flush();
      p += 3;
    }
    for (; p < stop; p++) putSymbol(LITERALS, load<u8>(p));
    flush();
    const length = <u32> load<u16>(sequence, 2);
    if (length === NO_MATCH) return;
    const distance = <u32> load<u16>(sequence, 4);
    const lengthBits = lengthExtra(length);
    const distanceBits = distanceExtra(distance);
    putSymbol(LITERALS, lengthSymbol(length, lengthBits));
    put(length & (1 << lengthBits) - 1, lengthBits);
    putSymbol(DISTANCES, distanceSymbol(distance, distanceBits));
    put(distance & (1 << distanceBits) - 1, distanceBits);
    flush();
    p += length + 3;
  }
}

/** Writes the sizes of all codes, as runs, whose symbols have codes of their own. */
function writeCodes(): void {
  let literals: usize = 286;
  while (load<u8>(BITS + literals - 1) === 0) literals--;
  let distances: usize = 30;
  while (load<u8>(DISTANCE_BITS + distances - 1) === 0) distances--;
  memory.copy(BITS + literals, DISTANCE_BITS, distances);
  const end = findRuns(literals + distances);
  makeCodes(LENGTHS, 19, 7, BITS);
  let sizes: usize = 19;
  while (load<u8>(BITS + load<u8>(ORDER + sizes - 1)) === 0) sizes--;
  put(<u32> literals - 257, 5);
  put(<u32> distances - 1, 5);
  put(<u32> sizes - 4, 4);
  flush();
  for (let i: usize = 0; i < sizes; i++) {
    put(load<u8>(BITS + load<u8>(ORDER + i)), 3);
    flush();
  }
  for (let run = RUNS; run < end; run += 2) {
    const symbol = <u32> load<u8>(run);
    putSymbol(LENGTHS, symbol);
    if (symbol > 15) put(load<u8>(run, 1), symbol === 16 ? 2 : symbol === 17 ? 3 : 7);
    flush();
  }
}

/** Finds where sizes are repeated: 16 repeats the one before 3 to 6 times, 17 and 18 are 3 to 138 zeros. */
function findRuns(sizes: usize): usize {
  let out = RUNS;
  for (let i: usize = 0; i < sizes;) {
    const size = <u32> load<u8>(BITS + i);
    let run: usize = 1;
    while (i + run < sizes && load<u8>(BITS + i + run) === size && run < 138) run++;
    let symbol = size;
    let extra: usize = 0;
    if (run < 3) {
      run = 1;
    } else if (size === 0) {
      symbol = run < 11 ? 17 : 18;
      extra = run - (run < 11 ? 3 : 11);
    } else if (i > 0 && load<u8>(BITS + i - 1) === size) {
      symbol = 16;
      run = min<usize>(run, 6);
      extra = run - 3;
    } else {
      run = 1;
    }
    store<u8>(out, <u8> symbol);
    store<u8>(out, <u8> extra, 1);
    count(LENGTHS, symbol);
    out += 2;
    i += run;
  }
  return out;
}

@inline
function putSymbol(list: usize, symbol: u32): void {
  const code = word(list, symbol);
  put(code >>> 8, code & 255);
}

/** Adds bits; there is room for 56 between two flushes. */
@inline
function put(value: u32, count: u32): void {
  bits |= <u64> value << bitCount;
  bitCount += count;
}

@inline
function flush(): void {
  store<u64>(out, bits);
  out += <usize> (bitCount >>> 3);
  bits >>>= bitCount & 56;
  bitCount &= 7;
}
