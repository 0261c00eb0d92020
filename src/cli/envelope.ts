/**
 * Records as lines of JSON: those that `sluice tail --json` prints, and those that `sluice produce --format envelope`
 * reads, which are kcat's and rpk's as well.
 *
 * @module
 */

import { base64, fromBase64 } from "../sasl/bytes.ts";
import { printableJson, show } from "../show.ts";
import type { PrintedRecord } from "./escapes.ts";
import type { InputRecord } from "./input_record.ts";

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A record as a line of JSON. Bytes that are UTF-8 are text; others are base64, and `keyEncoding`, `valueEncoding` or
 * the third entry of a header says so.
 */
export function formatEnvelope({ topic, partition, offset, timestamp, headers, key, value }: PrintedRecord): string {
  const [keyText, keyEncoding] = textOf(key);
  const [valueText, valueEncoding] = textOf(value);
  const shownHeaders = headers.map(([name, bytes]) => {
    const [text, encoding] = textOf(bytes);
    return encoding === undefined ? [name, text] : [name, text, encoding];
  });
  const fields = [
    `"topic":${printableJson(topic)}`,
    `"partition":${partition}`,
    `"offset":${offset}`, // all its digits, also past 2^53
    `"timestamp":${timestamp}`,
    `"headers":${printableJson(shownHeaders)}`,
    `"key":${printableJson(keyText)}`,
    ...keyEncoding === undefined ? [] : [`"keyEncoding":"${keyEncoding}"`],
    `"value":${printableJson(valueText)}`,
    ...valueEncoding === undefined ? [] : [`"valueEncoding":"${valueEncoding}"`],
  ];
  return `{${fields.join(",")}}\n`;
}

function textOf(bytes: Uint8Array | null): readonly [text: string | null, encoding?: "base64"] {
  if (bytes === null) return [null];
  try {
    return [utf8.decode(bytes)];
  } catch {
    return [base64(bytes), "base64"];
  }
}

const FIELDS = [
  ...["topic", "partition", "offset", "timestamp", "ts", "tstype", "timestampType", "broker", "headers", "key"],
  ...["keyEncoding", "value", "payload", "valueEncoding", "leaderEpoch", "key_schema_id", "value_schema_id"],
];

/** What is wrong with a key of text that UTF-8 has no form for: two of them would become one. */
export const HALF_A_PAIR = "holds a lone surrogate, which UTF-8 can't carry";

/**
 * The record that an envelope describes, or what is wrong with it, as a text. A key or value that isn't text is its JSON;
 * an unknown field is refused, for it is a record without an envelope then.
 */
export function parseEnvelope(envelope: unknown): InputRecord | string {
  if (typeof envelope !== "object" || envelope === null || Array.isArray(envelope)) {
    return "an envelope is an object with key, value, headers, topic, partition, timestamp";
  }
  const fields = envelope as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) return `an envelope has no field ${show(unknown)}, wanted ${FIELDS.join(", ")}`;
  const given = Object.hasOwn(fields, "payload") ? fields["payload"] : fields["value"];
  if (given === undefined) return "the envelope has no value, wanted one, or null for a delete marker";
  const parts = {
    key: contentOf(fields["key"], fields["keyEncoding"], "key"),
    value: contentOf(given, fields["valueEncoding"], "value"),
    headers: headersOf(fields["headers"]),
    timestamp: timestampOf(fields["timestamp"] ?? fields["ts"]),
    partition: partitionOf(fields["partition"]),
  };
  const wrong = Object.values(parts).find((part) => typeof part === "string");
  if (wrong !== undefined) return wrong;
  if (typeof fields["key"] === "string" && !fields["key"].isWellFormed()) return `the key ${HALF_A_PAIR}`;
  const { topic } = fields;
  if (topic !== undefined && (typeof topic !== "string" || topic === "")) {
    return `the topic is ${show(topic)}, wanted text`;
  }
  const present = Object.entries({ ...parts, topic }).filter(([, part]) => part !== undefined);
  return Object.fromEntries(present) as unknown as InputRecord;
}

function partitionOf(given: unknown): number | undefined | string {
  if (given === undefined || (Number.isInteger(given) && given as number >= 0)) return given as number | undefined;
  return `the partition is ${show(given)}, wanted a whole number from 0`;
}

/** The bytes, or what is wrong with them. */
function contentOf(content: unknown, encoding: unknown, name: string): Uint8Array | null | string {
  if (content === null || content === undefined) return null;
  if (encoding !== undefined && encoding !== "base64") return `${name}Encoding is ${show(encoding)}, wanted "base64"`;
  if (encoding === undefined) return encoder.encode(typeof content === "string" ? content : JSON.stringify(content));
  return (typeof content === "string" ? base64Of(content) : undefined) ?? `the ${name} is no base64`;
}

function base64Of(text: string): Uint8Array | undefined {
  try {
    const bytes = fromBase64(text);
    return base64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}

type Headers = readonly (readonly [string, Uint8Array | null])[];

/** Pairs, as we print them; `{ name: value }`; kcat's one list of names and values; rpk's objects with key and value. */
function headersOf(given: unknown): Headers | string {
  if (given === undefined || given === null) return [];
  if (typeof given !== "object") return `the headers are ${show(given)}, wanted [[NAME, VALUE], …]`;
  const entries: readonly unknown[] = Array.isArray(given) ? grouped(given) : Object.entries(given);
  const headers: (readonly [string, Uint8Array | null])[] = [];
  for (const entry of entries) {
    const [name, content, encoding] = Array.isArray(entry) ? entry as unknown[] : objectEntry(entry);
    if (typeof name !== "string") return `a header is ${show(entry)}, wanted [NAME, VALUE]`;
    const value = contentOf(content, encoding, `header ${show(name)}`);
    if (typeof value === "string") return value;
    headers.push([name, value]);
  }
  return headers;
}

/** `["a", "1", "b", null]` is kcat's way to write two headers. */
function grouped(list: readonly unknown[]): readonly unknown[] {
  if (typeof list[0] !== "string") return list;
  return Array.from({ length: Math.ceil(list.length / 2) }, (_, index) => list.slice(index * 2, index * 2 + 2));
}

function objectEntry(entry: unknown): readonly unknown[] {
  if (typeof entry !== "object" || entry === null) return [];
  const { key, name = key, value } = entry as Readonly<Record<string, unknown>>;
  return [name, value];
}

function timestampOf(given: unknown): number | undefined | string {
  if (given === undefined || given === null || given === -1) return undefined;
  const ms = typeof given === "string" && /^\d{4}-/.test(given) ? Date.parse(given) : given;
  if (Number.isSafeInteger(ms) && ms as number >= 0) return ms as number;
  return `the timestamp is ${show(given)}, wanted ms since 1970 or text such as 2026-01-31T12:00:00Z`;
}
