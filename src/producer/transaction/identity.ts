/**
 * Who a transactional producer is, and by which protocol: what InitProducerId and EndTxn hand out.
 *
 * @module
 */

import type { Broker } from "../../cluster/broker.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { UnsupportedVersionError } from "../../errors.ts";
import { INVALID_TRANSACTION_TIMEOUT } from "../../protocol/error_code_names.ts";
import { EndTxn } from "../../protocol/messages/end_txn.ts";
import { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { TxnOffsetCommit } from "../../protocol/messages/txn_offset_commit.ts";
import { TRANSACTION_V1_CAPS } from "../../protocol/negotiation.ts";
import type { Identity } from "../idempotence/identity.ts";
import type { TransactionCalls } from "./calls.ts";

const FEATURE = "transaction.version";
const VERSION_2_LEVEL = 2;
const INIT_WITH_IDENTITY = 3;
/**
 * The coordinator's own: it is there when the transaction of the epoch before has timed out, and EndTxn hands it out. A
 * transaction under it can't be ended: Kafka 4.1.1 answers EndTxn and InitProducerId with UNKNOWN_SERVER_ERROR ever after.
 */
const WEDGED_EPOCH = 32_767;

/** What the identity needs to know of the options. */
export interface IdentityOptions {
  readonly transactionalId: string;
  readonly transactionTimeoutMs: number;
}

/** The identity of one transactional producer. Epochs are never counted here: what a broker says is taken over. */
export class TransactionalIdentity {
  /** Who it is; undefined before the first answer. */
  current: Identity | undefined;
  /** The protocol of the present transaction, or of the next one. */
  version: 1 | 2 = 1;
  /** Another one is needed before the next transaction: the coordinator has raised the epoch, and its answer is missing. */
  isLost = false;
  /** The epoch must be raised before the next transaction (version 1): what was sent under it may still arrive. */
  isSpent = false;

  readonly #cluster: Cluster;
  readonly #calls: TransactionCalls;
  readonly #options: IdentityOptions;

  /** There is none yet. */
  constructor(cluster: Cluster, calls: TransactionCalls, options: IdentityOptions) {
    this.#cluster = cluster;
    this.#calls = calls;
    this.#options = options;
  }

  /** Gets the first one, or the one after that it has. Rejects as {@link TransactionCalls.run} does. */
  async ask(deadlineMs: number): Promise<void> {
    const { transactionalId, transactionTimeoutMs } = this.#options;
    // With it the coordinator refuses a producer that was fenced; without it that one would fence its successor.
    const { current } = this;
    this.current = await this.#calls.run({
      name: "InitProducerId",
      api: InitProducerId,
      coordinator: this.#calls.coordinator,
      deadlineMs,
      body: (version) => {
        if (current === undefined) return { transactionalId, transactionTimeoutMs };
        if (version >= INIT_WITH_IDENTITY) return { transactionalId, transactionTimeoutMs, ...current };
        throw new UnsupportedVersionError("Make a new producer: brokers before Kafka 2.5 can't raise an epoch.");
      },
      read: ({ errorCode, producerId, producerEpoch }) => ({
        ...{ errorCode, response: { producerId, producerEpoch } },
        detail: errorCode === INVALID_TRANSACTION_TIMEOUT ? `transactionTimeoutMs ${transactionTimeoutMs}` : undefined,
      }),
    });
    this.chooseVersion();
    this.isLost = false;
    this.isSpent = false;
    this.#calls.wasIndefinite = false;
  }

  /**
   * Takes over what EndTxn has handed out (version 2). Never epoch + 1: after the last epoch there is another id. A
   * coordinator that hands out none, or one of before, is asked for the next one.
   */
  adopt({ producerId, producerEpoch }: Identity): void {
    if (this.version === 1) return;
    const { current } = this;
    const isNext = producerId === current?.producerId ? producerEpoch > current.producerEpoch : producerId >= 0n;
    if (isNext) this.current = { producerId, producerEpoch };
    this.isLost = !isNext || producerEpoch === WEDGED_EPOCH;
  }

  /** By the finalized feature; a broker, or a proxy, that can't do version 2 keeps all to version 1. */
  chooseVersion(): void {
    const isFinalized = this.#calls.featureLevel(FEATURE) >= VERSION_2_LEVEL;
    this.version = isFinalized && this.#cluster.listed.every(offersVersion2) ? 2 : 1;
  }

  /** True if the next transaction can't begin under it, after one that had something in it and ended by `before`. */
  needsNext(before: 1 | 2): boolean {
    // An upgrade begins with an epoch of its own; under version 1 what is late must not meet the next transaction.
    const isDoubtful = this.isSpent || this.#calls.wasIndefinite;
    return this.isLost || (before === 1 && (isDoubtful || this.version === 2));
  }
}

/** True if a broker speaks what version 2 needs, or hasn't been heard yet. */
function offersVersion2({ versions }: Broker): boolean {
  if (versions === undefined) return true;
  return [Produce, EndTxn, TxnOffsetCommit].every(({ key, name }) =>
    (versions.get(key)?.max ?? -1) > TRANSACTION_V1_CAPS[name as keyof typeof TRANSACTION_V1_CAPS]
  );
}
