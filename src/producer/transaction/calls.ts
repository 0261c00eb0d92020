/**
 * The requests of a transaction to its coordinators: one at a time, each until there is an answer that decides.
 *
 * @module
 */

import { Backoff } from "../../cluster/backoff.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import type { Connection } from "../../cluster/connection.ts";
import { Coordinator } from "../../cluster/coordinator.ts";
import { settledBy, sleep } from "../../cluster/sleep.ts";
import { SOFTWARE_NAME, SOFTWARE_VERSION } from "../../cluster/software.ts";
import { AuthenticationError, ConfigError, KafkaError, TimeoutError } from "../../errors.ts";
import { brokerError, errorOf } from "../../protocol/error_codes.ts";
import { ApiVersions } from "../../protocol/messages/api_versions.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../../protocol/schema.ts";
import {
  CONCURRENT_TRANSACTIONS,
  COORDINATOR_NOT_AVAILABLE,
  GROUP_AUTHORIZATION_FAILED,
  NOT_COORDINATOR,
  REQUEST_TIMED_OUT,
  TRANSACTION_ABORTABLE,
  UNKNOWN_SERVER_ERROR,
} from "../../protocol/error_code_names.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { within } from "../within.ts";
import { type Action, actionOf, concurrentPauseMs, type TransactionCall } from "./actions.ts";

/** So old may what is known of finalized features be when a transaction begins. */
const FEATURES_MAX_AGE_MS = 1_000;
/** A coordinator that hangs up on the question, or doesn't answer, costs a connection: after two it rests this long. */
const FEATURES_RETRY_MS = 600_000;
/** For an attempt whose time was over before it could begin. */
const LATE_ATTEMPT_MS = 1_000;
const API_VERSIONS_WITH_FEATURES = 3;
const API_VERSIONS_WITHOUT_ADDRESSEE = 4;

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
  /** What the code is about, for the message. */
  readonly detail?: string | undefined;
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

/** What of a call doesn't depend on its API. */
type AnyCall = Pick<Call<AnyApi, unknown>, "name" | "coordinator">;

/** How a call goes. */
interface Course {
  readonly startMs: number;
  /** How many attempts there were. */
  attempts: number;
  /** How many of them have had no answer though they may have been carried out. */
  unanswered: number;
  /** How often it was tried, with and without an attempt. */
  rounds: number;
  /** The last answer's code, if there was any. */
  lastCode: number | undefined;
  lastError: KafkaError | undefined;
}

/** The deadline of a call has passed, and no answer has decided it. */
export class UndecidedError extends TimeoutError {
  /** How many attempts have had no answer though they may have been carried out. */
  readonly unanswered: number;

  constructor(message: string, unanswered: number, cause: unknown) {
    super(message, { code: "TRANSACTION_CALL_TIMED_OUT", cause });
    this.unanswered = unanswered;
  }
}

/**
 * The coordinator may have begun to write its decision down before it lost its office or its replicas
 * (REQUEST_TIMED_OUT, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR), and of an unknown error nothing is known.
 */
const MAYBE_DONE: readonly number[] = [
  UNKNOWN_SERVER_ERROR,
  REQUEST_TIMED_OUT,
  COORDINATOR_NOT_AVAILABLE,
  NOT_COORDINATOR,
];

/** Sends the requests of one transactional producer. */
export class TransactionCalls {
  /** The transaction's coordinator. */
  readonly coordinator: Coordinator;
  /** An attempt of the present transaction has ended without an answer: it may still arrive (Jepsen, KAFKA-17754). */
  wasIndefinite = false;
  /** The last connection to the transaction's coordinator. */
  #connection: Connection | undefined;
  /** The cluster's finalized features, as the coordinator has told them at last, and when that was. */
  #features: ReadonlyMap<string, number> = new Map();
  #featuresOfMs = -Infinity;
  /** Nobody is asked for features before, on the monotonic clock: the last two that were asked have not answered. */
  #featuresNotBeforeMs = -Infinity;
  #featureFailures = 0;

  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: CallOptions;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  readonly #groups = new Map<string, Coordinator>();
  /** A call is under way. */
  #isBusy = false;
  /** The calls that wait for the end of those before them. */
  readonly #waiting: (() => void)[] = [];

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

  /** The level at which a feature is finalized, as far as the coordinator has told; 0 if it isn't. */
  featureLevel(name: string): number {
    return this.#features.get(name) ?? 0;
  }

  /** True when it is time to look again which features are finalized. */
  get wantsFeatures(): boolean {
    const connection = this.#connection;
    if (connection === undefined || connection.error !== undefined) return connection !== undefined;
    return this.#runtime.now() >= Math.max(this.#featuresNotBeforeMs, this.#featuresOfMs + FEATURES_MAX_AGE_MS);
  }

