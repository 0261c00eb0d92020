import assert from "node:assert/strict";
import { stage } from "../cluster/stage.ts";
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
