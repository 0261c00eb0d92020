/**
 * When metadata is refreshed: one loop that starts when there is a reason and stops when there is none.
 *
 * @module
 */

import { ConnectionError, type KafkaError } from "../errors.ts";
import { outside } from "../runtime/async_context.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { Backoff } from "./backoff.ts";

/** How often metadata is asked for. */
export interface MetadataLoopOptions {
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly metadataMaxAgeMs: number;
}

/** What the loop calls, in this order in each of its turns. */
export interface MetadataLoopTasks<Answer> {
  /** Asks the brokers that can be reached. Rejects with why none has answered. */
  ask(): Promise<Answer>;
  /** Takes the answer in. True if it brings anything new. */
  take(answer: Answer): boolean;
  /** What is to be done in consequence. */
  taken(answer: Answer): void;
  /** Or nobody has answered. Returns the error to tell. */
  failed(error: KafkaError): KafkaError;
  /** There has been no answer for so long that what is known is of another time. */
  giveUp(afterMs: number): void;
  /** A refresh has ended, and who asked for it knows. True if another one is wanted. */
  ended(error: KafkaError | undefined): boolean;
}

interface Refresh {
  readonly ended: Promise<KafkaError | undefined>;
  readonly end: (error: KafkaError | undefined) => void;
}

/** After this long without metadata, everything that is known is given up (KIP-1102). */
const REBOOTSTRAP_AFTER_MS = 300_000;
/** A server that offers no Metadata is found out without a wait, and `retryBackoffMs` may be 0. */
const LEAST_BACKOFF_MS = 50;

/** Decides when metadata is asked for, and tells how that went. */
export class MetadataLoop<Answer> {
  /** Why the last refresh failed; undefined after a success. */
  lastError: KafkaError | undefined;
  /** When the last metadata came, in ms since the epoch. */
  heardAtMs: number;

  readonly #runtime: Runtime;
  readonly #metadataMaxAgeMs: number;
  readonly #backoff: Backoff;
  readonly #tasks: MetadataLoopTasks<Answer>;
  readonly #closing: AbortSignal;
  #isRunning = false;
  #isRefreshing = false;
  /** The refresh that begins next. */
  #next: Refresh | undefined;
  /** How often in a row nobody has answered. */
  #failures = 0;
  /** How often in a row an answer has brought nothing new. */
  #equivalent = 0;
  /** The next refresh begins no earlier, on the monotonic clock. */
  #notBeforeMs = 0;
  /** Nor earlier than this, whatever there is to ask for: nobody has answered, or somebody else than was meant. */
  #heldUntilMs = 0;
  /** There is something to ask for that the last answer could not tell. */
  #isHasty = false;
  /** Ends the pause. */
  #wake: (() => void) | undefined;
  /** Since when there has been no answer though one was wanted. */
  #tryingSinceMs: number | undefined;
  #ageTimer: Timer | undefined;

  /** Takes the signal that ends all waiting. */
  constructor(runtime: Runtime, options: MetadataLoopOptions, tasks: MetadataLoopTasks<Answer>, closing: AbortSignal) {
    this.#runtime = runtime;
    this.#metadataMaxAgeMs = options.metadataMaxAgeMs;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
    this.#tasks = tasks;
    this.#closing = closing;
    this.heardAtMs = runtime.wallNow();
  }

  /** True while somebody is being asked. */
  get isRefreshing(): boolean {
    return this.#isRefreshing;
  }

