/**
 * When an application tries something again, and how long it waits before: for its own loops around `send`,
 * `connect` or a transaction. The producer's own retries need nothing of this.
 *
 * @module
 */

import { Backoff } from "../cluster/backoff.ts";
import { sleep } from "../cluster/sleep.ts";
import { checkSignal, isAborted, readOptions, reasonOfSignal, refuse } from "../call_options.ts";
import { isKafkaError } from "../error_like.ts";
import { TimeoutError } from "../errors.ts";
import { optionHint } from "../other_clients.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime } from "../runtime/select.ts";

/** Settings of a {@link RetryPolicy}; times are in ms. */
export interface RetryPolicyOptions {
  /** How often to try again: n retries are n + 1 attempts. @default Infinity */
  readonly retries?: number;
  /** Wait before the first retry; it doubles each time, ±20 %. @default 100 */
  readonly backoffMs?: number;
  /** Longest wait before a retry. @default 1000 */
  readonly backoffMaxMs?: number;
  /** For all attempts and waits together; an attempt is cut to what is left. @default 120000 */
  readonly timeoutMs?: number;
  /**
   * Also try again what may be in the log already (`persisted` is `"possibly"`), for a second copy is better than
   * none. What is in the log for certain is never tried again. @default false
   */
  readonly allowDuplicates?: boolean;
}

/** What of a runtime a policy needs. */
export type RetryRuntime = Pick<Runtime, "now" | "setTimer" | "defer" | "random">;

const NUMBERS = {
  retries: [Infinity, 0],
  backoffMs: [100, 0],
  backoffMaxMs: [1_000, 0],
  timeoutMs: [120_000, 1],
} as const;

/**
 * Tries again what can succeed later, with growing pauses and within a budget of time.
 *
 * @example
 * ```ts
 * import { RetryPolicy, TimeoutError } from "@sluice/kafka";
 *
 * const policy = new RetryPolicy({ retries: 5, backoffMs: 1, timeoutMs: 30_000 });
 * const attempts = await policy.run(async ({ attempt }) => {
 *   if (attempt < 3) throw new TimeoutError("Not yet."); // in its place: await producer.send(record, { signal })
 *   return attempt;
 * });
 * console.assert(attempts === 3);
 * ```
 */
export class RetryPolicy {
  /** How often to try again. */
  readonly retries: number;
  /** For all attempts and waits together, in ms. */
  readonly timeoutMs: number;
  /** Whether to try again what may be in the log. */
  readonly allowDuplicates: boolean;

  readonly #runtime: RetryRuntime;
  readonly #backoff: Backoff;

