/**
 * What a record holds as text or as JSON, for assertions.
 *
 * @module
 */

import { SerializationError } from "../errors.ts";
import { isByteArray } from "../byte_arrays.ts";
import { sentenceOf, show } from "../show.ts";

/** Methods of the records that tests look at. They are not enumerable, so that equality doesn't look at them. */
export interface RecordText {
  /** The value as text, from UTF-8 if it is bytes; null of a tombstone. */
  text(): string | null;
  /**
   * The value read as JSON; null of a tombstone.
   *
   * @throws {SerializationError} for a value that is no JSON
   */
  json<T = unknown>(): T | null;
  /** The key as text; null if there is none. */
  keyText(): string | null;
}

interface Parts {
  readonly topic: string;
  readonly key: unknown;
  readonly value: unknown;
}

/** With a byte order mark, if there is one: a test is to see it. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return value;
  return isByteArray(value) ? decoder.decode(value) : JSON.stringify(value);
}

/** One for all records: what they read is `this`. */
const METHODS: PropertyDescriptorMap = {
  text: {
    value(this: Parts): string | null {
      return textOf(this.value);
    },
  },
  json: {
    value(this: Parts): unknown {
      const { topic, value } = this;
      // A recording producer keeps what a serializer would have been given.
      if (typeof value === "object" && !isByteArray(value)) return value;
      const text = textOf(value)!.replace(/^\ufeff/, "");
      try {
        return JSON.parse(text);
      } catch (error) {
        const message = `Read a value that is JSON: ${show(text)} in topic ${show(topic)} is not. ${sentenceOf(error)}`;
        throw new SerializationError(message, { topic, cause: error });
      }
    },
  },
  keyText: {
    value(this: Parts): string | null {
      return textOf(this.key);
    },
  },
};

/** Gives a record its methods. */
export function withText<R extends Parts>(record: R): R & RecordText {
  return Object.defineProperties(record, METHODS) as R & RecordText;
}
