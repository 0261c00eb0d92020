/**
 * The partitions that KafkaJS 2.2.4 chooses for keys, as golden data for its counterparts in this package.
 *
 *     node test/interop/kafkajs_partitions.mjs > test/golden/kafkajs-partitions.json
 *
 * Each key stands in base64, with a partition for each of `counts` by the default and by the legacy partitioner.
 */

import kafkajs from "kafkajs";

const counts = [1, 2, 3, 6, 12, 50, 100, 1000];
const { DefaultPartitioner, LegacyPartitioner } = kafkajs.Partitioners;

/** A generator of its own, so that the keys are the same each time. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
}

const byte = random(20_221);
const texts = [
  ...[
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "abcde",
    "key",
    "test-key",
    "user-1",
    "order-4711",
    "äöü",
    "日本語",
    "🎉",
    "\0",
    " ",
  ],
  ...Array.from({ length: 60 }, (_, i) => `key-${i * 7919}`),
  "x".repeat(255),
  "550e8400-e29b-41d4-a716-446655440000",
].map((text) => Buffer.from(text));
const bytes = Array.from({ length: 120 }, (_, i) => Buffer.from(Array.from({ length: i % 41 }, byte)));
const edges = [[0xff], [0x80], [0, 0, 0, 0xff], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0x80, 1], [0xff, 0xfe, 0xfd]];

const keys = [...texts, ...bytes, ...edges.map((each) => Buffer.from(each))].map((key) => {
  const choose = (create) =>
    counts.map((count) => {
      const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 1 }));
      return create()({ topic: "topic", partitionMetadata, message: { key } });
    });
  return { key: key.toString("base64"), default: choose(DefaultPartitioner), legacy: choose(LegacyPartitioner) };
});

const lines = keys.map((each) => `    ${JSON.stringify(each)}`).join(",\n");
console.log(`{\n  "from": "kafkajs 2.2.4",\n  "counts": ${JSON.stringify(counts)},\n  "keys": [\n${lines}\n  ]\n}`);
