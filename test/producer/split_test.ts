import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { EmbeddedCluster, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

async function sendTooMuch(idempotent: boolean): Promise<{ values: string[]; offsets: bigint[]; free: number }> {
  const runtime = new VirtualRuntime({ seed: 3 });
  const cluster = new EmbeddedCluster({
    runtime,
    topics: { small: { partitions: 1, config: { "max.message.bytes": 4_000 } } },
  });
  runtime.sockets = cluster.sockets;
  const producer = new Producer({ brokers: cluster.bootstrap, idempotent, maxInFlight: 1 }, runtime);
  const sends = Array.from({ length: 200 }, (_, index) => {
    return producer.send({ topic: "small", value: `${index}:`.padEnd(200, "x"), headers: { n: String(index) } });
  });
  const flushed = producer.flush();
  const metadata = await runtime.runUntil(Promise.all(sends), 60_000);
  await runtime.runUntil(flushed, 1_000);
  const free = producer.metrics()["buffer-total-bytes"] - producer.metrics()["buffer-available-bytes"];
  await runtime.runUntil(producer.close(), 1_000);
  const records = await cluster.records("small", 0);
  const values = records.map(({ value }) => new TextDecoder().decode(value!).split(":")[0]!);
  const refused = cluster.requestsOf(Produce).length;
  assert.ok(refused > 16, `there were only ${refused} requests: nothing was split`);
  return { values, offsets: metadata.map(({ offset }) => offset), free };
}

for (const idempotent of [true, false]) {
  test(`split: a batch that the broker refuses as too large arrives in parts, in order (idempotent ${idempotent})`, async () => {
    const { values, offsets, free } = await sendTooMuch(idempotent);
    const wanted = Array.from({ length: 200 }, (_, index) => index);
    assert.deepEqual(values, wanted.map(String));
    assert.deepEqual(offsets, wanted.map(BigInt));
    assert.equal(free, 0);
  });
}

test("split: a single record that the broker refuses as too large is rejected, and the next one arrives", async () => {
  const runtime = new VirtualRuntime({ seed: 4 });
  const cluster = new EmbeddedCluster({
    runtime,
    topics: { small: { partitions: 1, config: { "max.message.bytes": 1_000 } } },
  });
  runtime.sockets = cluster.sockets;
  const producer = new Producer({ brokers: cluster.bootstrap }, runtime);
  const large = producer.send({ topic: "small", value: "x".repeat(2_000) });
  const refused = assert.rejects(large, { name: "RecordTooLargeError", code: "MESSAGE_TOO_LARGE", persisted: "no" });
  const small = producer.send({ topic: "small", value: "x" });
  await runtime.runUntil(Promise.all([refused, small]), 60_000);
  assert.equal((await small).offset, 0n);
  await runtime.runUntil(producer.close(), 1_000);
});

test("split: once a batch was refused as too large, later ones of the topic don't grow so far again", async () => {
  const runtime = new VirtualRuntime({ seed: 5 });
  const cluster = new EmbeddedCluster({
    runtime,
    topics: { small: { partitions: 1, config: { "max.message.bytes": 4_000 } } },
  });
  runtime.sockets = cluster.sockets;
  const splits: number[] = [];
  let round = 0;
  const logger = {
    info: (event: string): void => {
      if (event === "batch_split") splits[round] = (splits[round] ?? 0) + 1;
    },
  };
  const producer = new Producer({ brokers: cluster.bootstrap, logger }, runtime);
  for (; round < 2; round++) {
    const value = "x".repeat(200);
    await runtime.runUntil(
      Promise.all(Array.from({ length: 200 }, () => producer.send({ topic: "small", value }))),
      60_000,
    );
  }
  assert.ok(splits[0]! > 3);
  assert.equal(splits[1], undefined);
  await runtime.runUntil(producer.close(), 1_000);
});
