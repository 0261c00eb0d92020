/**
 * Inputs for the tests of the codecs, the same in every run.
 *
 * @module
 */

/** Sizes at which a codec changes its ways: ends of blocks, shortest matches, widths of length fields. */
export const SIZES: readonly number[] = [
  ...[0, 1, 4, 5, 11, 12, 13, 14, 15, 16, 17, 59, 60, 61, 62, 64, 68, 127, 128, 255, 256, 257, 270, 1000],
  ...[4095, 4096, 4097, 16_384, 32_767, 32_768, 65_535, 65_536, 65_537, 65_548, 131_071, 131_072, 131_073, 300_000],
];

/** What the inputs look like. */
export const KINDS = {
  json: (size: number): Uint8Array => json(size),
  noise: (size: number): Uint8Array => noise(size, size + 1),
  zeros: (size: number): Uint8Array => new Uint8Array(size),
  bits: (size: number): Uint8Array => noise(size, 7).map((byte) => byte & 1),
  /** Noise and repetition by turns, so that matches begin and end everywhere. */
  mixed: (size: number): Uint8Array => noise(size, 9).map((byte, i) => i % (100 + size % 37) > 50 ? byte & 3 : byte),
} as const;

/** Lines of JSON, cut at `size` bytes. */
export function json(size: number): Uint8Array {
  const next = random(size + 1);
  const lines: string[] = [];
  for (let length = 0; length < size; length += lines.at(-1)!.length) {
    const id = next();
    const event = ["click", "view", "buy"][id % 3];
    lines.push(`{"id":${id},"user":"user-${id % 1000}","event":"${event}","page":"/products/${id % 377}"}\n`);
  }
  return new TextEncoder().encode(lines.join("")).subarray(0, size);
}

/** Bytes that no codec can make smaller. */
export function noise(size: number, seed: number): Uint8Array {
  const next = random(seed);
  return new Uint8Array(size).map(() => next());
}

/** A generator of unsigned 32-bit numbers (xorshift). */
export function random(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bytes from hexadecimal digits. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** Where two arrays differ first, or -1. Comparing 300 KB with `assert.deepEqual` takes seconds on some runtimes. */
export function firstDifference(actual: Uint8Array, expected: Uint8Array): number {
  const length = Math.min(actual.length, expected.length);
  for (let i = 0; i < length; i++) if (actual[i] !== expected[i]) return i;
  return actual.length === expected.length ? -1 : length;
}
