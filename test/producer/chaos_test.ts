import assert from "node:assert/strict";
import type { KafkaError } from "../../src/errors.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { seededRandom } from "../../src/testing/random.ts";
import type { ProducerOptions } from "../../src/producer/options.ts";
import type { RecordMetadata } from "../../src/producer/record.ts";
import { dice, stage } from "../cluster/stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, valuesIn } from "./wire.ts";

const PARTITIONS = 4;
const SEEDS = [5, 62, 122];
const DELIVERY_MS = 8_000;

interface Sent {
  readonly partition: number;
  readonly value: string;
  readonly sentMs: number;
  settledMs?: number;
  settledOrder?: number;
  settledTimes: number;
  metadata?: RecordMetadata;
  error?: KafkaError;
}

/** Sends for a while to a cluster that does everything wrong, and checks what may never happen. */
async function play(seed: number, options: Partial<ProducerOptions> = {}): Promise<void> {
  const roll = dice(seededRandom(seed));
  const s = stage({
    brokers: 3,
    topics: { orders: PARTITIONS },
    network: { latencyMs: () => roll(40), chunking: roll(2) === 0 ? "random" : "whole" },
  }, seed);
  const { runtime, cluster } = s;
  const retriable = [3, 5, 6, 7, 13, 19, 20, 2, 56, 74];
  let faults = true;
  cluster.control(Produce, () => {
    if (!faults) return undefined;
    const cast = roll(30);
    if (cast === 0) return { drop: "before" };
    if (cast === 1) return { drop: "after" };
    if (cast === 2) return { error: retriable[roll(retriable.length)]! };
    if (cast === 3) return { error: [7, 20, 6][roll(3)]!, apply: true };
    if (cast === 4) return { delayMs: roll(1_500) };
    if (cast === 5) return { answerDelayMs: roll(1_500) };
    if (cast === 6 && roll(4) === 0) return { silence: true, apply: roll(2) === 0 };
    if (cast === 7 && roll(8) === 0) return { error: [-1, 87][roll(2)]! };
    return undefined;
  });
  const producer = s.producer({
    deliveryTimeoutMs: DELIVERY_MS,
    requestTimeoutMs: 1_000,
    maxBlockMs: 4_000,
    bufferMemory: 20_000,
    batchSize: 200 + roll(800),
    lingerMs: roll(3) === 0 ? roll(50) : 0,
    ...options,
  });
  const sent: Sent[] = [];
  let settled = 0;
  for (let step = 0; step < 200; step++) {
    for (let burst = roll(12); burst > 0; burst--) {
      const partition = roll(PARTITIONS);
      const entry: Sent = {
        partition,
        value: `${partition}-${sent.length}-${"x".repeat(roll(80))}`,
        sentMs: runtime.now(),
        settledTimes: 0,
      };
      sent.push(entry);
      producer.send({ topic: "orders", partition, value: entry.value }, {
        onDelivery: (error, metadata) => {
          entry.settledTimes++;
          entry.settledMs = runtime.now();
          entry.settledOrder = settled++;
          if (error) entry.error = error;
          if (metadata) entry.metadata = metadata;
        },
      });
    }
    if (roll(12) === 0) cluster.moveLeader("orders", roll(PARTITIONS), 1 + roll(3));
    if (roll(40) === 0) cluster.stopBroker(1 + roll(3));
    if (roll(10) === 0) { for (const { id } of cluster.brokers) cluster.startBroker(id); }
    if (roll(40) === 0) cluster.network.reset();
    if (roll(40) === 0) cluster.network.blackHole(`broker-${1 + roll(3)}.test:9092`);
    if (roll(10) === 0) { for (const { id } of cluster.brokers) cluster.network.heal(`broker-${id}.test:9092`); }
    if (roll(30) === 0) void producer.flush();
    await runtime.advance(roll(60));
  }
  faults = false;
  for (const { id } of cluster.brokers) {
    cluster.startBroker(id);
    cluster.network.heal(`broker-${id}.test:9092`);
  }
  await runtime.advance(roll(DELIVERY_MS));
  await s.run(producer.flush());
  const idempotent = producer.isIdempotent();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const mine = sent.filter((entry) => entry.partition === partition);
    const log = await valuesIn(cluster, "orders", partition);
    const at = new Map<string, number[]>();
    log.forEach((value, offset) => at.set(value, [...at.get(value) ?? [], offset]));
    for (const entry of mine) {
      const copies = at.get(entry.value) ?? [];
      const where = `seed ${seed}, "${entry.value}" (${entry.error?.code ?? "ok"}, ${entry.error?.persisted})`;
      assert.equal(entry.settledTimes, 1, `${where} settled`);
      assert.ok(entry.settledMs! - entry.sentMs <= DELIVERY_MS, `${where} took ${entry.settledMs! - entry.sentMs}`);
      if (entry.metadata !== undefined) {
        assert.equal(entry.metadata.partition, partition);
        if (idempotent) assert.equal(copies.length, 1, `${where}: copies`);
        else assert.ok(copies.length >= 1, `${where}: copies`);
        const { offset } = entry.metadata;
        if (offset >= 0n) assert.ok(copies.includes(Number(offset)), `${where}: offset ${offset}, is at ${copies}`);
      } else if (entry.error!.persisted === "no") {
        assert.equal(copies.length, 0, `${where}: copies`);
      } else if (idempotent) {
        assert.ok(copies.length <= 1, `${where}: copies`);
      }
    }
    if (idempotent || options.maxInFlight === 1) {
      const rank = new Map(mine.map((entry, index) => [entry.value, index]));
      let last = -1;
      const seen = new Set<string>();
      // Without sequences nobody can stop bytes of a lost attempt that arrive when the record has been given up.
      const failed = new Set(idempotent ? [] : mine.filter(({ error }) => error).map(({ value }) => value));
      for (const value of log) {
        if (seen.has(value) || failed.has(value)) continue;
        seen.add(value);
        assert.ok(rank.get(value)! > last, `seed ${seed}: "${value}" after the one sent as ${last}`);
        last = rank.get(value)!;
      }
    }
    const told = mine.map((entry) => entry.settledOrder!);
    for (let i = 1; i < told.length; i++) {
      // What was refused before it got into a batch is told at once.
      if (mine[i]!.error?.code === "BUFFER_FULL" || mine[i - 1]!.error?.code === "BUFFER_FULL") continue;
      assert.ok(told[i]! > told[i - 1]!, `seed ${seed}: "${mine[i]!.value}" was told before "${mine[i - 1]!.value}"`);
    }
  }
  await s.run(producer.close());
  // What the brokers were told to wait for before they answer.
  await runtime.advance(2_000);
  await assertLeavesNothing(s, producer);
}

/** Every kind of producer, each with a few seeds; a failure names the seed. */
const PRODUCERS: Readonly<Record<string, Partial<ProducerOptions>>> = {
  "an idempotent producer": {},
  "an idempotent producer with one request in flight": { maxInFlight: 1 },
  "an idempotent producer with two retries": { retries: 2 },
  "an idempotent producer with lz4": { compression: "lz4" },
  "a plain producer": { idempotent: false },
  "a plain producer with one request in flight": { idempotent: false, maxInFlight: 1 },
  "a producer with acks 1": { acks: 1 },
};

for (const [who, options] of Object.entries(PRODUCERS)) {
  test(`chaos: ${who} keeps its promises while everything goes wrong`, async () => {
    for (const seed of SEEDS) await play(seed, options);
  });
}
