/**
 * A producer without a broker, for tests of code that sends: it remembers what it was given, and fails or delays what
 * the test wants.
 *
 * Its methods are those of `Producer`; nothing of the real one runs. Where batching, retries or the wire matter, use
 * the real one with an `EmbeddedCluster`.
 *
 * @module
 */

import {
  checkSignal,
  checkTimeoutMs,
  ignoreRejection,
  isAborted,
  isObject,
  MAX_TIMER_MS,
  readOptions,
  readSendOptions,
  reasonOfSignal,
  refuse,
  type SendCall,
} from "../../call_options.ts";
import {
  AbortError,
  ConfigError,
  KafkaError,
  ProducerClosedError,
  ProtocolError,
  SerializationError,
  TimeoutError,
} from "../../errors.ts";
import { copyOfRecords, explainRefusal, notDisconnect } from "../../other_clients.ts";
import { keepsNoHeaders, notHeaders } from "../../producer/record/header_checks.ts";
import { keep } from "../../producer/record/kept_record.ts";
import { TopicHandle, type TopicSerializers } from "../../producer/topic_handle.ts";
import { copyAlike, isByteArray } from "../../byte_arrays.ts";
import { onAbort } from "../../runtime/on_abort.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { selectRuntime } from "../../runtime/select.ts";
import { reasonOf, show } from "../../show.ts";
import { withText } from "../record_text.ts";
import {
  type RecordedCallbacks,
  RecordedDelivery,
  type RecordedInput,
  RecordedMetadata,
  type RecordedRecord,
  type RecordingMetrics,
  recordingMetrics,
  type RecordingPartitioner,
  RecordingPartitions,
} from "./recorded_record.ts";

/** How a {@link RecordingProducer} behaves. */
export interface RecordingProducerOptions<K, V> {
  /** Partitions of every topic, or of each by name (1 for the others). @default 1 */
  readonly partitions?: number | Readonly<Record<string, number>>;
  /** Chooses a partition for records that name none, as the real one's `partitioner`. @default always 0 */
  readonly partitioner?: RecordingPartitioner;
  /** Asked for each record: an error makes it fail, undefined lets it be delivered. */
  readonly respond?: (record: RecordedRecord<K, V>) => Error | undefined;
  /** How long each outcome takes, in ms. @default 0 */
  readonly delayMs?: number;
  /** False: outcomes wait for `completeNext` and `errorNext`; flush and close deliver the rest. @default true */
  readonly autoComplete?: boolean;
  /** The clock, virtual or not. @default the runtime's own */
  readonly runtime?: Pick<Runtime, "wallNow" | "setTimer" | "random">;
}

const OPTIONS = ["partitions", "partitioner", "respond", "delayMs", "autoComplete", "runtime"] as const;

/** What was said with a record. */
type Call = SendCall<KafkaError, RecordedMetadata>;
type Callbacks = Partial<Call>;

/** A record that has no outcome yet. */
interface Pending<K, V> {
  readonly record: RecordedRecord<K, V>;
  readonly callbacks: Callbacks | undefined;
  readonly resolve: (metadata: RecordedMetadata) => void;
  readonly reject: (error: KafkaError) => void;
  /** Stops listening to the signal. */
  stop: () => void;
}

/**
 * Stands in for a producer.
 *
 * @example
 * ```ts
 * import { TimeoutError } from "@sluice/kafka";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * const producer = new RecordingProducer({ partitions: 3 });
 * await producer.send({ topic: "orders", key: "o-1", value: "hello" });
 * console.assert(producer.records("orders")[0]?.value === "hello");
 *
 * producer.failNext(new TimeoutError("No broker today."));
 * const outcome = await producer.send({ topic: "orders", value: "lost" }).catch((error) => error.code);
 * console.assert(outcome === "TIMEOUT" && producer.records().length === 1 && producer.failed.length === 1);
 * ```
 */
