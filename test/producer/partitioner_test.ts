import assert from "node:assert/strict";
import { keyHash, type Partitioner, type PartitionerInput, randomPartition, roundRobin, sticky } from "../../mod.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { CHI_SQUARE_11, chiSquare } from "./chi_square.ts";
import { test } from "../harness.ts";

const input = (partial: Partial<PartitionerInput> = {}): PartitionerInput => ({
  topic: "t",
  key: null,
  keyBytes: null,
  value: "v",
  headers: undefined,
  partitionCount: 4,
  availablePartitions: [0, 1, 2, 3],
  sizeBytes: 1,
  random: seededRandom(5),
  ...partial,
});

test("sticky: keyless records of a producer fill a batch, then go elsewhere", async () => {
  const { cluster, producer, run } = stage({ topics: { wide: 12 } });
  const p = producer({ batchSize: 1_000, lingerMs: 5 });
  const counts = new Array<number>(12).fill(0);
  for (let round = 0; round < 100; round++) {
    const sends = Array.from({ length: 50 }, () => p.send({ topic: "wide", value: "v".repeat(90) }));
    for (const { partition } of await run(Promise.all(sends))) counts[partition]!++;
  }
  assert.equal(counts.reduce((sum, count) => sum + count), 5_000);
  assert.ok(Math.min(...counts) > 250, counts.join());
  const batches = Array.from({ length: 12 }, (_, i) => cluster.partition("wide", i).log.batches.length)
    .reduce((sum, count) => sum + count);
  assert.ok(batches < 1_000, `${batches} batches of 5,000 records`);
  await run(p.close());
});

/** Where the next records without a key go. */
function draw(partitioner: Partitioner, count: number, partial: Partial<PartitionerInput> = {}): number[] {
  const random = seededRandom(11);
  return Array.from({ length: count }, () => partitioner(input({ random, ...partial })));
}

/** Lengths of the runs of equal numbers; the last one, which may go on, is left out. */
function runs(numbers: readonly number[]): number[] {
  const lengths: number[] = [];
  let length = 1;
  for (let i = 1; i < numbers.length; i++, length++) {
    if (numbers[i] === numbers[i - 1]) continue;
    lengths.push(length);
    length = 0;
  }
  return lengths;
}

test("sticky by threshold: so many records without a key, or so many bytes, and then a different partition", () => {
  const byRecords = runs(draw(sticky({ records: 100 }), 10_000));
  assert.equal(byRecords.length, 99);
  assert.deepEqual([...new Set(byRecords)], [100]);
  const byBytes = runs(draw(sticky({ bytes: 1_000 }), 10_000, { sizeBytes: 300 }));
  assert.equal(byBytes.length, 2_499);
  assert.deepEqual([...new Set(byBytes)], [4], "300, 600, 900, 1,200");
  const chosen = draw(sticky({ records: 1 }), 12_000, {
    partitionCount: 12,
    availablePartitions: Array.from({ length: 12 }, (_, i) => i),
  });
  const counts = new Array<number>(12).fill(0);
  for (const partition of chosen) counts[partition]!++;
  assert.ok(chiSquare(counts) < CHI_SQUARE_11, counts.join());
  assert.ok(runs(chosen).every((length) => length === 1));
});

test("sticky by threshold: keys go by their hash and don't count, topics have turns of their own", () => {
  const partitioner = sticky({ records: 2 });
  const random = seededRandom(3);
  const keyed = (): number =>
    partitioner(input({ random, keyBytes: new TextEncoder().encode("user-123"), partitionCount: 3 }));
  const keyless = (topic: string): number => partitioner(input({ random, topic }));
  const first = keyless("a");
  for (let i = 0; i < 10; i++) assert.equal(keyed(), 2);
  const other = keyless("b");
  assert.equal(keyless("a"), first);
  assert.equal(keyless("b"), other);
  assert.notEqual(keyless("a"), first);
  assert.notEqual(keyless("b"), other);
});

test("sticky by threshold: a partition that there isn't any more is left at once, and one without a leader in its turn", () => {
  const partitioner = sticky({ records: 1_000 });
  const [before] = draw(partitioner, 1, { availablePartitions: [3] });
  assert.equal(before, 3);
  assert.deepEqual(draw(partitioner, 1, { partitionCount: 2, availablePartitions: [0] }), [0]);
  const lone = sticky({ records: 1 });
  assert.deepEqual(draw(lone, 5, { partitionCount: 1, availablePartitions: [0] }), [0, 0, 0, 0, 0]);
  assert.ok(draw(lone, 100, { availablePartitions: [1, 3] }).every((partition) => partition % 2 === 1));
});

