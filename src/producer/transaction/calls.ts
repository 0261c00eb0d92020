/**
 * The requests of a transaction to its coordinators: one at a time, each until there is an answer that decides.
 *
 * @module
 */

import { Backoff } from "../../cluster/backoff.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import type { Connection } from "../../cluster/connection.ts";
import { Coordinator } from "../../cluster/coordinator.ts";
import { sleep } from "../../cluster/sleep.ts";
import { AuthenticationError, ConfigError, KafkaError, ProducerFencedError, TimeoutError } from "../../errors.ts";
import { brokerError, errorOf } from "../../protocol/error_codes.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../../protocol/schema.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type Action, actionOf, concurrentPauseMs, type TransactionCall } from "./actions.ts";

/** What the calls need to know. */
export interface CallOptions {
  readonly transactionalId: string;
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
}

/** How an attempt was answered. */
export interface Attempt<R> {
  /** 0 if it has succeeded. */
  readonly errorCode: number;
  readonly response: R;
}

/** One call, repeated until it is decided. */
export interface Call<A extends AnyApi, R> {
  readonly name: TransactionCall;
  readonly api: A;
  /** The coordinator that it goes to: the transaction's, or that of a group. */
  readonly coordinator: Coordinator;
  /** The version to ask in at most; asked for each attempt. */
  cap?(): number | undefined;
  /** False when nobody needs the outcome any more: no further attempt is made. */
  isWanted?(): boolean;
  readonly deadlineMs: number;
  /** Makes the request for a version; asked for each attempt. */
  body(version: number): RequestInputOf<A>;
  /** What an answer says. May note what needn't be asked again. */
  read(response: ResponseOf<A>, version: number): Attempt<R>;
}

/** How a call has gone that isn't decided by its deadline. */
export interface Undecided {
  /** How many attempts have had no answer though they may have been carried out. */
  readonly unanswered: number;
  /** How many attempts there were. */
  readonly attempts: number;
  /** The last answer's code, if there was any. */
  readonly lastCode: number | undefined;
  readonly elapsedMs: number;
}

/** The deadline of a call has passed, and no answer has decided it. */
export class UndecidedError extends TimeoutError {
  /** What is known. */
  readonly undecided: Undecided;

  constructor(message: string, undecided: Undecided, cause: unknown) {
    super(message, { code: "TRANSACTION_CALL_TIMED_OUT", cause });
    this.undecided = undecided;
  }
}

const CONCURRENT_TRANSACTIONS = 51;

/** Sends the requests of one transactional producer. */
export class TransactionCalls {
  /** The transaction's coordinator. */
  readonly coordinator: Coordinator;
  /** An attempt of the present transaction has ended without an answer: it may still arrive (Jepsen, KAFKA-17754). */
  wasIndefinite = false;

  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: CallOptions;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  readonly #groups = new Map<string, Coordinator>();
  /** The call that is under way; the next one waits for its end. */
  #last: Promise<unknown> = Promise.resolve();

