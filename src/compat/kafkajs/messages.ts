/**
 * KafkaJS's messages as records: what is checked, and where each of them goes.
 *
 * @module
 */

import type { PartitionInfo } from "../../producer/producer.ts";
import type { RecordMetadata as Delivered } from "../../producer/record/delivery.ts";
import type { ProducerRecord as SluiceRecord } from "../../producer/record/record.ts";
import { printableJson, show } from "../../show.ts";
import { checkCompression, type CompressionTypes } from "./compression.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";
import type {
  IHeaders,
  Message,
  PartitionerArgs,
  PartitionMetadata,
  ProducerBatch,
  RecordMetadata,
  TopicMessages,
} from "./types.ts";

/** A call of `sendBatch` that can be carried out. */
export interface Batch {
  readonly acks: -1 | 0 | 1;
  readonly compression: CompressionTypes;
  /** Each topic once. */
  readonly topics: ReadonlyMap<string, readonly Message[]>;
}

/** Checks a call as KafkaJS does, in its order and its words. @throws {KafkaJSNonRetriableError} */
export function readBatch(batch: ProducerBatch, needsAll: boolean): Batch {
  if (typeof batch !== "object" || batch === null) {
    throw new KafkaJSNonRetriableError(
      `Pass { topic, messages } to send, { topicMessages } to sendBatch: ${show(batch)} is not.`,
    );
  }
  const { acks = -1, timeout, compression, topicMessages } = batch;
  const given = readTopics(topicMessages ?? []);
  if (acks !== -1 && needsAll) {
    throw new KafkaJSNonRetriableError(
      "Not requiring ack for all messages invalidates the idempotent producer's EoS guarantees",
    );
  }
  if (acks !== -1 && acks !== 0 && acks !== 1) {
    throw new KafkaJSNonRetriableError(`Set "acks" to -1, 0 or 1: ${show(acks)} is none.`);
  }
  checkTimeout(timeout);
  const type = compression ?? 0;
  checkCompression(type);
  return { acks, compression: type, topics: given };
}

function checkTimeout(timeout: number | null | undefined): void {
  if (timeout === undefined || timeout === null || (typeof timeout === "number" && timeout >= 0)) return;
  throw new KafkaJSNonRetriableError(`Set "timeout" to a number of ms: ${show(timeout)} is not.`);
}

function readTopics(topicMessages: readonly TopicMessages[]): Map<string, readonly Message[]> {
  if (!Array.isArray(topicMessages)) {
    throw new KafkaJSNonRetriableError(`Pass "topicMessages" as a list: ${show(topicMessages)} is none.`);
  }
  if (topicMessages.some((each) => !each?.topic)) throw new KafkaJSNonRetriableError("Invalid topic");
  const topics = new Map<string, readonly Message[]>();
  for (const { topic, messages } of topicMessages as readonly TopicMessages[]) {
    if (!Array.isArray(messages)) {
      throw new KafkaJSNonRetriableError(`Invalid messages array [${shown(messages)}] for topic ${show(topic)}`);
    }
    const without = messages.find((message) => message?.value === undefined);
    if (without !== undefined || messages.includes(undefined as never)) {
      throw new KafkaJSNonRetriableError(`Invalid message without value for topic ${show(topic)}: ${shown(without)}`);
    }
    topics.set(topic, [...topics.get(topic) ?? [], ...messages]);
  }
  return topics;
}

/** A value that has no place here, as KafkaJS shows it. */
function shown(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value === "string" ? show(value) : String(value);
  try {
    return printableJson(value).slice(0, 200);
  } catch {
    return show(value);
  }
}

/** Chooses partitions, as a `createPartitioner()` has made it. */
export type Partitioner = (args: PartitionerArgs) => number;

/** The records of a topic, each with its partition. */
export function recordsOf(
  topic: string,
  messages: readonly Message[],
  partitions: readonly PartitionInfo[],
  partitioner: Partitioner,
  nowMs: number,
): SluiceRecord[] {
  const partitionMetadata = partitions.map(metadataOf);
  return messages.map((message) => ({
    topic,
    key: message.key ?? null,
    value: message.value,
    partition: Number(partitioner({ topic, partitionMetadata, message })),
    timestamp: timestampOf(message, nowMs),
    headers: headersOf(message),
  }));
}

function metadataOf({ partition, leader }: PartitionInfo): PartitionMetadata {
  const known = leader >= 0 ? [leader] : [];
  return {
    partitionErrorCode: 0,
    partitionId: partition,
    leader,
    replicas: known,
    isr: [...known],
    offlineReplicas: [],
  };
}

/** Kafka's timestamps are text in KafkaJS; nothing, an empty text and 0 are none. */
function timestampOf({ timestamp }: Message, nowMs: number): number {
  if (!timestamp) return nowMs;
  const ms = Number(timestamp);
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw new KafkaJSNonRetriableError(`Set "timestamp" to ms since the epoch, as text: ${show(timestamp)} is not.`);
}

function headersOf({ headers }: Message): [string, string | Uint8Array | null][] | undefined {
  if (headers === undefined || headers === null) return undefined;
  // KafkaJS writes none of a Map or of Headers, and says nothing.
  const isMap = !Array.isArray(headers) &&
    typeof (headers as Partial<Map<string, never>>)[Symbol.iterator] === "function";
  const entries = isMap ? [...headers as unknown as Map<string, IHeaders[string]>] : Object.entries(headers);
  return entries.flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.map((each): [string, string | Uint8Array] => [name, each]);
    return value === undefined ? [] : [[name, value] as [string, string | Uint8Array]];
  });
}

/** What a leader has said beside the offsets. */
export interface Answered {
  readonly logStartOffset: bigint;
  readonly usesLogAppendTime: boolean;
}

/**
 * An entry for each partition, in the order in which they first occur.
 *
 * @throws the error of the first record that was not delivered
 */
export function resultsOf(
  settled: readonly PromiseSettledResult<Delivered>[],
  answered: (topic: string, partition: number) => Answered,
): RecordMetadata[] {
  const failed = settled.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
  const first = new Map<string, Delivered>();
  for (const result of settled) {
    if (result.status !== "fulfilled") continue;
    const key = `${result.value.partition} ${result.value.topic}`;
    if (!first.has(key)) first.set(key, result.value);
  }
  return [...first.values()].map(({ topic, partition, offset, timestamp }) => {
    const { logStartOffset, usesLogAppendTime } = answered(topic, partition);
    return {
      topicName: topic,
      partition,
      errorCode: 0,
      baseOffset: String(offset),
      logAppendTime: usesLogAppendTime ? String(timestamp) : "-1",
      logStartOffset: String(logStartOffset),
    };
  });
}
