/**
 * The hash of keys that KafkaJS had before version 2: murmur2 with a mistake, by which its users' keys lie where they do.
 *
 * It multiplies as JavaScript does, in floating point, where the lowest bits of a large product are lost, and it takes a
 * last, incomplete group of bytes twice: as a word, filled up with zeros, and byte by byte.
 *
 * @module
 */

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/** The hash as KafkaJS 1 has it, signed. */
export function legacyMurmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  let hash = SEED ^ length;
  for (let at = 0; at < length; at += 4) {
    const third = (bytes[at + 2] ?? 0) << 16;
    // A sum and not a union: with a last byte from 128 on it is negative.
    let word = bytes[at]! + ((bytes[at + 1] ?? 0) << 8) + third + ((bytes[at + 3] ?? 0) << 24);
    // Not Math.imul: what is lost here is the point.
    word *= M;
    word ^= word >>> R;
    word *= M;
    hash *= M;
    hash ^= word;
  }
  const whole = length & ~3;
  const rest = length - whole;
  if (rest > 2) hash ^= bytes[whole + 2]! << 16;
  if (rest > 1) hash ^= bytes[whole + 1]! << 8;
  if (rest > 0) hash = (hash ^ bytes[whole]!) * M;
  hash ^= hash >>> 13;
  hash *= M;
  return hash ^ (hash >>> 15);
}
