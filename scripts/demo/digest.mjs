/**
 * What a topic holds, as digests: one of all records in whatever order, and one of each partition in its order.
 *
 * Written apart from the client on purpose, murmur2 included: it is what the client is checked against.
 */

import { createHash } from "node:crypto";

/** Gathers records, partition by partition. */
export class ContentDigest {
  records = 0;
  bytes = 0;
  #sum = new BigUint64Array(4);
  #partitions = new Map();

  add(partition, key, value) {
    this.records++;
    this.bytes += (key?.length ?? 0) + (value?.length ?? 0);
    const digest = createHash("sha256").update(lengths(key, value)).update(key ?? "").update(value ?? "").digest();
    // Added up, not xor-ed: two equal records must not cancel each other out.
    for (let lane = 0; lane < 4; lane++) this.#sum[lane] += digest.readBigUInt64LE(lane * 8);
    let of = this.#partitions.get(partition);
    if (of === undefined) {
      of = createHash("sha256");
      this.#partitions.set(partition, of);
    }
    of.update(digest);
  }

  /** `{ records, bytes, content, partitions: { number: hex } }`; ends the gathering. */
  finish() {
    const content = createHash("sha256").update(new Uint8Array(this.#sum.buffer)).digest("hex");
    const partitions = {};
    for (const [partition, hash] of [...this.#partitions].sort(([a], [b]) => a - b)) {
      partitions[partition] = hash.digest("hex");
    }
    return { records: this.records, bytes: this.bytes, content, partitions };
  }
}

/** What differs between two finished digests, as sentences; none when they are equal. */
export function differences(wanted, found) {
  const said = [];
  if (found.records !== wanted.records) said.push(`${found.records} records came back, wanted ${wanted.records}`);
  if (found.content !== wanted.content) said.push("the records are not the same ones");
  const partitions = new Set([...Object.keys(wanted.partitions), ...Object.keys(found.partitions)]);
  const wrong = [...partitions].filter((each) => wanted.partitions[each] !== found.partitions[each]);
  if (wrong.length > 0) said.push(`content or order of partition ${wrong.join(", ")} is not that of the source`);
  return said;
}

/** Where Kafka's own producers put a key. */
export function partitionOf(key, partitions) {
  return (murmur2(key) & 0x7fffffff) % partitions;
}

function murmur2(data) {
  const m = 0x5bd1e995;
  let hash = 0x9747b28c ^ data.length;
  const end = data.length & ~3;
  for (let i = 0; i < end; i += 4) {
    let k = data[i] | (data[i + 1] << 8) | (data[i + 2] << 16) | (data[i + 3] << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    hash = Math.imul(hash, m) ^ Math.imul(k, m);
  }
  const left = data.length & 3;
  if (left === 3) hash ^= data[end + 2] << 16;
  if (left >= 2) hash ^= data[end + 1] << 8;
  if (left >= 1) hash = Math.imul(hash ^ data[end], m);
  hash = Math.imul(hash ^ (hash >>> 13), m);
  return hash ^ (hash >>> 15);
}

function lengths(key, value) {
  return Int32Array.of(key?.length ?? -1, value?.length ?? -1);
}
