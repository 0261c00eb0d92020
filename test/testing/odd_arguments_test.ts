import assert from "node:assert/strict";
import { ConfigError } from "../../mod.ts";
import { EmbeddedCluster, Produce } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { assertSpeaks, oddValues, outcomeOf } from "../producer/odd_values.ts";

type Any = (...args: unknown[]) => unknown;

test("embedded cluster: no method answers an odd argument with anything that doesn't say what to pass", async () => {
  const cluster = new EmbeddedCluster({ brokers: 2, topics: { orders: 2 } });
  const methods = cluster as unknown as Record<string, Any>;
  const calls: [method: string, argsFor: (odd: unknown) => unknown[]][] = [
    ...["broker", "isRunning", "topic", "createTopic", "deleteTopic", "records", "quota", "configure", "killBroker"]
      .map((method): [string, (odd: unknown) => unknown[]] => [method, (odd) => [odd]]),
    ...["stopBroker", "startBroker", "isolateBroker", "healBroker", "topicById"]
      .map((method): [string, (odd: unknown) => unknown[]] => [method, (odd) => [odd]]),
    ["partition", (odd) => [odd, 0]],
    ["partition", (odd) => ["orders", odd]],
    ["endOffset", (odd) => [odd, odd]],
    ["records", (odd) => ["orders", odd]],
    ["createTopic", (odd) => ["new", odd]],
    ["createTopic", (odd) => ["new", { partitions: odd }]],
    ["createTopic", (odd) => ["new", { replicationFactor: odd }]],
    ["createTopic", (odd) => ["new", { id: odd }]],
    ["addPartitions", (odd) => [odd, 3]],
    ["deleteRecords", (odd) => ["orders", 0, odd]],
    ["control", (odd) => [odd, {}]],
    ["control", (odd) => [Produce, odd]],
    ["control", (odd) => [Produce, {}, odd]],
    ["control", (odd) => [Produce, {}, { times: odd }]],
    ["control", (odd) => [Produce, {}, { brokerId: odd }]],
    ["quota", (odd) => [{ bytesPerSecond: odd }]],
    ["quota", (odd) => [{ bytesPerSecond: 5, clientId: odd }]],
    ["configure", (odd) => [{ replicationLagMs: odd }]],
    ["configure", (odd) => [{ sessionTimeoutMs: odd }]],
    ["electLeader", (odd) => ["orders", 0, odd]],
    ["electLeader", (odd) => ["orders", 0, 1, odd]],
    ["electLeader", (odd) => ["orders", 0, 1, { unclean: odd }]],
    ["moveLeader", (odd) => ["orders", odd, 1]],
    ["setIsr", (odd) => ["orders", 0, odd]],
    ["listen", (odd) => [odd === undefined ? null : odd]],
    ["listen", (odd) => [{ port: odd === 0 ? -1 : odd }]],
    ["listen", (odd) => [{ host: typeof odd === "string" ? 5 : odd }]],
  ];
  for (const [method, argsFor] of calls) {
    for (const [kind, odd] of Object.entries(oddValues())) {
      await outcomeOf(`${method}(${kind})`, true, () => methods[method]!(...argsFor(odd)));
      cluster.configure({ replicationLagMs: 0, sessionTimeoutMs: 0 });
      if (cluster.topic("new") !== undefined) cluster.deleteTopic("new");
    }
  }
  await cluster.close();
});

test("embedded cluster: every option of its constructor with every odd value is taken or a ConfigError", () => {
  const names = [
    ...["brokers", "racks", "topics", "autoCreateTopics", "defaultPartitions", "release", "finalizedFeatures"],
    ...["maxRequestBytes", "connectionsMaxIdleMs", "producerIdExpirationMs", "strictRequests", "record", "seed"],
    ...["replicationLagMs", "metadataLagMs", "replicaLagTimeMaxMs", "sessionTimeoutMs"],
  ];
  for (const [kind, odd] of Object.entries(oddValues())) {
    assert.throws(() => new EmbeddedCluster(odd as never), (error) => {
      assertSpeaks(error, kind);
      return error instanceof ConfigError;
    }, kind);
    for (const name of names) {
      try {
        new EmbeddedCluster({ [name]: odd });
      } catch (error) {
        assertSpeaks(error, `${name}: ${kind}`);
      }
    }
  }
});

test("embedded cluster: topics in a list are refused by their own name", () => {
  const wanted = { option: "topics", message: /Set "topics" to an object such as \{ orders: 3 \}: a list is not/ };
  assert.throws(() => new EmbeddedCluster({ topics: ["orders"] as never }), wanted);
});

test("embedded cluster: a topic with something else than a number of partitions is refused by its name", () => {
  for (const [spec, shown] of [["3", '"3"'], [null, "null"], [true, "true"]] as const) {
    assert.throws(() => new EmbeddedCluster({ topics: { orders: 1, lines: spec as never } }), {
      option: "topics",
      message: `Give topic "lines" its number of partitions, such as 3: ${shown} is none.`,
    });
  }
});
