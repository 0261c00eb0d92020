/**
 * What a number in a broker's answer can be at most, and why: whatever is beyond it is no answer of a broker.
 *
 * A bound stands with its field in the declaration of the message. Only answers to a client are held to it
 * ({@link decodeAnswerFrame}): a broker in memory, a golden file or a test may write and read any value.
 *
 * @module
 */

/** How large a value may be: a number itself, a text in characters, a list in elements. */
export interface Bound {
  /** The least value. @default 0 */
  readonly least?: number | bigint;
  /** The largest value, or what of the {@link RequestLimits} it is. */
  readonly most: number | bigint | keyof RequestLimits;
  /** What the bound follows from. */
  readonly why: string;
}

/** What follows from the request that is answered. */
export interface RequestLimits {
  /** Records of its largest batch. */
  readonly records: number;
  /** Topics, groups or coordinators that it names, or partitions of all of them, and {@link STRAYS}. */
  readonly entries: number;
}

/** So many topics and partitions that weren't asked for are passed over. */
export const STRAYS = 1_000;

/** Of an answer to a request that nobody knows. */
export const NO_LIMITS: RequestLimits = { records: Infinity, entries: Infinity };

const MAX_INT16 = 0x7fff;
const MAX_INT32 = 0x7fff_ffff;
const MAX_INT64 = 0x7fff_ffff_ffff_ffffn;

/** Brokers of one cluster. */
export const MAX_BROKERS = 10_000;
/** Partitions of one topic. */
export const MAX_PARTITIONS = 1_000_000;

/** Members of one group. */
export const MAX_MEMBERS = 100_000;

/** Groups of one broker. */
export const MAX_GROUPS = 200_000;

/** The name of a bound, as it stands in the declarations. */
export type BoundName =
  | "throttle"
  | "brokers"
  | "entries"
  | "nodeId"
  | "nodeIdOrNone"
  | "host"
  | "port"
  | "partitions"
  | "partition"
  | "leaderEpoch"
  | "offset"
  | "timestamp"
  | "lifetime"
  | "recordErrors"
  | "record"
  | "apis"
  | "apiKey"
  | "version"
  | "featuresEpoch"
  | "producerId"
  | "producerEpoch"
  | "generation"
  | "members"
  | "groups"
  | "names"
  | "partitionCount"
  | "replicaCount";

/** Every bound by its name. */
export const BOUNDS: Readonly<Record<BoundName, Bound>> = {
  /** `throttle_time_ms`. How much of it is heeded is the connection's business. */
  throttle: { most: MAX_INT32, why: "no time is negative" },
  /** A list of brokers. */
  brokers: { most: MAX_BROKERS, why: "no cluster has a tenth of that" },
  /** A list of what the request has named: topics, partitions, groups, coordinators. */
  entries: { most: "entries", why: "nobody was asked for more" },
  /** A broker's id. */
  nodeId: { most: MAX_INT32, why: "the ids of brokers begin with 0" },
  /** A broker's id where there may be none. */
  nodeIdOrNone: { least: -1, most: MAX_INT32, why: "-1 is no broker" },
  /** A host's name or address. */
  host: { least: 1, most: 255, why: "no name in the DNS is longer" },
  /** A TCP port. */
  port: { least: 1, most: 65_535, why: "these are the ports of TCP" },
  /** A list of partitions. */
  partitions: { most: MAX_PARTITIONS, why: "no cluster holds so many" },
  /** A partition's index. */
  partition: { most: MAX_INT32, why: "partitions are counted from 0" },
  /** A leader's epoch. */
  leaderEpoch: { least: -1, most: MAX_INT32, why: "-1 is an epoch that isn't known" },
  /** An offset. What is added to it, the records of a batch, doesn't make it leave 64 bits. */
  offset: {
    least: -1,
    most: MAX_INT64 - BigInt(MAX_INT32),
    why: "-1 is an offset that isn't known, and no log is that long",
  },
  /** A time in ms since the epoch. */
  timestamp: {
    least: -1,
    most: BigInt(Number.MAX_SAFE_INTEGER),
    why: "-1 is no time, and later ones are no whole numbers of JavaScript",
  },
  /** How long a session lasts, in ms; 0 for ever. */
  lifetime: {
    most: BigInt(Number.MAX_SAFE_INTEGER),
    why: "no time is negative, or more than a whole number of JavaScript",
  },
  /** The list of records that were refused. */
  recordErrors: { most: "records", why: "no batch of the request has more records" },
  /** The index of a record. */
  record: { most: MAX_INT32, why: "records are counted from 0" },
  /** The list of APIs. */
  apis: { most: MAX_INT16 + 1, why: "there are no more keys" },
  /** The key of an API. */
  apiKey: { most: MAX_INT16, why: "keys are counted from 0" },
  /** A version. */
  version: { most: MAX_INT16, why: "versions are counted from 0" },
  /** The epoch of the cluster's features. */
  featuresEpoch: { least: -1n, most: MAX_INT64, why: "-1 is an epoch that isn't known" },
  /** A producer's id; an answer without an error has one. */
  producerId: { least: -1n, most: MAX_INT64, why: "-1 is no id" },
  /** A producer's epoch; an answer without an error has one. */
  producerEpoch: { least: -1, most: MAX_INT16, why: "-1 is no epoch" },
  /** The generation of a group. */
  generation: { least: -1, most: MAX_INT32, why: "-1 is no generation" },
  /** A list of the members of a group. */
  members: { most: MAX_MEMBERS, why: "no group has a tenth of that" },
  /** A list of all groups. */
  groups: { most: MAX_GROUPS, why: "no broker coordinates so many" },
  /** A list of what Kafka itself has names or numbers for: configs, metrics, codecs. */
  names: { most: 10_000, why: "Kafka has not a tenth of that" },
  /** How many partitions a topic has. */
  partitionCount: { least: -1, most: MAX_PARTITIONS, why: "-1 isn't told, and no cluster holds more" },
  /** How many replicas a partition has. */
  replicaCount: { least: -1, most: MAX_INT16, why: "-1 isn't told" },
};
