import assert from "node:assert/strict";
import { runtimeName, test } from "./harness.ts";

const order: string[] = [];

test("harness: clean-up runs in reverse order", (t) => {
  t.after(() => assert.deepEqual(order, ["second"]));
  t.after(async () => {
    await Promise.resolve();
    order.push("second");
  });
});

test("harness: the signal is not aborted while the test runs", (t) => {
  assert.equal(t.signal.aborted, false);
});

test("harness: a test that needs to listen is skipped on workerd and nowhere else", { needs: "listen" }, () => {
  assert.notEqual(runtimeName, "workerd");
});

test("harness: a test that needs a command line is skipped on workerd and nowhere else", {
  needs: "command line",
}, () => {
  assert.notEqual(runtimeName, "workerd");
});
