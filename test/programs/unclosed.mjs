/**
 * Runs programs that never close their producer, as processes of their own, on every runtime that is found: they end
 * when all is delivered, and not before.
 *
 *     node test/programs/unclosed.mjs [part of a name]
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "../../scripts/build.mjs";
import { freePort, startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { root } from "../../scripts/lib/tools.mjs";

/** A program that is still there after so long doesn't end. */
const limitMs = 60_000;
const program = join(root, "test", "programs", "unclosed_caller.mjs");
const source = pathToFileURL(join(root, "mod.ts")).href;

/** How each runtime runs the program, up to its arguments. */
const runtimes = {
  node: {
    command: [process.execPath, "--expose-gc"],
    library: pathToFileURL(join(root, "dist", "esm", "mod.js")).href,
  },
  deno: {
    command: [findProgram("deno"), "run", "-A", "--no-check", "--no-lock", "--v8-flags=--expose-gc"],
    library: source,
  },
  bun: { command: [findProgram("bun"), "run"], library: source },
};

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each test.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runUnclosed({ log, filter = "" } = {}) {
  await build();
  const tally = new Tally(log);
  for (const [name, runtime] of Object.entries(runtimes)) {
    for (const test of tests) {
      const title = `a program on ${name}: ${test.name}`;
      if (!title.includes(filter)) continue;
      if (runtime.command[0] === undefined) tally.skip(title, `${name} was not found`);
      else await tally.run(title, () => test.run({ name, ...runtime }));
    }
  }
  return tally.result();
}

const tests = [];

function test(name, run) {
  tests.push({ name, run });
}

test("it ends when the records that it awaited are delivered", async (runtime) => {
  await withCluster(async (cluster, { brokers }) => {
    const { stdout, code } = await run(runtime, brokers, "awaited").ended;
    assert.deepEqual([stdout, code, recordsIn(cluster)], ["delivered\n", 0, 10]);
  });
});

for (
  const [title, play, wanted, options] of [
    ["records that nobody awaits", "unawaited", "sent\n"],
    ["records that linger", "unawaited", "sent\n", { lingerMs: 500 }],
    ["records for which there is no memory yet", "unawaited", "sent\n", { bufferMemory: 20_000, batchSize: 1_000 }],
    ["records without a promise", "produced", "told\n"],
    ["records without acknowledgement", "unawaited", "sent\n", { acks: 0 }],
  ]
) {
  test(`it doesn't end before it has delivered ${title}, and then it does`, async (runtime) => {
    await withCluster(async (cluster, { brokers }) => {
      const { stdout, code } = await run(runtime, brokers, play, options).ended;
      assert.deepEqual([stdout, code], [wanted, 0]);
      await assertRecords(cluster, 1_000);
    });
  });
}

test("it doesn't end before the system has all bytes of records without acknowledgement", async (runtime) => {
  await withCluster(async (cluster, { brokers }) => {
    const { code } = await run(runtime, brokers, "large", { acks: 0 }).ended;
    assert.equal(code, 0);
    await assertRecords(cluster, 16);
  });
});

test("it doesn't end while its broker is away, and delivers when that is back", async (runtime) => {
  const port = await freePort();
  const { ended, printed } = run(runtime, `127.0.0.1:${port}`, "unawaited");
  await printed("sent");
  await withCluster(async (cluster) => {
    assert.equal((await ended).code, 0);
    assert.equal(recordsIn(cluster), 1_000);
  }, { port });
});

test("it doesn't end while calls are under way that no record is behind", async (runtime) => {
  const port = await freePort();
  const { ended, printed } = run(runtime, `127.0.0.1:${port}`, "calls");
  await printed("calling");
  await withCluster(async () => {
    const { stdout, code } = await ended;
    assert.deepEqual([stdout, code], ["calling\nlooked up\n", 0]);
  }, { port });
});

