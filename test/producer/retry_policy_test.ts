import assert from "node:assert/strict";
import {
  AuthenticationError,
  BrokerError,
  DeliveryTimeoutError,
  KafkaError,
  type Persisted,
  ProducerFencedError,
  type RetryContext,
  RetryPolicy,
  type RetryPolicyOptions,
  TimeoutError,
} from "../../mod.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { unhandledIn } from "./unhandled.ts";

const again = (persisted: Persisted = "no"): KafkaError => new TimeoutError("Not yet.", { persisted });

/** Runs under a policy in virtual time; tells when each attempt was made, and how it ended. */
async function attempts(
  options: RetryPolicyOptions,
  attempt: (context: RetryContext, runtime: VirtualRuntime) => unknown,
  signal?: AbortSignal,
): Promise<{ atMs: number[]; endMs: number; value?: unknown; error?: KafkaError; timers: number }> {
  const runtime = new VirtualRuntime({ seed: 5 });
  const atMs: number[] = [];
  const run = new RetryPolicy(options, runtime).run((context) => {
    atMs.push(runtime.now());
    return attempt(context, runtime);
  }, { signal });
  const outcome = await runtime.runUntil(run.then((value) => ({ value }), (error) => ({ error })));
  return { atMs, endMs: runtime.now(), ...outcome, timers: runtime.pendingTimers };
}

test("retry policy: n retries are n + 1 attempts, the last error is thrown, and a success ends it", async () => {
  const errors = [again(), again(), again()];
  const failed = await attempts({ retries: 2 }, ({ attempt }) => {
    throw errors[attempt - 1];
  });
  assert.equal(failed.atMs.length, 3);
  assert.equal(failed.error, errors[2]);
  const none = await attempts({ retries: 0 }, () => Promise.reject(again()));
  assert.equal(none.atMs.length, 1);
  const well = await attempts({ retries: 5 }, ({ attempt, lastError }) => {
    if (attempt < 4) throw again();
    return `${attempt} ${(lastError as KafkaError).code}`;
  });
  assert.equal(well.value, "4 TIMEOUT");
  assert.equal(well.timers, 0);
});

test("retry policy: pauses double up to their cap, each within 20 %", async () => {
  const { atMs } = await attempts({ retries: 8, backoffMs: 100, backoffMaxMs: 1_000 }, () => {
    throw again();
  });
  const pauses = atMs.slice(1).map((ms, i) => ms - atMs[i]!);
  assert.equal(pauses.length, 8);
  for (const [i, center] of [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000].entries()) {
    assert.ok(pauses[i]! >= 0.8 * center && pauses[i]! <= Math.min(1_000, 1.2 * center), pauses.join());
  }
  assert.ok(new Set(pauses).size > 4, "jitter");
});

test("retry policy: what can't succeed later is thrown at once: fatal, abort required, not retriable, not ours", async () => {
  const final: unknown[] = [
    new AuthenticationError("No."),
    new ProducerFencedError("No."),
    new KafkaError("No.", { retriable: true, fatal: true }),
    new KafkaError("No.", { retriable: true, requiresAbort: true }),
    new BrokerError("No.", { code: "INVALID_RECORD", errorCode: 87 }),
    new TypeError("No."),
    "no",
    undefined,
  ];
  for (const error of final) {
    const { atMs, error: thrown } = await attempts({}, () => {
      throw error;
    });
    assert.deepEqual([atMs.length, thrown], [1, error]);
  }
});

test("retry policy: what may be in the log is tried again only where duplicates are allowed, what is there never", async () => {
  const counts: number[] = [];
  for (const allowDuplicates of [false, true]) {
    for (const persisted of ["no", "possibly", "yes"] as const) {
      const { atMs } = await attempts({ retries: 2, allowDuplicates }, () => Promise.reject(again(persisted)));
      counts.push(atMs.length);
    }
  }
  assert.deepEqual(counts, [3, 1, 1, 3, 3, 1]);
});

test("retry policy: no pause begins that the time doesn't allow, and an attempt that outlasts it is cut off", async () => {
  const paused = await attempts({ timeoutMs: 1_000, backoffMs: 300, backoffMaxMs: 300 }, () => {
    throw again();
  });
  assert.equal(paused.error!.message, "Not yet.");
  assert.ok(paused.atMs.length >= 3 && paused.atMs.length <= 5, paused.atMs.join());
  assert.equal(paused.endMs, paused.atMs.at(-1), "it gives up at once");

  const deaf = await attempts({ timeoutMs: 1_000, backoffMs: 100 }, ({ attempt }) => {
    if (attempt === 1) throw again();
    return new Promise(() => {});
  });
  assert.equal(deaf.endMs, 1_000);
  assert.deepEqual([deaf.error!.name, deaf.error!.persisted], ["TimeoutError", "possibly"]);
  assert.equal((deaf.error!.cause as Error).message, "Not yet.");

  const heeding = await attempts({ timeoutMs: 1_000 }, ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new DeliveryTimeoutError("Never sent.", { persisted: "no" })));
    }));
  assert.deepEqual([heeding.endMs, heeding.error!.message, heeding.error!.persisted], [1_000, "Never sent.", "no"]);
  assert.deepEqual([paused.timers, deaf.timers, heeding.timers], [0, 0, 0]);
});

