/**
 * Why something doesn't go on: for warnings while it lasts, and for the errors of those who have waited in vain.
 *
 * @module
 */

import { formatAddress } from "../../cluster/address.ts";
import { connectAdvice } from "../../cluster/advice.ts";
import type { Broker } from "../../cluster/broker.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { isUsable } from "../../cluster/metadata.ts";
import type { KafkaError } from "../../errors.ts";
import { brokerError, errorOf } from "../../protocol/error_codes.ts";
import {
  KAFKA_STORAGE_ERROR,
  LEADER_NOT_AVAILABLE,
  NOT_ENOUGH_REPLICAS,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  NOT_LEADER_OR_FOLLOWER,
  REQUEST_TIMED_OUT,
  THROTTLING_QUOTA_EXCEEDED,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { sentence, show } from "../../show.ts";
import type { Partition } from "../accumulator/partition.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Topic } from "../accumulator/topic.ts";

/** What kind of thing a record waits for. */
export type WaitCause =
  | "memory" // everything of bufferMemory is taken
  | "metadata" // nobody has told yet which brokers and topics there are
  | "topic_missing" // the cluster has no such topic
  | "topic_unavailable" // the cluster tells another error of the topic
  | "partition_missing" // the topic has no such partition
  | "no_leader" // nobody leads the partition
  | "producer_id" // no broker has given a producer id
  | "unreachable" // the leader can't be connected to
  | "throttled" // the leader wants to be left alone
  | "no_answer" // the leader has been sent records and keeps silent
  | "refused" // the leader refuses, and may accept later
  | "backlog"; // the leader answers, and isn't as fast as the sends

/** Why something waits. Thousands of batches may wait for the same thing, so words are made only for whom they are told. */
export interface Diagnosis {
  readonly cause: WaitCause;
  explain(): Explanation;
}

/** A diagnosis in words. */
export interface Explanation {
  /** One sentence or more. */
  readonly reason: string;
  /** What to do about it, in one sentence. */
  readonly advice: string;
  /** The error behind it. */
  readonly error?: KafkaError | undefined;
}

/** A broker that has been silent for less time has hardly had time to answer. */
const SILENT_MS = 1_000;

const FEW_REPLICAS = "Bring back brokers that hold replicas, or lower min.insync.replicas of the topic.";
/** What to do about what a broker answers again and again. */
const ADVICE: Readonly<Record<number, string>> = {
  [UNKNOWN_TOPIC_OR_PARTITION]: "Create the topic again, or stop sending to it.",
  [LEADER_NOT_AVAILABLE]: "Wait for the election, or bring back a broker that holds a replica of the partition.",
  [NOT_LEADER_OR_FOLLOWER]: "Wait for the metadata to settle; if it doesn't, look at the controller's log.",
  [REQUEST_TIMED_OUT]: "Look at the replicas of the partition: they don't confirm in time.",
  [NOT_ENOUGH_REPLICAS]: FEW_REPLICAS,
  [NOT_ENOUGH_REPLICAS_AFTER_APPEND]: FEW_REPLICAS,
  [KAFKA_STORAGE_ERROR]: "Look at the disks of the broker.",
  [THROTTLING_QUOTA_EXCEEDED]: "Send slower, or raise the quota of this client.",
};
const BROKER_LOG = "Look at the log of the broker.";
const CREATE_TOPIC = 'Create the topic, correct its name, or set "allowAutoTopicCreation" to true.';

/** Finds out why something of one producer doesn't go on. */
export class Diagnostics {
  readonly #cluster: Cluster;
  readonly #stamping: Stamping;

  /** Looks at a cluster, and at who stamps the batches. */
  constructor(cluster: Cluster, stamping: Stamping) {
    this.#cluster = cluster;
    this.#stamping = stamping;
  }

  /** Why there is no metadata, or no connection to any broker. */
  ofCluster(): Diagnosis {
    return waitsFor("metadata", () => this.#explainCluster());
  }

  /** Why there is no producer id. */
  ofIdentity(): Diagnosis {
    return waitsFor("producer_id", () => this.#explainIdentity());
  }

  /** Why records of a topic, or calls that ask for its partitions, can't go on. */
  ofTopic(topic: Topic, partition?: number): Diagnosis {
    const { metadata: { errorCode } } = topic;
    if (isUsable(topic.metadata)) return partitionMissing(topic, partition);
    // An answer of long ago says little when nobody can be asked any more.
    if (errorCode === 0 || this.#cluster.lastError !== undefined) return this.ofCluster();
    const isMissing = errorCode === UNKNOWN_TOPIC_OR_PARTITION;
    return waitsFor(isMissing ? "topic_missing" : "topic_unavailable", () => {
      const error = brokerError(errorCode, { topic: topic.name });
      const times = topic.unknownAnswers > 1 ? ` (${topic.unknownAnswers} times)` : "";
      const advice = isMissing ? CREATE_TOPIC : ADVICE[errorCode] ?? BROKER_LOG;
      return { reason: error.message.replace(/\.$/, `${times}.`), advice, error };
    });
  }

  /** Why the first batch of a partition has no outcome yet. */
  ofPartition(partition: Partition): Diagnosis {
    const { topic, index, inFlight, leader } = partition;
    if (inFlight.length > 0) {
      const broker = this.#cluster.broker(partition.sentTo.leaderId);
      return throttled(broker) ?? unanswered(broker) ?? retried(partition);
    }
    if (!isUsable(topic.metadata)) return this.ofTopic(topic);
    if (leader === undefined) {
      return index < topic.metadata.partitions.length ? leaderless(partition) : partitionMissing(topic, index);
    }
    const broker = this.#cluster.broker(leader.leaderId);
    if (broker === undefined) return unlisted(partition, leader.leaderId);
    if (this.#stamping.stamps && this.#stamping.identity === undefined && broker.lastError === undefined) {
      return this.ofIdentity();
    }
    if (broker.connection === undefined) return unreachable(partition, broker);
    return throttled(broker) ?? retried(partition);
  }

  /** Why nothing of the buffer memory comes free; `oldest` is the partition whose batch has waited longest. */
  ofMemory(totalBytes: number, oldest: Partition | undefined): Diagnosis {
    const advice = 'Send slower, or raise "bufferMemory".';
    const taken = `All ${totalBytes} bytes of the buffer are taken (bufferMemory).`;
    return waitsFor("memory", () => {
      if (oldest === undefined) return { reason: taken, advice };
      const { reason, error } = this.ofPartition(oldest).explain();
      return { reason: `${taken} ${reason}`, advice, error };
    });
  }

  #explainCluster(): Explanation {
    const { lastError, unreached } = this.#cluster;
    const failed = unreached.filter((broker) => broker.lastError !== undefined);
    const [worst] = failed.sort((a, b) => b.failures - a.failures);
    const advice = worst === undefined ? BROKER_LOG : adviceOf(worst);
    if (lastError !== undefined) {
      const times = worst === undefined || worst.failures < 2
        ? ""
        : ` ${formatAddress(worst.address)} was dialled ${worst.failures} times.`;
      return { reason: `${sentence(lastError.message)}${times}`, advice, error: lastError };
    }
    if (worst !== undefined) return { reason: failuresOf(worst), advice, error: worst.lastError };
    const [dialled] = unreached;
    if (dialled !== undefined) return dialling(dialled);
    // Nobody is unreached: a broker that wants to be left alone may be the reason.
    const { trouble } = this.#cluster;
    if (trouble !== undefined) return { reason: sentence(trouble.message), advice: BROKER_LOG, error: trouble };
    return { reason: "No broker has answered with metadata yet.", advice: BROKER_LOG };
  }

  #explainIdentity(): Explanation {
    const error = this.#stamping.lastError;
    // Where nobody can be asked, that is the reason, and not what would be asked.
    const isRefused = error?.errorCode !== undefined && this.#cluster.lastError === undefined;
    if (isRefused) {
      const reason = `There is no producer id yet. ${sentence(error.message)}`;
      return { reason, advice: ADVICE[error.errorCode!] ?? BROKER_LOG, error };
    }
    if (this.#cluster.lastError === undefined && this.#cluster.unreached.length === 0) {
      const last = error === undefined ? "no broker has answered InitProducerId." : sentence(error.message);
      return { reason: `There is no producer id yet: ${last}`, advice: BROKER_LOG, error };
    }
    const { reason, ...rest } = this.#explainCluster();
    return { reason: `There is no producer id yet. ${reason}`, ...rest };
  }
}

function waitsFor(cause: WaitCause, explain: () => Explanation): Diagnosis {
  return { cause, explain };
}

function throttled(broker: Broker | undefined): Diagnosis | undefined {
  const connection = broker?.connection;
  // Made only for a connection that is throttled.
  const error = connection?.throttleError;
  if (error === undefined) return undefined;
  return waitsFor("throttled", () => ({
    reason: sentence(error.message),
    advice: "Send slower, or raise the quota of this client.",
    error,
  }));
}

function partitionMissing({ name, metadata: { partitions } }: Topic, partition: number | undefined): Diagnosis {
  const wanted = partition === undefined ? "" : `, not ${partition}`;
  return waitsFor("partition_missing", () => ({
    reason: `Topic ${show(name)} has partitions 0 to ${partitions.length - 1}${wanted}.`,
    advice: "Choose another partition, or add partitions to the topic.",
  }));
}

function leaderless({ topic: { name: topic, metadata }, index: partition }: Partition): Diagnosis {
  return waitsFor("no_leader", () => {
    const errorCode = metadata.partitions[partition]?.errorCode ?? metadata.errorCode;
    const advice = "Bring back a broker that holds a replica of the partition.";
    const reason = `Topic ${show(topic)} partition ${partition} has no leader`;
    if (errorCode === 0) return { reason: `${reason}.`, advice };
    const error = brokerError(errorCode, { topic, partition });
    return { reason: `${reason}: the broker tells ${errorOf(errorCode).name} (${errorCode}) of it.`, advice, error };
  });
}

function unlisted({ topic, index }: Partition, leaderId: number): Diagnosis {
  return waitsFor("no_leader", () => ({
    reason:
      `Topic ${show(topic.name)} partition ${index} has no leader that can be dialled: it is broker ${leaderId}, and ` +
      "the metadata doesn't tell where that listens.",
    advice: `Look whether broker ${leaderId} is up.`,
  }));
}

function unreachable({ topic, index }: Partition, broker: Broker): Diagnosis {
  return waitsFor("unreachable", () => {
    const which = `Broker ${broker.nodeId} leads topic ${show(topic.name)} partition ${index}.`;
    if (broker.lastError === undefined) {
      const { reason, advice } = dialling(broker);
      return { reason: `${which} ${reason}`, advice };
    }
    return { reason: `${which} ${failuresOf(broker)}`, advice: adviceOf(broker), error: broker.lastError };
  });
}

function unanswered(broker: Broker | undefined): Diagnosis | undefined {
  const silentMs = broker?.connection?.silentMs ?? 0;
  if (broker === undefined || silentMs < SILENT_MS) return undefined;
  return waitsFor("no_answer", () => ({
    reason: `The broker at ${formatAddress(broker.address)} has not answered for ${Math.round(silentMs)} ms.`,
    advice: "Look whether the broker is overloaded or has stopped.",
  }));
}

function retried({ incomplete, queue }: Partition): Diagnosis {
  const head = incomplete.find(({ outcome }) => outcome === undefined) ?? queue[0];
  const error = head?.lastError;
  if (head === undefined || error === undefined) {
    return waitsFor("backlog", () => ({
      reason: "The broker answers, and there is more than it takes.",
      advice: "Send slower, or let more brokers and partitions share the work.",
    }));
  }
  return waitsFor("refused", () => {
    const times = head.attempts > 1
      ? `${head.attempts} attempts have failed, the last: `
      : "The last attempt has failed: ";
    return { reason: `${times}${sentence(error.message)}`, advice: ADVICE[error.errorCode ?? 0] ?? BROKER_LOG, error };
  });
}

function failuresOf(broker: Broker): string {
  const { failures, lastError } = broker;
  const message = sentence(lastError!.message);
  return failures > 1 ? `${failures} attempts to connect have failed, the last: ${message}` : message;
}

function dialling(broker: Broker): Pick<Explanation, "reason" | "advice"> {
  const name = formatAddress(broker.address);
  const forMs = Math.round(broker.dialledForMs);
  const { advertisedBy, nodeId } = broker;
  const origin = advertisedBy === undefined
    ? ""
    : ` The broker at ${advertisedBy} advertises this address for node ${nodeId} (advertised.listeners).`;
  const reason = forMs === 0
    ? `The broker at ${name} is about to be dialled.${origin}`
    : `Connecting to "${name}" has taken ${forMs} ms so far.${origin}`;
  return { reason, advice: `Check that ${name} can be reached from here, and firewalls on the way.` };
}

function adviceOf(broker: Broker): string {
  return connectAdvice(broker.lastError!, broker);
}
