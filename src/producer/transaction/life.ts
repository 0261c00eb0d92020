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
import { nextTurn } from "../../cluster/sleep.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { type KafkaError, TransactionAbortedError } from "../../errors.ts";
import {
  INVALID_PRODUCER_EPOCH,
  PRODUCER_FENCED,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
} from "../../protocol/error_code_names.ts";
import { Outstanding } from "../../runtime/outstanding.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type CallOptions, DecidedError, TransactionCalls, UndecidedError } from "./calls.ts";
import { type End, Ending, type Outcome } from "./ending.ts";
import { type IdentityOptions, TransactionalIdentity } from "./identity.ts";
import { OffsetCommits } from "./offset_commits.ts";
import type { CommittedOffset } from "./offsets.ts";
import type { Place } from "./places.ts";
import { Registration } from "./registration.ts";
import { TransactionStates } from "./states.ts";
import { fatal, fenced, internal, notSent, requiresAbort, timedOut, unknownOutcome } from "./transaction_errors.ts";

/** What a transaction needs of the producer that carries its records. */
export interface TransactionHost {
  /** Resolves when every record that was handed over has its outcome; undefined if each has. */
  settled(): Promise<void> | undefined;
  /** Fails the records that have not been sent yet. */
  failUndrained(error: KafkaError): void;
  /** How many records brokers have accepted so far. */
  delivered(): number;
}

/** What the life needs to know of the options. */
export interface LifeOptions extends CallOptions, IdentityOptions {
  readonly maxBlockMs: number;
}

/** How a transaction has ended, if it has. */
export interface Fate {
  ended: End | undefined;
}

/** The life of one transactional producer. */
export class TransactionLife {
  /** Where it stands. */
  readonly states: TransactionStates = new TransactionStates();
  /** Who it is, and by which protocol. */
  readonly identity: TransactionalIdentity;
  /** The call whose outcome isn't known. */
  unknown: End | "init" | undefined;
  /** What has failed in the present transaction: nothing but abort() is left of it. */
  failure: KafkaError | undefined;
  /** The same, as a commit is told: with what is left to do. */
  #refusal: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #options: LifeOptions;
  readonly #host: TransactionHost;
  readonly #calls: TransactionCalls;
  readonly #registration: Registration;
  readonly #offsets: OffsetCommits;
  readonly #ending: Ending;
  readonly #outstanding: Outstanding;
  /** The present transaction, or the last one. */
  #fate: Fate = { ended: undefined };
  /** How many records had been accepted when the present one began. */
  #deliveredBefore = 0;
  /** The request for an identity that is under way. */
  #initializing: Promise<void> | undefined;
  /** What leads to where a transaction may begin is under way. */
  #recovering: Promise<void> | undefined;
  /** The commit or the abort that is under way, and the number of that call. */
  #underWay: Promise<void> | undefined;
  #endings = 0;
  /** The records that must not be sent any more are about to be failed. */
  #dropping: Promise<void> | undefined;
  /** The transaction has ended at the broker already; abort() has nothing to ask. */
  #isOver = false;
  #onFailure: (error: KafkaError) => void = () => {};

  /** Makes a life that has not begun. */
  constructor(runtime: Runtime, cluster: Cluster, options: LifeOptions, host: TransactionHost) {
    this.#runtime = runtime;
    this.#options = options;
    this.#host = host;
    const { transactionalId } = options;
    const calls = this.#calls = new TransactionCalls(runtime, cluster, options);
    const identity = this.identity = new TransactionalIdentity(cluster, calls, options);
    const own = {
      takesRecords: (): boolean => this.#takesRecords(),
      deadline: (): number => this.#deadline(),
      onRefused: (error: unknown): void => void this.#told(error),
      hasCertainly: (): boolean => this.#registration.count > 0 || this.#offsets.hasAny,
      hasWritten: (): boolean => host.delivered() > this.#deliveredBefore || this.#offsets.hasAny,
    };
    this.#registration = new Registration(calls, transactionalId, identity, own);
    this.#offsets = new OffsetCommits(cluster, calls, transactionalId, identity, own.takesRecords);
    this.#ending = new Ending(calls, transactionalId, identity, own);
    this.#outstanding = new Outstanding(runtime);
  }

  /** Gets a producer id and fences the producer that had the transactional id before; no-op once there is one. */
  init(): Promise<void> {
    return this.#outstanding.during(this.#init());
  }

