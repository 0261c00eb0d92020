/**
 * Requests and replies over two topics, as Spring's `ReplyingKafkaTemplate` does it.
 *
 * @module
 */

import {
  checkSignal,
  isAborted,
  isObject,
  MAX_INT32,
  MAX_TIMER_MS,
  readOptions,
  reasonOfSignal,
  refuse,
} from "../call_options.ts";
import { errorLike, isKafkaError } from "../error_like.ts";
import { AbortError, KafkaError, type Persisted, TimeoutError } from "../errors.ts";
import { type HeaderPair, type HeaderSource, pairsOf } from "../headers/header.ts";
import { readRequest, replyHeaders, requestHeaders } from "../headers/request_reply.ts";
import type { RecordMetadataLike } from "../producer/producer_like.ts";
import { keep } from "../producer/record/kept_record.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import { onAbort } from "../runtime/on_abort.ts";
import { randomBytes } from "../runtime/random_bytes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime } from "../runtime/select.ts";
import { reasonOf, show } from "../show.ts";
import { checkWhole } from "./circuit_breaker.ts";
import { checkSends, sendBy, type Sends } from "./sends.ts";

/** A record that a reader hands out. */
export interface ReplyRecord {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The offset. */
  readonly offset: bigint;
  /** The key's bytes. */
  readonly key: Uint8Array | null;
  /** The value's bytes. */
  readonly value: Uint8Array | null;
  /** Its headers. */
  readonly headers: readonly HeaderPair[];
}

/** What of a `Reader` is used. */
export interface ReplyReader extends AsyncIterable<ReplyRecord> {
  /** The number of partitions of a topic. */
  partitionsOf(topic: string): Promise<number>;
  /** Where the partitions end. */
  offsetsOf(
    partitions: Iterable<{ readonly topic: string; readonly partition: number }>,
    position: "end",
  ): Promise<readonly { readonly topic: string; readonly partition: number; readonly offset: bigint }[]>;
  /** Reads these partitions. */
  assign(
    partitions: Iterable<{ readonly topic: string; readonly partition: number; readonly start: bigint }>,
  ): void;
}

/** How requests are made. */
export interface RequesterOptions {
  /** Where replies are waited for. */
  readonly replyTopic: string;
  /** One partition of it, if whoever answers heeds `kafka_replyPartition`. @default all partitions are read */
  readonly replyPartition?: number | undefined;
  /** How long a reply may take, in ms, from the call. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** The header that joins request and reply. @default "kafka_correlationId" */
  readonly correlationHeader?: string | undefined;
}

/** What a requester has counted. */
export interface RequesterStats {
  /** Requests without an outcome. */
  readonly pending: number;
  /** Requests that were answered. */
  readonly answered: number;
  /** Requests that were not answered in time. */
  readonly timedOut: number;
  /** Replies that came after their time. */
  readonly late: number;
  /** Records of the reply topic that answer nothing of this requester: those of others, or twice the same. */
  readonly foreign: number;
}

interface Pending {
  /** Where the request is: not sent, with the producer, or in its topic. */
  persisted: Persisted;
  /** Given up: its error is made once it is known what has become of the request. */
  givenUp: ((persisted: Persisted) => Error) | undefined;
  /** Takes the request back from the producer. */
  readonly takeBack: AbortController;
  settle(outcome: ReplyRecord | Error): void;
}

function isGivenUp(pending: Pending): pending is Pending & { readonly givenUp: (persisted: Persisted) => Error } {
  return pending.givenUp !== undefined;
}

const OPTIONS = ["replyTopic", "replyPartition", "timeoutMs", "correlationHeader"] as const;

/** Ids of requests that have timed out, kept to tell late replies from foreign ones. */
const MAX_LATE = 1_000;

