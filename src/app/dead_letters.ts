/**
 * Dead letters: a record that can't be delivered, or can't be worked on, goes to another topic, with headers that say
 * where it comes from and why.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { errorLike, isKafkaError } from "../error_like.ts";
import type { KafkaError } from "../errors.ts";
import { type DeadLetter, type DeadLetterDialect, deadLetterHeaders } from "../headers/dead_letter.ts";
import { pairsOf } from "../headers/header.ts";
import { keep } from "../producer/record/kept_record.ts";
import type { Headers, ProducerRecord } from "../producer/record/record.ts";
import type { RecordMetadataLike, SendOptionsLike } from "../producer/producer_like.ts";
import { sentenceOf, show } from "../show.ts";
import { checkSends, hasCallback, quietly, sendBy, type Sends, withCallbacks } from "./sends.ts";

/** How dead letters are made. */
export interface DeadLettersOptions<K, V> {
  /** The topic of the dead letters of a topic. @default its name and `-dlq` */
  readonly topic?: string | ((topic: string) => string) | undefined;
  /** Whose headers say why. @default "connect" */
  readonly dialect?: DeadLetterDialect | undefined;
  /** Whether the headers have the error's stack, which names files of the program. @default false */
  readonly stack?: boolean | undefined;
  /**
   * Whether a record that couldn't be sent becomes a dead letter. By default it does unless it is in the log for
   * certain, was taken back by its caller, can't be turned into bytes, or the producer is closed or of no more use.
   */
  readonly when?: ((error: KafkaError, record: ProducerRecord<K, V>) => boolean) | undefined;
  /** Changes a letter before it is sent, say one whose value was too large. @default as it is */
  readonly rewrite?: ((letter: ProducerRecord<K, V>, error: unknown) => ProducerRecord<K, V>) | undefined;
  /** Hears of each dead letter that was delivered. */
  readonly onDeadLetter?:
    | ((letter: ProducerRecord<K, V>, metadata: RecordMetadataLike, error: unknown) => void)
    | undefined;
  /** Hears of each dead letter that could not be delivered, and of both errors: nobody keeps the record then. */
  readonly onLost?: ((letter: ProducerRecord<K, V>, reason: unknown, error: unknown) => void) | undefined;
}

/** A record that was read and could not be worked on, as a reader hands it out. */
export interface FailedRecord {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset. */
  readonly offset: bigint;
  /** The record's time, in ms since the epoch. */
  readonly timestamp?: number | undefined;
  /** The key's bytes. */
  readonly key: Uint8Array | null;
  /** The value's bytes. */
  readonly value: Uint8Array | null;
  /** Its headers. */
  readonly headers?: Headers | undefined;
}

/** What else is known of a record that could not be worked on. */
export type FailureDetails = Pick<
  DeadLetter,
  "group" | "deliveryCount" | "connector" | "taskId" | "stage" | "className" | "timestampType"
>;

const OPTIONS = ["topic", "dialect", "stack", "when", "rewrite", "onDeadLetter", "onLost"] as const;
const SUFFIX = "-dlq";
const NEVER = ["ABORTED", "CONFIG", "PRODUCER_CLOSED", "SERIALIZATION", "CIRCUIT_OPEN"];

/**
 * Sends records, and dead letters in place of those that fail for good.
 *
 * @example
 * ```ts
 * import { RecordTooLargeError } from "@sluice/kafka";
 * import { DeadLetters } from "@sluice/kafka/app";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * const producer = new RecordingProducer();
 * const orders = new DeadLetters(producer);
 * producer.failNext(new RecordTooLargeError("The broker takes records of up to 1 MiB."));
 * const error = await orders.send({ topic: "orders", key: "o-1", value: "…" }).catch((error) => error);
 * console.assert(error.code === "RECORD_TOO_LARGE"); // the caller hears of it all the same
 * console.assert(producer.records("orders-dlq").length === 1);
 * ```
 */
