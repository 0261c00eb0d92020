// deno-fmt-ignore-file: it would drop the decorators

import { HASH_TABLE } from "./memory";

/** Reads eight bytes and hashes the first six of them to so many bits that `shift` of 64 go. */
@inline
export function slot(bytes: u64, shift: u64): usize {
  return HASH_TABLE + (<usize> (((bytes << 16) * 0x9e3779b185ebca87) >>> shift) << 1);
}

/** Empties the table, a smaller one for a small input, and returns the `shift` for {@link slot}. */
@inline
export function emptyTable(size: usize): u64 {
  const bits: u64 = size <= 2048 ? 10 : 13;
  memory.fill(HASH_TABLE, 0, 2 << <usize> bits);
  return 64 - bits;
}

/** Where two equal stretches end, `p` being in the later one, `distance` behind the earlier. */
@inline
export function matchEnd(p: usize, distance: usize, limit: usize): usize {
  let q = p;
  while (q < limit) {
    const difference = load<u64>(q) ^ load<u64>(q - distance);
    if (difference !== 0) {
      q += <usize> (ctz(difference) >>> 3);
      break;
    }
    q += 8;
  }
  return q < limit ? q : limit;
}

/** Copies sixteen bytes at a time, one at least, so that up to sixteen too many are written. */
@inline
export function copy(to: usize, from: usize, size: usize): void {
  let i: usize = 0;
  do {
    v128.store(to + i, v128.load(from + i));
    i += 16;
  } while (i < size);
}
