/**
 * Which server a partition's records go to, for attributes.
 *
 * @module
 */

import type { ClusterSnapshot } from "../cluster/snapshot.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** A snapshot goes over all partitions, so it is not taken for each record. */
const MAX_AGE_MS = 30_000;

/** So long nothing is looked up again that wasn't there. */
const MIN_AGE_MS = 1_000;

/** Looks up leaders in a producer's snapshots. */
export class Leaders {
  readonly #snapshot: () => ClusterSnapshot | undefined;
  readonly #runtime: Pick<Runtime, "now">;
  readonly #topics = new Map<string, readonly (string | undefined)[]>();
  #clusterId: string | undefined;
  #takenAtMs = -Infinity;

  /** Takes snapshots from the function when they are needed. */
  constructor(snapshot: () => ClusterSnapshot | undefined, runtime: Pick<Runtime, "now">) {
    this.#snapshot = snapshot;
    this.#runtime = runtime;
  }

  /** The id of the cluster, once it is known. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** `host:port` of who leads a partition; undefined if that isn't known. */
  of(topic: string, partition: number): string | undefined {
    const ageMs = this.#runtime.now() - this.#takenAtMs;
    const known = this.#topics.get(topic)?.[partition];
    if (ageMs > (known === undefined ? MIN_AGE_MS : MAX_AGE_MS)) this.#refresh();
    return this.#topics.get(topic)?.[partition];
  }

  #refresh(): void {
    this.#takenAtMs = this.#runtime.now();
    let snapshot: ClusterSnapshot | undefined;
    try {
      snapshot = this.#snapshot();
    } catch {
      // A double that has none; then nobody knows.
    }
    if (snapshot === undefined) return;
    const servers = new Map(snapshot.brokers.map(({ nodeId, host, port }) => [nodeId, `${host}:${port}`]));
    this.#clusterId = snapshot.clusterId;
    this.#topics.clear();
    for (const { name, partitions } of snapshot.topics) {
      this.#topics.set(name, partitions.map(([leaderId]) => servers.get(leaderId)));
    }
  }
}
