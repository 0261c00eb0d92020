/**
 * KafkaJS's producer on top of producers of this package: one for each pair of acks and compression.
 *
 * @module
 */

import { RetryPolicy } from "../../app/retry_policy.ts";
import { Producer as SluiceProducer, TransactionalProducer } from "../../producer/named_producer.ts";
import type { ProducerOptions } from "../../producer/options/options.ts";
import type { BatchDelivery } from "../../producer/send_batch.ts";
import type { PartitionInfo } from "../../producer/producer.ts";
import type { ProducerRecord as SluiceRecord } from "../../producer/record/record.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { compressionOf, type CompressionTypes } from "./compression.ts";
import { resolveBrokers, type Resolved } from "./config.ts";
import { type Attempts, KafkaJSError, KafkaJSNonRetriableError, toKafkaJSError } from "./errors.ts";
import { Emitter, EVENTS, type Listener, RequestWatch } from "./events.ts";
import { type Logger, loggerOf } from "./logger.ts";
import { type Answered, type Batch, type Partitioner, readBatch, recordsOf, resultsOf } from "./messages.ts";
import { TransactionSession } from "./transaction.ts";
import type { BrokersFunction, Producer, ProducerBatch, ProducerRecord, RecordMetadata, Transaction } from "./types.ts";

/** What a producer is made of. */
export interface Parts {
  readonly brokers: string[] | BrokersFunction;
  readonly resolved: Resolved;
  readonly partitioner: Partitioner;
  readonly logger: Logger;
  readonly clock: Pick<Runtime, "setTimer" | "wallNow">;
  /** Given by tests only. */
  readonly runtime: Runtime | undefined;
}

/** What records are sent through: a producer, or a transaction of one. */
export interface Outlet {
  /** The partitions of a topic, once they are known. */
  partitionsFor(topic: string): Promise<PartitionInfo[]>;
  /** Hands records over, in order. */
  sendBatch(records: SluiceRecord[]): BatchDelivery;
  /** What the leader of a partition has said last. */
  answeredOf(topic: string, partition: number): Answered;
}

type Status = "disconnected" | "connected" | "disconnecting";

/** Makes a producer with KafkaJS's methods, which need no `this`. */
export function createProducer(parts: Parts): Producer {
  const client = new Client(parts);
  return {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    isIdempotent: () => parts.resolved.idempotent,
    events: EVENTS,
    on: (eventName: string, listener: Listener) => client.emitter.on(eventName, listener),
    send: (record) => client.send(record),
    sendBatch: (batch) => client.sendBatch(batch),
    transaction: () => client.transaction(),
    logger: () => parts.logger,
  };
}

/** The state behind a producer: connections, and one producer of this package for each way to send. */
class Client {
  readonly emitter: Emitter;
  readonly #parts: Parts;
  readonly #attempts: Attempts;
  #status: Status = "disconnected";
  #brokers: readonly string[] = [];
  #connecting: Promise<void> | undefined;
  #disconnecting: Promise<void> | undefined;
  readonly #producers = new Map<string, SluiceProducer>();
  #session: TransactionSession | undefined;
  /** Ends when the calls before have handed over their records; by topic. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(parts: Parts) {
    this.#parts = parts;
    const { retries, maxRetryMs } = parts.resolved;
    this.#attempts = { retryCount: retries, retryTime: maxRetryMs };
    this.emitter = new Emitter(() => parts.clock.wallNow(), (eventName, error) => {
      const message = error instanceof Error ? error.message : String(error);
      parts.logger.error(`Failed to execute listener: ${message}`, { eventName });
    });
  }

  async connect(): Promise<void> {
    await this.#disconnecting;
    this.#connecting ??= this.#connect().finally(() => this.#connecting = undefined);
    await this.#connecting;
  }

  /** The first producer is made here; the others find their own way when they are needed. */
  async #connect(): Promise<void> {
    try {
      this.#brokers = await resolveBrokers(this.#parts.brokers);
      const { retries, initialRetryMs, maxRetryMs, connectBudgetMs } = this.#parts.resolved;
      const policy = new RetryPolicy({
        retries,
        backoffMs: Math.ceil(initialRetryMs),
        backoffMaxMs: Math.ceil(Math.max(initialRetryMs, maxRetryMs)),
        timeoutMs: Math.max(1, Math.ceil(connectBudgetMs)),
      }, this.#parts.runtime);
      const producer = this.#producer(-1, 0);
      await policy.run(() => producer.connect());
    } catch (error) {
      if (this.#status !== "connected") await this.#closeAll();
      throw this.#translated(error);
    }
    this.#status = "connected";
    this.emitter.emit(EVENTS.CONNECT, null);
  }

  async disconnect(): Promise<void> {
    // Only then: from the call on, nothing is taken.
    if (this.#connecting !== undefined) await this.#connecting.catch(() => {});
    this.#disconnecting ??= this.#disconnect().finally(() => this.#disconnecting = undefined);
    await this.#disconnecting;
  }

  async #disconnect(): Promise<void> {
    this.#status = "disconnecting";
    await this.#closeAll();
    this.#status = "disconnected";
    this.emitter.emit(EVENTS.DISCONNECT, null);
  }

  /** Delivers what was sent, for as long as a request may take; what has no outcome by then fails, and is told so. */
  async #closeAll(): Promise<void> {
    const timeoutMs = this.#parts.resolved.requestTimeoutMs;
    // Who was called before has handed nothing over yet, if its topic is still looked up.
    if (this.#turns.size > 0) await this.#atMost(timeoutMs, Promise.all(this.#turns.values()));
    const all = [...this.#producers.values(), ...this.#session === undefined ? [] : [this.#session]];
    this.#producers.clear();
    this.#session = undefined;
    const settled = await Promise.allSettled(all.map((each) => each.close({ timeoutMs })));
    for (const result of settled) {
      if (result.status === "fulfilled") continue;
      const message = result.reason instanceof Error ? result.reason.message : String(result.reason);
      this.#parts.logger.warn(`Disconnecting did not end in order: ${message}`);
    }
  }

  /** Resolves when the promise does, or after so many ms. */
  async #atMost(limitMs: number, promise: Promise<unknown>): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.setTimer(resolve, limitMs);
      void promise.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async send(record: ProducerRecord): Promise<RecordMetadata[]> {
    return await this.sendBatch(batchOf(record));
  }

  async sendBatch(given: ProducerBatch): Promise<RecordMetadata[]> {
    const batch = readBatch(given, this.#parts.resolved.idempotent);
    this.#refuseUnlessConnected();
    return await this.#deliver(() => this.#producer(batch.acks, batch.compression), batch);
  }

  async transaction(): Promise<Transaction> {
    const { transactionalId } = this.#parts.resolved;
    if (!transactionalId) {
      throw new KafkaJSNonRetriableError("Must provide transactional id for transactional producer");
    }
    this.#refuseUnlessConnected();
    this.#session ??= new TransactionSession({
      make: (compression) => this.#transactional(compression),
      deliver: (outlet, batch) => this.#deliver(() => outlet, batch),
      translated: (error) => this.#translated(error),
      logger: this.#parts.logger,
    });
    return await this.#session.begin();
  }

  /** Hands the records over in the order of the calls, then waits for them. */
  async #deliver(outletOf: () => Outlet, batch: Batch): Promise<RecordMetadata[]> {
    try {
      const outlet = outletOf();
      const { delivery } = await this.#inTurn([...batch.topics.keys()], () => this.#handOver(outlet, batch));
      const settled = await delivery;
      const results = resultsOf(settled, (topic, partition) => outlet.answeredOf(topic, partition));
      return batch.acks === 0 ? [] : results;
    } catch (error) {
      throw this.#translated(error);
    }
  }

