import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { BufferMemory, type MemoryWaiter } from "../../src/producer/accumulator/buffer_memory.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, states, valuesIn, warmUp, watch } from "./wire.ts";

const POLICY_VIOLATION = 44;

test("memory: key, value and headers are charged when they are taken, and given back once with the outcome", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 100_000 });
  await warmUp(s, producer);
  const free = (): number => producer.metrics()["buffer-available-bytes"];
  for (const action of [undefined, { error: POLICY_VIOLATION }, { drop: "after" as const }, { answerDelayMs: 50 }]) {
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
  const memory = new BufferMemory(100, { nowMs: 0, polls: 0 });
  const served: string[] = [];
  const waiter = (name: string, bytesWanted: number): MemoryWaiter & { gone: boolean } => ({
    bytesWanted,
    isLast: true,
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
  const memory = new BufferMemory(10, { nowMs: 0, polls: 0 });
  memory.reserve(10);
  let next = 0;
  for (let i = 0; i < 100_000; i++) {
    memory.wait({
      bytesWanted: 10,
      isLast: true,
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

test("memory: while a broker stands still, what waits is bounded, and who comes then is refused at once", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_048_576, requestTimeoutMs: 1_000 });
  await warmUp(s, producer);
  const goOn = s.cluster.control(Produce, { silence: true });
  const value = new Uint8Array(1_024);
  const refusals: { atMs: number; message: string; persisted: string }[] = [];
  let [sent, delivered, most] = [0, 0, 0];
  const startMs = s.runtime.now();
  for (let turn = 0; turn < 300; turn++) {
    for (let i = 0; i < 80; i++) {
      const atMs = s.runtime.now();
      sent++;
      void producer.send({ topic: "orders", partition: i % 3, value }, {
        onDelivery: (error) => {
          if (error === null) return void delivered++;
          assert.equal(error.code, "BUFFER_FULL");
          assert.equal(s.runtime.now(), atMs, "refused within the call");
          refusals.push({ atMs, message: error.message, persisted: error.persisted });
        },
      });
    }
    await s.runtime.advance(1);
    most = Math.max(most, producer.metrics().records_pending);
  }
  // 1 MiB in the buffer and 8 MiB in line.
  assert.ok(most > 7_000 && most < 9 * 1_024, `${most} KiB were held`);
  assert.ok(refusals.length > 12_000, `${refusals.length} were refused`);
  assert.ok(refusals[0]!.atMs - startMs >= 100, "no sooner than nothing has come free for 100 ms");
  assert.match(refusals[0]!.message, /Await sends.*produce\(\).*ready\(\).*bufferMemory/);
  assert.ok(refusals.every(({ persisted }) => persisted === "no"));
  assert.equal(producer.produce({ topic: "orders", value }), false);
  goOn();
  await s.run(producer.flush());
  assert.equal(delivered, sent - refusals.length);
  assert.equal((await s.cluster.records("orders")).length, delivered + 1);
  await assertLeavesNothing(s, producer);
});

test("memory: a burst in one turn is taken whole, however large, while the broker keeps up", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_048_576 });
  await warmUp(s, producer);
  await s.runtime.advance(10_000);
  const value = new Uint8Array(1_024);
  let delivered = 0;
  const burst = (): void => {
    for (let i = 0; i < 15_000; i++) {
      void producer.send({ topic: "orders", partition: i % 3, value, key: i % 2 === 0 ? `k ${i}` : null }, {
        onDelivery: (error) => void (error === null && delivered++),
      });
    }
  };
  burst();
  assert.equal(producer.metrics().records_pending, 15_000);
  await s.runtime.advance(20);
  burst();
  await s.run(producer.flush());
  assert.equal(delivered, 30_000);
  const records = await s.cluster.records("orders");
  assert.equal(records.length, 30_001);
  await assertLeavesNothing(s, producer);
});

