import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { bench } from "../../src/cli/bench.ts";
import type { BenchCommand } from "../../src/cli/bench_command.ts";
import { producerSink } from "../../src/cli/sink.ts";
import type { ProduceSummary } from "../../src/cli/summary.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { world } from "./world.ts";

async function run(given: Partial<BenchCommand>, io = world([])) {
  const cluster = new EmbeddedCluster({ topics: { trial: 4 } });
  const command: BenchCommand = {
    topic: "trial",
    count: 1_000,
    size: 50,
    keys: 0,
    payload: "words",
    rate: undefined,
    json: true,
    quiet: false,
    ...given,
    producer: { brokers: cluster.bootstrap, ...given.producer },
  };
  const connect = cluster.sockets;
  const exitCode = await bench(command, io, (options) => producerSink(new Producer({ ...options, connect } as never)));
  return { exitCode, cluster, summary: JSON.parse(io.out) as ProduceSummary, io };
}

test("cli bench: writes so many records of a size with so many keys, and sums up", async () => {
  const { exitCode, cluster, summary } = await run({ keys: 7, producer: { compression: "gzip" } });
  assert.equal(exitCode, 0);
  const records = await cluster.records("trial");
  assert.equal(records.length, 1_000);
  assert.ok(records.every(({ value }) => value!.length === 50));
  assert.equal(new Set(records.map(({ key }) => new TextDecoder().decode(key!))).size, 7);
  assert.deepEqual([summary.records, summary.failed, summary.bytes], [1_000, 0, 1_000 * (50 + 5)]);
  assert.ok(summary.compressionRatio! < 0.9, `words compress: ${summary.compressionRatio}`);
});

test("cli bench: no keys, empty values and a rate", async () => {
  const { exitCode, cluster, io } = await run({ count: 3, size: 0, rate: 1 });
  assert.equal(exitCode, 0);
  const records = await cluster.records("trial");
  assert.deepEqual(records.map(({ key, value }) => [key, value!.length]), Array(3).fill([null, 0]));
  assert.equal(io.slept.length, 2);
});

test("cli bench: on a terminal it shows how far it has come: nobody types the records", async () => {
  const io = Object.assign(world([]), { isTTY: true, isInputTTY: true });
  const { exitCode } = await run({}, io);
  assert.equal(exitCode, 0);
  assert.ok(io.err.endsWith("\r\x1b[K"), JSON.stringify(io.err));
});

test("cli bench: an interrupt ends it with what was delivered, exit code 130", async () => {
  const io = world([]);
  io.turn = () => {
    io.interrupt();
    return Promise.resolve();
  };
  const { exitCode, summary } = await run({ count: 1_000_000 }, io);
  assert.equal(exitCode, 130);
  assert.equal(summary.interrupted, true);
  assert.ok(summary.records < 1_000_000);
});
