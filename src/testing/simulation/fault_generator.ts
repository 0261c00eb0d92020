/**
 * The faults of a plan, made before the run: each with its time, its place and how long it lasts.
 *
 * @module
 */

import type { Dice } from "./dice.ts";
import type { ClusterPlan, Effect, FaultPlan, FaultyApi } from "./plan.ts";
import type { Profile, Trouble } from "./profile.ts";

/** Makes the faults of a run that sends for so long, in the order of their times. */
export function faultsOf(dice: Dice, profile: Profile, cluster: ClusterPlan, durationMs: number): FaultPlan[] {
  const groups = Array.from({ length: dice.between(...profile.faults) }, () => {
    // The very first moments are where a broker knows nothing of a producer yet.
    const isEarly = profile.early ? !dice.oneIn(3) : dice.oneIn(4);
    const atMs = isEarly ? dice.below(Math.min(durationMs, 20 + 6 * cluster.maxLatencyMs)) : dice.below(durationMs);
    return faultGroup(dice, profile, cluster, atMs, dice.weighted(profile.troubles));
  });
  return groups.flat().sort((a, b) => a.atMs - b.atMs);
}

function faultGroup(dice: Dice, profile: Profile, cluster: ClusterPlan, atMs: number, trouble: Trouble): FaultPlan[] {
  const brokerId = dice.between(1, cluster.brokers);
  const plan = dice.pick(cluster.topics);
  const topic = plan.name;
  const place = { topic, partition: dice.below(plan.partitions) };
  const forMs = dice.pick([10, 100, 500, 1_500]);
  switch (trouble) {
    case "leader moves":
    case "leader is elected uncleanly":
      return [{ kind: trouble, atMs, ...place, nth: dice.below(3) }];
    case "connections are reset":
      return [{ kind: trouble, atMs, brokerId }];
    case "broker stops":
    case "broker is killed":
    case "broker is isolated":
    case "black hole":
    case "metadata is stale":
      return [{ kind: trouble, atMs, forMs, brokerId }];
    case "all brokers stop":
    case "all brokers are killed":
    case "replication stops":
      return [{ kind: trouble, atMs, forMs }];
    case "slow network":
      return [{ kind: trouble, atMs, forMs, addMs: dice.pick([20, 100, 400]) }];
    case "replicas fall behind":
      return [{ kind: trouble, atMs, forMs, ...place }];
    case "topic is not in metadata":
    case "topic is created anew":
      return [{ kind: trouble, atMs, forMs: dice.pick([0, forMs]), topic }];
    case "topic grows":
      return [{ kind: trouble, atMs, topic, by: dice.between(1, 2) }];
    case "producers are forgotten":
      return [{ kind: trouble, atMs }];
    case "quota":
      return [{ kind: trouble, atMs, forMs, bytesPerSecond: dice.pick([1_000, 10_000, 100_000]) }];
    case "hand-over":
      return handOver(dice, cluster, atMs);
    case "data loss":
      return dataLoss(dice, cluster, atMs);
    case "produce":
      return [requestFault(dice, atMs, forMs, "Produce", dice.weighted(profile.effects)(dice), brokerId, true)];
    case "produce storm":
      return [requestFault(dice, atMs, forMs, "Produce", dice.weighted(profile.effects)(dice), brokerId, false)];
    case "rebootstrap":
      return rebootstrap(dice, atMs, forMs, brokerId);
    case "other requests":
      return [otherRequests(dice, atMs, forMs, brokerId)];
  }
}

/**
 * Somebody else leads while the former leader still owes answers: requests are held up, the partition moves or is made
 * anew, and something makes the producer look who leads.
 */
