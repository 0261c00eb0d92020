/**
 * The kinds of trouble that plans are made for, and how much of what each holds.
 *
 * @module
 */

import type { Effect, WorldFaults } from "./plan.ts";
import type { Dice } from "./dice.ts";

/** The kinds of faults that a plan can hold. */
export type Trouble =
  | keyof WorldFaults
  | "produce"
  | "produce storm"
  | "other requests"
  | "rebootstrap"
  | "hand-over"
  | "data loss";

/** What a profile asks of the generator. */
export interface Profile {
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  /** How many faults a plan has, at least and at most. */
  readonly faults: readonly [least: number, most: number];
  /** Which faults, and how often each. */
  readonly troubles: readonly (readonly [weight: number, trouble: Trouble])[];
  /** What befalls Produce requests. */
  readonly effects: readonly (readonly [weight: number, effect: (dice: Dice) => Effect])[];
  /** Most of the faults come while the first batches of each partition are on their way. */
  readonly early?: boolean;
  /** Small batches, much in flight. */
  readonly crowded?: boolean;
  /** Senders go on all the time, not in bursts. */
  readonly steady?: boolean;
  /** Several producers write to one partition. */
  readonly shared?: boolean;
  /** Delivery times out. */
  readonly hurried?: boolean;
  /** Little memory. */
  readonly cramped?: boolean;
  /** The broker takes only small batches. */
  readonly narrow?: boolean;
  /** Every topic is compacted, and refuses single records. */
  readonly picky?: boolean;
  /** Many values are large. */
  readonly large?: boolean;
  /** Brokers hang up on requests that are large. */
  readonly limited?: boolean;
  /** Producers are closed while they have something to do. */
  readonly leaving?: boolean;
  /** Many partitions with a record or two each. */
  readonly scattered?: boolean;
}

/** What a broker answers that may be asked again. */
const RETRIABLE = [2, 3, 5, 6, 7, 9, 13, 14, 16, 19, 20, 56, 72, 74, 75, 89, 100, 103];
/** What a broker answers behind the append. */
const APPENDED = [6, 7, 13, 20, 56];
/** What ends a batch. */
const FINAL = [-1, 18, 29, 32, 42, 87];

/** NOT_ENOUGH_REPLICAS_AFTER_APPEND: a broker that answers it and has appended nothing lies. */
const AFTER_APPEND = 20;

const refused = (dice: Dice): Effect => {
  const code = dice.pick(RETRIABLE);
  return { do: "error", code, ...(code === AFTER_APPEND ? { apply: true } : {}) };
};
const appended = (dice: Dice): Effect => ({ do: "error", code: dice.pick(APPENDED), apply: true });
const failed = (dice: Dice): Effect => ({ do: "error", code: dice.pick(FINAL) });
const failedButAppended = (): Effect => ({ do: "error", code: -1, apply: true });
const tooLarge = (): Effect => ({ do: "error", code: 10 });
const dropped = (dice: Dice): Effect => ({ do: "drop", when: dice.pick(["before", "after"] as const) });
const closed = (): Effect => ({ do: "close behind the answer" });
const lostAnswer = (): Effect => ({ do: "drop", when: "after" });
const delayed = (dice: Dice): Effect => ({
  do: dice.pick(["delay", "delay answer"] as const),
  ms: dice.between(20, 1_500),
});
const silent = (dice: Dice): Effect => ({ do: "silence", apply: dice.oneIn(2) });
const cut = (dice: Dice): Effect => (
  { do: dice.pick(["cut request", "cut answer"] as const), share: dice.between(0, 99) / 100 }
);
const leftOut = (dice: Dice): Effect => ({ do: "partition is left out", ...(dice.oneIn(3) ? { unserved: true } : {}) });
const spoiled = (dice: Dice): Effect =>
  dice.pick<(dice: Dice) => Effect>([
    () => ({ do: "wrong correlation id" }),
    (dice) => ({ do: "wrong length", length: dice.pick([-1, 0, 3, 0x7fff_ffff, 104_857_601]) }),
    (dice) => ({ do: "garbage", seed: dice.seed() }),
    leftOut,
    () => ({ do: "partition is invented" }),
    () => ({ do: "answer comes twice" }),
  ])(dice);
const throttled = (dice: Dice): Effect => ({ do: "throttle", ms: dice.between(1, 600) });

const ALL: Profile["effects"] = [
  [6, refused],
  [3, appended],
  [4, dropped],
  [1, closed],
  [3, delayed],
  [1, silent],
  [2, cut],
  [2, spoiled],
  [1, throttled],
  [1, failed],
];

