/**
 * Why the generation of a member is over.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";
import { REBALANCE_IN_PROGRESS } from "../../protocol/error_code_names.ts";

/** Keeps the reason for which a generation ends; that the member was dropped outweighs that the group meets again. */
export class Verdict {
  readonly #closing: AbortSignal;
  readonly #wake: () => void;
  #error: KafkaError | undefined;

  /** `closing` is aborted when the member leaves, `wake` is called when there is a reason. */
  constructor(closing: AbortSignal, wake: () => void) {
    this.#closing = closing;
    this.#wake = wake;
  }

  /** The reason; undefined while the generation lasts. */
  get error(): KafkaError | undefined {
    return this.#error;
  }

  /** The member was dropped: what it owns may be somebody else's by now. */
  get isLost(): boolean {
    return this.#error !== undefined && this.#error.errorCode !== REBALANCE_IN_PROGRESS;
  }

  /** Nothing new is to be begun in this generation. */
  get isOver(): boolean {
    return this.#error !== undefined || this.#closing.aborted;
  }

  /** The generation is over for this reason, unless there is a better one. */
  decide(error: KafkaError): void {
    const isBetter = this.#error?.errorCode === REBALANCE_IN_PROGRESS;
    if (this.#error === undefined || isBetter) this.#error = error;
    this.#wake();
  }

  /** The next join begins with this, whatever was decided before. */
  begin(error: KafkaError | undefined): void {
    this.#error = error;
  }
}
