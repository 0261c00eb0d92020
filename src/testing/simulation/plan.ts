/**
 * What happens in one simulated run, as data: it is made from a seed, printed, stored, and made smaller.
 *
 * @module
 */

import type { Release } from "../broker/release.ts";
import type { Chunking } from "../doubles/network.ts";
import type { TopicConfig } from "../storage/topic_config.ts";

/** Everything that a run depends on. The same plan gives the same run, on every runtime. */
export interface SimulationPlan {
  /** Feeds the latencies and all jitter. */
  readonly seed: number;
  /** What kind of trouble it was made for. */
  readonly profile: string;
  /** The brokers and their topics. */
  readonly cluster: ClusterPlan;
  /** The producers, in the order of their start. */
  readonly producers: readonly ProducerPlan[];
  /** The records, by sender and time. */
  readonly sends: readonly SendPlan[];
  /** Flushes. */
  readonly flushes: readonly FlushPlan[];
  /** What goes wrong, and when. */
  readonly faults: readonly FaultPlan[];
  /** How long nobody asks for anything when all is sent and healed, in ms; absent: not at all. */
  readonly restMs?: number;
}

/** A cluster and its network. */
export interface ClusterPlan {
  /** How many brokers. */
  readonly brokers: number;
  /** The release that they show. */
  readonly release: Release;
  /** The topics that are there from the start. */
  readonly topics: readonly TopicPlan[];
  /** Bytes take at least so long one way, in ms. */
  readonly minLatencyMs: number;
  /** Bytes take at most so long one way, in ms. */
  readonly maxLatencyMs: number;
  /** How bytes are cut on their way. */
  readonly chunking: Chunking;
  /** Followers copy so long after the leader at most, in ms. */
  readonly replicationLagMs: number;
  /** A follower that is so long behind leaves the ISR, in ms. */
  readonly replicaLagTimeMaxMs: number;
  /** A dead broker is found out after so long, in ms. */
  readonly sessionTimeoutMs: number;
  /** Brokers hear of elections so much later at most, in ms. */
  readonly metadataLagMs: number;
  /** The largest request; absent: Kafka's own limit. */
  readonly maxRequestBytes?: number;
}

/** A topic. */
export interface TopicPlan {
  /** Its name. */
  readonly name: string;
  /** Its partitions. */
  readonly partitions: number;
  /** On how many brokers each is. */
  readonly replicationFactor: number;
  /** Its configs. */
  readonly config: TopicConfig;
}

/** The options that differ from run to run; names and units are the producer's. */
export interface PlannedOptions {
  /** Who must have a record. */
  readonly acks: "all" | 1 | 0;
  /** Sequence numbers are used. */
  readonly idempotent: boolean;
  /** Unanswered requests per broker. */
  readonly maxInFlight: number;
  /** How long a batch waits for company. */
  readonly lingerMs: number;
  /** Absent: the producer's own. */
  readonly batchSize?: number;
  /** Memory for records without an outcome, in bytes. */
  readonly bufferMemory: number;
  /** Longest wait for metadata and memory. */
  readonly maxBlockMs: number;
  /** The codec. */
  readonly compression: "none" | "lz4";
  /** −1 is no limit. */
  readonly retries: number;
  /** First wait before a retry. */
  readonly retryBackoffMs: number;
  /** Longest wait before a retry. */
  readonly retryBackoffMaxMs: number;
  /** First wait before dialling again. */
  readonly reconnectBackoffMs: number;
  /** Longest wait before dialling again. */
  readonly reconnectBackoffMaxMs: number;
  /** From the call to the outcome, at most. */
  readonly deliveryTimeoutMs: number;
  /** Longest wait for an answer. */
  readonly requestTimeoutMs: number;
  /** Longest wait for a connection. */
  readonly connectTimeoutMs: number;
  /** One failure fails what follows it. */
  readonly gapless?: boolean;
  /** What is in doubt isn't failed before it is answered. */
  readonly waitForOutcome?: boolean;
  /** What follows when acknowledged records are missing; absent: it goes on. */
  readonly onDataLoss?: "fatal";
  /** Who chooses partitions; absent: the producer's own. */
  readonly partitioner?: "roundRobin" | "random";
  /** Unused connections are closed after so long. */
  readonly connectionMaxIdleMs?: number;
  /** Metadata is asked for anew after so long. */
  readonly metadataMaxAgeMs?: number;
  /** Unused topics are forgotten after so long. */
  readonly metadataMaxIdleMs?: number;
  /** The largest request. */
  readonly maxRequestSize?: number;
  /** An interceptor looks at each record and its outcome. */
  readonly intercepted?: boolean;
}

