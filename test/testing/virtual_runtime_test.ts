import assert from "node:assert/strict";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

test("virtual runtime: timers fire at their time, in the order of their setting", async () => {
  const runtime = new VirtualRuntime();
  const log: string[] = [];
  const note = (name: string) => () => void log.push(`${name}@${runtime.now()}`);
  runtime.setTimer(note("b"), 20);
  runtime.setTimer(note("a"), 10);
  runtime.setTimer(note("c"), 20);
  runtime.setTimer(note("never"), 15).cancel();
  runtime.setTimer(note("later"), 20.5);
  runtime.setTimer(note("negative"), -5);
  assert.equal(runtime.pendingTimers, 5);
  assert.equal(runtime.nextTimerInMs, 0);
  await runtime.advance(20);
  assert.deepEqual(log, ["negative@0", "a@10", "b@20", "c@20"]);
  assert.equal(runtime.pendingTimers, 1);
  assert.equal(runtime.now(), 20);
  await runtime.advance(1);
  assert.equal(log.at(-1), "later@20.5");
});

test("virtual runtime: a promise chain of any length runs between two events", async () => {
  const runtime = new VirtualRuntime();
  let steps = 0;
  runtime.setTimer(async () => {
    for (; steps < 10_000; steps++) await Promise.resolve();
  }, 1);
  let seen = -1;
  runtime.setTimer(() => seen = steps, 1);
  await runtime.advance(1);
  assert.equal(seen, 10_000);
});

test("virtual runtime: deferred calls run in a turn of their own, at the same time", async () => {
  const runtime = new VirtualRuntime();
  const log: string[] = [];
  runtime.defer(() => {
    log.push("first");
    runtime.defer(() => log.push(`third@${runtime.now()}`));
    queueMicrotask(() => log.push("microtask"));
  });
  runtime.defer(() => log.push("second"));
  assert.deepEqual(log, []);
  assert.equal(runtime.pendingDeferred, 2);
  await runtime.settle();
  assert.deepEqual(log, ["first", "second", "microtask", "third@0"]);
  assert.equal(runtime.pendingDeferred, 0);
});

test("virtual runtime: the dates go with the time", async () => {
  const runtime = new VirtualRuntime({ wallStartMs: 1000 });
  await runtime.advance(2.5);
  assert.equal(runtime.wallNow(), 1002);
});

test("virtual runtime: runs until a promise has settled, and no longer", async () => {
  const runtime = new VirtualRuntime();
  const sleep = (ms: number) => new Promise<number>((resolve) => void runtime.setTimer(() => resolve(ms), ms));
  assert.equal(await runtime.runUntil(sleep(300)), 300);
  assert.equal(runtime.now(), 300);
  await assert.rejects(runtime.runUntil(sleep(5).then(() => Promise.reject(new TypeError("no")))), TypeError);
  await assert.rejects(runtime.runUntil(sleep(100), 99), { name: "TimeoutError", message: /99 ms have passed/ });
});

test("virtual runtime: runs until a predicate holds", async () => {
  const runtime = new VirtualRuntime();
  let count = 0;
  const tick = (): void => void runtime.setTimer(() => ++count < 100 && tick(), 10);
  tick();
  await runtime.runUntil(() => count === 7);
  assert.deepEqual([count, runtime.now()], [7, 70]);
});

test("virtual runtime: a wait that nothing can end is an error, not a hang", async () => {
  const runtime = new VirtualRuntime();
  await assert.rejects(runtime.runUntil(new Promise(() => {})), {
    name: "TimeoutError",
    message: /nothing is left that could happen/,
  });
});

test("virtual runtime: a loop that never waits is an error, not a hang", async () => {
  const runtime = new VirtualRuntime();
  let stopped = false;
  const again = (): void => void (stopped || runtime.setTimer(again, 0));
  again();
  await assert.rejects(runtime.advance(1), { name: "TimeoutError", message: /stands still/ });
  stopped = true;
});

test("virtual runtime: what a callback throws is thrown to who drives the time", async () => {
  const runtime = new VirtualRuntime();
  runtime.setTimer(() => {
    throw new RangeError("in a timer");
  }, 5);
  await assert.rejects(runtime.advance(10), RangeError);
  await runtime.advance(10);
});

test("virtual runtime: two that drive the time at once are told so", async () => {
  const runtime = new VirtualRuntime();
  const first = runtime.advance(10);
  await assert.rejects(runtime.advance(10), { name: "ConfigError" });
  await first;
});

test("virtual runtime: the clock waits for what happens outside", async () => {
  const runtime = new VirtualRuntime();
  const log: string[] = [];
  // A promise of the real world takes turns of the real event loop.
  const real = (async () => {
    for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => runtimeTurn(resolve));
    log.push("outside");
  })();
  runtime.setTimer(() => log.push("timer"), 1);
  void runtime.outside(real);
  await runtime.advance(1);
  assert.deepEqual(log, ["outside", "timer"]);
});

test("virtual runtime: the same seed gives the same numbers, on every runtime", () => {
  const numbers = (seed: number): number[] => {
    const runtime = new VirtualRuntime({ seed });
    return [runtime.random(), runtime.random(), runtime.random()];
  };
  assert.deepEqual(numbers(7), numbers(7));
  assert.notDeepEqual(numbers(7), numbers(8));
  assert.deepEqual(numbers(1).map((number) => Math.floor(number * 1e6)), SEED_1);
  const runtime = new VirtualRuntime({ seed: 3 });
  let sum = 0;
  for (let i = 0; i < 10_000; i++) sum += runtime.random();
  assert.ok(Math.abs(sum / 10_000 - 0.5) < 0.02);
});

test("virtual runtime: two runs with the same seed are the same, event by event", async () => {
  const run = async (): Promise<string[]> => {
    const runtime = new VirtualRuntime({ seed: 42 });
    const log: string[] = [];
    const spawn = (name: string, depth: number): void => {
      runtime.setTimer(async () => {
        log.push(`${name}@${runtime.now()}`);
        await Promise.resolve();
        if (depth > 0) { for (const child of ["l", "r"]) spawn(name + child, depth - 1); }
        runtime.defer(() => log.push(`${name} deferred`));
      }, Math.floor(runtime.random() * 50));
    };
    spawn("x", 6);
    await runtime.advance(1000);
    return log;
  };
  const first = await run();
  assert.equal(first.length, 2 * 127);
  assert.deepEqual(first, await run());
});

test("virtual runtime: without sockets every connection is refused", async () => {
  const events = { onData: () => {}, onClose: () => {} };
  await assert.rejects(new VirtualRuntime().sockets.connect({ host: "h", port: 1 }, events), {
    name: "ConnectionError",
    message: /h:1/,
  });
});

const SEED_1 = [367875, 81613, 820535];

function runtimeTurn(callback: () => void): void {
  setTimeout(callback, 0);
}

test("virtual runtime: timers that were cancelled in great numbers don't disturb the order of the others", async () => {
  const runtime = new VirtualRuntime();
  const fired: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const atMs = (i * 7919) % 1000;
    const timer = runtime.setTimer(() => void fired.push(atMs), atMs);
    if (i % 10 !== 0) timer.cancel();
  }
  assert.equal(runtime.pendingTimers, 200);
  await runtime.advance(1000);
  assert.deepEqual(fired, [...fired].sort((a, b) => a - b));
  assert.equal(fired.length, 200);
});
