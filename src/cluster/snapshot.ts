/**
 * What is known of a cluster, to be handed from one short-lived producer to the next.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { MAX_BROKERS, MAX_PARTITIONS } from "../protocol/bounds.ts";
import { show } from "../show.ts";
import { formatAddress } from "./address.ts";
import type { BrokerRegistry } from "./broker_registry.ts";
import type { VersionRange } from "./connection.ts";
import { isUsable, newGeneration, type PartitionMetadata, type TopicMetadata } from "./metadata.ts";

/** A broker in a {@link ClusterSnapshot}. */
export interface BrokerSnapshot {
  /** Its node id. */
  readonly nodeId: number;
  /** Host name or address. */
  readonly host: string;
  /** TCP port. */
  readonly port: number;
  /** By API key: the versions that it offers, first and last. Empty if nobody has talked to it yet. */
  readonly versions: Readonly<Record<string, readonly [min: number, max: number]>>;
}

/** A topic in a {@link ClusterSnapshot}. */
export interface TopicSnapshot {
  /** The topic. */
  readonly name: string;
  /** 32 hexadecimal digits, all 0 if the brokers tell none. */
  readonly topicId: string;
  /** Node id of the leader and leader epoch of each partition, −1 where there is none. */
  readonly partitions: readonly (readonly [leaderId: number, leaderEpoch: number])[];
}

/** Brokers, leaders and versions as plain data, fit for `JSON.stringify`. */
export interface ClusterSnapshot {
  /** Tells this layout from later ones. */
  readonly format: 1;
  /** The cluster's id; left out if the brokers tell none. */
  readonly clusterId?: string;
  /** When a broker said so, in ms since the epoch. */
  readonly takenAtMs: number;
  /** Whose cluster it is: the bootstrap servers, as `host:port`. */
  readonly bootstrap: readonly string[];
  /** The brokers. */
  readonly brokers: readonly BrokerSnapshot[];
  /** The topics that were in use. */
  readonly topics: readonly TopicSnapshot[];
}

const MAX_TOPICS = 1_000_000;
const MAX_INT32 = 2_147_483_647;
const MAX_INT16 = 32_767;
const TOPIC_ID = /^[0-9a-f]{32}$/;

/** What is known, as plain data: it was heard at `takenAtMs`, in ms since the epoch. */
export function snapshotOf(
  { servers, listed }: BrokerRegistry,
  topics: Iterable<TopicMetadata>,
  clusterId: string | undefined,
  takenAtMs: number,
): ClusterSnapshot {
  return {
    format: 1,
    ...(clusterId === undefined ? {} : { clusterId }),
    takenAtMs,
    bootstrap: servers.map(({ address }) => formatAddress(address)),
    brokers: listed.map(({ nodeId, address: { host, port }, versions = [] }) => {
      const ranges = [...versions].map(([key, { min, max }]) => [key, [min, max]] as const);
      return { nodeId, host, port, versions: Object.fromEntries(ranges) };
    }),
    topics: [...topics].filter(isUsable).map(({ name, topicId, partitions }) => {
      return { name, topicId, partitions: partitions.map(({ leaderId, leaderEpoch }) => [leaderId, leaderEpoch]) };
    }),
  };
}

/**
 * Reads a snapshot that may have been stored and sent around.
 *
 * @throws {ConfigError} when it isn't one
 */
export function checkSnapshot(value: unknown): ClusterSnapshot | undefined {
  if (value === undefined) return undefined;
  const snapshot = objectAt("", value);
  if (snapshot.format !== 1) refuse("format", snapshot.format, "1");
  const takenAtMs = numberAt("takenAtMs", snapshot.takenAtMs, 0, Number.MAX_SAFE_INTEGER);
  const bootstrap = listAt("bootstrap", snapshot.bootstrap, MAX_BROKERS)
    .map((server, at) => textAt(`bootstrap[${at}]`, server));
  const brokers = listAt("brokers", snapshot.brokers, MAX_BROKERS).map((broker, at) =>
    readBroker(`brokers[${at}]`, broker)
  );
  const topics = listAt("topics", snapshot.topics, MAX_TOPICS).map((topic, at) => readTopic(`topics[${at}]`, topic));
  const { clusterId } = snapshot;
  // Snapshots of earlier versions have none.
  const id = clusterId === undefined || clusterId === null ? {} : { clusterId: textAt("clusterId", clusterId) };
  return { format: 1, ...id, takenAtMs, bootstrap, brokers, topics };
}

function readBroker(path: string, value: unknown): BrokerSnapshot {
  const { nodeId, host, port, versions } = objectAt(path, value);
  const ranges = Object.entries(objectAt(`${path}.versions`, versions)).map(([key, range]) => {
    const where = `${path}.versions.${key}`;
    const [min, max] = listAt(where, range, 2);
    const first = numberAt(where, min, 0, MAX_INT16);
    return [key, [first, numberAt(where, max, first, MAX_INT16)] as const] as const;
  });
  return {
    nodeId: numberAt(`${path}.nodeId`, nodeId, 0, MAX_INT32),
    host: textAt(`${path}.host`, host),
    port: numberAt(`${path}.port`, port, 1, 65_535),
    versions: Object.fromEntries(ranges),
  };
}

function readTopic(path: string, value: unknown): TopicSnapshot {
  const { name, topicId, partitions } = objectAt(path, value);
  if (typeof topicId !== "string" || !TOPIC_ID.test(topicId)) {
    refuse(`${path}.topicId`, topicId, "32 hexadecimal digits");
  }
  return {
    name: textAt(`${path}.name`, name),
    topicId,
    partitions: listAt(`${path}.partitions`, partitions, MAX_PARTITIONS).map((partition, at) => {
      const where = `${path}.partitions[${at}]`;
      const [leaderId, leaderEpoch] = listAt(where, partition, 2);
      return [numberAt(where, leaderId, -1, MAX_INT32), numberAt(where, leaderEpoch, -1, MAX_INT32)] as const;
    }),
  };
}

/** The versions of a broker, as a connection knows them. */
export function versionsOf({ versions }: BrokerSnapshot): Map<number, VersionRange> {
  return new Map(Object.entries(versions).map(([key, [min, max]]) => [Number(key), { min, max }]));
}

/** The partitions of a topic, as the metadata holds them. */
export function partitionsOf({ partitions }: TopicSnapshot): PartitionMetadata[] {
  return partitions.map(([leaderId, leaderEpoch]) => newGeneration({ leaderId, leaderEpoch }));
}

function refuse(path: string, value: unknown, wanted: string): never {
  // As JSON has it, for that is where it may come from.
  const number = typeof value === "number" ? JSON.stringify(value) : undefined;
  const shown = value === undefined ? "nothing" : Array.isArray(value) ? "an object" : number ?? show(value);
  const where = path === "" ? "" : ` has ${show(path)} ${shown}, wanted ${wanted}`;
  const what = path === "" ? `${shown} is not.` : `this one${where}.`;
  throw new ConfigError("snapshot", `Pass as "snapshot" what snapshot() of another producer has returned: ${what}`);
}

function objectAt(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(path, value, "an object");
  return value as Record<string, unknown>;
}

function listAt(path: string, value: unknown, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) refuse(path, value, "a list");
  return value;
}

function textAt(path: string, value: unknown): string {
  if (typeof value !== "string" || value === "") refuse(path, value, "text");
  return value;
}

function numberAt(path: string, value: unknown, min: number, max: number): number {
  const fits = typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
  if (!fits) refuse(path, value, `a whole number from ${min} to ${max}`);
  return value;
}
