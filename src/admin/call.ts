/**
 * One call of an admin client: until when it may take, what ends it, and how often its requests are tried.
 *
 * @module
 */

import { checkSignal, checkTimeoutMs, reasonOfSignal } from "../call_options.ts";
import type { Backoff } from "../cluster/backoff.ts";
import { sleep } from "../cluster/sleep.ts";
import { errorLike } from "../error_like.ts";
import { KafkaError, TimeoutError } from "../errors.ts";
import {
  GROUP_ID_NOT_FOUND,
  INVALID_PARTITIONS,
  REQUEST_TIMED_OUT,
  TOPIC_ALREADY_EXISTS,
  UNKNOWN_TOPIC_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../protocol/error_code_names.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { AdminResult } from "./results.ts";

/** What every call takes besides its own options. */
export interface CallOptions {
  /** How long it may take in all, its retries included, in ms. @default `defaultApiTimeoutMs` of the client */
  readonly timeoutMs?: number | undefined;
  /** Gives up when it is aborted; what was asked may happen all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of {@link CallOptions}. */
export const CALL_OPTIONS = ["timeoutMs", "signal"] as const;

/** What a call takes from its client. */
export interface CallHost {
  readonly runtime: Runtime;
  readonly backoff: Backoff;
  /** Aborted when the client is closed. */
  readonly closing: AbortSignal;
  readonly defaultApiTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Why nothing can be reached; undefined if that isn't known. */
  readonly trouble: KafkaError | undefined;
  /** Something went wrong: what was known of the cluster may not hold any more. */
  forget(): void;
}

/** How a call goes about errors. */
export interface EachOptions {
  /** How often a topic that isn't known is asked for: a new one isn't known everywhere yet. @default 1 */
  readonly unknownTopicAttempts?: number;
  /** It changes something: when an answer has been lost, what a retry is told may be its own doing. @default false */
  readonly isChange?: boolean;
}

/** A topic that was just created is known to all brokers after a moment. */
export const ATTEMPTS_AT_NEW_TOPICS = 3;

const UNKNOWN: readonly number[] = [UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID];
/** What a retry is told when the request before it, whose answer was lost, has done it. */
const DONE_ALREADY: readonly number[] = [
  TOPIC_ALREADY_EXISTS,
  UNKNOWN_TOPIC_OR_PARTITION,
  INVALID_PARTITIONS,
  GROUP_ID_NOT_FOUND,
];
/** The broker gives up a little before the request does, so that its answer still finds somebody. */
const BROKER_SHARE = 0.9;

/** One call. */
export class Call {
  /** Its name, for messages. */
  readonly name: string;
  readonly #host: CallHost;
  readonly #deadlineMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #limitName: string;

  /** Begins a call. @throws {ConfigError} for a time limit or a signal that is none */
  constructor(host: CallHost, name: string, options: { readonly timeoutMs?: unknown; readonly signal?: unknown }) {
    this.name = name;
    this.#host = host;
    const timeoutMs = checkTimeoutMs(options.timeoutMs);
    this.#signal = checkSignal(options.signal);
    this.#limitName = timeoutMs === undefined ? "defaultApiTimeoutMs" : "timeoutMs";
    this.#deadlineMs = host.runtime.now() + (timeoutMs ?? host.defaultApiTimeoutMs);
    this.refuseIfEnded();
  }

  /** How long a request of it may take now, in ms. */
  get requestTimeoutMs(): number {
    return Math.max(1, Math.min(this.#host.requestTimeoutMs, this.#deadlineMs - this.#host.runtime.now()));
  }

  /** What a broker is told of that: how long it may wait for others before it answers. */
  get brokerTimeoutMs(): number {
    return Math.max(1, Math.floor(this.requestTimeoutMs * BROKER_SHARE));
  }

  /** Throws when nobody waits any more, with the reason. */
  refuseIfEnded(): void {
    if (this.#host.closing.aborted) throw closedError();
    if (this.#signal?.aborted === true) throw reasonOfSignal(this.#signal);
  }

  /**
   * Asks for each thing until it has an outcome, with a pause between attempts: those that failed in a way that can pass
   * are asked for again. What is left when the time is over fails with a `TimeoutError`.
   *
   * @param attempt asks for what is left; a thing that it leaves out of its answer counts as not answered
   */
  async each<I, T extends object>(
    items: readonly I[],
    attempt: (left: readonly I[]) => Promise<ReadonlyMap<I, T | KafkaError>>,
    options: EachOptions = {},
  ): Promise<AdminResult<T>[]> {
    const outcomes = new Map<I, T | KafkaError>();
    let left: readonly I[] = items;
    let inDoubt = false;
    for (let tries = 1; left.length > 0; tries++) {
      const answers = await this.#answers(left, attempt);
      const wasInDoubt = inDoubt;
      left = left.filter((item) => {
        const answer = answers.get(item) ?? leftOut(this.name);
        const isAgain = answer instanceof KafkaError && isRetried(answer, tries, options);
        // That the time is over tells less than the error before.
        if (isAgain && answer instanceof LateError && outcomes.has(item)) return true;
        outcomes.set(item, wasInDoubt && answer instanceof KafkaError ? doubtful(answer) : answer);
        // An answer with a code was given before anything was done.
        if (isAgain && options.isChange === true && answer.errorCode === undefined) inDoubt = true;
        return isAgain;
      });
      if (left.length === 0) break;
      this.#host.forget();
      if (await this.#pause(tries)) continue;
      for (const item of left) outcomes.set(item, this.#lateError(outcomes.get(item) as KafkaError));
      break;
    }
    return items.map((item) => resultOf(outcomes.get(item)!));
  }

  /** Asks for one thing, as {@link each} does; rejects with its error. */
  async one<T extends object>(attempt: () => Promise<T>, options: EachOptions = {}): Promise<T> {
    const item = {};
    const [result] = await this.each([item], async () => new Map([[item, await attempt()]]), options);
    if (result!.status === "rejected") throw result!.reason;
    return result!.value;
  }

  /** What the attempt tells; when it fails as a whole, its error for each. */
  async #answers<I, T>(
    left: readonly I[],
    attempt: (left: readonly I[]) => Promise<ReadonlyMap<I, T | KafkaError>>,
  ): Promise<ReadonlyMap<I, T | KafkaError>> {
    try {
      return await this.#until(attempt(left));
    } catch (error) {
      this.refuseIfEnded();
      if (!(error instanceof KafkaError)) throw error;
      return new Map(left.map((item) => [item, error]));
    }
  }

  /** Waits for a promise, but not beyond the end of the call. */
  #until<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const { closing, runtime } = this.#host;
      const late = (): void => end(() => reject(this.#host.trouble ?? new LateError("There was no answer.")));
      const leftMs = Math.max(0, this.#deadlineMs - runtime.now());
      const timer = leftMs === Infinity ? undefined : runtime.setTimer(late, leftMs);
      const giveUp = (): void => end(() => reject(closedError()));
      const ignore = [closing, this.#signal].map((signal) => signal === undefined ? () => {} : onAbort(signal, giveUp));
      const end = (settle: () => void): void => {
        timer?.cancel();
        for (const stop of ignore) stop();
        settle();
      };
      promise.then((value) => end(() => resolve(value)), (error) => end(() => reject(error)));
    });
  }

  /** Waits before the next attempt; false when there is no time for it. */
  async #pause(tries: number): Promise<boolean> {
    const { backoff, closing, runtime } = this.#host;
    const delayMs = backoff.delayMs(tries);
    if (runtime.now() + delayMs >= this.#deadlineMs) return false;
    await this.#until(sleep(runtime, delayMs, closing)).catch(() => {});
    this.refuseIfEnded();
    return true;
  }

  #lateError(cause: KafkaError): TimeoutError {
    const { topic, partition } = cause;
    const message = `${this.name}() took longer than ${this.#limitName}. ${cause.message}`;
    return new TimeoutError(message, { cause, topic, partition });
  }
}

/** The call's time is over. */
class LateError extends TimeoutError {}

/** Of a client that was closed. */
export function closedError(): KafkaError {
  return new KafkaError("Make another admin client: this one was closed.", { code: "ADMIN_CLOSED" });
}

function resultOf<T>(outcome: T | KafkaError): AdminResult<T> {
  return outcome instanceof KafkaError
    ? { status: "rejected", reason: outcome }
    : { status: "fulfilled", value: outcome };
}

function isRetried(error: KafkaError, tries: number, { isChange, unknownTopicAttempts = 1 }: EachOptions): boolean {
  const { errorCode } = error;
  if (errorCode !== undefined && UNKNOWN.includes(errorCode)) return tries < unknownTopicAttempts;
  // The controller goes on with what it was late with: asking again is the caller's decision.
  if (isChange === true && errorCode === REQUEST_TIMED_OUT) return false;
  return error.retriable;
}

function leftOut(call: string): KafkaError {
  const message = `The broker's answer to ${call}() left out what it was asked for.`;
  return new KafkaError(message, { code: "PROTOCOL", retriable: true });
}

/** The error of a retry behind an answer that was lost. */
function doubtful(error: KafkaError): KafkaError {
  if (error.errorCode === undefined || !DONE_ALREADY.includes(error.errorCode)) return error;
  const message = `${error.message} An earlier request of this call went unanswered, and may have done it.`;
  return errorLike(error, message, { cause: error });
}
