/**
 * Randomness that a seed repeats.
 *
 * @module
 */

/**
 * Makes a generator of numbers from 0 (inclusive) to 1 (exclusive); the same seed gives the same numbers on every
 * runtime.
 */
export function seededRandom(seed: number): () => number {
  // A Weyl sequence through a 32-bit finalizer: neighbouring seeds have nothing in common after one step.
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}
