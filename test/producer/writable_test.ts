import assert from "node:assert/strict";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

test("writable: values written to the stream arrive in order, and closing it leaves the producer open", async () => {
  const { cluster, producer, run } = stage({ topics: { lines: { partitions: 1 } } });
  const client = producer({ bufferMemory: 2_000 });
  const writer = client.writable("lines").getWriter();
  const values = Array.from({ length: 100 }, (_, index) => `${index}`.padEnd(100, "."));
  for (const value of values) void writer.write(value);
  await run(writer.close());
  const records = await cluster.records("lines");
  assert.deepEqual(records.map(({ value }) => new TextDecoder().decode(value!)), values);
  assert.equal((await run(client.send({ topic: "lines", value: "more" }))).offset, 100n);
  await run(client.close());
});

test("writable: the first record that fails errors the stream with its error", async () => {
  const { producer, run } = stage({ topics: { lines: { partitions: 1 } } });
  const client = producer({ maxBlockMs: 100 });
  const writer = client.writable().getWriter();
  void writer.write({ topic: "nowhere", value: "x" });
  const closed = writer.closed.then(() => undefined, (error) => error);
  await run(assert.rejects(writer.close(), { code: "UNKNOWN_TOPIC_OR_PARTITION" }));
  assert.equal((await run(closed)).code, "UNKNOWN_TOPIC_OR_PARTITION");
  await run(client.close());
});

test("writable: whoever aborts the stream doesn't wait for room in the buffer", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { lines: { partitions: 1 } } });
  const client = producer({ bufferMemory: 2_000 });
  await run(client.send({ topic: "lines", value: "first" }));
  const goOn = cluster.control(Produce, { silence: true });
  const writer = client.writable("lines").getWriter();
  for (let i = 0; i < 3; i++) writer.write("x".repeat(900)).catch(() => {});
  writer.closed.catch(() => {});
  await runtime.advance(100);
  const startMs = runtime.now();
  await run(writer.abort(new RangeError("enough")));
  assert.equal(runtime.now(), startMs);
  goOn();
  await run(client.close());
});

test("writable: headers that can be read once arrive, however often the buffer is full", async () => {
  const { cluster, producer, run } = stage({ topics: { lines: { partitions: 1 } }, network: { latencyMs: 5 } });
  const client = producer({ bufferMemory: 1_000 });
  const writer = client.writable().getWriter();
  for (let i = 0; i < 40; i++) {
    const headers = new Map([["i", `${i}`]]).entries();
    void writer.write({ topic: "lines", value: "x".repeat(100), headers });
  }
  await run(writer.close());
  const records = await cluster.records("lines");
  const found = records.map(({ headers: [header] }) => new TextDecoder().decode(header?.[1] ?? undefined));
  assert.deepEqual(found, Array.from({ length: 40 }, (_, i) => `${i}`));
  await run(client.close());
});
