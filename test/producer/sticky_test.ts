import assert from "node:assert/strict";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import {
  cumulativeWeights,
  StickyPartition,
  type StickyTopic,
  weightedIndex,
} from "../../src/producer/record/sticky_partition.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { Topic } from "../../src/producer/accumulator/topic.ts";
import { test } from "../harness.ts";
import { CHI_SQUARE_11, chiSquare } from "./chi_square.ts";

interface Scene {
  partitionCount: number;
  available?: readonly number[];
  isFull?: boolean;
  loads?: readonly number[] | undefined;
}

/** A topic that is as the scene says, also when that changes. */
function topic(scene: Scene): StickyTopic & { weighings: number } {
  const all = Array.from({ length: scene.partitionCount }, (_, i) => i);
  return {
    weighings: 0,
    get partitionCount() {
      return scene.partitionCount;
    },
    available: () => scene.available ?? all,
    isFull: () => scene.isFull ?? true,
    loads() {
      this.weighings++;
      return scene.loads;
    },
  };
}

test("sticky: stays until enough bytes have gone there, then moves to a different partition", () => {
  const sticky = new StickyPartition(1_000, 0, seededRandom(3));
  const three = topic({ partitionCount: 3 });
  let last = -1;
  for (let round = 0; round < 2_000; round++) {
    const chosen = sticky.choose(three, false);
    assert.notEqual(chosen, last, "the same partition twice");
    for (let bytes = 0; bytes < 1_000; bytes += 250) {
      assert.equal(sticky.choose(three, false), chosen);
      sticky.appended(250, three);
      sticky.appended(5_000, three); // a record with a key, which nobody chose a partition for
    }
    last = chosen;
  }
});

test("sticky: records that belong together stay together up to their own limit, and begin where it is time to", () => {
  const sticky = new StickyPartition(1_000, 5_000, seededRandom(3));
  const three = topic({ partitionCount: 3 });
  const call = (records: number): number[] =>
    Array.from({ length: records }, (_, index) => {
      const chosen = sticky.choose(three, index > 0);
      sticky.appended(250, three);
      return chosen;
    });
  assert.equal(new Set(call(3)).size, 1);
  const first = call(16); // with the 750 bytes before it 4,750
  assert.equal(new Set(first).size, 1, "beyond what is enough for a batch");
  const second = call(40);
  assert.notEqual(second[0], first[0], "the call before was enough for that partition");
  assert.equal(new Set(second.slice(0, 20)).size, 1, "5,000 bytes");
  assert.notEqual(second[20], second[0]);
  const shrunk = topic({ partitionCount: 1 });
  sticky.choose(three, true);
  for (let round = 0; round < 8; round++) assert.equal(sticky.choose(shrunk, true), 0, "a partition that is gone");
});

test("sticky: keyless records of one call of sendBatch make one batch, unless batchSize is set", async () => {
  for (const [options, fewest, most] of [[{}, 1, 1], [{ batchSize: 10_000 }, 10, 30]] as const) {
    const { cluster, producer, run } = stage({ topics: { wide: 12 } });
    const p = producer(options);
    await run(p.send({ topic: "wide", value: "v", partition: 0 }));
    const before = batchesOf(cluster);
    await run(p.sendBatch(Array.from({ length: 100 }, () => ({ topic: "wide", value: "v".repeat(1_000) }))).all());
    const batches = batchesOf(cluster) - before;
    assert.ok(batches >= fewest && batches <= most, `${batches} batches with ${JSON.stringify(options)}`);
    await run(p.close());
  }
});

function batchesOf(cluster: ReturnType<typeof stage>["cluster"]): number {
  const batches = Array.from({ length: 12 }, (_, i) => cluster.partition("wide", i).log.batches.length);
  return batches.reduce((sum, count) => sum + count);
}

test("sticky: 100,000 records spread evenly over 12 partitions", () => {
  const sticky = new StickyPartition(1_000, 0, seededRandom(7));
  const twelve = topic({ partitionCount: 12 });
  const counts = new Array<number>(12).fill(0);
  const turns = counts.map(() => 0);
  let last = -1;
  for (let record = 0; record < 100_000; record++) {
    const chosen = sticky.choose(twelve, false);
    if (chosen !== last) turns[chosen]!++;
    last = chosen;
    counts[chosen]!++;
    sticky.appended(100, twelve);
  }
  assert.equal(counts.reduce((sum, count) => sum + count), 100_000);
  assert.equal(turns.reduce((sum, count) => sum + count), 10_000);
  assert.ok(chiSquare(turns) < CHI_SQUARE_11, `turns ${turns.join()}`);
  assert.ok(Math.max(...counts) < 1.15 * Math.min(...counts), `records ${counts.join()}`);
});

