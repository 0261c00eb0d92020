/**
 * What users of other Kafka clients write first, and what it is called here: a message that says "there is no such
 * option" sends them to the documentation, one that names ours doesn't.
 *
 * @module
 */

import { errorLike, isHarmless } from "./error_like.ts";
import { ConfigError, KafkaError } from "./errors.ts";
import { sentenceOf, show } from "./show.ts";

/** Sentences for options that have no counterpart of one name. */
const IN_CODECS = 'Pass the level with the codec: "compression": { codec: "gzip", level: 6 }.';
const IN_RETRY = 'Pass "retries", "retryBackoffMs" and "retryBackoffMaxMs" instead.';
const IN_LOGGER = 'Pass an object with functions like "warn" as "logger" instead.';
const IN_SEND = "Pass onDelivery with each send instead.";
const IN_METRICS = "Call metrics() of the producer instead.";
const IN_TLS = 'Pass "tls": true, or its certificates as { ca, cert, key }, instead.';
const IN_TRANSACTIONS = 'Pass "transactionalId" and "transactionTimeoutMs" to a TransactionalProducer.';

/**
 * Options of the Java client, of librdkafka and of KafkaJS, without dots, dashes and "ms" and in small letters, where
 * ours can't be guessed from the name: the name of ours, or a sentence.
 */
const OPTION_NAMES: Readonly<Record<string, string>> = {
  // Java
  bootstrapservers: "brokers",
  servers: "brokers",
  enableidempotence: "idempotent",
  idempotence: "idempotent",
  compressiontype: "compression",
  compressiongziplevel: IN_CODECS,
  compressionzstdlevel: IN_CODECS,
  compressionlz4level: IN_CODECS,
  maxinflightrequests: "maxInFlight",
  maxinflightrequestsperconnection: "maxInFlight",
  socketconnectionsetuptimeout: "connectTimeoutMs",
  connectionsmaxidle: "connectionMaxIdleMs",
  partitionerclass: "partitioner",
  interceptorclasses: "interceptors",
  metricreporters: IN_METRICS,
  securityprotocol: IN_TLS,
  transactionalid: IN_TRANSACTIONS,
  transactiontimeout: IN_TRANSACTIONS,
  // librdkafka
  metadatabrokerlist: "brokers",
  requestrequiredacks: "acks",
  requestacks: "acks",
  queuebufferingmax: "lingerMs",
  queuebufferingmaxmessages: "bufferMemory",
  queuebufferingmaxkbytes: "bufferMemory",
  batchnummessages: "batchSize",
  compressioncodec: "compression",
  compressionlevel: IN_CODECS,
  messagemaxbytes: "maxRequestSize",
  messagesendmaxretries: "retries",
  messagetimeout: "deliveryTimeoutMs",
  sockettimeout: "requestTimeoutMs",
  topicmetadatarefreshinterval: "metadataMaxAgeMs",
  allowautocreatetopics: "allowAutoTopicCreation",
  enablegaplessguarantee: "gapless",
  stickypartitioninglinger: 'Pass "partitioner": sticky({ records: 100 }) instead.',
  drcb: IN_SEND,
  drmsgcb: IN_SEND,
  statisticsinterval: IN_METRICS,
  loglevel: IN_LOGGER,
  debug: IN_LOGGER,
  // KafkaJS, and what it passes on to Node
  ssl: "tls",
  rejectunauthorized: 'Set "verify" of "tls" to "none" for a certificate that nobody vouches for.',
  checkserveridentity: 'Set "verify" of "tls" to "ca" for a certificate of another host name.',
  pfx: IN_TLS,
  connectiontimeout: "connectTimeoutMs",
  authenticationtimeout: "connectTimeoutMs",
  requesttimeout: "requestTimeoutMs",
  enforcerequesttimeout: 'Pass "requestTimeoutMs" instead: it is always enforced.',
  retry: IN_RETRY,
  initialretrytime: "retryBackoffMs",
  maxretrytime: "retryBackoffMaxMs",
  metadatamaxage: "metadataMaxAgeMs",
  createpartitioner: "partitioner",
  logcreator: IN_LOGGER,
  socketfactory: "connect",
};

