/**
 * Where a transactional producer stands, and which ways lead on.
 *
 * @module
 */

import { TransactionStateError } from "../../errors.ts";

/** Where a transactional producer stands. */
export type TransactionState =
  | "uninitialized" // no producer id yet
  | "initializing" // the coordinator has been asked for one, or for the next epoch
  | "ready" // a transaction may begin
  | "in transaction" // records and offsets are taken
  | "abortable" // something has failed: nothing but abort() is left of the transaction
  | "committing" // commit() was called and has not ended
  | "aborting" // abort() was called and has not ended
  | "unknown" // the outcome of commit(), abort() or init() isn't known: only the same call may be made again
  | "fatal"; // only close() is left

/** What may follow what. */
const LEGAL: Readonly<Record<TransactionState, readonly TransactionState[]>> = {
  "uninitialized": ["initializing", "fatal"],
  "initializing": ["ready", "uninitialized", "unknown", "fatal"],
  "ready": ["in transaction", "initializing", "fatal"],
  "in transaction": ["committing", "aborting", "abortable", "fatal"],
  "abortable": ["aborting", "fatal"],
  "committing": ["ready", "initializing", "abortable", "unknown", "fatal"],
  "aborting": ["ready", "initializing", "unknown", "fatal"],
  "unknown": ["initializing", "committing", "aborting", "abortable", "fatal"],
  "fatal": [],
};

const OPEN: readonly TransactionState[] = ["in transaction", "abortable", "committing", "aborting"];

/** What a caller may do next, for messages. */
const ADVICE: Readonly<Record<TransactionState, string>> = {
  "uninitialized": "call init() or begin()",
  "initializing": "wait for init()",
  "ready": "begin a transaction",
  "in transaction": "commit() or abort() it",
  "abortable": "abort() it: something in it has failed",
  "committing": "wait for commit()",
  "aborting": "wait for abort()",
  "unknown": "make the same call again, for its outcome isn't known",
  "fatal": "close() this producer and make a new one",
};

/** The state of one producer. Every change goes through {@link TransactionStates.transition}. */
export class TransactionStates {
  #current: TransactionState = "uninitialized";

  /** Where it stands. */
  get current(): TransactionState {
    return this.#current;
  }

  /** True while a transaction is open: no other one may begin before it has ended. */
  get isOpen(): boolean {
    return OPEN.includes(this.#current);
  }

  /** True if a transaction is open that nobody ends yet. */
  get mayAbort(): boolean {
    return this.#current === "in transaction" || this.#current === "abortable";
  }

  /** True if it may go there. */
  allows(next: TransactionState): boolean {
    return LEGAL[this.#current].includes(next);
  }

  /**
   * Goes on.
   *
   * @throws {TransactionStateError} if no way leads there; the state is as it was
   */
  transition(next: TransactionState): void {
    if (!this.allows(next)) {
      throw new TransactionStateError(
        `A producer that is "${this.#current}" can't become "${next}". Please report it: this is an error in the client.`,
      );
    }
    this.#current = next;
  }

  /** The refusal of a call of the application that isn't legal now: says what is. Nothing changes. */
  refusal(call: string): TransactionStateError {
    return new TransactionStateError(`${call}() isn't possible now: ${ADVICE[this.#current]}.`);
  }
}
