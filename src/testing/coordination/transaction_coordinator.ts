/**
 * Who remembers transactions: which producer has one open, under which epoch, where it has written, and how it ends.
 *
 * Both versions of the protocol are spoken. Under version 1 (Kafka 3) clients register partitions and an epoch lasts;
 * under version 2 (KIP-890, Kafka 4) the broker registers them, and every end of a transaction raises the epoch. All
 * codes were measured on Kafka 3.9.1 and 4.1.1.
 *
 * What is decided is written down at once, and outlives every broker. Markers may take their time: see
 * {@link TransactionOptions.markerLagMs}.
 *
 * @module
 */

import {
  CONCURRENT_TRANSACTIONS,
  INVALID_PRODUCER_ID_MAPPING,
  INVALID_REQUEST,
  INVALID_TRANSACTION_TIMEOUT,
  INVALID_TXN_STATE,
  PRODUCER_FENCED,
  TRANSACTION_ABORTABLE,
  UNKNOWN_SERVER_ERROR,
  UNSUPPORTED_VERSION,
} from "../../protocol/error_code_names.ts";
import { readOptions, refuse } from "../../call_options.ts";
import type { Timer } from "../../runtime/runtime.ts";
import type { GroupCoordinator, GroupCoordinatorHost } from "./group_coordinator.ts";
import { checkNumber } from "../check_number.ts";
import { controlBatch } from "../storage/control_batch.ts";
import type { Replica, ReplicatedPartition } from "../storage/replica.ts";

/** How the transaction coordinator works. */
export interface TransactionOptions {
  /** `transaction.max.timeout.ms`: who wants longer transactions is refused with 50. @default 900_000 */
  readonly maxTimeoutMs?: number;
  /**
   * How long after a decision its markers are in the logs, in ms; until then the next transaction is answered 51.
   * `Infinity`: never. @default 0
   */
  readonly markerLagMs?: number;
  /**
   * What a commit is answered under version 2 after the coordinator has aborted the transaction: 48 up to Kafka 4.4.0,
   * 90 later (KAFKA-20785). @default 48
   */
  readonly commitAfterAbort?: 48 | 90;
}

/** A transaction's state, in Kafka's words. */
export type TransactionState =
  | "Empty"
  | "Ongoing"
  | "PrepareCommit"
  | "PrepareAbort"
  | "CompleteCommit"
  | "CompleteAbort";

/** What is known of a transactional id. */
export interface TransactionDescription {
  /** The transactional id. */
  readonly transactionalId: string;
  /** Its producer id. */
  readonly producerId: bigint;
  /** The epoch that is good at present. */
  readonly producerEpoch: number;
  /** Where its transaction stands. */
  readonly state: TransactionState;
  /** After how long the coordinator aborts it, in ms. */
  readonly timeoutMs: number;
  /** When the open transaction began, in ms since 1970; -1 if none is open. */
  readonly startedAtMs: number;
  /** The partitions that it writes to, as `topic-partition`. */
  readonly partitions: readonly string[];
  /** The groups whose offsets it commits. */
  readonly groups: readonly string[];
}

/** A producer id and an epoch, or why there are none. */
export interface ProducerIdentity {
  /** Kafka's number. */
  readonly errorCode: number;
  /** The producer id. */
  readonly producerId: bigint;
  /** The epoch. */
  readonly producerEpoch: number;
}

const NO_EPOCH = -1;
const NO_PRODUCER = -1n;
/** The last epoch that a producer gets; the one after it is for the coordinator's own use. */
const LAST_EPOCH = 32_766;
/** How often markers are tried that couldn't be written. */
const MARKER_RETRY_MS = 50;

interface Transaction {
  readonly id: string;
  producerId: bigint;
  previousProducerId: bigint;
  epoch: number;
  lastEpoch: number;
  timeoutMs: number;
  state: TransactionState;
  startedAtMs: number;
  readonly partitions: Set<ReplicatedPartition>;
  readonly groups: Set<string>;
  /** A step was begun that can't be written down and is never finished, as after a downgrade. */
  isStuck: boolean;
  /** A transaction has begun under the epoch behind the last one: nothing about it succeeds any more. */
  isBroken: boolean;
  expiry: Timer | undefined;
}

/** A partition's marker that is under way. */
interface MarkerWrite {
  /** The leader that has it in its log, and under which epoch; undefined while nobody has. */
  leader?: Replica;
  leaderEpoch?: number;
  endOffset?: bigint;
}

