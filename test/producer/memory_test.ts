import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { BufferMemory } from "../../src/producer/buffer_memory.ts";
import { stage } from "../cluster/stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, states, valuesIn, warmUp, watch } from "./wire.ts";

const INVALID_RECORD = 87;

test("memory: key, value and headers are charged when they are taken, and given back once with the outcome", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 100_000 });
  await warmUp(s, producer);
  const free = (): number => producer.metrics()["buffer-available-bytes"];
  for (const action of [undefined, { error: INVALID_RECORD }, { drop: "after" as const }, { answerDelayMs: 50 }]) {
    if (action !== undefined) s.cluster.control(Produce, action, { times: 1 });
    assert.equal(free(), 100_000);
    const sent = watch(
      s,
      producer.send({
        topic: "orders",
        partition: 0,
        key: "k".repeat(1_000),
        value: "v".repeat(2_000),
        headers: { name: "h".repeat(3_000) },
      }),
    );
    const taken = 100_000 - free();
    assert.ok(taken > 6_000 && taken < 6_200, `${taken} bytes`);
    await s.run(producer.flush());
    assert.notEqual(sent.state, "pending");
    assert.equal(free(), 100_000);
    await s.runtime.advance(1_000);
    assert.equal(free(), 100_000);
  }
  await assertLeavesNothing(s, producer);
});

test("memory: a send that finds no room waits maxBlockMs, then fails and names the setting", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_000, maxBlockMs: 200 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 1_000 });
  const sent = await sendApart(s, producer, ["a".repeat(350), "b".repeat(350)]);
  const atMs = s.runtime.now();
  const third = watch(s, producer.send({ topic: "orders", partition: 0, value: "c".repeat(350) }));
  await s.runtime.advance(199);
  assert.equal(third.state, "pending");
  await s.runtime.advance(1);
  assert.equal(third.atMs, atMs + 200);
  assert.equal(third.error!.code, "BUFFER_FULL");
  assert.match(third.error!.message, /bufferMemory.*maxBlockMs/s);
  assert.equal(third.error!.persisted, "no");
  await s.run(producer.flush());
  assert.ok(sent.every(({ state }) => state === "resolved"));
  await assertLeavesNothing(s, producer);
});

test("memory: those who wait are served in the order of the calls, a large one before later small ones", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 2_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 100 });
  const sizes = [700, 700, 1_500, 10, 10, 900, 10];
  const told: number[] = [];
  const sent = sizes.map((size, i) =>
    watch(
      s,
      producer.send({ topic: "orders", partition: 0, value: `${i}`.padEnd(size, "x") }, {
        onDelivery: () => told.push(i),
      }),
    )
  );
  assert.deepEqual(states(sent), sizes.map(() => "pending"));
  // There is room for it, but others were there before.
  await s.runtime.advance(10);
  sent.push(watch(s, producer.send({ topic: "orders", partition: 0, value: "7" }, { onDelivery: () => told.push(7) })));
  assert.equal(producer.produce({ topic: "orders", partition: 0, value: "8" }), false);
  await s.run(producer.flush());
  assert.deepEqual(told, [0, 1, 2, 3, 4, 5, 6, 7]);
  const values = await valuesIn(s.cluster, "orders", 0);
  assert.deepEqual(values.slice(1).map((value) => value[0]), ["0", "1", "2", "3", "4", "5", "6", "7"]);
  await assertLeavesNothing(s, producer);
});

test("memory: the line is served first come first served, and nobody who has gone holds it up", () => {
  const memory = new BufferMemory(100);
  const served: string[] = [];
  const waiter = (name: string, bytesWanted: number): { bytesWanted: number; gone: boolean; onMemory(): void } => ({
    bytesWanted,
    gone: false,
    onMemory: () => void served.push(name),
  });
  memory.reserve(100);
  const gone = waiter("gone", 100);
  for (const each of [waiter("large", 80), waiter("small", 10), gone, waiter("last", 20)]) memory.wait(each);
  memory.release(30);
  assert.deepEqual(served, [], "the large one is first, and there isn't enough for it");
  assert.equal(memory.has(5), false);
  memory.release(50);
  assert.deepEqual(served, ["large"]);
  gone.gone = true;
  memory.release(20);
  assert.deepEqual(served, ["large", "small"]);
  memory.release(10);
  assert.deepEqual(served, ["large", "small", "last"]);
  assert.equal(memory.availableBytes, 0);
  memory.release(100);
  assert.equal(memory.has(100), true);
  assert.equal(memory.has(101), false);
});

