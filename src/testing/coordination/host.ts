/**
 * What coordinators take from the cluster that they belong to.
 *
 * @module
 */

import type { Broker } from "../broker/broker.ts";
import type { Release } from "../broker/release.ts";
import type { ClusterRuntime } from "../cluster_runtime.ts";
import type { Topic } from "../control/topic.ts";
import type { Replica, ReplicatedPartition } from "../storage/replica.ts";

/** The cluster as its coordinators see it; `EmbeddedCluster` is one. */
export interface CoordinatorHost {
  /** Clock and timers. */
  readonly clock: ClusterRuntime;
  /** The brokers, in the order of their ids. */
  readonly brokers: readonly Broker[];
  /** The release that is shown. */
  readonly release: Release;
  /** What is finalized. */
  readonly finalizedFeatures: Readonly<Record<string, number>>;
  /** Who is alive, what there is, and who can talk to whom. */
  readonly controller: {
    readonly view: { readonly brokerIds: readonly number[] };
    readonly topics: ReadonlyMap<string, Topic>;
    canReach(one: number, other: number): boolean;
    appended(leader: Replica): void;
  };
  /** A broker that must be there. */
  broker(id: number): Broker;
  /** A partition that must be there. */
  partition(topic: string, index: number): ReplicatedPartition;
  /** A producer id that nobody has had. */
  nextProducerId(): bigint;
}
