/**
 * Sluice: a Kafka producer that runs unchanged on Node, Deno, Bun and Cloudflare Workers.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 *
 * const producer = new Producer({ brokers: "localhost:9092", maxBlockMs: 100 });
 * try {
 *   const { partition, offset } = await producer.send({ topic: "orders", key: "o-1", value: "hello" });
 *   console.log(`in partition ${partition} at offset ${offset}`);
 * } catch (error) {
 *   console.error(error); // says what went wrong, and whether the record is in the log
 * } finally {
 *   await producer.close();
 * }
 * ```
 *
 * @module
 */

export * from "./core.ts";
export { Producer, TransactionalProducer, validateConfig } from "./src/producer/named_producer.ts";
export {
  bytesSerializer as bytes,
  jsonSerializer as json,
  stringSerializer as string,
} from "./src/producer/record/serializer.ts";
export type { TopicHandle, TopicRecord, TopicSerializers } from "./src/producer/topic_handle.ts";
