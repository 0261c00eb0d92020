/**
 * A producer and a cluster in virtual time, and servers that are no brokers.
 *
 * @module
 */

import { Producer } from "../src/producer/named_producer.ts";
import type { ProducerOptions } from "../src/producer/options/options.ts";
import type { SocketEvents } from "../src/runtime/runtime.ts";
import { EmbeddedCluster, type EmbeddedClusterOptions, VirtualRuntime } from "../src/testing/mod.ts";

/** What a test needs to stage a producer's play. */
export interface Stage {
  readonly runtime: VirtualRuntime;
  readonly cluster: EmbeddedCluster;
  /** Makes a producer for the cluster; options come over the cluster's address. */
  producer<K = string | Uint8Array, V = string | Uint8Array>(options?: Partial<ProducerOptions<K, V>>): Producer<K, V>;
  /** Lets time pass until the promise has settled. */
  run<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
  /** Lets time pass until the promise has settled; returns what it was rejected with. */
  failure(promise: Promise<unknown>, limitMs?: number): Promise<KafkaFailure>;
}

/** What tests look at in an error. */
export interface KafkaFailure extends Error {
  readonly code: string;
  readonly errorCode?: number;
  readonly option?: string;
  readonly retriable: boolean;
  readonly fatal: boolean;
  readonly persisted: string;
  readonly topic?: string;
  readonly partition?: number;
}

/** Sets up a cluster in virtual time, with the topic `orders` of three partitions unless topics are given. */
export function stage(options: EmbeddedClusterOptions = {}, seed = 1): Stage {
  const runtime = new VirtualRuntime({ seed });
  const cluster = new EmbeddedCluster({ topics: { orders: 3 }, ...options, runtime });
  runtime.sockets = cluster.sockets;
  return {
    runtime,
    cluster,
    producer: (extra = {}) => new Producer({ brokers: cluster.bootstrap, ...extra }, runtime),
    run: (promise, limitMs) => runtime.runUntil(promise, limitMs),
    failure: async (promise, limitMs) => {
      try {
        await runtime.runUntil(promise, limitMs);
      } catch (error) {
        return error as KafkaFailure;
      }
      throw new Error("It was not rejected, wanted an error");
    },
  };
}

/** Has connections from here on whose bytes are the system's as soon as they are written, as real ones mostly are. */
export function takeAtOnce({ runtime }: Stage): void {
  const { sockets } = runtime;
  runtime.sockets = {
    ...sockets,
    async connect(options, events) {
      const socket = await sockets.connect(options, events);
      Object.defineProperty(socket, "bufferedBytes", { value: 0 });
      return socket;
    },
  };
}

type ServerListener = Parameters<EmbeddedCluster["network"]["listen"]>[1];

/** Listens on `address` as something that is no broker, until a `sane` server is there; returns how many came. */
export function impostor(
  cluster: EmbeddedCluster,
  address: string,
  kind: "silent" | "http" | "ssh" | "garbage" | "closes" | "tls alert" | "negative length" | "huge length",
  sane: () => ServerListener | undefined = () => undefined,
): { visitors: number } {
  const seen = { visitors: 0 };
  const texts: Readonly<Record<string, Uint8Array>> = {
    http: new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    ssh: new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n"),
    garbage: Uint8Array.of(0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    "tls alert": Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46),
    "negative length": Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    "huge length": Uint8Array.of(0x7f, 0xff, 0xff, 0xff),
  };
  cluster.network.listen(address, (socket): SocketEvents => {
    const server = sane();
    if (server !== undefined) return server(socket);
    seen.visitors++;
    if (kind === "closes") socket.close();
    return {
      onData: () => {
        const answer = texts[kind];
        if (answer !== undefined) socket.write(answer.slice());
      },
      onClose: () => {},
    };
  });
  return seen;
}

/** A seeded generator of whole numbers below `limit`. */
export function dice(random: () => number): (limit: number) => number {
  return (limit) => Math.floor(random() * limit);
}

/** A tick of the real event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/**
 * How often a call has ended that is made again at once whatever it is told, before anything else of the process gets its
 * turn; 1000 for one that would keep everything else waiting for ever.
 */
export async function attemptsInATurn(call: () => Promise<unknown>): Promise<number> {
  let [attempts, isOver] = [0, false];
  void (async () => {
    while (!isOver && attempts < 1_000) {
      await call().catch(() => {});
      attempts += 1;
    }
  })();
  await turn();
  isOver = true;
  return attempts;
}
