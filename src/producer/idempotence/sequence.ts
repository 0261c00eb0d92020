/**
 * Idempotence (KIP-98, KIP-360): who the producer is, which sequence a batch gets, and when the epoch is raised.
 *
 * The rules, in the words of Kafka's own client: a sequence is taken when a batch is first drained and never given
 * back (but for records that the broker has refused, see {@link PartitionSequence.shortened}); every retry carries the
 * same stamp. When a stamped batch has ended without being known to be in the log, its partition is *unresolved*: what
 * is stamped already is sent again, one at a time, and the broker's answer tells. A later batch accepted means that the
 * earlier one is in the log too. An out-of-order answer to the first that is left proves little if that one may be in
 * the log: a broker that has started again knows only the last batch of a producer (Kafka 4.1.1), so those behind it
 * are asked for first. If none of them is known either, or nothing is left, there is a gap: the epoch is raised. What
 * is certainly not in the log is stamped anew from sequence 0; what may be fails, for an attempt that a broker hasn't
 * read yet would stand beside the new one.
 *
 * @module
 */

import { formatAddress } from "../../cluster/address.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { Backoff } from "../../cluster/backoff.ts";
import type { Connection } from "../../cluster/connection.ts";
import type { AheadRequest } from "../../cluster/enquiry.ts";
import type { PartitionMetadata } from "../../cluster/metadata.ts";
import { sleep } from "../../cluster/sleep.ts";
import { ConfigError, KafkaError, ProtocolError, TimeoutError, UnsupportedVersionError } from "../../errors.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import { type ProducerStamp, SEQUENCE_SPACE } from "../../protocol/record_batch.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Batch } from "../accumulator/batch.ts";
import type { ProducerHooks } from "../observe/hooks.ts";

const MAX_EPOCH = 32_767;
/** How long one broker may take to give an id before the next one is asked. */
const PATIENCE_MS = 5_000;
/** How long a request that goes with a handshake is the only one of its kind. */
const AHEAD_MS = 1_000;
const MAX_INT32 = 2_147_483_647;

/** What the identity needs to know of the options. */
export interface IdentityOptions {
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  /** Who is told of a raised epoch. */
  readonly hooks?: ProducerHooks | undefined;
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
  /** Requests that go with a handshake, of which nobody has seen the outcome yet. */
  #ahead: AheadOfUse[] = [];
  #aheadAtMs = -Infinity;
  /** A broker is asked in the ordinary way. */
  #asking = false;

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
    this.#acquiring ??= this.#acquire().finally(() => {
      this.#acquiring = undefined;
      this.#asking = false;
    });
    return this.#acquiring;
  }

  /** What to write together with the handshake of the next broker, so that {@link acquire} finds the answer there. */
  ahead(): AheadRequest | undefined {
    const nowMs = this.#runtime.now();
    // One at a time; but a server that hangs must not keep the next one from being asked.
    if (this.held || this.#asking || nowMs < this.#aheadAtMs + AHEAD_MS) return undefined;
    this.#aheadAtMs = nowMs;
    const ahead = new AheadOfUse();
    this.#ahead = [...this.#ahead.filter(({ hasEnded }) => !hasEnded), ahead];
    return {
      api: InitProducerId,
      ask: (connection, version) => {
        ahead.connection = connection;
        // Not less patient than the handshake: the one must not be the end of the other.
        this.#ask(connection, version, this.#options.requestTimeoutMs).then(() => ahead.end(undefined), ahead.end);
      },
      lost: () => ahead.end(undefined),
    };
  }

  /** Raises the epoch; no broker is asked. When there is none left, the id is given up for a new one. */
  bumpEpoch(): void {
    if (this.producerEpoch < MAX_EPOCH) {
      this.producerEpoch += 1;
    } else {
      this.producerId = -1n;
      this.producerEpoch = -1;
    }
    const { producerId, producerEpoch } = this;
    this.#options.hooks?.onEpochBump?.({ producerId, producerEpoch });
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
        const patienceMs = Math.min(requestTimeoutMs, PATIENCE_MS);
        await this.#awaitAhead(patienceMs);
        if (!this.held) {
          const connection = await this.#cluster.anyConnection();
          // That one may have been asked together with the handshake.
          await this.#awaitAhead(patienceMs);
          this.#asking = true;
          if (!this.held) await this.#ask(connection, versionAt(connection), patienceMs);
        }
        this.lastError = undefined;
        return undefined;
      } catch (error) {
        this.#asking = false;
        this.lastError = error instanceof KafkaError ? error : undefined;
        if (!(error instanceof KafkaError)) throw error;
        // Rubbish from one server says nothing of the others; nor does one that must not be dialled.
        const isOwn = error instanceof ProtocolError || (error instanceof ConfigError && !this.#cluster.isHopeless);
        if (!error.retriable && !isOwn) return error;
        await sleep(this.#runtime, backoff.delayMs(attempt), signal);
      }
    }
    return this.lastError;
  }

  /** Waits for what went with a handshake. Throws a broker's refusal; whatever else went wrong is asked again. */
  async #awaitAhead(patienceMs: number): Promise<void> {
    const waiting = new Set(this.#ahead.splice(0));
    if (waiting.size === 0 || this.held) return;
    let refusal: KafkaError | undefined;
    let tired = false;
    let giveUp = (): void => {};
    const timeout = new Promise<void>((resolve) => giveUp = resolve);
    const timer = this.#runtime.setTimer(() => {
      tired = true;
      giveUp();
    }, patienceMs);
    while (waiting.size > 0 && !this.held && !tired) {
      await Promise.race([timeout, ...[...waiting].map(({ ended }) => ended)]);
      for (const ahead of waiting) {
        if (ahead.hasEnded) waiting.delete(ahead);
        if (ahead.error instanceof KafkaError && ahead.error.errorCode !== undefined) refusal = ahead.error;
      }
    }
    timer.cancel();
    // A broker that doesn't answer this leaves unread what comes after it, too.
    if (tired) { for (const { connection } of waiting) connection?.destroy(silentError(connection)); }
    if (refusal !== undefined && !this.held) throw refusal;
  }

  async #ask(connection: Connection, version: number, timeoutMs: number): Promise<void> {
    const answer = await connection.request(InitProducerId, version, {
      transactionalId: null,
      // The field means nothing without a transactional id; Java sends the largest value.
      transactionTimeoutMs: MAX_INT32,
    }, timeoutMs);
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, { api: "InitProducerId", broker: formatAddress(connection.address) });
    }
    // Two servers may have been asked. The first answer counts: records may carry that id already.
    if (this.held) return;
    this.producerId = answer.producerId;
    this.producerEpoch = answer.producerEpoch;
  }
}

