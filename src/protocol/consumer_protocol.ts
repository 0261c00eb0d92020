/**
 * What members of a group tell each other: subscriptions and assignments, in the bytes of Java's `ConsumerProtocol`.
 *
 * The broker passes them on as they are. Whoever is newer adds fields at the end, so a reader takes what it knows and
 * leaves the rest; some clients state a version and write fewer fields than it has.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { byTopic } from "./by_topic.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** What a member wants, and what it has. */
export interface Subscription {
  /** Topics. */
  readonly topics: readonly string[];
  /** Partitions that it reads, under a cooperative protocol (KIP-429). */
  readonly owned: readonly TopicPartition[];
  /** The generation in which it was given them; −1 if it doesn't tell. */
  readonly generationId: number;
}

/** Generation and rack came with it (KIP-792, KIP-881). */
const SUBSCRIPTION_VERSION = 3;
const ASSIGNMENT_VERSION = 0;
const OWNED_SINCE = 1;
const GENERATION_SINCE = 2;

/** A subscription's bytes. The generation stands in the user data as well, where leaders before Kafka 3.5 look for it. */
export function writeSubscription({ topics, owned, generationId }: Subscription): Uint8Array {
  const writer = new Writer();
  writer.int16(SUBSCRIPTION_VERSION);
  writer.int32(topics.length);
  for (const topic of [...topics].sort()) writer.string(topic);
  const userData = new Writer();
  userData.int32(generationId);
  writer.bytes(bytesOf(userData));
  writePartitions(writer, owned);
  writer.int32(generationId);
  writer.nullableString(null);
  return bytesOf(writer);
}

/** @throws {ProtocolError} when the bytes are no subscription */
export function readSubscription(bytes: Uint8Array): Subscription {
  const reader = new Reader(bytes);
  const version = reader.int16();
  const topics = Array.from({ length: reader.arrayLength(2, false) }, () => reader.string());
  const userData = reader.remaining === 0 ? null : reader.nullableBytes();
  const hasOwned = version >= OWNED_SINCE && reader.remaining > 0;
  const owned = hasOwned ? readPartitions(reader) : [];
  const hasGeneration = version >= GENERATION_SINCE && reader.remaining > 0;
  if (hasGeneration) return { topics, owned, generationId: reader.int32() };
  return { topics, owned, generationId: userData?.length === 4 ? new Reader(userData).int32() : -1 };
}

/** An assignment's bytes. */
export function writeAssignment(partitions: readonly TopicPartition[]): Uint8Array {
  const writer = new Writer();
  writer.int16(ASSIGNMENT_VERSION);
  writePartitions(writer, partitions);
  writer.nullableBytes(null);
  return bytesOf(writer);
}

/** @throws {ProtocolError} when the bytes are no assignment; none at all assign nothing */
export function readAssignment(bytes: Uint8Array): TopicPartition[] {
  if (bytes.length === 0) return [];
  const reader = new Reader(bytes);
  reader.int16();
  return readPartitions(reader);
}

function writePartitions(writer: Writer, partitions: readonly TopicPartition[]): void {
  const topics = byTopic(partitions, ({ partition }) => partition);
  writer.int32(topics.length);
  for (const [topic, indexes] of topics) {
    writer.string(topic);
    writer.int32(indexes.length);
    for (const index of indexes.sort((a, b) => a - b)) writer.int32(index);
  }
}

function readPartitions(reader: Reader): TopicPartition[] {
  const partitions: TopicPartition[] = [];
  for (let topics = reader.arrayLength(6, false); topics > 0; topics--) {
    const topic = reader.string();
    for (let indexes = reader.arrayLength(4, false); indexes > 0; indexes--) {
      const partition = reader.int32();
      if (partition < 0) {
        throw new ProtocolError(`Reading partition "${partition}" of an assignment: wanted 0 or more.`);
      }
      partitions.push({ topic, partition });
    }
  }
  return partitions;
}

function bytesOf(writer: Writer): Uint8Array {
  const { parts, byteLength } = writer.finish();
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