  /**
   * Looks again which features are finalized, if that is some time ago: they may be changed while brokers run, and nobody
   * is told. Never rejects.
   */
  async refreshFeatures(deadlineMs: number): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined || !this.wantsFeatures) return;
    if (connection.error !== undefined) {
      await this.#within(this.coordinator.connection(), deadlineMs).then((it) => this.#use(it), () => {});
      return;
    }
    if (connection.isHeld) await settledBy(this.#runtime, deadlineMs, connection.untilFree());
    if (connection.isHeld) return;
    const nowMs = this.#runtime.now();
    const body = { clientSoftwareName: SOFTWARE_NAME, clientSoftwareVersion: SOFTWARE_VERSION };
    const timeoutMs = Math.min(this.#options.requestTimeoutMs, Math.max(1, deadlineMs - nowMs));
    try {
      const version = connection.version(ApiVersions, API_VERSIONS_WITHOUT_ADDRESSEE);
      if (version < API_VERSIONS_WITH_FEATURES) return;
      const { errorCode, finalizedFeatures } = await connection.request(ApiVersions, version, body, timeoutMs);
      if (errorCode !== 0) return;
      this.#features = new Map(finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]));
      this.#featuresOfMs = this.#runtime.now();
      this.#featureFailures = 0;
    } catch {
      this.#featureFailures += 1;
      if (this.#featureFailures > 1) this.#featuresNotBeforeMs = this.#runtime.now() + FEATURES_RETRY_MS;
    }
  }

  /** A connection to the transaction's coordinator; what a new one was told of features is the latest. */
  #use(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.#features = connection.finalizedFeatures;
    this.#featuresOfMs = this.#runtime.now();
  }

  /** Runs a call when those before it have ended; an error of theirs is not its own. */
  run<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    if (this.#isBusy) return this.#runInTurn(call);
    this.#isBusy = true;
    return this.#run(call);
  }

  async #runInTurn<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    // Awaited at once: what is over before it has begun has rejected by now, and workerd reports what nobody waits for.
    return await this.#run(call);
  }

  #onEnd(): void {
    const next = this.#waiting.shift();
    // A call that comes before the next one has woken up waits behind it.
    if (next === undefined) this.#isBusy = false;
    else next();
  }

  /** In one function, and with as few promises as there can be: between its turns the caches have forgotten all of it. */
  async #run<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    const { api, coordinator, deadlineMs } = call;
    const course: Course = {
      startMs: this.#runtime.now(),
      attempts: 0,
      unanswered: 0,
      rounds: 0,
      lastCode: undefined,
      lastError: undefined,
    };
    try {
      for (let isPlanned = false;;) {
        const nowMs = this.#runtime.now();
        if (this.#isOver(call) || (nowMs >= deadlineMs && !isPlanned)) {
          throw undecided(call.name, course, nowMs - course.startMs);
        }
        course.rounds += 1;
        let pauseMs: number;
        let isAsked = false;
        try {
          const connection = coordinator.ready ?? await this.#within(coordinator.connection(), deadlineMs);
          if (coordinator === this.coordinator) this.#use(connection);
          if (connection.isHeld) {
            course.lastError = connection.throttleError ?? course.lastError;
            // Not handed over: it would be sent after the deadline, when nobody waits for its answer any more.
            await settledBy(this.#runtime, deadlineMs, connection.untilFree());
            isPlanned = !connection.isHeld;
            continue;
          }
          const version = connection.version(api, call.cap?.());
          const body = call.body(version);
          course.attempts += 1;
          isAsked = true;
          const timeoutMs = Math.min(this.#options.requestTimeoutMs, this.#leftMs(deadlineMs));
          const answer = call.read(await connection.request(api, version, body, timeoutMs), version);
          if (answer.errorCode === 0) return answer.response;
          pauseMs = this.#onRefused(call, course, answer);
        } catch (error) {
          pauseMs = this.#onFailed(call, course, error, isAsked);
        }
        const leftMs = deadlineMs - this.#runtime.now();
        // Should the process stand still meanwhile, the attempt is made all the same.
        isPlanned = pauseMs < leftMs;
        await sleep(this.#runtime, Math.min(pauseMs, Math.max(0, leftMs)), this.#closing.signal);
      }
    } finally {
      this.#onEnd();
    }
  }

  /** An attempt was answered with an error code. Returns the pause before the next one. @throws {DecidedError} */
  #onRefused({ name, coordinator }: AnyCall, course: Course, answer: Attempt<unknown>): number {
    const { errorCode } = answer;
    course.lastCode = errorCode;
    if (MAYBE_DONE.includes(errorCode)) this.#note(course);
    const action = actionOf(name, errorCode);
    course.lastError = answerError(name, answer);
    if (action !== "retry" && action !== "find") {
      throw new DecidedError(course.lastError, action, course.unanswered, true);
    }
    if (action === "find") coordinator.forget();
    return errorCode === CONCURRENT_TRANSACTIONS
      ? concurrentPauseMs(this.#runtime.now() - course.startMs)
      : this.#backoff.delayMs(course.rounds);
  }

  /** An attempt has ended without an answer. Returns the pause before the next one. @throws {DecidedError} */
  #onFailed({ name, coordinator }: AnyCall, course: Course, error: unknown, isAsked: boolean): number {
    // Also one that says what an answer has decided.
    if (!(error instanceof KafkaError)) throw error;
    if (isAsked && error.persisted !== "no") this.#note(course);
    const action = actionWithoutAnswer(name, error);
    if (action !== undefined) throw new DecidedError(error, action, course.unanswered, false);
    course.lastError = error;
    coordinator.forget();
    return this.#backoff.delayMs(course.rounds);
  }

  /** Nobody is to ask any more, or nobody needs the outcome. */
  #isOver({ isWanted }: Pick<Call<AnyApi, unknown>, "isWanted">): boolean {
    return this.#closing.signal.aborted || isWanted?.() === false;
  }

  /** An attempt may have been carried out, and no answer says so. */
  #note(course: Course): void {
    course.unanswered += 1;
    this.wasIndefinite = true;
  }

  /** A coordinator that can't be found or reached doesn't hold a call beyond its deadline. */
  #within<T>(promise: Promise<T>, deadlineMs: number): Promise<T> {
    const late = (): TimeoutError =>
      new TimeoutError("Look whether the coordinator can be reached from here: it could not be in time.", {
        code: "COORDINATOR_UNREACHABLE",
      });
    return within(this.#runtime, promise, { timeoutMs: this.#leftMs(deadlineMs) }, late);
  }

  /** None is left if the process has stood still before an attempt, or while there was a connection to be made. */
  #leftMs(deadlineMs: number): number {
    const leftMs = deadlineMs - this.#runtime.now();
    return leftMs > 0 ? leftMs : LATE_ATTEMPT_MS;
  }
}

