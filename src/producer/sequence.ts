/**
 * Idempotence (KIP-98, KIP-360): who the producer is, which sequence a batch gets, and when the epoch is raised.
 *
 * The rules, in the words of Kafka's own client: a sequence is taken when a batch is first drained and never given
 * back; every retry carries the same stamp. When a stamped batch has ended without being known to be in the log, its
 * partition is *unresolved*: what is stamped already is sent again, one at a time, and the broker's answer tells. A
 * later batch accepted means that the earlier one is in the log too. An out-of-order answer to the first that is
 * left, or nothing left, means a gap: the epoch is raised, what is left is stamped anew from sequence 0.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import { Backoff } from "../cluster/backoff.ts";
import type { PartitionMetadata } from "../cluster/metadata.ts";
import { sleep } from "../cluster/sleep.ts";
import { KafkaError, ProtocolError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { InitProducerId } from "../protocol/messages/init_producer_id.ts";
import { type ProducerStamp, SEQUENCE_SPACE } from "../protocol/record_batch.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Batch } from "./batch.ts";

const MAX_EPOCH = 32_767;
/** How long one broker may take to give an id before the next one is asked. */
const PATIENCE_MS = 5_000;
const MAX_INT32 = 2_147_483_647;

/** What the identity needs to know of the options. */
export interface IdentityOptions {
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
}

/** The producer id and epoch of one producer. */
export class ProducerIdentity {
  /** The id that a broker gave; −1n while there is none. */
  producerId = -1n;
  /** Raised by the producer itself after a gap; −1 while there is no id. */
  producerEpoch = -1;
  /** Why the last request for an id failed. */
  lastError: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: IdentityOptions;
  readonly #closing = new AbortController();
  #acquiring: Promise<KafkaError | undefined> | undefined;

  /** Makes an identity without an id. */
  constructor(runtime: Runtime, cluster: Cluster, options: IdentityOptions) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
  }

  /** True while there is an id. */
  get held(): boolean {
    return this.producerId >= 0n;
  }

  /**
   * Asks for an id, one broker after the other until one gives it; calls share the attempt.
   *
   * @returns undefined, or the error that makes further attempts useless
   */
  acquire(): Promise<KafkaError | undefined> {
    if (this.held) return Promise.resolve(undefined);
    this.#acquiring ??= this.#acquire().finally(() => this.#acquiring = undefined);
    return this.#acquiring;
  }

  /** Raises the epoch; no broker is asked. When there is none left, the id is given up for a new one. */
  bumpEpoch(): void {
    if (this.producerEpoch < MAX_EPOCH) {
      this.producerEpoch += 1;
    } else {
      this.producerId = -1n;
      this.producerEpoch = -1;
    }
  }

  /** Ends the attempts. */
  close(): void {
    this.#closing.abort();
  }

  async #acquire(): Promise<KafkaError | undefined> {
    const { retryBackoffMs, retryBackoffMaxMs, requestTimeoutMs } = this.#options;
    const backoff = new Backoff(retryBackoffMs, retryBackoffMaxMs, () => this.#runtime.random());
    const { signal } = this.#closing;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const connection = await this.#cluster.anyConnection();
        const version = connection.version(InitProducerId);
        const answer = await connection.request(InitProducerId, version, {
          transactionalId: null,
          // The field means nothing without a transactional id; Java sends the largest value.
          transactionTimeoutMs: MAX_INT32,
        }, Math.min(requestTimeoutMs, PATIENCE_MS));
        if (answer.errorCode !== 0) throw brokerError(answer.errorCode, { api: "InitProducerId" });
        if (answer.producerId < 0n) throw new ProtocolError(`InitProducerId gave the id ${answer.producerId}.`);
        this.producerId = answer.producerId;
        this.producerEpoch = answer.producerEpoch;
        this.lastError = undefined;
        return undefined;
      } catch (error) {
        this.lastError = error instanceof KafkaError ? error : undefined;
        if (!(error instanceof KafkaError)) throw error;
        // Rubbish from one server says nothing of the others.
        if (!error.retriable && !(error instanceof ProtocolError)) return error;
        await sleep(this.#runtime, backoff.delayMs(attempt), signal);
      }
    }
    return this.lastError;
  }
}

/** The sequence numbers of one partition. They outlive the partition's metadata: a used sequence is never reused. */
export class PartitionSequence {
  /** A stamped batch has ended, and nobody knows yet whether it is in the log (delivery rule I7). */
  unresolved = false;
  /** The stamped batches that wait to be sent again get new stamps as soon as there is an identity for them. */
  rewrite = false;

  #producerId = -1n;
  #producerEpoch = -1;
  #next = 0;
  #unresolvedOrdinal = -1;
  #provenLeader: PartitionMetadata = { leaderId: -1, leaderEpoch: -1 };
  #proven = false;

  /** True when new batches get the identity's present id and epoch. */
  isAt(identity: ProducerIdentity): boolean {
    return this.#producerId === identity.producerId && this.#producerEpoch === identity.producerEpoch;
  }

  /** Starts at sequence 0 under the identity's present id and epoch. */
  adopt(identity: ProducerIdentity): void {
    this.#producerId = identity.producerId;
    this.#producerEpoch = identity.producerEpoch;
    this.#next = 0;
    this.#proven = false;
    this.unresolved = false;
    this.rewrite = false;
  }

  /** Takes the next sequences. They are not given back, whatever becomes of the batch. */
  stamp(recordCount: number): ProducerStamp {
    const baseSequence = this.#next;
    this.#next = (baseSequence + recordCount) % SEQUENCE_SPACE;
    return { producerId: this.#producerId, producerEpoch: this.#producerEpoch, baseSequence };
  }

  /**
   * True once this leader has accepted a batch of the present epoch. Until then one batch is in flight at a time: a
   * broker that knows nothing of a producer accepts any first sequence, also that of the second batch (hazard H1).
   */
  isProvenAt(leader: PartitionMetadata): boolean {
    // The same object, not the same numbers: a topic that was created anew starts again at leader epoch 0.
    return this.#proven && this.#provenLeader === leader;
  }

  /** A batch was accepted. If it came after the one in doubt, that one must be in the log as well. */
  accepted(batch: Batch, leader: PartitionMetadata): void {
    const present = batch.stamp.producerId === this.#producerId && batch.stamp.producerEpoch === this.#producerEpoch;
    if (!present) return;
    this.#proven = true;
    this.#provenLeader = leader;
    if (batch.ordinal >= this.#unresolvedOrdinal) this.unresolved = false;
  }

  /** A batch was refused or lost: the next one goes alone until the leader has accepted something again. */
  disturbed(): void {
    this.#proven = false;
  }

  /** A stamped batch has ended without being known to be in the log. */
  doubt(batch: Batch): void {
    this.unresolved = true;
    this.#unresolvedOrdinal = Math.max(this.#unresolvedOrdinal, batch.ordinal);
    this.#proven = false;
  }
}
