/**
 * Kills the outbox example with SIGKILL, again and again, and lets it go on: every order's event is in its topic, those of
 * one customer in their order, and copies have the id of the first.
 *
 *     node test/programs/outbox.mjs
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { root, runtimeBinary } from "../../scripts/lib/tools.mjs";

const program = join(root, "examples", "outbox.ts");
const topic = "outbox.event.order";
const orders = 1_000;
const limitMs = 60_000;

/** Node 24 runs TypeScript and has SQLite; of Bun's no version is asked for. */
const runtimes = {
  node: () => runtimeBinary("node24") && [runtimeBinary("node24"), "--no-warnings"],
  deno: () => findProgram("deno") && [findProgram("deno"), "run", "-A", "--no-check", "--no-lock"],
};

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each test.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runOutbox({ log, filter = "" } = {}) {
  await build();
  const { EmbeddedCluster } = await import("../../dist/src/testing/mod.js");
  const tally = new Tally(log);
  for (const [name, find] of Object.entries(runtimes)) {
    const title = `outbox on ${name}: no event is lost however often its program is killed`;
    if (!title.includes(filter)) continue;
    const command = find();
    if (command === undefined) {
      tally.skip(title, `${name} was not found`);
      continue;
    }
    await tally.run(title, async () => {
      const cluster = new EmbeddedCluster({ topics: { [topic]: 3 } });
      const listening = await cluster.listen();
      try {
        await killAndResume(command, listening.brokers);
        const records = (await cluster.records(topic)).map(({ partition, offset, key, value, headers }) => {
          const id = Buffer.from(headers.find(([name]) => name === "id")[1]).toString();
          return { partition, offset, id, key: Buffer.from(key).toString(), value: Buffer.from(value).toString() };
        });
        assertComplete(records);
      } finally {
        await listening.close();
      }
    });
  }
  return tally.result();
}

/**
 * Runs the example on a database of its own until it ends by itself, and kills it before that as often as it can.
 *
 * @param {string[]} command
 * @param {string} brokers
 * @param {number} [kills]
 */
export async function killAndResume(command, brokers, kills = 10) {
  const folder = await mkdtemp(join(tmpdir(), "sluice-outbox-"));
  const args = [...command, program, join(folder, "shop.db"), String(orders)];
  const start = () => startProgram(args, { keepOpen: true, env: { ...process.env, KAFKA_BROKERS: brokers } });
  try {
    let killed = 0;
    for (let round = 0; round < kills; round++) {
      const { child, closed, line } = start();
      await line(/orders are placed/);
      // Later each time, so that it is met with rows that are on their way as well as with rows that have arrived.
      await new Promise((resolve) => setTimeout(resolve, 4 * round));
      child.kill("SIGKILL");
      if (await closed === "SIGKILL") killed += 1;
    }
    assert.ok(killed > 0, "it was killed at work");
    const last = start();
    const timer = setTimeout(() => last.child.kill("SIGKILL"), limitMs);
    const code = await last.closed;
    clearTimeout(timer);
    assert.deepEqual([code, last.stderr()], [0, ""]);
    assert.match(last.stdout(), /every event has arrived/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Every order is there; but for copies, those of a customer are in order.
 *
 * @param {{ id: string, key: string, value: string }[]} records in the order of their partitions
 */
export function assertComplete(records) {
  const seen = new Set();
  const latest = new Map();
  for (const { id, key, value } of records) {
    const order = JSON.parse(value);
    assert.equal(key, String(order.customer));
    if (seen.has(id)) continue;
    seen.add(id);
    assert.ok(order.id > (latest.get(key) ?? -1), `order ${order.id} of customer ${key} came late`);
    latest.set(key, order.id);
  }
  assert.equal(seen.size, orders, "orders whose event is in the topic");
}

await runByHand(import.meta.url, runOutbox);
