/**
 * When a batch has waited long enough, and what is said then.
 *
 * @module
 */

import type { DeliveryTimeoutError } from "../../errors.ts";
import type { QueuedBatch } from "../accumulator/partition.ts";
import type { Diagnostics } from "../observe/diagnosis.ts";
import { expired } from "./batch_errors.ts";

/** The rules of `deliveryTimeoutMs` and `waitForOutcome`. */
export class Expiry {
  readonly #options: { readonly deliveryTimeoutMs: number; readonly waitForOutcome: boolean };
  readonly #diagnostics: Diagnostics;

  /** Explains with the given diagnostics what a batch has waited for. */
  constructor(
    options: { readonly deliveryTimeoutMs: number; readonly waitForOutcome: boolean },
    diagnostics: Diagnostics,
  ) {
    this.#options = options;
    this.#diagnostics = diagnostics;
  }

  /**
   * True if a batch past its deadline goes on waiting for its answer, because it may be in the log and `waitForOutcome` is
   * set. It has no deadline any more then.
   */
  isPutOff(batch: QueuedBatch, inFlight: boolean): boolean {
    if (!this.#options.waitForOutcome || (!inFlight && batch.persisted === "no")) return false;
    batch.deadlineMs = Infinity;
    return true;
  }

  /** The error of a batch that is past its deadline, with why it has no outcome. */
  errorOf(batch: QueuedBatch, inFlight: boolean): DeliveryTimeoutError {
    const explanation = this.#diagnostics.ofPartition(batch.partition).explain();
    return expired(batch, inFlight, this.#options.deliveryTimeoutMs, explanation);
  }
}
