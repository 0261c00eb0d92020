/** KafkaJS's interface in virtual time, on a cluster in memory. */
import { Kafka, type KafkaConfig, type LogEntry, logLevel } from "../../../src/compat/kafkajs/mod.ts";
import { EmbeddedCluster, type EmbeddedClusterOptions, VirtualRuntime } from "../../../src/testing/mod.ts";

/** What a test needs. */
export interface KafkaJSStage {
  readonly runtime: VirtualRuntime;
  readonly cluster: EmbeddedCluster;
  /** What was logged, oldest first. */
  readonly logged: LogEntry[];
  /** Makes a client for the cluster. */
  kafka(config?: Partial<KafkaConfig>): Kafka;
  /** Lets time pass until the promise has settled. */
  run<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
  /** Lets time pass until the promise has settled; returns what it was rejected with. */
  // deno-lint-ignore no-explicit-any
  failure(promise: Promise<unknown>, limitMs?: number): Promise<any>;
  /** The values of a topic's records as text, partition by partition. */
  values(topic: string): Promise<string[][]>;
}

/** Sets up a cluster with the topic `orders` of three partitions, unless topics are given. */
export function stage(options: EmbeddedClusterOptions = {}): KafkaJSStage {
  const runtime = new VirtualRuntime({ seed: 1 });
  const cluster = new EmbeddedCluster({ topics: { orders: 3 }, ...options, runtime });
  runtime.sockets = cluster.sockets;
  const logged: LogEntry[] = [];
  return {
    runtime,
    cluster,
    logged,
    kafka: (config = {}) =>
      new Kafka(
        {
          brokers: cluster.bootstrap.split(","),
          logLevel: logLevel.WARN,
          logCreator: () => (entry) => void logged.push(entry),
          ...config,
        },
        runtime,
      ),
    run: (promise, limitMs) => runtime.runUntil(promise, limitMs),
    failure: async (promise, limitMs) => {
      try {
        await runtime.runUntil(promise, limitMs);
      } catch (error) {
        return error;
      }
      throw new Error("It was not rejected, wanted an error");
    },
    values: async (topic) => {
      const records = await cluster.records(topic);
      const count = cluster.topic(topic)!.partitions.length;
      const text = new TextDecoder();
      return Array.from(
        { length: count },
        (_, partition) =>
          records.filter((record) => record.partition === partition).map(({ value }) => text.decode(value!)),
      );
    },
  };
}
