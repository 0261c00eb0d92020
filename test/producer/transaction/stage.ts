/**
 * A transactional producer on an embedded cluster, in virtual time.
 *
 * @module
 */

import { type KafkaError, TransactionalProducer, type TransactionalProducerOptions } from "../../../mod.ts";
import { EmbeddedCluster, type EmbeddedClusterOptions, VirtualRuntime } from "../../../src/testing/mod.ts";
import { Reader, type ReadRecord } from "../../../src/reader/mod.ts";

/** The transactional id of the producers. */
export const ID = "orders-1";
const decoder = new TextDecoder();

/** All that a test of transactions needs. */
export interface Stage {
  readonly runtime: VirtualRuntime;
  readonly cluster: EmbeddedCluster;
  producer(options?: Partial<TransactionalProducerOptions>): TransactionalProducer;
  run<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
  failure(promise: Promise<unknown>): Promise<KafkaError>;
  /** What a reader of committed records sees, partition by partition. */
  committed(topic?: string, partitions?: number): Promise<string[][]>;
}

/** Makes a cluster with the topics `out` (three partitions) and `in` (one). */
export function stage(release: "3.9" | "4.1", options: EmbeddedClusterOptions = {}): Stage {
  const runtime = new VirtualRuntime({ seed: 1 });
  const cluster = new EmbeddedCluster({ topics: { out: 3, in: 1 }, release, ...options, runtime });
  runtime.sockets = cluster.sockets;
  const run = <T>(promise: Promise<T>, limitMs = 600_000): Promise<T> => runtime.runUntil(promise, limitMs);
  return {
    runtime,
    cluster,
    producer: (extra = {}) =>
      new TransactionalProducer({ brokers: cluster.bootstrap, transactionalId: ID, ...extra }, runtime),
    run,
    failure: async (promise) => {
      try {
        await run(promise);
      } catch (error) {
        return error as KafkaError;
      }
      throw new Error("It was not rejected, wanted an error");
    },
    committed: async (topic = "out", partitions = 3) => {
      const reader = new Reader({ brokers: cluster.bootstrap, connect: cluster.sockets }, runtime);
      const places = Array.from(
        { length: partitions },
        (_, partition) => ({ topic, partition, start: "beginning" as const }),
      );
      // What is not yet stable isn't shown, so the end for this reader is the last stable offset.
      const ends = await run(reader.offsetsOf(places, "end"));
      reader.assign(places);
      const values: string[][] = places.map(() => []);
      const left = new Map(
        ends.filter(({ offset }) => offset > 0n).map(({ partition, offset }) => [partition, offset]),
      );
      const read = async (): Promise<void> => {
        for await (const { partition, records, nextOffset } of reader.batches()) {
          values[partition]!.push(...records.map(({ value }: ReadRecord) => decoder.decode(value!)));
          if (nextOffset >= (left.get(partition) ?? Infinity)) left.delete(partition);
          if (left.size === 0) break;
        }
      };
      if (left.size > 0) await run(read());
      await reader.close();
      return values;
    },
  };
}