  /**
   * Makes a policy, which can serve any number of loops at a time. The runtime is given by tests only.
   *
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(options?: RetryPolicyOptions, runtime: RetryRuntime = selectRuntime()) {
    const { retries, backoffMs, backoffMaxMs, timeoutMs, allowDuplicates } = checkOptions(options);
    this.retries = retries;
    this.timeoutMs = timeoutMs;
    this.allowDuplicates = allowDuplicates;
    this.#runtime = runtime;
    this.#backoff = new Backoff(backoffMs, backoffMaxMs, () => runtime.random());
  }

  /**
   * Calls a function until it succeeds, and returns what it returns; throws its last error when that can't succeed
   * later, or when attempts or time are used up. An attempt that outlasts the time is told by its signal and, if it
   * doesn't heed that, left behind: a `TimeoutError` with `persisted: "possibly"`. So it goes when the caller's signal
   * is aborted, with the signal's reason.
   */
  async run<T>(
    attempt: (context: RetryContext) => T | Promise<T>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<T> {
    if (typeof attempt !== "function") refuse("attempt", "a function", attempt);
    const signal = checkSignal(readOptions("run", options, ["signal"]).signal);
    const context = this.start(signal);
    try {
      while (true) {
        context.signal.throwIfAborted();
        try {
          return await context.within(attempt);
        } catch (error) {
          const delayMs = context.signal.aborted ? undefined : context.recordFailure(error);
          if (delayMs === undefined) throw error;
          await context.wait(delayMs);
        }
      }
    } finally {
      context.end();
    }
  }

  /** Begins a loop that the caller runs by himself: the clock of `timeoutMs` starts here. */
  start(signal?: AbortSignal): RetryContext {
    return new RetryContext(this, this.#runtime, this.#backoff, checkSignal(signal));
  }

  /** Whether trying again can help, by what the error says of itself. Errors of other libraries are final. */
  isRetriable(error: unknown): boolean {
    if (!isKafkaError(error) || !error.retriable || error.fatal || error.requiresAbort) return false;
    return error.persisted === "no" || (error.persisted === "possibly" && this.allowDuplicates);
  }
}

/**
 * One loop under a {@link RetryPolicy}.
 *
 * @example
 * ```ts
 * import { RetryPolicy, TimeoutError } from "@sluice/kafka";
 *
 * const context = new RetryPolicy({ retries: 1, backoffMs: 1 }).start();
 * const delayMs = context.recordFailure(new TimeoutError("Not yet."));
 * if (delayMs !== undefined) await context.wait(delayMs);
 * console.assert(context.attempt === 2 && context.recordFailure(new TimeoutError("Not yet.")) === undefined);
 * ```
 */
export class RetryContext {
  /** The attempt that is under way, counted from 1. */
  attempt = 1;
  /** Why the last attempt failed. */
  lastError: unknown;

  readonly #policy: RetryPolicy;
  readonly #runtime: RetryRuntime;
  readonly #backoff: Backoff;
  readonly #startMs: number;
  readonly #ending = new AbortController();
  readonly #ignoreOuter: (() => void) | undefined;

  /** Made by {@link RetryPolicy.start}. */
  constructor(policy: RetryPolicy, runtime: RetryRuntime, backoff: Backoff, signal: AbortSignal | undefined) {
    this.#policy = policy;
    this.#runtime = runtime;
    this.#backoff = backoff;
    this.#startMs = runtime.now();
    if (signal === undefined) return;
    const onOuterAbort = (): void => this.#ending.abort(reasonOfSignal(signal));
    if (isAborted(signal)) onOuterAbort();
    this.#ignoreOuter = onAbort(signal, onOuterAbort);
  }

  /** Ms since the start. */
  get elapsedMs(): number {
    return this.#runtime.now() - this.#startMs;
  }

  /** Ms that are left of `timeoutMs`. */
  get leftMs(): number {
    return Math.max(0, this.#policy.timeoutMs - this.elapsedMs);
  }

  /** Aborted when the time of a {@link RetryPolicy.run} is over, or when the caller's signal is. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Counts a failed attempt. Returns how long to wait before the next one, in ms, or undefined to give up. */
  recordFailure(error: unknown): number | undefined {
    this.lastError = error;
    if (this.attempt > this.#policy.retries || !this.#policy.isRetriable(error)) return undefined;
    const delayMs = this.#backoff.delayMs(this.attempt);
    if (delayMs >= this.leftMs) return undefined;
    this.attempt += 1;
    return delayMs;
  }

  /** Waits, but no longer than until the signal is aborted: it throws the signal's reason then. */
  async wait(delayMs: number): Promise<void> {
    await sleep(this.#runtime, delayMs, this.#ending.signal);
    this.#ending.signal.throwIfAborted();
  }

  /** Makes one attempt, which may last as long as there is time left and nobody aborts it. */
  async within<T>(attempt: (context: RetryContext) => T | Promise<T>): Promise<T> {
    const { timeoutMs } = this.#policy;
    const { signal } = this;
    let stop: () => void = () => {};
    const ended = new Promise<never>((_, reject) => {
      // An attempt that heeds the signal knows better what has become of it, and has a turn to say so.
      const giveUp = (): void => this.#runtime.defer(() => reject(signal.reason));
      const ignore = onAbort(signal, giveUp);
      if (signal.aborted) giveUp();
      const timer = timeoutMs === Infinity
        ? undefined
        : this.#runtime.setTimer(() => this.#ending.abort(this.#lateError()), this.leftMs);
      stop = () => {
        timer?.cancel();
        ignore();
      };
    });
    // An attempt that throws at once leaves nobody to hear of it.
    ended.catch(() => {});
    try {
      return await Promise.race([attempt(this), ended]);
    } finally {
      stop();
    }
  }

  /** Lets go of the caller's signal. */
  end(): void {
    this.#ignoreOuter?.();
  }

  #lateError(): TimeoutError {
    const { timeoutMs } = this.#policy;
    const message =
      `Attempt ${this.attempt} was cut short: together they took longer than ${timeoutMs} ms (timeoutMs).`;
    return new TimeoutError(message, { persisted: "possibly", cause: this.lastError });
  }
}

function checkOptions(options: RetryPolicyOptions | undefined): Required<RetryPolicyOptions> {
  const names = [...Object.keys(NUMBERS) as (keyof typeof NUMBERS)[], "allowDuplicates"] as const;
  const given = readOptions(
    "RetryPolicy",
    options,
    names,
    (name) => optionHint(name, names) || ` Wanted ${names.join(", ")}.`,
  );
  const checked: Record<string, number> = {};
  for (const [name, [fallback, min]] of Object.entries(NUMBERS)) {
    const { [name as keyof typeof NUMBERS]: value = fallback } = given;
    if (typeof value !== "number" || !(value >= min) || !(Number.isInteger(value) || value === Infinity)) {
      refuse(name, `a whole number from ${min}`, value);
    }
    checked[name] = value;
  }
  const { allowDuplicates = false } = given;
  if (typeof allowDuplicates !== "boolean") refuse("allowDuplicates", "true or false", allowDuplicates);
  return { ...(checked as Record<keyof typeof NUMBERS, number>), allowDuplicates };
}
