/** Seeds of bad weather under both versions: the referee finds nothing. `npm run simulate` has the other seeds. */
import assert from "node:assert/strict";
import { test } from "../../harness.ts";
import { weather } from "./weather.ts";

const SEEDS = 2;
/** In a busy matrix the slowest leg takes its time. */
const timeoutMs = 240_000;

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction weather: on Kafka ${release} the referee finds no anomaly in any seed`, { timeoutMs }, async () => {
    const told = { ok: 0, fail: 0, info: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const result = await weather(seed, release);
      assert.deepEqual(result.anomalies, [], `seed ${seed}`);
      for (const type of ["ok", "fail", "info"] as const) told[type] += result.told[type];
    }
    // The weather is bad, and most of the work is done all the same.
    assert.ok(told.ok > SEEDS * 6 && told.fail > SEEDS, JSON.stringify(told));
  });
}
