// deno-fmt-ignore-file: it would drop the decorators

import { OUTPUT, SOURCE } from "./memory";
import { copy, emptyTable, matchEnd, slot } from "./matches";

/** Compresses the source into elements of a Snappy block and returns their size. */
export function snappy(size: usize): usize {
  const end = SOURCE + size;
  const lastStart = end - 15;
  const shift = emptyTable(size);
  let out = OUTPUT;
  let anchor = SOURCE;
  let p = SOURCE + 1;
  while (<isize> p <= <isize> lastStart) {
    let misses: usize = 32;
    let candidate: usize = 0;
    do {
      const bytes = load<u64>(p);
      const at = slot(bytes, shift);
      candidate = SOURCE + load<u16>(at);
      store<u16>(at, <u16> (p - SOURCE));
      if (load<u32>(candidate) === <u32> bytes) break;
      p += misses++ >>> 5;
    } while (p <= lastStart);
    if (p > lastStart) break;
    while (p > anchor && candidate > SOURCE && load<u8>(p - 1) === load<u8>(candidate - 1)) {
      p--;
      candidate--;
    }
    const distance = p - candidate;
    const next = matchEnd(p + 4, distance, end);
    if (p > anchor) out = snappyLiterals(out, anchor, p - anchor);
    let length = next - p;
    while (length > 64) {
      // Four bytes at least must be left for the last copy.
      const part: usize = length < 68 ? 60 : 64;
      store<u32>(out, <u32> (part - 1 << 2 | 2 | distance << 8));
      out += 3;
      length -= part;
    }
    if (length < 12 && distance < 2048) {
      store<u16>(out, <u16> (distance >>> 8 << 5 | length - 4 << 2 | 1 | distance << 8));
      out += 2;
    } else {
      store<u32>(out, <u32> (length - 1 << 2 | 2 | distance << 8));
      out += 3;
    }
    anchor = p = next;
    store<u16>(slot(load<u64>(p - 1), shift), <u16> (p - 1 - SOURCE));
  }
  if (anchor < end) out = snappyLiterals(out, anchor, end - anchor);
  return out - OUTPUT;
}

function snappyLiterals(at: usize, from: usize, size: usize): usize {
  let out = at;
  const n = size - 1;
  if (n < 60) {
    store<u8>(out++, <u8> (n << 2));
  } else if (n < 256) {
    store<u16>(out, <u16> (60 << 2 | n << 8));
    out += 2;
  } else {
    store<u32>(out, 61 << 2 | <u32> n << 8);
    out += 3;
  }
  copy(out, from, size);
  return out + size;
}
