import assert from "node:assert/strict";
import { presets, type ProducerOptions, validateConfig } from "../../mod.ts";
import { NAMES as ALL } from "../../src/producer/named_producer.ts";
import { resolveOptions } from "../../src/producer/options/options.ts";
import { test } from "../harness.ts";

const NAMES = ["highThroughput", "lowLatency", "durable", "exactlyOnce", "lowMemory"] as const;

test("presets: each is a plain object of its own that passes the checks", () => {
  assert.deepEqual(Object.keys(presets).sort(), [...NAMES, "eventHubs", "confluentCloud", "msk"].sort());
  for (const name of NAMES) {
    const preset = presets[name]();
    assert.equal(Object.getPrototypeOf(preset), Object.prototype);
    assert.notEqual(preset, presets[name](), "a change of one must not be seen in the next");
    assert.deepEqual(preset, presets[name]());
    validateConfig({ brokers: "localhost:9092", ...preset });
  }
});

test("presets: all of them keep acks all and idempotence, and in flight at most 5", () => {
  for (const name of NAMES) {
    const resolved = resolveOptions({ brokers: "localhost:9092", ...presets[name]() }, undefined, ALL);
    assert.deepEqual([resolved.acks, resolved.idempotent], [-1, true], name);
    assert.ok(resolved.maxInFlight <= 5, name);
    assert.equal(resolved.retries, Infinity, name);
    assert.deepEqual(resolved.remarks, [], name);
  }
});

test("presets: what they are named for is what they set", () => {
  const options = (name: typeof NAMES[number]): ReturnType<typeof resolveOptions> =>
    resolveOptions({ brokers: "localhost:9092", ...presets[name]() } as ProducerOptions, undefined, ALL);
  const high = options("highThroughput");
  assert.deepEqual([high.batchSize, high.lingerMs, high.codecFor("t")?.name], [65_536, 10, "lz4"]);
  assert.ok(high.bufferMemory > 33_554_432);
  assert.equal(options("lowLatency").lingerMs, 0);
  assert.equal(options("lowLatency").batchSize, 16_384);
  assert.ok(options("durable").deliveryTimeoutMs > 120_000);
  assert.ok(options("lowMemory").bufferMemory < 33_554_432);
});

test("presets: acks 1 beside a preset is a conflict, not a silent change", () => {
  assert.throws(() => validateConfig({ brokers: "localhost:9092", ...presets.highThroughput(), acks: 1 }), {
    name: "ConfigError",
    option: "acks",
  });
  const wish = { brokers: "localhost:9092", ...presets.highThroughput(), acks: 1, idempotent: false } as const;
  assert.equal(resolveOptions(wish, undefined, ALL).idempotent, false);
});