/** A producer's life. */
export interface ProducerPlan {
  /** How it is set up. */
  readonly options: PlannedOptions;
  /** It is made at this time, in ms. */
  readonly startMs: number;
  /** It begins with what the producer before it knows of the cluster, and that may be old. */
  readonly inherits?: boolean;
  /** It is closed at this time, in ms; absent: at the end. */
  readonly closeMs?: number;
  /** How long closing may take, in ms; absent: as long as it takes. */
  readonly closeTimeoutMs?: number;
}

/**
 * How a record is handed over: for a promise, for a callback, for both, by `produce`, or together with those of the
 * same sender and time that come behind it, by `sendBatch`.
 */
export type Via = "promise" | "callback" | "both" | "produce" | "batch";

/** One record. */
export interface SendPlan {
  /** Unique in the plan; it stands in the value. */
  readonly id: number;
  /** Not before this time, in ms. */
  readonly atMs: number;
  /** The index of the producer. */
  readonly producer: number;
  /** Who sends; the records of a sender are handed over one after the other. */
  readonly sender: number;
  /** The sender waits for the outcome before it goes on. */
  readonly awaits?: boolean;
  /** Where it goes. */
  readonly topic: string;
  /** Its partition, chosen by hand. */
  readonly partition?: number;
  /** Its key. */
  readonly key?: string;
  /** Bytes of padding in its value. */
  readonly bytes: number;
  /** How many headers it has. */
  readonly headers?: number;
  /** Its timestamp, in ms from the start of the run; absent: the time of the call. */
  readonly timestampMs?: number;
  /** How it is handed over. */
  readonly via: Via;
  /** Its callback throws. */
  readonly throws?: boolean;
  /** Its callback hands over another record to the same place before it returns. */
  readonly echoes?: boolean;
  /** Its signal is aborted so long after the call, in ms. */
  readonly abortAfterMs?: number;
}

/** One flush. */
export interface FlushPlan {
  /** When, in ms. */
  readonly atMs: number;
  /** The index of the producer. */
  readonly producer: number;
}

/** What goes wrong in the world; `forMs` is how long it lasts, and what lasts heals by itself. */
export interface WorldFaults {
  /** Another of the replicas leads: the `nth`; uncleanly, what it lacks is lost. */
  readonly "leader moves": Place & { readonly nth: number };
  /** The same, uncleanly: what the new leader lacks is lost. */
  readonly "leader is elected uncleanly": Place & { readonly nth: number };
  /** A clean shutdown: leaders move first. */
  readonly "broker stops": Lasting & { readonly brokerId: number };
  /** A hard end. */
  readonly "broker is killed": Lasting & { readonly brokerId: number };
  /** It is cut off from the other brokers, not from clients. */
  readonly "broker is isolated": Lasting & { readonly brokerId: number };
  /** Nobody is there. */
  readonly "all brokers stop": Lasting;
  /** Nobody is there, all at once. */
  readonly "all brokers are killed": Lasting;
  /** Those to one broker. */
  readonly "connections are reset": { readonly brokerId: number };
  /** Nothing comes through to a broker, and nobody says so. */
  readonly "black hole": Lasting & { readonly brokerId: number };
  /** Everything takes longer. */
  readonly "slow network": Lasting & { readonly addMs: number };
  /** The followers of a partition don't copy and leave the ISR. */
  readonly "replicas fall behind": Lasting & Place;
  /** Nobody copies anything. */
  readonly "replication stops": Lasting;
  /** Brokers say that there is no such topic. */
  readonly "topic is not in metadata": Lasting & { readonly topic: string };
  /** One broker answers with what it knew when it began. */
  readonly "metadata is stale": Lasting & { readonly brokerId: number };
  /** It is deleted, and is there again after `forMs`, empty. */
  readonly "topic is created anew": Lasting & { readonly topic: string };
  /** It gets more partitions. */
  readonly "topic grows": { readonly topic: string; readonly by: number };
  /** The brokers forget all producers. */
  readonly "producers are forgotten": Record<never, never>;
  /** Brokers throttle. */
  readonly "quota": Lasting & { readonly bytesPerSecond: number };
}

