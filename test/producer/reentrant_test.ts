/** Callers that call the producer, or abort its signals, out of its own callbacks. */
import assert from "node:assert/strict";
import type { DeliveryCallback, SendOptions } from "../../src/producer/record/record.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, warmUp, watch } from "./wire.ts";

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