  /**
   * Asks for a refresh that begins after this call; calls in one turn share it.
   *
   * @returns a promise of the refresh's error, or of undefined if it went well
   */
  request(): Promise<KafkaError | undefined> {
    if (this.#closing.aborted) return Promise.resolve(closedError());
    this.#next ??= newRefresh();
    const { ended } = this.#next;
    if (!this.#isRunning) {
      this.#isRunning = true;
      // For all who will ask while it runs, and so in nobody's context.
      outside(() => void this.#run());
    }
    return ended;
  }

  /** Lets the next refresh wait as after this number of failures. */
  holdOff(failures: number): void {
    const untilMs = this.#runtime.now() + Math.max(LEAST_BACKOFF_MS, this.#backoff.delayMs(failures));
    this.#heldUntilMs = Math.max(this.#heldUntilMs, untilMs);
  }

  /** There is something new to ask for: the next refresh doesn't wait because the last ones have brought no news. */
  hasten(): void {
    this.#isHasty = true;
    this.#wake?.();
  }

  /** Asks again when what is known has become too old: as old as this it is by now, in ms. */
  watchAge(ageMs: number): void {
    this.#ageTimer?.cancel();
    if (this.#closing.aborted) return;
    const leftMs = Math.max(0, this.#metadataMaxAgeMs - Math.max(0, ageMs));
    this.#ageTimer = this.#runtime.setTimer(() => void this.request(), leftMs);
  }

  /** Ends the waiting of the callers; the signal has ended the rest. */
  close(): void {
    this.#ageTimer?.cancel();
    this.#wake?.();
    this.#next?.end(closedError());
    this.#next = undefined;
  }

  async #run(): Promise<void> {
    // What one turn asks for is asked for in one request.
    await new Promise<void>((resolve) => this.#runtime.defer(resolve));
    while (this.#next !== undefined) {
      const untilMs = Math.max(this.#heldUntilMs, this.#isHasty ? 0 : this.#notBeforeMs);
      const leftMs = untilMs - this.#runtime.now();
      if (leftMs > 0) {
        await new Promise<void>((resolve) => {
          const timer = this.#runtime.setTimer(resolve, leftMs);
          this.#wake = () => {
            timer.cancel();
            // What one turn has to ask for is asked for in one request, as at the beginning.
            this.#runtime.defer(resolve);
          };
        });
        continue;
      }
      const refresh = this.#next;
      this.#next = undefined;
      const error = await this.#refresh();
      if (this.#closing.aborted) {
        refresh.end(closedError());
        break;
      }
      refresh.end(error);
      if (this.#tasks.ended(error)) this.#next ??= newRefresh();
    }
    this.#isRunning = false;
  }

  async #refresh(): Promise<KafkaError | undefined> {
    this.#isRefreshing = true;
    this.#isHasty = false;
    const sinceMs = this.#tryingSinceMs ??= this.#runtime.now();
    try {
      const answer = await this.#tasks.ask();
      this.#failures = 0;
      this.#tryingSinceMs = undefined;
      // The same answer again and again means a cluster that is slow to settle: it isn't asked any faster.
      this.#equivalent = this.#tasks.take(answer) ? 0 : this.#equivalent + 1;
      this.#notBeforeMs = this.#runtime.now() + this.#backoff.delayMs(this.#equivalent);
      this.lastError = undefined;
      this.heardAtMs = this.#runtime.wallNow();
      this.watchAge(0);
      this.#tasks.taken(answer);
      return undefined;
    } catch (error) {
      this.#failures += 1;
      const nowMs = this.#runtime.now();
      this.holdOff(this.#failures);
      this.lastError = this.#tasks.failed(error as KafkaError);
      if (nowMs - sinceMs >= REBOOTSTRAP_AFTER_MS && !this.#closing.aborted) {
        this.#tasks.giveUp(REBOOTSTRAP_AFTER_MS);
        this.#tryingSinceMs = nowMs;
      }
      return this.lastError;
    } finally {
      this.#isRefreshing = false;
    }
  }
}

function newRefresh(): Refresh {
  let end!: Refresh["end"];
  const ended = new Promise<KafkaError | undefined>((resolve) => end = resolve);
  return { ended, end };
}

function closedError(): KafkaError {
  return new ConnectionError("The client was closed.", { code: "CLIENT_CLOSED", retriable: false });
}
