import assert from "node:assert/strict";
import { test } from "../harness.ts";
import { BatchLine, type Linked } from "../../src/producer/accumulator/batch_line.ts";

class Named implements Linked {
  before: Linked | undefined;
  after: Linked | undefined;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

const told = (line: BatchLine<Named>): string => [...line].map(({ name }) => name).join("");

test("batch line: batches stand in it in the order in which they came, whichever is taken out", () => {
  const line = new BatchLine<Named>();
  assert.deepEqual([told(line), line.size], ["", 0]);
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => new Named(name)) as [Named, Named, Named, Named];
  for (const batch of [a, b, c, d]) line.add(batch);
  assert.deepEqual([told(line), line.size], ["abcd", 4]);
  line.delete(b);
  assert.deepEqual([told(line), line.size], ["acd", 3]);
  line.delete(a);
  line.delete(d);
  assert.deepEqual([told(line), line.size], ["c", 1]);
  line.add(a);
  assert.deepEqual([told(line), line.size], ["ca", 2]);
  line.delete(c);
  line.delete(a);
  assert.deepEqual([told(line), line.size], ["", 0]);
});

test("batch line: a batch that was taken out names no other, which it would keep alive", () => {
  const line = new BatchLine<Named>();
  const batches = ["a", "b", "c"].map((name) => new Named(name));
  for (const batch of batches) line.add(batch);
  for (const batch of batches) line.delete(batch);
  for (const { before, after } of batches) assert.deepEqual([before, after], [undefined, undefined]);
  assert.deepEqual([line.before, line.after], [line, line]);
});
