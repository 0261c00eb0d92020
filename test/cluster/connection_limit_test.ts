/** `maxConnections`: never more at a time, and everybody's turn comes. */

import assert from "node:assert/strict";
import type { Producer } from "../../src/producer/named_producer.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** Counts the sockets that are open; those that are being opened included. */
function counting({ runtime, cluster }: Stage): { now: number; most: number; dials: number } {
  const counts = { now: 0, most: 0, dials: 0 };
  const { sockets } = cluster;
  runtime.sockets = {
    ...sockets,
    async connect(options, events) {
      counts.dials++;
      counts.most = Math.max(counts.most, ++counts.now);
      try {
        return await sockets.connect(options, {
          onData: (chunk) => events.onData(chunk),
          onClose: (error) => {
            counts.now--;
            events.onClose(error);
          },
        });
      } catch (error) {
        counts.now--;
        throw error;
      }
    },
  };
  return counts;
}

/** One record for each of the partitions, of which each broker leads one. */
function sendEach(producer: Producer, partitions: number, value: string): Promise<{ offset: bigint }[]> {
  return Promise.all(
    Array.from({ length: partitions }, (_, partition) => producer.send({ topic: "orders", partition, value })),
  );
}

test("max connections: with eight leaders and three places all records arrive, and never are more than three open", async () => {
  const s = stage({ brokers: 8, topics: { orders: 8 } });
  const counts = counting(s);
  const producer = s.producer({ maxConnections: 3 });
  for (let round = 0n; round < 3n; round++) {
    const sent = await s.run(sendEach(producer, 8, `${round}`));
    assert.deepEqual(sent.map(({ offset }) => offset), new Array(8).fill(round));
  }
  await s.run(producer.close());
  assert.ok(counts.most <= 3, `${counts.most} connections at a time`);
});

test("max connections: with one place everything goes through it", async () => {
  for (const acks of ["all", 1, 0] as const) {
    const s = stage({ brokers: 3, topics: { orders: 3 } });
    const counts = counting(s);
    const producer = s.producer({ maxConnections: 1, acks });
    for (let round = 0; round < 4; round++) await s.run(sendEach(producer, 3, `${round}`));
    await s.run(producer.close());
    assert.equal(counts.most, 1);
    assert.equal((await s.run(s.cluster.records("orders"))).length, 12, `acks ${acks}`);
  }
});

test("max connections: an idle one is closed at once, and a busy one answers what is in flight first", async () => {
  const s = stage({ brokers: 4, topics: { orders: 4 }, network: { latencyMs: 2 } });
  const counts = counting(s);
  const ends: string[] = [];
  const retries: unknown[] = [];
  const producer = s.producer({
    maxConnections: 2,
    hooks: {
      onDisconnect: ({ error }) => void ends.push(error.message),
      onRetry: (event) => void retries.push(event),
    },
  });
  const startMs = s.runtime.now();
  await s.run(sendEach(producer, 4, "a"));
  const tookMs = s.runtime.now() - startMs;
  assert.ok(tookMs < 250, `${tookMs} ms: nobody waits for a connection that has nothing to do`);
  // All brokers are kept busy by callers who send again and again.
  const untilMs = s.runtime.now() + 5_000;
  const counted = [0, 0, 0, 0];
  await s.run(Promise.all(counted.map(async (_, partition) => {
    while (s.runtime.now() < untilMs) {
      await producer.send({ topic: "orders", partition, value: "busy" });
      counted[partition]!++;
    }
  })));
  await s.run(producer.close());
  assert.ok(counts.most <= 2, `${counts.most} connections at a time`);
  assert.ok(Math.min(...counted) > 10, `everybody's turn comes: ${counted}`);
  assert.ok(counts.dials < 100, `${counts.dials} dials`);
  assert.deepEqual(retries, []);
  assert.ok(ends.some((message) => /makes room for another one \(maxConnections\)/.test(message)), ends.join("\n"));
});

test("max connections: dead brokers give their places back, and who waits for one can be closed", async () => {
  const s = stage({ brokers: 5, topics: { orders: 5 } });
  const counts = counting(s);
  const producer = s.producer({ maxConnections: 2, deliveryTimeoutMs: 3_000, requestTimeoutMs: 1_000 });
  await s.run(sendEach(producer, 5, "a"));
  for (const nodeId of [1, 2, 3]) s.cluster.stopBroker(nodeId);
  const outcomes = await s.run(Promise.allSettled(
    Array.from({ length: 5 }, (_, partition) => producer.send({ topic: "orders", partition, value: "b" })),
  ));
  assert.ok(outcomes.filter(({ status }) => status === "fulfilled").length >= 2);
  const left = sendEach(producer, 5, "c").catch(() => {});
  await s.run(producer.close({ timeoutMs: 50 }).catch(() => {}));
  await s.run(left);
  assert.ok(counts.most <= 2, `${counts.most} connections at a time`);
  await s.runtime.advance(5_000);
  assert.equal(counts.now, 0);
});

test("max connections: workerd allows six, the other runtimes any number, and the option says another", async () => {
  for (const [allowed, option, most] of [[6, undefined, 6], [undefined, undefined, 10], [6, 8, 8]] as const) {
    const s = stage({ brokers: 10, topics: { orders: 10 } });
    const counts = counting(s);
    Object.assign(s.runtime, { maxConnections: allowed });
    const producer = s.producer(option === undefined ? {} : { maxConnections: option });
    for (let round = 0; round < 2; round++) await s.run(sendEach(producer, 10, "a"));
    await s.run(producer.close());
    assert.equal(counts.most, most);
  }
});