/** What the transaction coordinator takes from its cluster. */
export interface TransactionCoordinatorHost extends GroupCoordinatorHost {
  /** Who remembers groups. */
  readonly groups: GroupCoordinator;
}

/** The transaction coordinator of one cluster. */
export class TransactionCoordinator {
  readonly #cluster: TransactionCoordinatorHost;
  readonly #transactions = new Map<string, Transaction>();
  readonly #timers = new Set<Timer>();
  /** Markers that are written when they are no longer to be held back for ever. */
  #heldBack: (() => void)[] = [];
  #options: Required<TransactionOptions>;
  #closed = false;

  /** @internal For one cluster. */
  constructor(cluster: TransactionCoordinatorHost, options?: TransactionOptions) {
    this.#cluster = cluster;
    this.#options = { maxTimeoutMs: 900_000, markerLagMs: 0, commitAfterAbort: 48, ...readTransactionOptions(options) };
  }

  /** Changes how it works from now on. */
  configure(options: TransactionOptions): void {
    this.#options = { ...this.#options, ...readTransactionOptions(options) };
    if (this.#options.markerLagMs === Infinity) return;
    for (const write of this.#heldBack.splice(0)) this.#later(write, this.#options.markerLagMs);
  }

  /** What is known of a transactional id. */
  describe(transactionalId: string): TransactionDescription | undefined {
    const transaction = this.#transactions.get(transactionalId);
    if (transaction === undefined) return undefined;
    const { epoch, groups, id, partitions, producerId, startedAtMs, state, timeoutMs } = transaction;
    return {
      ...{ transactionalId: id, producerId, producerEpoch: epoch, state, timeoutMs, startedAtMs },
      partitions: [...partitions].map(({ name }) => name),
      groups: [...groups],
    };
  }

  /** The transactional ids that are known. */
  get transactionalIds(): string[] {
    return [...this.#transactions.keys()];
  }

  /** Forgets a transactional id, as `transactional.id.expiration.ms` does. */
  expire(transactionalId: string): void {
    this.#transactions.get(transactionalId)?.expiry?.cancel();
    this.#transactions.delete(transactionalId);
  }

  /** Gives a transactional id's producer another epoch, for tests near its end. */
  setEpoch(transactionalId: string, epoch: number): void {
    const transaction = this.#transactions.get(transactionalId);
    if (transaction === undefined) refuse("transactionalId", "one that was initialized", transactionalId);
    if (!Number.isInteger(epoch) || epoch < 0 || epoch > LAST_EPOCH) refuse("epoch", `0 to ${LAST_EPOCH}`, epoch);
    transaction.epoch = epoch;
    transaction.lastEpoch = NO_EPOCH;
  }

  /** @internal Hands out an identity; the producer that had one before is fenced, and what it has open is aborted. */
  initProducerId(
    id: string,
    timeoutMs: number,
    expected: { readonly producerId: bigint; readonly epoch: number } | undefined,
  ): ProducerIdentity {
    if (timeoutMs <= 0 || timeoutMs > this.#options.maxTimeoutMs) return refused(INVALID_TRANSACTION_TIMEOUT);
    const transaction = this.#transactions.get(id) ?? this.#create(id);
    // Before anything is looked at, as Kafka does while a step of its own is under way.
    const busy = busyCode(transaction);
    if (busy !== 0) return refused(busy);
    const isOwn = expected === undefined || transaction.epoch === NO_EPOCH ||
      expected.producerId === transaction.producerId ||
      (expected.producerId === transaction.previousProducerId && expected.epoch >= LAST_EPOCH);
    if (!isOwn) return refused(PRODUCER_FENCED);
    if (transaction.state === "Ongoing") {
      this.#fence(transaction);
      return refused(CONCURRENT_TRANSACTIONS);
    }
    const { epoch } = transaction;
    if (epoch >= LAST_EPOCH && (expected === undefined || expected.epoch === epoch)) {
      transaction.previousProducerId = transaction.producerId;
      transaction.producerId = this.#cluster.nextProducerId();
      transaction.epoch = 0;
      transaction.lastEpoch = expected === undefined ? NO_EPOCH : epoch;
    } else if (expected === undefined) {
      transaction.epoch = epoch + 1;
      transaction.lastEpoch = NO_EPOCH;
    } else if (epoch === NO_EPOCH || expected.epoch === epoch) {
      transaction.epoch = epoch + 1;
      transaction.lastEpoch = epoch;
    } else {
      const refusal = retryCode(transaction, expected.epoch);
      if (refusal !== 0) return refused(refusal);
    }
    transaction.timeoutMs = timeoutMs;
    transaction.state = "Empty";
    transaction.startedAtMs = -1;
    return identityOf(transaction);
  }

  /** @internal Adds partitions and groups to the open transaction, or opens one. */
  add(
    id: string,
    producerId: bigint,
    epoch: number,
    partitions: readonly ReplicatedPartition[],
    groups: readonly string[],
    isVersion2: boolean,
  ): number {
    if (id === "") return INVALID_REQUEST;
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) return INVALID_PRODUCER_ID_MAPPING;
    if (transaction.producerId !== producerId) return INVALID_PRODUCER_ID_MAPPING;
    if (transaction.epoch !== epoch) return PRODUCER_FENCED;
    if (transaction.isStuck || isPreparing(transaction)) return CONCURRENT_TRANSACTIONS;
    const { state } = transaction;
    const hasAll = partitions.every((it) => transaction.partitions.has(it)) &&
      groups.every((group) => transaction.groups.has(group));
    if (state === "Ongoing" && hasAll) return 0;
    // What version 2 writes down doesn't fit the format of version 0, and the step is never finished.
    if (isVersion2 && this.#level === 0) {
      transaction.isStuck = true;
      return UNSUPPORTED_VERSION;
    }
    for (const partition of partitions) transaction.partitions.add(partition);
    for (const group of groups) transaction.groups.add(group);
    if (state !== "Ongoing") {
      transaction.state = "Ongoing";
      // Whoever retries under an id that was given up comes too late now.
      transaction.previousProducerId = NO_PRODUCER;
      transaction.startedAtMs = this.#cluster.clock.wallNow();
      transaction.expiry = this.#later(() => this.#timeOut(transaction), transaction.timeoutMs);
    }
    return 0;
  }

  /** @internal Whether what is about to be written belongs to the open transaction. */
  verify(id: string, producerId: bigint, epoch: number, added: ReplicatedPartition | string): number {
    if (id === "") return INVALID_REQUEST;
    const transaction = this.#transactions.get(id);
    if (transaction === undefined || transaction.producerId !== producerId) return INVALID_PRODUCER_ID_MAPPING;
    if (transaction.epoch !== epoch) return PRODUCER_FENCED;
    if (isPreparing(transaction)) return CONCURRENT_TRANSACTIONS;
    const isIn = typeof added === "string" ? transaction.groups.has(added) : transaction.partitions.has(added);
    return transaction.state === "Ongoing" && isIn ? 0 : TRANSACTION_ABORTABLE;
  }

  /** @internal Commits or aborts. */
  end(id: string, producerId: bigint, epoch: number, isCommit: boolean, isVersion2: boolean): ProducerIdentity {
    if (id === "") return refused(INVALID_REQUEST);
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) return refused(INVALID_PRODUCER_ID_MAPPING);
    return isVersion2
      ? this.#endVersion2(transaction, producerId, epoch, isCommit)
      : this.#endVersion1(transaction, producerId, epoch, isCommit);
  }

  /** @internal Cancels what would happen later. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #endVersion1(transaction: Transaction, producerId: bigint, epoch: number, isCommit: boolean): ProducerIdentity {
    if (transaction.producerId !== producerId) return refused(INVALID_PRODUCER_ID_MAPPING);
    if (transaction.epoch !== epoch) return refused(PRODUCER_FENCED);
    if (transaction.isStuck || isPreparing(transaction)) return refused(CONCURRENT_TRANSACTIONS);
    const { state } = transaction;
    if (state === "Ongoing") {
      this.#prepare(transaction, isCommit, transaction.epoch);
      return identityOf(transaction);
    }
    if (state === (isCommit ? "CompleteCommit" : "CompleteAbort")) return identityOf(transaction);
    return refused(INVALID_TXN_STATE);
  }

  #endVersion2(transaction: Transaction, producerId: bigint, epoch: number, isCommit: boolean): ProducerIdentity {
    const { state } = transaction;
    // While markers are written Kafka looks at nothing else. A producer may come with the epoch that the last answer
    // gave it, to abort what never got to a broker: it isn't fenced.
    if (transaction.isStuck || isPreparing(transaction)) return refused(CONCURRENT_TRANSACTIONS);
    const isAfterRotation = transaction.previousProducerId === producerId && epoch === LAST_EPOCH &&
      transaction.epoch === 0;
    if (transaction.producerId !== producerId && !isAfterRotation) return refused(INVALID_PRODUCER_ID_MAPPING);
    const isRetry = isAfterRotation || transaction.epoch === epoch + 1;
    const isCurrent = transaction.epoch === epoch && !isAfterRotation;
    const isComplete = state === "CompleteCommit" || state === "CompleteAbort";
    if (!isCurrent && !(isRetry && isComplete)) return refused(PRODUCER_FENCED);
    if (state === "Ongoing") return this.#endAndBump(transaction, isCommit);
    // Nothing was registered: an abort is taken all the same, because the producer may not know that.
    if (isCurrent) return isCommit ? refused(INVALID_TXN_STATE) : this.#endAndBump(transaction, false);
    if (isCommit === (state === "CompleteCommit")) return identityOf(transaction);
    return refused(isCommit ? this.#options.commitAfterAbort : INVALID_TXN_STATE);
  }

  #endAndBump(transaction: Transaction, isCommit: boolean): ProducerIdentity {
    if (this.#level === 0) {
      transaction.isStuck = true;
      return refused(UNSUPPORTED_VERSION);
    }
    const { epoch } = transaction;
    // There is no epoch behind it, and Kafka fails at each attempt from then on.
    if (epoch > LAST_EPOCH) {
      transaction.isBroken = true;
      return refused(UNKNOWN_SERVER_ERROR);
    }
    transaction.lastEpoch = epoch;
    if (epoch < LAST_EPOCH) {
      this.#prepare(transaction, isCommit, epoch + 1);
      return identityOf(transaction);
    }
    const producerId = this.#cluster.nextProducerId();
    this.#prepare(transaction, isCommit, epoch + 1, producerId);
    return { errorCode: 0, producerId, producerEpoch: 0 };
  }

  /** Aborts what is open under an epoch that no client has: by timeout, or because another producer takes over. */
  #fence(transaction: Transaction): void {
    transaction.isStuck = false;
    transaction.lastEpoch = this.#level >= 2 ? transaction.epoch : NO_EPOCH;
    this.#prepare(transaction, false, transaction.epoch + 1);
  }

  #timeOut(transaction: Transaction): void {
    if (transaction.state === "Ongoing") this.#fence(transaction);
  }

