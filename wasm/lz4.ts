// deno-fmt-ignore-file: it would drop the decorators

import { OUTPUT, SOURCE } from "./memory";
import { copy, emptyTable, matchEnd, slot } from "./matches";

/** Compresses the source into one LZ4 block and returns its size, or 0 if that would not be smaller. */
export function lz4(size: usize): usize {
  const end = SOURCE + size;
  const lastStart = end - 12;
  const limit = end - 5;
  const shift = emptyTable(size);
  let out = OUTPUT;
  let anchor = SOURCE;
  let p = SOURCE + 1; // an empty slot says "at the source", so that needs no entry
  while (<isize> p <= <isize> lastStart) {
    let misses: usize = 64;
    let candidate: usize = 0;
    do {
      const bytes = load<u64>(p);
      const at = slot(bytes, shift);
      candidate = SOURCE + load<u16>(at);
      store<u16>(at, <u16> (p - SOURCE));
      if (load<u32>(candidate) === <u32> bytes) break;
      p += misses++ >>> 6;
    } while (p <= lastStart);
    if (p > lastStart) break;
    while (p > anchor && candidate > SOURCE && load<u8>(p - 1) === load<u8>(candidate - 1)) {
      p--;
      candidate--;
    }
    const distance = p - candidate;
    const next = matchEnd(p + 4, distance, limit);
    const length = next - p - 4;
    const literals = p - anchor;
    const token = out++;
    if (literals < 15) {
      store<u8>(token, <u8> (literals << 4 | min<usize>(length, 15)));
    } else {
      store<u8>(token, <u8> (0xf0 | min<usize>(length, 15)));
      out = writeLength(out, literals - 15);
    }
    copy(out, anchor, literals);
    out += literals;
    store<u16>(out, <u16> distance);
    out += 2;
    if (length >= 15) out = writeLength(out, length - 15);
    anchor = p = next;
    store<u16>(slot(load<u64>(p - 2), shift), <u16> (p - 2 - SOURCE));
  }
  const literals = end - anchor;
  if (literals < 15) {
    store<u8>(out++, <u8> (literals << 4));
  } else {
    store<u8>(out++, 0xf0);
    out = writeLength(out, literals - 15);
  }
  copy(out, anchor, literals);
  out += literals;
  return out - OUTPUT < size ? out - OUTPUT : 0;
}

/** What of a length the token doesn't hold. */
function writeLength(at: usize, length: usize): usize {
  let out = at;
  let rest = length;
  for (; rest >= 255; rest -= 255) store<u8>(out++, 255);
  store<u8>(out++, <u8> rest);
  return out;
}
