/**
 * From a caller's record to bytes: checks, serializers, UTF-8.
 *
 * @module
 */

import { ignoreRejection, isObject } from "../call_options.ts";
import { KafkaError, ProtocolError, SerializationError } from "../errors.ts";
import { encodeHeaders, type HeaderBytes, type RecordBytes } from "../protocol/record_batch.ts";
import { sentenceOf, show } from "../show.ts";
import type { Headers, HeaderValue, ProducerRecord } from "./record.ts";
import type { Serializer } from "./serializer.ts";

const utf8 = new TextEncoder();
const MAX_TOPIC_BYTES = 32_767;
/** Up to here a loop over the characters beats a call of the runtime's encoder. */
const ENCODE_BY_LOOP = 24;
const FIRST_SCRATCH = 4_096;

/**
 * Encodes one record at a time into its own fields; they hold until the next record is encoded. Strings go through
 * scratch buffers that are used over and over: `TextEncoder.encode` costs twenty times as much.
 */
export class RecordEncoder implements RecordBytes {
  key: Uint8Array | null = null;
  keyLength = 0;
  value: Uint8Array | null = null;
  valueLength = 0;
  headers: Uint8Array | undefined = undefined;

  readonly #keySerializer: Serializer<never> | undefined;
  readonly #valueSerializer: Serializer<never> | undefined;
  #keyScratch = new Uint8Array(FIRST_SCRATCH);
  #valueScratch = new Uint8Array(FIRST_SCRATCH);

  /** Takes the serializers; without one, strings and bytes are sent as they are. */
  constructor(keySerializer: Serializer<never> | undefined, valueSerializer: Serializer<never> | undefined) {
    this.#keySerializer = keySerializer;
    this.#valueSerializer = valueSerializer;
  }

