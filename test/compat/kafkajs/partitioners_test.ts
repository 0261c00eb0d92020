/** KafkaJS's partitioners, against what KafkaJS 2.2.4 chooses. */
import assert from "node:assert/strict";
import golden from "../../golden/kafkajs-partitions.json" with { type: "json" };
import { Partitioners } from "../../../src/compat/kafkajs/mod.ts";
import { ofAnotherRealm } from "../../another_realm.ts";
import { test } from "../../harness.ts";

const { DefaultPartitioner, LegacyPartitioner } = Partitioners;

function partitions(count: number, isLed: (id: number) => boolean = () => true) {
  return Array.from({ length: count }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: isLed(partitionId) ? 1 : -1,
    replicas: [1],
    isr: [1],
  }));
}

for (const [name, create] of [["default", DefaultPartitioner], ["legacy", LegacyPartitioner]] as const) {
  test(`compat kafkajs partitioner: the ${name} one puts every key where KafkaJS 2.2.4 puts it`, () => {
    assert.ok(golden.keys.length >= 200);
    const choose = create();
    for (const { key, ...chosen } of golden.keys) {
      const bytes = Uint8Array.from(atob(key), (character) => character.charCodeAt(0));
      const found = golden.counts.map((count) =>
        choose({ topic: "t", partitionMetadata: partitions(count), message: { key: bytes, value: null } })
      );
      assert.deepEqual(found, chosen[name], key);
      const foreign = { key: ofAnotherRealm(bytes) as never, value: null };
      assert.equal(choose({ topic: "t", partitionMetadata: partitions(1000), message: foreign }), found.at(-1));
      const text = new TextDecoder().decode(bytes);
      if (new TextEncoder().encode(text).length !== bytes.length || text.includes("\ufffd")) continue;
      assert.equal(
        choose({ topic: "t", partitionMetadata: partitions(1000), message: { key: text, value: null } }),
        found.at(-1),
      );
    }
  });

  test(`compat kafkajs partitioner: the ${name} one takes turns among partitions with a leader, for each topic by itself`, () => {
    const choose = create();
    const counts = { a: new Map<number, number>(), b: new Map<number, number>() };
    for (let i = 0; i < 60; i++) {
      for (const topic of ["a", "b"] as const) {
        const partitionMetadata = partitions(4, (id) => topic === "a" || id % 2 === 0);
        const partition = choose({ topic, partitionMetadata, message: { value: "v" } });
        counts[topic].set(partition, (counts[topic].get(partition) ?? 0) + 1);
      }
    }
    assert.deepEqual([...counts.a].sort(), [[0, 15], [1, 15], [2, 15], [3, 15]]);
    assert.deepEqual([...counts.b].sort(), [[0, 30], [2, 30]]);
    const leaderless = choose({ topic: "c", partitionMetadata: partitions(3, () => false), message: { value: "v" } });
    assert.ok(leaderless >= 0 && leaderless < 3);
  });

  test(`compat kafkajs partitioner: the ${name} one lets a message choose, partition 0 too`, () => {
    const choose = create();
    for (const partition of [0, 2, 99]) {
      const message = { key: "k", value: null, partition };
      assert.equal(choose({ topic: "t", partitionMetadata: partitions(3), message }), partition);
    }
  });
}
