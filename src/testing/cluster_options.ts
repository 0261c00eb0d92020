/**
 * How an embedded cluster is made.
 *
 * @module
 */

import { isList, isObject, readOptions, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import { sentenceOf, show } from "../show.ts";
import type { Codec, CompressionType } from "../codec/codec.ts";
import { type Release, RELEASES } from "./broker/release.ts";
import { checkNumber } from "./check_number.ts";
import type { VersionRange } from "./broker/broker.ts";
import type { ClusterRuntime } from "./cluster_runtime.ts";
import type { MemoryNetworkOptions } from "./doubles/network.ts";
import type { ReplicationOptions } from "./control/replication.ts";
import type { SaslOptions } from "./broker/sasl_exchange.ts";
import type { ClientMetricsOptions } from "./broker/telemetry.ts";
import type { TopicSpec } from "./control/topic.ts";
import type { GroupOptions } from "./coordination/group.ts";
import type { TransactionOptions } from "./coordination/transaction_coordinator.ts";

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
  /**
   * Shows a metrics plugin, so that clients are asked for metrics (KIP-714). What they push is in `clientMetrics`.
   * @default none
   */
  readonly clientMetrics?: ClientMetricsOptions;
  /** How many requests are kept for `requests`; false for none. @default 10_000 */
  readonly record?: number | false;
  /** Clock, timers and randomness, a virtual runtime's for instance. @default those of this runtime */
  readonly runtime?: ClusterRuntime;
  /** How the network in memory behaves. */
  readonly network?: MemoryNetworkOptions;
  /** How transactions are coordinated. */
  readonly transactions?: TransactionOptions;
  /** How groups are coordinated. */
  readonly groups?: GroupOptions;
  /** Own codecs, by compression type, to check compressed batches with. */
  readonly codecs?: Readonly<Partial<Record<CompressionType, Codec>>>;
  /** What ids of topics and the cluster are made from. @default 1 */
  readonly seed?: number;
}

/** Least value of each number; the greatest is Infinity. */
const NUMBERS: Readonly<Record<string, number>> = {
  brokers: 1,
  defaultPartitions: 1,
  maxRequestBytes: 1,
  connectionsMaxIdleMs: 0,
  producerIdExpirationMs: 0,
  replicaLagTimeMaxMs: 0,
  sessionTimeoutMs: 0,
  seed: -Infinity,
};
const BOOLEANS = ["autoCreateTopics", "strictRequests"];
const OBJECTS = [
  "topics",
  "apiVersions",
  "finalizedFeatures",
  "sasl",
  "runtime",
  "network",
  "codecs",
  "transactions",
  "groups",
  "clientMetrics",
];
/** A number, or a function that is asked for one. */
const LAGS = ["replicationLagMs", "metadataLagMs"];

/** The options of a cluster, each read once. @throws {ConfigError} for one that is unknown or of a wrong type */
export function readClusterOptions(options: unknown): EmbeddedClusterOptions {
  const known = [...Object.keys(NUMBERS), ...BOOLEANS, ...OBJECTS, ...LAGS, "racks", "release", "record"];
  const read: Readonly<Record<string, unknown>> = readOptions("EmbeddedCluster", options, known);
  for (const [name, least] of Object.entries(NUMBERS)) checkNumber(name, read[name], least);
  for (const name of BOOLEANS) {
    if (read[name] !== undefined && typeof read[name] !== "boolean") refuse(name, "true or false", read[name]);
  }
  for (const name of OBJECTS) {
    if (read[name] !== undefined && !isObject(read[name])) refuse(name, "an object", read[name]);
  }
  checkTopics(read["topics"]);
  for (const name of LAGS) checkLag(name, read[name]);
  if (read["record"] !== false) checkNumber("record", read["record"], 0);
  const { racks, release } = read;
  if (release !== undefined && !(typeof release === "string" && Object.hasOwn(RELEASES, release))) {
    refuse("release", `one of ${Object.keys(RELEASES).join(", ")}`, release);
  }
  if (racks !== undefined && !isList(racks)) refuse("racks", "a list of names", racks);
  // Those that weren't given must not hide defaults.
  const given: EmbeddedClusterOptions = Object.fromEntries(
    Object.entries(read).filter(([, value]) => value !== undefined).map(([name, value]) => [name, copied(name, value)]),
  );
  checkSpecs(given.topics);
  return given;
}

/** Partitions, or more, by topic: a list of names would make topics called 0 and 1. */
function checkTopics(topics: unknown): void {
  if (isList(topics)) refuse("topics", "an object such as { orders: 3 }", topics);
}

function checkSpecs(topics: EmbeddedClusterOptions["topics"]): void {
  for (const [topic, spec] of Object.entries<unknown>(topics ?? {})) {
    if (typeof spec === "number" || isObject(spec)) continue;
    const message = `Give topic ${show(topic)} its number of partitions, such as 3: ${show(spec)} is none.`;
    throw new ConfigError("topics", message);
  }
}

/** A list of names by topic or feature as it is now; all else as it is. */
function copied(name: string, value: unknown): unknown {
  if (name !== "topics" && name !== "finalizedFeatures") return value;
  try {
    return { ...value as object };
  } catch (error) {
    throw new ConfigError(name, `Set "${name}" to an object that can be read: ${sentenceOf(error)}`, { cause: error });
  }
}

/** The options of `configure`. @throws {ConfigError} as the constructor's do */
export function readReplicationOptions(options: unknown): ReplicationOptions {
  const known = [...LAGS, "replicaLagTimeMaxMs", "sessionTimeoutMs"];
  const read: Readonly<Record<string, unknown>> = readOptions("configure", options, known);
  for (const name of LAGS) checkLag(name, read[name]);
  for (const name of ["replicaLagTimeMaxMs", "sessionTimeoutMs"]) checkNumber(name, read[name], 0);
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
}

function checkLag(name: string, value: unknown): void {
  if (typeof value !== "function") checkNumber(name, value, 0);
}
