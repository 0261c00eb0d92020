import assert from "node:assert/strict";
import { Producer } from "../../src/producer/named_producer.ts";
import {
  type MakeProducer,
  planOf,
  simulate,
  type SimulationPlan,
  type SimulationResult,
} from "../../src/testing/simulation/mod.ts";
import { PROFILES } from "../../src/testing/simulation/profile.ts";
import type { PlannedOptions } from "../../src/testing/simulation/plan.ts";
import { test } from "../harness.ts";
import once from "./simulation_plans.json" with { type: "json" };

const SEEDS_OF_A_PROFILE = 10;
const SEEDS_OF_A_KIND = 5;
/** In a busy matrix the slowest leg takes its time. */
const timeoutMs = 120_000;

const sluice: MakeProducer = (options, runtime, before) =>
  new Producer(before instanceof Producer ? { ...options, snapshot: before.snapshot() } : options, runtime);

async function assertKept(
  options: { readonly seed?: number; readonly profile?: string; readonly plan?: SimulationPlan },
): Promise<SimulationResult> {
  const result = await simulate({ ...options, producer: sluice });
  const [first] = result.violations;
  if (first !== undefined) {
    assert.fail(
      `seed ${result.plan.seed} (${result.plan.profile}): ${first.rule} record ${first.record} ${first.message}`,
    );
  }
  return result;
}

for (const profile of Object.keys(PROFILES)) {
  test(`simulation: the producer keeps its promises under: ${profile}`, { timeoutMs }, async () => {
    let delivered = 0;
    for (let seed = 1; seed <= SEEDS_OF_A_PROFILE; seed++) delivered += (await assertKept({ seed, profile })).delivered;
    assert.ok(delivered > 0);
  });
}

/** Every kind of producer in the worst of weathers. */
const KINDS: Readonly<Record<string, Partial<PlannedOptions>>> = {
  "an idempotent producer": { acks: "all", idempotent: true, maxInFlight: 5, retries: -1 },
  "an idempotent producer with one request in flight": { acks: "all", idempotent: true, maxInFlight: 1, retries: -1 },
  "an idempotent producer with two retries": { acks: "all", idempotent: true, maxInFlight: 5, retries: 2 },
  "an idempotent producer with lz4": { acks: "all", idempotent: true, maxInFlight: 5, compression: "lz4" },
  "a gapless producer": { acks: "all", idempotent: true, maxInFlight: 5, gapless: true },
  "a producer that waits for outcomes": { acks: "all", idempotent: true, maxInFlight: 5, waitForOutcome: true },
  "a plain producer": { acks: "all", idempotent: false, maxInFlight: 5, retries: -1 },
  "a plain producer with one request in flight": { acks: "all", idempotent: false, maxInFlight: 1, retries: -1 },
  "a producer with acks 1": { acks: 1, idempotent: false, maxInFlight: 5, retries: -1 },
  "a producer with acks 0": { acks: 0, idempotent: false, maxInFlight: 5, retries: -1 },
};

for (const [kind, chosen] of Object.entries(KINDS)) {
  test(`simulation: ${kind} keeps its promises while everything goes wrong`, { timeoutMs }, async () => {
    for (let seed = 101; seed < 101 + SEEDS_OF_A_KIND; seed++) {
      const plan = planOf(seed, "chaos");
      const producers = plan.producers.map((producer) => {
        const { gapless: _, waitForOutcome: __, ...options } = producer.options;
        return { ...producer, options: { ...options, ...chosen } };
      });
      await assertKept({ plan: { ...plan, producers } });
    }
  });
}

for (const release of ["1.0", "2.0", "2.3", "2.7", "redpanda", "event-hubs"] as const) {
  test(`simulation: promises are kept to a cluster of release ${release}`, { timeoutMs }, async () => {
    for (let seed = 201; seed < 201 + SEEDS_OF_A_KIND; seed++) {
      const plan = planOf(seed, "chaos");
      await assertKept({ plan: { ...plan, cluster: { ...plan.cluster, release } } });
    }
  });
}

for (const { found, plan } of once as unknown as { readonly found: string; readonly plan: SimulationPlan }[]) {
  test(`simulation: a run that failed once passes: ${found}`, { timeoutMs }, async () => {
    await assertKept({ plan });
  });
}

test("simulation: a seed gives the same plan and the same run each time", async () => {
  const [one, other] = [await traced(8), await traced(8)];
  assert.deepEqual(one.plan, other.plan);
  assert.deepEqual(one.trace, other.trace);
  assert.ok(one.trace.length > 100);
  assert.notDeepEqual((await traced(10)).trace, one.trace);
});

test("simulation: a trace doesn't change the run", async () => {
  const watched = await traced(8);
  const unwatched = await simulate({ seed: 8, profile: "chaos", producer: sluice });
  assert.equal(unwatched.virtualMs, watched.virtualMs);
  assert.equal(unwatched.steps, watched.steps);
});

