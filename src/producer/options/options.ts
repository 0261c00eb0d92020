/**
 * The options of a producer: what may be written, what it means, and what is refused.
 *
 * @module
 */

import type { Address } from "../../cluster/address.ts";
import { checkSnapshot, type ClusterSnapshot } from "../../cluster/snapshot.ts";
import type { Codec, CompressionType, Compressor } from "../../codec/codec.ts";
import type { CodecSource } from "../../codec/guarded_compressor.ts";
import { checkNumber, isObject, MAX_INT32, type NumberBounds, readOptions } from "../../call_options.ts";
import { CLIENT_NUMBERS, CONNECTION_NUMBERS } from "../../cluster/connection_numbers.ts";
import { ConfigError, KafkaError } from "../../errors.ts";
import { optionHint } from "../../other_clients.ts";
import type { SaslMechanism } from "../../sasl/mechanism.ts";
import type { NamedSasl } from "../../sasl/named.ts";
import { sentenceOf, show } from "../../show.ts";
import { checkHosted, type CompressionSpec, resolveCompression, type TopicCompression } from "./compression.ts";
import { checkConnect, checkSecurity, type SecurityProtocol } from "../../cluster/security.ts";
import { type Names, NO_NAMES } from "./security.ts";
import type { Connect } from "../../runtime/connectable.ts";
import type { SocketFactory, TlsOptions } from "../../runtime/runtime.ts";
import type { ProducerHooks } from "../observe/hooks.ts";
import type { ProducerInterceptor } from "../record/interceptor.ts";
import { adaptLogger, type Logger } from "../observe/logger.ts";
import { checkTelemetry, type Telemetry } from "../observe/telemetry.ts";
import {
  checkAcks,
  checkBoolean,
  checkBrokers,
  checkChoice,
  checkClientId,
  checkFunction,
  checkHooks,
  checkInterceptors,
  checkLogger,
  checkPartitioner,
  conflict,
} from "./option_checks.ts";
import type { Partitioner, PartitionerName } from "../record/partitioner.ts";
import type { Serializer } from "../record/serializer.ts";

