import assert from "node:assert/strict";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { seededRandom } from "../../src/testing/doubles/random.ts";
import { dice, stage } from "../stage.ts";
import { test } from "../harness.ts";
import {
  assertLeavesNothing,
  sendApart,
  sentBatches,
  states,
  storedLz4,
  valuesIn,
  warmUp,
  watch,
  type Watched,
} from "./wire.ts";

const NOT_LEADER = 6;

/** A signal that counts who listens to it. */
function counted(): { controller: AbortController; listeners: () => number; most: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  let listeners = 0;
  let most = 0;
  Object.defineProperty(signal, "addEventListener", {
    value: (...args: Parameters<typeof add>) => {
      most = Math.max(most, ++listeners);
      add(...args);
    },
  });
  Object.defineProperty(signal, "removeEventListener", {
    value: (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    },
  });
  return { controller, listeners: () => listeners, most: () => most };
}

test("signal: a record that lingers is taken out, its neighbours go with contiguous sequences", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ lingerMs: 50 });
  await warmUp(s, producer);
  const free = producer.metrics()["buffer-available-bytes"];
  const { controller, listeners } = counted();
  const reason = new Error("the user has left");
  const calls: string[] = [];
  const sent = ["a", "b", "c", "d", "e"].map((value, i) => {
    const aborted = i === 0 || i === 3;
    return watch(
      s,
      producer.send({ topic: "orders", partition: 0, key: value, value, timestamp: 1_000 + i, headers: { h: value } }, {
        onDelivery: (error) => void calls.push(`${value} ${error?.code ?? "ok"}`),
        onError: (error) => void calls.push(`${value} ${error.persisted}`),
        ...(aborted ? { signal: controller.signal } : {}),
      }),
    );
  });
  await s.runtime.advance(10);
  controller.abort(reason);
  await s.runtime.settle();
  assert.deepEqual(states(sent), ["ABORTED", "pending", "pending", "ABORTED", "pending"]);
  assert.deepEqual(calls, ["a ABORTED", "a no", "d ABORTED", "d no"], "told at once, out of line");
  for (const { error } of [sent[0]!, sent[3]!]) {
    assert.deepEqual([(error as unknown as Error).name, error!.persisted, error!.retriable], [
      "AbortError",
      "no",
      false,
    ]);
    assert.equal(error!.cause, reason);
  }
  assert.equal(producer.metrics().records_pending, 3);
  await s.run(producer.send({ topic: "orders", partition: 0, value: "f" }));
  assert.deepEqual(states(sent), ["ABORTED", "acked 1", "acked 2", "ABORTED", "acked 3"]);
  const [batch] = sentBatches(s.cluster);
  assert.deepEqual([batch!.count, batch!.sequence], [4, 1]);
  const stored = (await s.cluster.records("orders", 0)).slice(1, 4);
  const utf8 = new TextDecoder();
  assert.deepEqual(
    stored.map(({ key, value, timestamp, headers }) => [
      utf8.decode(key!),
      utf8.decode(value!),
      Number(timestamp),
      headers.map(([name, content]) => `${name}=${utf8.decode(content!)}`).join(),
    ]),
    [["b", "b", 1_001, "h=b"], ["c", "c", 1_002, "h=c"], ["e", "e", 1_004, "h=e"]],
  );
  assert.deepEqual(sent.flatMap(({ value }) => value === undefined ? [] : [value.timestamp]), [1_001, 1_002, 1_004]);
  assert.equal(producer.metrics()["buffer-available-bytes"], free);
  assert.equal(listeners(), 0);
  await assertLeavesNothing(s, producer);
});

