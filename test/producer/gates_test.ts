/** What keeps the first batch of a partition from being sent, one gate at a time. */

import assert from "node:assert/strict";
import type { Compressor } from "../../src/codec/codec.ts";
import type { PartitionMetadata } from "../../src/cluster/metadata.ts";
import { Batch } from "../../src/producer/accumulator/batch.ts";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import { Partition, type QueuedBatch } from "../../src/producer/accumulator/partition.ts";
import { ENCODING } from "../../src/producer/accumulator/phase.ts";
import {
  type Attempt,
  type Gate,
  gateOf,
  type StampedAttempt,
  stampedGateOf,
} from "../../src/producer/sender/gates.ts";
import { Recovery } from "../../src/producer/sender/recovery.ts";
import { type Stamping, unstamped } from "../../src/producer/idempotence/stamping.ts";
import { test } from "../harness.ts";

const LEADER: PartitionMetadata = { leaderId: 1, leaderEpoch: 4, generation: 1 };
const OTHER: PartitionMetadata = { leaderId: 2, leaderEpoch: 5, generation: 2 };
const identity = { producerId: 5n, producerEpoch: 3 };
const stamping: Stamping = { ...unstamped, stamps: true, identity };

const pool = new BufferPool(1_024);

/** A batch of one record whose bytes are made, or are being made if there is a codec. */
function newBatch(partition: Partition, codec?: Compressor): QueuedBatch {
  const batch: QueuedBatch = new Batch(partition, 0, 120_000, 64, pool);
  const none = { key: null, keyLength: 0, value: null, valueLength: 0, headers: null, headersLength: 0 };
  batch.append(none, 0, undefined, Infinity);
  void batch.encode(codec, 0);
  return batch;
}

interface Play {
  readonly partition: Partition;
  /** Puts a new batch in the queue. */
  add(codec?: Compressor): QueuedBatch;
  /** Sends the first batch of the queue. */
  send(): QueuedBatch;
  /** The leader accepts a batch. */
  accept(batch: QueuedBatch): void;
  /** The answer of a batch is a reason to send it again. */
  refuse(batch: QueuedBatch): void;
  gate(leader?: PartitionMetadata, oneAtATime?: boolean, who?: Stamping): Gate | undefined;
}

function play(): Play {
  const partition = new Partition({ name: "orders", metadata: { topicId: "" } } as never, 0, { onDue: () => {} });
  partition.sequence.adopt(identity);
  return {
    partition,
    add(codec) {
      const batch = newBatch(partition, codec);
      partition.queue.push(batch);
      return batch;
    },
    send: () => partition.take(LEADER, true),
    accept(batch) {
      partition.removeInFlight(batch);
      partition.sequence.accepted(batch, LEADER, 0n);
    },
    refuse(batch) {
      partition.sequence.requireProof();
      partition.putBack(batch);
    },
    gate(leader = LEADER, oneAtATime = false, who = stamping) {
      const head = partition.queue[0]!;
      const gate = gateOf({
        ...{ isEncoding: head.phase === ENCODING, nowMs: 1_000, notBeforeMs: partition.notBeforeMs, oneAtATime },
        ...{ awaitsMetadata: partition.awaitingMetadata, inFlight: partition.inFlight.length },
        ...{ sentToId: partition.sentTo.leaderId, leaderId: leader.leaderId },
      });
      const recovery = new Recovery(who);
      recovery.advance(partition);
      return gate ?? stampedGateOf(recovery.attempt(partition, head, leader));
    },
  };
}

/** A partition whose leader has accepted a batch of this epoch. */
function proven(): Play {
  const p = play();
  p.add();
  p.accept(p.send());
  return p;
}

test("gates: nothing keeps the first batch of all, nor the next ones once the leader has accepted it", () => {
  const p = play();
  p.add();
  assert.equal(p.gate(), undefined);
  p.accept(p.send());
  for (let i = 0; i < 4; i++) {
    p.add();
    assert.equal(p.gate(), undefined);
    p.send();
  }
});

test("gates: a codec at work, a backoff and a look at the metadata each hold the first batch", async () => {
  const p = play();
  let answer: (bytes: Uint8Array) => void = () => {};
  const compressed = new Promise<Uint8Array>((resolve) => answer = resolve);
  p.add({ name: "lz4", id: 3, compress: () => compressed });
  assert.equal(p.gate(), "encoding");
  answer(new Uint8Array(8));
  await compressed;
  p.partition.notBeforeMs = 1_001;
  assert.equal(p.gate(), "backoff");
  p.partition.notBeforeMs = 1_000;
  p.partition.awaitingMetadata = true;
  assert.equal(p.gate(), "metadata");
});

test("gates: while a broker owes answers no other one gets anything (H2)", () => {
  const p = proven();
  p.add();
  const first = p.send();
  p.add();
  assert.equal(p.gate(OTHER), "migration");
  p.accept(first);
  assert.equal(p.gate(OTHER), undefined);
});

test("gates: one at a time means that the partition waits for the answer", () => {
  const p = proven();
  p.add();
  const first = p.send();
  p.add();
  assert.equal(p.gate(LEADER, true), "muted");
  p.accept(first);
  assert.equal(p.gate(LEADER, true), undefined);
});

test("gates: no more batches than a broker remembers, counted from the oldest without an answer (I4)", () => {
  const p = proven();
  for (let i = 0; i < 5; i++) p.add();
  const sent = Array.from({ length: 5 }, () => p.send());
  p.add();
  assert.equal(p.gate(), "window");
  // The four behind the oldest have been accepted: it may still be sent again, and must not have been forgotten then.
  for (const batch of sent.slice(1)) p.accept(batch);
  assert.equal(p.gate(), "window");
  p.accept(sent[0]!);
  assert.equal(p.gate(), undefined);
});