/** The options of a {@link Producer}. Names are Java's in camelCase; times are in ms, sizes in bytes. */
export interface ProducerOptions<K = string | Uint8Array, V = string | Uint8Array> {
  /** Bootstrap servers, a list or one string with commas. Port 9092 unless it is written. */
  readonly brokers: string | readonly string[];
  /** Sent with every request; quotas and broker logs go by it. @default "sluice" */
  readonly clientId?: string | undefined;
  /** Who must have a record before it counts: all in-sync replicas, the leader (1), nobody (0). @default "all" */
  readonly acks?: "all" | -1 | 1 | 0 | undefined;
  /** No duplicates and no reordering through retries (KIP-98). @default true unless acks or retries rule it out */
  readonly idempotent?: boolean | undefined;
  /** Codec of the batches: its name, or a value such as `lz4()` of `@sluice/kafka/codecs`. @default "none" */
  readonly compression?: CompressionType | CompressionSpec | Codec | TopicCompression | undefined;
  /** Where codecs come from; or own ones, by name, which come before the built-in. @default "auto" */
  readonly codecs?: CodecSource | Readonly<Partial<Record<CompressionType, Codec>>> | undefined;
  /** How long a batch waits for company. @default 0 */
  readonly lingerMs?: number | undefined;
  /**
   * Size of a batch. Unset, a batch is due at 16384 bytes, and while it can't leave it grows on up to 1000000.
   * @default unset
   */
  readonly batchSize?: number | undefined;
  /**
   * Memory for records that have no outcome yet, in bytes. A record counts for no less than 256, about what its promise
   * takes. When it is full, `send` waits in line, and `produce` returns false.
   * The line is as long as it gets while the broker takes records; once nothing has come free for 100 ms it holds
   * 8 MiB, and who comes then fails at once with a `BufferFullError`. @default 33554432
   */
  readonly bufferMemory?: number | undefined;
  /** How long a send may wait for metadata and memory together, in the order of the calls. @default 60000 */
  readonly maxBlockMs?: number | undefined;
  /** Cap on a Produce request. Brokers have a limit of their own, about 1 MB a batch. @default 104857600 */
  readonly maxRequestSize?: number | undefined;
  /** Unanswered Produce requests on a connection, 1 to 5 with idempotence. @default 5 */
  readonly maxInFlight?: number | undefined;
  /** How often a batch is sent again. @default Infinity */
  readonly retries?: number | undefined;
  /**
   * How often a batch is sent again, or the metadata asked again, after the answer that there is no such topic. With a
   * small number a send to a topic that is missing fails soon, and one to a topic that was just created may.
   * @default Infinity
   */
  readonly unknownTopicRetries?: number | undefined;
  /** Wait before the first retry; it doubles each time. @default 100 */
  readonly retryBackoffMs?: number | undefined;
  /** Longest wait before a retry. @default 1000 */
  readonly retryBackoffMaxMs?: number | undefined;
  /** From the call of `send` to the outcome, at most. @default 120000 */
  readonly deliveryTimeoutMs?: number | undefined;
  /**
   * Don't fail a record at `deliveryTimeoutMs` while it may be in the log: wait until a broker tells, however long that
   * takes, and with it what was sent to the same partition later. Needs idempotence. @default false
   */
  readonly waitForOutcome?: boolean | undefined;
  /**
   * When a record fails, fail what was handed over for its partition after it as well, unless it may be in the log
   * already: the log is a prefix of what was sent, with no gap. Needs idempotence. @default false
   */
  readonly gapless?: boolean | undefined;
  /**
   * What to do when a broker misses records that were acknowledged, as after an unclean election: tell
   * `hooks.onDataLossSuspected` and go on under a new epoch, or be of no more use. @default "continue"
   */
  readonly onDataLoss?: "continue" | "fatal" | undefined;
  /** How long to wait for an answer. @default 30000 */
  readonly requestTimeoutMs?: number | undefined;
  /** TCP, TLS and handshake together. @default 10000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Wait before dialling a broker again; it doubles each time. @default 50 */
  readonly reconnectBackoffMs?: number | undefined;
  /** Longest wait before dialling a broker again. @default 1000 */
  readonly reconnectBackoffMaxMs?: number | undefined;
  /** Age at which metadata is refreshed for no other reason. @default 300000 */
  readonly metadataMaxAgeMs?: number | undefined;
  /** A topic that is unused for this long is forgotten. @default 300000 */
  readonly metadataMaxIdleMs?: number | undefined;
  /** A connection that is unused for this long is closed. @default 540000 */
  readonly connectionMaxIdleMs?: number | undefined;
  /**
   * Connections at a time. A further one waits for its turn: then the one that has been idle longest is closed, or, if
   * all are busy, the oldest once its requests are answered. @default Infinity (6 on workerd)
   */
  readonly maxConnections?: number | undefined;
  /** Let the broker create a missing topic. @default false */
  readonly allowAutoTopicCreation?: boolean | undefined;
  /** A built-in strategy or an own function. Unset: by key, and sticky without a key. @default "sticky" */
  readonly partitioner?: PartitionerName | Partitioner | undefined;
  /**
   * Tell brokers from Kafka 4.4 on which node of which cluster they are taken for. One that is somebody else by now,
   * since addresses are given to others, says so; nothing is sent there, and the bootstrap servers are asked anew
   * (KIP-1242). Switch it off for a proxy that has ids of its own. @default true
   */
  readonly clusterCheck?: boolean | undefined;
  /** Turns keys into bytes. @default strings and bytes as they are */
  readonly keySerializer?: Serializer<K> | undefined;
  /** Turns values into bytes. @default strings and bytes as they are */
  readonly valueSerializer?: Serializer<V> | undefined;
  /** See records before they are serialized, and their outcomes (KIP-42). @default [] */
  readonly interceptors?: readonly ProducerInterceptor<K, V>[] | undefined;
  /** Speak TLS. @default false */
  readonly tls?: boolean | TlsOptions | undefined;
  /**
   * Who the producer is: a mechanism such as `scramSha256({ … })` of `@sluice/kafka/sasl`, or, but for the core, its
   * name with what it needs. @default none
   */
  readonly sasl?: SaslMechanism | NamedSasl | undefined;
  /**
   * What `tls` and `sasl` mean together, in Kafka's words. Only `"sasl_plaintext"` lets PLAIN send a password through
   * an open line. @default derived
   */
  readonly securityProtocol?: SecurityProtocol | undefined;
  /**
   * Opens connections: a function, any object with a method `connect` as `cloudflare:sockets`, a service binding or a
   * VPC network of Workers have it, `socks5({ … })` and others of `@sluice/kafka/sockets`. @default the runtime's own
   */
  readonly connect?: Connect | undefined;
  /**
   * Takes log events: one's own functions, or pino, winston, bunyan or `console` as they are. `"console"` writes a line
   * for each warning and what else an operator may want to know: the one word when nothing seems to happen. Fields are
   * safe for JSON. @default none: the producer is silent
   */
  readonly logger?: Logger | "console" | undefined;
  /**
   * What {@link Producer.snapshot} of another producer with the same `brokers` has returned, as it is or out of JSON.
   * Older than `metadataMaxAgeMs` it is of little use, and does no harm. @default none: brokers and leaders are asked for
   */
  readonly snapshot?: ClusterSnapshot | undefined;
  /** Functions that are told what happens: connections, requests, retries. @default none */
  readonly hooks?: ProducerHooks | undefined;
  /**
   * Pushes metrics to brokers whose operators want them (KIP-714): `clientTelemetry()` of `@sluice/kafka/telemetry`.
   * @default none
   */
  readonly telemetry?: Telemetry | undefined;
}