test("signal: when all records of a batch are aborted nothing is sent, and a flush doesn't wait", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ lingerMs: 10_000 });
  await warmUp(s, producer);
  const controller = new AbortController();
  const { signal } = controller;
  const sent = ["a", "b", "c"].map((value) =>
    watch(s, producer.send({ topic: "orders", partition: 0, value }, { signal }))
  );
  await s.runtime.settle();
  controller.abort();
  await s.runtime.settle();
  assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "ABORTED"]);
  await s.run(producer.flush(), 1);
  const { "buffer-available-bytes": free, "buffer-total-bytes": total, records_pending: pending } = producer.metrics();
  assert.deepEqual([free, pending], [total, 0]);
  await s.runtime.advance(20_000);
  assert.equal(sentBatches(s.cluster).length, 0);
  assert.equal((await s.run(producer.send({ topic: "orders", partition: 0, value: "next" }))).offset, 1n);
  assert.equal(sentBatches(s.cluster)[0]!.sequence, 1);
  await assertLeavesNothing(s, producer);
});

test("signal: a flush that waits for a batch ends when the last record of it is taken out", async () => {
  const s = stage({ brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 1 } } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.stopBroker(s.cluster.partition("orders", 0).leaderId);
  await s.runtime.settle();
  const controller = new AbortController();
  const sent = watch(s, producer.send({ topic: "orders", value: "v" }, { signal: controller.signal }));
  const flushed = watch(s, producer.flush());
  await s.runtime.advance(500);
  assert.equal(flushed.state, "pending");
  controller.abort();
  await s.runtime.settle();
  assert.deepEqual([sent.error?.code, flushed.state], ["ABORTED", "resolved"]);
  await assertLeavesNothing(s, producer);
});

test("signal: a record that has left is not recalled: possibly persisted, told once, its delivery goes on", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const { controller, listeners } = counted();
  const producer = s.producer();
  await warmUp(s, producer);
  let calls = 0;
  const sent = watch(
    s,
    producer.send({ topic: "orders", partition: 0, value: "left" }, {
      signal: controller.signal,
      onDelivery: () => calls++,
      onSuccess: () => calls++,
      onError: () => calls++,
    }),
  );
  await s.runtime.advance(5);
  controller.abort("why not");
  await s.runtime.settle();
  assert.deepEqual([sent.error?.code, sent.error?.persisted, sent.error?.cause], ["ABORTED", "possibly", "why not"]);
  assert.equal(listeners(), 0);
  await s.run(producer.flush());
  assert.equal(calls, 2, "onDelivery and onError");
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "left"]);
  assert.equal(producer.metrics().errors, 0);
  await assertLeavesNothing(s, producer);
});

test("signal: a record that waits to be sent again goes on to be delivered", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: NOT_LEADER }, { times: 2 });
  const controller = new AbortController();
  const first = watch(
    s,
    producer.send({ topic: "orders", partition: 0, value: "1" }, { signal: controller.signal }),
  );
  await s.runtime.advance(50);
  const [second] = await sendApart(s, producer, ["2"]);
  controller.abort();
  await s.run(producer.flush());
  assert.deepEqual([first.error?.persisted, ...states([second!])], ["possibly", "acked 2"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "1", "2"]);
  assert.deepEqual(new Set(sentBatches(s.cluster).map(({ epoch }) => epoch)), new Set([0]));
  await assertLeavesNothing(s, producer);
});

test("signal: a send that waits for memory leaves the line, and those behind it move up", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer({ bufferMemory: 1_300 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 200 }, { times: 1 });
  const controller = new AbortController();
  const { signal } = controller;
  const big = watch(s, producer.send({ topic: "orders", partition: 0, value: "x".repeat(800) }));
  const waits = watch(s, producer.send({ topic: "orders", partition: 0, value: "y".repeat(700) }, { signal }));
  const small = watch(s, producer.send({ topic: "orders", partition: 1, value: "z" }));
  await s.runtime.advance(50);
  const free = producer.metrics()["buffer-available-bytes"];
  assert.deepEqual(states([big, waits, small]), ["pending", "pending", "pending"]);
  controller.abort();
  await s.runtime.settle();
  assert.deepEqual(states([big, waits, small]), ["pending", "ABORTED", "pending"]);
  assert.equal(waits.error!.persisted, "no");
  assert.ok(producer.metrics()["buffer-available-bytes"] < free, "there is room for the small one");
  await s.run(producer.flush());
  assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", "x".repeat(800), "z"]);
  await assertLeavesNothing(s, producer);
});