  /** Writes the decision down; then the markers, then that it is complete. */
  #prepare(transaction: Transaction, isCommit: boolean, epoch: number, nextProducerId?: bigint): void {
    transaction.expiry?.cancel();
    transaction.state = isCommit ? "PrepareCommit" : "PrepareAbort";
    transaction.epoch = epoch;
    const writes = new Map<ReplicatedPartition, MarkerWrite>(
      [...transaction.partitions].map((partition) => [partition, {}]),
    );
    const write = (): void => {
      if (!this.#writeMarkers(transaction, isCommit, writes)) return void this.#later(write, MARKER_RETRY_MS);
      for (const group of transaction.groups) this.#cluster.groups.endTransaction(group, transaction, isCommit);
      transaction.partitions.clear();
      transaction.groups.clear();
      transaction.startedAtMs = -1;
      transaction.state = isCommit ? "CompleteCommit" : "CompleteAbort";
      if (nextProducerId === undefined) return;
      transaction.previousProducerId = transaction.producerId;
      transaction.producerId = nextProducerId;
      transaction.epoch = 0;
    };
    const { markerLagMs } = this.#options;
    if (markerLagMs <= 0) write();
    else if (markerLagMs === Infinity) this.#heldBack.push(write);
    else this.#later(write, markerLagMs);
  }