export class DeadLetters<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #producer: Sends<K, V>;
  readonly #options: DeadLettersOptions<K, V>;
  readonly #topicOf: (topic: string) => string;
  readonly #pending = new Set<Promise<unknown>>();

  /**
   * Stands before a producer.
   *
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(producer: Sends<K, V>, options?: DeadLettersOptions<K, V>) {
    checkSends("DeadLetters", producer);
    this.#producer = producer;
    this.#options = checkOptions(options);
    const { topic = (name: string) => `${name}${SUFFIX}` } = this.#options;
    this.#topicOf = typeof topic === "string" ? () => topic : topic;
  }

  /**
   * Sends a record as the producer does. When that fails for good, a dead letter is sent and waited for; the promise then
   * rejects with the record's own error. Its message says so if the dead letter has failed too. A record that was meant
   * for a topic of dead letters is never sent to another one.
   */
  send(record: ProducerRecord<K, V>, options?: SendOptionsLike): Promise<RecordMetadataLike> {
    // As it is now: its owner may use the bytes again while the outcome is waited for.
    const kept = keep(record);
    const outcome: Promise<RecordMetadataLike> = this.#during(
      withCallbacks(options, async (signal) => {
        try {
          return await sendBy(this.#producer, kept, signal, () => outcome);
        } catch (error) {
          throw await this.#bury(kept, error, () => outcome);
        }
      }),
      hasCallback(options),
    );
    return outcome;
  }

  /**
   * Sends the dead letter of a record that was read and couldn't be worked on: key, value and headers as they were. Commit
   * its offset after that, not before.
   *
   * @throws whatever the producer rejects with: then the record is in no topic of dead letters
   */
  report(record: FailedRecord, error: unknown, details?: FailureDetails): Promise<RecordMetadataLike> {
    if (!isObject(record)) refuse("record", "a record that was read", record);
    const { topic, partition, offset, timestamp, key, value, headers } = record;
    const origin = { stage: "TASK_PUT", ...details, topic, partition, offset, timestamp };
    const letter = this.#letter(
      { topic, key, value, headers, timestamp } as ProducerRecord<never, never>,
      origin,
      error,
    );
    const outcome: Promise<RecordMetadataLike> = this.#during(
      this.#deliver(letter as ProducerRecord<K, V>, error, () => outcome),
      false,
    );
    return outcome;
  }

  /** Resolves when every record so far has its outcome, and its dead letter too if there is one. */
  async flush(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  /** Sends the dead letter of a record, and returns the error that the caller is to get by `promise`. */
  async #bury(record: ProducerRecord<K, V>, error: unknown, promise: () => Promise<unknown>): Promise<unknown> {
    let letter: ProducerRecord<K, V>;
    try {
      if (!isKafkaError(error) || !this.#isDead(error, record)) return error;
      const { topic, partition, timestamp } = record;
      const origin = { topic, partition: partition ?? error.partition, timestamp, stage: "KAFKA_PRODUCE" };
      letter = this.#letter(record, origin, error);
    } catch (reason) {
      return lostError(error, undefined, reason);
    }
    try {
      await this.#deliver(letter, error, promise);
      return error;
    } catch (reason) {
      return lostError(error, letter.topic, reason);
    }
  }

  #isDead(error: KafkaError, record: ProducerRecord<K, V>): boolean {
    if (this.#topicOf(record.topic) === record.topic) return false;
    if (this.#options.topic === undefined && record.topic.endsWith(SUFFIX)) return false;
    if (this.#options.when !== undefined) return this.#options.when(error, record) === true;
    return error.persisted !== "yes" && !error.fatal && !NEVER.includes(error.code);
  }

  #letter(record: ProducerRecord<K, V>, origin: DeadLetter, error: unknown): ProducerRecord<K, V> {
    const { dialect = "connect", stack = false, rewrite } = this.#options;
    const { topic, key, value, headers, timestamp } = record;
    const letter = {
      topic: this.#topicOf(topic),
      // No partition: the other topic may have fewer. Equal keys stay together.
      ...{ key, value, timestamp },
      headers: [...pairsOf(headers), ...deadLetterHeaders(dialect, { ...origin, error, stack })],
    };
    return rewrite === undefined ? letter : rewrite(letter, error);
  }

  async #deliver(
    letter: ProducerRecord<K, V>,
    error: unknown,
    promise: () => Promise<unknown>,
  ): Promise<RecordMetadataLike> {
    const { onDeadLetter, onLost } = this.#options;
    try {
      const metadata = await sendBy(this.#producer, letter, undefined, promise);
      quietly(() => onDeadLetter?.(letter, metadata, error));
      return metadata;
    } catch (reason) {
      quietly(() => onLost?.(letter, reason, error));
      throw reason;
    }
  }

  #during<T>(outcome: Promise<T>, isWatched: boolean): Promise<T> {
    const settled = outcome.then(() => {}, () => {}).finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
    // A rejection that nobody watches is reported by the runtime, and this look at it must not count.
    return isWatched ? outcome : outcome.then((value) => value);
  }
}

function lostError(error: unknown, topic: string | undefined, reason: unknown): unknown {
  if (!isKafkaError(error)) return error;
  const what = topic === undefined
    ? "No dead letter could be made"
    : `Its dead letter for ${show(topic)} has failed too`;
  return errorLike(error, `${error.message} ${what}: ${sentenceOf(reason)}`, { cause: error });
}

function checkOptions<K, V>(options: DeadLettersOptions<K, V> | undefined): DeadLettersOptions<K, V> {
  const read = readOptions("DeadLetters", options, OPTIONS);
  const { topic, dialect, stack } = read;
  const isTopic = topic === undefined || typeof topic === "function" || (typeof topic === "string" && topic !== "");
  if (!isTopic) refuse("topic", "the name of a topic, or a function that makes one of another's", topic);
  if (dialect !== undefined && !["connect", "kafka", "spring"].includes(dialect as string)) {
    refuse("dialect", '"connect", "kafka" or "spring"', dialect);
  }
  if (stack !== undefined && typeof stack !== "boolean") refuse("stack", "true or false", stack);
  for (const name of ["when", "rewrite", "onDeadLetter", "onLost"] as const) {
    const { [name]: value } = read;
    if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  }
  return read as DeadLettersOptions<K, V>;
}
