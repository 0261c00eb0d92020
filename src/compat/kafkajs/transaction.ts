/**
 * KafkaJS's transactions on top of a transactional producer of this package.
 *
 * @module
 */

import type { TransactionalProducer } from "../../producer/transaction/transactional_producer.ts";
import type { Transaction as SluiceTransaction } from "../../producer/transaction/transaction.ts";
import type { PartitionInfo } from "../../producer/producer.ts";
import type { BatchDelivery } from "../../producer/send_batch.ts";
import type { ProducerRecord as SluiceRecord } from "../../producer/record/record.ts";
import type { CommittedOffset } from "../../producer/transaction/offsets.ts";
import { show } from "../../show.ts";
import type { CompressionTypes } from "./compression.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { type Answered, type Batch, readBatch } from "./messages.ts";
import type { Offsets, ProducerBatch, ProducerRecord, RecordMetadata, Transaction } from "./types.ts";

/** What a session needs of the producer. */
export interface SessionParts {
  /** Makes the transactional producer for a codec. */
  make(compression: CompressionTypes): TransactionalProducer;
  /** Sends a batch through a transaction. */
  deliver(outlet: OpenTransaction, batch: Batch): Promise<RecordMetadata[]>;
  /** An error in KafkaJS's words. */
  translated(error: unknown): unknown;
  /** The producer's logger. */
  readonly logger: Logger;
}

/** A transaction and the producer that it belongs to, as one to send through. */
export class OpenTransaction {
  readonly producer: TransactionalProducer;
  readonly transaction: SluiceTransaction;

  /** Pairs them. */
  constructor(producer: TransactionalProducer, transaction: SluiceTransaction) {
    this.producer = producer;
    this.transaction = transaction;
  }

  /** The partitions of a topic, once they are known. */
  partitionsFor(topic: string): Promise<PartitionInfo[]> {
    return this.producer.partitionsFor(topic);
  }

  /** Hands records over, in order. */
  sendBatch(records: SluiceRecord[]): BatchDelivery {
    return this.transaction.sendBatch(records);
  }

  /** What the leader of a partition has said last. */
  answeredOf(topic: string, partition: number): Answered {
    return this.producer.answeredOf(topic, partition);
  }
}

/**
 * The transactions of one producer, one after the other.
 *
 * KafkaJS compresses each send in its own way, a transactional producer of ours all of them in one. So the codec of the
 * first send of a transaction counts for the whole; when it is another one than before, the producer is made anew, which
 * is taken over in order by the same transactional id, before anything of the transaction has been sent.
 */
export class TransactionSession {
  readonly #parts: SessionParts;
  #producer: TransactionalProducer | undefined;
  #compression: CompressionTypes = 0;
  #isTaken = false;

  /** Makes no producer yet. */
  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Begins a transaction. */
  async begin(): Promise<Transaction> {
    if (this.#isTaken) {
      throw new KafkaJSNonRetriableError(
        "There is already an ongoing transaction for this producer. " +
          "Please end the transaction before beginning another.",
      );
    }
    this.#isTaken = true;
    try {
      return this.#handleOf(await this.#begin());
    } catch (error) {
      this.#isTaken = false;
      throw this.#parts.translated(error);
    }
  }

  /** Aborts what is open, and closes the connections. */
  async close(options: { readonly timeoutMs: number }): Promise<void> {
    await this.#producer?.close(options);
  }

  async #begin(): Promise<OpenTransaction> {
    const producer = this.#producer ??= this.#parts.make(this.#compression);
    return new OpenTransaction(producer, await producer.begin());
  }

  #handleOf(first: OpenTransaction): Transaction {
    let open = first;
    let isActive = true;
    /** Whether the codec can't be changed any more. */
    let isUsed = false;
    /** One after the other: a change of the codec comes before what follows. */
    let line: Promise<unknown> = Promise.resolve();
    const guarded = <A extends unknown[], T>(run: (...args: A) => Promise<T>) => async (...args: A): Promise<T> => {
      if (!isActive) throw new KafkaJSNonRetriableError("Cannot continue to use transaction once ended");
      try {
        return await run(...args);
      } catch (error) {
        throw this.#parts.translated(error);
      }
    };
    const prepare = (compression: CompressionTypes): Promise<void> => {
      const ready = line.then(async () => {
        if (!isUsed && compression !== this.#compression) open = await this.#withCodec(open, compression);
        else if (compression !== this.#compression) this.#tellOfMixture();
        isUsed = true;
      });
      line = ready.catch(() => {});
      return ready;
    };
    const sendBatch = async (given: ProducerBatch): Promise<RecordMetadata[]> => {
      const batch = readBatch(given, true);
      await prepare(batch.compression);
      return await this.#parts.deliver(open, batch);
    };
    const end = (kind: "commit" | "abort") => async (): Promise<void> => {
      await line;
      await open.transaction[kind]();
      isActive = false;
      this.#isTaken = false;
    };
    return {
      send: guarded(async (record: ProducerRecord) => {
        const { topic, messages, ...rest } = record ?? {};
        return await sendBatch({ ...rest, topicMessages: [{ topic, messages }] });
      }),
      sendBatch: guarded(sendBatch),
      sendOffsets: guarded(async (offsets: Offsets & { consumerGroupId: string }) => {
        const [group, list] = readOffsets(offsets);
        await prepare(this.#compression);
        await open.transaction.sendOffsets(list, group);
      }),
      commit: guarded(end("commit")),
      abort: guarded(end("abort")),
      isActive: () => isActive,
    };
  }

  /** The same transaction, in which nothing has been sent, by a producer with another codec. */
  async #withCodec(open: OpenTransaction, compression: CompressionTypes): Promise<OpenTransaction> {
    await open.transaction.abort();
    await open.producer.close();
    this.#compression = compression;
    this.#producer = undefined;
    return await this.#begin();
  }

  #tellOfMixture(): void {
    this.#parts.logger.debug("All messages of a transaction are compressed as the first of them");
  }
}

/** The group and its offsets. @throws {KafkaJSNonRetriableError} for what can't be read */
function readOffsets(given: Offsets & { consumerGroupId: string }): [group: string, offsets: CommittedOffset[]] {
  const { consumerGroupId, topics } = given ?? {};
  if (typeof consumerGroupId !== "string" || consumerGroupId === "") {
    throw new KafkaJSNonRetriableError("Missing consumerGroupId");
  }
  if (!Array.isArray(topics)) throw new KafkaJSNonRetriableError("Missing offset topics");
  const offsets = topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, offset }) => ({ topic, partition, offset: offsetOf(offset) }))
  );
  return [consumerGroupId, offsets];
}

function offsetOf(offset: string): bigint {
  if (/^\d+$/.test(String(offset))) return BigInt(offset);
  throw new KafkaJSNonRetriableError(`Set "offset" to a whole number, as text: ${show(offset)} is not.`);
}
