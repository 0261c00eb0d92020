/**
 * Which partition a record goes to: explicit, by key, or the strategy for records without a key.
 *
 * @module
 */

import { ignoreRejection, readOptions } from "../../call_options.ts";
import { isHarmless } from "../../error_like.ts";
import { ConfigError, KafkaError } from "../../errors.ts";
import { sentenceOf, show } from "../../show.ts";
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
  /** Serialized key and value together. */
  readonly sizeBytes: number;
  /** A number from 0 (inclusive) to 1 (exclusive) from the producer's own source, which a simulation seeds. */
  readonly random: () => number;
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

/** Any partition that has a leader, whatever the key. */
export function randomPartition(): Partitioner {
  return ({ availablePartitions, random }) => availablePartitions[Math.floor(random() * availablePartitions.length)]!;
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

/** Settings of {@link sticky}: one of the two thresholds. */
export interface StickyOptions {
  /** Records without a key after which to go elsewhere. */
  readonly records?: number;
  /** Bytes of such records, serialized key and value, after which to go elsewhere. */
  readonly bytes?: number;
}

/**
 * Records with a key go by its hash; those without stay on one partition until a number of them, or of their
 * bytes, have gone there, and go to a different one then. Each topic has its own turn.
 *
 * The partitioner named `"sticky"` knows more: it moves on when a batch is full, and avoids brokers that are slow.
 *
 * @throws {ConfigError} unless exactly one threshold is given, as a whole number from 1
 */
export function sticky(threshold: StickyOptions): Partitioner {
  const { records, bytes } = readOptions("sticky", threshold, ["records", "bytes"]) as StickyOptions;
  const limit = records ?? bytes;
  if ((records === undefined) === (bytes === undefined) || !Number.isInteger(limit) || limit! < 1) {
    const given = `records ${show(records)} and bytes ${show(bytes)}`;
    throw new ConfigError(
      "partitioner",
      `Give "sticky" either records or bytes, as a whole number from 1, such as { records: 100 }: ${given} is not.`,
    );
  }
  const turns = new Map<string, { partition: number; left: number }>();
  return (input) => {
    const { topic, keyBytes, partitionCount } = input;
    if (keyBytes !== null) return partitionForKey(keyBytes, keyBytes.length, partitionCount);
    let turn = turns.get(topic);
    if (turn === undefined || turn.left <= 0 || turn.partition >= partitionCount) {
      turn = { partition: another(input, turn?.partition), left: limit! };
      turns.set(topic, turn);
    }
    turn.left -= records === undefined ? input.sizeBytes : 1;
    return turn.partition;
  };
}

/** Any partition that has a leader, but the given one where there are others. */
function another({ availablePartitions, random }: PartitionerInput, present: number | undefined): number {
  const others = availablePartitions.length > 1
    ? availablePartitions.filter((partition) => partition !== present)
    : availablePartitions;
  return others[Math.floor(random() * others.length)]!;
}

/** The partitioner for a built-in name; undefined for `"sticky"`, which works inside the accumulator. */
export function builtInPartitioner(name: PartitionerName): Partitioner | undefined {
  switch (name) {
    case "sticky":
      return undefined;
    case "roundRobin":
      return roundRobin();
    case "random":
      return randomPartition();
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
    if (isHarmless(error)) throw error;
    const message = `Mend the partitioner: it threw. ${sentenceOf(error)}`;
    throw new KafkaError(message, { code: "PARTITIONER", topic: input.topic, cause: error });
  }
  if (typeof partition === "number" && Number.isInteger(partition) && partition >= 0) {
    if (partition < input.partitionCount) return partition;
  }
  ignoreRejection(partition);
  const { topic, partitionCount } = input;
  const wanted = `wanted a whole number from 0 to ${partitionCount - 1}`;
  const message = `Mend the partitioner: it chose ${show(partition)} for topic ${show(topic)}, ${wanted}.`;
  throw new ConfigError("partitioner", message, { topic });
}
