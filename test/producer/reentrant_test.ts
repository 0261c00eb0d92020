/** Callers that call the producer, or abort its signals, out of its own callbacks. */
import assert from "node:assert/strict";
import type { Codec } from "../../src/codec/codec.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import type { DeliveryCallback, SendOptions } from "../../src/producer/record/record.ts";
import type { Producer } from "../../src/producer/producer.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, storedLz4, valuesIn, warmUp, watch, type Watched } from "./wire.ts";

test("callbacks that abort: a record of the same batch is taken back once, and no flush ends for it", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer({ lingerMs: 10_000 });
  await warmUp(s, p, [0, 1]);
  const [first, second] = [new AbortController(), new AbortController()];
  const aborted = [
    watch(
      s,
      p.send({ topic: "orders", value: "1".repeat(1_000), partition: 0 }, {
        signal: first.signal,
        onError: () => second.abort(),
      }),
    ),
    watch(s, p.send({ topic: "orders", value: "2".repeat(1_000), partition: 0 }, { signal: second.signal })),
  ];
  const other = watch(s, p.send({ topic: "orders", value: "3", partition: 1 }));
  const flush = watch(s, p.flush());
  first.abort();
  await s.runtime.settle();
  assert.deepEqual([flush.state, other.state], ["pending", "pending"]);
  await s.runtime.advance(100);
  assert.deepEqual([flush.state, other.state], ["resolved", "resolved"]);
  assert.deepEqual(aborted.map(({ error }) => `${error?.code} ${error?.persisted}`), ["ABORTED no", "ABORTED no"]);
  await assertLeavesNothing(s, p);
});

test("callbacks that abort: what expires together is told once, as what it is", async () => {
  for (const batchSize of [500, 16_384]) {
    const s = stage({ network: { latencyMs: 5 } });
    const p = s.producer({ batchSize, deliveryTimeoutMs: 1_000, requestTimeoutMs: 900, maxInFlight: 1 });
    await warmUp(s, p);
    s.cluster.network.blackHole(s.cluster.bootstrap);
    const inFlight = watch(s, p.send({ topic: "orders", value: "1", partition: 0 }));
    await s.runtime.advance(10);
    const controller = new AbortController();
    const onError = (): void => controller.abort();
    const sent = [
      inFlight,
      watch(s, p.send({ topic: "orders", value: "2".repeat(400), partition: 0 }, { onError })),
      watch(s, p.send({ topic: "orders", value: "3".repeat(400), partition: 0 }, { signal: controller.signal })),
    ];
    await s.runtime.advance(3_000);
    const metrics = p.metrics();
    assert.deepEqual([metrics.records_pending, metrics.errors], [0, 3]);
    assert.equal(metrics["buffer-available-bytes"], metrics["buffer-total-bytes"]);
    assert.deepEqual(sent.map(({ error }) => error?.persisted), ["no", "no", "no"]);
    s.cluster.network.heal(s.cluster.bootstrap);
    await s.run(p.close());
    // The request in flight was never answered, and its connection lingers.
    await s.runtime.advance(3_000);
    assert.equal(s.runtime.pendingTimers, 0);
  }
});

test("callbacks that flush: the flush waits for those who wait behind the record that was told", async () => {
  const s = stage({ network: { latencyMs: 50 } });
  const p = s.producer();
  const controller = new AbortController();
  const flushes: ReturnType<typeof watch<void>>[] = [];
  const onError = (): void => void flushes.push(watch(s, p.flush()));
  const first = watch(s, p.send({ topic: "orders", value: "1" }, { signal: controller.signal, onError }));
  const second = watch(s, p.send({ topic: "orders", value: "2" }));
  await s.runtime.advance(10);
  controller.abort();
  await s.runtime.settle();
  assert.deepEqual([first.state, flushes[0]?.state, second.state], ["rejected", "pending", "pending"]);
  await s.runtime.advance(1_000);
  assert.deepEqual([flushes[0]?.state, second.state], ["resolved", "resolved"]);
  await assertLeavesNothing(s, p);
});

test("sendBatch: an outcome that was told by an abort stays what it is when the broker answers", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  await warmUp(s, p);
  const controller = new AbortController();
  const records = ["a", "b"].map((value) => ({ topic: "orders", partition: 0, value }));
  const delivery = p.sendBatch(records, { signal: controller.signal });
  await s.runtime.advance(2);
  controller.abort();
  const results = await s.run(Promise.resolve(delivery));
  await s.runtime.advance(1_000);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(await s.run(Promise.resolve(delivery)), results);
  const settled = await s.run(Promise.allSettled(delivery.promises));
  assert.deepEqual(settled.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal((await s.failure(delivery.all())).code, "ABORTED");
  await assertLeavesNothing(s, p);
});

