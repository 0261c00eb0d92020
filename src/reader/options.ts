/**
 * What a reader may be asked for.
 *
 * @module
 */

import { checkNumber, isList, isObject, MAX_INT32, readOptions, refuse } from "../call_options.ts";
import { type Address, parseAddresses } from "../cluster/address.ts";
import { CLIENT_NUMBERS } from "../cluster/connection_numbers.ts";
import { checkConnect, checkSecurity, type SecurityProtocol } from "../cluster/security.ts";
import { ConfigError, type KafkaError } from "../errors.ts";
import { optionHint } from "../other_clients.ts";
import type { Connect } from "../runtime/connectable.ts";
import type { SocketFactory, TlsOptions } from "../runtime/runtime.ts";
import type { SaslMechanism } from "../sasl/mechanism.ts";
import { namedMechanism, type NamedSasl } from "../sasl/named.ts";
import { show } from "../show.ts";
import type { OffsetReset } from "./record.ts";

/** What is shown of transactions. */
export type IsolationLevel = "read_committed" | "read_uncommitted";

/** The options of a reader; only `brokers` must be given. */
export interface ReaderOptions {
  /** Some of the cluster's brokers: `"host:port"`, several with commas between, or a list. */
  readonly brokers: string | readonly string[];
  /** Names the client in the broker's logs and quotas. @default "sluice-reader" */
  readonly clientId?: string | undefined;
  /**
   * What is shown of transactions: only what was committed, in the order of the log and not beyond the first open
   * transaction, or everything. @default "read_committed"
   */
  readonly isolation?: IsolationLevel | undefined;
  /**
   * Where to go on when a position is no longer in the log (retention, truncation, a topic that was deleted and made anew), or a group has committed none:
   * `"beginning"`, `"end"`, or `"fail"`. @default "beginning"
   */
  readonly onMissingOffset?: "beginning" | "end" | "fail" | undefined;
  /** The ends of transactions are handed out as records, so that every offset is accounted for. @default false */
  readonly controlRecords?: boolean | undefined;
  /** How long a broker may wait for new records before it answers, in ms. @default 500 */
  readonly maxWaitMs?: number | undefined;
  /** Bytes of an answer at most, but for a first batch that is larger. @default 8_388_608 */
  readonly maxBytes?: number | undefined;
  /** Bytes of each partition in an answer, likewise. @default 1_048_576 */
  readonly maxPartitionBytes?: number | undefined;
  /** While so many bytes wait to be handed out nothing more is fetched. @default 33_554_432 */
  readonly maxBufferedBytes?: number | undefined;
  /** What one compressed batch may grow to, in bytes. @default 104_857_600 */
  readonly maxDecompressedBytes?: number | undefined;
  /** How long a request may take, in ms. @default 30_000 */
  readonly requestTimeoutMs?: number | undefined;
  /** How long a call may wait for metadata or a coordinator, in ms. @default 60_000 */
  readonly maxBlockMs?: number | undefined;
  /** TCP, TLS and handshake together, in ms. @default 10_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** The first pause after a failure, in ms. @default 100 */
  readonly retryBackoffMs?: number | undefined;
  /** The longest pause after failures, in ms. @default 1_000 */
  readonly retryBackoffMaxMs?: number | undefined;
  /** Age at which metadata is asked for again, in ms. @default 300_000 */
  readonly metadataMaxAgeMs?: number | undefined;
  /** Speak TLS. @default false */
  readonly tls?: boolean | TlsOptions | undefined;
  /**
   * Who the reader is: a mechanism such as `scramSha256({ … })` of `@sluice/kafka/sasl`, or its name and what it needs:
   * `{ mechanism: "plain", username, password }`. @default nobody
   */
  readonly sasl?: SaslMechanism | NamedSasl | undefined;
  /**
   * What `tls` and `sasl` mean together, in Kafka's words. Only `"sasl_plaintext"` lets PLAIN send a password through an
   * open line. @default what they mean
   */
  readonly securityProtocol?: SecurityProtocol | undefined;
  /** Opens the connections, as that of a producer does. @default the runtime's own */
  readonly connect?: Connect | undefined;
  /**
   * Told why partitions can't be read or looked up at the moment, as soon as one can't, or the group not be joined; the
   * reader goes on trying. Told `null` when all is well again; what is paused counts as well. What ends the reading is
   * thrown by the iterator, and not told here. What the function throws is ignored.
   * @default nobody is told
   */
  readonly onTrouble?: ((trouble: KafkaError | null) => void) | undefined;
  /**
   * Told when the place where a partition was read is gone and reading goes on elsewhere (`onMissingOffset`): what lies
   * between was lost before it was read, or is read again. What the function throws is ignored.
   * @default nobody is told
   */
  readonly onOffsetReset?: ((reset: OffsetReset) => void) | undefined;
}

/** Options with their defaults. */
export interface ResolvedReaderOptions {
  readonly bootstrap: readonly Address[];
  readonly clientId: string;
  readonly isolation: IsolationLevel;
  readonly onMissingOffset: "beginning" | "end" | "fail";
  readonly controlRecords: boolean;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxPartitionBytes: number;
  readonly maxBufferedBytes: number;
  readonly maxDecompressedBytes: number;
  readonly requestTimeoutMs: number;
  readonly maxBlockMs: number;
  readonly connectTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly metadataMaxAgeMs: number;
  readonly tls: boolean | TlsOptions;
  readonly sasl: SaslMechanism | undefined;
  readonly connect: SocketFactory | undefined;
  readonly onTrouble: ((trouble: KafkaError | null) => void) | undefined;
  readonly onOffsetReset: ((reset: OffsetReset) => void) | undefined;
}

