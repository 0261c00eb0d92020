import assert from "node:assert/strict";
import { Producer } from "../../src/producer/producer.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { runtimeName, test, type TestContext } from "../harness.ts";

type Fakes = Record<string, unknown>;

/** Puts timers and a clock that stand still in the place of the real ones, as tests with fake timers do. */
function fakeTimers(t: TestContext): { scheduled: () => number } {
  const globals = globalThis as unknown as Fakes;
  const names = ["setTimeout", "clearTimeout", "setInterval", "setImmediate", "clearImmediate", "queueMicrotask"];
  let scheduled = 0;
  const wasNow = performance.now;
  const originals = new Map(names.map((name) => [name, globals[name]]));
  const wasDate = globalThis.Date;
  t.after(() => {
    for (const [name, original] of originals) globals[name] = original;
    globals["Date"] = wasDate;
    performance.now = wasNow;
  });
  for (const name of names) {
    // What clears is left alone: the test's own deadline is a real timer.
    if (originals.get(name) === undefined || name.startsWith("clear")) continue;
    globals[name] = (): number => {
      scheduled++;
      return 1;
    };
  }
  performance.now = () => 1_000;
  globals["Date"] = class extends wasDate {
    constructor(...args: []) {
      super(...(args.length === 0 ? [Date.UTC(2001, 1, 3)] as unknown as [] : args));
    }
    static override now(): number {
      return wasDate.UTC(2001, 1, 3);
    }
  };
  return { scheduled: () => scheduled };
}

test("fake timers: a producer sends, retries, flushes and closes while the test's timers stand still", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const fakes = fakeTimers(t);
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets, lingerMs: 5 });
  const sent = await producer.send({ topic: "orders", value: "v" });
  assert.equal(sent.offset, 0n);
  cluster.stopBroker(1);
  const waiting = producer.send({ topic: "orders", value: "w" });
  cluster.startBroker(1);
  assert.equal((await waiting).offset, 1n);
  await producer.flush();
  await producer.close({ timeoutMs: 1_000 });
  assert.equal(fakes.scheduled(), 0, "calls of the fake timers");
});

test("fake timers: the date that a test has set stands in the records", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  fakeTimers(t);
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  assert.equal((await producer.send({ topic: "orders", value: "v" })).timestamp, Date.UTC(2001, 1, 3));
  await producer.close();
});

test("fake timers: sockets of the runtime connect, send and close all the same", { needs: "listen" }, async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const server = await cluster.listen();
  t.after(() => server.close());
  const fakes = fakeTimers(t);
  // Bun's own net module, in which the test's server runs, takes the global functions of the moment.
  const isOthers = runtimeName === "bun" || runtimeName === "deno";
  const producer = new Producer({ brokers: server.brokers });
  assert.equal((await producer.send({ topic: "orders", value: "v" })).offset, 0n);
  await producer.close();
  if (!isOthers) assert.equal(fakes.scheduled(), 0, "calls of the fake timers");
});