test("signal: a send that waits for its topic is taken back, with its memory", async () => {
  const s = stage({ topics: {}, autoCreateTopics: false, network: { latencyMs: 10 } });
  const { controller, listeners } = counted();
  const producer = s.producer();
  const sent = watch(s, producer.send({ topic: "late", value: "v" }, { signal: controller.signal }));
  const stays = watch(s, producer.send({ topic: "late", value: "stays" }));
  await s.runtime.advance(1_000);
  controller.abort();
  await s.runtime.settle();
  assert.deepEqual([sent.error?.code, sent.error?.persisted, listeners()], ["ABORTED", "no", 0]);
  assert.equal(producer.metrics().records_pending, 1);
  s.cluster.createTopic("late", { partitions: 1 });
  await s.run(producer.flush());
  assert.deepEqual(states([stays]), ["acked 0"]);
  assert.deepEqual(await valuesIn(s.cluster, "late"), ["stays"]);
  await assertLeavesNothing(s, producer);
});

test("signal: one that is aborted already refuses the record, and nothing is taken", async () => {
  const s = stage();
  const producer = s.producer();
  const signal = AbortSignal.abort("too late");
  let told: string | undefined;
  const sent = watch(
    s,
    producer.send({ topic: "orders", value: "v" }, { signal, onError: (error) => told = error.code }),
  );
  assert.equal(told, "ABORTED", "within the call");
  await s.runtime.settle();
  assert.deepEqual([sent.error?.persisted, sent.error?.cause], ["no", "too late"]);
  assert.equal(s.cluster.requestsOf(Metadata).length, 0);
  const results = await producer.sendBatch([{ topic: "orders", value: "a" }, { topic: "orders", value: "b" }], {
    signal,
  });
  assert.deepEqual(results.map((result) => result.status === "rejected" && result.reason.code), ["ABORTED", "ABORTED"]);
  const wrong = await s.failure(producer.send({ topic: "orders", value: "v" }, { signal: "no signal" as never }));
  assert.equal(wrong.code, "CONFIG");
  await assertLeavesNothing(s, producer);
});

test("signal: a hundred thousand sends share one listener, which goes with the last of them", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer();
  await warmUp(s, producer);
  const { controller, listeners, most } = counted();
  let settled = 0;
  for (let i = 0; i < 100_000; i++) {
    void producer.send({ topic: "orders", partition: i % 3, value: "v" }, {
      signal: controller.signal,
      onDelivery: (error) => settled += error === null ? 1 : 0,
    });
  }
  assert.deepEqual([listeners(), most()], [1, 1]);
  await s.run(producer.flush());
  assert.deepEqual([settled, listeners(), most()], [100_000, 0, 1]);
  await producer.sendBatch([{ topic: "orders", value: "v" }], { signal: AbortSignal.abort() });
  controller.abort();
  await assertLeavesNothing(s, producer);
});

test("signal: a record is taken out while a codec is at work on its batch", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  let finish: (() => void)[] = [];
  const lz4 = {
    name: "lz4" as const,
    id: 3 as const,
    compress: (bytes: Uint8Array): Promise<Uint8Array> => {
      const frame = storedLz4(bytes);
      return new Promise((resolve) => finish.push(() => resolve(frame)));
    },
    decompress: (bytes: Uint8Array) => bytes,
  };
  const producer = s.producer({ codecs: { lz4 }, compression: "lz4", lingerMs: 5 });
  await s.run(producer.partitionsFor("orders"));
  await s.run(producer.connect());
  const controllers = ["a", "b", "c", "d"].map(() => new AbortController());
  const send = (values: string, partition: number): Watched<RecordMetadata>[] =>
    [...values].map((value, i) =>
      watch(s, producer.send({ topic: "orders", partition, value }, { signal: controllers[i]!.signal }))
    );
  const sent = [...send("abc", 0), ...send("ab", 1)];
  await s.runtime.advance(10);
  assert.equal(finish.length, 2);
  controllers[0]!.abort();
  controllers[1]!.abort();
  await s.runtime.settle();
  assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "pending", "ABORTED", "ABORTED"]);
  assert.equal(s.cluster.requestsOf(Produce).length, 0);
  const first = finish;
  finish = [];
  for (const done of first) done();
  await s.runtime.settle();
  assert.equal(finish.length, 1, "one batch is encoded anew, the other is gone");
  for (const done of finish) done();
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "acked 0", "ABORTED", "ABORTED"]);
  assert.deepEqual([sentBatches(s.cluster).length, sentBatches(s.cluster)[0]!.count], [1, 1]);
  assert.deepEqual(await valuesIn(s.cluster, "orders"), ["c"]);
  await assertLeavesNothing(s, producer);
});