  /** Writes the markers that can be written; says whether all are in the logs for good. */
  #writeMarkers(transaction: Transaction, isCommit: boolean, writes: Map<ReplicatedPartition, MarkerWrite>): boolean {
    const { coordinators, controller } = this.#cluster;
    if (coordinators.refusal("transaction", transaction.id) !== 0) return false;
    const coordinator = coordinators.find("transaction", transaction.id)!;
    for (const [partition, write] of writes) {
      if (controller.topics.get(partition.topic.name) !== partition.topic) {
        writes.delete(partition);
        continue;
      }
      const leader = partition.replica(partition.state.leaderId);
      if (!leader?.isLeader || !controller.canReach(coordinator.id, leader.brokerId)) continue;
      this.#writeMarker(transaction, isCommit, leader, write);
      if (write.leader === leader && leader.highWatermark >= write.endOffset!) writes.delete(partition);
    }
    return writes.size === 0;
  }

  #writeMarker(transaction: Transaction, isCommit: boolean, leader: Replica, write: MarkerWrite): void {
    const { isr, leaderEpoch, replicas } = leader.state;
    if (write.leader === leader && write.leaderEpoch === leaderEpoch) return;
    if (isr.length < Math.min(leader.partition.topic.rules.minInsyncReplicas, replicas.length)) return;
    const { clock, controller, coordinators } = this.#cluster;
    const { epoch, id, producerId } = transaction;
    write.leader = leader;
    write.leaderEpoch = leaderEpoch;
    write.endOffset = leader.log.endOffset;
    // A producer with a later epoch has written since: its transaction is none of this one's business.
    if ((leader.producers.lastOf(producerId)?.epoch ?? NO_EPOCH) > epoch) return;
    const timestampMs = clock.wallNow();
    const coordinatorEpoch = coordinators.epochOf("transaction", id);
    const marker = controlBatch({ producerId, producerEpoch: epoch, isCommit, timestampMs, coordinatorEpoch });
    const { lastOffset } = leader.append(marker, {
      leaderEpoch,
      maxTimestampMs: BigInt(timestampMs),
      appendedAtMs: clock.now(),
      transactional: { producerId, epoch, kind: isCommit ? "commit" : "abort", coordinatorEpoch },
    });
    write.endOffset = lastOffset + 1n;
    controller.appended(leader);
  }

  #create(id: string): Transaction {
    const transaction: Transaction = {
      id,
      producerId: this.#cluster.nextProducerId(),
      previousProducerId: NO_PRODUCER,
      epoch: NO_EPOCH,
      lastEpoch: NO_EPOCH,
      timeoutMs: 0,
      state: "Empty",
      startedAtMs: -1,
      partitions: new Set(),
      groups: new Set(),
      isStuck: false,
      isBroken: false,
      expiry: undefined,
    };
    this.#transactions.set(id, transaction);
    return transaction;
  }

  /** The finalized `transaction.version`. */
  get #level(): number {
    return this.#cluster.finalizedFeatures["transaction.version"] ?? 0;
  }

  #later(callback: () => void, delayMs: number): Timer {
    const timer = this.#cluster.clock.setTimer(() => {
      this.#timers.delete(timer);
      if (!this.#closed) callback();
    }, delayMs);
    timer.unref?.();
    this.#timers.add(timer);
    return {
      cancel: () => {
        this.#timers.delete(timer);
        timer.cancel();
      },
    };
  }
}

