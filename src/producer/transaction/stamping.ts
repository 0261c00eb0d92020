/**
 * Stamps the batches of a transactional producer: all that sender, accumulator and settlement see of transactions.
 *
 * @module
 */

import { KafkaError, type KafkaErrorOptions } from "../../errors.ts";
import { TRANSACTION_V1_CAPS } from "../../protocol/negotiation.ts";
import { TRANSACTIONAL_BIT } from "../../protocol/record_batch_layout.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Identity } from "../idempotence/identity.ts";
import type { TransactionLife } from "./life.ts";

const ABORTED = "ABORTED";

/** Stamps with the identity of a transaction's producer. */
export class TransactionStamping implements Stamping {
  readonly stamps = true;
  readonly attributes: number = TRANSACTIONAL_BIT;
  readonly transactionalId: string;

  readonly #life: TransactionLife;

  /** Stamps what belongs to this life. */
  constructor(life: TransactionLife, transactionalId: string) {
    this.#life = life;
    this.transactionalId = transactionalId;
  }

  get identity(): Identity | undefined {
    return this.#life.identity.current;
  }

  get lastError(): KafkaError | undefined {
    return this.#life.failure;
  }

  get produceCap(): number | undefined {
    return this.#life.identity.version === 1 ? TRANSACTION_V1_CAPS.Produce : undefined;
  }

  async ensure(): Promise<KafkaError | undefined> {
    try {
      await this.#life.init();
      return undefined;
    } catch (error) {
      return error as KafkaError;
    }
  }

  /** The coordinator must be found first: nothing can be asked ahead of that. */
  pipelined(): undefined {
    return undefined;
  }

  admit(topic: string, partition: number): Promise<void> | undefined {
    return this.#life.admit({ topic, partition });
  }

  /** Within a transaction the epoch stays: what is missing in the log makes it one that can only be aborted. */
  onGap(cause: KafkaError | undefined): KafkaError {
    const message = "Abort the transaction: an earlier record of the partition is missing in the log, or may be.";
    const error = new KafkaError(message, {
      ...(cause ?? {}) as KafkaErrorOptions,
      code: cause?.code ?? "SEQUENCE_GAP",
      requiresAbort: true,
      retriable: false,
      persisted: "no",
      cause,
    });
    this.#life.onFailed(error);
    return error;
  }

  onFailed(error: KafkaError): void {
    // Its caller has taken it back before it was sent: it is no part of the transaction.
    if (error.code === ABORTED && error.persisted === "no") return;
    this.#life.onFailed(error);
  }

  onUnanswered(): void {
    this.#life.onIndefinite();
  }

  close(): void {
    this.#life.close();
  }
}
