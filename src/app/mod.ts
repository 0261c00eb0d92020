/**
 * What applications put around a producer: dead letters, circuit breakers, typed events with an outbox, requests and
 * replies, a client that is looked after. Each takes something that sends records, and most are that themselves, so they
 * can stand around each other; a test passes a `RecordingProducer`.
 *
 * @example
 * ```ts
 * import { CircuitBreakers, DeadLetters } from "@sluice/kafka/app";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * const producer = new RecordingProducer();
 * const orders = new DeadLetters(new CircuitBreakers(producer, { scope: "topic" }));
 * await orders.send({ topic: "orders", value: "hello" });
 * ```
 *
 * @module
 */

export {
  CircuitBreaker,
  type CircuitBreakerOptions,
  CircuitBreakers,
  type CircuitEvent,
  type CircuitScope,
  type CircuitState,
} from "./circuit_breaker.ts";
export { DeadLetters, type DeadLettersOptions, type FailedRecord, type FailureDetails } from "./dead_letters.ts";
export {
  createEventPublisher,
  type EventEnvelope,
  type EventMap,
  type EventPublisher,
  type EventPublisherOptions,
  type EventRecord,
  type PublishOptions,
  type SafeOutcome,
} from "./event_publisher.ts";
export { closeTimeoutMs, pipelining, type PipeliningPreset } from "./pipelining.ts";
export {
  type ReplyReader,
  type ReplyRecord,
  Requester,
  type RequesterOptions,
  type RequesterStats,
  sendReply,
} from "./requester.ts";
export {
  createResilientClient,
  type Health,
  type ResilientClient,
  type ResilientClientOptions,
  type ResilientClientStats,
  type ServerStats,
} from "./resilient_client.ts";
export type { Sends } from "./sends.ts";
