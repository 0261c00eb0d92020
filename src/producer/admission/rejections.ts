/**
 * What becomes of a record that enters no batch.
 *
 * @module
 */

import { reasonFor } from "../../error_like.ts";
import { AbortError, type KafkaError } from "../../errors.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Barrier } from "../accumulator/barrier.ts";
import { fail, type OnThrow, type Receipt, rejectedPromise } from "../record/receipt.ts";

/**
 * Fails records one by one.
 *
 * A record that is refused at once has its callbacks called within the call that brought it. If one of them sends
 * again and that is refused too, its callbacks wait for a turn of their own: a caller who never stops trying would run
 * out of stack otherwise, and with a microtask for each nothing else would ever get its turn.
 */
export class Rejections {
  readonly #onThrow: OnThrow;
  readonly #logger: Logger;
  readonly #stamping: Stamping;
  readonly #metrics: Metrics;
  readonly #defer: (callback: () => void) => void;
  /** What waits for the next turn: callbacks, and flushes that wait for those before them. */
  #waiting: (() => void)[] = [];
  /** Callbacks are being called. */
  #isTelling = false;
  #lastReason: KafkaError | undefined;
  #lastRejection: Promise<never> | undefined;

  /** Logs, counts, and tells the stamping; callbacks that must wait are called by `defer`, in a later turn. */
  constructor(logger: Logger, stamping: Stamping, metrics: Metrics, defer: (callback: () => void) => void) {
    this.#logger = logger;
    this.#stamping = stamping;
    this.#metrics = metrics;
    this.#defer = defer;
    this.#onThrow = (error) => logger.error?.("callback_threw", { error });
  }

  /** Fails a record. */
  reject(error: unknown, receipt: Receipt): void {
    this.#metrics.failed(1);
    const reason = reasonFor(error);
    this.#stamping.onFailed(reason, 1);
    // A caller that takes its record back needs no warning of it.
    if (!(reason instanceof AbortError)) {
      const { topic, persisted } = reason;
      this.#logger.warn?.("record_failed", { topic, persisted, error: reason });
    }
    this.tell(reason, receipt);
  }

  /** Tells a record that it has failed, and counts nothing. */
  tell(reason: KafkaError, receipt: Receipt): void {
    // Records that are rejected while the queue for memory is long share an error, and so the promise.
    if (receipt !== undefined && reason !== this.#lastReason) {
      this.#lastReason = reason;
      this.#lastRejection = rejectedPromise(reason);
    }
    const rejection = this.#lastRejection!;
    // Without callbacks nothing of the caller's is called that could send again.
    if (typeof receipt !== "object") fail(receipt, reason, rejection, this.#onThrow);
    else if (this.#isTelling) this.#wait(() => fail(receipt, reason, rejection, this.#onThrow));
    else this.#telling(() => fail(receipt, reason, rejection, this.#onThrow));
  }

  /** True if all that was refused so far has been told. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Counts a barrier down as soon as all that was refused so far has been told. */
  release(barrier: Barrier): void {
    if (this.isIdle) barrier.done();
    else this.#wait(() => barrier.done());
  }

  #wait(tell: () => void): void {
    this.#waiting.push(tell);
    if (this.#waiting.length > 1) return;
    this.#defer(() => {
      const due = this.#waiting;
      this.#waiting = [];
      this.#telling(() => due.forEach((tell) => tell()));
    });
  }

  #telling(tell: () => void): void {
    this.#isTelling = true;
    try {
      tell();
    } finally {
      this.#isTelling = false;
    }
  }
}
