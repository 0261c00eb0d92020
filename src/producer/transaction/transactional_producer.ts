/**
 * The transactional producer: records and offsets that are committed together or not at all (KIP-98, KIP-447, KIP-890).
 *
 * @module
 */

import { checkTimeoutMs, isAborted, MAX_INT32, readOptions, refuse } from "../../call_options.ts";
import { CLIENT_NUMBERS, defaultsOf } from "../../cluster/connection_numbers.ts";
import { nextTurn, sleep } from "../../cluster/sleep.ts";
import type { ClusterSnapshot } from "../../cluster/snapshot.ts";
import {
  AbortError,
  ConfigError,
  type KafkaError,
  ProducerClosedError,
  TransactionAbortedError,
} from "../../errors.ts";
import { onAbort } from "../../runtime/on_abort.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { setDeadline } from "../../runtime/truce.ts";
import type { StampingParts } from "../idempotence/stamping.ts";
import type { Logger } from "../observe/logger.ts";
import type { ProducerMetrics } from "../observe/metrics.ts";
import type { ProducerOptions } from "../options/options.ts";
import { type Names, NO_NAMES } from "../options/security.ts";
import { type PartitionInfo, Producer } from "../producer.ts";
import type { TopicSerializers } from "../topic_handle.ts";
import { TransactionLife } from "./life.ts";
import type { TransactionState } from "./states.ts";
import { TransactionStamping } from "./stamping.ts";
import { Transaction } from "./transaction.ts";

/** The options of a transactional producer: those of a producer, and who it is. */
export interface TransactionalProducerOptions<K = string | Uint8Array, V = string | Uint8Array>
  extends Omit<ProducerOptions<K, V>, "acks" | "idempotent" | "gapless" | "waitForOutcome" | "onDataLoss"> {
  /**
   * The same after each restart, and another for each producer that lives at the same time: a producer that starts with it fences
   * the one before.
   */
  readonly transactionalId: string;
  /**
   * When the broker aborts a transaction by itself, in ms after its begin; brokers allow 15 minutes unless told otherwise.
   * `deliveryTimeoutMs` is at most as much. @default 60_000
   */
  readonly transactionTimeoutMs?: number | undefined;
}

/** Options of one transaction. */
export interface TransactionOptions {
  /** Aborts the transaction, unless its commit has begun. */
  readonly signal?: AbortSignal | undefined;
}

/** What is no choice in a transaction; the values that say what holds there anyway, as presets have them, are taken. */
const DECIDED: Readonly<Record<string, readonly unknown[]>> = {
  acks: ["all", -1],
  idempotent: [true],
  gapless: [],
  waitForOutcome: [],
  onDataLoss: [],
};
const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_DELIVERY_TIMEOUT_MS = 120_000;
const DEFAULT_MAX_BLOCK_MS = 60_000;
const MAX_ID_BYTES = 32_767;
/** A turn that is waited for this long may never come. */
const WAITING_AFTER_MS = 5_000;

/**
 * Sends records in transactions.
 *
 * One transaction is open at a time; concurrent calls of {@link transaction} wait for their turn. A restart with the same
 * `transactionalId` aborts what the former producer has left open, and fences that one off.
 *
 * @example
 * ```ts
 * import { TransactionalProducer } from "@sluice/kafka";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { out: 1 } });
 * await using producer = new TransactionalProducer({
 *   brokers: cluster.bootstrap,
 *   connect: cluster.sockets,
 *   transactionalId: "orders-1",
 * });
 * await producer.transaction(async (tx) => {
 *   tx.send({ topic: "out", key: "o-1", value: "hello" });
 *   await tx.sendOffsets({ topic: "in", partition: 0, offset: 43n }, "my-group");
 * });
 * ```
 */
