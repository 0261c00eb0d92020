/**
 * Cuts a stream of bytes into lines, or into the elements of one JSON array, without holding more than one of them.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { show } from "../show.ts";
import { join } from "./escapes.ts";

/** A piece of the input and the line that it starts on, counted from 1. */
export interface Piece {
  /** The bytes as they stood in the input; BORROWED until the next call. */
  readonly bytes: Uint8Array;
  /** Where it starts. */
  readonly line: number;
}

/** Cuts chunks into pieces. A piece that is wrong throws, after the ones before it were given out. */
export interface Splitter {
  /** Gives out the pieces that the chunk completes. */
  push(chunk: Uint8Array): Iterable<Piece>;
  /** Gives out what is left at the end of the input. */
  end(): Iterable<Piece>;
}

/** The longest piece that is gathered: the same as the largest request that the producer sends by default. */
export const maxPieceBytes = 104_857_600;

/** Says that the input can't be read on from a line. Code `BAD_INPUT`. */
export function badInput(line: number, complaint: string): KafkaError {
  return new KafkaError(`Line ${line}: ${complaint}`, { code: "BAD_INPUT" });
}

const newline = 0x0a;
const carriageReturn = 0x0d;

/** What stands between two delimiters; the last piece may have no end. Nothing is taken away from a piece. */
export class DelimiterSplitter implements Splitter {
  readonly #delimiter: Uint8Array;
  readonly #rest = new Rest();
  /** The last bytes of what was read, fewer than a delimiter has: with what follows they may be one. */
  #tail: Uint8Array = new Uint8Array(0);
  #piece = 0;

  /** Cuts at these bytes, of which there is one at least. */
  constructor(delimiter: Uint8Array) {
    this.#delimiter = delimiter;
  }

  *push(chunk: Uint8Array): Iterable<Piece> {
    const bytes = this.#tail.length === 0 ? chunk : join([this.#tail, chunk]);
    let start = 0;
    for (;;) {
      const end = indexOf(bytes, this.#delimiter, start);
      if (end < 0) break;
      yield { bytes: this.#rest.take(bytes.subarray(start, end)), line: ++this.#piece };
      start = end + this.#delimiter.length;
    }
    const kept = Math.max(start, bytes.length - this.#delimiter.length + 1);
    this.#rest.keep(bytes.subarray(start, kept), this.#piece + 1);
    this.#tail = new Uint8Array(bytes.subarray(kept));
  }

  *end(): Iterable<Piece> {
    const bytes = this.#rest.take(this.#tail);
    this.#tail = new Uint8Array(0);
    if (bytes.length > 0) yield { bytes, line: ++this.#piece };
  }
}

/** Where some bytes begin in others, from a place on; −1 if nowhere. */
export function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number = 0): number {
  for (let at = bytes.indexOf(wanted[0]!, from); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (equal(bytes.subarray(at, at + wanted.length), wanted)) return at;
  }
  return -1;
}

/** The same bytes. */
export function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/** Lines of text end with LF or CR LF; the last one may have no end. What editors put before the first is no part of it. */
export class LineSplitter implements Splitter {
  readonly #rest = new Rest();
  #line = 0;

  *push(chunk: Uint8Array): Iterable<Piece> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      if (end < 0) break;
      yield this.#next(this.#rest.take(chunk.subarray(start, end)));
      start = end + 1;
    }
    this.#rest.keep(chunk.subarray(start), this.#line + 1);
  }

  *end(): Iterable<Piece> {
    const bytes = this.#rest.take();
    const isMark = this.#line === 0 && equal(bytes, byteOrderMark);
    if (bytes.length > 0 && !isMark) yield this.#next(bytes);
  }

  #next(line: Uint8Array): Piece {
    const bytes = this.#line === 0 ? withoutMark(line) : line;
    const last = bytes.length - 1;
    return { bytes: bytes[last] === carriageReturn ? bytes.subarray(0, last) : bytes, line: ++this.#line };
  }
}

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf);
const inUtf16 = "the input is text in UTF-16, wanted UTF-8: iconv -f UTF-16 -t UTF-8 makes it of the other";

/** How a text in UTF-16 begins, with a letter of Latin: its mark, and a 0 before or behind the letter. */
function isUtf16([first, second, third = 0, fourth = 0]: Uint8Array): boolean {
  const isLittleEndian = first === 0xff && second === 0xfe && third > 0 && fourth === 0;
  return isLittleEndian || (first === 0xfe && second === 0xff && third === 0 && fourth > 0);
}

