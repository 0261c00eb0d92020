/**
 * What a process holds while its broker stands still and the caller never waits, measured on each runtime.
 *
 *     node scripts/memory.mjs [part of a runtime's name]
 *
 * A broker in a process of its own is stopped (SIGSTOP) while a program sends 1 KiB records as fast as it can for some
 * seconds. The program may grow by `bufferMemory` and a constant. Then the broker goes on, and every promise must have
 * settled soon after: what was acknowledged is in the log, what was refused is not.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { compiled, findProgram } from "./demo/runtimes.mjs";
import { root, runtimeBinary } from "./lib/tools.mjs";

const MIB = 2 ** 20;
const BUFFER_MEMORY = 32 * MIB;
/** The line of those who wait (8 MiB), what objects take beside bytes, and what engines hold before they collect. */
const CONSTANT = 100 * MIB;
/**
 * JavaScriptCore collects when as much again was allocated as is held, and goes on allocating meanwhile, so that garbage
 * may take as much room as what is held. Hence what is held is measured there too, after a collection, against the bound
 * of the others.
 */
const SPACE_OF_BUN = 2;
/**
 * How far V8 lets its young generation grow depends on version and memory (twice 16 MiB in Node 20, 64 in Node 24, 32 in
 * Deno), and whether it grows so far in these seconds is chance. That says nothing of what the producer holds: on V8 it
 * is bounded, everywhere alike.
 */
const YOUNG_GENERATION = "--max-semi-space-size=16";
/** The flood goes on until so many sends were refused: by count, because a busy machine takes its time. */
const REFUSALS = 200_000;

const program = join("scripts", "memory", "stalled_caller.mjs");
const runtimes = [
  ["node24", runtimeBinary("node24"), [YOUNG_GENERATION, program]],
  ["deno", findProgram("deno"), [
    "run",
    `--v8-flags=${YOUNG_GENERATION}`,
    "--no-prompt",
    "--no-lock",
    "--allow-net",
    "--allow-env",
    "--allow-sys",
    program,
  ]],
  ["bun", findProgram("bun"), ["run", program]],
];

/** Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each runtime. */
export async function runMemory({ log = console.log, filter = "" } = {}) {
  await build();
  const tests = [];
  for (const [runtime, path, args] of runtimes) {
    if (!runtime.includes(filter)) continue;
    const name = `memory: bufferMemory and a constant bound the process while a broker stands still (${runtime})`;
    if (path === undefined || process.platform === "win32") {
      tests.push({ name, status: "skipped", detail: `${runtime} was not found` });
      continue;
    }
    try {
      const result = await measure(path, args);
      log(`${runtime}: ${describe(result)}`);
      check(result, runtime === "bun" ? SPACE_OF_BUN : 1);
      tests.push({ name, status: "passed" });
    } catch (error) {
      log(`✗ ${name}\n${String(error.stack).replace(/^/gm, "    ")}`);
      tests.push({ name, status: "failed", detail: error.message });
    }
  }
  const count = (status) => tests.filter((test) => test.status === status).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped"), tests };
}

function check(result, space) {
  const { grownBytes, heldBytes, sent, acknowledged, refused, other, stored, available, total } = result;
  const bound = BUFFER_MEMORY + CONSTANT;
  assert.ok(grownBytes < space * bound, `the process grew by ${(grownBytes / MIB).toFixed(0)} MiB`);
  if (space > 1) assert.ok(heldBytes < bound, `${(heldBytes / MIB).toFixed(0)} MiB are held`);
  assert.deepEqual(other, {}, "every failure is a refusal");
  assert.equal(acknowledged + refused, sent, "every promise has settled");
  assert.equal(stored, acknowledged, "the log holds what was acknowledged, once");
  assert.ok(acknowledged > 30_000 && refused >= REFUSALS, `${acknowledged} acknowledged, ${refused} refused`);
  assert.equal(available, total, "memory is free again");
}

function describe({ grownBytes, heldBytes, sent, acknowledged, refused, settledMs }) {
  const held = heldBytes === undefined ? "" : ` and holds ${(heldBytes / MIB).toFixed(0)} MiB`;
  return `grew by ${(grownBytes / MIB).toFixed(0)} MiB${held}; ${sent} sends, ${acknowledged} acknowledged, ` +
    `${refused} refused; all settled ${settledMs.toFixed(0)} ms after the broker's return`;
}

async function measure(path, args) {
  const [node, ...cli] = compiled;
  const broker = start(node, [...cli, "broker", "--port", "0", "--topic", "stalled:3"]);
  try {
    const address = await broker.line(/^Listening on (\S+)$/m);
    const caller = start(path, [...args, address, String(BUFFER_MEMORY), String(REFUSALS)]);
    try {
      await caller.line(/^(ready)$/m);
      broker.child.kill("SIGSTOP");
      await caller.line(/^(flooded)$/m);
      broker.child.kill("SIGCONT");
      return JSON.parse(await caller.line(/^(\{.*\})$/m));
    } finally {
      caller.child.kill("SIGKILL");
    }
  } finally {
    broker.child.kill("SIGKILL");
  }
}

/** Starts a program whose lines can be waited for. */
function start(path, args) {
  const child = spawn(path, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const waiting = new Set();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      for (const look of waiting) look();
    });
  }
  const closed = new Promise((resolve) => {
    child.once("error", (error) => resolve(String(error)));
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  return {
    child,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const fail = (why) => reject(new Error(`${path} ${args.join(" ")} ${why}: ${output}`));
        const timer = setTimeout(() => fail(`did not print ${pattern} in time`), 300_000);
        const look = () => {
          const match = pattern.exec(output);
          if (match === null) return;
          clearTimeout(timer);
          resolve(match[1]);
        };
        waiting.add(look);
        look();
        closed.then((code) => {
          clearTimeout(timer);
          fail(`ended with ${code}`);
        });
      }),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { passed, failed, skipped } = await runMemory({ filter: process.argv[2] });
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
