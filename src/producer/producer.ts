/**
 * The producer: what users hold in their hands.
 *
 * @module
 */

import { formatAddress } from "../cluster/address.ts";
import { nextTurn } from "../cluster/sleep.ts";
import type { ClusterSnapshot } from "../cluster/snapshot.ts";
import { isAborted, readSendOptions, type SendCall } from "../call_options.ts";
import { ConfigError, type KafkaError, TimeoutError } from "../errors.ts";
import { copyOfRecords, notDisconnect } from "../other_clients.ts";
import { callersContext, type Context, outside } from "../runtime/async_context.ts";
import type { Runtime, Scope } from "../runtime/runtime.ts";
import { show } from "../show.ts";
import type { BufferMemory } from "./accumulator/buffer_memory.ts";
import { type AbortableSend, AbortSignals, signalRefusal } from "./admission/abortable_send.ts";
import type { Admission } from "./admission/admission.ts";
import type { Rejections } from "./admission/rejections.ts";
import type { Router } from "./admission/router.ts";
import { assemble, type ProducerParts } from "./assembly.ts";
import { close, closedError } from "./closing.ts";
import type { Stamping, StampingParts } from "./idempotence/stamping.ts";
import type { ProducerMetrics } from "./observe/metrics.ts";
import type { ProducerOptions } from "./options/options.ts";
import { type Names, NO_NAMES } from "./options/security.ts";
import type { RecordMetadata } from "./record/delivery.ts";
import type { InterceptorChain } from "./record/interceptor.ts";
import { keep } from "./record/kept_record.ts";
import type { Callbacks, Receipt, Resolve } from "./record/receipt.ts";
import type { DeliveryCallback, ProducerRecord, SendOptions } from "./record/record.ts";
import { checkTopicName } from "./record/record_encoder.ts";
import { BatchDelivery } from "./send_batch.ts";
import type { Sender } from "./sender/sender.ts";
import { readWaitOptions, type WaitOptions, within } from "./within.ts";
import { writableOf } from "./writable.ts";

/** A partition, as {@link Producer.partitionsFor} tells of it. */
export interface PartitionInfo {
  /** The topic. */
  readonly topic: string;
  /** The index of the partition. */
  readonly partition: number;
  /** Node id of the leader, −1 while there is none. */
  readonly leader: number;
  /** Counts the elections of the partition, −1 if the broker doesn't tell. */
  readonly leaderEpoch: number;
}

/** The executor of every record's promise. One function for all: a closure for each record would cost more. */
let takenResolve!: Resolve;
function takeResolve(resolve: (metadata: RecordMetadata | PromiseLike<RecordMetadata>) => void): void {
  takenResolve = resolve as Resolve;
}

function ignore(): void {}

/**
 * Sends records to Kafka.
 *
 * One producer serves any number of concurrent callers; an application rarely needs a second. Records of one
 * partition get into its log in the order of the calls, once each, also when they are sent again (`idempotent`).
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 *
 * const producer = new Producer({ brokers: "localhost:9092", retries: 0 });
 * producer.send({ topic: "orders", key: "o-1", value: "hello" }).catch((error) => console.error(error.code));
 * await producer.close({ timeoutMs: 100 }).catch(() => {});
 * ```
 */
