/**
 * How an embedded cluster is made.
 *
 * @module
 */

import type { Codec, CompressionType } from "../codec/codec.ts";
import type { Release } from "./release.ts";
import type { VersionRange } from "./broker.ts";
import type { ClusterRuntime } from "./cluster_runtime.ts";
import type { MemoryNetworkOptions } from "./network.ts";
import type { ReplicationOptions } from "./replication.ts";
import type { SaslOptions } from "./sasl_exchange.ts";
import type { TopicSpec } from "./topic.ts";

/** How an embedded cluster is made. */
export interface EmbeddedClusterOptions extends ReplicationOptions {
  /** How many brokers; their ids start at 1. @default 1 */
  readonly brokers?: number;
  /** The racks of the brokers, in order. */
  readonly racks?: readonly string[];
  /** The topics that are there from the start, or how many partitions each has. */
  readonly topics?: Readonly<Record<string, TopicSpec | number>>;
  /** Creates a topic that a client asks metadata of, if the client wants that. @default true */
  readonly autoCreateTopics?: boolean;
  /** How many partitions a topic has that was created without saying. @default 1 */
  readonly defaultPartitions?: number;
  /** The release whose versions, features, defaults and ways of hanging up are shown. @default "4.1" */
  readonly release?: Release;
  /** Pins versions on all brokers, by the API's name; null takes an API away. */
  readonly apiVersions?: Readonly<Record<string, VersionRange>>;
  /** Finalized features, if not those of the release. */
  readonly finalizedFeatures?: Readonly<Record<string, number>>;
  /** `socket.request.max.bytes`. @default 104_857_600 */
  readonly maxRequestBytes?: number;
  /** `connections.max.idle.ms`: closes a connection on which nothing came for so long. @default Infinity */
  readonly connectionsMaxIdleMs?: number;
  /** `producer.id.expiration.ms`, counted from the last append of a producer. @default 86_400_000 */
  readonly producerIdExpirationMs?: number;
  /**
   * Closes the connection when bytes are left behind a request's last field. Kafka itself ignores them; a client that
   * sends them has a bug, so tests want to know. @default true
   */
  readonly strictRequests?: boolean;
  /**
   * Demands SASL of every connection: until then ApiVersions alone is answered, and all else is the end, as in
   * Kafka. @default nobody has to authenticate
   */
  readonly sasl?: SaslOptions;
  /** How many requests are kept for `requests`; false for none. @default 10_000 */
  readonly record?: number | false;
  /** Clock, timers and randomness, a virtual runtime's for instance. @default those of this runtime */
  readonly runtime?: ClusterRuntime;
  /** How the network in memory behaves. */
  readonly network?: MemoryNetworkOptions;
  /** Own codecs, by compression type, to check compressed batches with. */
  readonly codecs?: Readonly<Partial<Record<CompressionType, Codec>>>;
  /** What ids of topics and the cluster are made from. @default 1 */
  readonly seed?: number;
}