/** Options after defaults and checks. */
export interface ResolvedOptions {
  readonly brokers: readonly Address[];
  readonly clientId: string;
  /** −1 for all. */
  readonly acks: -1 | 0 | 1;
  readonly idempotent: boolean;
  /** Undefined is no compression. */
  readonly codecFor: (topic: string) => Compressor | undefined;
  readonly codecs: readonly Compressor[];
  readonly lingerMs: number;
  /** A batch of this size is due. */
  readonly batchSize: number;
  /** A batch doesn't grow beyond this, unless its only record does. */
  readonly batchSizeCap: number;
  readonly bufferMemory: number;
  readonly maxBlockMs: number;
  readonly maxRequestSize: number;
  readonly maxInFlight: number;
  readonly retries: number;
  readonly unknownTopicRetries: number;
  readonly waitForOutcome: boolean;
  readonly gapless: boolean;
  readonly onDataLoss: "continue" | "fatal";
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly reconnectBackoffMs: number;
  readonly reconnectBackoffMaxMs: number;
  readonly metadataMaxAgeMs: number;
  readonly metadataMaxIdleMs: number;
  readonly connectionMaxIdleMs: number;
  /** Undefined: what the runtime allows. */
  readonly maxConnections: number | undefined;
  readonly allowAutoTopicCreation: boolean;
  readonly clusterCheck: boolean;
  readonly partitioner: PartitionerName | Partitioner;
  readonly keySerializer: Serializer<never> | undefined;
  readonly valueSerializer: Serializer<never> | undefined;
  readonly interceptors: readonly ProducerInterceptor<never, never>[];
  readonly tls: boolean | TlsOptions;
  readonly sasl: SaslMechanism | undefined;
  readonly connect: SocketFactory | undefined;
  readonly logger: Logger;
  /** As the caller gave them, until the producer puts {@link guardedHooks} in their place. */
  readonly hooks: ProducerHooks;
  readonly snapshot: ClusterSnapshot | undefined;
  readonly telemetry: Telemetry | undefined;
  /** What a user may want to know of the choice of options: event and fields. */
  readonly remarks: readonly (readonly [event: string, fields: Readonly<Record<string, unknown>>])[];
}

const DEFAULT_BATCH_SIZE = 16_384;
const GROWN_BATCH_SIZE = 1_000_000;
const MAX_IDEMPOTENT_IN_FLIGHT = 5;

