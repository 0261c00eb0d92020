/**
 * A record that can't enter a batch yet: there is no memory for it, or its topic isn't known.
 *
 * @module
 */

import { BufferFullError, DeliveryTimeoutError, type KafkaError, TimeoutError } from "../errors.ts";
import { brokerError, errorOf } from "../protocol/error_codes.ts";
import type { RecordBytes } from "../protocol/record_batch.ts";
import type { Entry } from "./agenda.ts";
import type { Barrier } from "./barrier.ts";
import type { Resolve } from "./batch.ts";
import type { MemoryWaiter } from "./buffer_memory.ts";
import type { ResolvedOptions } from "./options.ts";
import type { ProducerRecord, SendOptions } from "./record.ts";
import type { Topic, TopicWaiter } from "./topic.ts";

/** What may happen to a waiting send. */
export interface PendingSendEvents {
  onMemory(send: PendingSend): void;
  onTopic(send: PendingSend): boolean;
  onDue(send: PendingSend): void;
}

/** A record in line, first for memory and then for metadata; its bytes are its own. */
export class PendingSend implements MemoryWaiter, TopicWaiter, Entry {
  readonly topic: Topic;
  readonly record: ProducerRecord<unknown, unknown>;
  readonly bytes: RecordBytes;
  readonly timestamp: number;
  /** When it was handed over: both time limits count from here. */
  readonly sinceMs: number;
  readonly bytesWanted: number;
  readonly resolve: Resolve | undefined;
  readonly callbacks: SendOptions | undefined;
  /** Flushes that wait for it. */
  readonly barriers: Barrier[] = [];
  /** What it has of the buffer memory. */
  reservedBytes = 0;
  gone = false;
  heapIndex = -1;
  dueMs = 0;

  readonly #events: PendingSendEvents;

  /** Keeps everything that entering a batch later takes. */
  constructor(
    topic: Topic,
    record: ProducerRecord<unknown, unknown>,
    bytes: RecordBytes,
    timestamp: number,
    sinceMs: number,
    bytesWanted: number,
    resolve: Resolve | undefined,
    callbacks: SendOptions | undefined,
    events: PendingSendEvents,
  ) {
    this.topic = topic;
    this.record = record;
    this.bytes = bytes;
    this.timestamp = timestamp;
    this.sinceMs = sinceMs;
    this.bytesWanted = bytesWanted;
    this.resolve = resolve;
    this.callbacks = callbacks;
    this.#events = events;
  }

  onMemory(): void {
    this.#events.onMemory(this);
  }

  onTopic(): boolean {
    return this.#events.onTopic(this);
  }

  onDue(): void {
    this.#events.onDue(this);
  }
}

/** Why a send has waited in vain: for memory, for a topic that there isn't, or for a broker to ask. */
export function lateError(send: PendingSend, options: ResolvedOptions, lastError: KafkaError | undefined): KafkaError {
  const { maxBlockMs, deliveryTimeoutMs, bufferMemory } = options;
  const byDelivery = deliveryTimeoutMs < maxBlockMs;
  const limit = byDelivery ? `${deliveryTimeoutMs} ms (deliveryTimeoutMs)` : `${maxBlockMs} ms (maxBlockMs)`;
  const topic = send.topic.name;
  if (send.reservedBytes === 0) {
    const message = `Send slower or raise "bufferMemory": no room for ${send.bytesWanted} of ${bufferMemory} bytes ` +
      `within ${limit}.`;
    return byDelivery ? new DeliveryTimeoutError(message, { topic }) : new BufferFullError(message, { topic });
  }
  const { errorCode } = send.topic.metadata;
  if (errorCode !== 0) {
    const cause = brokerError(errorCode, { topic });
    return new TimeoutError(`Topic "${topic}" could not be found within ${limit}. ${cause.message}`, {
      code: errorOf(errorCode).name,
      errorCode,
      topic,
      cause,
    });
  }
  const reason = lastError === undefined ? "The metadata names no partitions." : lastError.message;
  const message = `Topic "${topic}" could not be looked up within ${limit}. ${reason}`;
  const context = { topic, cause: lastError };
  return byDelivery ? new DeliveryTimeoutError(message, context) : new TimeoutError(message, context);
}
