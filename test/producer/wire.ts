/**
 * What a producer wrote, batch by batch, and what is left of it in the logs.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Producer } from "../../src/producer/producer.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { BatchView } from "../../src/testing/storage/batch_view.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { EmbeddedCluster } from "../../src/testing/mod.ts";
import type { Stage } from "../stage.ts";

/** One batch as a broker got it. */
export interface SentBatch {
  /** Which Produce request it came with, counted from 0. */
  readonly request: number;
  readonly brokerId: number;
  readonly connectionId: number;
  readonly atMs: number;
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Uint8Array;
  readonly producerId: bigint;
  readonly epoch: number;
  readonly sequence: number;
  readonly count: number;
}

/** The batches of all Produce requests that were recorded, in the order of their coming. */
export function sentBatches(cluster: EmbeddedCluster): SentBatch[] {
  return cluster.requestsOf(Produce).flatMap(({ body, brokerId, connectionId, atMs }, request) =>
    body.topicData.flatMap(({ name, topicId, partitionData }) =>
      partitionData.map(({ index, records }) => {
        const view = new BatchView(records!);
        return {
          request,
          brokerId,
          connectionId,
          atMs,
          topic: name || (cluster.topicById(topicId)?.name ?? topicId),
          partition: index,
          bytes: records!,
          producerId: view.producerId,
          epoch: view.producerEpoch,
          sequence: view.baseSequence,
          count: view.recordsCount,
        };
      })
    )
  );
}

/** The values in a partition's log, as text. */
export async function valuesIn(cluster: EmbeddedCluster, topic: string, partition?: number): Promise<string[]> {
  const utf8 = new TextDecoder();
  return (await cluster.records(topic, partition)).map(({ value }) => utf8.decode(value!));
}

/** What became of a promise so far. */
export interface Watched<T> {
  state: "pending" | "resolved" | "rejected";
  value?: T;
  error?: { code: string; persisted: string; message: string; cause?: unknown; retriable: boolean };
  /** When it settled, in virtual ms. */
  atMs?: number;
}

/** Follows a promise without waiting for it. */
export function watch<T>({ runtime }: Stage, promise: Promise<T>): Watched<T> {
  const watched: Watched<T> = { state: "pending" };
  promise.then((value) => {
    Object.assign(watched, { state: "resolved", value, atMs: runtime.now() });
  }, (error) => {
    Object.assign(watched, { state: "rejected", error, atMs: runtime.now() });
  });
  return watched;
}

/** Closes the producer and asserts that nothing of it is left: no memory taken, no timer, no connection. */
export async function assertLeavesNothing(stage: Stage, producer: Pick<Producer, "close" | "metrics">): Promise<void> {
  await stage.run(producer.close());
  await stage.runtime.settle();
  // With latency the end of a connection takes its time to arrive.
  if (stage.cluster.network.openConnections > 0) await stage.runtime.advance(100);
  const metrics = producer.metrics();
  assert.equal(metrics["buffer-available-bytes"], metrics["buffer-total-bytes"], "memory");
  assert.equal(metrics.records_pending, 0, "records pending");
  assert.equal(metrics["requests-in-flight"], 0, "requests in flight");
  assert.equal(stage.runtime.pendingTimers, 0, "timers");
  assert.equal(stage.cluster.network.openConnections, 0, "connections");
  assert.deepEqual(stage.cluster.failures, []);
}

/** The first batch of a request, as a control function sees it. */
export function firstBatch(
  request: {
    readonly topicData: readonly { readonly partitionData: readonly { readonly records: Uint8Array | null }[] }[];
  },
): BatchView {
  return new BatchView(request.topicData[0]!.partitionData[0]!.records!);
}

/** Connects the producer and has every partition of `orders` accept a record, so that no gate is closed. */
export async function warmUp(stage: Stage, producer: Producer, partitions: readonly number[] = [0]): Promise<void> {
  await stage.run(producer.connect());
  const sent = partitions.map((partition) => producer.send({ topic: "orders", partition, value: "warm" }));
  await stage.run(producer.flush());
  await Promise.all(sent);
  stage.cluster.clearRequests();
}

/** Sends each value in a turn of its own, so that each travels in its own batch if nothing holds it. */
export async function sendApart(
  stage: Stage,
  producer: Producer,
  values: readonly string[],
  partition = 0,
): Promise<Watched<RecordMetadata>[]> {
  const watched: Watched<RecordMetadata>[] = [];
  for (const value of values) {
    watched.push(watch(stage, producer.send({ topic: "orders", partition, value })));
    await stage.runtime.settle();
  }
  return watched;
}

/** What the promises hold, in a form that a test can compare. */
export function states(watched: readonly Watched<RecordMetadata>[]): string[] {
  return watched.map(({ state, value, error }) =>
    value !== undefined ? `${value.delivery} ${value.offset}` : error !== undefined ? error.code : state
  );
}

/** An LZ4 frame whose one block is stored as it is. */
export function storedLz4(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(bytes.length + 15);
  frame.set([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
  new DataView(frame.buffer).setUint32(7, 0x8000_0000 + bytes.length, true);
  frame.set(bytes, 11);
  return frame;
}
