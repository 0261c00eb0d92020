import assert from "node:assert/strict";
import { stage } from "../cluster/stage.ts";
import { test } from "../harness.ts";

test("record errors: the records that the broker names get its reason, the others learn that they may be sent again", async () => {
  const { cluster, producer, run } = stage({
    topics: { compacted: { partitions: 1, config: { "cleanup.policy": "compact" } } },
  });
  const sends = [
    producer().send({ topic: "compacted", key: "a", value: "1" }),
  ];
  await run(Promise.all(sends));
  const client = producer();
  const mixed = [
    client.send({ topic: "compacted", key: "a", value: "2" }),
    client.send({ topic: "compacted", value: "no key" }),
    client.send({ topic: "compacted", key: "b", value: "3" }),
  ];
  const results = await run(Promise.allSettled(mixed));
  const errors = results.map((result) => result.status === "rejected" ? result.reason : undefined);
  assert.deepEqual(errors.map(({ code, persisted }) => [code, persisted]), Array(3).fill(["INVALID_RECORD", "no"]));
  assert.deepEqual(errors.map(({ retriable }) => retriable), [true, false, true]);
  assert.match(errors[0].message, /Send the record again/);
  assert.equal(errors[0], errors[2]);
  // What was refused has taken its sequences; what follows arrives all the same.
  const after = await run(client.send({ topic: "compacted", key: "b", value: "4" }));
  assert.equal(after.offset, 1n);
  assert.equal((await cluster.records("compacted", 0)).length, 2);
  await run(client.close());
});
