/**
 * KafkaJS's partitioners: the one of Java's client, and the one that KafkaJS had before version 2.
 *
 * @module
 */

import { isByteArray } from "../../byte_arrays.ts";
import { murmur2 } from "../../producer/record/murmur2.ts";
import { randomBytes } from "../../runtime/random_bytes.ts";
import { legacyMurmur2 } from "./legacy_murmur2.ts";
import type { DefaultPartitioner, ICustomPartitioner, LegacyPartitioner } from "./types.ts";

const encoder = new TextEncoder();

function bytesOf(key: unknown): Uint8Array {
  return isByteArray(key) ? key : encoder.encode(String(key));
}

/** By the message's own partition, by the hash of its key, or in turn over the partitions that have a leader. */
function partitionerBy(hash: (key: Uint8Array) => number): ICustomPartitioner {
  return () => {
    const turns = new Map<string, number>();
    return ({ topic, partitionMetadata, message: { partition, key } }) => {
      if (partition !== null && partition !== undefined) return partition;
      const { length } = partitionMetadata;
      if (key !== null && key !== undefined) return (hash(bytesOf(key)) & 0x7fffffff) % length;
      const turn = (turns.get(topic) ?? new DataView(randomBytes(4).buffer).getUint32(0)) + 1;
      turns.set(topic, turn);
      const available = partitionMetadata.filter(({ leader }) => leader >= 0);
      const place = turn & 0x7fffffff;
      return available.length > 0 ? available[place % available.length]!.partitionId : place % length;
    };
  };
}

const byMurmur2: ICustomPartitioner = partitionerBy(murmur2);
const byLegacyMurmur2: ICustomPartitioner = partitionerBy(legacyMurmur2);

/** The partitioners of KafkaJS, to be passed as `createPartitioner`. */
export const Partitioners: {
  /** The same partitions as Java's client for the same keys; without a key, in turn. The default. */
  DefaultPartitioner: DefaultPartitioner;
  /** The same partitions as KafkaJS 1 for the same keys, bit by bit. */
  LegacyPartitioner: LegacyPartitioner;
  /**
   * The same as `DefaultPartitioner`.
   *
   * @deprecated KafkaJS calls it `DefaultPartitioner` since version 2
   */
  JavaCompatiblePartitioner: DefaultPartitioner;
} = {
  DefaultPartitioner: byMurmur2,
  LegacyPartitioner: byLegacyMurmur2,
  JavaCompatiblePartitioner: byMurmur2,
};