  /** Makes the calls of one producer. */
  constructor(runtime: Runtime, cluster: Cluster, options: CallOptions) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
    this.coordinator = new Coordinator(cluster, "transaction", options.transactionalId, options.requestTimeoutMs);
  }

  /** The coordinator of a group. */
  group(groupId: string): Coordinator {
    let coordinator = this.#groups.get(groupId);
    if (coordinator === undefined) {
      coordinator = new Coordinator(this.#cluster, "group", groupId, this.#options.requestTimeoutMs);
      this.#groups.set(groupId, coordinator);
    }
    return coordinator;
  }

  /** Ends all that is under way. */
  close(): void {
    this.#closing.abort();
    for (const coordinator of [this.coordinator, ...this.#groups.values()]) coordinator.forget();
  }

  /** Runs a call when those before it have ended; an error of theirs is not its own. */
  run<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    const mine = this.#last.then(() => this.#run(call), () => this.#run(call));
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #run<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    const startMs = this.#runtime.now();
    const progress = { unanswered: 0, attempts: 0, lastCode: undefined as number | undefined };
    let lastError: KafkaError | undefined;
    for (let failures = 0;;) {
      const nowMs = this.#runtime.now();
      const isDropped = progress.attempts > 0 && call.isWanted?.() === false;
      if (this.#closing.signal.aborted || isDropped || nowMs >= call.deadlineMs) {
        throw undecided(call.name, { ...progress, elapsedMs: nowMs - startMs }, lastError);
      }
      let pauseMs: number;
      try {
        const answer = await this.#ask(call, progress);
        if (answer.errorCode === 0) return answer.response;
        progress.lastCode = answer.errorCode;
        lastError = this.#errorOf(call.name, answer.errorCode);
        const action = actionOf(call.name, answer.errorCode);
        if (action !== "retry" && action !== "find") throw new DecidedError(lastError, action);
        if (action === "find") call.coordinator.forget();
        failures += 1;
        pauseMs = answer.errorCode === CONCURRENT_TRANSACTIONS
          ? concurrentPauseMs(this.#runtime.now() - startMs)
          : this.#backoff.delayMs(failures);
      } catch (error) {
        if (error instanceof DecidedError) throw error;
        if (!(error instanceof KafkaError)) throw error;
        if (error instanceof AuthenticationError || error instanceof ConfigError) {
          throw new DecidedError(error, "uninitialized");
        }
        // Refused by FindCoordinator for good.
        if (error.errorCode !== undefined && !error.retriable) {
          throw new DecidedError(error, searchAction(error.errorCode));
        }
        if (error.code === "UNSUPPORTED_VERSION" && !error.retriable) throw new DecidedError(error, "fatal");
        lastError = error;
        call.coordinator.forget();
        failures += 1;
        pauseMs = this.#backoff.delayMs(failures);
      }
      const leftMs = call.deadlineMs - this.#runtime.now();
      await sleep(this.#runtime, Math.min(pauseMs, Math.max(0, leftMs)), this.#closing.signal);
    }
  }

  async #ask<A extends AnyApi, R>(
    call: Call<A, R>,
    progress: { unanswered: number; attempts: number },
  ): Promise<Attempt<R>> {
    const { api, coordinator, deadlineMs } = call;
    const connection: Connection = await this.#within(coordinator.connection(), deadlineMs);
    const version = connection.version(api, call.cap?.());
    const leftMs = Math.max(1, deadlineMs - this.#runtime.now());
    progress.attempts += 1;
    try {
      const timeoutMs = Math.min(this.#options.requestTimeoutMs, leftMs);
      return call.read(await connection.request(api, version, call.body(version), timeoutMs), version);
    } catch (error) {
      if (error instanceof KafkaError && error.persisted !== "no") {
        progress.unanswered += 1;
        this.wasIndefinite = true;
      }
      throw error;
    }
  }

  /** A coordinator that can't be found or reached doesn't hold a call beyond its deadline. */
  #within<T>(promise: Promise<T>, deadlineMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#runtime.setTimer(() => {
        reject(new TimeoutError("The coordinator could not be reached in time.", { code: "COORDINATOR_UNREACHABLE" }));
      }, Math.max(0, deadlineMs - this.#runtime.now()));
      promise.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #errorOf(api: TransactionCall, errorCode: number): KafkaError {
    const { transactionalId } = this.#options;
    const error = brokerError(errorCode, { api });
    if (actionOf(api, errorCode) !== "fenced") return error;
    return new ProducerFencedError(
      `Close this producer: another one with the transactional id ${JSON.stringify(transactionalId)} has taken over. ` +
        error.message,
      { code: error.code, errorCode, fatal: true, cause: error },
    );
  }
}

/** An answer that decides a call against it, and what is left to do. */
export class DecidedError extends Error {
  /** What the caller is told. */
  readonly error: KafkaError;
  /** What is left to do. */
  readonly action: Exclude<Action, "retry" | "find">;

  constructor(error: KafkaError, action: Exclude<Action, "retry" | "find">) {
    super(error.message, { cause: error });
    this.error = error;
    this.action = action;
  }
}

const GROUP_AUTHORIZATION_FAILED = 30;
const TRANSACTION_ABORTABLE = 120;

/** What a refusal of FindCoordinator leaves to do. */
function searchAction(errorCode: number): Exclude<Action, "retry" | "find"> {
  return errorCode === GROUP_AUTHORIZATION_FAILED || errorCode === TRANSACTION_ABORTABLE ? "abortable" : "fatal";
}

function undecided(call: TransactionCall, progress: Undecided, cause: KafkaError | undefined): UndecidedError {
  const { attempts, unanswered, lastCode, elapsedMs } = progress;
  const answer = lastCode === undefined ? "no answer came" : `the last answer was ${errorOf(lastCode).name}`;
  return new UndecidedError(
    `${call} was not decided within ${Math.round(elapsedMs)} ms: of ${attempts} attempts ${unanswered} may have been ` +
      `carried out without an answer, ${answer}. ${cause?.message ?? ""}`.trimEnd(),
    progress,
    cause,
  );
}
