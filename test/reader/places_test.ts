/** Where a reader stands when its caller goes elsewhere, and when the log under it changes. */
import assert from "node:assert/strict";
import { Fetch, ListOffsets, OffsetForLeaderEpoch } from "../../src/protocol/messages/mod.ts";
import type { OffsetReset, Reader } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { drain, groupStage, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };
/** So that each answer brings one batch. */
const ONE_BATCH = { maxBytes: 1, maxPartitionBytes: 1 };

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));

async function take(reader: Reader, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const record of reader) {
    texts.push(textOf(record));
    if (texts.length === count) break;
  }
  return texts;
}

for (const by of ["records", "batches"] as const) {
  test(`places: a seek at any moment of a next() counts, and so does a pause, ${by} by ${by}`, async () => {
    for (let ticks = 0; ticks < 24; ticks++) {
      for (const does of ["seek", "pause"] as const) {
        const { fill, reader, run, runtime } = groupStage(1);
        // Batches of two.
        for (let from = 0; from < 8; from += 2) await fill(2, from);
        const it = reader();
        it.assign([{ ...ZERO, start: 0n }]);
        const values = async function* (): AsyncGenerator<string> {
          if (by === "records") { for await (const record of it) yield textOf(record); }
          else for await (const { records } of it.batches()) yield textOf(records[0]!);
        };
        const iteration = values();
        assert.equal((await run(iteration.next())).value, "0");
        // The next one is the first of a batch.
        if (by === "records") await run(iteration.next());
        await runtime.advance(1_000);
        const standing = it.position(ZERO)!;
        const next = iteration.next();
        for (let i = 0; i < ticks; i++) await undefined;
        const label = `${does} after ${ticks} microtasks`;
        // What was handed out by then may be on its way to the caller.
        const isUnderway = it.position(ZERO)! > standing;
        if (does === "seek") {
          it.seek(ZERO, 6n);
          const { value } = await run(next);
          assert.equal(isUnderway ? (await run(iteration.next())).value : value, "6", label);
        } else {
          it.pause([ZERO]);
          let isDone = false;
          void next.then(() => isDone = true);
          await runtime.advance(1_000);
          assert.equal(isDone, isUnderway, label);
          it.resume([ZERO]);
          const texts = [(await run(next)).value, (await run(iteration.next())).value];
          assert.deepEqual(texts, by === "records" ? ["2", "3"] : ["2", "4"], label);
        }
        const closed = iteration.return(undefined);
        await run(it.close());
        await run(closed);
      }
    }
  });
}

