/**
 * KafkaJS's client: makes producers, and hands everything else to KafkaJS itself.
 *
 * @module
 */

import type { Runtime } from "../../runtime/runtime.ts";
import { systemRuntime } from "../../runtime/select.ts";
import { show } from "../../show.ts";
import { resolveConfig, warnOfUnknown } from "./config.ts";
import type { Admin, AdminConfig, Consumer, ConsumerConfig } from "./consumer_types.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";
import { consoleLogCreator, createLogger, type Logger, logLevel } from "./logger.ts";
import { Partitioners } from "./partitioners.ts";
import { createProducer } from "./producer.ts";
import type { KafkaConfig, Producer, ProducerConfig } from "./types.ts";

/** The module `kafkajs`, as far as it is needed. */
export interface KafkaJSModule {
  /** KafkaJS's own client. */
  readonly Kafka: new (config: never) => { consumer(config: never): unknown; admin(config?: never): unknown };
}

/** What there is to say of a module whose types are not known. */
export interface AnyKafkaJS {
  /** KafkaJS's own client. */
  readonly Kafka: new (
    config: never,
  ) => { consumer(config: ConsumerConfig): Consumer; admin(config?: AdminConfig): Admin };
}

/** What is passed on by `consumer()` and `admin()`, and what isn't. */
type Passed<M> = KafkaConfig & {
  /**
   * KafkaJS itself, for what a producer can't do: `consumer()` and `admin()` come from it.
   * @default none: they are refused
   */
  readonly kafkajs?: M | undefined;
};

/**
 * A client with KafkaJS's interface.
 *
 * @example
 * ```ts
 * import { Kafka, logLevel } from "@sluice/kafka/compat/kafkajs";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const { bootstrap, sockets: connect } = new EmbeddedCluster({ topics: { orders: 3 } });
 * const kafka = new Kafka({ clientId: "shop", brokers: [bootstrap], logLevel: logLevel.ERROR, sluice: { connect } });
 * const producer = kafka.producer();
 * await producer.connect();
 * const [metadata] = await producer.send({ topic: "orders", messages: [{ key: "o-1", value: "hello" }] });
 * console.assert(metadata?.baseOffset === "0");
 * await producer.disconnect();
 * ```
 */
export class Kafka<M extends KafkaJSModule = AnyKafkaJS> {
  readonly #config: KafkaConfig;
  readonly #module: M | undefined;
  readonly #logger: Logger;
  readonly #runtime: Runtime | undefined;
  readonly #clock: Runtime;
  #delegate: InstanceType<M["Kafka"]> | undefined;

  /**
   * Makes a client; no connection is opened yet.
   *
   * @param config at least `brokers`
   * @param runtime sockets, clock and randomness; the runtime's own unless a test brings others
   * @throws {KafkaJSNonRetriableError} for a configuration that can't be meant
   */
  constructor(config: Passed<M>, runtime?: Runtime) {
    if (typeof config !== "object" || config === null) {
      throw new KafkaJSNonRetriableError(`Pass an object with at least "brokers": ${show(config)} is not.`);
    }
    const { kafkajs, ...rest } = config;
    this.#config = rest;
    this.#module = checkModule(kafkajs);
    this.#runtime = runtime;
    this.#clock = runtime ?? systemRuntime(rest.sluice?.connect);
    const create = rest.logCreator ?? consoleLogCreator;
    if (typeof create !== "function") {
      throw new KafkaJSNonRetriableError(`Set "logCreator" to a function of a level: ${show(create)} is not.`);
    }
    this.#logger = createLogger(rest.logLevel ?? logLevel.INFO, create, () => this.#clock.wallNow());
    warnOfUnknown("new Kafka()", rest, "client", this.#logger);
  }

  /**
   * Makes a producer.
   *
   * @throws {KafkaJSNonRetriableError} for a configuration that can't be meant
   */
  producer(config: ProducerConfig = {}): Producer {
    const logger = this.#logger.namespace("Producer");
    warnOfUnknown("producer()", config, "producer", logger);
    const { createPartitioner } = config;
    if (createPartitioner !== undefined && createPartitioner !== null && typeof createPartitioner !== "function") {
      throw new KafkaJSNonRetriableError(
        `Set "createPartitioner" to a function, such as Partitioners.DefaultPartitioner: ${
          show(createPartitioner)
        } is not.`,
      );
    }
    return createProducer({
      brokers: this.#config.brokers,
      resolved: resolveConfig(this.#config, config, logger),
      partitioner: (createPartitioner ?? Partitioners.DefaultPartitioner)(),
      logger,
      clock: this.#clock,
      runtime: this.#runtime,
    });
  }

  /**
   * Makes a consumer of KafkaJS, which must have been passed as `kafkajs`.
   *
   * @throws {KafkaJSNonRetriableError} when it wasn't
   */
  consumer(
    config: Parameters<InstanceType<M["Kafka"]>["consumer"]>[0],
  ): ReturnType<InstanceType<M["Kafka"]>["consumer"]> {
    return this.#delegated("consumer").consumer(config as never) as ReturnType<InstanceType<M["Kafka"]>["consumer"]>;
  }

  /**
   * Makes an admin client of KafkaJS, which must have been passed as `kafkajs`.
   *
   * @throws {KafkaJSNonRetriableError} when it wasn't
   */
  admin(
    config?: Parameters<InstanceType<M["Kafka"]>["admin"]>[0],
  ): ReturnType<InstanceType<M["Kafka"]>["admin"]> {
    return this.#delegated("admin").admin(config as never) as ReturnType<InstanceType<M["Kafka"]>["admin"]>;
  }

  /** The client's logger. */
  logger(): Logger {
    return this.#logger;
  }

  #delegated(call: "consumer" | "admin"): InstanceType<M["Kafka"]> {
    if (this.#delegate !== undefined) return this.#delegate;
    if (this.#module === undefined) {
      throw new KafkaJSNonRetriableError(
        `Pass KafkaJS itself for ${call}(), as new Kafka({ …, kafkajs }) with import kafkajs from "kafkajs": ` +
          "this package has producers of its own, and hands everything else to it.",
      );
    }
    const { sluice: _, ...config } = this.#config;
    return this.#delegate = new this.#module.Kafka(config as never) as InstanceType<M["Kafka"]>;
  }
}

/** A module, or what `import *` makes of one in CommonJS. */
function checkModule<M extends KafkaJSModule>(value: M | undefined | null): M | undefined {
  if (value === undefined || value === null) return undefined;
  const named = value as Partial<KafkaJSModule> & { readonly default?: M };
  if (typeof named.Kafka === "function") return value;
  if (typeof named.default?.Kafka === "function") return named.default;
  throw new KafkaJSNonRetriableError(
    `Set "kafkajs" to the module kafkajs, which has a class Kafka: ${show(value)} is not.`,
  );
}