test("memory: what waits in line keeps key, value, headers, timestamp and partition, and the order of the calls", async () => {
  const s = stage({ topics: { orders: 3, other: 1 }, network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 600 });
  await warmUp(s, producer, [0, 1, 2]);
  await s.run(producer.partitionsFor("other"));
  const utf8 = new TextDecoder();
  const scratch = new Uint8Array(300);
  const wanted: string[] = [];
  const told: number[] = [];
  const now = s.runtime.wallNow();
  for (let i = 0; i < 300; i++) {
    const size = 1 + (i * 37) % 300;
    scratch.fill(97 + i % 26);
    const topic = i % 7 === 0 ? "other" : "orders";
    const partition = topic === "other" ? 0 : i % 3;
    const key = i % 4 === 0 ? null : i % 4 === 1 ? "" : `key ${i}`;
    const value = i % 11 === 0 ? null : scratch.subarray(0, size);
    const headers = i % 5 === 0 ? { n: `${i}` } : undefined;
    const timestamp = i % 6 === 0 ? 1_000 + i : undefined;
    void producer.send({ topic, partition, key, value, headers, timestamp }, { onDelivery: () => void told.push(i) });
    const text = value === null ? "null" : utf8.decode(value);
    wanted.push(`${topic} ${partition} ${key} ${text} ${headers?.n ?? ""} ${timestamp ?? now}`);
  }
  scratch.fill(33);
  await s.run(producer.flush());
  const seen: string[] = [];
  for (const topic of ["orders", "other"]) {
    for (const { partition, key, value, headers, timestamp } of await s.cluster.records(topic)) {
      const text = value === null ? "null" : utf8.decode(value);
      if (text === "warm") continue;
      const [header] = headers.map(([, content]) => utf8.decode(content!));
      seen.push(`${topic} ${partition} ${key === null ? null : utf8.decode(key)} ${text} ${header ?? ""} ${timestamp}`);
    }
  }
  for (const place of ["orders 0", "orders 1", "orders 2", "other 0"]) {
    const of = (lines: string[]): string[] => lines.filter((line) => line.startsWith(place));
    assert.deepEqual(of(seen), of(wanted));
  }
  assert.equal(told.length, 300);
  await assertLeavesNothing(s, producer);
});

test("memory: sends in line are late in the order of the calls, with one timer for all", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 2_000, maxBlockMs: 1_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { silence: true });
  const late: [number, number][] = [];
  const send = (i: number): void =>
    void producer.send({ topic: "orders", partition: i % 3, value: "x".repeat(500) }, {
      onError: () => void late.push([i, s.runtime.now()]),
    });
  for (let i = 0; i < 10; i++) send(i);
  const startMs = s.runtime.now();
  await s.runtime.advance(300);
  for (let i = 10; i < 15; i++) send(i);
  const timers = s.runtime.pendingTimers;
  for (let i = 15; i < 500; i++) send(i);
  assert.equal(s.runtime.pendingTimers, timers);
  await s.runtime.advance(999 - 300);
  assert.equal(late.length, 0);
  await s.runtime.advance(1);
  assert.deepEqual(late, [3, 4, 5, 6, 7, 8, 9].map((i) => [i, startMs + 1_000]));
  await s.runtime.advance(300);
  assert.deepEqual(late.slice(7).map(([i]) => i), Array.from({ length: 490 }, (_, i) => i + 10));
  assert.deepEqual(new Set(late.slice(7).map(([, atMs]) => atMs)), new Set([startMs + 1_300]));
  await s.run(producer.close({ timeoutMs: 1 }).catch(() => {}));
  assert.equal(s.runtime.pendingTimers, 0);
});

test("memory: those who leave the middle of the line don't pile up there", () => {
  const clock = { nowMs: 0, polls: 0 };
  const memory = new BufferMemory(10, clock);
  memory.reserve(10);
  let served = 0;
  for (let i = 0; i < 10_000; i++) {
    const waiter = { bytesWanted: 1, isLast: true, gone: false, onMemory: () => void served++ };
    memory.wait(waiter);
    if (i % 10 === 0) continue;
    waiter.gone = true;
    memory.abandon();
  }
  assert.ok([...memory.queue()].length === 1_000);
  memory.addHeld(2 ** 23);
  assert.equal(memory.refusal(1), undefined);
  Object.assign(clock, { nowMs: 99, polls: 1 });
  assert.equal(memory.refusal(1), undefined);
  clock.nowMs = 100;
  assert.equal(memory.refusal(1)?.code, "BUFFER_FULL");
  clock.polls = 0.5;
  assert.equal(memory.refusal(1), undefined, "an answer may be there, but nobody could have read it");
  clock.nowMs = 500;
  assert.equal(memory.refusal(1)?.code, "BUFFER_FULL");
  assert.equal(memory.refusal(1), memory.refusal(1), "those of one turn share the error");
  memory.addHeld(-1);
  assert.equal(memory.refusal(1), undefined);
  memory.addHeld(1);
  memory.release(5, true);
  Object.assign(clock, { nowMs: 599, polls: 1.25 });
  assert.deepEqual([served, memory.refusal(1)], [5, undefined]);
  clock.nowMs = 600;
  assert.equal(memory.refusal(1), undefined);
  clock.polls = 1.5;
  assert.equal(memory.refusal(1)?.code, "BUFFER_FULL");
});