export class RecordingProducer<K = string | Uint8Array, V = string | Uint8Array> {
  /** While it is true the buffer is full: `produce` takes nothing and `ready` waits. */
  get full(): boolean {
    return this.#full;
  }
  set full(full: boolean) {
    this.#full = full;
    if (!full) { for (const wake of this.#waiting.splice(0)) wake(); }
  }

  readonly #options: RecordingProducerOptions<K, V>;
  readonly #runtime: Pick<Runtime, "wallNow" | "setTimer" | "random">;
  readonly #partitions: RecordingPartitions;
  readonly #offsets = new Map<string, bigint>();
  readonly #delivered: RecordedRecord<K, V>[] = [];
  readonly #failed: { readonly record: RecordedRecord<K, V>; readonly error: KafkaError }[] = [];
  readonly #failures: Error[] = [];
  readonly #pending = new Set<Pending<K, V>>();
  /** Refusals that are told in a turn of their own. */
  readonly #unsettled = new Set<() => void>();
  readonly #idle: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #full = false;
  /** The callbacks of a record that was refused are being called. */
  #isRefusing = false;
  #closing: Promise<void> | undefined;

  /**
   * Makes a producer that delivers everything, unless the options say otherwise.
   *
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(options?: RecordingProducerOptions<K, V>) {
    this.#options = checkOptions(options);
    const { runtime, partitions = 1, partitioner } = this.#options;
    this.#runtime = runtime ?? selectRuntime();
    this.#partitions = new RecordingPartitions(partitions, partitioner, () => this.#runtime.random());
  }

  /** A topic with types and serializers of its own, as `Producer.topic`; records hold what these make. */
  topic<TK = K, TV = V>(name: string, serializers: TopicSerializers<TK, TV> = {}): TopicHandle<TK, TV> {
    return new TopicHandle(this, name, serializers, {});
  }

  /** What was delivered, in order: of one topic, or all. */
  records(topic?: string): RecordedRecord<K, V>[] {
    return this.#delivered.filter((record) => topic === undefined || record.topic === topic);
  }

  /** What failed, in order, with the errors. */
  get failed(): readonly { readonly record: RecordedRecord<K, V>; readonly error: KafkaError }[] {
    return this.#failed;
  }

  /** What has no outcome yet, in order. */
  get pending(): RecordedRecord<K, V>[] {
    return Array.from(this.#pending, ({ record }) => record);
  }

  /** True once `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Makes the next so many records fail, before `respond` is asked. */
  failNext(error: Error, times = 1): void {
    checkError(error);
    if (!Number.isInteger(times) || times < 0) refuse("times", "a whole number from 0", times);
    for (let i = 0; i < times; i++) this.#failures.push(error);
  }

  /** Delivers the oldest record without an outcome; false if there is none. */
  completeNext(): boolean {
    return this.#settleNext(undefined);
  }

  /** Fails the oldest record without an outcome; false if there is none. */
  errorNext(error: Error): boolean {
    return this.#settleNext(checkError(error));
  }

  /** Forgets what was delivered and what failed; offsets go on. */
  clear(): void {
    this.#delivered.length = 0;
    this.#failed.length = 0;
    this.#failures.length = 0;
  }

  /** Resolves at once. */
  connect(options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    return attempt(() => {
      const signal = checkSignal(readOptions("connect", options, ["signal"]).signal);
      if (this.closed) throw closedError();
      if (signal !== undefined && isAborted(signal)) throw reasonOfSignal(signal);
    });
  }

  /** Takes a record. The promise settles as the test wants. */
  send(record: RecordedInput<K, V>, options?: RecordedCallbacks): Promise<RecordedMetadata> {
    return this.#send(record, readSendOptions("send", options));
  }

  /** Takes records in order; each has a result of its own. */
  sendBatch(records: Iterable<RecordedInput<K, V>>, options?: RecordedCallbacks): RecordedDelivery {
    const all = copyOfRecords(records, keep);
    if (all instanceof ConfigError) return new RecordedDelivery([], all);
    const call: Call | undefined = readSendOptions("sendBatch", options);
    return new RecordedDelivery(all.map((record) => this.#send(record, call)));
  }

  /** Takes a record without a promise; false while it is {@link RecordingProducer.full}. */
  produce(record: RecordedInput<K, V>, onDelivery?: RecordedCallbacks["onDelivery"]): boolean {
    const callbacks = onDelivery === undefined || onDelivery === null ? undefined : { onDelivery };
    if (callbacks !== undefined && typeof onDelivery !== "function") refuse("onDelivery", "a function", onDelivery);
    if (this.#full && !this.closed) return false;
    this.#take(record, callbacks, () => {}, () => {});
    return true;
  }

  /** Resolves when `produce` takes records again. */
  ready(): Promise<void> {
    if (this.closed) return Promise.reject(closedError());
    if (!this.#full) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => this.closed ? reject(closedError()) : resolve());
    });
  }

  /** Resolves when every record so far has its outcome. */
  async flush(options?: {
    readonly timeoutMs?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void> {
    const read = readOptions("flush", options, ["timeoutMs", "signal"]);
    await this.#flush(checkTimeoutMs(read.timeoutMs), checkSignal(read.signal));
  }

  async #flush(timeoutMs: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (signal !== undefined && isAborted(signal)) throw reasonOfSignal(signal);
    // Not what callbacks send meanwhile.
    const before = [...this.#pending];
    const unsettled = [...this.#unsettled];
    if (this.#options.autoComplete === false) {
      // No answer comes within the call that asks for it.
      await undefined;
      for (const entry of before) this.#settle(entry, undefined);
    }
    const isDone = (): boolean =>
      before.every((entry) => !this.#pending.has(entry)) && unsettled.every((say) => !this.#unsettled.has(say));
    if (isDone()) return;
    await new Promise<void>((resolve, reject) => {
      const end = (settle: () => void): void => {
        timer?.cancel();
        ignore?.();
        settle();
      };
      const ignore = signal && onAbort(signal, () => end(() => reject(reasonOfSignal(signal))));
      const timer = timeoutMs === undefined || timeoutMs === Infinity ? undefined : this.#runtime.setTimer(
        () => end(() => reject(new TimeoutError(`Flushing took longer than ${timeoutMs} ms.`))),
        timeoutMs,
      );
      const look = (): void => isDone() ? end(resolve) : void this.#idle.push(look);
      this.#idle.push(look);
    });
  }

  /** Refuses new records and waits for the outcomes of the others, at most `timeoutMs`; then these fail. */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void> {
    try {
      const timeoutMs = checkTimeoutMs(readOptions("close", options, ["timeoutMs"]).timeoutMs);
      return this.#closing ??= this.#close(timeoutMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Rejects, as the real one's does.
   *
   * @deprecated Call `close()`.
   */
  disconnect(): Promise<never> {
    return Promise.reject(notDisconnect());
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A stream of records. */
  writable(): WritableStream<RecordedInput<K, V>>;
  /** A stream of the values of one topic. */
  writable(topic: string): WritableStream<V | null>;
  writable(topic?: string): WritableStream<never> {
    if (topic !== undefined) checkTopic(topic);
    return new WritableStream<unknown>({
      write: async (chunk) => {
        const record = topic === undefined ? chunk : { topic, value: chunk };
        await this.send(record as RecordedInput<K, V>);
      },
    }) as WritableStream<never>;
  }

  /** The partitions of a topic, led by brokers 1, 2, 3 in turn. */
  partitionsFor(
    topic: string,
  ): Promise<{ topic: string; partition: number; leader: number; leaderEpoch: number }[]> {
    return attempt(() => {
      if (this.closed) throw closedError();
      checkTopic(topic);
      return Array.from({ length: this.#partitions.countOf(topic) }, (_, partition) => {
        return { topic, partition, leader: 1 + partition % 3, leaderEpoch: 0 };
      });
    });
  }

  /** Resolves at once. */
  refreshMetadata(topic?: string): Promise<void> {
    return attempt(() => {
      if (this.closed) throw closedError();
      if (topic !== undefined) checkTopic(topic);
    });
  }

  /** The counters that make sense without a broker; the others are 0. */
  metrics(): RecordingMetrics {
    return recordingMetrics(this.#delivered.length, this.#failed.length, this.#pending.size);
  }

  /** Knows no broker and no topic. */
  snapshot(): { format: 1; takenAtMs: number; bootstrap: string[]; brokers: never[]; topics: never[] } {
    return { format: 1, takenAtMs: 0, bootstrap: [], brokers: [], topics: [] };
  }

  /** Always true. */
  isIdempotent(): boolean {
    return true;
  }

  #send(record: RecordedInput<K, V>, call: Call | undefined): Promise<RecordedMetadata> {
    const promise = new Promise<RecordedMetadata>((resolve, reject) => this.#take(record, call, resolve, reject));
    if (call?.hasCallback) promise.catch(() => {});
    return promise;
  }

  #take(
    input: RecordedInput<K, V>,
    callbacks: Callbacks | undefined,
    resolve: (metadata: RecordedMetadata) => void,
    reject: (error: KafkaError) => void,
  ): void {
    const refuse = (error: KafkaError): void => this.#refuse(error, callbacks, reject);
    if (this.closed) return refuse(closedError());
    if (callbacks?.refusal !== undefined) return refuse(callbacks.refusal);
    let record: RecordedRecord<K, V>;
    try {
      record = this.#recordOf(input);
    } catch (error) {
      return refuse(explainRefusal(error, input));
    }
    const entry: Pending<K, V> = { record, callbacks, resolve, reject, stop: () => {} };
    this.#pending.add(entry);
    try {
      this.#listen(entry, callbacks?.signal);
    } catch (error) {
      this.#pending.delete(entry);
      return refuse(error as KafkaError);
    }
    if (this.#options.autoComplete === false) return;
    const { delayMs = 0 } = this.#options;
    if (delayMs > 0) this.#runtime.setTimer(() => this.#settle(entry, undefined), delayMs);
    else void Promise.resolve().then(() => this.#settle(entry, undefined));
  }

  /**
   * Fails a record within the call that brought it, as the real producer does; what a callback of it sends in vain is told
   * a turn later, or a caller who never stops trying would run out of stack.
   */
  #refuse(error: KafkaError, callbacks: Callbacks | undefined, reject: (error: KafkaError) => void): void {
    const say = (): void => {
      this.#isRefusing = true;
      tell(callbacks, error, null);
      this.#isRefusing = false;
      reject(error);
    };
    const { onDelivery, onSuccess, onError } = callbacks ?? {};
    if (!this.#isRefusing || (onDelivery ?? onSuccess ?? onError) === undefined) return say();
    this.#unsettled.add(say);
    this.#runtime.setTimer(() => {
      say();
      this.#unsettled.delete(say);
      this.#lookIdle();
    }, 0);
  }

  /** The record as it is now, each field read once. */
  #recordOf(input: RecordedInput<K, V>): RecordedRecord<K, V> {
    const { topic, key = null, value, partition, timestamp = this.#runtime.wallNow(), headers } = input;
    checkTopic(topic);
    if (value === undefined) {
      throw new SerializationError("Give the record a value; null is a tombstone.", { topic });
    }
    const chosen = this.#partitions.choose({ topic, key, value, partition });
    return withText({
      ...{ topic, partition: chosen, key: copyOf(key), value: copyOf(value), timestamp },
      headers: headersOf(headers, topic),
    });
  }

  /** Takes the record back when the signal is aborted: nothing of it has been sent anywhere. */
  #listen(entry: Pending<K, V>, signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const takeBack = (): void => {
      const { topic } = entry.record;
      this.#settle(entry, new AbortError("The record was taken back.", { topic, cause: reasonOfSignal(signal) }));
    };
    if (isAborted(signal)) takeBack();
    else entry.stop = onAbort(signal, takeBack);
  }

  #settleNext(error: Error | undefined): boolean {
    const [oldest] = this.#pending;
    if (oldest === undefined) return false;
    this.#settle(oldest, error);
    return true;
  }

  #settle(entry: Pending<K, V>, given: Error | undefined): void {
    if (!this.#pending.delete(entry)) return;
    entry.stop();
    const { record, callbacks } = entry;
    const error = given ?? this.#failures.shift() ?? this.#respond(record);
    if (error === undefined) {
      const name = `${record.topic}/${record.partition}`;
      const offset = this.#offsets.get(name) ?? 0n;
      this.#offsets.set(name, offset + 1n);
      this.#delivered.push(record);
      const metadata = new RecordedMetadata(record.topic, record.partition, offset, record.timestamp);
      tell(callbacks, null, metadata);
      entry.resolve(metadata);
    } else {
      const reason = error instanceof KafkaError ? error : new KafkaError(reasonOf(error), { cause: error });
      this.#failed.push({ record, error: reason });
      tell(callbacks, reason, null);
      entry.reject(reason);
    }
    this.#lookIdle();
  }

  #lookIdle(): void {
    for (const look of this.#idle.splice(0)) look();
  }

  /** What the options want to become of a record; an error too if they throw it. */
  #respond(record: RecordedRecord<K, V>): Error | undefined {
    try {
      return this.#options.respond?.(record);
    } catch (error) {
      return error instanceof Error ? error : new KafkaError(reasonOf(error), { cause: error });
    }
  }

  async #close(timeoutMs: number | undefined): Promise<void> {
    try {
      await this.#flush(timeoutMs, undefined);
    } finally {
      while (this.errorNext(closedError()));
      this.full = false;
    }
  }
}

/** What callbacks throw is of no more interest here than to the real producer. */
function tell(
  callbacks: Callbacks | undefined,
  error: KafkaError | null,
  metadata: RecordedMetadata | null,
): void {
  const calls = [
    () => callbacks?.onDelivery?.(error, metadata),
    () => metadata === null ? undefined : callbacks?.onSuccess?.(metadata),
    () => error === null ? undefined : callbacks?.onError?.(error),
  ];
  for (const call of calls) {
    try {
      ignoreRejection(call());
    } catch {
      // As with the real producer, which logs it.
    }
  }
}

/** Bytes as they are now: the caller may reuse its buffer. */
function copyOf<T>(value: T): T {
  return isByteArray(value) ? copyAlike(value) : value;
}

/** What a call returns, as a promise; what it throws, as a rejection. */
function attempt<T>(call: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}

function headersOf(
  headers: RecordedInput<unknown, unknown>["headers"],
  topic: string,
): [string, string | Uint8Array | null][] {
  if (headers === undefined) return [];
  if (!isObject(headers)) throw notHeaders(headers, topic);
  const isIterable = Symbol.iterator in headers;
  const pairs: unknown[] = isIterable ? [...headers as Iterable<unknown>] : Object.entries(headers);
  if (!isIterable && pairs.length === 0 && keepsNoHeaders(headers)) throw notHeaders(headers, topic);
  return pairs.flatMap((pair): [string, string | Uint8Array | null][] => {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") {
      throw new SerializationError(`Pass each header as a pair of name and value: ${show(pair)} is not.`, { topic });
    }
    // One that is undefined is left out, as JSON does.
    return pair[1] === undefined ? [] : [[pair[0], copyOf(pair[1])]];
  });
}

function checkOptions<K, V>(options: unknown): RecordingProducerOptions<K, V> {
  const read = readOptions("RecordingProducer", options, OPTIONS);
  const { partitioner, respond, delayMs = 0, autoComplete = true, runtime } = read;
  for (const [name, value] of Object.entries({ partitioner, respond })) {
    if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  }
  const isDelay = typeof delayMs === "number" && delayMs >= 0 && delayMs <= MAX_TIMER_MS;
  if (!isDelay) refuse("delayMs", `a number of ms from 0 to ${MAX_TIMER_MS}`, delayMs);
  if (typeof autoComplete !== "boolean") refuse("autoComplete", "true or false", autoComplete);
  if (runtime !== undefined && !isObject(runtime)) refuse("runtime", "an object with a clock", runtime);
  return read as RecordingProducerOptions<K, V>;
}

function checkTopic(topic: unknown): void {
  if (typeof topic === "string" && topic !== "") return;
  throw new ProtocolError(`Give the record a topic: ${show(topic)} is not.`, { code: "INVALID_TOPIC_EXCEPTION" });
}

function checkError(error: unknown): Error {
  if (error instanceof Error) return error;
  refuse("error", "an Error", error);
}

function closedError(): ProducerClosedError {
  return new ProducerClosedError("The producer was closed. It takes no more records.");
}
