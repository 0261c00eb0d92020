/**
 * One transaction, as its caller holds it.
 *
 * @module
 */

import { checkGroup, checkOffsets, type CommittedOffset } from "./offsets.ts";
import { isHarmless } from "../../error_like.ts";
import { ConfigError, type KafkaError, TransactionStateError } from "../../errors.ts";
import { sentenceOf } from "../../show.ts";
import type { Producer } from "../producer.ts";
import type { DeliveryCallback, ProducerRecord, SendOptions } from "../record/record.ts";
import type { RecordMetadata } from "../record/delivery.ts";
import type { BatchDelivery } from "../send_batch.ts";
import { TopicHandle, type TopicSerializers } from "../topic_handle.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import type { Fate, TransactionLife } from "./life.ts";
import type { TransactionState } from "./states.ts";

/**
 * Records and offsets that are committed together or not at all. Made by `TransactionalProducer.begin()` or handed to
 * the function of `transaction()`.
 */
export class Transaction<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #producer: Producer<K, V>;
  readonly #life: TransactionLife;
  /** Made for whoever looks at the signal. */
  #failed: AbortController | undefined;
  #failure: KafkaError | undefined;
  readonly #fate: Fate;
  readonly #serializers: TopicSerializers<K, V>;

  /**
   * @internal
   * @param serializers the producer's own
   */
  constructor(producer: Producer<K, V>, life: TransactionLife, serializers: TopicSerializers<K, V>) {
    this.#producer = producer;
    this.#life = life;
    this.#serializers = serializers;
    this.#fate = life.begin((error) => {
      // What ends its producer later is not its own failure.
      if (this.ended !== undefined) return;
      this.#failure = error;
      this.#failed?.abort(error);
    });
  }

  /** Where the transaction stands; `"ready"` once it has ended. */
  get state(): TransactionState {
    return this.#hasEnded ? "ready" : this.#life.states.current;
  }

  /** @internal How it has ended, if it has. */
  get ended(): "commit" | "abort" | undefined {
    return this.#fate.ended;
  }

  /** Aborted as soon as the transaction can't be committed any more; its reason is what has failed. */
  get signal(): AbortSignal {
    if (this.#failed === undefined) {
      this.#failed = new AbortController();
      if (this.#failure !== undefined) this.#failed.abort(this.#failure);
    }
    return this.#failed.signal;
  }

  /**
   * Sends a record as part of the transaction, as {@link Producer.send} does. One that fails blocks the commit, whether
   * its promise is awaited or not: nothing of the transaction is committed then.
   */
  send(record: ProducerRecord<K, V>, options?: SendOptions): Promise<RecordMetadata> {
    const refusal = this.#refusal("send");
    if (refusal !== undefined) return handled(this.#life.refuse(refusal));
    return this.#producer.send(record, options);
  }

  /** Sends records in order, as {@link Producer.sendBatch} does. */
  sendBatch(records: Iterable<ProducerRecord<K, V>>, options?: SendOptions): BatchDelivery {
    const refusal = this.#refusal("sendBatch");
    if (refusal !== undefined) throw refusal;
    return this.#producer.sendBatch(records, options);
  }

  /** Sends a record without a promise, as {@link Producer.produce} does. */
  produce(record: ProducerRecord<K, V>, onDelivery?: DeliveryCallback): boolean {
    const refusal = this.#refusal("produce");
    if (refusal !== undefined) throw refusal;
    return this.#producer.produce(record, onDelivery);
  }

  /**
   * A topic with the types of its keys and values, and with serializers of its own, for this transaction.
   *
   * @throws {ConfigError} for a part that the producer has a serializer for, and for what is no serializer
   *
   * @example
   * ```ts
   * import { json, TransactionalProducer } from "@sluice/kafka";
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * const { bootstrap: brokers, sockets: connect } = new EmbeddedCluster({ topics: { orders: 1 } });
   * await using producer = new TransactionalProducer({ brokers, connect, transactionalId: "orders-1" });
   * await producer.transaction((tx) => {
   *   const orders = tx.topic("orders", { value: json<{ readonly cents: number }>() });
   *   void orders.send({ key: "o-1", value: { cents: 5 } });
   * });
   * ```
   */
  topic<TK = K, TV = V>(name: string, serializers: TopicSerializers<TK, TV> = {}): TopicHandle<TK, TV> {
    return new TopicHandle(this, name, serializers, this.#serializers);
  }

  /** Resolves when {@link Transaction.produce} takes records again. */
  ready(): Promise<void> {
    return this.#producer.ready();
  }

  /**
   * Commits offsets of a consumer group as part of the transaction (KIP-447): those of the next records to read. If that
   * fails, nothing of the transaction is committed, whether the promise is awaited or not.
   *
   * @param offsets one or several; none is a no-op
   * @param group the group's id, or what its member knows of itself, so that a member that was replaced is refused
   */
  sendOffsets(offsets: CommittedOffset | Iterable<CommittedOffset>, group: string | GroupMetadata): Promise<void> {
    return handled(this.#sendOffsets(offsets, group));
  }

  /** Resolves when every record handed over so far has its outcome. */
  flush(): Promise<void> {
    return this.#producer.flush();
  }

  /**
   * Waits for every record, then commits. Rejects with the first failure of the transaction if there was one
   * (`requiresAbort`: call {@link abort}), or with `code: "COMMIT_UNKNOWN"` if no answer came in time: then only
   * `commit()` again is legal, which under Kafka 4 finds out what has become of it.
   */
  commit(): Promise<void> {
    return this.#end("commit");
  }

  /** Takes everything back: what was not sent is dropped, what was is never seen by `read_committed` readers. */
  abort(): Promise<void> {
    return this.#end("abort");
  }

  /** Aborts, unless it has ended; a commit or an abort that has begun ends first. For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    const elsewhere = this.#producer.elsewhere();
    if (elsewhere !== undefined) throw elsewhere;
    if (!this.#hasEnded) await this.#life.endOpen(this.#fate);
  }

  async #sendOffsets(
    offsets: CommittedOffset | Iterable<CommittedOffset>,
    group: string | GroupMetadata,
  ): Promise<void> {
    const refusal = this.#refusal("sendOffsets");
    if (refusal !== undefined) await this.#life.refuse(refusal);
    let checked: Parameters<TransactionLife["commitOffsets"]>;
    try {
      checked = [checkOffsets(offsets), checkGroup(group)];
    } catch (cause) {
      const message = `Pass offsets that can be read: ${sentenceOf(cause)}`;
      // What a list throws may be an error of another client, that is no end of this one.
      const isOwn = isHarmless(cause) && cause instanceof ConfigError;
      const error = isOwn ? cause : new ConfigError("offsets", message, { cause });
      // As of a record that can't be sent: nobody may look at the promise.
      this.#life.onFailed(error);
      throw error;
    }
    await this.#life.commitOffsets(...checked);
  }

  #end(kind: "commit" | "abort"): Promise<void> {
    const elsewhere = this.#producer.elsewhere();
    if (elsewhere !== undefined) return Promise.reject(elsewhere);
    return this.#hasEnded ? this.#life.refuse(this.#notNow(kind)) : this.#life.end(kind);
  }

  /** Also when its abort failed and the next transaction has made sure of it: what is handed to it isn't that one's. */
  get #hasEnded(): boolean {
    return this.ended !== undefined || !this.#life.isPresent(this.#fate);
  }

  #refusal(call: string): KafkaError | undefined {
    const elsewhere = this.#producer.elsewhere();
    if (elsewhere !== undefined) return elsewhere;
    if (!this.#hasEnded && this.#life.states.current === "in transaction") return undefined;
    return this.#notNow(call);
  }

  #notNow(call: string): KafkaError {
    if (!this.#hasEnded || this.#life.states.current === "fatal") return this.#life.notNow(call);
    const how = this.ended === undefined ? "has ended" : `was ${this.ended === "commit" ? "committed" : "aborted"}`;
    return new TransactionStateError(`Begin another transaction for ${call}(): this one ${how}.`);
  }
}

function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
