/** Calls to a coordinator that wants to be left alone for longer than `maxBlockMs`. */
import assert from "node:assert/strict";
import { TimeoutError } from "../../../mod.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { EndTxn, InitProducerId } from "../../../src/protocol/messages/mod.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import type { AnyApi } from "../../../src/protocol/schema.ts";
import { test } from "../../harness.ts";
import { type Stage, stage } from "./stage.ts";

const THROTTLE_MS = 50_000;
const MAX_BLOCK_MS = 10_000;
/** The broker doesn't end a transaction meanwhile. */
const PATIENT = { transactionTimeoutMs: 600_000 };
const record = { topic: "out", partition: 0, value: "a" };
const offset = { topic: "in", partition: 0, offset: 5n };

/** The next answer to an API asks for quiet. */
function throttle({ cluster }: Stage, api: AnyApi): void {
  cluster.control(api, { transform: (body: object) => ({ ...body, throttleTimeMs: THROTTLE_MS }) as never }, {
    times: 1,
  });
}

/** Rejects in time, and says what was waited for. */
async function assertLate(staged: Stage, promise: Promise<unknown>, api: string): Promise<TimeoutError> {
  const beganMs = staged.runtime.now();
  const error = await staged.failure(promise);
  assert.ok(error instanceof TimeoutError, `it rejected with ${error}`);
  assert.equal(Math.round((staged.runtime.now() - beganMs) / 1_000), MAX_BLOCK_MS / 1_000);
  assert.match(error.message, new RegExp(`wants to be sent nothing for ${THROTTLE_MS} ms \\(.* to ${api}\\)`));
  return error;
}

test("transactions: a commit that a throttle holds back is given up at maxBlockMs, sent no more, and may be made again", async () => {
  for (const end of ["commit", "abort"] as const) {
    const staged = stage("3.9");
    const { cluster, runtime, run, committed } = staged;
    const client = staged.producer({ maxBlockMs: MAX_BLOCK_MS, ...PATIENT });
    const tx = await run(client.begin());
    throttle(staged, AddPartitionsToTxn);
    await run(tx.send(record));
    const error = await assertLate(staged, tx[end](), "AddPartitionsToTxn");
    assert.deepEqual([error.code, error.persisted], [`${end.toUpperCase()}_UNKNOWN`, "possibly"]);
    assert.deepEqual([tx.state, tx.ended], ["unknown", undefined]);
    // Nothing of it goes out behind the caller's back.
    await runtime.advance(THROTTLE_MS);
    assert.equal(cluster.requestsOf(EndTxn).length, 0);
    await run(tx[end]());
    assert.equal(cluster.requestsOf(EndTxn).length, 1);
    assert.deepEqual((await committed())[0], end === "commit" ? ["a"] : []);
    await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], end === "commit" ? ["a", "b"] : ["b"]);
    await run(client.close());
  }
});

test("transactions: a commit whose throttle ends in time goes out then, and the next one isn't held", async () => {
  const staged = stage("3.9");
  const { runtime, run, committed } = staged;
  const client = staged.producer(PATIENT);
  const tx = await run(client.begin());
  throttle(staged, AddPartitionsToTxn);
  await run(tx.send(record));
  const beganMs = runtime.now();
  await run(tx.commit());
  assert.equal(Math.round((runtime.now() - beganMs) / 1_000), THROTTLE_MS / 1_000);
  await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["a", "b"]);
  await run(client.close());
});

test("transactions: a coordinator that goes away while it wants to be left alone is looked for at once", async () => {
  const staged = stage("3.9");
  const { cluster, runtime, run, committed } = staged;
  const client = staged.producer(PATIENT);
  const tx = await run(client.begin());
  throttle(staged, AddPartitionsToTxn);
  await run(tx.send(record));
  const beganMs = runtime.now();
  const done = tx.commit();
  await runtime.advance(1_000);
  cluster.network.reset();
  await run(done);
  assert.ok(runtime.now() - beganMs < 10_000, `it took ${runtime.now() - beganMs} ms`);
  assert.deepEqual((await committed())[0], ["a"]);
  await run(client.close());
});

test("transactions: a first record that a throttle keeps from being registered is given up at maxBlockMs", async () => {
  const staged = stage("3.9");
  const { runtime, run, failure, committed } = staged;
  const client = staged.producer({ maxBlockMs: MAX_BLOCK_MS, deliveryTimeoutMs: 60_000, ...PATIENT });
  throttle(staged, InitProducerId);
  await run(client.init());
  const tx = await run(client.begin());
  const beganMs = runtime.now();
  const sent = tx.send(record);
  await failure(sent);
  const refusal = await failure(tx.commit());
  assert.ok(runtime.now() - beganMs <= 2 * MAX_BLOCK_MS + 1_000, `it took ${runtime.now() - beganMs} ms`);
  assert.match(refusal.message, /wants to be sent nothing for 50000 ms/);
  assert.equal(refusal.requiresAbort, true);
  await run(tx.abort());
  await runtime.advance(THROTTLE_MS);
  await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
  assert.deepEqual((await committed())[0], ["b"]);
  await run(client.close());
});

test("transactions: offsets that a throttle holds back are given up at maxBlockMs, and so is the transaction", async () => {
  const staged = stage("4.1");
  const { cluster, runtime, run, failure } = staged;
  const client = staged.producer({ maxBlockMs: MAX_BLOCK_MS, ...PATIENT });
  throttle(staged, TxnOffsetCommit);
  await run(client.transaction((tx) => tx.sendOffsets(offset, "readers")));
  const tx = await run(client.begin());
  cluster.clearRequests();
  const error = await assertLate(staged, tx.sendOffsets({ ...offset, offset: 9n }, "readers"), "TxnOffsetCommit");
  assert.deepEqual([error.requiresAbort, tx.state], [true, "abortable"]);
  assert.equal((await failure(tx.commit())).requiresAbort, true);
  await run(tx.abort());
  await runtime.advance(THROTTLE_MS);
  assert.equal(cluster.requestsOf(TxnOffsetCommit).length, 0);
  await run(client.transaction((next) => next.sendOffsets({ ...offset, offset: 7n }, "readers")));
  await run(client.close());
});

test("transactions: a new one isn't kept by a throttle from beginning for longer than maxBlockMs", async () => {
  const staged = stage("4.1");
  const { runtime, run, committed } = staged;
  const client = staged.producer({ maxBlockMs: MAX_BLOCK_MS, ...PATIENT });
  throttle(staged, EndTxn);
  await run(client.transaction((tx) => void tx.send(record)));
  // What is known of features is too old by now.
  await runtime.advance(2_000);
  const beganMs = runtime.now();
  const tx = await run(client.begin());
  assert.ok(runtime.now() - beganMs <= MAX_BLOCK_MS + 1, `it took ${runtime.now() - beganMs} ms`);
  await run(tx.send({ ...record, value: "b" }));
  await assertLate(staged, tx.commit(), "EndTxn");
  await runtime.advance(THROTTLE_MS);
  await run(tx.commit());
  assert.deepEqual((await committed())[0], ["a", "b"]);
  await run(client.close());
});
