/**
 * What can't be a record's headers.
 *
 * @module
 */

import { isObject } from "../../call_options.ts";
import { SerializationError } from "../../errors.ts";
import { show } from "../../show.ts";

/** The error for headers that are neither an object nor pairs. A string isn't shown: it may hold a token. */
export function notHeaders(headers: unknown, topic: string): SerializationError {
  const kind = isObject(headers) || headers === null ? show(headers) : `a ${typeof headers}`;
  return new SerializationError(`Pass headers as an object or as pairs: they are ${kind}.`, { topic });
}

/**
 * Whether an object in which no header was found is of a kind that keeps what it has elsewhere: a promise that nobody
 * awaited, memory, a date. Its record would go without headers and nobody be told. An instance of a caller's own class
 * may be empty.
 */
export function keepsNoHeaders(headers: object): boolean {
  return Object.prototype.toString.call(headers) !== "[object Object]";
}