/** A name without what clients spell differently: `"linger.ms"`, `"lingerms"` and `"lingerMs"` are one. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[._-]|ms$/g, "");
}

/**
 * What to say of an option that there isn't: which one of ours it stands for. Empty if nothing is known.
 *
 * @param known the options that there are
 */
export function optionHint(name: string, known: readonly string[]): string {
  const word = plain(name);
  const ours = Object.hasOwn(OPTION_NAMES, word) ? OPTION_NAMES[word]! : known.find((other) => plain(other) === word);
  if (ours === undefined) {
    if (word.startsWith("ssl") && known.includes("tls")) return ` ${IN_TLS}`;
    return "";
  }
  if (known.includes(ours)) return ` Did you mean "${ours}"?`;
  return ours.endsWith(".") ? ` ${ours}` : "";
}

/**
 * The error for a record that can't be sent, which says what to pass instead where it has another client's shape.
 * Never throws, whatever the record is.
 */
export function explainRefusal(error: unknown, record: unknown): KafkaError {
  const hint = shapeHint(record);
  if (isHarmless(error)) return hint === undefined ? error : errorLike(error, hint, { cause: error });
  const message = hint ?? `Pass a record that can be read, such as { topic: "orders", value: "hello" }: ` +
      `reading this one failed. ${sentenceOf(error)}`;
  return new KafkaError(message, { code: "UNEXPECTED", cause: error });
}

/**
 * The records that were passed to `sendBatch`, or why they can't be had. Never throws. What isn't a list may make each
 * record of what it made the one before of, so it is kept by `keep` as soon as it is there.
 */
export function copyOfRecords<R>(records: Iterable<R>, keep: (record: R) => R): R[] | ConfigError {
  try {
    if (Array.isArray(records)) return [...records];
    if (typeof records === "object" && records !== null && Symbol.iterator in records) return Array.from(records, keep);
  } catch (error) {
    return refusedBatch(records, error);
  }
  return refusedBatch(records, undefined);
}

/** What `disconnect` rejects with. */
export function notDisconnect(): ConfigError {
  return new ConfigError("disconnect", "Call close() in place of disconnect(): it delivers what is left, then ends.");
}

function refusedBatch(records: unknown, cause: unknown): ConfigError {
  const hint = shapeHint(records);
  const reason = cause === undefined ? `${show(records)} is not.` : `reading it failed. ${sentenceOf(cause)}`;
  const message = typeof records === "object" && hint !== undefined
    ? hint
    : `Pass the records to sendBatch as a list: ${reason}`;
  return new ConfigError("records", message, { cause });
}

/** What to pass in place of something that is no record of ours; undefined if it looks like one. */
function shapeHint(record: unknown): string | undefined {
  if (typeof record === "string") {
    return "Pass the record as one object, { topic, key, value }, not field by field: " + `${show(record)} is not.`;
  }
  if (typeof record !== "object" || record === null) {
    return `Pass a record such as { topic: "orders", value: "hello" }: ${show(record)} is not.`;
  }
  try {
    if (Array.isArray(record)) return "Pass a list of records to sendBatch: send takes one record.";
    const { topic, value, messages, topicMessages } = record as Readonly<Record<string, unknown>>;
    if (value !== undefined) return undefined;
    const each = "as a record of its own, { topic, key, value, headers }";
    if (messages !== undefined && typeof topic === "string") {
      return `Pass each message ${each}, several of them as a list to sendBatch: "messages" is KafkaJS's name.`;
    }
    if (topicMessages !== undefined) {
      return `Pass each message ${each}, all of them as one list to sendBatch: "topicMessages" is KafkaJS's name.`;
    }
  } catch {
    // It can't be read; whoever calls knows that already.
  }
  return undefined;
}

/**
 * Not there, but for the word that users of KafkaJS look for.
 *
 * @deprecated Write `new Producer({ brokers, clientId })`.
 */
export class Kafka {
  /** Says what there is instead. @throws {ConfigError} always */
  constructor(..._config: unknown[]) {
    throw new ConfigError(
      "Kafka",
      "Write new Producer({ brokers, clientId, … }) in place of new Kafka({ … }).producer({ … }): all options go there.",
    );
  }
}
