/**
 * Which partitions belong to the present transaction: those that were registered with its coordinator (version 1), or
 * sent to (version 2, where brokers register them).
 *
 * @module
 */

import { byTopic } from "../../protocol/by_topic.ts";
import { AddPartitionsToTxn } from "../../protocol/messages/add_partitions_to_txn.ts";
import type { TransactionCalls } from "./calls.ts";
import type { TransactionalIdentity } from "./identity.ts";
import { judgePlaces, keyOf, type Place } from "./places.ts";

/** What a registration needs of the transaction that it is for. */
export interface RegistrationHost {
  /** True as long as the transaction may be committed. */
  takesRecords(): boolean;
  /** When a call that begins now is to be decided. */
  deadline(): number;
  /** A round has failed while the transaction took records. */
  onRefused(error: unknown): void;
}

/** The partitions of one transaction after the other. */
export class Registration {
  /** Something may have been registered although no answer said so. */
  mayHaveAdded = false;

  readonly #calls: TransactionCalls;
  readonly #transactionalId: string;
  readonly #identity: TransactionalIdentity;
  readonly #host: RegistrationHost;
  readonly #added = new Set<string>();
  /** Partitions that wait to be registered, each with the round of registration that it waits for. */
  readonly #wanted = new Map<string, { readonly place: Place; readonly round: Promise<void> }>();
  /** The last round, which may not have begun; undefined before the first. */
  #lastRound: Promise<void> | undefined;
  /** The round that takes along what is wanted from now on; undefined if there is none yet. */
  #nextRound: Promise<void> | undefined;

  /** Registers under an identity, for a transactional id. */
  constructor(
    calls: TransactionCalls,
    transactionalId: string,
    identity: TransactionalIdentity,
    host: RegistrationHost,
  ) {
    this.#calls = calls;
    this.#transactionalId = transactionalId;
    this.#identity = identity;
    this.#host = host;
  }

  /** A transaction begins, with no partition in it. */
  begin(): void {
    this.#added.clear();
    this.#wanted.clear();
    this.mayHaveAdded = false;
  }

  /** How many partitions are in it for certain. */
  get count(): number {
    return this.#added.size;
  }

  /** Undefined if records of a partition may be sent now; otherwise a promise, which never rejects, for asking again. */
  admit(place: Place): Promise<void> | undefined {
    const key = keyOf(place);
    if (this.#added.has(key)) return undefined;
    if (this.#identity.version === 2) {
      this.#added.add(key);
      return undefined;
    }
    const waiting = this.#wanted.get(key);
    if (waiting !== undefined) return waiting.round;
    // What one turn asks for, and what is asked for while a round is under way, goes into one request.
    this.#lastRound = this.#nextRound ??= (this.#lastRound ?? Promise.resolve()).then(() => this.#register());
    this.#wanted.set(key, { place, round: this.#nextRound });
    return this.#nextRound;
  }

  /** What isn't registered yet needn't be any more. */
  drop(): void {
    this.#wanted.clear();
  }

  /** Resolves when no round is under way; undefined if there has been none. */
  settled(): Promise<void> | undefined {
    return this.#lastRound;
  }

  async #register(): Promise<void> {
    this.#nextRound = undefined;
    const places = [...this.#wanted.values()].map(({ place }) => place);
    if (places.length === 0) return;
    try {
      await this.#add(places);
    } catch (error) {
      // A registration without an answer may have been one.
      if (this.#calls.wasIndefinite) this.mayHaveAdded = true;
      // An abort drops what was not registered, and nobody waits for it.
      if (this.#host.takesRecords()) this.#host.onRefused(error);
    } finally {
      for (const place of places) this.#wanted.delete(keyOf(place));
    }
  }

  #add(places: readonly Place[]): Promise<void> {
    return this.#calls.run({
      name: "AddPartitionsToTxn",
      api: AddPartitionsToTxn,
      coordinator: this.#calls.coordinator,
      deadlineMs: this.#host.deadline(),
      isWanted: () => this.#host.takesRecords(),
      body: () => ({
        v3AndBelowTransactionalId: this.#transactionalId,
        v3AndBelowProducerId: this.#identity.current!.producerId,
        v3AndBelowProducerEpoch: this.#identity.current!.producerEpoch,
        v3AndBelowTopics: byTopic(
          places.filter((place) => !this.#added.has(keyOf(place))),
          ({ partition }) => partition,
        )
          .map(([name, partitions]) => ({ name, partitions })),
      }),
      read: ({ resultsByTopicV3AndBelow: topics }) => {
        const results = topics.flatMap(({ name: topic, resultsByPartition }) =>
          resultsByPartition.map(({ partitionIndex: partition, partitionErrorCode: code }) => ({
            topic,
            partition,
            code,
          }))
        );
        // Whatever becomes of the others, these are in.
        for (const result of results) if (result.code === 0) this.#added.add(keyOf(result));
        const left = places.filter((place) => !this.#added.has(keyOf(place)));
        return { ...judgePlaces("AddPartitionsToTxn", results, left), response: undefined };
      },
    });
  }
}
