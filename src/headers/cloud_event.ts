/**
 * CloudEvents 1.0 in Kafka records: binary mode, with an attribute in each header, and structured mode, with the whole
 * event as JSON in the value.
 *
 * @module
 */

import { isByteArray } from "../byte_arrays.ts";
import { isObject, readOptions, refuse } from "../call_options.ts";
import { SerializationError } from "../errors.ts";
import { sentenceOf, show } from "../show.ts";
import { base64Of, bytesOfBase64 } from "./base64.ts";
import { checkText, type HeaderPair, type HeaderSource, pairsOf, textHeader, textOf, utf8 } from "./header.ts";

/** What an extension attribute may be: text, a whole number of 32 bits, a truth value, a time, or bytes (base64). */
export type CloudEventAttribute = string | number | boolean | Date | Uint8Array;

/** A CloudEvent: its attributes, and its data. */
export interface CloudEvent {
  /** Names the event among those of its source. */
  readonly id: string;
  /** Who tells of it: a URI reference, such as `"/shop"`. */
  readonly source: string;
  /** What has happened, such as `"order.placed"`. */
  readonly type: string;
  /** The version of the specification. @default "1.0" */
  readonly specversion?: string | undefined;
  /** When it happened: RFC 3339. */
  readonly time?: string | Date | undefined;
  /** What it is about within the source. */
  readonly subject?: string | undefined;
  /** Where the schema of the data is. */
  readonly dataschema?: string | undefined;
  /** The media type of the data. @default "application/json" for data that is neither text nor bytes */
  readonly datacontenttype?: string | undefined;
  /** Bytes and text as they are, anything else as JSON; undefined and null are no data. */
  readonly data?: unknown;
  /** An extension: a name of lower-case letters and digits. */
  readonly [extension: string]: unknown;
}

/** An event that has been read: times are text, and so are extensions in binary mode. */
export interface DecodedCloudEvent extends CloudEvent {
  /** The version of the specification. */
  readonly specversion: string;
  /** When it happened: RFC 3339. */
  readonly time?: string | undefined;
}

/** Value, headers and key of a record that carries an event. */
export interface CloudEventRecord {
  /** The event's `partitionkey`, or null. */
  readonly key: string | null;
  /** The data in binary mode (null: none), the event as JSON in structured mode. */
  readonly value: Uint8Array | null;
  /** The attributes in binary mode, the content type in structured mode. */
  readonly headers: HeaderPair[];
}

const FIXED = ["id", "source", "type", "specversion", "time", "subject", "dataschema", "datacontenttype", "data"];
const STRUCTURED = "application/cloudevents+json; charset=UTF-8";
const NAME = /^[a-z0-9]+$/;
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * Makes key, value and headers of an event; spread them into a record.
 *
 * @example
 * ```ts
 * import { decodeCloudEvent, encodeCloudEvent } from "@sluice/kafka/headers";
 *
 * const event = { id: "1", source: "/shop", type: "order.placed", partitionkey: "o-1", data: { total: 5 } };
 * const record = { topic: "orders", ...encodeCloudEvent(event) };
 * console.assert(record.key === "o-1" && record.headers[0]![0] === "ce_specversion");
 * console.assert(decodeCloudEvent(record).type === "order.placed");
 * ```
 *
 * @param options `mode`: `"binary"` (default), or `"structured"`
 * @throws {ConfigError} for an attribute that is missing or wrong
 * @throws {SerializationError} for data that can't be turned into JSON
 */
export function encodeCloudEvent(
  event: CloudEvent,
  options?: { readonly mode?: "binary" | "structured" | undefined },
): CloudEventRecord {
  const { mode = "binary" } = readOptions("encodeCloudEvent", options, ["mode"]);
  if (mode !== "binary" && mode !== "structured") refuse("mode", '"binary" or "structured"', mode);
  if (!isObject(event)) refuse("event", "an object with id, source and type", event);
  const attributes = attributesOf(event);
  const { partitionkey } = attributes;
  const key = partitionkey === undefined ? null : String(partitionkey);
  const { data } = event;
  if (mode === "structured") {
    const value = jsonOf({ ...attributes, ...structuredData(data, attributes["datacontenttype"]) });
    return { key, value: utf8(value), headers: textHeader("content-type", STRUCTURED) };
  }
  const headers = Object.entries(attributes).flatMap(([name, value]) =>
    textHeader(name === "datacontenttype" ? "content-type" : `ce_${name}`, String(value))
  );
  return { key, value: binaryData(data), headers };
}

