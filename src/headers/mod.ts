/**
 * Headers that others read, as pure functions: CloudEvents, dead letters in three dialects, requests and replies, and
 * records of an outbox. Bytes are those of Kafka Connect, Kafka 4.4, Spring, Debezium and CloudEvents' own SDK.
 *
 * @example
 * ```ts
 * import { encodeCloudEvent } from "@sluice/kafka/headers";
 *
 * const { value, headers } = encodeCloudEvent({ id: "1", source: "/shop", type: "order.placed", data: { total: 5 } });
 * console.assert(value !== null && headers.length === 5);
 * ```
 *
 * @module
 */

export {
  type CloudEvent,
  type CloudEventAttribute,
  type CloudEventRecord,
  decodeCloudEvent,
  type DecodedCloudEvent,
  encodeCloudEvent,
} from "./cloud_event.ts";
export {
  type DeadLetter,
  type DeadLetterDialect,
  deadLetterHeaders,
  type ReadDeadLetter,
  readDeadLetter,
} from "./dead_letter.ts";
export type { HeaderPair, HeaderSource } from "./header.ts";
export { type OutboxRecord, outboxRecord, type OutboxRow } from "./outbox.ts";
export {
  type CorrelationOptions,
  type ReadRequest,
  readRequest,
  replyHeaders,
  type RequestHeaders,
  requestHeaders,
} from "./request_reply.ts";
