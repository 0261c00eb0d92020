/**
 * What applications put around a producer, on real Kafka: dead letters, breakers, events, requests and replies, spans, and
 * the outbox example that is killed and goes on.
 */

import assert from "node:assert/strict";
import { trace } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { runtimeBinary } from "../../scripts/lib/tools.mjs";
import { assertComplete, killAndResume } from "../programs/outbox.mjs";

const text = (bytes) => new TextDecoder().decode(bytes);

/** Runs all on one cluster; `sluice` is the package: `{ Producer, Reader, createAdmin, app, headers, otel }`. */
export async function runAppPart({ kafka, sluice, tally }) {
  const { Producer, createAdmin } = sluice;
  const options = { brokers: kafka.brokers };
  const admin = createAdmin(options);
  const producer = new Producer(options);
  const topics = ["app-events", "app-requests", "app-replies", "app-compacted-dlq", "app-spans"];
  await admin.createTopics([
    ...topics.map((topic) => ({ topic, partitions: 2, replicationFactor: 1 })),
    { topic: "app-compacted", partitions: 1, replicationFactor: 1, configs: { "cleanup.policy": "compact" } },
    { topic: "outbox.event.order", partitions: 3, replicationFactor: 1 },
  ]).all();
  try {
    for (const [name, run] of Object.entries(tests)) {
      const label = `around the producer: ${name}`;
      await tally.guard(label, async () => {
        await run({ ...sluice, options, producer });
        tally.check(label, []);
      });
    }
  } finally {
    await producer.close();
    await admin.close();
  }
}

const tests = {
  "a record that the broker refuses is found among the dead letters, in three dialects": async (setup) => {
    const { app, headers, options, producer } = setup;
    for (const dialect of ["connect", "kafka", "spring"]) {
      const orders = new app.DeadLetters(new app.CircuitBreakers(producer, { scope: "topic" }), { dialect });
      // A compacted topic takes nothing without a key.
      const error = await orders.send({ topic: "app-compacted", value: dialect }).catch((error) => error);
      assert.deepEqual([error.code, error.persisted], ["INVALID_RECORD", "no"]);
    }
    const letters = await read(setup, options, "app-compacted-dlq", 3);
    const told = letters.map((letter) => [text(letter.value), headers.readDeadLetter(letter.headers)]);
    assert.deepEqual(told.map(([value, { dialect }]) => [value, dialect]).sort(), [
      ["connect", "connect"],
      ["kafka", "kafka"],
      ["spring", "spring"],
    ]);
    assert.ok(told.every(([, letter]) => letter.topic === "app-compacted" && letter.partition === 0));
  },

  "events are published as JSON and as CloudEvents": async (setup) => {
    const { app, headers, options, producer } = setup;
    const json = app.createEventPublisher(producer, { topic: "app-events" });
    const cloud = app.createEventPublisher(producer, { topic: "app-events", format: "cloudevents", source: "/shop" });
    await json.publish("OrderPlaced", { id: "o-1" });
    assert.equal((await cloud.publishSafe("OrderShipped", { id: "o-1" })).ok, true);
    const [first, second] = await read(setup, options, "app-events", 2);
    assert.deepEqual([text(first.key), JSON.parse(text(first.value)).eventType], ["o-1", "OrderPlaced"]);
    assert.equal(headers.decodeCloudEvent(second).type, "OrderShipped");
    assert.equal(first.partition, second.partition);
  },

  "requests get their own replies": async ({ app, Reader, options, producer }) => {
    const server = new Reader(options);
    server.assign([0, 1].map((partition) => ({ topic: "app-requests", partition, start: "beginning" })));
    const serving = (async () => {
      for await (const request of server) await app.sendReply(producer, request, { value: `${text(request.value)}!` });
    })();
    const reader = new Reader(options);
    const requester = new app.Requester(producer, reader, { replyTopic: "app-replies", timeoutMs: 20_000 });
    const asked = Array.from({ length: 50 }, (_, index) => String(index));
    const replies = await Promise.all(asked.map((value) => requester.request({ topic: "app-requests", value })));
    assert.deepEqual(replies.map(({ value }) => text(value)), asked.map((value) => `${value}!`));
    requester.close();
    await Promise.all([reader.close(), server.close(), serving]);
  },

  "a client that is looked after tells how it is": async ({ app, producer }) => {
    const client = app.createResilientClient(producer);
    await client.send({ topic: "app-events", value: "v" });
    const { healthyServers, activeConnections, successRate } = client.stats();
    assert.ok(healthyServers >= 1 && activeConnections >= 1 && successRate > 0);
    assert.equal((await client.health({ timeoutMs: 20_000 })).status, "up");
  },

  "a span's context arrives with its record": async (setup) => {
    const { otel, options, producer } = setup;
    const exporter = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const { W3CTraceContextPropagator } = await import("@opentelemetry/core");
    const { propagation } = await import("@opentelemetry/api");
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    await otel.instrument(producer, { tracerProvider }).send({ topic: "app-spans", value: "v" });
    const [span] = exporter.getFinishedSpans();
    const [record] = await read(setup, options, "app-spans", 1);
    const [, traceparent] = record.headers.find(([name]) => name === "traceparent");
    assert.equal(text(traceparent).split("-")[2], span.spanContext().spanId);
    assert.equal(span.attributes["server.port"], Number(kafkaPort(options)));
    assert.ok(trace.isSpanContextValid(span.spanContext()));
    propagation.disable();
  },

  "the outbox loses nothing when its program is killed": async (setup) => {
    await killAndResume([runtimeBinary("node24") ?? process.execPath, "--no-warnings"], setup.options.brokers, 4);
    const records = await read(setup, setup.options, "outbox.event.order", 1_000);
    assertComplete(records.map(({ headers, key, value }) => ({
      id: text(headers.find(([name]) => name === "id")[1]),
      key: text(key),
      value: text(value),
    })));
  },
};

function kafkaPort({ brokers }) {
  return brokers.split(",")[0].split(":")[1];
}

/** All records of a topic, of which there must be so many at least. */
async function read({ Reader }, options, topic, atLeast) {
  const reader = new Reader(options);
  try {
    const count = await reader.partitionsOf(topic);
    const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
    const ends = await reader.offsetsOf(partitions, "end");
    let left = ends.reduce((sum, { offset }) => sum + Number(offset), 0);
    assert.ok(left >= atLeast, `${left} records of ${topic}, wanted ${atLeast}`);
    reader.assign(partitions.map((partition) => ({ ...partition, start: "beginning" })));
    const records = [];
    for await (const record of reader) {
      records.push(record);
      if (--left === 0) break;
    }
    return records;
  } finally {
    await reader.close();
  }
}
