/**
 * One partition on three brokers, and what each of them has of it.
 *
 * @module
 */

import { Produce } from "../../src/protocol/messages/mod.ts";
import type { EmbeddedCluster, EmbeddedClusterOptions, TopicSpec } from "../../src/testing/mod.ts";
import { batchOf } from "./batches.ts";
import { produceBody, type ProducedPartition, type Stage, stage, type Wire } from "./wire.ts";

/** On all brokers. */
export const TOPIC: TopicSpec = { partitions: 1, replicationFactor: 3 };

/** Three brokers, one partition that broker 1 leads. */
export function replicated(options: EmbeddedClusterOptions = {}): Stage {
  return stage({ brokers: 3, topics: { orders: TOPIC }, ...options });
}

/** Error and offset. */
export function outcome(part: ProducedPartition | undefined): unknown {
  return part && [part.errorCode, part.baseOffset];
}

/** Writes a Produce request and leaves it alone. */
export function send(wire: Wire, records: Uint8Array, timeoutMs = 1000, acks = -1): void {
  wire.send(Produce, 11, { ...produceBody([["orders", 0, records]], acks), timeoutMs });
}

/** What a partition got. */
export async function answer(wire: Wire): Promise<ProducedPartition | undefined> {
  return (await wire.answer(Produce, 11))?.responses[0]?.partitionResponses[0];
}

/** The values that a broker has on its disk, each of one letter. */
export function values(cluster: EmbeddedCluster, brokerId: number): string[] {
  const { log } = cluster.partition("orders", 0).replica(brokerId)!;
  return log.batches.map(({ bytes }) => new TextDecoder().decode(bytes.subarray(-2, -1)));
}

/** A batch of one record without a key. */
export function valued(value: string): Uint8Array {
  return batchOf({ records: [{ key: null, value }] });
}

/** Where the replicas of the three brokers end. */
export function ends(cluster: EmbeddedCluster): bigint[] {
  return [1, 2, 3].map((id) => cluster.partition("orders", 0).replica(id)!.log.endOffset);
}
