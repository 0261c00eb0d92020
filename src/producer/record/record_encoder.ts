/**
 * From a caller's record to bytes: checks, serializers, UTF-8.
 *
 * @module
 */

import { ignoreRejection, isObject } from "../../call_options.ts";
import { KafkaError, ProtocolError, RecordTooLargeError, SerializationError } from "../../errors.ts";
import { COPY_BY_LOOP, copyInto, isByteArray, isDetached, kindOf, lengthOf } from "../../byte_arrays.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import { sizeOfVarint, writeVarint } from "../../protocol/varint.ts";
import { sentenceOf, show } from "../../show.ts";
import { keepsNoHeaders, notHeaders } from "./header_checks.ts";
import type { Headers } from "./record.ts";
import type { Serializer } from "./serializer.ts";

const utf8 = new TextEncoder();
const MAX_TOPIC_BYTES = 32_767;
/** Up to here a loop over the characters beats a call of the runtime's encoder. */
const ENCODE_BY_LOOP = 24;
const FIRST_SCRATCH_BYTES = 4_096;
/** A larger one is left to the garbage collector: one long text must not take its room for good. */
const MAX_SCRATCH_BYTES = 4_194_304;
const MAX_VARINT_BYTES = 5;
/** Views of scratch buffers are kept up to this length: to make one takes longer than to copy what it shows. */
const MOST_KEPT_VIEW = 1_024;
const NO_VIEWS: never[] = [];

/** What a record may take: nothing larger is encoded at all. */
export interface RecordLimits {
  readonly bufferMemory: number;
  readonly maxRequestSize: number;
}

/**
 * Encodes one record at a time into its own fields; they hold until the next record is encoded. Strings go through
 * scratch buffers that are used over and over: `TextEncoder.encode` costs twenty times as much.
 *
 * Headers, key and value are read in this order, because code of the caller runs in between (iterators, getters,
 * serializers): headers and key are in our own buffers before the value's serializer is called. After it nobody else's
 * code runs until the bytes are copied into a batch, unless there is a partitioner; then they are copied here.
 */
export class RecordEncoder implements RecordBytes {
  key: Uint8Array | null = null;
  keyLength = 0;
  value: Uint8Array | null = null;
  valueLength = 0;
  headers: Uint8Array | null = null;
  headersLength = 0;

  readonly #keySerializer: Serializer<never> | undefined;
  readonly #valueSerializer: Serializer<never> | undefined;
  readonly #limits: RecordLimits;
  readonly #limit: number;
  readonly #copiesKeys: boolean;
  readonly #copiesValues: boolean;
  readonly #keyScratch = new Scratch();
  readonly #valueScratch = new Scratch();
  readonly #headerScratch = new Scratch();
  #headerCount = 0;

  /**
   * Takes the serializers; without one, strings and bytes are sent as they are. `copiesKeys` for a partitioner, which is
   * shown them; `copiesValues` when code of the caller runs before the record is in a batch.
   */
  constructor(
    keySerializer: Serializer<never> | undefined,
    valueSerializer: Serializer<never> | undefined,
    limits: RecordLimits,
    copiesKeys = false,
    copiesValues = false,
  ) {
    this.#keySerializer = keySerializer;
    this.#valueSerializer = valueSerializer;
    this.#limits = limits;
    this.#limit = Math.min(limits.bufferMemory, limits.maxRequestSize);
    this.#copiesValues = copiesValues;
    this.#copiesKeys = copiesKeys || valueSerializer !== undefined;
  }

  /** Encodes a record's content. @throws {KafkaError} when it can't be sent; nothing is kept of it then */
  encode(topic: string, key: unknown, value: unknown, headers: Headers | undefined): void {
    this.headers = null;
    this.headersLength = 0;
    if (headers !== undefined) this.#encodeHeaders(headers, topic);
    if (key === undefined || key === null) {
      this.key = null;
      this.keyLength = 0;
    } else {
      this.#encodeKey(key, topic);
    }
    if (value === null) {
      this.value = null;
      this.valueLength = 0;
    } else {
      this.#encodeValue(value, topic);
    }
  }

  /** Lets go of what is the caller's, and of what was made for one record. */
  release(): void {
    this.key = null;
    this.value = null;
    this.headers = null;
    this.#headerScratch.letGo();
  }

