/** The ways of a batch, as a table, and that its methods take no other. */

import assert from "node:assert/strict";
import { Batch } from "../../src/producer/accumulator/batch.ts";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import { Partition, type QueuedBatch } from "../../src/producer/accumulator/partition.ts";
import {
  CLOSED,
  DONE,
  ENCODING,
  IN_FLIGHT,
  OPEN,
  type Phase,
  PHASES,
  PROBED,
  READY,
  transition,
} from "../../src/producer/accumulator/phase.ts";
import type { Codec } from "../../src/codec/codec.ts";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { unhandledIn } from "./unhandled.ts";
import { watch } from "./wire.ts";

const LEADER = { leaderId: 1, leaderEpoch: 4, generation: 1 };
const NO_BYTES = { key: null, keyLength: 0, value: null, valueLength: 0, headers: null, headersLength: 0 };
const pool = new BufferPool(4_096);

/** What may follow what, written out a second time: a way that is added or lost must be added or lost twice. */
const WAYS: readonly (readonly [from: Phase, to: Phase])[] = [
  [OPEN, CLOSED],
  [OPEN, DONE],
  [CLOSED, ENCODING],
  [CLOSED, READY],
  [CLOSED, DONE],
  [ENCODING, READY],
  [ENCODING, CLOSED],
  [ENCODING, DONE],
  [READY, IN_FLIGHT],
  [READY, CLOSED],
  [READY, DONE],
  [IN_FLIGHT, READY],
  [IN_FLIGHT, CLOSED],
  [IN_FLIGHT, PROBED],
  [IN_FLIGHT, DONE],
  [PROBED, READY],
];

function newPartition(): Partition {
  return new Partition({ name: "orders", metadata: { topicId: "" } } as never, 0, { onDue: () => {} });
}

/** An open batch of so many records, in the queue of its partition. */
function queued(partition: Partition, records = 2): QueuedBatch {
  const batch: QueuedBatch = new Batch(partition, 0, 120_000, 64, pool);
  for (let index = 0; index < records; index++) batch.append(NO_BYTES, 0, undefined, Infinity);
  partition.queue.push(batch);
  return batch;
}

/** A batch that was sent. */
function sent(partition: Partition, records = 2): QueuedBatch {
  const batch = queued(partition, records);
  batch.encode(undefined, 0);
  return partition.take(LEADER, false);
}

function nameOf({ phase }: QueuedBatch): string {
  return PHASES[phase]!.name;
}

test("phase: of all ways from phase to phase those of the table are open and the others throw", () => {
  const open: (readonly [Phase, Phase])[] = [];
  for (const from of PHASES.keys() as Iterable<Phase>) {
    for (const to of PHASES.keys() as Iterable<Phase>) {
      try {
        assert.equal(transition(from, to), to);
        open.push([from, to]);
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        assert.equal(code, "UNEXPECTED");
        assert.match(
          message,
          new RegExp(`^A batch that is "${PHASES[from]!.name}" can't become "${PHASES[to]!.name}"`),
        );
      }
    }
  }
  const sorted = (ways: typeof WAYS): string[] => ways.map(String).sort();
  assert.deepEqual(sorted(open), sorted(WAYS));
});

test("phase: every phase can be reached from the first one, and the last one from every phase", () => {
  const reached = (from: Phase): Set<Phase> => {
    const all = new Set([from]);
    for (const phase of all) for (const next of PHASES[phase]!.next) all.add(next);
    return all;
  };
  assert.equal(reached(OPEN).size, PHASES.length);
  for (const phase of PHASES.keys() as Iterable<Phase>) assert.ok(reached(phase).has(DONE), PHASES[phase]!.name);
});