test("sticky: partitions without a leader are left out, and one partition is enough", () => {
  const sticky = new StickyPartition(1, 0, seededRandom(1));
  const counts = [0, 0, 0, 0];
  const some = topic({ partitionCount: 4, available: [0, 1, 3] });
  for (let i = 0; i < 3_000; i++) {
    counts[sticky.choose(some, false)]!++;
    sticky.appended(10, some);
  }
  assert.equal(counts[2], 0);
  assert.ok(Math.min(counts[0]!, counts[1]!, counts[3]!) > 900, counts.join());
  const lone = new StickyPartition(1, 0, seededRandom(1));
  const one = topic({ partitionCount: 1 });
  for (let i = 0; i < 10; i++) {
    assert.equal(lone.choose(one, false), 0);
    lone.appended(10, one);
  }
});

test("sticky: when the topic has shrunk or grown the choice is made among what there is", () => {
  const scene: Scene = { partitionCount: 8, loads: [9, 9, 9, 9, 9, 9, 9, 0] };
  const eight = topic(scene);
  const sticky = new StickyPartition(1_000_000, 0, () => 0.99);
  assert.equal(sticky.choose(eight, false), 7);
  Object.assign(scene, { partitionCount: 2, available: [0, 1], loads: [0, 9] });
  assert.equal(sticky.choose(eight, false), 1, "weights of the old list would have led beyond the new one");
  const growing: Scene = { partitionCount: 1, available: [0] };
  const grown = topic(growing);
  const small = new StickyPartition(1, 0, seededRandom(2));
  assert.equal(small.choose(grown, false), 0);
  small.appended(1, grown);
  Object.assign(growing, { partitionCount: 3, available: [0, 1, 2] });
  assert.notEqual(small.choose(grown, false), 0);
});

test("sticky: a batch that isn't full keeps its partition until it is, or until twice the bytes", () => {
  const scene: Scene = { partitionCount: 3, isFull: false };
  const three = topic(scene);
  const sticky = new StickyPartition(1_000, 0, seededRandom(5));
  const send = (bytes: number): number => {
    const chosen = sticky.choose(three, false);
    sticky.appended(bytes, three);
    return chosen;
  };
  const first = send(900);
  assert.equal(send(600), first);
  assert.equal(send(400), first, "enough bytes, but it would leave a fraction of a batch");
  assert.equal(send(200), first, "twice as many are reached with this one");
  const second = send(500);
  assert.notEqual(second, first);
  assert.equal(send(700), second);
  scene.isFull = true; // drained, or closed, since
  const third = send(10);
  assert.notEqual(third, second, "a move that was put off is made up for before the next record");
  // Full at the moment of an append is enough, though a record with a key opens another batch there afterwards.
  assert.equal(send(990), third);
  scene.isFull = false;
  assert.notEqual(send(10), third);
});

test("sticky: weights are one more than the longest queue less the own, as KIP-794 and its example have them", () => {
  assert.deepEqual(cumulativeWeights([0, 3, 1]), [4, 5, 8]);
  assert.deepEqual(cumulativeWeights([5, 0, 3, 0, 1]), [1, 7, 10, 16, 21]);
  assert.equal(cumulativeWeights([2, 2, 2]), undefined, "all the same is no reason");
  assert.equal(cumulativeWeights([7]), undefined);
  assert.equal(cumulativeWeights([]), undefined);
  const hits = Array.from({ length: 8 }, (_, i) => weightedIndex([4, 5, 8], i / 8));
  assert.deepEqual(hits, [0, 0, 0, 0, 1, 2, 2, 2]);
  assert.equal(weightedIndex([4, 5, 8], 1 - Number.EPSILON), 2);
});

test("sticky: over a full cycle of chances each partition is chosen exactly as often as its weight says", () => {
  const loads = [5, 0, 3, 0, 1];
  const total = 21;
  let draws = 0;
  const sticky = new StickyPartition(1, 0, () => (draws++ % total) / total);
  const five = topic({ partitionCount: 5, loads });
  const counts = loads.map(() => 0);
  for (let i = 0; i < 10 * total; i++) {
    counts[sticky.choose(five, false)]!++;
    sticky.appended(1, five);
  }
  assert.deepEqual(counts, loads.map((load) => 10 * (6 - load)));
});

