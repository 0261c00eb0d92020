/**
 * The topic configs that change what the broker does, under Kafka's names and with Kafka's defaults.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { type Release, RELEASES } from "../broker/release.ts";

/** Configs by Kafka's names, such as `{ "max.message.bytes": 1000, "cleanup.policy": "compact" }`. */
export type TopicConfig = Readonly<Record<string, string | number | boolean>>;

/** A topic's configs as the broker uses them. */
export interface TopicRules {
  /** `cleanup.policy` contains `compact`: a record without a key is refused. */
  readonly isCompacted: boolean;
  /** `cleanup.policy` is `compact` alone: records can't be deleted by offset. */
  readonly isOnlyCompacted: boolean;
  /** `message.timestamp.type` is `LogAppendTime`. */
  readonly usesLogAppendTime: boolean;
  /** `max.message.bytes`, of a batch as it is sent. */
  readonly maxMessageBytes: number;
  /** `segment.bytes`. */
  readonly segmentBytes: number;
  /** `message.timestamp.before.max.ms`. */
  readonly timestampBeforeMaxMs: bigint;
  /** `message.timestamp.after.max.ms`; an hour since Kafka 4.0. */
  readonly timestampAfterMaxMs: bigint;
  /** `min.insync.replicas`. */
  readonly minInsyncReplicas: number;
  /** `unclean.leader.election.enable`. */
  readonly electsUncleanly: boolean;
}

const HOUR_MS = 3_600_000n;
const LONG_MAX = 0x7fff_ffff_ffff_ffffn;

/** Reads configs. Names that the broker has no use for are kept quiet about, as Kafka's own are many. */
export function topicRules(config: TopicConfig = {}, release: Release = "4.1"): TopicRules {
  const afterMs = RELEASES[release].boundsFutureTimestamps ? HOUR_MS : LONG_MAX;
  const policies = String(config["cleanup.policy"] ?? "delete").split(",").map((part) => part.trim());
  return {
    isCompacted: policies.includes("compact"),
    isOnlyCompacted: policies.includes("compact") && !policies.includes("delete"),
    usesLogAppendTime: timestampType(config) === "LogAppendTime",
    maxMessageBytes: Number(integer(config, "max.message.bytes", 1_048_588n)),
    segmentBytes: Number(integer(config, "segment.bytes", 1_073_741_824n)),
    timestampBeforeMaxMs: integer(config, "message.timestamp.before.max.ms", LONG_MAX),
    timestampAfterMaxMs: integer(config, "message.timestamp.after.max.ms", afterMs),
    minInsyncReplicas: Number(integer(config, "min.insync.replicas", 1n)),
    electsUncleanly: String(config["unclean.leader.election.enable"] ?? "false") === "true",
  };
}

function timestampType(config: TopicConfig): string {
  const name = "message.timestamp.type";
  const value = String(config[name] ?? "CreateTime");
  if (value !== "CreateTime" && value !== "LogAppendTime") {
    throw new ConfigError(name, `Set "${name}" to "${value}" failed, wanted CreateTime or LogAppendTime.`);
  }
  return value;
}

function integer(config: TopicConfig, name: string, byDefault: bigint): bigint {
  const value = config[name];
  if (value === undefined) return byDefault;
  if (!/^-?\d{1,19}$/.test(String(value))) {
    throw new ConfigError(name, `Set "${name}" to "${value}" failed, wanted a whole number.`);
  }
  return BigInt(value);
}
