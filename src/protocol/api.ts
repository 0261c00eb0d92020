/**
 * Frames: a header, a body and the length before them.
 *
 * This is the whole surface of the protocol for a connection or a broker: pick an API from `messages/`, a version
 * with {@link chooseVersion}, and turn bodies into frames and back.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { checkAnswer, limitsOf } from "./answers.ts";
import { Reader } from "./reader.ts";
import type { AnyApi, RequestInputOf, ResponseInputOf, ResponseOf } from "./schema.ts";
import { writeUint32 } from "./varint.ts";
import { Writer } from "./writer.ts";

export {
  chooseVersion,
  nextApiVersionsVersion,
  PRODUCE_WITH_TOPIC_NAMES,
  PRODUCE_WITH_ZSTD,
  sharedVersion,
  TRANSACTION_V1_CAPS,
  versionError,
} from "./negotiation.ts";
export type { AnyApi, Api, RequestInputOf, RequestOf, ResponseInputOf, ResponseOf } from "./schema.ts";

/** A response as it came. */
export interface ResponseFrame<A extends AnyApi> {
  /** The one of the request that it answers. */
  readonly correlationId: number;
  /** The body. */
  readonly body: ResponseOf<A>;
}

/** A request frame with its length before it, in pieces to be written in order. Record batches are not copied. */
export function encodeRequestFrame<A extends AnyApi>(
  api: A,
  version: number,
  correlationId: number,
  clientId: string | null,
  body: RequestInputOf<A>,
): Uint8Array[] {
  const writer = new Writer();
  writer.int32(0);
  writer.int16(api.key);
  writer.int16(version);
  writer.int32(correlationId);
  writer.nullableString(clientId);
  if (api.requestHeaderVersion(version) >= 2) writer.uvarint(0);
  api.encodeRequest(writer, version, body as never);
  return framed(writer);
}

/** A response frame with its length before it, in pieces to be written in order. Record batches are not copied. */
export function encodeResponseFrame<A extends AnyApi>(
  api: A,
  version: number,
  correlationId: number,
  body: ResponseInputOf<A>,
): Uint8Array[] {
  const writer = new Writer();
  writer.int32(0);
  writer.int32(correlationId);
  if (api.responseHeaderVersion(version) >= 1) writer.uvarint(0);
  api.encodeResponse(writer, version, body as never);
  return framed(writer);
}

/** Reads a response frame, without its length, that answers a request of this API and version. */
export function decodeResponseFrame<A extends AnyApi>(api: A, version: number, frame: Uint8Array): ResponseFrame<A> {
  const reader = new Reader(frame);
  const correlationId = reader.int32();
  if (api.responseHeaderVersion(version) >= 1) reader.skipTags();
  return { correlationId, body: api.decodeResponse(reader, version) as ResponseOf<A> };
}

/**
 * Reads the answer to a request of one's own, of which nothing is believed that can't be right.
 *
 * @throws {ProtocolError} naming the field, its value and what is wanted
 */
export function decodeAnswerFrame<A extends AnyApi>(
  api: A,
  version: number,
  request: RequestInputOf<A>,
  frame: Uint8Array,
): ResponseFrame<A> {
  const reader = new Reader(frame);
  reader.limits = limitsOf(api, request);
  const correlationId = reader.int32();
  if (api.responseHeaderVersion(version) >= 1) reader.skipTags();
  const body = api.decodeAnswer(reader, version) as ResponseOf<A>;
  checkAnswer(api, version, request, body);
  return { correlationId, body };
}

/** The correlation id of a response frame without its length, which tells what the rest of it is. */
export function readCorrelationId(frame: Uint8Array): number {
  return new Reader(frame).int32();
}

const MAX_FRAME_BYTES = 0x7fff_ffff;

function framed(writer: Writer): Uint8Array[] {
  const { parts, byteLength } = writer.finish();
  const [first] = parts;
  const length = byteLength - 4;
  if (first === undefined || length > MAX_FRAME_BYTES) {
    throw new ProtocolError(`Writing a frame of "${length}" bytes: wanted at most ${MAX_FRAME_BYTES}.`);
  }
  writeUint32(first, 0, length);
  return parts;
}
