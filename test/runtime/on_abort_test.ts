import assert from "node:assert/strict";
import { onAbort } from "../../src/runtime/on_abort.ts";
import { test } from "../harness.ts";

/** A signal that counts its listeners. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>): void => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>): void => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  return { controller, listeners: () => listeners };
}

test("on abort: hundreds wait behind one listener, which goes with the last of them", () => {
  const { controller, listeners } = counted();
  const told: number[] = [];
  const ends = Array.from({ length: 300 }, (_, i) => onAbort(controller.signal, () => void told.push(i)));
  assert.equal(listeners(), 1);
  for (const end of ends.slice(2)) end();
  for (const end of ends.slice(2)) end();
  assert.equal(listeners(), 1);
  controller.abort();
  assert.deepEqual(told, [0, 1]);
  assert.equal(listeners(), 0);
  ends[0]!();
  assert.equal(listeners(), 0);
});

test("on abort: the last to leave takes the listener along, and the next one brings it back", () => {
  const { controller, listeners } = counted();
  const told: string[] = [];
  onAbort(controller.signal, () => void told.push("left"))();
  assert.equal(listeners(), 0);
  onAbort(controller.signal, () => void told.push("stayed"));
  controller.abort();
  assert.deepEqual(told, ["stayed"]);
  onAbort(controller.signal, () => void told.push("late"))();
  assert.deepEqual([told, listeners()], [["stayed"], 0]);
});

test("on abort: one who leaves while the others are told is not told", () => {
  const { controller } = counted();
  const told: string[] = [];
  onAbort(controller.signal, () => {
    told.push("first");
    leave();
  });
  const leave = onAbort(controller.signal, () => void told.push("second"));
  controller.abort();
  assert.deepEqual(told, ["first"]);
});
