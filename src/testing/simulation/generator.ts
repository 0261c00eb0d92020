/**
 * From a seed to a plan: the cluster, the producers, the records. The faults are made in `fault_generator`.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { Dice } from "./dice.ts";
import { faultsOf } from "./fault_generator.ts";
import type {
  ClusterPlan,
  FlushPlan,
  PlannedOptions,
  ProducerPlan,
  SendPlan,
  SimulationPlan,
  TopicPlan,
  Via,
} from "./plan.ts";
import { type Profile, PROFILES } from "./profile.ts";

/** Longer than anything takes that goes on by itself. */
const REST_MS = 6_000;
/** Brokers of Kafka 4 refuse a timestamp that is more than an hour away. */
export const TOO_LATE_MS = 7_200_000;

/**
 * Makes the plan of a seed, for one profile or for the one that the seed chooses.
 *
 * @throws {ConfigError} when there is no such profile
 */
export function planOf(seed: number, profileName?: string): SimulationPlan {
  const dice = new Dice(seed);
  const chosen = dice.weighted(Object.entries(PROFILES).map(([name, { weight }]) => [weight, name] as const));
  const name = profileName ?? chosen;
  const profile = PROFILES[name];
  if (profile === undefined) {
    const known = Object.keys(PROFILES).map((known) => `"${known}"`).join(", ");
    throw new ConfigError("profile", `There is no profile "${name}", wanted one of ${known}.`);
  }
  const cluster = clusterOf(dice, profile);
  const durationMs = dice.pick([200, 600, 1_200, 2_500]);
  const producers = producersOf(dice, profile, cluster, durationMs);
  const sends = sendsOf(dice, profile, cluster, producers, durationMs);
  const faults = faultsOf(dice, profile, cluster, durationMs);
  const flushes = flushesOf(dice, producers, durationMs);
  const rests = faults.length === 0 || dice.oneIn(4);
  return { seed, profile: name, cluster, producers, sends, flushes, faults, ...(rests ? { restMs: REST_MS } : {}) };
}

function clusterOf(dice: Dice, profile: Profile): ClusterPlan {
  const brokers = profile.scattered
    ? dice.between(1, 2)
    : dice.weighted([[2, 1], [2, 2], [5, 3], [1, 4], [1, 5]] as const);
  const [minLatencyMs, maxLatencyMs] = dice.weighted<readonly [number, number]>([
    [profile.crowded ? 1 : 2, [0, 0]],
    [3, [1, 4]],
    [3, [2, 30]],
    [2, [20, 120]],
  ]);
  const topics = Array.from({ length: dice.weighted([[4, 1], [1, 2]] as const) }, (_, index): TopicPlan => {
    const replicationFactor = Math.min(brokers, dice.weighted([[1, 1], [1, 2], [5, 3]] as const));
    return {
      name: ["orders", "events"][index]!,
      partitions: partitionsOf(dice, profile),
      replicationFactor,
      config: {
        ...(replicationFactor > 1 && dice.oneIn(2) ? { "min.insync.replicas": 2 } : {}),
        ...(dice.oneIn(8) ? { "message.timestamp.type": "LogAppendTime" } : {}),
        ...(dice.oneIn(profile.picky ? 1 : 8) ? { "cleanup.policy": "compact" } : {}),
        ...(profile.narrow ? { "max.message.bytes": dice.between(150, 500) } : {}),
      },
    };
  });
  return {
    brokers,
    release: dice.oneIn(4) ? "3.9" : "4.1",
    topics,
    minLatencyMs,
    maxLatencyMs,
    chunking: dice.oneIn(4) ? "random" : "whole",
    replicationLagMs: dice.pick([0, 5, 60]),
    replicaLagTimeMaxMs: dice.pick([300, 2_000]),
    sessionTimeoutMs: dice.pick([0, 100, 500]),
    metadataLagMs: dice.pick([0, 10, 100]),
    ...(profile.limited || dice.oneIn(20) ? { maxRequestBytes: dice.pick([1_500, 5_000, 30_000]) } : {}),
  };
}

function partitionsOf(dice: Dice, { shared, scattered }: Profile): number {
  if (shared) return 1;
  return scattered ? dice.between(70, 150) : dice.weighted([[4, 1], [3, 2], [2, 3], [1, 6]] as const);
}