test("gates: a retry waits for the answers of all that was sent with it, whatever has been accepted (I5)", () => {
  const p = proven();
  for (let i = 0; i < 3; i++) p.add();
  const [first, second, third] = [p.send(), p.send(), p.send()];
  p.refuse(first);
  p.accept(second);
  assert.equal(p.gate(), "recovery");
  p.accept(third);
  assert.equal(p.gate(), undefined);
});

test("gates: until the leader has accepted a batch of this epoch one is in flight (H1)", () => {
  const p = play();
  p.add();
  const first = p.send();
  p.add();
  assert.equal(p.gate(), "proof");
  p.accept(first);
  assert.equal(p.gate(), undefined);
  // The same broker, elected again, may have lost what it knew; so may the one of a topic that was created anew.
  p.send();
  p.add();
  assert.equal(p.gate({ ...LEADER, generation: 3 }), "proof");
  assert.equal(p.gate(), undefined);
});

test("gates: after a batch has ended in doubt nothing new is sent before an answer tells (I7)", () => {
  const p = proven();
  p.add();
  p.add();
  const [doubtful, behind] = [p.send(), p.send()];
  p.partition.removeInFlight(doubtful);
  p.partition.sequence.markUnresolved(doubtful);
  p.add();
  assert.equal(p.gate(), "proof");
  p.accept(behind);
  assert.equal(p.gate(), undefined, "what was sent after it is in the log, so it is as well");
});

test("gates: without a producer id, or in an older epoch with batches to finish, the partition waits (I8)", () => {
  const p = proven();
  p.add();
  const nobody: Stamping = { ...stamping, identity: undefined };
  const newer: Stamping = { ...stamping, identity: { producerId: 5n, producerEpoch: 4 } };
  const gate = (who: Stamping): Gate | undefined => p.gate(LEADER, false, who);
  assert.equal(gate(nobody), "identity");
  p.send();
  p.add();
  assert.equal(gate(newer), "identity", "an answer of the old epoch is still to come");
  p.accept(p.partition.inFlight[0]!);
  assert.equal(gate(newer), undefined);
  assert.equal(p.partition.sequence.isAt(newer.identity), true);
});

/** An attempt that nothing holds back. */
const FREE: Attempt = {
  ...{ isEncoding: false, nowMs: 1_000, notBeforeMs: 0, awaitsMetadata: false },
  ...{ inFlight: 0, sentToId: 1, leaderId: 1, oneAtATime: false },
};

/** A batch without a stamp that nothing holds back. */
const NEW: StampedAttempt = {
  ...{ inFlight: 0, span: 0, isRetry: false, isProven: true },
  ...{ hasIdentity: true, isCurrent: true, isUnresolved: false, awaitsRewrite: false },
};

test("gates: the table of what holds any batch, and which of two reasons is named", () => {
  const table: [Partial<Attempt>, Gate | undefined][] = [
    [{}, undefined],
    [{ isEncoding: true }, "encoding"],
    [{ isEncoding: true, notBeforeMs: 1_001, awaitsMetadata: true, inFlight: 1, sentToId: 2 }, "encoding"],
    [{ notBeforeMs: 1_001 }, "backoff"],
    [{ notBeforeMs: 1_000 }, undefined],
    [{ notBeforeMs: 1_001, awaitsMetadata: true }, "backoff"],
    [{ awaitsMetadata: true }, "metadata"],
    [{ awaitsMetadata: true, inFlight: 1, sentToId: 2 }, "metadata"],
    [{ sentToId: 2 }, undefined],
    [{ inFlight: 1 }, undefined],
    [{ inFlight: 1, sentToId: 2 }, "migration"],
    [{ inFlight: 1, sentToId: 2, oneAtATime: true }, "migration"],
    [{ inFlight: 1, oneAtATime: true }, "muted"],
    [{ oneAtATime: true }, undefined],
  ];
  for (const [attempt, gate] of table) assert.equal(gateOf({ ...FREE, ...attempt }), gate, JSON.stringify(attempt));
});

test("gates: the table of what holds a batch that has a stamp, or would get one", () => {
  const table: [Partial<StampedAttempt>, Gate | undefined][] = [
    [{}, undefined],
    [{ inFlight: 4, span: 4 }, undefined],
    [{ inFlight: 1, span: 5 }, "window"],
    [{ inFlight: 1, span: 5, isRetry: true }, "window"],
    [{ inFlight: 1, span: 1, isRetry: true }, "recovery"],
    [{ isRetry: true }, undefined],
    [{ isRetry: true, isProven: false }, undefined],
    [{ isRetry: true, isUnresolved: true, isCurrent: false }, undefined],
    [{ isRetry: true, awaitsRewrite: true }, "identity"],
    [{ inFlight: 1, span: 1, isProven: false }, "proof"],
    [{ inFlight: 1, span: 1, isProven: false, hasIdentity: false }, "proof"],
    [{ isProven: false }, undefined],
    [{ hasIdentity: false }, "identity"],
    [{ hasIdentity: false, isRetry: true }, "identity"],
    [{ hasIdentity: false, isUnresolved: true }, "identity"],
    [{ isUnresolved: true }, "unresolved"],
    [{ isUnresolved: true, isCurrent: false }, "unresolved"],
    [{ isCurrent: false }, "identity"],
  ];
  for (const [attempt, gate] of table) {
    assert.equal(stampedGateOf({ ...NEW, ...attempt }), gate, JSON.stringify(attempt));
  }
});
