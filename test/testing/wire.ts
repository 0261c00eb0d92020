/**
 * A cluster in virtual time and a bare connection to it.
 *
 * @module
 */

import {
  type AnyApi,
  decodeResponseFrame,
  encodeRequestFrame,
  type RequestInputOf,
  type ResponseInputOf,
  type ResponseOf,
} from "../../src/protocol/api.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { EmbeddedCluster, type EmbeddedClusterOptions, VirtualRuntime } from "../../src/testing/mod.ts";
import { concat } from "./batches.ts";

/** A cluster whose time stands still until a test lets it pass. */
export interface Stage {
  readonly runtime: VirtualRuntime;
  readonly cluster: EmbeddedCluster;
  /** Connects to a broker. */
  connect(brokerId?: number): Promise<Wire>;
}

/** Sets up a cluster, with the topic `orders` of three partitions unless topics are given. */
export function stage(options: EmbeddedClusterOptions = {}): Stage {
  const runtime = new VirtualRuntime();
  const cluster = new EmbeddedCluster({ topics: { orders: 3 }, ...options, runtime });
  return {
    runtime,
    cluster,
    connect: async (brokerId = 1) => {
      const { host, port } = cluster.broker(brokerId).endpoint("memory");
      const wire = new Wire(runtime);
      wire.socket = await runtime.runUntil(cluster.sockets.connect({ host, port }, wire));
      return wire;
    },
  };
}

/** One connection; the test sees every byte. */
export class Wire {
  socket!: Socket;
  closed = false;
  error: Error | undefined;
  readonly #runtime: VirtualRuntime;
  #received: Uint8Array[] = [];
  #correlationId = 0;

  constructor(runtime: VirtualRuntime) {
    this.#runtime = runtime;
  }

  onData(chunk: Uint8Array): void {
    this.#received.push(chunk.slice());
  }

  onClose(error?: Error): void {
    this.closed = true;
    this.error = error;
  }

  /** Takes the frames that have come, length included. */
  take(): Uint8Array[] {
    const bytes = concat(this.#received);
    this.#received = [];
    const frames: Uint8Array[] = [];
    let at = 0;
    while (at + 4 <= bytes.length) {
      const end = at + 4 + new DataView(bytes.buffer).getInt32(at);
      if (end > bytes.length) break;
      frames.push(bytes.subarray(at, end));
      at = end;
    }
    if (at < bytes.length) this.#received.push(bytes.subarray(at));
    return frames;
  }

  /** Writes bytes and lets happen what happens at once; returns the frames that came. */
  async exchange(bytes: Uint8Array): Promise<Uint8Array[]> {
    this.socket.write(bytes);
    await this.#runtime.settle();
    return this.take();
  }

  /** Writes a request and doesn't wait. */
  send<A extends AnyApi>(api: A, version: number, body: RequestInputOf<A>): number {
    const correlationId = ++this.#correlationId;
    this.socket.write(encodeRequestFrame(api, version, correlationId, "test", body));
    return correlationId;
  }

  /** Asks, and lets time pass until the answer is there; undefined when the connection ended or nothing came. */
  async ask<A extends AnyApi>(api: A, version: number, body: RequestInputOf<A>): Promise<ResponseOf<A> | undefined> {
    this.send(api, version, body);
    return await this.answer(api, version);
  }

  /** The next answer. */
  async answer<A extends AnyApi>(api: A, version: number, limitMs = 60_000): Promise<ResponseOf<A> | undefined> {
    const frames: Uint8Array[] = [];
    await this.#runtime.runUntil(() => {
      frames.push(...this.take());
      return frames.length > 0 || this.closed;
    }, limitMs).catch(() => {});
    this.#received.unshift(...frames.slice(1));
    return frames[0] === undefined ? undefined : decodeResponseFrame(api, version, frames[0].subarray(4)).body;
  }

  /** Produces to one partition; returns its part of the answer. */
  async produce(
    records: Uint8Array | null,
    options: { version?: number; acks?: number; topic?: string; partition?: number } = {},
  ): Promise<ProducedPartition | undefined> {
    const { version = 11, acks = -1, topic = "orders", partition = 0 } = options;
    const body = await this.ask(Produce, version, produceBody([[topic, partition, records]], acks));
    return body?.responses[0]?.partitionResponses[0];
  }
}

/** A partition's part of a Produce answer. */
export type ProducedPartition = ResponseOf<typeof Produce>["responses"][number]["partitionResponses"][number];

/** A Produce request for some partitions, named or by id. */
export function produceBody(
  data: readonly (readonly [topic: string, partition: number, records: Uint8Array | null])[],
  acks = -1,
): RequestInputOf<typeof Produce> {
  return {
    acks,
    timeoutMs: 1000,
    topicData: data.map(([topic, index, records]) => ({
      ...(/^[0-9a-f]{32}$/.test(topic) ? { topicId: topic } : { name: topic }),
      partitionData: [{ index, records }],
    })),
  };
}

/** A Produce answer in which partition 0 of `orders` got an offset. */
export function producedBody(baseOffset: bigint): ResponseInputOf<typeof Produce> {
  return { responses: [{ name: "orders", partitionResponses: [{ index: 0, errorCode: 0, baseOffset }] }] };
}
