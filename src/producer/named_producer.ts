/**
 * The producer that knows every codec by its name, on top of the core, which takes codecs as values.
 *
 * @module
 */

import { resolveCompressor } from "../codec/compressor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type ProducerOptions, readProducerOptions, resolveOptions } from "./options/options.ts";
import { namedMechanism } from "../sasl/named.ts";
import { Producer as CoreProducer } from "./producer.ts";
import { TopicHandle, type TopicSerializers } from "./topic_handle.ts";
import type { Names } from "./options/security.ts";
import {
  TransactionalProducer as CoreTransactionalProducer,
  type TransactionalProducerOptions,
} from "./transaction/transactional_producer.ts";

/** Codecs and mechanisms by their names. */
export const NAMES: Names = { compressor: resolveCompressor, mechanism: namedMechanism };

/**
 * Sends records to Kafka.
 *
 * One producer serves any number of concurrent callers; an application rarely needs a second. Records of one partition
 * get into its log in the order of the calls, once each, also when they are sent again (`idempotent`).
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 *
 * const producer = new Producer({ brokers: "localhost:9092", compression: "lz4", retries: 0 });
 * producer.send({ topic: "orders", key: "o-1", value: "hello" }).catch((error) => console.error(error.code));
 * await producer.close({ timeoutMs: 100 }).catch(() => {});
 * ```
 */
export class Producer<K = string | Uint8Array, V = string | Uint8Array> extends CoreProducer<K, V> {
  /**
   * Makes a producer; no connection is opened yet.
   *
   * @param options at least `brokers`
   * @param runtime sockets, clock and randomness; the runtime's own unless a test brings others
   * @throws {ConfigError} for an option that is unknown, wrong or in conflict with another
   */
  constructor(options: ProducerOptions<K, V>, runtime?: Runtime) {
    const read = readProducerOptions(options);
    super(read, runtime, NAMES);
    this.#own = { key: read.keySerializer, value: read.valueSerializer };
  }

  /** The producer's own serializers. */
  readonly #own: { readonly key: unknown; readonly value: unknown };

  /**
   * A topic with the types of its keys and values, and with serializers of its own. For topics of different types one
   * producer does; it has no serializer itself then.
   *
   * @throws {ConfigError} for a part that the producer has a serializer for, and for what is no serializer
   *
   * @example
   * ```ts
   * import { json, Producer } from "@sluice/kafka";
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * interface Order {
   *   readonly cents: number;
   * }
   *
   * const { bootstrap: brokers, sockets: connect } = new EmbeddedCluster({ topics: { orders: 1 } });
   * await using producer = new Producer({ brokers, connect });
   * const orders = producer.topic("orders", { value: json<Order>() });
   * await orders.send({ key: "o-1", value: { cents: 5 } });
   * ```
   */
  topic<TK = K, TV = V>(name: string, serializers: TopicSerializers<TK, TV> = {}): TopicHandle<TK, TV> {
    return new TopicHandle(this, name, serializers, this.#own);
  }
}

/**
 * Sends records in transactions: committed together or not at all.
 *
 * @example
 * ```ts
 * import { TransactionalProducer } from "@sluice/kafka";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const { bootstrap: brokers, sockets: connect } = new EmbeddedCluster({ topics: { out: 1 } });
 * await using producer = new TransactionalProducer({ brokers, connect, transactionalId: "orders-1" });
 * await producer.transaction((tx) => void tx.send({ topic: "out", key: "o-1", value: "hello" }));
 * ```
 */
export class TransactionalProducer<K = string | Uint8Array, V = string | Uint8Array>
  extends CoreTransactionalProducer<K, V> {
  /**
   * Makes a producer; no connection is opened yet.
   *
   * @param options at least `brokers` and `transactionalId`
   * @param runtime sockets, clock and randomness; the runtime's own unless a test brings others
   * @throws {ConfigError} for an option that is unknown, wrong or in conflict with another
   */
  constructor(options: TransactionalProducerOptions<K, V>, runtime?: Runtime) {
    super(options, runtime, NAMES);
  }
}

/**
 * Checks options without a broker and without a socket.
 *
 * @throws {ConfigError} for the first option that is unknown, wrong or in conflict with another
 *
 * @example
 * ```ts
 * import { validateConfig } from "@sluice/kafka";
 *
 * validateConfig({ brokers: "localhost:9092", lingerMs: 5 });
 * ```
 */
export function validateConfig<K, V>(options: ProducerOptions<K, V>): void {
  resolveOptions(options, undefined, NAMES);
}
