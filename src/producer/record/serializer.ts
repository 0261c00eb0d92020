/**
 * From the caller's keys and values to bytes.
 *
 * @module
 */

import { SerializationError } from "../../errors.ts";
import { isByteArray } from "../../byte_arrays.ts";

/** What a serializer is told besides the value. */
export interface SerializerContext {
  /** The topic that the record goes to. */
  readonly topic: string;
  /** Which part of the record is asked for. */
  readonly part: "key" | "value";
}

/**
 * Turns a key or a value into bytes, or into a string that is sent as UTF-8. It is not called for `null`. What it
 * throws becomes the `cause` of a {@link SerializationError}; nothing is queued then.
 *
 * The bytes are copied before `send` returns, and the key's before the value is asked for: one buffer may serve all keys
 * and values, again and again.
 */
export type Serializer<T> = (value: T, context: SerializerContext) => Uint8Array | string;

/** Sends strings as UTF-8 and refuses everything else. */
export function stringSerializer(): Serializer<string> {
  return (value) => {
    if (typeof value === "string") return value;
    throw new SerializationError(`Pass a string: ${typeof value} is none.`);
  };
}

/** Sends bytes as they are and refuses everything else. */
export function bytesSerializer(): Serializer<Uint8Array> {
  return (value) => {
    if (isByteArray(value)) return value;
    throw new SerializationError(`Pass a Uint8Array: ${typeof value} is none.`);
  };
}

/** Sends `JSON.stringify(value)`; what has no JSON form (a function, a bigint) is refused. */
export function jsonSerializer<T = unknown>(): Serializer<T> {
  return (value) => {
    const text = JSON.stringify(value);
    if (text !== undefined) return text;
    throw new SerializationError(`Pass something that has a JSON form: ${typeof value} has none.`);
  };
}
