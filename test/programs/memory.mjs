/**
 * What a process holds while its broker stands still and the caller never waits, measured on each runtime.
 *
 *     node test/programs/memory.mjs [part of a runtime's name]
 *
 * A broker in a process of its own is stopped (SIGSTOP) while a program sends 1 KiB records as fast as it can for some
 * seconds. The program may grow by `bufferMemory` and a constant. Then the broker goes on, and every promise must have
 * settled soon after: what was acknowledged is in the log, what was refused is not.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { startBroker } from "../../scripts/lib/broker_process.mjs";
import { startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { runtimeBinary } from "../../scripts/lib/tools.mjs";

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

const program = join("test", "programs", "stalled_caller.mjs");
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

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each runtime.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runMemory({ log = console.log, filter = "" } = {}) {
  await build();
  const tally = new Tally(log);
  for (const [runtime, path, args] of runtimes) {
    if (!runtime.includes(filter)) continue;
    const name = `memory: bufferMemory and a constant bound the process while a broker stands still (${runtime})`;
    await tally.run(name, async () => {
      if (path === undefined || process.platform === "win32") return `${runtime} was not found`;
      const result = await measure(path, args);
      log(`${runtime}: ${describe(result)}`);
      check(result, runtime === "bun" ? SPACE_OF_BUN : 1);
    });
  }
  return tally.result();
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
  const broker = await startBroker({ topics: ["stalled:3"] });
  try {
    const caller = startProgram([path, ...args, broker.address, String(BUFFER_MEMORY), String(REFUSALS)]);
    try {
      await caller.line(/^(ready)$/m);
      broker.child.kill("SIGSTOP");
      await caller.line(/^(flooded)$/m);
      broker.child.kill("SIGCONT");
      return JSON.parse(await caller.line(/^(\{.*\})\n/m));
    } finally {
      await caller.stop("SIGKILL");
    }
  } finally {
    await broker.stop("SIGKILL");
  }
}

await runByHand(import.meta.url, runMemory);