/** Name, default, least and greatest value of every number among the options. */
const NUMBERS = {
  lingerMs: [0, 0, MAX_INT32],
  batchSize: [DEFAULT_BATCH_SIZE, 1, MAX_INT32],
  bufferMemory: [33_554_432, 1, Number.MAX_SAFE_INTEGER],
  maxBlockMs: [60_000, 0, MAX_INT32],
  maxRequestSize: [104_857_600, 1, MAX_INT32],
  maxInFlight: [5, 1, MAX_INT32],
  retries: [Infinity, 0, Infinity],
  unknownTopicRetries: [Infinity, 0, Infinity],
  deliveryTimeoutMs: [120_000, 1, MAX_INT32],
  metadataMaxIdleMs: [300_000, 1, Infinity],
  ...CLIENT_NUMBERS,
  ...CONNECTION_NUMBERS,
  maxConnections: [Infinity, 1, Infinity],
} as const satisfies Readonly<Record<string, NumberBounds>>;

type NumberName = keyof typeof NUMBERS;

const OTHERS = [
  "brokers",
  "clientId",
  "acks",
  "idempotent",
  "waitForOutcome",
  "gapless",
  "onDataLoss",
  "compression",
  "codecs",
  "allowAutoTopicCreation",
  "clusterCheck",
  "partitioner",
  "keySerializer",
  "valueSerializer",
  "interceptors",
  "tls",
  "sasl",
  "securityProtocol",
  "connect",
  "logger",
  "hooks",
  "snapshot",
  "telemetry",
] as const;

/**
 * Checks options without a broker and without a socket.
 *
 * @throws {ConfigError} for the first option that is unknown, wrong or in conflict with another
 */
export function validateConfig<K, V>(options: ProducerOptions<K, V>): void {
  resolveOptions(options);
}

/**
 * Fills in defaults and refuses what can't be meant. `sockets` are the runtime's own, for what depends on them; `names`
 * find what is given by its name.
 */
export function resolveOptions<K, V>(
  options: ProducerOptions<K, V>,
  sockets?: SocketFactory,
  names: Names = NO_NAMES,
): ResolvedOptions {
  const read = readProducerOptions(options);
  try {
    return resolve(read, sockets, names);
  } catch (error) {
    if (error instanceof KafkaError) throw error;
    // A getter, or a proxy, in one of the options that are objects.
    const message = `Pass options that can be read: reading one failed. ${sentenceOf(error)}`;
    throw new ConfigError("options", message, { cause: error });
  }
}

const ALL_OPTIONS: readonly (keyof ProducerOptions)[] = [...Object.keys(NUMBERS) as NumberName[], ...OTHERS];

/** The options of a producer, each read once. @throws {ConfigError} for one that there isn't */
export function readProducerOptions<K, V>(options: ProducerOptions<K, V>): ProducerOptions<K, V> {
  if (!isObject(options)) {
    throw new ConfigError("options", `Pass an object with at least "brokers": ${show(options)} is not.`);
  }
  const hintFor = (name: string): string => optionHint(name, ALL_OPTIONS);
  return readOptions("the producer", options, ALL_OPTIONS, hintFor) as unknown as ProducerOptions<K, V>;
}