/**
 * Reads the event that a record carries, in either mode. JSON is parsed, text is text, other data is bytes.
 *
 * @param options `strict: false` takes what a careful reader would refuse: other versions of the specification, times
 * and names that are none, attributes twice (the last counts), data that isn't what its type says. id, source and type
 * must always be there. @default strict
 * @throws {SerializationError} for a record that carries no event, or one that can't be read
 */
export function decodeCloudEvent(
  record: { readonly headers?: HeaderSource | undefined; readonly value: Uint8Array | string | null },
  options?: { readonly strict?: boolean | undefined },
): DecodedCloudEvent {
  const { strict = true } = readOptions("decodeCloudEvent", options, ["strict"]);
  if (typeof strict !== "boolean") refuse("strict", "true or false", strict);
  if (!isObject(record)) refuse("record", "an object with headers and value", record);
  const value = checkValue(record.value);
  const headers = pairsOf(record.headers);
  const contentType = headers.findLast(([name, bytes]) => name.toLowerCase() === "content-type" && bytes !== null)?.[1];
  const mediaType = contentType ? textOf(contentType) : undefined;
  const event = mediaType?.toLowerCase().startsWith("application/cloudevents")
    ? structuredEvent(value, mediaType, strict)
    : binaryEvent(headers, value, mediaType, strict);
  for (const name of ["id", "source", "type", "specversion"]) {
    if (typeof event[name] === "string" && event[name] !== "") continue;
    throw unreadable(`its attribute "${name}" is ${event[name] === undefined ? "missing" : show(event[name])}.`);
  }
  if (strict) checkDecoded(event);
  return event as unknown as DecodedCloudEvent;
}

function checkValue(value: unknown): Uint8Array | null {
  if (typeof value === "string") return utf8(value);
  if (value === null || isByteArray(value)) return value;
  refuse("value", "bytes, text or null", value);
}

/** The attributes in the order of the specification, then the extensions, as text, numbers and truth values. */
function attributesOf(event: CloudEvent): Record<string, string | number | boolean> {
  const { specversion = "1.0", time, subject, dataschema, datacontenttype = impliedType(event.data) } = event;
  if (specversion !== "1.0") refuse("specversion", '"1.0"', specversion);
  const attributes: Record<string, string | number | boolean> = { specversion };
  for (const name of ["id", "source", "type"] as const) attributes[name] = checkText(name, event[name]);
  for (const [name, value] of Object.entries({ datacontenttype, dataschema, subject })) {
    if (value !== undefined) attributes[name] = checkText(name, value);
  }
  if (time !== undefined) attributes["time"] = checkTime(time);
  for (const [name, value] of Object.entries(event)) {
    if (FIXED.includes(name) || value === undefined || value === null) continue;
    if (!NAME.test(name)) refuse("event", "attributes with names of lower-case letters and digits", name);
    attributes[name] = extensionOf(name, value);
  }
  return attributes;
}

/** What is neither text nor bytes becomes JSON. */
function impliedType(data: unknown): string | undefined {
  const isAsItIs = data === undefined || data === null || typeof data === "string" || isByteArray(data);
  return isAsItIs ? undefined : "application/json";
}

function extensionOf(name: string, value: unknown): string | number | boolean {
  if (typeof value === "string" || typeof value === "boolean") return value;
  // The specification's integers have 32 bits.
  if (typeof value === "number" && value === (value | 0)) return value;
  if (value instanceof Date) return checkTime(value);
  if (isByteArray(value)) return base64Of(value);
  refuse(name, "text, a whole number of 32 bits, true or false, a Date or bytes", value);
}

function checkTime(time: unknown): string {
  if (time instanceof Date && !Number.isNaN(time.getTime())) return time.toISOString();
  if (typeof time === "string" && RFC3339.test(time)) return time;
  refuse("time", 'a Date, or RFC 3339 such as "2026-01-02T03:04:05Z"', time);
}

function binaryData(data: unknown): Uint8Array | null {
  if (data === undefined || data === null) return null;
  if (isByteArray(data)) return data;
  return utf8(typeof data === "string" ? data : jsonOf(data));
}

