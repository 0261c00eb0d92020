/**
 * Every config that a topic has, with its type and default, as real brokers tell them.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Release } from "../broker/release.ts";

/** What the value of a config is: Kafka's numbers of types. */
export const CONFIG_TYPES = { BOOLEAN: 1, STRING: 2, INT: 3, LONG: 5, DOUBLE: 6, LIST: 7 } as const;

/** One config of a topic. */
export interface TopicConfigEntry {
  /** Its name. */
  readonly name: string;
  /** What its value is. */
  readonly type: keyof typeof CONFIG_TYPES;
  /** Its value unless it is set. */
  readonly fallback: string;
  /** The words that it may be; anything of its type where there are none. */
  readonly words: readonly string[];
}

/**
 * A line for each: the releases that have it (a dash is an open end), name, type, default, words. Kafka 3.9.1, 4.1.1 and
 * 4.4.0 were asked.
 */
const TABLE = `
- cleanup.policy LIST delete delete,compact
- compression.gzip.level INT -1
- compression.lz4.level INT 9
- compression.type STRING producer uncompressed,zstd,lz4,snappy,gzip,producer
- compression.zstd.level INT 3
- delete.retention.ms LONG 86400000
4.4- errors.deadletterqueue.group.enable BOOLEAN false
- file.delete.delay.ms LONG 60000
- flush.messages LONG 9223372036854775807
- flush.ms LONG 9223372036854775807
- follower.replication.throttled.replicas LIST
- index.interval.bytes INT 4096
- leader.replication.throttled.replicas LIST
- local.retention.bytes LONG -2
- local.retention.ms LONG -2
- max.compaction.lag.ms LONG 9223372036854775807
4.4- max.decompressed.message.bytes INT 2147483639
- max.message.bytes INT 1048588
-3.9 message.downconversion.enable BOOLEAN true
-3.9 message.format.version STRING 3.0-IV1
-3.9 message.timestamp.after.max.ms LONG 9223372036854775807
4.1- message.timestamp.after.max.ms LONG 3600000
- message.timestamp.before.max.ms LONG 9223372036854775807
-3.9 message.timestamp.difference.max.ms LONG 9223372036854775807
- message.timestamp.type STRING CreateTime CreateTime,LogAppendTime
- min.cleanable.dirty.ratio DOUBLE 0.5
- min.compaction.lag.ms LONG 0
- min.insync.replicas INT 1
- preallocate BOOLEAN false
4.4- remote.copy.lag.bytes LONG -1
4.4- remote.copy.lag.ms LONG 0
- remote.log.copy.disable BOOLEAN false
- remote.log.delete.on.disable BOOLEAN false
- remote.storage.enable BOOLEAN false
- retention.bytes LONG -1
- retention.ms LONG 604800000
- segment.bytes INT 1073741824
- segment.index.bytes INT 10485760
- segment.jitter.ms LONG 0
- segment.ms LONG 604800000
- unclean.leader.election.enable BOOLEAN false
`;

const ROWS = TABLE.trim().split("\n").map((line) => {
  const [releases = "", name = "", type = "STRING", fallback = "", words = ""] = line.split(" ");
  const [since = "", until = ""] = releases.split("-");
  const entry: TopicConfigEntry = {
    name,
    type: type as TopicConfigEntry["type"],
    fallback,
    words: words === "" ? [] : words.split(","),
  };
  return { since, until, entry };
});

/** The configs of a topic by name. A release that isn't one of Apache Kafka's from 3.9 on has those of 4.1. */
export function topicConfigs(release: Release): ReadonlyMap<string, TopicConfigEntry> {
  const known = /^\d/.test(release) && Number(release) >= 3.9 ? Number(release) : 4.1;
  const rows = ROWS.filter(({ since, until }) =>
    (since === "" || Number(since) <= known) && (until === "" || Number(until) >= known)
  );
  return new Map(rows.map(({ entry }) => [entry.name, entry]));
}

/**
 * Refuses what Kafka does, in its words: a name that no topic config has, a value that isn't of the type.
 *
 * @throws {ConfigError}
 */
export function checkTopicConfig(release: Release, name: string, value: string): void {
  const entry = topicConfigs(release).get(name);
  if (entry === undefined) throw new ConfigError(name, `Unknown topic config name: ${name}`);
  const refuse = (why: string): never => {
    throw new ConfigError(name, `Invalid value ${value} for configuration ${name}: ${why}`);
  };
  const { type, words } = entry;
  if (type === "BOOLEAN" && !/^(true|false)$/i.test(value)) refuse("Expected value to be either true or false");
  if ((type === "INT" || type === "LONG") && !/^[+-]?\d{1,19}$/.test(value.trim())) {
    refuse(`Not a number of type ${type}`);
  }
  if (type === "DOUBLE" && Number.isNaN(Number.parseFloat(value))) refuse("Not a number of type DOUBLE");
  const parts = type === "LIST" ? listOf(value) : [value];
  const stranger = words.length === 0 ? undefined : parts.find((part) => !words.includes(part));
  if (stranger !== undefined) refuse(`String must be one of: ${words.join(", ")}`);
}

/** The entries of a config that is a list. */
export function listOf(value: string): string[] {
  return value.split(",").map((part) => part.trim()).filter((part) => part !== "");
}