/**
 * Sends requests, and waits for their replies.
 *
 * The producer and the reader are the caller's: close the requester first, then both. The reader is read by the requester
 * alone, from the ends that the reply topic has at the first request.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { Requester, sendReply } from "@sluice/kafka/app";
 * import { Reader } from "@sluice/kafka/reader";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { prices: 1, replies: 1 } });
 * const options = { brokers: cluster.bootstrap, connect: cluster.sockets };
 * await using producer = new Producer(options);
 *
 * // Whoever answers:
 * const server = new Reader(options);
 * server.assign([{ topic: "prices", partition: 0, start: "beginning" }]);
 * const serving = (async () => {
 *   for await (const request of server) await sendReply(producer, request, { value: "5 EUR" });
 * })();
 *
 * // Whoever asks:
 * const reader = new Reader(options);
 * const requester = new Requester(producer, reader, { replyTopic: "replies" });
 * const reply = await requester.request({ topic: "prices", value: "tea" });
 * console.assert(new TextDecoder().decode(reply.value!) === "5 EUR");
 *
 * requester.close();
 * await Promise.all([reader.close(), server.close(), serving]);
 * ```
 */
export class Requester<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #producer: Sends<K, V>;
  readonly #reader: ReplyReader;
  readonly #runtime: Pick<Runtime, "setTimer">;
  readonly #options: RequesterOptions & { readonly timeoutMs: number };
  readonly #correlation: { readonly correlationHeader?: string };
  readonly #pending = new Map<string, Pending>();
  readonly #late = new Set<string>();
  #reading: Promise<void> | undefined;
  #iterator: AsyncIterator<ReplyRecord> | undefined;
  #end: KafkaError | undefined;
  #answered = 0;
  #timedOut = 0;
  #lateReplies = 0;
  #foreign = 0;

  /**
   * Makes a requester; nothing is read before the first request.
   *
   * @throws {ConfigError} for an option that is missing, unknown or wrong
   */
  constructor(
    producer: Sends<K, V>,
    reader: ReplyReader,
    options: RequesterOptions,
    runtime: Pick<Runtime, "setTimer"> = selectRuntime(),
  ) {
    checkSends("Requester", producer);
    if (!isObject(reader) || typeof reader.offsetsOf !== "function" || !(Symbol.asyncIterator in reader)) {
      refuse("reader", 'a Reader of "@sluice/kafka/reader"', reader);
    }
    const { timeoutMs = 5_000, replyPartition, ...names } = readOptions("Requester", options, OPTIONS);
    for (const name of ["replyTopic", "correlationHeader"] as const) {
      const value = names[name];
      if (name === "correlationHeader" && value === undefined) continue;
      if (typeof value !== "string" || value === "") refuse(name, "text that isn't empty", value);
    }
    checkWhole("timeoutMs", timeoutMs, 1, MAX_TIMER_MS);
    if (replyPartition !== undefined) checkWhole("replyPartition", replyPartition, 0, MAX_INT32);
    this.#producer = producer;
    this.#reader = reader;
    this.#runtime = runtime;
    this.#options = { ...options, timeoutMs: timeoutMs as number };
    const { correlationHeader } = options;
    this.#correlation = correlationHeader === undefined ? {} : { correlationHeader };
  }

  /** What was counted so far. */
  get stats(): RequesterStats {
    const [pending, answered, timedOut, late] = [this.#pending.size, this.#answered, this.#timedOut, this.#lateReplies];
    return { pending, answered, timedOut, late, foreign: this.#foreign };
  }

  /**
   * Sends a request, and resolves with the first record of the reply topic that carries its id.
   *
   * Rejects with a `TimeoutError` when none comes in time (`persisted` says whether the request is in its topic), with
   * the producer's error when it can't be sent, and with the reader's when replies can't be read.
   */
  async request(
    record: ProducerRecord<K, V>,
    options?: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<ReplyRecord> {
    const read = readOptions("request", options, ["timeoutMs", "signal"]);
    const { timeoutMs = this.#options.timeoutMs } = read;
    checkWhole("timeoutMs", timeoutMs, 1, MAX_TIMER_MS);
    const signal = checkSignal(read.signal);
    if (!isObject(record)) refuse("record", "a record with topic and value", record);
    if (signal !== undefined && isAborted(signal)) throw abortError(signal, "no");
    if (this.#end !== undefined) return await this.#refuse(this.#end);
    const { replyTopic, replyPartition } = this.#options;
    const correlationId = randomBytes(16);
    const own = requestHeaders({ correlationId, replyTopic, replyPartition }, this.#correlation);
    // As it is now, for it may wait for the reader. The caller's own headers of these names stand before ours, and readers
    // look at the last.
    const kept = keep(record);
    const request = { ...kept, headers: [...pairsOf(kept.headers), ...own] };
    const id = idOf(correlationId);
    const { promise, resolve, reject } = settlers<ReplyRecord>();
    const pending: Pending = {
      persisted: "no",
      givenUp: undefined,
      takeBack: new AbortController(),
      settle: (outcome) => {
        if (!this.#pending.delete(id)) return;
        timer.cancel();
        ignore?.();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      },
    };
    this.#pending.set(id, pending);
    const timer = this.#runtime.setTimer(() => {
      this.#timedOut += 1;
      this.#giveUp(id, pending, (persisted) => this.#lateError(timeoutMs as number, persisted));
    }, timeoutMs as number);
    const ignore = signal && onAbort(signal, () => {
      this.#giveUp(id, pending, (persisted) => abortError(signal, persisted));
    });
    void this.#send(request, pending);
    return await promise;
  }

  /** Ends: what waits for a reply rejects, and nothing is read any more. Producer and reader stay open. Idempotent. */
  close(): void {
    this.#stop(new KafkaError("The requester was closed.", { code: "REQUESTER_CLOSED" }));
    // It waits for the next record until the reader is closed.
    void this.#iterator?.return?.().then(undefined, () => {});
  }

  async #send(request: ProducerRecord<K, V>, pending: Pending): Promise<void> {
    try {
      // A reply must not come before anybody looks.
      await (this.#reading ??= this.#begin());
      if (this.#end !== undefined || isGivenUp(pending)) return;
      pending.persisted = "possibly";
      await this.#producer.send(request, { signal: pending.takeBack.signal });
      pending.persisted = "yes";
    } catch (error) {
      pending.persisted = isKafkaError(error) ? error.persisted : "possibly";
      if (isGivenUp(pending)) return pending.settle(pending.givenUp(pending.persisted));
      pending.settle(error instanceof Error ? error : new KafkaError("The request failed.", { cause: error }));
    }
    if (isGivenUp(pending)) pending.settle(pending.givenUp("yes"));
  }

  /** Nobody waits for the reply any more. The producer is asked to take the request back, and says whether it has. */
  #giveUp(id: string, pending: Pending, errorOf: (persisted: Persisted) => Error): void {
    if (pending.givenUp !== undefined) return;
    pending.givenUp = errorOf;
    this.#late.add(id);
    if (this.#late.size > MAX_LATE) { for (const oldest of [...this.#late].slice(0, 1)) this.#late.delete(oldest); }
    if (pending.persisted !== "possibly") return pending.settle(errorOf(pending.persisted));
    pending.takeBack.abort();
    // For a producer that doesn't heed signals.
    this.#runtime.setTimer(() => pending.settle(errorOf("possibly")), 0);
  }

  async #begin(): Promise<void> {
    const { replyTopic: topic, replyPartition } = this.#options;
    try {
      const count = replyPartition === undefined ? await this.#reader.partitionsOf(topic) : 1;
      const partitions = Array.from({ length: count }, (_, at) => ({ topic, partition: replyPartition ?? at }));
      const ends = await this.#reader.offsetsOf(partitions, "end");
      if (this.#end !== undefined) return;
      this.#reader.assign(ends.map(({ partition, offset }) => ({ topic, partition, start: offset })));
      this.#iterator = this.#reader[Symbol.asyncIterator]();
    } catch (error) {
      // The next request tries again.
      this.#reading = undefined;
      throw error;
    }
    void this.#read(this.#iterator);
  }

  async #read(records: AsyncIterator<ReplyRecord>): Promise<void> {
    try {
      while (this.#end === undefined) {
        const { done, value } = await records.next();
        if (done === true) break;
        this.#take(value);
      }
      this.#stop(new KafkaError("The reader of replies has ended.", { code: "REQUESTER_CLOSED" }));
    } catch (error) {
      const message = `Replies can't be read any more: ${reasonOf(error)}`;
      const own = { code: "REPLIES_UNREADABLE", cause: error };
      this.#stop(isKafkaError(error) ? errorLike(error, message, { cause: error }) : new KafkaError(message, own));
    }
  }

  #take(record: ReplyRecord): void {
    const reply = readRequest(record.headers, this.#correlation);
    const id = reply && idOf(reply.correlationId);
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (pending !== undefined) {
      this.#answered += 1;
      pending.settle(record);
    } else if (id !== undefined && this.#late.delete(id)) this.#lateReplies += 1;
    else this.#foreign += 1;
  }

  #lateError(timeoutMs: number, persisted: Persisted): TimeoutError {
    const sent = { yes: "It is in its topic.", possibly: "It may be in its topic.", no: "It was not sent." };
    const message = `No reply came to ${show(this.#options.replyTopic)} within ${timeoutMs} ms (timeoutMs). ` +
      `${sent[persisted]} Look whether anybody answers, and to which topic.`;
    return new TimeoutError(message, { persisted });
  }

  /** In a turn of its own: the caller may ask again at once, whatever it is told. */
  async #refuse(reason: KafkaError): Promise<never> {
    await new Promise<void>((resolve) => this.#runtime.setTimer(resolve, 0));
    throw reason;
  }

  #stop(error: KafkaError): void {
    this.#end ??= error;
    for (const pending of [...this.#pending.values()]) {
      pending.settle(errorLike(error, error.message, { persisted: pending.persisted }));
    }
  }
}

/**
 * Answers a request that was read: to the topic, and the partition if any, that its headers name, with its id.
 *
 * @param options `correlationHeader`: the header of the id (default "kafka_correlationId")
 * @returns the metadata of the reply; undefined for a record that is no request, or asks for no reply
 */
export function sendReply<K = string | Uint8Array, V = string | Uint8Array>(
  producer: Sends<K, V>,
  request: { readonly headers?: HeaderSource | undefined },
  reply: {
    readonly value: V | null;
    readonly key?: K | null | undefined;
    readonly headers?: HeaderSource | undefined;
  },
  options?: { readonly correlationHeader?: string | undefined },
): Promise<RecordMetadataLike | undefined> {
  const outcome: Promise<RecordMetadataLike | undefined> = (async () => {
    checkSends("sendReply", producer);
    if (!isObject(request)) refuse("request", "a record that was read", request);
    const { value, key, headers } = readOptions("sendReply", reply, ["value", "key", "headers"]);
    const asked = readRequest(request.headers, options);
    if (asked?.replyTopic === undefined) return undefined;
    const record = {
      topic: asked.replyTopic,
      partition: asked.replyPartition,
      key: key as K | null | undefined,
      value: value as V | null,
      headers: [...pairsOf(headers as HeaderSource | undefined), ...replyHeaders(asked, options)],
    };
    return await sendBy(producer, record, undefined, () => outcome);
  })();
  return outcome;
}

function idOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 100));
}

function abortError(signal: AbortSignal, persisted: Persisted): AbortError {
  return new AbortError("The request was given up.", { persisted, cause: reasonOfSignal(signal) });
}

function settlers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let [resolve, reject]: [(value: T) => void, (error: Error) => void] = [() => {}, () => {}];
  const promise = new Promise<T>((...given) => {
    [resolve, reject] = given;
  });
  return { promise, resolve, reject };
}
