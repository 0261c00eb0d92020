/**
 * The stamping of an idempotent producer (KIP-98, KIP-360).
 *
 * A sequence is taken when a batch is first drained and never given back (but for records that the broker has refused,
 * see `PartitionSequence.shortened`); every retry carries the same stamp. When the sequence of a partition has a gap, the
 * epoch is raised here, without a request, and the partition starts again at 0. Whether there is a gap is decided by
 * `Recovery`.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import type { PipelinedRequest } from "../../cluster/metadata_fetch.ts";
import type { KafkaError } from "../../errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { HeldIdentity, type Identity } from "./identity.ts";
import { IdRequest, type IdRequestOptions } from "./id_request.ts";
import type { Stamping } from "./stamping.ts";

/** What an idempotent producer needs to know of the options. */
export interface IdempotenceOptions extends IdRequestOptions {
  readonly hooks?: {
    /** `producerId` is −1 when the epochs of the last id are used up. */
    onEpochBump?(event: { readonly producerId: bigint; readonly producerEpoch: number }): void;
  } | undefined;
}

/** Stamps every batch with an id that any broker gives. */
export class Idempotence implements Stamping {
  readonly stamps = true;
  readonly transactionalId = null;
  readonly attributes = 0;
  readonly produceCap = undefined;

  readonly #held = new HeldIdentity();
  readonly #request: IdRequest;
  readonly #hooks: IdempotenceOptions["hooks"];

  /** Starts without an identity. */
  constructor(runtime: Runtime, cluster: Cluster, options: IdempotenceOptions) {
    this.#request = new IdRequest(runtime, cluster, options, this.#held);
    this.#hooks = options.hooks;
  }

  get identity(): Identity | undefined {
    return this.#held.current;
  }

  get lastError(): KafkaError | undefined {
    return this.#request.lastError;
  }

  ensure(): Promise<KafkaError | undefined> {
    return this.#request.ensure();
  }

  pipelined(): PipelinedRequest | undefined {
    return this.#request.pipelined();
  }

  admit(): undefined {}

  /** A gap costs an epoch. */
  onGap(): undefined {
    this.#held.bump();
    const { producerId, producerEpoch } = this.#held.current ?? { producerId: -1n, producerEpoch: -1 };
    this.#hooks?.onEpochBump?.({ producerId, producerEpoch });
  }

  onFailed(): void {}

  onUnanswered(): void {}

  close(): void {
    this.#request.close();
  }
}
