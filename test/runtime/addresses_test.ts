import assert from "node:assert/strict";
import { addressesOf, type Attempt, openFirst } from "../../src/runtime/addresses.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

interface Opened {
  readonly name: string;
  abandoned: boolean;
  abandon(): void;
}

/** An address that answers after some virtual ms, or never. */
interface Address {
  readonly attempt: Attempt<Opened>;
  startedMs: number | undefined;
  cancelled: boolean;
  opened: Opened | undefined;
}

function address(runtime: VirtualRuntime, name: string, answersMs: number, error?: Error): Address {
  const made: Address = {
    startedMs: undefined,
    cancelled: false,
    opened: undefined,
    attempt: (signal) => {
      made.startedMs = runtime.now();
      signal.addEventListener("abort", () => made.cancelled = true);
      return new Promise((resolve, reject) => {
        if (answersMs === Infinity) return;
        runtime.setTimer(() => {
          if (error !== undefined) return reject(error);
          const opened: Opened = { name, abandoned: false, abandon: () => opened.abandoned = true };
          made.opened = opened;
          resolve(opened);
        }, answersMs);
      });
    },
  };
  return made;
}

function race(runtime: VirtualRuntime, addresses: readonly Address[], signal?: AbortSignal): Promise<Opened> {
  const attempts = addresses.map(({ attempt }) => attempt);
  return openFirst(attempts, signal ?? new AbortController().signal, (callback, ms) => runtime.setTimer(callback, ms));
}

test("addresses: a broker 400 ms away is reached whether its dead address comes before it or after it", async () => {
  const runtime = new VirtualRuntime();
  const far = address(runtime, "far", 400);
  const dead = address(runtime, "dead", Infinity);
  assert.equal((await runtime.runUntil(race(runtime, [far, dead]))).name, "far");
  assert.equal(runtime.now(), 400);
  assert.deepEqual([dead.startedMs, dead.cancelled, far.opened!.abandoned], [250, true, false]);
  const startMs = runtime.now();
  const behind = address(runtime, "behind", 400);
  const deaf = [1, 2, 3].map((n) => address(runtime, `dead ${n}`, Infinity));
  assert.equal((await runtime.runUntil(race(runtime, [...deaf, behind]))).name, "behind");
  assert.equal(runtime.now() - startMs, 3 * 250 + 400);
  assert.deepEqual(deaf.map(({ cancelled }) => cancelled), [true, true, true]);
});

test("addresses: the second of two addresses is not dialled when the first answers in time", async () => {
  const runtime = new VirtualRuntime();
  const [near, other] = [address(runtime, "near", 200), address(runtime, "other", 0)];
  assert.equal((await runtime.runUntil(race(runtime, [near, other]))).name, "near");
  await runtime.advance(1_000);
  assert.equal(other.startedMs, undefined);
});

test("addresses: one that refuses hands over to the next at once, and all reasons are kept", async () => {
  const runtime = new VirtualRuntime();
  const refusals = ["a", "b", "c"].map((name) => address(runtime, name, 10, new Error(`${name} refuses`)));
  const failed = race(runtime, refusals).catch((error: unknown) => error) as Promise<AggregateError>;
  const error = await runtime.runUntil(failed);
  assert.deepEqual(refusals.map(({ startedMs }) => startedMs), [0, 10, 20]);
  assert.deepEqual(error.errors.map(({ message }: Error) => message), ["a refuses", "b refuses", "c refuses"]);
});

test("addresses: of two that open at the same moment the second is given back", async () => {
  const runtime = new VirtualRuntime();
  const [first, second] = [address(runtime, "first", 500), address(runtime, "second", 250)];
  const opened = await runtime.runUntil(race(runtime, [first, second]));
  await runtime.advance(1);
  const all = [first.opened!, second.opened!];
  assert.deepEqual(all.map(({ abandoned }) => abandoned), all.map((each) => each !== opened));
});

test("addresses: who calls the dial off calls off every attempt, and no further one begins", async () => {
  const runtime = new VirtualRuntime();
  const controller = new AbortController();
  const addresses = [1, 2, 3].map((n) => address(runtime, `${n}`, Infinity));
  const failed = race(runtime, addresses, controller.signal).catch((error: unknown) => error);
  await runtime.advance(300);
  controller.abort(new Error("called off"));
  assert.equal(((await runtime.runUntil(failed)) as Error).message, "called off");
  await runtime.advance(1_000);
  assert.deepEqual(addresses.map(({ startedMs, cancelled }) => [startedMs, cancelled]), [
    [0, true],
    [250, true],
    [undefined, false],
  ]);
});

test("addresses: an address is its own only one", async () => {
  assert.deepEqual(await addressesOf("192.0.2.7"), ["192.0.2.7"]);
  assert.deepEqual(await addressesOf("2001:db8::7"), ["2001:db8::7"]);
});
