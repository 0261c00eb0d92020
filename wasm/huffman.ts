// deno-fmt-ignore-file: it would drop the decorators

import { COUNTS, KEYS, setWord, TREE, word } from "./memory";

/**
 * Replaces how often each of the symbols occurs by its code, of at most `limit` bits: the bits, last one first, above
 * the lowest byte, and how many they are in that byte. Two symbols at least must occur. `sizes` gets the numbers of
 * bits again, a byte each.
 */
export function makeCodes(list: usize, symbols: u32, limit: u32, sizes: usize): void {
  const used = sortSymbols(list, symbols);
  measureDepths(used);
  countSizes(used, limit);

  memory.fill(sizes, 0, symbols);
  let rarest = used;
  let next: u32 = 0;
  for (let size: u32 = 1; size <= limit; size++) {
    const count = word(COUNTS, size);
    for (let i = count; i > 0; i--) store<u8>(sizes + (word(KEYS, --rarest) & 511), <u8> size);
    setWord(TREE, size, next);
    next = next + count << 1;
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const size = <u32> load<u8>(sizes + symbol);
    let code: u32 = 0;
    if (size > 0) {
      let ahead = word(TREE, size);
      setWord(TREE, size, ahead + 1);
      for (let i: u32 = 0; i < size; i++) {
        code = code << 1 | ahead & 1;
        ahead >>>= 1;
      }
    }
    setWord(list, symbol, code << 8 | size);
  }
}

/** Puts the symbols that occur to `KEYS`, the rarest first, and returns how many they are. */
function sortSymbols(list: usize, symbols: u32): usize {
  let used: usize = 0;
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = word(list, symbol);
    if (count > 0) setWord(KEYS, used++, count << 9 | symbol);
  }
  for (let gap: usize = 121; gap > 0; gap /= 3) {
    for (let i = gap; i < used; i++) {
      const key = word(KEYS, i);
      let j = i;
      for (; j >= gap && word(KEYS, j - gap) > key; j -= gap) setWord(KEYS, j, word(KEYS, j - gap));
      setWord(KEYS, j, key);
    }
  }
  return used;
}

/** Turns the counts to the depths of the inner nodes of a Huffman tree, in place (Moffat and Katajainen). */
function measureDepths(used: usize): void {
  for (let i: usize = 0; i < used; i++) setWord(TREE, i, word(KEYS, i) >>> 9);
  let leaf: usize = 0;
  let root: usize = 0;
  for (let next: usize = 0; next < used - 1; next++) {
    let sum: u32 = 0;
    for (let i = 0; i < 2; i++) {
      if (leaf >= used || (root < next && word(TREE, root) < word(TREE, leaf))) {
        sum += word(TREE, root);
        setWord(TREE, root++, <u32> next);
      } else {
        sum += word(TREE, leaf++);
      }
    }
    setWord(TREE, next, sum);
  }
  setWord(TREE, used - 2, 0);
  for (let i = <isize> used - 3; i >= 0; i--) setWord(TREE, i, word(TREE, word(TREE, i)) + 1);
}

/** Puts to `COUNTS` how many codes there are of each size. */
function countSizes(used: usize, limit: u32): void {
  memory.fill(COUNTS, 0, 256);
  let nodes: u32 = 1;
  let inner = <isize> used - 2;
  for (let depth: u32 = 0; nodes > 0; depth++) {
    let parents: u32 = 0;
    for (; inner >= 0 && word(TREE, inner) === depth; inner--) parents++;
    const size = min<u32>(depth, limit);
    setWord(COUNTS, size, word(COUNTS, size) + nodes - parents);
    nodes = 2 * parents;
  }
  // Those that were cut to the limit take more room than there is; each turn makes one place.
  let total: u32 = 0;
  for (let size: u32 = 1; size <= limit; size++) total += word(COUNTS, size) << limit - size;
  for (; total > <u32> 1 << limit; total--) {
    let size = limit - 1;
    while (word(COUNTS, size) === 0) size--;
    setWord(COUNTS, limit, word(COUNTS, limit) - 1);
    setWord(COUNTS, size, word(COUNTS, size) - 1);
    setWord(COUNTS, size + 1, word(COUNTS, size + 1) + 2);
  }
}