/** The version to ask in. Throws, with the way out, where there is no such request: idempotence needs it. */
function versionAt(connection: Connection): number {
  try {
    return connection.version(InitProducerId);
  } catch (cause) {
    const broker = formatAddress(connection.address);
    const message =
      `Set "idempotent" to false, or use a broker that gives producer ids: ${broker} has no InitProducerId ` +
      "that this client speaks.";
    throw new UnsupportedVersionError(message, { broker, cause });
  }
}

/** A request for an id that goes with a handshake. */
class AheadOfUse {
  connection: Connection | undefined;
  error: unknown;
  hasEnded = false;
  readonly ended: Promise<void>;
  end: (error: unknown) => void = () => {};

  constructor() {
    this.ended = new Promise((resolve) => {
      this.end = (error) => {
        if (this.hasEnded) return;
        this.error = error;
        this.hasEnded = true;
        resolve();
      };
    });
  }
}

function silentError({ address }: Connection): TimeoutError {
  const broker = formatAddress(address);
  const message = `The broker at ${broker} didn't answer InitProducerId in time.`;
  return new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker });
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
  /** The sequence that follows what was accepted last. */
  #ackedEnd = 0;

  /** Offset of the last record that was accepted, as far as it is known; −1 before. Only definite answers count (H6). */
  lastAckedOffset = -1n;

  /** True when new batches get the identity's present id and epoch. */
  isAt(identity: ProducerIdentity): boolean {
    return this.#producerId === identity.producerId && this.#producerEpoch === identity.producerEpoch;
  }

  /** Starts at sequence 0 under the identity's present id and epoch. */
  adopt(identity: ProducerIdentity): void {
    this.#producerId = identity.producerId;
    this.#producerEpoch = identity.producerEpoch;
    this.#next = 0;
    this.#ackedEnd = 0;
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

  /**
   * A batch has lost records that the broker refused, and goes out again under its stamp. Nothing of it was appended, so
   * the sequences at its end are free again, unless later batches have been given those that follow.
   */
  shortened({ producerId, producerEpoch, baseSequence }: ProducerStamp, before: number, after: number): void {
    if (producerId !== this.#producerId || producerEpoch !== this.#producerEpoch) return;
    if (this.#next === (baseSequence + before) % SEQUENCE_SPACE) this.#next = (baseSequence + after) % SEQUENCE_SPACE;
  }

  /** A batch was accepted. If it came after the one in doubt, that one must be in the log as well. */
  accepted(batch: Batch, leader: PartitionMetadata, baseOffset: bigint): void {
    const lastOffset = baseOffset < 0n ? -1n : baseOffset + BigInt(batch.recordCount - 1);
    if (lastOffset > this.lastAckedOffset) this.lastAckedOffset = lastOffset;
    const { producerId, producerEpoch, baseSequence } = batch.stamp;
    if (producerId !== this.#producerId || producerEpoch !== this.#producerEpoch) return;
    // An offset that isn't known is no base for arithmetic.
    this.#ackedEnd = baseOffset < 0n ? -1 : (baseSequence + batch.recordCount) % SEQUENCE_SPACE;
    this.#proven = true;
    this.#provenLeader = leader;
    if (batch.ordinal >= this.#unresolvedOrdinal) this.unresolved = false;
  }

  /**
   * Where a batch without an answer is, when the one after it was accepted at `baseOffset`: where its leader said, or
   * right behind the last one accepted, if nobody else wrote in between. −1n if that isn't known.
   */
  offsetBefore(batch: Batch, accepted: Batch, baseOffset: bigint): bigint {
    if (batch.appendedAt >= 0n) return batch.appendedAt;
    const { baseSequence } = batch.stamp;
    const between = (accepted.stamp.baseSequence - this.#ackedEnd + SEQUENCE_SPACE) % SEQUENCE_SPACE;
    const isContiguous = this.#ackedEnd >= 0 && this.lastAckedOffset >= 0n &&
      baseOffset === this.lastAckedOffset + 1n + BigInt(between);
    if (!isContiguous) return -1n;
    return baseOffset - BigInt((accepted.stamp.baseSequence - baseSequence + SEQUENCE_SPACE) % SEQUENCE_SPACE);
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