function resolve<K, V>(
  options: ProducerOptions<K, V>,
  sockets: SocketFactory | undefined,
  names: Names,
): ResolvedOptions {
  const numbers = checkNumbers(options);
  const { retries, maxInFlight, batchSize, maxRequestSize } = numbers;
  const acks = checkAcks(options.acks);
  const [idempotent, remark] = decideIdempotence(options, acks, retries, maxInFlight);
  const batchSizeCap = options.batchSize === undefined ? GROWN_BATCH_SIZE : batchSize;
  if (options.batchSize !== undefined && maxRequestSize < batchSize) {
    conflict("maxRequestSize", `"maxRequestSize" (${maxRequestSize}) is below "batchSize" (${batchSize})`);
  }
  const connect = checkConnect(options.connect);
  const { tls, sasl } = checkSecurity(options, connect ?? sockets, names.mechanism);
  const [codecFor, codecs] = resolveCompression(options, names.compressor);
  const brokers = checkBrokers(options.brokers);
  checkHosted(brokers, codecs);
  const resolved: ResolvedOptions = {
    ...numbers,
    maxConnections: options.maxConnections === undefined ? undefined : numbers.maxConnections,
    brokers,
    clientId: checkClientId(options.clientId),
    acks,
    idempotent,
    codecFor,
    codecs,
    batchSizeCap: Math.min(batchSizeCap, maxRequestSize),
    waitForOutcome: needsIdempotence("waitForOutcome", options.waitForOutcome, idempotent),
    gapless: needsIdempotence("gapless", options.gapless, idempotent),
    onDataLoss: checkChoice("onDataLoss", options.onDataLoss, ["continue", "fatal"]),
    allowAutoTopicCreation: checkBoolean("allowAutoTopicCreation", options.allowAutoTopicCreation) ?? false,
    clusterCheck: checkBoolean("clusterCheck", options.clusterCheck) ?? true,
    partitioner: checkPartitioner(options.partitioner),
    keySerializer: checkFunction("keySerializer", options.keySerializer) as Serializer<never> | undefined,
    valueSerializer: checkFunction("valueSerializer", options.valueSerializer) as Serializer<never> | undefined,
    interceptors: checkInterceptors(options.interceptors),
    tls,
    sasl,
    connect,
    logger: adaptLogger(checkLogger(options.logger)),
    hooks: checkHooks(options.hooks),
    snapshot: checkSnapshot(options.snapshot),
    telemetry: checkTelemetry(options.telemetry),
    remarks: remark === undefined ? [] : [remark],
  };
  return withDeliveryRemark(resolved);
}

function checkNumbers(options: Readonly<Partial<Record<NumberName, unknown>>>): Record<NumberName, number> {
  const names = Object.keys(NUMBERS) as NumberName[];
  return Object.fromEntries(names.map((name) => [name, checkNumber(name, options[name], NUMBERS[name])])) as Record<
    NumberName,
    number
  >;
}

/** Java's rule: settings that conflict switch idempotence off, unless it was asked for by name. */
function decideIdempotence(
  options: { readonly idempotent?: unknown },
  acks: number,
  retries: number,
  maxInFlight: number,
): [boolean, ResolvedOptions["remarks"][number] | undefined] {
  const wish = checkBoolean("idempotent", options.idempotent);
  if (wish === false) return [false, undefined];
  if (acks !== -1 || retries === 0) {
    const [option, what] = acks === -1 ? ["retries", "0 retries"] : ["acks", `acks ${acks}`];
    if (wish === true) conflict(option, `"idempotent" needs acks "all" and retries; ${what} rules it out`);
    return [false, ["idempotence_off", { reason: what }]];
  }
  if (maxInFlight > MAX_IDEMPOTENT_IN_FLIGHT) {
    conflict(
      "maxInFlight",
      `"maxInFlight" ${maxInFlight} is above ${MAX_IDEMPOTENT_IN_FLIGHT}, the most with idempotence; ` +
        `set "idempotent" to false for more`,
    );
  }
  return [true, undefined];
}

/** An option that makes no sense where a retry may make a second copy. */
function needsIdempotence(name: string, value: unknown, idempotent: boolean): boolean {
  const wish = checkBoolean(name, value) ?? false;
  if (wish && !idempotent) conflict(name, `"${name}" needs "idempotent", which is off`);
  return wish;
}

function withDeliveryRemark(options: ResolvedOptions): ResolvedOptions {
  const { deliveryTimeoutMs, lingerMs, requestTimeoutMs } = options;
  if (deliveryTimeoutMs >= lingerMs + requestTimeoutMs) return options;
  const fields = { deliveryTimeoutMs, lingerMs, requestTimeoutMs };
  return { ...options, remarks: [...options.remarks, ["delivery_timeout_below_request_timeout", fields]] };
}
