/**
 * Which partition a record goes to: explicit, by key, or the strategy for records without a key.
 *
 * @module
 */

import { ConfigError, KafkaError } from "../errors.ts";
import type { Headers } from "./record.ts";
import { partitionForKey } from "./murmur2.ts";

/** What a partitioner is told of a record and its topic. */
export interface PartitionerInput {
  /** The topic's name. */
  readonly topic: string;
  /** The key as the caller gave it; null for none. */
  readonly key: unknown;
  /** The serialized key; null for none. Valid during the call only. */
  readonly keyBytes: Uint8Array | null;
  /** The value as the caller gave it. */
  readonly value: unknown;
  /** The headers as the caller gave them. */
  readonly headers: Headers | undefined;
  /** How many partitions the topic has, those without a leader included. */
  readonly partitionCount: number;
  /** Partitions that have a leader now; all of them while none has. */
  readonly availablePartitions: readonly number[];
}

/**
 * Chooses a partition from 0 to `partitionCount - 1`. It runs once for a record, never again on a retry. What it
 * throws, and a number out of range, rejects that record alone.
 */
export type Partitioner = (input: PartitionerInput) => number;

/** The built-in strategies by name. */
export type PartitionerName = "sticky" | "roundRobin" | "random" | "keyHash";

/** Goes through the partitions one after the other, whatever the key; each topic has its own turn. */
export function roundRobin(): Partitioner {
  const turns = new Map<string, number>();
  return ({ topic, partitionCount }) => {
    const turn = turns.get(topic) ?? 0;
    turns.set(topic, (turn + 1) % partitionCount);
    return turn % partitionCount;
  };
}

/** Any partition that has a leader, whatever the key. The source of randomness may be given for tests. */
export function randomPartition(random: () => number = defaultRandom): Partitioner {
  return ({ availablePartitions }) => availablePartitions[Math.floor(random() * availablePartitions.length)]!;
}

/** By the murmur2 hash of the key, as the Java client does; a record without a key is refused. */
export function keyHash(): Partitioner {
  return ({ topic, keyBytes, partitionCount }) => {
    if (keyBytes === null) {
      throw new KafkaError('Give the record a key, or choose another partitioner than "keyHash".', {
        code: "KEY_REQUIRED",
        topic,
      });
    }
    return partitionForKey(keyBytes, keyBytes.length, partitionCount);
  };
}

/**
 * Where records without a key go: one partition until enough bytes for a batch have gone there, then another
 * (uniform sticky, KIP-480 and KIP-794). Batches are fuller than with one partition after the other, and over time
 * all partitions get the same.
 */
export class StickyPartition {
  readonly #random: () => number;
  readonly #switchBytes: number;
  #partition = -1;
  #bytes = 0;

  /** Takes the number of bytes after which to move on. */
  constructor(switchBytes: number, random: () => number) {
    this.#switchBytes = Math.max(1, switchBytes);
    this.#random = random;
  }

  /** The partition for the next record. `available` is asked for only when it is time to choose. */
  choose(partitionCount: number, available: () => readonly number[]): number {
    const outworn = this.#partition < 0 || this.#partition >= partitionCount || this.#bytes >= this.#switchBytes;
    if (outworn) {
      this.#partition = this.#another(available());
      this.#bytes = 0;
    }
    return this.#partition;
  }

  /** Any of the partitions but the present one, each as likely as the others, without looking at them all. */
  #another(partitions: readonly number[]): number {
    const last = partitions.length - 1;
    if (last < 1) return partitions[0] ?? 0;
    const among = partitions.includes(this.#partition) ? last : last + 1;
    const choice = partitions[Math.floor(this.#random() * among)]!;
    return choice === this.#partition ? partitions[last]! : choice;
  }

  /** Tells how much a record added to the partition that was chosen. */
  appended(partition: number, bytes: number): void {
    if (partition === this.#partition) this.#bytes += bytes;
  }
}

/** The partitioner for a built-in name; undefined for `"sticky"`, which works inside the accumulator. */
export function builtInPartitioner(name: PartitionerName, random: () => number): Partitioner | undefined {
  switch (name) {
    case "sticky":
      return undefined;
    case "roundRobin":
      return roundRobin();
    case "random":
      return randomPartition(random);
    case "keyHash":
      return keyHash();
  }
}

/** Runs a caller's partitioner and checks what it says. */
export function runPartitioner(partitioner: Partitioner, input: PartitionerInput): number {
  let partition: unknown;
  try {
    partition = partitioner(input);
  } catch (error) {
    if (error instanceof KafkaError) throw error;
    throw new KafkaError("Mend the partitioner: it threw.", { code: "PARTITIONER", topic: input.topic, cause: error });
  }
  if (typeof partition === "number" && Number.isInteger(partition) && partition >= 0) {
    if (partition < input.partitionCount) return partition;
  }
  throw new ConfigError(
    "partitioner",
    `Mend the partitioner: it chose ${String(partition)} for topic "${input.topic}", wanted a whole number from 0 to ${
      input.partitionCount - 1
    }.`,
    { topic: input.topic },
  );
}

let state = 0x2545f491;

/** xorshift32: good enough to spread records, and no runtime's own generator is needed. */
function defaultRandom(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}
