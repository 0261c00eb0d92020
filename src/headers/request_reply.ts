/**
 * Headers of requests and replies, as Spring's `ReplyingKafkaTemplate` and `@SendTo` write them.
 *
 * @module
 */

import { isByteArray } from "../byte_arrays.ts";
import { isObject, readOptions, refuse } from "../call_options.ts";
import {
  checkOptionalInt32,
  checkText,
  type HeaderPair,
  type HeaderSource,
  int32Header,
  lastHeader,
  lastText,
  pairsOf,
  readInt32,
  textHeader,
  utf8,
} from "./header.ts";

/** What belongs to a request: its id, and where the reply is waited for. */
export interface RequestHeaders {
  /** Joins request and reply: 16 bytes are what Spring makes; text is sent as UTF-8. */
  readonly correlationId: Uint8Array | string;
  /** The topic of the reply. */
  readonly replyTopic: string;
  /** The partition of the reply. @default any */
  readonly replyPartition?: number | undefined;
}

/** What the headers of a request or a reply say. */
export interface ReadRequest {
  /** The id, as bytes. */
  readonly correlationId: Uint8Array;
  /** The topic of the reply; undefined in a reply itself. */
  readonly replyTopic?: string | undefined;
  /** The partition of the reply. */
  readonly replyPartition?: number | undefined;
}

/** Spring's name for the header that joins request and reply. */
const CORRELATION = "kafka_correlationId";
const REPLY_TOPIC = "kafka_replyTopic";
const REPLY_PARTITION = "kafka_replyPartition";

/** Which header carries the id, for partners that don't speak Spring. */
export interface CorrelationOptions {
  /** The name of the header with the id, such as `"correlation-id"`. @default "kafka_correlationId" */
  readonly correlationHeader?: string | undefined;
}

/**
 * The headers of a request.
 *
 * @example
 * ```ts
 * import { readRequest, replyHeaders, requestHeaders } from "@sluice/kafka/headers";
 *
 * const correlationId = crypto.getRandomValues(new Uint8Array(16));
 * const headers = requestHeaders({ correlationId, replyTopic: "replies" });
 * // Whoever answers:
 * const request = readRequest(headers);
 * console.assert(request?.replyTopic === "replies" && replyHeaders(request).length === 1);
 * ```
 *
 * @throws {ConfigError} for a field that is wrong
 */
export function requestHeaders(request: RequestHeaders, options?: CorrelationOptions): HeaderPair[] {
  if (!isObject(request)) refuse("request", "an object with correlationId and replyTopic", request);
  const read = readOptions("requestHeaders", request, ["correlationId", "replyTopic", "replyPartition"]);
  const name = correlationHeader("requestHeaders", options);
  return [
    ...textHeader(REPLY_TOPIC, checkText("replyTopic", read.replyTopic)),
    ...int32Header(REPLY_PARTITION, checkOptionalInt32("replyPartition", read.replyPartition)),
    [name, idOf(read.correlationId)],
  ];
}

/** The headers of the reply to a request that {@link readRequest} has read. */
export function replyHeaders(
  request: { readonly correlationId: Uint8Array | string },
  options?: CorrelationOptions,
): HeaderPair[] {
  if (!isObject(request)) refuse("request", "what readRequest has returned", request);
  return [[correlationHeader("replyHeaders", options), idOf(request.correlationId)]];
}

/** Reads the headers of a request or a reply; undefined for a record that is neither. */
export function readRequest(headers: HeaderSource | undefined, options?: CorrelationOptions): ReadRequest | undefined {
  const pairs = pairsOf(headers);
  const correlationId = lastHeader(pairs, correlationHeader("readRequest", options));
  if (correlationId === undefined || correlationId.length === 0) return undefined;
  const replyTopic = lastText(pairs, REPLY_TOPIC);
  const partition = readInt32(lastHeader(pairs, REPLY_PARTITION));
  return {
    correlationId,
    ...(replyTopic === undefined || replyTopic === "" ? {} : { replyTopic }),
    ...(partition === undefined || partition < 0 ? {} : { replyPartition: partition }),
  };
}

function correlationHeader(call: string, options: CorrelationOptions | undefined): string {
  const { correlationHeader: name = CORRELATION } = readOptions(call, options, ["correlationHeader"]);
  return checkText("correlationHeader", name);
}

function idOf(id: unknown): Uint8Array {
  const bytes = typeof id === "string" ? utf8(id) : id;
  if (!isByteArray(bytes) || bytes.length === 0) refuse("correlationId", "bytes or text, not empty", id);
  return bytes;
}
