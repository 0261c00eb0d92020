import assert from "node:assert/strict";
import { Outstanding } from "../../src/runtime/outstanding.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

test("outstanding: the process is held from the first to the last, and never again after the end", async () => {
  const told: string[] = [];
  const newHold = () => ({
    hold: () => void told.push("hold"),
    release: () => void told.push("release"),
    end: () => void told.push("end"),
  });
  const outstanding = new Outstanding(Object.assign(new VirtualRuntime(), { newHold }));
  outstanding.begin();
  outstanding.begin();
  outstanding.end();
  assert.deepEqual(told, ["hold"]);
  outstanding.end();
  assert.deepEqual(told, ["hold", "release"]);
  await assert.rejects(outstanding.during(Promise.reject(new Error("no"))), /no/);
  assert.deepEqual(told.splice(0), ["hold", "release", "hold", "release"]);
  outstanding.begin();
  outstanding.close();
  outstanding.end();
  outstanding.begin();
  outstanding.close();
  assert.deepEqual(told, ["hold", "end"]);
});
