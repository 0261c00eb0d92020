/**
 * The life of a transactional producer: who it is, what belongs to the present transaction, and how that ends.
 *
 * Two protocols lead through it. Under *version 1* (Kafka 3) each partition is registered with the coordinator before
 * the first record goes there, and the epoch stays the same from transaction to transaction. Under *version 2* (Kafka 4,
 * KIP-890) brokers register partitions by themselves, and each EndTxn hands out the next epoch, so that nothing that is
 * late can get into a later transaction. Which of them holds is decided between transactions, by the cluster's finalized
 * feature `transaction.version`.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import { ZERO_TOPIC_ID } from "../../cluster/metadata.ts";
import {
  KafkaError,
  type KafkaErrorOptions,
  ProducerFencedError,
  TimeoutError,
  TransactionAbortedError,
  TransactionTimedOutError,
} from "../../errors.ts";
import { AddOffsetsToTxn } from "../../protocol/messages/add_offsets_to_txn.ts";
import { AddPartitionsToTxn } from "../../protocol/messages/add_partitions_to_txn.ts";
import { EndTxn } from "../../protocol/messages/end_txn.ts";
import { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import type { AnyApi } from "../../protocol/schema.ts";
import { Outstanding } from "../../runtime/outstanding.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { actionOf } from "./actions.ts";
import { type Attempt, type Call, type CallOptions, DecidedError, TransactionCalls, UndecidedError } from "./calls.ts";
import { TransactionStates } from "./states.ts";

/** A partition, by name and index. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** An offset to commit: that of the next record to read. */
export interface CommittedOffset extends Place {
  readonly offset: bigint;
  /** What the consumer wants to remember with it. */
  readonly metadata?: string | undefined;
}

/** On whose behalf offsets are committed (KIP-447). */
export interface GroupMember {
  readonly groupId: string;
  readonly memberId?: string | undefined;
  readonly generationId?: number | undefined;
  readonly groupInstanceId?: string | undefined;
}

/** Who a transactional producer is. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** What a transaction needs of the producer that carries its records. */
export interface TransactionHost {
  /** Resolves when every record that was handed over has its outcome. */
  settled(): Promise<void>;
  /** Fails the records that have not been sent yet. */
  failUndrained(error: KafkaError): void;
}

/** What the life needs to know of the options. */
export interface LifeOptions extends CallOptions {
  readonly transactionTimeoutMs: number;
  readonly maxBlockMs: number;
}

type End = "commit" | "abort";

const FEATURE = "transaction.version";
const VERSION_2_LEVEL = 2;
/** Versions that mean version 2 of transactions: clients of version 1 stay below. */
const PRODUCE_OF_V2 = 12;
const LAST_END_TXN_OF_V1 = 4;
const LAST_OFFSET_COMMIT_OF_V1 = 4;
const OFFSET_COMMIT_WITH_IDS = 6;
const OFFSET_COMMIT_WITH_MEMBERS = 3;

const INVALID_TXN_STATE = 48;
const INVALID_PRODUCER_ID_MAPPING = 49;
const PRODUCER_FENCED = 90;
const INVALID_PRODUCER_EPOCH = 47;
const UNKNOWN_TOPIC_ID = 100;

/** The life of one transactional producer. */
export class TransactionLife {
  /** Where it stands. */
  readonly states: TransactionStates = new TransactionStates();
  /** Who it is; undefined before init(). */
  identity: ProducerIdentity | undefined;
  /** The protocol of the present transaction, or of the next one. */
  version: 1 | 2 = 1;
  /** What has failed in the present transaction: nothing but abort() is left of it. */
  failure: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: LifeOptions;
  readonly #host: TransactionHost;
  readonly #calls: TransactionCalls;
  readonly #outstanding: Outstanding;
  /** Partitions of the present transaction: registered (version 1), or sent to (version 2). */
  readonly #added = new Set<string>();
  /** Partitions that wait to be registered, each with the round of registration that it waits for. */
  readonly #wanted = new Map<string, { readonly place: Place; readonly round: Promise<void> }>();
  /** The last round, which may not have begun. */
  #lastRound: Promise<void> = Promise.resolve();
  /** The round that takes along what is wanted from now on; undefined if there is none yet. */
  #nextRound: Promise<void> | undefined;
  /** Something may have been registered although no answer said so. */
  #mayHaveAdded = false;
  #hasOffsets = false;
  /** The epoch must be raised before the next transaction (version 1): what was sent under it may still arrive. */
  #needsNewEpoch = false;
  /** The call whose outcome isn't known. */
  #unknown: End | "init" | undefined;
  /** The transaction has ended at the broker already; abort() has nothing to ask. */
  #isOver = false;
  #onFailure: (error: KafkaError) => void = () => {};

