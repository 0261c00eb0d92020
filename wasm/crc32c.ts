// deno-fmt-ignore-file: it would drop the decorators

import { CRC_TABLE, LANES, SOURCE } from "./crc_memory";

/** What of a word, shifted by two, is the index of its lowest byte. */
const BYTE: u32 = 1020;

const POLYNOMIAL: u32 = 0x82f63b78;

/** How many lanes of 16 bytes remain when the others are folded away, and their size. */
const LAST_LANES: usize = 79;
const LAST_SIZE: usize = LAST_LANES << 4;
/** Shorter inputs are faster by table alone. */
const FOLD_FROM: usize = LAST_SIZE + 512;

for (let i: usize = 0; i < 256; i++) {
  let crc = <u32> i;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  store<u32>(CRC_TABLE + (i << 2), crc);
}
for (let i: usize = CRC_TABLE; i < CRC_TABLE + 15_360; i += 4) {
  const before = load<u32>(i);
  store<u32>(i, (before >>> 8) ^ load<u32>(before << 2 & BYTE), 1024);
}

/** Advances `crc`, the inverted checksum, over `size` bytes at the source, which are destroyed. */
export function crc32c(crc: u32, size: usize): u32 {
  if (size < FOLD_FROM) return byTable(crc, SOURCE, size);
  store<u32>(SOURCE, load<u32>(SOURCE) ^ crc);
  const folded = (size - LAST_SIZE) & ~63;
  fold(SOURCE + folded, size - folded);
  return byTable(0, LANES, size - folded);
}

/**
 * Reduces what is before `end`, in steps of 64 bytes, to the 79 lanes behind it, which go to `LANES` with all the rest.
 *
 * x^79 + x^75 + x^71 + x^58 + x^18 + x^12 + x + 1 is a multiple of the polynomial. So is the same in x^128, because
 * the square of a sum of bits is the sum of the squares. Hence a lane of 16 bytes may be dropped after it was added to
 * the lanes 4, 8, 21, 61, 67, 78 and 79 places on, and no bit moves within its lane.
 */
function fold(end: usize, rest: usize): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (let p = SOURCE - LAST_SIZE; p < end - LAST_SIZE; p += 64) {
    const i = sum(p, 0, a, e);
    const j = sum(p, 1, b, f);
    const k = sum(p, 2, c, g);
    const l = sum(p, 3, d, h);
    e = a, f = b, g = c, h = d;
    a = i, b = j, c = k, d = l;
  }
  memory.copy(LANES, end, rest);
  memory.fill(end, 0, LAST_SIZE);
  for (let p: usize = 0; p < LAST_SIZE; p += 16) {
    const q = end - LAST_SIZE + p;
    const near = v128.xor(v128.load(q, 75 << 4), v128.load(q, 71 << 4));
    v128.store(LANES + p, v128.xor(v128.xor(v128.load(LANES + p), near), far(q)));
  }
}

@inline
function sum(p: usize, i: usize, four: v128, eight: v128): v128 {
  const lane = v128.load(p + (i << 4), 79 << 4);
  const result = v128.xor(v128.xor(v128.xor(lane, eight), far(p + (i << 4))), four);
  v128.store(p + (i << 4), result, 79 << 4);
  return result;
}

@inline
function far(p: usize): v128 {
  const middle = v128.xor(v128.load(p, 58 << 4), v128.load(p, 18 << 4));
  return v128.xor(v128.xor(middle, v128.load(p, 12 << 4)), v128.xor(v128.load(p, 1 << 4), v128.load(p)));
}

function byTable(crc: u32, from: usize, size: usize): u32 {
  let state = crc;
  let p = from;
  const end = from + size;
  for (const last = from + (size & ~15); p < last; p += 16) {
    const a = state ^ load<u32>(p);
    const b = load<u32>(p, 4);
    const c = load<u32>(p, 8);
    const d = load<u32>(p, 12);
    state = load<u32>(b << 2 & BYTE, 11 << 10) ^ load<u32>(b >>> 6 & BYTE, 10 << 10) ^
      load<u32>(b >>> 14 & BYTE, 9 << 10) ^ load<u32>(b >>> 22 & BYTE, 8 << 10) ^
      load<u32>(c << 2 & BYTE, 7 << 10) ^ load<u32>(c >>> 6 & BYTE, 6 << 10) ^
      load<u32>(c >>> 14 & BYTE, 5 << 10) ^ load<u32>(c >>> 22 & BYTE, 4 << 10) ^
      load<u32>(d << 2 & BYTE, 3 << 10) ^ load<u32>(d >>> 6 & BYTE, 2 << 10) ^
      load<u32>(d >>> 14 & BYTE, 1 << 10) ^ load<u32>(d >>> 22 & BYTE) ^
      load<u32>(a << 2 & BYTE, 15 << 10) ^ load<u32>(a >>> 6 & BYTE, 14 << 10) ^
      load<u32>(a >>> 14 & BYTE, 13 << 10) ^ load<u32>(a >>> 22 & BYTE, 12 << 10);
  }
  for (; p < end; p++) state = load<u32>((state ^ load<u8>(p)) << 2 & BYTE) ^ (state >>> 8);
  return state;
}
