/**
 * OpenTelemetry for producers: spans `send TOPIC` with their context in the records' headers, and the metrics
 * `messaging.client.operation.duration` and `messaging.client.sent.messages`. Needs `@opentelemetry/api` alone; a producer
 * that isn't instrumented pays nothing.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { instrument } from "@sluice/kafka/otel";
 *
 * const producer = instrument(new Producer({ brokers: "localhost:9092" }));
 * await producer.close();
 * ```
 *
 * @module
 */

export { instrument, type Instrumentable } from "./instrument.ts";
export type { MeterSource, OtelOptions, TracerSource } from "./tracer.ts";
