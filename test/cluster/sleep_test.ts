import assert from "node:assert/strict";
import { sleep } from "../../src/cluster/sleep.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** A signal, and how many listen to it. */
function counted(): { readonly controller: AbortController; readonly listeners: Set<unknown> } {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...listening: Parameters<typeof addEventListener>) => {
    listeners.add(listening[1]);
    addEventListener.apply(signal, listening);
  };
  signal.removeEventListener = (...listening: Parameters<typeof removeEventListener>) => {
    listeners.delete(listening[1]);
    removeEventListener.apply(signal, listening);
  };
  return { controller, listeners };
}

test("sleep: whoever wakes up by himself or by the signal leaves neither a timer nor a listener", async () => {
  const runtime = new VirtualRuntime();
  const { controller, listeners } = counted();
  const slept = sleep(runtime, 100, controller.signal);
  assert.deepEqual([listeners.size, runtime.pendingTimers], [1, 1]);
  await runtime.advance(100);
  await slept;
  assert.deepEqual([listeners.size, runtime.pendingTimers], [0, 0]);
  const woken = [50, 500].map((delayMs) => sleep(runtime, delayMs, controller.signal));
  controller.abort();
  await Promise.all(woken);
  assert.deepEqual([listeners.size, runtime.pendingTimers], [0, 0]);
});

test("sleep: there is no wait of no time, and none under a signal that is aborted", async () => {
  const runtime = new VirtualRuntime();
  const { controller, listeners } = counted();
  await sleep(runtime, 0, controller.signal);
  controller.abort();
  await sleep(runtime, 1_000, controller.signal);
  assert.deepEqual([listeners.size, runtime.pendingTimers], [0, 0]);
});