function producersOf(dice: Dice, profile: Profile, cluster: ClusterPlan, durationMs: number): ProducerPlan[] {
  const count = profile.shared
    ? dice.between(2, 3)
    : dice.weighted([[5, 1], [1, 2], [profile.leaving ? 2 : 0, 3]] as const);
  return Array.from({ length: count }, (_, index): ProducerPlan => {
    // Several producers live side by side, or one begins when the other has been told to end.
    const startMs = index === 0 ? 0 : dice.below(profile.shared ? 50 : durationMs);
    const leaves = profile.leaving ? !dice.oneIn(4) : dice.oneIn(12);
    return {
      options: optionsOf(dice, profile, cluster),
      startMs,
      ...(index > 0 && dice.oneIn(2) ? { inherits: true } : {}),
      ...(leaves ? { closeMs: startMs + dice.below(durationMs) } : {}),
      ...(leaves && dice.oneIn(2) ? { closeTimeoutMs: dice.pick([0, 20, 300]) } : {}),
    };
  });
}

/** What kind of producer, and the numbers that go with it. */
function optionsOf(dice: Dice, profile: Profile, { maxLatencyMs, maxRequestBytes }: ClusterPlan): PlannedOptions {
  const [acks, idempotent, maxInFlight] = dice.weighted<readonly [PlannedOptions["acks"], boolean, number]>([
    [10, ["all", true, 5]],
    [2, ["all", true, dice.between(2, 4)]],
    [1, ["all", true, 1]],
    [1, ["all", false, 5]],
    [1, ["all", false, 1]],
    [1, [1, false, dice.pick([1, 5])]],
    [1, [0, false, dice.pick([1, 5])]],
  ]);
  const requestTimeoutMs = dice.pick([250, 600, 1_200]);
  const batchSize = profile.crowded && !(profile.large && dice.oneIn(2))
    ? dice.pick([1, 120, 200, 400])
    : dice.pick([200, 400, 1_000, undefined]);
  const deliveryTimeoutMs = profile.hurried ? dice.pick([300, 700, 1_500]) : dice.pick([1_500, 4_000, 8_000]);
  const retryBackoffMs = dice.pick([5, 20, 100]);
  const reconnectBackoffMs = dice.pick([20, 50]);
  return {
    acks,
    idempotent,
    maxInFlight,
    lingerMs: dice.weighted([[3, 0], [1, 5], [1, 40]] as const),
    ...(batchSize === undefined ? {} : { batchSize }),
    bufferMemory: profile.cramped ? dice.between(600, 3_000) : dice.pick([20_000, 1_000_000]),
    maxBlockMs: dice.pick([400, 1_500, 4_000]),
    compression: dice.oneIn(12) ? "lz4" : "none",
    retries: dice.oneIn(6) ? dice.pick([1, 1, 2, 5]) : -1,
    retryBackoffMs,
    retryBackoffMaxMs: retryBackoffMs * dice.pick([1, 4, 10]),
    reconnectBackoffMs,
    reconnectBackoffMaxMs: reconnectBackoffMs * dice.pick([1, 5, 20]),
    deliveryTimeoutMs,
    requestTimeoutMs,
    // Less than the round trips of a handshake can take, and no connection would ever stand.
    connectTimeoutMs: Math.max(dice.pick([300, 1_000]), 6 * maxLatencyMs),
    ...(idempotent && dice.oneIn(8) ? { gapless: true } : {}),
    // What a broker hangs up on each time has no outcome ever.
    ...(idempotent && dice.oneIn(12) && maxRequestBytes === undefined ? { waitForOutcome: true } : {}),
    ...(idempotent && dice.oneIn(6) ? { onDataLoss: "fatal" as const } : {}),
    ...(dice.oneIn(12) ? { partitioner: dice.pick(["roundRobin", "random"] as const) } : {}),
    ...(dice.oneIn(10) ? { connectionMaxIdleMs: dice.pick([80, 300]) } : {}),
    ...(dice.oneIn(10) ? { metadataMaxAgeMs: dice.pick([400, 1_000]) } : {}),
    ...(dice.oneIn(10) ? { metadataMaxIdleMs: dice.pick([50, 300]) } : {}),
    ...(dice.oneIn(12) ? { maxRequestSize: Math.max(batchSize ?? 0, dice.pick([500, 1_500])) } : {}),
    ...(dice.oneIn(12) ? { intercepted: true } : {}),
  };
}

function sendsOf(
  dice: Dice,
  profile: Profile,
  cluster: ClusterPlan,
  producers: readonly ProducerPlan[],
  durationMs: number,
): SendPlan[] {
  const sends: SendPlan[] = [];
  const senders = dice.weighted([[3, 1], [2, 2], [1, 4]] as const);
  for (const [producer, { startMs }] of producers.entries()) {
    for (let sender = 0; sender < senders; sender++) {
      const habit = habitOf(dice, profile, cluster);
      const bursts = habit.awaits ? dice.between(1, 3) : profile.steady ? dice.between(20, 40) : dice.between(1, 12);
      // The first burst is there at once: what is sent before anything is known is a case of its own.
      const times = Array.from(
        { length: bursts },
        (_, i) => startMs + (i === 0 ? dice.pick([0, 0, 5]) : dice.below(durationMs)),
      );
      for (const atMs of times.sort((a, b) => a - b)) {
        for (let left = dice.between(1, habit.most); left > 0; left--) {
          sends.push({ id: sends.length, atMs, producer, sender: producer * 10 + sender, ...recordOf(dice, habit) });
        }
      }
    }
  }
  return sends;
}