test("sendBatch: a list that callbacks change is sent as it was", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  const values = [5 as unknown as string, "b", "c"];
  const queue = values.map((value) => ({ topic: "orders", partition: 0, value }));
  const results = await s.run(Promise.resolve(p.sendBatch(queue, { onDelivery: () => void queue.shift() })));
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"]);
  await assertLeavesNothing(s, p);
});

test("null in place of options or of a callback is none", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  const record = { topic: "orders", partition: 0, value: "v" };
  assert.equal(p.produce(record, null as unknown as DeliveryCallback), true);
  assert.equal(p.produce({ ...record, topic: "" }, null as unknown as DeliveryCallback), true);
  const none = null as unknown as SendOptions;
  const [one] = await s.run(Promise.resolve(p.sendBatch([record], none)));
  assert.equal(one?.status, "fulfilled");
  assert.equal((await s.run(p.send(record, none))).offset, 2n);
  await assertLeavesNothing(s, p);
});

test("a partitioner that aborts: the record isn't sent, also when it waited for metadata", async () => {
  for (const isKnown of [false, true]) {
    const s = stage({ network: { latencyMs: 5 } });
    const controller = new AbortController();
    const partitioner = (): number => {
      controller.abort();
      return 0;
    };
    const p = s.producer({ partitioner });
    if (isKnown) await s.run(p.partitionsFor("orders"));
    const sent = watch(s, p.send({ topic: "orders", value: "v" }, { signal: controller.signal }));
    await s.runtime.advance(1_000);
    assert.equal(`${sent.error?.code} ${sent.error?.persisted}`, "ABORTED no");
    assert.equal((await s.cluster.records("orders")).length, 0);
    await assertLeavesNothing(s, p);
  }
});

test("headers that throw refuse their record alone, with and without interceptors", async () => {
  function* broken(): Generator<[string, string]> {
    yield ["a", "1"];
    throw new Error("the source broke");
  }
  for (const interceptors of [[], [{}], [{}, { onSend: <R>(record: R): R => record }]]) {
    const s = stage({ network: { latencyMs: 5 } });
    const p = s.producer({ interceptors });
    const record = { topic: "orders", partition: 0, value: "v" };
    const error = await s.failure(p.send({ ...record, headers: broken() }));
    assert.match(String(error.cause), /the source broke/);
    assert.equal(error.persisted, "no");
    assert.equal(p.produce({ ...record, headers: broken() }), true);
    const results = await s.run(Promise.resolve(p.sendBatch([record, { ...record, headers: broken() }, record])));
    assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    await assertLeavesNothing(s, p);
  }
});

/** Why a send may be refused within the call, and a send that is. */
const REFUSED: Readonly<Record<string, (p: Producer, onError: () => void) => Promise<unknown>>> = {
  "a bad record": (p, onError) => p.send({ topic: "orders", value: 1 as never }, { onError }),
  "a bad partition": (p, onError) => p.send({ topic: "orders", value: "x", partition: -1 }, { onError }),
  "a record that is too large": (p, onError) => p.send({ topic: "orders", value: "x".repeat(200_000) }, { onError }),
  "a bad option": (p, onError) => p.send({ topic: "orders", value: "x" }, { onError, signal: 1 as never }),
  "a signal that was aborted before": (p, onError) =>
    p.send({ topic: "orders", value: "x" }, { onError, signal: AbortSignal.abort() }),
  "a signal that is aborted at once": (p, onError) => {
    const controller = new AbortController();
    const sent = p.send({ topic: "orders", value: "x" }, { onError, signal: controller.signal });
    controller.abort();
    return sent;
  },
  "a bad record of many": (p, onError) =>
    Promise.resolve(p.sendBatch([{ topic: "orders", value: 1 as never }], { onError })),
  "a bad record without a promise": (p, onError) => {
    p.produce({ topic: "orders", value: 1 as never }, onError);
    return Promise.resolve();
  },
};