export class TransactionalProducer<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #producer: Producer<K, V>;
  readonly #life: TransactionLife;
  readonly #runtime: Runtime;
  readonly #serializers: TopicSerializers<K, V>;
  readonly #logger: Logger;
  /** Ends with the last transaction of {@link transaction} that was asked for. */
  #line: Promise<void> = Promise.resolve();
  /** How many of them haven't ended. */
  #inLine = 0;
  /** Somebody's long wait was told. */
  #isWaitTold = false;
  #closing: Promise<void> | undefined;

  /**
   * Makes a producer; no connection is opened yet.
   *
   * @throws {ConfigError} for an option that is unknown, wrong or in conflict with another
   */
  constructor(options: TransactionalProducerOptions<K, V>, runtime?: Runtime, names: Names = NO_NAMES) {
    const { transactionalId, transactionTimeoutMs = DEFAULT_TIMEOUT_MS, ...rest } = options ?? {};
    checkId(transactionalId);
    if (!Number.isSafeInteger(transactionTimeoutMs) || transactionTimeoutMs < 1 || transactionTimeoutMs > MAX_INT32) {
      refuse("transactionTimeoutMs", `a whole number of ms from 1 to ${MAX_INT32}`, transactionTimeoutMs);
    }
    for (const [name, same] of Object.entries(DECIDED)) {
      const value = (rest as Record<string, unknown>)[name];
      if (value !== undefined && !same.includes(value)) {
        throw new ConfigError(
          name,
          `Remove "${name}": in a transaction all replicas acknowledge, and each record counts.`,
        );
      }
    }
    const { deliveryTimeoutMs = Math.min(DEFAULT_DELIVERY_TIMEOUT_MS, transactionTimeoutMs) } = rest;
    if (deliveryTimeoutMs > transactionTimeoutMs) {
      throw new ConfigError(
        "deliveryTimeoutMs",
        `Set "deliveryTimeoutMs" (${deliveryTimeoutMs}) to at most "transactionTimeoutMs" (${transactionTimeoutMs}): the ` +
          `broker aborts the transaction before the record is given up.`,
      );
    }
    const defaults = defaultsOf(CLIENT_NUMBERS);
    const { requestTimeoutMs = Math.min(defaults.requestTimeoutMs, deliveryTimeoutMs) } = rest;
    let life: TransactionLife | undefined;
    let used: StampingParts | undefined;
    this.#producer = new Producer<K, V>(
      { ...rest, deliveryTimeoutMs, requestTimeoutMs, idempotent: true } as ProducerOptions<K, V>,
      runtime,
      names,
      (parts) => {
        const { maxBlockMs = DEFAULT_MAX_BLOCK_MS } = rest;
        const { retryBackoffMs = defaults.retryBackoffMs, retryBackoffMaxMs = defaults.retryBackoffMaxMs } = rest;
        used = parts;
        life = new TransactionLife(parts.runtime, parts.cluster, {
          transactionalId: transactionalId!,
          transactionTimeoutMs,
          requestTimeoutMs,
          retryBackoffMs,
          retryBackoffMaxMs,
          maxBlockMs,
        }, {
          settled: () => this.#producer.settled(),
          failUndrained: (error) => parts.failUndrained(error),
          delivered: () => parts.delivered(),
        });
        return new TransactionStamping(life, transactionalId!);
      },
    );
    this.#life = life!;
    this.#serializers = { key: rest.keySerializer, value: rest.valueSerializer };
    this.#runtime = used!.runtime;
    this.#logger = used!.options.logger;
  }

  /** Where the producer stands. */
  get state(): TransactionState {
    return this.#life.states.current;
  }

  /**
   * Gets a producer id, ends what a former producer with the same id has left open, and fences that one off. Not needed:
   * the first transaction does the same. Rejects after `maxBlockMs` with a `TimeoutError`; call it again then.
   */
  async init(): Promise<void> {
    try {
      this.#refuseIfClosed();
      try {
        await this.#life.init();
      } finally {
        // What close() has cut off isn't to be called again.
        this.#refuseIfClosed();
      }
    } catch (error) {
      await this.#rethrow(error);
    }
  }

  /**
   * Begins a transaction. Its caller ends it by `commit()` or `abort()`; until then no other one begins.
   *
   * @throws {TransactionStateError} while another transaction is open
   */
  async begin(): Promise<Transaction<K, V>> {
    try {
      return await this.#begin(undefined);
    } catch (error) {
      // Awaited here: workerd reports a promise as unhandled that is rejected for as much as a microtask before.
      return await this.#rethrow(error);
    }
  }

  async #begin(signal: AbortSignal | undefined): Promise<Transaction<K, V>> {
    this.#refuseIfClosed();
    // Before anything is asked for: nobody would look at what comes of it.
    if (signal?.aborted) throw abortError(signal);
    const recovery = this.#life.recover();
    if (recovery !== undefined) {
      try {
        await (signal === undefined ? recovery : interruptible(() => recovery, signal));
      } finally {
        // No turn is given away in between: close() could begin there, and would miss the transaction.
        this.#refuseIfClosed();
      }
    }
    return new Transaction(this.#producer, this.#life, this.#serializers);
  }

  /**
   * Runs a function in a transaction: committed when it returns, aborted when it throws. Calls wait for their turn, in
   * their order; so a function that awaits another transaction of the same producer waits for ever.
   *
   * Rejects with what the function has thrown, with the first failure of a record (everything is aborted then), or with
   * `code: "COMMIT_UNKNOWN"`: then keep the transaction and call its `commit()` again.
   *
   * @returns what the function has returned
   */
  async transaction<T>(
    run: (transaction: Transaction<K, V>) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    if (typeof run !== "function") refuse("run", "a function of a transaction", run);
    const { signal } = readOptions("transaction()", options, ["signal"]) as TransactionOptions;
    // Now, and not in its turn, which another request can't wait for.
    this.#refuseElsewhere();
    if (signal !== undefined && isAborted(signal)) throw abortError(signal);
    const before = this.#inLine === 0 ? this.#line : this.#watched(this.#line);
    this.#inLine += 1;
    let leave = (): void => {};
    this.#line = new Promise((resolve) => leave = resolve);
    try {
      await (signal === undefined ? before : interruptible(() => before, signal));
      return await this.#run(run, signal);
    } catch (error) {
      return await this.#rethrow(error);
    } finally {
      this.#inLine -= 1;
      // Also when this call has not waited for its turn: the next one waits for those before.
      void before.then(leave);
    }
  }

  /**
   * Refuses new transactions, aborts the open one unless its commit has begun, and closes all connections. Calls share
   * one outcome.
   */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void> {
    const timeoutMs = checkTimeoutMs(readOptions("close()", options, ["timeoutMs"]).timeoutMs);
    const refusal = this.#producer.elsewhere();
    if (refusal !== undefined) return Promise.reject(refusal);
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The partitions of a topic; see {@link Producer.partitionsFor}. */
  partitionsFor(topic: string): Promise<PartitionInfo[]> {
    return this.#producer.partitionsFor(topic);
  }

  /** @internal See {@link Producer.answeredOf}. */
  answeredOf(topic: string, partition: number): { logStartOffset: bigint; usesLogAppendTime: boolean } {
    return this.#producer.answeredOf(topic, partition);
  }

  /** Asks for fresh metadata; see {@link Producer.refreshMetadata}. */
  refreshMetadata(topic?: string): Promise<void> {
    return this.#producer.refreshMetadata(topic);
  }

  /** A snapshot of the counters; see {@link Producer.metrics}. */
  metrics(): ProducerMetrics {
    return this.#producer.metrics();
  }

  /** Brokers, leaders and versions as plain data; see {@link Producer.snapshot}. */
  snapshot(): ClusterSnapshot {
    return this.#producer.snapshot();
  }

  /** Waits for a turn, and says so if it may never come: whoever awaits it in a transaction's function keeps it from coming. */
  #watched(before: Promise<void>): Promise<void> {
    if (this.#isWaitTold || this.#logger.warn === undefined) return before;
    const closing = new AbortController();
    void this.#life.during(sleep(this.#runtime, WAITING_AFTER_MS, closing.signal)).then(() => {
      if (closing.signal.aborted || this.#isWaitTold || this.#inLine < 2 || this.#closing !== undefined) return;
      this.#isWaitTold = true;
      this.#logger.warn?.("transaction_waiting", {
        waitedMs: WAITING_AFTER_MS,
        inLine: this.#inLine,
        advice: WAIT_ADVICE,
      });
    });
    return before.finally(() => closing.abort());
  }

  async #run<T>(run: (transaction: Transaction<K, V>) => T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const transaction = await this.#begin(signal);
    let result: T;
    try {
      result = await (signal === undefined ? run(transaction) : interruptible(
        () => run(transaction),
        signal,
        () => this.#leave(transaction, signal),
      ));
    } catch (error) {
      // What the function has thrown is told; whether the abort went well, the next transaction finds out. Its turn is
      // also after what the function has begun and not awaited.
      await transaction[Symbol.asyncDispose]().catch(() => {});
      throw error;
    }
    // The function may have ended it by itself.
    for (let ending = this.#life.quiet(); ending !== undefined; ending = this.#life.quiet()) await ending;
    if (transaction.ended === "commit") return result;
    // Also when it isn't known to be aborted: it was never committed, and the next transaction makes sure of it.
    if (transaction.ended === "abort" || (transaction.state === "unknown" && this.#life.unknown === "abort")) {
      throw new TransactionAbortedError(
        "Nothing is committed: the transaction was aborted before its function returned.",
      );
    }
    try {
      await transaction.commit();
    } catch (error) {
      await transaction[Symbol.asyncDispose]().catch(() => {});
      throw error;
    }
    return result;
  }

  /**
   * Aborts at once, so that the function whose signal is aborted can't commit any more, and returns what is told.
   * Undefined if it has begun to: whether that succeeds is for the commit to tell.
   */
  #leave(transaction: Transaction<K, V>, signal: AbortSignal): KafkaError | undefined {
    if (transaction.ended === undefined && this.#life.states.mayAbort) transaction.abort().catch(() => {});
    const { ended, state } = transaction;
    // What has ended the producer says whether a commit may have arrived.
    if (state === "fatal") return this.#life.failure;
    const isCommit = ended === "commit" || state === "committing";
    return isCommit || (state === "unknown" && this.#life.unknown === "commit") ? undefined : abortError(signal);
  }

  async #close(timeoutMs: number | undefined): Promise<void> {
    const startMs = this.#runtime.now();
    // What can't be undone now, the broker aborts.
    await this.#within(this.#life.endOpen().catch(() => {}), timeoutMs);
    if (timeoutMs === undefined) return await this.#producer.close();
    // Clocks tell fractions of a millisecond, which close() doesn't take.
    const leftMs = Math.ceil(timeoutMs - (this.#runtime.now() - startMs));
    await this.#producer.close({ timeoutMs: Math.max(0, leftMs) });
  }

  /** Waits up to a limit. */
  async #within(promise: Promise<void>, timeoutMs: number | undefined): Promise<void> {
    if (timeoutMs === undefined) return await promise;
    await new Promise<void>((resolve) => {
      const timer = setDeadline(this.#runtime, resolve, timeoutMs);
      void promise.finally(() => timer.cancel()).then(resolve);
    });
  }

  /** Of what has ended it is told in a turn of its own: its caller may call again whatever it is told. */
  async #rethrow(error: unknown): Promise<never> {
    if (this.#closing !== undefined || this.#life.states.current === "fatal") await nextTurn(this.#runtime);
    throw error;
  }

  #refuseElsewhere(): void {
    const refusal = this.#producer.elsewhere();
    if (refusal !== undefined) throw refusal;
  }

  #refuseIfClosed(): void {
    this.#refuseElsewhere();
    if (this.#closing !== undefined) throw new ProducerClosedError("Make a new producer: this one was closed.");
  }
}

const WAIT_ADVICE =
  "Use the transaction that the function was given: if transaction() is awaited within another one's " +
  "function, it waits for ever. If not, the transactions before it take their time.";

/** Runs a function until it has ended, or the signal is aborted and it may be left to itself. */
async function interruptible<T>(
  run: () => T | Promise<T>,
  signal: AbortSignal,
  leave: () => KafkaError | undefined = () => abortError(signal),
): Promise<T> {
  if (signal.aborted) throw abortError(signal);
  let ignore = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    ignore = onAbort(signal, () => {
      const reason = leave();
      if (reason !== undefined) reject(reason);
    });
  });
  aborted.catch(() => {});
  try {
    return await Promise.race([Promise.resolve().then(run), aborted]);
  } finally {
    ignore();
  }
}

function abortError(signal: AbortSignal): KafkaError {
  return new AbortError("The transaction was not committed: its signal was aborted.", { cause: signal.reason });
}

function checkId(transactionalId: unknown): void {
  const isId = typeof transactionalId === "string" && transactionalId !== "" &&
    !/[\ud800-\udfff]/u.test(transactionalId) && new TextEncoder().encode(transactionalId).length <= MAX_ID_BYTES;
  if (!isId) refuse("transactionalId", "text that isn't empty, the same after each restart", transactionalId);
}
