import assert from "node:assert/strict";
import { Histogram } from "../../src/cli/histogram.ts";
import { test } from "../harness.ts";

test("histogram: quantiles are right to 2 % over five orders of magnitude", () => {
  for (const scale of [0.01, 1, 1000]) {
    const histogram = new Histogram();
    for (let value = 1; value <= 10_000; value++) histogram.record(value * scale);
    for (const share of [0.01, 0.5, 0.9, 0.99]) {
      const exact = share * 10_000 * scale;
      const error = Math.abs(histogram.quantileMs(share) - exact) / exact;
      assert.ok(error <= 0.021, `quantile ${share} at scale ${scale} is off by ${error}`);
    }
  }
});

test("histogram: no quantile passes the longest duration", () => {
  const histogram = new Histogram();
  histogram.record(5);
  assert.equal(histogram.quantileMs(0.5), 5);
  assert.equal(histogram.quantileMs(1), 5);
  assert.equal(histogram.maxMs, 5);
  assert.equal(histogram.meanMs, 5);
});

test("histogram: an empty one answers 0, and durations of 0, below 0 and of weeks are counted", () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantileMs(0.99), 0);
  for (const ms of [0, -3, 1e12]) histogram.record(ms);
  assert.equal(histogram.count, 3);
  assert.equal(histogram.maxMs, 1e12);
  assert.ok(histogram.quantileMs(0.5) <= 0.001);
});
