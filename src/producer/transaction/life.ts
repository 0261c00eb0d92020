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
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { ZERO_TOPIC_ID } from "../../cluster/metadata.ts";
import {
  KafkaError,
  type KafkaErrorOptions,
  ProducerFencedError,
  TimeoutError,
  TransactionAbortedError,
  TransactionTimedOutError,
  UnsupportedVersionError,
} from "../../errors.ts";
import { byTopic } from "../../protocol/by_topic.ts";
import { AddOffsetsToTxn } from "../../protocol/messages/add_offsets_to_txn.ts";
import { AddPartitionsToTxn } from "../../protocol/messages/add_partitions_to_txn.ts";
import { EndTxn } from "../../protocol/messages/end_txn.ts";
import { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import type { AnyApi } from "../../protocol/schema.ts";
import {
  INVALID_PRODUCER_EPOCH,
  INVALID_PRODUCER_ID_MAPPING,
  INVALID_TXN_STATE,
  PRODUCER_FENCED,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  UNKNOWN_SERVER_ERROR,
  UNKNOWN_TOPIC_ID,
} from "../../protocol/error_code_names.ts";
import { Outstanding } from "../../runtime/outstanding.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { gravest } from "./actions.ts";
import { type Attempt, type Call, type CallOptions, DecidedError, TransactionCalls, UndecidedError } from "./calls.ts";
import { TransactionStates } from "./states.ts";

/** A partition, by name and index. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** An offset to commit: that of the next record to read. */
export interface CommittedOffset {
  /** The topic's name. */
  readonly topic: string;
  /** The partition's index. */
  readonly partition: number;
  /** The offset of the next record to read. */
  readonly offset: bigint;
  /** What the consumer wants to remember with it. */
  readonly metadata?: string | undefined;
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
const END_TXN_OF_V2 = 5;
const OFFSET_COMMIT_OF_V2 = 5;
const OFFSET_COMMIT_WITH_IDS = 6;
const OFFSET_COMMIT_WITH_MEMBERS = 3;
const INIT_WITH_IDENTITY = 3;

/** How many partitions a message names. */
const MAX_NAMED = 5;

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
  /** Commits of offsets that have not ended; commit() and abort() wait for them as they do for records. */
  readonly #offsetCommits = new Set<Promise<void>>();
  /** Attempts to commit the present transaction that may have been carried out without an answer. */
  #unansweredCommits = 0;
  /** Counts the transactions. */
  #serial = 0;
  /** The identity isn't known any more: the coordinator has raised the epoch, and its answer is missing. */
  #needsIdentity = false;
  /** The request for an identity that is under way. */
  #initializing: Promise<void> | undefined;
  /** The commit or the abort that is under way. */
  #ending: Promise<void> | undefined;
  /** The records that must not be sent any more are about to be failed. */
  #dropping: Promise<void> | undefined;
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
    if (current === "initializing" || current === "uninitialized" || current === "unknown") await this.#initialize();
  }

  /** Leads to where a transaction may begin: gets an identity, and makes sure of an abort whose outcome wasn't known. */
  async recover(): Promise<void> {
    const { current } = this.states;
    if (current === "unknown" && this.#unknown === "abort") await this.end("abort");
    if (current === "unknown" && this.#unknown === "commit") throw this.notNow("begin");
    await this.init();
    if (this.states.current !== "ready") return;
    // A broker that was set back to version 1 is wedged by the first record of version 2.
    await this.#calls.refreshFeatures(this.#deadline());
    if (this.states.current !== "ready") return;
    const before = this.version;
    this.#chooseVersion();
    if (before === 1 && this.version === 2) await this.#initialize();
  }

  /** Begins a transaction, and returns its number. */
  begin(onFailure: (error: KafkaError) => void): number {
    if (this.states.current !== "ready") throw this.notNow("begin");
    this.#added.clear();
    this.#wanted.clear();
    this.#mayHaveAdded = false;
    this.#hasOffsets = false;
    this.#isOver = false;
    this.failure = undefined;
    this.#unansweredCommits = 0;
    this.#calls.wasIndefinite = false;
    this.#onFailure = onFailure;
    this.states.transition("in transaction");
    return ++this.#serial;
  }

  /** True if no transaction has begun since this one. */
  isPresent(serial: number): boolean {
    return serial === this.#serial;
  }

  /**
   * Undefined if records of a partition may be sent now. Otherwise it is being registered: a promise, which never
   * rejects, for the moment to ask again.
   */
  admit(place: Place): Promise<void> | undefined {
    // Handed over in time, but on its way for too long: the transaction will not be committed, so it isn't sent.
    if (!this.#takesRecords()) return this.#dropUndrained();
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
    // These have no sequence yet.
    if (error instanceof TransactionAbortedError) return;
    if (error.errorCode === PRODUCER_FENCED) return void this.#die(this.#fenced(error));
    if (error.fatal || error.errorCode === TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
      return void this.#die(this.#fatal(error));
    }
    // A sequence may be missing in the log, or a request may still arrive: neither may meet the next transaction.
    this.#needsNewEpoch = true;
    if (this.#takesRecords()) this.#fail(error);
  }

  /** An attempt to write records has ended without an answer. */
  onIndefinite(): void {
    this.#calls.wasIndefinite = true;
  }

  /** Makes the offsets of a group part of the transaction. */
  commitOffsets(offsets: readonly CommittedOffset[], group: GroupMetadata): Promise<void> {
    return this.#outstanding.during(this.#commitOffsets(offsets, group));
  }

  async #commitOffsets(offsets: readonly CommittedOffset[], group: GroupMetadata): Promise<void> {
    if (this.states.current !== "in transaction") throw this.notNow("sendOffsets");
    if (offsets.length === 0) return;
    const commit = this.#addAndWriteOffsets(offsets, group);
    this.#offsetCommits.add(commit);
    try {
      await commit;
    } finally {
      this.#offsetCommits.delete(commit);
    }
  }

  async #addAndWriteOffsets(offsets: readonly CommittedOffset[], group: GroupMetadata): Promise<void> {
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
    const ending = this.#outstanding.during(this.#end(kind));
    const { current } = this.states;
    if (current === "committing" || current === "aborting") {
      this.#ending ??= ending.catch(() => {}).finally(() => this.#ending = undefined);
    }
    return ending;
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
      this.#host.failUndrained(this.#aborted());
    } else {
      this.states.transition(kind === "commit" ? "committing" : "aborting");
    }
    if (!isAgain) {
      await this.#host.settled();
      await Promise.allSettled([this.#lastRound, ...this.#offsetCommits]);
    }
    if (this.states.current === "fatal") throw this.#fatalError();
    if (kind === "commit" && this.failure !== undefined) {
      if (this.states.current === "committing") this.states.transition("abortable");
      throw this.#requiresAbort(this.failure);
    }
    if (this.#hasSomething() && !this.#isOver) await this.#endAtBroker(kind);
    this.#prepareNext();
  }

  /** Resolves when a commit or an abort that is under way has ended, however it did. */
  async quiet(): Promise<void> {
    await this.#ending;
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

  /** Gets an identity: the first one, or the one after that it has. Calls share one attempt. */
  #initialize(): Promise<void> {
    return this.#initializing ??= this.#askForIdentity().finally(() => this.#initializing = undefined);
  }

  async #askForIdentity(): Promise<void> {
    const { transactionalId, transactionTimeoutMs } = this.#options;
    // With it the coordinator refuses a producer that was fenced; without it that one would fence its successor.
    const current = this.identity;
    this.states.transition("initializing");
    try {
      this.identity = await this.#calls.run({
        name: "InitProducerId",
        api: InitProducerId,
        coordinator: this.#calls.coordinator,
        deadlineMs: this.#deadline(),
        body: (version) => {
          if (current === undefined) return { transactionalId, transactionTimeoutMs };
          if (version >= INIT_WITH_IDENTITY) return { transactionalId, transactionTimeoutMs, ...current };
          throw new UnsupportedVersionError("Make a new producer: brokers before Kafka 2.5 can't raise an epoch.");
        },
        read: ({ errorCode, producerId, producerEpoch }) => ({ errorCode, response: { producerId, producerEpoch } }),
      });
    } catch (error) {
      if (error instanceof UndecidedError) {
        this.#unknown = "init";
        this.states.transition("unknown");
        throw unknownOutcome("init", error);
      }
      if (error instanceof DecidedError && (error.action === "uninitialized" || error.action === "abortable")) {
        this.states.transition("uninitialized");
        throw error.error;
      }
      throw this.#told(error, "init");
    }
    this.#chooseVersion();
    this.#unknown = undefined;
    this.#needsNewEpoch = false;
    this.#needsIdentity = false;
    this.#calls.wasIndefinite = false;
    this.states.transition("ready");
  }

  /** By the finalized feature; a broker, or a proxy, that can't do version 2 keeps all to version 1. */
  #chooseVersion(): void {
    const level = this.#calls.featureLevel(FEATURE);
    const isOffered = this.#cluster.everyBrokerOffers(Produce, PRODUCE_OF_V2) &&
      this.#cluster.everyBrokerOffers(EndTxn, END_TXN_OF_V2) &&
      this.#cluster.everyBrokerOffers(TxnOffsetCommit, OFFSET_COMMIT_OF_V2);
    this.version = level >= VERSION_2_LEVEL && isOffered ? 2 : 1;
  }

  async #register(): Promise<void> {
    this.#nextRound = undefined;
    const places = [...this.#wanted.values()].map(({ place }) => place);
    if (places.length === 0) return;
    try {
      await this.#addPartitions(places);
    } catch (error) {
      // An abort drops what was not registered, and nobody waits for it.
      if (this.#takesRecords()) this.#told(error);
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
      isWanted: () => this.#takesRecords(),
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
        const results = topics.flatMap(({ name: topic, resultsByPartition }) =>
          resultsByPartition.map(({ partitionIndex: partition, partitionErrorCode: code }) => ({
            topic,
            partition,
            code,
          }))
        );
        // Whatever becomes of the others, these are in.
        for (const result of results) if (result.code === 0) this.#added.add(keyOf(result));
        return { ...judge("AddPartitionsToTxn", results), response: undefined };
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
      isWanted: () => this.#takesRecords(),
      body: () => ({ transactionalId, ...this.identity!, groupId }),
      read: ({ errorCode }) => ({ errorCode, response: undefined }),
    });
  }

  #writeOffsets(offsets: readonly CommittedOffset[], group: GroupMetadata, deadlineMs: number): Promise<void> {
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
      isWanted: () => this.#takesRecords(),
      cap: () => this.version === 1 ? LAST_OFFSET_COMMIT_OF_V1 : hasIds() ? undefined : OFFSET_COMMIT_WITH_IDS - 1,
      body: (version) => {
        const isMember = memberId !== "" || generationId >= 0 || groupInstanceId !== null;
        if (isMember && version < OFFSET_COMMIT_WITH_MEMBERS) {
          throw new UnsupportedVersionError("Give the group's id alone: this broker knows nothing of its members.");
        }
        return {
          transactionalId,
          groupId,
          ...this.identity!,
          ...(version < OFFSET_COMMIT_WITH_MEMBERS
            ? {}
            : { memberId, generationIdOrMemberEpoch: generationId, groupInstanceId }),
          topics: byTopic(left.values(), ({ partition, offset, metadata = "" }) => (
            { partitionIndex: partition, committedOffset: offset, committedMetadata: metadata }
          )).map(([name, partitions]) => {
            const topicId = idOf(name);
            nameOf.set(topicId, name);
            return version < OFFSET_COMMIT_WITH_IDS ? { name, partitions } : { topicId, partitions };
          }),
        };
      },
      read: ({ topics }, version) => {
        const results = topics.flatMap(({ name, topicId, partitions }) => {
          const topic = version < OFFSET_COMMIT_WITH_IDS ? name : nameOf.get(topicId) ?? "";
          return partitions.map(({ partitionIndex: partition, errorCode: code }) => ({ topic, partition, code }));
        });
        for (const result of results) if (result.code === 0) left.delete(keyOf(result));
        const attempt = judge("TxnOffsetCommit", results);
        if (attempt.errorCode === UNKNOWN_TOPIC_ID) {
          // The topic was created anew, or this broker doesn't know its id yet: by its name it is found.
          refusedIds = true;
          void this.#cluster.requestUpdate();
        }
        return { ...attempt, response: undefined };
      },
    });
  }

  /** True as long as the transaction may be committed: only then records and offsets belong to it. */
  #takesRecords(): boolean {
    return this.states.current === "in transaction" || this.states.current === "committing";
  }

  #aborted(): KafkaError {
    if (this.states.current === "fatal") return this.#fatalError();
    const message = this.failure === undefined
      ? "The record was not sent: its transaction was aborted."
      : `The record was not sent: something else in its transaction has failed. ${this.failure.message}`;
    return new TransactionAbortedError(message, { requiresAbort: true, cause: this.failure });
  }

  /** Fails what was not sent, on a turn of its own: whoever tells of a failure may be in the midst of a list. */
  #dropUndrained(): Promise<void> {
    return this.#dropping ??= Promise.resolve().then(() => {
      this.#dropping = undefined;
      if (!this.#takesRecords()) this.#host.failUndrained(this.#aborted());
    });
  }

  #hasSomething(): boolean {
    return this.#added.size > 0 || this.#hasOffsets || this.#mayHaveAdded;
  }

  async #endAtBroker(kind: End): Promise<void> {
    try {
      await this.#askEnd(kind);
    } catch (error) {
      if (kind === "commit") this.#unansweredCommits += unansweredOf(error);
      await this.#onRefusedEnd(kind, error);
    }
    this.#unknown = undefined;
  }

  async #onRefusedEnd(kind: End, error: unknown): Promise<void> {
    if (error instanceof UndecidedError) throw this.#leaveUnknown(kind, error);
    if (!(error instanceof DecidedError)) throw this.#told(error, kind);
    const { action, error: refusal, isAnswer } = error;
    const mayBeDone = kind === "abort" || this.#unansweredCommits > 0;
    if (!isAnswer && action !== "fatal" && mayBeDone) throw this.#leaveUnknown(kind, refusal);
    const code = refusal.errorCode ?? 0;
    // What may have been registered was not: there is nothing to abort.
    const isNothing = this.version === 1 && kind === "abort" && code === INVALID_TXN_STATE && this.#added.size === 0 &&
      !this.#hasOffsets;
    if (isNothing) {
      this.#needsNewEpoch = true;
      return;
    }
    const isInDoubt = isAnswer && kind === "commit" && this.version === 2 &&
      [INVALID_TXN_STATE, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH].includes(code);
    if (isInDoubt) return await this.#askForTruth(refusal);
    throw this.#told(error, kind);
  }

  /** The outcome isn't known: the same call may be made again, and nothing else. */
  #leaveUnknown(kind: End, error: KafkaError): KafkaError {
    this.#unknown = kind;
    this.states.transition("unknown");
    return unknownOutcome(kind, error);
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
  async #askForTruth(refusal: KafkaError): Promise<void> {
    try {
      await this.#askEnd("abort");
    } catch (error) {
      if (error instanceof UndecidedError) throw this.#leaveUnknown("commit", error);
      if (!(error instanceof DecidedError)) throw this.#told(error, "commit");
      if (!error.isAnswer && error.action !== "fatal") throw this.#leaveUnknown("commit", error.error);
      const code = error.error.errorCode;
      if (code === INVALID_TXN_STATE) return await this.#adoptCommitted();
      const isTakenOver = error.action === "fenced" || code === INVALID_PRODUCER_ID_MAPPING;
      throw this.#die(isTakenOver ? this.#fenced(refusal) : this.#fatal(error.error, "commit"));
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

  /** It is committed: an earlier attempt, whose answer was lost, has arrived. The same again tells the next identity. */
  async #adoptCommitted(): Promise<void> {
    try {
      await this.#askEnd("commit");
    } catch {
      // That it is committed stays true. Who this producer is, or that it was fenced since, the next transaction finds out.
      this.#needsIdentity = true;
    }
  }

  /** What must be done before the next transaction may begin; its begin() waits for it, and this one's end doesn't. */
  #prepareNext(): void {
    const isDoubtful = this.#needsNewEpoch || this.#calls.wasIndefinite;
    this.failure = undefined;
    this.#needsNewEpoch = false;
    if (this.#hasSomething()) {
      const before = this.version;
      this.#chooseVersion();
      // An upgrade begins with an epoch of its own; under version 1 what is late must not meet the next transaction.
      if (this.#needsIdentity || (before === 1 && (isDoubtful || this.version === 2))) {
        void this.#outstanding.during(this.#initialize()).catch(() => {});
        return;
      }
    }
    this.states.transition("ready");
  }

  #fenced(cause: KafkaError): KafkaError {
    const { transactionalId } = this.#options;
    const { producerId, producerEpoch } = this.identity ?? { producerId: -1n, producerEpoch: -1 };
    const who = `another producer with the transactional id ${JSON.stringify(transactionalId)} has taken over from ` +
      `this one (producer id ${producerId}, epoch ${producerEpoch})`;
    // Under version 1 a broker that has aborted a transaction for its age answers the same.
    const timedOut = this.version === 1 && this.#hasSomething()
      ? `, or the transaction took longer than transactionTimeoutMs (${this.#options.transactionTimeoutMs} ms)`
      : "";
    const isUnknown = this.#unansweredCommits > 0;
    const outcome = isUnknown
      ? " Whether the transaction was committed isn't known: an earlier attempt had no answer."
      : "";
    return new ProducerFencedError(`Close this producer: ${who}${timedOut}.${outcome}`, {
      code: isUnknown ? "COMMIT_UNKNOWN" : "PRODUCER_FENCED",
      ...(cause.errorCode === undefined ? {} : { errorCode: cause.errorCode }),
      persisted: isUnknown ? "possibly" : "no",
      cause,
    });
  }

  /** An error that leaves nothing but close(), and says so. */
  #fatal(cause: KafkaError, ending?: End | "init"): KafkaError {
    const isUnknown = ending === "commit" && (this.#unansweredCommits > 0 || cause.errorCode === UNKNOWN_SERVER_ERROR);
    if (cause.fatal && !isUnknown) return cause;
    const { name: _, message, ...fields } = cause;
    const outcome = isUnknown ? " Whether the transaction was committed isn't known." : "";
    return new KafkaError(`Close this producer, and make a new one: ${message}${outcome}`, {
      ...fields as KafkaErrorOptions,
      ...(isUnknown ? { code: "COMMIT_UNKNOWN", persisted: "possibly" as const } : {}),
      fatal: true,
      requiresAbort: false,
      retriable: false,
      cause,
    });
  }

  /** Draws the conclusion of an error, and returns what the caller is told. */
  #told(error: unknown, ending?: End | "init"): KafkaError {
    if (error instanceof UndecidedError) {
      // No answer in time: what was asked may still be done.
      this.#needsNewEpoch = true;
      this.#fail(error);
      return this.#requiresAbort(error);
    }
    if (!(error instanceof DecidedError)) {
      const message = "Close this producer, and please report it: this is an error in the client.";
      return this.#die(new KafkaError(message, { code: "INTERNAL", fatal: true, cause: error }));
    }
    const { action, error: cause } = error;
    if (action === "fenced") return this.#die(this.#fenced(cause));
    // Another abort would be refused as this one was.
    if (action === "fatal" || ending === "abort") return this.#die(this.#fatal(cause, ending));
    this.#needsNewEpoch = true;
    this.#fail(cause);
    return this.#requiresAbort(cause);
  }

  #fail(error: KafkaError): void {
    const isFirst = this.failure === undefined;
    this.failure ??= error;
    const { current } = this.states;
    if (current === "in transaction" || current === "committing") this.states.transition("abortable");
    if (!isFirst) return;
    this.#onFailure(this.failure);
    void this.#dropUndrained();
  }

  #die(error: KafkaError): KafkaError {
    // What has ended it first is the cause of all that follows.
    if (this.states.current === "fatal") return this.#fatalError();
    this.failure = error;
    this.states.transition("fatal");
    this.#onFailure(error);
    void this.#dropUndrained();
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