test("it ends when its last record has failed, though its broker is still away", async (runtime) => {
  const port = await freePort();
  const { stdout, code } = await run(runtime, `127.0.0.1:${port}`, "failing", {
    deliveryTimeoutMs: 300,
    requestTimeoutMs: 200,
  }).ended;
  assert.equal(code, 0);
  assert.match(stdout, /^[A-Z_]+\n$/);
});

test("it keeps nothing of the contexts of those who called first", async (runtime) => {
  await withCluster(async (_, { brokers }) => {
    const { stdout, code } = await run(runtime, brokers, "contexts").ended;
    assert.deepEqual([stdout, code], ["free free\n", 0]);
  });
});

test("it ends though it has forgotten readers of a broker in its memory, and not before an iteration that waits", async (runtime) => {
  const { stdout, code } = await run(runtime, "in.memory:9092", "embedded").ended;
  assert.deepEqual([stdout, code], ["read\n", 0]);
});

test("its idle connection is asked for after a minute whether it is still there", async (runtime) => {
  // Elsewhere the system doesn't tell.
  if (process.platform !== "linux") return;
  await withCluster(async (_, { brokers }) => {
    const { child, ended, printed } = run(runtime, brokers, "idle");
    await printed("connected");
    const timers = await keepAliveTimers(Number(brokers.split(":")[1]));
    child.stdin.end();
    await ended;
    assert.equal(timers.length, 1);
    const [{ kind, leftMs }] = timers;
    assert.equal(kind, "02", "keep-alive");
    // Deno can ask for keep-alive, but not when it begins: there the system's own two hours are left.
    if (runtime.name !== "deno") assert.ok(leftMs <= 60_000, `${leftMs} ms`);
  });
});

/** The timers of connections from this machine to a port, as Linux counts them. */
async function keepAliveTimers(port) {
  const lines = (await readFile("/proc/net/tcp", "utf8")).trim().split("\n").slice(1);
  const established = "01";
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return lines.map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => remote.endsWith(end) && state === established)
    .map(([, , , , , timer]) => {
      const [kind, ticks] = timer.split(":");
      return { kind, leftMs: parseInt(ticks, 16) * 10 };
    });
}

/** A cluster of one broker on a port of this machine. */
async function withCluster(body, listen = {}) {
  const { EmbeddedCluster } = await import("../../dist/src/testing/mod.js");
  const cluster = new EmbeddedCluster({ topics: { orders: 3 } });
  const listening = await cluster.listen(listen);
  try {
    await body(cluster, listening);
  } finally {
    await listening.close();
  }
}

function recordsIn(cluster) {
  return [0, 1, 2].reduce((sum, index) => sum + Number(cluster.endOffset("orders", index)), 0);
}

/** What was sent without acknowledgement may still be in the system's hands when the program has ended. */
async function assertRecords(cluster, wanted) {
  for (let turns = 0; recordsIn(cluster) < wanted && turns < 1_000; turns++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(recordsIn(cluster), wanted);
}

/** Starts the program: `ended` resolves to what became of it, `printed` when it has printed a line. */
function run({ command, library }, brokers, play, options = {}) {
  const args = [program, library, brokers, play, JSON.stringify(options)];
  const started = startProgram([...command, ...args], { keepOpen: true });
  const timer = setTimeout(() => started.child.kill("SIGKILL"), limitMs);
  const ended = started.closed.then((code) => {
    clearTimeout(timer);
    const [stdout, stderr] = [started.stdout(), started.stderr()];
    if (code === "SIGKILL") throw new Error(`The program did not end within ${limitMs} ms: ${stdout}${stderr}`);
    if (stderr !== "") throw new Error(stderr);
    return { code, stdout };
  });
  ended.catch(() => {}); // a test may wait for a line first
  return { child: started.child, ended, printed: (line) => started.line(new RegExp(`^${line}$`, "m")) };
}

await runByHand(import.meta.url, runUnclosed);
