import assert from "node:assert/strict";
import { murmur2, partitionForKey } from "../../src/producer/record/murmur2.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import golden from "../golden/murmur2.json" with { type: "json" };
import { test } from "../harness.ts";
import { fromHex } from "../protocol/golden.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("murmur2: every golden key of the Java client has its hash, and its partition among every count", () => {
  const { vectors } = golden as {
    vectors: { key: string; murmur2: number; positive: number; partition: Record<string, number> }[];
  };
  assert.ok(vectors.length >= 200);
  let partitions = 0;
  for (const { key, murmur2: hash, positive, partition } of vectors) {
    const content = fromHex(key);
    assert.equal(murmur2(content), hash, key);
    assert.equal(murmur2(content) & 0x7fffffff, positive, key);
    for (const [count, wanted] of Object.entries(partition)) {
      assert.equal(partitionForKey(content, content.length, Number(count)), wanted, `${key} of ${count}`);
      partitions++;
    }
  }
  assert.equal(partitions, vectors.length * 8);
});

test("murmur2: the signed vectors of the Java tests come out", () => {
  const vectors: Record<string, number> = {
    "": 275_646_681,
    "21": -973_932_308,
    foobar: -790_332_482,
    "a-little-bit-long-string": -985_981_536,
    "a-little-bit-longer-string": -1_486_304_829,
    abc: 479_470_107,
    hello: 2_132_663_229,
    kafka: -798_503_068,
  };
  for (const [key, hash] of Object.entries(vectors)) assert.equal(murmur2(bytes(key)), hash, key);
});

test("murmur2: a negative hash is masked, neither made absolute nor unsigned", () => {
  const partition = (key: string, count: number): number => partitionForKey(bytes(key), bytes(key).length, count);
  assert.equal(partition("user-123", 3), 2); // absolute 0, unsigned 1
  assert.equal(partition("kafka", 10), 0); // unsigned 8
});

test("murmur2: 10,000 random keys are in range and hash alike within a longer buffer", () => {
  const random = seededRandom(4);
  for (let round = 0; round < 10_000; round++) {
    const key = Uint8Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256));
    const buffer = new Uint8Array(64).fill(0xee);
    buffer.set(key);
    const hash = murmur2(key);
    assert.equal(hash, hash | 0);
    assert.equal(murmur2(buffer, key.length), hash);
    const count = 1 + Math.floor(random() * 1_000);
    const partition = partitionForKey(buffer, key.length, count);
    assert.ok(Number.isInteger(partition) && partition >= 0 && partition < count);
  }
});