  #encodeKey(key: unknown, topic: string): void {
    const bytes = this.#keySerializer === undefined ? key : serialize(this.#keySerializer, key, topic, "key");
    if (typeof bytes === "string") {
      const { length } = bytes;
      const least = this.headersLength + length;
      if (least > this.#limit) throw this.#tooLarge(least, topic);
      this.keyLength = this.#keyScratch.encode(bytes);
      this.key = this.#keyScratch.take(this.keyLength);
      if (this.keyLength !== length) checkWellFormed("key", bytes, topic);
    } else {
      const length = lengthOfForeign(bytes, topic, "key", this.#keySerializer);
      const least = this.headersLength + length;
      if (least > this.#limit) throw this.#tooLarge(least, topic);
      this.keyLength = length;
      if (this.#copiesKeys) {
        this.#keyScratch.copy(bytes as Uint8Array, length);
        this.key = this.#keyScratch.take(length);
      } else {
        this.key = bytes as Uint8Array;
      }
    }
  }

  #encodeValue(value: unknown, topic: string): void {
    const bytes = this.#valueSerializer === undefined || value === undefined
      ? value
      : serialize(this.#valueSerializer, value, topic, "value");
    const isText = typeof bytes === "string";
    const length = isText ? bytes.length : lengthOfForeign(bytes, topic, "value", this.#valueSerializer);
    const least = this.headersLength + this.keyLength + length;
    if (least > this.#limit) throw this.#tooLarge(least, topic);
    if (isText) {
      this.valueLength = this.#valueScratch.encode(bytes);
    } else {
      this.valueLength = length;
      if (!this.#copiesValues) {
        this.value = bytes as Uint8Array;
        return;
      }
      this.#valueScratch.copy(bytes as Uint8Array, length);
    }
    this.value = this.#valueScratch.take(this.valueLength);
  }

  /** Writes the count and then name and value of each header, order and repeats kept. */
  #encodeHeaders(headers: Headers, topic: string): void {
    if (!isObject(headers)) throw notHeaders(headers, topic);
    this.#headerCount = 0;
    // Of most records the count takes one byte.
    let at = 1;
    if (Symbol.iterator in headers) {
      at = this.#encodePairs(headers as Iterable<unknown>, at, topic);
    } else {
      for (const name in headers) {
        if (Object.hasOwn(headers, name)) at = this.#encodeHeader(name, headers[name], at, topic);
      }
      if (this.#headerCount === 0 && keepsNoHeaders(headers)) throw notHeaders(headers, topic);
    }
    const count = this.#headerCount;
    if (count === 0) return;
    const countBytes = sizeOfVarint(count);
    const into = this.#headerScratch.room(at + countBytes, at);
    if (countBytes > 1) {
      into.copyWithin(countBytes, 1, at);
      at += countBytes - 1;
    }
    writeVarint(into, 0, count);
    this.headers = this.#headerScratch.head(at);
    this.headersLength = at;
  }

  /** Apart, because most headers are an object, and what goes through any iterable is a lot of code. */
  #encodePairs(pairs: Iterable<unknown>, start: number, topic: string): number {
    let at = start;
    for (const pair of pairs) {
      if (!Array.isArray(pair) || pair.length !== 2) {
        throw new SerializationError("Pass each header as a pair of name and value.", { topic });
      }
      at = this.#encodeHeader(pair[0], pair[1], at, topic);
    }
    return at;
  }

  #encodeHeader(name: unknown, value: unknown, start: number, topic: string): number {
    // Left out, as JSON does.
    if (value === undefined) return start;
    this.#headerCount += 1;
    if (typeof name !== "string") {
      throw new SerializationError(`Give each header a name: ${show(name)} is not a string.`, { topic });
    }
    const at = this.#encodeHeaderText(name, start, true, topic);
    if (typeof value === "string") return this.#encodeHeaderText(value, at, false, topic);
    if (value === null) {
      this.#headerScratch.room(at + 1, at)[at] = 1; // -1 in zig-zag
      return at + 1;
    }
    const length = lengthOfForeign(value, topic, "header", name);
    return this.#encodeHeaderBytes(value as Uint8Array, length, at, topic);
  }

  #encodeHeaderText(text: string, at: number, isName: boolean, topic: string): number {
    const { length } = text;
    if (at + length > this.#limit) throw this.#tooLarge(at + length, topic);
    if (length > ENCODE_BY_LOOP) return this.#encodeLongHeaderText(text, at, isName, topic);
    const into = this.#headerScratch.room(at + 1 + ENCODE_BY_LOOP, at);
    const textAt = at + 1;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return this.#encodeLongHeaderText(text, at, isName, topic);
      into[textAt + index] = code;
    }
    into[at] = length << 1;
    return textAt + length;
  }

  #encodeLongHeaderText(text: string, at: number, isName: boolean, topic: string): number {
    const { length } = text;
    if (length * 3 > MAX_SCRATCH_BYTES) {
      const bytes = utf8.encode(text);
      if (isName && bytes.length !== length) checkWellFormed("header name", text, topic);
      return this.#encodeHeaderBytes(bytes, bytes.length, at, topic);
    }
    const into = this.#headerScratch.room(at + MAX_VARINT_BYTES + length * 3, at);
    // The length stands in front and is known afterwards; of ASCII it is that of the text.
    const guessedAt = at + sizeOfVarint(length);
    const { written } = utf8.encodeInto(text, this.#headerScratch.tail(guessedAt));
    if (isName && written !== length) checkWellFormed("header name", text, topic);
    const textAt = at + sizeOfVarint(written);
    if (textAt !== guessedAt) into.copyWithin(textAt, guessedAt, guessedAt + written);
    writeVarint(into, at, written);
    return textAt + written;
  }

  #encodeHeaderBytes(bytes: Uint8Array, length: number, start: number, topic: string): number {
    if (start + length > this.#limit) throw this.#tooLarge(start + length, topic);
    const into = this.#headerScratch.room(start + MAX_VARINT_BYTES + length, start);
    const at = writeVarint(into, start, length);
    copyInto(into, at, bytes, length);
    return at + length;
  }

  /** For what is refused before room is made for it. */
  #tooLarge(bytes: number, topic: string): RecordTooLargeError {
    return tooLarge(`at least ${bytes}`, this.#limits, topic);
  }
}

/** The error for a record that takes more than there can be. */
export function tooLarge(
  bytes: string,
  { bufferMemory, maxRequestSize }: RecordLimits,
  topic: string,
): RecordTooLargeError {
  const [option, limit] = bufferMemory <= maxRequestSize
    ? ["bufferMemory", bufferMemory]
    : ["maxRequestSize", maxRequestSize];
  return new RecordTooLargeError(
    `Send a smaller record or raise "${option}": the record takes ${bytes} bytes, the limit is ${limit}.`,
    { topic },
  );
}

/** Checks a topic's name as far as the wire goes; whether a cluster takes it, its metadata tells. */
export function checkTopicName(topic: unknown): void {
  if (typeof topic !== "string" || topic === "") {
    throw new ProtocolError(`Give the record a topic: ${show(topic)} is not.`, {
      code: "INVALID_TOPIC_EXCEPTION",
    });
  }
  if (!topic.isWellFormed()) {
    throw new ProtocolError(
      "Give the record another topic: the name holds a lone surrogate, which UTF-8 can't carry.",
      {
        code: "INVALID_TOPIC_EXCEPTION",
      },
    );
  }
  // A character takes three bytes at most (a surrogate pair, two characters, takes four), and one at least.
  if (topic.length * 3 <= MAX_TOPIC_BYTES) return;
  const size = topic.length > MAX_TOPIC_BYTES ? topic.length : utf8.encode(topic).length;
  if (size > MAX_TOPIC_BYTES) {
    throw new ProtocolError(
      `Shorten the topic's name: it has ${size} bytes or more in UTF-8, the limit is ${MAX_TOPIC_BYTES}.`,
      {
        code: "INVALID_TOPIC_EXCEPTION",
      },
    );
  }
}

/** Checks the fields of a record that are neither key, value nor headers. */
export function checkRecordNumbers(topic: string, partition: unknown, timestamp: unknown): void {
  if (partition !== undefined && !(Number.isInteger(partition) && partition as number >= 0)) {
    throw new KafkaError(`Set the partition to a whole number from 0: ${show(partition)} is not.`, {
      code: "INVALID_PARTITION",
      topic,
    });
  }
  if (timestamp !== undefined && !(Number.isSafeInteger(timestamp) && timestamp as number >= 0)) {
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

/**
 * How many bytes there are. Asks nothing of their class: it may say what it likes. `from` is the serializer that they
 * come from, or the header's name.
 */
function lengthOfForeign(
  bytes: unknown,
  topic: string,
  part: "key" | "value" | "header",
  from: Serializer<never> | string | undefined,
): number {
  let length: number | undefined;
  try {
    if (bytes instanceof Uint8Array || isByteArray(bytes)) length = lengthOf(bytes);
  } catch {
    // It only looks like bytes.
  }
  if (length === undefined) throw notSerializable(bytes, topic, part, from);
  if (length > 0 || !isDetached(bytes as Uint8Array)) return length;
  const name = typeof from === "string" ? `header ${show(from)}` : part;
  throw new SerializationError(
    `Pass the ${name} before its memory goes: it was transferred, or resized so that the view lies outside.`,
    { topic },
  );
}

function notSerializable(
  bytes: unknown,
  topic: string,
  part: "key" | "value" | "header",
  from: Serializer<never> | string | undefined,
): SerializationError {
  ignoreRejection(bytes);
  const shown = shownBytes(bytes);
  if (part === "header") {
    const hint = Array.isArray(bytes) ? " Repeat its name for each: headers: [[name, first], [name, second]]." : "";
    const message = `Pass the header ${show(from)} as a string, a Uint8Array or null: ${shown}.${hint}`;
    return new SerializationError(message, { topic });
  }
  const tombstone = part === "value" && bytes === undefined ? " A tombstone is null." : "";
  return new SerializationError(
    from === undefined || bytes === undefined
      ? `Pass the ${part} as a string, a Uint8Array or null, or set "${part}Serializer": ${shown}.${tombstone}`
      : `Return a string or a Uint8Array from "${part}Serializer", and at once: ${shown}. ` +
        "What takes time, such as a look into a schema registry, must be done before the send.",
    { topic },
  );
}

/** What bytes are that we don't take; other views and buffers with how their bytes would be passed. */
function shownBytes(bytes: unknown): string {
  const kind = kindOf(bytes);
  return kind === undefined ? `${show(bytes)} is not` : `it is ${kind}`;
}

/**
 * Refuses half of a surrogate pair where the text tells things apart: UTF-8 has no form for it, so two different keys
 * would become one. Only asked about text that isn't ASCII.
 */
function checkWellFormed(part: "key" | "header name", text: string, topic: string): void {
  if (text.isWellFormed()) return;
  throw new SerializationError(
    `Pass the ${part} as well-formed text, or as bytes: it holds a lone surrogate, which UTF-8 can't carry.`,
    { topic },
  );
}

/** A buffer that is used over and over. */
class Scratch {
  bytes = new Uint8Array(FIRST_SCRATCH_BYTES);
  /** Views of its first bytes, by their length, and of what comes after them. */
  #heads: (Uint8Array | undefined)[] = NO_VIEWS;
  #tails: (Uint8Array | undefined)[] = NO_VIEWS;

  /** Makes room for so many bytes in all; the first `used` stay. */
  room(bytes: number, used: number): Uint8Array {
    return bytes <= this.bytes.length ? this.bytes : this.#grow(bytes, used);
  }

  #grow(bytes: number, used: number): Uint8Array {
    // Only what is written at once can be as small as it is: what grows bit by bit would be copied again and again.
    const isWhole = used === 0 && bytes > MAX_SCRATCH_BYTES;
    const grown = new Uint8Array(isWhole ? bytes : 2 ** Math.ceil(Math.log2(bytes)));
    grown.set(this.bytes.subarray(0, used));
    return this.#use(grown);
  }

  /** The first bytes, and perhaps more where that is as good: what is short is copied by a loop (see `copyInto`). */
  head(length: number): Uint8Array {
    if (length <= COPY_BY_LOOP || length > MOST_KEPT_VIEW) return this.bytes;
    if (this.#heads === NO_VIEWS) this.#heads = [];
    return this.#heads[length] ??= this.bytes.subarray(0, length);
  }

  /** What comes after the first bytes. */
  tail(length: number): Uint8Array {
    if (length > MOST_KEPT_VIEW) return this.bytes.subarray(length);
    if (this.#tails === NO_VIEWS) this.#tails = [];
    return this.#tails[length] ??= this.bytes.subarray(length);
  }

  /** Writes text as UTF-8; returns the number of bytes. */
  encode(text: string): number {
    const { length } = text;
    if (length * 3 > MAX_SCRATCH_BYTES) {
      return this.#use(utf8.encode(text)).length;
    }
    const into = this.room(length * 3, 0);
    if (length > ENCODE_BY_LOOP) return utf8.encodeInto(text, into).written;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return utf8.encodeInto(text, into).written;
      into[index] = code;
    }
    return length;
  }

  /** Copies bytes of somebody else. */
  copy(bytes: Uint8Array, length: number): void {
    copyInto(this.room(length, 0), 0, bytes, length);
  }

  /** The {@link head}. What was made for one large record isn't kept. */
  take(length: number): Uint8Array {
    const head = this.head(length);
    this.letGo();
    return head;
  }

  /** Doesn't keep what was made for one large record. */
  letGo(): void {
    if (this.bytes.length > MAX_SCRATCH_BYTES) this.#use(new Uint8Array(FIRST_SCRATCH_BYTES));
  }

  #use(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.#heads = this.#tails = NO_VIEWS;
    return this.bytes = bytes;
  }
}