/** Something that takes its time. */
export interface Lasting {
  /** How long, in ms. */
  readonly forMs: number;
}

/** A partition. */
export interface Place {
  /** Its topic. */
  readonly topic: string;
  /** Its index. */
  readonly partition: number;
}

/** One fault of the world, and when it begins. */
export type WorldFaultPlan = {
  [Kind in keyof WorldFaults]: { readonly kind: Kind; readonly atMs: number } & WorldFaults[Kind];
}[keyof WorldFaults];

/** Something that goes wrong. */
export type FaultPlan = WorldFaultPlan | RequestFaultPlan;

/** What befalls requests of one kind: the `nth` that comes after `atMs`, or one in `oneIn` while it lasts. */
export interface RequestFaultPlan {
  /** Tells it from faults of the world. */
  readonly kind: "requests";
  /** When it begins. */
  readonly atMs: number;
  /** How long it lasts, in ms; a fault that hits the `nth` request ends with it. */
  readonly forMs: number;
  /** Which requests. */
  readonly api: FaultyApi;
  /** Only requests to this broker; absent: to any. */
  readonly brokerId?: number;
  /** Only this one, counted from 0. */
  readonly nth?: number;
  /** One in so many, by chance. */
  readonly oneIn?: number;
  /** Feeds that chance. */
  readonly seed: number;
  /** What happens to them. */
  readonly effect: Effect;
}

/** The APIs whose requests can be hit. */
export type FaultyApi = "Produce" | "Metadata" | "InitProducerId" | "ApiVersions";

/** What happens to a request or to its answer. */
export type Effect =
  /** Answered with an error; with `apply`, the request is served all the same. */
  | { readonly do: "error"; readonly code: number; readonly apply?: boolean }
  /** The connection ends without an answer, before or after the request was served. */
  | { readonly do: "drop"; readonly when: "before" | "after" }
  /** Served late; the connection serves nothing meanwhile. */
  | { readonly do: "delay"; readonly ms: number }
  /** Answered late. */
  | { readonly do: "delay answer"; readonly ms: number }
  /** Never answered. */
  | { readonly do: "silence"; readonly apply?: boolean }
  /** Only a part of the request leaves, then the connection is reset. */
  | { readonly do: "cut request"; readonly share: number }
  /** Only a part of the answer comes, then the connection ends. */
  | { readonly do: "cut answer"; readonly share: number }
  /** The answer has another correlation id. */
  | { readonly do: "wrong correlation id" }
  /** The answer has this length. */
  | { readonly do: "wrong length"; readonly length: number }
  /** The answer's body is rubbish. */
  | { readonly do: "garbage"; readonly seed: number }
  /** A Produce answer leaves out a partition, which was served or wasn't. */
  | { readonly do: "partition is left out"; readonly unserved?: boolean }
  /** A Produce answer names a partition that was not asked for. */
  | { readonly do: "partition is invented" }
  /** The connection ends in an orderly way behind the answer, whatever else was asked by it. */
  | { readonly do: "close behind the answer" }
  /** A Metadata answer comes late and tells the client to begin with its bootstrap servers again (KIP-1102). */
  | { readonly do: "rebootstrap"; readonly ms: number }
  /** The answer comes twice. */
  | { readonly do: "answer comes twice" }
  /** The answer asks for patience. */
  | { readonly do: "throttle"; readonly ms: number };

/** When a fault is over, in ms; what it delays may take longer. */
export function endOf(fault: FaultPlan): number {
  const lastsMs = "forMs" in fault ? fault.forMs : 0;
  const delayedMs = fault.kind === "requests" && "ms" in fault.effect ? fault.effect.ms : 0;
  return fault.atMs + lastsMs + delayedMs;
}