/** Number options: default, least and largest value. */
const NUMBERS = {
  maxWaitMs: [500, 0, MAX_INT32],
  maxBytes: [8 << 20, 1, MAX_INT32],
  maxPartitionBytes: [1 << 20, 1, MAX_INT32],
  maxBufferedBytes: [32 << 20, 1, Number.MAX_SAFE_INTEGER],
  maxDecompressedBytes: [100 << 20, 1, MAX_INT32],
  maxBlockMs: [60_000, 0, MAX_INT32],
  ...CLIENT_NUMBERS,
} as const;

const CHOICES = {
  isolation: ["read_committed", "read_uncommitted"],
  onMissingOffset: ["beginning", "end", "fail"],
} as const;

const OTHERS = [
  "brokers",
  "clientId",
  "controlRecords",
  "tls",
  "sasl",
  "securityProtocol",
  "connect",
  "onTrouble",
  "onOffsetReset",
] as const;
/** @internal The options that every reader has. */
export const READER_OPTIONS: readonly (keyof ReaderOptions)[] = [
  ...OTHERS,
  ...Object.keys(NUMBERS) as (keyof typeof NUMBERS)[],
  ...Object.keys(CHOICES) as (keyof typeof CHOICES)[],
];

const IN_GROUP = "Make a GroupReader for a consumer group: { groupId, topics }.";
const IN_START = 'Set "onMissingOffset" to "beginning" or "end", or pass "start" with each partition to assign().';
const IN_RETRY = 'Pass "retryBackoffMs" and "retryBackoffMaxMs" instead: what can pass is tried again until it has.';
const IN_COMMIT = "Call commit() instead: nothing is committed by itself.";

/** What consumers of Java, librdkafka and KafkaJS are told, in small letters and without dots. */
const CONSUMER_OPTIONS: Readonly<Record<string, string>> = {
  groupid: IN_GROUP,
  topics: IN_GROUP,
  groupinstanceid: IN_GROUP,
  autooffsetreset: IN_START,
  frombeginning: IN_START,
  autocommit: IN_COMMIT,
  autocommitintervalms: IN_COMMIT,
  enableautocommit: IN_COMMIT,
  retry: IN_RETRY,
  retries: IN_RETRY,
  isolationlevel: 'Pass "isolation" instead.',
  readuncommitted: 'Pass isolation: "read_uncommitted" instead.',
  maxpollrecords: "Take the records of a batch by batches().",
  maxpollintervalms: 'Pass "rebalanceTimeoutMs" to a GroupReader instead.',
  fetchmaxwaitms: 'Pass "maxWaitMs" instead.',
  fetchmaxbytes: 'Pass "maxBytes" instead.',
  maxpartitionfetchbytes: 'Pass "maxPartitionBytes" instead.',
  maxbytesperpartition: 'Pass "maxPartitionBytes" instead.',
  maxwaittimeinms: 'Pass "maxWaitMs" instead.',
  sessiontimeout: 'Pass "sessionTimeoutMs" to a GroupReader instead.',
  rebalancetimeout: 'Pass "rebalanceTimeoutMs" to a GroupReader instead.',
  heartbeatinterval: 'Pass "heartbeatIntervalMs" to a GroupReader instead.',
  partitionassigners: 'Pass "assignors" to a GroupReader instead.',
  partitionassignmentstrategy: 'Pass "assignors" to a GroupReader instead.',
};

/** @internal What to say of an option that a reader hasn't. */
export function readerHint(name: string, known: readonly string[]): string {
  const word = name.toLowerCase().replace(/[._-]/g, "");
  if (Object.hasOwn(CONSUMER_OPTIONS, word)) return ` ${CONSUMER_OPTIONS[word]}`;
  return optionHint(name, known) || ` Wanted ${known.join(", ")}.`;
}

/**
 * Options with their defaults.
 *
 * @throws {ConfigError} for the first that is unknown or wrong
 */
export function resolveReaderOptions(given: ReaderOptions): ResolvedReaderOptions {
  if (!isObject(given)) {
    throw new ConfigError("options", `Give the reader an object with "brokers": ${show(given)} is none.`);
  }
  const options = readOptions("new Reader()", given, READER_OPTIONS, (name) => readerHint(name, READER_OPTIONS));
  const { brokers, clientId = "sluice-reader", controlRecords = false, onOffsetReset, onTrouble } = options;
  if (typeof clientId !== "string" || clientId.length > 249) {
    throw new ConfigError("clientId", `Set "clientId" to a string of at most 249 characters.`);
  }
  if (typeof controlRecords !== "boolean") refuse("controlRecords", "true or false", controlRecords);
  for (const [name, value] of Object.entries({ onOffsetReset, onTrouble })) {
    if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  }
  const numbers = Object.entries(NUMBERS).map(([name, bounds]) => {
    return [name, checkNumber(name, options[name as keyof typeof NUMBERS] ?? undefined, bounds)];
  });
  const choices = Object.entries(CHOICES).map(([name, words]) => {
    const value = options[name as keyof typeof CHOICES] ?? words[0];
    if ((words as readonly unknown[]).includes(value)) return [name, value];
    refuse(name, words.map(show).join(" or "), value);
  });
  const connect = checkConnect(options.connect);
  const { sasl, tls } = checkSecurity(options, connect, namedMechanism);
  const isNamed = typeof brokers === "string" ||
    (isList(brokers) && brokers.every((entry) => typeof entry === "string"));
  if (!isNamed) refuse("brokers", '"host:port" or a list of them', brokers);
  return {
    bootstrap: parseAddresses(brokers as string | readonly string[]),
    clientId,
    controlRecords,
    ...{ connect, onOffsetReset, onTrouble, sasl, tls },
    ...Object.fromEntries([...numbers, ...choices]),
  } as ResolvedReaderOptions;
}
