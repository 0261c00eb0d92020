/** When a record leaves that nobody else makes leave. */

import assert from "node:assert/strict";
import { TransactionalProducer } from "../../mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { sentBatches, warmUp } from "./wire.ts";

const record = { topic: "orders", partition: 0, value: "v" };

test("linger: with 0 a record leaves at once, else after that time, with what has come meanwhile", async () => {
  for (const lingerMs of [0, 20]) {
    const s = stage();
    const producer = s.producer({ lingerMs });
    await warmUp(s, producer);
    const startMs = s.runtime.now();
    const sends = [producer.send(record)];
    await s.runtime.advance(5);
    sends.push(producer.send(record));
    await s.run(Promise.all(sends));
    const left = sentBatches(s.cluster).map(({ atMs, count }) => [atMs - startMs, count]);
    assert.deepEqual(left, lingerMs === 0 ? [[0, 1], [5, 1]] : [[20, 2]]);
    await s.run(producer.close());
  }
});

test("linger: a batch that is full leaves at once, and so does all when a flush, a close or a commit asks for it", async () => {
  const s = stage();
  const options = { lingerMs: 60_000, batchSize: 1_000 };
  const full = s.producer(options);
  await s.run(full.partitionsFor("orders"));
  const startMs = s.runtime.now();
  await s.run(full.send({ ...record, value: "v".repeat(1_000) }));
  const flushed = full.send(record);
  await s.run(full.flush());
  await s.run(flushed);
  const closed = full.send(record);
  await s.run(full.close());
  await s.run(closed);
  const client = { brokers: s.cluster.bootstrap, transactionalId: "t", deliveryTimeoutMs: 60_000, ...options };
  const transactional = new TransactionalProducer(client, s.runtime);
  await s.run(transactional.transaction((tx) => void tx.send(record)));
  await s.run(transactional.close());
  assert.equal((await s.cluster.records("orders", 0)).length, 4);
  assert.ok(s.runtime.now() - startMs < 1_000, `${s.runtime.now() - startMs} ms`);
});