test("memory: to leave a long line costs the same as to leave a short one", () => {
  for (const length of [2_000, 40_000]) {
    const memory = new BufferMemory(10, { nowMs: 0, polls: 0 });
    memory.reserve(10);
    let looks = 0;
    const left = new Set<number>();
    const isGone = (i: number): boolean => left.has(i);
    for (let i = 0; i < length; i++) {
      memory.wait({
        bytesWanted: 1,
        isLast: true,
        get gone() {
          looks++;
          return isGone(i);
        },
        onMemory: () => {},
      });
    }
    for (let i = length - 1; i >= 0; i--) {
      left.add(i);
      memory.abandon();
    }
    assert.ok(looks <= 3 * length, `${looks} looks at ${length} waiters`);
  }
});

test("memory: what expires while a broker stands still makes no room for an endless line", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const limits = { deliveryTimeoutMs: 500, requestTimeoutMs: 400, maxBlockMs: 500 };
  const producer = s.producer({ bufferMemory: 1_048_576, ...limits });
  await warmUp(s, producer);
  const goOn = s.cluster.control(Produce, { silence: true });
  const value = new Uint8Array(8_192);
  const codes: Record<string, number> = {};
  let [sent, told, most] = [0, 0, 0];
  for (let turn = 0; turn < 3_000; turn++) {
    for (let i = 0; i < 50; i++) {
      sent++;
      void producer.send({ topic: "orders", partition: i % 3, value }, {
        onDelivery: (error) => {
          told++;
          codes[error!.code] = (codes[error!.code] ?? 0) + 1;
        },
      });
    }
    await s.runtime.advance(1);
    // The first 100 ms are anybody's.
    if (turn > 700) most = Math.max(most, producer.metrics().records_pending);
  }
  assert.ok(most * 8_192 < 10 * 2 ** 20, `${most * 8} KiB were held`);
  assert.ok(codes["DELIVERY_TIMEOUT"]! > 300 && codes["BUFFER_FULL"]! > 100_000, JSON.stringify(codes));
  goOn();
  await s.run(producer.flush());
  assert.equal(told, sent);
  await assertLeavesNothing(s, producer);
});

test("memory: a record counts for what its objects take, however empty it is, and all is given back", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_048_576 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 1_000 });
  const free = (): number => producer.metrics()["buffer-available-bytes"];
  const before = free();
  let taken = 0;
  let delivered = 0;
  while (
    taken < 100_000 && producer.produce({ topic: "orders", value: null }, (error) => void (error ?? delivered++))
  ) {
    taken++;
  }
  // 1 MiB by 256 bytes.
  assert.ok(taken > 3_900 && taken <= 4_096, `${taken} empty records were taken`);
  await s.run(producer.flush());
  assert.equal(delivered, taken);
  assert.equal(free(), before);
  for (const [size, charged] of [[0, 256], [100, 256], [1_000, 1_000]] as const) {
    const sent = producer.send({ topic: "orders", partition: 0, value: new Uint8Array(size) });
    const now = before - free() - 61;
    assert.ok(now >= charged && now < charged + 16, `${size} bytes count for ${now}`);
    await s.run(sent);
  }
  await assertLeavesNothing(s, producer);
});

test("memory: what is left of a batch after aborts and splits is charged as if nothing else had been there", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ lingerMs: 1_000 });
  await warmUp(s, producer);
  const total = producer.metrics()["buffer-total-bytes"];
  const controller = new AbortController();
  const kept = watch(s, producer.send({ topic: "orders", partition: 0, value: "kept" }));
  const taken = (): number => total - producer.metrics()["buffer-available-bytes"];
  const alone = taken();
  const aborted = Array.from(
    { length: 10 },
    (_, i) =>
      watch(
        s,
        producer.send({ topic: "orders", partition: 0, value: "x".repeat(i * 100) }, { signal: controller.signal }),
      ),
  );
  assert.ok(taken() > alone + 10 * 256);
  controller.abort();
  await s.runtime.settle();
  assert.ok(aborted.every(({ error }) => error?.code === "ABORTED"));
  assert.equal(taken(), alone);
  await s.run(producer.flush());
  assert.equal(kept.state, "resolved");
  await assertLeavesNothing(s, producer);
});