export class Producer<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #parts: ProducerParts;
  // What each record needs has a field of its own.
  readonly #scope: Scope | undefined;
  readonly #memory: BufferMemory;
  readonly #router: Router;
  readonly #admission: Admission;
  readonly #rejections: Rejections;
  readonly #sender: Sender;
  readonly #interceptors: InterceptorChain;
  /** Failures are told elsewhere as well, as a transaction's are by its commit: promises may be left alone. */
  readonly #isTold: boolean;
  /** Made for the first send with a signal. */
  #signals: AbortSignals | undefined;
  #closing: Promise<void> | undefined;
  /** What the last record wanted of the buffer memory, if `produce` refused it. */
  #bytesRefused = 0;

  /**
   * Makes a producer; no connection is opened yet.
   *
   * @param options at least `brokers`
   * @param runtime sockets, clock and randomness; the runtime's own unless a test brings others
   * @param names finds codecs and mechanisms by name; the core knows none, so that a bundle has what it imports as values
   * @param stampingOf makes who stamps the batches: by `idempotent`, unless a transactional producer brings its own
   * @throws {ConfigError} for an option that is unknown, wrong or in conflict with another
   */
  constructor(
    options: ProducerOptions<K, V>,
    runtime?: Runtime,
    names: Names = NO_NAMES,
    stampingOf?: (parts: StampingParts) => Stamping,
  ) {
    const parts = assemble(options, runtime, names, stampingOf);
    this.#parts = parts;
    this.#scope = parts.scope;
    this.#memory = parts.memory;
    this.#router = parts.router;
    this.#admission = parts.admission;
    this.#rejections = parts.rejections;
    this.#sender = parts.sender;
    this.#interceptors = parts.interceptors;
    this.#isTold = stampingOf !== undefined;
  }

  /**
   * Connects, and gets metadata and a producer id. Not needed: the first send does the same.
   *
   * Rejects when no broker can be reached (at once, if all refuse), naming every address and why; when none of the
   * addresses that the brokers advertise can be reached, for those are where records go; or when the cluster refuses a
   * producer id; after `maxBlockMs` at the latest.
   */
  async connect(options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    const { signal } = readWaitOptions("connect", options, ["signal"]);
    const refusal = this.#refusal();
    if (refusal !== undefined) await this.#refuse(refusal);
    const { runtime, cluster, diagnostics, options: { brokers, maxBlockMs }, outstanding } = this.#parts;
    const connected = within(runtime, this.#connect(), { timeoutMs: maxBlockMs, signal }, () => {
      const servers = brokers.map(formatAddress).join(", ");
      const diagnosis = cluster.isReached ? diagnostics.ofIdentity() : diagnostics.ofCluster();
      const { reason, advice, error } = diagnosis.explain();
      const message = `Connecting to ${servers} took longer than ${maxBlockMs} ms (maxBlockMs). ${reason} ${advice}`;
      return new TimeoutError(message, { cause: error });
    });
    await outstanding.during(connected);
  }

  /**
   * Sends a record. The promise settles once, within `deliveryTimeoutMs` of the call; nothing is thrown.
   *
   * With a callback in the options the promise may be left alone: its rejection is handled.
   */
  send(record: ProducerRecord<K, V>, options?: SendOptions): Promise<RecordMetadata> {
    const promise = new Promise<RecordMetadata>(takeResolve);
    const resolve = takenResolve;
    const call: Call | undefined = options === undefined ? undefined : readSendOptions("send", options);
    let receipt: Receipt = this.#isTold ? { resolve, promise } : resolve;
    if (call?.hasCallback) {
      promise.catch(ignore);
      call.context = callersContext();
      call.resolve = resolve;
      receipt = call;
    }
    this.#send(record, receipt, true, call);
    return promise;
  }

  /**
   * Sends records in order. Each has a result of its own; see {@link BatchDelivery}. A generator may yield one record, or
   * one buffer, again and again. Those without a key go to one
   * partition, up to 128 KiB, unless `batchSize` is set (default: unset).
   */
  sendBatch(records: Iterable<ProducerRecord<K, V>>, options?: SendOptions): BatchDelivery {
    // A copy: a callback of a record that is refused at once may change the list. What isn't a list may make each
    // record of what it made the one before of.
    const all = copyOfRecords(records, keep);
    if (all instanceof ConfigError) {
      // A transaction is none without them.
      this.#parts.stamping.onFailed(all, 0);
      return new BatchDelivery(0, all);
    }
    const call: Call | undefined = readSendOptions("sendBatch", options);
    const delivery = new BatchDelivery(all.length);
    const callbacks = call?.hasCallback ? call : undefined;
    if (callbacks !== undefined) callbacks.context = callersContext();
    for (let index = 0; index < all.length; index++) {
      this.#router.sameCall = index > 0;
      const resolve = delivery.resolver(index);
      this.#send(all[index]!, callbacks === undefined ? resolve : withResolve(callbacks, resolve), true, call);
    }
    this.#router.sameCall = false;
    return delivery;
  }

  /**
   * Sends a record without a promise, the cheapest way there is. What becomes of it goes to the callback, if any.
   *
   * With interceptors, or headers that can be read only once, a record is taken as long as anything of the buffer is
   * free, and waits for the rest.
   *
   * @returns false when the buffer is full: nothing was taken, and {@link ready} tells when to go on
   * @throws {ConfigError} when the callback isn't a function; nothing else is thrown
   */
  produce(record: ProducerRecord<K, V>, onDelivery?: DeliveryCallback): boolean {
    const callbacks = onDelivery === undefined || onDelivery === null
      ? undefined
      : { onDelivery, context: callersContext() };
    if (callbacks !== undefined && typeof onDelivery !== "function") throw noCallback(onDelivery);
    // What can be looked at only once is taken, and waits if there isn't room for all of it.
    const isForOnce = !this.#interceptors.isEmpty;
    if (isForOnce && !this.#memory.has(1) && !this.#refusal()) return false;
    this.#bytesRefused = this.#send(record, callbacks, isForOnce);
    return this.#bytesRefused === 0;
  }

  /** Resolves when {@link produce} takes records again. Rejects when the producer is closed meanwhile. */
  ready(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return this.#refuse(refusal);
    const memory = this.#memory;
    const bytesWanted = Math.max(this.#bytesRefused, Math.min(memory.totalBytes, READY_BYTES));
    if (memory.has(bytesWanted)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#parts.accumulator.waitForMemory({
        bytesWanted,
        isLast: true,
        gone: false,
        onMemory: () => {
          // It only asked whether there is room; each record reserves its own.
          memory.reserve(-bytesWanted);
          const refused = this.#refusal();
          if (refused === undefined) resolve();
          else reject(refused);
        },
      });
    });
  }

  /**
   * Resolves when every record handed over before the call has its outcome and its callbacks have run, whether it
   * was delivered or not. Cuts linger short. Later sends neither delay nor end it.
   */
  async flush(options?: WaitOptions): Promise<void> {
    const waitOptions = readWaitOptions("flush", options, ["timeoutMs", "signal"]);
    const { timeoutMs } = waitOptions;
    this.#refuseElsewhere();
    const { runtime, watch } = this.#parts;
    const late = (): TimeoutError => watch.lateError(`Flushing took longer than ${timeoutMs} ms (timeoutMs).`);
    await within(runtime, this.#admission.barrier().opened, waitOptions, late);
  }

  /** @internal As {@link flush}; undefined if there is nothing to wait for. */
  settled(): Promise<void> | undefined {
    this.#refuseElsewhere();
    const { accumulator: { incomplete }, waitingRoom, rejections } = this.#parts;
    return incomplete.size + waitingRoom.size > 0 || !rejections.isIdle ? this.#admission.barrier().opened : undefined;
  }

  /**
   * Refuses new records, delivers what was handed over, then closes all connections. Calls share one outcome.
   *
   * With `timeoutMs`, what has no outcome by then fails with a `ProducerClosedError`, and the call rejects with a
   * `TimeoutError`. Without, `deliveryTimeoutMs` is the limit. With acks 0 it also waits until the operating system has
   * all bytes, `requestTimeoutMs` (default 30,000 ms) at most.
   */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void> {
    try {
      const { timeoutMs } = readWaitOptions("close", options, ["timeoutMs"]);
      this.#refuseElsewhere();
      const { outstanding } = this.#parts;
      return this.#closing ??= outstanding.during(outside(() => close(this.#parts, timeoutMs))).finally(() =>
        outstanding.close()
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Rejects, and names {@link close}: this is what users of other clients look for.
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

  /**
   * A stream of records. A write waits while the buffer is full; the first record that
   * fails errors the stream; closing the stream flushes, and leaves the producer open.
   *
   * Bytes are copied when they are written; an object that a serializer is for is serialized when its turn has come.
   *
   * @example
   * ```ts
   * import { Producer } from "@sluice/kafka";
   * import { EmbeddedCluster } from "@sluice/kafka/testing";
   *
   * const cluster = new EmbeddedCluster({ topics: { lines: 1 } });
   * const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
   * await ReadableStream.from(["a", "b"]).pipeTo(producer.writable("lines"));
   * await producer.close();
   * ```
   */
  writable(): WritableStream<ProducerRecord<K, V>>;
  /** A stream of the values of one topic. */
  writable(topic: string): WritableStream<V | null>;
  writable(topic?: string): WritableStream<never> {
    if (topic !== undefined) checkTopicName(topic);
    if (topic === undefined) return writableOf(this, (record: ProducerRecord<K, V>) => record) as WritableStream<never>;
    return writableOf(this, (value: V | null) => ({ topic, value })) as WritableStream<never>;
  }

  /** The partitions of a topic. Waits for metadata up to `maxBlockMs`. */
  async partitionsFor(topic: string): Promise<PartitionInfo[]> {
    const refusal = this.#refusal();
    if (refusal !== undefined) await this.#refuse(refusal);
    const known = await this.#parts.outstanding.during(this.#parts.lookup.find(topic));
    return known.metadata.partitions.map(({ leaderId, leaderEpoch }, partition) => ({
      topic,
      partition,
      leader: leaderId,
      leaderEpoch,
    }));
  }

  /** @internal What the leader of a partition has said last, beside the offset. */
  answeredOf(topic: string, partition: number): { logStartOffset: bigint; usesLogAppendTime: boolean } {
    const queues = this.#router.topic(topic);
    const { logStartOffset } = queues.partition(partition);
    return { logStartOffset, usesLogAppendTime: queues.usesLogAppendTime === true };
  }

  /** Asks for fresh metadata, of all topics in use and of the given one. Rejects when no broker answers. */
  async refreshMetadata(topic?: string): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) await this.#refuse(refusal);
    if (topic !== undefined) this.#router.isKnown(this.#router.topic(topic));
    const { outstanding, cluster } = this.#parts;
    const error = await outstanding.during(cluster.requestUpdate());
    if (error !== undefined) throw error;
  }

  /** A snapshot of the counters. */
  metrics(): ProducerMetrics {
    const { accumulator: { incomplete }, memory, waitingRoom, cluster } = this.#parts;
    let recordsPending = waitingRoom.size;
    for (const { liveCount, refusedCount } of incomplete) recordsPending += liveCount + refusedCount;
    return this.#parts.metrics.snapshot({
      availableBytes: memory.availableBytes,
      totalBytes: memory.totalBytes,
      recordsPending,
      batchesPending: incomplete.size,
      brokers: cluster.health(),
    });
  }

  /**
   * Brokers, leaders and versions as plain data, for the `snapshot` option of the next short-lived producer: that one
   * dials the leaders at once. What has become of the cluster since costs a retry at most.
   */
  snapshot(): ClusterSnapshot {
    return this.#parts.cluster.snapshot();
  }

  /** True once a producer id is held: from then on, retries can't duplicate. */
  isIdempotent(): boolean {
    return this.#parts.stamping.identity !== undefined;
  }

  /** Returns 0; or, when `mayWait` is false and nothing was taken, the bytes of memory that there weren't. */
  #send(record: ProducerRecord<K, V>, given: Receipt, mayWait: boolean, call?: Call): number {
    const seen = this.#interceptors.isEmpty ? record : this.#interceptors.onSend(record);
    const receipt = seen === record ? given : this.#interceptors.around(given, seen);
    const signal = call?.signal;
    const ended = this.#refusal();
    const reason = ended ?? call?.refusal;
    if (reason !== undefined) {
      this.#rejections.reject(reason, ended === undefined ? receipt : this.#aTurnLater(receipt));
    } else if (signal !== undefined) this.#submitAbortable(seen, receipt, signal);
    else return this.#admission.submit(seen, receipt, mayWait);
    return 0;
  }

  /** Of what has ended a promise tells in a turn of its own: its caller may send again whatever it is told. */
  #aTurnLater(receipt: Receipt): Receipt {
    if (receipt === undefined || this.elsewhere() !== undefined) return receipt;
    const later = (resolve: Resolve): Resolve => (outcome) => this.#parts.runtime.defer(() => resolve(outcome));
    if (typeof receipt === "function") return later(receipt);
    // Its callbacks are called within the call all the same.
    return receipt.resolve === undefined ? receipt : { ...receipt, resolve: later(receipt.resolve) };
  }

  /** The same of a call that sends nothing. */
  async #refuse(reason: KafkaError): Promise<never> {
    if (this.elsewhere() === undefined) await nextTurn(this.#parts.runtime);
    throw reason;
  }

  #submitAbortable(record: ProducerRecord<K, V>, receipt: Receipt, signal: AbortSignal): void {
    this.#signals ??= new AbortSignals((aborted, by) => this.#abort(aborted, by));
    const refusal = signalRefusal(signal, () => topicOf(record));
    if (refusal !== undefined) return this.#rejections.reject(refusal, receipt);
    let send: AbortableSend;
    try {
      send = this.#signals.watch(signal, receipt);
    } catch (error) {
      return this.#rejections.reject(error, receipt);
    }
    this.#admission.submit(record, send, true);
    // Aborted from within a serializer or a partitioner.
    if (isAborted(signal) && !send.told) this.#abort(send, signal);
  }

  #abort(send: AbortableSend, signal: AbortSignal): void {
    this.#sender.guard(() => this.#admission.abort(send, signal));
  }

  async #connect(): Promise<void> {
    const { cluster, stamping } = this.#parts;
    const error = await cluster.requestUpdate();
    if (error !== undefined) throw error;
    await outside(() => cluster.reach());
    const refusal = await outside(() => stamping.ensure());
    if (refusal !== undefined) throw refusal;
  }

  #refusal(): KafkaError | undefined {
    if (this.#closing !== undefined) return closedError("It takes no more records.", "no");
    return this.#scope === undefined ? this.#sender.fatal : this.#scope.refusal() ?? this.#sender.fatal;
  }

  /** What is under way ends in the request that it belongs to, or not at all. */
  #refuseElsewhere(): void {
    const refusal = this.elsewhere();
    if (refusal !== undefined) throw refusal;
  }

  /** @internal Why it can't be used from here: it belongs to another request. */
  elsewhere(): KafkaError | undefined {
    return this.#scope?.refusal();
  }
}

/** How much room `ready` waits for: a batch's worth, so that the caller isn't woken for each record. */
const READY_BYTES = 16_384;

/** What was said with a record. */
type Call = SendCall<KafkaError, RecordMetadata, Context>;

/** The callbacks of a call, for one of its records. */
function withResolve({ onDelivery, onSuccess, onError, context }: Callbacks, resolve: Resolve): Callbacks {
  return { onDelivery, onSuccess, onError, context, resolve };
}

/** The topic of a record that isn't sent, for an error. */
function topicOf(record: ProducerRecord<unknown, unknown>): string | undefined {
  try {
    const topic: unknown = record?.topic;
    return typeof topic === "string" ? topic : undefined;
  } catch {
    return undefined;
  }
}

function noCallback(value: unknown): ConfigError {
  const message = `Pass produce a function to call back: ${show(value)} is not. Its second argument is onDelivery.`;
  return new ConfigError("onDelivery", message);
}
