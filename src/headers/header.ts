/**
 * Headers as pairs: how they are made of text and numbers, and how they are found again.
 *
 * @module
 */

import { isByteArray } from "../byte_arrays.ts";
import { isObject, refuse } from "../call_options.ts";

/** A header: its name, and its bytes. `headers` of a record takes a list of them, and a reader hands out such a list. */
export type HeaderPair = readonly [name: string, value: Uint8Array | null];

/** Headers as a producer takes them or a reader gives them: an object, or pairs. */
export type HeaderSource =
  | Readonly<Record<string, string | Uint8Array | null | undefined>>
  | Iterable<readonly [string, string | Uint8Array | null | undefined]>;

const encoder = new TextEncoder();

/** UTF-8. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of bytes that may be anybody's; what is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** A header with text; none if there is none. */
export function textHeader(name: string, text: string | number | bigint | undefined): HeaderPair[] {
  return text === undefined ? [] : [[name, utf8(String(text))]];
}

/** A header with a signed number of 32 bits, the high byte first. */
export function int32Header(name: string, value: number | undefined): HeaderPair[] {
  if (value === undefined) return [];
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return [[name, bytes]];
}

/** A header with a signed number of 64 bits, the high byte first. */
export function int64Header(name: string, value: bigint | number | undefined): HeaderPair[] {
  if (value === undefined) return [];
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value));
  return [[name, bytes]];
}

/** The number in four bytes; undefined for anything else. */
export function readInt32(bytes: Uint8Array | undefined): number | undefined {
  return bytes?.length === 4 ? viewOf(bytes).getInt32(0) : undefined;
}

/** The number in eight bytes; undefined for anything else. */
export function readInt64(bytes: Uint8Array | undefined): bigint | undefined {
  return bytes?.length === 8 ? viewOf(bytes).getBigInt64(0) : undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Headers of either shape as pairs with bytes; what is undefined is left out, as when they are sent. */
export function pairsOf(headers: HeaderSource | undefined): HeaderPair[] {
  if (headers === undefined || headers === null) return [];
  if (!isObject(headers)) refuse("headers", "an object or a list of pairs", headers);
  const pairs = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  const read: HeaderPair[] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || typeof pair[0] !== "string") refuse("headers", "pairs of a name and a value", pair);
    const [name, value] = pair;
    if (value === undefined) continue;
    if (value !== null && typeof value !== "string" && !isByteArray(value)) {
      refuse(`headers.${name}`, "text, bytes or null", value);
    }
    read.push([name, typeof value === "string" ? utf8(value) : value]);
  }
  return read;
}

/** The last header of a name, as Kafka's own `lastHeader`; undefined if there is none or it is null. */
export function lastHeader(headers: readonly HeaderPair[], name: string): Uint8Array | undefined {
  for (let at = headers.length - 1; at >= 0; at--) if (headers[at]![0] === name) return headers[at]![1] ?? undefined;
  return undefined;
}

/** The text of the last header of a name. */
export function lastText(headers: readonly HeaderPair[], name: string): string | undefined {
  const bytes = lastHeader(headers, name);
  return bytes && textOf(bytes);
}

/** Refuses what is no text, or empty. */
export function checkText(name: string, value: unknown): string {
  if (typeof value !== "string" || value === "") refuse(name, "text that isn't empty", value);
  return value;
}

/** Refuses what is no text, if it is there. */
export function checkOptionalText(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checkText(name, value);
}

/** Refuses what is no whole number from 0 up to 31 bits, if it is there. */
export function checkOptionalInt32(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const isRight = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 2_147_483_647;
  if (!isRight) refuse(name, "a whole number from 0 to 2147483647", value);
  return value;
}