for (const [what, send] of Object.entries(REFUSED)) {
  test(`callbacks that send again: ${what} is refused in a turn of its own from the second time on`, async () => {
    const s = stage({ network: { latencyMs: 5 } });
    const p = s.producer({ maxRequestSize: 100_000 });
    await warmUp(s, p);
    await againAndAgain(s, (onError) => send(p, onError));
    await assertLeavesNothing(s, p);
  });
}

test("callbacks that send again: a closed producer refuses in a turn of its own from the second time on", async () => {
  const s = stage();
  const p = s.producer();
  await s.run(p.close());
  await againAndAgain(s, (onError) => p.send({ topic: "orders", value: "x" }, { onError }));
  assert.equal(s.runtime.pendingTimers, 0);
});

test("callbacks that send again: a full buffer refuses in a turn of its own from the second time on", async () => {
  const s = stage();
  const p = s.producer({ bufferMemory: 32_768, deliveryTimeoutMs: 60_000 });
  await warmUp(s, p);
  s.cluster.network.blackHole(s.cluster.bootstrap);
  const value = "x".repeat(10_000);
  const waiting: Promise<unknown>[] = [];
  const send = (onError: () => void): Promise<unknown> => p.send({ topic: "orders", value }, { onError });
  // As many wait as may while nothing comes free.
  let isFull = false;
  while (!isFull) {
    waiting.push(send(() => isFull = true));
    if (waiting.length % 1_000 === 0) await s.runtime.advance(100);
    if (waiting.length > 10_000) throw new Error("It takes any number of records.");
  }
  await againAndAgain(s, send);
  await Promise.allSettled([s.runtime.advance(200_000), ...waiting]);
  await s.run(p.close());
});

/** Sends again in each `onError`: one refusal is told within the call, and one more in each turn. */
async function againAndAgain(s: Stage, send: (onError: () => void) => Promise<unknown>): Promise<void> {
  let told = 0;
  const outcomes: Promise<unknown>[] = [];
  const again = (): void => {
    told += 1;
    if (told < 200) outcomes.push(send(again));
  };
  outcomes.push(send(again));
  assert.equal(told, 1);
  await s.runtime.settle();
  assert.equal(told, 200);
  await Promise.allSettled(outcomes);
}

test("callbacks that send again: a flush waits for refusals that wait for their turn", async () => {
  const s = stage();
  const p = s.producer();
  await s.run(p.connect());
  const order: string[] = [];
  const bad = { topic: "orders", value: 1 as never };
  await p.send(bad, {
    onError: () => {
      order.push("first");
      void p.send(bad, { onError: () => order.push("second") });
      void p.flush().then(() => order.push("flush"));
      void p.send(bad, { onError: () => order.push("third") });
    },
  }).catch(() => {});
  assert.deepEqual(order, ["first"]);
  await s.runtime.settle();
  assert.deepEqual(order, ["first", "second", "third", "flush"]);
  await assertLeavesNothing(s, p);
});

/** Closes a producer that can't deliver, and tells what its interceptor has heard. */
async function heardAtClose(send: (producer: SimpleProducer) => void): Promise<string[]> {
  const s = stage();
  const order: string[] = [];
  const p = s.producer({
    interceptors: [{
      onAcknowledgement: () => void order.push("outcome"),
      close: () => void order.push("interceptor closes"),
    }],
  });
  s.cluster.stopBroker(1);
  send(p);
  await s.failure(p.close({ timeoutMs: 100 }));
  return order;
}

type SimpleProducer = ReturnType<ReturnType<typeof stage>["producer"]>;

test("callbacks that send again: close tells what a callback has sent in vain before the interceptors end", async () => {
  const record = { topic: "orders", value: "x" };
  const order = await heardAtClose((p) => {
    void p.send(record, { onError: () => void p.send(record, { onError: () => {} }) });
  });
  assert.deepEqual(order, ["outcome", "outcome", "interceptor closes"]);
});

test("callbacks that send again: interceptors hear before they end also of what those who waited have sent in vain", async () => {
  const record = { topic: "orders", value: "x" };
  const order = await heardAtClose((p) => {
    const last = (): void => void p.send(record, { onError: () => {} });
    // The second is sent once the promise of the first has told, and its callback sends the third.
    p.send(record).catch(() => p.send(record, { onError: last })).catch(() => {});
  });
  assert.deepEqual(order, ["outcome", "outcome", "outcome", "interceptor closes"]);
});

