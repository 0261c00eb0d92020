/**
 * Records of an outbox table, as Debezium's outbox event router makes them: readers see no difference between a table that
 * Debezium reads and one that this producer empties.
 *
 * @module
 */

import { isByteArray } from "../byte_arrays.ts";
import { isObject, readOptions, refuse } from "../call_options.ts";
import { SerializationError } from "../errors.ts";
import { sentenceOf } from "../show.ts";
import { checkText, type HeaderPair, textHeader, utf8 } from "./header.ts";

/** A row of the outbox, with Debezium's names of the columns. */
export interface OutboxRow {
  /** Names the event: readers that have seen it before pass it over. */
  readonly id: string | number | bigint;
  /** The kind of thing that has changed, such as `"order"`: it names the topic. */
  readonly aggregatetype: string;
  /** Which one: the key of the record, so that events of one thing stay in order. */
  readonly aggregateid: string | number | bigint;
  /** What has happened to it, such as `"OrderPlaced"`. */
  readonly type?: string | undefined;
  /** Text and bytes as they are, null as a tombstone, anything else as JSON. */
  readonly payload: unknown;
}

/** The record of a row. */
export interface OutboxRecord {
  /** `outbox.event.` and the aggregate type, unless the options say otherwise. */
  readonly topic: string;
  /** The aggregate id. */
  readonly key: string;
  /** The payload. */
  readonly value: string | Uint8Array | null;
  /** `id`, and the type if the options name a header for it. */
  readonly headers: HeaderPair[];
}

/**
 * Makes the record of a row.
 *
 * @example
 * ```ts
 * import { outboxRecord } from "@sluice/kafka/headers";
 *
 * const row = { id: "e-1", aggregatetype: "order", aggregateid: "o-1", type: "OrderPlaced", payload: { total: 5 } };
 * const record = outboxRecord(row);
 * console.assert(record.topic === "outbox.event.order" && record.key === "o-1");
 * ```
 *
 * @param options `topic`: from the aggregate type, `"outbox.event.${routedByValue}"` (default) as Debezium's
 * `route.topic.replacement`; `typeHeader`: a header for the type, such as `"eventType"` (default: none), as
 * `table.fields.additional.placement`
 * @throws {ConfigError} for a column that is missing or wrong
 */
export function outboxRecord(
  row: OutboxRow,
  options?: { readonly topic?: string | undefined; readonly typeHeader?: string | undefined },
): OutboxRecord {
  if (!isObject(row)) refuse("row", "an object with id, aggregatetype, aggregateid and payload", row);
  const read = readOptions("outboxRecord", options, ["topic", "typeHeader"]);
  const topic = checkText("topic", read.topic ?? "outbox.event.${routedByValue}");
  const { id, aggregatetype, aggregateid, type, payload } = row;
  const kind = checkText("aggregatetype", aggregatetype);
  const headers = textHeader("id", textOfId("id", id));
  if (read.typeHeader !== undefined) {
    headers.push([checkText("typeHeader", read.typeHeader), utf8(checkText("type", type))]);
  }
  return {
    topic: topic.replaceAll("${routedByValue}", () => kind),
    key: textOfId("aggregateid", aggregateid),
    value: valueOf(payload),
    headers,
  };
}

function textOfId(name: string, id: unknown): string {
  return checkText(name, typeof id === "number" || typeof id === "bigint" ? String(id) : id);
}

function valueOf(payload: unknown): string | Uint8Array | null {
  if (payload === null || typeof payload === "string" || isByteArray(payload)) return payload;
  try {
    const json: unknown = JSON.stringify(payload);
    if (typeof json === "string") return json;
  } catch (error) {
    throw new SerializationError(`Give the row a payload that JSON can carry. ${sentenceOf(error)}`, { cause: error });
  }
  refuse("payload", "text, bytes, null or what JSON can carry", payload);
}