/** The first line without its byte order mark, which would make another key of it. */
function withoutMark(line: Uint8Array): Uint8Array {
  if (isUtf16(line)) throw badInput(1, inUtf16);
  return equal(line.subarray(0, 3), byteOrderMark) ? line.subarray(3) : line;
}

/** The elements of the one JSON array that the input is. Only the commas are found here: the parser judges the rest. */
export class JsonArraySplitter implements Splitter {
  readonly #rest = new Rest();
  #state: "before" | "inside" | "after" = "before";
  #position = 0;
  #line = 1;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #elements = 0;

  *push(chunk: Uint8Array): Iterable<Piece> {
    // In locals: a look at a private field for every byte takes longer than all the rest.
    let inside = this.#state === "inside";
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    let start = 0;
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index]!;
      if (byte === newline) this.#line++;
      if (!inside) {
        this.#outside(byte, this.#position + index);
        inside = this.#state === "inside";
        start = index + 1;
      } else if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (byte === quote) {
        inString = true;
      } else if (byte === openBrace || byte === openBracket) {
        depth++;
      } else if (depth > 0) {
        if (byte === closeBrace || byte === closeBracket) depth--;
      } else if (byte === comma || byte === closeBracket) {
        const element = this.#element(this.#rest.take(chunk.subarray(start, index)));
        start = index + 1;
        if (byte === closeBracket) {
          this.#state = "after";
          inside = false;
        }
        if (element.bytes.length > 0) yield element;
        else if (byte === comma || this.#elements > 0) {
          throw badInput(this.#line, `a comma has no element ${byte === comma ? "before" : "after"} it`);
        }
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    this.#position += chunk.length;
    if (inside) this.#rest.keep(chunk.subarray(start), this.#line);
  }

  // deno-lint-ignore require-yield
  *end(): Iterable<Piece> {
    if (this.#state === "before") throw badInput(this.#line, "the input is empty, wanted a JSON array");
    if (this.#state === "inside") throw badInput(this.#line, `the input ends inside the JSON array, wanted "]"`);
  }

  #outside(byte: number, position: number): void {
    if (isBlank(byte)) return;
    if (this.#state === "after") throw badInput(this.#line, "more follows the JSON array, wanted the end of the input");
    if (position < 3 && byte === byteOrderMark[position]) return;
    // The first byte of a mark in UTF-16, which no text in UTF-8 has.
    if (position === 0 && (byte === 0xff || byte === 0xfe)) throw badInput(1, inUtf16);
    if (byte !== openBracket) {
      const found = show(String.fromCharCode(byte));
      throw badInput(this.#line, `the input starts with ${found}, wanted a JSON array (or use --format ndjson)`);
    }
    this.#state = "inside";
  }

  /** Without the blanks around it. */
  #element(bytes: Uint8Array): Piece {
    let start = 0;
    let end = bytes.length;
    let line = this.#line;
    while (start < end && isBlank(bytes[start]!)) start++;
    for (let at = bytes.indexOf(newline, start); at >= 0; at = bytes.indexOf(newline, at + 1)) line--;
    while (end > start && isBlank(bytes[end - 1]!)) end--;
    if (end > start) this.#elements++;
    return { bytes: bytes.subarray(start, end), line };
  }
}

/** What a chunk left behind for the next one to complete. */
class Rest {
  #parts: Uint8Array[] = [];
  byteLength = 0;

  keep(bytes: Uint8Array, line: number): void {
    if (bytes.length === 0) return;
    this.byteLength += bytes.length;
    if (this.byteLength > maxPieceBytes) {
      throw badInput(line, `more than ${maxPieceBytes} bytes belong to one record, wanted fewer`);
    }
    // Not `slice`: what comes from Node is a Buffer, whose slice is a view.
    this.#parts.push(new Uint8Array(bytes));
  }

  take(last?: Uint8Array): Uint8Array {
    if (this.byteLength === 0) return last ?? new Uint8Array(0);
    const whole = new Uint8Array(this.byteLength + (last?.length ?? 0));
    let position = 0;
    for (const part of this.#parts) {
      whole.set(part, position);
      position += part.length;
    }
    if (last) whole.set(last, position);
    this.#parts = [];
    this.byteLength = 0;
    return whole;
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === carriageReturn || byte === newline;
}
