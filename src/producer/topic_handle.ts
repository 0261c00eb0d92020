/**
 * A topic with the types of its keys and values: serializers of its own, whatever else the producer sends.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { ConfigError, SerializationError } from "../errors.ts";
import { copyAlike, isByteArray } from "../byte_arrays.ts";
import { sentenceOf, show } from "../show.ts";
import type { BatchDeliveryLike, ProducerLike, RecordMetadataLike, SendOptionsLike } from "./producer_like.ts";
import type { HeaderValue, ProducerRecord } from "./record/record.ts";
import type { Serializer } from "./record/serializer.ts";

/** A record of a topic that is known already. */
export type TopicRecord<K, V> = Omit<ProducerRecord<K, V>, "topic">;

/** What writes the keys and the values of a topic. */
export interface TopicSerializers<K, V> {
  /** Turns keys into bytes. @default the producer's own */
  readonly key?: Serializer<K> | undefined;
  /** Turns values into bytes. @default the producer's own */
  readonly value?: Serializer<V> | undefined;
}

/** What a handle sends by. */
type Sender = Pick<ProducerLike<never, never>, "send" | "sendBatch" | "produce">;
type Part = "key" | "value";

const PARTS = ["key", "value"] as const;

/**
 * Sends records to one topic. Serializers of a schema registry that tell the schema in a header (wire format 1) add it.
 *
 * Made by `producer.topic(name, { key, value })`, and in a transaction by `tx.topic(name, { key, value })`.
 */
export class TopicHandle<K, V> {
  /** The topic. */
  readonly topic: string;
  readonly #sender: Sender;
  readonly #serializers: TopicSerializers<K, V>;
  /** Headers that go with every record. */
  readonly #headers: readonly (readonly [string, HeaderValue])[];

  /**
   * @internal See `Producer.topic`.
   * @param own which serializers the sender has itself: nothing is serialized twice
   */
  constructor(sender: object, topic: string, serializers: unknown, own: Readonly<Partial<Record<Part, unknown>>>) {
    if (typeof topic !== "string" || topic === "") refuse("topic", "the name of a topic", topic);
    const read = readOptions("topic", serializers, PARTS);
    for (const part of PARTS) {
      if (read[part] === undefined) continue;
      if (typeof read[part] !== "function") refuse(part, "a serializer, such as json()", read[part]);
      if (own[part] === undefined) continue;
      throw new ConfigError(
        part,
        `Leave out "${part}" for topic ${show(topic)}, or the producer's own "${part}Serializer": it is applied to ` +
          "whatever the producer sends.",
      );
    }
    this.topic = topic;
    this.#sender = sender as Sender;
    this.#serializers = read as TopicSerializers<K, V>;
    this.#headers = PARTS.flatMap((part) => {
      const headers = (read[part] as { readonly headers?: unknown } | undefined)?.headers;
      return isObject(headers) ? Object.entries(headers) as [string, HeaderValue][] : [];
    });
  }

  /** As `Producer.send`, to this topic. */
  send(record: TopicRecord<K, V>, options?: SendOptionsLike): Promise<RecordMetadataLike> {
    return this.#sender.send(this.#recordOf(record), options);
  }

  /** As `Producer.sendBatch`, to this topic. */
  sendBatch(records: Iterable<TopicRecord<K, V>>, options?: SendOptionsLike): BatchDeliveryLike {
    const isList = isObject(records) && Symbol.iterator in records;
    return this.#sender.sendBatch(isList ? this.#recordsOf(records) : records as never, options);
  }

  /** As `Producer.produce`, to this topic. */
  produce(record: TopicRecord<K, V>, onDelivery?: SendOptionsLike["onDelivery"]): boolean {
    return this.#sender.produce(this.#recordOf(record), onDelivery);
  }

  /**
   * The same topic and serializers, sent by another, who stands around the sender that it has.
   *
   * @internal
   */
  around(sender: object, by: object): TopicHandle<K, V> {
    return this.#sender === sender ? new TopicHandle(by, this.topic, this.#serializers, {}) : this;
  }

  *#recordsOf(records: Iterable<TopicRecord<K, V>>): Generator<ProducerRecord<never, never>> {
    for (const record of records) yield this.#recordOf(record);
  }

  /** A record that the producer can send as it is. One that can't be made is told as the producer tells its own. */
  #recordOf(record: TopicRecord<K, V>): ProducerRecord<never, never> {
    try {
      if (!isObject(record)) return record as never;
      const { key, value, partition, timestamp, headers } = record;
      const { topic } = this;
      // One buffer may serve keys and values both.
      const keyBytes = this.#serialize("key", key);
      const kept = isByteArray(keyBytes) ? copyAlike(keyBytes) : keyBytes;
      return {
        topic,
        value: this.#serialize("value", value),
        ...(key === undefined ? {} : { key: kept }),
        ...(partition === undefined ? {} : { partition }),
        ...(timestamp === undefined ? {} : { timestamp }),
        ...this.#withHeaders(headers),
      } as ProducerRecord<never, never>;
    } catch (error) {
      return {
        get topic(): string {
          throw error;
        },
      } as ProducerRecord<never, never>;
    }
  }

  #serialize(part: Part, value: unknown): unknown {
    const serializer = this.#serializers[part] as Serializer<unknown> | undefined;
    if (serializer === undefined || value === null || value === undefined) return value;
    const { topic } = this;
    try {
      return serializer(value, { topic, part });
    } catch (error) {
      throw new SerializationError(`The ${part} for topic ${show(topic)} can't be serialized. ${sentenceOf(error)}`, {
        cause: error,
        topic,
      });
    }
  }

  #withHeaders(headers: ProducerRecord["headers"]): { readonly headers?: ProducerRecord["headers"] } {
    if (this.#headers.length === 0) return headers === undefined ? {} : { headers };
    if (headers === undefined) return { headers: this.#headers };
    // Whatever is no headers is refused when it is sent.
    if (!isObject(headers)) return { headers };
    const given = Symbol.iterator in headers
      ? [...headers as Iterable<readonly [string, HeaderValue]>]
      : Object.entries(headers) as [string, HeaderValue][];
    return { headers: [...given, ...this.#headers] };
  }
}
