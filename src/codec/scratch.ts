/**
 * Buffers of the codecs: where LZ4 and Snappy write before the result is cut to its size, and parts made one.
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

/** The parts in one array, which is the part itself where there is only one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