test("signal: a record that a callback takes back while a request is being made up stays out of it", async () => {
  const s = stage({ brokers: 1, topics: { orders: 2, broken: 1 } });
  const lz4 = {
    name: "lz4" as const,
    id: 3 as const,
    compress(): Uint8Array {
      throw new RangeError("boom");
    },
    decompress: (bytes: Uint8Array) => bytes,
  };
  const producer = s.producer({ codecs: { lz4 }, compression: { topics: { broken: "lz4" } }, lingerMs: 5 });
  await warmUp(s, producer, [0, 1]);
  await s.run(producer.partitionsFor("broken"));
  const controller = new AbortController();
  const { signal } = controller;
  const alone = watch(s, producer.send({ topic: "orders", partition: 0, value: "alone" }, { signal }));
  const shared = [
    watch(s, producer.send({ topic: "orders", partition: 1, value: "aborted" }, { signal })),
    watch(s, producer.send({ topic: "orders", partition: 1, value: "stays" })),
  ];
  void producer.send({ topic: "broken", value: "x" }, { onError: () => controller.abort() });
  await s.run(producer.flush());
  assert.deepEqual(states([alone, ...shared]), ["ABORTED", "ABORTED", "acked 1"]);
  assert.deepEqual([alone.error!.persisted, shared[0]!.error!.persisted], ["no", "no"]);
  assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", "warm", "stays"]);
  await assertLeavesNothing(s, producer);
});

test("signal: aborts at random moments never contradict the log, and leave nothing behind", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const s = stage({ brokers: 2, network: { latencyMs: 3 } }, seed);
    const roll = dice(seededRandom(seed));
    const producer = s.producer({ lingerMs: roll(3) * 5, bufferMemory: roll(2) === 0 ? 5_000 : 1_000_000 });
    await warmUp(s, producer, [0, 1, 2]);
    s.cluster.control(
      Produce,
      () => [undefined, undefined, { error: NOT_LEADER }, { drop: "after" as const }][roll(4)],
    );
    const controllers: AbortController[] = [];
    const sent: { value: string; watched: Watched<RecordMetadata> }[] = [];
    for (let i = 0; i < 300; i++) {
      if (controllers.length === 0 || roll(4) === 0) controllers.push(new AbortController());
      const { signal } = controllers[roll(controllers.length)]!;
      const value = `${i}`.padEnd(roll(200), ".");
      const options = roll(3) === 0 ? undefined : { signal };
      const delivery = producer.send({ topic: "orders", partition: roll(3), value }, options);
      sent.push({ value, watched: watch(s, delivery) });
      if (roll(5) === 0) await s.runtime.advance(roll(12));
      if (roll(10) === 0) controllers[roll(controllers.length)]!.abort();
    }
    await s.run(producer.flush());
    const values = await valuesIn(s.cluster, "orders");
    for (const { value, watched } of sent) {
      const copies = values.filter((stored) => stored === value).length;
      assert.notEqual(watched.state, "pending");
      if (watched.value !== undefined) assert.equal(copies, 1, `seed ${seed}: ${value} was acknowledged`);
      else if (watched.error!.persisted === "no") assert.equal(copies, 0, `seed ${seed}: ${value} was taken back`);
      else assert.ok(copies <= 1, `seed ${seed}: ${value}`);
    }
    for (const controller of controllers) controller.abort();
    await assertLeavesNothing(s, producer);
  }
});
