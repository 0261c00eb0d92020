/**
 * Groups on a cluster in virtual time.
 *
 * @module
 */

import { TransactionalProducer } from "../../mod.ts";
import { GroupReader, type GroupReaderOptions, Reader, type ReaderOptions } from "../../src/reader/mod.ts";
import type { Runtime, Socket } from "../../src/runtime/runtime.ts";
import type { EmbeddedClusterOptions } from "../../src/testing/mod.ts";
import { type Stage, stage } from "../stage.ts";

const decoder = new TextDecoder();

/** What a test needs to stage a group. */
export interface GroupStage extends Stage {
  /** Makes a member of the group `g` that reads `orders`. */
  member(options?: Partial<GroupReaderOptions>): GroupReader;
  /** Makes a reader. */
  reader(options?: Partial<ReaderOptions>): Reader;
  /** Makes a transactional producer. */
  transactional(transactionalId: string): TransactionalProducer;
  /** Writes numbers from `from` on, in turn to the partitions of `orders`. */
  fill(count: number, from?: number): Promise<void>;
  /** A process of its own, which may be killed: nothing of it happens any more, and its connections are gone. */
  process(): { readonly runtime: Runtime; kill(): void };
  /** Lets time pass until a condition holds. */
  until(condition: () => boolean): Promise<void>;
}

/** Sets up a cluster whose topic `orders` has `partitions`. */
export function groupStage(partitions = 4, options: EmbeddedClusterOptions = {}, seed = 1): GroupStage {
  const set = stage({ topics: { orders: partitions, out: 2 }, ...options }, seed);
  const { cluster, run, runtime } = set;
  const common = { brokers: cluster.bootstrap };
  return {
    ...set,
    member: (extra = {}) => new GroupReader({ ...common, groupId: "g", topics: ["orders"], ...extra }, runtime),
    reader: (extra = {}) => new Reader({ ...common, ...extra }, runtime),
    transactional: (transactionalId) => new TransactionalProducer({ ...common, transactionalId }, runtime),
    fill: async (count, from = 0) => {
      const producer = set.producer();
      const records = Array.from({ length: count }, (_, i) => {
        return { topic: "orders", partition: (from + i) % partitions, value: String(from + i) };
      });
      await run(producer.sendBatch(records).all());
      await run(producer.close());
    },
    process: () => mortal(runtime),
    until: async (condition) => {
      for (let i = 0; i < 20_000; i++) {
        if (condition()) return;
        await runtime.advance(50);
      }
      throw new Error("The condition never held");
    },
  };
}

/** What the value says. */
export function textOf({ value }: { readonly value: Uint8Array | null }): string {
  return decoder.decode(value!);
}

/** The partitions' indexes, in order. */
export function indexesOf(places: Iterable<{ readonly partition: number }>): number[] {
  return [...places].map(({ partition }) => partition).sort((a, b) => a - b);
}

/** Reads on in the background, each record into a list; what it ends with is thrown by `ended`. */
export function drain(
  reader: AsyncIterable<{ readonly value: Uint8Array | null }>,
  into: string[],
  work: (text: string) => void | Promise<void> = () => {},
): { readonly ended: Promise<void> } {
  const ended = (async () => {
    for await (const record of reader) {
      const text = textOf(record);
      await work(text);
      into.push(text);
    }
  })();
  ended.catch(() => {});
  return { ended };
}

function mortal(runtime: Runtime): { readonly runtime: Runtime; kill(): void } {
  const sockets = new Set<Socket>();
  let isAlive = true;
  const alive = (callback: () => void) => (): void => {
    if (isAlive) callback();
  };
  return {
    runtime: {
      name: runtime.name,
      sockets: {
        name: "mortal",
        can: runtime.sockets.can,
        connect: async (options, events) => {
          if (!isAlive) return await new Promise<Socket>(() => {});
          const socket = await runtime.sockets.connect(options, events);
          sockets.add(socket);
          if (!isAlive) socket.destroy();
          return socket;
        },
      },
      now: () => runtime.now(),
      wallNow: () => runtime.wallNow(),
      setTimer: (callback, delayMs) => runtime.setTimer(alive(callback), delayMs),
      defer: (callback) => runtime.defer(alive(callback)),
      random: () => runtime.random(),
    },
    kill: () => {
      isAlive = false;
      for (const socket of sockets) socket.destroy();
    },
  };
}