/** Profiles by name. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  "calm": { weight: 1, faults: [0, 1], troubles: [[1, "slow network"]], effects: ALL },
  "first batches": {
    weight: 4,
    faults: [1, 6],
    early: true,
    crowded: true,
    troubles: [[5, "produce"], [3, "leader moves"], [1, "connections are reset"], [1, "slow network"]],
    effects: [[4, refused], [2, dropped], [2, delayed], [1, appended]],
  },
  "leaders move": {
    weight: 4,
    faults: [3, 20],
    crowded: true,
    troubles: [[12, "leader moves"], [2, "produce"], [1, "slow network"], [1, "metadata is stale"]],
    effects: [[3, delayed], [2, refused], [1, lostAnswer]],
  },
  "hand-over": {
    weight: 6,
    faults: [1, 3],
    crowded: true,
    steady: true,
    troubles: [[4, "hand-over"], [1, "produce"], [1, "leader moves"]],
    effects: [[2, refused], [1, delayed], [1, lostAnswer]],
  },
  "errors": {
    weight: 4,
    faults: [1, 5],
    crowded: true,
    troubles: [[3, "produce"], [2, "produce storm"]],
    effects: [[5, refused], [3, appended], [1, dropped]],
  },
  "failed batches": {
    weight: 3,
    faults: [1, 4],
    crowded: true,
    troubles: [[4, "produce"], [1, "produce storm"]],
    effects: [[4, failed], [1, failedButAppended], [2, refused], [1, lostAnswer], [1, tooLarge]],
  },
  "timeouts": {
    weight: 4,
    faults: [1, 6],
    hurried: true,
    crowded: true,
    troubles: [[5, "produce"], [2, "black hole"], [2, "slow network"], [1, "leader moves"]],
    effects: [[4, delayed], [3, silent], [1, dropped], [1, refused]],
  },
  "spoiled answers": {
    weight: 2,
    faults: [1, 5],
    troubles: [[3, "produce"], [1, "produce storm"], [1, "other requests"]],
    effects: [[4, spoiled], [3, cut], [1, throttled], [1, lostAnswer]],
  },
  "restarts": {
    weight: 3,
    faults: [1, 6],
    troubles: [
      [3, "broker stops"],
      [4, "broker is killed"],
      [1, "all brokers stop"],
      [1, "all brokers are killed"],
      [2, "connections are reset"],
      [1, "produce"],
      [1, "leader moves"],
    ],
    effects: ALL,
  },
  "topics come and go": {
    weight: 3,
    faults: [1, 6],
    crowded: true,
    troubles: [[4, "topic is not in metadata"], [3, "topic is created anew"], [2, "topic grows"], [1, "produce"], [
      1,
      "leader moves",
    ]],
    effects: [[2, refused], [2, delayed], [1, dropped]],
  },
  "large batches": {
    weight: 2,
    faults: [0, 4],
    narrow: true,
    crowded: true,
    troubles: [[3, "produce"], [1, "leader moves"], [1, "connections are reset"]],
    effects: [[2, refused], [2, tooLarge], [1, dropped], [1, delayed], [1, failed]],
  },
  "refused records": {
    weight: 3,
    faults: [0, 4],
    picky: true,
    crowded: true,
    troubles: [[3, "produce"], [1, "leader moves"], [1, "connections are reset"]],
    effects: [[3, refused], [2, appended], [1, dropped], [1, delayed], [1, leftOut], [1, tooLarge]],
  },
  "orderly ends": {
    weight: 3,
    faults: [1, 6],
    crowded: true,
    steady: true,
    large: true,
    troubles: [[4, "rebootstrap"], [2, "produce"], [1, "broker stops"], [1, "slow network"]],
    effects: [[3, closed], [2, delayed], [1, refused], [1, dropped]],
  },
  "large requests": {
    weight: 2,
    faults: [0, 4],
    large: true,
    limited: true,
    troubles: [[3, "produce"], [1, "connections are reset"], [1, "leader moves"], [1, "broker stops"]],
    effects: ALL,
  },
  "peace": { weight: 2, faults: [0, 0], crowded: true, large: true, troubles: [[1, "slow network"]], effects: ALL },
  "little memory": {
    weight: 2,
    faults: [1, 5],
    cramped: true,
    troubles: [[3, "produce"], [1, "broker stops"], [1, "black hole"], [1, "replicas fall behind"]],
    effects: ALL,
  },
  "closing": {
    weight: 2,
    faults: [1, 5],
    leaving: true,
    troubles: [[3, "produce"], [1, "black hole"], [1, "all brokers stop"], [1, "leader moves"]],
    effects: ALL,
  },
  "replication": {
    weight: 4,
    faults: [1, 6],
    crowded: true,
    troubles: [
      [3, "leader moves"],
      [3, "broker is killed"],
      [3, "broker is isolated"],
      [2, "replication stops"],
      [1, "replicas fall behind"],
      [1, "black hole"],
      [1, "produce"],
    ],
    effects: ALL,
  },
  "data loss": {
    weight: 2,
    faults: [1, 4],
    crowded: true,
    steady: true,
    troubles: [[4, "data loss"], [1, "producers are forgotten"], [1, "produce"], [1, "broker is killed"]],
    effects: [[2, refused], [1, delayed], [1, lostAnswer]],
  },
  "shared partitions": {
    weight: 2,
    faults: [1, 5],
    crowded: true,
    steady: true,
    shared: true,
    troubles: [[3, "produce"], [2, "produce storm"], [1, "leader moves"]],
    effects: [[3, leftOut], [2, appended], [1, refused], [1, lostAnswer]],
  },
  "many partitions": {
    weight: 1,
    faults: [0, 4],
    scattered: true,
    troubles: [[3, "produce"], [1, "broker stops"], [1, "black hole"], [1, "leader moves"], [1, "slow network"]],
    effects: ALL,
  },
  "quotas": {
    weight: 1,
    faults: [1, 4],
    crowded: true,
    troubles: [[3, "quota"], [1, "produce"], [1, "leader moves"]],
    effects: ALL,
  },
  "chaos": {
    weight: 4,
    faults: [5, 25],
    troubles: [
      [4, "leader moves"],
      [1, "broker stops"],
      [2, "broker is killed"],
      [1, "broker is isolated"],
      [1, "all brokers stop"],
      [1, "all brokers are killed"],
      [2, "connections are reset"],
      [2, "black hole"],
      [1, "slow network"],
      [1, "replicas fall behind"],
      [1, "replication stops"],
      [1, "topic is not in metadata"],
      [1, "metadata is stale"],
      [1, "topic is created anew"],
      [1, "topic grows"],
      [1, "quota"],
      [1, "hand-over"],
      [8, "produce"],
      [3, "produce storm"],
      [2, "other requests"],
    ],
    effects: ALL,
  },
};