test("places: retention that overtakes the position leads where onMissingOffset says, behind what is buffered", async () => {
  for (const onMissingOffset of ["beginning", "end", "fail"] as const) {
    const { cluster, failure, fill, reader, run, runtime } = groupStage(1);
    for (let from = 0; from < 20; from += 2) await fill(2, from);
    const resets: OffsetReset[] = [];
    const it = reader({ ...ONE_BATCH, onMissingOffset, onOffsetReset: (reset) => void resets.push(reset) });
    it.assign([{ ...ZERO, start: 0n }]);
    assert.deepEqual(await run(take(it, 1)), ["0"]);
    await runtime.advance(1_000);
    // Two batches are buffered.
    cluster.deleteRecords("orders", 0, 15n);
    assert.deepEqual(await run(take(it, 2)), numbers(1, 3));
    await runtime.advance(1_000);
    assert.deepEqual(await run(take(it, 1)), ["3"], onMissingOffset);
    if (onMissingOffset === "beginning") assert.deepEqual(await run(take(it, 5)), numbers(15, 20));
    else if (onMissingOffset === "end") {
      const next = take(it, 1);
      await runtime.advance(5_000);
      assert.equal(it.position(ZERO), 20n);
      await fill(1, 20);
      assert.deepEqual(await run(next), ["20"]);
    } else {
      const error = await failure(take(it, 1));
      assert.equal(error.code, "OFFSET_OUT_OF_RANGE");
      assert.match(error.message, /Offset 4 of .* is not in its log/);
      assert.equal(it.position(ZERO), 4n);
      it.seek(ZERO, "beginning");
      assert.deepEqual(await run(take(it, 1)), ["15"]);
    }
    // And beyond the other end.
    it.seek(ZERO, 1_000n);
    if (onMissingOffset === "fail") assert.match((await failure(take(it, 1))).message, /Offset 1000 of/);
    else {
      const next = take(it, 1);
      await runtime.advance(5_000);
      await fill(1, 30);
      assert.deepEqual(await run(next), onMissingOffset === "end" ? ["30"] : ["15"]);
    }
    // Whoever doesn't go on where it was says so.
    if (onMissingOffset === "fail") assert.deepEqual(resets, []);
    else {
      const [first] = resets;
      assert.deepEqual(resets.map(({ from, to }) => [from, to]), [4n, 1_000n].map((from) => [from, onMissingOffset]));
      assert.deepEqual([first!.topic, first!.partition, first!.reason.code], ["orders", 0, "OFFSET_OUT_OF_RANGE"]);
      assert.equal(
        first!.reason.message,
        `Offset 4 of topic "orders" partition 0 is not in its log. Reading goes on at the ${onMissingOffset} of the log.`,
      );
    }
    await run(it.close());
  }
});

for (const code of [74, 75, 78]) {
  test(`places: ${code} is waited out at every request of a reader, and no record is lost or comes twice`, async () => {
    for (const api of [Fetch, ListOffsets, OffsetForLeaderEpoch] as unknown as (typeof Fetch)[]) {
      const { cluster, fill, reader, run, runtime, until } = groupStage(1, {
        brokers: 2,
        topics: { orders: { partitions: 1, replicationFactor: 2 } },
      });
      for (let from = 0; from < 20; from += 2) await fill(2, from);
      const it = reader(ONE_BATCH);
      it.assign([{ ...ZERO, start: "beginning" }]);
      let isRefused = api === ListOffsets as unknown;
      let refusals = 0;
      cluster.control(api, () => isRefused && ++refusals > 0 ? { error: code } : undefined);
      const seen: string[] = [];
      drain(it, seen, (text) => {
        if (text !== "3") return;
        isRefused = true;
        cluster.moveLeader("orders", 0, 3 - cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId);
      });
      await runtime.advance(20_000);
      assert.ok(refusals > 3 && refusals < 60, `${api.name} was refused ${refusals} times`);
      isRefused = false;
      await until(() => seen.length >= 20);
      await fill(2, 20);
      await until(() => seen.length >= 22);
      assert.deepEqual(seen, numbers(0, 22), api.name);
      await run(it.close());
    }
  });
}

test("places: what is buffered of a topic that is deleted is handed out, and asking for more is told and grows rare", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(1);
  for (let from = 0; from < 8; from += 2) await fill(2, from);
  const troubles: (string | null)[] = [];
  const it = reader({ ...ONE_BATCH, onTrouble: (trouble) => void troubles.push(trouble && trouble.code) });
  it.assign([{ ...ZERO, start: 0n }]);
  assert.deepEqual(await run(take(it, 1)), ["0"]);
  await runtime.advance(1_000);
  cluster.deleteTopic("orders");
  await runtime.advance(1_000);
  assert.deepEqual(await run(take(it, 3)), numbers(1, 4));
  cluster.clearRequests();
  const next = take(it, 1);
  await runtime.advance(60_000);
  assert.equal(troubles.length, 1);
  assert.ok(cluster.requests.length < 150, `${cluster.requests.length} requests in a minute`);
  assert.equal(it.position(ZERO), 4n);
  await run(it.close());
  assert.deepEqual(await run(next), []);
});