/** What is left to do when a call is decided against its caller. */
export type Verdict = Exclude<Action, "retry" | "find">;

/** A call is decided against its caller, and no other attempt would help. */
export class DecidedError extends Error {
  /** What the caller is told. */
  readonly error: KafkaError;
  /** What is left to do. */
  readonly action: Verdict;
  /** How many attempts have had no answer though they may have been carried out. */
  readonly unanswered: number;
  /** True if the call itself was answered so; false if it didn't get through: no coordinator, no access. */
  readonly isAnswer: boolean;

  constructor(error: KafkaError, action: Verdict, unanswered: number, isAnswer: boolean) {
    super(error.message, { cause: error });
    this.error = error;
    this.action = action;
    this.unanswered = unanswered;
    this.isAnswer = isAnswer;
  }
}

function answerError(api: TransactionCall, { errorCode, detail }: Attempt<unknown>): KafkaError {
  return brokerError(errorCode, { api: detail === undefined ? api : `${api} of ${detail}` });
}

/** What an attempt that ended without an answer of its own leaves to do; undefined if another attempt may help. */
function actionWithoutAnswer(name: TransactionCall, error: KafkaError): Verdict | undefined {
  if (error instanceof AuthenticationError || error instanceof ConfigError) return "uninitialized";
  if (error.retriable) return undefined;
  const { code, errorCode } = error;
  // FindCoordinator has refused for good.
  if (errorCode === GROUP_AUTHORIZATION_FAILED || errorCode === TRANSACTION_ABORTABLE) return "abortable";
  if (code !== "UNSUPPORTED_VERSION") return errorCode === undefined ? undefined : "fatal";
  // Nothing was sent, and a transaction without these offsets is as good as before.
  return name === "TxnOffsetCommit" ? "abortable" : "fatal";
}

function undecided(call: TransactionCall, course: Course, elapsedMs: number): UndecidedError {
  const { attempts, unanswered, lastCode, lastError } = course;
  const answer = lastCode === undefined ? "no answer came" : `the last answer was ${errorOf(lastCode).name}`;
  return new UndecidedError(
    `${call} was not decided within ${Math.round(elapsedMs)} ms: of ${attempts} attempts ${unanswered} may have been ` +
      `carried out without an answer, ${answer}. ${lastError?.message ?? ""}`.trimEnd(),
    unanswered,
    lastError,
  );
}