/** How one sender sends. */
interface Habit {
  readonly topics: readonly TopicPlan[];
  readonly routing: "explicit" | "one partition" | "keys" | "keyless" | "mixed";
  readonly partition: number;
  readonly keys: number;
  readonly via: Via | "any";
  readonly awaits: boolean;
  readonly most: number;
  readonly bytes: readonly [least: number, most: number];
  readonly aborts: boolean;
  readonly throws: boolean;
  readonly echoes: boolean;
}

function habitOf(dice: Dice, profile: Profile, cluster: ClusterPlan): Habit {
  const awaits = dice.oneIn(6);
  return {
    topics: dice.oneIn(2) ? cluster.topics : [dice.pick(cluster.topics)],
    routing: dice.weighted([[3, "explicit"], [3, "one partition"], [2, "keys"], [1, "keyless"], [1, "mixed"]] as const),
    partition: dice.below(6),
    keys: profile.scattered ? 1_000 : 4,
    via: dice.weighted(
      [[2, "promise"], [2, "callback"], [2, "both"], [1, "produce"], [1, "batch"], [2, "any"]] as const,
    ),
    awaits,
    most: mostOf(dice, profile, awaits),
    bytes: dice.weighted<readonly [number, number]>([
      [3, [0, 40]],
      [2, [0, 160]],
      [profile.narrow ? 3 : 1, [40, 400]],
      [profile.large ? 4 : 0, [400, 4_000]],
      [profile.large && !awaits ? 1 : 0, [4_000, 100_000]],
    ]),
    aborts: dice.oneIn(8),
    throws: dice.oneIn(10),
    // What no broker takes stands in the way of what comes behind it, and would be handed over again when it has failed.
    echoes: dice.oneIn(10) && cluster.maxRequestBytes === undefined,
  };
}

/** How many records a burst has at most. */
function mostOf(dice: Dice, { steady, scattered }: Profile, awaits: boolean): number {
  if (awaits) return 4;
  if (scattered) return dice.pick([60, 200]);
  return steady ? dice.pick([1, 3]) : dice.pick([1, 3, 8, 20]);
}

function recordOf(dice: Dice, habit: Habit): Omit<SendPlan, "id" | "atMs" | "producer" | "sender"> {
  const topic = dice.pick(habit.topics);
  const routing = habit.routing === "mixed" ? dice.pick(["explicit", "keys", "keyless"] as const) : habit.routing;
  const via = habit.via === "any" ? dice.pick(["promise", "callback", "both", "produce", "batch"] as const) : habit.via;
  return {
    topic: topic.name,
    ...(routing === "explicit" ? { partition: dice.below(topic.partitions) } : {}),
    ...(routing === "one partition" ? { partition: habit.partition % topic.partitions } : {}),
    // A compacted topic refuses records without a key; most of those that it gets have one.
    ...(routing === "keys" || (isCompacted(topic) && !dice.oneIn(4)) ? { key: `k${dice.below(habit.keys)}` } : {}),
    bytes: dice.between(...habit.bytes),
    ...(dice.oneIn(8) ? { headers: dice.between(1, 3) } : {}),
    ...(dice.oneIn(8) ? { timestampMs: dice.oneIn(6) ? TOO_LATE_MS : dice.between(-1_000, 1_000) } : {}),
    via,
    ...(habit.awaits && via !== "produce" ? { awaits: true } : {}),
    ...(habit.throws && dice.oneIn(2) ? { throws: true } : {}),
    ...(habit.echoes && dice.oneIn(3) ? { echoes: true } : {}),
    ...(habit.aborts && via !== "produce" && via !== "batch" && dice.oneIn(4)
      ? { abortAfterMs: dice.pick([0, 1, 20, 300]) }
      : {}),
  };
}

/** Whether a topic refuses records without a key. */
export function isCompacted({ config }: TopicPlan): boolean {
  return config["cleanup.policy"] === "compact";
}

function flushesOf(dice: Dice, producers: readonly ProducerPlan[], durationMs: number): FlushPlan[] {
  const count = dice.weighted([[3, 0], [2, 1], [1, 4]] as const);
  return Array.from({ length: count }, () => {
    const producer = dice.below(producers.length);
    return { atMs: producers[producer]!.startMs + dice.below(durationMs), producer };
  });
}
