/**
 * Separators and templates as kcat writes them: `\t`, `\n`, `\x1e`, `%k`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";

const encoder = new TextEncoder();
const LETTERS: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, "0": 0x00, "\\": 0x5c };

/**
 * The bytes that a text with escapes stands for: `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH` (two hexadecimal digits). Any
 * other backslash stands for itself.
 */
export function unescape(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [part, hex, letter] of text.matchAll(/\\x([0-9a-fA-F]{2})|\\([nrt0\\])|[^\\]+|\\/g)) {
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (letter !== undefined) bytes.push(LETTERS[letter]!);
    else for (const byte of encoder.encode(part)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** The separator of an option; empty is a `ConfigError`. */
export function separator(name: string, text: string | undefined): Uint8Array | undefined {
  if (text === "") throw new ConfigError(name, `Option --${name} is empty, wanted at least one character`);
  return text === undefined ? undefined : unescape(text);
}

/** What a template prints of a record. */
export interface PrintedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
}

/** Turns a record into what is printed of it: parts to be written one behind the other. */
export type Printer = (record: PrintedRecord) => readonly Uint8Array[];

/** How bytes that others wrote are printed. */
export interface PrintOptions {
  /** What stands for a key or value that is null. */
  readonly nullText: Uint8Array;
  /** Changes keys, values, headers and topics before they are printed. */
  readonly guard: (bytes: Uint8Array) => Uint8Array;
}

const MINUS_ONE = encoder.encode("-1");

/**
 * A printer for a template in kcat's letters: `%t` topic, `%p` partition, `%o` offset, `%T` timestamp in ms, `%k` key,
 * `%K` its length, `%s` value, `%S` its length, `%R` its length as four bytes, `%h` headers as `name=value,…`, `%%` a
 * percent sign. rpk's `%v` and `%d` are `%s` and `%T`.
 *
 * @throws {ConfigError} for another letter
 */
export function compileTemplate(name: string, template: string, options: PrintOptions): Printer {
  const parts: (Uint8Array | Field)[] = [];
  let rest = "";
  const flush = (): void => {
    if (rest !== "") parts.push(unescape(rest));
    rest = "";
  };
  for (let at = 0; at < template.length; at++) {
    const character = template[at]!;
    if (character === "\\") {
      // Both characters, so that an escaped backslash doesn't escape what follows it.
      rest += template.slice(at, at + 2);
      at++;
    } else if (character !== "%") {
      rest += character;
    } else if (template[++at] === "%") {
      rest += "%";
    } else {
      const letter = template[at] ?? "";
      if (!Object.hasOwn(FIELDS, letter)) {
        const known = Object.keys(FIELDS).map((known) => `%${known}`).join(", ");
        throw new ConfigError(name, `Option --${name} has ${show(`%${letter}`)}, wanted one of ${known}, or %%`);
      }
      flush();
      parts.push(FIELDS[letter]!);
    }
  }
  flush();
  return (record) => parts.map((part) => part instanceof Uint8Array ? part : part(record, options));
}

type Field = (record: PrintedRecord, options: PrintOptions) => Uint8Array;

const length = (bytes: Uint8Array | null): Uint8Array => bytes === null ? MINUS_ONE : encoder.encode(`${bytes.length}`);
const content = (bytes: Uint8Array | null, { nullText, guard }: PrintOptions): Uint8Array =>
  bytes === null ? nullText : guard(bytes);
const value: Field = (record, options) => content(record.value, options);
const timestamp: Field = (record) => encoder.encode(String(record.timestamp));

const FIELDS: Readonly<Record<string, Field>> = {
  s: value,
  v: value,
  S: (record) => length(record.value),
  R: (record) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, record.value?.length ?? -1);
    return bytes;
  },
  k: (record, options) => content(record.key, options),
  K: (record) => length(record.key),
  T: timestamp,
  d: timestamp,
  h: (record, { guard }) => {
    const parts = record.headers.flatMap(([name, bytes], index) => [
      encoder.encode(`${index === 0 ? "" : ","}`),
      guard(encoder.encode(name)),
      encoder.encode("="),
      bytes === null ? encoder.encode("NULL") : guard(bytes),
    ]);
    return join(parts);
  },
  t: (record, { guard }) => guard(encoder.encode(record.topic)),
  p: (record) => encoder.encode(String(record.partition)),
  o: (record) => encoder.encode(String(record.offset)),
};

/** Parts as one. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}
