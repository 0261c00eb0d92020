import assert from "node:assert/strict";
import { EmbeddedCluster, VirtualRuntime } from "../../src/testing/mod.ts";
import captures from "../golden/captures-4.1.1.json" with { type: "json" };
import { test } from "../harness.ts";

/** When the captures' date check ran, as its answer tells. */
const CAPTURED_AT_MS = 1_795_256_292_303;

/** Exchanges with a real Kafka 4.1.1 that ours must answer with the same bytes, in this order. */
const SAME = [
  "ApiVersions v5 refused",
  "ApiVersions invalid client name",
  "Produce v3 ok",
  "Produce v5 ok",
  "Produce v7 ok",
  "Produce v8 ok",
  "Produce v9 ok",
  "Produce v10 ok",
  "Produce v11 ok",
  "Produce v12 ok",
  "Produce v13 ok",
  "Produce idempotent seq 0",
  "Produce idempotent seq 0 DUPLICATE",
  "Produce idempotent gap",
  "Produce new epoch with sequence != 0",
  "Produce new epoch sequence 0",
  "Produce old epoch",
  "Produce unknown topic",
  "Produce wrong CRC",
  "Produce two batches in one partition",
  "Produce acks=2",
  "Produce null keys to a compacted topic",
  "Produce timestamp 2 h in the future",
  "Produce v13 unknown topic id",
  "CreateTopics v7 again",
];

test("embedded broker: answers what Kafka 4.1.1 answered, byte for byte", async () => {
  const runtime = new VirtualRuntime({ wallStartMs: CAPTURED_AT_MS });
  const cluster = new EmbeddedCluster({
    runtime,
    topics: {
      "golden-topic": { partitions: 3, id: "5ebb19afd2734eef93afe90e70f119c8" },
      "golden-compact": { config: { "cleanup.policy": "compact" } },
      "golden-created": 2,
    },
  });
  let received = "";
  const events = {
    onData: (chunk: Uint8Array) => {
      for (const byte of chunk) received += byte.toString(16).padStart(2, "0");
    },
    onClose: () => {},
  };
  const socket = await runtime.runUntil(cluster.sockets.connect({ host: "broker-1.test", port: 9092 }, events));
  for (const name of SAME) {
    const exchange = captures.exchanges.find((candidate) => candidate.name === name);
    assert.ok(exchange, name);
    received = "";
    socket.write(Uint8Array.from(exchange.request.match(/../g)!, (digits) => parseInt(digits, 16)));
    await runtime.settle();
    assert.equal(received, exchange.response, name);
  }
  assert.deepEqual(cluster.failures, []);
});
