/**
 * Turns the bytes of a file or of standard input into records: one per line, or one per element of a JSON array.
 *
 * @module
 */

import { excerpt as shortened, show } from "../show.ts";
import { badInput, JsonArraySplitter, LineSplitter, type Piece, type Splitter } from "./splitter.ts";

/** `lines`: a record per line. `ndjson`: a JSON value per line. `json`: the elements of one JSON array. */
export type InputFormat = "lines" | "ndjson" | "json";

/** What of the input becomes the key, and what stands for null. */
export interface InputOptions {
  /** How the input is cut. */
  readonly format: InputFormat;
  /** `lines`: what stands between key and value; a line without it is an error. */
  readonly keySeparator?: string | undefined;
  /** `ndjson` and `json`: the field that becomes the key; dots lead into objects. */
  readonly keyField?: string | undefined;
  /** `lines`: a key or a value that is exactly this text is null. */
  readonly nullMarker?: string | undefined;
}

/** A record as the input gave it. A JSON value keeps the bytes that it had. */
export interface InputRecord {
  /** The key; null when there is none. */
  readonly key: string | Uint8Array | null;
  /** The value; null is a delete marker. */
  readonly value: Uint8Array | null;
}

/** Reads records out of chunks. A record that can't be read throws, after the ones before it were given out. */
export class RecordParser {
  readonly #splitter: Splitter;
  readonly #parse: (piece: Piece) => InputRecord | undefined;

  /** Prepares for one input. */
  constructor(options: InputOptions) {
    this.#splitter = options.format === "json" ? new JsonArraySplitter() : new LineSplitter();
    this.#parse = options.format === "lines" ? lineParser(options) : jsonParser(options);
  }

  /** Gives out the records that the chunk completes. */
  *push(chunk: Uint8Array): Iterable<InputRecord> {
    for (const piece of this.#splitter.push(chunk)) {
      const record = this.#parse(piece);
      if (record !== undefined) yield record;
    }
  }

  /** Gives out what is left at the end of the input. */
  *end(): Iterable<InputRecord> {
    for (const piece of this.#splitter.end()) {
      const record = this.#parse(piece);
      if (record !== undefined) yield record;
    }
  }
}

/** The format that a file's name speaks for: `.ndjson` and `.jsonl`, `.json`, and lines for all others. */
export function formatOf(fileName: string): InputFormat {
  if (/\.(ndjson|jsonl)$/i.test(fileName)) return "ndjson";
  return /\.json$/i.test(fileName) ? "json" : "lines";
}

const encoder = new TextEncoder();

function lineParser(options: InputOptions): (piece: Piece) => InputRecord {
  const marker = options.nullMarker === undefined ? undefined : encoder.encode(options.nullMarker);
  const nullable = (bytes: Uint8Array) => marker !== undefined && equal(bytes, marker) ? null : bytes;
  if (options.keySeparator === undefined) return ({ bytes }) => ({ key: null, value: nullable(bytes) });
  const text = options.keySeparator;
  const separator = encoder.encode(text);
  return ({ bytes, line }) => {
    const at = indexOf(bytes, separator);
    if (at < 0) throw badInput(line, `${excerpt(bytes)} has no key, wanted KEY${shortened(text)}VALUE (${show(text)})`);
    return { key: nullable(bytes.subarray(0, at)), value: nullable(bytes.subarray(at + separator.length)) };
  };
}

function jsonParser(options: InputOptions): (piece: Piece) => InputRecord | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true }); // it also takes a byte order mark away
  const path = options.keyField?.split(".");
  return ({ bytes, line }) => {
    let value: unknown;
    try {
      const text = decoder.decode(bytes);
      if (options.format === "ndjson" && text.trim() === "") return undefined;
      value = JSON.parse(text);
    } catch {
      throw badInput(line, `${excerpt(bytes)} is not JSON`);
    }
    return { key: path === undefined ? null : keyOf(value, path, line), value: withoutByteOrderMark(bytes) };
  };
}

function keyOf(value: unknown, path: readonly string[], line: number): string | null {
  let key = value;
  for (const name of path) {
    key = typeof key === "object" && key !== null && Object.hasOwn(key, name)
      ? (key as Record<string, unknown>)[name]
      : undefined;
  }
  if (key === null || typeof key === "string" || typeof key === "boolean") return key === null ? null : String(key);
  if (typeof key === "number" && Math.abs(key) <= Number.MAX_SAFE_INTEGER) return String(key);
  const field = show(path.join("."));
  if (key === undefined) throw badInput(line, `the record has no field ${field} to take the key from`);
  if (typeof key === "object") throw badInput(line, `the field ${field} is an object, wanted a string or a number`);
  throw badInput(line, `the field ${field} is a number past 2^53 and would be rounded, wanted a string`);
}

function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function excerpt(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 160));
  return show(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (equal(bytes.subarray(at, at + wanted.length), wanted)) return at;
  }
  return -1;
}
