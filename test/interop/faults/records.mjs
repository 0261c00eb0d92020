/** The records that the rig sends: each can be told from its number, so that the log can be checked byte by byte. */

const filler = "abcdefghijklmnopqrstuvwxyz0123456789".repeat(64);

/** The value of a record names where it belongs, and is as long as wanted. */
export function valueOf({ topic, producer, number, size }) {
  const name = `${topic}/${producer}/${number}/`;
  return name + filler.slice(number % 36, (number % 36) + size);
}

/** The partition of a key: Kafka's own rule, written once more for the check. */
export function partitionOf(key, partitions) {
  const data = Buffer.from(key);
  const m = 0x5bd1e995;
  let h = 0x9747b28c ^ data.length;
  let at = 0;
  for (; at + 4 <= data.length; at += 4) {
    let k = Math.imul(data.readInt32LE(at), m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = data.length - at;
  if (rest >= 3) h ^= data[at + 2] << 16;
  if (rest >= 2) h ^= data[at + 1] << 8;
  if (rest >= 1) h = Math.imul(h ^ data[at], m);
  h = Math.imul(h ^ (h >>> 13), m);
  h ^= h >>> 15;
  return (h & 0x7fffffff) % partitions;
}