test("retry policy: the caller's signal ends an attempt, a pause, and a call that comes too late", async () => {
  for (const during of ["attempt", "pause", "before"]) {
    const controller = new AbortController();
    if (during === "before") controller.abort(new Error("stop"));
    const { error, endMs, atMs, timers } = await attempts({ backoffMs: 500 }, (_, runtime) => {
      runtime.setTimer(() => controller.abort(new Error("stop")), 50);
      if (during === "pause") throw again();
      return new Promise(() => {});
    }, controller.signal);
    assert.equal(error!.message, "stop", during);
    assert.deepEqual([endMs, atMs.length], during === "before" ? [0, 0] : [50, 1], during);
    assert.equal(timers, 0, during);
  }
});

test("retry policy: a loop of the caller's own is told when to wait and when to give up", async () => {
  const runtime = new VirtualRuntime();
  const context = new RetryPolicy({ retries: 2, timeoutMs: 10_000 }, runtime).start();
  const waits: number[] = [];
  for (let delayMs = context.recordFailure(again()); delayMs !== undefined; delayMs = context.recordFailure(again())) {
    waits.push(delayMs);
    await runtime.runUntil(context.wait(delayMs));
  }
  assert.equal(waits.length, 2);
  assert.equal(context.attempt, 3);
  assert.equal(context.elapsedMs, waits[0]! + waits[1]!);
  assert.equal(context.leftMs, 10_000 - context.elapsedMs);
  assert.equal((context.lastError as KafkaError).code, "TIMEOUT");
  const controller = new AbortController();
  const waiting = new RetryPolicy({}, runtime).start(controller.signal).wait(5_000);
  const startMs = runtime.now();
  runtime.setTimer(() => controller.abort(new Error("stop")), 10);
  await assert.rejects(runtime.runUntil(waiting), { message: "stop" });
  assert.equal(runtime.now(), startMs + 10);
});

test("retry policy: options that make no sense are refused by name", () => {
  const wrong: [string, unknown][] = [
    ["retries", -1],
    ["retries", 1.5],
    ["backoffMs", NaN],
    ["backoffMaxMs", "1000"],
    ["timeoutMs", 0],
    ["allowDuplicates", 1],
    ["timeout", 1],
  ];
  for (const [option, value] of wrong) {
    assert.throws(() => new RetryPolicy({ [option]: value }), { name: "ConfigError", option });
  }
  assert.equal(new RetryPolicy().retries, Infinity);
});

test("retry policy: around a producer, a send that failed for good is made once, one that can succeed again and again", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ retries: 0 });
  const policy = new RetryPolicy({ retries: 3 }, runtime);
  const send = (): Promise<number> =>
    policy.run(async ({ attempt }) => {
      await p.send({ topic: "orders", partition: 0, value: "v" });
      return attempt;
    });
  cluster.control(Produce, { error: 19 }, { times: 2 });
  assert.equal(await run(send()), 3);
  cluster.control(Produce, { error: 87 }, { times: 1 });
  await assert.rejects(run(send()), { code: "INVALID_RECORD", retriable: false });
  cluster.control(Produce, { drop: "after" }, { times: 1 });
  await assert.rejects(run(send()), { persisted: "possibly", retriable: true });
  assert.equal((await cluster.records("orders", 0)).length, 2, "the one in doubt is there, and there once");
  await run(p.close());
});

test("retry policy: an attempt that aborts its caller's signal and throws leaves no rejection behind", async (t) => {
  const unhandled = unhandledIn(t);
  const controller = new AbortController();
  const attempt = (): never => {
    controller.abort(new Error("stop"));
    throw new Error("x");
  };
  const run = new RetryPolicy({ backoffMs: 1 }).run(attempt, { signal: controller.signal });
  await assert.rejects(run, /stop|x/);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(unhandled, []);
});

test("retry policy: within() of a policy that was aborted before it began ends at once", async () => {
  const context = new RetryPolicy().start(AbortSignal.abort(new Error("stop")));
  await assert.rejects(context.within(() => new Promise<never>(() => {})), /stop/);
});
