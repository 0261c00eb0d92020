/**
 * Turns the bytes of a file or of standard input into records: one per line, or one per element of a JSON array.
 *
 * @module
 */

import { show } from "../show.ts";
import { HALF_A_PAIR, parseEnvelope } from "./envelope.ts";
import type { InputRecord } from "./input_record.ts";
import {
  badInput,
  DelimiterSplitter,
  equal,
  indexOf,
  JsonArraySplitter,
  LineSplitter,
  type Piece,
  type Splitter,
} from "./splitter.ts";

/**
 * `lines`: a record per line. `ndjson`: a JSON value per line. `json`: the elements of one JSON array. `envelope`: a JSON
 * object per line that says key, value and the rest.
 */
export type InputFormat = "lines" | "ndjson" | "json" | "envelope";

/** What of the input becomes the key, and what stands for null. */
export interface InputOptions {
  /** How the input is cut. */
  readonly format: InputFormat;
  /** `lines`: what stands between key and value; a line without it is an error. */
  readonly keySeparator?: Uint8Array | undefined;
  /** `lines`: a line without the key separator is no error, but a value. */
  readonly keyIsOptional?: boolean | undefined;
  /** `lines`: what stands behind the headers at the front of a line, which are `NAME:VALUE,…` there. */
  readonly headersSeparator?: Uint8Array | undefined;
  /** `lines`: what stands between records, if not the ends of lines. */
  readonly delimiter?: Uint8Array | undefined;
  /** `lines`: an empty key or value is null. */
  readonly emptyAsNull?: boolean | undefined;
  /** `ndjson` and `json`: the field that becomes the key; dots lead into objects. */
  readonly keyField?: string | undefined;
  /** `lines`: a key or a value that is exactly this text is null. */
  readonly nullMarker?: string | undefined;
}

/** Reads records out of chunks. A record that can't be read throws, after the ones before it were given out. */
export class RecordParser {
  readonly #splitter: Splitter;
  readonly #parse: (piece: Piece) => InputRecord | undefined;

  /** Prepares for one input. */
  constructor(options: InputOptions) {
    this.#splitter = splitterOf(options);
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

function splitterOf({ format, delimiter }: InputOptions): Splitter {
  if (format === "json") return new JsonArraySplitter();
  return delimiter === undefined ? new LineSplitter() : new DelimiterSplitter(delimiter);
}

const encoder = new TextEncoder();

function lineParser(options: InputOptions): (piece: Piece) => InputRecord {
  const { keySeparator, keyIsOptional, headersSeparator, emptyAsNull } = options;
  const marker = options.nullMarker === undefined ? undefined : encoder.encode(options.nullMarker);
  const nullable = (bytes: Uint8Array) =>
    (emptyAsNull && bytes.length === 0) || (marker !== undefined && equal(bytes, marker)) ? null : bytes;
  return ({ bytes: line, line: lineNumber }) => {
    let bytes = line;
    let headers: InputRecord["headers"];
    if (headersSeparator !== undefined) {
      const at = indexOf(bytes, headersSeparator);
      if (at < 0) throw badInput(lineNumber, `${excerpt(bytes)} has no headers, wanted NAME:VALUE,… before the others`);
      headers = lineHeaders(bytes.subarray(0, at), lineNumber);
      bytes = bytes.subarray(at + headersSeparator.length);
    }
    const at = keySeparator === undefined ? -1 : indexOf(bytes, keySeparator);
    if (keySeparator === undefined || (at < 0 && keyIsOptional)) {
      return { key: null, value: nullable(bytes), ...headers && { headers } };
    }
    if (at < 0) {
      const shown = new TextDecoder().decode(keySeparator);
      throw badInput(lineNumber, `${excerpt(bytes)} has no key, wanted KEY, ${show(shown)} and VALUE`);
    }
    const value = nullable(bytes.subarray(at + keySeparator.length));
    return { key: nullable(bytes.subarray(0, at)), value, ...headers && { headers } };
  };
}

const comma = 0x2c;
const colon = 0x3a;
const headerText = new TextDecoder("utf-8", { ignoreBOM: true });

/** `name:value,name:value`, as Java's console producer reads them. Values keep the bytes that they had. */
function lineHeaders(bytes: Uint8Array, line: number): InputRecord["headers"] {
  if (bytes.length === 0) return [];
  return between(bytes, comma).map((pair) => {
    const at = pair.indexOf(colon);
    if (at < 0) throw badInput(line, `the header ${show(headerText.decode(pair))} has no value, wanted NAME:VALUE`);
    return [headerText.decode(pair.subarray(0, at)), new Uint8Array(pair.subarray(at + 1))];
  });
}

/** What stands between all bytes of one kind. */
function between(bytes: Uint8Array, separator: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let start = 0;
  for (let end = bytes.indexOf(separator); end >= 0; end = bytes.indexOf(separator, start)) {
    pieces.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return [...pieces, bytes.subarray(start)];
}

function jsonParser(options: InputOptions): (piece: Piece) => InputRecord | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true }); // it also takes a byte order mark away
  const path = options.keyField?.split(".");
  return ({ bytes, line }) => {
    let value: unknown;
    const text = decoded(decoder, bytes, line);
    if (options.format !== "json" && text.trim() === "") return undefined;
    try {
      value = JSON.parse(text);
    } catch {
      throw badInput(line, `${excerpt(bytes)} is not JSON`);
    }
    if (options.format === "envelope") {
      const record = parseEnvelope(value);
      if (typeof record === "string") throw badInput(line, record);
      return record;
    }
    return { key: path === undefined ? null : keyOf(value, path, line), value: withoutByteOrderMark(bytes) };
  };
}

/** JSON is UTF-8. kcat writes other bytes into it as they are, and whoever read on would change them. */
function decoded(decoder: TextDecoder, bytes: Uint8Array, line: number): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw badInput(
      line,
      `${excerpt(bytes)} is not JSON, for it is not UTF-8 (sluice tail --json writes bytes as base64)`,
    );
  }
}

function keyOf(value: unknown, path: readonly string[], line: number): string | null {
  let key = value;
  for (const name of path) {
    key = typeof key === "object" && key !== null && Object.hasOwn(key, name)
      ? (key as Record<string, unknown>)[name]
      : undefined;
  }
  if (typeof key === "string") return wellFormed(key, path, line);
  if (key === null || typeof key === "boolean") return key === null ? null : String(key);
  if (typeof key === "number" && Math.abs(key) <= Number.MAX_SAFE_INTEGER) return String(key);
  const field = show(path.join("."));
  if (key === undefined) throw badInput(line, `the record has no field ${field} to take the key from`);
  if (typeof key === "object") throw badInput(line, `the field ${field} is an object, wanted a string or a number`);
  throw badInput(line, `the field ${field} is a number past 2^53 and would be rounded, wanted a string`);
}

function wellFormed(key: string, path: readonly string[], line: number): string {
  if (key.isWellFormed()) return key;
  throw badInput(line, `the field ${show(path.join("."))} ${HALF_A_PAIR}`);
}

function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function excerpt(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 160));
  return show(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
