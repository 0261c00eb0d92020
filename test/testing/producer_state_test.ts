import assert from "node:assert/strict";
import { addToSequence, ProducerState } from "../../src/testing/storage/producer_state.ts";
import { test } from "../harness.ts";

const PID = 7n;

/** Offers a batch to a state; returns the error, `dup@offset`, or `ok` after it was appended. */
function offer(state: ProducerState, epoch: number, first: number, count = 1): string | number {
  const batch = { producerId: PID, epoch, firstSequence: first, lastSequence: addToSequence(first, count - 1) };
  const verdict = state.check(batch);
  if (verdict.kind === "refuse") return verdict.errorCode;
  if (verdict.kind === "duplicate") return `dup@${verdict.original.baseOffset}`;
  const { firstSequence, lastSequence } = batch;
  state.record(batch, { firstSequence, lastSequence, baseOffset: BigInt(first) + 1000n, maxTimestampMs: 5n });
  return "ok";
}

test("producer state: any epoch and any sequence is taken where nothing is known", () => {
  for (const [epoch, sequence] of [[0, 0], [0, 42], [5, 100], [0x7fff, 2147483647]] as const) {
    assert.equal(offer(new ProducerState(), epoch, sequence), "ok");
  }
});

test("producer state: the next sequence is taken, a gap and an overlap are 45", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 0, 0, 3), "ok");
  assert.equal(offer(state, 0, 4), 45);
  assert.equal(offer(state, 0, 2), 45);
  assert.equal(offer(state, 0, 3), "ok");
});

test("producer state: duplicates of the last five batches get the original offset, the sixth is 45", () => {
  const state = new ProducerState();
  for (let i = 0; i < 6; i++) assert.equal(offer(state, 0, i), "ok");
  for (let i = 5; i >= 1; i--) assert.equal(offer(state, 0, i), `dup@${1000 + i}`);
  assert.equal(offer(state, 0, 0), 45);
  assert.equal(offer(state, 0, 6), "ok");
  assert.equal(offer(state, 0, 1), 45);
  assert.equal(offer(state, 0, 2), "dup@1002");
});

test("producer state: the same first sequence with more or fewer records is 45", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 0, 0, 2), "ok");
  assert.equal(offer(state, 0, 0, 1), 45);
  assert.equal(offer(state, 0, 0, 3), 45);
  assert.equal(offer(state, 0, 0, 2), "dup@1000");
});

test("producer state: a first batch that came second makes the real first one 45 for ever", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 0, 1), "ok");
  assert.equal(offer(state, 0, 0), 45);
  assert.equal(offer(state, 0, 1), "dup@1001");
});

test("producer state: a new epoch starts at 0 and may skip epochs", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 1, 0), "ok");
  assert.equal(offer(state, 3, 1), 45);
  assert.equal(offer(state, 3, 0), "ok");
  assert.equal(offer(state, 0x7fff, 0), "ok");
  assert.deepEqual(state.lastOf(PID), { epoch: 0x7fff, lastSequence: 0 });
});

test("producer state: an older epoch is 47, also for an exact duplicate", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 0, 0), "ok");
  assert.equal(offer(state, 1, 0), "ok");
  assert.equal(offer(state, 0, 0), 47);
  assert.equal(offer(state, 0, 1), 47);
  assert.equal(offer(state, -1, 1), 47);
});

test("producer state: sequences wrap from 2147483647 to 0", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 0, 2147483645, 5), "ok");
  assert.equal(offer(state, 0, 2147483645, 5), "dup@2147484645");
  assert.equal(offer(state, 0, 2), "ok");
  const other = new ProducerState();
  assert.equal(offer(other, 0, 2147483647), "ok");
  assert.equal(offer(other, 0, 0), "ok");
});

test("producer state: an expired producer is unknown again", () => {
  const state = new ProducerState();
  assert.equal(offer(state, 4, 0), "ok");
  state.expire(PID);
  assert.equal(offer(state, 2, 9), "ok");
});
