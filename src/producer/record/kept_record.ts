/**
 * What is kept of a record that can't be encoded yet, or that others want to see later.
 *
 * @module
 */

import { isObject } from "../../call_options.ts";
import { copyAlike, isByteArray } from "../../byte_arrays.ts";
import type { Context } from "../../runtime/async_context.ts";
import type { Headers, HeaderValue, ProducerRecord } from "./record.ts";

/** What a partitioner is shown of a record. */
export interface KeptRecord {
  readonly key: unknown;
  readonly value: unknown;
  readonly headers: Headers | undefined;
  /** The context of the send, in which the partitioner is called later. */
  readonly context?: Context | undefined;
}

/** Reads each field and each header once: the next time, a getter may say something else, and an iterator nothing. */
export function fieldsOf<K, V>(record: ProducerRecord<K, V>): ProducerRecord<K, V> {
  // By name, because those of a class's instances stand on its prototype.
  const { topic, key, value, partition, timestamp, headers, ...fields } = record;
  const copy = { ...fields, topic, value } as { -readonly [F in keyof ProducerRecord<K, V>]: ProducerRecord<K, V>[F] };
  if (key !== undefined) copy.key = key;
  if (partition !== undefined) copy.partition = partition;
  if (timestamp !== undefined) copy.timestamp = timestamp;
  if (headers !== undefined) copy.headers = headersOf(headers);
  return copy;
}

/** Bytes as they are now: their owner may reuse its own. */
export function keepBytes<R extends Partial<KeptRecord>>(record: R): R {
  const { key, value, headers } = record;
  return { ...record, key: keptBytes(key), value: keptBytes(value), headers: headersOf(headers, keptBytes) };
}

/** A whole record as it is now. What can't be read is left as it is: sending it meets the error again. */
export function keep<K, V>(record: ProducerRecord<K, V>): ProducerRecord<K, V> {
  // Text and lists have no fields, and would look like a record without a value.
  if (!isObject(record) || Array.isArray(record)) return record;
  try {
    return keepBytes(fieldsOf(record));
  } catch {
    return record;
  }
}

function keptBytes<T>(value: T): T {
  return isByteArray(value) ? copyAlike(value) : value;
}

/** Headers, each read once; what `copy` makes of their values. */
export function headersOf(headers: Headers | undefined, copy: <T>(value: T) => T = same): Headers | undefined {
  if (!isObject(headers)) return headers;
  if (!(Symbol.iterator in headers)) {
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, copy(value)]));
  }
  try {
    // Whatever is no pair is refused when it is encoded.
    const pairs = Array.from(headers as Iterable<readonly [string, HeaderValue]>, (pair) => {
      return Array.isArray(pair) && pair.length === 2 ? [pair[0], copy(pair[1])] as [string, HeaderValue] : pair;
    });
    return headers instanceof Map ? new Map(pairs) : pairs;
  } catch (error) {
    const broken: Iterable<never> = {
      [Symbol.iterator]: () => {
        throw error;
      },
    };
    return broken;
  }
}

function same<T>(value: T): T {
  return value;
}