  async #init(): Promise<void> {
    const { current } = this.states;
    if (current === "unknown" && this.unknown !== "init") throw this.notNow("init");
    if (current === "fatal") throw this.#fatalError();
    if (current === "initializing" || current === "uninitialized" || current === "unknown") await this.#initialize();
  }

  /**
   * Leads to where a transaction may begin: gets an identity, and makes sure of an abort whose outcome wasn't known.
   * Undefined if one may begin now, and while one is open: that refusal isn't shared with whoever comes after its end.
   */
  recover(): Promise<void> | undefined {
    if (this.#recovering !== undefined) return this.#recovering;
    if (this.states.isOpen) return undefined;
    const isReady = this.states.current === "ready" && !this.#calls.wantsFeatures;
    const recovery = isReady ? this.#chooseVersion() : this.#recover();
    // Whoever began it may not wait any more: it is shared with whoever comes next.
    return this.#recovering = recovery &&
      this.#outstanding.during(recovery).finally(() => this.#recovering = undefined);
  }

  async #recover(): Promise<void> {
    const { current } = this.states;
    if (current === "unknown" && this.unknown === "abort") await this.end("abort");
    if (current === "unknown" && this.unknown === "commit") throw this.notNow("begin");
    await this.init();
    if (this.states.current !== "ready") return;
    // A broker that was set back to version 1 is wedged by the first record of version 2.
    await this.#calls.refreshFeatures(this.#deadline());
    if (this.states.current === "ready") await this.#chooseVersion();
  }

  /** An upgrade takes another epoch, which is waited for. */
  #chooseVersion(): Promise<void> | undefined {
    const before = this.identity.version;
    this.identity.chooseVersion();
    return before === 1 && this.identity.version === 2 ? this.#initialize() : undefined;
  }

  /** Begins a transaction; what is returned says how it has ended. */
  begin(onFailure: (error: KafkaError) => void): Fate {
    if (this.states.current !== "ready") throw this.notNow("begin");
    this.#registration.begin();
    this.#offsets.begin();
    this.#ending.begin();
    this.#isOver = false;
    this.failure = this.#refusal = undefined;
    this.#calls.wasIndefinite = false;
    this.#deliveredBefore = this.#host.delivered();
    this.#onFailure = onFailure;
    this.states.transition("in transaction");
    return this.#fate = { ended: undefined };
  }

  /** True if no transaction has begun since this one. */
  isPresent(fate: Fate): boolean {
    return fate === this.#fate;
  }

  /**
   * Undefined if records of a partition may be sent now. Otherwise it is being registered: a promise, which never
   * rejects, for the moment to ask again.
   */
  admit(place: Place): Promise<void> | undefined {
    // Handed over in time, but on its way for too long: the transaction will not be committed, so it isn't sent.
    if (!this.#takesRecords()) return this.#dropUndrained();
    return this.#registration.admit(place);
  }

  /** A record of the transaction has failed, or one that was to be. */
  onFailed(error: KafkaError): void {
    // These have no sequence yet.
    if (error instanceof TransactionAbortedError) return;
    const isFenced = error.errorCode === PRODUCER_FENCED;
    if (isFenced || error.fatal || error.errorCode === TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
      this.#die(isFenced ? this.#fenced(error) : this.#fatal(error));
      return mark(error, "fatal");
    }
    const refusal = requiresAbort(error);
    mark(error, "requiresAbort");
    // A sequence may be missing in the log, or a request may still arrive: neither may meet the next transaction.
    this.identity.isSpent = true;
    if (this.#takesRecords()) this.#fail(error, refusal);
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
    await this.#offsets.commit(offsets, group, this.#deadline(), (error) => {
      // Given up before it was asked for, because of an abort or of another failure: that is what there is to tell.
      const isDropped = error instanceof UndecidedError && error.unanswered === 0 && !this.#takesRecords();
      return isDropped ? this.#notSent("offsets were") : this.#told(error);
    });
  }

  /** Commits or aborts. Rejects with the reason; what is left to do then is what the state allows. */
  end(kind: End): Promise<void> {
    const before = this.states.current;
    const ending = this.#end(kind);
    const { current } = this.states;
    // A call that isn't legal has changed nothing, and one that has ended at once isn't under way.
    if (current !== before && (current === "committing" || current === "aborting")) this.#underWay = ending;
    return ending;
  }

  async #end(kind: End): Promise<void> {
    let isAgain: boolean;
    try {
      isAgain = this.#beginEnd(kind);
    } catch (error) {
      return await this.refuse(error);
    }
    const ending = ++this.#endings;
    this.#outstanding.begin();
    try {
      if (!isAgain) {
        // Begun first, so that it is done when this goes on.
        if (kind === "abort") void this.#dropUndrained();
        // A serializer, an interceptor or a list of records may have called: what it works on is handed over first. And a
        // commit that can only fail ends before the abort: it is told of a failure that the abort's end forgets.
        await this.quiet();
        // Waited for only if there is something to wait for: a turn more, and the caches are colder.
        const settling = this.#host.settled();
        if (settling !== undefined) await settling;
        const registering = this.#registration.settled();
        if (registering !== undefined) await registering;
        const committing = this.#offsets.settled();
        if (committing !== undefined) await committing;
      }
      if (this.states.current === "fatal") throw this.#fatalError();
      if (kind === "commit" && this.failure !== undefined) {
        if (this.states.current === "committing") this.states.transition("abortable");
        throw this.#refusal!;
      }
      if (this.#hasSomething() && !this.#isOver) this.#conclude(kind, await this.#ending.run(kind));
      this.#fate.ended = kind;
      this.#prepareNext();
    } finally {
      // An abort may have begun while a commit that can only fail still waited for its records.
      if (ending === this.#endings) this.#underWay = undefined;
      this.#outstanding.end();
    }
  }

  /** Refuses a call that isn't legal now. Returns true if the same call was made before, and its outcome isn't known. */
  #beginEnd(kind: End): boolean {
    const { current } = this.states;
    if (current === "fatal") throw this.#fatalError();
    const isAgain = current === "unknown" && this.unknown === kind;
    const isLegal = isAgain || current === "in transaction" || (kind === "abort" && current === "abortable");
    if (kind === "commit" && current === "abortable") throw this.#refusal!;
    if (!isLegal) throw this.notNow(kind);
    this.states.transition(kind === "commit" ? "committing" : "aborting");
    if (kind === "abort" && !isAgain) this.#registration.drop();
    return isAgain;
  }

  /** Keeps the process alive until a promise has settled. */
  during<T>(promise: Promise<T>): Promise<T> {
    return this.#outstanding.during(promise);
  }

  /** Resolves when the commit or the abort that is under way has ended, however it did; undefined if none is. */
  quiet(): Promise<void> | undefined {
    return this.#underWay?.catch(() => {});
  }

  /**
   * Waits for what has begun to end, then aborts a transaction that is open still: a commit that fails leaves it open,
   * and whoever listens to its signal may abort it. Nothing happens to one that has begun after it.
   */
  async endOpen(fate: Fate = this.#fate): Promise<void> {
    // No turn is given away in between: a commit could begin there.
    for (let ending = this.quiet(); ending !== undefined; ending = this.quiet()) await ending;
    if (this.isPresent(fate) && this.states.mayAbort) await this.end("abort");
  }

  /** Ends every call that is under way. */
  close(): void {
    this.#outstanding.close();
    this.#calls.close();
  }

  /** Rejects in a turn of its own: whoever is refused at once may call again whatever it is told. */
  async refuse(reason: unknown): Promise<never> {
    await nextTurn(this.#runtime);
    throw reason;
  }

  /** Why a call isn't legal now: what is legal instead, and what has failed before, if anything. */
  notNow(call: string): KafkaError {
    if (this.states.current === "fatal") return this.#fatalError();
    const refusal = this.states.refusal(call);
    return this.failure === undefined ? refusal : Object.assign(refusal, { cause: this.failure });
  }

  /** Gets an identity: the first one, or the one after that it has. Calls share one attempt. */
  #initialize(): Promise<void> {
    return this.#initializing ??= this.#askForIdentity().finally(() => this.#initializing = undefined);
  }

  async #askForIdentity(): Promise<void> {
    this.states.transition("initializing");
    try {
      await this.identity.ask(this.#deadline());
    } catch (error) {
      if (error instanceof UndecidedError) {
        this.unknown = "init";
        this.states.transition("unknown");
        throw unknownOutcome("init", error);
      }
      if (error instanceof DecidedError && (error.action === "uninitialized" || error.action === "abortable")) {
        this.states.transition("uninitialized");
        throw error.error;
      }
      throw this.#told(error, "init");
    }
    this.unknown = undefined;
    this.states.transition("ready");
  }

  /** True as long as the transaction may be committed: only then records and offsets belong to it. */
  #takesRecords(): boolean {
    return this.states.current === "in transaction" || this.states.current === "committing";
  }

  #notSent(what?: "offsets were"): KafkaError {
    return this.states.current === "fatal" ? this.#fatalError() : notSent(this.failure, what);
  }

  /** Fails what was not sent, on a turn of its own: who tells of a failure, or aborts for one, is in the midst of a list. */
  #dropUndrained(): Promise<void> {
    return this.#dropping ??= Promise.resolve().then(() => {
      this.#dropping = undefined;
      if (!this.#takesRecords()) this.#host.failUndrained(this.#notSent());
    });
  }

  /** True if something of it may be known to a broker. */
  #hasSomething(): boolean {
    const { count, mayHaveAdded } = this.#registration;
    return count > 0 || mayHaveAdded || this.#offsets.hasAny || this.#offsets.mayHaveAdded;
  }

  /** Draws the conclusion of what has become of a commit or an abort; throws what the caller is told. */
  #conclude(kind: End, outcome: Outcome): void {
    switch (outcome.is) {
      case "done":
        this.unknown = undefined;
        return;
      case "unknown":
        // The same call may be made again, and nothing else.
        this.unknown = kind;
        this.states.transition("unknown");
        throw unknownOutcome(kind, outcome.error);
      case "timed out":
        this.#isOver = true;
        this.#fail(timedOut(this.#options.transactionTimeoutMs, outcome.refusal));
        throw this.#refusal!;
      case "taken over":
        throw this.#die(this.#fenced(outcome.refusal));
      case "refused":
        throw this.#told(outcome.error, kind);
    }
  }

  /** What must be done before the next transaction may begin; its begin() waits for it, and this one's end doesn't. */
  #prepareNext(): void {
    this.failure = this.#refusal = undefined;
    if (this.#hasSomething()) {
      const before = this.identity.version;
      this.identity.chooseVersion();
      if (this.identity.needsNext(before)) {
        void this.#outstanding.during(this.#initialize()).catch(() => {});
        return;
      }
    }
    this.identity.isSpent = false;
    this.states.transition("ready");
  }

  #fenced(cause: KafkaError): KafkaError {
    const { transactionalId, transactionTimeoutMs } = this.#options;
    const { current, version } = this.identity;
    return fenced({
      ...{ transactionalId, transactionTimeoutMs, identity: current },
      mayBeTimeout: version === 1 && this.#hasSomething(),
      isUnknown: this.#ending.unansweredCommits > 0,
    }, cause);
  }

  #fatal(cause: KafkaError, ending?: End | "init"): KafkaError {
    return fatal(cause, ending, this.#ending.unansweredCommits > 0);
  }

  /** Draws the conclusion of an error, and returns what the caller is told. */
  #told(error: unknown, ending?: End | "init"): KafkaError {
    if (error instanceof UndecidedError) {
      // No answer in time: what was asked may still be done.
      this.identity.isSpent = true;
      this.#fail(error);
      return requiresAbort(error);
    }
    if (!(error instanceof DecidedError)) return this.#die(internal(error));
    const { action, error: cause } = error;
    // Under version 2 offsets of a transaction that has timed out are refused alike: its abort tells which it is.
    const isDoubtful = ending === undefined && this.identity.version === 2 &&
      cause.errorCode === INVALID_PRODUCER_EPOCH;
    if (action === "fenced" && !isDoubtful) return this.#die(this.#fenced(cause));
    // Another abort would be refused as this one was.
    if (action === "fatal" || ending === "abort") return this.#die(this.#fatal(cause, ending));
    this.identity.isSpent = true;
    this.#fail(cause);
    return requiresAbort(cause);
  }

  #fail(error: KafkaError, refusal: KafkaError = requiresAbort(error)): void {
    const isFirst = this.failure === undefined;
    this.failure ??= error;
    this.#refusal ??= refusal;
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

  /** What has ended it. */
  #fatalError(): KafkaError {
    return this.failure!;
  }

  #deadline(): number {
    return this.#runtime.now() + this.#options.maxBlockMs;
  }
}

/** The caller who sees the record's own error learns from it what is left to do, unless that can't be changed. */
function mark(error: KafkaError, what: "fatal" | "requiresAbort"): void {
  try {
    Reflect.set(error, what, true);
  } catch {
    // Code of the caller's has thrown a proxy.
  }
}