function traced(seed: number): Promise<SimulationResult> {
  return simulate({ seed, profile: "chaos", producer: sluice, trace: true });
}

/** Producers that break a promise, each in one way. */
const LIARS: Readonly<Record<string, readonly [rule: string, make: MakeProducer]>> = {
  "loses a record that it acknowledged": [
    "V2",
    wrapped({
      send: (inner, record, options) =>
        isChosen(record)
          ? tellLater(options, { topic: record.topic, partition: 0, offset: 0n, timestamp: 0 })
          : inner.send(record, options),
    }),
  ],
  "sends a record twice": [
    "V2",
    wrapped({
      send: (inner, record, options) => {
        if (isChosen(record)) inner.send(record).catch(() => {});
        return inner.send(record, options);
      },
    }),
  ],
  "changes a value": [
    "V2",
    wrapped({
      send: (inner, record, options) =>
        inner.send(isChosen(record) ? { ...record, value: `${record.value}!` } : record, options),
    }),
  ],
  "sends to another topic": [
    "V5",
    wrapped({
      send: (inner, record, options) =>
        inner.send(
          isChosen(record)
            ? { ...record, topic: record.topic === "orders" ? "events" : "orders", partition: 0 }
            : record,
          options,
        ),
    }),
  ],
  "swaps two records": [
    "V4",
    wrapped({
      send: async (inner, record, options) => {
        for (let turn = 0; isChosen(record) && turn < 10; turn++) await Promise.resolve();
        return await inner.send(record, options);
      },
    }),
  ],
  "never tells an outcome": [
    "V1",
    wrapped({
      send: (inner, record, options) => isChosen(record) ? new Promise(() => {}) : inner.send(record, options),
    }),
  ],
  "doesn't close": ["V6", wrapped({ close: () => Promise.resolve() })],
  "resolves a flush at once": ["V8", wrapped({ flush: () => Promise.resolve() })],
};

for (const [what, [rule, producer]] of Object.entries(LIARS)) {
  test(`simulation: a producer that ${what} is found out (${rule})`, async () => {
    const found = new Set<string>();
    for (let seed = 1; seed <= 12 && !found.has(rule); seed++) {
      const { violations } = await simulate({ plan: twoTopics(seed), producer });
      for (const violation of violations) found.add(violation.rule);
    }
    assert.ok(found.has(rule), `found ${[...found]}`);
  });
}

test("simulation: a plan that fails is made as small as it can be", async () => {
  const [rule, producer] = LIARS["changes a value"]!;
  const { plan, violations } = await simulate({ plan: twoTopics(3), producer, shrink: true });
  assert.deepEqual(violations.map((violation) => violation.rule), [rule]);
  assert.deepEqual([plan.sends.length, plan.faults.length, plan.flushes.length], [1, 0, 0]);
});

type Inner = ReturnType<MakeProducer>;
type Send = (inner: Inner, ...args: Parameters<Inner["send"]>) => ReturnType<Inner["send"]>;

/** Sluice's producer with some calls of its own. */
function wrapped(
  own: { readonly send?: Send; readonly flush?: Inner["flush"]; readonly close?: Inner["close"] },
): MakeProducer {
  return (options, runtime) => {
    const inner: Inner = new Producer(options, runtime);
    return {
      send: (record, sendOptions) =>
        own.send === undefined ? inner.send(record, sendOptions) : own.send(inner, record, sendOptions),
      flush: own.flush ?? (() => inner.flush()),
      close: own.close ?? ((closeOptions) => inner.close(closeOptions)),
    };
  };
}

/** One record in seven of those that the plan holds; the simulator's own come behind. */
function isChosen({ value }: { readonly value: string }): boolean {
  const id = Number.parseInt(value);
  return id < 1_000_000 && id % 7 === 3;
}

function tellLater(
  options: Parameters<Inner["send"]>[1],
  metadata: Awaited<ReturnType<Inner["send"]>>,
): ReturnType<Inner["send"]> {
  return Promise.resolve().then(() => {
    options?.onDelivery?.(null, metadata);
    return metadata;
  });
}

/** A quiet plan with one topic more than it needs. */
function twoTopics(seed: number): SimulationPlan {
  const plan = planOf(seed, "calm");
  const topics = ["orders", "events"].map((name) => ({ ...plan.cluster.topics[0]!, name }));
  const producers = plan.producers.slice(0, 1).map((producer) => ({
    startMs: 0,
    options: { ...producer.options, acks: "all" as const, idempotent: true, deliveryTimeoutMs: 8_000, lingerMs: 5 },
  }));
  const sends = plan.sends.filter(({ producer }) => producer === 0).map(({ abortAfterMs: _, ...send }) => ({
    ...send,
    topic: "orders",
    partition: 0,
    via: "both" as const,
  }));
  return { ...plan, cluster: { ...plan.cluster, topics }, producers, sends, flushes: [{ atMs: 1, producer: 0 }] };
}
