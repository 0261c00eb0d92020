/**
 * What goes into the next request to a broker: at most one batch of each partition, encoded and within all limits.
 *
 * @module
 */

import type { Connection } from "../../cluster/connection.ts";
import type { PartitionMetadata } from "../../cluster/metadata.ts";
import { reasonFor } from "../../error_like.ts";
import { RecordTooLargeError } from "../../errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { Partition, QueuedBatch } from "../accumulator/partition.ts";
import { ENCODING } from "../accumulator/phase.ts";
import type { Schedule } from "../accumulator/schedule.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { ExchangeListener } from "./exchange.ts";
import { type Gate, gateOf, stampedGateOf } from "./gates.ts";
import type { Lane } from "./lane.ts";
import { frameSize, frameSizeBound, overheadBound, produceRequest } from "./produce_request.ts";
import type { Recovery } from "./recovery.ts";
import type { Settlement } from "./settlement.ts";

/** No batch is added to a request that would exceed this many bytes; a bigger batch travels alone. */
const REQUEST_BYTES = 1_048_576;

/** What a drain works with. */
export interface DrainParts {
  readonly runtime: Runtime;
  readonly schedule: Schedule;
  readonly accumulator: Accumulator;
  readonly stamping: Stamping;
  readonly recovery: Recovery;
  readonly settlement: Settlement;
}

/**
 * Chooses batches, and has them encoded. A partition that must wait leaves its lane's list here; the event that ends its
 * waiting puts it back.
 */
export class Drain {
  readonly #options: ResolvedOptions;
  readonly #runtime: Runtime;
  readonly #schedule: Schedule;
  readonly #accumulator: Accumulator;
  readonly #stamping: Stamping;
  readonly #recovery: Recovery;
  readonly #settlement: Settlement;
  readonly #listener: Pick<ExchangeListener, "guard">;

  /** Chooses among the batches of one producer. */
  constructor(options: ResolvedOptions, parts: DrainParts, listener: Pick<ExchangeListener, "guard">) {
    this.#options = options;
    this.#runtime = parts.runtime;
    this.#schedule = parts.schedule;
    this.#accumulator = parts.accumulator;
    this.#stamping = parts.stamping;
    this.#recovery = parts.recovery;
    this.#settlement = parts.settlement;
    this.#listener = listener;
  }