test("sticky by threshold: anything but one threshold from 1 up is refused", () => {
  const wrong = [{}, { records: 1, bytes: 1 }, { records: 0 }, { bytes: -1 }, { records: 1.5 }, { bytes: NaN }, {
    bytes: "9",
  }];
  for (const threshold of wrong) {
    assert.throws(() => sticky(threshold as { records: number }), { name: "ConfigError", option: "partitioner" });
  }
});

test("sticky by threshold: in a producer, records of 100 bytes change after ten with { bytes: 1000 }", async () => {
  const { producer, run } = stage({ topics: { wide: 12 } });
  for (const partitioner of [sticky({ bytes: 1_000 }), sticky({ records: 10 })]) {
    const p = producer({ partitioner });
    const sends = Array.from({ length: 205 }, () => p.send({ topic: "wide", value: "é".repeat(50) }));
    const chosen = (await run(Promise.all(sends))).map(({ partition }) => partition);
    assert.deepEqual(runs(chosen), new Array(20).fill(10));
    await run(p.close());
  }
});

test("round robin: goes through the partitions by topic, whatever the key", () => {
  const partitioner = roundRobin();
  const turns = (topic: string, keyBytes: Uint8Array | null, count: number): number[] =>
    Array.from({ length: 5 }, () => partitioner(input({ topic, keyBytes, partitionCount: count })));
  assert.deepEqual(turns("a", null, 3), [0, 1, 2, 0, 1]);
  assert.deepEqual(turns("b", Uint8Array.of(1), 2), [0, 1, 0, 1, 0]);
  assert.deepEqual(turns("a", Uint8Array.of(1), 3), [2, 0, 1, 2, 0]);
  assert.ok(turns("a", null, 2).every((partition) => partition < 2), "fewer partitions than before");
});