test("phase: a batch that is sent, lost, sent again and answered is on the list that its phase says", () => {
  const partition = newPartition();
  const batch = queued(partition);
  assert.deepEqual([nameOf(batch), partition.open === batch], ["open", true]);
  batch.close();
  assert.deepEqual([nameOf(batch), partition.open], ["closed", undefined]);
  batch.encode(undefined, 0);
  assert.deepEqual([nameOf(batch), batch.drained], ["ready", false]);
  partition.take(LEADER, false);
  assert.deepEqual([nameOf(batch), batch.drained], ["in flight", true]);
  assert.deepEqual([partition.queue.length, partition.inFlight.length], [0, 1]);
  partition.putBack(batch);
  assert.deepEqual([nameOf(batch), batch.drained], ["ready", true]);
  assert.deepEqual([partition.queue.length, partition.inFlight.length], [1, 0]);
  partition.take(LEADER, false);
  partition.removeInFlight(batch);
  assert.equal(nameOf(batch), "done");
  assert.deepEqual([partition.queue.length, partition.inFlight.length], [0, 0]);
});

test("phase: a batch that is not in flight is not taken off that list, and one that has ended is not sent again", () => {
  const partition = newPartition();
  const batch = queued(partition);
  partition.removeInFlight(batch);
  assert.equal(nameOf(batch), "open");
  partition.removeFromQueue(batch);
  assert.equal(nameOf(batch), "done");
  assert.throws(() => partition.putBack(batch), /"done" can't become "closed"/);
  partition.removeFromQueue(batch);
  partition.removeInFlight(batch);
  assert.equal(nameOf(batch), "done");
});

test("phase: a batch whose bytes are not made is not sent", () => {
  const partition = newPartition();
  queued(partition);
  assert.throws(() => partition.take(LEADER, false), /"open" can't become "in flight"/);
});

test("phase: a probed batch is in no queue until it is put back", () => {
  const partition = newPartition();
  const batch = sent(partition);
  partition.awaitProbe(batch);
  assert.deepEqual([nameOf(batch), partition.queue.length, partition.inFlight.length], ["probed", 0, 0]);
  assert.throws(() => partition.awaitProbe(batch), /"probed" can't become "probed"/);
  partition.requeueProbed();
  assert.deepEqual([nameOf(batch), partition.queue.length], ["ready", 1]);
});

test("phase: a batch that lost records to the broker is encoded anew before it goes out again", () => {
  const partition = newPartition();
  const batch = sent(partition);
  batch.refuse(new Map([[0, new Error("no") as never]]));
  assert.equal(nameOf(batch), "in flight");
  partition.putBack(batch);
  assert.deepEqual([nameOf(batch), batch.drained], ["closed", true]);
  batch.encode(undefined, 0);
  assert.equal(nameOf(batch), "ready");
});

test("phase: the halves of a batch are closed, and sent again only if the whole was sent", () => {
  const partition = newPartition();
  const [first, second] = sent(partition).split();
  assert.deepEqual([nameOf(first), first.drained, nameOf(second), second.drained], ["closed", true, "closed", true]);
  const fresh = queued(newPartition()).split();
  assert.deepEqual(fresh.map((half) => [nameOf(half), half.drained]), [["closed", false], ["closed", false]]);
});

test("phase: a batch gives its buffer back once, however often it ends, and not while a codec or a socket reads it", () => {
  const given = (make: (batch: QueuedBatch, partition: Partition) => void): number => {
    let count = 0;
    const own = { take: (bytes: number) => new Uint8Array(bytes), give: () => void count++ } as unknown as BufferPool;
    const partition = newPartition();
    const batch: QueuedBatch = new Batch(partition, 0, 120_000, 1_024, own);
    batch.append(NO_BYTES, 0, undefined, Infinity);
    partition.queue.push(batch);
    make(batch, partition);
    batch.recycle();
    batch.recycle();
    return count;
  };
  assert.equal(given(() => {}), 1);
  assert.equal(given((batch) => batch.socketMayHoldBytes = true), 0);
  const codec = { name: "lz4" as const, id: 3 as const, compress: () => new Promise<Uint8Array>(() => {}) };
  assert.equal(
    given((batch, partition) => {
      void batch.encode(codec, 0);
      partition.removeFromQueue(batch);
    }),
    0,
  );
});

test("phase: a codec that answers later leaves a batch ready, closed when a record went, and an ended one alone", async () => {
  let answer: (bytes: Uint8Array) => void = () => {};
  const codec = {
    name: "lz4" as const,
    id: 3 as const,
    compress: (): Promise<Uint8Array> => new Promise((resolve) => answer = resolve),
  };
  const finish = async (batch: QueuedBatch, meanwhile: () => void = () => {}): Promise<string> => {
    const later = batch.encode(codec, 0);
    assert.equal(nameOf(batch), "encoding");
    meanwhile();
    answer(new Uint8Array(8));
    await later;
    return nameOf(batch);
  };
  const partition = newPartition();
  assert.equal(await finish(queued(partition)), "ready");
  const taken = queued(partition);
  assert.equal(await finish(taken, () => taken.drop(0)), "closed");
  assert.equal(taken.wire, undefined);
  const over = queued(partition);
  assert.equal(await finish(over, () => partition.removeFromQueue(over)), "done");
  assert.equal(over.wire, undefined);
  const failed = queued(partition);
  const rejected = failed.encode({ ...codec, compress: () => Promise.reject(new RangeError("boom")) }, 0);
  await assert.rejects(rejected!, RangeError);
  // It is failed for that, whoever encodes it, and its buffer left to a codec that may be at work.
  assert.equal(nameOf(failed), "encoding");
});

test("phase: a batch that takes a way that there isn't ends the producer and says so, wherever that comes up", async (t) => {
  const unhandled = unhandledIn(t);
  const { transition: way } = Batch.prototype;
  // When it is taken for a request, its answer comes, that is lost, its time is over, its codec fails, and all fail.
  const faults = [
    ["sent", READY, IN_FLIGHT],
    ["answered", IN_FLIGHT, DONE],
    ["lost", IN_FLIGHT, READY],
    ["expired", OPEN, DONE],
    ["compressed", ENCODING, DONE],
    ["refused an identity", OPEN, DONE],
  ] as const;
  for (const [what, from, to] of faults) {
    const s = stage({ network: { latencyMs: 5 } });
    const failing: Codec = {
      ...{ name: "lz4", id: 3, decompress: (bytes) => bytes },
      compress: () => Promise.reject(new RangeError("boom")),
    };
    const compressed = what === "compressed" ? { compression: "lz4", codecs: { lz4: failing } } as const : {};
    if (what === "refused an identity") s.cluster.control(InitProducerId, { error: 31 });
    const p = s.producer({ deliveryTimeoutMs: 2_000, requestTimeoutMs: 1_500, ...compressed });
    await s.run(p.partitionsFor("orders"));
    let isBroken = true;
    Batch.prototype.transition = function (this: Batch<never>, next: Phase): void {
      if (!isBroken || this.phase !== from || next !== to) return way.call(this, next);
      isBroken = false;
      // One of the table's, or one of the engine's.
      if (what === "answered") throw new TypeError('It can\'t become "undefined". Please report it.');
      way.call(this, from);
    };
    if (what === "lost") s.cluster.control(Produce, { close: true });
    if (what === "expired") { for (const broker of s.cluster.brokers) s.cluster.stopBroker(broker.id); }
    try {
      const sent = [0, 1, 0].map((partition) => watch(s, p.send({ topic: "orders", partition, value: "v" })));
      await s.runtime.advance(10_000);
      assert.ok(!isBroken, what);
      const told = sent.filter(({ error }) => error !== undefined).map(({ error }) => [error!.code, error!.retriable]);
      assert.ok(told.length > 0 && sent.every(({ state }) => state !== "pending"), what);
      assert.deepEqual(told, told.map(() => ["UNEXPECTED", false]), what);
      const later = await s.failure(p.send({ topic: "orders", value: "v" }));
      assert.match(later.message, /can't become ".+"\. Please report it/);
      await s.run(p.close());
      assert.equal(p.metrics().records_pending, 0);
    } finally {
      Batch.prototype.transition = way;
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(unhandled, []);
});
