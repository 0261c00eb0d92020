import assert from "node:assert/strict";
import { byTopic } from "../../src/protocol/by_topic.ts";
import { test } from "../harness.ts";

test("by topic: topics and their entries stay in the order in which they came", () => {
  const places = [["b", 2], ["a", 1], ["b", 0], ["b", 0]].map(([topic, partition]) => ({
    topic: `${topic}`,
    partition,
  }));
  assert.deepEqual(byTopic(places, ({ partition }) => partition), [["b", [2, 0, 0]], ["a", [1]]]);
  assert.deepEqual(byTopic([], () => 0), []);
});
