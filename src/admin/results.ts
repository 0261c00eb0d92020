/**
 * What became of the things that one call was asked for: each has an outcome of its own.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";

/**
 * Awaited, it gives one settled result for each thing that was asked for, in the order of the call: one that the cluster
 * refuses doesn't fail the others. It rejects only when nothing was asked at all: wrong arguments, a signal that was
 * aborted, a client that was closed. `all()` rejects with the first error instead.
 *
 * @example
 * ```ts
 * import { createAdmin } from "@sluice/kafka/admin";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
 * await using admin = createAdmin({ brokers: cluster.bootstrap, connect: cluster.sockets });
 * const [taken, made] = await admin.createTopics([{ topic: "orders" }, { topic: "payments", partitions: 3 }]);
 * console.assert(taken?.status === "rejected" && taken.reason.code === "TOPIC_ALREADY_EXISTS");
 * console.assert(made?.status === "fulfilled" && made.value.partitions === 3);
 * ```
 */
export class AdminResults<T> implements PromiseLike<AdminResult<T>[]> {
  readonly #settled: Promise<AdminResult<T>[]>;

  /** @internal Of a call that is under way. */
  constructor(settled: Promise<AdminResult<T>[]>) {
    this.#settled = settled;
  }

  /** Resolves with a result for each thing. */
  then<A = AdminResult<T>[], B = never>(
    onFulfilled?: ((results: AdminResult<T>[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled.then(onFulfilled, onRejected);
  }

  /** Resolves with all values, or rejects with the first error in the order of the call. */
  async all(): Promise<T[]> {
    const results = await this.#settled;
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }
}

/** The outcome of one thing: `PromiseSettledResult` with an error whose class is known. */
export type AdminResult<T> =
  | PromiseFulfilledResult<T>
  | { readonly status: "rejected"; readonly reason: KafkaError };