test("sticky: weights belong to the partitions that have a leader", () => {
  const sticky = new StickyPartition(1, 0, seededRandom(4));
  const five = topic({ partitionCount: 5, available: [1, 3, 4], loads: [0, 2, 5] });
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < 10_000; i++) {
    counts[sticky.choose(five, false)]!++;
    sticky.appended(1, five);
  }
  assert.deepEqual([counts[0], counts[2]], [0, 0]);
  for (const [index, weight] of [[1, 6], [3, 4], [4, 1]] as const) {
    assert.ok(Math.abs(counts[index]! / 10_000 - weight / 11) < 0.02, counts.join());
  }
});

test("sticky: queues are looked at when bytes have gone out for it, not for each record nor at each move", () => {
  const wide = topic({ partitionCount: 5_000, loads: undefined });
  const sticky = new StickyPartition(16_384, 0, seededRandom(4));
  let moves = 0;
  let last = -1;
  for (let record = 0; record < 200_000; record++) {
    const chosen = sticky.choose(wide, false);
    if (chosen !== last) moves++;
    last = chosen;
    sticky.appended(100, wide);
  }
  assert.ok(moves > 1_000, `${moves} moves`);
  assert.ok(wide.weighings <= 16, `${wide.weighings} weighings of 5,000 for 20 MB`);
  const narrow = topic({ partitionCount: 12, loads: undefined });
  const other = new StickyPartition(16_384, 0, seededRandom(4));
  for (let record = 0; record < 1_000; record++) {
    other.choose(narrow, false);
    other.appended(100, narrow);
  }
  assert.ok(narrow.weighings >= 6, "few partitions are weighed at each move");
});

test("sticky: a slow broker's partitions get less, and all the same again when it has caught up", async () => {
  const { cluster, producer, run, runtime } = stage({
    brokers: 3,
    topics: { wide: { partitions: 6, replicationFactor: 1 } },
    network: { latencyMs: 1 },
  });
  const p = producer({ batchSize: 1_000, bufferMemory: 100_000_000 });
  await run(Promise.all(Array.from({ length: 6 }, (_, i) => p.send({ topic: "wide", partition: i, value: "warm" }))));
  const slow = cluster.partition("wide", 0).leaderId;
  const isSlow = (partition: number): boolean => cluster.partition("wide", partition).leaderId === slow;
  let slowMs = 200;
  cluster.control(Produce, (_, { brokerId }) => brokerId === slow ? { answerDelayMs: slowMs } : undefined);
  const shareOfSlow = async (rounds: number): Promise<number> => {
    const sends: Promise<{ partition: number }>[] = [];
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < 30; i++) sends.push(p.send({ topic: "wide", value: "v".repeat(90) }));
      await runtime.advance(4);
    }
    const partitions = (await run(Promise.all(sends))).map(({ partition }) => partition);
    return partitions.filter(isSlow).length / partitions.length;
  };
  const busy = await shareOfSlow(400);
  assert.ok(busy < 0.15, `${busy} of the records went to the slow third`);
  slowMs = 0;
  const calm = await shareOfSlow(400);
  assert.ok(calm > 0.27 && calm < 0.4, `${calm} of the records went to what had been the slow third`);
  await run(p.close());
});

test("sticky: keyless records of a producer on a topic that is made again with fewer partitions still arrive", async () => {
  const { cluster, producer, run } = stage({ topics: { wide: 12 } });
  const p = producer({ batchSize: 1_000 });
  const send = (): Promise<unknown> =>
    Promise.all(Array.from({ length: 300 }, () => p.send({ topic: "wide", value: "v".repeat(90) })));
  await run(send());
  cluster.deleteTopic("wide");
  cluster.createTopic("wide", { partitions: 2 });
  await run(p.refreshMetadata("wide"));
  cluster.clearRequests();
  await run(send());
  assert.equal((await cluster.records("wide")).length, 300);
  assert.equal(cluster.requestsOf(Metadata).length, 0);
  await run(p.close());
});

test("sticky: which partitions have a leader is worked out once for each answer, and all count while none has one", () => {
  const led = (...leaderIds: number[]) => leaderIds.map((leaderId) => ({ leaderId, leaderEpoch: 0, generation: 1 }));
  const metadata = { partitions: led(1, -1, 2) };
  const topic = new Topic("orders", metadata as never, undefined, 1_000);
  const available = topic.available();
  assert.deepEqual(available, [0, 2]);
  assert.equal(topic.available(), available, "every record asks");
  metadata.partitions = led(-1, -1);
  assert.deepEqual(topic.available(), [0, 1]);
  metadata.partitions = led(0, -1);
  assert.deepEqual(topic.available(), [0]);
});
