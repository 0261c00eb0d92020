import assert from "node:assert/strict";
import { DialPace, Pace } from "../../src/cluster/pace.ts";
import { Producer } from "../../src/producer/producer.ts";
import { Metadata } from "../../src/protocol/messages/mod.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { EmbeddedCluster, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { watch } from "../producer/wire.ts";
import { impostor, stage } from "../stage.ts";

test("pace: never more turns in any second than allowed, in the order of asking; urgent ones count and don't wait", () => {
  const pace = new Pace(3);
  assert.deepEqual(Array.from({ length: 7 }, () => pace.take(0)), [0, 0, 0, 1_000, 1_000, 1_000, 2_000]);
  const urgent = new Pace(2);
  const turns = [urgent.take(0, true), urgent.take(0, true), urgent.take(0, true), urgent.take(0)];
  assert.deepEqual(turns, [0, 0, 0, 1_000]);
});

test("pace: a turn that is given back is the next one's", () => {
  const pace = new Pace(1);
  assert.equal(pace.isFree(0), true);
  assert.deepEqual([pace.take(0), pace.take(0), pace.take(0)], [0, 1_000, 2_000]);
  assert.equal(pace.isFree(0), false);
  pace.giveBack(2_000);
  pace.giveBack(1_000);
  assert.equal(pace.take(0), 1_000);
  assert.equal(pace.isFree(2_000), true);
});

test("pace: the first dial of an address is free, later ones share the turns, and after a while it is new again", async () => {
  const runtime = new VirtualRuntime();
  const pace = new DialPace(runtime);
  const { signal } = new AbortController();
  const startOf = async (name: string): Promise<number> => {
    const turn = pace.turn(name, signal);
    if (turn !== undefined) await runtime.runUntil(turn);
    return runtime.now();
  };
  for (let i = 0; i < 40; i++) assert.equal(pace.turn(`broker-${i}:9092`, signal), undefined);
  assert.equal(await startOf("broker-7:9092"), 1_000);
  await runtime.advance(6_100);
  for (let i = 0; i < 15; i++) assert.equal(pace.turn("broker-7:9092", signal), undefined);
  assert.equal(await startOf("broker-7:9092"), 8_100);
});

test("pace: a dial that is called off while it waits for its turn gives the turn back", async () => {
  const runtime = new VirtualRuntime();
  const pace = new DialPace(runtime);
  const { signal } = new AbortController();
  for (let i = 0; i < 15; i++) pace.turn("broker:9092", signal);
  const calledOff = new AbortController();
  const waiting = Array.from({ length: 60 }, () => pace.turn("broker:9092", calledOff.signal));
  calledOff.abort();
  await Promise.all(waiting);
  await runtime.runUntil(pace.turn("broker:9092", signal)!);
  assert.equal(runtime.now(), 1_000);
});

test(
  "pace: a first dial waits for no timer, though the clock goes on while it is read",
  { timeoutMs: 5_000 },
  async () => {
    const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
    const real = selectRuntime();
    let nowMs = 0;
    // Timers never come: what waits for one waits for ever.
    const runtime: Runtime = {
      ...real,
      sockets: cluster.sockets,
      now: () => nowMs += 0.01,
      setTimer: () => ({ cancel: () => {} }),
    };
    const producer = new Producer({ brokers: cluster.bootstrap }, runtime);
    assert.equal((await producer.send({ topic: "orders", value: "v" })).offset, 0n);
    await producer.close();
  },
);

test("pace: after ten seconds of answers that are no Kafka's the first record is delivered at once", async () => {
  for (const kind of ["http", "ssh", "garbage"] as const) {
    const s = stage({ brokers: 16 });
    let over = false;
    const visitors = s.cluster.brokers.map((broker) => {
      const { host, port } = broker.endpoint("memory");
      s.cluster.stopBroker(broker.id);
      const sane = (socket: Parameters<typeof broker.accept>[0]) => broker.accept(socket, "memory");
      return impostor(s.cluster, `${host}:${port}`, kind, () => over ? sane : undefined);
    });
    const p = s.producer();
    const sent = watch(s, p.send({ topic: "orders", value: "v" }));
    await s.runtime.advance(10_000);
    assert.ok(visitors.reduce((sum, { visitors }) => sum + visitors, 0) > 20, `${kind}: it goes on trying`);
    s.cluster.clearRequests();
    over = true;
    for (const broker of s.cluster.brokers) {
      const { host, port } = broker.endpoint("memory");
      // Started without a listener of its own: the one that is there leads to it by now.
      broker.setEndpoint("memory", { host: `nowhere-${broker.id}.test`, port });
      s.cluster.startBroker(broker.id);
      broker.setEndpoint("memory", { host, port });
    }
    const startMs = s.runtime.now();
    await s.runtime.runUntil(() => sent.state !== "pending", 30_000);
    assert.equal(sent.state, "resolved", `${kind}: ${sent.error?.message}`);
    // The backoff of a broker that was down for long is a second, ±20 %.
    assert.ok(s.runtime.now() - startMs <= 3_000, `${kind}: delivered after ${s.runtime.now() - startMs} ms`);
    assert.ok(s.cluster.requestsOf(Metadata).length <= 4 * 3, kind);
    await s.run(p.close());
  }
});

test("pace: sixty brokers that are down at once are waited for behind one listener of each signal", async () => {
  const before = AbortSignal.prototype.addEventListener;
  const counts = new Map<AbortSignal, number>();
  let most = 0;
  AbortSignal.prototype.addEventListener = function (this: AbortSignal, ...args: Parameters<typeof before>): void {
    counts.set(this, (counts.get(this) ?? 0) + 1);
    most = Math.max(most, counts.get(this)!);
    before.apply(this, args);
  };
  const remove = AbortSignal.prototype.removeEventListener;
  AbortSignal.prototype.removeEventListener = function (this: AbortSignal, ...args: Parameters<typeof remove>): void {
    counts.set(this, (counts.get(this) ?? 0) - 1);
    remove.apply(this, args);
  };
  try {
    const s = stage({ brokers: 60, topics: { orders: { partitions: 60, replicationFactor: 1 } } });
    const p = s.producer();
    const sendAll = (): Promise<unknown>[] =>
      Array.from({ length: 60 }, (_, partition) => p.send({ topic: "orders", partition, value: "v" }));
    await s.run(Promise.all(sendAll()));
    s.cluster.control(Metadata, { close: true });
    for (const broker of s.cluster.brokers) broker.disconnectAll();
    const waiting = Promise.all(sendAll());
    const { signal } = new AbortController();
    const flushes = Promise.all(Array.from({ length: 12 }, () => p.flush({ signal })));
    await s.runtime.advance(3_000);
    s.cluster.controls.clear();
    await s.run(Promise.all([waiting, flushes]));
    await s.run(p.close());
  } finally {
    AbortSignal.prototype.addEventListener = before;
    AbortSignal.prototype.removeEventListener = remove;
  }
  assert.ok(most <= 10, `${most} listeners on a signal`);
});