function unknownOutcome(call: End | "init", error: KafkaError): KafkaError {
  const code = call === "commit" ? "COMMIT_UNKNOWN" : `${call.toUpperCase()}_UNKNOWN`;
  return new TimeoutError(`Call ${call}() again: its outcome isn't known. ${error.message}`, {
    code,
    persisted: "possibly",
    cause: error,
  });
}

function unansweredOf(error: unknown): number {
  if (error instanceof UndecidedError) return error.undecided.unanswered;
  return error instanceof DecidedError ? error.progress.unanswered : 0;
}

/** What the results of several partitions come to, and which ones decide. */
function judge(
  call: "AddPartitionsToTxn" | "TxnOffsetCommit",
  results: readonly (Place & { readonly code: number })[],
): { errorCode: number; detail: string } {
  const errorCode = gravest(call, results.map(({ code }) => code));
  const places = results.filter(({ code }) => code === errorCode).map(({ partition, topic }) =>
    `${topic}-${partition}`
  );
  const rest = places.length > MAX_NAMED ? ` and ${places.length - MAX_NAMED} more` : "";
  return { errorCode, detail: places.slice(0, MAX_NAMED).join(", ") + rest };
}

function keyOf({ topic, partition }: Place): string {
  return `${partition} ${topic}`;
}