  /** The partitions whose first batch goes into the next request: at most one batch of each. */
  choose(lane: Lane, connection: Connection): Partition[] {
    const nowMs = this.#runtime.now();
    const chosen: Partition[] = [];
    const { ready } = lane;
    // What was learnt of the broker is the size of whole requests.
    const limitBytes = lane.limit.bytes(nowMs);
    let bytes = 0;
    let overhead = 0;
    let visited = 0;
    for (; visited < ready.length; visited++) {
      const partition = ready[visited]!;
      partition.scheduled = false;
      const size = this.#sendableBytes(lane, partition, nowMs);
      // A callback has put it on the list again, where it comes to its turn.
      if (size === 0 || partition.scheduled) continue;
      // Until it is dispatched: a callback that sends meanwhile must not put it on the list a second time.
      partition.scheduled = true;
      const isLarge = lane.isLarge(partition, size, this.#options.clientId, nowMs);
      if (isLarge && chosen.length === 0 && lane.inFlight > 0) {
        lane.large.push(partition);
        visited += 1;
        break;
      }
      const more = overheadBound(partition.topic.name, this.#options.clientId);
      const isFull = bytes + size > REQUEST_BYTES || bytes + overhead + size + more > limitBytes;
      if (chosen.length > 0 && (isLarge || isFull)) break;
      bytes += size;
      overhead += more;
      chosen.push(partition);
    }
    lane.ready = ready.slice(visited);
    // Most requests have no callback between them and their batches, and many of those a thousand batches.
    const stillReady = chosen.every(isReady) ? chosen : chosen.filter((partition) => this.#isStillReady(partition));
    // Hardly ever not: the limit is a hundred times as much as a request of several batches.
    return bytes + overhead <= this.#options.maxRequestSize
      ? stillReady
      : this.#withinMaxRequestSize(lane, connection, stillReady);
  }

  /** False when a callback of a batch that failed while others were chosen has taken records back (see `signal`). */
  #isStillReady(partition: Partition): boolean {
    if (isReady(partition)) return true;
    partition.scheduled = false;
    this.#schedule.add(partition);
    return false;
  }

  /** Bytes of the partition's first batch if it may be sent now, made ready to be; 0 if it must wait. */
  #sendableBytes(lane: Lane, partition: Partition, nowMs: number): number {
    const head = partition.queue[0];
    if (head === undefined) return 0;
    const leader = partition.leader;
    if (leader === undefined || leader.leaderId !== lane.nodeId) {
      this.#schedule.add(partition);
      return 0;
    }
    if (!this.#schedule.isDue(head, nowMs)) {
      // It may have come to the front just now, and nothing else would remember when its linger ends.
      this.#schedule.watch(partition, nowMs);
      return 0;
    }
    const gate = this.#gate(partition, head, leader, nowMs);
    if (gate !== undefined) {
      if (gate === "backoff") this.#schedule.watch(partition, nowMs);
      return 0;
    }
    if (head.wire === undefined) this.#encode(partition, head);
    const { wire } = head;
    if (wire === undefined) return 0;
    if (!lane.isLarge(partition, wire.length, this.#options.clientId, nowMs) || !this.#settlement.divide(head)) {
      return wire.length;
    }
    return this.#sendableBytes(lane, partition, nowMs);
  }

  #gate(partition: Partition, head: QueuedBatch, leader: PartitionMetadata, nowMs: number): Gate | undefined {
    const gate = gateOf({
      isEncoding: head.phase === ENCODING,
      nowMs,
      notBeforeMs: partition.notBeforeMs,
      awaitsMetadata: partition.awaitingMetadata,
      inFlight: partition.inFlight.length,
      sentToId: partition.sentTo.leaderId,
      leaderId: leader.leaderId,
      oneAtATime: this.#options.maxInFlight === 1,
    });
    if (gate !== undefined || !this.#stamping.stamps) return gate;
    this.#settlement.advance(partition);
    if (partition.queue[0] !== head) {
      // It couldn't get a new stamp and has failed.
      this.#schedule.add(partition);
      return "unresolved";
    }
    return stampedGateOf(this.#recovery.attempt(partition, head, leader)) ?? this.#registration(partition, head);
  }

  /** What is left to wait for when a partition's own state lets its batch go. */
  #registration(partition: Partition, head: QueuedBatch): Gate | undefined {
    if (head.drained) return undefined;
    const admitted = this.#stamping.admit(partition.topic.name, partition.index);
    if (admitted === undefined) return undefined;
    void admitted.then(() => this.#schedule.add(partition));
    return "registration";
  }

  #encode(partition: Partition, batch: QueuedBatch): void {
    try {
      const later = batch.encode(partition.topic.codec, this.#stamping.attributes);
      if (later !== undefined) void later.then(() => this.#onEncoded(batch), (error) => this.#onEncoded(batch, error));
      else if (batch.wire === undefined) this.#onEncoded(batch);
    } catch (error) {
      this.#onEncoded(batch, error);
    }
  }

  /** A codec has done its work, or has failed. */
  #onEncoded(batch: QueuedBatch, error?: unknown): void {
    this.#listener.guard(() => {
      if (error === undefined) this.#accumulator.tidy(batch);
      else this.#settlement.failQueued(batch, reasonFor(error));
      this.#schedule.add(batch.partition);
    });
  }

  /** Leaves out what would make the frame too large; a batch that is too large by itself fails before any byte. */
  #withinMaxRequestSize(lane: Lane, connection: Connection, chosen: Partition[]): Partition[] {
    const { maxRequestSize, clientId, acks, requestTimeoutMs } = this.#options;
    while (chosen.length > 0) {
      const batches = chosen.map(({ queue }) => queue[0]!);
      if (frameSizeBound(batches, clientId) <= maxRequestSize) break;
      let size: number;
      try {
        size = frameSize(produceRequest(connection, batches, acks, requestTimeoutMs, this.#stamping), clientId);
      } catch {
        break; // broker and client share no version: the batches fail where the request is made
      }
      if (size <= maxRequestSize) break;
      const last = chosen.pop()!;
      if (chosen.length > 0) {
        lane.ready.unshift(last);
        continue;
      }
      last.scheduled = false;
      const { topic, index } = last;
      const message =
        `Send a smaller record or raise "maxRequestSize": the request takes ${size} bytes, the limit is ` +
        `${maxRequestSize}.`;
      this.#settlement.failQueued(
        batches[0]!,
        new RecordTooLargeError(message, { topic: topic.name, partition: index }),
      );
      this.#schedule.add(last);
    }
    return chosen;
  }
}

/** True if the first batch of the partition has the bytes that are sent. */
function isReady({ queue }: Partition): boolean {
  return queue[0]?.wire !== undefined;
}