test("places: a topic that is made anew is checked after an election from its own epochs on", async () => {
  const { cluster, fill, reader, run, runtime, until } = groupStage(1, {
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
  });
  const leaderOf = (): number => cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId;
  await fill(4);
  const it = reader();
  it.assign([{ ...ZERO, start: 0n }]);
  assert.deepEqual(await run(take(it, 4)), numbers(0, 4));
  // The old one comes to a high epoch, and is found to be whole.
  for (let i = 0; i < 6; i++) {
    await runtime.advance(1_000);
    cluster.moveLeader("orders", 0, 3 - leaderOf());
    await fill(1, 4 + i);
    assert.deepEqual(await run(take(it, 1)), [String(4 + i)]);
  }
  assert.ok(cluster.requestsOf(OffsetForLeaderEpoch).length > 3);
  cluster.deleteTopic("orders");
  await runtime.advance(1_000);
  cluster.createTopic("orders", { partitions: 1, replicationFactor: 2 });
  await fill(10, 100);
  assert.deepEqual(await run(take(it, 10)), numbers(100, 110));
  const leader = leaderOf();
  cluster.setIsr("orders", 0, [leader]);
  await fill(10, 110);
  assert.deepEqual(await run(take(it, 10)), numbers(110, 120));
  // As many as were lost, so that nothing but the epoch tells of it.
  cluster.electLeader("orders", 0, 3 - leader, { unclean: true });
  await fill(10, 200);
  await until(() => cluster.endOffset("orders", 0) === 20n);
  await fill(1, 210);
  assert.deepEqual(await run(take(it, 11)), numbers(200, 211));
  await run(it.close());
});

test("places: read_committed stands at a transaction that stays open, also after a seek and a pause, and goes on when it ends", async () => {
  for (const end of ["commit", "abort"] as const) {
    const { cluster, fill, reader, run, runtime, transactional } = groupStage(1);
    const producer = transactional("t");
    await fill(3);
    const open = await run(producer.begin());
    await run(open.send({ ...ZERO, value: "10" }));
    await run(open.send({ ...ZERO, value: "11" }));
    // Without a transaction, but behind one.
    await fill(3, 3);
    const it = reader({ ...ONE_BATCH, onMissingOffset: "fail" });
    it.assign([{ ...ZERO, start: 0n }]);
    const seen: string[] = [];
    const { ended } = drain(it, seen);
    await runtime.advance(5_000);
    assert.deepEqual(seen, numbers(0, 3));
    assert.equal(it.position(ZERO), 3n);
    // Into the open transaction, and behind it: nothing of that is stable.
    for (const offset of [4n, 6n, cluster.endOffset("orders", 0)]) {
      it.seek(ZERO, offset);
      await runtime.advance(5_000);
      assert.equal(it.position(ZERO), offset);
    }
    assert.deepEqual(await run(it.offsetsOf([ZERO], "end")), [{ ...ZERO, offset: 3n }]);
    it.seek(ZERO, "end");
    await runtime.advance(5_000);
    assert.equal(it.position(ZERO), 3n);
    assert.equal(seen.length, 3);
    it.pause([ZERO]);
    await run(end === "commit" ? open.commit() : open.abort());
    await runtime.advance(5_000);
    assert.equal(seen.length, 3);
    it.resume([ZERO]);
    await runtime.advance(5_000);
    const wanted = end === "commit" ? ["10", "11", "3", "4", "5"] : ["3", "4", "5"];
    assert.deepEqual(seen.slice(3), wanted);
    assert.equal(it.position(ZERO), cluster.endOffset("orders", 0));
    // From the middle of it, what was aborted stays hidden.
    it.seek(ZERO, 4n);
    await runtime.advance(5_000);
    assert.deepEqual(
      seen.slice(3 + wanted.length),
      wanted.slice(-4).filter((text) => end === "commit" || text !== "11"),
    );
    await run(it.close());
    await run(ended);
    await run(producer.close());
  }
});
