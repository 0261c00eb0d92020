/** Configs, as an admin client sees and changes them. */

import assert from "node:assert/strict";
import { DescribeConfigs, IncrementalAlterConfigs } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { adminStage } from "./stage.ts";

const NAMES = ["cleanup.policy", "max.message.bytes", "retention.ms"];

test("admin configs: described with where each value comes from", async (t) => {
  const s = adminStage(t, { topics: { orders: { partitions: 1, config: { "retention.ms": 5000 } } } });
  const orders = { type: "topic", name: "orders" } as const;
  const [all] = await s.run(s.admin.describeConfigs([orders], { includeSynonyms: true }).all());
  const retention = all!.configs.find(({ name }) => name === "retention.ms");
  assert.deepEqual(retention, {
    name: "retention.ms",
    value: "5000",
    source: "DYNAMIC_TOPIC_CONFIG",
    isDefault: false,
    isReadOnly: false,
    isSensitive: false,
    type: "LONG",
    documentation: null,
    synonyms: [
      { name: "retention.ms", value: "5000", source: "DYNAMIC_TOPIC_CONFIG" },
      { name: "retention.ms", value: "604800000", source: "DEFAULT_CONFIG" },
    ],
  });
  const names = all!.configs.map(({ name }) => name);
  assert.deepEqual(names, [...names].sort());
  const [some] = await s.run(s.admin.describeConfigs([orders], { names: new Set(["max.message.bytes"]) }).all());
  assert.deepEqual(
    some!.configs.map((
      { isDefault, name, source, synonyms, type, value },
    ) => [name, value, type, source, isDefault, synonyms.length]),
    [["max.message.bytes", "1048588", "INT", "DEFAULT_CONFIG", true, 0]],
  );
});

test("admin configs: set, deleted, appended and subtracted, and the broker goes by it at once", async (t) => {
  const s = adminStage(t, { topics: { orders: { partitions: 1, config: { "retention.ms": 5000 } } } });
  const orders = { type: "topic", name: "orders" } as const;
  const values = async (): Promise<(string | null)[]> => {
    const [described] = await s.run(s.admin.describeConfigs([orders], { names: NAMES }).all());
    return described!.configs.map(({ value }) => value);
  };
  assert.deepEqual(await values(), ["delete", "1048588", "5000"]);
  assert.deepEqual(
    await s.each(s.admin.incrementalAlterConfigs([{
      ...orders,
      set: { "max.message.bytes": 200n },
      delete: ["retention.ms"],
      append: { "cleanup.policy": "compact" },
    }])),
    [orders],
  );
  assert.deepEqual(await values(), ["delete,compact", "200", "604800000"]);
  await s.each(s.admin.incrementalAlterConfigs([{ ...orders, subtract: { "cleanup.policy": "delete" } }]));
  assert.deepEqual(await values(), ["compact", "200", "604800000"]);
  const producer = s.producer();
  const failure = await s.failure(producer.send({ topic: "orders", key: "k", value: "x".repeat(1_000) }));
  assert.equal(failure.code, "MESSAGE_TOO_LARGE");
  await s.run(producer.close());
  await s.each(s.admin.incrementalAlterConfigs([{ ...orders, set: { "retention.ms": 1 } }], { validateOnly: true }));
  assert.deepEqual(await values(), ["compact", "200", "604800000"]);
});

test("admin configs: what is refused is told for each, with the reason", async (t) => {
  const s = adminStage(t, { topics: { orders: 1, lines: 1 } });
  const type = "topic";
  const changed = await s.settled(s.admin.incrementalAlterConfigs([
    { type, name: "orders", set: { "retention.ms": "soon" } },
    { type, name: "lines", set: { "no.such.thing": 1 } },
    { type, name: "nowhere", set: { "retention.ms": 1 } },
    { type: "broker", name: "", set: { "log.retention.ms": 1 } },
  ]));
  assert.deepEqual(changed.map((it) => it.status === "rejected" ? it.reason.message : "changed"), [
    'Topic "orders": the broker answered INVALID_CONFIG (40): Invalid value soon for configuration retention.ms: ' +
    "Not a number of type LONG.",
    'Topic "lines": the broker answered INVALID_CONFIG (40): Unknown topic config name: no.such.thing.',
    `Topic "nowhere": the broker answered UNKNOWN_TOPIC_OR_PARTITION (3): The topic 'nowhere' does not exist.`,
    'Config of broker "": the broker answered INVALID_REQUEST (42): The embedded broker has configs of topics only.',
  ]);
  for (const value of [NaN, Infinity, null, {}]) {
    const set = { "retention.ms": value as number };
    const error = await s.failure(s.admin.incrementalAlterConfigs([{ type, name: "orders", set }]).all());
    assert.equal((error as { option?: string }).option, "set.retention.ms");
  }
  assert.deepEqual(await s.each(s.admin.describeConfigs([{ type, name: "nowhere" }, { type: "broker", name: "9" }])), [
    "UNKNOWN_TOPIC_OR_PARTITION",
    "BROKER_NOT_AVAILABLE",
  ]);
});

test("admin configs: what belongs to one broker is asked of that broker", async (t) => {
  const s = adminStage(t, { brokers: 3, topics: { orders: 1 } });
  const asked: (readonly [number, readonly string[]])[] = [];
  for (const api of [DescribeConfigs, IncrementalAlterConfigs]) {
    s.cluster.control(api, (request, { brokerId }) => {
      asked.push([brokerId, request.resources.map(({ resourceName }) => resourceName)]);
    });
  }
  const brokers = ["2", "3"].map((name) => ({ type: "broker", name }) as const);
  await s.settled(s.admin.describeConfigs(brokers));
  await s.settled(s.admin.incrementalAlterConfigs(brokers.map((each) => ({ ...each, set: { "a.b": true } }))));
  assert.deepEqual(asked.sort(), [[2, ["2"]], [2, ["2"]], [3, ["3"]], [3, ["3"]]]);
});

test("admin configs: a secret is never told, whatever the broker answers", async (t) => {
  const s = adminStage(t, { topics: { orders: 1 } });
  s.cluster.control(DescribeConfigs, {
    transform: (body) => ({
      ...body,
      results: body.results.map((result) => ({
        ...result,
        configs: [{
          ...{ name: "ssl.key.password", value: "hunter2", readOnly: false, configSource: 99, configType: 77 },
          ...{ isSensitive: true, documentation: null, synonyms: [{ name: "a", value: "hunter2", source: 4 }] },
        }],
      })),
    }),
  });
  const [described] = await s.run(s.admin.describeConfigs([{ type: "topic", name: "orders" }]).all());
  assert.ok(!JSON.stringify(described).includes("hunter2"));
  assert.deepEqual(described!.configs.map(({ source, type, value }) => [value, source, type]), [
    [null, "UNKNOWN", "UNKNOWN"],
  ]);
});
