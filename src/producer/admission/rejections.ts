/**
 * What becomes of a record that enters no batch.
 *
 * @module
 */

import { isKafkaError } from "../../error_like.ts";
import { AbortError, KafkaError } from "../../errors.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import { fail, type OnThrow, type Receipt, rejectedPromise } from "../record/receipt.ts";

/** Fails records one by one. */
export class Rejections {
  /** Hears of what callbacks throw. */
  readonly onThrow: OnThrow;
  readonly #logger: Logger;
  readonly #stamping: Stamping;
  readonly #metrics: Metrics;
  #lastReason: KafkaError | undefined;
  #lastRejection: Promise<never> | undefined;

  /** Logs, counts, and tells the stamping. */
  constructor(logger: Logger, stamping: Stamping, metrics: Metrics) {
    this.#logger = logger;
    this.#stamping = stamping;
    this.#metrics = metrics;
    this.onThrow = (error) => logger.error?.("callback_threw", { error });
  }

  /** Fails a record. */
  reject(error: unknown, receipt: Receipt): void {
    this.#metrics.failed(1);
    const reason = isKafkaError(error)
      ? error
      : new KafkaError("The record can't be sent.", { code: "UNEXPECTED", cause: error });
    this.#stamping.onFailed(reason, 1);
    // A caller that takes its record back needs no warning of it.
    if (!(reason instanceof AbortError)) {
      const { topic, persisted } = reason;
      this.#logger.warn?.("record_failed", { topic, persisted, error: reason });
    }
    // Records that are rejected while the queue for memory is long share an error, and so the promise.
    if (receipt !== undefined && reason !== this.#lastReason) {
      this.#lastReason = reason;
      this.#lastRejection = rejectedPromise(reason);
    }
    fail(receipt, reason, this.#lastRejection!, this.onThrow);
  }
}
