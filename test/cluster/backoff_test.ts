import assert from "node:assert/strict";
import { Backoff } from "../../src/cluster/backoff.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

test("backoff: doubles from the first delay to the cap, and there is none before the first failure", () => {
  const backoff = new Backoff(100, 1_000, () => 0.5);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 50, 5_000].map((attempts) => backoff.delayMs(attempts)), [
    ...[0, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000],
  ]);
});

test("backoff: jitter is 20 % either way and never above the cap, whatever the chance", () => {
  const random = seededRandom(2);
  const backoff = new Backoff(100, 1_000, random);
  for (let attempts = 1; attempts <= 10; attempts++) {
    const center = Math.min(1_000, 100 * 2 ** (attempts - 1));
    const delays = Array.from({ length: 1_000 }, () => backoff.delayMs(attempts));
    const [min, max] = [Math.min(...delays), Math.max(...delays)];
    assert.ok(min >= 0.8 * center && max <= Math.min(1_000, 1.2 * center), `${attempts}: ${min} to ${max}`);
    assert.ok(min < 0.82 * center, "it goes down");
    assert.ok(max > (center < 1_000 ? 1.18 * center : 0.99 * center), "it goes up");
    assert.ok(new Set(delays).size > 300, "it is not constant");
  }
  assert.equal(new Backoff(100, 1_000, () => 0).delayMs(1), 80);
  assert.ok(new Backoff(100, 1_000, () => 1 - 2 ** -32).delayMs(1) <= 120);
});

test("backoff: a first delay of 0 is no delay, one above the cap is the cap", () => {
  assert.equal(new Backoff(0, 1_000, () => 0.5).delayMs(7), 0);
  assert.equal(new Backoff(500, 100, () => 0.5).delayMs(3), 500);
});
