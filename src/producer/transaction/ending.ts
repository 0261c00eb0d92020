/**
 * The end of a transaction at its coordinator: EndTxn, and what is true after it was refused or had no answer.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";
import {
  INVALID_PRODUCER_EPOCH,
  INVALID_PRODUCER_ID_MAPPING,
  INVALID_TXN_STATE,
  PRODUCER_FENCED,
} from "../../protocol/error_code_names.ts";
import { EndTxn } from "../../protocol/messages/end_txn.ts";
import { TRANSACTION_V1_CAPS } from "../../protocol/negotiation.ts";
import { type Attempt, DecidedError, type TransactionCalls, UndecidedError } from "./calls.ts";
import type { TransactionalIdentity } from "./identity.ts";

/** How a transaction is to end. */
export type End = "commit" | "abort";

/** What has become of it. */
export type Outcome =
  | { readonly is: "done" }
  /** Nobody knows: the same may be asked again. */
  | { readonly is: "unknown"; readonly error: KafkaError }
  /** A commit was refused because the broker has aborted the transaction, or has never heard of it. */
  | { readonly is: "timed out"; readonly refusal: KafkaError }
  /** A commit was refused, and another producer has taken over. */
  | { readonly is: "taken over"; readonly refusal: KafkaError }
  /** Refused, with all that is known of it: a `DecidedError`, or an error of the client's own. */
  | { readonly is: "refused"; readonly error: unknown };

/** What an ending needs of the transaction. */
export interface EndingHost {
  /** When a call that begins now is to be decided. */
  deadline(): number;
  /** True if records or offsets are in the transaction for certain. */
  hasCertainly(): boolean;
  /** True if a broker has accepted anything of it. */
  hasWritten(): boolean;
}

/** Refusals of a commit that may come after it was carried out, or after the broker's time-out. */
const DOUBTFUL: readonly number[] = [INVALID_TXN_STATE, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH];

/** Ends one transaction after the other. */
export class Ending {
  /** Attempts to commit the present transaction that may have been carried out without an answer. */
  unansweredCommits = 0;

  readonly #calls: TransactionCalls;
  readonly #transactionalId: string;
  readonly #identity: TransactionalIdentity;
  readonly #host: EndingHost;

  /** Ends what belongs to an identity. */
  constructor(calls: TransactionCalls, transactionalId: string, identity: TransactionalIdentity, host: EndingHost) {
    this.#calls = calls;
    this.#transactionalId = transactionalId;
    this.#identity = identity;
    this.#host = host;
  }

  /** A transaction begins. */
  begin(): void {
    this.unansweredCommits = 0;
  }

  /** Commits or aborts; never rejects. */
  async run(kind: End): Promise<Outcome> {
    try {
      await this.#ask(kind);
      return { is: "done" };
    } catch (error) {
      if (kind === "commit") this.unansweredCommits += unansweredOf(error);
      return await this.#onRefused(kind, error);
    }
  }

  async #onRefused(kind: End, error: unknown): Promise<Outcome> {
    if (error instanceof UndecidedError) return { is: "unknown", error };
    if (!(error instanceof DecidedError)) return { is: "refused", error };
    const { action, error: refusal, isAnswer } = error;
    const mayBeDone = kind === "abort" || this.unansweredCommits > 0;
    if (!isAnswer && action !== "fatal" && mayBeDone) return { is: "unknown", error: refusal };
    const isVersion1 = this.#identity.version === 1;
    if (isAnswer && kind === "commit" && this.#isDoubtful(error, isVersion1)) {
      return isVersion1 ? { is: "unknown", error: refusal } : await this.#askForTruth(refusal);
    }
    return isVersion1 ? this.#onRefusedOfV1(kind, error) : { is: "refused", error };
  }

  /** The transaction may be committed, although an attempt to do so was refused. */
  #isDoubtful({ action, error }: DecidedError, isVersion1: boolean): boolean {
    // What a later attempt is told can only be aborted, an earlier one may have committed.
    if (action === "abortable" && this.unansweredCommits > 0) return true;
    return !isVersion1 && DOUBTFUL.includes(error.errorCode!);
  }

  /** What may have been registered was not, if the coordinator knows of nothing to abort. */
  #onRefusedOfV1(kind: End, error: DecidedError): Outcome {
    const { errorCode } = error.error;
    const isNothing = kind === "abort" && errorCode === INVALID_TXN_STATE && !this.#host.hasCertainly();
    if (!isNothing) return { is: "refused", error };
    this.#identity.isSpent = true;
    return { is: "done" };
  }

  /**
   * A commit was refused (48, 90): timed out, committed after all by an earlier attempt, or fenced. Under version 2 the
   * same epoch's abort tells which, and a commit that is still on its way meets the next epoch.
   */
  async #askForTruth(refusal: KafkaError): Promise<Outcome> {
    try {
      await this.#ask("abort");
      // Whatever was about to be written was taken back by its caller: the commit of nothing has succeeded.
      return this.#host.hasWritten() ? { is: "timed out", refusal } : { is: "done" };
    } catch (error) {
      if (error instanceof UndecidedError) return { is: "unknown", error };
      if (!(error instanceof DecidedError)) return { is: "refused", error };
      if (!error.isAnswer && error.action !== "fatal") return { is: "unknown", error: error.error };
      const { errorCode } = error.error;
      if (errorCode === INVALID_TXN_STATE) return await this.#adoptCommitted();
      const isTakenOver = error.action === "fenced" || errorCode === INVALID_PRODUCER_ID_MAPPING;
      if (isTakenOver) return { is: "taken over", refusal };
      // Asked once more it would say the same.
      return { is: "refused", error: new DecidedError(error.error, "fatal", error.unanswered, error.isAnswer) };
    }
  }

  /** It is committed: an earlier attempt, whose answer was lost, has arrived. The same again tells the next identity. */
  async #adoptCommitted(): Promise<Outcome> {
    try {
      await this.#ask("commit");
    } catch {
      // That it is committed stays true. Who this producer is, or that it was fenced since, the next transaction finds out.
      this.#identity.isLost = true;
    }
    return { is: "done" };
  }

  /** Sends EndTxn, and takes over the identity that version 2 hands out. */
  #ask(kind: End): Promise<void> {
    const { version } = this.#identity;
    return this.#calls.run({
      name: "EndTxn",
      api: EndTxn,
      coordinator: this.#calls.coordinator,
      cap: () => version === 1 ? TRANSACTION_V1_CAPS.EndTxn : undefined,
      deadlineMs: this.#host.deadline(),
      body: () => ({
        transactionalId: this.#transactionalId,
        ...this.#identity.current!,
        committed: kind === "commit",
      }),
      read: ({ errorCode, producerId, producerEpoch }): Attempt<void> => {
        if (errorCode === 0) this.#identity.adopt({ producerId, producerEpoch });
        return { errorCode, response: undefined };
      },
    });
  }
}

function unansweredOf(error: unknown): number {
  return error instanceof UndecidedError || error instanceof DecidedError ? error.unanswered : 0;
}
