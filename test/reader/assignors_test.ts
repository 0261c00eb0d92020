import assert from "node:assert/strict";
import { ASSIGNORS } from "../../src/reader/group/assignors.ts";
import { test } from "../harness.ts";
import { keyOf } from "../../src/reader/record.ts";

test("assignors: cooperative-sticky divides 20,000 partitions of a thousand topics fairly, and moves no more than it must", () => {
  const topics = Array.from({ length: 1_000 }, (_, i) => `t${i}`);
  const counts = new Map(topics.map((topic) => [topic, 20]));
  const places = topics.flatMap((topic) => Array.from({ length: 20 }, (_, partition) => ({ topic, partition })));
  const names = ["a", "b", "c"];
  const membersWith = (ownedOf: (name: string) => typeof places) =>
    names.map((memberId) => ({
      ...{ memberId, groupInstanceId: null, topics, generationId: 1 },
      owned: ownedOf(memberId),
    }));
  const divide = ASSIGNORS["cooperative-sticky"];
  // The first one had all: what others get it gives up first.
  const first = divide(membersWith((name) => name === "a" ? places : []), counts);
  assert.deepEqual(names.map((name) => first.get(name)!.length), [6_667, 0, 0]);
  const second = divide(membersWith((name) => first.get(name)!), counts);
  assert.deepEqual(names.map((name) => second.get(name)!.length).sort(), [6_666, 6_667, 6_667]);
  assert.deepEqual(second.get("a")!.map(keyOf).sort(), first.get("a")!.map(keyOf).sort());
  assert.equal(new Set(names.flatMap((name) => second.get(name)!.map(keyOf))).size, 20_000);
});