/** JSON stands in the event as it is, whatever it was made of; other bytes as base64. */
function structuredData(data: unknown, type: unknown): { data?: unknown; data_base64?: string } {
  if (data === undefined || data === null) return {};
  if (typeof type === "string" && isJsonType(type) && (typeof data === "string" || isByteArray(data))) {
    return { data: parsed(typeof data === "string" ? data : strictText(data)) };
  }
  return isByteArray(data) ? { data_base64: base64Of(data) } : { data };
}

function jsonOf(value: unknown): string {
  try {
    const text: unknown = JSON.stringify(value);
    if (typeof text === "string") return text;
  } catch (error) {
    throw new SerializationError(`Pass data that JSON can carry: turning it into JSON failed. ${sentenceOf(error)}`, {
      cause: error,
    });
  }
  throw new SerializationError(`Pass data that JSON can carry: ${show(value)} is nothing there.`);
}

function isJsonType(type: string): boolean {
  return /^[^;]*[/+]json\s*(;|$)/i.test(type);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unreadable(`its data is no JSON. ${sentenceOf(error)}`, error);
  }
}

function strictText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw unreadable("its text is no UTF-8.", error);
  }
}

function binaryEvent(
  headers: readonly HeaderPair[],
  value: Uint8Array | null,
  mediaType: string | undefined,
  strict: boolean,
): Record<string, unknown> {
  const attributes = new Map<string, string>();
  for (const [name, bytes] of headers) {
    if (!name.startsWith("ce_")) continue;
    if (strict && attributes.has(name.slice(3))) throw unreadable(`it has the header ${show(name)} twice.`);
    if (bytes !== null) attributes.set(name.slice(3), strict ? strictText(bytes) : textOf(bytes));
    else if (strict) throw unreadable(`its header ${show(name)} is null.`);
  }
  if (!attributes.has("specversion")) {
    throw unreadable('it has neither a header "ce_specversion" nor a content type of CloudEvents.');
  }
  if (mediaType !== undefined) attributes.set("datacontenttype", mediaType);
  const event: Record<string, unknown> = Object.fromEntries(attributes);
  if (value === null) return event;
  return { ...event, data: dataOf(value, mediaType, strict) };
}

function dataOf(value: Uint8Array, mediaType: string | undefined, strict: boolean): unknown {
  if (mediaType === undefined) return value;
  try {
    if (isJsonType(mediaType)) return parsed(strictText(value));
    return /^text\//i.test(mediaType) ? strictText(value) : value;
  } catch (error) {
    if (strict) throw error;
    return value;
  }
}

function structuredEvent(value: Uint8Array | null, mediaType: string, strict: boolean): Record<string, unknown> {
  if (!/^application\/cloudevents\+json\s*(;|$)/i.test(mediaType)) {
    throw unreadable(`its content type is ${show(mediaType)}, wanted "application/cloudevents+json".`);
  }
  if (value === null) throw unreadable("its value is null.");
  const json = parsed(strict ? strictText(value) : textOf(value));
  if (!isObject(json) || Array.isArray(json)) throw unreadable("its value is no JSON object.");
  const { data_base64: base64, ...event } = json as Record<string, unknown>;
  if (base64 === undefined) return event;
  const data = typeof base64 === "string" ? bytesOfBase64(base64) : undefined;
  if (data === undefined || "data" in event) {
    throw unreadable('its "data_base64" is no base64, or stands beside "data".');
  }
  return { ...event, data };
}

function checkDecoded(event: Readonly<Record<string, unknown>>): void {
  const { specversion, time } = event;
  if (specversion !== "1.0") throw unreadable(`its version is ${show(specversion)}, wanted "1.0".`);
  if (time !== undefined && !(typeof time === "string" && RFC3339.test(time))) {
    throw unreadable(`its time is ${show(time)}, wanted RFC 3339.`);
  }
  for (const [name, value] of Object.entries(event)) {
    if (name === "data") continue;
    if (!NAME.test(name)) throw unreadable(`it has an attribute ${show(name)}, wanted lower-case letters and digits.`);
    const isValue = typeof value === "string" || typeof value === "boolean" || Number.isInteger(value);
    if (!isValue) {
      throw unreadable(`its attribute ${show(name)} is ${show(value)}, wanted text, a number or true or false.`);
    }
  }
}

function unreadable(why: string, cause?: unknown): SerializationError {
  return new SerializationError(`The record carries no CloudEvent that can be read: ${why}`, { cause });
}
