import assert from "node:assert/strict";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

/** Sends to each partition in each of so many turns; resolves to how many requests that took. */
async function requestsFor(partitions: number, turns: number, bytes: number): Promise<number> {
  const { producer, run, runtime } = stage({ topics: { wide: partitions }, network: { latencyMs: 50 } });
  const p = producer();
  const send = (partition: number) => p.send({ topic: "wide", partition, value: new Uint8Array(bytes) });
  // The leader has accepted something of every partition, so that nothing else keeps a slot free.
  await run(Promise.all(Array.from({ length: partitions }, (_, partition) => send(partition))));
  const before = p.metrics().requests_sent;
  const sends: Promise<unknown>[] = [];
  for (let turn = 0; turn < turns; turn++) {
    for (let partition = 0; partition < partitions; partition++) sends.push(send(partition));
    await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 1)));
  }
  await run(Promise.all(sends));
  const requests = p.metrics().requests_sent - before;
  await run(p.close());
  return requests;
}

test("scattered: a record or two for each of many partitions wait for the answer that is on its way", async () => {
  assert.equal(await requestsFor(100, 4, 10), 2);
});

test("scattered: a few partitions, or batches of some size, take every slot as they come", async () => {
  assert.equal(await requestsFor(12, 4, 10), 4);
  assert.equal(await requestsFor(100, 4, 2_000), 4);
});