test("callbacks that abort: a flush that waits for a record waits for what its callback is told", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  for (const isKnown of [false, true]) {
    const p = s.producer({ lingerMs: 10_000 });
    if (isKnown) await warmUp(s, p);
    const order: string[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    void p.send({ topic: "orders", value: "taken back" }, { signal, onError: () => order.push("told") });
    void p.flush().then(() => order.push("flush"));
    await p.send({ topic: "orders", value: 1 as never }, { onError: () => controller.abort() }).catch(() => {});
    assert.deepEqual(order, []);
    await s.runtime.settle();
    assert.deepEqual(order, ["told", "flush"]);
    await s.runtime.advance(100);
    await assertLeavesNothing(s, p);
  }
});

/** A codec that answers at once, and calls back meanwhile. */
function callingCodec(meanwhile: () => void): Codec {
  return {
    name: "lz4",
    id: 3,
    decompress: (bytes) => bytes,
    compress: (bytes) => {
      // First, so that it still reads the batch afterwards.
      meanwhile();
      return storedLz4(bytes);
    },
  };
}

test("codecs that call back: records that are taken back while their batch is compressed are not in it", async () => {
  // Less than half of a batch, more than half, after which it is written anew, and all of it.
  for (const taken of [1, 3, 4]) {
    const s = stage({ network: { latencyMs: 5 } });
    let meanwhile = (): void => {};
    const lz4 = callingCodec(() => meanwhile());
    const p = s.producer({ codecs: { lz4 }, compression: "lz4", lingerMs: 5 });
    await warmUp(s, p);
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    meanwhile = () => {
      meanwhile = () => {};
      for (const controller of controllers.slice(0, taken)) controller.abort();
    };
    const sent = controllers.map(({ signal }, i) =>
      watch(s, p.send({ topic: "orders", partition: 0, value: `${i}` }, { signal }))
    );
    await s.runtime.advance(100);
    const states = sent.map(({ state, error }) => error?.code ?? state);
    assert.deepEqual(states, controllers.map((_, i) => i < taken ? "ABORTED" : "resolved"), `${taken} of 4`);
    const left = ["0", "1", "2", "3"].slice(taken);
    assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", ...left]);
    await assertLeavesNothing(s, p);
  }
});

test("codecs that call back: what is sent, flushed or closed while a batch is compressed goes its way", async () => {
  for (const what of ["sends", "flushes", "closes", "closes at once"]) {
    const s = stage({ network: { latencyMs: 5 } });
    let meanwhile = (): void => {};
    const lz4 = callingCodec(() => meanwhile());
    const p = s.producer({ codecs: { lz4 }, compression: "lz4", lingerMs: 0, batchSize: 100 });
    await warmUp(s, p);
    const sent: Watched<RecordMetadata>[] = [];
    const send = (value: string): void => void sent.push(watch(s, p.send({ topic: "orders", partition: 0, value })));
    let calls = 0;
    meanwhile = () => {
      if (++calls > 3) return;
      send(`within ${calls}`);
      if (what === "flushes") void p.flush();
      if (what === "closes") void p.close();
      if (what === "closes at once") void p.close({ timeoutMs: 0 }).catch(() => {});
    };
    for (let i = 0; i < 4; i++) send(`${i}`.repeat(60));
    await s.runtime.advance(1_000);
    assert.ok(sent.every(({ state }) => state !== "pending"), `${what}: ${sent.map(({ state }) => state)}`);
    if (!what.startsWith("closes")) {
      assert.ok(sent.every(({ state }) => state === "resolved"), what);
      assert.deepEqual((await valuesIn(s.cluster, "orders")).length, 1 + 4 + 3);
    }
    // Closing tells once more how it has ended.
    await assertLeavesNothing(s, { close: () => p.close().catch(() => {}), metrics: () => p.metrics() });
  }
});

test("refused in a callback: however much it is, it waits for one turn", async () => {
  const turns: number[] = [];
  for (const count of [2, 20]) {
    const s = stage();
    const p = s.producer();
    await s.run(p.close());
    const defer = s.runtime.defer.bind(s.runtime);
    let deferred = 0;
    s.runtime.defer = (callback) => {
      deferred += 1;
      defer(callback);
    };
    let told = 0;
    p.produce({ topic: "orders", value: "first" }, () => {
      for (let i = 0; i < count; i++) p.produce({ topic: "orders", value: "again" }, () => void (told += 1));
      assert.equal(told, 0);
    });
    await s.runtime.settle();
    assert.equal(told, count);
    turns.push(deferred);
  }
  assert.deepEqual(turns, [1, 1]);
});