  /** Encodes a record. @throws {KafkaError} when it can't be sent; nothing is kept of it then */
  encode(record: ProducerRecord<unknown, unknown>): void {
    const { topic, key, value, headers } = record;
    if (key === undefined || key === null) {
      this.key = null;
      this.keyLength = 0;
    } else {
      const bytes = this.#keySerializer === undefined ? key : serialize(this.#keySerializer, key, topic, "key");
      if (typeof bytes === "string") {
        this.#keyScratch = roomFor(bytes, this.#keyScratch);
        this.key = this.#keyScratch;
        this.keyLength = encodeText(bytes, this.#keyScratch);
      } else if (bytes instanceof Uint8Array) {
        this.key = bytes;
        this.keyLength = bytes.length;
      } else {
        throw notSerializable("key", bytes, topic, this.#keySerializer);
      }
    }
    if (value === null) {
      this.value = null;
      this.valueLength = 0;
    } else {
      const bytes = this.#valueSerializer === undefined || value === undefined
        ? value
        : serialize(this.#valueSerializer, value, topic, "value");
      if (typeof bytes === "string") {
        const into = roomFor(bytes, this.#valueScratch);
        if (into.length <= MAX_SCRATCH_BYTES) this.#valueScratch = into;
        this.value = into;
        this.valueLength = encodeText(bytes, into);
      } else if (bytes instanceof Uint8Array) {
        this.value = bytes;
        this.valueLength = bytes.length;
      } else {
        throw notSerializable("value", bytes, topic, this.#valueSerializer);
      }
    }
    this.headers = headers === undefined ? undefined : encodeRecordHeaders(headers, topic);
  }

  /** A copy of the encoded record that outlives the next one. */
  copy(): RecordBytes {
    const key = this.key?.slice(0, this.keyLength) ?? null;
    const value = this.value?.slice(0, this.valueLength) ?? null;
    return { key, keyLength: this.keyLength, value, valueLength: this.valueLength, headers: this.headers };
  }
}

/** Checks a topic's name as far as the wire goes; whether a cluster takes it, its metadata tells. */
export function checkTopicName(topic: unknown): void {
  if (typeof topic !== "string" || topic === "") {
    throw new ProtocolError(`Give the record a topic: ${show(topic)} is not.`, { code: "INVALID_TOPIC_EXCEPTION" });
  }
  // A character takes three bytes at most (a surrogate pair, two characters, takes four).
  if (topic.length * 3 <= MAX_TOPIC_BYTES) return;
  const size = utf8.encode(topic).length;
  if (size > MAX_TOPIC_BYTES) {
    throw new ProtocolError(
      `Shorten the topic's name: it has ${size} bytes in UTF-8, the limit is ${MAX_TOPIC_BYTES}.`,
      {
        code: "INVALID_TOPIC_EXCEPTION",
      },
    );
  }
}

/** Checks the fields of a record that are neither key, value nor headers. */
export function checkRecordNumbers(record: ProducerRecord<unknown, unknown>): void {
  const { topic, partition, timestamp } = record;
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0)) {
    throw new KafkaError(`Set the partition to a whole number from 0: ${show(partition)} is not.`, {
      code: "INVALID_PARTITION",
      topic,
    });
  }
  if (timestamp !== undefined && !(Number.isSafeInteger(timestamp) && timestamp >= 0)) {
    throw new KafkaError(`Set the timestamp to whole ms since the epoch, from 0: ${show(timestamp)} is not.`, {
      code: "INVALID_TIMESTAMP",
      topic,
    });
  }
}

function serialize(serializer: Serializer<never>, value: unknown, topic: string, part: "key" | "value"): unknown {
  try {
    return serializer(value as never, { topic, part });
  } catch (error) {
    throw new SerializationError(`The ${part} for topic ${show(topic)} can't be serialized. ${sentenceOf(error)}`, {
      topic,
      cause: error,
    });
  }
}

function notSerializable(
  part: "key" | "value",
  bytes: unknown,
  topic: string,
  serializer: Serializer<never> | undefined,
): SerializationError {
  ignoreRejection(bytes);
  const tombstone = part === "value" && bytes === undefined ? " A tombstone is null." : "";
  return new SerializationError(
    serializer === undefined || bytes === undefined
      ? `Pass the ${part} as a string, a Uint8Array or null, or set "${part}Serializer": ${
        show(bytes)
      } is not.${tombstone}`
      : `Return a string or a Uint8Array from "${part}Serializer", and at once: ${show(bytes)} is not. ` +
        "What takes time, such as a look into a schema registry, must be done before the send.",
    { topic },
  );
}

/** A larger one is left to the garbage collector: one long text must not take its room for good. */
const MAX_SCRATCH_BYTES = 4_194_304;

function roomFor(text: string, scratch: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const most = text.length * 3;
  return most <= scratch.length ? scratch : new Uint8Array(2 ** Math.ceil(Math.log2(most)));
}

/** Writes text as UTF-8 into a buffer with room for it; returns the number of bytes. */
function encodeText(text: string, into: Uint8Array): number {
  const { length } = text;
  if (length > ENCODE_BY_LOOP) return utf8.encodeInto(text, into).written;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return utf8.encodeInto(text, into).written;
    into[index] = code;
  }
  return length;
}

function encodeRecordHeaders(headers: Headers, topic: string): Uint8Array | undefined {
  const bytes: HeaderBytes[] = [];
  for (const [name, value] of pairs(headers, topic)) {
    // Left out, as JSON does.
    if (value === undefined) continue;
    if (typeof name !== "string") {
      throw new SerializationError(`Give each header a name: ${show(name)} is not a string.`, { topic });
    }
    bytes.push([utf8.encode(name), headerValue(name, value, topic)]);
  }
  return bytes.length === 0 ? undefined : encodeHeaders(bytes);
}

function pairs(headers: Headers, topic: string): Iterable<readonly [string, HeaderValue]> {
  if (!isObject(headers)) {
    throw new SerializationError(`Pass headers as an object or as pairs: they are a ${typeof headers}.`, { topic });
  }
  if (Symbol.iterator in headers) return pairsOf(headers as Iterable<readonly [string, HeaderValue]>, topic);
  return Object.entries(headers as Readonly<Record<string, HeaderValue>>);
}

function* pairsOf(
  headers: Iterable<readonly [string, HeaderValue]>,
  topic: string,
): Generator<readonly [string, HeaderValue]> {
  for (const pair of headers) {
    if (Array.isArray(pair) && pair.length === 2) yield pair as unknown as readonly [string, HeaderValue];
    else throw new SerializationError("Pass each header as a pair of name and value.", { topic });
  }
}

function headerValue(name: string, value: unknown, topic: string): Uint8Array | null {
  if (value === null) return null;
  if (typeof value === "string") return utf8.encode(value);
  if (value instanceof Uint8Array) return value;
  const hint = Array.isArray(value) ? " Repeat its name for each: headers: [[name, first], [name, second]]." : "";
  throw new SerializationError(
    `Pass the header ${show(name)} as a string, a Uint8Array or null: ${show(value)} is not.${hint}`,
    { topic },
  );
}
