/** There is no buffer to be had: what that costs one record, no other one pays. */

import assert from "node:assert/strict";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import type { Producer } from "../../src/producer/producer.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";
import { unhandledIn } from "./unhandled.ts";
import { assertLeavesNothing, states, storedLz4, valuesIn, warmUp, watch, type Watched } from "./wire.ts";

function exhausted(): never {
  throw new RangeError("Array buffer allocation failed");
}

/** Batches get no buffer until the returned call. */
function withoutPool(): () => void {
  const { take } = BufferPool.prototype;
  BufferPool.prototype.take = exhausted;
  return () => void (BufferPool.prototype.take = take);
}

/** Nothing of so many bytes can be had until the returned call. */
function without(length: number): () => void {
  const whole = globalThis.Uint8Array;
  globalThis.Uint8Array = new Proxy(whole, {
    construct: (target, args, newTarget) =>
      args.length === 1 && args[0] === length
        ? exhausted()
        : Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget),
  });
  return () => void (globalThis.Uint8Array = whole);
}

/** A turn of the event loop, for what the runtime reports. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

test("no buffer: records that are taken back go, and those beside them are sent as soon as there is one", async () => {
  for (const lasts of [false, true]) {
    const s = stage({ network: { latencyMs: 5 } });
    const p = s.producer({ lingerMs: 50 });
    await warmUp(s, p);
    const controller = new AbortController();
    const sent = [0, 1, 2, 3].map((i) =>
      watch(
        s,
        p.send({ topic: "orders", partition: 0, value: `${i}` }, i < 2 ? { signal: controller.signal } : undefined),
      )
    );
    await s.runtime.settle();
    const restore = withoutPool();
    try {
      controller.abort();
      await s.runtime.settle();
      assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "pending", "pending"]);
      assert.equal(p.metrics().records_pending, 2);
      if (lasts) await s.run(p.flush());
    } finally {
      restore();
    }
    await s.run(p.flush());
    // It can't be written anew either way, if that lasts.
    const fate = lasts ? ["UNEXPECTED", "UNEXPECTED"] : ["acked 1", "acked 2"];
    assert.deepEqual(states(sent), ["ABORTED", "ABORTED", ...fate]);
    assert.deepEqual(await valuesIn(s.cluster, "orders"), lasts ? ["warm"] : ["warm", "2", "3"]);
    await s.run(p.send({ topic: "orders", value: "last" }));
    await assertLeavesNothing(s, p);
  }
});

test("no buffer: records that are taken back while a codec is at work on them go, and those beside them are sent", async (t) => {
  const unhandled = unhandledIn(t);
  const s = stage({ network: { latencyMs: 5 } });
  let answer = (): void => {};
  const lz4 = {
    ...{ name: "lz4" as const, id: 3 as const, decompress: (bytes: Uint8Array) => bytes },
    compress: (bytes: Uint8Array): Promise<Uint8Array> =>
      new Promise((resolve) => answer = () => resolve(storedLz4(bytes))),
  };
  const p = s.producer({ codecs: { lz4 }, compression: "lz4", lingerMs: 5, idempotent: false });
  const controller = new AbortController();
  const sent = [0, 1, 2, 3].map((i) =>
    watch(
      s,
      p.send({ topic: "orders", partition: 0, value: `${i}` }, i < 2 ? { signal: controller.signal } : undefined),
    )
  );
  await s.runtime.advance(50);
  controller.abort();
  const restore = withoutPool();
  try {
    answer();
    await turn();
  } finally {
    restore();
  }
  await s.runtime.advance(50);
  answer();
  await s.runtime.advance(50);
  assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "acked 0", "acked 1"]);
  await turn();
  assert.deepEqual(unhandled, []);
  await assertLeavesNothing(s, p);
});

test("no buffer: when a broker refuses records of a batch that can't be written anew, each is told once", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer({ lingerMs: 5 });
  await warmUp(s, p);
  let told: string[] = [];
  for (const value of ["0", "1", "2"]) {
    p.send({ topic: "orders", partition: 0, value }, {
      onDelivery: (error) => void told.push(`${value} ${error?.code}`),
    })
      .catch(() => {});
  }
  const recordErrors = [{ batchIndex: 1, batchIndexErrorMessage: "no" }];
  s.cluster.control(Produce, {
    error: 87,
    transform: (answer) => ({
      ...answer,
      responses: answer.responses.map((topic) => ({
        ...topic,
        partitionResponses: topic.partitionResponses.map((partition) => ({ ...partition, recordErrors })),
      })),
    }),
  }, { times: 1 });
  await s.runtime.advance(6);
  const restore = withoutPool();
  try {
    await s.run(p.flush());
  } finally {
    restore();
  }
  told = told.sort();
  assert.deepEqual(told, ["0 UNEXPECTED", "1 UNEXPECTED", "2 UNEXPECTED"]);
  await assertLeavesNothing(s, p);
});

test("no buffer: a batch that is too large for its topic fails when it can't be divided, and the producer goes on", async () => {
  const s = stage({ topics: { orders: { partitions: 1, config: { "max.message.bytes": 2_000 } } } });
  for (const options of [{}, { idempotent: false }, { gapless: true }]) {
    const p = s.producer({ lingerMs: 5, ...options });
    await warmUp(s, p);
    const sent = Array.from(
      { length: 20 },
      () => watch(s, p.send({ topic: "orders", partition: 0, value: "v".repeat(200) })),
    );
    const other = watch(s, p.send({ topic: "orders", partition: 0, value: "w" }));
    let restore = (): void => {};
    s.cluster.control(Produce, { transform: (answer) => (restore = withoutPool(), answer) }, { times: 1 });
    try {
      await s.runtime.advance(50);
    } finally {
      restore();
    }
    await s.run(p.flush());
    assert.deepEqual(new Set(states([...sent, other])), new Set(["UNEXPECTED"]));
    assert.equal(sent[0]!.error!.persisted, "no");
    assert.equal((await s.run(p.send({ topic: "orders", partition: 0, value: "last" }))).partition, 0);
    await assertLeavesNothing(s, p);
  }
});

test("no buffer: a batch that its broker hangs up on is sent as a whole while it can't be divided", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = s.producer({ lingerMs: 5 });
  await warmUp(s, p);
  let isGenerous = false;
  let hangUps = 0;
  s.cluster.control(Produce, ({ topicData }) => {
    const bytes = topicData[0]!.partitionData[0]!.records!.length;
    if (isGenerous || bytes < 3_000) return undefined;
    hangUps += 1;
    return { drop: "before" };
  });
  const sent = Array.from(
    { length: 20 },
    () => watch(s, p.send({ topic: "orders", partition: 0, value: "v".repeat(200) })),
  );
  await s.runtime.advance(7);
  const restore = withoutPool();
  try {
    await s.runtime.runUntil(() => hangUps > 4);
    isGenerous = true;
    await s.run(p.flush());
  } finally {
    restore();
  }
  assert.deepEqual(states(sent).filter((state) => !state.startsWith("acked")), []);
  await assertLeavesNothing(s, p);
});

test("no buffer: records of a batch that got a buffer for one half only can be taken back", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 5 } });
  const p = s.producer({ lingerMs: 5 });
  await warmUp(s, p);
  let isGenerous = false;
  let hangUps = 0;
  s.cluster.control(Produce, ({ topicData }) => {
    const bytes = topicData[0]!.partitionData[0]!.records!.length;
    if (isGenerous || bytes < 3_000) return undefined;
    hangUps += 1;
    return { drop: "before" };
  });
  const controller = new AbortController();
  const { signal } = controller;
  const sent = Array.from(
    { length: 20 },
    () => watch(s, p.send({ topic: "orders", partition: 0, value: "v".repeat(200) }, { signal })),
  );
  await s.runtime.advance(7);
  const { take } = BufferPool.prototype;
  let taken = 0;
  BufferPool.prototype.take = function (bytes) {
    return taken++ % 2 === 0 ? take.call(this, bytes) : exhausted();
  };
  try {
    await s.runtime.runUntil(() => hangUps > 4);
    assert.ok(taken > 0);
    controller.abort();
    isGenerous = true;
    await s.run(p.flush());
  } finally {
    BufferPool.prototype.take = take;
  }
  assert.deepEqual(
    new Set(sent.map(({ error }) => `${error?.code} ${error?.persisted}`)),
    new Set(["ABORTED possibly"]),
  );
  assert.equal((await valuesIn(s.cluster, "orders")).length, 21);
  await assertLeavesNothing(s, p);
});

const BYTES = 777;

/** Ways for a record to be copied because it has to wait; resolves to what became of it. */
const WAITS: Readonly<Record<string, (s: Stage) => Promise<[Watched<RecordMetadata>, Producer]>>> = {
  "for its topic": async (s) => {
    const p = s.producer();
    const restore = without(BYTES);
    const refused = watch(s, p.send({ topic: "orders", value: "x".repeat(BYTES) }));
    await s.runtime.settle();
    restore();
    return [refused, p];
  },
  "for memory": async (s) => {
    const p = s.producer({ bufferMemory: 2_000, lingerMs: 5 });
    const restore = without(16_384);
    const first = watch(s, p.send({ topic: "orders", value: "f".repeat(1_700) }));
    const refused = watch(s, p.send({ topic: "orders", value: "x".repeat(BYTES) }));
    restore();
    await s.runtime.advance(1_000);
    assert.equal(first.state, "resolved");
    return [refused, p];
  },
  "for memory, and then for its topic": async (s) => {
    const p = s.producer({ bufferMemory: 2_000, lingerMs: 5, unknownTopicRetries: 0, allowAutoTopicCreation: false });
    // Its memory goes to the next in line while an answer of metadata is taken in.
    const unknown = watch(s, p.send({ topic: "nowhere", value: "f".repeat(1_700) }));
    const refused = watch(s, p.send({ topic: "elsewhere", value: "x".repeat(BYTES) }));
    const next = watch(s, p.send({ topic: "orders", value: "next" }));
    const restore = without(BYTES);
    await s.runtime.advance(1_000);
    restore();
    assert.equal(unknown.error?.code, "UNKNOWN_TOPIC_OR_PARTITION");
    await s.runtime.advance(1_000);
    assert.equal(next.state, "resolved");
    return [refused, p];
  },
};

for (const [what, wait] of Object.entries(WAITS)) {
  test(`no buffer: a record that waits ${what} is refused, and the producer goes on`, async (t) => {
    const unhandled = unhandledIn(t);
    const s = stage({ topics: { orders: 1 } });
    const [{ state, error }, p] = await wait(s);
    await turn();
    assert.deepEqual(unhandled, []);
    assert.deepEqual([state, error?.code, error?.persisted], ["rejected", "UNEXPECTED", "no"]);
    assert.match(String(error!.cause), /allocation failed/);
    assert.doesNotMatch(error!.message, /Pass a record/);
    await s.run(p.send({ topic: "orders", value: "last" }));
    await assertLeavesNothing(s, p);
  });
}
