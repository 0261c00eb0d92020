/** There is no buffer to be had: what that costs one record, no other one pays. */

import assert from "node:assert/strict";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";
import { unhandledIn } from "./unhandled.ts";
import { assertLeavesNothing, states, storedLz4, valuesIn, warmUp, watch } from "./wire.ts";

function exhausted(): never {
  throw new RangeError("Array buffer allocation failed");
}

/** Batches get no buffer until the returned call. */
function withoutPool(): () => void {
  const { take } = BufferPool.prototype;
  BufferPool.prototype.take = exhausted;
  return () => void (BufferPool.prototype.take = take);
}

/** A turn of the event loop, for what the runtime reports. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

test("no buffer: records that are taken back go, and those beside them are sent as soon as there is one", async () => {
  for (const lasts of [false, true]) {
    const s = stage({ network: { latencyMs: 5 } });
    const p = s.producer({ lingerMs: 50 });
    await warmUp(s, p);
    const controller = new AbortController();
    const sent = [0, 1, 2, 3].map((i) =>
      watch(
        s,
        p.send({ topic: "orders", partition: 0, value: `${i}` }, i < 2 ? { signal: controller.signal } : undefined),
      )
    );
    await s.runtime.settle();
    const restore = withoutPool();
    try {
      controller.abort();
      await s.runtime.settle();
      assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "pending", "pending"]);
      assert.equal(p.metrics().records_pending, 2);
      if (lasts) await s.run(p.flush());
    } finally {
      restore();
    }
    await s.run(p.flush());
    // It can't be written anew either way, if that lasts.
    const fate = lasts ? ["UNEXPECTED", "UNEXPECTED"] : ["acked 1", "acked 2"];
    assert.deepEqual(states(sent), ["ABORTED", "ABORTED", ...fate]);
    assert.deepEqual(await valuesIn(s.cluster, "orders"), lasts ? ["warm"] : ["warm", "2", "3"]);
    await s.run(p.send({ topic: "orders", value: "last" }));
    await assertLeavesNothing(s, p);
  }
});

test("no buffer: records that are taken back while a codec is at work on them go, and those beside them are sent", async (t) => {
  const unhandled = unhandledIn(t);
  const s = stage({ network: { latencyMs: 5 } });
  let answer = (): void => {};
  const lz4 = {
    ...{ name: "lz4" as const, id: 3 as const, decompress: (bytes: Uint8Array) => bytes },
    compress: (bytes: Uint8Array): Promise<Uint8Array> =>
      new Promise((resolve) => answer = () => resolve(storedLz4(bytes))),
  };
  const p = s.producer({ codecs: { lz4 }, compression: "lz4", lingerMs: 5, idempotent: false });
  const controller = new AbortController();
  const sent = [0, 1, 2, 3].map((i) =>
    watch(
      s,
      p.send({ topic: "orders", partition: 0, value: `${i}` }, i < 2 ? { signal: controller.signal } : undefined),
    )
  );
  await s.runtime.advance(50);
  controller.abort();
  const restore = withoutPool();
  try {
    answer();
    await turn();
  } finally {
    restore();
  }
  await s.runtime.advance(50);
  answer();
  await s.runtime.advance(50);
  assert.deepEqual(states(sent), ["ABORTED", "ABORTED", "acked 0", "acked 1"]);
  await turn();
  assert.deepEqual(unhandled, []);
  await assertLeavesNothing(s, p);
});

test("no buffer: when a broker refuses records of a batch that can't be written anew, each is told once", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer({ lingerMs: 5 });
  await warmUp(s, p);
  let told: string[] = [];
  for (const value of ["0", "1", "2"]) {
    p.send({ topic: "orders", partition: 0, value }, {
      onDelivery: (error) => void told.push(`${value} ${error?.code}`),
    })
      .catch(() => {});
  }
  const recordErrors = [{ batchIndex: 1, batchIndexErrorMessage: "no" }];
  s.cluster.control(Produce, {
    error: 87,
    transform: (answer) => ({
      ...answer,
      responses: answer.responses.map((topic) => ({
        ...topic,
        partitionResponses: topic.partitionResponses.map((partition) => ({ ...partition, recordErrors })),
      })),
    }),
  }, { times: 1 });
  await s.runtime.advance(6);
  const restore = withoutPool();
  try {
    await s.run(p.flush());
  } finally {
    restore();
  }
  told = told.sort();
  assert.deepEqual(told, ["0 UNEXPECTED", "1 UNEXPECTED", "2 UNEXPECTED"]);
  await assertLeavesNothing(s, p);
});