function handOver(dice: Dice, cluster: ClusterPlan, atMs: number): FaultPlan[] {
  const { name: topic, partitions } = dice.pick(cluster.topics);
  const changeMs = atMs + dice.between(1, 60) + cluster.maxLatencyMs;
  const held: Effect = { do: dice.pick(["delay", "delay", "delay answer"] as const), ms: dice.between(200, 1_500) };
  const change: FaultPlan = dice.oneIn(2)
    ? { kind: "topic is created anew", atMs: changeMs, forMs: 0, topic }
    : { kind: "leader moves", atMs: changeMs, topic, partition: dice.below(partitions), nth: dice.below(3) };
  return [
    { kind: "requests", atMs, forMs: changeMs - atMs, api: "Produce", oneIn: 1, seed: dice.seed(), effect: held },
    change,
    requestFault(dice, changeMs, 500, "Produce", { do: "error", code: dice.pick([3, 5, 6]) }, 1, true),
    {
      kind: "connections are reset",
      atMs: changeMs + dice.between(1, 100),
      brokerId: dice.between(1, cluster.brokers),
    },
  ];
}

/** Followers fall behind, and one of them is made the leader all the same: what it lacks is gone. */
function dataLoss(dice: Dice, cluster: ClusterPlan, atMs: number): FaultPlan[] {
  const { name: topic, partitions } = dice.pick(cluster.topics);
  const place = { topic, partition: dice.below(partitions) };
  const forMs = dice.between(10, 300);
  const behind: FaultPlan = dice.oneIn(2)
    ? { kind: "replicas fall behind", atMs, forMs, ...place }
    : { kind: "replication stops", atMs, forMs };
  return [
    behind,
    { kind: "leader is elected uncleanly", atMs: atMs + dice.below(forMs), ...place, nth: dice.below(3) },
  ];
}

function requestFault(
  dice: Dice,
  atMs: number,
  forMs: number,
  api: FaultyApi,
  effect: Effect,
  brokerId: number,
  single: boolean,
): FaultPlan {
  return {
    kind: "requests",
    atMs,
    forMs: single ? Math.max(forMs, 500) : forMs,
    api,
    ...(dice.oneIn(3) ? { brokerId } : {}),
    ...(single ? { nth: dice.weighted([[4, 0], [2, 1], [1, 2], [1, 5]] as const) } : { oneIn: dice.pick([1, 2, 5]) }),
    seed: dice.seed(),
    effect,
  };
}

/**
 * Something makes the client ask for metadata, and it is told to close all its connections, in an orderly way: what it
 * has written goes on its way, and that may take longer than the same by a new connection.
 */
function rebootstrap(dice: Dice, atMs: number, forMs: number, brokerId: number): FaultPlan[] {
  const ms = dice.between(20, 150);
  return [
    requestFault(dice, atMs, forMs, "Produce", { do: "error", code: dice.pick([3, 5, 6]) }, brokerId, true),
    requestFault(dice, atMs, forMs, "Metadata", { do: "rebootstrap", ms }, brokerId, true),
    { kind: "slow network", atMs: atMs + dice.below(ms), forMs: dice.between(10, 60), addMs: dice.between(200, 1_000) },
  ];
}

/** Handshakes and metadata are spoiled too, but not refused for good. */
function otherRequests(dice: Dice, atMs: number, forMs: number, brokerId: number): FaultPlan {
  const api = dice.pick(["Metadata", "InitProducerId", "ApiVersions"] as const);
  const effect = dice.pick<Effect>([
    { do: "drop", when: "before" },
    { do: "drop", when: "after" },
    { do: "delay", ms: dice.between(20, 800) },
    { do: "silence" },
    { do: "wrong correlation id" },
    { do: "garbage", seed: dice.seed() },
    { do: "cut answer", share: 0.5 },
    ...(api === "InitProducerId" ? [{ do: "error", code: dice.pick([14, 15, 16]) } as const] : []),
    ...(api === "Metadata" ? [{ do: "error", code: dice.pick([3, 5]) } as const] : []),
  ]);
  return requestFault(dice, atMs, forMs, api, effect, brokerId, dice.oneIn(2));
}
