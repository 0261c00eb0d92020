// deno-fmt-ignore-file: it would drop the decorators

/**
 * Where everything lies in the memory of the module of the codecs, whose size is fixed: the caller brings at most 64 KiB at a time.
 * Nothing but tables outlives a call, so that one instance serves everybody.
 */

/** Most bytes of one call, so that a position in them fits in 16 bits. */
export const CHUNK: usize = 65_536;
/** How far copies by 16 bytes may reach behind their end. */
const SLACK: usize = 64;

/** Where a hash was last seen: 8192 positions of 16 bits, counted from the source. */
export const HASH_TABLE: usize = 0;
/** Where the caller puts the input. */
export const SOURCE: usize = HASH_TABLE + 16_384;
/** Where the caller finds the output. Before deflate sees that it is no gain, it may have written 15 bits a byte. */
export const OUTPUT: usize = SOURCE + CHUNK + SLACK;

/** For literals and lengths, distances, and lengths of codes: first how often each occurs, then the codes. */
export const LITERALS: usize = OUTPUT + 2 * CHUNK;
export const DISTANCES: usize = LITERALS + 1152;
export const LENGTHS: usize = DISTANCES + 128;
/** The size in bits of each code, a byte each: of literals and lengths, then of distances. */
export const BITS: usize = LENGTHS + 128;
export const DISTANCE_BITS: usize = BITS + 288;
/** What making codes needs. */
export const KEYS: usize = DISTANCE_BITS + 64;
export const TREE: usize = KEYS + 1152;
export const COUNTS: usize = TREE + 1152;
/** How the sizes of the codes are written: a symbol and what it needs beside, a byte each. */
export const RUNS: usize = COUNTS + 256;
/** The order in which the sizes of these symbols are written. */
export const ORDER: usize = RUNS + 640;
/** What was found in the input: how many literals, then the length and distance of a match, 16 bits each. */
export const SEQUENCES: usize = ORDER + 32;

/** A word of a list of words. */
@inline
export function word(list: usize, i: usize): u32 {
  return load<u32>(list + (i << 2));
}

/** Sets a word of a list of words. */
@inline
export function setWord(list: usize, i: usize, value: u32): void {
  store<u32>(list + (i << 2), value);
}