/** The decision is written down, and its markers are not in the logs yet. */
function isPreparing({ state }: Transaction): boolean {
  return state === "PrepareCommit" || state === "PrepareAbort";
}

/** Why nothing can be begun at present; 0 if it can. */
function busyCode(transaction: Transaction): number {
  if (transaction.isBroken) return UNKNOWN_SERVER_ERROR;
  return transaction.isStuck || isPreparing(transaction) ? CONCURRENT_TRANSACTIONS : 0;
}

/** Why a producer of another epoch gets none; 0 if it asks again, because it has missed the answer. */
function retryCode({ epoch, lastEpoch }: Transaction, expectedEpoch: number): number {
  if (expectedEpoch !== lastEpoch) return PRODUCER_FENCED;
  // Kafka 4.1.1 fails at the epoch behind the last one.
  return epoch > LAST_EPOCH ? UNKNOWN_SERVER_ERROR : 0;
}

function identityOf({ epoch, producerId }: Transaction): ProducerIdentity {
  return { errorCode: 0, producerId, producerEpoch: epoch };
}

function refused(errorCode: number): ProducerIdentity {
  return { errorCode, producerId: NO_PRODUCER, producerEpoch: NO_EPOCH };
}

function readTransactionOptions(options: unknown): TransactionOptions {
  const names = ["maxTimeoutMs", "markerLagMs", "commitAfterAbort"] as const;
  const read = readOptions("transactions", options, names);
  checkNumber("maxTimeoutMs", read.maxTimeoutMs, 1);
  checkNumber("markerLagMs", read.markerLagMs, 0);
  const { commitAfterAbort } = read;
  if (commitAfterAbort !== undefined && commitAfterAbort !== 48 && commitAfterAbort !== 90) {
    refuse("commitAfterAbort", "48 or 90", commitAfterAbort);
  }
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
}
