import assert from "node:assert/strict";
import { environmentVariable } from "../../src/runtime/environment.ts";
import { test } from "../harness.ts";

/** Runs with something else as `Deno`, within one turn. */
function withDeno(deno: unknown, run: () => void): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, "Deno");
  Object.defineProperty(globalThis, "Deno", { value: deno, configurable: true, writable: true });
  try {
    run();
  } finally {
    if (before === undefined) Reflect.deleteProperty(globalThis, "Deno");
    else Object.defineProperty(globalThis, "Deno", before);
  }
}

test("runtime: an environment variable that Deno would ask for on a terminal isn't set, and nobody is asked", () => {
  const asked: string[] = [];
  const read: string[] = [];
  const denoOf = (state: string) => ({
    permissions: {
      querySync({ name, variable }: { name: string; variable: string }) {
        asked.push(`${name} ${variable}`);
        return { state };
      },
    },
    env: {
      get(name: string) {
        read.push(name);
        return "set";
      },
    },
  });
  for (const state of ["prompt", "denied"]) {
    withDeno(denoOf(state), () => assert.equal(environmentVariable("KAFKAJS_LOG_LEVEL"), undefined));
  }
  assert.deepEqual(read, []);
  assert.deepEqual(asked, ["env KAFKAJS_LOG_LEVEL", "env KAFKAJS_LOG_LEVEL"]);
  withDeno(denoOf("granted"), () => assert.equal(environmentVariable("KAFKAJS_LOG_LEVEL"), "set"));
});

test("runtime: an environment that can't be asked for permission is read as before", () => {
  withDeno({ env: { get: () => "set" } }, () => assert.equal(environmentVariable("ANY"), "set"));
  const refuse = (): never => {
    throw new Error("Requires env access");
  };
  withDeno({ env: { get: refuse } }, () => assert.equal(environmentVariable("ANY"), undefined));
});