test("memory: the line holds a hundred thousand and serves each in its turn", () => {
  const memory = new BufferMemory(10);
  memory.reserve(10);
  let next = 0;
  for (let i = 0; i < 100_000; i++) {
    memory.wait({
      bytesWanted: 10,
      gone: false,
      onMemory: () => {
        assert.equal(i, next++);
        memory.release(10);
      },
    });
  }
  memory.release(10);
  assert.equal(next, 100_000);
  assert.equal(memory.availableBytes, 10);
});

test("memory: a record that could never fit is refused in the same turn, and nothing else is lost", async () => {
  const s = stage();
  const producer = s.producer({ bufferMemory: 1_000 });
  await warmUp(s, producer);
  let code: string | undefined;
  producer.send({ topic: "orders", partition: 0, value: "x".repeat(2_000) }, { onError: (error) => code = error.code });
  assert.equal(code, "RECORD_TOO_LARGE");
  const error = await s.failure(producer.send({ topic: "orders", partition: 0, value: "x".repeat(2_000) }));
  assert.match(error.message, /bufferMemory/);
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "x".repeat(900) }))).offset, 1n);
  await assertLeavesNothing(s, producer);
});

test("memory: lingering batches leave when somebody waits for memory", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 2_000, lingerMs: 30_000 });
  await warmUp(s, producer);
  const sent = await sendApart(s, producer, ["a".repeat(850), "b".repeat(850), "c".repeat(850)]);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(sent).slice(0, 2), ["acked 1", "acked 2"]);
  await s.run(producer.flush());
  await assertLeavesNothing(s, producer);
});

test("memory: produce takes nothing when the buffer is full, and ready tells when to go on", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 20_000, lingerMs: 30_000 });
  await warmUp(s, producer);
  let delivered = 0;
  let taken = 0;
  for (let i = 0; i < 500; i++) {
    const record = { topic: "orders", partition: i % 3, value: `${i}`.padEnd(500, "x") };
    while (!producer.produce(record, (error) => void (error === null && delivered++))) {
      await s.run(producer.ready(), 1_000);
    }
    taken++;
  }
  await s.run(producer.flush());
  assert.deepEqual([taken, delivered], [500, 500]);
  assert.equal((await valuesIn(s.cluster, "orders")).length, 501);
  await assertLeavesNothing(s, producer);
});

test("memory: ready rejects when the producer is closed meanwhile", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 });
  assert.equal(producer.produce({ topic: "orders", partition: 0, value: "x".repeat(800) }), true);
  assert.equal(producer.produce({ topic: "orders", partition: 0, value: "x".repeat(800) }), false);
  const ready = watch(s, producer.ready());
  await s.run(producer.close());
  await s.runtime.settle();
  assert.equal(ready.error?.code, "PRODUCER_CLOSED");
  await assertLeavesNothing(s, producer);
});

test("memory: a thousand waiting sends to a thousand lingering partitions are taken in good time", async () => {
  const s = stage({ topics: { orders: 1_000 }, network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 200_000, lingerMs: 60_000, maxBlockMs: 60_000 });
  await s.run(producer.partitionsFor("orders"));
  const sent = Array.from(
    { length: 3_000 },
    (_, i) => producer.send({ topic: "orders", partition: i % 1_000, value: "x".repeat(150) }),
  );
  const results = await s.run(Promise.allSettled([...sent, producer.flush()]));
  assert.ok(results.every(({ status }) => status === "fulfilled"));
  await assertLeavesNothing(s, producer);
});