  /** In an object, for a delivery that is returned as it is would be waited for. */
  async #handOver(outlet: Outlet, { topics }: Batch): Promise<{ readonly delivery: BatchDelivery }> {
    const { partitioner, clock } = this.#parts;
    const known = await Promise.all([...topics.keys()].map((topic) => outlet.partitionsFor(topic)));
    const nowMs = clock.wallNow();
    const records = [...topics].flatMap(([topic, messages], index) =>
      recordsOf(topic, messages, known[index]!, partitioner, nowMs)
    );
    return { delivery: outlet.sendBatch(records) };
  }

  /** A call that waits for metadata is not overtaken by a later one to the same topic. */
  async #inTurn<T>(topics: readonly string[], run: () => Promise<T>): Promise<T> {
    const before = topics.flatMap((topic) => this.#turns.get(topic) ?? []);
    const turn = before.length === 0 ? run() : Promise.all(before).then(run);
    const ended = turn.then(() => {}, () => {});
    for (const topic of topics) this.#turns.set(topic, ended);
    void ended.then(() => {
      for (const topic of topics) if (this.#turns.get(topic) === ended) this.#turns.delete(topic);
    });
    return await turn;
  }

  #refuseUnlessConnected(): void {
    if (this.#status === "disconnecting") {
      throw new KafkaJSNonRetriableError(
        "The producer is disconnecting; therefore, it can't safely accept messages anymore",
      );
    }
    if (this.#status === "disconnected") throw new KafkaJSError("The producer is disconnected");
  }

  #producer(acks: -1 | 0 | 1, compression: CompressionTypes): SluiceProducer {
    const key = `${acks} ${compression}`;
    let producer = this.#producers.get(key);
    if (producer === undefined) {
      const { idempotent } = this.#parts.resolved;
      producer = new SluiceProducer({ ...this.#options(acks, compression), acks, idempotent }, this.#parts.runtime);
      this.#producers.set(key, producer);
    }
    return producer;
  }

  #transactional(compression: CompressionTypes): TransactionalProducer {
    const { transactionalId, transactionTimeoutMs } = this.#parts.resolved;
    const { deliveryTimeoutMs, requestTimeoutMs, maxInFlight, ...options } = this.#options(-1, compression);
    return new TransactionalProducer({
      ...options,
      // The broker gives the transaction up first otherwise.
      deliveryTimeoutMs: Math.min(deliveryTimeoutMs!, transactionTimeoutMs),
      requestTimeoutMs: Math.min(requestTimeoutMs!, transactionTimeoutMs),
      maxInFlight: Math.min(maxInFlight!, MAX_IDEMPOTENT_IN_FLIGHT),
      transactionalId: transactionalId!,
      transactionTimeoutMs,
    }, this.#parts.runtime);
  }

  #options(acks: number, compression: CompressionTypes): ProducerOptions {
    const { options } = this.#parts.resolved;
    return {
      logger: loggerOf(this.#parts.logger),
      ...options,
      brokers: this.#brokers,
      compression: compressionOf(compression),
      hooks: new RequestWatch(this.emitter, options.clientId!, () => this.#parts.clock.wallNow(), acks !== 0).hooks(
        options.hooks,
      ),
    };
  }

  #translated(error: unknown): unknown {
    return toKafkaJSError(error, this.#attempts);
  }
}

/** An idempotent producer has at most so many. */
const MAX_IDEMPOTENT_IN_FLIGHT = 5;

/** @throws {KafkaJSNonRetriableError} for what is no object */
function batchOf(record: ProducerRecord): ProducerBatch {
  if (typeof record !== "object" || record === null) return record;
  const { topic, messages, ...rest } = record;
  return { ...rest, topicMessages: [{ topic, messages }] };
}
