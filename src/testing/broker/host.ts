/**
 * What a broker takes from the cluster that it belongs to.
 *
 * @module
 */

import type { ClusterRuntime } from "../cluster_runtime.ts";
import type { Topic, TopicSpec } from "../control/topic.ts";
import type { Coordinators } from "../coordination/coordinators.ts";
import type { GroupCoordinator } from "../coordination/group_coordinator.ts";
import type { TransactionCoordinator } from "../coordination/transaction_coordinator.ts";
import type { Decompress } from "../storage/log.ts";
import type { Replica } from "../storage/replica.ts";
import type { AnyApi } from "./apis.ts";
import type { Broker, VersionRange } from "./broker.ts";
import type { Controls } from "./control.ts";
import type { QuotaOptions } from "./quota.ts";
import type { Recording } from "./recording.ts";
import type { Release } from "./release.ts";
import type { SaslOptions } from "./sasl_exchange.ts";
import type { ClientMetrics } from "./telemetry.ts";

/** The cluster as its brokers see it, their connections and the handlers of requests; `EmbeddedCluster` is one. */
export interface BrokerHost {
  /** Clock, timers and randomness. */
  readonly clock: ClusterRuntime;
  /** The brokers, in the order of their ids. */
  readonly brokers: readonly Broker[];
  /** The cluster's id. */
  readonly clusterId: string;
  /** The release that is shown. */
  readonly release: Release;
  /** What ApiVersions says is finalized. */
  readonly finalizedFeatures: Readonly<Record<string, number>>;
  /** How often features have been finalized. */
  readonly featuresEpoch: bigint;
  /** Who coordinates what. */
  readonly coordinators: Coordinators;
  /** Who remembers transactions. */
  readonly transactions: TransactionCoordinator;
  /** Who remembers groups. */
  readonly groups: GroupCoordinator;
  /** Longer requests close the connection. */
  readonly maxRequestBytes: number;
  /** After how long without a request a connection is closed, in ms. */
  readonly connectionsMaxIdleMs: number;
  /** Whether bytes behind a request's last field close the connection. */
  readonly strictRequests: boolean;
  /** Who may come in; undefined where nobody has to authenticate. */
  readonly sasl: SaslOptions | undefined;
  /** What clients are asked for, and what they push; undefined without a metrics plugin. */
  readonly clientMetrics: ClientMetrics | undefined;
  /** What tests make of requests. */
  readonly controls: Controls;
  /** The requests so far. */
  readonly recording: Recording;
  /** Errors of control functions and other surprises. */
  readonly failures: unknown[];
  /** The byte rates that clients are allowed. */
  readonly quotas: readonly QuotaOptions[];
  /** Decompresses under a codec's number. */
  readonly decompress: Decompress;
  /** Where brokers say that a leader's log has grown. */
  readonly controller: { appended(leader: Replica): void };
  /** The versions of an API that were pinned for all brokers; undefined when they were not. */
  pinnedForAll(api: AnyApi): VersionRange | undefined;
  /** A number that no connection has had. */
  nextConnectionId(): number;
  /** A producer id that nobody has had. */
  nextProducerId(): bigint;
  /** The topic of a name, as the controller knows it. */
  topic(name: string): Topic | undefined;
  /** Creates a topic. */
  createTopic(name: string, spec?: TopicSpec): Topic;
  /** Deletes a topic with all it holds. */
  deleteTopic(name: string): void;
  /** Adds partitions until the topic has so many; on these brokers, if they are given. */
  addPartitions(name: string, total: number, assignments?: readonly (readonly number[])[]): void;
  /** Creates a topic that a client has asked metadata of, if the cluster does such things. */
  autoCreate(name: string): void;
  /** Resolves after a time of the cluster's clock. */
  sleep(durationMs: number): Promise<void>;
}