  /** Makes a life that has not begun. */
  constructor(runtime: Runtime, cluster: Cluster, options: LifeOptions, host: TransactionHost) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#host = host;
    this.#calls = new TransactionCalls(runtime, cluster, options);
    this.#outstanding = new Outstanding(runtime);
  }

  /** Gets a producer id and fences whoever had the transactional id before; no-op once there is one. */
  init(): Promise<void> {
    return this.#outstanding.during(this.#init());
  }

  async #init(): Promise<void> {
    const { current } = this.states;
    if (current === "unknown" && this.#unknown !== "init") throw this.notNow("init");
    if (current === "fatal") throw this.#fatalError();
    if (current !== "uninitialized" && current !== "unknown") return;
    await this.#initialize(undefined);
  }

  /** Leads to where a transaction may begin: gets an identity, and makes sure of an abort whose outcome wasn't known. */
  async recover(): Promise<void> {
    if (this.states.current === "unknown" && this.#unknown === "abort") await this.end("abort");
    await this.init();
  }

  /** Begins a transaction. */
  begin(onFailure: (error: KafkaError) => void): void {
    if (this.states.current === "fatal") throw this.#fatalError();
    if (this.states.current !== "ready") this.states.refuse("begin");
    this.#added.clear();
    this.#wanted.clear();
    this.#mayHaveAdded = false;
    this.#hasOffsets = false;
    this.#isOver = false;
    this.failure = undefined;
    this.#calls.wasIndefinite = false;
    this.#onFailure = onFailure;
    this.states.transition("in transaction");
  }

  /**
   * Undefined if records of a partition may be sent now. Otherwise it is being registered: a promise, which never
   * rejects, for the moment to ask again.
   */
  admit(place: Place): Promise<void> | undefined {
    const key = keyOf(place);
    if (this.#added.has(key)) return undefined;
    if (this.version === 2) {
      this.#added.add(key);
      return undefined;
    }
    const waiting = this.#wanted.get(key);
    if (waiting !== undefined) return waiting.round;
    // What one turn asks for, and what is asked for while a round is under way, goes into one request.
    this.#lastRound = this.#nextRound ??= this.#lastRound.then(() => this.#register());
    this.#wanted.set(key, { place, round: this.#nextRound });
    return this.#nextRound;
  }

  /** A record of the transaction has failed, or one that was to be. */
  onFailed(error: KafkaError): void {
    if (error.fatal) return void this.#die(error);
    if (this.states.current !== "in transaction" && this.states.current !== "committing") return;
    if (error instanceof TransactionAbortedError) return;
    // A sequence may be missing in the log, or a request may still arrive: neither may meet the next transaction.
    this.#needsNewEpoch = true;
    this.#fail(error);
  }

  /** An attempt to write records has ended without an answer. */
  onIndefinite(): void {
    this.#calls.wasIndefinite = true;
  }

  /** Makes the offsets of a group part of the transaction. */
  commitOffsets(offsets: readonly CommittedOffset[], group: GroupMember): Promise<void> {
    return this.#outstanding.during(this.#commitOffsets(offsets, group));
  }

  async #commitOffsets(offsets: readonly CommittedOffset[], group: GroupMember): Promise<void> {
    if (this.states.current !== "in transaction") throw this.notNow("sendOffsets");
    if (offsets.length === 0) return;
    try {
      const deadlineMs = this.#deadline();
      if (this.version === 1) await this.#addOffsets(group.groupId, deadlineMs);
      this.#hasOffsets = true;
      await this.#writeOffsets(offsets, group, deadlineMs);
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** Commits or aborts. Rejects with the reason; what is left to do then is what the state allows. */
  end(kind: End): Promise<void> {
    return this.#outstanding.during(this.#end(kind));
  }

  async #end(kind: End): Promise<void> {
    const { current } = this.states;
    if (current === "fatal") throw this.#fatalError();
    const isAgain = current === "unknown" && this.#unknown === kind;
    const isLegal = isAgain || current === "in transaction" || (kind === "abort" && current === "abortable");
    if (kind === "commit" && current === "abortable") throw this.#requiresAbort(this.failure!);
    if (!isLegal) throw this.notNow(kind);
    if (kind === "abort" && !isAgain) {
      this.states.transition("aborting");
      this.#wanted.clear();
      this.#host.failUndrained(
        new TransactionAbortedError("The record was not sent: its transaction was aborted.", { cause: this.failure }),
      );
    } else {
      this.states.transition(kind === "commit" ? "committing" : "aborting");
    }
    if (!isAgain) await this.#host.settled();
    if (this.states.current === "fatal") throw this.#fatalError();
    if (kind === "commit" && this.failure !== undefined) {
      if (this.states.current === "committing") this.states.transition("abortable");
      throw this.#requiresAbort(this.failure);
    }
    if (this.#hasSomething() && !this.#isOver) await this.#endAtBroker(kind, isAgain);
    await this.#prepareNext();
  }

  /** Ends every call that is under way. */
  close(): void {
    this.#outstanding.close();
    this.#calls.close();
  }

  /** Why a call isn't legal now: what is legal instead, and what has failed before, if anything. */
  notNow(call: string): KafkaError {
    if (this.states.current === "fatal") return this.#fatalError();
    try {
      this.states.refuse(call);
    } catch (error) {
      const { message, code } = error as KafkaError;
      if (this.failure === undefined) return error as KafkaError;
      return Object.assign(error as KafkaError, { cause: this.failure, message, code });
    }
  }

  async #initialize(current: ProducerIdentity | undefined): Promise<void> {
    const { transactionalId, transactionTimeoutMs } = this.#options;
    this.states.transition("initializing");
    try {
      this.identity = await this.#calls.run({
        name: "InitProducerId",
        api: InitProducerId,
        coordinator: this.#calls.coordinator,
        deadlineMs: this.#deadline(),
        body: (version) => ({
          transactionalId,
          transactionTimeoutMs,
          ...(current === undefined || version < 3 ? {} : current),
        }),
        read: ({ errorCode, producerId, producerEpoch }) => ({ errorCode, response: { producerId, producerEpoch } }),
      });
      await this.#chooseVersion();
    } catch (error) {
      if (error instanceof UndecidedError) {
        this.#unknown = "init";
        this.states.transition("unknown");
        throw unknownOutcome("init", error);
      }
      if (error instanceof DecidedError && error.action === "uninitialized") {
        this.states.transition("uninitialized");
        throw error.error;
      }
      throw this.#told(error);
    }
    this.#unknown = undefined;
    this.#needsNewEpoch = false;
    this.#calls.wasIndefinite = false;
    this.states.transition("ready");
  }

  /** By the finalized feature; a broker, or a proxy, that can't do version 2 keeps all to version 1. */
  async #chooseVersion(): Promise<void> {
    const { finalizedFeatures } = await this.#calls.coordinator.connection();
    const level = finalizedFeatures.get(FEATURE) ?? 0;
    this.version = level >= VERSION_2_LEVEL && this.#cluster.everyBrokerOffers(Produce, PRODUCE_OF_V2) ? 2 : 1;
  }

  async #register(): Promise<void> {
    this.#nextRound = undefined;
    const places = [...this.#wanted.values()].map(({ place }) => place);
    if (places.length === 0) return;
    try {
      await this.#addPartitions(places);
    } catch (error) {
      // An abort drops what was not registered, and nobody waits for it.
      if (this.states.current === "in transaction" || this.states.current === "committing") this.#told(error);
    } finally {
      for (const place of places) this.#wanted.delete(keyOf(place));
    }
  }

  #addPartitions(places: readonly Place[]): Promise<void> {
    const { transactionalId } = this.#options;
    return this.#noting({
      name: "AddPartitionsToTxn",
      api: AddPartitionsToTxn,
      coordinator: this.#calls.coordinator,
      deadlineMs: this.#deadline(),
      isWanted: () => this.states.current !== "aborting",
      body: () => ({
        v3AndBelowTransactionalId: transactionalId,
        v3AndBelowProducerId: this.identity!.producerId,
        v3AndBelowProducerEpoch: this.identity!.producerEpoch,
        v3AndBelowTopics: byTopic(
          places.filter((place) => !this.#added.has(keyOf(place))),
          ({ partition }) => partition,
        )
          .map(([name, partitions]) => ({ name, partitions })),
      }),
      read: ({ resultsByTopicV3AndBelow: topics }) => {
        let worst = 0;
        for (const { name, resultsByPartition } of topics) {
          for (const { partitionIndex, partitionErrorCode } of resultsByPartition) {
            const key = keyOf({ topic: name, partition: partitionIndex });
            if (partitionErrorCode === 0) this.#added.add(key);
            else if (worst === 0 || !isPassing("AddPartitionsToTxn", partitionErrorCode)) worst = partitionErrorCode;
          }
        }
        return { errorCode: worst, response: undefined };
      },
    });
  }

  /** A registration without an answer may have been one. */
  async #noting<A extends AnyApi, R>(call: Call<A, R>): Promise<R> {
    try {
      return await this.#calls.run(call);
    } catch (error) {
      if (this.#calls.wasIndefinite) this.#mayHaveAdded = true;
      throw error;
    }
  }

  #addOffsets(groupId: string, deadlineMs: number): Promise<void> {
    const { transactionalId } = this.#options;
    return this.#noting({
      name: "AddOffsetsToTxn",
      api: AddOffsetsToTxn,
      coordinator: this.#calls.coordinator,
      deadlineMs,
      body: () => ({ transactionalId, ...this.identity!, groupId }),
      read: ({ errorCode }) => ({ errorCode, response: undefined }),
    });
  }

  #writeOffsets(offsets: readonly CommittedOffset[], group: GroupMember, deadlineMs: number): Promise<void> {
    const { transactionalId } = this.#options;
    const { groupId, memberId = "", generationId = -1, groupInstanceId = null } = group;
    const left = new Map(offsets.map((offset) => [keyOf(offset), offset]));
    const idOf = (topic: string): string => (this.#cluster.topic(topic) ?? this.#cluster.use(topic)).topicId;
    const nameOf = new Map<string, string>();
    let refusedIds = false;
    const hasIds = (): boolean => !refusedIds && offsets.every(({ topic }) => idOf(topic) !== ZERO_TOPIC_ID);
    return this.#calls.run({
      name: "TxnOffsetCommit",
      api: TxnOffsetCommit,
      coordinator: this.#calls.group(groupId),
      deadlineMs,
      cap: () => this.version === 1 ? LAST_OFFSET_COMMIT_OF_V1 : hasIds() ? undefined : OFFSET_COMMIT_WITH_IDS - 1,
      body: (version) => {
        const isMember = memberId !== "" || generationId >= 0 || groupInstanceId !== null;
        if (isMember && version < OFFSET_COMMIT_WITH_MEMBERS) {
          throw new KafkaError("Give the group's id alone: this broker knows nothing of members in transactions.", {
            code: "UNSUPPORTED_VERSION",
          });
        }
        return {
          transactionalId,
          groupId,
          ...this.identity!,
          ...(version < OFFSET_COMMIT_WITH_MEMBERS
            ? {}
            : { memberId, generationIdOrMemberEpoch: generationId, groupInstanceId }),
          topics: byTopic([...left.values()], ({ partition, offset, metadata = "" }) => (
            { partitionIndex: partition, committedOffset: offset, committedMetadata: metadata }
          )).map(([name, partitions]) => {
            const topicId = idOf(name);
            nameOf.set(topicId, name);
            return version < OFFSET_COMMIT_WITH_IDS ? { name, partitions } : { topicId, partitions };
          }),
        };
      },
      read: ({ topics }, version) => {
        let worst = 0;
        for (const { name, topicId, partitions } of topics) {
          const topic = version < OFFSET_COMMIT_WITH_IDS ? name : nameOf.get(topicId) ?? "";
          for (const { partitionIndex: partition, errorCode } of partitions) {
            if (errorCode === 0) left.delete(keyOf({ topic, partition }));
            else if (worst === 0 || !isPassing("TxnOffsetCommit", errorCode)) worst = errorCode;
          }
        }
        if (worst === UNKNOWN_TOPIC_ID) {
          // The topic was created anew, or this broker doesn't know its id yet: by its name it is found.
          refusedIds = true;
          void this.#cluster.requestUpdate();
        }
        return { errorCode: worst, response: undefined };
      },
    });
  }

  #hasSomething(): boolean {
    return this.#added.size > 0 || this.#hasOffsets || this.#mayHaveAdded;
  }

  async #endAtBroker(kind: End, isAgain: boolean): Promise<void> {
    try {
      await this.#askEnd(kind);
    } catch (error) {
      if (error instanceof UndecidedError) {
        this.#unknown = kind;
        this.states.transition("unknown");
        throw unknownOutcome(kind, error);
      }
      const code = error instanceof DecidedError ? error.error.errorCode : undefined;
      // What may have been registered was not: there is nothing to abort.
      const isNothing = kind === "abort" && code === INVALID_TXN_STATE && this.#added.size === 0 && !this.#hasOffsets;
      if (isNothing) {
        this.#needsNewEpoch = true;
        return;
      }
      const isInDoubt = this.version === 2 && kind === "commit" && code !== undefined &&
        [INVALID_TXN_STATE, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH].includes(code);
      if (!isInDoubt) throw this.#told(error, kind);
      await this.#askForTruth((error as DecidedError).error, isAgain || this.#calls.wasIndefinite);
    }
    this.#unknown = undefined;
  }

  /** Sends EndTxn, and takes over the identity that version 2 hands out. */
  async #askEnd(kind: End): Promise<void> {
    const { transactionalId } = this.#options;
    const { version } = this;
    const next = await this.#calls.run({
      name: "EndTxn",
      api: EndTxn,
      coordinator: this.#calls.coordinator,
      cap: () => version === 1 ? LAST_END_TXN_OF_V1 : undefined,
      deadlineMs: this.#deadline(),
      body: () => ({ transactionalId, ...this.identity!, committed: kind === "commit" }),
      read: ({ errorCode, producerId, producerEpoch }): Attempt<ProducerIdentity> => (
        { errorCode, response: { producerId, producerEpoch } }
      ),
    });
    // Never epoch + 1: after the last epoch there is another producer id.
    if (version === 2 && next.producerId >= 0n && next.producerEpoch >= 0) this.identity = next;
  }

  /**
   * A commit was refused (48, 90): timed out, committed after all by an earlier attempt, or fenced. Under version 2 the
   * same epoch's abort tells which, and a commit that is still on its way meets the next epoch.
   */
  async #askForTruth(refusal: KafkaError, wasUnanswered: boolean): Promise<void> {
    try {
      await this.#askEnd("abort");
    } catch (error) {
      if (error instanceof UndecidedError) {
        this.#unknown = "commit";
        this.states.transition("unknown");
        throw unknownOutcome("commit", error);
      }
      const code = error instanceof DecidedError ? error.error.errorCode : undefined;
      // It is committed: an earlier attempt, whose answer was lost, has arrived. The same again tells the next identity.
      if (code === INVALID_TXN_STATE) return await this.#askEnd("commit").catch((again) => this.#orDie(again));
      const isTakenOver = code === PRODUCER_FENCED || code === INVALID_PRODUCER_EPOCH ||
        code === INVALID_PRODUCER_ID_MAPPING;
      if (!isTakenOver) throw this.#told(error, "commit");
      throw this.#die(this.#fenced(refusal, wasUnanswered));
    }
    this.#isOver = true;
    const { transactionTimeoutMs } = this.#options;
    const error = new TransactionTimedOutError(
      `Nothing of the transaction is committed: the broker has aborted it, for it took longer than ` +
        `transactionTimeoutMs (${transactionTimeoutMs} ms), or nothing of it had arrived. Abort it and begin again.`,
      { cause: refusal },
    );
    this.failure = error;
    this.states.transition("abortable");
    throw error;
  }

  #orDie(error: unknown): never {
    throw this.#told(error, "commit");
  }

  /** What must be done before the next transaction may begin. */
  async #prepareNext(): Promise<void> {
    const isDoubtful = this.#needsNewEpoch || this.#calls.wasIndefinite;
    this.failure = undefined;
    this.#needsNewEpoch = false;
    if (this.#hasSomething()) {
      const before = this.version;
      await this.#chooseVersion().catch(() => {});
      // An upgrade begins with an epoch of its own; under version 1 what is late must not meet the next transaction.
      if (before === 1 && (isDoubtful || this.version === 2)) {
        // The transaction has ended well. If this doesn't, the next one begins with it.
        await this.#initialize(this.identity).catch(() => {});
        return;
      }
    }
    this.states.transition("ready");
  }

  #fenced(cause: KafkaError, wasUnanswered: boolean): KafkaError {
    const { transactionalId } = this.#options;
    const { producerId, producerEpoch } = this.identity!;
    const who =
      `another producer with the transactional id ${JSON.stringify(transactionalId)} has taken over from this ` +
      `one (producer id ${producerId}, epoch ${producerEpoch})`;
    const outcome = wasUnanswered
      ? " Whether the transaction was committed isn't known: an earlier attempt had no answer."
      : "";
    return new ProducerFencedError(`Close this producer: ${who}.${outcome}`, {
      code: wasUnanswered ? "COMMIT_UNKNOWN" : "PRODUCER_FENCED",
      ...(cause.errorCode === undefined ? {} : { errorCode: cause.errorCode }),
      persisted: wasUnanswered ? "possibly" : "no",
      cause,
    });
  }

  /** Draws the conclusion of an error, and returns what the caller is told. */
  #told(error: unknown, ending?: End): KafkaError {
    if (!(error instanceof DecidedError)) {
      const told = error instanceof KafkaError ? error : new KafkaError("The transaction failed.", { cause: error });
      // No answer in time: what was asked may still be done.
      if (told instanceof UndecidedError) this.#needsNewEpoch = true;
      this.#fail(told);
      return this.#requiresAbort(told);
    }
    const { action, error: cause } = error;
    if (action === "fenced") return this.#die(this.#fenced(cause, false));
    // Another abort would be refused as this one was.
    if (action === "fatal" || (action === "abortable" && ending === "abort")) return this.#die(cause);
    this.#needsNewEpoch = true;
    this.#fail(cause);
    return this.#requiresAbort(cause);
  }

  #fail(error: KafkaError): void {
    const isFirst = this.failure === undefined;
    this.failure ??= error;
    const { current } = this.states;
    if (current === "in transaction" || current === "committing") this.states.transition("abortable");
    if (isFirst) this.#onFailure(this.failure);
  }

  #die(error: KafkaError): KafkaError {
    this.failure = error;
    if (this.states.current !== "fatal") this.states.transition("fatal");
    this.#onFailure(error);
    return error;
  }

  #fatalError(): KafkaError {
    return this.failure ?? new KafkaError("The producer can't go on.", { fatal: true });
  }

  #requiresAbort(cause: KafkaError): KafkaError {
    if (cause.fatal || cause.requiresAbort) return cause;
    const { name: _, message, ...fields } = cause;
    return new KafkaError(`Abort the transaction: ${message}`, {
      ...fields as KafkaErrorOptions,
      requiresAbort: true,
      retriable: false,
      cause,
    });
  }

  #deadline(): number {
    return this.#runtime.now() + this.#options.maxBlockMs;
  }
}

function unknownOutcome(call: End | "init", error: UndecidedError): KafkaError {
  const code = call === "commit" ? "COMMIT_UNKNOWN" : `${call.toUpperCase()}_UNKNOWN`;
  return new TimeoutError(`Call ${call}() again: its outcome isn't known. ${error.message}`, {
    code,
    persisted: "possibly",
    cause: error,
  });
}

function isPassing(call: "AddPartitionsToTxn" | "TxnOffsetCommit", errorCode: number): boolean {
  const action = actionOf(call, errorCode);
  return action === "retry" || action === "find";
}

function keyOf({ topic, partition }: Place): string {
  return `${partition} ${topic}`;
}

function byTopic<P extends Place, E>(places: readonly P[], entryOf: (place: P) => E): [string, E[]][] {
  const topics = new Map<string, E[]>();
  for (const place of places) topics.set(place.topic, [...topics.get(place.topic) ?? [], entryOf(place)]);
  return [...topics];
}
