/**
 * Who stamps batches, and what it means when a stamped one fails: the one seam between delivery and exactly-once.
 *
 * A batch's _stamp_ is its producer id, epoch and base sequence. The sender, the accumulator and the settlement know only
 * this interface. There are two implementations here, {@link unstamped} (no idempotence) and `Idempotence`; a
 * transactional producer brings a third one and changes nothing else.
 *
 * What an implementation may rely on:
 *
 * - Every method is called from the producer's own turns. Only `onFailed` may be called again from within itself: by
 *   whoever hears there of the failure, and takes back a record.
 * - `identity` is read again for each batch. A partition takes a new identity over by itself, as soon as none of its
 *   batches that were stamped under the old one is unanswered or waits to be sent again, and starts at sequence 0 then.
 *   So an implementation changes `identity` and tells no partition.
 * - While `identity` is undefined nothing is sent; the sender calls {@link Stamping.ensure} as long as batches wait.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import type { PipelinedRequest } from "../../cluster/metadata_fetch.ts";
import type { KafkaError } from "../../errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { ResolvedOptions } from "../options/options.ts";
import type { Identity } from "./identity.ts";

/** Says who stamps batches, and what a failure means. */
export interface Stamping {
  /**
   * True if batches carry a stamp. If false, `identity` is never asked for, sequences are not taken, and no answer is
   * read as being out of order.
   */
  readonly stamps: boolean;
  /** The producer id and epoch of what is stamped next; undefined until a broker has given them. */
  readonly identity: Identity | undefined;
  /** Why the last request for an identity failed; undefined if none failed since one was given. For diagnoses only. */
  readonly lastError: KafkaError | undefined;
  /** Goes into every Produce request; null without a transaction. */
  readonly transactionalId: string | null;
  /** Or-ed into the attributes of every batch when its bytes are made: 0, or `TRANSACTIONAL_BIT`. */
  readonly attributes: number;
  /** The newest version of Produce that may be used; undefined for no limit. Read for each request. */
  readonly produceCap: number | undefined;

  /**
   * Gets an identity, if there is none; concurrent calls share one attempt, and failures that can pass are tried again
   * inside.
   *
   * @returns undefined once there is one (or when closed); or the error that no further attempt will change. Then every
   * batch that waits fails with it, and the next `send` leads to another call.
   */
  ensure(): Promise<KafkaError | undefined>;
  /** A request to write together with the handshake of the next connection, so that `ensure` is faster; or undefined. */
  pipelined(): PipelinedRequest | undefined;

  /**
   * Asked before a batch of the partition is drained for the first time, when nothing else holds it back.
   *
   * @returns undefined if it may go now; or a promise for "ask again", which never rejects. The partition waits for it
   * and holds up no other one. Called again and again while it is pending, it returns the same promise.
   */
  admit(topic: string, partition: number): Promise<void> | undefined;
  /**
   * The log of a partition lacks a sequence, or nobody can tell whether it does: under the present identity nothing more
   * can be appended to the partition. Called only while the partition is at the present `identity`, and again as long as it
   * stays there.
   *
   * @param cause the broker's answer, if it was one that showed the gap
   * @returns undefined if the identity has been changed (or given up for a new one): stamped batches that are certainly
   * not in the log get a new stamp, and the others fail with `OUTCOME_UNKNOWN`. Or an error: the identity stays, and every
   * stamped batch of the partition that waits to be sent again fails with it.
   */
  onGap(cause: KafkaError | undefined): KafkaError | undefined;
  /**
   * Records have failed for good: those of a batch, or one that never got into a batch (`persisted` of the error is "no"
   * then; an `AbortError` if its caller has taken it back), or those of a list that can't be read (`records` is 0 then).
   * Called right before their promises and callbacks hear of it, also when the whole producer fails.
   */
  onFailed(error: KafkaError, records: number): void;
  /** An attempt to send a stamped batch got no answer: it may be executed at any later time. The batch may go again. */
  onUnanswered(error: KafkaError): void;

  /** The producer has been closed: ends what is under way. */
  close(): void;
}

/** What a producer hands to whoever makes its {@link Stamping}. */
export interface StampingParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly options: ResolvedOptions;
  /**
   * Fails every record that has not been drained (those in batches and those that wait to enter one) with an error that
   * says so (`persisted` "no"): first those that wait to enter a batch. Batches that were drained go on.
   */
  failUndrained(error: KafkaError): void;
  /** How many records brokers have accepted so far. */
  delivered(): number;
}

/** No idempotence (`idempotent: false`, acks 0 and 1): batches carry no stamp, and a retry may duplicate. */
export const unstamped: Stamping = {
  stamps: false,
  identity: undefined,
  lastError: undefined,
  transactionalId: null,
  attributes: 0,
  produceCap: undefined,
  ensure() {
    return Promise.resolve(undefined);
  },
  pipelined() {
    return undefined;
  },
  admit() {
    return undefined;
  },
  onGap() {
    return undefined;
  },
  onFailed() {},
  onUnanswered() {},
  close() {},
};