test("round robin: by name in a producer, every key and every topic in turn", async () => {
  const { producer, run } = stage({ topics: { a: 3, b: 2 } });
  const p = producer({ partitioner: "roundRobin" });
  const sent = await run(
    p.sendBatch(
      Array.from({ length: 12 }, (_, i) => ({ topic: i % 2 === 0 ? "a" : "b", key: "always the same", value: "v" })),
    ).all(),
  );
  assert.deepEqual(sent.filter(({ topic }) => topic === "a").map(({ partition }) => partition), [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(sent.filter(({ topic }) => topic === "b").map(({ partition }) => partition), [0, 1, 0, 1, 0, 1]);
  await run(p.close());
});

test("random: any partition that has a leader, evenly, and different from run to run", () => {
  const counts = new Array<number>(12).fill(0);
  const available = counts.map((_, i) => i);
  const partitioner = randomPartition();
  const random = seededRandom(9);
  for (let i = 0; i < 100_000; i++) {
    counts[partitioner(input({ availablePartitions: available, partitionCount: 12, random }))]!++;
  }
  assert.ok(chiSquare(counts) < CHI_SQUARE_11, counts.join());
  for (let i = 0; i < 100; i++) {
    assert.ok([1, 3].includes(partitioner(input({ availablePartitions: [1, 3], random }))));
  }
  const draws = (seed: number): string => {
    const chance = seededRandom(seed);
    return Array.from({ length: 50 }, () => partitioner(input({ random: chance }))).join();
  };
  assert.notEqual(draws(1), draws(2));
});

test("random: by name in a producer, keys or not", async () => {
  const { producer, run } = stage();
  const p = producer({ partitioner: "random" });
  const sent = await run(
    p.sendBatch(Array.from({ length: 60 }, () => ({ topic: "orders", key: "one", value: "v" }))).all(),
  );
  assert.equal(new Set(sent.map(({ partition }) => partition)).size, 3);
  await run(p.close());
});

test("key hash: goes by murmur2 and refuses a record without a key, but not one with an empty key", async () => {
  const bytes = new TextEncoder().encode("user-123");
  assert.equal(keyHash()(input({ keyBytes: bytes, partitionCount: 3 })), 2);
  const { cluster, producer, run, failure } = stage();
  const p = producer({ partitioner: "keyHash" });
  assert.equal((await run(p.send({ topic: "orders", key: "user-123", value: "v" }))).partition, 2);
  assert.equal((await run(p.send({ topic: "orders", key: "", value: "v" }))).partition, 275_646_681 % 3);
  for (const key of [null, undefined]) {
    const error = await failure(p.send({ topic: "orders", key, value: "v" }));
    assert.equal(error.code, "KEY_REQUIRED");
    assert.match(error.message, /keyHash/);
  }
  assert.equal((await run(p.send({ topic: "orders", partition: 1, value: "by hand" }))).partition, 1);
  assert.equal((await cluster.records("orders")).length, 3);
  await run(p.close());
});

test("partitioning: explicit before key before strategy, and the key is stored in every case", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const chosen = await run(
    p.sendBatch([
      { topic: "orders", key: "user-123", partition: 0, value: "explicit" },
      { topic: "orders", key: "user-123", value: "by key" },
      { topic: "orders", key: new TextEncoder().encode("user-123"), value: "by the same bytes" },
    ]).all(),
  );
  assert.deepEqual(chosen.map(({ partition }) => partition), [0, 2, 2]);
  for (const { key } of await cluster.records("orders")) assert.equal(new TextDecoder().decode(key!), "user-123");
  await run(p.close());
});

test("partitioning: a key goes by all partitions, those without a leader included", async () => {
  const { cluster, producer, run } = stage({ brokers: 3, topics: { orders: { partitions: 3, replicationFactor: 1 } } });
  const down = cluster.partition("orders", 2).leaderId;
  cluster.stopBroker(down);
  const p = producer();
  const keyed = p.send({ topic: "orders", key: "user-123", value: "v" });
  const keyless = Array.from({ length: 50 }, () => p.send({ topic: "orders", value: "v".repeat(20_000) }));
  for (const { partition } of await run(Promise.all(keyless))) assert.notEqual(partition, 2);
  cluster.startBroker(down);
  assert.equal((await run(keyed)).partition, 2);
  await run(p.close());
});

test("custom partitioner: is shown topic, key, bytes, value, headers and partitions", async () => {
  const { producer, run } = stage();
  const seen: unknown[] = [];
  const p = producer<{ id: number }, string>({
    keySerializer: ({ id }) => Uint8Array.of(id),
    partitioner: ({ keyBytes, ...rest }) => {
      seen.push({ ...rest, keyBytes: keyBytes === null ? null : [...keyBytes], available: rest.availablePartitions });
      return 1;
    },
  });
  const key = { id: 7 };
  const headers = { h: "x" };
  const { partition } = await run(p.send({ topic: "orders", key, value: "v", headers }));
  await run(p.send({ topic: "orders", value: "w" }));
  assert.equal(partition, 1);
  assert.deepEqual(
    seen.map((one) => {
      const { topic, key, keyBytes, value, headers, partitionCount, available } = one as Record<string, unknown>;
      return { topic, key, keyBytes, value, headers, partitionCount, available };
    }),
    [
      { topic: "orders", key, keyBytes: [7], value: "v", headers, partitionCount: 3, available: [0, 1, 2] },
      {
        ...{ topic: "orders", key: null, keyBytes: null, value: "w", headers: undefined },
        ...{ partitionCount: 3, available: [0, 1, 2] },
      },
    ],
  );
  await run(p.close());
});

test("custom partitioner: a bad result is a ConfigError of that send alone, and so is what it throws", async () => {
  const { cluster, producer, run, failure } = stage();
  const results: unknown[] = [3, -1, 1.5, NaN, "1", undefined, null, Infinity, 1n];
  const p = producer<string, string>({
    partitioner: ({ value }) => {
      if (value === "throw") throw new TypeError("no idea");
      return (value === "good" ? 0 : results[Number(value)]) as number;
    },
  });
  for (const wait of [true, false]) { // first with, then without metadata at hand
    const bad = results.map((_, i) => p.send({ topic: "orders", value: String(i) }));
    const thrown = p.send({ topic: "orders", value: "throw" });
    const good = p.send({ topic: "orders", value: "good" });
    const settled = Promise.allSettled([...bad, thrown]);
    for (const promise of bad) {
      const error = await failure(promise);
      assert.deepEqual([error.name, error.option, error.topic], ["ConfigError", "partitioner", "orders"], String(wait));
      assert.match(error.message, /0 to 2/);
    }
    const error = await failure(thrown);
    assert.equal(error.code, "PARTITIONER");
    assert.ok(error.cause instanceof TypeError);
    assert.equal((await run(good)).partition, 0);
    await settled;
  }
  assert.equal((await cluster.records("orders")).length, 2);
  assert.equal(p.metrics()["buffer-available-bytes"], p.metrics()["buffer-total-bytes"]);
  await run(p.close());
});

test("custom partitioner: runs once for a record, whatever waits and retries there are", async () => {
  const { cluster, producer, run } = stage();
  const calls: string[] = [];
  const p = producer<string, string>({
    bufferMemory: 400,
    partitioner: ({ value }) => {
      calls.push(value as string);
      return 1;
    },
  });
  cluster.control(Metadata, { delayMs: 50 }, { times: 1 });
  cluster.control(Produce, { error: 6 }, { times: 2 });
  cluster.control(Produce, { drop: "after" }, { times: 1 });
  const values = Array.from({ length: 20 }, (_, i) => String(i));
  await run(Promise.all(values.map((value) => p.send({ topic: "orders", value }))));
  assert.deepEqual(calls, values);
  assert.deepEqual((await cluster.records("orders", 1)).map(({ value }) => new TextDecoder().decode(value!)), values);
  await run(p.close());
});
