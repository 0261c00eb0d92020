/**
 * Where LZ4 and Snappy write before the result is cut to its size.
 *
 * @module
 */

/** So much is kept for the next batch. */
const MAX_KEPT = 2 << 20;
const MIN_KEPT = 32_768;

let kept = new Uint8Array(0);

/** A buffer of at least `size` bytes with whatever in it, the caller's until the next call. */
export function scratch(size: number): Uint8Array {
  if (size > MAX_KEPT) return new Uint8Array(size);
  if (size > kept.length) kept = new Uint8Array(Math.max(MIN_KEPT, 2 ** Math.ceil(Math.log2(size))));
  return kept;
}
